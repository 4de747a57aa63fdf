/* Whatever an evaluator does becomes a typed outcome with a reason, leaves no process, descriptor
 * or memory behind, and the next trial goes on. All by real programs. */
#include <errno.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "scratch.h"
#include "support.h"
#include "test.h"

typedef struct Fault {
	const char *what;
	const char *script;
	Outcome outcome;
	const char *reason; /* a part of it; NULL: there is none */
} Fault;

#define GOOD "{\"status\": \"ok\", \"metrics\": {\"stt_latency_ms\": 44.5}}"

static const Fault faults[] = {
    {"good result", "echo '" GOOD "'", OUTCOME_OK, NULL},
    {"wrapped result without a newline", "printf '{\"result\": " GOOD "}'", OUTCOME_OK, NULL},
    {"progress, blank and CRLF lines before it",
     "printf '\\n{\"event\": \"progress\", \"share\": 0.5}\\r\\n  \\n" GOOD "\\r\\n'", OUTCOME_OK,
     NULL},
    {"garbage", "echo 'Loading model...'; echo '" GOOD "'", OUTCOME_MEASURE_FAILED,
     "line 1 of the evaluator's output is not believable"},
    {"garbage is quoted, cut and harmless", "printf '\\033[2Jowned %0200d\\n' 0; echo '" GOOD "'",
     OUTCOME_MEASURE_FAILED, "\\x1b[2Jowned"},
    {"bytes that are not UTF-8", "printf '\\377\\376\\n'", OUTCOME_MEASURE_FAILED, "\\xff\\xfe"},
    {"NUL bytes", "printf '{\"status\": \"ok\\000\"}\\n'", OUTCOME_MEASURE_FAILED, "line 1"},
    {"garbage after the result", "echo '" GOOD "'; echo done", OUTCOME_MEASURE_FAILED, "line 2"},
    {"NaN", "echo '{\"status\": \"ok\", \"metrics\": {\"stt_latency_ms\": NaN}}'",
     OUTCOME_MEASURE_FAILED, "NaN"},
    {"Infinity", "echo '{\"status\": \"ok\", \"metrics\": {\"stt_latency_ms\": Infinity}}'",
     OUTCOME_MEASURE_FAILED, "Infinity"},
    {"a number too large for any double",
     "echo '{\"status\": \"ok\", \"metrics\": {\"stt_latency_ms\": 1e999}}'",
     OUTCOME_MEASURE_FAILED, "line 1"},
    {"duplicate keys", "echo '{\"status\": \"ok\", \"metrics\": {\"a\": 1, \"a\": 2}}'",
     OUTCOME_MEASURE_FAILED, "line 1"},
    {"no metrics", "echo '{\"status\": \"ok\"}'", OUTCOME_MEASURE_FAILED, "no number at all"},
    {"empty metrics", "echo '{\"status\": \"ok\", \"metrics\": {}}'", OUTCOME_MEASURE_FAILED,
     "no number at all"},
    {"a metric that is a text",
     "echo '{\"status\": \"ok\", \"metrics\": {\"stt_latency_ms\": \"44\"}}'",
     OUTCOME_MEASURE_FAILED, "stt_latency_ms"},
    {"a negative latency", "echo '{\"status\": \"ok\", \"metrics\": {\"stt_latency_ms\": -3}}'",
     OUTCOME_MEASURE_FAILED, "below zero"},
    {"an unknown status", "echo '{\"status\": \"great\", \"metrics\": {\"a\": 1}}'",
     OUTCOME_MEASURE_FAILED, "status"},
    {"a result that is a list", "echo '{\"result\": [1]}'", OUTCOME_MEASURE_FAILED, "object"},
    {"a line that is an array", "echo '[1, 2]'", OUTCOME_MEASURE_FAILED, "not a JSON object"},
    {"an object of no kind", "echo '{\"stt_latency_ms\": 4}'", OUTCOME_MEASURE_FAILED,
     "neither an event nor a result"},
    {"two results", "echo '" GOOD "'; echo '" GOOD "'", OUTCOME_MEASURE_FAILED, "second result"},
    {"a line of a megabyte", "head -c 1100000 /dev/zero | tr '\\0' x; echo; sleep 1000",
     OUTCOME_MEASURE_FAILED, "longer than 1048576"},
    {"a flood of small lines", "yes '{\"event\": \"p\"}'", OUTCOME_MEASURE_FAILED,
     "more than 16 MiB"},
    {"deep nesting", "printf '%05000d' 0 | tr 0 '['; echo", OUTCOME_MEASURE_FAILED, "line 1"},
    {"nothing", "exit 0", OUTCOME_MEASURE_FAILED, "exit status 0 and no result"},
    {"a failure with last words", "echo 'cannot reach judge' >&2; exit 3", OUTCOME_MEASURE_FAILED,
     "exit status 3 and no result; its last words: cannot reach judge"},
    {"a failure after the result", "echo '" GOOD "'; exit 4", OUTCOME_MEASURE_FAILED,
     "exit status 4 after it gave its result"},
    {"a refusal and then a failure",
     "echo '{\"status\": \"start_failed\", \"cause\": \"kv_cache\", \"reason\": \"no blocks\"}'; "
     "exit 1",
     OUTCOME_START_FAILED, "no blocks"},
    {"death by signal", "echo 'about to' >&2; kill -SEGV $$", OUTCOME_CRASHED,
     "killed by SIGSEGV without a result; its last words: about to"},
    {"death by signal after the result", "echo '" GOOD "'; kill -ABRT $$", OUTCOME_CRASHED,
     "killed by SIGABRT"},
    {"closed output and stays", "exec >&-; sleep 1000", OUTCOME_MEASURE_FAILED,
     "closed its output"},
    {"does not read its request", "exec <&-; echo '" GOOD "'", OUTCOME_OK, NULL},
};

