#include "twin/shared.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum {
	MAGIC = 0x75706754, /* "Tgpu" */
};

/* What one process keeps about the mapping: a page of its own in front of it, so that callers have
 * one pointer. */
typedef struct Local {
	int fd, watch;
	int32_t pid;
	uint64_t start;
	size_t size; /* of this page */
	char path[];
} Local;

static Local *local_of(const SharedGpu *g)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	return (Local *)((uintptr_t)g - page);
}

/* --- Processes ------------------------------------------------------------------------------- */

/* When the process started, in clock ticks since boot; 0: there is none, or it is dead and not yet
 * reaped. */
static uint64_t started(int32_t pid)
{
	char path[64], text[1024];
	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return 0;
	ssize_t n = read(fd, text, sizeof(text) - 1);
	close(fd);
	if (n <= 0)
		return 0;
	text[n] = '\0';
	/* After the name, which may hold anything: the state is field 3, the start field 22. */
	char *at = strrchr(text, ')');
	if (!at || at[1] != ' ' || at[2] == 'Z' || at[2] == 'X')
		return 0;
	at++;
	for (int field = 3; field < 22 && at; field++)
		at = strchr(at + 1, ' ');
	return at ? strtoull(at, NULL, 10) : 0;
}

static SharedProcess *own_of(SharedGpu *g)
{
	const Local *l = local_of(g);
	for (int i = 0; i < SHARED_PROCESSES_MAX; i++) {
		SharedProcess *p = &g->processes[i];
		if (p->pid == l->pid && p->start == l->start)
			return p;
	}
	return NULL;
}

static void forget_dead(SharedGpu *g)
{
	const Local *l = local_of(g);
	for (int i = 0; i < SHARED_PROCESSES_MAX; i++) {
		SharedProcess *p = &g->processes[i];
		if (p->pid == 0 || (p->pid == l->pid && p->start == l->start))
			continue;
		if (p->pid < 0 || started(p->pid) != p->start)
			*p = (SharedProcess){0};
	}
}

static void name_of(int32_t pid, char *ret, size_t size)
{
	char path[64];
	snprintf(path, sizeof(path), "/proc/%d/comm", pid);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd >= 0 ? read(fd, ret, size - 1) : 0;
	if (fd >= 0)
		close(fd);
	ret[n > 0 ? n : 0] = '\0';
	ret[strcspn(ret, "\n")] = '\0';
}

/* Our entry, made when there is none; NULL: no room. */
static SharedProcess *enter(SharedGpu *g)
{
	SharedProcess *own = own_of(g);
	for (int i = 0; i < SHARED_PROCESSES_MAX && !own; i++) {
		if (g->processes[i].pid != 0)
			continue;
		own = &g->processes[i];
		*own = (SharedProcess){.start = local_of(g)->start};
		name_of(local_of(g)->pid, own->name, sizeof(own->name));
		own->pid = local_of(g)->pid;
	}
	return own;
}

static int64_t sum_of(const SharedGpu *g)
{
	int64_t sum = 0;
	for (int i = 0; i < SHARED_PROCESSES_MAX; i++)
		if (g->processes[i].pid > 0 && g->processes[i].used_bytes > 0)
			sum += g->processes[i].used_bytes;
	return sum;
}

/* --- The file -------------------------------------------------------------------------------- */

static int lock_fd(int fd, short type)
{
	struct flock fl = {.l_type = type, .l_whence = SEEK_SET, .l_len = 1};
	int r;
	do
		r = fcntl(fd, F_OFD_SETLKW, &fl);
	while (r < 0 && errno == EINTR);
	return r < 0 ? -errno : 0;
}

static void lock(SharedGpu *g)
{
	(void)lock_fd(local_of(g)->fd, F_WRLCK);
}

static void unlock(SharedGpu *g)
{
	(void)lock_fd(local_of(g)->fd, F_UNLCK);
}

/* The first page is ours, the rest the file's. */
static int map(int fd, const char *path, SharedGpu **ret)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	if (sizeof(Local) + strlen(path) + 1 > page)
		return -ENAMETOOLONG;
	char *base = mmap(NULL, page + sizeof(SharedGpu), PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (base == MAP_FAILED)
		return -errno;
	void *at = mmap(base + page, sizeof(SharedGpu), PROT_READ | PROT_WRITE,
			MAP_SHARED | MAP_FIXED, fd, 0);
	if (at == MAP_FAILED) {
		int r = -errno;
		munmap(base, page + sizeof(SharedGpu));
		return r;
	}
	Local *l = (Local *)(void *)base;
	l->fd = fd;
	l->watch = -1;
	l->pid = (int32_t)getpid();
	l->start = started(l->pid);
	l->size = page;
	memcpy(l->path, path, strlen(path) + 1);
	*ret = at;
	return 0;
}

