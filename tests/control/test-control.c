/* The daemon's socket: requests, answers, events, and whoever misuses it. */
#include "bench.h"

enum {
	PATIENCE_US = 10000000
};

static void check_refused(const Bench *b, int fd, const char *request, const char *error)
{
	say(b, fd, request);
	json_auto_t *v = answer(b, fd);
	CHECK(!js_bool(v, "ok", true));
	CHECK_STR(js_str(v, "error", ""), error);
	CHECK(*js_str(v, "message", ""));
}

TEST(a_request_is_answered_and_the_kernel_says_who_asked)
{
	BENCH(b);
	int fd = client(&b);
	say(&b, fd, "{\"do\": \"echo\", \"text\": \"two\\nlines\"}\n");
	json_auto_t *v = answer(&b, fd);
	CHECK(js_bool(v, "ok", false));
	CHECK(js_bool(v, "approver", false)); /* ourselves */
	CHECK_STR(js_str(v, "text", ""), "two\nlines");
	CHECK(*js_str(v, "name", ""));
	close(fd);
}

TEST(a_request_may_come_in_pieces_and_several_at_once)
{
	BENCH(b);
	bool end;
	int fd = client(&b);
	say(&b, fd, "{\"do\": \"ec");
	say(&b, fd, "ho\", \"text\": \"1\"}");
	_cleanup_free_ char *nothing = hear(&b, fd, &end);
	CHECK_STR(nothing, "");
	say(&b, fd, "\n{\"do\": \"echo\", \"text\": \"2\"}\n{\"do\": \"none\"}\n{\"do\":");
	_cleanup_free_ char *text = hear(&b, fd, &end);
	const char *one = strstr(text, "\"1\""), *two = strstr(text, "\"2\"");
	const char *three = strstr(text, "\"ENOENT\"");
	CHECK(!end && one && two && three && one < two && two < three);
	close(fd);
}

TEST(what_is_no_request_is_refused_and_the_connection_goes_on)
{
	BENCH(b);
	int fd = client(&b);
	check_refused(&b, fd, "hello\n", "EBADMSG");
	check_refused(&b, fd, "\n", "EBADMSG");
	check_refused(&b, fd, "[1, 2]\n", "EINVAL");
	check_refused(&b, fd, "{}\n", "EINVAL");
	check_refused(&b, fd, "{\"do\": 7}\n", "EINVAL");
	check_refused(&b, fd, "{\"do\": \"dance\"}\n", "EOPNOTSUPP");
	check_refused(&b, fd, "{\"do\": \"echo\", \"do\": \"decide\"}\n", "EBADMSG");
	check_refused(&b, fd, "{\"do\": \"none\"}\n", "ENOENT");
	say(&b, fd, "{\"do\": \"echo\"}\n");
	json_auto_t *v = answer(&b, fd);
	CHECK(js_bool(v, "ok", false));
	close(fd);
}

TEST(a_line_that_is_too_long_is_the_last)
{
	BENCH(b);
	bool end;
	int fd = client(&b);
	_cleanup_free_ char *line = malloc(CONTROL_LINE_MAX + 2);
	CHECK(line);
	memset(line, 'a', CONTROL_LINE_MAX + 1);
	line[CONTROL_LINE_MAX + 1] = '\0';
	say(&b, fd, line);
	_cleanup_free_ char *text = hear(&b, fd, &end);
	CHECK(strstr(text, "EMSGSIZE"));
	CHECK(end);
	close(fd);
}

TEST(the_longest_line_that_is_allowed_is_read)
{
	BENCH(b);
	int fd = client(&b);
	_cleanup_free_ char *line = malloc(CONTROL_LINE_MAX + 2);
	CHECK(line);
	memset(line, ' ', CONTROL_LINE_MAX + 1);
	memcpy(line, "{\"do\": \"echo\"}", 14);
	line[CONTROL_LINE_MAX] = '\n';
	line[CONTROL_LINE_MAX + 1] = '\0';
	say(&b, fd, line);
	json_auto_t *v = answer(&b, fd);
	CHECK(js_bool(v, "ok", false));
	close(fd);
}

TEST(an_answer_that_is_too_long_says_so)
{
	BENCH(b);
	int fd = client(&b);
	char line[80];
	snprintf(line, sizeof(line), "{\"do\": \"long\", \"bytes\": %d}\n", CONTROL_ANSWER_MAX);
	check_refused(&b, fd, line, "EMSGSIZE");
	say(&b, fd, "{\"do\": \"long\", \"bytes\": 900000}\n");
	json_auto_t *v = answer(&b, fd);
	CHECK_INT(strlen(js_str(v, "text", "")), 900000);
	close(fd);
}

TEST(whoever_says_nothing_more_still_gets_the_answer)
{
	BENCH(b);
	bool end;
	int fd = client(&b);
	CHECK_INT(send(fd, "{\"do\": \"echo\"}\n", 15, MSG_NOSIGNAL), 15);
	CHECK_OK(shutdown(fd, SHUT_WR));
	_cleanup_free_ char *text = hear(&b, fd, &end);
	CHECK(strstr(text, "\"ok\":true"));
	CHECK(end);
	CHECK_INT(b.c->n_clients, 0);
	close(fd);
}

