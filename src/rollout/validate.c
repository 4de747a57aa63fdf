/* Is it what it says it is, and is production still where it was measured? */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/json.h"
#include "record/promotion.h"
#include "rollout/checks.h"
#include "rollout/grammar.h"

enum {
	CHECKS_MAX = 16,
	SKEW_US = 5 * 60 * 1000000, /* by which another machine's clock may be ahead */
};

/* --- The list -------------------------------------------------------------------------------- */

static void add(Checks *c, const char *name, bool ok, char *words)
{
	if (!words || c->v->n == CHECKS_MAX) {
		free(words);
		c->failed = true;
		return;
	}
	Check *check = &c->v->checks[c->v->n++];
	(void)snprintf(check->name, sizeof(check->name), "%s", name);
	check->ok = ok;
	check->words = words;
	c->v->ok = c->v->ok && ok;
}

void checks_add(Checks *c, const char *name, bool ok, const char *fmt, ...)
{
	_cleanup_(str_done) Str s = STR_INIT;
	char *words = NULL;
	va_list ap;
	va_start(ap, fmt);
	str_addv(&s, fmt, ap);
	va_end(ap);
	if (str_take(&s, &words) < 0)
		words = NULL;
	add(c, name, ok, words);
}

void checks_add_words(Checks *c, const char *name, const Str *faults, const char *otherwise)
{
	if (faults->failed)
		c->failed = true;
	else
		checks_add(c, name, faults->len == 0, "%s", faults->len ? faults->s : otherwise);
}

void next_sentence(Str *s)
{
	if (s->len > 0)
		str_add(s, "; ");
}

void validation_done(Validation *v)
{
	for (size_t i = 0; i < v->n; i++)
		free(v->checks[i].words);
	free(v->checks);
	*v = (Validation){0};
}

void validation_words(const Validation *v, Str *out)
{
	size_t before = out->len;
	for (size_t i = 0; i < v->n; i++)
		if (!v->checks[i].ok)
			str_addf(out, "%s%s", out->len > before ? "; " : "", v->checks[i].words);
}

json_t *validation_json(const Validation *v)
{
	json_t *list = json_array();
	bool failed = !list;
	for (size_t i = 0; i < v->n; i++) {
		json_t *o = json_object();
		js_set(o, "check", js_text(v->checks[i].name), &failed);
		js_set(o, "ok", json_boolean(v->checks[i].ok), &failed);
		js_set(o, "words", js_text(v->checks[i].words), &failed);
		failed |= json_array_append_new(list, o) < 0;
	}
	if (failed) {
		json_decref(list);
		return NULL;
	}
	return list;
}

/* --- Is it what it says it is? -----------------------------------------------------------------
 */

const json_t *change_of(const json_t *promotion, const char *parameter)
{
	size_t i;
	json_t *change;
	json_array_foreach (json_object_get(promotion, "changes"), i, change)
		if (strcmp(js_str(change, "parameter", ""), parameter) == 0)
			return change;
	return NULL;
}

static const json_t *params_of(const json_t *promotion, const char *side)
{
	return json_object_get(json_object_get(promotion, side), "params");
}

static bool same(const json_t *a, const json_t *b)
{
	_cleanup_free_ char *x = a ? baseline_value_text(a) : NULL;
	_cleanup_free_ char *y = b ? baseline_value_text(b) : NULL;
	return x && y ? baseline_value_same(x, y) : !x && !y;
}

/* Every difference of the two sides has its entry, and every entry is such a difference: what is
 * shown to people and what is done are the same. */
static void compare_sides(const json_t *promotion, Str *faults)
{
	const json_t *from = params_of(promotion, "baseline"), *to = params_of(promotion, "winner");
	const char *name;
	json_t *v;
	json_object_foreach ((json_t *)(uintptr_t)to, name, v)
		if (!same(v, json_object_get(from, name)) && !change_of(promotion, name)) {
			next_sentence(faults);
			str_addf(faults,
				 "the winner has another %s than its baseline, and no "
				 "change says so",
				 name);
		}
	json_object_foreach ((json_t *)(uintptr_t)from, name, v)
		if (!json_object_get(to, name) && !change_of(promotion, name)) {
			next_sentence(faults);
			str_addf(faults, "its winner has no %s", name);
		}
}

static bool is_again(const json_t *changes, size_t at, const char *name)
{
	for (size_t i = 0; i < at; i++)
		if (strcmp(js_str(json_array_get(changes, i), "parameter", ""), name) == 0)
			return true;
	return false;
}

