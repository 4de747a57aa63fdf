/* Production that is really stopped, by processes that are really killed, under a real manager. */
#include "service/quiesce.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include "manager.h"
#include "service/quiesce_internal.h"

static const char state[] = "/tmp/dream-state";
static char always[] = "00:00-24:00", a[] = "q-a.service", b_[] = "q-b.service",
	    off[] = "q-off.service";
static char *const two[] = {a, b_, off};

typedef struct Course {
	bool ready, gave_up, restored, restore_when_ready;
	char why[480], problem[480];
	Quiesce *q;
} Course;

static void on_ready(void *ctx)
{
	Course *c = ctx;
	c->ready = true;
	if (c->restore_when_ready)
		quiesce_restore(c->q);
}

static void on_give_up(void *ctx, const char *why)
{
	Course *c = ctx;
	c->gave_up = true;
	snprintf(c->why, sizeof(c->why), "%s", why);
}

static void on_restored(void *ctx, const Err *err)
{
	Course *c = ctx;
	c->restored = true;
	snprintf(c->problem, sizeof(c->problem), "%s", err ? err->msg : "");
}

static const QuiesceHandler handler = {on_ready, on_give_up, on_restored};

/* Whoever starts has to be ready: order and readiness can be seen. */
static void production(void)
{
	unit_file(a, "[Service]\nType=notify\nNotifyAccess=all\n"
		     "ExecStart=/bin/sh -c 'sleep 0.1; systemd-notify --ready; exec sleep 1000'\n");
	unit_file(b_, "[Service]\nType=notify\nNotifyAccess=all\n"
		      "ExecStartPre=/bin/sh -c '! test -e /tmp/b-is-broken'\n"
		      "ExecStart=/bin/sh -c 'systemd-notify --ready; exec sleep 1000'\n");
	unit_file(off, "[Service]\nExecStart=/bin/sleep 1000\n");
	shell("rm -rf /tmp/dream-state /tmp/b-is-broken; mkdir -p /tmp/dream-state; "
	      "systemctl daemon-reload; systemctl reset-failed; systemctl stop q-off; "
	      "systemctl start q-a q-b");
}

static QuiesceSpec spec_of(char *const *units, size_t n)
{
	return (QuiesceSpec){.units = {(char **)(uintptr_t)units, n},
			     .window = always,
			     .budget_us = 60000000,
			     .drain_us = 500000};
}

/* These units have no port, so a page must tell that nobody uses them. */
static char page[] = "http://127.0.0.1:8123/metrics";

static void metrics(const char *running)
{
	char text[200];
	Err err = ERR_INIT;
	snprintf(text, sizeof(text),
		 "# TYPE vllm:num_requests_running gauge\nvllm:num_requests_running{m=\"x\"} %s\n",
		 running);
	CHECK_OK(file_write("/tmp/www/metrics", 0644, text, strlen(text), &err));
}

static void page_start(void)
{
	shell("mkdir -p /tmp/www");
	metrics("0.0");
	unit_file("q-page.service",
		  "[Service]\nExecStart=/usr/bin/python3 -m http.server -b 127.0.0.1 "
		  "-d /tmp/www 8123\n");
	shell("systemctl daemon-reload; systemctl start q-page; "
	      "bash -c 'until (exec 3<>/dev/tcp/127.0.0.1/8123) 2>/dev/null; do sleep 0.05; done'");
}

static QuiesceSpec paged(void)
{
	QuiesceSpec q = spec_of(two, 3);
	q.idle_url = page;
	return q;
}

static int begin(const Bench *b, HttpLoop *http, const QuiesceSpec *spec, Course *c, Err *err)
{
	return quiesce_begin(b->loop, b->s, http, spec, state, &handler, c, &c->q, err);
}

static bool is(const Bench *b, const char *unit, const char *active)
{
	UnitState u = state_of(b, unit);
	bool yes = strcmp(u.active, active) == 0;
	unit_state_done(&u);
	return yes;
}

