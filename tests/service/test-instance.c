/* Instances as child processes, with real programs that behave badly in one way each. */
#include "play.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/proc.h"
#include "service/output.h"

static void play_init(Play *s, const char *kind, const char *const *argv)
{
	play_begin(s, argv, "ONLY=this");
	s->spec = (InstanceSpec){.name = "judge",
				 .kind = server_kind(kind),
				 .service = &s->service,
				 .command = &s->command,
				 .dir = s->dir,
				 .ready_timeout_us = 20 * SECOND,
				 .stop_timeout_us = 5 * SECOND};
	CHECK(s->spec.kind != NULL);
}

/* The test's own server, on a port of its own, with one habit. */
static void play_server(Play *s, const char *const *habits)
{
	char port[16];
	Err err = ERR_INIT;
	uint16_t number;
	CHECK_OK(port_pick(NULL, 0, &number, &err));
	(void)snprintf(port, sizeof(port), "%u", number);
	play_init(s, "vllm", WORDS(SERVICE_TEST_DIR "/server.py", port));
	add_words(&s->command.argv, habits);
	s->spec.port = number;
	s->service.model = strdup("m");
}

static void check_words(Play *s, const char *text)
{
	if (!strstr(instance_end(s->i)->words, text))
		CHECK_STR(instance_end(s->i)->words, text);
}

/* --- Becoming ready -------------------------------------------------------------------------- */

TEST(a_server_becomes_ready_and_is_stopped_and_nothing_is_left)
{
	Play s;
	play_server(&s, WORDS("fine"));
	run_to_ready(&s);
	CHECK(instance_ready_us(s.i) > 0 && instance_ready_us(s.i) < 15 * SECOND);
	CHECK(instance_client(s.i) != NULL);
	CHECK(said(&s, "hello from"));
	Owner o = instance_owner(s.i);
	CHECK(o.leader > 0 && owner_has(&o, o.leader));
	CHECK_INT(getsid(o.leader), o.leader);
	instance_stop(s.i);
	run_to_end(&s);
	CHECK(instance_end(s.i)->asked);
	CHECK_INT(instance_end(s.i)->status.si_status, SIGTERM);
	CHECK_INT(s.n_ready, 1);
	play_done(&s);
}

TEST(health_that_says_loading_is_waited_for)
{
	Play s;
	play_server(&s, WORDS("late=0.2", "loading=0.4"));
	run_to_ready(&s);
	CHECK(instance_ready_us(s.i) >= 600000);
	play_done(&s);
}

TEST(a_server_that_never_becomes_ready_is_ended_with_what_was_seen_last)
{
	Play s;
	play_server(&s, WORDS("loading=1000"));
	s.spec.ready_timeout_us = 4 * SECOND; /* it must have begun to listen by then */
	start(&s);
	run_to_end(&s);
	CHECK(instance_end(s.i)->timed_out);
	CHECK(!instance_end(s.i)->asked);
	check_words(&s, "not ready within 4.0 s; last seen: it says that it still loads");
	CHECK_INT(s.n_ready, 0);
	play_done(&s);
}

TEST(a_server_that_refuses_the_first_real_request_is_not_ready)
{
	Play s;
	play_server(&s, WORDS("refuse"));
	start(&s);
	run_to_end(&s);
	CHECK(instance_end(s.i)->first_request_failed);
	check_words(&s, "its first request failed: it answered with status 500");
	play_done(&s);
}

TEST(an_answer_without_a_result_is_none)
{
	Play s;
	play_server(&s, WORDS("empty"));
	start(&s);
	run_to_end(&s);
	CHECK(instance_end(s.i)->first_request_failed);
	play_done(&s);
}

TEST(a_server_that_is_stopped_by_a_signal_hangs_until_the_deadline)
{
	Play s;
	play_server(&s, WORDS("stop-self"));
	s.spec.ready_timeout_us = SECOND;
	start(&s);
	run_to_end(&s);
	CHECK(instance_end(s.i)->timed_out);
	play_done(&s);
}

/* --- Dying ----------------------------------------------------------------------------------- */

