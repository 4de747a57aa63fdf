#include "gpu/lease.h"

#include <ctype.h>
#include <fcntl.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/str.h"
#include "gpu/leaseinfo.h"

enum {
	UUID_MAX = 96,
	/* A dead holder's guard needs a moment to kill its family by itself. */
	GRACE_US = 250000,
	RECLAIM_US = 5000000,
	STEP_MS = 10,
};

#define MACHINE_DIR "/run/dream" /* its owner is the machine's daemon, where there is one */

struct Lease {
	int fd;
	LeaseInfo info;
};

/* --- The file -------------------------------------------------------------------------------- */

/* The folder of a login session is no place for a lease: cron and services of the same user do not
 * have it, and it is removed at the last logout, while a run may go on. */
static bool lasts(const char *runtime)
{
	return runtime && *runtime == '/' && strncmp(runtime, "/run/user/", 10) != 0;
}

static bool is_ours(const char *dir)
{
	struct stat st;
	return lstat(dir, &st) == 0 && S_ISDIR(st.st_mode) && st.st_uid == geteuid();
}

int lease_default_dir(char **ret, Err *err)
{
	const char *runtime = getenv("XDG_RUNTIME_DIR");
	char *dir;

	if (lasts(runtime))
		dir = path_join(runtime, "dream");
	else if (geteuid() == 0 || is_ours(MACHINE_DIR)) /* root and the machine's daemon */
		dir = strdup(MACHINE_DIR);
	else
		dir = str_fmt("/tmp/dream-%u", (unsigned)geteuid());
	if (!dir)
		return err_oom(err);
	*ret = dir;
	return 0;
}

/* Nobody else may be able to put a file or link of theirs in our place; but root takes its turn
 * with whoever's the folder is, and opens nothing there but plain files. */
