/* Words of a unit's line: quotes and escapes as systemd.syntax(7) has them, with the place of each
 * word kept, so that one can be replaced and the rest stays as it was written. */
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/hash.h"
#include "base/str.h"
#include "production/unittext.h"

static bool is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

void unitword_done(UnitWord *w)
{
	free(w->value);
	*w = (UnitWord){0};
}

/* --- Escapes ---------------------------------------------------------------------------------- */

static void add_utf8(Str *out, uint32_t c)
{
	if (c < 0x80) {
		str_addc(out, (char)c);
	} else if (c < 0x800) {
		str_addc(out, (char)(0xc0 | c >> 6));
		str_addc(out, (char)(0x80 | (c & 0x3f)));
	} else if (c < 0x10000) {
		str_addc(out, (char)(0xe0 | c >> 12));
		str_addc(out, (char)(0x80 | (c >> 6 & 0x3f)));
		str_addc(out, (char)(0x80 | (c & 0x3f)));
	} else {
		str_addc(out, (char)(0xf0 | c >> 18));
		str_addc(out, (char)(0x80 | (c >> 12 & 0x3f)));
		str_addc(out, (char)(0x80 | (c >> 6 & 0x3f)));
		str_addc(out, (char)(0x80 | (c & 0x3f)));
	}
}

static int digit_of(char c, int base)
{
	int v = c >= '0' && c <= '9'   ? c - '0'
		: c >= 'a' && c <= 'f' ? c - 'a' + 10
		: c >= 'A' && c <= 'F' ? c - 'A' + 10
				       : 99;
	return v < base ? v : -1;
}

static bool read_digits(const char *s, int n, int base, uint32_t *ret)
{
	uint32_t v = 0;
	for (int i = 0; i < n; i++) {
		int d = digit_of(s[i], base);
		if (d < 0)
			return false;
		v = v * (uint32_t)base + (uint32_t)d;
	}
	*ret = v;
	return v != 0;
}

/* A character that is given by its number; how long the escape is, 0: it is none. */
static size_t numbered(const char *s, Str *out)
{
	const struct {
		char letter;
		int digits;
	} forms[] = {{'x', 2}, {'u', 4}, {'U', 8}};
	uint32_t c;

	for (size_t i = 0; i < sizeof(forms) / sizeof(forms[0]); i++) {
		if (s[1] != forms[i].letter || !read_digits(s + 2, forms[i].digits, 16, &c))
			continue;
		if (c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff))
			return 0;
		if (s[1] == 'x')
			str_addc(out, (char)c);
		else
			add_utf8(out, c);
		return (size_t)forms[i].digits + 2;
	}
	if (!read_digits(s + 1, 3, 8, &c) || c > 255)
		return 0;
	str_addc(out, (char)c);
	return 4;
}

/* At a backslash; how many bytes were taken. What is no escape stays, backslash and all. */
static size_t take_escape(const char *s, Str *out)
{
	static const char letters[] = "abfnrtv\\\"'s", meanings[] = "\a\b\f\n\r\t\v\\\"' ";
	const char *at = s[1] ? strchr(letters, s[1]) : NULL;

	if (at) {
		str_addc(out, meanings[at - letters]);
		return 2;
	}
	size_t n = numbered(s, out);
	if (n > 0)
		return n;
	str_addc(out, '\\');
	if (s[1])
		str_addc(out, s[1]);
	return s[1] ? 2 : 1;
}

/* --- Words ------------------------------------------------------------------------------------ */

int unitword_next(const char *line, size_t *at, UnitWord *ret)
{
	_cleanup_(str_done) Str out = STR_INIT;
	size_t i = *at;
	char quote = '\0';

	while (is_blank(line[i]))
		i++;
	size_t begin = i;
	if (!line[i])
		return 0;
	str_add(&out, "");
	while (line[i] && (quote || !is_blank(line[i]))) {
		if (line[i] == '\\') {
			i += take_escape(line + i, &out);
			continue;
		}
		if (line[i] == quote)
			quote = '\0';
		else if (!quote && (line[i] == '\'' || line[i] == '"'))
			quote = line[i];
		else
			str_addc(&out, line[i]);
		i++;
	}
	if (quote)
		return -EBADMSG;
	*ret = (UnitWord){.at = begin, .len = i - begin};
	int r = str_take(&out, &ret->value);
	*at = i;
	return r < 0 ? r : 1;
}

/* --- The command ------------------------------------------------------------------------------ */