static void check_no_child(void)
{
	CHECK_INT(waitpid(-1, NULL, WNOHANG), -1);
	CHECK_INT(errno, ECHILD);
}

TEST(every_fault_becomes_an_outcome_with_a_reason)
{
	for (size_t i = 0; i < sizeof(faults) / sizeof(*faults); i++) {
		const Fault *f = &faults[i];
		printf("# %s\n", f->what);
		int before = scratch_count("/proc/self/fd");
		Measurement m = measure_shell(f->script);
		if (m.outcome != f->outcome)
			test_fail(__FILE__, __LINE__, "%s: %s", f->what, outcome_name(m.outcome));
		if (f->reason ? !m.reason || !strstr(m.reason, f->reason) : m.reason != NULL)
			test_fail(__FILE__, __LINE__, "%s: %s", f->what,
				  m.reason ? m.reason : "no reason");
		if (m.reason)
			for (const char *c = m.reason; *c; c++)
				CHECK((unsigned char)*c >= ' ');
		CHECK(m.outcome != OUTCOME_OK || measurement_get(&m, "stt_latency_ms"));
		measurement_done(&m);
		CHECK_INT(scratch_count("/proc/self/fd"), before);
		check_no_child();
	}
}

static long own_rss_kib(void)
{
	FILE *f = fopen("/proc/self/statm", "r");
	long size, rss;
	CHECK(f && fscanf(f, "%ld %ld", &size, &rss) == 2);
	fclose(f);
	return rss * (sysconf(_SC_PAGESIZE) / 1024);
}

TEST(a_hundred_megabytes_of_stderr_are_drained_and_only_the_tail_is_kept)
{
	long before = own_rss_kib();
	Measurement m = measure_shell(
	    "head -c 100000000 /dev/zero | tr '\\0' e >&2; echo ' THE END' >&2; exit 1");
	CHECK_INT(m.outcome, OUTCOME_MEASURE_FAILED);
	CHECK(strstr(m.reason, "THE END"));
	const char *tail = evidence_text(&m, "evaluator_process/stderr_tail");
	CHECK(strlen(tail) > 1000 && strlen(tail) <= 4096);
#ifndef __SANITIZE_ADDRESS__
	CHECK(own_rss_kib() - before < 8192);
#else
	(void)before;
#endif
	measurement_done(&m);
}

/* A deadline by which every machine has started a shell and let it say something. */
enum {
	STARTED_US = 1500000
};

static Measurement measure_until(const char *script, int64_t timeout_us)
{
	_cleanup_(evaluator_freep) Evaluator *e = shell_evaluator(script);
	EvalRequest rq = request_make();
	rq.timeout_us = timeout_us;
	return measure(e, &rq);
}

TEST(at_the_deadline_it_is_killed_and_what_comes_later_does_not_count)
{
	Measurement m = measure_until("trap '' TERM INT; sleep 1000; echo '" GOOD "'", 100000);
	CHECK_INT(m.outcome, OUTCOME_TIMEOUT);
	CHECK(strstr(m.reason, "no result within"));
	CHECK_STR(evidence_text(&m, "evaluator_process/ended"), "killed by SIGKILL");
	CHECK_INT(m.n_metrics, 0);
	measurement_done(&m);
	check_no_child();

	/* Half a line is there at the deadline: it is not a result. */
	m = measure_until("printf '%s' '" GOOD "'; sleep 1000", 100000);
	CHECK_INT(m.outcome, OUTCOME_TIMEOUT);
	measurement_done(&m);
}

TEST(a_result_in_time_counts_even_if_the_program_never_ends)
{
	Measurement m = measure_until("echo '" GOOD "'; sleep 1000", STARTED_US);
	CHECK_INT(m.outcome, OUTCOME_OK);
	CHECK(json_is_true(json_object_get(json_object_get(m.evidence, "evaluator_process"),
					   "killed_at_deadline")));
	measurement_done(&m);
	check_no_child();
}

