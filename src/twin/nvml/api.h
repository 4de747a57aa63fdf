#pragma once
/* What the stand-in library exports, under NVML's own names. It reports the simulated GPUs whose
 * files TWIN_GPU names (separated by ':'); without any it has no driver. A reading that the
 * simulated card does not have is NVML_NOT_SUPPORTED, as with real ones. Unlike the real library it
 * is for one thread. */
#include "gpu/nvml_abi.h"

#pragma GCC visibility push(default)

NvmlReturn nvmlInit(void);
NvmlReturn nvmlInit_v2(void);
NvmlReturn nvmlInitWithFlags(unsigned flags);
NvmlReturn nvmlShutdown(void);
const char *nvmlErrorString(NvmlReturn r);
NvmlReturn nvmlSystemGetDriverVersion(char *ret, unsigned size);
NvmlReturn nvmlSystemGetNVMLVersion(char *ret, unsigned size);
NvmlReturn nvmlSystemGetCudaDriverVersion(int *ret);
NvmlReturn nvmlSystemGetCudaDriverVersion_v2(int *ret);
NvmlReturn nvmlSystemGetProcessName(unsigned pid, char *ret, unsigned size);

NvmlReturn nvmlDeviceGetCount(unsigned *ret);
NvmlReturn nvmlDeviceGetCount_v2(unsigned *ret);
NvmlReturn nvmlDeviceGetHandleByIndex(unsigned index, NvmlDevice *ret);
NvmlReturn nvmlDeviceGetHandleByIndex_v2(unsigned index, NvmlDevice *ret);
NvmlReturn nvmlDeviceGetHandleByUUID(const char *uuid, NvmlDevice *ret);
NvmlReturn nvmlDeviceGetHandleByPciBusId(const char *bus_id, NvmlDevice *ret);
NvmlReturn nvmlDeviceGetHandleByPciBusId_v2(const char *bus_id, NvmlDevice *ret);

NvmlReturn nvmlDeviceGetName(NvmlDevice d, char *ret, unsigned size);
NvmlReturn nvmlDeviceGetUUID(NvmlDevice d, char *ret, unsigned size);
NvmlReturn nvmlDeviceGetIndex(NvmlDevice d, unsigned *ret);
NvmlReturn nvmlDeviceGetMinorNumber(NvmlDevice d, unsigned *ret);
NvmlReturn nvmlDeviceGetPciInfo(NvmlDevice d, NvmlPciV2 *ret);
NvmlReturn nvmlDeviceGetPciInfo_v2(NvmlDevice d, NvmlPciV2 *ret);
NvmlReturn nvmlDeviceGetPciInfo_v3(NvmlDevice d, NvmlPciV3 *ret);
NvmlReturn nvmlDeviceGetCudaComputeCapability(NvmlDevice d, int *ret_major, int *ret_minor);
NvmlReturn nvmlDeviceGetPersistenceMode(NvmlDevice d, unsigned *ret);
NvmlReturn nvmlDeviceGetDisplayMode(NvmlDevice d, unsigned *ret);
NvmlReturn nvmlDeviceGetDisplayActive(NvmlDevice d, unsigned *ret);
NvmlReturn nvmlDeviceGetComputeMode(NvmlDevice d, unsigned *ret);
NvmlReturn nvmlDeviceGetMigMode(NvmlDevice d, unsigned *ret_now, unsigned *ret_pending);
NvmlReturn nvmlDeviceGetMaxPcieLinkGeneration(NvmlDevice d, unsigned *ret);
NvmlReturn nvmlDeviceGetMaxPcieLinkWidth(NvmlDevice d, unsigned *ret);
NvmlReturn nvmlDeviceGetCurrPcieLinkGeneration(NvmlDevice d, unsigned *ret);
NvmlReturn nvmlDeviceGetCurrPcieLinkWidth(NvmlDevice d, unsigned *ret);
NvmlReturn nvmlDeviceGetPcieThroughput(NvmlDevice d, unsigned counter, unsigned *ret);

