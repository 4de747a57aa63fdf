/* Xids, and what slows a card down. */
#include <stdio.h>
#include <string.h>

#include "gpu/nvml_internal.h"

/* --- Xids ------------------------------------------------------------------------------------ */

void nvml_listen(Nvml *n)
{
	const NvmlCalls *call = &n->call;
	if (!call->set_create || !call->set_register || !call->set_wait ||
	    call->set_create(&n->events) != NVML_SUCCESS) {
		n->events = NULL;
		return;
	}
	for (size_t i = 0; i < n->n_devices; i++) {
		NvmlDev *dev = &n->devices[i];
		unsigned long long types = NVML_EVENT_XID;
		if (call->event_types)
			(void)call->event_types(dev->handle, &types);
		dev->listens =
		    (types & NVML_EVENT_XID) &&
		    call->set_register(dev->handle, NVML_EVENT_XID, n->events) == NVML_SUCCESS;
	}
}

bool nvml_has_xid(const Nvml *n)
{
	for (size_t i = 0; n->events && i < n->n_devices; i++)
		if (n->devices[i].listens)
			return true;
	return false;
}

/* An event of a device that the driver does not name belongs to the one that is asked about. */
static NvmlDev *whose(Nvml *n, const NvmlEvent *e, size_t asked)
{
	for (size_t i = 0; i < n->n_devices; i++)
		if (n->devices[i].handle == e->device)
			return &n->devices[i];
	return &n->devices[asked];
}

int nvml_xids(Nvml *n, size_t i, uint64_t *ret, size_t max)
{
	NvmlDev *dev = &n->devices[i];
	NvmlEvent e = {0};

	/* A storm of events must not keep us here. */
	for (int k = 0; k < 64 && nvml_has_xid(n); k++) {
		if (n->call.set_wait(n->events, &e, 0) != NVML_SUCCESS)
			break;
		NvmlDev *to = whose(n, &e, i);
		if (e.type == NVML_EVENT_XID && to->n_xids < NVML_XIDS_KEPT)
			to->xids[to->n_xids++] = e.data;
	}
	size_t count = dev->n_xids < max ? dev->n_xids : max;
	memcpy(ret, dev->xids, count * sizeof(*ret));
	dev->n_xids -= count;
	memmove(dev->xids, dev->xids + count, dev->n_xids * sizeof(*ret));
	return (int)count;
}

bool xid_is_hardware(uint64_t xid)
{
	/* What a faulty program makes the driver report, as NVIDIA's device plugin for Kubernetes
	 * has them: exceptions and page faults of its kernels, its channel's end, its video. */
	static const uint64_t application[] = {13, 31, 43, 45, 68, 109};
	for (size_t i = 0; i < sizeof(application) / sizeof(*application); i++)
		if (xid == application[i])
			return false;
	return true;
}

/* --- Throttling ------------------------------------------------------------------------------ */

static const struct {
	int64_t bit;
	const char *words;
} reasons[] = {
    {NVML_CLOCKS_HW_THERMAL, "thermal (hardware)"}, {NVML_CLOCKS_SW_THERMAL, "thermal"},
    {NVML_CLOCKS_HW_POWER_BRAKE, "power brake"},    {NVML_CLOCKS_SW_POWER_CAP, "power cap"},
    {NVML_CLOCKS_HW_SLOWDOWN, "hardware slowdown"}, {NVML_CLOCKS_SYNC_BOOST, "sync boost"},
};

void gpu_throttle_words(int64_t bits, char *ret, size_t size)
{
	size_t used = 0;
	ret[0] = '\0';
	for (size_t i = 0; bits > 0 && i < sizeof(reasons) / sizeof(*reasons); i++) {
		/* The general word only where no other says it better. */
		bool told = reasons[i].bit == NVML_CLOCKS_HW_SLOWDOWN && used > 0;
		if (!(bits & reasons[i].bit) || told || used >= size)
			continue;
		int w =
		    snprintf(ret + used, size - used, "%s%s", used ? ", " : "", reasons[i].words);
		used += w > 0 ? (size_t)w : 0;
	}
}

bool gpu_throttled(int64_t bits)
{
	char words[96];
	gpu_throttle_words(bits, words, sizeof(words));
	return *words != '\0';
}