static void must_begin(const Bench *b, HttpLoop *http, const QuiesceSpec *spec, Course *c)
{
	Err err = ERR_INIT;
	int r = begin(b, http, spec, c, &err);
	if (r < 0)
		printf("# %s\n", err.msg);
	CHECK_OK(r);
}

static void must_be_ready(const Bench *b, Course *c)
{
	while (!c->ready && !c->gave_up)
		CHECK_OK(sd_event_run(b->loop, 30000000));
	if (c->gave_up)
		printf("# %s\n", c->why);
	CHECK(c->ready && !c->gave_up);
}

static void must_restore(const Bench *b, Course *c)
{
	quiesce_restore(c->q);
	wait_for(b->loop, &c->restored, 60);
	if (c->problem[0])
		printf("# %s\n", c->problem);
	CHECK_STR(c->problem, "");
	CHECK(is(b, a, "active") && is(b, b_, "active") && is(b, off, "inactive"));
	CHECK(access("/tmp/dream-state/quiesce.json", F_OK) < 0);
	c->q = quiesce_free(c->q);
}

static int64_t spent(void)
{
	int64_t us = -1;
	Err err = ERR_INIT;
	CHECK_OK(quiesce_spent(state, &clock_system, &us, &err));
	return us;
}

#define PRODUCTION(b, http)                                             \
	BENCH(b);                                                       \
	__attribute__((cleanup(httploop_freep))) HttpLoop *http = NULL; \
	CHECK_OK(httploop_new(b.loop, &http, NULL));                    \
	production();                                                   \
	page_start()

TEST(production_is_stopped_and_put_back_and_the_downtime_counted)
{
	PRODUCTION(b, http);
	QuiesceSpec spec = paged();
	Course c = {0};
	must_begin(&b, http, &spec, &c);
	CHECK(is(&b, a, "active")); /* not before users are seen to be idle */
	must_be_ready(&b, &c);
	CHECK(is(&b, a, "inactive") && is(&b, b_, "inactive"));
	CHECK(is(&b, quiesce_guard(c.q), "active"));
	CHECK(spent() > 0);
	must_restore(&b, &c);
	int64_t us = spent();
	CHECK(us > 100000 && us < 10000000);
	UnitState first = state_of(&b, a), second = state_of(&b, b_);
	CHECK(first.active_since_us <= second.active_since_us - second.started_in_us);
	unit_state_done(&first);
	unit_state_done(&second);
}

TEST(where_nothing_is_active_nothing_is_stopped)
{
	PRODUCTION(b, http);
	QuiesceSpec spec = spec_of(two + 2, 1);
	Course c = {0};
	must_begin(&b, http, &spec, &c);
	must_be_ready(&b, &c);
	CHECK(!quiesce_guard(c.q));
	must_restore(&b, &c);
	CHECK_INT(spent(), 0);
}

/* --- Deaths ---------------------------------------------------------------------------------- */

/* Goes through the whole course in a process of its own, which kills itself after so many turns of
 * its loop. False: it came to the end before. */
static bool die_after(int turns)
{
	int status;
	fflush(stdout);
	pid_t pid = fork();
	CHECK(pid >= 0);
	if (pid == 0) {
		Bench b = bench_new();
		HttpLoop *http = NULL;
		QuiesceSpec spec = paged();
		Course c = {.restore_when_ready = true};
		CHECK_OK(httploop_new(b.loop, &http, NULL));
		must_begin(&b, http, &spec, &c);
		for (int i = 0; i < turns && !c.restored; i++)
			CHECK_OK(sd_event_run(b.loop, 30000000));
		if (c.restored)
			_exit(c.problem[0] ? 1 : 0);
		raise(SIGKILL);
	}
	CHECK(waitpid(pid, &status, 0) == pid);
	if (WIFEXITED(status))
		CHECK_INT(WEXITSTATUS(status), 0);
	return WIFSIGNALED(status);
}

