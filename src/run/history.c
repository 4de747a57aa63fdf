#include "run/internal.h"

#include <string.h>

#include "base/json.h"
#include "space/reader.h"

/* --- Identity -------------------------------------------------------------------------------- */

/* What does not change what a trial measures or which one comes next. */
static const char *const without_effect[] = {
    "name", "enabled", "template", "description", "confirm", "apply", "rollout", NULL,
};

/* What a measurement means: the same candidate measured under the same of these is the same thing.
 */
static const char *const meaning[] = {
    "evaluator", "gpu",	    "services", "workloads",	   "objectives", "constraints",
    "scenario",	 "metrics", "safety",	"search_services", NULL,
};

int identity_of(const Experiment *x, const char *evaluator, const char *strategy,
		unsigned strategy_version, uint64_t seed, bool all_services, Identity *ret)
{
	json_auto_t *whole = x->source ? js_copy(x->source) : json_object();
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
	js_set(context, "evaluator_content", js_text(evaluator), &failed);
	for (size_t i = 0; without_effect[i]; i++)
		(void)json_object_del(whole, without_effect[i]);
	js_set(whole, "all_services", json_boolean(all_services), &failed);
	js_set(whole, "evaluator_content", js_text(evaluator), &failed);
	js_set(whole, "strategy_in_use", js_text(strategy), &failed);
	js_set(whole, "strategy_version", json_integer(strategy_version), &failed);
	js_set(whole, "seed_in_use", json_integer((json_int_t)seed), &failed);
	if (failed)
		return -ENOMEM;
	config_hash(whole, ret->fingerprint);
	config_hash(context, ret->context);
	return *ret->fingerprint && *ret->context ? 0 : -ENOMEM;
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
	n->body = js_deep_copy(body);
	return n->body ? 1 : -ENOMEM;
}

int history_newest(Store *store, const char *kind, const char *experiment, json_t **ret, Err *err)
{
	Newest n = {.experiment = experiment};
	int r = store_records(store, kind, true, 0, keep_newest, &n, err);
	if (r < 0)
		return r;
	*ret = n.body;
	return 0;
}

typedef struct Same {
	const char *experiment;
	const Identity *id;
	History *h;
} Same;

static int keep_same(void *userdata, const Record *r, const json_t *body)
{
	Same *s = userdata;
	if (strcmp(js_str(body, "experiment", ""), s->experiment) != 0)
		return 0;
	if (s->h->resumed && js_int(body, "evolution", 0) == s->h->evolution)
		s->h->begun_seq = r->seq;
	if (strcmp(js_str(body, "context", ""), s->id->context) != 0)
		return 0;
	SameEvolution *grown = reallocarray(s->h->same, s->h->n_same + 1, sizeof(*grown));
	if (!grown)
		return -ENOMEM;
	s->h->same = grown;
	s->h->same[s->h->n_same++] = (SameEvolution){
	    .number = js_int(body, "evolution", 0),
	    .alike = strcmp(js_str(body, "fingerprint", ""), s->id->fingerprint) == 0,
	};
	return 0;
}

typedef struct Load {
	History *h;
	PointReader *reader;
	Err *err;
	size_t hint; /* where in h->same the last one was found */
} Load;

const SameEvolution *history_same(const History *h, int64_t evolution, size_t *hint)
{
	if (*hint < h->n_same && h->same[*hint].number == evolution)
		return &h->same[*hint];
	for (size_t i = 0; i < h->n_same; i++)
		if (h->same[i].number == evolution) {
			*hint = i;
			return &h->same[i];
		}
	return NULL;
}

bool told_teaches(Outcome outcome, bool alike)
{
	if (outcome == OUTCOME_TIMEOUT)
		return alike;
	return outcome != OUTCOME_MEASURE_FAILED;
}

static int load_told(void *userdata, const StoreTold *t)
{
	Load *l = userdata;
	l->h->n_trials++;
	const SameEvolution *same = history_same(l->h, t->evolution, &l->hint);
	Told told = {.seq = t->seq,
		     .evolution = t->evolution,
		     .ask = t->ask,
		     .outcome = t->outcome,
		     .fitness = t->fitness,
		     .se = t->fitness_se,
		     .known = same && told_teaches(t->outcome, same->alike)};
	int r = point_reader_read(l->reader, t->params, strlen(t->params), &told.point);
	if (r == -ENOMEM)
		return err_oom(l->err);
	/* A trial of a space that has changed since is history, not knowledge. */
	return r < 0 ? 0 : history_told(l->h, &told, l->err);
}

int history_told(History *h, const Told *told, Err *err)
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

/* Numbers of epochs and evolutions are ours and small; a store that says otherwise was edited. */
static int read_number(const json_t *record, const char *key, int64_t *ret, Err *err)
{
	*ret = js_int(record, key, 0);
	if (*ret >= 0 && *ret < INT32_MAX)
		return 0;
	return err_set(err, -EBADMSG,
		       "the store holds an impossible number of %s (%" PRId64
		       "); `dream lineage verify` says more",
		       key, *ret);
}

/* Which evolution to go on with: the newest when it has no verdict and is still the same search.
 * When it has one but its epoch was not ended, we were killed between the two. */
static int load_evolution(Store *store, const Experiment *x, const Identity *id, History *h,
			  Err *err)
{
	json_auto_t *evolution = NULL, *verdict = NULL, *epoch = NULL;
	int r = history_newest(store, "evolution", x->name, &evolution, err);
	if (r >= 0)
		r = history_newest(store, "verdict", x->name, &verdict, err);
	if (r >= 0)
		r = history_newest(store, "epoch", x->name, &epoch, err);
	if (r < 0)
		return r;

	int64_t begun, judged, judged_in, ended;
	if ((r = read_number(evolution, "evolution", &begun, err)) < 0 ||
	    (r = read_number(verdict, "evolution", &judged, err)) < 0 ||
	    (r = read_number(verdict, "epoch", &judged_in, err)) < 0 ||
	    (r = read_number(epoch, "epoch", &ended, err)) < 0)
		return r;
	bool alike = strcmp(js_str(evolution, "fingerprint", ""), id->fingerprint) == 0;
	h->decided = alike && begun > 0 && judged == begun && judged_in > ended;
	h->proposed = h->decided && (json_object_get(verdict, "promotion") ||
				     strcmp(js_str(verdict, "verdict", ""), "standing") == 0);
	h->resumed = alike && (begun > judged || h->decided);
	h->evolution = h->resumed ? begun : begun + 1;
	h->epoch = ended + 1;
	return verdict ? load_survivors(h, x, verdict, err) : 0;
}

int history_load(Store *store, const Experiment *x, const Identity *id, History *ret, Err *err)
{
	History h = {0};
	Same same = {.experiment = x->name, .id = id, .h = &h};
	int r = load_evolution(store, x, id, &h, err);
	if (r >= 0)
		r = store_records(store, "evolution", false, 0, keep_same, &same, err);
	_cleanup_(point_reader_freep) PointReader *reader = NULL;
	if (r >= 0 && point_reader_new(x->space, &reader) < 0)
		r = err_oom(err);
	if (r >= 0) {
		Load l = {.reader = reader, .h = &h, .err = err};
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
