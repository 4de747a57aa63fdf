#include "rollout/fate.h"

#include <stdio.h>
#include <string.h>

#include "base/json.h"
#include "record/promotion.h"
#include "rollout/machine.h"
#include "rollout/text.h"

struct Fates {
	Fate *list;
	size_t n, cap;
	const char *pinned_key;
	Err *err;
};

static const char *const state_names[] = {
    [PROMOTION_PROPOSED] = "proposed",
    [PROMOTION_APPROVED] = "approved",
    [PROMOTION_REJECTED] = "rejected",
    [PROMOTION_REFUSED] = "refused",
    [PROMOTION_ROLLING_OUT] = "rolling_out",
    [PROMOTION_COMMITTED] = "committed",
    [PROMOTION_PARTIALLY_COMMITTED] = "partially_committed",
    [PROMOTION_ROLLED_BACK] = "rolled_back",
    [PROMOTION_STUCK] = "stuck",
};

const char *promotion_state_name(PromotionState s)
{
	return state_names[s];
}

Fates *fates_free(Fates *f)
{
	if (!f)
		return NULL;
	free(f->list);
	free(f);
	return NULL;
}

const Fate *fates_of(const Fates *f, const char *promotion)
{
	for (size_t i = 0; i < f->n; i++)
		if (strcmp(f->list[i].promotion, promotion) == 0)
			return &f->list[i];
	return NULL;
}

/* NULL: out of memory. */
static Fate *fate_for(Fates *f, const char *promotion)
{
	const Fate *found = fates_of(f, promotion);
	if (found)
		return &f->list[found - f->list];
	if (f->n == f->cap) {
		size_t cap = f->cap ? 2 * f->cap : 16;
		Fate *more = reallocarray(f->list, cap, sizeof(*more));
		if (!more)
			return NULL;
		f->list = more;
		f->cap = cap;
	}
	Fate *fate = &f->list[f->n++];
	*fate = (Fate){.state = PROMOTION_PROPOSED};
	str_copy_to(promotion, fate->promotion, sizeof(fate->promotion));
	return fate;
}

/* --- Records ---------------------------------------------------------------------------------- */

/* For one version of the baseline the first decision counts; a newer version asks anew. */
static int add_decision(void *userdata, const Record *r, const json_t *body)
{
	Fates *f = userdata;
	Approval a;
	int e = approval_from_record(r, body, f->pinned_key, &a, f->err);
	if (e <= 0)
		return e;
	Fate *fate = fate_for(f, a.promotion);
	if (!fate)
		return err_oom(f->err);
	if (fate->decided && a.baseline_version <= fate->decision.baseline_version)
		return 0;
	fate->decided = true;
	fate->decision = a;
	fate->state = a.approved ? PROMOTION_APPROVED : PROMOTION_REJECTED;
	return 0;
}

static PromotionState state_of(const json_t *body)
{
	static const struct {
		MachineResult result;
		PromotionState state;
	} of[] = {
	    {RESULT_COMMITTED, PROMOTION_COMMITTED},
	    {RESULT_PARTIALLY_COMMITTED, PROMOTION_PARTIALLY_COMMITTED},
	    {RESULT_ROLLED_BACK, PROMOTION_ROLLED_BACK},
	    {RESULT_REFUSED, PROMOTION_REFUSED},
	    {RESULT_STUCK, PROMOTION_STUCK},
	};
	const char *result = js_str(body, "result", "");
	for (size_t i = 0; i < sizeof(of) / sizeof(*of); i++)
		if (strcmp(result, machine_result_name(of[i].result)) == 0)
			return of[i].state;
	return PROMOTION_ROLLING_OUT;
}

/* Why it ended as it did: what went well says nothing of that, and comes last. */
static void take_words(Fate *fate, const json_t *body)
{
	static const MachineEvent well[] = {EVENT_START, EVENT_OK, EVENT_NO_WORSE, EVENT_BETTER,
					    EVENT_CONTINUE};
	const char *event = js_str(body, "event", ""), *words = js_str(body, "words", "");
	for (size_t i = 0; i < sizeof(well) / sizeof(*well); i++)
		if (strcmp(event, machine_event_name(well[i])) == 0)
			return;
	if (*words)
		str_copy_to(words, fate->words, sizeof(fate->words));
}

