/* Units under a real manager: jobs, transient services, what is read of them, and watching. */
#include "manager.h"

#define ARGV(...) ((char *const[]){__VA_ARGS__, NULL})

static TransientSpec transient(const char *unit, char *const *argv)
{
	return (TransientSpec){.unit = unit, .description = "a test", .argv = argv, .log_fd = -1};
}

static char sleep_[] = "sleep", sixty[] = "60", sh[] = "/bin/sh", dash_c[] = "-c";

TEST(a_transient_service_runs_and_is_stopped)
{
	BENCH(b);
	TransientSpec spec = transient("t-sleep.service", ARGV(sleep_, sixty));
	CHECK_STR(run_transient(&b, &spec).result, "done");

	UnitState u = state_of(&b, "t-sleep.service");
	CHECK_STR(u.active, "active");
	CHECK_STR(u.sub, "running");
	CHECK_STR(u.cgroup, "/system.slice/t-sleep.service");
	CHECK(u.main_pid > 1 && strlen(u.invocation) == 32 && u.active_since_us > 0);

	_cleanup_free_ char *unit = NULL;
	Err err = ERR_INIT;
	CHECK_OK(unit_of_pid(u.main_pid, &unit, &err));
	CHECK_STR(unit, "t-sleep.service");
	unit_state_done(&u);

	CHECK_STR(stop(&b, "t-sleep.service").result, "done");
	u = state_of(&b, "t-sleep.service");
	CHECK_STR(u.active, "inactive");
	unit_state_done(&u);
}

TEST(a_program_that_does_not_exist_is_a_failed_job)
{
	BENCH(b);
	char none[] = "/no/such/program";
	TransientSpec spec = transient("t-none.service", ARGV(none));
	CHECK_STR(run_transient(&b, &spec).result, "failed");
	UnitState u = state_of(&b, "t-none.service");
	CHECK_STR(u.active, "failed");
	CHECK_STR(u.result, "exit-code");
	CHECK_INT(u.exit_status, 203); /* systemd's EXIT_EXEC */
	unit_state_done(&u);

	Err err = ERR_INIT;
	CHECK_OK(unit_reset_failed(b.s, "t-none.service", &err));
	u = state_of(&b, "t-none.service");
	CHECK_STR(u.load, "not-found");
	unit_state_done(&u);
}

TEST(a_unit_that_does_not_exist_cannot_be_started)
{
	BENCH(b);
	Ending e = start(&b, "no-such.service");
	CHECK_INT(e.code, -ENOENT);
	CHECK(strstr(e.msg, "no-such.service"));
}

TEST(a_name_that_is_none_is_refused_with_the_right_one)
{
	BENCH(b);
	Err err = ERR_INIT;
	CHECK_ERR(unit_start(b.s, "judge", on_end, NULL, NULL, &err), EINVAL);
	CHECK(strstr(err.msg, "'judge.service'"));
	CHECK_ERR(unit_start(b.s, "../x.service", on_end, NULL, NULL, &err), EINVAL);
}

