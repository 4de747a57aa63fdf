/* What the memory model learns from the starts of trials. The same lessons in the same order as
 * when they were measured, so that a search that is gone on with asks what it would have asked. */
#include <string.h>

#include "base/json.h"
#include "run/internal.h"

typedef struct Lesson {
	int64_t seq, evolution;
	bool search;		   /* of a search; else of a confirmation or an evaluation */
	json_t *params, *services; /* owned; `evidence.services` */
} Lesson;

struct Lessons {
	Lesson *items;
	size_t n, next; /* those before `next` are taught */
};

Lessons *lessons_free(Lessons *l)
{
	for (size_t i = 0; l && i < l->n; i++) {
		json_decref(l->items[i].params);
		json_decref(l->items[i].services);
	}
	if (l)
		free(l->items);
	free(l);
	return NULL;
}

/* What a server said while somebody else took memory, or while the card broke, is not true of the
 * candidate on another day. */
static bool teaches(const Measurement *m)
{
	return !outcome_is_void(m->outcome);
}

static int add_lesson(void *userdata, const StoreTrial *trial)
{
	Lessons *l = userdata;
	json_t *services = json_object_get(trial->m.evidence, "services");
	if (!teaches(&trial->m) || json_object_size(services) == 0)
		return 0;
	Lesson *items = reallocarray(l->items, l->n + 1, sizeof(*items));
	if (!items)
		return -ENOMEM;
	l->items = items;
	items[l->n++] = (Lesson){
	    .seq = trial->seq,
	    .evolution = trial->evolution,
	    .search = strcmp(trial->purpose, "search") == 0,
	    .params = json_incref(trial->params),
	    .services = json_incref(services),
	};
	return 0;
}

static int teach(Turn *t, const json_t *params, const json_t *services, bool aloud, Err *err)
{
	const ServiceSpec *s = t->x->services.items;
	for (size_t i = 0; i < t->x->services.n; i++) {
		_cleanup_free_ char *words = NULL;
		const json_t *start =
		    json_object_get(json_object_get(services, s[i].name), "memory");
		if (!start || !s[i].kind || strcmp(s[i].kind, "vllm") != 0)
			continue;
		int r = learned_start(t->learned, &s[i], params, start, &words, err);
		if (r < 0)
			return r;
		if (r > 0 && aloud)
			turn_say(t, RUN_MESSAGE, NULL, NULL, "learned from its start: %s", words);
	}
	return 0;
}

int learn_begin(Turn *t, Err *err)
{
	t->lessons = lessons_free(t->lessons);
	t->learned = learned_free(t->learned);
	int r = learned_new(t->x->memory, &t->learned, err);
	if (r < 0)
		return r;
	t->lessons = calloc(1, sizeof(*t->lessons));
	if (!t->lessons)
		return err_oom(err);
	/* Before the first run there is no store, and a simulated box's trials have no starts to
	 * learn from. */
	if (!t->r->store || evaluator_stage(t->evaluator, false) == STAGE_TWIN)
		return 0;
	TrialQuery q = {.experiment = t->x->name};
	r = store_trials(t->r->store, &q, add_lesson, t->lessons, err);
	return r < 0 ? r : 0;
}

static int teach_next(Turn *t, Err *err)
{
	const Lesson *one = &t->lessons->items[t->lessons->next++];
	return teach(t, one->params, one->services, false, err);
}

int learn_until(Turn *t, int64_t seq, Err *err)
{
	Lessons *l = t->lessons;
	int r = 0;
	while (r >= 0 && l->next < l->n && l->items[l->next].seq <= seq) {
		const Lesson *one = &l->items[l->next];
		/* An evaluation or a confirmation meanwhile was not known to the search either. */
		if (one->search && one->evolution == t->history.evolution)
			r = teach_next(t, err);
		else
			l->next++;
	}
	return r;
}

int learn_known(Turn *t, Err *err)
{
	Lessons *l = t->lessons;
	int r = 0;
	while (r >= 0 && l->next < l->n &&
	       (!t->history.resumed || l->items[l->next].seq < t->history.begun_seq))
		r = teach_next(t, err);
	return r;
}

int learn_trial(Turn *t, const StoreTrial *trial, Err *err)
{
	const json_t *services = json_object_get(trial->m.evidence, "services");
	return services && teaches(&trial->m) ? teach(t, trial->params, services, true, err) : 0;
}
