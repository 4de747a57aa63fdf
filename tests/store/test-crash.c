/* What is on the disk when the program is killed, the disk fills up, a call fails, or others write
 * at the same time. */
#include "fixture.h"

#include <sched.h>
#include <signal.h>
#include <sqlite3.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/wait.h>

enum {
	KILLS = 50,
	WRITERS = 4,
	EACH = 100,
};

static int count_ask(void *userdata, const StoreTold *t)
{
	int64_t *next = userdata;
	CHECK_INT(t->ask, *next);
	++*next;
	return 0;
}

/* Every trial of the experiment once, asks 0, 1, 2, ... without a gap, and the store is sound;
 * returns how many. */
static int64_t check_complete(const Fixture *f, Store *s, const char *experiment)
{
	int64_t n = 0;
	char *said = NULL;
	Err err = ERR_INIT;
	CHECK_OK(store_told(s, experiment, count_ask, &n, NULL));
	if (store_verify(s, NULL, 0, NULL, &said, &err) < 0)
		test_fail(__FILE__, __LINE__, "%s: %s", f->path, err.msg);
	free(said);
	return n;
}

/* --- kill -9 --------------------------------------------------------------------------------- */

/* Goes on from what is stored, tells the parent each ask number once it is durable. */
static void write_until_killed(Fixture *f, int out)
{
	Store *s = NULL;
	int64_t n = 0;
	if (store_open(f->path, STORE_WRITE, &f->clock, &s, NULL) < 0 ||
	    store_told(s, "gpu", count_ask, &n, NULL) < 0)
		_exit(1);
	for (;; n++) {
		StoreTrial t, *list[] = {&t};
		make_trial("gpu", n, &t);
		if (store_add_trials(s, list, 1, NULL) < 0 ||
		    write(out, &n, sizeof(n)) != (ssize_t)sizeof(n))
			_exit(1);
		store_trial_done(&t);
	}
}

/* Kills after `acks` acknowledgements and a little of the next trial; returns the last ask that was
 * acknowledged before the end. */
static int64_t kill_after(Fixture *f, int64_t acks, int64_t spin_us)
{
	int fds[2], status;
	int64_t last = -1, n;
	CHECK_INT(pipe2(fds, O_CLOEXEC), 0);
	pid_t pid = fork();
	if (pid == 0)
		write_until_killed(f, fds[1]);
	close(fds[1]);
	for (int64_t i = 0; i < acks; i++)
		CHECK_INT(read(fds[0], &last, sizeof(last)), sizeof(last));
	for (int64_t end = clock_mono_us(&clock_system) + spin_us;
	     clock_mono_us(&clock_system) < end;)
		;
	kill(pid, SIGKILL);
	while (read(fds[0], &n, sizeof(n)) == (ssize_t)sizeof(n))
		last = n;
	close(fds[0]);
	CHECK_INT(waitpid(pid, &status, 0), pid);
	CHECK(WIFSIGNALED(status));
	return last;
}

TEST(a_killed_writer_loses_nothing_that_it_acknowledged)
{
	Fixture f;
	fixture_paths(&f);
	Rng rng = {50};
	int64_t acknowledged = -1, rounds = 0;
	for (int i = 0; i < KILLS; i++) {
		int64_t acks = (int64_t)rng_below(&rng, 12);
		int64_t last = kill_after(&f, acks, (int64_t)rng_below(&rng, 400));
		acknowledged = last > acknowledged ? last : acknowledged;
		rounds++;
		if (i % 2) /* the next writer finds what the dead one left */
			continue;
		fixture_open(&f);
		int64_t n = check_complete(&f, f.store, "gpu");
		/* In each round one may have become durable before it was acknowledged. */
		CHECK(n > acknowledged && n <= acknowledged + 1 + rounds);
		acknowledged = n - 1;
		rounds = 0;
		f.store = store_close(f.store);
	}
	fixture_done(&f);
}

/* --- Several at once ------------------------------------------------------------------------- */

TEST(writers_side_by_side_lose_nothing_and_keep_one_chain)
{
	Fixture f;
	fixture_paths(&f);
	for (int i = 0; i < WRITERS; i++)
		if (fork() == 0) {
			char name[16];
			snprintf(name, sizeof(name), "e%d", i);
			fixture_open(&f); /* all of them find no store and make it */
			add_trials(f.store, name, 0, EACH);
			store_close(f.store);
			_exit(0);
		}
	int status;
	while (wait(&status) > 0)
		CHECK_INT(status, 0);
	fixture_open(&f);
	for (int i = 0; i < WRITERS; i++) {
		char name[16];
		snprintf(name, sizeof(name), "e%d", i);
		CHECK_INT(check_complete(&f, f.store, name), EACH);
	}
	int64_t seq;
	Hash h;
	CHECK_OK(store_head(f.store, &seq, &h, NULL));
	CHECK_INT(seq, WRITERS * EACH);
	fixture_done(&f);
}