/* Nobody but the guard is there to put things right. */
static void wait_for_guard(const Bench *b)
{
	QuiesceIntent i = {0};
	Err err = ERR_INIT;
	int r = quiesceintent_read(state, &i, &err);
	CHECK_OK(r);
	for (int64_t until = clock_mono_us(&clock_system) + 30000000;;) {
		CHECK(clock_mono_us(&clock_system) < until);
		bool over = r == 0 || is(b, i.guard, "inactive") || is(b, i.guard, "failed");
		if (over && is(b, a, "active") && is(b, b_, "active"))
			break;
		shell("systemctl list-jobs >/dev/null"); /* the manager's turn */
	}
	quiesceintent_done(&i);
}

TEST(whenever_it_is_killed_production_comes_back)
{
	/* Some hundred turns; each of them where there is time. */
	const int stride = getenv("DREAM_SOAK") ? 1 : 7;
	int turns = 0, deaths = 0, stopped = 0;
	PRODUCTION(b, http);
	for (; die_after(turns); turns += stride, deaths++) {
		Err err = ERR_INIT;
		wait_for_guard(&b);
		bool noted = access("/tmp/dream-state/quiesce.json", F_OK) == 0;
		int r = quiesce_recover(b.loop, b.s, state, &err);
		if (r < 0)
			printf("# %s\n", err.msg);
		CHECK_INT(r, noted);
		stopped += noted;
		CHECK(access("/tmp/dream-state/quiesce.json", F_OK) < 0);
		wait_for_guard(&b);
		CHECK(is(&b, off, "inactive"));
		/* Each death is a start of the units: no limit of those may decide this test. */
		shell("systemctl reset-failed; rm -f /tmp/dream-state/downtime.json");
	}
	printf("# %d deaths, %d of them with production noted as stopped\n", deaths, stopped);
	CHECK(deaths > 10 && stopped > 10);
}

TEST(when_the_guard_is_killed_production_comes_back_and_the_trial_is_told)
{
	PRODUCTION(b, http);
	QuiesceSpec spec = paged();
	Course c = {0};
	must_begin(&b, http, &spec, &c);
	must_be_ready(&b, &c);
	UnitState g = state_of(&b, quiesce_guard(c.q));
	CHECK_INT(kill(g.main_pid, SIGKILL), 0);
	unit_state_done(&g);
	wait_for(b.loop, &c.gave_up, 10);
	wait_for_guard(&b);
	must_restore(&b, &c);
}

TEST(when_it_hangs_the_manager_ends_it_in_time)
{
	PRODUCTION(b, http);
	fflush(stdout);
	pid_t pid = fork();
	CHECK(pid >= 0);
	if (pid == 0) {
		Bench mine = bench_new();
		HttpLoop *page_loop = NULL;
		QuiesceSpec spec = paged();
		Course c = {0};
		spec.budget_us = 2500000;
		CHECK_OK(httploop_new(mine.loop, &page_loop, NULL));
		must_begin(&mine, page_loop, &spec, &c);
		must_be_ready(&mine, &c);
		raise(SIGSTOP);
		_exit(0);
	}
	int status;
	CHECK(waitpid(pid, &status, WUNTRACED) == pid && WIFSTOPPED(status));
	CHECK(is(&b, a, "inactive"));
	wait_for_guard(&b);
	Err err = ERR_INIT;
	CHECK_ERR(quiesce_recover(b.loop, b.s, state, &err), EBUSY); /* it lives */
	CHECK_INT(kill(pid, SIGKILL), 0);
	CHECK(waitpid(pid, &status, 0) == pid);
	CHECK_INT(quiesce_recover(b.loop, b.s, state, &err), 1);
	int64_t us = spent();
	CHECK(us > 1000000 && us < 4000000);
}

/* --- Reasons to stop ------------------------------------------------------------------------- */

