/* Is a promotion fit to go to production now? Each rule broken alone, and all at once. */
#include "config/config.h"
#include "fixture.h"
#include "rollout/validate.h"

typedef struct World {
	Box box;
	Plan *plan;
	json_t *promotion; /* signed when it is validated, with `key` */
	SignKey *other;
	bool by_other, unsigned_, no_store, no_baseline, no_experiment, no_units;
	const char *keys[4];
	char other_public[PUBLIC_KEY_HEX_SIZE];
	char util[16], size[16]; /* what production runs */
	int64_t others_bytes, now_us;
	bool memory_off;
	Adoption units[2];
	AdoptedTarget targets[2];
	Validation v;
} World;

static char judge[] = "judge.service", kloros[] = "kloros.service";
static char util_name[] = "vllm_memory_util", size_name[] = "whisper_model_size";

static void world_new(World *w)
{
	_cleanup_(diags_done) Diags d = DIAGS_INIT;
	*w = (World){.util = "0.50", .size = "small", .others_bytes = -1};
	box_new(&w->box);
	w->now_us = NOW_US + 1200 * INT64_C(1000000); /* the promotion is of 12:00 */
	CHECK_OK(
	    config_load(SOURCE_ROOT "/examples/rtx3060.yaml", DIAG_WARNING, &w->plan, &d, NULL));
	w->promotion = promotion_body();
	w->other = box_other_key(&w->box);
	sign_public_hex(w->other, w->other_public);
	w->keys[0] = w->box.public;
	w->targets[0] = (AdoptedTarget){.parameter = util_name};
	w->targets[1] = (AdoptedTarget){.parameter = size_name};
	w->units[0] = (Adoption){.unit = judge, .targets = &w->targets[0], .n = 1};
	w->units[1] = (Adoption){.unit = kloros, .targets = &w->targets[1], .n = 1};
}

static void world_done(World *w)
{
	validation_done(&w->v);
	config_free(w->plan);
	json_decref(w->promotion);
	sign_key_free(w->other);
	box_done(&w->box);
}

static void validate(World *w)
{
	json_auto_t *promotion = NULL;
	_cleanup_(baseline_done)
	    Baseline b = {.version = 4, .values = values_text(w->util, w->size)};
	Experiment *x = &w->plan->experiments[0];
	b.params = baseline_params_of(b.values);
	if (w->unsigned_)
		promotion = js_deep_copy(w->promotion);
	else
		CHECK_OK(promotion_sign(w->promotion, w->by_other ? w->other : w->box.key,
					&promotion, NULL));
	ValidateInput in = {.promotion = promotion,
			    .x = w->no_experiment ? NULL : x,
			    .baseline = w->no_baseline ? NULL : &b,
			    .units = w->units,
			    .n_units = w->no_units ? 0 : 2,
			    .keys = w->keys,
			    .store = w->no_store ? NULL : w->box.store,
			    .memory = w->memory_off ? NULL : x->memory,
			    .others_bytes = w->others_bytes,
			    .now_us = w->now_us,
			    .max_age_us = 30 * DAY_US};
	validation_done(&w->v);
	CHECK_OK(promotion_validate(&in, &w->v, NULL));
	for (size_t i = 0; i < w->v.n; i++)
		CHECK(w->v.checks[i].words && *w->v.checks[i].words);
}

/* Exactly these checks fail, in their order. */
static void expect(const World *w, const char *failing, const char *words)
{
	_cleanup_(str_done) Str names = STR_INIT, all = STR_INIT;
	for (size_t i = 0; i < w->v.n; i++)
		if (!w->v.checks[i].ok)
			str_addf(&names, "%s%s", names.len ? " " : "", w->v.checks[i].name);
	validation_words(&w->v, &all);
	if (strcmp(names.s ? names.s : "", failing) != 0 || !strstr(all.s ? all.s : "", words))
		test_fail(__FILE__, __LINE__, "failed: \"%s\", want \"%s\" with \"%s\": %s",
			  names.s ? names.s : "", failing, words, all.s ? all.s : "");
	CHECK(w->v.ok == !*failing);
}

static const char *words_of(const World *w, const char *check)
{
	for (size_t i = 0; i < w->v.n; i++)
		if (strcmp(w->v.checks[i].name, check) == 0)
			return w->v.checks[i].words;
	return "";
}

static void set(World *w, const char *member, const char *json)
{
	json_auto_t *list = NULL;
	_cleanup_free_ char *text = str_fmt("[%s]", json);
	list = parse(text);
	CHECK_INT(json_object_set(w->promotion, member, json_array_get(list, 0)), 0);
}

/* The first change goes elsewhere, consistently. */
static void set_util(World *w, double to)
{
	json_t *change = json_array_get(json_object_get(w->promotion, "changes"), 0);
	json_t *params = json_object_get(json_object_get(w->promotion, "winner"), "params");
	json_object_set_new(change, "to", json_real(to));
	json_object_set_new(params, util_name, json_real(to));
}

