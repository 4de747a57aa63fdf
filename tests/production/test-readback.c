/* What a process was really started with, judged from its texts. */
#include "production/readback.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/json.h"
#include "production/sight.h"
#include "test.h"

#define T0 INT64_C(1000000000)

typedef struct Bench {
	AdoptedTarget targets[4];
	Adoption a;
	Generation g;
	ProcessSight sight;
	char *files[4];
	Readback r;
	Err err;
	int code;
} Bench;

static void bench_done(Bench *b)
{
	readback_done(&b->r);
	generation_done(&b->g);
}

static void target(Bench *b, const char *parameter, TargetKind kind, const char *name,
		   const char *path, const char *value)
{
	json_t *unit = json_object_get(b->g.values, "u.service");
	b->targets[b->a.n++] = (AdoptedTarget){.parameter = (char *)(uintptr_t)parameter,
					       .kind = kind,
					       .name = (char *)(uintptr_t)name,
					       .path = (char *)(uintptr_t)path};
	CHECK_OK(json_object_set_new(unit, parameter, json_string(value)));
}

static void bench_new(Bench *b)
{
	*b = (Bench){.a = {.unit = (char *)(uintptr_t) "u.service"},
		     .g = {.id = "0123456789abcdef", .values = json_pack("{s:{}}", "u.service")}};
	b->a.targets = b->targets;
	b->sight = (ProcessSight){.pid = 7, .started_at_us = T0 + 1000000, .files = b->files};
}

#define BENCH(name)                                      \
	__attribute__((cleanup(bench_done))) Bench name; \
	bench_new(&name)

/* A literal with its NULs, but for the one that C adds. */
#define CMDLINE(b, text) ((b)->sight.cmdline = (text), (b)->sight.cmdline_len = sizeof(text) - 1)
#define ENVIRON(b, text) ((b)->sight.environ = (text), (b)->sight.environ_len = sizeof(text) - 1)

static const ReadValue *judged(Bench *b)
{
	readback_done(&b->r);
	b->code = readback_judge(&b->a, &b->g, &b->sight, T0, &b->r, &b->err);
	if (b->code < 0)
		printf("# %s\n", b->err.msg);
	CHECK_OK(b->code);
	CHECK_INT(b->r.n, b->a.n);
	CHECK((b->r.words[0] == '\0') == b->r.same);
	return b->r.values;
}

TEST(a_flag_is_found_in_either_spelling)
{
	BENCH(b);
	target(&b, "util", TARGET_FLAG, "--gpu-memory-utilization", NULL, "0.5");
	CMDLINE(&b, "/usr/bin/vllm\0serve\0--gpu-memory-utilization\0000.5\0--port\08000\0");
	CHECK(judged(&b)->same && b.r.same);
	CMDLINE(&b, "/usr/bin/vllm\0serve\0--gpu-memory-utilization=0.5\0");
	CHECK(judged(&b)->same && b.r.same);
	CMDLINE(&b, "/usr/bin/vllm\0serve\0--gpu_memory_utilization\0000.5\0");
	CHECK(judged(&b)->same && b.r.same);
}

TEST(numbers_are_compared_by_value_and_words_as_they_are)
{
	static const struct {
		const char *expected;
		bool same;
	} cases[] = {{"0.50", true},  {"0.5", true},   {"5e-1", true},	{"+0.5", true},
		     {"0.51", false}, {"0.5 ", false}, {"0.5x", false}, {"half", false}};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		BENCH(b);
		target(&b, "util", TARGET_FLAG, "-u", NULL, cases[i].expected);
		CMDLINE(&b, "x\0-u\0000.5\0");
		CHECK_INT(judged(&b)->same, cases[i].same);
	}
	BENCH(b);
	target(&b, "size", TARGET_FLAG, "-m", NULL, "small");
	CMDLINE(&b, "x\0-m\0Small\0");
	CHECK(!judged(&b)->same);
	/* Not numbers, though a C library reads them as such. */
	BENCH(n);
	target(&n, "mode", TARGET_FLAG, "-m", NULL, "inf");
	CMDLINE(&n, "x\0-m\0infinity\0");
	CHECK(!judged(&n)->same);
}

