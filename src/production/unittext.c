/* A unit's file as lines: what the manager's reader makes of comments, continuation lines and empty
 * assignments. The rules are those of systemd.syntax(7), and where that is silent, of what version
 * 252 was seen to do. */
#include "production/unittext.h"

#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/str.h"

#define BLANKS " \t\r\n"

/* --- One line --------------------------------------------------------------------------------- */

typedef struct Lines {
	const char *path;
	UnitSettingFn *fn;
	void *ctx;
	Str section, joined;
	unsigned line;
	Err *err;
} Lines;

/* In place: the blanks at both ends go. */
static char *strip(char *s)
{
	s += strspn(s, BLANKS);
	size_t n = strlen(s);
	while (n > 0 && strchr(BLANKS, s[n - 1]))
		n--;
	s[n] = '\0';
	return s;
}

static int open_section(Lines *l, const char *line)
{
	size_t n = strlen(line);
	if (line[n - 1] != ']')
		return err_set(l->err, -EBADMSG, "%s:%u: '%.60s' is no section", l->path, l->line,
			       line);
	str_clear(&l->section);
	str_addn(&l->section, line + 1, n - 2);
	return l->section.failed ? err_oom(l->err) : 0;
}

/* A line that is no assignment, or no text, is passed over by the manager as well. */
static int take_line(Lines *l, char *line)
{
	line = strip(line);
	if (!*line || !utf8_valid(line, strlen(line)))
		return 0;
	if (*line == '[')
		return open_section(l, line);
	char *equals = strchr(line, '=');
	if (!equals)
		return 0;
	*equals = '\0';
	return l->fn(l->ctx, l->section.s ? l->section.s : "", strip(line), strip(equals + 1),
		     l->err);
}

/* --- A text ----------------------------------------------------------------------------------- */

static bool ends_in_escape(const char *s, size_t len)
{
	bool escaped = false;
	for (size_t i = 0; i < len; i++)
		escaped = !escaped && s[i] == '\\';
	return escaped;
}

static int finish_line(Lines *l)
{
	str_addn(&l->joined, "", 0);
	if (l->joined.failed)
		return err_oom(l->err);
	int r = l->joined.s ? take_line(l, l->joined.s) : 0;
	str_clear(&l->joined);
	return r;
}

/* A comment in the middle of a continued line is left out, and the line goes on after it. */
static int feed_line(Lines *l, const char *s, size_t len)
{
	size_t blank = 0;
	while (blank < len && strchr(BLANKS, s[blank]))
		blank++;
	s += blank;
	len -= blank;
	if (len > 0 && (*s == '#' || *s == ';'))
		return 0;
	if (ends_in_escape(s, len)) {
		str_addn(&l->joined, s, len - 1);
		str_addc(&l->joined, ' ');
		return l->joined.failed ? err_oom(l->err) : 0;
	}
	str_addn(&l->joined, s, len);
	return finish_line(l);
}

int unittext_each(const char *path, const char *text, UnitSettingFn *fn, void *ctx, Err *err)
{
	Lines l = {.path = path, .fn = fn, .ctx = ctx, .err = err};
	int r = 0;

	if (strlen(text) > UNIT_TEXT_MAX)
		return err_set(err, -EFBIG, "%s is longer than %d bytes", path, UNIT_TEXT_MAX);
	if (strncmp(text, "\xef\xbb\xbf", 3) == 0)
		text += 3;
	while (r >= 0 && *text) {
		size_t len = strcspn(text, "\n\r");
		l.line++;
		r = feed_line(&l, text, len);
		text += len;
		if (text[0] == '\r' && text[1] == '\n')
			text++;
		text += *text != '\0';
	}
	if (r >= 0)
		r = finish_line(&l); /* a backslash at the end of the file */
	str_done(&l.section);
	str_done(&l.joined);
	return r < 0 ? r : 0;
}

/* --- Settings --------------------------------------------------------------------------------- */

typedef struct Collect {
	const char *section, *key, *path;
	UnitSettings *out;
} Collect;

void unitsettings_done(UnitSettings *s)
{
	for (size_t i = 0; i < s->n; i++)
		free(s->items[i].value);
	free(s->items);
	*s = (UnitSettings){0};
}

static int collect(void *ctx, const char *section, const char *key, const char *value, Err *err)
{
	Collect *c = ctx;
	UnitSettings *s = c->out;

	if (strcmp(section, c->section) != 0 || strcmp(key, c->key) != 0)
		return 0;
	if (!*value) {
		unitsettings_done(s);
		return 0;
	}
	if ((s->n & (s->n - 1)) == 0) {
		UnitSetting *more = reallocarray(s->items, s->n ? 2 * s->n : 1, sizeof(*more));
		if (!more)
			return err_oom(err);
		s->items = more;
	}
	s->items[s->n] = (UnitSetting){.value = strdup(value), .path = c->path};
	return s->items[s->n++].value ? 0 : err_oom(err);
}

int unitsettings_read(const UnitFile *files, size_t n, const char *section, const char *key,
		      UnitSettings *ret, Err *err)
{
	UnitSettings s = {0};
	int r = n > UNIT_FILES_MAX
		    ? err_set(err, -E2BIG, "the unit has more than %d files", UNIT_FILES_MAX)
		    : 0;
	for (size_t i = 0; r >= 0 && i < n; i++) {
		Collect c = {section, key, files[i].path, &s};
		r = unittext_each(files[i].path, files[i].text, collect, &c, err);
	}
	if (r < 0) {
		unitsettings_done(&s);
		return r;
	}
	*ret = s;
	return 0;
}
