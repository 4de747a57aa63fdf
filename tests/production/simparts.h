#pragma once
/* What a simulated disk consists of. Bytes and tables of names are shared between clones and never
 * changed in place, so that a clone costs next to nothing. */
#include "simdisk.h"

enum {
	SIM_NAME_SIZE = 48,
	SIM_FILES_MAX = 16,
	SIM_SECTOR = 512,
	SIM_ROOT = 0,
};

typedef struct Bytes {
	uint32_t refs;
	size_t len;
	uint8_t data[];
} Bytes;

typedef struct Entry {
	char name[SIM_NAME_SIZE];
	uint32_t node;
} Entry;

typedef struct Table {
	uint32_t refs;
	size_t n;
	Entry e[];
} Table;

typedef enum NodeKind {
	NODE_FILE,
	NODE_FOLDER,
	NODE_LINK,
} NodeKind;

/* A write (data) or a truncation to `at` (no data). */
typedef struct FileOp {
	size_t at;
	Bytes *data;
} FileOp;

typedef struct Node {
	NodeKind kind;
	Bytes *disk, *cache; /* of a file; a link has `cache` alone */
	FileOp *ops;	     /* since the last sync */
	size_t n_ops;
	bool apart; /* a sync failed: the disk lacks what programs read */
	Table *disk_names, *names;
} Node;

/* In `folder`, `name` becomes `node`; or goes (when `gone`). `from`: it leaves that name, too. */
typedef struct NameOp {
	uint32_t folder, node, from_folder;
	char name[SIM_NAME_SIZE], from[SIM_NAME_SIZE];
	bool gone, moved;
} NameOp;

typedef struct OpenFile {
	bool used, append, writes;
	uint32_t node;
	size_t at;
	char name[SIM_NAME_SIZE];
} OpenFile;

struct SimDisk {
	Node *nodes;
	size_t n, max;
	NameOp *ops;
	size_t n_ops;
	OpenFile open[SIM_FILES_MAX];
	SimHook *hook;
	void *hook_ctx;
	uint64_t calls;
	SimFault fault;
	bool failed;
	int next_write; /* a short write was given; the next one fails with this */
	Rng fault_rng;
	void *user;
};

void *sim_memory(void *p); /* p, or the end of the test */
Bytes *bytes_new(const void *data, size_t len);
void bytes_drop(Bytes *b);
Table *table_new(const Table *like, size_t n);
void table_drop(Table *t);
/* Replaces *t by one without, or with, the name. */
void table_remove(Table **t, const char *name);
void table_remove_node(Table **t, uint32_t node);
void table_set(Table **t, const char *name, uint32_t node);
const Entry *table_find(const Table *t, const char *name);

/* What it means for the tables of the disk. */
void nameop_apply(SimDisk *s, const NameOp *op);
/* All of it reaches the disk. */
void node_flush(Node *n);
/* Some of it does; nothing is waiting afterwards. */
void node_survive(SimDisk *s, Node *n, Rng *rng);
void node_forget_ops(Node *n);