TEST(two_stores_open_in_one_process_write_in_turn)
{
	Fixture f;
	fixture_new(&f);
	Store *other = NULL;
	CHECK_OK(store_open(f.path, STORE_WRITE, &f.clock, &other, NULL));
	for (int64_t i = 0; i < 10; i++) {
		add_trials(f.store, "a", i, 1);
		add_trials(other, "b", i, 1);
	}
	CHECK_INT(check_complete(&f, other, "a"), 10);
	CHECK_INT(check_complete(&f, f.store, "b"), 10);
	store_close(other);
	fixture_done(&f);
}

TEST(a_long_log_is_emptied_while_it_is_written)
{
	Fixture f;
	struct stat st;
	char log[128];
	fixture_new(&f);
	for (int64_t i = 0; i < 2500; i++)
		add_trials(f.store, "a", i, 1);
	snprintf(log, sizeof(log), "%s-wal", f.path);
	CHECK_INT(stat(log, &st), 0);
	CHECK(st.st_size < 12 << 20);
	CHECK_INT(check_complete(&f, f.store, "a"), 2500);
	fixture_done(&f);
}

/* --- The claim ------------------------------------------------------------------------------- */

TEST(one_experiment_has_one_runner_and_the_second_learns_who)
{
	Fixture f;
	fixture_paths(&f);
	StoreClaim *a = NULL, *b = NULL, *c = NULL;
	char *holder = NULL, pid[32];
	CHECK_INT(store_claim(f.path, "gpu", &a, &holder, NULL), 1);
	CHECK_INT(store_claim(f.path, "gpu", &b, &holder, NULL), 0);
	snprintf(pid, sizeof(pid), "process %ld, since 20", (long)getpid());
	CHECK(strncmp(holder, pid, strlen(pid)) == 0 && !strchr(holder, '\n'));
	free(holder);
	CHECK_INT(store_claim(f.path, "other", &c, &holder, NULL), 1);
	store_claim_release(a);
	CHECK_INT(store_claim(f.path, "gpu", &b, &holder, NULL), 1);
	store_claim_release(b);
	store_claim_release(c);
	CHECK_ERR(store_claim("/nowhere/dream.db", "gpu", &b, &holder, NULL), ENOENT);
	fixture_done(&f);
}

TEST(a_claim_ends_with_its_holder_even_if_its_children_live)
{
	Fixture f;
	fixture_paths(&f);
	StoreClaim *claim = NULL;
	char *holder = NULL;
	int alive[2], hold[2];
	CHECK_INT(pipe(alive), 0);
	CHECK_INT(pipe(hold), 0);
	pid_t pid = fork();
	if (pid == 0) {
		if (store_claim(f.path, "gpu", &claim, &holder, NULL) != 1)
			_exit(1);
		if (fork() == 0) { /* a worker, which outlives its parent */
			dup2(hold[0], STDIN_FILENO);
			execl("/bin/sh", "sh", "-c", "read x; exit", (char *)NULL);
			_exit(1);
		}
		(void)!write(alive[1], "x", 1);
		pause();
	}
	char x;
	CHECK_INT(read(alive[0], &x, 1), 1);
	CHECK_INT(store_claim(f.path, "gpu", &claim, &holder, NULL), 0);
	free(holder);
	kill(pid, SIGKILL);
	CHECK_INT(waitpid(pid, NULL, 0), pid);
	/* Between its fork and its exec the worker still holds the descriptor. */
	int r = 0;
	for (int64_t end = clock_mono_us(&clock_system) + 5000000;
	     r == 0 && clock_mono_us(&clock_system) < end;) {
		holder = NULL;
		r = store_claim(f.path, "gpu", &claim, &holder, NULL);
		free(holder);
	}
	CHECK_INT(r, 1);
	(void)!write(hold[1], "\n", 1);
	for (int i = 0; i < 2; i++) {
		close(alive[i]);
		close(hold[i]);
	}
	store_claim_release(claim);
	fixture_done(&f);
}

/* --- No room --------------------------------------------------------------------------------- */

