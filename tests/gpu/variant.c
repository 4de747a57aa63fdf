/* Libraries that are NVML as some driver or machine has it. Which one: VARIANT. The structures are
 * written out here once more, as each generation of the header has them.
 *
 *  OLD       nothing but what drivers before 2014 had: short entries, no events, no UUID lookup
 *  SECOND    the _v2 lists, which a library without _v3 has
 *  WSL       memory, but no bytes of processes, and no list of graphics or MPS
 *  UNLISTED  memory, but no lists at all
 *  HALF      a list of graphics, and one of computing that fails
 *  MISMATCH  a driver that was updated under the running one
 *  MIG       a process in two instances, and in two lists; no utilisation
 *  RESET     the first handle is not valid any more after one look
 *  STORM     Xids without end, lists without measure, texts without end, readings beyond reason */
#include <limits.h>
#include <stdio.h>
#include <string.h>

#define OLD	 1
#define SECOND	 2
#define WSL	 3
#define UNLISTED 4
#define HALF	 9
#define MISMATCH 5
#define MIG	 6
#define RESET	 7
#define STORM	 8

enum {
	OK = 0,
	BAD_ARGUMENT = 2,
	UNSUPPORTED = 3,
	TOO_SMALL = 7,
	VERSIONS_DIFFER = 18,
};

static const unsigned long long GIB = 1ULL << 30;
static char first_card, second_card;

int nvmlInit(void);
int nvmlInit(void)
{
	return VARIANT == MISMATCH ? VERSIONS_DIFFER : OK;
}

int nvmlShutdown(void);
int nvmlShutdown(void)
{
	return OK;
}

const char *nvmlErrorString(int r);
const char *nvmlErrorString(int r)
{
	return r == VERSIONS_DIFFER ? "Driver/library version mismatch" : "an error";
}

int nvmlDeviceGetCount(unsigned *n);
int nvmlDeviceGetCount(unsigned *n)
{
	*n = VARIANT == STORM ? UINT_MAX : 1;
	return OK;
}

int nvmlDeviceGetHandleByIndex(unsigned i, void **ret);
int nvmlDeviceGetHandleByIndex(unsigned i, void **ret)
{
	(void)i;
	*ret = &first_card;
	return OK;
}

int nvmlDeviceGetUUID(void *d, char *ret, unsigned size);
int nvmlDeviceGetUUID(void *d, char *ret, unsigned size)
{
	(void)d;
	if (VARIANT == STORM)
		memset(ret, 'x', size);
	else
		snprintf(ret, size, "GPU-variant");
	return OK;
}

#if VARIANT == RESET
int nvmlDeviceGetHandleByUUID(const char *uuid, void **ret);
int nvmlDeviceGetHandleByUUID(const char *uuid, void **ret)
{
	if (strcmp(uuid, "GPU-variant") != 0)
		return BAD_ARGUMENT;
	*ret = &second_card;
	return OK;
}
#endif

/* --- Memory ---------------------------------------------------------------------------------- */

struct memory {
	unsigned long long total, free, used;
};

int nvmlDeviceGetMemoryInfo(void *d, struct memory *ret);
int nvmlDeviceGetMemoryInfo(void *d, struct memory *ret)
{
	static int calls; /* one for opening, one for the first look */
	if (VARIANT == RESET && d == &first_card && ++calls > 2)
		return BAD_ARGUMENT;
	(void)second_card;
	*ret = (struct memory){12 * GIB, 9 * GIB, 3 * GIB};
	if (VARIANT == STORM)
		memset(ret, 0xff, sizeof(*ret));
	return OK;
}

/* --- Processes ------------------------------------------------------------------------------- */

struct short_entry {
	unsigned pid;
	unsigned long long used;
};

struct long_entry {
	unsigned pid;
	unsigned long long used;
	unsigned gpu_instance, compute_instance;
};

#if VARIANT == OLD || VARIANT == RESET
int nvmlDeviceGetComputeRunningProcesses(void *d, unsigned *n, struct short_entry *ret);
int nvmlDeviceGetComputeRunningProcesses(void *d, unsigned *n, struct short_entry *ret)
{
	(void)d;
	if (*n < 3)
		return TOO_SMALL;
	*n = 3;
	ret[0] = (struct short_entry){1001, 1 * GIB};
	ret[1] = (struct short_entry){1002, 2 * GIB};
	ret[2] = (struct short_entry){1003, 3 * GIB};
	return OK;
}
#endif

#if VARIANT == SECOND || VARIANT == WSL
int nvmlDeviceGetComputeRunningProcesses_v2(void *d, unsigned *n, struct long_entry *ret);
int nvmlDeviceGetComputeRunningProcesses_v2(void *d, unsigned *n, struct long_entry *ret)
{
	unsigned long long none = ~0ULL;
	(void)d;
	*n = 2;
	ret[0] = (struct long_entry){1001, VARIANT == WSL ? none : 1 * GIB, UINT_MAX, UINT_MAX};
	ret[1] = (struct long_entry){1002, VARIANT == WSL ? none : 2 * GIB, UINT_MAX, UINT_MAX};
	return OK;
}

