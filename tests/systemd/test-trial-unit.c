/* The shipped template and polkit rule, with a daemon that is not root. */
#include "manager.h"
#include "systemd/journal.h"
#include "systemd/trialfile.h"

/* Only the path of the program differs from what is shipped. */
static void install(void)
{
	shell("install -d -o dream -g dream-trial -m 2750 /run/dream/trials; "
	      "rm -f /run/dream/trials/*; chmod 755 /run/dream; "
	      "cp " UNITS_DIR "/dream-trial@.service /run/systemd/system/; "
	      "cp " UNITS_DIR "/polkit/50-dream.rules /etc/polkit-1/rules.d/; "
	      "mkdir -p /run/systemd/system/dream-trial@.service.d; "
	      "install -m 755 " TRIAL_EXEC " /run/dream/trial-exec; "
	      "printf '[Service]\\nExecStart=\\nExecStart=/run/dream/trial-exec "
	      "/run/dream/trials/%%i\\n' >/run/systemd/system/dream-trial@.service.d/test.conf");
	unit_file("t-other.service", "[Service]\nExecStart=/bin/sleep 1000\n");
	shell("systemctl daemon-reload; systemctl restart polkit");
}

static char sh[] = "/bin/sh", dash_c[] = "-c";

static void write_trial(const char *instance, char *script, char *const *env)
{
	Err err = ERR_INIT;
	int r = trialfile_write(TRIALFILE_DIR, instance, (char *const[]){sh, dash_c, script, NULL},
				env, "/usr", &err);
	if (r < 0)
		printf("# %s\n", err.msg);
	CHECK_OK(r);
}

/* --- As the daemon --------------------------------------------------------------------------- */

static int a_trial(void)
{
	static char script[] = "echo \"$(id -un) in $PWD: $WORDS, $(env | wc -l) variables\"",
		    words[] = "WORDS=$HOME %n 'x'", lasting[] = "exec sleep 1000";
	Bench b = bench_new();
	write_trial("one", script, (char *const[]){words, NULL});
	CHECK_STR(start(&b, "dream-trial@one.service").result, "done");
	UnitState u = wait_state(&b, "dream-trial@one.service", "inactive");
	CHECK_STR(u.result, "success");
	unit_state_done(&u);

	write_trial("two", lasting, NULL);
	CHECK_STR(start(&b, "dream-trial@two.service").result, "done");
	u = state_of(&b, "dream-trial@two.service");
	CHECK_STR(u.active, "active");
	unit_state_done(&u);
	CHECK_STR(stop(&b, "dream-trial@two.service").result, "done");
	bench_done(&b);
	return 0;
}

TEST(the_daemon_runs_a_trial_as_the_user_of_trials)
{
	install();
	CHECK_INT(as_dream(a_trial), 0);
	_cleanup_free_ char *text = NULL;
	size_t n;
	Err err = ERR_INIT;
	CHECK_OK(journal_sync(30000000));
	CHECK_OK(journal_read("dream-trial@one.service", NULL, NULL, 1 << 16, &text, &n, &err));
	/* The shell adds PWD to the file's environment. */
	CHECK(strstr(text, "dream-trial in /usr: $HOME %n 'x', 2 variables\n"));
}

static int forbidden_things(void)
{
	static char sleep_[] = "/bin/sleep", ten[] = "10";
	static const char *const units[] = {"t-other.service", "dream-trial@a-b.service",
					    "dream-trial@.service"};
	const TransientSpec spec = {.unit = "dream-trial@x.service",
				    .argv = (char *const[]){sleep_, ten, NULL},
				    .log_fd = -1};
	Bench b = bench_new();
	for (size_t i = 0; i < 2; i++)
		CHECK_INT(start(&b, units[i]).code, -EACCES);
	CHECK(start(&b, units[2]).code < 0);
	CHECK_INT(stop(&b, "dbus.service").code, -EACCES);
	CHECK_INT(run_transient(&b, &spec).code, -EACCES);
	bench_done(&b);
	return 0;
}

TEST(the_daemon_may_do_nothing_else)
{
	install();
	CHECK_INT(as_dream(forbidden_things), 0);
}

static int a_failed_trial(void)
{
	static char script[] = "exit 7";
	Bench b = bench_new();
	Err err = ERR_INIT;
	write_trial("bad", script, NULL);
	(void)start(&b, "dream-trial@bad.service");
	UnitState u = wait_state(&b, "dream-trial@bad.service", "failed");
	CHECK_STR(u.result, "exit-code");
	CHECK_INT(u.exit_status, 7);
	unit_state_done(&u);
	CHECK_OK(unit_reset_failed(b.s, "dream-trial@bad.service", &err));
	CHECK_OK(trialfile_remove(TRIALFILE_DIR, "bad", &err));
	CHECK_STR(start(&b, "dream-trial@bad.service").result, "assert");
	bench_done(&b);
	return 0;
}

TEST(a_failed_trial_tells_its_status_and_without_a_file_nothing_starts)
{
	install();
	CHECK_INT(as_dream(a_failed_trial), 0);
}

/* --- The file -------------------------------------------------------------------------------- */

TEST(a_file_that_others_could_write_is_not_run)
{
	static char script[] = "true";
	BENCH(b);
	install();
	write_trial("open", script, NULL);
	shell("chmod 666 /run/dream/trials/open");
	(void)start(&b, "dream-trial@open.service");
	UnitState u = wait_state(&b, "dream-trial@open.service", "failed");
	CHECK_INT(u.exit_status, 1);
	unit_state_done(&u);
	shell("chown dream-trial /run/dream/trials/open; chmod 640 /run/dream/trials/open; "
	      "systemctl reset-failed");
	(void)start(&b, "dream-trial@open.service");
	u = wait_state(&b, "dream-trial@open.service", "failed");
	CHECK_INT(u.exit_status, 1);
	unit_state_done(&u);
}

TEST(root_never_runs_it)
{
	Err err = ERR_INIT;
	CHECK_ERR(trialfile_run("/run/dream/trials/open", &err), EPERM);
}

TEST(names_and_programs_that_are_none_are_refused)
{
	Err err = ERR_INIT;
	char relative[] = "sh";
	char *const argv[] = {sh, NULL}, *const bad[] = {relative, NULL};
	CHECK_ERR(trialfile_write(TRIALFILE_DIR, "../x", argv, NULL, NULL, &err), EINVAL);
	CHECK_ERR(trialfile_write(TRIALFILE_DIR, "", argv, NULL, NULL, &err), EINVAL);
	CHECK_ERR(trialfile_write(TRIALFILE_DIR, "x", bad, NULL, NULL, &err), EINVAL);
}

TEST(the_limits_of_the_seeds_are_set)
{
	install();
	shell("systemctl show -p CPUQuotaPerSecUSec -p TasksMax -p RuntimeMaxUSec -p MemoryMax -p "
	      "User dream-trial@show.service >/tmp/t-show");
	_cleanup_free_ char *text = text_of("/tmp/t-show");
	CHECK(strstr(text, "CPUQuotaPerSecUSec=8s\n") && strstr(text, "TasksMax=4096\n") &&
	      strstr(text, "RuntimeMaxUSec=30min\n") && strstr(text, "User=dream-trial\n"));
	CHECK(!strstr(text, "MemoryMax=infinity"));
}
