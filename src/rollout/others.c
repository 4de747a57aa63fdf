#include "rollout/others.h"

#include <stdlib.h>
#include <string.h>

#include "gpu/nvml.h"
#include "gpu/owners.h"

static bool is_adopted(const char *unit, const Adoption *units, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (strcmp(units[i].unit, unit) == 0)
			return true;
	return false;
}

static int64_t sum(const GpuState *g, const Experiment *x, const Adoption *units, size_t n_units)
{
	int64_t all = 0;
	if (!g->processes_known)
		return -1;
	for (size_t i = 0; i < g->n_processes; i++) {
		const GpuProcess *p = &g->processes[i];
		_cleanup_free_ char *home = NULL;
		if (p->used_bytes < 0 || !p->visible || process_home(p->pid, &home) < 0)
			return -1;
		/* A container may well be that of an adopted unit: it cannot be told. */
		if (strncmp(home, "docker ", 7) == 0 || strncmp(home, "podman ", 7) == 0)
			return -1;
		if (!is_adopted(home, units, n_units) && !experiment_service(x, home))
			all += p->used_bytes;
	}
	return all;
}

int64_t others_bytes(const Experiment *x, const Adoption *units, size_t n_units)
{
	_cleanup_(nvml_closep) Nvml *nvml = NULL;
	_cleanup_free_ GpuState *state = calloc(1, sizeof(*state));
	Err ignored = ERR_INIT;
	size_t card = 0;
	if (!state || nvml_open(NULL, &nvml, &ignored) < 0)
		return -1;
	if (x->gpu ? nvml_find(nvml, x->gpu, &card, &ignored) < 0 : nvml_count(nvml) != 1)
		return -1;
	if (nvml_read(nvml, card, state, &ignored) < 0)
		return -1;
	return sum(state, x, units, n_units);
}
