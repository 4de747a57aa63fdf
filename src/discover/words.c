#include "discover/words.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/json.h"
#include "gpu/proctext.h"
#include "service/strings.h"

enum {
	WIDTH = 98,
};

char *words_for_people(char *const *argv)
{
	_cleanup_(str_done) Str flat = STR_INIT;
	for (size_t i = 0; argv && argv[i]; i++)
		str_addn(&flat, argv[i], strlen(argv[i]) + 1);
	return flat.failed ? NULL : words_of_cmdline(flat.s ? flat.s : "", flat.len);
}

static bool has(const char *s, size_t len, const char *word)
{
	size_t n = strlen(word);
	for (size_t i = 0; i + n <= len; i++)
		if (strncasecmp(s + i, word, n) == 0)
			return true;
	return false;
}

bool names_secret(const char *name, size_t len)
{
	static const char *const words[] = {
	    "secret", "passw",	    "passphrase", "api-key",	"api_key", "apikey", "auth",
	    "bearer", "access-key", "access_key", "credential", "private", "cookie"};
	for (size_t i = 0; i < sizeof(words) / sizeof(*words); i++)
		if (has(name, len, words[i]))
			return true;
	/* Tokens are also what models count: --max-tokens, --tokenizer. */
	return has(name, len, "token") && !has(name, len, "tokens") && !has(name, len, "tokenizer");
}

static bool value_is_secret(const char *v)
{
	static const char *const begin[] = {"hf_",	   "sk-",    "ghp_",	"gho_",
					    "github_pat_", "eyJ",    "nvapi-",	"xoxb-",
					    "AKIA",	   "glpat-", "Bearer ", "Basic "};
	for (size_t i = 0; i < sizeof(begin) / sizeof(*begin); i++)
		if (strncmp(v, begin[i], strlen(begin[i])) == 0)
			return true;
	const char *scheme = strstr(v, "://");
	return scheme && memchr(scheme + 3, '@', strcspn(scheme + 3, "/?"));
}

char **argv_without_secrets(char *const *argv, size_t *ret_left_out)
{
	char **ret = strings_copy(NULL);
	size_t out = 0;
	bool failed = !ret;
	for (size_t i = 0; argv && argv[i] && !failed; i++) {
		const char *arg = argv[i];
		size_t name = strcspn(arg, "=");
		bool flag = arg[0] == '-' && arg[1];
		bool secret = (flag && names_secret(arg, name)) ||
			      value_is_secret(arg[name] ? arg + name + 1 : arg);
		if (!secret) {
			failed = strings_add(&ret, strdup(arg)) < 0;
			continue;
		}
		out++;
		/* "--api-key VALUE"; a value by itself takes the flag before it along. */
		if (flag && !arg[name] && argv[i + 1] && argv[i + 1][0] != '-') {
			i++;
		} else if (!flag) {
			size_t n = strings_count(ret);
			if (n > 0 && ret[n - 1][0] == '-' && !strchr(ret[n - 1], '='))
				strings_remove(ret, n - 1);
		}
	}
	if (failed)
		return strings_free(ret);
	if (ret_left_out)
		*ret_left_out = out;
	return ret;
}

/* --- YAML ------------------------------------------------------------------------------------ */

static bool is_plain(const char *s)
{
	static const char *const words[] = {"true", "false", "yes", "no", "on",
					    "off",  "null",  "y",   "n"};
	if (!isalpha((unsigned char)*s) && *s != '/')
		return false;
	for (size_t i = 0; i < sizeof(words) / sizeof(*words); i++)
		if (strcasecmp(s, words[i]) == 0)
			return false;
	for (; *s; s++)
		if (!isalnum((unsigned char)*s) && !strchr("_./@+-", *s))
			return false;
	return true;
}

/* In ASCII. Not as JSON writes it, whose two halves of a character past U+FFFF are an error here.
 */
static void add_quoted(const char *text, size_t len, Str *out)
{
	uint32_t c = 0;
	str_addc(out, '"');
	for (size_t at = 0, n; at < len && (n = utf8_next(text + at, len - at, &c)) > 0; at += n) {
		if (c == '"' || c == '\\')
			str_addf(out, "\\%c", (char)c);
		else if (c >= 0x20 && c < 0x7f)
			str_addc(out, (char)c);
		else
			str_addf(out, c > 0xffff ? "\\U%08x" : "\\u%04x", (unsigned)c);
	}
	str_addc(out, '"');
}

void yaml_text(const char *text, Str *out)
{
	if (is_plain(text)) {
		str_add(out, text);
		return;
	}
	json_auto_t *v = js_text(text); /* UTF-8 in any case */
	if (v)
		add_quoted(json_string_value(v), json_string_length(v), out);
	else
		out->failed = true;
}

void yaml_value(const json_t *v, Str *out)
{
	if (json_is_string(v))
		yaml_text(json_string_value(v), out);
	else
		js_canonical(v, out);
}

void bytes_text(int64_t bytes, Str *out)
{
	if (bytes < 0)
		str_add(out, "?");
	else if (bytes >= 10LL << 30)
		str_addf(out, "%.1f GiB", (double)bytes / (1 << 30));
	else
		str_addf(out, "%.0f MiB", (double)bytes / (1 << 20));
}

void words_fill(const char *text, const char *first, const char *next, size_t width, Str *out)
{
	size_t column = 0;
	for (const char *p = text; *p; p += strspn(p, " ")) {
		size_t n = strcspn(p, " ");
		if (p == text) {
			str_add(out, first);
			column = strlen(first);
		} else if (column + 1 + n > width) {
			str_addf(out, "\n%s", next);
			column = strlen(next);
		} else {
			str_addc(out, ' ');
			column++;
		}
		str_addn(out, p, n);
		column += n;
		p += n;
	}
	str_addc(out, '\n');
}

void yaml_comment(size_t indent, Str *out, const char *fmt, ...)
{
	_cleanup_(str_done) Str raw = STR_INIT;
	_cleanup_(str_done) Str text = STR_INIT;
	va_list ap;
	va_start(ap, fmt);
	str_addv(&raw, fmt, ap);
	va_end(ap);
	if (raw.failed) {
		out->failed = true;
		return;
	}
	/* What others wrote may be in it, and a line break would end the comment. */
	str_add_safe(&text, raw.s ? raw.s : "", raw.len, 0);
	char start[32];
	(void)snprintf(start, sizeof(start), "%*s# ", (int)indent, "");
	words_fill(text.s ? text.s : "", start, start, WIDTH, out);
	out->failed |= text.failed;
}
