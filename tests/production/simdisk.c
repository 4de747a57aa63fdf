/* The calls, as programs see them. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "simparts.h"

/* --- The whole -------------------------------------------------------------------------------- */

static uint32_t node_new(SimDisk *s, NodeKind kind)
{
	if (s->n == s->max) {
		s->max = s->max ? 2 * s->max : 32;
		s->nodes = sim_memory(reallocarray(s->nodes, s->max, sizeof(Node)));
	}
	Node *n = &s->nodes[s->n];
	*n = (Node){.kind = kind};
	if (kind == NODE_FOLDER) {
		n->names = table_new(NULL, 0);
		n->disk_names = table_new(NULL, 0);
	} else if (kind == NODE_FILE) {
		n->disk = bytes_new(NULL, 0);
		n->cache = bytes_new(NULL, 0);
	}
	return (uint32_t)s->n++;
}

SimDisk *sim_new(void)
{
	SimDisk *s = sim_memory(calloc(1, sizeof(*s)));
	(void)node_new(s, NODE_FOLDER);
	return s;
}

static void node_share(Node *n)
{
	if (n->disk)
		n->disk->refs++;
	if (n->cache)
		n->cache->refs++;
	if (n->names)
		n->names->refs++;
	if (n->disk_names)
		n->disk_names->refs++;
	if (n->n_ops == 0)
		return;
	FileOp *ops = sim_memory(reallocarray(NULL, n->n_ops, sizeof(*ops)));
	memcpy(ops, n->ops, n->n_ops * sizeof(*ops));
	n->ops = ops;
	for (size_t i = 0; i < n->n_ops; i++)
		if (ops[i].data)
			ops[i].data->refs++;
}

SimDisk *sim_clone(const SimDisk *s)
{
	SimDisk *c = sim_memory(calloc(1, sizeof(*c)));
	c->n = c->max = s->n;
	c->nodes = sim_memory(reallocarray(NULL, c->max, sizeof(Node)));
	memcpy(c->nodes, s->nodes, c->n * sizeof(Node));
	for (size_t i = 0; i < c->n; i++)
		node_share(&c->nodes[i]);
	c->n_ops = s->n_ops;
	c->ops = sim_memory(reallocarray(NULL, s->n_ops + 1, sizeof(NameOp)));
	if (s->n_ops)
		memcpy(c->ops, s->ops, s->n_ops * sizeof(NameOp));
	return c;
}

SimDisk *sim_free(SimDisk *s)
{
	if (!s)
		return NULL;
	for (size_t i = 0; i < s->n; i++) {
		node_forget_ops(&s->nodes[i]);
		bytes_drop(s->nodes[i].disk);
		bytes_drop(s->nodes[i].cache);
		table_drop(s->nodes[i].names);
		table_drop(s->nodes[i].disk_names);
	}
	free(s->nodes);
	free(s->ops);
	free(s);
	return NULL;
}

void sim_hook(SimDisk *s, SimHook *hook, void *ctx)
{
	s->hook = hook;
	s->hook_ctx = ctx;
}

void sim_fault(SimDisk *s, SimFault f, uint64_t seed)
{
	s->fault = f;
	s->failed = false;
	s->fault_rng = rng_derive(seed, "fault", f.at);
}

void sim_set_user(SimDisk *s, void *user)
{
	s->user = user;
}

void *sim_user(const SimDisk *s)
{
	return s->user;
}

uint64_t sim_calls(const SimDisk *s)
{
	return s->calls;
}

bool sim_failed(const SimDisk *s)
{
	return s->failed;
}

size_t sim_open_files(const SimDisk *s)
{
	size_t n = 0;
	for (size_t i = 0; i < SIM_FILES_MAX; i++)
		n += s->open[i].used;
	return n;
}

/* Counts the call. `changes`: it can change what is on the disk. Negative: it fails. */
static int enter(SimDisk *s, const char *name, const char *path, bool changes)
{
	SimCall call = {.name = name, .path = path, .number = ++s->calls};
	if (s->hook && changes)
		s->hook(s->hook_ctx, s, &call);
	bool fails = call.number == s->fault.at ||
		     (s->fault.at && s->fault.on && changes && call.number > s->fault.at);
	s->failed = s->failed || fails;
	return fails ? -s->fault.code : 0;
}

/* --- Paths ------------------------------------------------------------------------------------ */

/* Where a path ends: in which folder, under which name, and what is there (-1: nothing). Links on
 * the way are not followed. */
typedef struct Place {
	uint32_t folder;
	char name[SIM_NAME_SIZE];
	int64_t node;
} Place;

