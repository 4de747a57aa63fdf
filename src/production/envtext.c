/* An env file as text: where a key's value stands, and the same text with another value there. It
 * may be read by systemd, by a shell or by a library of the program; where these disagree, nothing
 * is touched. */
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "production/internal.h"

enum {
	ENV_TEXT_MAX = 1 << 20,
};

bool env_name_ok(const char *name)
{
	if (!*name || (*name >= '0' && *name <= '9'))
		return false;
	for (; *name; name++)
		if (!(*name == '_' || (*name >= '0' && *name <= '9') ||
		      (*name >= 'a' && *name <= 'z') || (*name >= 'A' && *name <= 'Z')))
			return false;
	return true;
}

/* One "NAME=value" of the text. */
typedef struct Assignment {
	size_t name, name_len; /* without "export" */
	size_t at, len;	       /* of the value as it stands, quotes included */
	bool exported, lines;  /* `lines`: it goes over several */
} Assignment;

static bool is_blank(char c)
{
	return c == ' ' || c == '\t';
}

static bool is_newline(char c)
{
	return c == '\n' || c == '\r';
}

static size_t line_end(const char *text, size_t i)
{
	return i + strcspn(text + i, "\n\r");
}

/* From the first byte of a value to behind its last: quotes hold newlines, and a backslash in front
 * of a newline goes on with the next line. */
static int value_end(const char *text, size_t i, Assignment *a)
{
	char quote = '\0';
	bool fresh = true; /* a quote opens at the beginning, or behind a closed one */

	a->at = i;
	for (; text[i] && (quote || !is_newline(text[i])); i++) {
		a->lines = a->lines || is_newline(text[i]);
		if (text[i] == '\\' && quote != '\'' && text[i + 1]) {
			a->lines = a->lines || is_newline(text[i + 1]);
			i++;
			fresh = false;
		} else if (quote && text[i] == quote) {
			quote = '\0';
			fresh = true;
		} else if (!quote && fresh && (text[i] == '\'' || text[i] == '"')) {
			quote = text[i];
		} else if (!quote) {
			fresh = false;
		}
	}
	if (quote)
		return -ENOTSUP;
	a->len = i - a->at;
	while (a->len > 0 && is_blank(text[a->at + a->len - 1]))
		a->len--;
	return 0;
}

static void take_name(const char *text, size_t begin, size_t equals, Assignment *a)
{
	a->name = begin;
	if (strncmp(text + begin, "export", 6) == 0 && is_blank(text[begin + 6])) {
		a->exported = true;
		a->name = begin + 7;
	}
	while (is_blank(text[a->name]))
		a->name++;
	size_t end = equals;
	while (end > a->name && is_blank(text[end - 1]))
		end--;
	a->name_len = end - a->name;
}

/* The next assignment from *at on. 1, 0 at the end, -ENOTSUP. */
static int next_assignment(const char *text, size_t *at, Assignment *ret)
{
	for (size_t i = *at; text[i];) {
		size_t begin = i + strspn(text + i, " \t\r\n");
		size_t end = line_end(text, begin), equals = begin + strcspn(text + begin, "=\n\r");
		bool comment = text[begin] == '#' || text[begin] == ';';
		if (comment && end > begin && text[end - 1] == '\\' && text[end])
			return -ENOTSUP; /* systemd before 254 takes the next line along */
		if (comment || text[equals] != '=') {
			i = end;
			continue;
		}
		Assignment a = {0};
		take_name(text, begin, equals, &a);
		size_t value = equals + 1;
		while (is_blank(text[value]))
			value++;
		int r = value_end(text, value, &a);
		if (r < 0)
			return r;
		*at = line_end(text, a.at + a.len);
		*ret = a;
		return 1;
	}
	return 0;
}

static bool is_key(const char *text, const Assignment *a, const char *key, bool exported)
{
	return (exported || !a->exported) && strlen(key) == a->name_len &&
	       strncmp(text + a->name, key, a->name_len) == 0;
}

/* Quotes around a value that has none inside stay where they are. */
static void inside_quotes(const char *text, Assignment *a)
{
	const char *v = text + a->at;
	bool quoted = a->len >= 2 && (v[0] == '"' || v[0] == '\'') && v[a->len - 1] == v[0];

	if (!quoted || memchr(v + 1, v[0], a->len - 2))
		return;
	a->at++;
	a->len -= 2;
}

static int unclear(const char *path, const char *key, Err *err)
{
	return err_set(err, -ENOTSUP,
		       "%s is written in a way that its readers understand differently (a quote "
		       "that is not closed, a comment that ends in a backslash, %s over several "
		       "lines); put it right first",
		       path, key);
}

static int check(const char *path, const char *text, Err *err)
{
	return strlen(text) > ENV_TEXT_MAX
		   ? err_set(err, -EFBIG, "%s is longer than %d bytes", path, ENV_TEXT_MAX)
		   : 0;
}

int envtext_get(const char *path, const char *text, const char *key, bool exported, char **ret,
		Err *err)
{
	_cleanup_free_ char *value = NULL;
	Assignment a;
	size_t at = 0;
	int r = check(path, text, err);

	if (r < 0)
		return r;
	while ((r = next_assignment(text, &at, &a)) > 0) {
		if (!is_key(text, &a, key, exported))
			continue;
		if (a.lines)
			return unclear(path, key, err);
		inside_quotes(text, &a);
		free(value);
		value = strndup(text + a.at, a.len);
		if (!value)
			return err_oom(err);
	}
	if (r < 0)
		return unclear(path, key, err);
	*ret = TAKE_PTR(value);
	return 0;
}

static void append_key(const char *key, const char *value, Str *out)
{
	if (out->len > 0 && out->s[out->len - 1] != '\n')
		str_addc(out, '\n');
	str_addf(out, "%s=%s\n", key, value);
}

int envtext_set(const char *path, const char *text, const char *key, const char *value, char **ret,
		Err *err)
{
	_cleanup_(str_done) Str out = STR_INIT;
	Assignment a;
	size_t at = 0, copied = 0;
	bool found = false;
	int r = check(path, text, err);

	if (r < 0)
		return r;
	while ((r = next_assignment(text, &at, &a)) > 0) {
		if (!is_key(text, &a, key, true))
			continue;
		if (a.lines)
			return unclear(path, key, err);
		inside_quotes(text, &a);
		str_addn(&out, text + copied, a.at - copied);
		str_add(&out, value);
		copied = a.at + a.len;
		found = true;
	}
	if (r < 0)
		return unclear(path, key, err);
	str_add(&out, text + copied);
	if (!found)
		append_key(key, value, &out);
	if (out.failed)
		return err_oom(err);
	/* A backslash at the end of the text would take a line that is added along, for one. */
	_cleanup_free_ char *now = NULL;
	r = envtext_get(path, out.s, key, true, &now, err);
	if (r < 0)
		return r;
	if (!now || strcmp(now, value) != 0)
		return unclear(path, key, err);
	return str_take(&out, ret) < 0 ? err_oom(err) : 0;
}
