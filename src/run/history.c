#include "run/internal.h"

#include <string.h>

#include "base/json.h"
#include "space/reader.h"

/* --- Identity -------------------------------------------------------------------------------- */

/* What does not change what a trial measures or which one comes next. */
static const char *const without_effect[] = {
    "name", "enabled", "template", "description", "confirm", "apply", "rollout", "gpu", NULL,
};

/* What a measurement means: the same candidate measured under the same of these is the same thing.
 */
static const char *const meaning[] = {
    "evaluator", "services", "workloads", "objectives",	     "constraints",
    "scenario",	 "metrics",  "safety",	  "search_services", NULL,
};

static int hash_members(const json_t *members, char ret[CONFIG_HASH_SIZE])
{
	if (!members)
		return -ENOMEM;
	config_hash(members, ret);
	return 0;
}

int identity_of(const Experiment *x, const char *strategy, unsigned strategy_version, uint64_t seed,
		bool all_services, Identity *ret)
{
	json_auto_t *whole = x->source ? json_copy(x->source) : json_object();
	json_auto_t *context = json_object();
	bool failed = !whole || !context;
	if (failed)
		return -ENOMEM;
	for (size_t i = 0; meaning[i]; i++) {
		json_t *v = json_object_get(whole, meaning[i]);
		if (v)
			js_set(context, meaning[i], json_incref(v), &failed);
	}
	js_set(context, "all_services", json_boolean(all_services), &failed);
	for (size_t i = 0; without_effect[i]; i++)
		(void)json_object_del(whole, without_effect[i]);
	js_set(whole, "all_services", json_boolean(all_services), &failed);
	js_set(whole, "strategy_in_use", js_text(strategy), &failed);
	js_set(whole, "strategy_version", json_integer(strategy_version), &failed);
	js_set(whole, "seed_in_use", json_integer((json_int_t)seed), &failed);
	if (failed)
		return -ENOMEM;
	int r = hash_members(whole, ret->fingerprint);
	return r < 0 ? r : hash_members(context, ret->context);
}

/* --- History --------------------------------------------------------------------------------- */

typedef struct Newest {
	const char *experiment;
	json_t *body; /* owned */
} Newest;

static int keep_newest(void *userdata, const Record *r, const json_t *body)
{
	(void)r;
	Newest *n = userdata;
	if (strcmp(js_str(body, "experiment", ""), n->experiment) != 0)
		return 0;
	n->body = json_deep_copy(body);
	return n->body ? 1 : -ENOMEM;
}

/* The newest record of a kind that speaks of this experiment: a new reference, or NULL. */
static int newest_record(Store *store, const char *kind, const char *experiment, json_t **ret,
			 Err *err)
{
	Newest n = {.experiment = experiment};
	int r = store_records(store, kind, true, 0, keep_newest, &n, err);
	if (r < 0)
		return r;
	*ret = n.body;
	return 0;
}

typedef struct Same {
	const char *experiment, *context;
	History *h;
} Same;

static int keep_same(void *userdata, const Record *r, const json_t *body)
{
	(void)r;
	Same *s = userdata;
	if (strcmp(js_str(body, "experiment", ""), s->experiment) != 0 ||
	    strcmp(js_str(body, "context", ""), s->context) != 0)
		return 0;
	int64_t *grown = reallocarray(s->h->same, s->h->n_same + 1, sizeof(*grown));
	if (!grown)
		return -ENOMEM;
	s->h->same = grown;
	s->h->same[s->h->n_same++] = js_int(body, "evolution", 0);
	return 0;
}

typedef struct Load {
	const Experiment *x;
	History *h;
	PointReader *reader;
	Err *err;
	size_t hint; /* where in h->same the last one was found */
} Load;

static bool in_context(Load *l, int64_t evolution)
{
	const History *h = l->h;
	if (l->hint < h->n_same && h->same[l->hint] == evolution)
		return true;
	for (size_t i = 0; i < h->n_same; i++)
		if (h->same[i] == evolution) {
			l->hint = i;
			return true;
		}
	return false;
}

static int load_told(void *userdata, const StoreTold *t)
{
	Load *l = userdata;
	l->h->n_trials++;
	Told told = {.seq = t->seq,
		     .evolution = t->evolution,
		     .ask = t->ask,
		     .outcome = t->outcome,
		     .fitness = t->fitness,
		     .se = t->fitness_se,
		     .known = in_context(l, t->evolution)};
	/* A trial of a space that has changed since is history, not knowledge. */
	if (point_reader_read(l->reader, t->params, strlen(t->params), &told.point) < 0)
		return 0;
	return history_add(l->h, &told, l->err);
}

int history_add(History *h, const Told *told, Err *err)
{
	if (h->n_told == h->capacity) {
		size_t capacity = h->capacity ? 2 * h->capacity : 64;
		Told *grown = reallocarray(h->told, capacity, sizeof(*grown));
		if (!grown)
			return err_oom(err);
		h->told = grown;
		h->capacity = capacity;
	}
	h->told[h->n_told++] = *told;
	return 0;
}

static int load_survivors(History *h, const Experiment *x, const json_t *verdict, Err *err)
{
	const json_t *list = json_object_get(verdict, "survivors");
	size_t n = json_array_size(list);
	if (n == 0)
		return 0;
	h->survivors = calloc(n, sizeof(*h->survivors));
	if (!h->survivors)
		return err_oom(err);
	for (size_t i = 0; i < n; i++)
		if (point_from_json(x->space, json_array_get(list, i),
				    &h->survivors[h->n_survivors], NULL) == 0)
			h->n_survivors++;
	return 0;
}

/* Which evolution to go on with: the newest when it has no verdict and is still the same search. */
static int load_evolution(Store *store, const Experiment *x, const Identity *id, History *h,
			  Err *err)
{
	json_auto_t *evolution = NULL, *verdict = NULL, *epoch = NULL;
	int r = newest_record(store, "evolution", x->name, &evolution, err);
	if (r >= 0)
		r = newest_record(store, "verdict", x->name, &verdict, err);
	if (r >= 0)
		r = newest_record(store, "epoch", x->name, &epoch, err);
	if (r < 0)
		return r;

	int64_t begun = js_int(evolution, "evolution", 0);
	bool open = begun > 0 && js_int(verdict, "evolution", 0) < begun;
	h->resumed = open && strcmp(js_str(evolution, "fingerprint", ""), id->fingerprint) == 0;
	h->evolution = h->resumed ? begun : begun + 1;
	h->epoch = js_int(epoch, "epoch", 0) + 1;
	return verdict ? load_survivors(h, x, verdict, err) : 0;
}

int history_load(Store *store, const Experiment *x, const Identity *id, History *ret, Err *err)
{
	History h = {0};
	Same same = {.experiment = x->name, .context = id->context, .h = &h};
	int r = load_evolution(store, x, id, &h, err);
	if (r >= 0)
		r = store_records(store, "evolution", false, 0, keep_same, &same, err);
	_cleanup_(point_reader_freep) PointReader *reader = NULL;
	if (r >= 0 && point_reader_new(x->space, &reader) < 0)
		r = err_oom(err);
	if (r >= 0) {
		Load l = {.reader = reader, .x = x, .h = &h, .err = err};
		r = store_told(store, x->name, load_told, &l, err);
	}
	if (r < 0) {
		history_done(&h);
		return err_wrap(err, r, "cannot read what was measured of %s", x->name);
	}
	*ret = h;
	return 0;
}

void history_done(History *h)
{
	free(h->told);
	free(h->survivors);
	free(h->same);
	*h = (History){0};
}
