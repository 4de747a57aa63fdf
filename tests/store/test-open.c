/* Opening, when others do so too. */
#include <signal.h>
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

/* As any program on SQLite that is in the middle of a write. */
static pid_t keep_to_itself(const Fixture *f)
{
	char path[128], byte = 0;
	int held[2];
	struct flock l = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 120, .l_len = 1};
	snprintf(path, sizeof(path), "%s-shm", f->path);
	CHECK_OK(pipe(held));
	pid_t pid = fork();
	if (pid == 0) {
		int fd = open(path, O_RDWR | O_CLOEXEC);
		byte = fd >= 0 && fcntl(fd, F_SETLK, &l) == 0;
		(void)!write(held[1], &byte, 1);
		for (;;)
			pause();
	}
	CHECK_INT(read(held[0], &byte, 1), 1);
	CHECK_INT(byte, 1);
	close(held[0]);
	close(held[1]);
	return pid;
}

TEST(who_is_in_a_hurry_does_not_wait_for_another_program)
{
	Fixture f;
	int status;
	Err err = ERR_INIT;
	json_auto_t *note = json_pack("{s:s}", "words", "a note");
	fixture_paths(&f);
	fixture_open(&f);
	CHECK_OK(store_add(f.store, "note", "dream.note/v1", note, NULL, NULL));
	pid_t pid = keep_to_itself(&f);
	store_patience(f.store, 50000);
	int64_t began = clock_mono_us(&clock_system);
	CHECK_ERR(store_add(f.store, "note", "dream.note/v1", note, NULL, &err), EBUSY);
	CHECK(clock_mono_us(&clock_system) - began < 10000000);
	CHECK_INT(kill(pid, SIGKILL), 0);
	CHECK_INT(waitpid(pid, &status, 0), pid);
	store_patience(f.store, 0);
	CHECK_OK(store_add(f.store, "note", "dream.note/v1", note, NULL, NULL));
	fixture_done(&f);
}