/* All of it went well in the end: what was unclear on the way is over. */
static void forget_words(Fate *fate, const json_t *body)
{
	if (state_of(body) == PROMOTION_COMMITTED)
		fate->words[0] = '\0';
}

static int add_rollout(void *userdata, const Record *r, const json_t *body)
{
	Fates *f = userdata;
	const char *promotion = js_str(body, "promotion", "");
	if (!*promotion || strlen(promotion) > PROMOTION_ID_MAX)
		return 0; /* of a way back: no promotion's */
	Fate *fate = fate_for(f, promotion);
	const char *rollout = js_str(body, "rollout", "");
	if (!fate)
		return err_oom(f->err);
	/* What went to production and is asked for again is refused, for the baseline moved; what
	 * became of it stays what became of it. */
	bool decided_since = fate->decided && fate->decision.seq > fate->rollout_seq;
	if (!*rollout && *fate->rollout && !decided_since)
		return 0;
	if (strcmp(rollout, fate->rollout) != 0)
		fate->words[0] = '\0';
	fate->rollout_seq = r->seq;
	str_copy_to(rollout, fate->rollout, sizeof(fate->rollout));
	take_words(fate, body);
	forget_words(fate, body);
	if (!fate->decided || fate->decision.seq < r->seq)
		fate->state = state_of(body);
	return 0;
}

int fates_load(Store *s, const char *pinned_key_hex, Fates **ret, Err *err)
{
	_cleanup_(fates_freep) Fates *f = calloc(1, sizeof(*f));
	if (!f)
		return err_oom(err);
	f->pinned_key = pinned_key_hex;
	f->err = err;
	int r = store_records(s, "approval", false, 0, add_decision, f, err);
	if (r == 0)
		r = store_records(s, "rollout", false, 0, add_rollout, f, err);
	if (r < 0)
		return r;
	*ret = TAKE_PTR(f);
	return 0;
}

/* --- The promotions themselves -----------------------------------------------------------------
 */

typedef struct Find {
	const char *id;
	json_t *found;
} Find;

static int find_one(void *userdata, const Record *r, const json_t *body)
{
	Find *f = userdata;
	char seq[32];
	(void)snprintf(seq, sizeof(seq), "%lld", (long long)r->seq);
	if (strcmp(js_str(body, "id", ""), f->id) != 0 && strcmp(seq, f->id) != 0)
		return 0;
	f->found = json_incref((json_t *)(uintptr_t)body);
	return 1;
}

int promotion_find(Store *s, const char *id, json_t **ret, Err *err)
{
	Find f = {.id = id};
	int r = store_records(s, "promotion", true, 0, find_one, &f, err);
	if (r < 0)
		return r;
	if (r == 0)
		return err_set(err, -ENOENT,
			       "there is no promotion '%.80s'; 'dream promotions' lists them", id);
	*ret = f.found;
	return 0;
}

typedef struct Add {
	Store *s;
	const json_t *promotion;
} Add;

static int make_promotion(void *userdata, int64_t at_us, json_t **ret, Err *err)
{
	Add *a = userdata;
	json_auto_t *there = NULL;
	const char *id = js_str(a->promotion, "id", "");
	(void)at_us;
	int r = promotion_find(a->s, id, &there, NULL);
	if (r == 0 && json_equal(there, a->promotion))
		return 1;
	if (r == 0)
		return err_set(err, -EEXIST, "another promotion is called %s here", id);
	if (r != -ENOENT)
		return err_set(err, r, "cannot read the promotions of the store");
	*ret = json_incref((json_t *)(uintptr_t)a->promotion);
	return 0;
}

int promotion_store(Store *s, const json_t *promotion, Err *err)
{
	Add a = {.s = s, .promotion = promotion};
	int r = store_add_if(s, "promotion", PROMOTION_SCHEMA, make_promotion, &a, NULL, err);
	return r < 0 ? r : !r;
}
