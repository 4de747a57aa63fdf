/* The side that asks, against a helper that does what it should not. */
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/json.h"
#include "helper/packet.h"
#include "helper/wire.h"
#include "test.h"

enum {
	LONG_US = 20 * 1000000,
	SHORT_US = 50000,
};

/* --- The other end ---------------------------------------------------------------------------- */

static void answer(int fd, json_int_t n)
{
	char text[80];
	snprintf(text, sizeof(text), "{\"ok\": true, \"n\": %" JSON_INTEGER_FORMAT "}", n);
	(void)!send(fd, text, strlen(text), MSG_NOSIGNAL);
}

/* What the request says is done to it. False: the connection is closed. */
static bool play(int fd, const json_t *o, json_int_t *held)
{
	const char *what = js_str(o, "do", "");
	json_int_t n = js_int(o, "n", 0);
	if (strcmp(what, "die") == 0)
		return false;
	if (strcmp(what, "hold") == 0) { /* is answered with the next one */
		*held = n;
		return true;
	}
	if (*held) {
		answer(fd, *held);
		*held = 0;
	}
	if (strcmp(what, "echo") == 0 || strcmp(what, "twice") == 0)
		answer(fd, n);
	if (strcmp(what, "twice") == 0)
		answer(fd, n + 1);
	static const char no[] = "{\"ok\": false, \"error\": \"EPERM\", \"message\": \"no\"}";
	if (strcmp(what, "refuse") == 0)
		(void)!send(fd, no, strlen(no), 0);
	if (strcmp(what, "garbage") == 0)
		(void)!send(fd, "\0\xff{", 3, 0);
	if (strcmp(what, "huge") == 0) {
		static char big[HELPER_PACKET_MAX + 10];
		memset(big, ' ', sizeof(big));
		(void)!send(fd, big, sizeof(big), 0);
	}
	return true;
}

static void serve(int fd)
{
	static char buf[HELPER_PACKET_MAX];
	json_int_t held = 0;
	ssize_t n;
	while ((n = recv(fd, buf, sizeof(buf), 0)) > 0) {
		json_auto_t *o = NULL;
		Err err = ERR_INIT;
		if (js_parse(buf, (size_t)n, sizeof(buf), &o, &err) < 0 || !play(fd, o, &held))
			break;
	}
	close(fd);
}

typedef struct Bench {
	char dir[40], path[60];
	pid_t pid;
	sd_event *loop;
	Helper *h;
} Bench;

static void bench_done(Bench *b)
{
	helper_close(b->h);
	sd_event_unref(b->loop);
	kill(b->pid, SIGKILL);
	waitpid(b->pid, NULL, 0);
	unlink(b->path);
	rmdir(b->dir);
}

static void bench_new(Bench *b)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	Err err = ERR_INIT;
	strcpy(b->dir, "/tmp/dream-client-XXXXXX");
	CHECK(mkdtemp(b->dir));
	snprintf(b->path, sizeof(b->path), "%s/sock", b->dir);
	strcpy(a.sun_path, b->path);
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	CHECK(fd >= 0 && bind(fd, (struct sockaddr *)&a, sizeof(a)) == 0 && listen(fd, 8) == 0);
	b->pid = fork();
	CHECK(b->pid >= 0);
	if (b->pid == 0) {
		(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
		for (int c; (c = accept(fd, NULL, NULL)) >= 0;)
			serve(c);
		_exit(0);
	}
	close(fd);
	CHECK_OK(sd_event_new(&b->loop));
	CHECK_OK(helper_connect(b->loop, &(HelperAddress){.socket = b->path}, &b->h, &err));
}

#define BENCH(name)                                            \
	__attribute__((cleanup(bench_done))) Bench name = {0}; \
	bench_new(&name)

/* --- Asking ----------------------------------------------------------------------------------- */

typedef struct Seen {
	int calls, code;
	int64_t n;
	int *order; /* a counter */
	int at;
} Seen;

