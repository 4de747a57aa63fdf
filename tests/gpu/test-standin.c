/* The stand-in for NVML: every function that it exports, called as other programs call it. */
#include <dlfcn.h>
#include <stddef.h>
#include <unistd.h>

#include "test.h"
#include "twin.h"
#include "twin/nvml/api.h"

static void *library;

static void *function(const char *name)
{
	if (!library)
		library = dlopen(getenv("TWIN_NVML"), RTLD_NOW | RTLD_LOCAL);
	if (!library)
		printf("# %s\n", dlerror());
	CHECK(library);
	void *f = dlsym(library, name);
	if (!f)
		printf("# %s\n", name);
	CHECK(f);
	return f;
}

/* The function of that name, with its own type. */
#define F(name)	   ((__typeof__(&name))function(#name))
#define OK(call)   CHECK_INT(call, NVML_SUCCESS)
#define NONE(call) CHECK_INT(call, NVML_NOT_SUPPORTED)

static NvmlDevice start(void)
{
	NvmlDevice d = NULL;
	OK(F(nvmlInit_v2)());
	OK(F(nvmlDeviceGetHandleByIndex_v2)(0, &d));
	return d;
}

static void stop(Twin *t)
{
	OK(F(nvmlShutdown)());
	twin_remove(t);
}

TEST(it_is_found_under_the_name_that_programs_look_for)
{
	void *l = dlopen("libnvidia-ml.so.1", RTLD_NOW | RTLD_LOCAL);
	CHECK(l); /* the test runs with LD_LIBRARY_PATH, as they do */
	CHECK(dlsym(l, "nvmlInit_v2"));
	dlclose(l);
}

TEST(it_begins_and_ends_as_often_as_asked)
{
	unsigned n = 0;
	CHECK_INT(F(nvmlInit_v2)(), NVML_DRIVER_NOT_LOADED);
	CHECK_INT(F(nvmlShutdown)(), NVML_UNINITIALIZED);
	CHECK_INT(F(nvmlDeviceGetCount_v2)(&n), NVML_UNINITIALIZED);
	Twin t = twin_make();
	OK(F(nvmlInit)());
	OK(F(nvmlInit_v2)());
	OK(F(nvmlInitWithFlags)(0));
	OK(F(nvmlShutdown)());
	OK(F(nvmlShutdown)());
	OK(F(nvmlDeviceGetCount)(&n));
	CHECK_INT(n, 1);
	OK(F(nvmlShutdown)());
	CHECK_INT(F(nvmlDeviceGetCount)(&n), NVML_UNINITIALIZED);
	twin_remove(&t);
}

TEST(every_result_has_words)
{
	for (int r = 0; r < 30; r++)
		CHECK(*F(nvmlErrorString)((NvmlReturn)r));
	CHECK_STR(F(nvmlErrorString)(NVML_GPU_IS_LOST), "the GPU fell off the bus");
	CHECK(*F(nvmlErrorString)(NVML_UNKNOWN));
}

TEST(the_system)
{
	char text[80], tiny[2];
	int cuda;
	Twin t = twin_make();
	strcpy(t.gpu->driver, "580.82");
	Guest g = guest_start(&t, 10, false);
	(void)start();
	OK(F(nvmlSystemGetDriverVersion)(text, sizeof(text)));
	CHECK_STR(text, "580.82");
	CHECK_INT(F(nvmlSystemGetDriverVersion)(tiny, sizeof(tiny)), NVML_INSUFFICIENT_SIZE);
	CHECK_INT(F(nvmlSystemGetDriverVersion)(NULL, 0), NVML_INVALID_ARGUMENT);
	OK(F(nvmlSystemGetNVMLVersion)(text, sizeof(text)));
	NONE(F(nvmlSystemGetCudaDriverVersion)(&cuda));
	NONE(F(nvmlSystemGetCudaDriverVersion_v2)(&cuda));
	OK(F(nvmlSystemGetProcessName)((unsigned)g.pid, text, sizeof(text)));
	CHECK_STR(text, "guest");
	CHECK_INT(F(nvmlSystemGetProcessName)(1, text, sizeof(text)), NVML_NOT_FOUND);
	guest_end(&g);
	stop(&t);
}

