#pragma once
/* Common to the tests of the socket: one control on a loop of its own, and clients that are turned
 * with it. */
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/json.h"
#include "control/control.h"
#include "control/internal.h"
#include "test.h"

typedef struct Bench {
	sd_event *loop;
	Control *c;
	char dir[64], path[96];
	int decided;
} Bench;

static int verb_echo(void *ctx, const ControlPeer *peer, const json_t *rq, json_t **ret, Err *err)
{
	(void)ctx;
	(void)err;
	*ret = json_pack("{s:s, s:b, s:O?}", "name", peer->name, "approver", peer->approver, "text",
			 json_object_get(rq, "text"));
	return *ret ? 0 : -ENOMEM;
}

static int verb_decide(void *ctx, const ControlPeer *peer, const json_t *rq, json_t **ret, Err *err)
{
	Bench *b = ctx;
	(void)peer;
	(void)rq;
	(void)ret;
	(void)err;
	b->decided++;
	return 0;
}

static int verb_none(void *ctx, const ControlPeer *peer, const json_t *rq, json_t **ret, Err *err)
{
	(void)ctx;
	(void)peer;
	(void)rq;
	(void)ret;
	return err_set(err, -ENOENT, "there is no such promotion");
}

static int verb_long(void *ctx, const ControlPeer *peer, const json_t *rq, json_t **ret, Err *err)
{
	(void)ctx;
	(void)peer;
	_cleanup_free_ char *text = malloc(CONTROL_ANSWER_MAX + 1);
	CHECK(text);
	int64_t n = js_int(rq, "bytes", 0);
	CHECK(n >= 0 && n <= CONTROL_ANSWER_MAX);
	memset(text, 'x', (size_t)n);
	text[n] = '\0';
	*ret = json_pack("{s:s}", "text", text);
	return *ret ? 0 : err_oom(err);
}

static const ControlVerb bench_verbs[] = {
    {"echo", false, verb_echo}, {"decide", true, verb_decide}, {"none", false, verb_none},
    {"long", false, verb_long}, {NULL, false, NULL},
};

static inline void bench_done(Bench *b)
{
	(void)control_free(b->c);
	sd_event_unref(b->loop);
	(void)unlink(b->path);
	(void)rmdir(b->dir);
}

static inline void bench_open(Bench *b, const char *approvers, int64_t idle_us)
{
	Err err = ERR_INIT;
	snprintf(b->dir, sizeof(b->dir), "/tmp/dream-control-XXXXXX");
	CHECK(mkdtemp(b->dir));
	CHECK_OK(chmod(b->dir, 0755));
	snprintf(b->path, sizeof(b->path), "%s/control.sock", b->dir);
	CHECK_OK(sd_event_new(&b->loop));
	const ControlSpec spec = {.path = b->path,
				  .approvers = approvers,
				  .verbs = bench_verbs,
				  .ctx = b,
				  .idle_us = idle_us};
	int r = control_new(b->loop, &spec, &b->c, &err);
	if (r < 0)
		printf("# %s\n", err.msg);
	CHECK_OK(r);
}

#define BENCH(b)                                            \
	__attribute__((cleanup(bench_done))) Bench b = {0}; \
	bench_open(&b, NULL, 0)

/* The exit status of a child of ours that asks; the loop is turned until it has one. */
static inline int bench_end_of(const Bench *b, pid_t pid)
{
	int status;
	pid_t w;
	do {
		CHECK_OK(sd_event_run(b->loop, 10000));
		w = waitpid(pid, &status, WNOHANG);
		CHECK(w >= 0);
	} while (w != pid);
	CHECK(WIFEXITED(status));
	return WEXITSTATUS(status);
}

/* Whatever can be done now is done. */
static inline void turn(const Bench *b)
{
	int r;
	do
		CHECK_OK(r = sd_event_run(b->loop, 0));
	while (r > 0);
}

static inline int connect_to(const char *path)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	CHECK(fd >= 0);
	snprintf(a.sun_path, sizeof(a.sun_path), "%s", path);
	CHECK_OK(connect(fd, (const struct sockaddr *)&a, sizeof(a)) < 0 ? -errno : 0);
	return fd;
}

static inline int client(const Bench *b)
{
	int fd = connect_to(b->path);
	turn(b);
	return fd;
}

static inline void say(const Bench *b, int fd, const char *text)
{
	size_t len = strlen(text);
	for (size_t at = 0; at < len;) {
		ssize_t n = send(fd, text + at, len - at, MSG_NOSIGNAL);
		if (n < 0 && errno == EAGAIN)
			n = 0;
		CHECK_OK(n < 0 ? -errno : 0);
		at += (size_t)n;
		turn(b);
	}
}

/* Everything that has come, as text; *ret_end: and then the end. */
static inline char *hear(const Bench *b, int fd, bool *ret_end)
{
	Str all = STR_INIT;
	char buf[65536], *ret = NULL;
	*ret_end = false;
	for (;;) {
		turn(b);
		ssize_t n = recv(fd, buf, sizeof(buf), 0);
		if (n < 0 && errno == EAGAIN)
			break;
		if (n <= 0) {
			*ret_end = true;
			break;
		}
		str_addn(&all, buf, (size_t)n);
	}
	CHECK_OK(str_take(&all, &ret));
	return ret;
}

/* The one line that has come. */
static inline json_t *answer(const Bench *b, int fd)
{
	bool end;
	json_t *v = NULL;
	Err err = ERR_INIT;
	_cleanup_free_ char *text = hear(b, fd, &end);
	size_t len = strlen(text);
	CHECK(len > 0 && text[len - 1] == '\n' && strchr(text, '\n') == text + len - 1);
	CHECK_OK(js_parse(text, len - 1, len, &v, &err));
	return v;
}