TEST(a_promotion_that_is_fit_passes_every_check)
{
	World w;
	world_new(&w);
	validate(&w);
	expect(&w, "", "");
	CHECK_INT(w.v.n, 10);
	CHECK(!w.v.isolated && !w.v.colocated);
	CHECK(strstr(words_of(&w, "lineage"), "record 0 of our chain"));
	CHECK(strstr(words_of(&w, "baseline"), "version 4"));
	world_done(&w);
}

TEST(each_rule_alone_refuses)
{
	World w;
	world_new(&w);
	w.unsigned_ = true;
	validate(&w);
	expect(&w, "schema", "has no signature");
	w.unsigned_ = false;

	w.by_other = true;
	validate(&w);
	expect(&w, "signature", "which is not trusted here");
	w.keys[1] = w.other_public;
	validate(&w);
	expect(&w, "", "");
	CHECK(strstr(words_of(&w, "lineage"), "follows record 0") == NULL);
	CHECK(strstr(words_of(&w, "lineage"), "comes from another machine"));
	w.by_other = false;

	w.no_store = true;
	validate(&w);
	expect(&w, "lineage", "the store cannot be read");
	w.no_store = false;

	w.now_us += 40 * DAY_US;
	validate(&w);
	expect(&w, "age", "older than");
	w.now_us = NOW_US - 20 * DAY_US;
	validate(&w);
	expect(&w, "age", "a clock is wrong");
	w.now_us = NOW_US;

	w.no_experiment = true;
	validate(&w);
	expect(&w, "experiment", "has no experiment spica_gpu_allocation");
	w.no_experiment = false;

	w.no_baseline = true;
	validate(&w);
	expect(&w, "baseline", "there is no baseline yet");
	w.no_baseline = false;

	w.no_units = true;
	validate(&w);
	expect(&w, "adopted", "no adopted unit takes vllm_memory_util");
	w.no_units = false;

	w.others_bytes = INT64_C(8) << 30; /* somebody else moved in */
	validate(&w);
	expect(&w, "memory", "8.00 GiB of the GPU used by others now");
	w.memory_off = true;
	validate(&w);
	expect(&w, "", "");
	CHECK(strstr(words_of(&w, "memory"), "switched off"));
	world_done(&w);
}

TEST(every_reason_is_said_at_once)
{
	World w;
	world_new(&w);
	w.by_other = w.no_store = w.no_units = true;
	w.now_us += 40 * DAY_US;
	w.others_bytes = INT64_C(8) << 30;
	snprintf(w.util, sizeof(w.util), "0.60");
	validate(&w);
	expect(&w, "signature lineage age baseline adopted memory",
	       "vllm_memory_util is 0.60 in judge.service, and was 0.5 when it was measured");
	world_done(&w);
}

TEST(a_baseline_that_moved_refuses)
{
	static const struct {
		const char *util, *size, *failing, *words;
	} cases[] = {
	    {"0.50", "small", "", ""},
	    {"0.5", "small", "", ""},
	    {"5e-1", "small", "", ""},
	    {"0.55", "small", "baseline", "vllm_memory_util is 0.55"},
	    {"0.50", "base", "baseline", "whisper_model_size is base"},
	    {"0.55", "base", "baseline", "whisper_model_size is base"},
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		World w;
		world_new(&w);
		snprintf(w.util, sizeof(w.util), "%s", cases[i].util);
		snprintf(w.size, sizeof(w.size), "%s", cases[i].size);
		validate(&w);
		expect(&w, cases[i].failing, cases[i].words);
		world_done(&w);
	}
}

/* What it does not change, but was measured with, must be there too. */
TEST(another_adopted_parameter_that_moved_refuses)
{
	World w;
	world_new(&w);
	json_t *changes = json_object_get(w.promotion, "changes");
	json_t *params = json_object_get(json_object_get(w.promotion, "winner"), "params");
	CHECK_INT(json_array_remove(changes, 1), 0);
	json_object_set_new(params, size_name, json_string("small"));
	validate(&w);
	expect(&w, "", "");
	snprintf(w.size, sizeof(w.size), "tiny");
	validate(&w);
	expect(&w, "baseline", "whisper_model_size is tiny");
	world_done(&w);
}

TEST(what_is_shown_and_what_is_done_are_the_same)
{
	World w;
	world_new(&w);
	json_t *changes = json_object_get(w.promotion, "changes");
	json_t *second = json_incref(json_array_get(changes, 1));
	CHECK_INT(json_array_remove(changes, 1), 0); /* a change that nobody is shown */
	validate(&w);
	expect(&w, "schema", "no change says so");
	CHECK_INT(json_array_append(changes, second), 0);
	CHECK_INT(json_array_append_new(changes, second), 0);
	validate(&w);
	expect(&w, "schema", "it changes whisper_model_size twice");
	CHECK_INT(json_array_remove(changes, 2), 0);
	json_object_set_new(json_array_get(changes, 0), "to", json_real(0.6));
	validate(&w);
	expect(&w, "schema", "change of vllm_memory_util is not the difference of its two sides");
	set(&w, "changes", "[]");
	validate(&w);
	expect(&w, "schema", "it changes nothing");
	world_done(&w);
}