TEST(a_client_that_leaves_is_forgotten)
{
	BENCH(b);
	int fd = client(&b);
	CHECK_INT(b.c->n_clients, 1);
	close(fd);
	turn(&b);
	CHECK_INT(b.c->n_clients, 0);
}

TEST(one_too_many_is_told_so_and_the_others_stay)
{
	BENCH(b);
	int fd[CONTROL_CLIENTS_MAX + 1];
	bool end;
	for (int i = 0; i <= CONTROL_CLIENTS_MAX; i++)
		fd[i] = client(&b);
	_cleanup_free_ char *text = hear(&b, fd[CONTROL_CLIENTS_MAX], &end);
	CHECK(strstr(text, "EBUSY") && end);
	for (int i = 0; i < CONTROL_CLIENTS_MAX; i++) {
		say(&b, fd[i], "{\"do\": \"echo\"}\n");
		json_auto_t *v = answer(&b, fd[i]);
		CHECK(js_bool(v, "ok", false));
	}
	close(fd[0]);
	turn(&b);
	close(fd[CONTROL_CLIENTS_MAX]);
	fd[0] = client(&b);
	say(&b, fd[0], "{\"do\": \"echo\"}\n");
	json_auto_t *v = answer(&b, fd[0]);
	CHECK(js_bool(v, "ok", false));
	for (int i = 0; i < CONTROL_CLIENTS_MAX; i++)
		close(fd[i]);
}

/* Runs the loop until nobody is connected. */
static void wait_until_alone(const Bench *b)
{
	int64_t until = clock_mono_us(&clock_system) + PATIENCE_US;
	while (b->c->n_clients > 0) {
		int64_t left = until - clock_mono_us(&clock_system);
		CHECK(left > 0);
		CHECK_OK(sd_event_run(b->loop, (uint64_t)left));
	}
}

TEST(whoever_is_silent_or_dawdles_is_dropped)
{
	__attribute__((cleanup(bench_done))) Bench b = {0};
	bench_open(&b, NULL, 50000);
	int silent = client(&b), dawdler = client(&b);
	int64_t began = clock_mono_us(&clock_system);
	/* Single bytes are no request: they do not begin the time anew. */
	while (b.c->n_clients == 2) {
		(void)!send(dawdler, "x", 1, MSG_NOSIGNAL | MSG_DONTWAIT);
		CHECK_OK(sd_event_run(b.loop, 5000));
		CHECK(clock_mono_us(&clock_system) - began < PATIENCE_US);
	}
	wait_until_alone(&b);
	close(silent);
	close(dawdler);
}

TEST(whoever_does_not_read_an_answer_is_dropped)
{
	__attribute__((cleanup(bench_done))) Bench b = {0};
	bench_open(&b, NULL, 500000); /* longer than it takes to ask */
	int fd = client(&b);
	say(&b, fd, "{\"do\": \"long\", \"bytes\": 1000000}\n");
	CHECK_INT(b.c->n_clients, 1);
	wait_until_alone(&b);
	close(fd);
}

TEST(whoever_follows_gets_every_event_and_may_be_silent)
{
	__attribute__((cleanup(bench_done))) Bench b = {0};
	bench_open(&b, NULL, 300000);
	int fd = client(&b);
	bool end;
	say(&b, fd, "{\"do\": \"follow\"}\n");
	json_auto_t *began = answer(&b, fd);
	CHECK(js_bool(began, "ok", false));
	int64_t until = clock_mono_us(&clock_system) + 600000;
	while (clock_mono_us(&clock_system) < until)
		CHECK_OK(sd_event_run(b.loop, 10000));
	control_tell(b.c, json_pack("{s:i}", "event", 1));
	control_tell(b.c, json_pack("{s:i}", "event", 2));
	_cleanup_free_ char *text = hear(&b, fd, &end);
	CHECK_STR(text, "{\"event\":1}\n{\"event\":2}\n");
	CHECK(!end);
	close(fd);
	wait_until_alone(&b);
}

TEST(events_go_to_those_who_follow_and_to_nobody_else)
{
	BENCH(b);
	int follower = client(&b), other = client(&b);
	bool end;
	say(&b, follower, "{\"do\": \"follow\"}\n");
	control_tell(b.c, json_pack("{s:i}", "event", 1));
	_cleanup_free_ char *text = hear(&b, other, &end);
	CHECK_STR(text, "");
	close(follower);
	close(other);
}

