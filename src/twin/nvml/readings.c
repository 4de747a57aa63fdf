/* What one card reads. */
#include <string.h>

#include "twin/nvml/internal.h"

/* --- Texts and settings ---------------------------------------------------------------------- */

NvmlReturn nvmlDeviceGetName(NvmlDevice d, char *ret, unsigned size)
{
	NvmlReturn why;
	const Device *dev = device_of(d, &why);
	return dev ? copy_text(dev->gpu->model, ret, size) : why;
}

NvmlReturn nvmlDeviceGetUUID(NvmlDevice d, char *ret, unsigned size)
{
	NvmlReturn why;
	const Device *dev = device_of(d, &why);
	return dev ? copy_text(dev->gpu->uuid, ret, size) : why;
}

NvmlReturn nvmlDeviceGetCudaComputeCapability(NvmlDevice d, int *ret_major, int *ret_minor)
{
	NvmlReturn why;
	const Device *dev = device_of(d, &why);
	if (!dev || !ret_major || !ret_minor)
		return dev ? NVML_INVALID_ARGUMENT : why;
	*ret_major = dev->gpu->cc_major;
	*ret_minor = dev->gpu->cc_minor;
	return NVML_SUCCESS;
}

/* A number of the card, or that it has none. */
static NvmlReturn number(NvmlDevice d, size_t offset, unsigned least, unsigned *ret)
{
	NvmlReturn why;
	int32_t v;
	const Device *dev = device_of(d, &why);
	if (!dev || !ret)
		return dev ? NVML_INVALID_ARGUMENT : why;
	memcpy(&v, (const char *)dev->gpu + offset, sizeof(v));
	if (v < (int32_t)least)
		return NVML_NOT_SUPPORTED;
	*ret = (unsigned)v;
	return NVML_SUCCESS;
}

#define FIELD(name) offsetof(SharedGpu, name)

NvmlReturn nvmlDeviceGetPersistenceMode(NvmlDevice d, unsigned *ret)
{
	return number(d, FIELD(persistence), 0, ret);
}

NvmlReturn nvmlDeviceGetDisplayMode(NvmlDevice d, unsigned *ret)
{
	return number(d, FIELD(display), 0, ret);
}

NvmlReturn nvmlDeviceGetDisplayActive(NvmlDevice d, unsigned *ret)
{
	return number(d, FIELD(display), 0, ret);
}

NvmlReturn nvmlDeviceGetComputeMode(NvmlDevice d, unsigned *ret)
{
	return number(d, FIELD(compute_mode), 0, ret);
}

NvmlReturn nvmlDeviceGetMigMode(NvmlDevice d, unsigned *ret_now, unsigned *ret_pending)
{
	NvmlReturn r = number(d, FIELD(mig), 1, ret_now);
	if (r == NVML_SUCCESS && ret_pending)
		*ret_pending = *ret_now;
	return r;
}

/* What no simulated card has. */
static NvmlReturn none(NvmlDevice d)
{
	NvmlReturn why;
	return device_of(d, &why) ? NVML_NOT_SUPPORTED : why;
}

NvmlReturn nvmlDeviceGetMaxPcieLinkGeneration(NvmlDevice d, unsigned *ret)
{
	(void)ret;
	return none(d);
}

NvmlReturn nvmlDeviceGetMaxPcieLinkWidth(NvmlDevice d, unsigned *ret)
{
	(void)ret;
	return none(d);
}

NvmlReturn nvmlDeviceGetCurrPcieLinkGeneration(NvmlDevice d, unsigned *ret)
{
	(void)ret;
	return none(d);
}

NvmlReturn nvmlDeviceGetCurrPcieLinkWidth(NvmlDevice d, unsigned *ret)
{
	(void)ret;
	return none(d);
}

NvmlReturn nvmlDeviceGetPcieThroughput(NvmlDevice d, unsigned counter, unsigned *ret)
{
	(void)counter;
	(void)ret;
	return none(d);
}

NvmlReturn nvmlDeviceGetFanSpeed(NvmlDevice d, unsigned *ret)
{
	(void)ret;
	return none(d);
}

NvmlReturn nvmlDeviceGetTemperatureThreshold(NvmlDevice d, unsigned kind, unsigned *ret)
{
	(void)kind;
	(void)ret;
	return none(d);
}

NvmlReturn nvmlDeviceGetEncoderUtilization(NvmlDevice d, unsigned *ret, unsigned *ret_period_us)
{
	(void)ret;
	(void)ret_period_us;
	return none(d);
}

NvmlReturn nvmlDeviceGetDecoderUtilization(NvmlDevice d, unsigned *ret, unsigned *ret_period_us)
{
	(void)ret;
	(void)ret_period_us;
	return none(d);
}

/* --- Memory ---------------------------------------------------------------------------------- */

