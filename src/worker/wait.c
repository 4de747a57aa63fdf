#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/json.h"
#include "worker/internal.h"

enum {
	FETCH_TIMEOUT_US = 2000000,
};

int64_t worker_left_us(const Worker *w)
{
	int64_t left = w->deadline_us - clock_mono_us(&clock_system);
	return left > 0 ? left : 0;
}

/* A process that somebody stopped (SIGSTOP, a debugger) answers nobody and does not die. */
static bool is_stopped(const Party *p)
{
	char path[32], state = 0;
	Owner o = p->instance ? instance_owner(p->instance) : (Owner){0};
	if (!p->instance || instance_phase(p->instance) == INSTANCE_ENDED || o.leader <= 0)
		return false;
	(void)snprintf(path, sizeof(path), "/proc/%d/stat", (int)o.leader);
	FILE *f = fopen(path, "re");
	bool read = f && fscanf(f, "%*d (%*[^)]) %c", &state) == 1;
	if (f)
		(void)fclose(f);
	return read && (state == 'T' || state == 't');
}

static void check_deadline(Worker *w)
{
	if (w->over || worker_left_us(w) > 0)
		return;
	_cleanup_(str_done) Str more = STR_INIT;
	if (*w->doing)
		str_addf(&more, "; it was at: %s", w->doing);
	for (size_t i = 0; i < w->n_parties; i++)
		if (is_stopped(&w->parties[i]))
			str_addf(&more, "; %s is stopped by a signal and answers nobody",
				 w->parties[i].spec->name);
	worker_over(w, OUTCOME_TIMEOUT, NULL, "the trial was not done within its %.0f s%s",
		    (double)w->job.timeout_us / 1e6, more.s ? more.s : "");
}

int worker_wait(Worker *w, const bool *done)
{
	while (!*done && !w->over) {
		int r = sd_event_run(w->loop, (uint64_t)worker_left_us(w));
		if (r < 0) {
			worker_over(w, OUTCOME_MEASURE_FAILED, NULL, "the event loop failed: %s",
				    strerror(-r));
			break;
		}
		check_deadline(w);
	}
	return *done && !w->over ? 0 : -ECANCELED;
}

void worker_over(Worker *w, Outcome o, const char *cause, const char *fmt, ...)
{
	if (w->over)
		return;
	w->over = true;
	_cleanup_(str_done) Str text = STR_INIT;
	va_list ap;
	va_start(ap, fmt);
	str_addv(&text, fmt, ap);
	va_end(ap);
	(void)measurement_fail(&w->m, o, cause, "%s", text.s ? text.s : "");
}

void worker_progress(Worker *w, double share, const char *fmt, ...)
{
	_cleanup_(str_done) Str note = STR_INIT, line = STR_INIT;
	bool failed = false;
	va_list ap;
	va_start(ap, fmt);
	str_addv(&note, fmt, ap);
	va_end(ap);
	(void)snprintf(w->doing, sizeof(w->doing), "%s", note.s ? note.s : "");
	json_auto_t *o = json_object();
	js_set(o, "event", json_string("progress"), &failed);
	js_set(o, "share", js_number(share), &failed);
	js_set(o, "note", js_text(note.s ? note.s : ""), &failed);
	js_canonical(o, &line);
	str_addc(&line, '\n');
	/* Nobody reading is the runner's death, and then ours. */
	if (!failed && !line.failed && write_all(w->out, line.s, line.len) < 0)
		w->over = true;
}

/* --- Looking something up -------------------------------------------------------------------- */

typedef struct Fetch {
	bool done;
	char *body;
} Fetch;

static void on_fetched(void *ctx, const HttpEnd *end, const char *body, size_t len)
{
	Fetch *f = ctx;
	f->done = true;
	if (end->fault == HTTP_FINE && end->status == 200)
		f->body = strndup(body, len);
}

char *worker_fetch(Worker *w, HttpClient *client, const char *path, size_t max)
{
	Fetch f = {0};
	HttpCall *call;
	HttpRequest rq = {.method = "GET", .path = path, .timeout_us = FETCH_TIMEOUT_US};
	if (!client || http_fetch(client, &rq, max, on_fetched, &f, &call, NULL) < 0)
		return NULL;
	(void)worker_wait(w, &f.done);
	if (!f.done)
		http_cancel(call);
	return f.body;
}