TEST(bounds_and_what_root_allowed_are_asked)
{
	World w;
	world_new(&w);
	set_util(&w, 0.52);
	validate(&w);
	expect(&w, "bounds", "vllm_memory_util");
	set_util(&w, 0.55);
	w.targets[0].allowed = (Allowed){.has_range = true, .min = 0.3, .max = 0.5};
	validate(&w);
	expect(&w, "adopted", "judge.service: vllm_memory_util may not be");
	w.targets[0].allowed.max = 0.6;
	validate(&w);
	expect(&w, "", "");
	world_done(&w);
}

/* The seeds' own mistake: 0.40 leaves no room for the cache. */
TEST(the_memory_model_refuses_what_cannot_start)
{
	World w;
	world_new(&w);
	set_util(&w, 0.40);
	validate(&w);
	expect(&w, "memory", "the memory model refuses it");
	world_done(&w);
}

TEST(stages_that_are_missing_are_to_be_run)
{
	static const struct {
		const char *passed;
		bool isolated, colocated;
	} cases[] = {
	    {"[]", true, true},
	    {"[\"isolated\"]", false, true},
	    {"[\"colocated\"]", false, false},
	    {"[\"isolated\", \"colocated\"]", false, false},
	    {"[\"twin\"]", true, true},
	    {"[\"production\"]", false, false},
	    {"[\"predicted\", \"observed\"]", true, true},
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		World w;
		world_new(&w);
		set(&w, "stages_passed", cases[i].passed);
		validate(&w);
		expect(&w, "", "");
		CHECK_INT(w.v.isolated, cases[i].isolated);
		CHECK_INT(w.v.colocated, cases[i].colocated);
		world_done(&w);
	}
}

TEST(lineage_must_be_in_the_chain_when_it_is_ours)
{
	World w;
	Hash hash;
	int64_t seq;
	char hex[HASH_HEX_SIZE];
	world_new(&w);
	json_auto_t *note = parse("{\"a\": 1}");
	CHECK_OK(store_add(w.box.store, "note", "dream.note/v1", note, NULL, NULL));
	CHECK_OK(store_head(w.box.store, &seq, &hash, NULL));
	hash_hex(&hash, hex);
	json_t *lineage = json_object_get(w.promotion, "lineage");
	json_object_set_new(lineage, "seq", json_integer(seq));
	json_object_set_new(lineage, "hash", json_string(hex));
	validate(&w);
	expect(&w, "", "");
	json_object_set_new(lineage, "seq", json_integer(seq + 1));
	validate(&w);
	expect(&w, "lineage", "not in our chain");
	hex[0] = hex[0] == '0' ? '1' : '0';
	json_object_set_new(lineage, "seq", json_integer(seq));
	json_object_set_new(lineage, "hash", json_string(hex));
	validate(&w);
	expect(&w, "lineage", "another one here");
	world_done(&w);
}

TEST(times_are_read_strictly)
{
	static const struct {
		const char *text;
		bool ok;
		int64_t us;
	} cases[] = {
	    {"1970-01-01T00:00:00Z", true, 0},
	    {"1970-01-01T00:00:01.5Z", true, 1500000},
	    {"2026-11-20T12:30:05.123456Z", true, INT64_C(1795177805123456)},
	    {"2024-02-29T00:00:00Z", true, INT64_C(1709164800000000)},
	    {"2026-11-20T12:30:05.1234567Z", false, 0},
	    {"2025-02-29T00:00:00Z", false, 0},
	    {"2025-02-31T00:00:00Z", false, 0},
	    {"2025-13-01T00:00:00Z", false, 0},
	    {"2025-00-01T00:00:00Z", false, 0},
	    {"2025-01-01T24:00:00Z", false, 0},
	    {"2025-01-01T00:60:00Z", false, 0},
	    {"2025-01-01T00:00:00", false, 0},
	    {"2025-01-01T00:00:00.Z", false, 0},
	    {"2025-01-01T00:00:00+01:00", false, 0},
	    {"2025-01-01 00:00:00Z", false, 0},
	    {"+025-01-01T00:00:00Z", false, 0},
	    {"", false, 0},
	    {"now", false, 0},
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		int64_t us = 0;
		if (time_from_rfc3339(cases[i].text, &us) != cases[i].ok ||
		    (cases[i].ok && us != cases[i].us))
			test_fail(__FILE__, __LINE__, "%s: %" PRId64, cases[i].text, us);
	}
}
