#pragma once
/* Did anybody else disturb a trial? Pure: told what foreign processes do, look by look.
 *
 * Who was there before is tolerated as long as it holds no more than then (within a tolerance) and
 * does not compute. Somebody new with memory is contention, and so is growth, and work on the
 * multiprocessors in several samples. While a service of ours starts, also somebody who gives
 * memory back: a server that measures how much is free (vLLM's profile run) then takes what is not
 * its own or fails. New windows of a desktop are tolerated up to the same tolerance. */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "gpu/nvml.h"

typedef enum ContentionKind {
	CONTENTION_NONE,
	CONTENTION_NEW,
	CONTENTION_GREW,
	CONTENTION_SHRANK,
	CONTENTION_ENDED,
	CONTENTION_ACTIVE,
} ContentionKind;

typedef struct ContentionRules {
	int64_t tolerance_bytes;
	int active_pct;	    /* of a sample; below it a process is idle */
	int active_samples; /* that many make it active */
	int confirm_looks;  /* somebody new is believed after so many looks in a row */
	int hidden_looks;   /* the same for a number that no process here has (any more) */
} ContentionRules;

extern const ContentionRules contention_rules; /* 64 MiB, 10 %, 3, 2, 10 */

typedef struct ContentionFinding {
	ContentionKind kind;
	pid_t pid;
	bool visible;
	int64_t from_bytes, to_bytes; /* -1: unknown */
	int sm_pct;
	int64_t at_us;
} ContentionFinding;

typedef struct Tenant {
	pid_t pid;
	unsigned lists;
	bool visible;
	bool before, present, found;
	int64_t before_bytes, now_bytes, peak_bytes; /* -1: unknown */
	int looks, missing;
	int active, peak_sm_pct;
	uint64_t sample_us;
	ContentionFinding finding; /* of one that was found */
} Tenant;

typedef struct Contention {
	ContentionRules rules;
	Tenant tenants[GPU_PROCESSES_MAX];
	size_t n_tenants;
	bool overflow; /* more foreign processes than we can follow */
	size_t n_findings;
	ContentionFinding first;
} Contention;

/* `foreign`: everybody on the card who is not ours. */
void contention_begin(Contention *c, const ContentionRules *rules, const GpuProcess *foreign,
		      size_t n);
/* `starting`: a service of ours starts. True: this look found something new. */
bool contention_look(Contention *c, int64_t at_us, bool starting, const GpuProcess *foreign,
		     size_t n);
/* Samples of foreign processes. */
bool contention_activity(Contention *c, int64_t at_us, const GpuActivity *samples, size_t n);
/* It is one of ours after all: what was found about it never was. */
void contention_forget(Contention *c, pid_t pid);

/* "process 4711 (ollama.service) came 12.3 s after the start and holds 500 MiB". `who` in words, ""
 * when nothing is known; `since_us`: the start. */
void contention_words(const ContentionFinding *f, const char *who, int64_t since_us, char *ret,
		      size_t size);