/* Under the lock: a file of the right size whose content is ours. */
static int prepare(int fd, bool create)
{
	struct stat st;
	if (fstat(fd, &st) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode))
		return -EBADMSG;
	uint32_t head[2] = {0, 0};
	if (st.st_size == (off_t)sizeof(SharedGpu) &&
	    pread(fd, head, sizeof(head), 0) == (ssize_t)sizeof(head) && head[0] == MAGIC)
		return head[1] == SHARED_VERSION ? 0 : -EBADMSG;
	/* Empty, or a maker was killed before the magic number. */
	bool unfinished = st.st_size == 0 || (st.st_size == (off_t)sizeof(SharedGpu) && !head[0]);
	if (!unfinished || !create)
		return unfinished ? -ENOENT : -EBADMSG;
	if (ftruncate(fd, (off_t)sizeof(SharedGpu)) < 0)
		return -errno;
	SharedGpu fresh = {.version = SHARED_VERSION,
			   .present = 1,
			   .cc_major = 8,
			   .cc_minor = 6,
			   .lists_processes = 1,
			   .bytes_available = 1};
	uint32_t magic = MAGIC;
	if (pwrite(fd, &fresh, sizeof(fresh), 0) != (ssize_t)sizeof(fresh) ||
	    pwrite(fd, &magic, sizeof(magic), 0) != (ssize_t)sizeof(magic))
		return -EIO;
	return 0;
}

int shared_open(const char *path, bool create, SharedGpu **ret)
{
	int fd = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW | (create ? O_CREAT : 0), 0600);
	if (fd < 0)
		return -errno;
	int r = lock_fd(fd, F_WRLCK);
	if (r == 0) {
		r = prepare(fd, create);
		(void)lock_fd(fd, F_UNLCK);
	}
	if (r == 0)
		r = map(fd, path, ret);
	if (r < 0)
		close(fd);
	return r;
}

void shared_close(SharedGpu *g)
{
	if (!g)
		return;
	Local *l = local_of(g);
	lock(g);
	SharedProcess *own = own_of(g);
	if (own && l->pid == (int32_t)getpid())
		*own = (SharedProcess){0};
	unlock(g);
	if (l->watch >= 0)
		close(l->watch);
	close(l->fd);
	munmap(l, l->size + sizeof(SharedGpu));
}

static void copy_text(char *to, size_t size, const char *from)
{
	snprintf(to, size, "%s", from ? from : "");
}

int shared_describe(SharedGpu *g, const char *uuid, const char *model, int64_t total_bytes,
		    double switch_cost)
{
	int r = 0;
	lock(g);
	if (g->total_bytes == 0) {
		copy_text(g->uuid, sizeof(g->uuid), uuid);
		copy_text(g->model, sizeof(g->model), model);
		g->switch_cost = switch_cost;
		g->total_bytes = total_bytes;
	} else if (g->total_bytes != total_bytes ||
		   strncmp(g->uuid, uuid, sizeof(g->uuid) - 1) != 0) {
		r = -EEXIST;
	}
	unlock(g);
	return r;
}

void shared_name(SharedGpu *g, const char *name, bool graphics)
{
	lock(g);
	forget_dead(g);
	SharedProcess *own = enter(g);
	if (own) {
		copy_text(own->name, sizeof(own->name), name);
		own->graphics = graphics;
	}
	unlock(g);
}

/* --- Memory ---------------------------------------------------------------------------------- */

static int take(SharedGpu *g, int64_t bytes)
{
	if (bytes > 0 && !g->present)
		return -ENODEV;
	forget_dead(g);
	SharedProcess *own = enter(g);
	if (!own)
		return -EUSERS;
	if (bytes > 0 && bytes > g->total_bytes - sum_of(g))
		return -ENOMEM;
	own->used_bytes = bytes < -own->used_bytes ? 0 : own->used_bytes + bytes;
	return 0;
}

int shared_take(SharedGpu *g, int64_t bytes)
{
	lock(g);
	int r = take(g, bytes);
	unlock(g);
	return r;
}

int64_t shared_used_bytes(SharedGpu *g)
{
	lock(g);
	forget_dead(g);
	int64_t sum = sum_of(g);
	unlock(g);
	return sum;
}

