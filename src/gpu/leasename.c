#include "gpu/leasename.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "base/str.h"
#include "gpu/leaseinfo.h"
#include "gpu/nvml.h"

enum {
	UUID_LENGTH = 36,
};

static bool is_whole_uuid(const char *name)
{
	const char *at =
	    strncmp(name, "GPU-", 4) == 0 || strncmp(name, "MIG-", 4) == 0 ? name + 4 : NULL;
	return at && strlen(at) == UUID_LENGTH &&
	       strspn(at, "0123456789abcdefABCDEF-") == UUID_LENGTH;
}

static int copy(const char *name, char **ret, Err *err)
{
	char *s = strdup(name);
	if (!s)
		return err_oom(err);
	*ret = s;
	return 0;
}

static int the_only_one(const Nvml *n, char **ret, Err *err)
{
	_cleanup_(str_done) Str list = STR_INIT;
	if (nvml_count(n) == 0)
		return copy("default", ret, err);
	if (nvml_count(n) == 1)
		return copy(nvml_info(n, 0)->uuid, ret, err);
	for (size_t i = 0; i < nvml_count(n); i++)
		str_addf(&list, "%s%s", i ? ", " : "", nvml_info(n, i)->uuid);
	return err_set(err, -ENOTUNIQ,
		       "this machine has %zu GPUs and the experiment names none; set gpu: to one "
		       "of %s, or budget: {allow_gpu: false} where it needs none",
		       nvml_count(n), list.s ? list.s : "them");
}

int gpu_lease_name(const char *library, const char *configured, char **ret, Err *err)
{
	_cleanup_(nvml_closep) Nvml *n = NULL;
	size_t i;
	bool named = configured && *configured;

	if (nvml_open(library, &n, NULL) < 0)
		return copy(named ? configured : "default", ret, err);
	if (!named)
		return the_only_one(n, ret, err);
	int r = nvml_find(n, configured, &i, err);
	if (r < 0 && is_whole_uuid(configured))
		return copy(configured, ret, err);
	if (r < 0)
		return r;
	return copy(*nvml_info(n, i)->uuid ? nvml_info(n, i)->uuid : configured, ret, err);
}

/* A shared lock that can be had shows that nobody has it; it is held for a moment only, and
 * whoever takes the lease meanwhile tries again. */
static bool is_held(int fd)
{
	if (flock(fd, LOCK_SH | LOCK_NB) < 0)
		return errno == EWOULDBLOCK;
	(void)flock(fd, LOCK_UN);
	return false;
}

static char *holder_words(int fd)
{
	LeaseInfo info;
	if (leaseinfo_read(fd, &info) < 0)
		return strdup("a process that has not said who it is");
	const char *left = info.released || !procid_runs(&info.leader) ? "what is left of " : "";
	return str_fmt("%sprocess %d, since %s, for %s", left, (int)info.leader.pid, info.since,
		       info.purpose[0] ? info.purpose : "no stated purpose");
}

int lease_holder(const char *dir, const char *gpu_uuid, char **ret)
{
	*ret = NULL;
	if (!*gpu_uuid || strchr(gpu_uuid, '/'))
		return 0;
	_cleanup_free_ char *path = str_fmt("%s/gpu-%s.lock", dir, gpu_uuid);
	if (!path)
		return -ENOMEM;
	int fd = open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0)
		return 0;
	int r = 0;
	if (is_held(fd)) {
		*ret = holder_words(fd);
		r = *ret ? 0 : -ENOMEM;
	}
	close(fd);
	return r;
}
