/* From a restart to the first real answer: health, then a request like any user's; the unit is
 * watched meanwhile, and its failure ends the waiting at once. */
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "gpu/placement.h"
#include "systemd/journal.h"
#include "watch/asker.h"
#include "watch/probe.h"
#include "watch/reason.h"
#include "watch/survivor.h"
#include "watch/units.h"

enum {
	FAST_US = 20000,
	FAST_UNTIL_US = 2000000,
	SLOW_US = 250000,
	HEALTH_LIMIT_US = 2000000,
	HEALTH_MAX = 1 << 20,
	OUTPUT_MAX = 256 << 10,
	PLACEMENT_LOOKS = 3,
};

struct FirstAnswer {
	sd_event *loop;
	Systemd *systemd;
	const WatchedService *spec;
	char *gpu_uuid;
	int64_t began_us, deadline_us;
	FirstAnswerDone *done;
	void *ctx;
	Asker asker;
	Probe *probe;
	UnitWatch *unit;
	UnitSeen seen;
	sd_event_source *tick, *deadline;
	HttpCall *call;
	bool looked, healthy, over;
	int64_t ready_us;
	int looks;	/* at the GPU */
	char last[300]; /* what was seen last, for the deadline's words */
};

static int64_t now_us(void)
{
	return clock_mono_us(&clock_system);
}

static const char *name_of(const FirstAnswer *f)
{
	return f->spec->service->name;
}

/* --- The end --------------------------------------------------------------------------------- */

/* Nothing is freed here: whoever called may be a part of it. */
static void end(FirstAnswer *f, int64_t ready_us, HardEvent e, const char *words)
{
	if (f->over)
		return;
	f->over = true;
	(void)sd_event_source_set_enabled(f->tick, SD_EVENT_OFF);
	(void)sd_event_source_set_enabled(f->deadline, SD_EVENT_OFF);
	f->done(f->ctx, ready_us, e, words);
}

static void seen(FirstAnswer *f, const char *fmt, ...) _printf_(2, 3);
static void seen(FirstAnswer *f, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	(void)vsnprintf(f->last, sizeof(f->last), fmt, ap);
	va_end(ap);
}

static void again(FirstAnswer *f)
{
	bool fast = now_us() - f->began_us < FAST_UNTIL_US;
	int64_t at = now_us() + (fast ? FAST_US : SLOW_US);
	if (f->over)
		return;
	(void)sd_event_source_set_time(f->tick, (uint64_t)at);
	(void)sd_event_source_set_enabled(f->tick, SD_EVENT_ONESHOT);
}

/* --- On the GPU ------------------------------------------------------------------------------ */

static int read_card(const char *uuid, GpuState *ret)
{
	Nvml *nvml = NULL;
	size_t gpu = 0;
	int r = nvml_open(NULL, &nvml, NULL);
	if (r >= 0)
		r = nvml_find(nvml, uuid, &gpu, NULL);
	if (r >= 0)
		r = nvml_look(nvml, gpu, GPU_LOOK_MEMORY, ret, NULL);
	nvml_close(nvml);
	return r;
}

static int read_pids(const FirstAnswer *f, pid_t **ret, size_t *ret_n)
{
	UnitState now = {0};
	int r = unit_state(f->systemd, f->spec->service->unit, &now, NULL);
	const Owner o = {.name = name_of(f), .cgroup = now.cgroup};
	if (r >= 0)
		r = *now.cgroup ? owner_pids(&o, ret, ret_n) : -ENOENT;
	unit_state_done(&now);
	return r;
}

/* PLACED_NO_LIST where it cannot be asked. */
static PlacementProof prove(const FirstAnswer *f)
{
	PlacementProof p = {.placement = PLACED_NO_LIST};
	GpuState *state = calloc(1, sizeof(*state));
	pid_t *pids = NULL;
	size_t n = 0;
	if (state && read_card(f->gpu_uuid, state) >= 0 && read_pids(f, &pids, &n) >= 0)
		p = placement_prove(state, name_of(f), pids, n, f->spec->gpu_bytes);
	free(state);
	free(pids);
	return p;
}

/* Who answered may be the one that should have gone. */
static bool survivor_answers(const FirstAnswer *f, char *words, size_t size)
{
	UnitState now = {0};
	if (!f->unit || f->asker.contained ||
	    unit_state(f->systemd, f->spec->service->unit, &now, NULL) < 0)
		return false;
	bool yes = survivor_listens(f->asker.port, now.cgroup, now.main_pid, words, size);
	unit_state_done(&now);
	return yes;
}