static void on_done(void *ctx, const json_t *reply, const Err *err)
{
	Seen *s = ctx;
	CHECK((reply != NULL) != (err != NULL));
	s->calls++;
	s->code = err ? err->code : 0;
	s->n = js_int(reply, "n", -1);
	if (s->order)
		s->at = ++*s->order;
}

static void call(Bench *b, const char *what, int n, int64_t timeout_us, Seen *s)
{
	Err err = ERR_INIT;
	CHECK_OK(helper_call(b->h, json_pack("{s:s, s:i}", "do", what, "n", n), timeout_us, on_done,
			     s, &err));
	CHECK_INT(s->calls, 0); /* never from inside */
}

static void wait_for(Bench *b, const Seen *s)
{
	while (s->calls == 0)
		CHECK(sd_event_run(b->loop, LONG_US) > 0);
}

TEST(answers_come_in_the_order_of_the_questions)
{
	BENCH(b);
	Seen s[5] = {0};
	int order = 0;
	for (int i = 0; i < 5; i++) {
		s[i].order = &order;
		call(&b, i == 1 ? "hold" : "echo", i + 1, LONG_US, &s[i]);
	}
	wait_for(&b, &s[4]);
	for (int i = 0; i < 5; i++) {
		CHECK_INT(s[i].n, i + 1);
		CHECK_INT(s[i].at, i + 1);
	}
}

TEST(a_refusal_is_its_errno_and_the_connection_goes_on)
{
	BENCH(b);
	Seen no = {0}, yes = {0};
	call(&b, "refuse", 1, LONG_US, &no);
	call(&b, "echo", 2, LONG_US, &yes);
	wait_for(&b, &yes);
	CHECK_INT(no.code, -EPERM);
	CHECK_INT(yes.n, 2);
}

TEST(an_answer_that_is_late_is_not_taken_for_the_next_one)
{
	BENCH(b);
	Seen late = {0}, next = {0};
	call(&b, "hold", 1, SHORT_US, &late);
	wait_for(&b, &late);
	CHECK_INT(late.code, -ETIMEDOUT);
	call(&b, "echo", 2, LONG_US, &next);
	wait_for(&b, &next);
	CHECK_INT(next.n, 2);
	CHECK_INT(late.calls, 1);
}

TEST(a_helper_that_dies_answers_all_that_is_open_and_is_found_again)
{
	BENCH(b);
	Seen a = {0}, die = {0}, after = {0}, again = {0};
	call(&b, "hold", 1, LONG_US, &a);
	call(&b, "die", 2, LONG_US, &die);
	call(&b, "echo", 3, LONG_US, &after);
	wait_for(&b, &after);
	CHECK_INT(a.code, -ECONNRESET);
	CHECK_INT(die.code, -ECONNRESET);
	CHECK_INT(after.code, -ECONNRESET);
	call(&b, "echo", 4, LONG_US, &again);
	wait_for(&b, &again);
	CHECK_INT(again.n, 4);
	CHECK_INT(a.calls + die.calls + after.calls, 3);
}

TEST(what_was_not_asked_ends_the_connection)
{
	static const char *const bad[] = {"twice", "huge"};
	for (size_t i = 0; i < 2; i++) {
		BENCH(b);
		Seen first = {0}, second = {0};
		call(&b, bad[i], 1, LONG_US, &first);
		wait_for(&b, &first);
		CHECK_INT(first.code, i == 0 ? 0 : -EBADMSG);
		call(&b, "hold", 9, LONG_US, &second);
		if (i == 0) { /* the second answer is either unasked for, or none for this one */
			wait_for(&b, &second);
			CHECK(second.code == -EBADMSG || second.n == 2);
		}
	}
}

TEST(garbage_is_an_error_of_that_question)
{
	BENCH(b);
	Seen bad = {0};
	call(&b, "garbage", 1, LONG_US, &bad);
	wait_for(&b, &bad);
	CHECK_INT(bad.code, -EBADMSG);
}

