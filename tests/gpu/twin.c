#include "twin.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "test.h"

Twin twin_make(void)
{
	Twin t = {.path = "/tmp/test-twin-gpu-XXXXXX"};
	int fd = mkstemp(t.path);
	CHECK(fd >= 0);
	close(fd);
	CHECK_OK(shared_open(t.path, true, &t.gpu));
	CHECK_OK(shared_describe(t.gpu, TWIN_UUID, "Twin of a card", (int64_t)TWIN_TOTAL_MIB << 20,
				 .05));
	CHECK_INT(setenv("TWIN_GPU", t.path, 1), 0);
	return t;
}

void twin_remove(Twin *t)
{
	shared_close(t->gpu);
	unlink(t->path);
	unsetenv("TWIN_GPU");
}

typedef struct Order {
	enum {
		TAKE,
		BUSY
	} what;
	int64_t mib;
	double busy;
} Order;

static int obey(SharedGpu *gpu, const Order *o)
{
	struct timespec now;
	if (o->what == TAKE)
		return shared_take(gpu, o->mib * (1 << 20));
	clock_gettime(CLOCK_MONOTONIC, &now);
	shared_busy(gpu, o->busy, (int64_t)now.tv_sec * 1000000 + 60000000);
	return 0;
}

_Noreturn static void guest_main(const char *path, bool graphics, int in, int out)
{
	SharedGpu *gpu;
	Order o;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (shared_open(path, false, &gpu) < 0)
		_exit(1);
	shared_name(gpu, "guest", graphics);
	while (read(in, &o, sizeof(o)) == sizeof(o)) {
		int r = obey(gpu, &o);
		if (write(out, &r, sizeof(r)) != sizeof(r))
			_exit(2);
	}
	_exit(0);
}

static void order(const Guest *g, Order o)
{
	int r;
	CHECK(write(g->to, &o, sizeof(o)) == sizeof(o));
	CHECK(read(g->from, &r, sizeof(r)) == sizeof(r));
	CHECK_OK(r);
}

Guest guest_start(const Twin *t, int64_t mib, bool graphics)
{
	int in[2], out[2];
	CHECK_INT(pipe2(in, 0), 0);
	CHECK_INT(pipe2(out, 0), 0);
	fflush(stdout);
	pid_t pid = fork();
	CHECK(pid >= 0);
	if (pid == 0) {
		close(in[1]);
		close(out[0]);
		guest_main(t->path, graphics, in[0], out[1]);
	}
	close(in[0]);
	close(out[1]);
	Guest g = {pid, in[1], out[0]};
	order(&g, (Order){.what = TAKE, .mib = mib});
	return g;
}

void guest_take(const Guest *g, int64_t mib)
{
	order(g, (Order){.what = TAKE, .mib = mib});
}

void guest_busy(const Guest *g, double busy)
{
	order(g, (Order){.what = BUSY, .busy = busy});
}

void guest_end(const Guest *g)
{
	kill(g->pid, SIGKILL);
	waitpid(g->pid, NULL, 0);
	close(g->to);
	close(g->from);
}
