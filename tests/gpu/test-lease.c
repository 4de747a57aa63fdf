/* The lease among real processes that are really killed. */
#include "gpu/lease.h"

#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/proc.h"
#include "base/rng.h"
#include "gpu/leaseinfo.h"
#include "test.h"

static const char uuid[] = "GPU-3c1f0d2e-0000-4000-8000-0123456789ab";

typedef struct Place {
	char dir[64], file[160];
} Place;

static Place place_make(void)
{
	Place p;
	snprintf(p.dir, sizeof(p.dir), "/tmp/test-lease-XXXXXX");
	CHECK(mkdtemp(p.dir));
	snprintf(p.file, sizeof(p.file), "%s/gpu-%s.lock", p.dir, uuid);
	return p;
}

static void place_remove(const Place *p)
{
	unlink(p->file);
	CHECK_INT(rmdir(p->dir), 0);
}

static int take(const Place *p, const char *purpose, Lease **l, char **holder)
{
	Err err = ERR_INIT;
	int r = lease_take(p->dir, uuid, purpose, l, holder, &err);
	if (r < 0)
		printf("# %s\n", err.msg);
	return r;
}

static void check_free(const Place *p)
{
	Lease *l = NULL;
	CHECK_INT(take(p, "a look", &l, NULL), 1);
	lease_release(l);
}

/* A process of the test: told when to go on by a byte, tells a pid by writing it. */
typedef struct Helper {
	pid_t pid;
	int from;
} Helper;

static pid_t hear_pid(const Helper *h)
{
	pid_t pid;
	CHECK(read(h->from, &pid, sizeof(pid)) == sizeof(pid));
	return pid;
}

static void tell_pid(int to, pid_t pid)
{
	if (write(to, &pid, sizeof(pid)) != sizeof(pid))
		_exit(9);
}

static Helper helper_start(void (*run)(const Place *p, int to), const Place *p)
{
	Helper h;
	int fds[2];
	CHECK_INT(pipe2(fds, O_CLOEXEC), 0);
	fflush(stdout);
	h.pid = fork();
	if (h.pid == 0) {
		run(p, fds[1]);
		_exit(0);
	}
	close(fds[1]);
	h.from = fds[0];
	return h;
}

static void helper_kill(Helper *h)
{
	kill(h->pid, SIGKILL);
	waitpid(h->pid, NULL, 0);
	close(h->from);
}

static int watch(pid_t pid)
{
	int fd = (int)syscall(SYS_pidfd_open, pid, 0);
	CHECK(fd >= 0);
	return fd;
}

static bool is_dead(int watched, int wait_ms)
{
	struct pollfd pfd = {.fd = watched, .events = POLLIN};
	return poll(&pfd, 1, wait_ms) == 1;
}

static _Noreturn void ignore_everything(void)
{
	for (int s = 1; s < NSIG; s++)
		signal(s, SIG_IGN);
	for (;;)
		pause();
}

/* --- Who may have it ------------------------------------------------------------------------- */

TEST(a_lease_is_had_once_and_again_after_its_release)
{
	Place p = place_make();
	Lease *a = NULL, *b = NULL;
	char *holder = NULL, me[32];
	CHECK_INT(take(&p, "experiment one", &a, &holder), 1);
	CHECK(!holder);
	CHECK_INT(take(&p, "experiment two", &b, &holder), 0);
	CHECK(!b);
	snprintf(me, sizeof(me), "process %d, ", (int)getpid());
	CHECK(strstr(holder, me) == holder);
	CHECK(strstr(holder, "experiment one"));
	free(holder);
	lease_release(a);
	CHECK_INT(take(&p, "experiment two", &b, NULL), 1);
	CHECK(fcntl(lease_fd(b), F_GETFD) & FD_CLOEXEC);
	lease_release(b);
	place_remove(&p);
}

TEST(two_gpus_are_two_leases)
{
	Place p = place_make();
	Lease *a = NULL, *b = NULL;
	char other[160];
	CHECK_INT(take(&p, "", &a, NULL), 1);
	CHECK_INT(lease_take(p.dir, "GPU-2", "", &b, NULL, NULL), 1);
	lease_release(a);
	lease_release(b);
	snprintf(other, sizeof(other), "%s/gpu-GPU-2.lock", p.dir);
	unlink(other);
	place_remove(&p);
}

static void hold(const Place *p, int to)
{
	Lease *l = NULL;
	if (lease_take(p->dir, uuid, "spica_gpu_allocation", &l, NULL, NULL) != 1)
		_exit(1);
	tell_pid(to, getpid());
	ignore_everything();
}