static int find(const SimDisk *s, const char *path, Place *ret)
{
	if (path[0] != '/')
		return -ENOENT;
	*ret = (Place){.folder = SIM_ROOT, .node = SIM_ROOT};
	while (*(path += strspn(path, "/"))) {
		size_t len = strcspn(path, "/");
		if (len >= SIM_NAME_SIZE)
			return -ENAMETOOLONG;
		if (ret->node < 0)
			return -ENOENT;
		NodeKind kind = s->nodes[ret->node].kind;
		if (kind != NODE_FOLDER)
			return kind == NODE_LINK ? -ELOOP : -ENOTDIR;
		ret->folder = (uint32_t)ret->node;
		memcpy(ret->name, path, len);
		ret->name[len] = '\0';
		const Entry *e = table_find(s->nodes[ret->folder].names, ret->name);
		ret->node = e ? (int64_t)e->node : -1;
		path += len;
	}
	return 0;
}

static NameOp *op_new(SimDisk *s, const Place *p)
{
	s->ops = sim_memory(reallocarray(s->ops, s->n_ops + 1, sizeof(*s->ops)));
	NameOp *op = &s->ops[s->n_ops++];
	*op = (NameOp){.folder = p->folder, .node = (uint32_t)p->node};
	memcpy(op->name, p->name, sizeof(op->name));
	return op;
}

static uint32_t make(SimDisk *s, Place *p, NodeKind kind)
{
	p->node = node_new(s, kind);
	table_set(&s->nodes[p->folder].names, p->name, (uint32_t)p->node);
	(void)op_new(s, p);
	return (uint32_t)p->node;
}

/* --- Files ------------------------------------------------------------------------------------ */

static OpenFile *file_of(SimDisk *s, int fd)
{
	return fd >= 0 && fd < SIM_FILES_MAX && s->open[fd].used ? &s->open[fd] : NULL;
}

static int open_node(SimDisk *s, const Place *p, int flags)
{
	int mode = flags & O_ACCMODE;
	NodeKind kind = s->nodes[p->node].kind;
	if (kind == NODE_LINK)
		return -ELOOP;
	if ((flags & O_DIRECTORY) && kind != NODE_FOLDER)
		return -ENOTDIR;
	if (kind == NODE_FOLDER && mode != O_RDONLY)
		return -EISDIR;
	for (int fd = 0; fd < SIM_FILES_MAX; fd++)
		if (!s->open[fd].used) {
			s->open[fd] = (OpenFile){.used = true,
						 .append = flags & O_APPEND,
						 .writes = mode != O_RDONLY,
						 .node = (uint32_t)p->node};
			memcpy(s->open[fd].name, p->name, sizeof(p->name));
			return fd;
		}
	return -EMFILE;
}

static int sim_open(void *ctx, const char *path, int flags, mode_t mode)
{
	SimDisk *s = ctx;
	Place p;
	(void)mode;
	int found = find(s, path, &p);
	bool makes = found == 0 && p.node < 0 && (flags & O_CREAT);
	int r = enter(s, "open", path, makes);
	if (r < 0 || found < 0)
		return r < 0 ? r : found;
	if (p.node >= 0 && (flags & O_CREAT) && (flags & O_EXCL))
		return -EEXIST;
	if (p.node < 0 && !makes)
		return -ENOENT;
	if (makes)
		(void)make(s, &p, NODE_FILE);
	return open_node(s, &p, flags);
}

static ssize_t sim_read(void *ctx, int fd, void *data, size_t len)
{
	SimDisk *s = ctx;
	OpenFile *f = file_of(s, fd);
	int r = enter(s, "read", f ? f->name : "", false);
	if (r < 0 || !f)
		return r < 0 ? r : -EBADF;
	const Node *n = &s->nodes[f->node];
	if (n->kind != NODE_FILE)
		return -EISDIR;
	size_t left = f->at < n->cache->len ? n->cache->len - f->at : 0;
	len = len < left ? len : left;
	memcpy(data, n->cache->data + f->at, len);
	f->at += len;
	return (ssize_t)len;
}

static void note(Node *n, size_t at, const void *data, size_t len)
{
	n->ops = sim_memory(reallocarray(n->ops, n->n_ops + 1, sizeof(FileOp)));
	n->ops[n->n_ops++] = (FileOp){.at = at, .data = data ? bytes_new(data, len) : NULL};
}