TEST(a_program_that_dies_at_once_is_told_with_its_status_and_words)
{
	Play s;
	play_server(&s, WORDS("fail"));
	start(&s);
	run_to_end(&s);
	CHECK_INT(instance_end(s.i)->status.si_code, CLD_EXITED);
	CHECK_INT(instance_end(s.i)->status.si_status, 1);
	CHECK(!instance_end(s.i)->asked && !instance_end(s.i)->timed_out);
	CHECK(said(&s, "error: model.gguf: no such file"));
	check_words(&s, "it ended with exit status 1");
	play_done(&s);
}

TEST(a_death_is_noticed_within_a_second)
{
	Play s;
	play_server(&s, WORDS("fine"));
	run_to_ready(&s);
	int64_t killed = clock_mono_us(&clock_system);
	kill(instance_owner(s.i).leader, SIGKILL);
	run_to_end(&s);
	CHECK(clock_mono_us(&clock_system) - killed < SECOND);
	CHECK_INT(instance_end(s.i)->status.si_status, SIGKILL);
	play_done(&s);
}

TEST(a_crash_after_the_first_answer_is_a_signal)
{
	Play s;
	play_server(&s, WORDS("die"));
	start(&s);
	run_to_end(&s);
	CHECK_INT(instance_end(s.i)->status.si_status, SIGSEGV);
	CHECK(said(&s, "something broke"));
	play_done(&s);
}

TEST(who_ignores_sigterm_is_killed_after_the_patience)
{
	Play s;
	play_server(&s, WORDS("no-term"));
	s.spec.stop_timeout_us = SECOND / 5;
	run_to_ready(&s);
	instance_stop(s.i);
	run_to_end(&s);
	CHECK_INT(instance_end(s.i)->status.si_status, SIGKILL);
	CHECK(instance_end(s.i)->asked);
	play_done(&s);
}

TEST(abandoned_children_are_gone_too)
{
	Play s;
	pid_t *pids = NULL;
	size_t n = 0;
	play_server(&s, WORDS("children"));
	run_to_ready(&s);
	Owner o = instance_owner(s.i);
	CHECK_OK(owner_pids(&o, &pids, &n));
	CHECK_INT(n, 4);
	instance_stop(s.i);
	run_to_end(&s);
	for (size_t i = 0; i < n; i++)
		CHECK(kill(pids[i], 0) < 0);
	free(pids);
	play_done(&s);
}

TEST(a_stopped_process_can_still_be_ended)
{
	Play s;
	play_server(&s, WORDS("fine"));
	run_to_ready(&s);
	kill(instance_owner(s.i).leader, SIGSTOP);
	instance_stop(s.i);
	run_to_end(&s);
	CHECK_INT(instance_end(s.i)->status.si_status, SIGTERM);
	play_done(&s);
}

TEST(freeing_a_running_instance_leaves_nothing)
{
	Play s;
	play_server(&s, WORDS("children", "no-term"));
	run_to_ready(&s);
	pid_t leader = instance_owner(s.i).leader;
	uint16_t port = s.spec.port;
	s.i = instance_free(s.i);
	CHECK(kill(leader, 0) < 0);
	CHECK(!port_is_taken(port, NULL));
	s.spec.port = port;
	start(&s);
	play_done(&s);
}

TEST(no_instance_runs_longer_than_it_may)
{
	Play s;
	play_server(&s, WORDS("fine"));
	s.spec.limits.runtime_max_us = SECOND;
	start(&s);
	run_to_end(&s);
	check_words(&s, "stopped after 1.0 s, the longest that it may run");
	CHECK(!instance_end(s.i)->asked);
	play_done(&s);
}

/* --- What cannot be started ------------------------------------------------------------------ */

static void check_not_executed(const char *program, const char *words)
{
	Play s;
	play_init(&s, "command", WORDS(program));
	start(&s);
	CHECK_INT(s.n_ended, 0);
	run_to_end(&s);
	CHECK(instance_end(s.i)->not_executed);
	check_words(&s, words);
	play_done(&s);
}

TEST(a_program_that_cannot_be_executed_comes_to_the_end_and_is_no_fault_of_ours)
{
	check_not_executed("/nowhere/vllm", "No such file");
	check_not_executed("no-such-program-anywhere", "no program 'no-such-program-anywhere'");
	check_not_executed("/etc/passwd", "Permission denied");
	check_not_executed("/tmp", "Permission denied");
}

