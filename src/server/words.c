/* What a server said, line by line: why it could not start, that it runs on the CPU, the numbers it
 * gave. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "server/kind.h"
#include "server/oom.h"

enum {
	LINE_KEPT = 400, /* characters of a line that go into the evidence */
	NUMBER_MAX = 48,
};

typedef struct Line {
	const char *s;
	size_t len;
} Line;

static bool has(Line l, const char *part)
{
	return !part || memmem(l.s, l.len, part, strlen(part)) != NULL;
}

static int keep(Line l, char **to)
{
	_cleanup_(str_done) Str safe = STR_INIT;
	char *text = NULL;
	if (*to)
		return 0;
	str_add_safe(&safe, l.s, l.len, LINE_KEPT);
	if (str_take(&safe, &text) < 0)
		return -ENOMEM;
	*to = text;
	return 0;
}

/* A line about the CPU is a state; the first of the others that has a cause decides, and one that
 * only tells of the failure gives way to it. */
static int read_pattern(const LinePattern *p, Line l, size_t at, ServerWords *w, size_t *fail_at)
{
	if (!has(l, p->part) || !has(l, p->and_part))
		return 0;
	if (strcmp(p->cause, "cpu") == 0) {
		w->cpu = true;
		return keep(l, &w->cpu_line);
	}
	w->failed = true;
	if (*w->cause || (!*p->cause && w->line))
		return 0;
	(void)snprintf(w->cause, sizeof(w->cause), "%s", p->cause);
	free(w->line);
	w->line = NULL;
	*fail_at = at;
	return keep(l, &w->line);
}

/* Memory that ran out before that line, or in it, is why. */
static int read_oom(const char *text, size_t len, size_t fail_at, ServerWords *w)
{
	OomHit hit;
	size_t n;
	int r = oom_find(text, len, &hit, 1, &n);
	if (r < 0 || n == 0 || (*w->cause && hit.line_at > fail_at))
		return r;
	w->failed = true;
	(void)snprintf(w->cause, sizeof(w->cause), "%s", hit.kind == OOM_KV ? "kv_cache" : "oom");
	free(w->line);
	w->line = NULL;
	return keep((Line){text + hit.line_at, hit.line_len}, &w->line);
}

/* "6,976 tokens" is 6976. */
static double number_after(Line l, const char *after)
{
	char text[NUMBER_MAX], *end;
	size_t n = 0;
	const char *at = memmem(l.s, l.len, after, strlen(after));
	if (!at)
		return (double)NAN;
	for (at += strlen(after); at < l.s + l.len && *at == ' '; at++)
		;
	for (; at < l.s + l.len && n + 1 < sizeof(text) && strchr("0123456789.,-+eE", *at); at++)
		if (*at != ',')
			text[n++] = *at;
	text[n] = '\0';
	double v = strtod(text, &end);
	return end > text && isfinite(v) ? v : (double)NAN;
}

static int read_numbers(const ServerKind *k, Line l, ServerWords *w)
{
	bool failed = false;
	for (const NumberPattern *p = k->numbers; p && p->after; p++) {
		double v = number_after(l, p->after);
		if (!isfinite(v))
			continue;
		if (!w->facts)
			w->facts = json_object();
		v *= p->factor > 0 ? p->factor : 1;
		if (p->sum)
			v += js_num(w->facts, p->fact, 0);
		js_set(w->facts, p->fact, js_number(v), &failed);
	}
	return failed ? -ENOMEM : 0;
}

static int read_line(const ServerKind *k, Line l, size_t at, ServerWords *w, size_t *fail_at)
{
	int r = 0;
	for (const LinePattern *p = k->lines; p && p->part && r >= 0; p++)
		r = read_pattern(p, l, at, w, fail_at);
	return r < 0 ? r : read_numbers(k, l, w);
}

int server_words(const ServerKind *k, const char *text, size_t len, ServerWords *ret, Err *err)
{
	_cleanup_(server_words_done) ServerWords w = {0};
	size_t fail_at = 0;
	for (size_t at = 0; at < len;) {
		const char *nl = memchr(text + at, '\n', len - at);
		size_t end = nl ? (size_t)(nl - text) : len;
		if (read_line(k, (Line){text + at, end - at}, at, &w, &fail_at) < 0)
			return err_oom(err);
		at = end + 1;
	}
	if (read_oom(text, len, fail_at, &w) < 0)
		return err_oom(err);
	int r = k->words ? k->words(text, len, &w, err) : 0;
	if (r < 0)
		return r;
	*ret = w;
	w = (ServerWords){0};
	return 0;
}

void server_words_done(ServerWords *w)
{
	free(w->line);
	free(w->cpu_line);
	json_decref(w->facts);
	*w = (ServerWords){0};
}