TEST(a_flag_that_is_there_twice_counts_as_the_last_and_that_is_said)
{
	BENCH(b);
	target(&b, "util", TARGET_FLAG, "--util", NULL, "0.5");
	CMDLINE(&b, "x\0--util\0000.5\0--util\0000.9\0");
	CHECK(!judged(&b)->same && b.r.values[0].twice);
	CHECK_STR(b.r.values[0].found, "0.9");
	CHECK(strstr(b.r.words, "twice"));
	CMDLINE(&b, "x\0--util\0000.9\0--util=0.5\0");
	CHECK(judged(&b)->same && b.r.values[0].twice);
	CMDLINE(&b, "x\0--util\0000.5\0--util=0.5\0");
	CHECK(judged(&b)->same && !b.r.values[0].twice);
}

TEST(a_flag_without_a_value_or_missing_is_not_the_value)
{
	BENCH(b);
	target(&b, "util", TARGET_FLAG, "--util", NULL, "0.5");
	CMDLINE(&b, "x\0--port\0008000\0");
	CHECK(!judged(&b)->same && !b.r.values[0].found);
	CHECK(strstr(b.r.words, "not set"));
	CMDLINE(&b, "x\0--util\0");
	CHECK(!judged(&b)->same);
	CHECK_STR(b.r.values[0].found, "");
	CHECK(strstr(b.r.words, "empty"));
	CMDLINE(&b, "x\0--util=\0");
	CHECK(!judged(&b)->same);
	CMDLINE(&b, "x\0--utilisation\0000.5\0");
	CHECK(!judged(&b)->same);
	CMDLINE(&b, "--util\0000.5\0"); /* the program's own name */
	CHECK(!judged(&b)->same);
}

TEST(a_variable_is_found_by_its_whole_name)
{
	BENCH(b);
	target(&b, "size", TARGET_ENV, "ASR_SIZE", NULL, "tiny");
	CMDLINE(&b, "/srv/asr\0");
	ENVIRON(&b, "XASR_SIZE=tiny\0ASR_SIZE_MAX=tiny\0HOME=/root\0");
	CHECK(!judged(&b)->same && !b.r.values[0].found);
	ENVIRON(&b, "HOME=/root\0ASR_SIZE=tiny\0TOKEN=s3cret\0");
	CHECK(judged(&b)->same && b.r.same);
	ENVIRON(&b, "ASR_SIZE=\0");
	CHECK(!judged(&b)->same);
	CHECK_STR(b.r.values[0].found, "");
	/* As getenv() has it: the first. */
	ENVIRON(&b, "ASR_SIZE=tiny\0ASR_SIZE=small\0");
	CHECK(judged(&b)->same && b.r.values[0].twice);
}

/* It says what was asked for, not what runs: where no process of the container was found it is all
 * that there is, and proves nothing. */
TEST(what_a_containers_client_was_told_is_said_and_never_the_same)
{
	BENCH(b);
	target(&b, "util", TARGET_FLAG, "--util", NULL, "0.5");
	target(&b, "size", TARGET_ENV, "SIZE", NULL, "tiny");
	ENVIRON(&b, "SIZE=small\0"); /* of the docker client: means nothing inside */
	CMDLINE(&b, "/usr/bin/docker\0run\0--rm\0-e\0SIZE=tiny\0--util\0000.9\0image\0serve\0"
		    "--util\0000.5\0");
	CHECK(!judged(&b)[0].same && !b.r.values[1].same && !b.r.same && b.r.unseen);
	CHECK_STR(b.r.values[0].found, "0.5");
	CHECK_STR(b.r.values[1].found, "tiny");
	CHECK(strstr(b.r.words, "container that is not seen into"));
	CMDLINE(&b, "docker\0run\0--rm\0image\0--util\0000.5\0-e\0SIZE=tiny\0");
	CHECK(!judged(&b)[1].same && !b.r.values[1].found);
	CMDLINE(&b, "docker\0run\0-eSIZE=tiny\0--env=SIZE=base\0image\0--util=0.5\0");
	CHECK(judged(&b)[1].found);
	CHECK_STR(b.r.values[1].found, "base");
	/* What runs inside is a program like any other. */
	ENVIRON(&b, "SIZE=tiny\0");
	CMDLINE(&b, "/usr/bin/serve\0--util\0000.5\0");
	CHECK(judged(&b)[0].same && b.r.values[1].same && b.r.same && !b.r.unseen);
}

