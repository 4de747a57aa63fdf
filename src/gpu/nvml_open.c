/* Finding NVML, its functions and the devices. */
#include <dlfcn.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gpu/nvml_internal.h"

/* --- Functions ------------------------------------------------------------------------------- */

typedef struct Symbol {
	size_t offset;	      /* in NvmlCalls */
	const char *names[3]; /* of one and the same signature, the newest first */
} Symbol;

#define ROW(member, ...)                     \
	{                                    \
		offsetof(NvmlCalls, member), \
		{                            \
			__VA_ARGS__          \
		}                            \
	}

static const Symbol symbols[] = {
    ROW(init, "nvmlInit_v2", "nvmlInit"),
    ROW(shutdown, "nvmlShutdown"),
    ROW(error_string, "nvmlErrorString"),
    ROW(driver_version, "nvmlSystemGetDriverVersion"),
    ROW(cuda_version, "nvmlSystemGetCudaDriverVersion_v2", "nvmlSystemGetCudaDriverVersion"),
    ROW(count, "nvmlDeviceGetCount_v2", "nvmlDeviceGetCount"),
    ROW(by_index, "nvmlDeviceGetHandleByIndex_v2", "nvmlDeviceGetHandleByIndex"),
    ROW(by_uuid, "nvmlDeviceGetHandleByUUID"),
    ROW(name, "nvmlDeviceGetName"),
    ROW(uuid, "nvmlDeviceGetUUID"),
    ROW(pci, "nvmlDeviceGetPciInfo_v3"),
    ROW(pci_old, "nvmlDeviceGetPciInfo_v2", "nvmlDeviceGetPciInfo"),
    ROW(compute_capability, "nvmlDeviceGetCudaComputeCapability"),
    ROW(persistence, "nvmlDeviceGetPersistenceMode"),
    ROW(display, "nvmlDeviceGetDisplayActive"),
    ROW(compute_mode, "nvmlDeviceGetComputeMode"),
    ROW(power_limit, "nvmlDeviceGetEnforcedPowerLimit"),
    ROW(power, "nvmlDeviceGetPowerUsage"),
    ROW(mig, "nvmlDeviceGetMigMode"),
    ROW(memory, "nvmlDeviceGetMemoryInfo_v2"),
    ROW(memory_old, "nvmlDeviceGetMemoryInfo"),
    ROW(utilization, "nvmlDeviceGetUtilizationRates"),
    ROW(clock, "nvmlDeviceGetClockInfo"),
    ROW(max_clock, "nvmlDeviceGetMaxClockInfo"),
    ROW(temperature, "nvmlDeviceGetTemperature"),
    ROW(energy, "nvmlDeviceGetTotalEnergyConsumption"),
    ROW(clock_reasons, "nvmlDeviceGetCurrentClocksEventReasons",
	"nvmlDeviceGetCurrentClocksThrottleReasons"),
    ROW(event_types, "nvmlDeviceGetSupportedEventTypes"),
    ROW(samples, "nvmlDeviceGetProcessUtilization"),
    ROW(set_create, "nvmlEventSetCreate"),
    ROW(set_free, "nvmlEventSetFree"),
    ROW(set_register, "nvmlDeviceRegisterEvents"),
    ROW(set_wait, "nvmlEventSetWait_v2", "nvmlEventSetWait"),
};

static const char *const list_names[NVML_LISTS] = {
    "nvmlDeviceGetComputeRunningProcesses",
    "nvmlDeviceGetGraphicsRunningProcesses",
    "nvmlDeviceGetMPSComputeRunningProcesses",
};

static void resolve_list(Nvml *n, size_t list)
{
	static const char *const suffix[] = {"", "", "_v2", "_v3"};
	for (int version = 3; version >= 1 && !n->call.lists[list]; version--) {
		char name[64];
		snprintf(name, sizeof(name), "%s%s", list_names[list], suffix[version]);
		void *f = dlsym(n->library, name);
		memcpy(&n->call.lists[list], &f, sizeof(f));
		n->list_version[list] = version;
	}
}

static void resolve(Nvml *n)
{
	for (size_t i = 0; i < sizeof(symbols) / sizeof(*symbols); i++) {
		void *f = NULL;
		for (size_t k = 0; k < 3 && symbols[i].names[k] && !f; k++)
			f = dlsym(n->library, symbols[i].names[k]);
		memcpy((char *)&n->call + symbols[i].offset, &f, sizeof(f));
	}
	for (size_t i = 0; i < NVML_LISTS; i++)
		resolve_list(n, i);
}

const char *nvml_words(const Nvml *n, NvmlReturn r)
{
	const char *words = n->call.error_string ? n->call.error_string(r) : NULL;
	return words ? words : "an error that it does not explain";
}

/* --- Opening --------------------------------------------------------------------------------- */