TEST(devices_are_found_in_every_way)
{
	NvmlDevice a, b;
	NvmlPciV3 pci;
	NvmlPciV2 old;
	unsigned n = 9;
	Twin t = twin_make();
	a = start();
	OK(F(nvmlDeviceGetHandleByIndex)(0, &b));
	CHECK(a == b);
	CHECK_INT(F(nvmlDeviceGetHandleByIndex_v2)(1, &b), NVML_INVALID_ARGUMENT);
	OK(F(nvmlDeviceGetHandleByUUID)(TWIN_UUID, &b));
	CHECK(a == b);
	CHECK_INT(F(nvmlDeviceGetHandleByUUID)("GPU-none", &b), NVML_NOT_FOUND);
	OK(F(nvmlDeviceGetPciInfo_v3)(a, &pci));
	CHECK_STR(pci.bus_id, "00000000:01:00.0");
	CHECK_STR(pci.bus_id_legacy, "0000:01:00.0");
	CHECK_INT(pci.bus, 1);
	OK(F(nvmlDeviceGetHandleByPciBusId_v2)(pci.bus_id, &b));
	CHECK(a == b);
	OK(F(nvmlDeviceGetHandleByPciBusId)(pci.bus_id_legacy, &b));
	CHECK_INT(F(nvmlDeviceGetHandleByPciBusId)("0000:09:00.0", &b), NVML_NOT_FOUND);
	OK(F(nvmlDeviceGetPciInfo)(a, &old));
	CHECK_STR(old.bus_id, "0000:01:00.0");
	OK(F(nvmlDeviceGetPciInfo_v2)(a, &old));
	OK(F(nvmlDeviceGetIndex)(a, &n));
	CHECK_INT(n, 0);
	OK(F(nvmlDeviceGetMinorNumber)(a, &n));
	CHECK_INT(F(nvmlDeviceGetIndex)((NvmlDevice)(void *)&t, &n), NVML_INVALID_ARGUMENT);
	stop(&t);
}

TEST(what_the_card_is)
{
	char text[96];
	int major = 0, minor = 0;
	unsigned v = 9, later = 9;
	Twin t = twin_make();
	NvmlDevice d = start();
	OK(F(nvmlDeviceGetName)(d, text, sizeof(text)));
	CHECK_STR(text, "Twin of a card");
	OK(F(nvmlDeviceGetUUID)(d, text, sizeof(text)));
	CHECK_STR(text, TWIN_UUID);
	OK(F(nvmlDeviceGetCudaComputeCapability)(d, &major, &minor));
	CHECK_INT(major * 10 + minor, 86);
	t.gpu->persistence = 1;
	OK(F(nvmlDeviceGetPersistenceMode)(d, &v));
	CHECK_INT(v, 1);
	OK(F(nvmlDeviceGetDisplayMode)(d, &v));
	CHECK_INT(v, 0);
	OK(F(nvmlDeviceGetDisplayActive)(d, &v));
	t.gpu->compute_mode = 3;
	OK(F(nvmlDeviceGetComputeMode)(d, &v));
	CHECK_INT(v, 3);
	NONE(F(nvmlDeviceGetMigMode)(d, &v, &later));
	t.gpu->mig = 1;
	OK(F(nvmlDeviceGetMigMode)(d, &v, &later));
	CHECK_INT(v + later, 2);
	stop(&t);
}

TEST(what_no_simulated_card_has)
{
	unsigned v, period;
	Twin t = twin_make();
	NvmlDevice d = start();
	NONE(F(nvmlDeviceGetMaxPcieLinkGeneration)(d, &v));
	NONE(F(nvmlDeviceGetMaxPcieLinkWidth)(d, &v));
	NONE(F(nvmlDeviceGetCurrPcieLinkGeneration)(d, &v));
	NONE(F(nvmlDeviceGetCurrPcieLinkWidth)(d, &v));
	NONE(F(nvmlDeviceGetPcieThroughput)(d, 0, &v));
	NONE(F(nvmlDeviceGetFanSpeed)(d, &v));
	NONE(F(nvmlDeviceGetTemperatureThreshold)(d, 0, &v));
	NONE(F(nvmlDeviceGetEncoderUtilization)(d, &v, &period));
	NONE(F(nvmlDeviceGetDecoderUtilization)(d, &v, &period));
	stop(&t);
}