void unitcommand_done(UnitCommand *c)
{
	for (size_t i = 0; i < c->n; i++)
		unitword_done(&c->words[i]);
	free(c->words);
	free(c->line);
	free(c->from);
	*c = (UnitCommand){0};
}

/* There is always room up to the next power of two: a line may have half a million words. */
static int make_room(UnitCommand *c)
{
	if (c->n & (c->n - 1))
		return 0;
	UnitWord *more = reallocarray(c->words, c->n ? 2 * c->n : 1, sizeof(*more));
	if (!more)
		return -ENOMEM;
	c->words = more;
	return 0;
}

static int add_word(UnitCommand *c, size_t i, UnitWord w)
{
	if (!w.value || make_room(c) < 0) {
		free(w.value);
		return -ENOMEM;
	}
	memmove(c->words + i + 1, c->words + i, (c->n - i) * sizeof(*c->words));
	c->words[i] = w;
	c->n++;
	return 0;
}

/* A ';' that stands alone parts two commands; "\;" is the word ";". */
static bool is_alone(const char *s)
{
	return !s[1] || is_blank(s[1]);
}

/* 1: a word was added; 0: the line, or its first command, ends here, with *at behind it. */
static int read_word(UnitCommand *c, size_t *at)
{
	UnitWord w = {0};
	const char *s = c->line + *at + strspn(c->line + *at, " \t\r\n");

	if (c->n > 0 && s[0] == ';' && is_alone(s)) {
		*at = (size_t)(s - c->line) + 1;
		return 0;
	}
	if (c->n > 0 && s[0] == '\\' && s[1] == ';' && is_alone(s + 1)) {
		*at = (size_t)(s - c->line) + 2;
		w = (UnitWord){(size_t)(s - c->line), 2, strdup(";")};
		int r = add_word(c, c->n, w);
		return r < 0 ? r : 1;
	}
	int r = unitword_next(c->line, at, &w);
	if (r <= 0)
		return r;
	r = add_word(c, c->n, w);
	return r < 0 ? r : 1;
}

static void take_prefix(UnitCommand *c)
{
	char *first = c->words[0].value;
	size_t n = strspn(first, "@-:+!");

	if (n >= sizeof(c->prefix))
		n = sizeof(c->prefix) - 1;
	memcpy(c->prefix, first, n);
	c->prefix[n] = '\0';
	c->no_variables = strchr(c->prefix, ':') != NULL;
	memmove(first, first + n, strlen(first) - n + 1);
}

static int several(Err *err, const char *path)
{
	return err_set(
	    err, -ENOTSUP,
	    "%s: ExecStart= has several commands, and which of them is the server cannot "
	    "be told; leave one in ExecStart= and make the others ExecStartPre= or "
	    "ExecStartPost=",
	    path);
}

static int parse(const UnitSetting *s, UnitCommand *c, Err *err)
{
	size_t at = 0;
	int r;

	c->line = strdup(s->value);
	c->from = strdup(s->path);
	if (!c->line || !c->from)
		return err_oom(err);
	do
		r = read_word(c, &at);
	while (r > 0);
	if (r == -ENOMEM)
		return err_oom(err);
	if (r < 0)
		return err_set(err, r, "%s: a quote in ExecStart= is not closed", s->path);
	if (c->line[at + strspn(c->line + at, " \t\r\n;")])
		return several(err, s->path);
	take_prefix(c);
	if (!*c->words[0].value)
		return err_set(err, -EBADMSG, "%s: ExecStart= names no program", s->path);
	return 0;
}

int unitcommand_read(const UnitFile *files, size_t n, UnitCommand *ret, Err *err)
{
	_cleanup_(unitsettings_done) UnitSettings s = {0};
	UnitCommand c = {0};
	int r = unitsettings_read(files, n, "Service", "ExecStart", &s, err);
	if (r < 0)
		return r;
	if (s.n == 0)
		return err_set(err, -ENOENT, "there is no ExecStart=");
	if (s.n > 1)
		return several(err, s.items[1].path);
	r = parse(&s.items[0], &c, err);
	if (r < 0) {
		unitcommand_done(&c);
		return r;
	}
	*ret = c;
	return 0;
}

/* --- Changing it ------------------------------------------------------------------------------ */

static bool needs_quotes(const char *text)
{
	for (const char *p = text; *p; p++)
		if (is_blank(*p) || strchr("\"'\\", *p) || (unsigned char)*p < ' ' || *p == 0x7f)
			return true;
	return !*text || strcmp(text, ";") == 0;
}

