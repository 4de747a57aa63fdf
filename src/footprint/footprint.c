/* How `memory:` is written in dream.yaml, and what its values own. */
#include "footprint/footprint.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Beyond these a number is a typing mistake, and sums of them still fit into 64 bits. */
#define BYTES_MAX	1125899906842624.0
#define TOKEN_BYTES_MAX 1073741824.0

#define AT(member) offsetof(VllmFact, member)
static const ConfField vllm_fact_fields[] = {
    {"version", CONF_T_STRING, AT(key.version), .help = "The server version this was seen with"},
    {"model", CONF_T_STRING, AT(key.model), .help = "The model this holds for"},
    {"kv_cache_dtype", CONF_T_STRING, AT(key.kv_cache_dtype),
     .help = "The --kv-cache-dtype this holds for"},
    {"max_model_len", CONF_T_INT, AT(key.max_model_len),
     .help = "The --max-model-len this holds for", .min = 1, .max = 1e9},
    {"max_num_seqs", CONF_T_INT, AT(key.max_num_seqs), .help = "The --max-num-seqs this holds for",
     .min = 1, .max = 1e9},
    {"max_num_batched_tokens", CONF_T_INT, AT(key.max_num_batched_tokens),
     .help = "The --max-num-batched-tokens this holds for", .min = 1, .max = 1e9},
    {"enforce_eager", CONF_T_BOOL, AT(key.enforce_eager),
     .help = "Whether --enforce-eager was given"},
    {"non_kv_bytes", CONF_T_BYTES, AT(non_kv_bytes),
     .help = "What weights, activations and the rest take out of the budget before the KV cache",
     .required = true, .min = 1, .max = BYTES_MAX},
    {"token_bytes", CONF_T_BYTES, AT(token_bytes), .help = "KV cache for one token",
     .required = true, .min = 1, .max = TOKEN_BYTES_MAX},
    {"block_size", CONF_T_INT, AT(block_size), .help = "Tokens in a block of the KV cache",
     .otherwise = "16", .min = 1, .max = 65536},
    {"source", CONF_T_STRING, AT(source), .help = "Where the numbers come from",
     .otherwise = "declared"},
    {0},
};
#undef AT

static const ConfTable vllm_fact_table = {
    .name = "vLLM memory fact",
    .help = "What one vLLM configuration needs, as one start-up log tells it",
    .size = sizeof(VllmFact),
    .fields = vllm_fact_fields,
};

static void whisper_fact_check(const ConfNode *n, void *target, Diags *d)
{
	WhisperFact *f = target;

	if (f->load_bytes == 0)
		f->load_bytes = f->steady_bytes;
	if (f->load_bytes < f->steady_bytes)
		conf_fault(conf_get(n, "load_bytes"), d, "at least steady_bytes",
			   "the peak while loading is smaller than what stays");
}

#define AT(member) offsetof(WhisperFact, member)
static const ConfField whisper_fact_fields[] = {
    {"size", CONF_T_STRING, AT(size), .help = "The model size this holds for", .required = true},
    {"engine", CONF_T_STRING, AT(engine),
     .help = "The engine this holds for, for example openai-whisper; absent: any"},
    {"load_bytes", CONF_T_BYTES, AT(load_bytes),
     .help = "The peak while the model loads; absent: steady_bytes", .min = 1, .max = BYTES_MAX},
    {"steady_bytes", CONF_T_BYTES, AT(steady_bytes), .help = "What it takes once loaded",
     .required = true, .min = 1, .max = BYTES_MAX},
    {0},
};
#undef AT

static const ConfTable whisper_fact_table = {
    .name = "Whisper memory fact",
    .help = "What one Whisper size needs, the CUDA context not counted",
    .size = sizeof(WhisperFact),
    .fields = whisper_fact_fields,
    .check = whisper_fact_check,
};

#define AT(member) offsetof(Footprint, member)
static const ConfField footprint_fields[] = {
    {"total_bytes", CONF_T_BYTES, AT(total_bytes),
     .help = "The memory of the GPU as CUDA reports it (less than what is printed on the box)",
     .required = true, .min = 1, .max = BYTES_MAX},
    {"context_bytes", CONF_T_BYTES, AT(context_bytes),
     .help = "What each process takes for its CUDA context, outside any budget of its own",
     .min = 0, .max = BYTES_MAX},
    {"reserve_bytes", CONF_T_BYTES, AT(reserve_bytes), .help = "What must stay free", .min = 0,
     .max = BYTES_MAX},
    {"others_bytes", CONF_T_BYTES, AT(others_bytes),
     .help = "What processes take that are always there and not listed under services", .min = 0,
     .max = BYTES_MAX},
    {"vllm", CONF_T_LIST, AT(vllm), .help = "Facts about vLLM, one for each configuration seen",
     .table = &vllm_fact_table},
    {"whisper", CONF_T_LIST, AT(whisper), .help = "Facts about Whisper, one for each size",
     .table = &whisper_fact_table},
    {0},
};
#undef AT

const ConfTable footprint_table = {
    .name = "memory",
    .help = "The memory model: what is known about who takes how much of the GPU",
    .size = sizeof(Footprint),
    .fields = footprint_fields,
};

const char *fit_verdict_name(FitVerdict v)
{
	switch (v) {
	case FIT_YES:
		return "fits";
	case FIT_NO:
		return "infeasible";
	case FIT_UNKNOWN:
		break;
	}
	return "unknown, try it";
}

void fit_done(Fit *f)
{
	free(f->reason);
	*f = (Fit){0};
}

static char *copy_text(const char *s, bool *failed)
{
	char *copy = s ? strdup(s) : NULL;

	*failed |= s && !copy;
	return copy;
}

int vllm_key_copy(const VllmKey *k, VllmKey *ret)
{
	bool failed = false;

	*ret = *k;
	ret->version = copy_text(k->version, &failed);
	ret->model = copy_text(k->model, &failed);
	ret->kv_cache_dtype = copy_text(k->kv_cache_dtype, &failed);
	return failed ? -ENOMEM : 0;
}

void vllm_key_done(VllmKey *k)
{
	free(k->version);
	free(k->model);
	free(k->kv_cache_dtype);
	*k = (VllmKey){0};
}

void vllm_fact_done(VllmFact *f)
{
	vllm_key_done(&f->key);
	free(f->source);
	*f = (VllmFact){0};
}