TEST(a_question_that_is_too_long_is_refused_here)
{
	BENCH(b);
	Seen s = {0};
	Err err = ERR_INIT;
	_cleanup_free_ char *big = calloc(1, HELPER_PACKET_MAX + 1);
	CHECK(big);
	memset(big, 'x', HELPER_PACKET_MAX);
	CHECK_ERR(helper_call(b.h, json_pack("{s:s}", "do", big), LONG_US, on_done, &s, &err),
		  EMSGSIZE);
	CHECK_INT(s.calls, 0);
}

TEST(waiting_gives_the_reply_or_the_refusal)
{
	BENCH(b);
	json_auto_t *reply = NULL;
	json_t *none = NULL;
	Err err = ERR_INIT;
	CHECK_OK(
	    helper_ask(b.h, json_pack("{s:s, s:i}", "do", "echo", "n", 7), LONG_US, &reply, &err));
	CHECK_INT(js_int(reply, "n", 0), 7);
	CHECK_ERR(helper_ask(b.h, json_pack("{s:s}", "do", "refuse"), LONG_US, &none, &err), EPERM);
	CHECK_STR(err.msg, "no");
	CHECK_ERR(helper_ask(b.h, json_pack("{s:s}", "do", "hold"), SHORT_US, &none, &err),
		  ETIMEDOUT);
}

static int ask_inside(sd_event_source *source, void *userdata)
{
	Bench *b = userdata;
	json_auto_t *reply = NULL;
	Err err = ERR_INIT;
	(void)source;
	CHECK_OK(
	    helper_ask(b->h, json_pack("{s:s, s:i}", "do", "echo", "n", 9), LONG_US, &reply, &err));
	CHECK_INT(js_int(reply, "n", 0), 9);
	return sd_event_exit(b->loop, 0);
}

TEST(waiting_is_possible_while_the_loop_turns)
{
	BENCH(b);
	Seen s = {0};
	Err err = ERR_INIT;
	sd_event_source *inside = NULL;
	/* One that was asked before gets its answer, too. */
	CHECK_OK(helper_call(b.h, json_pack("{s:s, s:i}", "do", "echo", "n", 8), LONG_US, on_done,
			     &s, &err));
	CHECK_OK(sd_event_add_defer(b.loop, &inside, ask_inside, &b));
	CHECK_OK(sd_event_loop(b.loop));
	CHECK_INT(s.calls, 1);
	sd_event_source_unref(inside);
}

static void close_inside(void *ctx, const json_t *reply, const Err *err)
{
	Bench *b = ctx;
	(void)reply;
	(void)err;
	b->h = helper_close(b->h);
}

TEST(it_may_be_closed_from_inside_an_answer)
{
	static const char *const ways[] = {"echo", "die", "garbage", "hold"};
	for (size_t i = 0; i < 4; i++) {
		BENCH(b);
		Err err = ERR_INIT;
		Seen never = {0};
		CHECK_OK(helper_call(b.h, json_pack("{s:s}", "do", ways[i]),
				     i == 3 ? SHORT_US : LONG_US, close_inside, &b, &err));
		CHECK_OK(helper_call(b.h, json_pack("{s:s}", "do", "hold"), LONG_US, on_done,
				     &never, &err));
		while (b.h)
			CHECK(sd_event_run(b.loop, LONG_US) > 0);
		CHECK_INT(never.calls, 0);
	}
}

TEST(nobody_there_is_said_with_what_to_do)
{
	Helper *h = NULL;
	Err err = ERR_INIT;
	sd_event *loop = NULL;
	CHECK_OK(sd_event_new(&loop));
	CHECK_ERR(helper_connect(loop, &(HelperAddress){.socket = "/no/such/socket"}, &h, &err),
		  ENOENT);
	CHECK(strstr(err.msg, "dream-helper.socket"));
	CHECK_ERR(helper_connect(loop, &(HelperAddress){.program = "/no/such/program"}, &h, &err),
		  ENOENT);
	CHECK(!h);
	sd_event_unref(loop);
}
