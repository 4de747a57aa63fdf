#pragma once
/* The RTX 3060 of the seed documents, as a person would declare it from the start at 0.50. */
#include <jansson.h>

#include "footprint/footprint.h"
#include "test.h"

#define SEED_TOTAL   INT64_C(12622168064) /* bytes, as CUDA reports it */
#define SEED_NON_KV  INT64_C(5910948741)  /* 5.505 GiB */
#define SEED_TOKEN   INT64_C(57344)	  /* 2 x 28 layers x 4 kv heads x 128 x 2 bytes */
#define SEED_OTHERS  INT64_C(1200000000)
#define SEED_CONTEXT INT64_C(121634816) /* 116 MiB */

typedef struct TestBox {
	VllmFact vllm;
	WhisperFact whisper[3];
	Footprint fp;
	ServiceSpec services[2];
} TestBox;

/* Literals as the values of char * members: nothing here is ever freed or written. */
static inline char *lit(const char *s)
{
	char *p;

	memcpy(&p, &s, sizeof(p));
	return p;
}

static inline void test_box(TestBox *b)
{
	*b = (TestBox){
	    .vllm = {.key = {.version = lit("0.11.0"),
			     .model = lit("Qwen2.5-7B-Instruct-AWQ"),
			     .max_model_len = 2048,
			     .enforce_eager = true},
		     .non_kv_bytes = SEED_NON_KV,
		     .token_bytes = SEED_TOKEN,
		     .block_size = 16,
		     .source = lit("declared")},
	    .whisper = {{lit("tiny"), NULL, 500000000, 400000000},
			{lit("base"), NULL, 1000000000, 800000000},
			{lit("small"), NULL, 1500000000, 1000000000}},
	    .services = {{.name = lit("judge"),
			  .kind = lit("vllm"),
			  .version = lit("0.11.0"),
			  .settings =
			      json_pack("{s:s, s:i, s:b}", "model", "Qwen2.5-7B-Instruct-AWQ",
					"max_model_len", 2048, "enforce_eager", 1),
			  .params = json_pack("{s:s}", "u", "gpu_memory_utilization")},
			 {.name = lit("voice"),
			  .kind = lit("whisper"),
			  .settings = json_object(),
			  .params = json_pack("{s:s}", "size", "model_size")}},
	};
	b->fp = (Footprint){.total_bytes = SEED_TOTAL,
			    .context_bytes = SEED_CONTEXT,
			    .others_bytes = SEED_OTHERS,
			    .vllm = {&b->vllm, 1},
			    .whisper = {b->whisper, 3}};
}

static inline void test_box_done(TestBox *b)
{
	for (size_t i = 0; i < 2; i++) {
		json_decref(b->services[i].settings);
		json_decref(b->services[i].params);
	}
}

static inline void test_predict(const TestBox *b, double u, const char *size, Fit *ret)
{
	json_t *params = json_pack("{s:f, s:s}", "u", u, "size", size);

	CHECK_OK(footprint_predict(&b->fp, b->services, 2, params, ret, NULL));
	json_decref(params);
}