TEST(memory_in_both_layouts)
{
	NvmlMemoryV1 old;
	NvmlMemoryV2 now = {.version = NVML_MEMORY_V2}, wrong = {.version = 1};
	Twin t = twin_make();
	t.gpu->reserved_bytes = 300LL << 20;
	Guest g = guest_start(&t, 5000, false);
	NvmlDevice d = start();
	OK(F(nvmlDeviceGetMemoryInfo_v2)(d, &now));
	CHECK_INT(now.total, (int64_t)TWIN_TOTAL_MIB << 20);
	CHECK_INT(now.used, 5000LL << 20);
	CHECK_INT(now.used + now.free + now.reserved, now.total);
	CHECK_INT(F(nvmlDeviceGetMemoryInfo_v2)(d, &wrong), NVML_ARGUMENT_VERSION_MISMATCH);
	OK(F(nvmlDeviceGetMemoryInfo)(d, &old));
	CHECK_INT(old.used, 5300LL << 20);
	CHECK_INT(old.used + old.free, old.total);
	guest_end(&g);
	stop(&t);
}

TEST(clocks_power_and_why_they_are_so)
{
	unsigned v;
	unsigned long long wide;
	Twin t = twin_make();
	NvmlDevice d = start();
	NONE(F(nvmlDeviceGetClockInfo)(d, NVML_CLOCK_SM, &v));
	NONE(F(nvmlDeviceGetTemperature)(d, 0, &v));
	NONE(F(nvmlDeviceGetPowerUsage)(d, &v));
	NONE(F(nvmlDeviceGetTotalEnergyConsumption)(d, &wide));
	t.gpu->sm_mhz = 1500;
	t.gpu->sm_max_mhz = 1777;
	t.gpu->memory_mhz = 7501;
	t.gpu->temperature_c = 61;
	t.gpu->power_w = 128.5;
	t.gpu->power_limit_w = 170;
	t.gpu->energy_j = 3600.25;
	t.gpu->throttle_bits = 0x44;
	OK(F(nvmlDeviceGetClockInfo)(d, NVML_CLOCK_SM, &v));
	CHECK_INT(v, 1500);
	OK(F(nvmlDeviceGetClockInfo)(d, NVML_CLOCK_MEMORY, &v));
	CHECK_INT(v, 7501);
	OK(F(nvmlDeviceGetMaxClockInfo)(d, NVML_CLOCK_GRAPHICS, &v));
	CHECK_INT(v, 1777);
	OK(F(nvmlDeviceGetTemperature)(d, 0, &v));
	CHECK_INT(v, 61);
	CHECK_INT(F(nvmlDeviceGetTemperature)(d, 1, &v), NVML_INVALID_ARGUMENT);
	OK(F(nvmlDeviceGetPowerUsage)(d, &v));
	CHECK_INT(v, 128500);
	OK(F(nvmlDeviceGetEnforcedPowerLimit)(d, &v));
	CHECK_INT(v, 170000);
	OK(F(nvmlDeviceGetPowerManagementLimit)(d, &v));
	OK(F(nvmlDeviceGetTotalEnergyConsumption)(d, &wide));
	CHECK_INT(wide, 3600250);
	OK(F(nvmlDeviceGetCurrentClocksEventReasons)(d, &wide));
	CHECK_INT(wide, 0x44);
	OK(F(nvmlDeviceGetCurrentClocksThrottleReasons)(d, &wide));
	stop(&t);
}

typedef NvmlReturn LongList(NvmlDevice d, unsigned *count, NvmlProcessV2 *ret);
typedef NvmlReturn ShortList(NvmlDevice d, unsigned *count, NvmlProcessV1 *ret);

static void check_long(LongList *list, NvmlDevice d, pid_t pid)
{
	NvmlProcessV2 p[4];
	unsigned n = 0;
	CHECK_INT(list(d, &n, NULL), NVML_INSUFFICIENT_SIZE);
	CHECK_INT(n, 1);
	n = 4;
	OK(list(d, &n, p));
	CHECK_INT(n, 1);
	CHECK_INT(p[0].pid, pid);
	CHECK_INT(p[0].used, 100 << 20);
	CHECK_INT(p[0].gpu_instance, NVML_NO_INSTANCE);
}

static void check_short(ShortList *list, NvmlDevice d, pid_t pid)
{
	NvmlProcessV1 p[4];
	unsigned n = 0;
	CHECK_INT(list(d, &n, NULL), NVML_INSUFFICIENT_SIZE);
	n = 4;
	OK(list(d, &n, p));
	CHECK_INT(n, 1);
	CHECK_INT(p[0].pid, pid);
	CHECK_INT(p[0].used, 100 << 20);
}

