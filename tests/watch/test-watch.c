/* A watch of production as it goes wrong: each fault is told as what it is, once, and in time. */
#include <sys/resource.h>

#include "production.h"

static const WatchedService both[] = {{.service = &judge_spec, .wants_gpu = true},
				      {.service = &voice_spec, .wants_gpu = true}};

static double median_of(const Rig *r, size_t from, const char *service, const char *metric)
{
	double list[SAMPLES_MAX];
	size_t n = 0;
	for (size_t i = from; i < r->n_taken; i++) {
		const Taken *t = &r->taken[i];
		if (t->s.failed || strcmp(t->service, service) != 0 ||
		    strcmp(t->metric, metric) != 0)
			continue;
		size_t at = n++;
		for (; at > 0 && list[at - 1] > t->s.value; at--)
			list[at] = list[at - 1];
		list[at] = t->s.value;
	}
	CHECK(n > 0);
	return list[n / 2];
}

/* What the manager's signals tell is told at once: measured, and far below the two seconds. */
static void in_time(int64_t us, int64_t limit_us)
{
	printf("# told after %.1f ms\n", (double)us / 1000);
	CHECK(us < limit_us);
}

TEST(production_that_is_well_gives_samples_and_no_event)
{
	Rig *r = rig_new();
	production_up(r, "");
	rig_watch(r, both, 2);
	wait_taken(r, "judge", "latency_ms", false, 15, 20);
	wait_taken(r, "voice", "latency_ms", false, 15, 20);
	CHECK_INT(r->n_told, 0);
	CHECK(count_taken(r, "judge", "ttft_ms", false) >= 14);
	CHECK(count_taken(r, "judge", "server_latency_ms", false) >= 10);
	CHECK_INT(count_taken(r, "voice", "ttft_ms", false), 0);
	CHECK_INT(count_taken(r, "judge", "latency_ms", true), 0);
	int64_t now = clock_now_us(&clock_system);
	for (size_t i = 0; i < r->n_taken; i++) {
		const JudgeSample *s = &r->taken[i].s;
		CHECK(s->value > 0 && s->at_us > now - 60000000 && s->at_us <= now);
		/* Nobody else asks. */
		CHECK(isnan(s->load) || s->load < 2);
	}
	double e2e = median_of(r, 0, "judge", "latency_ms");
	CHECK(median_of(r, 0, "judge", "ttft_ms") < e2e);
	CHECK(median_of(r, 0, "judge", "server_latency_ms") < 2 * e2e);
	rig_done(r);
}

TEST(a_killed_server_is_told_at_once_and_once)
{
	Rig *r = rig_new();
	production_up(r, "");
	rig_watch(r, both, 2);
	wait_taken(r, "judge", "latency_ms", false, 2, 20);
	shell("systemctl kill --kill-who=main -s KILL judge.service");
	in_time(wait_told(r, HARD_DIED, "judge", 2), 1000000);
	CHECK(says(r, HARD_DIED, "judge", "SIGKILL"));
	run_for(r, 2500000);
	CHECK_INT(r->n_told, 1);
	/* No answer is a sample too. */
	CHECK(count_taken(r, "judge", "latency_ms", true) > 5);
	rig_done(r);
}

TEST(every_turn_of_a_crash_loop_is_told)
{
	Rig *r = rig_new();
	production_up(r, "Restart=on-failure\nRestartSec=50ms\n");
	rig_watch(r, both, 2);
	set_env("judge", FAST "TWIN_FAULT=crash-at=10s\n");
	shell("systemctl kill --kill-who=main -s SEGV judge.service");
	in_time(wait_told(r, HARD_RESTARTED, "judge", 2), 1000000);
	run_for(r, 4000000);
	UnitState u = state_of(&r->b, "judge.service");
	size_t told = count_told(r, HARD_RESTARTED, "judge");
	printf("# %zu told, %lld counted by systemd\n", told, (long long)u.restarts);
	CHECK(told >= 2 && told <= (size_t)u.restarts + 1 && told + 1 >= (size_t)u.restarts);
	CHECK_INT(count_told(r, HARD_DIED, "judge"), 0);
	CHECK_INT(count_told(r, HARD_RESTARTED, "voice"), 0);
	unit_state_done(&u);
	rig_done(r);
}

