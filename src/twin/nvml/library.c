/* The library itself, and which devices there are. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "twin/card.h"
#include "twin/nvml/internal.h"

Library library;

/* --- Beginning and end ----------------------------------------------------------------------- */

static void open_devices(const char *paths)
{
	char path[512];
	while (*paths && library.n_devices < DEVICES_MAX) {
		size_t len = strcspn(paths, ":");
		Device *dev = &library.devices[library.n_devices];
		snprintf(path, sizeof(path), "%.*s", (int)len, paths);
		*dev = (Device){0};
		if (len > 0 && len < sizeof(path) && shared_open(path, false, &dev->gpu) == 0) {
			library.n_devices++;
			device_measure(dev);
		}
		paths += len + (paths[len] == ':');
	}
}

/* As the programs do it: whoever looks first makes the card of the box that TWIN_BOX names. */
static void make_device(const char *path)
{
	const char *file = getenv("TWIN_BOX");
	_cleanup_(box_freep) Box *box = NULL;
	_cleanup_(diags_done) Diags d = DIAGS_INIT;
	_cleanup_free_ char *where = NULL;
	Device *dev = &library.devices[0];
	if (!file || !*file || strchr(path, ':') || box_load(file, &box, &d, NULL) < 0)
		return;
	*dev = (Device){0};
	if (card_open(box, *path ? path : NULL, &dev->gpu, &where) < 0)
		return;
	library.n_devices = 1;
	device_measure(dev);
}

NvmlReturn nvmlInit_v2(void)
{
	const char *paths = getenv("TWIN_GPU");
	if (library.users == 0) {
		open_devices(paths ? paths : "");
		if (library.n_devices == 0)
			make_device(paths ? paths : "");
		if (library.n_devices == 0)
			return NVML_DRIVER_NOT_LOADED;
	}
	library.users++;
	return NVML_SUCCESS;
}

NvmlReturn nvmlInit(void)
{
	return nvmlInit_v2();
}

NvmlReturn nvmlInitWithFlags(unsigned flags)
{
	(void)flags;
	return nvmlInit_v2();
}

NvmlReturn nvmlShutdown(void)
{
	if (library.users == 0)
		return NVML_UNINITIALIZED;
	if (--library.users > 0)
		return NVML_SUCCESS;
	for (unsigned i = 0; i < library.n_devices; i++)
		shared_close(library.devices[i].gpu);
	library.n_devices = 0;
	return NVML_SUCCESS;
}

const char *nvmlErrorString(NvmlReturn r)
{
	switch (r) {
	case NVML_SUCCESS:
		return "no error";
	case NVML_UNINITIALIZED:
		return "not initialised";
	case NVML_INVALID_ARGUMENT:
		return "an argument is not valid";
	case NVML_NOT_SUPPORTED:
		return "not supported by this GPU";
	case NVML_NOT_FOUND:
		return "not found";
	case NVML_INSUFFICIENT_SIZE:
		return "too little room for the answer";
	case NVML_DRIVER_NOT_LOADED:
		return "no simulated GPU: TWIN_GPU names no file of one, and TWIN_BOX no box";
	case NVML_TIMEOUT:
		return "nothing happened in time";
	case NVML_GPU_IS_LOST:
		return "the GPU fell off the bus";
	case NVML_ARGUMENT_VERSION_MISMATCH:
		return "the structure has another version";
	case NVML_NO_PERMISSION:
	case NVML_INSUFFICIENT_POWER:
	case NVML_IRQ_ISSUE:
	case NVML_LIBRARY_NOT_FOUND:
	case NVML_FUNCTION_NOT_FOUND:
	case NVML_CORRUPTED_INFOROM:
	case NVML_RESET_REQUIRED:
	case NVML_OPERATING_SYSTEM:
	case NVML_LIB_RM_VERSION_MISMATCH:
	case NVML_IN_USE:
	case NVML_MEMORY:
	case NVML_NO_DATA:
	case NVML_GPU_NOT_FOUND:
	case NVML_UNKNOWN:
	default:
		return "an unknown error";
	}
}

NvmlReturn copy_text(const char *text, char *ret, unsigned size)
{
	if (!ret)
		return NVML_INVALID_ARGUMENT;
	if (strlen(text) >= size)
		return NVML_INSUFFICIENT_SIZE;
	memcpy(ret, text, strlen(text) + 1);
	return NVML_SUCCESS;
}

/* --- The system ------------------------------------------------------------------------------ */

NvmlReturn nvmlSystemGetDriverVersion(char *ret, unsigned size)
{
	if (library.users == 0)
		return NVML_UNINITIALIZED;
	const char *driver = library.devices[0].gpu->driver;
	return copy_text(*driver ? driver : "0.0 (simulated)", ret, size);
}

NvmlReturn nvmlSystemGetNVMLVersion(char *ret, unsigned size)
{
	return copy_text("0.0 (simulated)", ret, size);
}

NvmlReturn nvmlSystemGetCudaDriverVersion_v2(int *ret)
{
	(void)ret;
	return NVML_NOT_SUPPORTED; /* there is no CUDA here */
}

NvmlReturn nvmlSystemGetCudaDriverVersion(int *ret)
{
	return nvmlSystemGetCudaDriverVersion_v2(ret);
}

NvmlReturn nvmlSystemGetProcessName(unsigned pid, char *ret, unsigned size)
{
	SharedProcess list[SHARED_PROCESSES_MAX];
	if (library.users == 0)
		return NVML_UNINITIALIZED;
	for (unsigned i = 0; i < library.n_devices; i++) {
		size_t n = shared_processes(library.devices[i].gpu, list);
		for (size_t k = 0; k < n; k++)
			if (list[k].pid == (int32_t)pid)
				return copy_text(list[k].name, ret, size);
	}
	return NVML_NOT_FOUND;
}