static void compare_change(const json_t *promotion, size_t at, Str *faults)
{
	const json_t *changes = json_object_get(promotion, "changes");
	const json_t *change = json_array_get(changes, at);
	const char *name = js_str(change, "parameter", "?");
	const json_t *from = json_object_get(change, "from"), *to = json_object_get(change, "to");
	if (is_again(changes, at, name)) {
		next_sentence(faults);
		str_addf(faults, "it changes %s twice", name);
	}
	if (!same(from, json_object_get(params_of(promotion, "baseline"), name)) ||
	    !same(to, json_object_get(params_of(promotion, "winner"), name))) {
		next_sentence(faults);
		str_addf(faults, "its change of %s is not the difference of its two sides", name);
	}
	if (same(from, to)) {
		next_sentence(faults);
		str_addf(faults, "its change of %s changes nothing", name);
	}
}

/* False: nothing more can be said of it. */
static bool check_schema(Checks *c)
{
	const json_t *promotion = c->in->promotion, *changes;
	_cleanup_(str_done) Str faults = STR_INIT;
	Err why = ERR_INIT;
	if (promotion_grammar(promotion, NULL, &why) < 0) {
		checks_add(c, "schema", false, "it is no promotion: %s", why.msg);
		return false;
	}
	changes = json_object_get(promotion, "changes");
	if (json_array_size(changes) == 0)
		str_add(&faults, "it changes nothing");
	for (size_t i = 0; i < json_array_size(changes); i++)
		compare_change(promotion, i, &faults);
	compare_sides(promotion, &faults);
	checks_add_words(c, "schema", &faults, "it is a promotion, and changes what it says");
	return true;
}

static const char *key_of(const json_t *promotion)
{
	return js_str(json_object_get(promotion, "signature"), "key", "");
}

static void check_signature(Checks *c)
{
	Err why = ERR_INIT;
	const char *key = key_of(c->in->promotion);
	if (promotion_verify(c->in->promotion, NULL, &why) < 0) {
		checks_add(c, "signature", false, "%s", why.msg);
		return;
	}
	for (size_t i = 0; c->in->keys && c->in->keys[i]; i++)
		if (strcmp(c->in->keys[i], key) == 0) {
			checks_add(c, "signature", true, "it is signed with %s, %.16s...",
				   i == 0 ? "our own key" : "a key that is trusted here", key);
			return;
		}
	checks_add(c, "signature", false,
		   "it is signed with the key %s, which is not trusted here: neither our own, nor "
		   "pinned, nor in daemon.trusted_keys",
		   key);
}

/* Ours: what it was made from is in the chain. From elsewhere: only its signature vouches for it.
 */
static int check_lineage(Checks *c, Err *err)
{
	const json_t *lineage = json_object_get(c->in->promotion, "lineage");
	int64_t seq = js_int(lineage, "seq", 0);
	bool ours =
	    c->in->keys && c->in->keys[0] && strcmp(c->in->keys[0], key_of(c->in->promotion)) == 0;
	char hex[HASH_HEX_SIZE] = "";
	Hash hash = {0};
	if (!c->in->store) {
		checks_add(c, "lineage", false,
			   "the store cannot be read, so it is not known whether its lineage is "
			   "ours");
		return 0;
	}
	int r = seq > 0 ? store_record_hash(c->in->store, seq, &hash, err) : 1;
	if (r < 0)
		return r;
	hash_hex(&hash, hex);
	if (r > 0 && strcmp(hex, js_str(lineage, "hash", "")) == 0 && (seq > 0 || ours))
		checks_add(c, "lineage", true, "it follows record %" PRId64 " of our chain", seq);
	else if (ours)
		checks_add(c, "lineage", false,
			   "it is signed with our key, but record %" PRId64 ", which it says it "
			   "follows, is %s: the store is another one, or was rewritten",
			   seq, r > 0 ? "another one here" : "not in our chain");
	else
		checks_add(c, "lineage", true,
			   "it comes from another machine: what it was measured from is not in our "
			   "chain, and only its signature vouches for it");
	return 0;
}