/* It has answered. */
static void answered(FirstAnswer *f)
{
	char words[160];
	bool ask = f->gpu_uuid && f->spec->wants_gpu && f->unit && !f->asker.contained;
	PlacementProof p = {.placement = PLACED_NO_LIST};
	if (f->ready_us == 0)
		f->ready_us = now_us() - f->began_us;
	if (survivor_answers(f, words, sizeof(words))) {
		end(f, -1, HARD_READBACK, words);
		return;
	}
	if (ask)
		p = prove(f);
	if (p.placement != PLACED_NOT && p.placement != PLACED_LITTLE)
		end(f, f->ready_us, HARD_NONE, "");
	else if (++f->looks >= PLACEMENT_LOOKS)
		end(f, -1, HARD_CPU, p.reason);
	else
		again(f);
}

/* --- Asking ---------------------------------------------------------------------------------- */

static void on_probe(void *ctx, const ProbeResult *r)
{
	FirstAnswer *f = ctx;
	if (f->over)
		return;
	if (r->ok) {
		answered(f);
		return;
	}
	seen(f, "its first request failed: %s", r->why);
	if (r->wrong)
		end(f, -1, HARD_UNHEALTHY, f->last);
	else
		again(f);
}

static void on_health(void *ctx, const HttpEnd *e, const char *body, size_t len)
{
	FirstAnswer *f = ctx;
	char words[300];
	f->call = NULL;
	if (f->over)
		return;
	if (e->fault != HTTP_FINE) {
		seen(f, "its health page gives no answer (%s)", http_fault_name(e->fault));
		again(f);
		return;
	}
	switch (server_health(f->asker.kind, e->status, body ? body : "", len)) {
	case HEALTH_READY:
		f->healthy = true;
		seen(f, "it is healthy, and its first request is not answered yet");
		break;
	case HEALTH_LOADING:
		seen(f, "it says that it still loads (status %d)", e->status);
		break;
	case HEALTH_BROKEN:
		(void)snprintf(words, sizeof(words),
			       "the health page of %s says that it will not become ready "
			       "(status %d)",
			       name_of(f), e->status);
		end(f, -1, HARD_UNHEALTHY, words);
		return;
	}
	again(f);
}

static int ask_health(FirstAnswer *f, const char *path, Err *err)
{
	const HttpRequest rq = {.method = "GET", .path = path, .timeout_us = HEALTH_LIMIT_US};
	return http_fetch(f->asker.client, &rq, HEALTH_MAX, on_health, f, &f->call, err);
}

static bool unit_runs(const FirstAnswer *f)
{
	return !f->unit || f->seen.phase == UNIT_UP;
}

/* Neither HTTP nor a program: a text of its own, or that it runs. */
static void look_plain(FirstAnswer *f)
{
	const char *text = f->spec->service->ready_text;
	_cleanup_free_ char *out = NULL;
	size_t len = 0;
	bool ready = unit_runs(f);
	if (ready && text && *f->seen.invocation) {
		ready = journal_read(NULL, f->seen.invocation, NULL, OUTPUT_MAX, &out, &len,
				     NULL) >= 0 &&
			memmem(out, len, text, strlen(text)) != NULL;
		seen(f, "its output does not have '%.80s' yet", text);
	}
	if (ready)
		answered(f);
	else
		again(f);
}

/* --- Its unit -------------------------------------------------------------------------------- */

static bool is_asking(const FirstAnswer *f)
{
	return f->call || (f->probe && probe_busy(f->probe));
}

static void unit_ended(FirstAnswer *f, const char *invocation, char *words, size_t size)
{
	Reason why;
	size_t n = strlen(words);
	reason_read(f->spec->service->kind, invocation, &why);
	if (*why.line)
		(void)snprintf(words + n, size - n, "; it wrote: %s", why.line);
	end(f, -1, HARD_START_FAILED, words);
}

static void judge_unit(FirstAnswer *f, const UnitState *now)
{
	char words[480], invocation[40];
	(void)snprintf(invocation, sizeof(invocation), "%s", f->seen.invocation);
	HardEvent e =
	    unitseen_look(&f->seen, f->spec->service->unit, now, -1, words, sizeof(words));
	if (e != HARD_NONE)
		unit_ended(f, *invocation ? invocation : f->seen.invocation, words, sizeof(words));
	else if (!is_asking(f))
		again(f);
}

static void look_at_unit(FirstAnswer *f)
{
	UnitState now = {0};
	f->looked = true;
	if (unit_state(f->systemd, f->spec->service->unit, &now, NULL) >= 0)
		judge_unit(f, &now);
	else
		again(f);
	unit_state_done(&now);
}

