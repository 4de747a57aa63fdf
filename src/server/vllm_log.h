#pragma once
/* What a vLLM server writes at start-up, in the versions' several wordings (facts: the texts are
 * the server's). Hostile input: any bytes, any length. */
#include <stddef.h>

#include "base/err.h"
#include "footprint/footprint.h"

enum {
	VLLM_LOG_MAX = 16 << 20
};

typedef enum VllmLogEnd {
	VLLM_LOG_UNKNOWN,
	VLLM_LOG_STARTED,
	VLLM_LOG_NO_KV,		  /* No available memory for the cache blocks */
	VLLM_LOG_KV_TOO_SMALL,	  /* To serve at least one request with the model's max seq len */
	VLLM_LOG_FREE_TOO_LITTLE, /* Free memory on device ... is less than desired */
	VLLM_LOG_OOM,
} VllmLogEnd;

typedef struct VllmLog {
	VllmStart start;
	VllmLogEnd end;
	double weights_gib; /* NAN where not said */
	double free_gib, device_gib;
	char *line; /* the line that decided `end`; NULL */
} VllmLog;

int vllm_log_parse(const char *text, size_t len, VllmLog *ret, Err *err) _must_check_;
void vllm_log_done(VllmLog *l);
