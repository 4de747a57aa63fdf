/* From a restart to the first answer: that it came, or at once why it will not. */
#include "production.h"

static First after_restart(Rig *r, const char *lines, const char *env, const WatchedService *s,
			   int64_t timeout_us)
{
	make_units(lines);
	set_env("judge", env);
	set_env("voice", env);
	shell("systemctl reset-failed judge.service 2>/dev/null || true");
	char command[100];
	snprintf(command, sizeof(command), "systemctl restart %s || true", s->service->unit);
	shell(command);
	return first(r, s, timeout_us);
}

TEST(a_start_that_takes_its_time_is_waited_for)
{
	Rig *r = rig_new();
	First f = after_restart(r, "", FAST "TWIN_FAULT=slow-start=30s\n", &judge, 20000000);
	CHECK_INT(f.e, HARD_NONE);
	/* Thirty seconds, fifty times as fast. */
	CHECK(f.ready_us >= 500000 && f.ready_us < 10000000);
	f = after_restart(r, "", FAST, &voice, 20000000);
	CHECK_INT(f.e, HARD_NONE);
	CHECK(f.ready_us > 0);
	rig_done(r);
}

static void fails_at_once(const char *lines, const char *env, const char *words)
{
	Rig *r = rig_new();
	int64_t began = mono_us();
	First f = after_restart(r, lines, env, &judge, 30000000);
	CHECK_INT(f.e, HARD_START_FAILED);
	CHECK_INT(f.ready_us, -1);
	if (!strstr(f.words, words))
		test_fail(__FILE__, __LINE__, "'%s' is not in '%s'", words, f.words);
	printf("# from the restart to being told: %.1f ms\n", (double)(f.at_us - began) / 1000);
	CHECK(f.at_us - began < 5000000);
	rig_done(r);
}

TEST(a_start_that_ends_with_a_status_is_told_with_it)
{
	fails_at_once("", FAST "TWIN_FAULT=exit-code=3\n", "exit status 3");
}

TEST(a_crash_at_the_start_is_told)
{
	fails_at_once("", FAST "TWIN_FAULT=crash-start\n", "SIGSEGV");
}

/* Sampled, such a unit looks active again and again. */
TEST(a_crash_loop_at_the_start_is_a_failed_start)
{
	fails_at_once("Restart=always\nRestartSec=10ms\n", FAST "TWIN_FAULT=crash-start\n",
		      "judge.service");
}

TEST(a_share_that_leaves_no_cache_is_told_with_the_servers_line)
{
	fails_at_once("", "TWIN_SPEED=50\nUTIL=0.4\n", "No available memory for the cache blocks");
}

TEST(a_failure_between_start_and_answer_is_told_when_it_happens)
{
	Rig *r = rig_new();
	First f = {0};
	FirstAnswer *a = NULL;
	make_units("");
	set_env("judge", FAST "TWIN_FAULT=hang-start\n");
	shell("systemctl restart judge.service");
	CHECK_OK(first_answer(r->b.loop, r->b.s, r->http, &judge, GPU_UUID, 60000000, on_first, &f,
			      &a, NULL));
	run_for(r, 500000);
	CHECK(!f.over);
	int64_t began = mono_us();
	shell("systemctl kill --kill-who=main -s KILL judge.service");
	wait_for(r->b.loop, &f.over, 5);
	CHECK_INT(f.e, HARD_START_FAILED);
	printf("# told after %.1f ms\n", (double)(f.at_us - began) / 1000);
	CHECK(f.at_us - began < 1000000);
	first_answer_free(a);
	rig_done(r);
}

TEST(the_deadline_says_what_was_seen_last)
{
	Rig *r = rig_new();
	int64_t began = mono_us();
	First f = after_restart(r, "", FAST "TWIN_FAULT=hang-start\n", &judge, 1500000);
	CHECK_INT(f.e, HARD_START_FAILED);
	CHECK(f.at_us - began >= 1500000 && f.at_us - began < 4000000);
	CHECK(strstr(f.words, "did not answer within 1.5 s"));
	f = after_restart(r, "", FAST "TWIN_FAULT=503\n", &judge, 1500000);
	CHECK_INT(f.e, HARD_START_FAILED);
	CHECK(strstr(f.words, "503"));
	f = after_restart(r, "", FAST "TWIN_FAULT=hang\n", &judge, 1500000);
	CHECK_INT(f.e, HARD_START_FAILED);
	CHECK(strstr(f.words, "first request is not answered yet"));
	rig_done(r);
}

/* A server that shares its port, started by a shell that leaves it behind. */
static First after_restart_of_a_pair(Rig *r, const char *kill_mode)
{
	static char name[] = "pair", unit[] = "pair.service", kind[] = "command",
		    url[] = "http://127.0.0.1:18102";
	static const ServiceSpec spec = {.name = name, .kind = kind, .unit = unit, .url = url};
	static const WatchedService pair = {.service = &spec};
	static const char server[] =
	    "import http.server, socket\n"
	    "class S(http.server.HTTPServer):\n"
	    "    def server_bind(self):\n"
	    "        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)\n"
	    "        super().server_bind()\n"
	    "S(('127.0.0.1', 18102), http.server.SimpleHTTPRequestHandler).serve_forever()\n";
	char text[400];
	CHECK_OK(file_write("/run/pair.py", 0644, server, strlen(server), NULL));
	snprintf(text, sizeof(text),
		 "[Service]\nType=exec\nKillMode=%s\nWorkingDirectory=/run\n"
		 "ExecStart=/bin/sh -c 'python3 /run/pair.py & exec sleep 1000'\n",
		 kill_mode);
	unit_file(unit, text);
	shell("systemctl daemon-reload; systemctl restart pair.service");
	CHECK_INT(first(r, &pair, 20000000).e, HARD_NONE);
	shell("systemctl restart pair.service");
	First f = first(r, &pair, 20000000);
	shell("systemctl kill -s KILL --kill-who=all pair.service || true; "
	      "systemctl stop pair.service");
	return f;
}

TEST(an_answer_of_the_run_before_is_none)
{
	Rig *r = rig_new();
	First f = after_restart_of_a_pair(r, "process");
	CHECK_INT(f.e, HARD_READBACK);
	CHECK(strstr(f.words, "18102"));
	CHECK_INT(after_restart_of_a_pair(r, "control-group").e, HARD_NONE);
	rig_done(r);
}

TEST(one_that_is_given_up_is_not_told)
{
	Rig *r = rig_new();
	First f = {0};
	FirstAnswer *a = NULL;
	make_units("");
	set_env("judge", FAST "TWIN_FAULT=hang\n");
	shell("systemctl restart judge.service");
	CHECK_OK(first_answer(r->b.loop, r->b.s, r->http, &judge, GPU_UUID, 60000000, on_first, &f,
			      &a, NULL));
	run_for(r, 1500000);
	a = first_answer_free(a);
	run_for(r, 300000);
	CHECK(!f.over);
	rig_done(r);
}