int64_t shared_own_bytes(const SharedGpu *g)
{
	const Local *l = local_of(g);
	for (int i = 0; i < SHARED_PROCESSES_MAX; i++)
		if (g->processes[i].pid == l->pid && g->processes[i].start == l->start)
			return g->processes[i].used_bytes;
	return 0;
}

size_t shared_processes(SharedGpu *g, SharedProcess *ret)
{
	size_t n = 0;
	lock(g);
	forget_dead(g);
	for (int i = 0; i < SHARED_PROCESSES_MAX; i++)
		if (g->processes[i].pid > 0)
			ret[n++] = g->processes[i];
	unlock(g);
	for (size_t i = 0; i < n; i++)
		ret[i].name[sizeof(ret[i].name) - 1] = '\0';
	return n;
}

/* --- Computing ------------------------------------------------------------------------------- */

static int64_t monotonic_us(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

/* Without the lock: each entry is written by its owner alone, and a reader that sees one a moment
 * late is woken by the owner's news. */
int shared_others(const SharedGpu *g, double *ret_busy)
{
	const Local *l = local_of(g);
	int64_t now = monotonic_us();
	int n = 0;
	double busy = 0;
	for (int i = 0; i < SHARED_PROCESSES_MAX; i++) {
		const SharedProcess *p = &g->processes[i];
		double share;
		int64_t until = __atomic_load_n(&p->busy_until_us, __ATOMIC_ACQUIRE);
		if (until <= now || p->pid <= 0 || (p->pid == l->pid && p->start == l->start))
			continue;
		__atomic_load(&p->busy, &share, __ATOMIC_RELAXED);
		if (!(share > 0 && share <= 1))
			continue;
		busy += share;
		n++;
	}
	*ret_busy = busy;
	return n;
}

double shared_stretch(SharedGpu *g, double own_busy)
{
	double others;
	int n = shared_others(g, &others);
	return (1 - own_busy) + own_busy * (1 + others) * (1 + g->switch_cost * n);
}

double shared_busy_us(const SharedProcess *p, int64_t now_us)
{
	int64_t until = p->busy_until_us < now_us ? p->busy_until_us : now_us;
	double share = p->busy > 0 && p->busy <= 1 ? p->busy : 0;
	return p->busy_us + (until > p->since_us ? share * (double)(until - p->since_us) : 0);
}

void shared_busy(SharedGpu *g, double busy, int64_t until_us)
{
	SharedProcess *own = own_of(g);
	if (!own) {
		lock(g);
		forget_dead(g);
		own = enter(g);
		unlock(g);
	}
	if (!own)
		return;
	int64_t until = busy > 0 ? until_us : 0;
	int64_t now = monotonic_us();
	double total = shared_busy_us(own, now);
	bool news = own->busy != busy;
	__atomic_store(&own->busy_us, &total, __ATOMIC_RELAXED);
	__atomic_store_n(&own->since_us, now, __ATOMIC_RELAXED);
	__atomic_store(&own->busy, &busy, __ATOMIC_RELAXED);
	__atomic_store_n(&own->busy_until_us, until, __ATOMIC_RELEASE);
	if (news)
		shared_tell(g);
}

/* --- News ------------------------------------------------------------------------------------ */

void shared_xid(SharedGpu *g, uint64_t xid)
{
	lock(g);
	g->xids[g->n_xids % SHARED_XIDS_MAX] = xid;
	g->n_xids++;
	if (xid == 79) /* that is what this number means */
		g->present = 0;
	unlock(g);
	shared_tell(g);
}

int shared_watch(SharedGpu *g)
{
	Local *l = local_of(g);
	if (l->watch >= 0)
		return l->watch;
	int fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
	if (fd < 0)
		return -errno;
	if (inotify_add_watch(fd, l->path, IN_ATTRIB) < 0) {
		int r = -errno;
		close(fd);
		return r;
	}
	return l->watch = fd;
}

void shared_calm(SharedGpu *g)
{
	char news[4096];
	while (read(local_of(g)->watch, news, sizeof(news)) > 0)
		;
}

/* Writing through a mapping wakes nobody; a touch of the file's times does. */
void shared_tell(SharedGpu *g)
{
	for (int i = 0; i < SHARED_PROCESSES_MAX; i++) {
		if (g->processes[i].pid > 0 && g->processes[i].pid != local_of(g)->pid) {
			(void)futimens(local_of(g)->fd, NULL);
			return;
		}
	}
}
