/* Real processes. A pid is known to be gone through a pidfd, never by waiting a while. */
#include "base/proc.h"

#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "test.h"

enum {
	LONG_US = 20000000
};

static ProcSpec sh(const char *const argv[4])
{
	return (ProcSpec){.argv = argv, .stderr_fd = -1};
}

#define SH(script) ((const char *const[4]){"sh", "-c", script, NULL})

static void wait_end(Proc *p, siginfo_t *si)
{
	struct pollfd pfd = {.fd = p->pidfd, .events = POLLIN};
	CHECK(poll(&pfd, 1, 20000) == 1);
	CHECK_INT(proc_reap(p, si), 1);
}

/* Reads decimal numbers, one a line, that a child printed. */
static void read_numbers(int fd, long *ret, int n)
{
	char buf[256];
	size_t len = 0;
	int lines = 0;
	while (lines < n) {
		struct pollfd pfd = {.fd = fd, .events = POLLIN};
		CHECK(poll(&pfd, 1, 20000) == 1);
		ssize_t got = read(fd, buf + len, sizeof(buf) - 1 - len);
		CHECK(got > 0);
		for (ssize_t i = 0; i < got; i++)
			lines += buf[len + (size_t)i] == '\n';
		len += (size_t)got;
	}
	buf[len] = '\0';
	char *at = buf;
	for (int i = 0; i < n; i++)
		ret[i] = strtol(at, &at, 10);
}

static int watch(long pid)
{
	return (int)syscall(SYS_pidfd_open, (pid_t)pid, 0);
}

static void check_dies(int watched)
{
	if (watched < 0) /* dead before it could be watched */
		return;
	struct pollfd pfd = {.fd = watched, .events = POLLIN};
	CHECK(poll(&pfd, 1, 20000) == 1);
	close(watched);
}

static int count_fds(void)
{
	DIR *d = opendir("/proc/self/fd");
	int n = 0;
	while (readdir(d))
		n++;
	closedir(d);
	return n;
}

static int run(const char *const argv[4], const char *input, char **out, size_t *len, Err *err)
{
	ProcSpec s = sh(argv);
	return proc_run(&s, input, input ? strlen(input) : 0, 1 << 20, LONG_US, out, len, err);
}

TEST(what_a_program_prints_is_returned_whole)
{
	_cleanup_free_ char *out = NULL;
	size_t len = 0;
	CHECK_OK(run(SH("cat; echo end"), "one\ntwo\n", &out, &len, NULL));
	CHECK_STR(out, "one\ntwo\nend\n");
	CHECK_INT(len, 12);
}

TEST(input_larger_than_a_pipe_gets_through_while_output_is_read)
{
	enum {
		SIZE = 900000
	};
	_cleanup_free_ char *in = malloc(SIZE + 1), *out = NULL;
	size_t len = 0;
	memset(in, 'x', SIZE);
	in[SIZE] = '\0';
	CHECK_OK(run(SH("cat"), in, &out, &len, NULL));
	CHECK_INT(len, SIZE);
	CHECK(memcmp(in, out, SIZE) == 0);
}

TEST(a_program_that_does_not_read_its_input_is_no_fault)
{
	_cleanup_free_ char *in = malloc(300001), *out = NULL;
	memset(in, 'x', 300000);
	in[300000] = '\0';
	CHECK_OK(run(SH("echo fine"), in, &out, NULL, NULL));
	CHECK_STR(out, "fine\n");
}

TEST(a_failing_program_is_reported_with_its_status_and_last_words)
{
	Err err = ERR_INIT;
	_cleanup_free_ char *out = NULL;
	CHECK_ERR(run(SH("echo 'no such gnuplot terminal' >&2; exit 3"), NULL, &out, NULL, &err),
		  EIO);
	CHECK(strstr(err.msg, "exit status 3"));
	CHECK(strstr(err.msg, "no such gnuplot terminal"));
	CHECK(!out);
	CHECK_ERR(run(SH("kill -SEGV $$"), NULL, &out, NULL, &err), EIO);
	CHECK(strstr(err.msg, "killed by SIGSEGV"));
}

