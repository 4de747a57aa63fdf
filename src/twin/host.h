#pragma once
/* The services of one trial: what each holds, what it wrote, how it went. */
#include "twin/load.h"
#include "twin/settings.h"

typedef struct Service {
	const ServiceSpec *spec; /* borrowed; NULL: a tenant of the box */
	const char *name;
	Settings set;
	size_t owner; /* in the ledger */
	json_t *log;  /* its lines, newest last; NULL: `say` hears them */
	void (*say)(void *ctx, const char *line);
	void *say_ctx;
	bool lost; /* memory ran out while a line was written */
	bool on_cpu;
	int64_t start_us; /* how long it took to start */
} Service;

typedef struct Host {
	const Box *box;
	Sim sim;
	Measurement *m; /* gets the outcome of what goes wrong */
	bool failed;
} Host;

void service_say(Service *v, const char *fmt, ...) _printf_(2, 3);
/* The candidate failed: the first one decides. Halts the simulation. */
int host_fail(Host *h, Outcome o, const char *cause, const char *fmt, ...) _printf_(4, 5);
/* PyTorch's words for an allocation that does not fit, into the service's log. */
void service_says_oom(Service *v, const Ledger *gpu, int64_t wanted_bytes);
/* "1.17 GiB" for people and logs. */
double gib(int64_t bytes);