/* Adds until it fails; returns how many were kept, or a negative errno that was not expected. */
static int64_t fill_up(Fixture *f, Err *err)
{
	for (int64_t n = 0; n < 100000; n++) {
		StoreTrial t, *list[] = {&t};
		make_trial("gpu", n, &t);
		int r = store_add_trials(f->store, list, 1, err);
		store_trial_done(&t);
		if (r == -ENOSPC)
			return n;
		if (r < 0)
			test_fail(__FILE__, __LINE__, "%s", err->msg);
	}
	return -1;
}

TEST(a_file_size_limit_is_an_error_in_words_and_loses_nothing)
{
	Fixture f;
	Err err = ERR_INIT;
	struct rlimit before, limit;
	fixture_new(&f);
	CHECK_INT(getrlimit(RLIMIT_FSIZE, &before), 0);
	limit = before;
	limit.rlim_cur = 300000;
	signal(SIGXFSZ, SIG_IGN);
	CHECK_INT(setrlimit(RLIMIT_FSIZE, &limit), 0);
	int64_t n = fill_up(&f, &err);
	CHECK_INT(setrlimit(RLIMIT_FSIZE, &before), 0);
	CHECK(n > 5);
	CHECK(strstr(err.msg, "ulimit -f") && strstr(err.msg, f.path));
	CHECK_INT(check_complete(&f, f.store, "gpu"), n);
	add_trials(f.store, "gpu", n, 3); /* with room again it goes on */
	CHECK_INT(check_complete(&f, f.store, "gpu"), n + 3);
	fixture_done(&f);
}

/* In a process of its own with a disk of its own. */
static int on_a_small_disk(void)
{
	Fixture f;
	Err err = ERR_INIT;
	fixture_paths(&f);
	if (unshare(CLONE_NEWNS) < 0 || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
	    mount("dream", f.dir, "tmpfs", 0, "size=600k") < 0) {
		rmdir(f.dir);
		return 77;
	}
	fixture_open(&f);
	int64_t n = fill_up(&f, &err);
	CHECK(n > 5);
	CHECK(strstr(err.msg, "the disk is full"));
	f.store = store_close(f.store);
	CHECK_INT(mount("dream", f.dir, "tmpfs", MS_REMOUNT, "size=4m"), 0);
	fixture_open(&f);
	CHECK_INT(check_complete(&f, f.store, "gpu"), n);
	add_trials(f.store, "gpu", n, 3);
	CHECK_INT(check_complete(&f, f.store, "gpu"), n + 3);
	f.store = store_close(f.store);
	umount(f.dir);
	rmdir(f.dir);
	return 0;
}

TEST(a_full_disk_is_an_error_in_words_and_loses_nothing)
{
	int status;
	fflush(stdout);
	pid_t pid = fork();
	if (pid == 0)
		_exit(on_a_small_disk());
	CHECK_INT(waitpid(pid, &status, 0), pid);
	if (WIFEXITED(status) && WEXITSTATUS(status) == 77)
		SKIP("a small disk needs the right to mount");
	CHECK_INT(status, 0);
}

/* --- Files that are not what they should be ----------------------------------------------------
 */

static void check_refused(const Fixture *f, StoreMode mode, int want, const char *words)
{
	Store *s = NULL;
	Err err = ERR_INIT;
	int r = store_open(f->path, mode, &f->clock, &s, &err);
	if (r != -want || !strstr(err.msg, words) || !strstr(err.msg, f->path))
		test_fail(__FILE__, __LINE__, "%d, want %d: %s", r, -want, err.msg);
}

static void put(const Fixture *f, const void *data, size_t len)
{
	FILE *file = fopen(f->path, "w");
	CHECK(file && fwrite(data, 1, len, file) == len && fclose(file) == 0);
}