TEST(what_is_given_arrives_as_it_is)
{
	BENCH(b);
	char script[] = "echo \"$1|$GREETING|$PWD|$(ulimit -n)\"", name[] = "x",
	     arg[] = "$HOME ${PATH} %n %%", env1[] = "GREETING=a $b \"c\"";
	int fd = open("/tmp/t-out", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	CHECK(fd >= 0);
	TransientSpec spec = transient("t-echo.service", ARGV(sh, dash_c, script, name, arg));
	spec.env = ARGV(env1);
	spec.cwd = "/usr/share";
	spec.nofile = 777;
	spec.log_fd = fd;
	CHECK_STR(run_transient(&b, &spec).result, "done");
	close(fd);
	UnitState u = wait_state(&b, "t-echo.service", "inactive");
	CHECK_STR(u.result, "success");
	unit_state_done(&u);
	_cleanup_free_ char *text = text_of("/tmp/t-out");
	CHECK_STR(text, "$HOME ${PATH} %n %%|a $b \"c\"|/usr/share|777\n");
}

TEST(quotas_are_those_of_the_specification)
{
	BENCH(b);
	TransientSpec spec = transient("t-quota.service", ARGV(sleep_, sixty));
	spec.memory_max = 64 << 20;
	spec.tasks_max = 7;
	spec.cpu_quota = 1.5;
	spec.runtime_max_us = 45000000;
	CHECK_STR(run_transient(&b, &spec).result, "done");
	shell("systemctl show -p MemoryMax -p TasksMax -p CPUQuotaPerSecUSec -p RuntimeMaxUSec "
	      "t-quota.service | sort >/tmp/t-quota");
	_cleanup_free_ char *text = text_of("/tmp/t-quota");
	CHECK_STR(text, "CPUQuotaPerSecUSec=1.500000s\nMemoryMax=67108864\nRuntimeMaxUSec=45s\n"
			"TasksMax=7\n");
	CHECK_STR(stop(&b, "t-quota.service").result, "done");
}

TEST(one_that_runs_too_long_is_ended_and_its_result_says_so)
{
	BENCH(b);
	TransientSpec spec = transient("t-long.service", ARGV(sleep_, sixty));
	spec.runtime_max_us = 300000;
	CHECK_STR(run_transient(&b, &spec).result, "done");
	UnitState u = wait_state(&b, "t-long.service", "failed");
	CHECK_STR(u.result, "timeout");
	unit_state_done(&u);
}

TEST(a_death_is_told_by_the_watch_with_its_exit_status)
{
	BENCH(b);
	char script[] = "read x; exit 3";
	int fds[2];
	CHECK_INT(pipe2(fds, O_CLOEXEC), 0);
	TransientSpec spec = transient("t-exit.service", ARGV(sh, dash_c, script));
	spec.input_fd = fds[0];
	CHECK_STR(run_transient(&b, &spec).result, "done");
	close(fds[0]);

	Until at = {.active = "failed"};
	UnitWatch *w = NULL;
	Err err = ERR_INIT;
	CHECK_OK(unit_watch(b.s, "t-exit.service", until_changed, &at, &w, &err));
	close(fds[1]); /* its standard input ends because we hold the only other end */
	int64_t since = clock_mono_us(&clock_system);
	wait_for(b.loop, &at.met, 10);
	CHECK(clock_mono_us(&clock_system) - since < 1000000);
	CHECK_STR(at.last.result, "exit-code");
	CHECK_INT(at.last.exit_code, CLD_EXITED);
	CHECK_INT(at.last.exit_status, 3);
	unitwatch_free(w);
}

TEST(a_killed_one_is_told_with_its_signal)
{
	BENCH(b);
	TransientSpec spec = transient("t-kill.service", ARGV(sleep_, sixty));
	CHECK_STR(run_transient(&b, &spec).result, "done");
	UnitState u = state_of(&b, "t-kill.service");
	CHECK_INT(kill(u.main_pid, SIGKILL), 0);
	unit_state_done(&u);
	u = wait_state(&b, "t-kill.service", "failed");
	CHECK_STR(u.result, "signal");
	CHECK_INT(u.exit_code, CLD_KILLED);
	CHECK_INT(u.exit_status, SIGKILL);
	unit_state_done(&u);
}

TEST(a_start_stops_what_it_conflicts_with_and_the_stop_command_follows_any_end)
{
	BENCH(b);
	static const char *const rivals[] = {"t-rival.service", NULL};
	static const char *const post[] = {"/bin/sh", "-c", "echo $SERVICE_RESULT >/tmp/t-post",
					   NULL};
	TransientSpec rival = transient("t-rival.service", ARGV(sleep_, sixty));
	CHECK_STR(run_transient(&b, &rival).result, "done");
	TransientSpec spec = transient("t-rude.service", ARGV(sleep_, sixty));
	spec.conflicts = rivals;
	spec.stop_post = post;
	CHECK_STR(run_transient(&b, &spec).result, "done");
	UnitState u = wait_state(&b, "t-rival.service", "inactive");
	unit_state_done(&u);
	u = state_of(&b, "t-rude.service");
	CHECK_INT(kill(u.main_pid, SIGKILL), 0);
	unit_state_done(&u);
	u = wait_state(&b, "t-rude.service", "failed");
	unit_state_done(&u);
	_cleanup_free_ char *text = text_of("/tmp/t-post");
	CHECK_STR(text, "signal\n");
}

TEST(a_bound_unit_ends_with_the_one_it_is_bound_to)
{
	BENCH(b);
	TransientSpec first = transient("t-first.service", ARGV(sleep_, sixty));
	TransientSpec bound = transient("t-bound.service", ARGV(sleep_, sixty));
	bound.binds_to = "t-first.service";
	CHECK_STR(run_transient(&b, &first).result, "done");
	CHECK_STR(run_transient(&b, &bound).result, "done");
	UnitState u = state_of(&b, "t-first.service");
	CHECK_INT(kill(u.main_pid, SIGKILL), 0);
	unit_state_done(&u);
	u = wait_state(&b, "t-bound.service", "inactive");
	unit_state_done(&u);
}

TEST(what_a_unit_runs_is_read_whole)
{
	BENCH(b);
	unit_file(
	    "t-judge.service",
	    "[Service]\nType=notify\n"
	    "ExecStart=/usr/bin/env python3 -m server --name \"a b\" --unit %n --port ${PORT}\n"
	    "Environment=PORT=8000 \"TEXT=a b\"\nEnvironmentFile=/etc/judge.env\n"
	    "EnvironmentFile=-/etc/judge.local\nUser=dream\nGroup=dream\n"
	    "WorkingDirectory=/opt\nLimitNOFILE=4096\nMemoryMax=8G\nCPUQuota=250%\n"
	    "PrivateTmp=yes\nProtectSystem=strict\nReadWritePaths=/opt/judge\n");
	shell("systemctl daemon-reload");
	UnitExec u = {0};
	Err err = ERR_INIT;
	CHECK_OK(unit_exec(b.s, "t-judge.service", &u, &err));
	static const char *const argv[] = {"/usr/bin/env", "python3", "-m",	"server",
					   "--name",	   "a b",     "--unit", "t-judge.service",
					   "--port",	   "${PORT}", NULL};
	for (size_t i = 0; i < sizeof(argv) / sizeof(argv[0]) - 1; i++)
		CHECK_STR(u.argv[i], argv[i]);
	CHECK(!u.argv[10]);
	CHECK_INT(u.n_commands, 1);
	CHECK_STR(u.env[0], "PORT=8000");
	CHECK_STR(u.env[1], "TEXT=a b");
	CHECK(!u.env[2]);
	CHECK_STR(u.env_files[0], "/etc/judge.env");
	CHECK_STR(u.env_files[1], "-/etc/judge.local");
	CHECK(!u.env_files[2]);
	CHECK_STR(u.user, "dream");
	CHECK_STR(u.group, "dream");
	CHECK_STR(u.cwd, "/opt");
	CHECK_STR(u.root_dir, "");
	CHECK_STR(u.type, "notify");
	CHECK_STR(u.fragment, "/run/systemd/system/t-judge.service");
	CHECK_INT(json_integer_value(json_object_get(u.limits, "LimitNOFILE")), 4096);
	CHECK_INT(json_integer_value(json_object_get(u.limits, "MemoryMax")), 8LL << 30);
	CHECK_INT(json_integer_value(json_object_get(u.limits, "CPUQuotaPerSecUSec")), 2500000);
	CHECK(!json_object_get(u.limits, "TasksMax") && !json_object_get(u.limits, "LimitNPROC"));
	CHECK(json_is_true(json_object_get(u.sandbox, "PrivateTmp")));
	CHECK_STR(json_string_value(json_object_get(u.sandbox, "ProtectSystem")), "strict");
	CHECK_INT(json_object_size(u.sandbox), 3);
	unit_exec_done(&u);
}

TEST(a_plain_unit_has_no_limits_and_no_sandbox)
{
	BENCH(b);
	unit_file("t-plain.service", "[Service]\nExecStart=/bin/sleep 5\n");
	shell("systemctl daemon-reload");
	UnitExec u = {0};
	Err err = ERR_INIT;
	CHECK_OK(unit_exec(b.s, "t-plain.service", &u, &err));
	CHECK_INT(json_object_size(u.limits), 0);
	CHECK_INT(json_object_size(u.sandbox), 0);
	CHECK(u.env && !u.env[0] && u.env_files && !u.env_files[0]);
	unit_exec_done(&u);
}

TEST(a_unit_that_is_not_there_or_broken_has_no_command)
{
	BENCH(b);
	UnitExec u = {0};
	Err err = ERR_INIT;
	unit_file("t-broken.service", "[Service]\nExecStart=relative/path\n");
	shell("ln -sf /dev/null /run/systemd/system/t-masked.service; systemctl daemon-reload");
	CHECK_ERR(unit_exec(b.s, "t-absent.service", &u, &err), ENOENT);
	CHECK_ERR(unit_exec(b.s, "t-masked.service", &u, &err), EPERM);
	CHECK_ERR(unit_exec(b.s, "t-broken.service", &u, &err), ENOEXEC);
	CHECK(strstr(err.msg, "systemd-analyze verify"));
}

TEST(a_service_that_runs_is_listed)
{
	BENCH(b);
	TransientSpec spec = transient("t-list.service", ARGV(sleep_, sixty));
	CHECK_STR(run_transient(&b, &spec).result, "done");
	UnitName *list;
	size_t n, found = 0;
	Err err = ERR_INIT;
	CHECK_OK(unit_list(b.s, &list, &n, &err));
	for (size_t i = 0; i < n; i++)
		if (strcmp(list[i].name, "t-list.service") == 0) {
			CHECK_STR(list[i].active, "active");
			CHECK_STR(list[i].description, "a test");
			found++;
		}
	CHECK_INT(found, 1);
	unit_list_free(list, n);
	CHECK_STR(stop(&b, "t-list.service").result, "done");
}

static int start_as_dream(void)
{
	Ending e = {0};
	Bench b = bench_new();
	Err err = ERR_INIT;
	CHECK_OK(unit_start(b.s, "t-plain.service", on_end, &e, NULL, &err));
	wait_for(b.loop, &e.over, 30);
	CHECK_INT(e.code, -EACCES);
	CHECK(strstr(e.msg, "org.freedesktop.systemd1.manage-units"));
	UnitState u = state_of(&b, "t-plain.service");
	CHECK_STR(u.load, "loaded"); /* reading needs no right */
	unit_state_done(&u);
	bench_done(&b);
	return 0;
}

TEST(without_the_right_the_message_names_the_right)
{
	unit_file("t-plain.service", "[Service]\nExecStart=/bin/sleep 5\n");
	shell("systemctl daemon-reload");
	CHECK_INT(as_dream(start_as_dream), 0);
}

/* --- A user's own manager -------------------------------------------------------------------- */

static int run_as_own_manager(void)
{
	Bench b = {0};
	Err err = ERR_INIT;
	CHECK_OK(setenv("XDG_RUNTIME_DIR", "/run/xdg", 1));
	CHECK_OK(sd_event_new(&b.loop));
	int r = systemd_open(b.loop, true, &b.s, &err);
	if (r < 0)
		printf("# %s\n", err.msg);
	CHECK_OK(r);
	TransientSpec spec = transient("t-mine.service", ARGV(sleep_, sixty));
	CHECK_STR(run_transient(&b, &spec).result, "done");
	UnitState u = state_of(&b, "t-mine.service");
	CHECK_STR(u.active, "active");
	unit_state_done(&u);
	CHECK_STR(stop(&b, "t-mine.service").result, "done");
	bench_done(&b);
	return 0;
}

TEST(a_user_needs_no_right_at_the_users_own_manager)
{
	shell("install -d -o dream -m 700 /run/xdg; systemd-run -q -u t-manager -p User=dream "
	      "-p Delegate=yes -p Environment=XDG_RUNTIME_DIR=/run/xdg -p Type=notify "
	      "/lib/systemd/systemd --user --unit=basic.target");
	CHECK_INT(as_dream(run_as_own_manager), 0);
	shell("systemctl stop t-manager");
}

/* --- Managers that go away ------------------------------------------------------------------- */

TEST(a_job_is_told_though_the_manager_was_executed_anew)
{
	BENCH(b);
	Ending e = {0};
	Err err = ERR_INIT;
	unit_file("t-slow.service",
		  "[Service]\nType=oneshot\nRemainAfterExit=yes\n"
		  "ExecStart=/bin/sh -c 'while ! test -e /tmp/t-go; do sleep 0.05; done'\n");
	shell("rm -f /tmp/t-go; systemctl daemon-reload");
	CHECK_OK(unit_start(b.s, "t-slow.service", on_end, &e, NULL, &err));
	UnitState u = wait_state(&b, "t-slow.service", "activating");
	unit_state_done(&u);
	shell("systemctl daemon-reexec");
	CHECK(!e.over);
	shell("touch /tmp/t-go");
	wait_for(b.loop, &e.over, 20);
	CHECK_STR(e.result, "done");
	CHECK_STR(stop(&b, "t-slow.service").result, "done");
}

TEST(a_lost_bus_ends_every_job_and_watch)
{
	BENCH(b);
	Ending e = {0};
	Until at = {.active = ""};
	UnitWatch *w = NULL;
	Err err = ERR_INIT;
	unit_file("t-never.service", "[Service]\nType=oneshot\nExecStart=/bin/sleep 600\n");
	shell("systemctl daemon-reload");
	CHECK_OK(unit_start(b.s, "t-never.service", on_end, &e, NULL, &err));
	UnitState u = wait_state(&b, "t-never.service", "activating");
	unit_state_done(&u);
	CHECK_OK(unit_watch(b.s, "t-never.service", until_changed, &at, &w, &err));
	/* Not by systemctl, which asks over the bus that it would kill. */
	shell("kill -KILL $(systemctl show -P MainPID dbus.service)");
	wait_for(b.loop, &e.over, 10);
	CHECK_INT(e.code, -ENOTCONN);
	wait_for(b.loop, &at.met, 10);
	CHECK_ERR(unit_start(b.s, "t-never.service", on_end, &e, NULL, &err), ENOTCONN);
	unitwatch_free(w);
	shell("systemctl stop t-never.service");
}