int nvmlDeviceGetGraphicsRunningProcesses_v2(void *d, unsigned *n, struct long_entry *ret);
int nvmlDeviceGetGraphicsRunningProcesses_v2(void *d, unsigned *n, struct long_entry *ret)
{
	(void)d;
	(void)n;
	(void)ret;
	return UNSUPPORTED;
}
#endif

#if VARIANT == HALF
int nvmlDeviceGetComputeRunningProcesses_v3(void *d, unsigned *n, struct long_entry *ret);
int nvmlDeviceGetComputeRunningProcesses_v3(void *d, unsigned *n, struct long_entry *ret)
{
	(void)d, (void)n, (void)ret;
	return 999;
}

int nvmlDeviceGetGraphicsRunningProcesses_v3(void *d, unsigned *n, struct long_entry *ret);
int nvmlDeviceGetGraphicsRunningProcesses_v3(void *d, unsigned *n, struct long_entry *ret)
{
	(void)d;
	*n = 1;
	ret[0] = (struct long_entry){1002, 1 * GIB, UINT_MAX, UINT_MAX};
	return OK;
}
#endif

#if VARIANT == MIG
int nvmlDeviceGetComputeRunningProcesses_v3(void *d, unsigned *n, struct long_entry *ret);
int nvmlDeviceGetComputeRunningProcesses_v3(void *d, unsigned *n, struct long_entry *ret)
{
	(void)d;
	*n = 3;
	ret[0] = (struct long_entry){1001, 1 * GIB, 1, 0};
	ret[1] = (struct long_entry){1001, 2 * GIB, 2, 0};
	ret[2] = (struct long_entry){1002, 1 * GIB, 1, 0};
	return OK;
}

int nvmlDeviceGetGraphicsRunningProcesses_v3(void *d, unsigned *n, struct long_entry *ret);
int nvmlDeviceGetGraphicsRunningProcesses_v3(void *d, unsigned *n, struct long_entry *ret)
{
	(void)d;
	*n = 1;
	ret[0] = (struct long_entry){1002, 1 * GIB, 1, 0};
	return OK;
}

int nvmlDeviceGetMigMode(void *d, unsigned *now, unsigned *later);
int nvmlDeviceGetMigMode(void *d, unsigned *now, unsigned *later)
{
	(void)d;
	*now = *later = 1;
	return OK;
}

int nvmlDeviceGetProcessUtilization(void *d, void *ret, unsigned *n, unsigned long long since);
int nvmlDeviceGetProcessUtilization(void *d, void *ret, unsigned *n, unsigned long long since)
{
	(void)d;
	(void)ret;
	(void)n;
	(void)since;
	return UNSUPPORTED;
}
#endif

#if VARIANT == STORM
int nvmlDeviceGetComputeRunningProcesses_v3(void *d, unsigned *n, struct long_entry *ret);
int nvmlDeviceGetComputeRunningProcesses_v3(void *d, unsigned *n, struct long_entry *ret)
{
	(void)d;
	for (unsigned i = 0; i < *n; i++)
		ret[i] = (struct long_entry){i % 3 == 0 ? UINT_MAX : i + 1, ~0ULL - 1, 0, 0};
	return OK;
}

int nvmlDeviceGetGraphicsRunningProcesses_v3(void *d, unsigned *n, struct long_entry *ret);
int nvmlDeviceGetGraphicsRunningProcesses_v3(void *d, unsigned *n, struct long_entry *ret)
{
	(void)d;
	(void)ret;
	*n = UINT_MAX;
	return OK;
}

int nvmlDeviceGetUtilizationRates(void *d, unsigned ret[2]);
int nvmlDeviceGetUtilizationRates(void *d, unsigned ret[2])
{
	(void)d;
	ret[0] = 4000;
	ret[1] = UINT_MAX;
	return OK;
}

int nvmlDeviceGetTemperature(void *d, int sensor, unsigned *ret);
int nvmlDeviceGetTemperature(void *d, int sensor, unsigned *ret)
{
	(void)d;
	(void)sensor;
	*ret = UINT_MAX;
	return OK;
}

int nvmlEventSetCreate(void **ret);
int nvmlEventSetCreate(void **ret)
{
	*ret = &second_card;
	return OK;
}

int nvmlDeviceRegisterEvents(void *d, unsigned long long types, void *set);
int nvmlDeviceRegisterEvents(void *d, unsigned long long types, void *set)
{
	(void)d;
	(void)types;
	(void)set;
	return OK;
}

struct event {
	void *device;
	unsigned long long type, data;
};

int nvmlEventSetWait(void *set, struct event *ret, unsigned timeout);
int nvmlEventSetWait(void *set, struct event *ret, unsigned timeout)
{
	(void)set;
	(void)timeout;
	*ret = (struct event){&first_card, 8, 999};
	return OK;
}
#endif