static void put_sql(const Fixture *f, const char *sql)
{
	sqlite3 *db = NULL;
	CHECK_INT(sqlite3_open(f->path, &db), SQLITE_OK);
	CHECK_INT(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
	CHECK_INT(sqlite3_close(db), SQLITE_OK);
}

TEST(what_is_not_a_store_is_refused_in_words_and_left_alone)
{
	Fixture f;
	fixture_paths(&f);
	static char text[9000];
	memset(text, 'x', sizeof(text));
	check_refused(&f, STORE_READ, ENOENT, "No such file");
	put(&f, text, sizeof(text));
	check_refused(&f, STORE_READ, EBADMSG, "not a store");
	check_refused(&f, STORE_WRITE, EBADMSG, "not a store");
	put(&f, text, 0);
	check_refused(&f, STORE_READ, ENOENT, "nothing was run with it yet");
	CHECK_INT(unlink(f.path), 0);
	put_sql(&f, "CREATE TABLE record (x)");
	check_refused(&f, STORE_READ, EBADMSG, "not a store of this program");
	check_refused(&f, STORE_WRITE, EBADMSG, "not a store of this program");
	CHECK_INT(unlink(f.path), 0);
	fixture_open(&f);
	f.store = store_close(f.store);
	put_sql(&f, "PRAGMA user_version = 1000");
	check_refused(&f, STORE_READ, EPROTO, "newer version");
	check_refused(&f, STORE_WRITE, EPROTO, "newer version");
	fixture_done(&f);
}

/* As somebody who may read the store and write nothing. */
static int as_a_guest(Fixture *f, bool open_elsewhere)
{
	Store *s = NULL;
	Err err = ERR_INIT;
	if (geteuid() == 0 && (setgid(65534) < 0 || setuid(65534) < 0))
		return 77;
	CHECK(store_open(f->path, STORE_WRITE, &f->clock, &s, &err) < 0);
	CHECK(strstr(err.msg, "cannot write the store"));
	if (store_open(f->path, STORE_READ, &f->clock, &s, &err) < 0)
		test_fail(__FILE__, __LINE__, "%d %s", open_elsewhere, err.msg);
	CHECK_INT(check_complete(f, s, "gpu"), 9);
	store_close(s);
	return 0;
}

TEST(a_guest_reads_a_store_in_a_directory_that_it_cannot_write)
{
	Fixture f;
	int status;
	fixture_new(&f);
	add_trials(f.store, "gpu", 0, 9);
	for (int open_elsewhere = 1; open_elsewhere >= 0; open_elsewhere--) {
		if (!open_elsewhere)
			f.store = store_close(f.store);
		char lock[128];
		snprintf(lock, sizeof(lock), "%s.lock", f.path);
		CHECK_INT(chmod(lock, 0444), 0);
		CHECK_INT(chmod(f.dir, 0555), 0);
		fflush(stdout);
		pid_t pid = fork();
		if (pid == 0)
			_exit(as_a_guest(&f, open_elsewhere));
		CHECK_INT(waitpid(pid, &status, 0), pid);
		CHECK_INT(chmod(f.dir, 0755), 0);
		CHECK_INT(status, 0);
	}
	fixture_done(&f);
}

/* --- Every call that can fail, fails -----------------------------------------------------------
 */

/* SQLite's way to the disk, with a fault at the k-th write, sync or truncation. */
typedef struct Faults {
	sqlite3_vfs vfs;
	sqlite3_vfs *real;
	int64_t calls, fail_at; /* 0: never */
} Faults;

typedef struct FaultFile {
	sqlite3_file base;
	Faults *faults;
	sqlite3_io_methods methods;
	sqlite3_file *real; /* in the memory behind this struct */
} FaultFile;

static bool due(sqlite3_file *file)
{
	Faults *x = ((FaultFile *)file)->faults;
	return ++x->calls == x->fail_at;
}

static sqlite3_file *real_of(sqlite3_file *file)
{
	return ((FaultFile *)file)->real;
}

static int fault_write(sqlite3_file *f, const void *data, int n, sqlite3_int64 at)
{
	return due(f) ? SQLITE_IOERR_WRITE : real_of(f)->pMethods->xWrite(real_of(f), data, n, at);
}

static int fault_sync(sqlite3_file *f, int flags)
{
	return due(f) ? SQLITE_IOERR_FSYNC : real_of(f)->pMethods->xSync(real_of(f), flags);
}

static int fault_truncate(sqlite3_file *f, sqlite3_int64 n)
{
	return due(f) ? SQLITE_IOERR_TRUNCATE : real_of(f)->pMethods->xTruncate(real_of(f), n);
}

static int pass_close(sqlite3_file *f)
{
	return real_of(f)->pMethods->xClose(real_of(f));
}

static int pass_read(sqlite3_file *f, void *data, int n, sqlite3_int64 at)
{
	return real_of(f)->pMethods->xRead(real_of(f), data, n, at);
}

static int pass_size(sqlite3_file *f, sqlite3_int64 *n)
{
	return real_of(f)->pMethods->xFileSize(real_of(f), n);
}

static int pass_lock(sqlite3_file *f, int level)
{
	return real_of(f)->pMethods->xLock(real_of(f), level);
}

static int pass_unlock(sqlite3_file *f, int level)
{
	return real_of(f)->pMethods->xUnlock(real_of(f), level);
}

static int pass_reserved(sqlite3_file *f, int *ret)
{
	return real_of(f)->pMethods->xCheckReservedLock(real_of(f), ret);
}

static int pass_control(sqlite3_file *f, int op, void *arg)
{
	return real_of(f)->pMethods->xFileControl(real_of(f), op, arg);
}

static int pass_sector(sqlite3_file *f)
{
	return real_of(f)->pMethods->xSectorSize(real_of(f));
}

static int pass_device(sqlite3_file *f)
{
	return real_of(f)->pMethods->xDeviceCharacteristics(real_of(f));
}

static int pass_shm_map(sqlite3_file *f, int page, int size, int extend, void volatile **ret)
{
	return real_of(f)->pMethods->xShmMap(real_of(f), page, size, extend, ret);
}

static int pass_shm_lock(sqlite3_file *f, int at, int n, int flags)
{
	return real_of(f)->pMethods->xShmLock(real_of(f), at, n, flags);
}

static void pass_shm_barrier(sqlite3_file *f)
{
	real_of(f)->pMethods->xShmBarrier(real_of(f));
}

static int pass_shm_unmap(sqlite3_file *f, int del)
{
	return real_of(f)->pMethods->xShmUnmap(real_of(f), del);
}

static int fault_open(sqlite3_vfs *vfs, sqlite3_filename name, sqlite3_file *file, int flags,
		      int *out_flags)
{
	Faults *x = (Faults *)vfs;
	FaultFile *f = (FaultFile *)file;
	*f = (FaultFile){.faults = x, .real = (sqlite3_file *)(f + 1)};
	if (++x->calls == x->fail_at)
		return SQLITE_CANTOPEN;
	int rc = x->real->xOpen(x->real, name, f->real, flags, out_flags);
	if (rc != SQLITE_OK)
		return rc;
	f->methods = (sqlite3_io_methods){.iVersion = 2,
					  .xClose = pass_close,
					  .xRead = pass_read,
					  .xWrite = fault_write,
					  .xTruncate = fault_truncate,
					  .xSync = fault_sync,
					  .xFileSize = pass_size,
					  .xLock = pass_lock,
					  .xUnlock = pass_unlock,
					  .xCheckReservedLock = pass_reserved,
					  .xFileControl = pass_control,
					  .xSectorSize = pass_sector,
					  .xDeviceCharacteristics = pass_device,
					  .xShmMap = pass_shm_map,
					  .xShmLock = pass_shm_lock,
					  .xShmBarrier = pass_shm_barrier,
					  .xShmUnmap = pass_shm_unmap};
	f->base.pMethods = &f->methods;
	return SQLITE_OK;
}

/* Opens and adds 3 trials, going on after a failure as a runner that was started again would.
 * Returns how many adds said that the trial is kept. */
static int64_t try_three(Fixture *f)
{
	int64_t kept = 0;
	Err err = ERR_INIT;
	if (store_open(f->path, STORE_WRITE, &f->clock, &f->store, &err) < 0) {
		CHECK(strlen(err.msg) > 0);
		return 0;
	}
	for (int64_t i = 0; i < 3; i++) {
		StoreTrial t, *list[] = {&t};
		make_trial("gpu", kept, &t);
		int r = store_add_trials(f->store, list, 1, &err);
		CHECK(r == 0 || strlen(err.msg) > 0);
		kept += r == 0;
		store_trial_done(&t);
	}
	f->store = store_close(f->store);
	return kept;
}

TEST(whichever_call_fails_nothing_kept_is_lost)
{
	Faults x = {.real = sqlite3_vfs_find(NULL)};
	CHECK(x.real);
	x.vfs = *x.real;
	x.vfs.szOsFile = (int)sizeof(FaultFile) + x.real->szOsFile;
	x.vfs.zName = "dream-faults";
	x.vfs.xOpen = fault_open;
	x.vfs.pNext = NULL;
	CHECK_INT(sqlite3_vfs_register(&x.vfs, 1), SQLITE_OK);
	int64_t k = 1;
	for (bool fired = true; fired; k++) {
		Fixture f;
		fixture_paths(&f);
		x.calls = 0;
		x.fail_at = k;
		int64_t kept = try_three(&f);
		fired = x.calls >= k;
		x.fail_at = 0;
		fixture_open(&f);
		CHECK_INT(check_complete(&f, f.store, "gpu"), kept);
		add_trials(f.store, "gpu", kept, 2);
		CHECK_INT(check_complete(&f, f.store, "gpu"), kept + 2);
		fixture_done(&f);
	}
	CHECK(k > 30); /* it did go through many calls */
	sqlite3_vfs_unregister(&x.vfs);
}
