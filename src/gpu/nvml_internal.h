#pragma once
/* The functions of NVML that were found, and the devices. A NULL function is a reading that this
 * driver does not have. */
#include <stdint.h>

#include "gpu/nvml.h"
#include "gpu/nvml_abi.h"

typedef NvmlReturn NvmlText(NvmlDevice d, char *ret, unsigned size);
typedef NvmlReturn NvmlNumber(NvmlDevice d, unsigned *ret);
typedef NvmlReturn NvmlWide(NvmlDevice d, unsigned long long *ret);
typedef NvmlReturn NvmlKind(NvmlDevice d, unsigned kind, unsigned *ret);
typedef NvmlReturn NvmlList(NvmlDevice d, unsigned *count, void *processes);

/* Each is filled from its row of the table in nvml_open.c. */
typedef struct NvmlCalls {
	NvmlReturn (*init)(void), (*shutdown)(void);
	const char *(*error_string)(NvmlReturn r);
	NvmlReturn (*driver_version)(char *ret, unsigned size);
	NvmlReturn (*cuda_version)(int *ret);
	NvmlReturn (*count)(unsigned *ret);
	NvmlReturn (*by_index)(unsigned index, NvmlDevice *ret);
	NvmlReturn (*by_uuid)(const char *uuid, NvmlDevice *ret);
	NvmlText *name, *uuid;
	NvmlReturn (*pci)(NvmlDevice d, NvmlPciV3 *ret);
	NvmlReturn (*pci_old)(NvmlDevice d, NvmlPciV2 *ret);
	NvmlReturn (*compute_capability)(NvmlDevice d, int *ret_major, int *ret_minor);
	NvmlNumber *persistence, *display, *compute_mode, *power_limit, *power;
	NvmlReturn (*mig)(NvmlDevice d, unsigned *ret_now, unsigned *ret_pending);
	NvmlReturn (*memory)(NvmlDevice d, NvmlMemoryV2 *ret);
	NvmlReturn (*memory_old)(NvmlDevice d, NvmlMemoryV1 *ret);
	NvmlList *lists[3]; /* compute, graphics, MPS */
	NvmlReturn (*utilization)(NvmlDevice d, NvmlUtilization *ret);
	NvmlKind *clock, *max_clock, *temperature;
	NvmlWide *energy, *clock_reasons, *event_types;
	NvmlReturn (*samples)(NvmlDevice d, NvmlProcessSample *ret, unsigned *count,
			      unsigned long long since);
	NvmlReturn (*set_create)(NvmlEventSet *ret), (*set_free)(NvmlEventSet set);
	NvmlReturn (*set_register)(NvmlDevice d, unsigned long long types, NvmlEventSet set);
	NvmlReturn (*set_wait)(NvmlEventSet set, NvmlEvent *ret, unsigned timeout_ms);
} NvmlCalls;

enum {
	NVML_LISTS = 3,
	NVML_XIDS_KEPT = 16,
};

typedef struct NvmlDev {
	NvmlDevice handle;
	GpuInfo info;
	uint64_t samples_at; /* the newest that was seen; 0: none */
	bool listens;	     /* to its Xids */
	uint64_t xids[NVML_XIDS_KEPT];
	size_t n_xids; /* heard while another device was asked */
} NvmlDev;

struct Nvml {
	void *library;
	bool initialised;
	NvmlCalls call;
	int list_version[NVML_LISTS]; /* 3, 2; 1: without a number, whose entries are shorter */
	char driver[80], cuda[16], missing[160];
	NvmlEventSet events;
	NvmlDev *devices;
	size_t n_devices;
};

/* What NVML says about its own result; never NULL. */
const char *nvml_words(const Nvml *n, NvmlReturn r);
/* Starts to listen to Xids, where the driver can. */
void nvml_listen(Nvml *n);
