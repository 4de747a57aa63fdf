/* Who is on the card, and how busy each keeps it. */
#include <time.h>

#include "twin/nvml/internal.h"

/* --- Lists ----------------------------------------------------------------------------------- */

typedef enum List {
	COMPUTE,
	GRAPHICS,
	MPS,
} List;

static NvmlReturn list_of(NvmlDevice d, List which, unsigned *count, NvmlProcessV2 *ret)
{
	NvmlReturn why;
	SharedProcess all[SHARED_PROCESSES_MAX] = {0};
	Device *dev = device_of(d, &why);
	if (!dev || !count)
		return dev ? NVML_INVALID_ARGUMENT : why;
	if (!dev->gpu->lists_processes)
		return NVML_NOT_SUPPORTED;
	size_t n = which == MPS ? 0 : shared_processes(dev->gpu, all);
	unsigned found = 0;
	for (size_t i = 0; i < n; i++) {
		/* One that has taken nothing yet has no context. */
		if ((all[i].graphics != 0) != (which == GRAPHICS) || all[i].used_bytes <= 0)
			continue;
		if (ret && found < *count)
			ret[found] = (NvmlProcessV2){
			    .pid = (unsigned)all[i].pid,
			    .used = dev->gpu->bytes_available
					? (unsigned long long)all[i].used_bytes
					: NVML_NO_VALUE,
			    .gpu_instance = NVML_NO_INSTANCE,
			    .compute_instance = NVML_NO_INSTANCE,
			};
		found++;
	}
	bool room = found <= *count && (ret || found == 0);
	*count = found;
	return room ? NVML_SUCCESS : NVML_INSUFFICIENT_SIZE;
}

/* The same in the shorter entries of old. */
static NvmlReturn short_list_of(NvmlDevice d, List which, unsigned *count, NvmlProcessV1 *ret)
{
	NvmlProcessV2 all[SHARED_PROCESSES_MAX] = {0};
	unsigned n = SHARED_PROCESSES_MAX;
	NvmlReturn r = count ? list_of(d, which, &n, all) : NVML_INVALID_ARGUMENT;
	if (r != NVML_SUCCESS)
		return r;
	for (unsigned i = 0; ret && i < n && i < *count; i++)
		ret[i] = (NvmlProcessV1){.pid = all[i].pid, .used = all[i].used};
	bool room = n <= *count && (ret || n == 0);
	*count = n;
	return room ? NVML_SUCCESS : NVML_INSUFFICIENT_SIZE;
}

NvmlReturn nvmlDeviceGetComputeRunningProcesses(NvmlDevice d, unsigned *count, NvmlProcessV1 *ret)
{
	return short_list_of(d, COMPUTE, count, ret);
}

NvmlReturn nvmlDeviceGetComputeRunningProcesses_v2(NvmlDevice d, unsigned *count,
						   NvmlProcessV2 *ret)
{
	return list_of(d, COMPUTE, count, ret);
}

NvmlReturn nvmlDeviceGetComputeRunningProcesses_v3(NvmlDevice d, unsigned *count,
						   NvmlProcessV2 *ret)
{
	return list_of(d, COMPUTE, count, ret);
}

NvmlReturn nvmlDeviceGetGraphicsRunningProcesses(NvmlDevice d, unsigned *count, NvmlProcessV1 *ret)
{
	return short_list_of(d, GRAPHICS, count, ret);
}

NvmlReturn nvmlDeviceGetGraphicsRunningProcesses_v2(NvmlDevice d, unsigned *count,
						    NvmlProcessV2 *ret)
{
	return list_of(d, GRAPHICS, count, ret);
}

NvmlReturn nvmlDeviceGetGraphicsRunningProcesses_v3(NvmlDevice d, unsigned *count,
						    NvmlProcessV2 *ret)
{
	return list_of(d, GRAPHICS, count, ret);
}

NvmlReturn nvmlDeviceGetMPSComputeRunningProcesses(NvmlDevice d, unsigned *count,
						   NvmlProcessV1 *ret)
{
	return short_list_of(d, MPS, count, ret);
}

NvmlReturn nvmlDeviceGetMPSComputeRunningProcesses_v2(NvmlDevice d, unsigned *count,
						      NvmlProcessV2 *ret)
{
	return list_of(d, MPS, count, ret);
}

NvmlReturn nvmlDeviceGetMPSComputeRunningProcesses_v3(NvmlDevice d, unsigned *count,
						      NvmlProcessV2 *ret)
{
	return list_of(d, MPS, count, ret);
}

/* --- Utilisation ----------------------------------------------------------------------------- */

static int64_t now_us(clockid_t clock)
{
	struct timespec t;
	clock_gettime(clock, &t);
	return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

static double busy_before(const Device *dev, const SharedProcess *p)
{
	for (size_t i = 0; i < dev->n_marks; i++)
		if (dev->marks[i].pid == p->pid && dev->marks[i].start == p->start)
			return dev->marks[i].busy_us;
	return 0; /* it came within the window */
}

static unsigned percent(double share)
{
	if (!(share > 0))
		return 0;
	return share < 1 ? (unsigned)(share * 100 + .5) : 100;
}

static void end_window(Device *dev, const SharedProcess *list, size_t n, int64_t now)
{
	double length = (double)(now - dev->window_us), sum = 0;
	unsigned long long at = (unsigned long long)now_us(CLOCK_REALTIME);
	dev->n_samples = 0;
	for (size_t i = 0; i < n; i++) {
		double share =
		    (shared_busy_us(&list[i], now) - busy_before(dev, &list[i])) / length;
		sum += share > 0 ? share : 0;
		dev->samples[dev->n_samples++] = (NvmlProcessSample){
		    .pid = (unsigned)list[i].pid, .at_us = at, .sm = percent(share)};
	}
	dev->busy_pct = percent(sum);
	dev->measured = true;
}

void device_measure(Device *dev)
{
	SharedProcess list[SHARED_PROCESSES_MAX];
	int64_t now = now_us(CLOCK_MONOTONIC);
	double busy;
	if (dev->window_us && now - dev->window_us < WINDOW_US) {
		/* Before the first window has ended: what is so at this moment. */
		if (!dev->measured && shared_others(dev->gpu, &busy) >= 0)
			dev->busy_pct = percent(busy);
		return;
	}
	size_t n = shared_processes(dev->gpu, list);
	if (dev->window_us)
		end_window(dev, list, n, now);
	for (size_t i = 0; i < n; i++)
		dev->marks[i] = (Mark){list[i].pid, list[i].start, shared_busy_us(&list[i], now)};
	dev->n_marks = n;
	dev->window_us = now;
}

NvmlReturn nvmlDeviceGetProcessUtilization(NvmlDevice d, NvmlProcessSample *ret, unsigned *count,
					   unsigned long long since)
{
	NvmlReturn why;
	Device *dev = device_of(d, &why);
	if (!dev || !count)
		return dev ? NVML_INVALID_ARGUMENT : why;
	if (dev->gpu->mig)
		return NVML_NOT_SUPPORTED;
	device_measure(dev);
	unsigned found = 0;
	for (size_t i = 0; i < dev->n_samples; i++) {
		if (dev->samples[i].at_us <= since)
			continue;
		if (ret && found < *count)
			ret[found] = dev->samples[i];
		found++;
	}
	if (found == 0)
		return NVML_NOT_FOUND;
	bool room = ret && found <= *count;
	*count = found;
	return room ? NVML_SUCCESS : NVML_INSUFFICIENT_SIZE;
}
