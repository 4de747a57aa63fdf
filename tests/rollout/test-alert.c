/* Alerts with real hook programs: shell scripts that write down what they are told. */
#include "rollout/alert.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/json.h"
#include "base/proc.h"
#include "base/str.h"
#include "test.h"

enum {
	PATIENCE_US = 20000000, /* nothing here takes that long */
};

typedef struct Bench {
	char dir[64];
	sd_event *loop;
	Alerts *alerts;
	int go; /* the other end of what its hooks wait for with ": <go"; -1: they wait */
} Bench;

static void bench_done(Bench *b)
{
	alerts_free(b->alerts);
	sd_event_unref(b->loop);
	if (b->go >= 0)
		close(b->go);
	_cleanup_free_ char *out = NULL;
	size_t n;
	const ProcSpec rm = {.argv = (const char *const[]){"rm", "-rf", b->dir, NULL},
			     .stdin_path = "/dev/null",
			     .stderr_fd = -1};
	CHECK_OK(proc_run(&rm, NULL, 0, 1024, PATIENCE_US, &out, &n, NULL));
}

#define BENCH(name)                          \
	__attribute__((cleanup(bench_done))) \
	Bench name = {.dir = "/tmp/dream-alert.XXXXXX", .go = -1}

/* A hook that runs `script` in the bench's folder, with "one" and "two words" as its arguments. */
static void begin(Bench *b, const char *script)
{
	Err err = ERR_INIT;
	CHECK(mkdtemp(b->dir) != NULL);
	CHECK_OK(sd_event_new(&b->loop));
	_cleanup_free_ char *fifo = str_fmt("%s/go", b->dir);
	CHECK_OK(mkfifo(fifo, 0600));
	_cleanup_free_ char *text = str_fmt("cd %s || exit 9; %s", b->dir, script);
	const char *hook[] = {"/bin/sh", "-c", text, "hook", "one", "two words", NULL};
	CHECK_OK(alerts_new(b->loop, hook, &clock_system, &b->alerts, &err));
}

static void let_go(Bench *b)
{
	_cleanup_free_ char *fifo = str_fmt("%s/go", b->dir);
	b->go = open(fifo, O_RDWR | O_CLOEXEC);
	CHECK(b->go >= 0);
}

/* What a hook wrote to a file of the folder; "" when it is not there. New string. */
static char *written(const Bench *b, const char *name)
{
	_cleanup_free_ char *path = str_fmt("%s/%s", b->dir, name);
	char *text = NULL;
	size_t n;
	if (access(path, F_OK) < 0)
		return strdup("");
	CHECK_OK(file_read(path, 1 << 20, &text, &n, NULL));
	return text;
}

static size_t lines(const char *text)
{
	size_t n = 0;
	for (; *text; text++)
		n += *text == '\n';
	return n;
}

/* Runs the loop until the file has so many lines. */
static void wait_lines(const Bench *b, const char *name, size_t want)
{
	int64_t until = clock_mono_us(&clock_system) + PATIENCE_US;
	for (;;) {
		_cleanup_free_ char *text = written(b, name);
		if (lines(text) >= want)
			return;
		CHECK(clock_mono_us(&clock_system) < until);
		CHECK_OK(sd_event_run(b->loop, 10000));
	}
}

TEST(a_hook_is_told_everything_as_one_line_of_json)
{
	BENCH(b);
	begin(&b,
	      "cat >told.new; echo \"$1|$2|$DREAM_ALERT|$NOTIFY_SOCKET\" >>told.new; mv told.new "
	      "told");
	setenv("NOTIFY_SOCKET", "/run/ours", 1);
	json_auto_t *fields = json_pack("{s:s, s:s, s:i}", "unit", "judge.service", "DREAM_ROLLOUT",
					"r-1", "version", 7);
	alert(b.alerts, ALERT_ROLLED_BACK, "it did not \"start\"", fields);
	wait_lines(&b, "told", 2);
	unsetenv("NOTIFY_SOCKET");
	_cleanup_free_ char *told = written(&b, "told");
	char *end = strchr(told, '\n');
	CHECK_STR(end + 1, "one|two words|rolled_back|\n");

	json_t *o = NULL;
	Err err = ERR_INIT;
	CHECK_OK(js_parse(told, (size_t)(end - told), 1 << 20, &o, &err));
	CHECK_STR(js_str(o, "schema", ""), "dream.alert/v1");
	CHECK_STR(js_str(o, "alert", ""), "rolled_back");
	CHECK_STR(js_str(o, "message_id", ""), alert_message_id(ALERT_ROLLED_BACK));
	CHECK_STR(js_str(o, "message", ""), "it did not \"start\"");
	CHECK_INT(js_int(o, "priority", -1), 4);
	CHECK_INT(strlen(js_str(o, "at", "")), strlen("2026-11-20T12:30:05.123456Z"));
	CHECK(*js_str(o, "host", ""));
	const json_t *f = json_object_get(o, "fields");
	CHECK_STR(js_str(f, "unit", ""), "judge.service");
	CHECK_STR(js_str(f, "rollout", ""), "r-1");
	CHECK_INT(js_int(f, "version", 0), 7);
	CHECK_INT(json_object_size(f), 3);
	json_decref(o);
}