TEST(who_starts_a_unit_by_hand_gets_production_back)
{
	PRODUCTION(b, http);
	QuiesceSpec spec = paged();
	Course c = {0};
	must_begin(&b, http, &spec, &c);
	must_be_ready(&b, &c);
	shell("systemctl start q-b");
	wait_for(b.loop, &c.gave_up, 10);
	CHECK(strstr(c.why, "somebody started"));
	wait_for_guard(&b); /* the other one, too */
	must_restore(&b, &c);
}

TEST(the_file_inhibit_ends_it_and_keeps_it_from_beginning)
{
	PRODUCTION(b, http);
	QuiesceSpec spec = paged();
	Course c = {0}, second = {0};
	Err err = ERR_INIT;
	must_begin(&b, http, &spec, &c);
	must_be_ready(&b, &c);
	shell("touch /tmp/dream-state/inhibit");
	wait_for(b.loop, &c.gave_up, 10);
	must_restore(&b, &c);
	CHECK_ERR(begin(&b, http, &spec, &second, &err), EBUSY);
	CHECK(strstr(err.msg, "/tmp/dream-state/inhibit"));
}

TEST(at_the_end_of_the_budget_it_gives_up_and_then_there_is_none_left)
{
	PRODUCTION(b, http);
	QuiesceSpec spec = paged();
	Course c = {0}, second = {0};
	Err err = ERR_INIT;
	spec.budget_us = 2000000;
	must_begin(&b, http, &spec, &c);
	must_be_ready(&b, &c);
	wait_for(b.loop, &c.gave_up, 10);
	CHECK(strstr(c.why, "used up"));
	must_restore(&b, &c);
	CHECK(spent() < 4000000);
	CHECK_ERR(begin(&b, http, &spec, &second, &err), EBUSY);
	CHECK(strstr(err.msg, "in 24 h"));
	CHECK(is(&b, a, "active"));
}

TEST(outside_of_the_window_nothing_begins)
{
	PRODUCTION(b, http);
	QuiesceSpec spec = paged();
	Course c = {0};
	Err err = ERR_INIT;
	char window[16];
	int64_t now = clock_now_us(&clock_system);
	int at = (int)((now / 60000000 + quiesce_utc_offset_min(now)) % 1440);
	/* A window of ten minutes, an hour from now. */
	snprintf(window, sizeof(window), "%02d:%02d-%02d:%02d", (at + 60) / 60 % 24, (at + 60) % 60,
		 (at + 70) / 60 % 24, (at + 70) % 60);
	spec.window = window;
	CHECK_ERR(begin(&b, http, &spec, &c, &err), EBUSY);
	CHECK(strstr(err.msg, window));
	spec.window = NULL;
	CHECK_ERR(begin(&b, http, &spec, &c, &err), EBUSY);
}

TEST(while_requests_run_production_is_not_stopped)
{
	PRODUCTION(b, http);
	QuiesceSpec spec = paged();
	Course c = {0};
	metrics("2.0");
	must_begin(&b, http, &spec, &c);
	wait_for(b.loop, &c.gave_up, 10);
	CHECK(strstr(c.why, "vllm:num_requests_running is 2"));
	must_restore(&b, &c);
	CHECK_INT(spent(), 0);
}

TEST(a_page_that_does_not_answer_is_no_proof_of_rest)
{
	PRODUCTION(b, http);
	QuiesceSpec spec = paged();
	Course c = {0};
	shell("systemctl stop q-page");
	must_begin(&b, http, &spec, &c);
	wait_for(b.loop, &c.gave_up, 10);
	CHECK(strstr(c.why, "does not answer"));
	must_restore(&b, &c);
}

