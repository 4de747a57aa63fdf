/* Readings of one device. Each may be unavailable; only a device that is gone is an error. */
#include "gpu/nvml.h"

#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "gpu/nvml_internal.h"

/* The worst that any call of one look said. */
typedef struct Look {
	Nvml *n;
	NvmlDev *dev;
	NvmlReturn fault; /* NVML_SUCCESS: none */
} Look;

static bool is_fault(NvmlReturn r)
{
	return r == NVML_GPU_IS_LOST || r == NVML_UNINITIALIZED || r == NVML_INVALID_ARGUMENT ||
	       r == NVML_RESET_REQUIRED;
}

static bool ok(Look *l, NvmlReturn r)
{
	if (is_fault(r) && l->fault != NVML_GPU_IS_LOST)
		l->fault = r;
	return r == NVML_SUCCESS;
}

/* More than any card has; sums of so many fit. */
#define BYTES_MAX (INT64_C(1) << 50)

static int64_t bytes_of(unsigned long long v)
{
	return v <= BYTES_MAX ? (int64_t)v : -1;
}

/* --- Memory and processes -------------------------------------------------------------------- */

static void read_memory(Look *l, GpuState *s)
{
	const NvmlCalls *call = &l->n->call;
	NvmlMemoryV2 now = {.version = NVML_MEMORY_V2};
	NvmlMemoryV1 old = {0};

	s->total_bytes = s->used_bytes = s->free_bytes = s->reserved_bytes = -1;
	if (call->memory && ok(l, call->memory(l->dev->handle, &now))) {
		s->total_bytes = bytes_of(now.total);
		s->used_bytes = bytes_of(now.used);
		s->free_bytes = bytes_of(now.free);
		s->reserved_bytes = bytes_of(now.reserved);
	} else if (call->memory_old && ok(l, call->memory_old(l->dev->handle, &old))) {
		s->total_bytes = bytes_of(old.total);
		s->used_bytes = bytes_of(old.used);
		s->free_bytes = bytes_of(old.free);
	}
}

/* What a list says of one process, in the longer layout. */
static NvmlProcessV2 entry_of(const void *list, int version, unsigned i)
{
	if (version > 1)
		return ((const NvmlProcessV2 *)list)[i];
	const NvmlProcessV1 *p = &((const NvmlProcessV1 *)list)[i];
	return (NvmlProcessV2){p->pid, p->used, NVML_NO_INSTANCE, NVML_NO_INSTANCE};
}

static GpuProcess *process_of(GpuState *s, pid_t pid)
{
	for (size_t i = 0; i < s->n_processes; i++)
		if (s->processes[i].pid == pid)
			return &s->processes[i];
	if (s->n_processes == GPU_PROCESSES_MAX)
		return NULL;
	s->processes[s->n_processes] = (GpuProcess){.pid = pid, .used_bytes = -1};
	return &s->processes[s->n_processes++];
}

/* A process that is in two lists has the same memory in both; one that is in a list several times
 * has a part of it in each MIG instance. */
static void merge(GpuState *s, const GpuProcess *in_list, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		GpuProcess *p = process_of(s, in_list[i].pid);
		if (!p)
			return;
		p->lists |= in_list[i].lists;
		if (in_list[i].used_bytes > p->used_bytes)
			p->used_bytes = in_list[i].used_bytes;
	}
}

static size_t sum_by_pid(const void *list, int version, unsigned count, unsigned bit,
			 int64_t total_bytes, GpuProcess *ret)
{
	size_t n = 0;
	for (unsigned i = 0; i < count; i++) {
		NvmlProcessV2 e = entry_of(list, version, i);
		int64_t used = e.used == NVML_NO_VALUE ? -1 : bytes_of(e.used);
		size_t k = 0;
		if (e.pid == 0 || e.pid > INT32_MAX)
			continue;
		if (used > (total_bytes > 0 ? total_bytes : BYTES_MAX))
			used = -1;
		while (k < n && ret[k].pid != (pid_t)e.pid)
			k++;
		if (k == n)
			ret[n++] =
			    (GpuProcess){.pid = (pid_t)e.pid, .lists = bit, .used_bytes = used};
		else if (used >= 0)
			ret[k].used_bytes = ret[k].used_bytes < 0 ? used : ret[k].used_bytes + used;
	}
	return n;
}

typedef enum ListAnswer {
	LIST_READ,
	LIST_NONE, /* this driver or card has no such list */
	LIST_FAILED,
} ListAnswer;

static ListAnswer read_list(Look *l, size_t list, GpuState *s)
{
	NvmlProcessV2 raw[GPU_PROCESSES_MAX];
	GpuProcess of_list[GPU_PROCESSES_MAX];
	unsigned count = GPU_PROCESSES_MAX;
	NvmlList *f = l->n->call.lists[list];

	/* The shorter layout fits into the room of the longer one. */
	NvmlReturn r = f ? f(l->dev->handle, &count, raw) : NVML_NOT_SUPPORTED;
	if (r == NVML_NOT_SUPPORTED || r == NVML_NO_PERMISSION || r == NVML_FUNCTION_NOT_FOUND)
		return LIST_NONE;
	if (!ok(l, r) || count > GPU_PROCESSES_MAX)
		return LIST_FAILED;
	merge(
	    s, of_list,
	    sum_by_pid(raw, l->n->list_version[list], count, 1U << list, s->total_bytes, of_list));
	return LIST_READ;
}