/* It waits for what only the test does: whoever waited for it would wait for ever. */
TEST(an_alert_returns_while_its_hook_still_runs)
{
	BENCH(b);
	begin(&b, "read line; echo begun >>began; : <go; echo "
		  "done >>done");
	alert(b.alerts, ALERT_COMMITTED, "first", NULL);
	wait_lines(&b, "began", 1);
	_cleanup_free_ char *none = written(&b, "done");
	CHECK_STR(none, "");
	let_go(&b);
	wait_lines(&b, "done", 1);
}

TEST(a_few_hooks_run_at_once_and_the_others_wait_their_turn)
{
	enum {
		ALERTS = 12,
	};
	BENCH(b);
	begin(&b, "mkdir running-$$; ls -d running-* | wc -l >>peak; : <go; rmdir running-$$; echo "
		  "done >>done");
	for (int i = 0; i < ALERTS; i++)
		alert(b.alerts, ALERT_COMMITTED, "one of many", NULL);
	wait_lines(&b, "peak", ALERT_HOOKS_MAX);
	for (int i = 0; i < 10; i++)
		CHECK_OK(sd_event_run(b.loop, 10000));
	_cleanup_free_ char *before = written(&b, "peak");
	CHECK_INT(lines(before), ALERT_HOOKS_MAX); /* the fourth waits for one to end */
	let_go(&b);
	wait_lines(&b, "done", ALERTS);
	_cleanup_free_ char *peaks = written(&b, "peak");
	CHECK_INT(lines(peaks), ALERTS);
	for (const char *at = peaks; *at; at = strchr(at, '\n') + 1)
		CHECK(strtol(at, NULL, 10) <= ALERT_HOOKS_MAX);
}

/* It would sleep for an hour, and so would what it started. */
TEST(a_hook_that_hangs_is_killed_with_what_it_started)
{
	BENCH(b);
	begin(&b, "trap '' TERM; sleep 3600 & echo $! >>pids; echo $$ >>pids; wait");
	alerts_hook_limit(b.alerts, 300000);
	alert(b.alerts, ALERT_DRIFT, "first", NULL);
	wait_lines(&b, "pids", 2);
	_cleanup_free_ char *text = written(&b, "pids");
	for (const char *at = text; *at; at = strchr(at, '\n') + 1) {
		pid_t pid = (pid_t)strtol(at, NULL, 10);
		int64_t until = clock_mono_us(&clock_system) + PATIENCE_US;
		while (kill(pid, 0) == 0) {
			CHECK(clock_mono_us(&clock_system) < until);
			CHECK_OK(sd_event_run(b.loop, 10000));
		}
	}
}

TEST(a_hook_that_fails_or_reads_nothing_does_not_stop_the_next)
{
	BENCH(b);
	begin(&b, "exec 0<&-; echo ran >>ran; echo 'no such host' >&2; exit 3");
	_cleanup_free_ char *long_text = malloc(12001);
	memset(long_text, 'x', 12000);
	long_text[12000] = '\0';
	for (int i = 0; i < 8; i++)
		alert(b.alerts, ALERT_STUCK, long_text, NULL);
	wait_lines(&b, "ran", 8);
}

TEST(a_hook_that_says_more_than_a_pipe_holds_comes_to_its_end)
{
	BENCH(b);
	begin(&b, "head -c 3000000 /dev/zero >&2; head -c 3000000 /dev/zero; echo end >>end");
	alert(b.alerts, ALERT_COMMITTED, "words", NULL);
	wait_lines(&b, "end", 1);
}

TEST(a_hook_that_cannot_be_started_harms_nothing)
{
	BENCH(b);
	begin(&b, "true");
	b.alerts = alerts_free(b.alerts);
	const char *hook[] = {"/nonexistent/program", NULL};
	CHECK_OK(alerts_new(b.loop, hook, &clock_system, &b.alerts, NULL));
	for (int i = 0; i < 3; i++)
		alert(b.alerts, ALERT_COMMITTED, "words", NULL);
	CHECK_OK(sd_event_run(b.loop, 0));
}

TEST(what_is_going_on_at_the_end_is_given_time_to_finish)
{
	BENCH(b);
	begin(&b, "cat >/dev/null; sleep 0.2; echo done >>done");
	for (int i = 0; i < ALERT_HOOKS_MAX + 2; i++)
		alert(b.alerts, ALERT_COMMITTED, "words", NULL);
	b.alerts = alerts_free(b.alerts); /* the loop never ran */
	_cleanup_free_ char *done = written(&b, "done");
	CHECK_INT(lines(done), ALERT_HOOKS_MAX + 2);
}

