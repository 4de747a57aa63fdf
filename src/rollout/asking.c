/* The helper is asked one thing at a time: whoever is asked something else hears no answer to what
 * was asked before, and a rollout that is gone hears none at all. This is the only file of the
 * folder that hands itself to the helper's client. */
#include "rollout/internal.h"

static void answered(Rollout *r, const json_t *reply, const Err *err)
{
	Answered *then = r->asked.then;
	r->asked.then = NULL;
	then(r, reply, err);
}

static void on_answer(void *ctx, const json_t *reply, const Err *err)
{
	answered(ctx, reply, err);
}

static int on_unasked(sd_event_source *source, void *ctx)
{
	Rollout *r = ctx;
	Err err = r->asked.err;
	(void)source;
	r->asked.unasked = sd_event_source_disable_unref(r->asked.unasked);
	answered(r, NULL, &err);
	return 0;
}

void asking_stop(Rollout *r)
{
	if (r->asked.then && !r->asked.unasked)
		helper_forget(r->w.helper, r);
	r->asked.unasked = sd_event_source_disable_unref(r->asked.unasked);
	r->asked.then = NULL;
}

void asking(Rollout *r, json_t *request, int64_t timeout_us, Answered *then)
{
	int e = -ENOMEM;
	asking_stop(r);
	r->asked.then = then;
	r->asked.err = ERR_INIT;
	if (request)
		e = helper_call(r->w.helper, request, timeout_us, on_answer, r, &r->asked.err);
	else
		err_oom(&r->asked.err);
	/* Answers come from the loop, this one too. */
	if (e < 0 && sd_event_add_defer(r->w.loop, &r->asked.unasked, on_unasked, r) < 0) {
		r->asked.then = NULL;
		rollout_later(r, EVENT_ERROR, "out of memory");
	}
}

/* Nobody waits for the answer to this; what it does shows in the answer to what is at work. */
void asking_cancel(Rollout *r)
{
	Err unheard = ERR_INIT;
	json_t *rq = json_pack("{s:s}", "do", "cancel");
	if (!rq || helper_call(r->w.helper, rq, HELPER_TIMEOUT_US, NULL, NULL, &unheard) < 0)
		log_event(r->w.log, LOG_WARN_, "rollout.cancel", NULL,
			  "what the helper is waiting for could not be given up: %s",
			  rq ? unheard.msg : "out of memory");
}
