/* The listening socket: handed over by systemd, or a file of our own that appears with its right
 * mode and takes the place of an old one only when nobody answers there. */
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include "base/file.h"
#include "control/internal.h"

enum {
	BACKLOG = 64,
};

static void close_fd(int *fd)
{
	if (*fd >= 0)
		(void)close(*fd);
}

int socket_address(const char *path, struct sockaddr_un *ret, Err *err)
{
	size_t len = strlen(path);
	*ret = (struct sockaddr_un){.sun_family = AF_UNIX};
	if (len == 0 || len >= sizeof(ret->sun_path))
		return err_set(err, -ENAMETOOLONG,
			       "'%s' cannot be the path of a socket: it must have 1 to %zu bytes",
			       path, sizeof(ret->sun_path) - 1);
	memcpy(ret->sun_path, path, len);
	return 0;
}

/* 0: the place is free, or what is there is dead. */
static int look_at(const char *path, const struct sockaddr_un *a, Err *err)
{
	struct stat st;
	if (lstat(path, &st) < 0)
		return errno == ENOENT ? 0 : err_set(err, -errno, "cannot look at %s: %m", path);
	if (!S_ISSOCK(st.st_mode))
		return err_set(err, -EEXIST,
			       "cannot listen at %s: there is a file that is no "
			       "socket",
			       path);
	_cleanup_(close_fd) int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return err_set(err, -errno, "cannot make a socket: %m");
	if (connect(fd, (const struct sockaddr *)a, sizeof(*a)) < 0) {
		if (errno == ECONNREFUSED || errno == ENOENT)
			return 0;
		if (errno != EAGAIN) /* EAGAIN: it listens, and is busy */
			return err_set(err, -errno,
				       "cannot tell whether somebody listens at %s: "
				       "%m",
				       path);
	}
	return err_set(err, -EADDRINUSE, "cannot listen at %s: somebody listens there already",
		       path);
}

static int bind_private(int fd, const struct sockaddr_un *a)
{
	(void)unlink(a->sun_path); /* what a process left that died between these two steps */
	mode_t before = umask(0177);
	int r = bind(fd, (const struct sockaddr *)a, sizeof(*a)) < 0 ? -errno : 0;
	(void)umask(before);
	return r;
}

/* The group first: with the wider mode it must already be the right one. That we may not give it
 * away leaves the socket to root and ourselves, which is safe. */
static int open_up(const char *path, gid_t group)
{
	if (group != (gid_t)-1 && lchown(path, (uid_t)-1, group) < 0 && errno != EPERM)
		return -errno;
	return chmod(path, 0660) < 0 ? -errno : 0;
}

static int put_in_place(int fd, const char *path, const struct sockaddr_un *fresh, gid_t group)
{
	int r = bind_private(fd, fresh);
	if (r < 0)
		return r;
	r = listen(fd, BACKLOG) < 0 ? -errno : open_up(fresh->sun_path, group);
	if (r == 0 && rename(fresh->sun_path, path) < 0)
		r = -errno;
	if (r < 0)
		(void)unlink(fresh->sun_path);
	return r;
}

int listen_at(const char *path, gid_t group, int *ret, Err *err)
{
	struct sockaddr_un a, fresh;
	_cleanup_free_ char *dir = path_dir(path);
	_cleanup_free_ char *beside = str_fmt("%s.new", path);
	if (!dir || !beside)
		return err_oom(err);
	int r = socket_address(path, &a, err);
	if (r == 0)
		r = socket_address(beside, &fresh, err);
	if (r == 0)
		r = dir_make(dir, 0755, err);
	if (r == 0)
		r = look_at(path, &a, err);
	if (r < 0)
		return r;
	_cleanup_(close_fd) int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return err_set(err, -errno, "cannot make a socket: %m");
	r = put_in_place(fd, path, &fresh, group);
	if (r == -EACCES)
		return err_set(err, r,
			       "cannot listen at %s: we may not write in %s; the machine's is made "
			       "by 'systemd-tmpfiles --create'",
			       path, dir);
	if (r < 0)
		return err_set(err, r, "cannot listen at %s: %s", path, strerror(-r));
	*ret = fd;
	fd = -1;
	return 0;
}

int listen_handed(int *ret, Err *err)
{
	int n = sd_listen_fds(1);
	for (int fd = SD_LISTEN_FDS_START; n > 0 && fd < SD_LISTEN_FDS_START + n; fd++) {
		if (sd_is_socket_unix(fd, SOCK_STREAM, 1, NULL, 0) <= 0)
			continue;
		int flags = fcntl(fd, F_GETFL);
		if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0 ||
		    fcntl(fd, F_SETFD, FD_CLOEXEC) < 0)
			return err_set(err, -errno,
				       "cannot use the socket that systemd handed "
				       "over: %m");
		*ret = fd;
		return 0;
	}
	return err_set(err, -ENOENT, "systemd handed over no socket to listen at");
}