static void write_at(Node *n, size_t at, const void *data, size_t len)
{
	size_t old = n->cache->len, end = at + len > old ? at + len : old;
	Bytes *b = sim_memory(malloc(sizeof(*b) + end + 1));
	*b = (Bytes){.refs = 1, .len = end};
	memcpy(b->data, n->cache->data, old);
	if (at > old)
		memset(b->data + old, 0, at - old);
	memcpy(b->data + at, data, len);
	bytes_drop(n->cache);
	n->cache = b;
	note(n, at, data, len);
}

/* A write that fails may have written a part, which is told first. */
static ssize_t sim_write(void *ctx, int fd, const void *data, size_t len)
{
	SimDisk *s = ctx;
	OpenFile *f = file_of(s, fd);
	int r = enter(s, "write", f ? f->name : "", true);
	if (r == 0 && s->next_write)
		r = s->next_write;
	s->next_write = 0;
	if (!f || !f->writes)
		return -EBADF;
	if (r < 0 && len > 1 && rng_below(&s->fault_rng, 2)) {
		s->next_write = r;
		len = 1 + rng_below(&s->fault_rng, len - 1);
	} else if (r < 0)
		return r;
	Node *n = &s->nodes[f->node];
	size_t at = f->append ? n->cache->len : f->at;
	write_at(n, at, data, len);
	f->at = at + len;
	return (ssize_t)len;
}

static int sim_truncate(void *ctx, int fd, off_t len)
{
	SimDisk *s = ctx;
	OpenFile *f = file_of(s, fd);
	int r = enter(s, "truncate", f ? f->name : "", true);
	if (r < 0 || !f || !f->writes)
		return r < 0 ? r : -EBADF;
	Node *n = &s->nodes[f->node];
	if ((size_t)len > n->cache->len)
		return -EINVAL; /* nobody here makes a file longer like this */
	Bytes *b = bytes_new(n->cache->data, (size_t)len);
	bytes_drop(n->cache);
	n->cache = b;
	note(n, (size_t)len, NULL, 0);
	return 0;
}

bool sim_unsynced(const SimDisk *s, int fd)
{
	uint32_t node = s->open[fd].node;
	bool any = s->nodes[node].n_ops > 0;
	for (size_t i = 0; i < s->n_ops; i++)
		any = any || (s->nodes[node].kind == NODE_FOLDER &&
			      (s->ops[i].folder == node ||
			       (s->ops[i].moved && s->ops[i].from_folder == node)));
	return any;
}

const char *sim_name(const SimDisk *s, int fd)
{
	return s->open[fd].name;
}

static void sync_names(SimDisk *s, uint32_t folder)
{
	size_t left = 0;
	for (size_t i = 0; i < s->n_ops; i++) {
		const NameOp *op = &s->ops[i];
		if (op->folder == folder || (op->moved && op->from_folder == folder))
			nameop_apply(s, op);
		else
			s->ops[left++] = *op;
	}
	s->n_ops = left;
}

static int sim_sync(void *ctx, int fd)
{
	SimDisk *s = ctx;
	OpenFile *f = file_of(s, fd);
	int r = enter(s, "sync", f ? f->name : "", true);
	if (!f)
		return -EBADF;
	Node *n = &s->nodes[f->node];
	if (r < 0 && n->kind == NODE_FILE) {
		node_survive(s, n, &s->fault_rng);
		n->apart = true;
	}
	if (r < 0)
		return r;
	if (n->kind == NODE_FILE)
		node_flush(n);
	else
		sync_names(s, f->node);
	return 0;
}

static int sim_lock(void *ctx, int fd)
{
	SimDisk *s = ctx;
	int r = enter(s, "lock", "", false);
	return r < 0 ? r : file_of(s, fd) ? 0 : -EBADF;
}

static int sim_close(void *ctx, int fd)
{
	SimDisk *s = ctx;
	int r = enter(s, "close", "", false);
	if (!file_of(s, fd))
		return -EBADF;
	s->open[fd].used = false; /* also when it fails */
	return r;
}

/* --- Names ------------------------------------------------------------------------------------ */

static int sim_mkdir(void *ctx, const char *path, mode_t mode)
{
	SimDisk *s = ctx;
	Place p;
	(void)mode;
	int found = find(s, path, &p), r = enter(s, "mkdir", path, true);
	if (r < 0 || found < 0)
		return r < 0 ? r : found;
	if (p.node >= 0)
		return -EEXIST;
	(void)make(s, &p, NODE_FOLDER);
	return 0;
}