static void check_age(Checks *c)
{
	const char *at = js_str(c->in->promotion, "created_at", "");
	int64_t created_us;
	char age[32], max[32];
	time_human(c->in->max_age_us, max);
	if (!time_from_rfc3339(at, &created_us)) {
		checks_add(c, "age", false, "it does not say when it was made");
		return;
	}
	int64_t age_us = c->in->now_us - created_us;
	time_human(age_us < 0 ? -age_us : age_us, age);
	if (age_us < -(int64_t)SKEW_US)
		checks_add(c, "age", false,
			   "it was made %s from now: a clock is wrong, here or where it comes from",
			   age);
	else if (age_us > c->in->max_age_us)
		checks_add(c, "age", false,
			   "it is %s old; older than %s is refused (rollout.max_age)", age, max);
	else
		checks_add(c, "age", true, "it is %s old", age_us < 0 ? "0 s" : age);
}

static void check_experiment(Checks *c)
{
	const char *name = js_str(c->in->promotion, "experiment", "");
	if (c->in->x)
		checks_add(c, "experiment", true, "the configuration has its experiment %s", name);
	else
		checks_add(c, "experiment", false,
			   "the configuration has no experiment %s, so nobody said what its "
			   "parameters may be",
			   name);
}

/* --- Is production still where it was measured? ------------------------------------------------
 */

static void compare_text(const char *name, const char *was, const char *unit, const char *now,
			 Str *faults)
{
	if (was && baseline_value_same(was, now))
		return;
	next_sentence(faults);
	str_addf(faults, "%s is ", name);
	str_add_safe(faults, now, strlen(now), 128);
	str_addf(faults, "%s%s, and was ", unit ? " in " : "", unit ? unit : "");
	str_add_safe(faults, was ? was : "not set", was ? strlen(was) : 7, 128);
	str_add(faults, " when it was measured");
}

/* In every unit that has it. False: there is none. */
static bool compare_units(const Baseline *b, const char *name, const char *was, Str *faults)
{
	const char *unit;
	json_t *values;
	bool found = false;
	json_object_foreach (b->values, unit, values) {
		const char *now = js_str(values, name, NULL);
		found = found || now;
		if (now)
			compare_text(name, was, unit, now, faults);
	}
	const char *now = found ? NULL : js_str(b->params, name, NULL);
	if (now)
		compare_text(name, was, NULL, now, faults);
	return found || now;
}

static void check_baseline(Checks *c)
{
	const Baseline *b = c->in->baseline;
	const json_t *params = params_of(c->in->promotion, "baseline");
	_cleanup_(str_done) Str faults = STR_INIT, fine = STR_INIT;
	const char *name;
	json_t *v, *change;
	size_t i;
	if (!b || b->version == 0) {
		checks_add(c, "baseline", false,
			   "there is no baseline yet: nothing is adopted (`dream adopt`)");
		return;
	}
	/* What is not adopted is not ours to know. */
	json_object_foreach ((json_t *)(uintptr_t)params, name, v) {
		_cleanup_free_ char *was = baseline_value_text(v);
		(void)compare_units(b, name, was, &faults);
	}
	json_array_foreach (json_object_get(c->in->promotion, "changes"), i, change) {
		name = js_str(change, "parameter", "?");
		if (!json_object_get(params, name) && compare_units(b, name, NULL, &faults))
			continue;
		if (json_object_get(b->params, name))
			continue;
		next_sentence(&faults);
		str_addf(&faults, "the baseline says nothing of %s", name);
	}
	str_addf(&fine, "production is where it was measured (version %lld of the baseline)",
		 (long long)b->version);
	if (faults.len > 0)
		str_addf(&faults, " (version %lld of the baseline)", (long long)b->version);
	checks_add_words(c, "baseline", &faults, fine.s ? fine.s : "");
}

/* --- All of it ------------------------------------------------------------------------------- */

static int check_all(Checks *c, Err *err)
{
	if (!check_schema(c))
		return 0;
	check_signature(c);
	int r = check_lineage(c, err);
	if (r < 0)
		return r;
	check_age(c);
	check_experiment(c);
	check_baseline(c);
	check_bounds(c);
	check_adopted(c);
	r = check_memory(c, err);
	if (r < 0)
		return r;
	check_stages(c);
	return 0;
}

int promotion_validate(const ValidateInput *in, Validation *ret, Err *err)
{
	Validation v = {.ok = true, .checks = calloc(CHECKS_MAX, sizeof(Check))};
	Checks c = {.in = in, .v = &v, .failed = !v.checks};
	int r = c.failed ? 0 : check_all(&c, err);
	if (r == 0 && c.failed)
		r = err_oom(err);
	if (r < 0) {
		validation_done(&v);
		return r;
	}
	*ret = v;
	return 0;
}