NvmlReturn nvmlDeviceGetMemoryInfo_v2(NvmlDevice d, NvmlMemoryV2 *ret)
{
	NvmlReturn why;
	Device *dev = device_of(d, &why);
	if (!dev || !ret)
		return dev ? NVML_INVALID_ARGUMENT : why;
	if (ret->version != NVML_MEMORY_V2)
		return NVML_ARGUMENT_VERSION_MISMATCH;
	int64_t total = dev->gpu->total_bytes, reserved = dev->gpu->reserved_bytes;
	int64_t used = shared_used_bytes(dev->gpu);
	ret->total = (unsigned long long)total;
	ret->reserved = (unsigned long long)reserved;
	ret->used = (unsigned long long)used;
	ret->free = used + reserved < total ? (unsigned long long)(total - used - reserved) : 0;
	return NVML_SUCCESS;
}

NvmlReturn nvmlDeviceGetMemoryInfo(NvmlDevice d, NvmlMemoryV1 *ret)
{
	NvmlMemoryV2 now = {.version = NVML_MEMORY_V2};
	NvmlReturn r = ret ? nvmlDeviceGetMemoryInfo_v2(d, &now) : NVML_INVALID_ARGUMENT;
	if (r == NVML_SUCCESS)
		*ret = (NvmlMemoryV1){
		    .total = now.total, .free = now.free, .used = now.used + now.reserved};
	return r;
}

/* --- Load and power -------------------------------------------------------------------------- */

NvmlReturn nvmlDeviceGetUtilizationRates(NvmlDevice d, NvmlUtilization *ret)
{
	NvmlReturn why;
	Device *dev = device_of(d, &why);
	if (!dev || !ret)
		return dev ? NVML_INVALID_ARGUMENT : why;
	device_measure(dev);
	*ret = (NvmlUtilization){.gpu = dev->busy_pct};
	return NVML_SUCCESS;
}

NvmlReturn nvmlDeviceGetClockInfo(NvmlDevice d, unsigned clock, unsigned *ret)
{
	bool memory = clock == NVML_CLOCK_MEMORY;
	return number(d, memory ? FIELD(memory_mhz) : FIELD(sm_mhz), 1, ret);
}

NvmlReturn nvmlDeviceGetMaxClockInfo(NvmlDevice d, unsigned clock, unsigned *ret)
{
	bool memory = clock == NVML_CLOCK_MEMORY;
	return number(d, memory ? FIELD(memory_mhz) : FIELD(sm_max_mhz), 1, ret);
}

NvmlReturn nvmlDeviceGetTemperature(NvmlDevice d, unsigned sensor, unsigned *ret)
{
	return sensor == 0 ? number(d, FIELD(temperature_c), 1, ret) : NVML_INVALID_ARGUMENT;
}

static NvmlReturn thousandths(NvmlDevice d, size_t offset, unsigned long long *ret)
{
	NvmlReturn why;
	double v;
	const Device *dev = device_of(d, &why);
	if (!dev || !ret)
		return dev ? NVML_INVALID_ARGUMENT : why;
	memcpy(&v, (const char *)dev->gpu + offset, sizeof(v));
	if (!(v > 0 && v < 1e15))
		return NVML_NOT_SUPPORTED;
	*ret = (unsigned long long)(v * 1e3 + .5);
	return NVML_SUCCESS;
}

static NvmlReturn milliwatts(NvmlDevice d, size_t offset, unsigned *ret)
{
	unsigned long long v = 0;
	NvmlReturn r = ret ? thousandths(d, offset, &v) : NVML_INVALID_ARGUMENT;
	if (r == NVML_SUCCESS)
		*ret = (unsigned)v;
	return r;
}

NvmlReturn nvmlDeviceGetPowerUsage(NvmlDevice d, unsigned *ret)
{
	return milliwatts(d, FIELD(power_w), ret);
}

NvmlReturn nvmlDeviceGetEnforcedPowerLimit(NvmlDevice d, unsigned *ret)
{
	return milliwatts(d, FIELD(power_limit_w), ret);
}

NvmlReturn nvmlDeviceGetPowerManagementLimit(NvmlDevice d, unsigned *ret)
{
	return milliwatts(d, FIELD(power_limit_w), ret);
}

NvmlReturn nvmlDeviceGetTotalEnergyConsumption(NvmlDevice d, unsigned long long *ret)
{
	return thousandths(d, FIELD(energy_j), ret);
}

NvmlReturn nvmlDeviceGetCurrentClocksEventReasons(NvmlDevice d, unsigned long long *ret)
{
	NvmlReturn why;
	const Device *dev = device_of(d, &why);
	if (!dev || !ret)
		return dev ? NVML_INVALID_ARGUMENT : why;
	*ret = (unsigned long long)dev->gpu->throttle_bits;
	return NVML_SUCCESS;
}

NvmlReturn nvmlDeviceGetCurrentClocksThrottleReasons(NvmlDevice d, unsigned long long *ret)
{
	return nvmlDeviceGetCurrentClocksEventReasons(d, ret);
}
