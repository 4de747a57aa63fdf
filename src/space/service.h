#pragma once
/* The model services of a box and how a candidate reaches them. A service has settings: those that
 * are fixed, and those that follow a parameter of the space. What a setting does is the business of
 * its kind
 * ("vllm", "whisper", "process"): the memory model, the twin and the real servers each read the
 * same settings and never each other. Setting names are the servers' own flag names with
 * underscores. */
#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"
#include "conf/conf.h"

/* One entry of `services:`
 *   judge:
 *     kind: vllm
 *     unit: judge.service
 *     settings: {model: Qwen2.5-7B-Instruct-AWQ, max_model_len: 2048}
 *     params: {vllm_memory_util: gpu_memory_utilization}       # parameter of the space: setting
 *     tuned: follows from params being non-empty */
typedef struct ServiceSpec {
	char *name;
	char *kind;
	char *unit;	  /* the systemd unit in production; may be NULL */
	char *version;	  /* of the server, for facts that depend on it; may be NULL */
	json_t *settings; /* object, or NULL */
	json_t *params;	  /* object: parameter -> setting, or NULL */
} ServiceSpec;

extern const ConfTable service_table;

bool service_is_tuned(const ServiceSpec *s);

/* The settings that this candidate gives the service: a new object; NULL when out of memory. */
json_t *service_settings(const ServiceSpec *s, const json_t *params);