static int sim_symlink(void *ctx, const char *target, const char *path)
{
	SimDisk *s = ctx;
	Place p;
	int found = find(s, path, &p), r = enter(s, "symlink", path, true);
	if (r < 0 || found < 0)
		return r < 0 ? r : found;
	if (p.node >= 0)
		return -EEXIST;
	uint32_t node = make(s, &p, NODE_LINK);
	s->nodes[node].cache = bytes_new(target, strlen(target));
	return 0;
}

static ssize_t sim_readlink(void *ctx, const char *path, char *ret, size_t size)
{
	SimDisk *s = ctx;
	Place p;
	int found = find(s, path, &p), r = enter(s, "readlink", path, false);
	if (r < 0 || found < 0)
		return r < 0 ? r : found;
	if (p.node < 0)
		return -ENOENT;
	const Node *n = &s->nodes[p.node];
	if (n->kind != NODE_LINK)
		return -EINVAL;
	size_t len = n->cache->len < size ? n->cache->len : size;
	memcpy(ret, n->cache->data, len);
	return (ssize_t)len;
}

/* May `what` take the place of what is there? */
static int may_replace(const SimDisk *s, int64_t there, int64_t what)
{
	if (there < 0)
		return 0;
	bool folder = s->nodes[there].kind == NODE_FOLDER;
	if (folder && s->nodes[what].kind != NODE_FOLDER)
		return -EISDIR;
	if (!folder && s->nodes[what].kind == NODE_FOLDER)
		return -ENOTDIR;
	return folder && s->nodes[there].names->n > 0 ? -ENOTEMPTY : 0;
}

static int sim_rename(void *ctx, const char *from, const char *to)
{
	SimDisk *s = ctx;
	Place a, b;
	int found_a = find(s, from, &a), found_b = find(s, to, &b);
	int r = enter(s, "rename", to, true);
	if (r < 0 || found_a < 0 || found_b < 0)
		return r < 0 ? r : found_a < 0 ? found_a : found_b;
	if (a.node < 0)
		return -ENOENT;
	if (a.node == b.node)
		return 0;
	r = may_replace(s, b.node, a.node);
	if (r < 0)
		return r;
	b.node = a.node;
	table_remove(&s->nodes[a.folder].names, a.name);
	table_set(&s->nodes[b.folder].names, b.name, (uint32_t)b.node);
	NameOp *op = op_new(s, &b);
	op->moved = true;
	op->from_folder = a.folder;
	memcpy(op->from, a.name, sizeof(op->from));
	return 0;
}

static int take_away(SimDisk *s, const char *call, const char *path, bool folder)
{
	Place p;
	int found = find(s, path, &p), r = enter(s, call, path, found == 0 && p.node >= 0);
	if (r < 0 || found < 0)
		return r < 0 ? r : found;
	if (p.node < 0)
		return -ENOENT;
	const Node *n = &s->nodes[p.node];
	if (folder != (n->kind == NODE_FOLDER))
		return folder ? -ENOTDIR : -EISDIR;
	if (folder && n->names->n > 0)
		return -ENOTEMPTY;
	table_remove(&s->nodes[p.folder].names, p.name);
	op_new(s, &p)->gone = true;
	return 0;
}

static int sim_unlink(void *ctx, const char *path)
{
	return take_away(ctx, "unlink", path, false);
}

static int sim_rmdir(void *ctx, const char *path)
{
	return take_away(ctx, "rmdir", path, true);
}

static int sim_list(void *ctx, const char *path, int (*fn)(void *arg, const char *name), void *arg)
{
	SimDisk *s = ctx;
	Place p;
	int found = find(s, path, &p), r = enter(s, "list", path, false);
	if (r < 0 || found < 0)
		return r < 0 ? r : found;
	if (p.node < 0 || s->nodes[p.node].kind != NODE_FOLDER)
		return p.node < 0 ? -ENOENT : -ENOTDIR;
	Table *t = s->nodes[p.node].names;
	t->refs++; /* it may be changed meanwhile */
	for (size_t i = 0; i < t->n && r >= 0; i++)
		r = fn(arg, t->e[i].name);
	table_drop(t);
	return r < 0 ? r : 0;
}

Disk sim_disk(SimDisk *s)
{
	return (Disk){
	    .open = sim_open,
	    .read = sim_read,
	    .write = sim_write,
	    .truncate = sim_truncate,
	    .sync = sim_sync,
	    .lock = sim_lock,
	    .close = sim_close,
	    .mkdir = sim_mkdir,
	    .rename = sim_rename,
	    .symlink = sim_symlink,
	    .readlink = sim_readlink,
	    .unlink = sim_unlink,
	    .rmdir = sim_rmdir,
	    .list = sim_list,
	    .ctx = s,
	};
}
