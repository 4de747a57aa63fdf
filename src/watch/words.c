/* What the services write to the journal: that memory ran out, that they run on the CPU. */
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "server/oom.h"
#include "watch/internal.h"

enum {
	LINES_MAX = 64 << 10,
	LINE_CHARS = 180,
	WORDS_MAX = 480,
};

static void safe_line(const char *line, size_t len, char *ret, size_t size)
{
	_cleanup_(str_done) Str safe = STR_INIT;
	str_add_safe(&safe, line, len, LINE_CHARS);
	(void)snprintf(ret, size, "%s", safe.len ? safe.s : "");
}

static void tell_line(Watched *d, HardEvent e, const char *line, size_t len)
{
	char words[WORDS_MAX], safe[WORDS_MAX / 2];
	safe_line(line, len, safe, sizeof(safe));
	(void)snprintf(words, sizeof(words), "%s wrote: %s", d->spec->service->name, safe);
	watched_tell(d, e, words);
}

bool words_told_oom(const Watched *d)
{
	return d->oom_us > 0 && clock_mono_us(&clock_system) - d->oom_us < OOM_SAME_US;
}

static void look_for_oom(Watched *d)
{
	OomHit hit;
	size_t n = 0;
	if (oom_find(d->lines.s, d->lines.len, &hit, 1, &n) < 0 || n == 0)
		return;
	bool told = words_told_oom(d);
	const char *line = d->lines.s + hit.line_at;
	if (d->ending) {
		safe_line(line, hit.line_len, d->oom_line, sizeof(d->oom_line));
		return;
	}
	d->oom_us = clock_mono_us(&clock_system);
	if (!told)
		tell_line(d, HARD_OOM, line, hit.line_len);
}

const char *words_last_oom(Watched *d)
{
	*d->oom_line = '\0';
	d->ending = true;
	if (d->watch->follow)
		follow_turn(d->watch->follow);
	d->ending = false;
	return d->oom_line;
}

static void look_for_cpu(Watched *d)
{
	const ServerKind *k = server_kind(d->spec->service->kind);
	ServerWords words = {0};
	if (!d->spec->wants_gpu || d->told_cpu || !k ||
	    server_words(k, d->lines.s, d->lines.len, &words, NULL) < 0)
		return;
	if (words.cpu) {
		const char *line = words.cpu_line ? words.cpu_line : "";
		d->told_cpu = true;
		tell_line(d, HARD_CPU, line, strlen(line));
	}
	server_words_done(&words);
}

static void judge(Watched *d)
{
	if (d->lines.len == 0)
		return;
	if (!d->lines.failed) {
		look_for_oom(d);
		look_for_cpu(d);
	}
	str_done(&d->lines);
	d->lines = STR_INIT;
}

static void on_line(void *ctx, size_t unit, int64_t at_us, const char *text, size_t len)
{
	Watch *w = ctx;
	Watched *d = &w->services[unit];
	/* What was written while we restarted it is part of that. */
	if (d->expected || at_us <= d->since_us)
		return;
	str_addn(&d->lines, text, len);
	str_addc(&d->lines, '\n');
	if (d->lines.len > LINES_MAX)
		judge(d);
}

static void on_rest(void *ctx)
{
	Watch *w = ctx;
	for (size_t i = 0; i < w->n; i++)
		judge(&w->services[i]);
}

/* A journal that cannot be read leaves the rest of the watch as good as it is. */
int words_open(Watch *w, Err *err)
{
	static const FollowHandler handler = {.line = on_line, .rest = on_rest};
	Err why = ERR_INIT;
	bool any = false;
	if (!w->spec.journal || !w->systemd)
		return 0;
	w->units = calloc(w->n, sizeof(*w->units));
	if (!w->units)
		return err_oom(err);
	for (size_t i = 0; i < w->n; i++) {
		w->units[i] = w->services[i].spec->service->unit;
		any |= w->units[i] != NULL;
	}
	if (any && follow_start(w->loop, w->units, w->n, systemd_is_user(w->systemd), &handler, w,
				&w->follow, &why) < 0)
		watch_is_blind(w, "the journal", &why);
	return 0;
}

void words_close(Watch *w)
{
	w->follow = follow_stop(w->follow);
	for (size_t i = 0; i < w->n; i++)
		str_done(&w->services[i].lines);
}
