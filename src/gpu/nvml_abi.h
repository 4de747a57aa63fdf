#pragma once
/* NVML's binary interface, as its public documentation and headers describe it: our own
 * declarations of the parts that we call (or that the simulated library offers), so that nothing of
 * NVIDIA's is needed to build. The layouts are fixed for ever: a changed one is a new symbol. */
#include <assert.h>
#include <stddef.h>

typedef struct NvmlDevice_ *NvmlDevice;
typedef struct NvmlEventSet_ *NvmlEventSet;

typedef enum NvmlReturn {
	NVML_SUCCESS = 0,
	NVML_UNINITIALIZED = 1,
	NVML_INVALID_ARGUMENT = 2,
	NVML_NOT_SUPPORTED = 3,
	NVML_NO_PERMISSION = 4,
	NVML_NOT_FOUND = 6,
	NVML_INSUFFICIENT_SIZE = 7,
	NVML_INSUFFICIENT_POWER = 8,
	NVML_DRIVER_NOT_LOADED = 9,
	NVML_TIMEOUT = 10,
	NVML_IRQ_ISSUE = 11,
	NVML_LIBRARY_NOT_FOUND = 12,
	NVML_FUNCTION_NOT_FOUND = 13,
	NVML_CORRUPTED_INFOROM = 14,
	NVML_GPU_IS_LOST = 15,
	NVML_RESET_REQUIRED = 16,
	NVML_OPERATING_SYSTEM = 17,
	NVML_LIB_RM_VERSION_MISMATCH = 18,
	NVML_IN_USE = 19,
	NVML_MEMORY = 20,
	NVML_NO_DATA = 21,
	NVML_ARGUMENT_VERSION_MISMATCH = 25,
	NVML_GPU_NOT_FOUND = 28,
	NVML_UNKNOWN = 999,
} NvmlReturn;

/* "Not available", as a 64-bit and as a 32-bit number. */
#define NVML_NO_VALUE	 (~0ULL)
#define NVML_NO_INSTANCE (~0U)

typedef struct NvmlMemoryV1 {
	unsigned long long total, free, used; /* used with what the driver reserves */
} NvmlMemoryV1;

typedef struct NvmlMemoryV2 {
	unsigned version; /* set by the caller */
	unsigned long long total, reserved, free, used;
} NvmlMemoryV2;

#define NVML_MEMORY_V2 ((unsigned)sizeof(NvmlMemoryV2) | 2U << 24)

typedef struct NvmlProcessV1 { /* of the symbols without a number */
	unsigned pid;
	unsigned long long used;
} NvmlProcessV1;

typedef struct NvmlProcessV2 { /* of _v2 and _v3 */
	unsigned pid;
	unsigned long long used;
	unsigned gpu_instance, compute_instance;
} NvmlProcessV2;

typedef struct NvmlUtilization {
	unsigned gpu, memory;
} NvmlUtilization;

typedef struct NvmlProcessSample {
	unsigned pid;
	unsigned long long at_us;
	unsigned sm, memory, encoder, decoder;
} NvmlProcessSample;

typedef struct NvmlPciV2 { /* of nvmlDeviceGetPciInfo and _v2: the four words are reserved */
	char bus_id[16];
	unsigned domain, bus, device, pci_device_id, pci_subsystem_id, reserved[4];
} NvmlPciV2;

typedef struct NvmlPciV3 {
	char bus_id_legacy[16];
	unsigned domain, bus, device, pci_device_id, pci_subsystem_id;
	char bus_id[32];
} NvmlPciV3;

typedef struct NvmlEvent { /* nvmlEventSetWait without a number fills the first three */
	NvmlDevice device;
	unsigned long long type, data;
	unsigned gpu_instance, compute_instance;
} NvmlEvent;

static_assert(sizeof(NvmlMemoryV1) == 24, "nvmlMemory_t");
static_assert(sizeof(NvmlMemoryV2) == 40 && offsetof(NvmlMemoryV2, total) == 8, "nvmlMemory_v2_t");
static_assert(sizeof(NvmlProcessV1) == 16, "nvmlProcessInfo_v1_t");
static_assert(sizeof(NvmlProcessV2) == 24, "nvmlProcessInfo_v2_t");
static_assert(sizeof(NvmlProcessSample) == 32 && offsetof(NvmlProcessSample, sm) == 16,
	      "nvmlProcessUtilizationSample_t");
static_assert(sizeof(NvmlPciV3) == 68 && offsetof(NvmlPciV3, bus_id) == 36, "nvmlPciInfo_t");
static_assert(sizeof(NvmlEvent) == 32, "nvmlEventData_t");

enum {
	NVML_CLOCK_GRAPHICS = 0,
	NVML_CLOCK_SM = 1,
	NVML_CLOCK_MEMORY = 2,
	NVML_EVENT_XID = 8,

	/* Reasons for the clocks being what they are. */
	NVML_CLOCKS_IDLE = 0x1,
	NVML_CLOCKS_APPLICATION = 0x2,
	NVML_CLOCKS_SW_POWER_CAP = 0x4,
	NVML_CLOCKS_HW_SLOWDOWN = 0x8,
	NVML_CLOCKS_SYNC_BOOST = 0x10,
	NVML_CLOCKS_SW_THERMAL = 0x20,
	NVML_CLOCKS_HW_THERMAL = 0x40,
	NVML_CLOCKS_HW_POWER_BRAKE = 0x80,
	NVML_CLOCKS_DISPLAY = 0x100,
};
