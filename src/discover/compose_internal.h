#pragma once
/* What the files of compose share: which of the servers found are tuned, and with what. */
#include "base/str.h"
#include "discover/machine.h"
#include "discover/tune.h"

typedef struct Part {
	const FoundServer *s;
	Tune tunes[TUNES_MAX];
	size_t n;
} Part;

typedef struct Parts {
	const Machine *m;
	Part *list;
	size_t n, n_tuned;
	bool llm, stt, units;
	bool running; /* one of them holds the GPU now */
	size_t gpu;   /* the one that is tuned */
} Parts;

/* Is this server tuned, when this is the GPU that is? */
bool part_belongs(const Machine *m, size_t gpu, const FoundServer *s);

/* --- compose_services.c ---------------------------------------------------------------------- */

/* `services:`, and in comments what is not among them. */
int compose_services(const Parts *p, Str *out) _must_check_;
/* `memory:`, where a start-up log of vLLM tells what it must know. */
void compose_memory(const Parts *p, Str *out);
