#pragma once
/* A store and a key in a folder of their own, a clock that the test owns, and a promotion. */
#include <sys/wait.h>
#include <unistd.h>

#include "base/json.h"
#include "record/decision.h"
#include "record/promotion.h"
#include "rollout/approval.h"
#include "rollout/baseline.h"
#include "scratch.h"
#include "store/store.h"
#include "test.h"

#define NOW_US	INT64_C(1764000000000000)
#define HOUR_US INT64_C(3600000000)
#define DAY_US	(24 * HOUR_US)

typedef struct Box {
	char dir[64], path[96], key_path[96];
	int64_t now_us;
	Clock clock;
	Store *store;
	SignKey *key;
	char public[PUBLIC_KEY_HEX_SIZE];
} Box;

static int64_t box_now(void *ctx)
{
	Box *b = ctx;
	return b->now_us;
}

__attribute__((unused)) static void box_new(Box *b)
{
	*b = (Box){.now_us = NOW_US};
	snprintf(b->dir, sizeof(b->dir), "%s/dream-rollout-XXXXXX", scratch_root());
	CHECK(mkdtemp(b->dir));
	snprintf(b->path, sizeof(b->path), "%s/dream.db", b->dir);
	snprintf(b->key_path, sizeof(b->key_path), "%s/dream.key", b->dir);
	b->clock = (Clock){box_now, box_now, b};
	CHECK_OK(sign_key_load(b->key_path, &b->key, NULL));
	sign_public_hex(b->key, b->public);
	CHECK_OK(store_open(b->path, STORE_WRITE, &b->clock, &b->store, NULL));
}

__attribute__((unused)) static void box_done(Box *b)
{
	b->store = store_close(b->store);
	b->key = sign_key_free(b->key);
	CHECK_INT(scratch_clear(b->dir), 0);
}

__attribute__((unused)) static SignKey *box_other_key(const Box *b)
{
	char path[112];
	SignKey *key = NULL;
	snprintf(path, sizeof(path), "%s/other.key", b->dir);
	CHECK_OK(sign_key_load(path, &key, NULL));
	return key;
}

__attribute__((unused)) static json_t *parse(const char *text)
{
	json_t *v = NULL;
	Err err = ERR_INIT;
	if (js_parse(text, strlen(text), 1 << 20, &v, &err) < 0)
		test_fail(__FILE__, __LINE__, "%s in %s", err.msg, text);
	return v;
}

/* vllm_memory_util 0.5 -> 0.55 and whisper_model_size small -> base, measured, not signed. */
__attribute__((unused)) static json_t *promotion_body(void)
{
	return parse(
	    "{\"schema\": \"dream.promotion/v1\", \"id\": \"promotion-spica-1\", \"state\": "
	    "\"proposed\","
	    " \"created_at\": \"2025-11-24T12:00:00.123456Z\","
	    " \"experiment\": \"spica_gpu_allocation\", \"epoch\": 1, \"evolution\": 1,"
	    " \"context\": \"0123\","
	    " \"winner\": {\"params\": {\"vllm_memory_util\": 0.55, \"whisper_model_size\": "
	    "\"base\"},"
	    "  \"config_hash\": \"0123456789abcdef\","
	    "  \"metrics\": {\"llm_latency_ms\": {\"mean\": 311.25, \"lo\": 300.1, \"hi\": 322,"
	    "   \"n\": 6}}, \"fitness\": {\"mean\": 0.7, \"lo\": 0.69, \"hi\": 0.71, \"n\": 6}},"
	    " \"baseline\": {\"params\": {\"vllm_memory_util\": 0.5, \"whisper_model_size\": "
	    "\"small\"},"
	    "  \"config_hash\": \"f47ecf886cf6beaa\","
	    "  \"fitness\": {\"mean\": 0.5, \"lo\": 0.49, \"hi\": 0.51, \"n\": 6}},"
	    " \"fitness_gain\": {\"mean\": 0.2, \"lo\": 0.1, \"hi\": 0.3, \"n\": 6},"
	    " \"differences\": {\"llm_latency_ms\": {\"mean\": -1e-05, \"lo\": null, \"hi\": null,"
	    "   \"n\": 0}}, \"seed_mark\": true,"
	    " \"changes\": [{\"parameter\": \"vllm_memory_util\", \"from\": 0.5, \"to\": 0.55,"
	    "   \"effect\": {\"verdict\": \"winner\", \"reason\": \"fitness is better by 0.1\","
	    "     \"fitness\": {\"mean\": 0.1, \"lo\": 0.05, \"hi\": 0.15, \"n\": 6}, \"metrics\": "
	    "{}},"
	    "   \"targets\": [{\"unit\": \"judge.service\", \"flag\": "
	    "\"--gpu-memory-utilization\"}]},"
	    "  {\"parameter\": \"whisper_model_size\", \"from\": \"small\", \"to\": \"base\","
	    "   \"effect\": {\"verdict\": \"not_measured\", \"reason\": \"not measured: é\"},"
	    "   \"targets\": [{\"unit\": \"kloros.service\", \"env\": \"ASR_WHISPER_SIZE\"}]}],"
	    " \"stages_passed\": [\"colocated\"], \"workloads\": [\"steady\", \"in clumps\"],"
	    " \"rule\": {\"confidence\": 0.95, \"interval_confidence\": 0.975,"
	    "  \"pairs_per_workload\": 6, \"min_pairs\": 5, \"finalists\": 2},"
	    " \"lineage\": {\"seq\": 0,"
	    "  \"hash\": \"0000000000000000000000000000000000000000000000000000000000000000\","
	    "  \"search_trial\": 3, \"confirming_trials\": [4, 5, 6]},"
	    " \"configuration_sha256\":"
	    "  \"0000000000000000000000000000000000000000000000000000000000000000\"}");
}

__attribute__((unused)) static json_t *signed_promotion(const SignKey *key)
{
	json_auto_t *body = promotion_body();
	json_t *promotion = NULL;
	CHECK_OK(promotion_sign(body, key, &promotion, NULL));
	return promotion;
}

__attribute__((unused)) static json_t *values_text(const char *util, const char *size)
{
	return json_pack("{s:{s:s}, s:{s:s}}", "judge.service", "vllm_memory_util", util,
			 "kloros.service", "whisper_model_size", size);
}

/* Version 1: 0.50 and small. */
__attribute__((unused)) static void first_baseline(Box *b)
{
	_cleanup_(baseline_done) Baseline first = {.generation = "0123456789abcdef",
						   .why = "adopted",
						   .by = "anna",
						   .values = values_text("0.50", "small")};
	CHECK_OK(baseline_append(b->store, b->key, &first, NULL));
	CHECK_INT(first.version, 1);
}
