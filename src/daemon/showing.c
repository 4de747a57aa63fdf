/* What people may see of the store through the socket, who may not read the store itself: the
 * documents that the command line prints with --json. Nothing is written for it. */
#include <inttypes.h>
#include <linux/limits.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "daemon/internal.h"
#include "rollout/others.h"
#include "rollout/views.h"

enum {
	LIST_MAX = CONTROL_ANSWER_MAX - (64 << 10), /* room for what is around a list */
	NAME_MAX_BYTES = 128,			    /* of an experiment */
};

/* --- What is shown ------------------------------------------------------------------------------
 */

/* Whoever means another store than ours is not shown ours. */
static int check_store(const Daemon *d, const json_t *rq, Err *err)
{
	char wanted[PATH_MAX];
	int r = verb_take(rq, "store", wanted, sizeof(wanted), err);
	if (r < 0)
		return r;
	if (*wanted && strcmp(wanted, d->store_path) != 0)
		return err_set(err, -EXDEV, "the daemon's store is %.200s, and not %.200s",
			       d->store_path, wanted);
	return d->store
		   ? 0
		   : err_set(err, -ENODATA, "the store cannot be opened: %s", d->store_err.msg);
}

static ViewSource source_of(const Daemon *d)
{
	return (ViewSource){.store = d->store,
			    .pinned_key_hex = daemon_pinned(d),
			    .now_us = clock_now_us(d->clock),
			    .most_bytes = LIST_MAX};
}

int show_promotions(void *ctx, const ControlPeer *peer, const json_t *rq, json_t **ret, Err *err)
{
	Daemon *d = ctx;
	const ViewSource s = source_of(d);
	char experiment[NAME_MAX_BYTES];
	(void)peer;
	int r = check_store(d, rq, err);
	if (r == 0)
		r = verb_take(rq, "experiment", experiment, sizeof(experiment), err);
	return r < 0 ? r : promotions_view(&s, *experiment ? experiment : NULL, ret, err);
}

int show_baseline_log(void *ctx, const ControlPeer *peer, const json_t *rq, json_t **ret, Err *err)
{
	Daemon *d = ctx;
	const ViewSource s = source_of(d);
	(void)peer;
	int r = check_store(d, rq, err);
	return r < 0 ? r : baseline_log_view(&s, ret, err);
}

/* What was found when production was compared last; not what was true of the version before. */
static int check_compared(Daemon *d, const Baseline *b, Err *err)
{
	const Drift *t = &d->drift;
	if (b->version == 0)
		return err_set(err, -ENODATA, "there is no baseline yet");
	if (d->rolling.rollout)
		return err_set(err, -EBUSY,
			       "%s is going on: what production should run is known when it has "
			       "ended",
			       d->rolling.what);
	if (*t->failure)
		return err_set(err, -EAGAIN, "production could not be compared: %s", t->failure);
	if (t->checked_at_us > b->at_us)
		return 0;
	drift_hurry(d);
	return err_set(err, -EAGAIN,
		       "production has not been compared with version %" PRId64
		       " of the baseline yet; in a few seconds it will have been",
		       b->version);
}

int show_baseline_diff(void *ctx, const ControlPeer *peer, const json_t *rq, json_t **ret, Err *err)
{
	Daemon *d = ctx;
	_cleanup_(baseline_done) Baseline b = {0};
	bool failed = false;
	(void)peer;
	int r = check_store(d, rq, err);
	if (r == 0)
		r = baseline_current(d->store, daemon_pinned(d), &b, err);
	if (r == 0)
		r = check_compared(d, &b, err);
	if (r < 0)
		return r;
	json_t *o = json_object();
	js_set(o, "schema", js_text("dream.baseline_diff/v1"), &failed);
	js_set(o, "version", json_integer(b.version), &failed);
	js_set(o, "drift", js_deep_copy(d->drift.found), &failed);
	js_set(o, "checked_at_us", json_integer(d->drift.checked_at_us), &failed);
	if (failed) {
		json_decref(o);
		return err_oom(err);
	}
	*ret = o;
	return 0;
}

/* --- One promotion ------------------------------------------------------------------------------
 */

static int view(Daemon *d, const json_t *promotion, const Adoption *units, size_t n_units,
		const char *unseen, json_t **ret, Err *err)
{
	const ConfStrings *trusted = &d->plan->daemon.trusted_keys;
	const Experiment *x = config_experiment(d->plan, js_str(promotion, "experiment", ""));
	const ViewSource s = source_of(d);
	size_t n = 0;
	_cleanup_free_ const char **keys = calloc(trusted->n + 3, sizeof(*keys));
	if (!keys)
		return err_oom(err);
	keys[n++] = d->key_hex;
	if (d->plan->run.pinned_key)
		keys[n++] = d->plan->run.pinned_key;
	for (size_t i = 0; i < trusted->n; i++)
		keys[n++] = trusted->items[i];
	const ValidateInput in = {.promotion = promotion,
				  .x = x,
				  .units = units,
				  .n_units = n_units,
				  .keys = keys,
				  .store = d->store,
				  .memory = x && x->rollout.memory_model ? x->memory : NULL,
				  .others_bytes = x ? others_bytes(x, units, n_units) : -1,
				  .now_us = s.now_us,
				  .max_age_us = x ? x->rollout.max_age_us : INT64_MAX};
	return promotion_view(&s, &in, d->key_hex, unseen, ret, err);
}

int show_promotion(void *ctx, const ControlPeer *peer, const json_t *rq, json_t **ret, Err *err)
{
	Daemon *d = ctx;
	char id[PROMOTION_NAME_SIZE];
	json_auto_t *promotion = NULL;
	Adoption *units = NULL;
	size_t n_units = 0;
	Err unseen = ERR_INIT;
	(void)peer;
	int r = check_store(d, rq, err);
	if (r == 0)
		r = verb_take_promotion(rq, id, err);
	if (r == 0)
		r = promotion_find(d->store, id, &promotion, err);
	if (r < 0)
		return r;
	if (adoption_load_all(&d->places, &units, &n_units, &unseen) < 0) {
		units = NULL;
		n_units = 0;
	}
	r = view(d, promotion, units, n_units, unseen.msg, ret, err);
	adoption_free_all(units, n_units);
	return r;
}

/* What a rollout would do. The helper is asked for it, who answers at once unless it is in the
 * middle of a change: then nobody waits for an answer that would be another one after it. */
int show_preview(void *ctx, const ControlPeer *peer, const json_t *rq, json_t **ret, Err *err)
{
	Daemon *d = ctx;
	char id[PROMOTION_NAME_SIZE];
	_cleanup_(str_done) Str text = STR_INIT;
	(void)peer;
	int r = check_store(d, rq, err);
	if (r == 0)
		r = verb_take_promotion(rq, id, err);
	if (r == 0 && d->rolling.rollout)
		r = err_set(err, -EBUSY,
			    "%s is going on: what another rollout would do can be "
			    "said when it has ended",
			    d->rolling.what);
	if (r == 0)
		r = daemon_helper(d, err);
	if (r < 0)
		return r;
	const RolloutWorld w = {.loop = d->loop,
				.clock = d->clock,
				.helper = d->helper,
				.store = d->store,
				.key = d->key,
				.plan = d->plan,
				.places = &d->places};
	r = rollout_preview(&w, id, &text, err);
	daemon_helper_rest(d);
	if (r < 0)
		return r;
	*ret = text.failed ? NULL : json_pack("{s:s}", "text", text.s ? text.s : "");
	return *ret ? 0 : err_oom(err);
}