static int load(const char *library, Nvml *n, Err *err)
{
	const char *name = library ? library : "libnvidia-ml.so.1";
	n->library = dlopen(name, RTLD_NOW | RTLD_LOCAL);
	if (!n->library) {
		const char *why = dlerror();
		bool none = !why || strstr(why, "No such file");
		return none ? err_set(err, -ENOENT,
				      "there is no NVML (%s) on this machine: install NVIDIA's "
				      "driver, or in a container its libraries",
				      name)
			    : err_set(err, -ELIBBAD, "cannot load NVML: %.300s", why);
	}
	resolve(n);
	if (!n->call.init || !n->call.count || !n->call.by_index)
		return err_set(err, -ELIBBAD, "%s is not NVML: it has no nvmlInit", name);
	return 0;
}

static int start(Nvml *n, Err *err)
{
	NvmlReturn r = n->call.init();
	n->initialised = r == NVML_SUCCESS;
	switch ((int)r) {
	case NVML_SUCCESS:
		return 0;
	case NVML_DRIVER_NOT_LOADED:
		return err_set(err, -ENODEV,
			       "NVML finds no loaded NVIDIA driver (%s): load the module nvidia, "
			       "and see dmesg if that fails",
			       nvml_words(n, r));
	case NVML_LIB_RM_VERSION_MISMATCH:
		return err_set(err, -ELIBBAD,
			       "NVML says: %s: the driver was updated while the old one was "
			       "loaded; reboot, or unload and load the module nvidia",
			       nvml_words(n, r));
	case NVML_NO_PERMISSION:
		return err_set(err, -EACCES,
			       "NVML may not use the GPU (%s): the user needs access to "
			       "/dev/nvidia*",
			       nvml_words(n, r));
	default:
		return err_set(err, -EIO, "NVML cannot start: %s (%d)", nvml_words(n, r), (int)r);
	}
}

/* --- What does not change -------------------------------------------------------------------- */

static void read_system(Nvml *n)
{
	int cuda = 0;
	if (!n->call.driver_version ||
	    n->call.driver_version(n->driver, sizeof(n->driver)) != NVML_SUCCESS)
		n->driver[0] = '\0';
	n->driver[sizeof(n->driver) - 1] = '\0';
	if (n->call.cuda_version && n->call.cuda_version(&cuda) == NVML_SUCCESS && cuda > 0)
		snprintf(n->cuda, sizeof(n->cuda), "%d.%d", cuda / 1000, cuda % 1000 / 10);
}

static void read_text(NvmlText *f, NvmlDevice d, char *ret, unsigned size)
{
	if (!f || f(d, ret, size) != NVML_SUCCESS)
		ret[0] = '\0';
	ret[size - 1] = '\0';
}

static int read_small(NvmlNumber *f, NvmlDevice d)
{
	unsigned v = 0;
	return f && f(d, &v) == NVML_SUCCESS && v < 100 ? (int)v : -1;
}

static void read_pci(const Nvml *n, NvmlDevice d, char *ret, size_t size)
{
	NvmlPciV3 now = {0};
	NvmlPciV2 old = {0};
	if (n->call.pci && n->call.pci(d, &now) == NVML_SUCCESS)
		snprintf(ret, size, "%.31s", now.bus_id);
	else if (n->call.pci_old && n->call.pci_old(d, &old) == NVML_SUCCESS)
		snprintf(ret, size, "%.15s", old.bus_id);
}

static int64_t read_total(const Nvml *n, NvmlDevice d)
{
	NvmlMemoryV2 now = {.version = NVML_MEMORY_V2};
	NvmlMemoryV1 old = {0};
	if (n->call.memory && n->call.memory(d, &now) == NVML_SUCCESS && now.total < INT64_MAX)
		return (int64_t)now.total;
	if (n->call.memory_old && n->call.memory_old(d, &old) == NVML_SUCCESS &&
	    old.total < INT64_MAX)
		return (int64_t)old.total;
	return -1;
}