TEST(a_key_of_a_file_counts_only_where_the_environment_says_nothing)
{
	BENCH(b);
	target(&b, "size", TARGET_KEY, "SIZE", "/srv/.env", "tiny");
	CMDLINE(&b, "/srv/asr\0");
	b.files[0] = (char *)(uintptr_t) "A=1\nSIZE=tiny\n";
	CHECK(judged(&b)->same && b.r.same);
	CHECK_STR(b.r.values[0].where, "file");
	ENVIRON(&b, "SIZE=small\0");
	CHECK(!judged(&b)->same);
	CHECK_STR(b.r.values[0].where, "environment");
	ENVIRON(&b, "OTHER=1\0");
	b.files[0] = NULL; /* not there, or not readable */
	CHECK(!judged(&b)->same && !b.r.values[0].found);
	b.files[0] = (char *)(uintptr_t) "SIZE='tiny\n"; /* nobody knows what that is */
	CHECK(!judged(&b)->same);
}

TEST(a_key_of_the_config_file_counts_only_where_no_flag_says_it)
{
	BENCH(b);
	target(&b, "util", TARGET_CONFIG, "gpu_memory_utilization", "/srv/c.yaml", "0.5");
	b.files[0] = (char *)(uintptr_t) "# mine\ngpu-memory-utilization: 0.50  # half\n";
	CMDLINE(&b, "vllm\0serve\0--config\0/srv/c.yaml\0");
	CHECK(judged(&b)->same && b.r.same);
	CMDLINE(&b, "vllm\0serve\0--config\0/srv/c.yaml\0--gpu-memory-utilization\0000.9\0");
	CHECK(!judged(&b)->same);
	CHECK_STR(b.r.values[0].found, "0.9");
}

TEST(a_process_older_than_the_change_is_not_believed)
{
	BENCH(b);
	target(&b, "util", TARGET_FLAG, "-u", NULL, "0.5");
	CMDLINE(&b, "x\0-u\0000.5\0");
	b.sight.started_at_us = T0 - 1000000;
	CHECK(judged(&b)->same && !b.r.fresh && !b.r.same);
	CHECK(strstr(b.r.words, "older"));
	/* The kernel tells starts in hundredths of a second, rounded down. */
	b.sight.started_at_us = T0 - 9000;
	CHECK(judged(&b)->same && b.r.fresh && b.r.same);
}

TEST(a_unit_without_a_process_has_nothing)
{
	BENCH(b);
	target(&b, "util", TARGET_FLAG, "-u", NULL, "0.5");
	b.sight = (ProcessSight){0};
	CHECK(!judged(&b)->same && !b.r.same);
	CHECK(strstr(b.r.words, "no process"));
	b.sight = (ProcessSight){.pid = 9, .started_at_us = T0 + 1};
	CHECK(!judged(&b)->same);
	CHECK(strstr(b.r.words, "no command line")); /* a zombie, or one that wrote over it */
}

TEST(what_is_not_adopted_is_never_told)
{
	BENCH(b);
	target(&b, "size", TARGET_ENV, "SIZE", NULL, "tiny");
	CMDLINE(&b, "x\0--api-key\0t0pSecret\0");
	ENVIRON(&b, "TOKEN=s3cret\0SIZE=small\0");
	(void)judged(&b);
	json_auto_t *o = readback_json(&b.r);
	_cleanup_free_ char *text = json_dumps(o, 0);
	CHECK(text && strstr(text, "small") && !strstr(text, "s3cret") && !strstr(text, "t0p"));
	CHECK(js_bool(o, "fresh", false) && !js_bool(o, "same", true));
}