TEST(processes_in_every_list_and_layout)
{
	Twin t = twin_make();
	Guest c = guest_start(&t, 100, false), g = guest_start(&t, 100, true),
	      none = guest_start(&t, 0, false);
	NvmlDevice d = start();
	check_long(F(nvmlDeviceGetComputeRunningProcesses_v3), d, c.pid);
	check_long(F(nvmlDeviceGetComputeRunningProcesses_v2), d, c.pid);
	check_short(F(nvmlDeviceGetComputeRunningProcesses), d, c.pid);
	check_long(F(nvmlDeviceGetGraphicsRunningProcesses_v3), d, g.pid);
	check_long(F(nvmlDeviceGetGraphicsRunningProcesses_v2), d, g.pid);
	check_short(F(nvmlDeviceGetGraphicsRunningProcesses), d, g.pid);
	unsigned n = 0;
	OK(F(nvmlDeviceGetMPSComputeRunningProcesses_v3)(d, &n, NULL));
	OK(F(nvmlDeviceGetMPSComputeRunningProcesses_v2)(d, &n, NULL));
	OK(F(nvmlDeviceGetMPSComputeRunningProcesses)(d, &n, NULL));
	CHECK_INT(n, 0);
	t.gpu->bytes_available = 0;
	NvmlProcessV2 p[4];
	n = 4;
	OK(F(nvmlDeviceGetComputeRunningProcesses_v3)(d, &n, p));
	CHECK(p[0].used == NVML_NO_VALUE);
	t.gpu->lists_processes = 0;
	NONE(F(nvmlDeviceGetComputeRunningProcesses_v3)(d, &n, p));
	guest_end(&c);
	guest_end(&g);
	guest_end(&none);
	stop(&t);
}

TEST(utilisation_is_averaged_over_a_window)
{
	NvmlUtilization u = {9, 9};
	NvmlProcessSample s[8];
	unsigned n = 8;
	Twin t = twin_make();
	Guest g = guest_start(&t, 100, false);
	guest_busy(&g, .4);
	NvmlDevice d = start();
	CHECK_INT(F(nvmlDeviceGetProcessUtilization)(d, s, &n, 0), NVML_NOT_FOUND);
	OK(F(nvmlDeviceGetUtilizationRates)(d, &u));
	CHECK_INT(u.gpu, 40);
	NvmlReturn r = NVML_NOT_FOUND;
	for (int i = 0; i < 100 && r == NVML_NOT_FOUND; i++) {
		usleep(20000);
		n = 8;
		r = F(nvmlDeviceGetProcessUtilization)(d, s, &n, 0);
	}
	OK(r);
	CHECK_INT(n, 1);
	CHECK_INT(s[0].pid, g.pid);
	CHECK_NEAR(s[0].sm, 40, 1);
	OK(F(nvmlDeviceGetUtilizationRates)(d, &u));
	CHECK_NEAR(u.gpu, 40, 1);
	n = 8;
	CHECK_INT(F(nvmlDeviceGetProcessUtilization)(d, s, &n, s[0].at_us), NVML_NOT_FOUND);
	n = 0;
	CHECK_INT(F(nvmlDeviceGetProcessUtilization)(d, NULL, &n, 0), NVML_INSUFFICIENT_SIZE);
	CHECK_INT(n, 1);
	guest_end(&g);
	stop(&t);
}

TEST(events_come_through_a_set)
{
	NvmlEventSet set = NULL;
	NvmlEvent e = {0};
	unsigned long long types = 0;
	Twin t = twin_make();
	NvmlDevice d = start();
	OK(F(nvmlDeviceGetSupportedEventTypes)(d, &types));
	CHECK_INT(types, NVML_EVENT_XID);
	OK(F(nvmlEventSetCreate)(&set));
	CHECK_INT(F(nvmlDeviceRegisterEvents)(d, 1, set), NVML_NOT_SUPPORTED);
	OK(F(nvmlDeviceRegisterEvents)(d, NVML_EVENT_XID, set));
	CHECK_INT(F(nvmlEventSetWait_v2)(set, &e, 0), NVML_TIMEOUT);
	CHECK_INT(F(nvmlEventSetWait_v2)(set, &e, 20), NVML_TIMEOUT);
	shared_xid(t.gpu, 62);
	OK(F(nvmlEventSetWait_v2)(set, &e, 0));
	CHECK(e.device == d);
	CHECK_INT(e.type, NVML_EVENT_XID);
	CHECK_INT(e.data, 62);
	CHECK_INT(e.gpu_instance, NVML_NO_INSTANCE);
	for (uint64_t x = 1; x <= SHARED_XIDS_MAX + 5; x++)
		shared_xid(t.gpu, x);
	OK(F(nvmlEventSetWait)(set, &e, 1000));
	CHECK_INT(e.data, 6); /* of more than are kept the newest are */
	OK(F(nvmlEventSetFree)(set));
	CHECK_INT(F(nvmlEventSetFree)(set), NVML_INVALID_ARGUMENT);
	CHECK_INT(F(nvmlEventSetWait_v2)(set, &e, 0), NVML_UNINITIALIZED);
	stop(&t);
}