TEST(open_connections_are_users_and_their_end_is_the_beginning)
{
	PRODUCTION(b, http);
	static char server[] = "q-page.service";
	char *const units[] = {server};
	QuiesceSpec spec = spec_of(units, 1);
	Course c = {0}, second = {0};
	const struct sockaddr_in at = {
	    .sin_family = AF_INET, .sin_port = htons(8123), .sin_addr = {htonl(INADDR_LOOPBACK)}};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	CHECK_INT(connect(fd, (const struct sockaddr *)&at, sizeof(at)), 0);
	must_begin(&b, http, &spec, &c);
	wait_for(b.loop, &c.gave_up, 10);
	CHECK(strstr(c.why, "1 connection to its ports is open"));
	must_restore(&b, &c);

	spec.drain_us = 20000000;
	spec.idle_us = 300000;
	must_begin(&b, http, &spec, &second);
	close(fd);
	must_be_ready(&b, &second);
	CHECK(is(&b, server, "inactive"));
	must_restore(&b, &second);
	CHECK(is(&b, server, "active"));
}

TEST(a_unit_without_a_port_needs_a_page)
{
	PRODUCTION(b, http);
	QuiesceSpec spec = spec_of(two, 1);
	Course c = {0};
	must_begin(&b, http, &spec, &c);
	wait_for(b.loop, &c.gave_up, 10);
	CHECK(strstr(c.why, "set idle_url"));
	must_restore(&b, &c);
}

/* --- Units that misbehave -------------------------------------------------------------------- */

TEST(a_unit_that_does_not_come_back_is_told_and_tried_again)
{
	PRODUCTION(b, http);
	QuiesceSpec spec = paged();
	Course c = {0}, second = {0};
	Err err = ERR_INIT;
	must_begin(&b, http, &spec, &c);
	must_be_ready(&b, &c);
	shell("touch /tmp/b-is-broken");
	quiesce_restore(c.q);
	wait_for(b.loop, &c.restored, 60);
	CHECK(strstr(c.problem, "q-b.service is failed (exit-code"));
	CHECK(is(&b, a, "active"));
	c.q = quiesce_free(c.q);

	CHECK_ERR(begin(&b, http, &spec, &second, &err), EBUSY);
	CHECK(strstr(err.msg, "recovered first"));
	CHECK_ERR(quiesce_recover(b.loop, b.s, state, &err), EIO);
	shell("rm /tmp/b-is-broken");
	CHECK_INT(quiesce_recover(b.loop, b.s, state, &err), 1);
	CHECK(is(&b, a, "active") && is(&b, b_, "active") && is(&b, off, "inactive"));
	CHECK_INT(quiesce_recover(b.loop, b.s, state, &err), 0);
	CHECK(spent() > 1000000); /* from the stop to the end of the last one */
}

TEST(a_unit_that_does_not_stop_uses_the_budget_and_is_put_back)
{
	PRODUCTION(b, http);
	QuiesceSpec spec = paged();
	Course c = {0};
	spec.budget_us = 2000000;
	unit_file(b_, "[Service]\nTimeoutStopSec=4\n"
		      "ExecStart=/bin/sh -c 'trap \"\" TERM; while :; do sleep 0.2; done'\n");
	shell("systemctl daemon-reload; systemctl restart q-b");
	must_begin(&b, http, &spec, &c);
	wait_for(b.loop, &c.gave_up, 10);
	CHECK(!c.ready);
	must_restore(&b, &c);
	shell("systemctl kill -s KILL q-b");
}

TEST(a_note_that_is_garbage_is_told_and_nothing_begins)
{
	PRODUCTION(b, http);
	QuiesceSpec spec = paged();
	Course c = {0};
	Err err = ERR_INIT;
	CHECK_OK(file_write("/tmp/dream-state/quiesce.json", 0644, "{}", 2, &err));
	CHECK_ERR(begin(&b, http, &spec, &c, &err), EBADMSG);
	CHECK_ERR(quiesce_recover(b.loop, b.s, state, &err), EBADMSG);
	CHECK(strstr(err.msg, "by hand"));
}
