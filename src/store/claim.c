/* One runner an experiment. The file stays; the lock on it is the kernel's and ends with its
 * holder, however that ends. */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/str.h"
#include "store/internal.h"

struct StoreClaim {
	int fd;
};

enum {
	HOLDER_MAX = 200
};

static char *claim_path(const char *store_path, const char *experiment)
{
	Hash h = hash_of(experiment, strlen(experiment));
	char hex[HASH_HEX_SIZE];
	hash_hex(&h, hex);
	return str_fmt("%s.%.16s.claim", store_path, hex);
}

/* The holder's own words. They are empty for the moment between its lock and its signature. */
static char *read_holder(int fd)
{
	char text[HOLDER_MAX + 1];
	ssize_t n = pread(fd, text, HOLDER_MAX, 0);
	if (n <= 0)
		return strdup("another process");
	text[n] = '\0';
	for (char *p = text; *p; p++)
		if (*p < ' ' || *p > '~')
			*p = p[1] ? ' ' : '\0';
	return strdup(text);
}

static int write_holder(int fd)
{
	char since[32], text[HOLDER_MAX];
	time_rfc3339(clock_now_us(&clock_system), since);
	since[19] = '\0'; /* whole seconds */
	int n = snprintf(text, sizeof(text), "process %ld, since %sZ\n", (long)getpid(), since);
	return ftruncate(fd, 0) < 0 || pwrite(fd, text, (size_t)n, 0) != n ? -errno : 0;
}

static int take(int fd, const char *path, char **ret_holder, Err *err)
{
	int r;
	do
		r = flock(fd, LOCK_EX | LOCK_NB);
	while (r < 0 && errno == EINTR);
	if (r == 0) {
		r = write_holder(fd);
		return r < 0 ? err_set(err, r, "cannot write %s: %s", path, strerror(-r)) : 1;
	}
	if (errno != EWOULDBLOCK)
		return err_set(err, -errno, "cannot lock %s: %s", path, strerror(errno));
	char *holder = read_holder(fd);
	if (!holder)
		return err_oom(err);
	*ret_holder = holder;
	return 0;
}

int store_claim(const char *store_path, const char *experiment, StoreClaim **ret, char **ret_holder,
		Err *err)
{
	_cleanup_(store_claim_releasep) StoreClaim *c = malloc(sizeof(*c));
	_cleanup_free_ char *path = claim_path(store_path, experiment);
	if (c)
		c->fd = -1;
	if (!c || !path)
		return err_oom(err);
	c->fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOCTTY, 0644);
	if (c->fd < 0)
		return err_set(err, -errno, "cannot claim the experiment %s: %s: %s", experiment,
			       path, strerror(errno));
	file_give(c->fd, path);
	int r = take(c->fd, path, ret_holder, err);
	if (r > 0)
		*ret = TAKE_PTR(c);
	return r;
}

StoreClaim *store_claim_release(StoreClaim *c)
{
	if (!c)
		return NULL;
	if (c->fd >= 0)
		close(c->fd);
	free(c);
	return NULL;
}