TEST(a_restart_by_somebody_else_is_told_and_ours_is_not)
{
	Rig *r = rig_new();
	production_up(r, "");
	rig_watch(r, both, 2);
	wait_taken(r, "judge", "latency_ms", false, 2, 20);
	watch_expect(r->watch, "judge.service", true);
	size_t before = count_taken(r, "judge", "latency_ms", false);
	shell("systemctl restart judge.service");
	CHECK_INT(first(r, &judge, 20000000).e, HARD_NONE);
	CHECK_INT(count_taken(r, "judge", "latency_ms", false), before);
	CHECK_INT(count_taken(r, "judge", "latency_ms", true), 0);
	watch_expect(r->watch, "judge.service", false);
	wait_taken(r, "judge", "latency_ms", false, before + 3, 20);
	CHECK_INT(r->n_told, 0);
	shell("systemctl restart voice.service");
	in_time(wait_told(r, HARD_RESTARTED, "voice", 2), 1000000);
	CHECK_INT(count_told(r, HARD_RESTARTED, "judge"), 0);
	rig_done(r);
}

TEST(a_restart_may_be_announced_from_inside_the_event)
{
	Rig *r = rig_new();
	production_up(r, "");
	rig_watch(r, both, 2);
	wait_taken(r, "judge", "latency_ms", false, 2, 20);
	r->restart_from_handler = "judge.service";
	shell("systemctl kill --kill-who=main -s KILL judge.service");
	(void)wait_told(r, HARD_DIED, "judge", 2);
	size_t failed = count_taken(r, "judge", "latency_ms", true);
	run_for(r, 1000000);
	CHECK_INT(count_taken(r, "judge", "latency_ms", true), failed);
	rig_done(r);
}

TEST(what_is_down_when_the_watch_begins_is_told)
{
	Rig *r = rig_new();
	production_up(r, "");
	shell("systemctl stop voice.service");
	rig_watch(r, both, 2);
	in_time(wait_told(r, HARD_DIED, "voice", 2), 500000);
	run_for(r, 1000000);
	CHECK_INT(count_told(r, HARD_DIED, "voice"), 1);
	CHECK_INT(count_told(r, HARD_UNHEALTHY, "voice"), 0);
	rig_done(r);
}

/* A service of no known kind: only its unit and what it writes can be looked at. */
TEST(a_line_that_memory_ran_out_is_told_with_the_line)
{
	static char name[] = "helper", unit[] = "helper.service", kind[] = "command";
	static const ServiceSpec spec = {.name = name, .kind = kind, .unit = unit};
	static const WatchedService one = {.service = &spec};
	Rig *r = rig_new();
	unit_file(
	    "helper.service",
	    "[Service]\nExecStart=/bin/sh -c 'echo torch.OutOfMemoryError: CUDA out of memory "
	    "long ago; while :; do test -e /run/helper-go && break; sleep 0.02; done; "
	    "echo torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB; "
	    "exec sleep 60'\n");
	shell("rm -f /run/helper-go; systemctl daemon-reload; systemctl restart helper.service; "
	      "journalctl --sync");
	rig_watch(r, &one, 1);
	/* Whoever may write to the journal may say anything about a unit: that counts for nothing.
	 */
	shell("printf 'MESSAGE=CUDA error: out of memory\\nUNIT=helper.service\\n_PID=1\\n' | "
	      "logger --journald; journalctl --sync; "
	      "journalctl -q UNIT=helper.service _TRANSPORT=journal | grep -q CUDA");
	run_for(r, 700000);
	CHECK_INT(r->n_told, 0);
	shell("touch /run/helper-go");
	in_time(wait_told(r, HARD_OOM, "helper", 3), 2000000);
	CHECK(says(r, HARD_OOM, "helper", "Tried to allocate 2.00 GiB"));
	run_for(r, 1500000);
	CHECK_INT(r->n_told, 1);
	shell("systemctl stop helper.service");
	rig_done(r);
}

