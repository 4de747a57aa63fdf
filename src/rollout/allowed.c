/* May it go on? What was approved holds for one version of the baseline and until its time is over.
 * Nobody tells when either ends, so it is looked at again and again: a person who is asked and does
 * not answer must not leave production half way for ever. */
#include "rollout/internal.h"

#include <stdio.h>
#include <string.h>

enum {
	LOOK_US = 5000000,
	SOON_US = 10000,
};

int allowed_still(const Rollout *r, MachineEvent *ret, Err *err)
{
	Baseline now = {0};
	*ret = EVENT_EXPIRED;
	if (!*r->approval.promotion)
		return err_set(err, -EKEYEXPIRED, "the approval of %s is not known any more",
			       r->promotion_id);
	int e = approval_holds(&r->approval, r->approval.digest, r->baseline.version,
			       clock_now_us(r->w.clock), err);
	if (e < 0) {
		*ret = e == -ESTALE ? EVENT_MOVED : EVENT_EXPIRED;
		return e;
	}
	e = baseline_current(r->w.store, r->key_hex, &now, err);
	bool moved = e >= 0 && now.version != r->baseline.version;
	baseline_done(&now);
	*ret = moved ? EVENT_MOVED : EVENT_ERROR;
	return moved ? err_set(err, -ESTALE, "the baseline is another one by now") : e;
}

int allowed_in_window(const Rollout *r, Err *err)
{
	/* Who goes back may know of no experiment, and has no window. */
	const QuiesceSpec q = {.window = r->x ? r->x->rollout.window : NULL};
	int64_t now = clock_now_us(r->w.clock);
	if (!q.window || quiesce_in_window(&q, now, quiesce_utc_offset_min(now)))
		return 0;
	return err_set(err, -EAGAIN, "production may be restarted from %s only (rollout.window)",
		       q.window);
}

/* Once the commit is asked for it is decided; a way back needs no approval, but what is tried
 * after it does. */
static bool needs_approval(const Machine *m)
{
	switch (m->phase) {
	case PHASE_READY:
	case PHASE_ISOLATED:
	case PHASE_COLOCATED:
	case PHASE_OBSERVE:
	case PHASE_APPLY:
	case PHASE_WATCH:
	case PHASE_COLD:
	case PHASE_ASKED:
		return true;
	case PHASE_UNDO:
		return m->resume;
	case PHASE_COMMIT:
	case PHASE_PROBATION:
	case PHASE_STUCK:
	case PHASE_ENDED:
	case PHASE_MAX_:
		break;
	}
	return false;
}

/* A clock may be set meanwhile, so the end is not waited for in one piece. After it there is no
 * hurry: who was told does what that means, and whoever needs none is not to be told. */
static uint64_t look_in_us(const Rollout *r)
{
	int64_t left = r->approval.expires_at_us - clock_now_us(r->w.clock);
	if (left <= 0 || left > LOOK_US)
		return LOOK_US;
	return left < SOON_US ? SOON_US : (uint64_t)left;
}

static int on_look(sd_event_source *source, uint64_t usec, void *ctx)
{
	Rollout *r = ctx;
	MachineEvent e;
	Err err = ERR_INIT;
	(void)usec;
	/* A store that does not answer now says nothing. */
	if (needs_approval(&r->m) && allowed_still(r, &e, &err) < 0 && e != EVENT_ERROR)
		rollout_later(r, e, "%s", err.msg);
	if (sd_event_source_set_time_relative(source, look_in_us(r)) >= 0)
		(void)sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
	return 0;
}

int allowed_begin(Rollout *r, Err *err)
{
	int e = sd_event_add_time_relative(r->w.loop, &r->allowed, CLOCK_MONOTONIC, look_in_us(r),
					   0, on_look, r);
	return e < 0 ? err_set(err, e, "cannot set a timer: %s", strerror(-e)) : 0;
}

void allowed_end(Rollout *r)
{
	r->allowed = sd_event_source_disable_unref(r->allowed);
}