TEST(a_living_holder_keeps_it_and_is_named)
{
	Place p = place_make();
	Lease *l = NULL;
	char *holder = NULL, want[64];
	Helper h = helper_start(hold, &p);
	hear_pid(&h);
	CHECK_INT(take(&p, "x", &l, &holder), 0);
	snprintf(want, sizeof(want), "process %d, since 20", (int)h.pid);
	CHECK(strstr(holder, want));
	CHECK(strstr(holder, "for spica_gpu_allocation"));
	free(holder);
	CHECK_INT(kill(h.pid, 0), 0);
	helper_kill(&h);
	check_free(&p);
	place_remove(&p);
}

typedef struct Shared {
	int inside, entered, broken;
} Shared;

static void contend(const Place *p, Shared *s)
{
	for (int taken = 0; taken < 20;) {
		Lease *l = NULL;
		int r = lease_take(p->dir, uuid, "contest", &l, NULL, NULL);
		if (r < 0)
			_exit(1);
		if (r == 0)
			continue;
		if (__atomic_add_fetch(&s->inside, 1, __ATOMIC_SEQ_CST) != 1)
			s->broken = 1;
		sched_yield();
		__atomic_sub_fetch(&s->inside, 1, __ATOMIC_SEQ_CST);
		__atomic_add_fetch(&s->entered, 1, __ATOMIC_SEQ_CST);
		taken++;
		/* Half of them leave without a word, as a crash would. */
		if (taken % 2)
			close(lease_fd(l));
		lease_release(l);
	}
	_exit(0);
}

