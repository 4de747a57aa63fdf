#include "rollout/turn.h"

#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/file.h"

#define TURN_FILE "rollout.lock"

/* Only ever locked, never written: whoever may read it may take its turn, for root and the daemon
 * are two users. */
int turn_take(const char *dir, int *ret_fd, Err *err)
{
	_cleanup_free_ char *path = path_join(dir, TURN_FILE);
	if (!path)
		return err_oom(err);
	int fd = open(path, O_RDONLY | O_CREAT | O_CLOEXEC | O_NOCTTY | O_NOFOLLOW, 0644);
	if (fd < 0)
		return err_set(err, -errno, "cannot open %s: %m", path);
	file_give(fd, path);
	if (flock(fd, LOCK_EX | LOCK_NB) == 0) {
		*ret_fd = fd;
		return 0;
	}
	int r = errno == EWOULDBLOCK
		    ? err_set(err, -EBUSY,
			      "somebody else is changing production now: a rollout in the "
			      "foreground, which Ctrl-C ends there, or the daemon's, which `dream "
			      "rollout --abort` takes back; `dream status` shows what is open")
		    : err_set(err, -errno, "cannot lock %s: %m", path);
	(void)close(fd);
	return r;
}

int turn_end(int fd)
{
	if (fd >= 0)
		(void)close(fd);
	return -1;
}
