/* A process that changes production on a real folder is killed, before and after each of its system
 * calls in turn, and what it leaves is recovered. DREAM_SOAK=1: the whole story instead of two
 * changes. */
#include <errno.h>
#include <signal.h>
#include <sys/ptrace.h>
#include <sys/wait.h>

#include "base/clock.h"
#include "base/file.h"
#include "scratch.h"
#include "story.h"

typedef struct Victim {
	char *dir; /* of production */
	const Step *story;
	Known known; /* before the story */
} Victim;

static void do_steps(const char *dir, const Step *story, int acknowledge)
{
	for (const Step *s = story; s->kind != STEP_END; s++) {
		Err err = ERR_INIT;
		Production *p = NULL;
		if (production_open(&disk_system, dir, &p, &err) < 0 || story_do(p, s, &err) < 0)
			_exit(1);
		production_close(p);
		if (acknowledge >= 0 && write(acknowledge, "", 1) != 1)
			_exit(2);
	}
}

static pid_t start(const Victim *v, int acknowledge)
{
	pid_t pid = fork();
	CHECK(pid >= 0);
	if (pid == 0) {
		if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) < 0)
			_exit(3);
		(void)raise(SIGSTOP);
		do_steps(v->dir, v->story, acknowledge);
		_exit(0);
	}
	return pid;
}

typedef enum Fate {
	FATE_KILLED,
	FATE_DONE,
	FATE_UNTRACED, /* it may not be traced here */
} Fate;

/* Lets it make system calls until it stands at the n-th entry or exit of one. */
static Fate kill_at(pid_t pid, unsigned n)
{
	int status;
	CHECK_INT(waitpid(pid, &status, 0), pid);
	if (WIFEXITED(status) && WEXITSTATUS(status) == 3)
		return FATE_UNTRACED;
	CHECK(WIFSTOPPED(status));
	CHECK_OK(ptrace(PTRACE_SETOPTIONS, pid, NULL,
			(void *)(PTRACE_O_TRACESYSGOOD | PTRACE_O_EXITKILL)));
	for (unsigned i = 0; i <= n; i++) {
		CHECK_OK(ptrace(PTRACE_SYSCALL, pid, NULL, NULL));
		CHECK_INT(waitpid(pid, &status, 0), pid);
		if (WIFEXITED(status)) {
			CHECK_INT(WEXITSTATUS(status), 0);
			return FATE_DONE;
		}
		CHECK(WIFSTOPPED(status) && WSTOPSIG(status) == (SIGTRAP | 0x80));
	}
	CHECK_OK(kill(pid, SIGKILL));
	CHECK_INT(waitpid(pid, &status, 0), pid);
	return FATE_KILLED;
}

static size_t acknowledged(int fd)
{
	char buf[STORY_STEPS_MAX];
	ssize_t n = read(fd, buf, sizeof(buf));
	CHECK(n >= 0);
	return (size_t)n;
}

static void check_left(const Victim *v, size_t steps, unsigned at)
{
	Err err = ERR_INIT;
	const char *bad = NULL;
	Known before = v->known, possible[3];
	const Step *s = v->story;
	for (; steps > 0; steps--, s++)
		before = known_after(&before, s);
	Known after = known_after(&before, s);
	size_t n = known_possible(&before, &after, s, possible);
	_cleanup_(production_closep) Production *p = NULL;
	CHECK_OK(production_open(&disk_system, v->dir, &p, &err));
	CHECK_OK(production_recover(p, &err));
	for (size_t i = 0; i < n; i++) {
		bad = story_check(&disk_system, v->dir, &possible[i]);
		if (!bad)
			break;
	}
	if (bad)
		printf("# killed at %u, in %s: %s\n", at, step_name(s->kind), bad);
	CHECK(!bad);
	CHECK_INT(production_recover(p, &err), 0);
}

/* False: it was not killed any more. */
static Fate one(const char *scratch, const Step *before, const Step *story, unsigned at)
{
	int fds[2];
	char name[32];
	(void)snprintf(name, sizeof(name), "%u", at);
	_cleanup_free_ char *dir = path_join(scratch, name);
	Victim v = {.dir = dir, .story = story, .known = KNOWN_NOTHING};
	CHECK_OK(mkdir(dir, 0755));
	for (const Step *s = before; s->kind != STEP_END; s++)
		v.known = known_after(&v.known, s);
	do_steps(dir, before, -1);
	CHECK_OK(pipe(fds));
	pid_t pid = start(&v, fds[1]);
	Fate fate = kill_at(pid, at);
	close(fds[1]);
	if (fate != FATE_UNTRACED)
		check_left(&v, acknowledged(fds[0]), at);
	close(fds[0]);
	(void)scratch_clear(dir);
	return fate;
}

TEST(killed_at_any_system_call_it_leaves_the_old_or_the_new_one)
{
	static const Step nothing[] = {{STEP_END, 0}};
	static const Step adopted[] = {{STEP_WRITE, 0}, {STEP_ADOPT, 0}, {STEP_END, 0}};
	bool whole = getenv("DREAM_SOAK");
	int64_t began_us = clock_mono_us(&clock_system);
	if (!getenv("TMPDIR"))
		CHECK_OK(setenv("TMPDIR", scratch_root(), 0));
	SCRATCH(dir);
	unsigned n = 0;
	Fate fate = FATE_KILLED;
	for (; fate == FATE_KILLED; n++)
		fate = one(dir, whole ? nothing : adopted, whole ? story_whole : story_short, n);
	if (fate == FATE_UNTRACED)
		SKIP("processes may not be traced here");
	printf("# killed at %u places, 0 mixed; %.1f s\n", n - 1,
	       (double)(clock_mono_us(&clock_system) - began_us) / 1e6);
	CHECK(n > 300);
}
