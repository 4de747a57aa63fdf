/* What the services write to the journal: that memory ran out, that they run on the CPU. */
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "server/oom.h"
#include "watch/internal.h"

enum {
	LINES_MAX = 64 << 10,
	SAME_US = 10000000, /* a traceback that comes in pieces is one event */
	WORDS_MAX = 320,
};

static void tell_line(Watched *d, HardEvent e, const char *line, size_t len)
{
	_cleanup_(str_done) Str safe = STR_INIT;
	char words[WORDS_MAX];
	str_add_safe(&safe, line, len, 200);
	(void)snprintf(words, sizeof(words), "%s wrote: %s", d->spec->service->name,
		       safe.len ? safe.s : "");
	watched_tell(d, e, words);
}

static void look_for_oom(Watched *d)
{
	OomHit hit;
	size_t n = 0;
	if (oom_find(d->lines.s, d->lines.len, &hit, 1, &n) < 0 || n == 0)
		return;
	int64_t now = clock_mono_us(&clock_system), last = d->oom_us;
	d->oom_us = now;
	if (last == 0 || now - last > SAME_US)
		tell_line(d, HARD_OOM, d->lines.s + hit.line_at, hit.line_len);
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