static void read_info(const Nvml *n, NvmlDev *dev, int index)
{
	NvmlDevice d = dev->handle;
	GpuInfo *g = &dev->info;
	int major = 0, minor = 0;
	unsigned now = 0, later = 0, mhz = 0, mw = 0;
	*g = (GpuInfo){.index = index, .cc_major = -1, .cc_minor = -1, .mig = -1, .sm_max_mhz = -1};
	read_text(n->call.uuid, d, g->uuid, sizeof(g->uuid));
	read_text(n->call.name, d, g->name, sizeof(g->name));
	read_pci(n, d, g->pci, sizeof(g->pci));
	snprintf(g->driver, sizeof(g->driver), "%s", n->driver);
	snprintf(g->cuda, sizeof(g->cuda), "%s", n->cuda);
	if (n->call.compute_capability &&
	    n->call.compute_capability(d, &major, &minor) == NVML_SUCCESS) {
		g->cc_major = major;
		g->cc_minor = minor;
	}
	g->total_bytes = read_total(n, d);
	g->persistence = read_small(n->call.persistence, d);
	g->display = read_small(n->call.display, d);
	g->compute_mode = read_small(n->call.compute_mode, d);
	if (n->call.mig && n->call.mig(d, &now, &later) == NVML_SUCCESS)
		g->mig = now != 0;
	if (n->call.max_clock && n->call.max_clock(d, NVML_CLOCK_SM, &mhz) == NVML_SUCCESS &&
	    mhz < 100000)
		g->sm_max_mhz = (int)mhz;
	g->power_limit_w = n->call.power_limit && n->call.power_limit(d, &mw) == NVML_SUCCESS
			       ? (double)mw / 1e3
			       : (double)NAN;
}

static int find_devices(Nvml *n, Err *err)
{
	unsigned count = 0;
	NvmlReturn r = n->call.count(&count);
	if (r != NVML_SUCCESS)
		return err_set(err, -EIO, "NVML cannot count the GPUs: %s", nvml_words(n, r));
	if (count > GPUS_MAX)
		count = GPUS_MAX;
	n->devices = calloc(count ? count : 1, sizeof(*n->devices));
	if (!n->devices)
		return err_oom(err);
	for (unsigned i = 0; i < count; i++) {
		NvmlDev *dev = &n->devices[n->n_devices];
		/* One that cannot be had (lost, another user's) does not hide the others. */
		r = n->call.by_index(i, &dev->handle);
		if (r != NVML_SUCCESS) {
			snprintf(n->missing, sizeof(n->missing),
				 "NVML counts a GPU %u that cannot be used: %.80s", i,
				 nvml_words(n, r));
			continue;
		}
		read_info(n, dev, (int)i);
		n->n_devices++;
	}
	return 0;
}

int nvml_open(const char *library, Nvml **ret, Err *err)
{
	_cleanup_(nvml_closep) Nvml *n = calloc(1, sizeof(*n));
	if (!n)
		return err_oom(err);
	int r = load(library, n, err);
	if (r >= 0)
		r = start(n, err);
	if (r < 0)
		return r;
	read_system(n);
	r = find_devices(n, err);
	if (r < 0)
		return r;
	nvml_listen(n);
	*ret = TAKE_PTR(n);
	return 0;
}

Nvml *nvml_close(Nvml *n)
{
	if (!n)
		return NULL;
	if (n->events && n->call.set_free)
		n->call.set_free(n->events);
	if (n->initialised && n->call.shutdown)
		n->call.shutdown();
	if (n->library)
		dlclose(n->library);
	free(n->devices);
	free(n);
	return NULL;
}

/* --- Which one ------------------------------------------------------------------------------- */

size_t nvml_count(const Nvml *n)
{
	return n->n_devices;
}

const char *nvml_missing(const Nvml *n)
{
	return n->missing;
}

const GpuInfo *nvml_info(const Nvml *n, size_t i)
{
	return &n->devices[i].info;
}

const char *nvml_driver(const Nvml *n)
{
	return n->driver;
}

const char *nvml_cuda(const Nvml *n)
{
	return n->cuda;
}

static int none_such(const Nvml *n, const char *which, const char *why, Err *err)
{
	char list[256] = "";
	size_t used = 0;
	for (size_t i = 0; i < n->n_devices && used < sizeof(list) - 1; i++) {
		int w = snprintf(list + used, sizeof(list) - used, "%s%d %s", i ? ", " : "",
				 n->devices[i].info.index, n->devices[i].info.uuid);
		used += w > 0 ? (size_t)w : 0;
	}
	return err_set(err, -ENOENT, "%s '%.96s'; there is: %s", why, which,
		       n->n_devices ? list : "none");
}

static bool matches(const GpuInfo *g, const char *which, int index)
{
	if (index >= 0)
		return g->index == index;
	return *g->uuid && strncmp(g->uuid, which, strlen(which)) == 0;
}

int nvml_find(const Nvml *n, const char *which, size_t *ret, Err *err)
{
	size_t found = 0, hits = 0;
	size_t digits = strspn(which, "0123456789");
	bool number = digits > 0 && digits < 4 && !which[digits];
	int index = number ? (int)strtol(which, NULL, 10) : -1;
	for (size_t i = 0; *which && i < n->n_devices; i++) {
		if (!matches(&n->devices[i].info, which, index))
			continue;
		found = i;
		hits++;
	}
	if (hits == 0)
		return none_such(n, which, "there is no GPU", err);
	if (hits > 1)
		return none_such(n, which, "more than one GPU is meant by", err);
	*ret = found;
	return 0;
}