TEST(a_follower_that_does_not_read_is_dropped_and_the_others_lose_nothing)
{
	BENCH(b);
	int slow = client(&b), good = client(&b);
	bool end;
	size_t bytes = 0;
	_cleanup_free_ char *words = malloc(10001);
	CHECK(words);
	memset(words, 'w', 10000);
	words[10000] = '\0';
	say(&b, slow, "{\"do\": \"follow\"}\n");
	say(&b, good, "{\"do\": \"follow\"}\n");
	json_auto_t *began = answer(&b, good);
	CHECK(began);
	int sent = 0;
	for (; b.c->n_clients == 2; sent++) {
		CHECK(sent < 1000);
		control_tell(b.c, json_pack("{s:s}", "w", words));
		_cleanup_free_ char *text = hear(&b, good, &end);
		CHECK(!end);
		bytes += strlen(text);
	}
	CHECK(sent * 10000 >= CONTROL_ANSWER_MAX);
	CHECK_INT(bytes, (size_t)sent * (10000 + strlen("{\"w\":\"\"}\n")));
	close(slow);
	close(good);
}

TEST(out_of_memory_for_an_event_is_no_event)
{
	BENCH(b);
	int fd = client(&b);
	say(&b, fd, "{\"do\": \"follow\"}\n");
	json_auto_t *began = answer(&b, fd);
	CHECK(began);
	control_tell(b.c, NULL);
	CHECK_INT(b.c->n_clients, 1);
	close(fd);
}

TEST(only_root_we_and_members_of_the_group_decide)
{
	const gid_t groups[] = {100, 2000, 7};
	struct {
		uid_t uid, own;
		gid_t group;
		size_t n;
		bool may;
	} rows[] = {
	    {0, 900, (gid_t)-1, 0, true},     {900, 900, (gid_t)-1, 0, true},
	    {1000, 900, (gid_t)-1, 3, false}, {1000, 900, 2000, 3, true},
	    {1000, 900, 7, 3, true},	      {1000, 900, 7, 2, false},
	    {1000, 900, 0, 3, false},	      {1000, 900, 2000, 0, false},
	    {1000, 0, 5000, 3, false},
	};
	const gid_t bad[] = {(gid_t)-1};
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++)
		CHECK_INT(peer_decides(rows[i].uid, rows[i].own, rows[i].group, groups, rows[i].n),
			  rows[i].may);
	/* "No such group" is nobody's group. */
	CHECK(!peer_decides(1000, 900, (gid_t)-1, bad, 1));
}

/* --- The other end
 * -------------------------------------------------------------------------------- */

/* In a process of its own, for it waits. 0, or the errno. */
static int ask_elsewhere(const Bench *b, const char *verb)
{
	pid_t pid = fork();
	CHECK(pid >= 0);
	if (pid == 0) {
		json_auto_t *v = NULL;
		Err err = ERR_INIT;
		int r = control_ask(b->path, json_pack("{s:s, s:s}", "do", verb, "text", "hello"),
				    &v, &err);
		bool good = r < 0 ? *err.msg : js_bool(v, "ok", false);
		_exit(good ? -r : 255);
	}
	return bench_end_of(b, pid);
}

TEST(the_command_line_gets_the_answer_or_what_was_refused)
{
	BENCH(b);
	CHECK_INT(ask_elsewhere(&b, "echo"), 0);
	CHECK_INT(ask_elsewhere(&b, "decide"), 0);
	CHECK_INT(b.decided, 1);
	/* ENOENT would say that no daemon is there. */
	CHECK_INT(ask_elsewhere(&b, "none"), ESRCH);
	CHECK_INT(ask_elsewhere(&b, "dance"), EOPNOTSUPP);
}

TEST(without_a_daemon_the_command_line_is_told)
{
	json_auto_t *v = NULL;
	Err err = ERR_INIT;
	char path[] = "/tmp/dream-nobody-XXXXXX", at[64];
	CHECK(mkdtemp(path));
	snprintf(at, sizeof(at), "%s/sock", path);
	CHECK_ERR(control_ask(at, json_pack("{s:s}", "do", "echo"), &v, &err), ENOENT);
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	snprintf(a.sun_path, sizeof(a.sun_path), "%s", at);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	CHECK_OK(bind(fd, (const struct sockaddr *)&a, sizeof(a)));
	close(fd);
	CHECK_ERR(control_ask(at, json_pack("{s:s}", "do", "echo"), &v, &err), ECONNREFUSED);
	CHECK(!v);
	CHECK_OK(unlink(at));
	CHECK_OK(rmdir(path));
}

static int count_events(void *ctx, const json_t *event)
{
	int *n = ctx;
	CHECK_INT(js_int(event, "n", -1), *n);
	return ++*n == 3 ? 1 : 0;
}

TEST(the_command_line_follows_until_it_has_seen_enough)
{
	BENCH(b);
	int status, told = 0;
	pid_t pid = fork();
	CHECK(pid >= 0);
	if (pid == 0) {
		int n = 0;
		Err err = ERR_INIT;
		_exit(control_follow(b.path, count_events, &n, &err) == 1 && n == 3 ? 0 : 1);
	}
	while (waitpid(pid, &status, WNOHANG) == 0) {
		CHECK_OK(sd_event_run(b.loop, 2000));
		if (told < 3 && b.c->clients && client_follows(b.c->clients))
			control_tell(b.c, json_pack("{s:i}", "n", told++));
	}
	CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}
