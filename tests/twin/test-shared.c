/* Many processes on one card: the sum never exceeds it, and whoever is killed holds nothing. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/rng.h"
#include "test.h"
#include "twin/shared.h"

enum {
	CHILDREN = 12,
	ROUNDS = 60,
};
#define TOTAL INT64_C(1000000)

typedef struct Place {
	char dir[64], card[96];
} Place;

static Place place(void)
{
	Place p = {.dir = "/tmp/dream-shared-XXXXXX"};
	CHECK(mkdtemp(p.dir));
	snprintf(p.card, sizeof(p.card), "%s/card", p.dir);
	return p;
}

static void leave(const Place *p)
{
	unlink(p->card);
	CHECK_OK(rmdir(p->dir));
}

static SharedGpu *open_card(const Place *p)
{
	SharedGpu *g = NULL;
	CHECK_OK(shared_open(p->card, true, &g));
	CHECK_OK(shared_describe(g, "GPU-x", "card", TOTAL, 0.25));
	return g;
}

/* Takes and gives for ever; a sum above the card, seen by anybody, ends it with a word. */
_Noreturn static void take_and_give(const Place *p, uint64_t seed)
{
	SharedGpu *g = NULL;
	Rng rng = {seed};
	int64_t held = 0;
	if (shared_open(p->card, false, &g) < 0)
		_exit(2);
	for (;;) {
		int64_t bytes = (int64_t)rng_below(&rng, TOTAL / 4);
		if (held == 0 && shared_take(g, bytes) == 0)
			held = bytes;
		else if (held > 0 && shared_take(g, -held) == 0)
			held = 0;
		if (shared_used_bytes(g) > TOTAL || shared_own_bytes(g) != held)
			_exit(3);
	}
}

static pid_t start(const Place *p, uint64_t seed)
{
	pid_t pid = fork();
	CHECK(pid >= 0);
	if (pid == 0)
		take_and_give(p, seed);
	return pid;
}

TEST(killed_at_any_moment_processes_leave_nothing_and_wedge_nobody)
{
	Place p = place();
	SharedGpu *g = open_card(&p);
	Rng rng = {1};
	pid_t pids[CHILDREN];
	for (size_t i = 0; i < CHILDREN; i++)
		pids[i] = start(&p, i + 1);
	for (int round = 0; round < ROUNDS; round++) {
		size_t i = rng_below(&rng, CHILDREN);
		struct timespec pause = {0, (long)rng_below(&rng, 2000000)};
		int status;
		nanosleep(&pause, NULL);
		CHECK_OK(kill(pids[i], SIGKILL));
		CHECK(waitpid(pids[i], &status, 0) == pids[i]);
		CHECK(WIFSIGNALED(status)); /* it saw nothing wrong until then */
		CHECK(shared_used_bytes(g) <= TOTAL);
		pids[i] = start(&p, (uint64_t)(CHILDREN + round));
	}
	for (size_t i = 0; i < CHILDREN; i++) {
		int status;
		CHECK_OK(kill(pids[i], SIGKILL));
		CHECK(waitpid(pids[i], &status, 0) == pids[i]);
		CHECK(WIFSIGNALED(status));
	}
	CHECK_INT(shared_used_bytes(g), 0);
	CHECK_OK(shared_take(g, TOTAL));
	shared_close(g);
	leave(&p);
}

TEST(a_dead_process_that_nobody_has_reaped_holds_nothing)
{
	Place p = place();
	SharedGpu *g = open_card(&p);
	int ready[2];
	char byte;
	CHECK_OK(pipe(ready));
	pid_t pid = fork();
	if (pid == 0) {
		SharedGpu *own = NULL;
		bool fine = shared_open(p.card, false, &own) == 0 && shared_take(own, TOTAL) == 0 &&
			    write(ready[1], "x", 1) == 1;
		if (fine)
			pause();
		_exit(1);
	}
	CHECK(read(ready[0], &byte, 1) == 1);
	CHECK_INT(shared_used_bytes(g), TOTAL);
	CHECK_ERR(shared_take(g, 1), ENOMEM);
	CHECK_OK(kill(pid, SIGKILL));
	siginfo_t info;
	CHECK_OK(waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT));
	CHECK_INT(shared_used_bytes(g), 0);
	CHECK(waitpid(pid, NULL, 0) == pid);
	close(ready[0]);
	close(ready[1]);
	shared_close(g);
	leave(&p);
}

