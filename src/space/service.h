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
#include <stdint.h>

#include "base/err.h"
#include "conf/conf.h"

/* What a trial's service may use, for as long as it runs. 0: no limit. */
typedef struct ServiceLimits {
	double cpus; /* CPUQuota= */
	int64_t memory_bytes, tasks, runtime_us;
	int64_t mps_threads_pct, mps_memory_bytes; /* of the GPU, where MPS runs */
} ServiceLimits;

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

	/* How it is really started. */
	char *from_unit; /* the trial's command is this unit's, with the tuned settings and the port
			    changed */
	ConfStrings command; /* or this one, by hand */
	json_t
	    *env; /* object of texts, added to the environment. May hold secrets: never recorded */
	char *cwd;
	json_t *places; /* object: setting -> {flag: --x}, {switch: --x} or {env: X}, where the kind
			   does not know */
	json_t *values; /* object: setting -> object: value -> the text that the place gets */
	int64_t ready_timeout_us, stop_timeout_us;
	int64_t gpu_bytes; /* it must hold at least this much of the GPU when it is ready; 0: any */
	bool cpu;	   /* it is meant to run on the CPU: no placement is asked of it */
	ConfStrings probe; /* kind command: a program that ends with 0 when the service is ready */
	char *ready_text;  /* or a text that its output has then */
	ServiceLimits limits;

	/* How it is asked. */
	char *url; /* where production listens: stage `observed`, and the port that a trial must not
		      use */
	char *protocol;	  /* as `dream bench --protocol` calls it; NULL: the kind's */
	char *model;	  /* what requests name; NULL: what the command says */
	char *token_file; /* a file with the bearer token; NULL */
	json_t *ask;	  /* object: members of every LLM request ({ignore_eos: true}), or NULL */
} ServiceSpec;

extern const ConfTable service_table;

bool service_is_tuned(const ServiceSpec *s);
/* The text that a setting's value is given as: what `values` says, else the value itself (true,
 * 0.5, small). New string; NULL when out of memory. */
char *service_value_text(const ServiceSpec *s, const char *setting, const json_t *value);

/* The settings that this candidate gives the service: a new object; NULL when out of memory. */
json_t *service_settings(const ServiceSpec *s, const json_t *params);