TEST(a_unit_that_dies_of_memory_says_so)
{
	static char name[] = "helper", unit[] = "helper.service", kind[] = "command";
	static const ServiceSpec spec = {.name = name, .kind = kind, .unit = unit};
	static const WatchedService one = {.service = &spec};
	Rig *r = rig_new();
	unit_file("helper.service",
		  "[Service]\nExecStart=/bin/sh -c 'while :; do test -e /run/helper-go && break; "
		  "sleep 0.02; done; echo RuntimeError: CUDA error: out of memory; exit 1'\n");
	shell("rm -f /run/helper-go; systemctl daemon-reload; systemctl restart helper.service");
	rig_watch(r, &one, 1);
	shell("touch /run/helper-go");
	in_time(wait_told(r, HARD_OOM, "helper", 3), 2000000);
	run_for(r, 1500000);
	/* However it was found out, that its memory ran out is told once. */
	CHECK_INT(count_told(r, HARD_OOM, "helper"), 1);
	CHECK(count_told(r, HARD_DIED, "helper") <= 1);
	rig_done(r);
}

TEST(a_service_on_the_cpu_is_told)
{
	Rig *r = rig_new();
	production_up(r, "");
	set_env("voice", FAST "TWIN_FAULT=cpu\n");
	shell("systemctl restart voice.service");
	First f = first(r, &voice, 20000000);
	CHECK_INT(f.e, HARD_CPU);
	CHECK_INT(f.ready_us, -1);
	rig_watch(r, both, 2);
	in_time(wait_told(r, HARD_CPU, "voice", 5), 2000000);
	run_for(r, 1500000);
	CHECK_INT(r->n_told, 1);
	rig_done(r);
}

TEST(less_of_the_gpu_than_it_must_hold_is_told)
{
	static const WatchedService much = {
	    .service = &voice_spec, .wants_gpu = true, .gpu_bytes = INT64_C(64) << 30};
	Rig *r = rig_new();
	production_up(r, "");
	rig_watch(r, &much, 1);
	(void)wait_told(r, HARD_CPU, "voice", 5);
	CHECK(says(r, HARD_CPU, "voice", "MiB"));
	rig_done(r);
}

static void goes_unhealthy(const char *fault, int64_t within_us)
{
	Rig *r = rig_new();
	char env[200];
	production_up(r, "");
	rig_watch(r, both, 2);
	wait_taken(r, "judge", "latency_ms", false, 2, 20);
	snprintf(env, sizeof(env), "%sTWIN_FAULT=%s\n", FAST, fault);
	set_env("judge", env);
	watch_expect(r->watch, "judge.service", true);
	shell("systemctl restart judge.service");
	run_for(r, 1500000);
	watch_expect(r->watch, "judge.service", false);
	int64_t us = wait_told(r, HARD_UNHEALTHY, "judge", 10);
	printf("# %s: told after %.1f ms\n", fault, (double)us / 1000);
	CHECK(us < within_us);
	CHECK_INT(count_taken(r, "judge", "latency_ms", true), 3);
	run_for(r, 1500000);
	CHECK_INT(r->n_told, 1);
	CHECK(count_taken(r, "judge", "ttft_ms", true) >= 3);
	rig_done(r);
}

TEST(a_server_that_answers_503_is_unhealthy_after_so_many_probes)
{
	goes_unhealthy("503", 1500000);
}

TEST(a_server_that_hangs_is_unhealthy_after_so_many_limits)
{
	goes_unhealthy("hang", 3 * 1100000 + 1500000);
}

/* A daemon that has no network and gets no connections: it knows nothing, and says so. */
TEST(without_connections_there_are_no_figures_and_no_event)
{
	Rig *r = rig_new();
	production_up(r, "");
	httploop_free(r->http);
	CHECK_OK(setenv("DREAM_CONNECT", "/nonexistent/socket", 1));
	CHECK_OK(httploop_new(r->b.loop, &r->http, NULL));
	CHECK_OK(unsetenv("DREAM_CONNECT"));
	rig_watch(r, both, 2);
	run_for(r,
		5000000); /* four limits of a probe: after three a service that is silent is dead */
	CHECK_INT(r->n_told, 0);
	CHECK_INT(r->n_taken, 0);
	CHECK(strstr(watch_blind(r->watch), "dream-connect.socket"));
	rig_done(r);
}

TEST(answers_that_break_off_are_none)
{
	goes_unhealthy("half-stream", 2000000);
}

