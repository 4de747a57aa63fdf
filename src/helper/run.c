/* dream-helper, the program. */
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <syslog.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include "base/beside.h"
#include "helper/server.h"
#include "helper/wire.h"

enum {
	IDLE_US = 10 * 1000000,
};

void helper_say(int level, const char *fmt, ...)
{
	va_list ap;
	if (getenv("JOURNAL_STREAM"))
		fprintf(stderr, "<%d>", level);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
}

typedef struct Options {
	bool recover, help;
	int fd; /* -1: none */
} Options;

static int parse(int argc, char **argv, Options *ret)
{
	*ret = (Options){.fd = -1};
	if (argc == 1)
		return 0;
	if (argc == 2 && strcmp(argv[1], "--recover") == 0) {
		ret->recover = true;
		return 0;
	}
	if (argc == 2 && strcmp(argv[1], "--help") == 0) {
		ret->help = true;
		return 0;
	}
	if (argc != 3 || strcmp(argv[1], "--fd") != 0)
		return -EINVAL;
	return fd_from_text(argv[2], &ret->fd);
}

static void usage(FILE *to)
{
	fputs(
	    "Usage: dream-helper --fd N | --recover | (started by dream-helper.socket)\n"
	    "\n"
	    "Changes what production runs: among generations that root allowed, and adopted units "
	    "only.\n"
	    "  --fd N      serves whoever is at the other end of this socket, with the rights of "
	    "the caller\n"
	    "  --recover   undoes a change that a power cut interrupted; nothing to undo is no "
	    "failure\n"
	    "Started by a socket it serves root and the user " DAEMON_USER
	    ". See dream(1), \"dream rollout\".\n",
	    to);
}

static int check_socket(int fd, Err *err)
{
	if (sd_is_socket_unix(fd, SOCK_SEQPACKET, -1, NULL, 0) <= 0)
		return err_set(err, -ENOTSOCK,
			       "descriptor %d is no unix socket of packets (SOCK_SEQPACKET)", fd);
	return 0;
}

/* In system mode the daemon's user may ask besides root; of a user's own helper nobody else. */
static int find_daemon_user(ServerSpec *spec, Err *err)
{
	uid_t uid = 0;
	int r = user_find(DAEMON_USER, &uid, err);
	spec->has_second = uid != 0;
	spec->second = uid;
	return r;
}

static int serve_socket(const ProductionPlaces *places, Err *err)
{
	ServerSpec spec = {.listen_fd = SD_LISTEN_FDS_START, .client_fd = -1, .idle_us = IDLE_US};
	if (sd_listen_fds(1) != 1)
		return err_set(err, -EINVAL,
			       "systemd handed over no socket: start dream-helper.socket, or give "
			       "--fd or --recover");
	int r = check_socket(spec.listen_fd, err);
	if (r >= 0 && !places->user)
		r = find_daemon_user(&spec, err);
	return r < 0 ? r : server_run(&spec, places, err);
}

static int serve_one(int fd, const ProductionPlaces *places, Err *err)
{
	const ServerSpec spec = {.listen_fd = -1, .client_fd = fd, .quiet = true};
	int r = check_socket(fd, err);
	if (r >= 0 && fcntl(fd, F_SETFD, FD_CLOEXEC) < 0)
		r = err_set(err, -errno, "cannot use descriptor %d: %s", fd, strerror(errno));
	return r < 0 ? r : server_run(&spec, places, err);
}

static int run(const Options *o, Err *err)
{
	_cleanup_(productionplaces_done) ProductionPlaces places = {0};
	int r = productionplaces_here(&places, err);
	if (r < 0)
		return r;
	if (o->recover)
		return helper_recover(&places, err);
	return o->fd >= 0 ? serve_one(o->fd, &places, err) : serve_socket(&places, err);
}

int helper_main(int argc, char **argv)
{
	Options o;
	Err err = ERR_INIT;
	if (parse(argc, argv, &o) < 0) {
		usage(stderr);
		return 2;
	}
	if (o.help) {
		usage(stdout);
		return 0;
	}
	if (run(&o, &err) < 0) {
		helper_say(LOG_ERR, "dream-helper: %s", err.msg);
		return 1;
	}
	return 0;
}
