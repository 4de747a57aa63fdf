/* The other end of the socket, for the command line. It waits, but not forever. */
#include <string.h>
#include <sys/time.h>
#include <unistd.h>

#include "base/json.h"
#include "control/internal.h"

enum {
	WAIT_S = 30,
	ERRNO_MAX = 133,
};

typedef struct Line {
	int fd;
	char *buf; /* CONTROL_ANSWER_MAX + 1 bytes */
	size_t len, used;
} Line;

static void line_done(Line *l)
{
	if (l->fd >= 0)
		(void)close(l->fd);
	free(l->buf);
}

static int set_patience(int fd, int seconds, Err *err)
{
	const struct timeval t = {.tv_sec = seconds};
	if (setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &t, sizeof(t)) < 0 ||
	    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &t, sizeof(t)) < 0)
		return err_set(err, -errno, "cannot set up the connection: %m");
	return 0;
}

static int connect_to(const char *path, Line *l, Err *err)
{
	struct sockaddr_un a;
	int r = socket_address(path, &a, err);
	if (r < 0)
		return r;
	l->buf = malloc(CONTROL_ANSWER_MAX + 1);
	if (!l->buf)
		return err_oom(err);
	l->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (l->fd < 0)
		return err_set(err, -errno, "cannot make a socket: %m");
	r = set_patience(l->fd, WAIT_S, err);
	if (r == 0 && connect(l->fd, (const struct sockaddr *)&a, sizeof(a)) < 0)
		r = err_set(err, -errno, "cannot reach the daemon at %s: %m", path);
	return r;
}

static int send_request(int fd, const json_t *request, Err *err)
{
	_cleanup_free_ char *text = json_dumps(request, JSON_COMPACT);
	_cleanup_free_ char *line = text ? str_fmt("%s\n", text) : NULL;
	if (!line)
		return err_oom(err);
	for (size_t at = 0, len = strlen(line); at < len;) {
		ssize_t n = send(fd, line + at, len - at, MSG_NOSIGNAL);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_set(err, -errno, "cannot ask the daemon: %m");
		at += (size_t)n;
	}
	return 0;
}

static int read_more(Line *l, Err *err)
{
	if (l->len > CONTROL_ANSWER_MAX)
		return err_set(err, -EBADMSG, "the daemon's answer is too long");
	ssize_t n = recv(l->fd, l->buf + l->len, CONTROL_ANSWER_MAX + 1 - l->len, 0);
	if (n < 0 && errno == EINTR)
		return 0;
	if (n < 0 && errno == EAGAIN)
		return err_set(err, -ETIMEDOUT, "the daemon did not answer within %d s", WAIT_S);
	if (n < 0)
		return err_set(err, -errno, "cannot read the daemon's answer: %m");
	if (n == 0)
		return err_set(err, -ECONNRESET, "the daemon closed the connection");
	l->len += (size_t)n;
	return 0;
}

/* The next line as a value. */
static int read_line(Line *l, json_t **ret, Err *err)
{
	memmove(l->buf, l->buf + l->used, l->len - l->used);
	l->len -= l->used;
	l->used = 0;
	for (;;) {
		const char *end = l->len ? memchr(l->buf, '\n', l->len) : NULL;
		if (end) {
			l->used = (size_t)(end - l->buf) + 1;
			int r = js_parse(l->buf, l->used - 1, CONTROL_ANSWER_MAX, ret, err);
			return r < 0 ? err_wrap(err, r, "the daemon's answer") : 0;
		}
		int r = read_more(l, err);
		if (r < 0)
			return r;
	}
}

/* What the daemon refused, as our own error. */
static int refused(const json_t *answer, Err *err)
{
	const char *name = js_str(answer, "error", "EIO");
	int code = EIO;
	for (int i = 1; i <= ERRNO_MAX; i++) {
		const char *known = strerrorname_np(i);
		if (known && strcmp(known, name) == 0)
			code = i;
	}
	if (code == ENOENT)
		code = ESRCH;
	else if (code == ECONNREFUSED || code == ECONNRESET)
		code = EIO;
	return err_set(err, -code, "%s", js_str(answer, "message", "the daemon refused"));
}

static int exchange(Line *l, const json_t *request, json_t **ret, Err *err)
{
	json_auto_t *answer = NULL;
	Err why = ERR_INIT;
	int sent = send_request(l->fd, request, err);
	/* Whom it has no room for it may have told so before it read anything. */
	int r = read_line(l, &answer, sent < 0 ? &why : err);
	if (r < 0)
		return sent < 0 ? sent : r;
	if (!js_bool(answer, "ok", false))
		return refused(answer, err);
	*ret = TAKE_PTR(answer);
	return 0;
}

int control_ask(const char *path, json_t *request, json_t **ret, Err *err)
{
	json_auto_t *owned = request;
	_cleanup_(line_done) Line l = {.fd = -1};
	if (!owned)
		return err_oom(err);
	int r = connect_to(path, &l, err);
	return r < 0 ? r : exchange(&l, owned, ret, err);
}

int control_follow(const char *path, ControlEventFn *fn, void *ctx, Err *err)
{
	json_auto_t *request = json_pack("{s:s}", "do", "follow"), *answer = NULL;
	_cleanup_(line_done) Line l = {.fd = -1};
	if (!request)
		return err_oom(err);
	int r = connect_to(path, &l, err);
	if (r == 0)
		r = exchange(&l, request, &answer, err);
	if (r == 0)
		r = set_patience(l.fd, 0, err);
	while (r == 0) {
		json_auto_t *event = NULL;
		r = read_line(&l, &event, err);
		if (r == 0)
			r = fn(ctx, event);
	}
	return r;
}