/* A list that could not be read this time may hold those who seem to be gone. */
static void read_processes(Look *l, GpuState *s)
{
	bool any = false, failed = false;
	s->n_processes = 0;
	for (size_t i = 0; i < NVML_LISTS; i++) {
		ListAnswer a = read_list(l, i, s);
		any |= a == LIST_READ;
		failed |= a == LIST_FAILED;
	}
	s->processes_known = any && !failed;
	for (size_t i = 0; i < s->n_processes; i++) {
		GpuProcess *p = &s->processes[i];
		p->visible = kill(p->pid, 0) == 0 || errno == EPERM;
	}
}

/* --- Load and power -------------------------------------------------------------------------- */

static int read_number(Look *l, NvmlKind *f, unsigned kind, unsigned below)
{
	unsigned v = 0;
	return f && ok(l, f(l->dev->handle, kind, &v)) && v < below ? (int)v : -1;
}

static void read_load(Look *l, GpuState *s)
{
	const NvmlCalls *call = &l->n->call;
	NvmlUtilization u = {0};
	unsigned long long reasons = 0;
	bool known = call->utilization && ok(l, call->utilization(l->dev->handle, &u));

	s->gpu_pct = known && u.gpu <= 100 ? (int)u.gpu : -1;
	s->memory_pct = known && u.memory <= 100 ? (int)u.memory : -1;
	s->sm_mhz = read_number(l, call->clock, NVML_CLOCK_SM, 100000);
	s->memory_mhz = read_number(l, call->clock, NVML_CLOCK_MEMORY, 100000);
	s->throttle = call->clock_reasons && ok(l, call->clock_reasons(l->dev->handle, &reasons))
			  ? (int64_t)(reasons & INT64_MAX)
			  : -1;
}

static void read_power(Look *l, GpuState *s)
{
	const NvmlCalls *call = &l->n->call;
	unsigned mw = 0;
	unsigned long long mj = 0;

	s->temperature_c = read_number(l, call->temperature, 0, 300);
	s->power_w =
	    call->power && ok(l, call->power(l->dev->handle, &mw)) ? (double)mw / 1e3 : (double)NAN;
	s->energy_j = call->energy && ok(l, call->energy(l->dev->handle, &mj)) ? (double)mj / 1e3
									       : (double)NAN;
}

/* --- A look ---------------------------------------------------------------------------------- */

/* A handle outlives neither a reset nor a reload of the driver; the UUID does. */
static bool renew(Nvml *n, NvmlDev *dev)
{
	NvmlDevice handle;
	if (!n->call.by_uuid || !*dev->info.uuid ||
	    n->call.by_uuid(dev->info.uuid, &handle) != NVML_SUCCESS)
		return false;
	dev->handle = handle;
	return true;
}

static NvmlReturn look_once(Nvml *n, NvmlDev *dev, unsigned what, GpuState *s)
{
	Look l = {.n = n, .dev = dev, .fault = NVML_SUCCESS};
	s->at_us = clock_mono_us(&clock_system);
	if (what & GPU_LOOK_MEMORY) {
		read_memory(&l, s);
		read_processes(&l, s);
	}
	if (what & GPU_LOOK_LOAD)
		read_load(&l, s);
	if (what & GPU_LOOK_POWER)
		read_power(&l, s);
	return l.fault;
}

int nvml_look(Nvml *n, size_t i, unsigned what, GpuState *ret, Err *err)
{
	NvmlDev *dev = &n->devices[i];
	NvmlReturn r = look_once(n, dev, what, ret);
	/* An argument that is not valid may also be one reading that this card does not know. */
	if (is_fault(r) && r != NVML_GPU_IS_LOST && renew(n, dev))
		r = look_once(n, dev, what, ret);
	if (is_fault(r) && (r != NVML_INVALID_ARGUMENT || ret->total_bytes < 0))
		return err_set(err, -ENODEV, "the GPU %s is gone: NVML says: %s", dev->info.uuid,
			       nvml_words(n, r));
	return 0;
}

int nvml_read(Nvml *n, size_t i, GpuState *ret, Err *err)
{
	return nvml_look(n, i, GPU_LOOK_ALL, ret, err);
}

int nvml_activity(Nvml *n, size_t i, GpuActivity *ret, size_t max)
{
	NvmlProcessSample raw[GPU_PROCESSES_MAX];
	unsigned count = GPU_PROCESSES_MAX;
	NvmlDev *dev = &n->devices[i];
	uint64_t newest = dev->samples_at;
	size_t k = 0;

	if (!n->call.samples)
		return -EOPNOTSUPP;
	NvmlReturn r = n->call.samples(dev->handle, raw, &count, dev->samples_at);
	if (r == NVML_NOT_FOUND || r == NVML_INSUFFICIENT_SIZE)
		return 0; /* nobody computed; or so many that none can be told from another */
	if (r != NVML_SUCCESS || count > GPU_PROCESSES_MAX)
		return -EOPNOTSUPP;
	for (unsigned j = 0; j < count; j++) {
		const NvmlProcessSample *s = &raw[j];
		newest = s->at_us > newest ? s->at_us : newest;
		if (k == max || s->pid == 0 || s->pid > INT32_MAX || s->sm > 100 ||
		    s->at_us <= dev->samples_at)
			continue;
		ret[k++] = (GpuActivity){(pid_t)s->pid, (int)s->sm, s->at_us};
	}
	dev->samples_at = newest;
	return (int)k;
}
