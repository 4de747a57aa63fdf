/* dream-connect, the program: the whole of it runs with the network of the machine, so it is small.
 */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include "base/beside.h"
#include "connect/connect.h"
#include "connect/server.h"

static void usage(FILE *to)
{
	fputs("Usage: dream-connect [--fd N]\n"
	      "\n"
	      "Connects to ports of this machine's loopback for a daemon that has no network, and "
	      "hands the sockets over.\n"
	      "  --fd N   listens at this socket; without it, at the one that systemd hands over "
	      "(dream-connect.socket)\n"
	      "Serves root, its own user and the user " DAEMON_USER
	      ". See docs/security.md of dream.\n",
	      to);
}

/* -1: the one that systemd hands over. */
static int parse(int argc, char **argv, int *ret_fd)
{
	*ret_fd = -1;
	if (argc == 1)
		return 0;
	if (argc != 3 || strcmp(argv[1], "--fd") != 0)
		return -EINVAL;
	return fd_from_text(argv[2], ret_fd);
}

static int open_listener(int given, int *ret, Err *err)
{
	int fd = given;
	if (fd < 0 && sd_listen_fds(1) != 1)
		return err_set(err, -EINVAL,
			       "systemd handed over no socket: start dream-connect.socket, or give "
			       "--fd");
	if (fd < 0)
		fd = SD_LISTEN_FDS_START;
	if (sd_is_socket_unix(fd, SOCK_SEQPACKET, 1, NULL, 0) <= 0)
		return err_set(err, -ENOTSOCK,
			       "descriptor %d is no listening unix socket of packets "
			       "(SOCK_SEQPACKET)",
			       fd);
	int flags = fcntl(fd, F_GETFL);
	if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0 ||
	    fcntl(fd, F_SETFD, FD_CLOEXEC) < 0)
		return err_set(err, -errno, "cannot use descriptor %d: %s", fd, strerror(errno));
	*ret = fd;
	return 0;
}

static int open_loop(sd_event **ret, Err *err)
{
	sigset_t ends;
	sigemptyset(&ends);
	sigaddset(&ends, SIGTERM);
	sigaddset(&ends, SIGINT);
	sigprocmask(SIG_BLOCK, &ends, NULL);
	int r = sd_event_default(ret);
	if (r >= 0)
		r = sd_event_add_signal(*ret, NULL, SIGTERM, NULL, NULL); /* ends the loop */
	if (r >= 0)
		r = sd_event_add_signal(*ret, NULL, SIGINT, NULL, NULL);
	return r < 0 ? err_set(err, r, "cannot make an event loop: %s", strerror(-r)) : 0;
}

static int run(int given, Err *err)
{
	_cleanup_(sd_event_unrefp) sd_event *loop = NULL;
	_cleanup_(connectserver_freep) ConnectServer *s = NULL;
	int fd = -1;
	uid_t user = (uid_t)-1; /* where there is no such user, root and our own may ask */
	int r = open_listener(given, &fd, err);
	if (r >= 0)
		r = user_find(DAEMON_USER, &user, err);
	if (r >= 0)
		r = open_loop(&loop, err);
	if (r >= 0)
		r = connectserver_new(loop, fd, user, &s, err);
	if (r < 0)
		return r;
	r = sd_event_loop(loop);
	return r < 0 ? err_set(err, r, "the event loop failed: %s", strerror(-r)) : 0;
}

int main(int argc, char **argv)
{
	Err err = ERR_INIT;
	int fd;
	if (argc == 2 && strcmp(argv[1], "--help") == 0) {
		usage(stdout);
		return 0;
	}
	if (parse(argc, argv, &fd) < 0) {
		usage(stderr);
		return 2;
	}
	if (run(fd, &err) < 0) {
		fprintf(stderr, "dream-connect: %s\n", err.msg);
		return 1;
	}
	return 0;
}
