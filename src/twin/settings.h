#pragma once
/* A service's settings, checked against what its kind knows on this box. Setting names are the
 * servers' own flags with underscores. */
#include "twin/box.h"

typedef enum ServiceKind {
	SERVICE_VLLM,
	SERVICE_WHISPER,
	SERVICE_PROCESS, /* one of the box's tenants, run as a service */
} ServiceKind;

typedef struct VllmSettings {
	const LlmModel *model;
	double share; /* gpu_memory_utilization */
	int64_t max_model_len, max_num_seqs, max_num_batched_tokens;
	bool eager, fp8;
} VllmSettings;

typedef struct WhisperSettings {
	const WhisperModel *model;
	int64_t beams;
} WhisperSettings;

typedef struct Settings {
	ServiceKind kind;
	VllmSettings vllm;
	WhisperSettings whisper;
	const Tenant *tenant;
} Settings;

/* -EINVAL with a sentence for an unknown kind, model or setting, or a value out of range. */
int settings_read(const Box *b, const ServiceSpec *s, const json_t *params, Settings *ret,
		  Err *err) _must_check_;
