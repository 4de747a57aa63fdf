/* Xids, as they happen to the simulated cards. */
#include <poll.h>
#include <stdlib.h>

#include "twin/nvml/internal.h"

typedef struct EventSet {
	bool used;
	bool registered[DEVICES_MAX];
	uint64_t seen[DEVICES_MAX];
} EventSet;

static EventSet sets[SETS_MAX];

static EventSet *set_of(NvmlEventSet handle)
{
	EventSet *set = (EventSet *)(void *)handle;
	for (size_t i = 0; i < SETS_MAX; i++)
		if (set == &sets[i] && set->used && library.users > 0)
			return set;
	return NULL;
}

NvmlReturn nvmlDeviceGetSupportedEventTypes(NvmlDevice d, unsigned long long *ret)
{
	NvmlReturn why;
	const Device *dev = device_of(d, &why);
	if (!dev || !ret)
		return dev ? NVML_INVALID_ARGUMENT : why;
	*ret = NVML_EVENT_XID;
	return NVML_SUCCESS;
}

NvmlReturn nvmlEventSetCreate(NvmlEventSet *ret)
{
	if (library.users == 0)
		return NVML_UNINITIALIZED;
	if (!ret)
		return NVML_INVALID_ARGUMENT;
	for (size_t i = 0; i < SETS_MAX; i++) {
		if (sets[i].used)
			continue;
		sets[i] = (EventSet){.used = true};
		*ret = (NvmlEventSet)(void *)&sets[i];
		return NVML_SUCCESS;
	}
	return NVML_MEMORY;
}

NvmlReturn nvmlEventSetFree(NvmlEventSet handle)
{
	EventSet *set = set_of(handle);
	if (!set)
		return NVML_INVALID_ARGUMENT;
	set->used = false;
	return NVML_SUCCESS;
}

NvmlReturn nvmlDeviceRegisterEvents(NvmlDevice d, unsigned long long types, NvmlEventSet handle)
{
	NvmlReturn why;
	const Device *dev = device_of(d, &why);
	EventSet *set = set_of(handle);
	if (!dev || !set)
		return dev ? NVML_INVALID_ARGUMENT : why;
	if (types & ~(unsigned long long)NVML_EVENT_XID)
		return NVML_NOT_SUPPORTED;
	size_t i = (size_t)(dev - library.devices);
	set->registered[i] = true;
	set->seen[i] = dev->gpu->n_xids; /* what happened before is not told */
	return NVML_SUCCESS;
}

/* A card that is lost still told why. */
static bool next_event(EventSet *set, NvmlEvent *ret)
{
	for (size_t i = 0; i < library.n_devices; i++) {
		SharedGpu *gpu = library.devices[i].gpu;
		uint64_t n = __atomic_load_n(&gpu->n_xids, __ATOMIC_ACQUIRE);
		if (!set->registered[i] || n == set->seen[i])
			continue;
		if (n - set->seen[i] > SHARED_XIDS_MAX)
			set->seen[i] = n - SHARED_XIDS_MAX;
		ret->device = (NvmlDevice)(void *)&library.devices[i];
		ret->type = NVML_EVENT_XID;
		ret->data = gpu->xids[set->seen[i]++ % SHARED_XIDS_MAX];
		return true;
	}
	return false;
}

static bool wait_for_news(unsigned timeout_ms)
{
	struct pollfd fds[DEVICES_MAX];
	nfds_t n = 0;
	for (size_t i = 0; i < library.n_devices; i++) {
		int fd = shared_watch(library.devices[i].gpu);
		if (fd >= 0)
			fds[n++] = (struct pollfd){.fd = fd, .events = POLLIN};
	}
	bool news = poll(fds, n, (int)timeout_ms) > 0;
	for (size_t i = 0; news && i < library.n_devices; i++)
		if (shared_watch(library.devices[i].gpu) >= 0)
			shared_calm(library.devices[i].gpu);
	return news;
}

/* News may be of something else; so the wait can end before its time with nothing, as callers of
 * the real one must expect too. */
static NvmlReturn wait_event(NvmlEventSet handle, NvmlEvent *ret, unsigned timeout_ms)
{
	EventSet *set = set_of(handle);
	if (!set || !ret)
		return set ? NVML_INVALID_ARGUMENT : NVML_UNINITIALIZED;
	if (next_event(set, ret))
		return NVML_SUCCESS;
	if (timeout_ms > 0 && timeout_ms < INT32_MAX && wait_for_news(timeout_ms) &&
	    next_event(set, ret))
		return NVML_SUCCESS;
	return NVML_TIMEOUT;
}

NvmlReturn nvmlEventSetWait(NvmlEventSet handle, NvmlEvent *ret, unsigned timeout_ms)
{
	return wait_event(handle, ret, timeout_ms);
}

NvmlReturn nvmlEventSetWait_v2(NvmlEventSet handle, NvmlEvent *ret, unsigned timeout_ms)
{
	NvmlReturn r = wait_event(handle, ret, timeout_ms);
	if (r == NVML_SUCCESS) {
		ret->gpu_instance = NVML_NO_INSTANCE;
		ret->compute_instance = NVML_NO_INSTANCE;
	}
	return r;
}
