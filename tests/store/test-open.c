/* Opening, when others do so too. */
#include <sys/wait.h>

#include "fixture.h"

/* Each waits for the others at a pipe, then all make the store at once. */
static int make_store_at_once(const Fixture *f, int gate)
{
	Err err = ERR_INIT;
	Store *s = NULL;
	char go;
	if (read(gate, &go, 1) != 0)
		return 2;
	if (store_open(f->path, STORE_WRITE, &clock_system, &s, &err) < 0) {
		fprintf(stderr, "# %s\n", err.msg);
		return 1;
	}
	(void)store_close(s);
	return 0;
}

TEST(programs_that_make_one_store_at_the_same_moment_all_get_it)
{
	enum {
		PROGRAMS = 6,
		ROUNDS = 25
	};
	for (int round = 0; round < ROUNDS; round++) {
		Fixture f;
		fixture_paths(&f);
		int gate[2], status;
		pid_t pids[PROGRAMS];
		CHECK_OK(pipe(gate));
		for (int i = 0; i < PROGRAMS; i++) {
			pids[i] = fork();
			if (pids[i] == 0) {
				close(gate[1]);
				_exit(make_store_at_once(&f, gate[0]));
			}
		}
		close(gate[0]);
		close(gate[1]);
		for (int i = 0; i < PROGRAMS; i++) {
			CHECK_INT(waitpid(pids[i], &status, 0), pids[i]);
			CHECK_INT(status, 0);
		}
		fixture_done(&f);
	}
}
