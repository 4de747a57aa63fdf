#include "gpu/placement.h"

#include <stdio.h>
#include <stdlib.h>

static const char *const names[] = {
    [PLACED] = "placed",	 [PLACED_UNKNOWN] = "unknown", [PLACED_LITTLE] = "little",
    [PLACED_NOT] = "not_placed", [PLACED_NO_LIST] = "no_list",
};

const char *placement_name(Placement p)
{
	return names[p];
}

static int by_number(const void *a, const void *b)
{
	pid_t x = *(const pid_t *)a, y = *(const pid_t *)b;
	return (x > y) - (x < y);
}

typedef struct Found {
	size_t n, unknown; /* of the service's processes: on the GPU, and without bytes */
	int64_t bytes;	   /* of those that are known */
	size_t n_hidden;   /* listed by numbers that no process here has */
	int64_t hidden_bytes;
	bool hidden_unknown;
} Found;

static Found look(const GpuState *s, const pid_t *pids, size_t n_pids)
{
	Found f = {0};
	for (size_t i = 0; i < s->n_processes; i++) {
		const GpuProcess *p = &s->processes[i];
		bool ours = n_pids > 0 && bsearch(&p->pid, pids, n_pids, sizeof(*pids), by_number);
		if (ours) {
			f.n++;
			f.unknown += p->used_bytes < 0;
			f.bytes += p->used_bytes > 0 ? p->used_bytes : 0;
		} else if (!p->visible) {
			f.n_hidden++;
			f.hidden_unknown |= p->used_bytes < 0;
			f.hidden_bytes += p->used_bytes > 0 ? p->used_bytes : 0;
		}
	}
	return f;
}

static double mib(int64_t bytes)
{
	return (double)bytes / 1048576.0;
}

/* Not one of its processes is listed: where it is not, or where numbers mean other processes? */
static void prove_absence(PlacementProof *p, const Found *f, const char *service, size_t n_pids,
			  int64_t expected_bytes)
{
	bool may_hide = f->n_hidden > 0 && (f->hidden_unknown || f->hidden_bytes >= expected_bytes);
	if (n_pids == 0) {
		p->placement = PLACED_NOT;
		snprintf(p->reason, sizeof(p->reason), "%.60s has no running process", service);
	} else if (may_hide) {
		p->placement = PLACED_NO_LIST;
		snprintf(p->reason, sizeof(p->reason),
			 "NVML counts processes in another PID namespace than ours (%zu unknown "
			 "numbers): whether %.60s is on the GPU cannot be proved from here",
			 f->n_hidden, service);
	} else {
		p->placement = PLACED_NOT;
		char least[48] = "";
		if (expected_bytes > 0)
			snprintf(least, sizeof(least), ", where it must hold at least %.0f MiB",
				 mib(expected_bytes));
		snprintf(p->reason, sizeof(p->reason),
			 "none of the %zu process%s of %.60s is on the GPU%s", n_pids,
			 n_pids == 1 ? "" : "es", service, least);
	}
}

static void prove_amount(PlacementProof *p, const Found *f, const char *service,
			 int64_t expected_bytes)
{
	const char *es = f->n == 1 ? "" : "es";
	bool enough = f->bytes >= expected_bytes;
	if (!f->unknown)
		p->used_bytes = f->bytes;
	if (enough && (f->bytes > 0 || !f->unknown)) {
		p->placement = PLACED;
		snprintf(p->reason, sizeof(p->reason),
			 "%zu process%s of %.60s hold%s %.0f MiB of the GPU, at least %.0f MiB "
			 "expected",
			 f->n, es, service, f->n == 1 ? "s" : "", mib(f->bytes),
			 mib(expected_bytes));
	} else if (f->unknown) {
		p->placement = PLACED_UNKNOWN;
		snprintf(p->reason, sizeof(p->reason),
			 "%zu process%s of %.60s %s on the GPU, but this driver does not say how "
			 "much memory %s",
			 f->n, es, service, f->n == 1 ? "is" : "are",
			 f->n == 1 ? "it holds" : "they hold");
	} else {
		p->placement = PLACED_LITTLE;
		snprintf(p->reason, sizeof(p->reason),
			 "%zu process%s of %.60s hold%s only %.0f MiB of the GPU where at least "
			 "%.0f MiB are expected",
			 f->n, es, service, f->n == 1 ? "s" : "", mib(f->bytes),
			 mib(expected_bytes));
	}
}

PlacementProof placement_prove(const GpuState *s, const char *service, const pid_t *pids,
			       size_t n_pids, int64_t expected_bytes)
{
	PlacementProof p = {.used_bytes = -1};
	Found f = look(s, pids, n_pids);

	p.n_processes = f.n;
	if (!s->processes_known) {
		p.placement = PLACED_NO_LIST;
		snprintf(p.reason, sizeof(p.reason),
			 "this NVML lists no processes: whether %.60s is on the GPU cannot be "
			 "proved",
			 service);
	} else if (f.n == 0) {
		prove_absence(&p, &f, service, n_pids, expected_bytes);
		p.used_bytes = p.placement == PLACED_NOT ? 0 : -1;
	} else {
		prove_amount(&p, &f, service, expected_bytes);
	}
	return p;
}