/* --- Devices --------------------------------------------------------------------------------- */

Device *device_of(NvmlDevice d, NvmlReturn *why)
{
	Device *dev = (Device *)(void *)d;
	*why = NVML_UNINITIALIZED;
	if (library.users == 0)
		return NULL;
	*why = NVML_INVALID_ARGUMENT;
	for (unsigned i = 0; i < library.n_devices; i++) {
		if (dev != &library.devices[i])
			continue;
		*why = dev->gpu->present ? NVML_SUCCESS : NVML_GPU_IS_LOST;
		return dev->gpu->present ? dev : NULL;
	}
	return NULL;
}

NvmlReturn nvmlDeviceGetCount_v2(unsigned *ret)
{
	if (library.users == 0)
		return NVML_UNINITIALIZED;
	if (!ret)
		return NVML_INVALID_ARGUMENT;
	*ret = library.n_devices;
	return NVML_SUCCESS;
}

NvmlReturn nvmlDeviceGetCount(unsigned *ret)
{
	return nvmlDeviceGetCount_v2(ret);
}

NvmlReturn nvmlDeviceGetHandleByIndex_v2(unsigned index, NvmlDevice *ret)
{
	NvmlReturn why;
	if (library.users == 0)
		return NVML_UNINITIALIZED;
	if (index >= library.n_devices || !ret)
		return NVML_INVALID_ARGUMENT;
	NvmlDevice d = (NvmlDevice)(void *)&library.devices[index];
	if (!device_of(d, &why))
		return why;
	*ret = d;
	return NVML_SUCCESS;
}

NvmlReturn nvmlDeviceGetHandleByIndex(unsigned index, NvmlDevice *ret)
{
	return nvmlDeviceGetHandleByIndex_v2(index, ret);
}

NvmlReturn nvmlDeviceGetHandleByUUID(const char *uuid, NvmlDevice *ret)
{
	if (library.users == 0)
		return NVML_UNINITIALIZED;
	for (unsigned i = 0; uuid && i < library.n_devices; i++)
		if (strncmp(library.devices[i].gpu->uuid, uuid, sizeof(((SharedGpu *)0)->uuid)) ==
		    0)
			return nvmlDeviceGetHandleByIndex_v2(i, ret);
	return uuid ? NVML_NOT_FOUND : NVML_INVALID_ARGUMENT;
}

static unsigned index_of(const Device *dev)
{
	return (unsigned)(dev - library.devices);
}

static void bus_id(unsigned index, const char *domain, char *ret, size_t size)
{
	snprintf(ret, size, "%s:%02X:00.0", domain, index + 1);
}

NvmlReturn nvmlDeviceGetHandleByPciBusId_v2(const char *wanted, NvmlDevice *ret)
{
	if (library.users == 0)
		return NVML_UNINITIALIZED;
	for (unsigned i = 0; wanted && i < library.n_devices; i++) {
		char now[32], old[32];
		bus_id(i, "00000000", now, sizeof(now));
		bus_id(i, "0000", old, sizeof(old));
		if (strcasecmp(wanted, now) == 0 || strcasecmp(wanted, old) == 0)
			return nvmlDeviceGetHandleByIndex_v2(i, ret);
	}
	return wanted ? NVML_NOT_FOUND : NVML_INVALID_ARGUMENT;
}

NvmlReturn nvmlDeviceGetHandleByPciBusId(const char *wanted, NvmlDevice *ret)
{
	return nvmlDeviceGetHandleByPciBusId_v2(wanted, ret);
}

NvmlReturn nvmlDeviceGetIndex(NvmlDevice d, unsigned *ret)
{
	NvmlReturn why;
	const Device *dev = device_of(d, &why);
	if (!dev || !ret)
		return dev ? NVML_INVALID_ARGUMENT : why;
	*ret = index_of(dev);
	return NVML_SUCCESS;
}

NvmlReturn nvmlDeviceGetMinorNumber(NvmlDevice d, unsigned *ret)
{
	return nvmlDeviceGetIndex(d, ret);
}

NvmlReturn nvmlDeviceGetPciInfo_v3(NvmlDevice d, NvmlPciV3 *ret)
{
	NvmlReturn why;
	const Device *dev = device_of(d, &why);
	if (!dev || !ret)
		return dev ? NVML_INVALID_ARGUMENT : why;
	*ret = (NvmlPciV3){.bus = index_of(dev) + 1, .pci_device_id = 0x10de};
	bus_id(index_of(dev), "0000", ret->bus_id_legacy, sizeof(ret->bus_id_legacy));
	bus_id(index_of(dev), "00000000", ret->bus_id, sizeof(ret->bus_id));
	return NVML_SUCCESS;
}

NvmlReturn nvmlDeviceGetPciInfo_v2(NvmlDevice d, NvmlPciV2 *ret)
{
	NvmlPciV3 now;
	NvmlReturn r = ret ? nvmlDeviceGetPciInfo_v3(d, &now) : NVML_INVALID_ARGUMENT;
	if (r != NVML_SUCCESS)
		return r;
	*ret = (NvmlPciV2){.bus = now.bus, .pci_device_id = now.pci_device_id};
	memcpy(ret->bus_id, now.bus_id_legacy, sizeof(ret->bus_id));
	return NVML_SUCCESS;
}

NvmlReturn nvmlDeviceGetPciInfo(NvmlDevice d, NvmlPciV2 *ret)
{
	return nvmlDeviceGetPciInfo_v2(d, ret);
}