TEST(a_slower_server_gives_larger_figures)
{
	Rig *r = rig_new();
	production_up(r, "");
	rig_watch(r, both, 2);
	wait_taken(r, "judge", "latency_ms", false, 15, 20);
	watch_expect(r->watch, "judge.service", true);
	set_env("judge", "TWIN_SPEED=10\nUTIL=0.5\n");
	shell("systemctl restart judge.service");
	CHECK_INT(first(r, &judge, 30000000).e, HARD_NONE);
	size_t from = r->n_taken;
	watch_expect(r->watch, "judge.service", false);
	wait_taken(r, "judge", "latency_ms", false,
		   count_taken(r, "judge", "latency_ms", false) + 10, 30);
	for (size_t i = 0; i < 2; i++) {
		const char *metric = i ? "server_latency_ms" : "latency_ms";
		size_t n = r->n_taken;
		double slow = median_of(r, from, "judge", metric);
		r->n_taken = from;
		double fast = median_of(r, 0, "judge", metric);
		r->n_taken = n;
		printf("# %s: %.2f ms, then %.2f ms\n", metric, fast, slow);
		CHECK(slow > 2 * fast);
	}
	CHECK_INT(r->n_told, 0);
	rig_done(r);
}

TEST(what_the_card_reports_is_told)
{
	Rig *r = rig_new();
	production_up(r, "");
	rig_watch(r, both, 2);
	wait_taken(r, "judge", "latency_ms", false, 1, 20);
	shell("TWIN_GPU=/tmp/card TWIN_BOX=" BOXES "/rtx3060.yaml " DREAM " twin gpu --xid 31");
	in_time(wait_told(r, HARD_XID, "judge", 3), 2000000);
	CHECK(says(r, HARD_XID, "judge", "31"));
	CHECK_INT(count_told(r, HARD_XID, "judge"), 1);
	rig_done(r);
}

/* A start may take as long as its unit says; nobody is missed before. */
TEST(a_unit_that_still_starts_is_not_unhealthy)
{
	static char name[] = "slow", unit[] = "slow.service", kind[] = "command",
		    url[] = "http://127.0.0.1:1";
	static const ServiceSpec spec = {.name = name, .kind = kind, .unit = unit, .url = url};
	static const WatchedService one = {.service = &spec};
	Rig *r = rig_new();
	unit_file(unit, "[Service]\nType=notify\nNotifyAccess=all\nTimeoutStartSec=infinity\n"
			"ExecStart=/bin/sh -c 'until test -e /run/slow-go; do sleep 0.02; done; "
			"systemd-notify --ready; exec sleep 60'\n");
	shell("rm -f /run/slow-go; systemctl daemon-reload; "
	      "systemctl start --no-block slow.service; "
	      "until systemctl show -P ActiveState slow.service | grep -qx activating; do :; done");
	rig_watch(r, &one, 1);
	wait_taken(r, "slow", "latency_ms", true, 6, 10);
	CHECK_INT(r->n_told, 0);
	shell("touch /run/slow-go");
	(void)wait_told(r, HARD_UNHEALTHY, "slow", 5);
	run_for(r, 500000);
	CHECK_INT(r->n_told, 1);
	shell("systemctl stop slow.service");
	rig_done(r);
}

static int64_t cpu_us(void)
{
	struct rusage u;
	CHECK_INT(getrusage(RUSAGE_SELF, &u), 0);
	return (u.ru_utime.tv_sec + u.ru_stime.tv_sec) * INT64_C(1000000) + u.ru_utime.tv_usec +
	       u.ru_stime.tv_usec;
}

/* Between its probes a watch looks at counters once a second, and sleeps. */
TEST(an_idle_watch_costs_next_to_nothing)
{
	Rig *r = rig_new();
	production_up(r, "");
	rig_watch_every(r, both, 2, INT64_C(60000000));
	wait_taken(r, "judge", "latency_ms", false, 1, 20);
	int64_t before = cpu_us(), us = 8000000;
	run_for(r, us);
	double share = (double)(cpu_us() - before) / (double)us;
	printf("# %.3f %% of a core\n", 100 * share);
	CHECK(share < 0.005);
	rig_done(r);
}