static void add_quoted(Str *out, const char *text)
{
	if (!needs_quotes(text)) {
		str_add(out, text);
		return;
	}
	str_addc(out, '"');
	for (const char *p = text; *p; p++) {
		if ((unsigned char)*p < ' ' || *p == 0x7f)
			str_addf(out, "\\x%02x", (unsigned char)*p);
		else if (*p == '"' || *p == '\\')
			str_addf(out, "\\%c", *p);
		else
			str_addc(out, *p);
	}
	str_addc(out, '"');
}

/* `len` bytes of the line at `at` become `text`. */
static int splice(UnitCommand *c, size_t at, size_t len, const char *text)
{
	_cleanup_free_ char *line = str_fmt("%.*s%s%s", (int)at, c->line, text, c->line + at + len);
	if (!line)
		return -ENOMEM;
	for (size_t i = 0; i < c->n; i++)
		if (c->words[i].at >= at + len)
			c->words[i].at = c->words[i].at - len + strlen(text);
	free(c->line);
	c->line = TAKE_PTR(line);
	return 0;
}

int unitcommand_replace(UnitCommand *c, size_t i, const char *text)
{
	_cleanup_(str_done) Str quoted = STR_INIT;
	UnitWord *w = &c->words[i];

	if (i == c->program)
		str_add(&quoted, c->prefix);
	add_quoted(&quoted, text);
	_cleanup_free_ char *value = strdup(text);
	if (quoted.failed || !value)
		return -ENOMEM;
	int r = splice(c, w->at, w->len, quoted.s);
	if (r < 0)
		return r;
	w->len = quoted.len;
	free(w->value);
	w->value = TAKE_PTR(value);
	return 0;
}

int unitcommand_insert(UnitCommand *c, size_t i, const char *text)
{
	_cleanup_(str_done) Str quoted = STR_INIT;
	bool last = i >= c->n;
	size_t at = last ? c->words[c->n - 1].at + c->words[c->n - 1].len : c->words[i].at;

	str_add(&quoted, last ? " " : "");
	add_quoted(&quoted, text);
	str_add(&quoted, last ? "" : " ");
	if (quoted.failed)
		return -ENOMEM;
	int r = splice(c, at, 0, quoted.s);
	if (r < 0)
		return r;
	return add_word(c, last ? c->n : i, (UnitWord){at + last, quoted.len - 1, strdup(text)});
}

/* --- The fingerprint -------------------------------------------------------------------------- */

/* The words with their lengths, so that no two lists of words read the same; a line that cannot be
 * parted as it stands. */
static int add_words(Str *out, const char *line)
{
	_cleanup_(str_done) Str words = STR_INIT;
	size_t at = 0;
	UnitWord w = {0};
	int r;

	while ((r = unitword_next(line, &at, &w)) > 0) {
		str_addf(&words, " %zu:%s", strlen(w.value), w.value);
		unitword_done(&w);
	}
	if (r == -ENOMEM || words.failed)
		return -ENOMEM;
	str_add(out, r < 0 ? line : words.s ? words.s : "");
	return 0;
}

static int add_settings(Str *out, const UnitFile *files, size_t n, const char *key, Err *err)
{
	_cleanup_(unitsettings_done) UnitSettings s = {0};
	int r = unitsettings_read(files, n, "Service", key, &s, err);
	for (size_t i = 0; r >= 0 && i < s.n; i++) {
		str_addf(out, "%s=", key);
		r = add_words(out, s.items[i].value);
		if (r < 0)
			return err_oom(err);
		str_addc(out, '\n');
	}
	return r;
}

int unit_fingerprint(const UnitFile *files, size_t n, const char *ours, char ret[65], Err *err)
{
	static const char *const keys[] = {"ExecStart", "Environment", "EnvironmentFile",
					   "UnsetEnvironment", "Type"};
	_cleanup_free_ UnitFile *theirs = calloc(n + 1, sizeof(*theirs));
	_cleanup_(str_done) Str out = STR_INIT;
	size_t m = 0;

	if (!theirs)
		return err_oom(err);
	for (size_t i = 0; i < n; i++)
		if (!ours || strcmp(files[i].path, ours) != 0)
			theirs[m++] = files[i];
	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
		int r = add_settings(&out, theirs, m, keys[i], err);
		if (r < 0)
			return r;
	}
	if (out.failed)
		return err_oom(err);
	Hash h = hash_of(out.s ? out.s : "", out.len);
	hash_hex(&h, ret);
	return 0;
}
