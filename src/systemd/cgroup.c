/* Which unit a process belongs to: the manager puts each unit into a control group of its name, and
 * no process can leave it without root. */
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/str.h"
#include "systemd/bus.h"

enum {
	CGROUP_MAX = 64 << 10, /* bytes of /proc/PID/cgroup */
};

/* The path in the hierarchy that the manager uses: the unified one ("0::/path") or, on older hosts,
 * its own ("1:name=systemd:/path"). */
static const char *manager_path(const char *text, size_t *ret_len)
{
	const char *unified = NULL, *named = NULL;

	for (const char *line = text; *line;) {
		const char *end = strchrnul(line, '\n');
		const char *mark = memmem(line, (size_t)(end - line), ":name=systemd:", 14);
		if (strncmp(line, "0::", 3) == 0)
			unified = line + 3;
		else if (mark)
			named = mark + 14;
		line = *end ? end + 1 : end;
	}
	/* With both, units are in the named one, and the other may be empty. */
	const char *path =
	    named && (!unified || unified[1] == '\n' || !unified[1]) ? named : unified;
	*ret_len = path ? strcspn(path, "\n") : 0;
	return path;
}

static bool ends_with(const char *s, size_t n, const char *end)
{
	size_t k = strlen(end);
	return n > k && memcmp(s + n - k, end, k) == 0;
}

/* The manager puts a "_" before names that the kernel uses itself. */
static const char *unescape(const char *s, size_t *n)
{
	if (*n > 1 && s[0] == '_') {
		(*n)--;
		return s + 1;
	}
	return s;
}

int unit_of_cgroup(const char *text, char **ret, bool *ret_user)
{
	size_t len, n, best_n = 0;
	const char *path = manager_path(text, &len), *best = "";
	bool user = false, in_user = false;

	for (const char *at = path; at && at < path + len; at += n + 1) {
		n = strcspn(at, "/\n");
		size_t name_n = n;
		const char *name = unescape(at, &name_n);
		if (!ends_with(name, name_n, ".service") && !ends_with(name, name_n, ".scope"))
			continue;
		user = in_user;
		best = name;
		best_n = name_n;
		/* Below a unit are its own groups, but for a user's manager, whose units they are.
		 */
		in_user = !in_user && strncmp(name, "user@", 5) == 0;
		if (!in_user)
			break;
	}
	*ret = strndup(best, best_n);
	if (!*ret)
		return -ENOMEM;
	if (ret_user)
		*ret_user = user;
	return 0;
}

int unit_of_pid(pid_t pid, char **ret, Err *err)
{
	_cleanup_free_ char *text = NULL;
	char path[64];
	size_t len;

	snprintf(path, sizeof(path), "/proc/%d/cgroup", (int)pid);
	int r = file_read(path, CGROUP_MAX, &text, &len, err);
	if (r < 0)
		return err_wrap(err, r, "cannot tell the unit of process %d", (int)pid);
	return unit_of_cgroup(text, ret, NULL) < 0 ? err_oom(err) : 0;
}
