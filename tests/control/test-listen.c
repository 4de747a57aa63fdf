/* Where the socket is, with which rights, and what happens to what is there already. */
#include "bench.h"

static ControlSpec spec_of(const Bench *b)
{
	return (ControlSpec){.path = b->path, .verbs = bench_verbs};
}

TEST(the_socket_is_for_its_owner_and_group_and_goes_away_with_the_daemon)
{
	struct stat st;
	char path[96];
	{
		BENCH(b);
		CHECK_OK(stat(b.path, &st));
		CHECK(S_ISSOCK(st.st_mode));
		CHECK_INT(st.st_mode & 07777, 0660);
		snprintf(path, sizeof(path), "%s", b.path);
		CHECK_OK(control_free(b.c) ? -1 : 0);
		b.c = NULL;
		CHECK(stat(path, &st) < 0 && errno == ENOENT);
	}
}

TEST(a_second_daemon_does_not_take_the_socket)
{
	BENCH(b);
	Control *second = NULL;
	Err err = ERR_INIT;
	const ControlSpec spec = spec_of(&b);
	CHECK_ERR(control_new(b.loop, &spec, &second, &err), EADDRINUSE);
	CHECK(strstr(err.msg, b.path));
	int fd = client(&b);
	say(&b, fd, "{\"do\": \"echo\"}\n");
	json_auto_t *v = answer(&b, fd);
	CHECK(js_bool(v, "ok", false));
	close(fd);
}

TEST(what_a_dead_daemon_left_is_replaced)
{
	BENCH(b);
	int status;
	b.c = control_free(b.c);
	pid_t pid = fork();
	CHECK(pid >= 0);
	if (pid == 0) {
		Control *c = NULL;
		sd_event *loop = NULL;
		Err err = ERR_INIT;
		const ControlSpec spec = spec_of(&b);
		if (sd_event_new(&loop) < 0 || control_new(loop, &spec, &c, &err) < 0)
			_exit(1);
		_exit(0); /* without taking the file away */
	}
	CHECK(waitpid(pid, &status, 0) == pid && WIFEXITED(status) && WEXITSTATUS(status) == 0);
	CHECK_OK(access(b.path, F_OK));
	Err err = ERR_INIT;
	const ControlSpec spec = spec_of(&b);
	CHECK_OK(control_new(b.loop, &spec, &b.c, &err));
	int fd = client(&b);
	say(&b, fd, "{\"do\": \"echo\"}\n");
	json_auto_t *v = answer(&b, fd);
	CHECK(js_bool(v, "ok", false));
	close(fd);
}

TEST(what_a_daemon_left_that_died_while_it_began_is_in_nobodys_way)
{
	BENCH(b);
	char beside[128];
	b.c = control_free(b.c);
	snprintf(beside, sizeof(beside), "%s.new", b.path);
	int fd = open(beside, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
	CHECK(fd >= 0);
	close(fd);
	Err err = ERR_INIT;
	const ControlSpec spec = spec_of(&b);
	CHECK_OK(control_new(b.loop, &spec, &b.c, &err));
	CHECK(access(beside, F_OK) < 0);
}

TEST(a_file_that_is_no_socket_stays)
{
	BENCH(b);
	struct stat st;
	Err err = ERR_INIT;
	b.c = control_free(b.c);
	int fd = open(b.path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
	CHECK(fd >= 0);
	close(fd);
	const ControlSpec spec = spec_of(&b);
	CHECK_ERR(control_new(b.loop, &spec, &b.c, &err), EEXIST);
	CHECK_OK(stat(b.path, &st));
	CHECK(S_ISREG(st.st_mode));
}

TEST(another_daemons_socket_is_not_taken_away_at_the_end)
{
	BENCH(b);
	Control *second = NULL;
	Err err = ERR_INIT;
	CHECK_OK(unlink(b.path));
	const ControlSpec spec = spec_of(&b);
	CHECK_OK(control_new(b.loop, &spec, &second, &err));
	b.c = control_free(b.c);
	CHECK_OK(access(b.path, F_OK));
	(void)control_free(second);
	CHECK(access(b.path, F_OK) < 0);
}

TEST(a_path_that_is_too_long_is_said_to_be)
{
	BENCH(b);
	Control *second = NULL;
	Err err = ERR_INIT;
	char path[200];
	memset(path, 'p', sizeof(path) - 1);
	path[0] = '/';
	path[sizeof(path) - 1] = '\0';
	const ControlSpec spec = {.path = path, .verbs = bench_verbs};
	CHECK_ERR(control_new(b.loop, &spec, &second, &err), ENAMETOOLONG);
}

/* As a manager does it: the socket is descriptor 3, LISTEN_PID says for whom. */
TEST(a_socket_that_systemd_handed_over_is_used)
{
	BENCH(b);
	int status;
	b.c = control_free(b.c);
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	snprintf(a.sun_path, sizeof(a.sun_path), "%s", b.path);
	int listening = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	CHECK_OK(bind(listening, (const struct sockaddr *)&a, sizeof(a)));
	CHECK_OK(listen(listening, 4));
	pid_t pid = fork();
	CHECK(pid >= 0);
	if (pid == 0) {
		char text[16];
		Bench child = b;
		Err err = ERR_INIT;
		snprintf(text, sizeof(text), "%d", (int)getpid());
		if (dup2(listening, 3) < 0 || setenv("LISTEN_PID", text, 1) < 0 ||
		    setenv("LISTEN_FDS", "1", 1) < 0)
			_exit(1);
		ControlSpec spec = {.verbs = bench_verbs, .ctx = &child};
		/* A loop belongs to the process that made it. */
		if (sd_event_new(&child.loop) < 0 ||
		    control_new(child.loop, &spec, &child.c, &err) < 0)
			_exit(2);
		while (child.decided == 0)
			if (sd_event_run(child.loop, 5000000) <= 0)
				_exit(3);
		_exit(0);
	}
	json_auto_t *v = NULL;
	Err err = ERR_INIT;
	CHECK_OK(control_ask(b.path, json_pack("{s:s}", "do", "decide"), &v, &err));
	CHECK(waitpid(pid, &status, 0) == pid && WIFEXITED(status));
	CHECK_INT(WEXITSTATUS(status), 0);
	close(listening);
}

TEST(without_a_path_and_without_systemd_there_is_no_socket)
{
	BENCH(b);
	Control *second = NULL;
	Err err = ERR_INIT;
	const ControlSpec spec = {.verbs = bench_verbs};
	CHECK_ERR(control_new(b.loop, &spec, &second, &err), ENOENT);
}