static void on_unit(void *ctx, const UnitState *u)
{
	FirstAnswer *f = ctx;
	if (!f->over && u->active[0])
		look_at_unit(f);
}

/* --- The loop -------------------------------------------------------------------------------- */

static int on_tick(sd_event_source *s, uint64_t at, void *ctx)
{
	FirstAnswer *f = ctx;
	const char *path = f->asker.kind ? server_health_path(f->asker.kind) : NULL;
	Err err = ERR_INIT;
	int r = 0;
	(void)s, (void)at;
	if (f->over || is_asking(f))
		return 0;
	if (f->unit && !f->looked) { /* its start may have failed before we looked */
		look_at_unit(f);
		return 0;
	}
	/* A type of unit that says itself when it is ready is not asked before. */
	if (!unit_runs(f)) {
		again(f);
		return 0;
	}
	if (f->ready_us > 0)
		answered(f); /* one more look at the GPU */
	else if (!f->probe)
		look_plain(f);
	else if (f->asker.client && path && !f->healthy)
		r = ask_health(f, path, &err);
	else
		r = probe_send(f->probe, &err);
	if (r < 0) {
		seen(f, "it cannot be asked: %.200s", err.msg);
		again(f);
	}
	return 0;
}

static int on_deadline(sd_event_source *s, uint64_t at, void *ctx)
{
	FirstAnswer *f = ctx;
	char words[480], after[32];
	(void)s, (void)at;
	time_human(f->deadline_us - f->began_us, after);
	(void)snprintf(words, sizeof(words), "%s did not answer within %s: %s", name_of(f), after,
		       *f->last ? f->last : "its unit has not started yet");
	end(f, -1, HARD_START_FAILED, words);
	return 0;
}

/* --- Begin and end --------------------------------------------------------------------------- */

FirstAnswer *first_answer_free(FirstAnswer *f)
{
	if (!f)
		return NULL;
	sd_event_source_disable_unref(f->tick);
	sd_event_source_disable_unref(f->deadline);
	if (f->call)
		http_cancel(f->call);
	probe_free(f->probe);
	asker_done(&f->asker);
	unitwatch_free(f->unit);
	sd_event_unref(f->loop);
	free(f->gpu_uuid);
	free(f);
	return NULL;
}

DEFINE_CLEANUP(FirstAnswer *, first_answer_free)

static int watch_unit(FirstAnswer *f, Err *err)
{
	UnitState now = {0};
	const char *unit = f->spec->service->unit;
	if (!unit || !f->systemd)
		return 0;
	int r = unit_watch(f->systemd, unit, on_unit, f, &f->unit, err);
	if (r >= 0)
		r = unit_state(f->systemd, unit, &now, err);
	if (r < 0)
		return r;
	unitseen_take(&f->seen, &now, -1);
	unit_state_done(&now);
	return 0;
}

static int set_timers(FirstAnswer *f, int64_t timeout_us, Err *err)
{
	int r = sd_event_add_time_relative(f->loop, &f->deadline, CLOCK_MONOTONIC,
					   (uint64_t)timeout_us, 10000, on_deadline, f);
	if (r >= 0)
		r = sd_event_add_time_relative(f->loop, &f->tick, CLOCK_MONOTONIC, 0, 1000, on_tick,
					       f);
	return r < 0 ? err_set(err, r, "cannot set a timer: %s", strerror(-r)) : 0;
}

int first_answer(sd_event *loop, Systemd *systemd, HttpLoop *http, const WatchedService *s,
		 const char *gpu_uuid, int64_t timeout_us, FirstAnswerDone *done, void *ctx,
		 FirstAnswer **ret, Err *err)
{
	_cleanup_(first_answer_freep) FirstAnswer *f = calloc(1, sizeof(*f));
	if (!f)
		return err_oom(err);
	*f = (FirstAnswer){.loop = sd_event_ref(loop),
			   .systemd = systemd,
			   .spec = s,
			   .began_us = now_us(),
			   .done = done,
			   .ctx = ctx};
	f->deadline_us = f->began_us + timeout_us;
	f->gpu_uuid = gpu_uuid ? strdup(gpu_uuid) : NULL;
	if (gpu_uuid && !f->gpu_uuid)
		return err_oom(err);
	int r = watch_unit(f, err);
	if (r >= 0)
		r = asker_open(systemd, http, s, &f->asker, err);
	if (r >= 0)
		r = probe_new(loop, &f->asker, s->base_dir, timeout_us, on_probe, f, &f->probe,
			      err);
	if (r >= 0)
		r = set_timers(f, timeout_us, err);
	if (r < 0)
		return r;
	*ret = TAKE_PTR(f);
	return 0;
}