TEST(of_several_who_want_it_one_at_a_time_wins)
{
	Place p = place_make();
	Shared *s =
	    mmap(NULL, sizeof(*s), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	CHECK(s != MAP_FAILED);
	pid_t pids[4];
	for (int i = 0; i < 4; i++) {
		pids[i] = fork();
		if (pids[i] == 0)
			contend(&p, s);
	}
	for (int i = 0; i < 4; i++) {
		int status;
		CHECK_INT(waitpid(pids[i], &status, 0), pids[i]);
		CHECK_INT(status, 0);
	}
	CHECK_INT(s->entered, 80);
	CHECK_INT(s->broken, 0);
	munmap(s, sizeof(*s));
	place_remove(&p);
}

/* --- What a dead holder left ----------------------------------------------------------------- */

/* Its child has the descriptor, another session and deaf ears; nobody noted it. */
static void hold_with_unnoted_heir(const Place *p, int to)
{
	Lease *l = NULL;
	if (lease_take(p->dir, uuid, "x", &l, NULL, NULL) != 1)
		_exit(1);
	pid_t pid = fork();
	if (pid == 0) {
		setsid();
		tell_pid(to, getpid());
		ignore_everything();
	}
	pause();
}

static void open_without_lock(const Place *p, int to)
{
	if (open(p->file, O_RDWR | O_CLOEXEC) < 0)
		_exit(1);
	tell_pid(to, getpid());
	ignore_everything();
}

TEST(an_orphan_that_inherited_the_lock_is_killed_and_a_mere_waiter_is_not)
{
	Place p = place_make();
	Lease *l = NULL;
	Helper h = helper_start(hold_with_unnoted_heir, &p);
	int heir = watch(hear_pid(&h));
	Helper waiter = helper_start(open_without_lock, &p);
	int waiting = watch(hear_pid(&waiter));
	helper_kill(&h);
	CHECK_INT(take(&p, "next", &l, NULL), 1);
	CHECK(is_dead(heir, 10000));
	CHECK(!is_dead(waiting, 0));
	helper_kill(&waiter);
	lease_release(l);
	close(heir);
	close(waiting);
	place_remove(&p);
}

/* Its noted child closed the descriptor, as Python's subprocess does for its children. */
static void hold_with_noted_child(const Place *p, int to)
{
	Lease *l = NULL;
	int gate[2];
	char c;
	if (lease_take(p->dir, uuid, "x", &l, NULL, NULL) != 1 || pipe(gate) < 0)
		_exit(1);
	pid_t pid = fork();
	if (pid == 0) {
		setpgid(0, 0);
		close(lease_fd(l));
		pid_t member = fork();
		if (member == 0)
			ignore_everything();
		if (read(gate[0], &c, 1) == 1) {
			tell_pid(to, getpid());
			tell_pid(to, member);
		}
		ignore_everything();
	}
	setpgid(pid, pid);
	if (lease_note_child(l, pid, NULL) < 0 || write(gate[1], "", 1) != 1)
		_exit(1);
	pause();
}

TEST(a_noted_group_is_killed_even_when_it_let_the_lock_go)
{
	Place p = place_make();
	Lease *l = NULL;
	Helper h = helper_start(hold_with_noted_child, &p);
	int leader = watch(hear_pid(&h)), member = watch(hear_pid(&h));
	helper_kill(&h);
	CHECK(!is_dead(leader, 0));
	CHECK_INT(take(&p, "next", &l, NULL), 1);
	CHECK(is_dead(leader, 10000));
	CHECK(is_dead(member, 10000));
	lease_release(l);
	close(leader);
	close(member);
	place_remove(&p);
}

/* The descriptor goes through proc_spawn(), as with an evaluator. */
static void hold_with_evaluator(const Place *p, int to)
{
	Lease *l = NULL;
	Proc proc = PROC_INIT;
	if (lease_take(p->dir, uuid, "x", &l, NULL, NULL) != 1)
		_exit(1);
	int fd = lease_fd(l);
	ProcSpec s = {
	    .argv = (const char *const[]){"sh", "-c",
					  "trap '' TERM; setsid sleep 1000 & while :; do sleep 1; "
					  "done",
					  NULL},
	    .keep_fds = &fd,
	    .n_keep_fds = 1,
	    .stderr_fd = -1,
	};
	if (proc_spawn(&s, &proc, NULL) < 0)
		_exit(1);
	tell_pid(to, proc.pid);
	pause();
}

TEST(after_a_kill_of_the_runner_the_lease_comes_back_with_the_evaluator_gone)
{
	Place p = place_make();
	Helper h = helper_start(hold_with_evaluator, &p);
	int worker = watch(hear_pid(&h));
	helper_kill(&h);
	check_free(&p);
	CHECK(is_dead(worker, 0)); /* the guard has the lock until the last of them is dead */
	close(worker);
	place_remove(&p);
}

TEST(a_process_left_behind_by_a_holder_that_released_is_killed_too)
{
	Place p = place_make();
	Lease *l = NULL;
	CHECK_INT(take(&p, "first", &l, NULL), 1);
	pid_t pid = fork();
	if (pid == 0)
		ignore_everything();
	int heir = watch(pid);
	lease_release(l);
	CHECK_INT(take(&p, "second", &l, NULL), 1);
	CHECK(is_dead(heir, 10000));
	waitpid(pid, NULL, 0);
	lease_release(l);
	close(heir);
	place_remove(&p);
}

static void write_info(const Place *p, const LeaseInfo *info)
{
	int fd = open(p->file, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	CHECK(fd >= 0);
	CHECK_OK(leaseinfo_write(fd, info));
	close(fd);
}

/* A file of a holder that is dead, with one child: a process of ours, that lives. */
static LeaseInfo info_with_child(pid_t child)
{
	LeaseInfo info = {.leader = {.pid = 1 << 30, .start = 1}, .n_children = 1};
	ProcStat st;
	CHECK_OK(boot_id_read(info.boot_id));
	CHECK_OK(procstat_read(child, &st));
	info.children[0] = st.id;
	return info;
}

TEST(a_process_that_got_the_number_of_a_noted_one_is_left_alone)
{
	Place p = place_make();
	pid_t pid = fork();
	if (pid == 0) {
		setpgid(0, 0);
		ignore_everything();
	}
	setpgid(pid, pid);
	int bystander = watch(pid);

	LeaseInfo info = info_with_child(pid);
	info.children[0].start++;
	write_info(&p, &info);
	check_free(&p);
	CHECK(!is_dead(bystander, 0));

	info = info_with_child(pid);
	info.boot_id[0] = info.boot_id[0] == 'a' ? 'b' : 'a'; /* noted before a reboot */
	write_info(&p, &info);
	check_free(&p);
	CHECK(!is_dead(bystander, 0));

	info = info_with_child(pid); /* the same, unchanged: it is the noted one */
	write_info(&p, &info);
	check_free(&p);
	CHECK(is_dead(bystander, 10000));
	waitpid(pid, NULL, 0);
	close(bystander);
	place_remove(&p);
}

/* --- The file -------------------------------------------------------------------------------- */

static void put_text(const Place *p, const char *text)
{
	int fd = open(p->file, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	CHECK(write(fd, text, strlen(text)) == (ssize_t)strlen(text));
	close(fd);
}

TEST(garbage_in_the_file_stops_nobody)
{
	Place p = place_make();
	put_text(&p, "{\"schema\": \"dream.gpu-lease/v1\", \"pid\": 1, \"start\": 0}");
	check_free(&p); /* never believes that the init process is to be reclaimed */
	put_text(&p, "\x01\x02 not json");
	check_free(&p);
	place_remove(&p);
}

TEST(a_lease_text_cut_anywhere_or_with_a_flipped_bit_is_refused_or_read_never_worse)
{
	Place p = place_make();
	LeaseInfo info = {.leader = {.pid = 4000, .start = 77}, .n_children = 2}, back;
	info.children[0] = info.children[1] = (ProcId){.pid = 4001, .start = 78};
	snprintf(info.boot_id, sizeof(info.boot_id), "b");
	snprintf(info.purpose, sizeof(info.purpose), "p");
	write_info(&p, &info);
	char text[1024];
	int fd = open(p.file, O_RDONLY | O_CLOEXEC);
	ssize_t len = read(fd, text, sizeof(text));
	close(fd);
	CHECK(len > 0);
	CHECK_OK(leaseinfo_parse(text, (size_t)len, &back));
	CHECK_INT(back.leader.start, 77);
	CHECK_INT(back.n_children, 2);
	CHECK_INT(back.children[1].pid, 4001);
	for (ssize_t cut = 0; cut < len - 2; cut++)
		CHECK_ERR(leaseinfo_parse(text, (size_t)cut, &back), EBADMSG);
	for (uint64_t seed = 0; seed < 2000; seed++) {
		char broken[1024];
		Rng rng = {seed};
		memcpy(broken, text, (size_t)len);
		broken[rng_below(&rng, (uint64_t)len)] ^= (char)(1 << rng_below(&rng, 8));
		int r = leaseinfo_parse(broken, (size_t)len, &back);
		if (r != 0 && r != -EBADMSG)
			test_fail(__FILE__, __LINE__, "seed %" PRIu64 ": %d", seed, r);
		CHECK(r < 0 || (back.leader.pid > 1 && back.n_children <= LEASE_CHILDREN_MAX));
	}
	place_remove(&p);
}

TEST(folders_and_files_that_others_could_have_put_there_are_refused)
{
	Place p = place_make();
	Lease *l = NULL;
	Err err = ERR_INIT;
	char link_path[80];

	CHECK_INT(chmod(p.dir, 0777), 0);
	CHECK_ERR(lease_take(p.dir, uuid, "", &l, NULL, &err), EPERM);
	CHECK(strstr(err.msg, "chmod 700"));
	CHECK_INT(chmod(p.dir, 0700), 0);

	snprintf(link_path, sizeof(link_path), "%s-link", p.dir);
	CHECK_INT(symlink(p.dir, link_path), 0);
	CHECK(lease_take(link_path, uuid, "", &l, NULL, &err) < 0);
	unlink(link_path);

	CHECK_INT(symlink("/etc/passwd", p.file), 0);
	CHECK_ERR(lease_take(p.dir, uuid, "", &l, NULL, &err), ELOOP);
	unlink(p.file);

	CHECK_INT(mkdir(p.file, 0700), 0);
	CHECK(lease_take(p.dir, uuid, "", &l, NULL, &err) < 0);
	rmdir(p.file);

	CHECK_ERR(lease_take(p.dir, "../x", "", &l, NULL, &err), EINVAL);
	CHECK_ERR(lease_take(p.dir, "", "", &l, NULL, &err), EINVAL);
	CHECK(!l);
	place_remove(&p);
}

TEST(the_folder_is_made_for_us_alone)
{
	Place p = place_make();
	char sub[80], file[200];
	struct stat st;
	Lease *l = NULL;
	snprintf(sub, sizeof(sub), "%s/dream", p.dir);
	CHECK_INT(lease_take(sub, uuid, "", &l, NULL, NULL), 1);
	CHECK_INT(stat(sub, &st), 0);
	CHECK_INT(st.st_mode & 07777, 0700);
	lease_release(l);
	snprintf(file, sizeof(file), "%s/gpu-%s.lock", sub, uuid);
	unlink(file);
	rmdir(sub);
	place_remove(&p);
}

TEST(the_default_folder_follows_the_user)
{
	char *dir = NULL;
	setenv("XDG_RUNTIME_DIR", "/srv/run", 1);
	CHECK_OK(lease_default_dir(&dir, NULL));
	CHECK_STR(dir, "/srv/run/dream");
	free(dir);
	setenv("XDG_RUNTIME_DIR", "relative", 1);
	CHECK_OK(lease_default_dir(&dir, NULL));
	CHECK(dir[0] == '/');
	CHECK(strstr(dir, "dream"));
	free(dir);
}

TEST(a_login_session_and_a_cron_job_of_one_user_meet_in_one_folder)
{
	char *in_session = NULL, *in_cron = NULL;
	setenv("XDG_RUNTIME_DIR", "/run/user/7", 1);
	CHECK_OK(lease_default_dir(&in_session, NULL));
	unsetenv("XDG_RUNTIME_DIR");
	CHECK_OK(lease_default_dir(&in_cron, NULL));
	CHECK_STR(in_session, in_cron);
	free(in_session);
	free(in_cron);
}