TEST(what_does_not_fit_changes_nothing_and_no_more_is_given_than_was_taken)
{
	Place p = place();
	SharedGpu *g = open_card(&p);
	CHECK_OK(shared_take(g, 600000));
	CHECK_ERR(shared_take(g, 400001), ENOMEM);
	CHECK_ERR(shared_take(g, INT64_MAX), ENOMEM);
	CHECK_INT(shared_own_bytes(g), 600000);
	CHECK_OK(shared_take(g, 400000));
	CHECK_OK(shared_take(g, INT64_MIN));
	CHECK_INT(shared_used_bytes(g), 0);
	shared_close(g);
	leave(&p);
}

TEST(another_box_does_not_get_the_card_and_another_file_is_none)
{
	Place p = place();
	SharedGpu *g = open_card(&p), *other = NULL;
	CHECK_ERR(shared_describe(g, "GPU-y", "card", TOTAL, 0.25), EEXIST);
	CHECK_ERR(shared_describe(g, "GPU-x", "card", TOTAL + 1, 0.25), EEXIST);
	shared_close(g);
	CHECK_OK(unlink(p.card));
	CHECK_ERR(shared_open(p.card, false, &other), ENOENT);
	int fd = open(p.card, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
	CHECK(fd >= 0 && write(fd, "a letter", 8) == 8);
	close(fd);
	CHECK_ERR(shared_open(p.card, true, &other), EBADMSG);
	leave(&p);
}

TEST(others_that_compute_stretch_our_work_until_they_stop_or_their_time_is_over)
{
	Place p = place();
	SharedGpu *g = open_card(&p);
	int to[2], from[2];
	char byte;
	CHECK_OK(pipe(to));
	CHECK_OK(pipe(from));
	pid_t pid = fork();
	if (pid == 0) {
		SharedGpu *own = NULL;
		if (shared_open(p.card, false, &own) < 0)
			_exit(1);
		/* Busy when it is told a digit: for ever, or until a moment that is past. */
		while (read(to[0], &byte, 1) == 1) {
			shared_busy(own, byte == '0' ? 0 : 0.5, byte == '2' ? 1 : INT64_MAX);
			if (write(from[1], "x", 1) != 1)
				_exit(1);
		}
		_exit(0);
	}
	struct pollfd watch = {.fd = shared_watch(g), .events = POLLIN};
	CHECK_OK(shared_take(g, 1)); /* there is somebody to tell */
	CHECK_NEAR(shared_stretch(g, 0.8), 1, 0);
	const char *const steps = "120";
	for (int i = 0; steps[i]; i++) {
		CHECK(write(to[1], &steps[i], 1) == 1 && read(from[0], &byte, 1) == 1);
		/* 0.2 + 0.8 x 1.5 x 1.25 */
		CHECK_NEAR(shared_stretch(g, 0.8), steps[i] == '1' ? 1.7 : 1, 1e-9);
		if (steps[i] != '2') {
			CHECK_INT(poll(&watch, 1, 5000), 1);
			shared_calm(g);
		}
	}
	CHECK_OK(kill(pid, SIGKILL));
	CHECK(waitpid(pid, NULL, 0) == pid);
	for (int i = 0; i < 2; i++) {
		close(to[i]);
		close(from[i]);
	}
	shared_close(g);
	leave(&p);
}

TEST(a_card_that_fell_off_the_bus_gives_no_memory)
{
	Place p = place();
	SharedGpu *g = open_card(&p);
	CHECK_OK(shared_take(g, 5));
	for (uint64_t xid = 1; xid <= 40; xid++)
		shared_xid(g, xid);
	CHECK_INT(g->present, 1);
	shared_xid(g, 79);
	CHECK_INT(g->present, 0);
	CHECK_INT(g->n_xids, 41);
	CHECK_INT(g->xids[40 % SHARED_XIDS_MAX], 79);
	CHECK_ERR(shared_take(g, 1), ENODEV);
	CHECK_OK(shared_take(g, -5));
	shared_close(g);
	leave(&p);
}