/* The pids come through standard error, into the evidence. */
static void check_family_is_dead(const Measurement *m, int n)
{
	const char *at = evidence_text(m, "evaluator_process/stderr_tail");
	for (int i = 0; i < n; i++) {
		at = strstr(at, "pid=");
		CHECK(at);
		long pid = strtol(at + 4, NULL, 10);
		CHECK(pid > 1);
		at += 4;
		CHECK_INT(kill((pid_t)pid, 0), -1);
		CHECK_INT(errno, ESRCH);
	}
}

TEST(no_orphan_survives_wherever_it_went)
{
	static const char spread[] =
	    "setsid sleep 1000 & echo pid=$! >&2;"
	    "(setsid sh -c 'trap \"\" TERM HUP; echo pid=$$ >&2; while :; do "
	    "sleep 1000; done' &);"
	    "sleep 1000 & echo pid=$! >&2;";
	char script[512];

	snprintf(script, sizeof(script), "%s sleep 1000", spread);
	Measurement m = measure_until(script, STARTED_US);
	CHECK_INT(m.outcome, OUTCOME_TIMEOUT);
	check_family_is_dead(&m, 3);
	measurement_done(&m);

	snprintf(script, sizeof(script), "%s exit 5", spread); /* they hold its pipes open */
	m = measure_shell(script);
	CHECK_INT(m.outcome, OUTCOME_MEASURE_FAILED);
	CHECK(strstr(m.reason, "exit status 5"));
	check_family_is_dead(&m, 2);
	measurement_done(&m);
	check_no_child();
}

TEST(a_program_that_cannot_be_started_is_a_fault_of_the_machine_and_not_a_result)
{
	char path[] = "/tmp/test-faults-XXXXXX";
	int fd = mkstemp(path);
	CHECK(write(fd, "#!/no/such/interpreter\n", 23) == 23);
	CHECK_INT(fchmod(fd, 0755), 0);
	close(fd);
	char *argv[] = {path};
	EvaluatorSpec spec = {.command = {argv, 1}};
	Diags d = DIAGS_INIT;
	Err err = ERR_INIT;
	_cleanup_(evaluator_freep) Evaluator *e = NULL;
	CHECK_OK(evaluator_new(&spec, "/tmp", NULL, DIAG_ERROR, &e, &d, &err));
	EvalRequest rq = request_make();
	Measurement m = MEASUREMENT_INIT;
	CHECK_ERR(eval_once(e, &rq, &m, &err), ENOENT);
	CHECK(strstr(err.msg, path));
	unlink(path);
	diags_done(&d);
}

/* --- On the caller's loop -------------------------------------------------------------------- */

typedef struct Watch {
	sd_event *loop;
	int events, done;
	double last;
	Outcome outcome;
	int wanted;
} Watch;

static void on_progress(void *userdata, const json_t *event)
{
	Watch *w = userdata;
	w->events++;
	w->last = json_number_value(json_object_get(event, "share"));
	if (w->events == w->wanted)
		sd_event_exit(w->loop, 0);
}

static void on_done(void *userdata, Measurement *m, const Err *err)
{
	Watch *w = userdata;
	CHECK(!err);
	w->outcome = m->outcome;
	if (++w->done == w->wanted)
		sd_event_exit(w->loop, 0);
}

TEST(progress_reaches_the_caller_as_it_happens_and_a_stopped_run_calls_nobody)
{
	Watch w = {.wanted = 2};
	_cleanup_(evaluator_freep) Evaluator *e = shell_evaluator(
	    "echo '{\"event\": \"progress\", \"share\": 0.25}'; echo '{\"event\": \"progress\", "
	    "\"share\": 0.5}'; sleep 1000");
	EvalRequest rq = request_make();
	EvalRun *run = NULL;
	CHECK_OK(sd_event_new(&w.loop));
	CHECK_OK(eval_start(e, &rq, w.loop, on_done, on_progress, &w, &run, NULL));
	CHECK_OK(sd_event_loop(w.loop));
	CHECK_INT(w.events, 2);
	CHECK_NEAR(w.last, 0.5, 0);
	run = eval_stop(run);
	check_no_child();
	CHECK_INT(w.done, 0);
	sd_event_unref(w.loop);
}

TEST(several_run_at_once_on_one_loop)
{
	Watch w = {.wanted = 8};
	EvalRun *runs[8];
	_cleanup_(evaluator_freep) Evaluator *e = shell_evaluator("echo '" GOOD "'");
	EvalRequest rq = request_make();
	CHECK_OK(sd_event_new(&w.loop));
	for (int i = 0; i < 8; i++)
		CHECK_OK(eval_start(e, &rq, w.loop, on_done, NULL, &w, &runs[i], NULL));
	CHECK_OK(sd_event_loop(w.loop));
	CHECK_INT(w.done, 8);
	CHECK_INT(w.outcome, OUTCOME_OK);
	for (int i = 0; i < 8; i++)
		eval_stop(runs[i]);
	sd_event_unref(w.loop);
	check_no_child();
}