TEST(a_program_that_cannot_be_executed_is_an_error_not_a_status)
{
	Err err = ERR_INIT;
	Proc p = PROC_INIT;
	char dir[] = "/tmp/test-proc-XXXXXX", path[64];
	CHECK(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/x", dir);

	ProcSpec s = {.argv = (const char *const[]){"no-such-program-anywhere", NULL},
		      .stderr_fd = -1};
	CHECK_ERR(proc_spawn(&s, &p, &err), ENOENT);
	CHECK(strstr(err.msg, "no-such-program-anywhere"));

	s.argv = (const char *const[]){path, NULL};
	CHECK_ERR(proc_spawn(&s, &p, &err), ENOENT);
	int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
	CHECK(write(fd, "echo hi\n", 8) == 8);
	CHECK_ERR(proc_spawn(&s, &p, &err), EACCES);
	CHECK_INT(fchmod(fd, 0755), 0);
	close(fd);
	CHECK_ERR(proc_spawn(&s, &p, &err), ENOEXEC); /* never by a shell behind our back */

	s.cwd = "/no/such/folder";
	CHECK_ERR(proc_spawn(&s, &p, &err), ENOENT);
	CHECK(strstr(err.msg, "/no/such/folder"));
	CHECK_INT(p.guard, 0);
	unlink(path);
	rmdir(dir);
}

TEST(a_shell_is_told_by_its_name)
{
	CHECK(program_is_shell("sh"));
	CHECK(program_is_shell("/usr/bin/bash"));
	CHECK(!program_is_shell("/bin/sh/vllm"));
	CHECK(!program_is_shell("shx"));
	CHECK(!program_is_shell("/usr/bin/"));
}

TEST(the_child_gets_only_the_descriptors_it_was_given)
{
	int kept = fcntl(0, F_DUPFD, 40), other = fcntl(0, F_DUPFD, 50);
	_cleanup_free_ char *out = NULL;
	char want[64];
	/* 3 is the folder that ls itself has open. */
	ProcSpec s = {.argv = (const char *const[]){"ls", "/proc/self/fd", NULL}, .stderr_fd = -1};
	s.keep_fds = &kept;
	s.n_keep_fds = 1;
	CHECK(other >= 50);
	CHECK_OK(proc_run(&s, NULL, 0, 4096, LONG_US, &out, NULL, NULL));
	snprintf(want, sizeof(want), "0\n1\n2\n3\n%d\n", kept);
	CHECK_STR(out, want);
	close(kept);
	close(other);
}

TEST(the_environment_is_ours_with_additions_replacements_and_removals)
{
	_cleanup_free_ char *out = NULL;
	setenv("TP_KEEP", "kept", 1);
	setenv("TP_CHANGE", "old", 1);
	setenv("TP_DROP", "secret", 1);
	ProcSpec s = sh(SH("echo $TP_KEEP $TP_CHANGE ${TP_DROP-none} $TP_NEW"));
	s.env = (const char *const[]){"TP_CHANGE=new", "TP_DROP", "TP_NEW=added", NULL};
	CHECK_OK(proc_run(&s, NULL, 0, 4096, LONG_US, &out, NULL, NULL));
	CHECK_STR(out, "kept new none added\n");
}

TEST(an_environment_may_be_given_whole_and_output_may_go_to_a_file)
{
	char path[] = "/tmp/dream-test-proc-XXXXXX", text[256] = "";
	int fd = mkstemp(path);
	CHECK(fd >= 0);
	const char *const env[] = {"ONLY=this", NULL};
	ProcSpec s = sh(SH("export -p; echo to-stderr >&2"));
	Proc p = PROC_INIT;
	siginfo_t si;
	s.env = env;
	s.whole_env = true;
	s.stdout_fd = s.stderr_fd = fd;
	CHECK_OK(proc_spawn(&s, &p, NULL));
	CHECK_INT(p.out, -1);
	wait_end(&p, &si);
	CHECK(pread(fd, text, sizeof(text) - 1, 0) > 0);
	CHECK(strstr(text, "export ONLY=") != NULL);
	CHECK(strstr(text, "export PATH=") == NULL);
	CHECK(strstr(text, "to-stderr") != NULL);
	proc_done(&p);
	close(fd);
	unlink(path);
}

TEST(a_program_may_lead_a_session_of_its_own)
{
	ProcSpec s = sh(SH("read x"));
	Proc p = PROC_INIT;
	s.own_session = true;
	CHECK_OK(proc_spawn(&s, &p, NULL));
	CHECK_INT(getsid(p.pid), p.pid);
	CHECK_INT(getpgid(p.pid), p.pid);
	int watched = watch(p.pid);
	proc_done(&p);
	check_dies(watched);
}

TEST(root_may_give_a_program_another_users_rights)
{
	if (geteuid() != 0)
		SKIP("only root may change users");
	const ProcUser nobody = {.uid = 65534, .gid = 65534};
	ProcSpec s = sh(SH("id -u; id -g; id -G"));
	long ids[3];
	Proc p = PROC_INIT;
	siginfo_t si;
	s.user = &nobody;
	CHECK_OK(proc_spawn(&s, &p, NULL));
	read_numbers(p.out, ids, 3);
	for (int i = 0; i < 3; i++)
		CHECK_INT(ids[i], 65534);
	wait_end(&p, &si);
	proc_done(&p);
}

TEST(signals_start_with_their_defaults)
{
	_cleanup_free_ char *out = NULL;
	sigset_t set, old;
	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	sigprocmask(SIG_BLOCK, &set, &old);
	signal(SIGPIPE, SIG_IGN);
	int r = run(SH("grep -E '^Sig(Blk|Ign)' /proc/$$/status | cut -f2 | sort -u"), NULL, &out,
		    NULL, NULL);
	signal(SIGPIPE, SIG_DFL);
	sigprocmask(SIG_SETMASK, &old, NULL);
	CHECK_OK(r);
	/* 32 and 33 belong to the C library, which lets nobody set them: they are as we found them.
	 */
	const uint64_t not_ours = UINT64_C(3) << 31;
	char *line = out;
	for (char *end; *line; line = end + 1) {
		CHECK_INT(strtoull(line, &end, 16) & ~not_ours, 0);
		CHECK_INT(*end, '\n');
	}
	CHECK(line > out);
}

TEST(a_deadline_ends_the_wait_and_the_program)
{
	Err err = ERR_INIT;
	_cleanup_free_ char *out = NULL;
	ProcSpec s = sh(SH("trap '' TERM; while :; do sleep 100; done"));
	CHECK_ERR(proc_run(&s, NULL, 0, 4096, 50000, &out, NULL, &err), ETIMEDOUT);
	CHECK(strstr(err.msg, "did not end"));
}

TEST(output_above_the_limit_is_refused_and_a_flood_of_stderr_is_only_kept_as_a_tail)
{
	Err err = ERR_INIT;
	_cleanup_free_ char *out = NULL;
	ProcSpec s = sh(SH("yes"));
	CHECK_ERR(proc_run(&s, NULL, 0, 100000, LONG_US, &out, NULL, &err), EFBIG);
	s = sh(SH("yes | head -c 20000000 >&2; echo the end >&2; exit 1"));
	CHECK_ERR(proc_run(&s, NULL, 0, 100000, LONG_US, &out, NULL, &err), EIO);
	CHECK(strstr(err.msg, "the end"));
}

TEST(nothing_that_a_program_left_behind_outlives_it)
{
	long pids[2];
	Proc p = PROC_INIT;
	siginfo_t si;
	/* One in its own session, one whose parent is gone before the program ends. */
	ProcSpec s = sh(SH("setsid sleep 1000 & echo $!; (setsid sleep 1000 & echo $!); read go"));
	CHECK_OK(proc_spawn(&s, &p, NULL));
	read_numbers(p.out, pids, 2);
	int a = watch(pids[0]), b = watch(pids[1]);
	CHECK(a >= 0 && b >= 0);
	CHECK_INT(proc_write(&p, "go\n", 3), 3);
	wait_end(&p, &si);
	CHECK_INT(si.si_code, CLD_EXITED);
	CHECK_INT(kill((pid_t)pids[0], 0), -1); /* at once: the guard ended last */
	CHECK_INT(kill((pid_t)pids[1], 0), -1);
	close(a);
	close(b);
	proc_done(&p);
}

TEST(a_kill_reaches_those_who_ignore_signals_and_moved_away)
{
	long pids[2];
	Proc p = PROC_INIT;
	siginfo_t si;
	char how[48];
	ProcSpec s =
	    sh(SH("trap '' TERM INT HUP; setsid sh -c 'trap \"\" TERM; echo $$; while :; do "
		  "sleep 1000; done' & (setsid sh -c 'kill -STOP $$' & echo $!); wait"));
	CHECK_OK(proc_spawn(&s, &p, NULL));
	read_numbers(p.out, pids, 2);
	proc_kill(&p);
	wait_end(&p, &si);
	CHECK_INT(kill((pid_t)pids[0], 0), -1);
	CHECK_INT(kill((pid_t)pids[1], 0), -1);
	proc_describe(&si, how);
	CHECK_STR(how, "killed by SIGKILL");
	proc_done(&p);
	proc_done(&p);
}

TEST(our_own_death_by_sigkill_takes_the_whole_family_with_us)
{
	int fds[2];
	long pid;
	CHECK_INT(pipe2(fds, O_CLOEXEC), 0);
	pid_t us = fork();
	if (us == 0) {
		Proc p = PROC_INIT;
		ProcSpec s = sh(SH("setsid sh -c 'trap \"\" TERM; echo $$ >&2; while :; do sleep "
				   "1000; done' & wait"));
		s.stderr_fd = fds[1];
		if (proc_spawn(&s, &p, NULL) < 0)
			_exit(1);
		pause();
		_exit(0);
	}
	close(fds[1]);
	read_numbers(fds[0], &pid, 1);
	int watched = watch(pid);
	CHECK(watched >= 0);
	kill(us, SIGKILL);
	waitpid(us, NULL, 0);
	check_dies(watched);
	close(fds[0]);
}

static int refuse(void *ctx, pid_t pid, Err *err)
{
	*(pid_t *)ctx = pid;
	return err_set(err, -EBUSY, "not today");
}

TEST(a_program_that_is_not_admitted_never_runs)
{
	char path[] = "/tmp/test-proc-mark-XXXXXX", script[128];
	Err err = ERR_INIT;
	Proc p = PROC_INIT;
	pid_t seen = 0;
	int fd = mkstemp(path);
	close(fd);
	snprintf(script, sizeof(script), "echo ran > %s", path);
	ProcSpec s = sh(SH(script));
	s.admit = refuse;
	s.admit_ctx = &seen;
	CHECK_ERR(proc_spawn(&s, &p, &err), EBUSY);
	CHECK_STR(err.msg, "not today");
	CHECK(seen > 0);
	CHECK_INT(kill(seen, 0), -1);
	struct stat st;
	CHECK_INT(stat(path, &st), 0);
	CHECK_INT(st.st_size, 0);
	unlink(path);
}

TEST(the_program_leads_its_own_group_under_the_pid_that_is_reported)
{
	Proc p = PROC_INIT;
	siginfo_t si;
	long pid;
	ProcSpec s = sh(SH("echo $$; read go"));
	CHECK_OK(proc_spawn(&s, &p, NULL));
	read_numbers(p.out, &pid, 1);
	CHECK_INT(pid, p.pid);
	CHECK_INT(getpgid(p.pid), p.pid);
	CHECK_INT(proc_reap(&p, &si), 0);
	CHECK_INT(proc_write(&p, "\n", 1), 1);
	wait_end(&p, &si);
	CHECK_ERR(proc_reap(&p, &si), ECHILD);
	CHECK_INT(proc_write(&p, "x", 1), -EPIPE);
	proc_done(&p);
}

TEST(standard_streams_that_are_closed_in_us_confuse_nobody)
{
	int status;
	pid_t pid = fork();
	if (pid == 0) {
		close(0);
		close(1);
		close(2);
		char *out = NULL;
		ProcSpec s = sh(SH("cat; echo out; echo err >&2"));
		int r = proc_run(&s, "in ", 3, 4096, LONG_US, &out, NULL, NULL);
		_exit(r == 0 && strcmp(out, "in out\n") == 0 ? 0 : 1);
	}
	CHECK_INT(waitpid(pid, &status, 0), pid);
	CHECK_INT(WEXITSTATUS(status), 0);
}

TEST(a_hundred_children_leave_no_descriptor_and_no_zombie)
{
	int before = count_fds();
	for (int i = 0; i < 100; i++) {
		_cleanup_free_ char *out = NULL;
		CHECK_OK(run(SH("exit 0"), NULL, &out, NULL, NULL));
	}
	CHECK_INT(count_fds(), before);
	CHECK_INT(waitpid(-1, NULL, WNOHANG), -1);
	CHECK_INT(errno, ECHILD);
}
