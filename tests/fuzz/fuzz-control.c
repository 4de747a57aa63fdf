/* Whatever somebody writes to the daemon's socket: every answer is a line of JSON that says whether
 * it was done, what only approvers may do is done only for them, nothing is kept without bound. The
 * first byte says how the rest is cut into pieces. */
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/json.h"
#include "control/internal.h"
#include "fuzz.h"

static int verb(void *ctx, const ControlPeer *peer, const json_t *rq, json_t **ret, Err *err)
{
	int *calls = ctx;
	MUST(peer->uid == geteuid() && peer->approver && *peer->name);
	MUST(json_is_object(rq) && js_str(rq, "do", NULL));
	++*calls;
	if (js_bool(rq, "fail", false))
		return err_set(err, -EINVAL, "as you wish: %s", js_str(rq, "words", ""));
	*ret = json_pack("{s:O?}", "back", json_object_get(rq, "words"));
	return 0;
}

/* Those that look at the daemon's own store: fuzz-asked.c. */
static const ControlVerb verbs[] = {
    {"status", false, verb},	    {"promotions", false, verb},
    {"promotion", false, verb},	    {"baseline_log", false, verb},
    {"baseline_diff", false, verb}, {"preview", false, verb},
    {"approve", true, verb},	    {NULL, false, NULL},
};

static void turn(sd_event *loop)
{
	while (sd_event_run(loop, 0) > 0)
		;
}

static void take(int fd, Str *out)
{
	char buf[16384];
	ssize_t n;
	while ((n = recv(fd, buf, sizeof(buf), MSG_DONTWAIT)) > 0)
		str_addn(out, buf, (size_t)n);
}

/* Until nothing comes any more: answers that the socket does not hold wait until it is read. */
static void pump(sd_event *loop, int fd, Str *out)
{
	size_t before;
	do {
		before = out->len;
		turn(loop);
		take(fd, out);
	} while (out->len > before);
}

/* Whole lines, each an answer or an event. */
static size_t check_lines(const Str *out)
{
	size_t n = 0;
	for (size_t at = 0; at < out->len; n++) {
		const char *end = memchr(out->s + at, '\n', out->len - at);
		MUST(end);
		json_auto_t *v = NULL;
		Err err = ERR_INIT;
		size_t len = (size_t)(end - out->s) - at;
		MUST(js_parse(out->s + at, len, CONTROL_ANSWER_MAX, &v, &err) == 0);
		const json_t *ok = json_object_get(v, "ok");
		MUST(json_is_boolean(ok) || json_object_get(v, "event"));
		if (json_is_false(ok))
			MUST(*js_str(v, "error", "") && *js_str(v, "message", ""));
		at += len + 1;
	}
	return n;
}

static size_t count(const uint8_t *data, size_t size, uint8_t what)
{
	size_t n = 0;
	for (size_t i = 0; i < size; i++)
		n += data[i] == what;
	return n;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	int ends[2], calls = 0;
	sd_event *loop = NULL;
	Control *c = NULL;
	_cleanup_(str_done) Str out = STR_INIT;
	Err err = ERR_INIT;
	const ControlSpec spec = {.verbs = verbs, .ctx = &calls};
	if (size < 1)
		return 0;
	size_t step = data[0] ? data[0] : 4096;
	data++;
	size--;
	MUST(sd_event_new(&loop) >= 0);
	MUST(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) == 0);
	MUST(control_bare(loop, &spec, &c, &err) == 0);
	control_admit(c, ends[0]);
	for (size_t at = 0; at < size;) {
		size_t n = size - at < step ? size - at : step;
		ssize_t sent = send(ends[1], data + at, n, MSG_NOSIGNAL);
		pump(loop, ends[1], &out);
		if (sent < 0)
			break;
		at += (size_t)sent;
	}
	control_tell(c, json_pack("{s:s}", "event", "end"));
	pump(loop, ends[1], &out);
	size_t lines = check_lines(&out);
	/* A line, an answer; one more for a line that is too long, one for the event. */
	MUST(lines <= count(data, size, '\n') + 2);
	MUST((size_t)calls <= lines);
	(void)shutdown(ends[1], SHUT_WR);
	pump(loop, ends[1], &out);
	MUST(c->n_clients == 0);
	(void)close(ends[1]);
	(void)control_free(c);
	sd_event_unref(loop);
	return 0;
}
