/* EnvironmentFile= as systemd's manager reads it: a machine over characters, since quotes and
 * continuation lines cross lines. What the manager would leave out is left out here too.
 *
 * It is another grammar than that of a unit's file (production/unittext.h), though both have
 * quotes, backslashes and comments. There a line is joined first (the backslash becomes a blank,
 * comments between are left out) and parted into words then, whose escapes are C's, and a quote
 * that is not closed is a mistake. Here a value is no list of words: it goes on over a newline
 * inside quotes, a backslash at the end of a line joins without a blank, no escape means another
 * character than the one behind the backslash, and a quote may stay open to the end of the file. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "service/derive.h"
#include "service/strings.h"

enum {
	ENVFILE_MAX = 1 << 20
};

typedef enum State {
	LINE_BEGIN,
	COMMENT,
	NAME,
	VALUE_BEGIN, /* also after a closing quote */
	VALUE,
	VALUE_ESCAPE,
	SINGLE,
	DOUBLE,
	DOUBLE_ESCAPE,
} State;

typedef struct Reader {
	const char *path;
	char ***env;
	State state;
	Str name, value;
	size_t keep; /* of `value`: trailing blanks behind it that were not quoted go */
	unsigned line;
	Err *err;
} Reader;

static bool is_blank(char c)
{
	return c == ' ' || c == '\t';
}

static bool is_newline(char c)
{
	return c == '\n' || c == '\r';
}

static int finish(Reader *r)
{
	r->state = LINE_BEGIN;
	while (r->name.len > 0 && is_blank(r->name.s[r->name.len - 1]))
		r->name.s[--r->name.len] = '\0';
	str_add(&r->name, "");
	str_add(&r->value, "");
	if (r->name.failed || r->value.failed)
		return err_oom(r->err);
	if (r->value.len > r->keep)
		r->value.s[r->value.len = r->keep] = '\0';
	if (!utf8_valid(r->value.s, r->value.len))
		return err_set(r->err, -EBADMSG,
			       "%s:%u: the value of %s is not UTF-8, and systemd refuses such a "
			       "file",
			       r->path, r->line,
			       env_name_valid(r->name.s, r->name.len) ? r->name.s : "a variable");
	int e = env_name_valid(r->name.s, r->name.len) ? env_set(r->env, r->name.s, r->value.s) : 0;
	str_clear(&r->name);
	str_clear(&r->value);
	r->keep = 0;
	return e < 0 ? err_oom(r->err) : 0;
}

static void put(Reader *r, char c)
{
	str_addc(&r->value, c);
	r->keep = r->value.len;
}

static void on_name(Reader *r, char c)
{
	if (is_newline(c)) { /* a line without "=" means nothing */
		str_clear(&r->name);
		r->state = LINE_BEGIN;
	} else if (c == '=') {
		r->state = VALUE_BEGIN;
	} else {
		str_addc(&r->name, c);
	}
}

static int on_value(Reader *r, char c)
{
	bool at_begin = r->state == VALUE_BEGIN;

	if (is_newline(c))
		return finish(r);
	if (c == '\\') {
		r->state = VALUE_ESCAPE;
	} else if (at_begin && c == '\'') {
		r->state = SINGLE;
	} else if (at_begin && c == '"') {
		r->state = DOUBLE;
	} else if (is_blank(c)) {
		if (!at_begin)
			str_addc(&r->value, c);
	} else {
		r->state = VALUE;
		put(r, c);
	}
	return 0;
}

static void on_double_escape(Reader *r, char c)
{
	r->state = DOUBLE;
	if (strchr("\"\\`$", c)) {
		put(r, c);
	} else if (c != '\n') {
		put(r, '\\');
		put(r, c);
	}
}

/* Versions before 254 take the next line into the comment, later ones do not. */
static int comment_escape(const Reader *r)
{
	return err_set(r->err, -EINVAL,
		       "%s:%u: a comment that ends in a backslash is read differently by different "
		       "versions of systemd; take the backslash out",
		       r->path, r->line);
}

static int feed(Reader *r, char c, char next)
{
	switch (r->state) {
	case LINE_BEGIN:
		if (c == '#' || c == ';')
			r->state = COMMENT;
		else if (!is_blank(c) && !is_newline(c)) {
			r->state = NAME;
			on_name(r, c);
		}
		return 0;
	case COMMENT:
		if (c == '\\' && is_newline(next))
			return comment_escape(r);
		if (is_newline(c))
			r->state = LINE_BEGIN;
		return 0;
	case NAME:
		on_name(r, c);
		return 0;
	case VALUE_BEGIN:
	case VALUE:
		return on_value(r, c);
	case VALUE_ESCAPE:
		r->state = VALUE;
		if (!is_newline(c))
			put(r, c);
		return 0;
	case SINGLE:
	case DOUBLE:
		if (c == (r->state == SINGLE ? '\'' : '"'))
			r->state = VALUE_BEGIN;
		else if (r->state == DOUBLE && c == '\\')
			r->state = DOUBLE_ESCAPE;
		else
			put(r, c);
		return 0;
	case DOUBLE_ESCAPE:
		on_double_escape(r, c);
		return 0;
	}
	return 0;
}

int envfile_parse(const char *path, const char *text, size_t len, char ***env, Err *err)
{
	Reader r = {.path = path, .env = env, .line = 1, .err = err};
	int e = 0;

	if (len > ENVFILE_MAX)
		return err_set(err, -EFBIG, "%s is longer than %d bytes", path, ENVFILE_MAX);
	if (memchr(text, '\0', len))
		return err_set(err, -EBADMSG, "%s holds a NUL byte", path);
	for (size_t i = 0; e >= 0 && i < len; i++) {
		e = feed(&r, text[i], i + 1 < len ? text[i + 1] : '\0');
		r.line += text[i] == '\n';
	}
	if (e >= 0 && r.state >= VALUE_BEGIN)
		e = finish(&r);
	str_done(&r.name);
	str_done(&r.value);
	return e < 0 ? e : 0;
}

/* --- The other way round --------------------------------------------------------------------- */

/* What the manager accepts as a value: no control character but the tab and the newline. */
static bool is_value(const char *value)
{
	for (const char *p = value; *p; p++)
		if (((unsigned char)*p < ' ' && *p != '\t' && *p != '\n') || *p == 0x7f)
			return false;
	return utf8_valid(value, strlen(value));
}

char *envfile_text(char *const *env)
{
	Str out = STR_INIT;
	char *text = NULL;

	for (; env && *env; env++) {
		size_t len = strcspn(*env, "=");
		if (!(*env)[len] || !env_name_valid(*env, len) || !is_value(*env + len + 1))
			continue;
		str_addf(&out, "%.*s=\"", (int)len, *env);
		for (const char *p = *env + len + 1; *p; p++) {
			if (strchr("\"\\$`", *p))
				str_addc(&out, '\\');
			str_addc(&out, *p);
		}
		str_add(&out, "\"\n");
	}
	if (str_take(&out, &text) < 0)
		text = NULL;
	str_done(&out);
	return text;
}
