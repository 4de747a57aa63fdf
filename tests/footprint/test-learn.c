/* The memory model learns from the starts of trials, and never says more than they said. */
#include <string.h>

#include "base/json.h"
#include "footprint/learn.h"
#include "test.h"

static json_t *parse(const char *text)
{
	json_t *v = NULL;
	CHECK_OK(js_parse(text, strlen(text), 1 << 16, &v, NULL));
	return v;
}

typedef struct Box {
	ServiceSpec judge;
	json_t *settings, *params;
} Box;

static Box box(void)
{
	Box b = {.settings = parse("{\"model\": \"Qwen2.5-7B\", \"max_model_len\": 2048}"),
		 .params = parse("{\"util\": \"gpu_memory_utilization\"}")};
	static char name[] = "judge", kind[] = "vllm", version[] = "0.11.0";
	b.judge = (ServiceSpec){.name = name,
				.kind = kind,
				.version = version,
				.settings = b.settings,
				.params = b.params};
	return b;
}

static void box_done(Box *b)
{
	json_decref(b->settings);
	json_decref(b->params);
}

static int teach(Learned *l, const Box *b, const char *params, const char *start)
{
	json_auto_t *p = parse(params), *s = parse(start);
	Err err = ERR_INIT;
	return learned_start(l, &b->judge, p, s, NULL, &err);
}

static FitVerdict verdict(const Learned *l, const Box *b, const char *params)
{
	json_auto_t *p = parse(params);
	Fit fit = {0};
	CHECK(learned_footprint(l) != NULL);
	CHECK_OK(footprint_predict(learned_footprint(l), &b->judge, 1, p, &fit, NULL));
	FitVerdict v = fit.verdict;
	fit_done(&fit);
	return v;
}

/* The seeds' own start-up log: 0.50 of 11.755 GiB left 0.37 GiB, 6,976 tokens. */
static const char start_at_half[] =
    "{\"kv_gib\": 0.37, \"kv_tokens\": 6976, \"total_bytes\": 12622168064}";

static Footprint declared(VllmFact *fact)
{
	static char model[] = "Qwen2.5-7B", version[] = "0.11.0";
	*fact = (VllmFact){.key = {.model = model, .version = version, .max_model_len = 4096},
			   .non_kv_bytes = INT64_C(6) << 30,
			   .token_bytes = 57344,
			   .block_size = 16};
	return (Footprint){.total_bytes = INT64_C(12622168064), .vllm = {fact, 1}};
}

TEST(one_start_tells_which_shares_cannot_start)
{
	VllmFact fact;
	Footprint fp =
	    declared(&fact); /* of another max_model_len: only the bytes of a token are its */
	_cleanup_(learned_freep) Learned *l = NULL;
	Box b = box();
	CHECK_OK(learned_new(&fp, &l, NULL));
	CHECK_INT(teach(l, &b, "{\"util\": 0.5}", start_at_half), 1);
	CHECK_INT(verdict(l, &b, "{\"util\": 0.40}"), FIT_NO);
	CHECK_INT(verdict(l, &b, "{\"util\": 0.45}"), FIT_NO);
	CHECK_INT(verdict(l, &b, "{\"util\": 0.50}"), FIT_YES);
	CHECK_INT(teach(l, &b, "{\"util\": 0.6}", start_at_half), 0); /* known by now */
	box_done(&b);
}

TEST(two_starts_tell_the_bytes_of_a_token_too)
{
	_cleanup_(learned_freep) Learned *l = NULL;
	Box b = box();
	CHECK_OK(learned_new(NULL, &l, NULL));
	CHECK(learned_footprint(l) == NULL);
	(void)teach(l, &b, "{\"util\": 0.5}", start_at_half);
	CHECK_INT(teach(l, &b, "{\"util\": 0.9}",
			"{\"kv_gib\": 5.08, \"kv_tokens\": 95008, \"total_bytes\": 12622168064}"),
		  1);
	CHECK_INT(verdict(l, &b, "{\"util\": 0.40}"), FIT_NO);
	box_done(&b);
}

TEST(a_start_without_numbers_or_with_garbage_teaches_nothing)
{
	VllmFact fact;
	Footprint fp = declared(&fact);
	_cleanup_(learned_freep) Learned *l = NULL;
	Box b = box();
	CHECK_OK(learned_new(&fp, &l, NULL));
	CHECK_INT(teach(l, &b, "{\"util\": 0.5}", "{}"), 0);
	CHECK_INT(teach(l, &b, "{\"util\": \"half\"}", start_at_half), 0);
	CHECK_INT(teach(l, &b, "{\"util\": 0.5}", "{\"kv_gib\": -1, \"kv_tokens\": -5}"), 0);
	CHECK_INT(teach(l, &b, "{\"util\": 0.5}",
			"{\"kv_gib\": 1e300, \"kv_tokens\": 6976, \"total_bytes\": 5}"),
		  0);
	CHECK_INT(learned_footprint(l)->vllm.n, 1);
	box_done(&b);
}

TEST(a_start_is_kept_as_it_was_said)
{
	VllmStart s = {.kv_gib = 0.37,
		       .kv_tokens = 6976,
		       .total_bytes = 5,
		       .no_kv = true,
		       .share = (double)NAN};
	json_auto_t *o = vllm_start_json(&s);
	CHECK_INT(json_object_size(o), 4);
	CHECK(js_bool(o, "no_kv", false));
	CHECK_INT(js_int(o, "kv_tokens", 0), 6976);
}