NvmlReturn nvmlDeviceGetMemoryInfo(NvmlDevice d, NvmlMemoryV1 *ret);
NvmlReturn nvmlDeviceGetMemoryInfo_v2(NvmlDevice d, NvmlMemoryV2 *ret);
NvmlReturn nvmlDeviceGetUtilizationRates(NvmlDevice d, NvmlUtilization *ret);
NvmlReturn nvmlDeviceGetEncoderUtilization(NvmlDevice d, unsigned *ret, unsigned *ret_period_us);
NvmlReturn nvmlDeviceGetDecoderUtilization(NvmlDevice d, unsigned *ret, unsigned *ret_period_us);
NvmlReturn nvmlDeviceGetClockInfo(NvmlDevice d, unsigned clock, unsigned *ret);
NvmlReturn nvmlDeviceGetMaxClockInfo(NvmlDevice d, unsigned clock, unsigned *ret);
NvmlReturn nvmlDeviceGetTemperature(NvmlDevice d, unsigned sensor, unsigned *ret);
NvmlReturn nvmlDeviceGetTemperatureThreshold(NvmlDevice d, unsigned kind, unsigned *ret);
NvmlReturn nvmlDeviceGetFanSpeed(NvmlDevice d, unsigned *ret);
NvmlReturn nvmlDeviceGetPowerUsage(NvmlDevice d, unsigned *ret);
NvmlReturn nvmlDeviceGetEnforcedPowerLimit(NvmlDevice d, unsigned *ret);
NvmlReturn nvmlDeviceGetPowerManagementLimit(NvmlDevice d, unsigned *ret);
NvmlReturn nvmlDeviceGetTotalEnergyConsumption(NvmlDevice d, unsigned long long *ret);
NvmlReturn nvmlDeviceGetCurrentClocksEventReasons(NvmlDevice d, unsigned long long *ret);
NvmlReturn nvmlDeviceGetCurrentClocksThrottleReasons(NvmlDevice d, unsigned long long *ret);

NvmlReturn nvmlDeviceGetComputeRunningProcesses(NvmlDevice d, unsigned *count, NvmlProcessV1 *ret);
NvmlReturn nvmlDeviceGetComputeRunningProcesses_v2(NvmlDevice d, unsigned *count,
						   NvmlProcessV2 *ret);
NvmlReturn nvmlDeviceGetComputeRunningProcesses_v3(NvmlDevice d, unsigned *count,
						   NvmlProcessV2 *ret);
NvmlReturn nvmlDeviceGetGraphicsRunningProcesses(NvmlDevice d, unsigned *count, NvmlProcessV1 *ret);
NvmlReturn nvmlDeviceGetGraphicsRunningProcesses_v2(NvmlDevice d, unsigned *count,
						    NvmlProcessV2 *ret);
NvmlReturn nvmlDeviceGetGraphicsRunningProcesses_v3(NvmlDevice d, unsigned *count,
						    NvmlProcessV2 *ret);
NvmlReturn nvmlDeviceGetMPSComputeRunningProcesses(NvmlDevice d, unsigned *count,
						   NvmlProcessV1 *ret);
NvmlReturn nvmlDeviceGetMPSComputeRunningProcesses_v2(NvmlDevice d, unsigned *count,
						      NvmlProcessV2 *ret);
NvmlReturn nvmlDeviceGetMPSComputeRunningProcesses_v3(NvmlDevice d, unsigned *count,
						      NvmlProcessV2 *ret);
NvmlReturn nvmlDeviceGetProcessUtilization(NvmlDevice d, NvmlProcessSample *ret, unsigned *count,
					   unsigned long long since);

NvmlReturn nvmlDeviceGetSupportedEventTypes(NvmlDevice d, unsigned long long *ret);
NvmlReturn nvmlEventSetCreate(NvmlEventSet *ret);
NvmlReturn nvmlEventSetFree(NvmlEventSet set);
NvmlReturn nvmlDeviceRegisterEvents(NvmlDevice d, unsigned long long types, NvmlEventSet set);
NvmlReturn nvmlEventSetWait(NvmlEventSet set, NvmlEvent *ret, unsigned timeout_ms);
NvmlReturn nvmlEventSetWait_v2(NvmlEventSet set, NvmlEvent *ret, unsigned timeout_ms);

#pragma GCC visibility pop
