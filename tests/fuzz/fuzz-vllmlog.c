/* A start-up log of anybody: read, and calibrated from as if it were to be believed. */
#include <string.h>

#include "fuzz.h"
#include "server/vllm_log.h"

static void calibrate(const VllmStart *s)
{
	VllmStart other = *s;
	VllmStart both[2];
	VllmFact f;

	other.share = s->share / 2;
	other.kv_tokens = s->kv_tokens / 2;
	other.kv_gib = s->kv_gib / 2;
	both[0] = *s;
	both[1] = other;
	for (int given = 0; given < 2; given++) {
		for (size_t n = 1; n <= 2; n++) {
			Err err = ERR_INIT;
			int r =
			    footprint_calibrate(both, n, 0, given ? 57344 : 0, "fuzz", &f, &err);
			MUST(r == 0 || err.msg[0] != '\0');
			if (r < 0)
				continue;
			MUST(f.token_bytes > 0 && f.block_size > 0 && f.non_kv_bytes > 0);
			vllm_fact_done(&f);
		}
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	VllmLog l;

	if (vllm_log_parse((const char *)data, size, &l, NULL) < 0)
		return 0;
	MUST(l.start.block_size >= 1 && l.start.block_size <= 65536);
	MUST(l.start.kv_tokens >= 0 && l.start.key.max_model_len >= 0);
	MUST(!(l.start.share <= 0) && !(l.start.share > 1));
	MUST((l.line != NULL) == (l.end != VLLM_LOG_UNKNOWN));
	for (const char *p = l.line; p && *p; p++)
		MUST((unsigned char)*p >= 0x20 && *p != 0x7f);
	calibrate(&l.start);
	vllm_log_done(&l);
	return 0;
}