/* The first few run, and so many wait; then what is urgent takes the place of what is not. */
TEST(when_too_many_wait_the_urgent_ones_stay)
{
	BENCH(b);
	begin(&b, ": <go; echo $DREAM_ALERT >>told");
	for (int i = 0; i < ALERT_HOOKS_MAX + ALERT_QUEUE_MAX; i++)
		alert(b.alerts, ALERT_COMMITTED, "words", NULL);
	alert(b.alerts, ALERT_STUCK, "look now", NULL);
	alert(b.alerts, ALERT_REFUSED, "no matter", NULL);
	alert(b.alerts, ALERT_STUCK, "look now", NULL);
	let_go(&b);
	wait_lines(&b, "told", ALERT_HOOKS_MAX + ALERT_QUEUE_MAX);
	_cleanup_free_ char *told = written(&b, "told");
	size_t stuck = 0;
	for (const char *at = told; *at; at = strchr(at, '\n') + 1)
		stuck += strncmp(at, "stuck\n", 6) == 0;
	CHECK_INT(stuck, 2);
	CHECK_INT(lines(told), ALERT_HOOKS_MAX + ALERT_QUEUE_MAX);
}

TEST(fields_that_are_too_long_do_not_keep_the_alert_from_the_hook)
{
	BENCH(b);
	begin(&b, "cat >>told");
	_cleanup_free_ char *long_text = malloc(ALERT_TEXT_MAX + 1);
	memset(long_text, 'x', ALERT_TEXT_MAX);
	long_text[ALERT_TEXT_MAX] = '\0';
	json_auto_t *fields = json_pack("{s:s}", "evidence", long_text);
	alert(b.alerts, ALERT_COMMITTED, "words", fields);
	wait_lines(&b, "told", 1);
	_cleanup_free_ char *told = written(&b, "told");
	CHECK(strstr(told, "\"message\": \"words\"") && !strstr(told, "evidence"));
}

TEST(without_a_hook_or_without_alerts_nothing_happens)
{
	Alerts *a = NULL;
	sd_event *loop = NULL;
	CHECK_OK(sd_event_new(&loop));
	CHECK_OK(alerts_new(loop, NULL, &clock_system, &a, NULL));
	alert(a, ALERT_COMMITTED, "words", NULL);
	alert(NULL, ALERT_COMMITTED, "words", NULL);
	alerts_hook_limit(a, 1);
	alerts_free(a);
	sd_event_unref(loop);
}

/* --- The catalog ------------------------------------------------------------------------------ */

static char *journalctl(const char *const *args)
{
	const char *argv[8] = {"journalctl"};
	for (size_t i = 0; args[i]; i++)
		argv[i + 1] = args[i];
	const ProcSpec spec = {.argv = argv, .stdin_path = "/dev/null", .stderr_fd = -1};
	char *out = NULL;
	size_t n;
	Err err = ERR_INIT;
	int r = proc_run(&spec, NULL, 0, 1 << 20, PATIENCE_US, &out, &n, &err);
	if (r < 0)
		printf("# %s\n", err.msg);
	CHECK_OK(r);
	return out;
}

/* As the journal's own program compiles it, into a folder of ours. */
TEST(the_catalog_explains_every_alert)
{
	_cleanup_free_ char *program = NULL;
	if (proc_find_program("journalctl", &program, NULL) < 0)
		SKIP("journalctl is not installed");
	BENCH(b);
	begin(&b, "true");
	_cleanup_free_ char *make =
	    str_fmt("cd %s; mkdir -p usr/lib/systemd/catalog var/lib/systemd/catalog; cp "
		    "%s/data/dream.catalog usr/lib/systemd/catalog",
		    b.dir, SOURCE_ROOT);
	const ProcSpec sh = {.argv = (const char *const[]){"sh", "-ec", make, NULL},
			     .stdin_path = "/dev/null",
			     .stderr_fd = -1};
	_cleanup_free_ char *nothing = NULL;
	size_t n;
	CHECK_OK(proc_run(&sh, NULL, 0, 1024, PATIENCE_US, &nothing, &n, NULL));

	_cleanup_free_ char *root = str_fmt("--root=%s", b.dir);
	free(journalctl((const char *const[]){root, "--update-catalog", NULL}));
	_cleanup_free_ char *list = journalctl((const char *const[]){root, "--list-catalog", NULL});
	CHECK_INT(lines(list), ALERT_MAX_ + 1);
	for (int k = 0; k <= ALERT_MAX_; k++) {
		const char *id =
		    k < ALERT_MAX_ ? alert_message_id((AlertKind)k) : alert_hook_message_id;
		_cleanup_free_ char *text =
		    journalctl((const char *const[]){root, "--dump-catalog", id, NULL});
		CHECK_INT(strlen(id), 32);
		CHECK(strstr(text, "Subject: ") && strstr(text, "Defined-By: D-REAM"));
		CHECK(strlen(text) > 300); /* what it means, and what to do */
	}
}