static int open_dir(const char *dir, int *ret, Err *err)
{
	struct stat st;
	int r = dir_make(dir, 0700, err);
	if (r < 0)
		return err_wrap(err, r, "cannot make the folder of GPU leases");
	int fd = open(dir, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return err_set(err, -errno, "cannot open the folder of GPU leases %s: %s", dir,
			       strerror(errno));
	if (fstat(fd, &st) < 0)
		r = err_set(err, -errno, "cannot look at %s: %s", dir, strerror(errno));
	else if (st.st_uid != geteuid() && st.st_uid != 0 && geteuid() != 0)
		r = err_set(err, -EPERM,
			    "the folder of GPU leases %s belongs to user %u, not to us; remove it "
			    "or set XDG_RUNTIME_DIR",
			    dir, (unsigned)st.st_uid);
	else if (st.st_mode & 022)
		r = err_set(err, -EPERM,
			    "the folder of GPU leases %s can be written by others; chmod 700 it",
			    dir);
	if (r < 0) {
		close(fd);
		return r;
	}
	*ret = fd;
	return 0;
}

static bool uuid_is_name(const char *uuid)
{
	size_t n = strlen(uuid);
	for (size_t i = 0; i < n; i++)
		if (!isalnum((unsigned char)uuid[i]) && uuid[i] != '-' && uuid[i] != '_')
			return false;
	return n > 0 && n <= UUID_MAX;
}

/* What root makes the folder's owner can take, too. */
static void give(int dir_fd, int fd, const struct stat *st)
{
	struct stat dir;
	if (st->st_uid == 0 && st->st_size == 0 && fstat(dir_fd, &dir) == 0 && dir.st_uid != 0)
		(void)!fchown(fd, dir.st_uid, dir.st_gid);
}

static int open_file(int dir_fd, const char *name, Err *err)
{
	struct stat st;
	int fd = openat(dir_fd, name, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return err_set(err, -errno, "cannot open the GPU lease %s: %s", name,
			       strerror(errno));
	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || st.st_nlink != 1) {
		close(fd);
		return err_set(err, -EPERM, "the GPU lease %s is not a regular file; remove it",
			       name);
	}
	give(dir_fd, fd, &st);
	return fd;
}

/* Somebody may have cleaned the folder between our open and our lock: then we hold the lock of a
 * file that nobody else will ever open. */
static bool is_named(int dir_fd, const char *name, int fd)
{
	struct stat a, b;
	return fstat(fd, &a) == 0 && fstatat(dir_fd, name, &b, AT_SYMLINK_NOFOLLOW) == 0 &&
	       a.st_ino == b.st_ino && a.st_dev == b.st_dev;
}

/* --- What a dead holder left ----------------------------------------------------------------- */

typedef struct Leftovers {
	const LeaseInfo *info;
	bool this_boot;
	bool by_lock; /* somebody still has its lock */
	ino_t inode;
} Leftovers;

static bool is_recorded(const LeaseInfo *info, const ProcStat *st)
{
	for (size_t i = 0; i < info->n_children; i++) {
		const ProcId *c = &info->children[i];
		ProcStat leader;
		if (st->group != c->pid && st->session != c->pid)
			continue;
		/* The group is the recorded one only while its leader, even as a zombie, is. */
		if (procstat_read(c->pid, &leader) == 0 && leader.id.start == c->start)
			return true;
	}
	return false;
}

/* A process of the dead holder: of a group that it noted, or one that has its lock, which cannot be
 * had but by inheritance. */
static bool is_leftover(void *ctx, const ProcStat *st)
{
	const Leftovers *l = ctx;
	const ProcId *leader = &l->info->leader;

	if (!l->this_boot || (st->id.pid == leader->pid && st->id.start == leader->start))
		return false;
	return is_recorded(l->info, st) ||
	       (l->by_lock && process_holds_flock(st->id.pid, l->inode, leader->pid));
}

static Leftovers leftovers_of(const LeaseInfo *info, int fd, bool by_lock)
{
	char boot[BOOT_ID_SIZE];
	struct stat st = {0};
	(void)fstat(fd, &st);
	return (Leftovers){
	    .info = info,
	    .this_boot = boot_id_read(boot) == 0 && strcmp(boot, info->boot_id) == 0,
	    .by_lock = by_lock,
	    .inode = st.st_ino,
	};
}

static bool holder_lives(const LeaseInfo *info, int fd)
{
	return leftovers_of(info, fd, false).this_boot && !info->released &&
	       procid_runs(&info->leader);
}

/* -EBUSY: what was left cannot be killed (another user's, or stuck in the driver). */
static int sweep(const LeaseInfo *info, int fd)
{
	int64_t until = clock_mono_us(&clock_system) + RECLAIM_US;
	Leftovers l = leftovers_of(info, fd, false);

	while (info->n_children > 0 && kill_where(is_leftover, &l) > 0) {
		if (clock_mono_us(&clock_system) > until)
			return -EBUSY;
		poll(NULL, 0, STEP_MS);
	}
	return 0;
}

/* --- Taking ---------------------------------------------------------------------------------- */

static int say_holder(const LeaseInfo *info, bool lives, char **ret, Err *err)
{
	if (!ret)
		return 0;
	char *text = info ? str_fmt("%sprocess %d, since %s, for %s",
				    lives ? "" : "what is left (and cannot be killed) of ",
				    (int)info->leader.pid, info->since,
				    info->purpose[0] ? info->purpose : "no stated purpose")
			  : strdup("a process that has not said who it is");
	if (!text)
		return err_oom(err);
	*ret = text;
	return 0;
}

static int try_lock(int fd)
{
	int r;
	do
		r = flock(fd, LOCK_EX | LOCK_NB);
	while (r < 0 && errno == EINTR);
	return r == 0 ? 1 : errno == EWOULDBLOCK ? 0 : -errno;
}

/* Somebody has the lock. 1: it was left behind by a dead holder and is ours now; 0: a living one
 * has it. The lock itself decides between several who reclaim at once. */
static int reclaim(int fd, char **ret_holder, Err *err)
{
	int64_t begin = clock_mono_us(&clock_system), now;
	LeaseInfo info;
	bool known = false;

	while ((now = clock_mono_us(&clock_system)) < begin + RECLAIM_US) {
		known = leaseinfo_read(fd, &info) == 0;
		if (known && holder_lives(&info, fd))
			return say_holder(&info, true, ret_holder, err);
		int r = try_lock(fd);
		if (r != 0)
			return r < 0
				   ? err_set(err, r, "cannot lock the GPU lease: %s", strerror(-r))
				   : r;
		if (known && now >= begin + GRACE_US) {
			Leftovers l = leftovers_of(&info, fd, true);
			kill_where(is_leftover, &l);
		}
		poll(NULL, 0, STEP_MS);
	}
	return say_holder(known ? &info : NULL, false, ret_holder, err);
}

static int lock_file(int fd, char **ret_holder, Err *err)
{
	int r = try_lock(fd);
	if (r < 0)
		return err_set(err, r, "cannot lock the GPU lease: %s", strerror(-r));
	return r ? r : reclaim(fd, ret_holder, err);
}

/* The lock is ours: end what the last holder left running without it, then say who we are. */
static int settle(Lease *l, const char *purpose, Err *err)
{
	LeaseInfo old;
	ProcStat me;

	if (leaseinfo_read(l->fd, &old) == 0 && sweep(&old, l->fd) < 0)
		return err_set(err, -EBUSY,
			       "processes that process %d left on the GPU cannot be killed",
			       (int)old.leader.pid);
	int r = procstat_read(getpid(), &me);
	if (r >= 0)
		r = boot_id_read(l->info.boot_id);
	if (r >= 0) {
		l->info.leader = me.id;
		time_rfc3339(clock_now_us(&clock_system), l->info.since);
		snprintf(l->info.purpose, sizeof(l->info.purpose), "%s", purpose ? purpose : "");
		r = leaseinfo_write(l->fd, &l->info);
	}
	if (r < 0)
		return err_set(err, r, "cannot write the GPU lease: %s", strerror(-r));
	return 1;
}

static Lease *lease_drop(Lease *l)
{
	if (l && l->fd >= 0)
		close(l->fd);
	free(l);
	return NULL;
}

DEFINE_CLEANUP(Lease *, lease_drop)

static int take_in(int dir_fd, const char *name, const char *purpose, Lease **ret,
		   char **ret_holder, Err *err)
{
	for (int i = 0; i < 100; i++) {
		_cleanup_(lease_dropp) Lease *l = calloc(1, sizeof(*l));
		if (!l)
			return err_oom(err);
		l->fd = open_file(dir_fd, name, err);
		if (l->fd < 0)
			return l->fd;
		int r = lock_file(l->fd, ret_holder, err);
		if (r <= 0)
			return r;
		if (!is_named(dir_fd, name, l->fd))
			continue;
		r = settle(l, purpose, err);
		if (r > 0)
			*ret = TAKE_PTR(l);
		return r;
	}
	return err_set(err, -EAGAIN, "the GPU lease %s is removed again and again", name);
}

int lease_take(const char *dir, const char *gpu_uuid, const char *purpose, Lease **ret,
	       char **ret_holder, Err *err)
{
	int dir_fd = -1;

	if (!uuid_is_name(gpu_uuid))
		return err_set(err, -EINVAL, "'%.100s' is not the UUID of a GPU", gpu_uuid);
	_cleanup_free_ char *name = str_fmt("gpu-%s.lock", gpu_uuid);
	if (!name)
		return err_oom(err);
	int r = open_dir(dir, &dir_fd, err);
	if (r < 0)
		return r;
	r = take_in(dir_fd, name, purpose, ret, ret_holder, err);
	close(dir_fd);
	return r;
}

/* --- Having it ------------------------------------------------------------------------------- */

/* Only closed, never unlocked: a process that inherited the descriptor keeps the lock, and the file
 * says that it should not. */
Lease *lease_release(Lease *l)
{
	if (!l)
		return NULL;
	l->info.released = true;
	(void)leaseinfo_write(l->fd, &l->info);
	return lease_drop(l);
}

int lease_fd(const Lease *l)
{
	return l->fd;
}

static void forget_the_dead(LeaseInfo *info)
{
	size_t n = 0;
	for (size_t i = 0; i < info->n_children; i++)
		if (procid_runs(&info->children[i]))
			info->children[n++] = info->children[i];
	info->n_children = n;
}

int lease_note_child(Lease *l, pid_t pgid, Err *err)
{
	ProcStat st;

	forget_the_dead(&l->info);
	if (l->info.n_children >= LEASE_CHILDREN_MAX)
		return err_set(err, -E2BIG, "a GPU lease cannot note more than %d processes",
			       (int)LEASE_CHILDREN_MAX);
	int r = procstat_read(pgid, &st);
	if (r < 0)
		return err_set(err, r, "cannot note process %d in the GPU lease: %s", (int)pgid,
			       strerror(-r));
	l->info.children[l->info.n_children++] = st.id;
	r = leaseinfo_write(l->fd, &l->info);
	if (r < 0)
		return err_set(err, r, "cannot write the GPU lease: %s", strerror(-r));
	return 0;
}

/* The file says it all: who leads, and whom it has noted. */
int lease_adopt(int fd, Lease **ret, Err *err)
{
	_cleanup_(lease_dropp) Lease *l = calloc(1, sizeof(*l));
	if (!l)
		return err_oom(err);
	l->fd = fcntl(fd, F_DUPFD_CLOEXEC, 3);
	if (l->fd < 0)
		return err_set(err, -errno, "descriptor %d is no GPU lease: %s", fd,
			       strerror(errno));
	int r = leaseinfo_read(l->fd, &l->info);
	if (r < 0)
		return err_set(err, r, "descriptor %d is no GPU lease: %s", fd, strerror(-r));
	*ret = TAKE_PTR(l);
	return 0;
}

Lease *lease_forget(Lease *l)
{
	return lease_drop(l);
}
