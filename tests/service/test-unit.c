/* Instances as transient units, under a systemd of the test's own. */
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/proc.h"
#include "play.h"

static void play_init(Play *p, const char *kind, const char *const *argv)
{
	Err err = ERR_INIT;
	play_begin(p, argv, "ONLY=this $HOME");
	CHECK_OK(systemd_open(p->loop, false, &p->systemd, &err));
	p->spec = (InstanceSpec){.name = "judge",
				 .kind = server_kind(kind),
				 .service = &p->service,
				 .command = &p->command,
				 .systemd = p->systemd,
				 .gpu_uuid = "GPU-1234",
				 .dir = p->dir,
				 .ready_timeout_us = 30 * SECOND,
				 .stop_timeout_us = 2 * SECOND};
}

static void play_server(Play *p, const char *habit)
{
	char text[16];
	uint16_t port;
	Err err = ERR_INIT;
	CHECK_OK(port_pick(NULL, 0, &port, &err));
	(void)snprintf(text, sizeof(text), "%u", port);
	play_init(p, "vllm", WORDS(SERVICE_TEST_DIR "/server.py", text, habit, "env"));
	p->spec.port = port;
	p->service.model = strdup("m");
}

TEST(a_unit_becomes_ready_and_is_stopped_and_nothing_is_left)
{
	Play p;
	play_server(&p, "fine");
	run_to_ready(&p);
	Owner o = instance_owner(p.i);
	pid_t *pids = NULL;
	size_t n = 0;
	CHECK(o.cgroup != NULL);
	CHECK(strstr(o.cgroup, "/dream-trial-") != NULL);
	o.leader = 0; /* by the group alone */
	CHECK_OK(owner_pids(&o, &pids, &n));
	CHECK_INT(n, 1);
	free(pids);
	CHECK(said(&p, "hello from"));
	CHECK(said(&p, "\nONLY=this $HOME\n"));
	CHECK(said(&p, "\nCUDA_VISIBLE_DEVICES=GPU-1234\n"));
	instance_stop(p.i);
	run_until(&p, &p.n_ended);
	CHECK(instance_end(p.i)->asked);
	play_done(&p);
}

TEST(a_unit_that_is_killed_is_noticed_within_a_second)
{
	Play p;
	play_server(&p, "children");
	run_to_ready(&p);
	Owner o = instance_owner(p.i);
	CHECK(o.leader > 1);
	int64_t killed = clock_mono_us(&clock_system);
	kill(o.leader, SIGKILL);
	run_until(&p, &p.n_ended);
	CHECK(clock_mono_us(&clock_system) - killed < SECOND);
	CHECK_INT(instance_end(p.i)->status.si_status, SIGKILL);
	CHECK_STR(instance_end(p.i)->unit_result, "signal");
	play_done(&p);
}

TEST(a_units_program_that_is_not_there_is_told)
{
	Play p;
	play_init(&p, "command", WORDS("/nowhere/vllm"));
	start(&p);
	run_until(&p, &p.n_ended);
	CHECK(instance_end(p.i)->not_executed);
	if (!strstr(instance_end(p.i)->words, "its program cannot be executed"))
		CHECK_STR(instance_end(p.i)->words, "its program cannot be executed");
	play_done(&p);
}

TEST(a_unit_that_fails_tells_its_status_and_words)
{
	Play p;
	play_server(&p, "fail");
	start(&p);
	run_until(&p, &p.n_ended);
	CHECK_INT(instance_end(p.i)->status.si_code, CLD_EXITED);
	CHECK_INT(instance_end(p.i)->status.si_status, 1);
	CHECK_STR(instance_end(p.i)->unit_result, "exit-code");
	CHECK(said(&p, "no such file"));
	play_done(&p);
}

TEST(a_unit_that_ignores_sigterm_is_killed)
{
	Play p;
	play_server(&p, "no-term");
	run_to_ready(&p);
	instance_stop(p.i);
	run_until(&p, &p.n_ended);
	CHECK_INT(instance_end(p.i)->status.si_status, SIGKILL);
	play_done(&p);
}

TEST(a_unit_that_is_never_ready_is_ended_at_the_deadline)
{
	Play p;
	play_server(&p, "loading=1000");
	p.spec.ready_timeout_us = 2 * SECOND;
	start(&p);
	run_until(&p, &p.n_ended);
	CHECK(instance_end(p.i)->timed_out);
	play_done(&p);
}

TEST(a_unit_that_runs_too_long_is_stopped_also_when_nobody_watches)
{
	Play p;
	play_init(&p, "command", WORDS("/bin/sh", "-c", "echo up; exec sleep 1000"));
	p.service.ready_text = strdup("up");
	p.spec.limits = (InstanceLimits){.runtime_max_us = SECOND,
					 .memory_max_bytes = 1 << 30,
					 .tasks_max = 100,
					 .cpu_quota = 1.5};
	start(&p);
	run_until(&p, &p.n_ended);
	CHECK(!instance_end(p.i)->asked);
	play_done(&p);
}

/* Only the path of the program differs from what is shipped. */
static void install_template(void)
{
	static const char script[] =
	    "install -d -o dream -g dream-trial -m 2750 /run/dream/trials; "
	    "chmod 755 /run/dream; "
	    "cp " UNITS_DIR "/dream-trial@.service /run/systemd/system/; "
	    "mkdir -p /run/systemd/system/dream-trial@.service.d; "
	    "install -m 755 " TRIAL_EXEC " /run/dream/trial-exec; "
	    "printf '[Service]\\nExecStart=\\nExecStart=/run/dream/trial-exec "
	    "/run/dream/trials/%%i\\n' >/run/systemd/system/dream-trial@.service.d/test.conf; "
	    "systemctl daemon-reload";
	const char *const argv[] = {"sh", "-ec", script, NULL};
	const ProcSpec spec = {.argv = argv, .stdin_path = "/dev/null", .stderr_fd = -1};
	char *out = NULL;
	Err err = ERR_INIT;
	if (proc_run(&spec, NULL, 0, 4096, 30 * SECOND, &out, NULL, &err) < 0)
		CHECK_STR(err.msg, "");
	free(out);
}

TEST(an_instance_of_the_static_template_runs_as_the_user_of_trials)
{
	Play p;
	Err err = ERR_INIT;
	install_template();
	play_init(&p, "command", WORDS("sh", "-c", "id -un; echo $ONLY; echo up; exec sleep 1000"));
	p.spec.unit_template = "dream-trial@.service";
	p.service.ready_text = strdup("up");
	p.spec.limits.memory_max_bytes = 1 << 30;
	run_to_ready(&p);
	CHECK(said(&p, "dream-trial\n"));
	CHECK(said(&p, "this $HOME\n"));
	CHECK_STR(instance_unlimited(p.i), "MemoryMax");
	Owner o = instance_owner(p.i);
	o.leader = 0;
	pid_t *pids = NULL;
	size_t n = 0;
	CHECK_OK(owner_pids(&o, &pids, &n));
	CHECK(n > 0);
	free(pids);
	CHECK_ERR(instance_left(p.i, &err), EBUSY);
	play_done(&p);
}