TEST(a_user_that_is_not_here_is_said)
{
	Play s;
	play_init(&s, "command", WORDS("/bin/true"));
	s.command.user = strdup("no-such-user");
	start(&s);
	run_to_end(&s);
	CHECK(instance_end(s.i)->not_executed);
	check_words(&s, "there is no user 'no-such-user' here");
	play_done(&s);
}

static int listen_on(uint16_t port)
{
	struct sockaddr_in a = {.sin_family = AF_INET,
				.sin_port = htons(port),
				.sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1;
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	CHECK_INT(bind(fd, (struct sockaddr *)&a, sizeof(a)), 0);
	CHECK_INT(listen(fd, 8), 0);
	return fd;
}

TEST(a_busy_port_is_seen_before_anything_is_started)
{
	Play s;
	play_server(&s, WORDS("fine"));
	int fd = listen_on(s.spec.port);
	start(&s);
	run_to_end(&s);
	CHECK(instance_end(s.i)->port_taken);
	CHECK_INT(instance_owner(s.i).leader, 0);
	check_words(&s, "is taken by");
	close(fd);
	play_done(&s);
}

TEST(an_answer_from_somebody_elses_port_is_not_ours)
{
	Play s;
	play_server(&s, WORDS("late=1000"));
	start(&s);
	int fd = listen_on(s.spec.port);
	run_to_end(&s);
	CHECK(instance_end(s.i)->port_taken);
	check_words(&s, "taken by somebody else");
	close(fd);
	play_done(&s);
}

/* --- Its surroundings ------------------------------------------------------------------------ */

TEST(the_environment_is_the_commands_with_the_gpu_and_not_ours)
{
	Play s;
	setenv("DREAM_SECRET_OF_OURS", "1", 1);
	play_server(&s, WORDS("env"));
	s.spec.gpu_uuid = "GPU-1234";
	s.spec.limits.mps_thread_pct = 30;
	s.spec.limits.mps_memory_bytes = (int64_t)2 << 30;
	run_to_ready(&s);
	CHECK(said(&s, "\nONLY=this\n"));
	CHECK(said(&s, "\nCUDA_VISIBLE_DEVICES=GPU-1234\n"));
	CHECK(said(&s, "\nCUDA_DEVICE_ORDER=PCI_BUS_ID\n"));
	CHECK(said(&s, "\nCUDA_MPS_ACTIVE_THREAD_PERCENTAGE=30\n"));
	CHECK(said(&s, "\nCUDA_MPS_PINNED_DEVICE_MEM_LIMIT=0=2048M\n"));
	CHECK(said(&s, "\nHOME="));
	CHECK(said(&s, "\nPATH="));
	CHECK(!said(&s, "DREAM_SECRET_OF_OURS"));
	unsetenv("DREAM_SECRET_OF_OURS");
	play_done(&s);
}

TEST(limits_of_the_unit_are_set_and_those_a_child_cannot_have_are_named)
{
	Play s;
	play_init(&s, "command",
		  WORDS("/bin/sh", "-c", "ulimit -n; ulimit -c; echo ready; exec sleep 1000"));
	s.command.limits =
	    json_pack("{s:i,s:i,s:i}", "LimitNOFILE", 123, "LimitNOFILESoft", 99, "LimitCORE", 0);
	s.spec.limits.memory_max_bytes = 1 << 30;
	s.spec.limits.cpu_quota = 1.5;
	s.service.ready_text = strdup("ready");
	run_to_ready(&s);
	CHECK(said(&s, "99\n0\nready\n"));
	CHECK_STR(instance_unlimited(s.i), "CPUQuota, MemoryMax");
	play_done(&s);
}

TEST(a_flood_of_output_fills_no_disk_and_holds_nobody_up)
{
	Play s;
	struct stat st;
	size_t len;
	play_server(&s, WORDS("flood"));
	run_to_ready(&s);
	instance_stop(s.i);
	run_to_end(&s);
	CHECK(said(&s, "the last line of the flood"));
	(void)instance_output(s.i, &len);
	CHECK(len > 1 << 20 && len <= OUTPUT_TAIL);
	char *log = str_fmt("%s/judge.log", s.dir);
	CHECK_INT(stat(log, &st), 0);
	CHECK((int64_t)st.st_blocks * 512 <= OUTPUT_TAIL + OUTPUT_SLACK + 65536);
	free(log);
	play_done(&s);
}

/* --- Without HTTP ---------------------------------------------------------------------------- */

TEST(a_text_in_the_output_tells_that_it_is_ready)
{
	Play s;
	play_init(&s, "command",
		  WORDS("/bin/sh", "-c", "sleep 0.2; echo listening; exec sleep 1000"));
	s.service.ready_text = strdup("listening");
	run_to_ready(&s);
	CHECK(instance_ready_us(s.i) >= 200000);
	play_done(&s);
}

TEST(a_text_that_never_comes_is_said)
{
	Play s;
	play_init(&s, "command", WORDS("/bin/sleep", "1000"));
	s.service.ready_text = strdup("listening");
	s.spec.ready_timeout_us = SECOND / 2;
	start(&s);
	run_to_end(&s);
	CHECK(instance_end(s.i)->timed_out);
	check_words(&s, "its output does not have 'listening' yet");
	play_done(&s);
}

TEST(a_probe_program_tells_that_it_is_ready)
{
	Play s;
	char *flag, sh[] = "/bin/sh", c[] = "-c";
	play_init(&s, "command", WORDS("/bin/sh", "-c", "sleep 0.2; : > flag; exec sleep 1000"));
	s.command.cwd = strdup(s.dir);
	flag = str_fmt("test -e %s/flag", s.dir);
	char *probe[] = {sh, c, flag};
	s.service.probe = (ConfStrings){.items = probe, .n = 3};
	run_to_ready(&s);
	CHECK(instance_ready_us(s.i) >= 200000);
	free(flag);
	flag = str_fmt("%s/flag", s.dir);
	unlink(flag);
	free(flag);
	play_done(&s);
}

/* --- Containers ------------------------------------------------------------------------------ */

static Proc container_daemon(const char *dir, const char *docker, uint16_t port)
{
	char number[16];
	Proc p = PROC_INIT;
	Err err = ERR_INIT;
	(void)snprintf(number, sizeof(number), "%u", port);
	_cleanup_free_ char *state = str_fmt("DOCKER_STATE=%s", dir);
	const char *env[] = {state, NULL};
	const char *argv[] = {docker, "daemon", number, SERVICE_TEST_DIR "/server.py", NULL};
	ProcSpec spec = {.argv = argv, .env = env, .stdin_path = "/dev/null", .stderr_fd = -1};
	CHECK_OK(proc_spawn(&spec, &p, &err));
	return p;
}

static void copy_program(const char *from, const char *to)
{
	char *text = NULL;
	size_t len;
	CHECK_OK(file_read(from, 1 << 16, &text, &len, NULL));
	CHECK_OK(file_write(to, 0755, text, len, NULL));
	free(text);
}

/* The server is the container daemon's child and not ours; it is found, and it is removed. */
TEST(a_container_is_its_own_service_and_is_removed_with_its_client)
{
	Play s;
	char state[] = "/tmp/dream-test-docker-XXXXXX";
	uint16_t port;
	siginfo_t si;
	Err err = ERR_INIT;
	CHECK(mkdtemp(state) != NULL);
	CHECK_OK(port_pick(NULL, 0, &port, &err));
	_cleanup_free_ char *docker = str_fmt("%s/docker", state);
	copy_program(SERVICE_TEST_DIR "/docker", docker);
	play_init(&s, "vllm", WORDS(docker, "run", "--name=dream-trial-7", "--rm", "image"));
	s.spec.port = port;
	s.service.model = strdup("m");
	Proc outside = container_daemon(state, docker, port);
	run_to_ready(&s);
	CHECK_INT(instance_owner(s.i).leader, outside.pid);
	CHECK_INT(s.moved_to, outside.pid);
	instance_stop(s.i);
	run_to_end(&s);
	struct pollfd ended = {.fd = outside.pidfd, .events = POLLIN};
	CHECK_INT(poll(&ended, 1, 10000), 1);
	CHECK_INT(proc_reap(&outside, &si), 1);
	CHECK_INT(si.si_status, SIGKILL);
	proc_done(&outside);
	play_done(&s);
	static const char *const files[] = {"docker", "run", "calls", NULL};
	for (const char *const *f = files; *f; f++) {
		_cleanup_free_ char *path = str_fmt("%s/%s", state, *f);
		CHECK_INT(unlink(path), 0);
	}
	CHECK_INT(rmdir(state), 0);
}