TEST(a_generation_without_the_value_is_a_fault)
{
	BENCH(b);
	target(&b, "util", TARGET_FLAG, "-u", NULL, "0.5");
	json_object_clear(json_object_get(b.g.values, "u.service"));
	CHECK_ERR(readback_judge(&b.a, &b.g, &b.sight, T0, &b.r, &b.err), ESTALE);
}

TEST(texts_without_end_are_survived)
{
	static const char odd[] = {'x', 0, '-', 'u'}; /* no NUL at the end */
	BENCH(b);
	target(&b, "util", TARGET_FLAG, "-u", NULL, "0.5");
	b.sight.cmdline = odd;
	b.sight.cmdline_len = sizeof(odd);
	CHECK(!judged(&b)->same);
	_cleanup_free_ char *many = calloc(1, 100000);
	CHECK(many);
	b.sight.cmdline = many;
	b.sight.cmdline_len = 100000;
	CHECK_ERR(readback_judge(&b.a, &b.g, &b.sight, T0, &b.r, &b.err), EFBIG);
	b.sight.cmdline_len = READBACK_BYTES_MAX + 1;
	CHECK_ERR(readback_judge(&b.a, &b.g, &b.sight, T0, &b.r, &b.err), EFBIG);
}

/* --- Real processes --------------------------------------------------------------------------- */

static pid_t spawn(char *const *argv)
{
	int ready[2];
	CHECK(pipe2(ready, O_CLOEXEC) == 0);
	pid_t pid = fork();
	CHECK(pid >= 0);
	if (pid == 0) {
		char *const env[] = {(char *)(uintptr_t) "SIZE=tiny", NULL};
		(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
		(void)setpgid(0, 0);
		execve(argv[0], argv, env);
		_exit(1);
	}
	close(ready[1]);
	char c;
	CHECK(read(ready[0], &c, 1) == 0); /* closed by the exec */
	close(ready[0]);
	return pid;
}

static void reap(pid_t pid)
{
	kill(-pid, SIGKILL); /* and whatever it started */
	waitpid(pid, NULL, 0);
}

TEST(a_real_process_is_seen_with_its_words_and_its_start)
{
	BENCH(b);
	Sight s = {0};
	char sleep_[] = "/bin/sleep", n[] = "30";
	target(&b, "size", TARGET_ENV, "SIZE", NULL, "tiny");
	int64_t before = clock_now_us(&clock_system);
	pid_t pid = spawn((char *const[]){sleep_, n, NULL});
	CHECK_OK(sight_read(&b.a, pid, &s, &b.err));
	CHECK_INT(s.p.pid, pid);
	CHECK_STR(s.cmdline, "/bin/sleep");
	CHECK(s.p.started_at_us > before - 20000 &&
	      s.p.started_at_us < clock_now_us(&clock_system) + 20000);
	b.sight = s.p;
	CHECK(judged(&b)->same);
	sight_done(&s);
	reap(pid);
	CHECK_ERR(sight_read(&b.a, pid, &s, &b.err), ESRCH);
}

TEST(behind_a_shell_it_is_what_the_shell_started)
{
	BENCH(b);
	Sight s = {0};
	char sh[] = "/bin/sh", c[] = "-c", script[] = "/bin/sleep 30; :", flag[] = "--util",
	     half[] = "0.5";
	target(&b, "util", TARGET_FLAG, "--util", NULL, "0.5");
	pid_t pid = spawn((char *const[]){sh, c, script, sh, flag, half, NULL});
	int64_t until = clock_mono_us(&clock_system) + 10000000;
	/* The shell needs a moment to fork, and its child one without words before it is sleep. */
	do {
		sight_done(&s);
		CHECK_OK(sight_read(&b.a, pid, &s, &b.err));
		CHECK(clock_mono_us(&clock_system) < until);
	} while (s.p.pid == pid || !*s.cmdline || strcmp(s.cmdline, "/bin/sh") == 0);
	CHECK_STR(s.cmdline, "/bin/sleep");
	b.sight = s.p;
	CHECK(!judged(&b)->same); /* the shell was given the flag and kept it for itself */
	sight_done(&s);
	reap(pid);
}