TEST(a_lost_card_is_lost_to_every_reading)
{
	char text[96];
	unsigned v;
	unsigned long long wide;
	NvmlMemoryV2 m = {.version = NVML_MEMORY_V2};
	NvmlUtilization u;
	NvmlDevice d, again;
	Twin t = twin_make();
	d = start();
	t.gpu->present = 0;
	CHECK_INT(F(nvmlDeviceGetName)(d, text, sizeof(text)), NVML_GPU_IS_LOST);
	CHECK_INT(F(nvmlDeviceGetMemoryInfo_v2)(d, &m), NVML_GPU_IS_LOST);
	CHECK_INT(F(nvmlDeviceGetUtilizationRates)(d, &u), NVML_GPU_IS_LOST);
	CHECK_INT(F(nvmlDeviceGetClockInfo)(d, 0, &v), NVML_GPU_IS_LOST);
	CHECK_INT(F(nvmlDeviceGetFanSpeed)(d, &v), NVML_GPU_IS_LOST);
	CHECK_INT(F(nvmlDeviceGetCurrentClocksEventReasons)(d, &wide), NVML_GPU_IS_LOST);
	CHECK_INT(F(nvmlDeviceGetComputeRunningProcesses_v3)(d, &v, NULL), NVML_GPU_IS_LOST);
	CHECK_INT(F(nvmlDeviceGetHandleByUUID)(TWIN_UUID, &again), NVML_GPU_IS_LOST);
	stop(&t);
}

TEST(who_looks_first_makes_the_card_of_the_box)
{
	char dir[] = "/tmp/test-twin-box-XXXXXX", path[64], uuid[96] = "";
	NvmlMemoryV1 memory = {0};
	CHECK(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/card", dir);
	setenv("TWIN_GPU", path, 1);
	setenv("TWIN_BOX", "/nowhere.yaml", 1);
	CHECK_INT(F(nvmlInit_v2)(), NVML_DRIVER_NOT_LOADED);
	setenv("TWIN_BOX", BOXES "/rtx3060.yaml", 1);
	NvmlDevice d = start();
	OK(F(nvmlDeviceGetUUID)(d, uuid, sizeof(uuid)));
	CHECK_STR(uuid, "GPU-3060f0e1-5c1a-4d2e-9b7a-12622168064a");
	OK(F(nvmlDeviceGetMemoryInfo)(d, &memory));
	CHECK_INT(memory.total, 12622168064);
	CHECK_INT(memory.used, 0);
	OK(F(nvmlShutdown)());
	CHECK_INT(access(path, F_OK), 0);
	CHECK_INT(unlink(path), 0);

	unsetenv("TWIN_GPU"); /* where the programs meet when none is named */
	setenv("XDG_RUNTIME_DIR", dir, 1);
	(void)start();
	OK(F(nvmlShutdown)());
	snprintf(path, sizeof(path), "%s/dream-twin-%u-rtx3060.gpu", dir, (unsigned)getuid());
	CHECK_INT(unlink(path), 0);
	CHECK_INT(rmdir(dir), 0);
	unsetenv("TWIN_BOX");
}

TEST(a_file_that_is_no_gpu_is_none)
{
	char path[] = "/tmp/test-twin-none-XXXXXX";
	int fd = mkstemp(path);
	CHECK(fd >= 0);
	CHECK(write(fd, "hello", 5) == 5);
	close(fd);
	setenv("TWIN_GPU", path, 1);
	CHECK_INT(F(nvmlInit_v2)(), NVML_DRIVER_NOT_LOADED);
	unlink(path);
	CHECK_INT(F(nvmlInit_v2)(), NVML_DRIVER_NOT_LOADED);
	setenv("TWIN_GPU", ":::", 1);
	CHECK_INT(F(nvmlInit_v2)(), NVML_DRIVER_NOT_LOADED);
	unsetenv("TWIN_GPU");
}
