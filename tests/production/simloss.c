/* What a power loss leaves. */
#include <stdlib.h>
#include <string.h>

#include "simparts.h"

/* --- Names ------------------------------------------------------------------------------------ */

/* Never two names for one file: a name that should have been left is left with it. */
void nameop_apply(SimDisk *s, const NameOp *op)
{
	Table **to = &s->nodes[op->folder].disk_names;
	if (op->moved)
		table_remove_node(&s->nodes[op->from_folder].disk_names, op->node);
	table_remove_node(to, op->node);
	if (op->gone)
		table_remove(to, op->name);
	else
		table_set(to, op->name, op->node);
}

/* How each of several waiting operations fares: all, none, a beginning, or each by itself. */
typedef struct Fates {
	Rng *rng;
	uint64_t way, first;
} Fates;

static Fates fates_draw(Rng *rng, size_t n)
{
	return (Fates){.rng = rng, .way = rng_below(rng, 4), .first = rng_below(rng, n + 1)};
}

static bool survives(const Fates *f, size_t i)
{
	switch (f->way) {
	case 0:
		return false;
	case 1:
		return true;
	case 2:
		return i < f->first;
	}
	return rng_below(f->rng, 2);
}

static void names_survive(SimDisk *s, Rng *rng)
{
	Fates f = fates_draw(rng, s->n_ops);
	for (size_t i = 0; i < s->n_ops; i++)
		if (survives(&f, i))
			nameop_apply(s, &s->ops[i]);
	s->n_ops = 0;
}

/* --- Files ------------------------------------------------------------------------------------ */

/* The file as it becomes on the disk. */
typedef struct Image {
	uint8_t *data;
	size_t len;
} Image;

/* What is found where nothing was written: zeros, noise, or what was there of another file. */
static void image_grow(SimDisk *s, Image *m, size_t len, Rng *rng)
{
	if (len <= m->len)
		return;
	m->data = sim_memory(realloc(m->data, len));
	const Node *other = &s->nodes[rng_below(rng, s->n)];
	uint64_t what = rng_below(rng, 3);
	for (size_t i = m->len; i < len; i++)
		m->data[i] =
		    what == 0 ? (uint8_t)rng_u64(rng)
		    : what == 1 && other->cache && other->kind == NODE_FILE && i < other->cache->len
			? other->cache->data[i]
			: 0;
	m->len = len;
}

static void image_put(SimDisk *s, Image *m, size_t at, const uint8_t *data, size_t len, Rng *rng)
{
	if (len == 0)
		return;
	image_grow(s, m, at + len, rng);
	memcpy(m->data + at, data, len);
}

/* A prefix, or some sectors; the file may be as long as if all were there. */
static void image_tear(SimDisk *s, Image *m, const FileOp *op, Rng *rng)
{
	size_t len = op->data->len, end;
	if (rng_below(rng, 2))
		image_put(s, m, op->at, op->data->data, rng_below(rng, len + 1), rng);
	else
		for (size_t i = 0; i < len; i = end - op->at) {
			end = (op->at + i) / SIM_SECTOR * SIM_SECTOR + SIM_SECTOR;
			if (end > op->at + len)
				end = op->at + len;
			if (rng_below(rng, 2))
				image_put(s, m, op->at + i, op->data->data + i, end - op->at - i,
					  rng);
		}
	if (rng_below(rng, 2))
		image_grow(s, m, op->at + len, rng);
}

static void image_apply(SimDisk *s, Image *m, const FileOp *op, bool whole, Rng *rng)
{
	if (!op->data && op->at <= m->len)
		m->len = op->at;
	else if (!op->data)
		image_grow(s, m, op->at, rng);
	else if (whole)
		image_put(s, m, op->at, op->data->data, op->data->len, rng);
	else
		image_tear(s, m, op, rng);
}

static Image image_of(const Node *n)
{
	Image m = {.len = n->disk->len};
	m.data = sim_memory(malloc(m.len + 1));
	memcpy(m.data, n->disk->data, m.len);
	return m;
}

static void image_to_disk(Node *n, Image *m)
{
	bytes_drop(n->disk);
	n->disk = bytes_new(m->data, m->len);
	free(m->data);
	node_forget_ops(n);
}

void node_forget_ops(Node *n)
{
	for (size_t i = 0; i < n->n_ops; i++)
		bytes_drop(n->ops[i].data);
	free(n->ops);
	n->ops = NULL;
	n->n_ops = 0;
}

void node_survive(SimDisk *s, Node *n, Rng *rng)
{
	if (n->n_ops == 0)
		return;
	Fates f = fates_draw(rng, n->n_ops);
	Image m = image_of(n);
	for (size_t i = 0; i < n->n_ops; i++) {
		bool torn = rng_below(rng, 3) == 0;
		if (survives(&f, i))
			image_apply(s, &m, &n->ops[i], true, rng);
		else if (torn)
			image_apply(s, &m, &n->ops[i], false, rng);
	}
	image_to_disk(n, &m);
}

/* After a failed sync only what was written since reaches the disk. */
void node_flush(Node *n)
{
	Rng none = {0};
	if (!n->apart) {
		bytes_drop(n->disk);
		n->disk = n->cache;
		n->disk->refs++;
		node_forget_ops(n);
		return;
	}
	Image m = image_of(n);
	SimDisk nobody = {.nodes = n, .n = 1};
	for (size_t i = 0; i < n->n_ops; i++)
		image_apply(&nobody, &m, &n->ops[i], true, &none);
	image_to_disk(n, &m);
}

void sim_power_loss(SimDisk *s, Rng *rng)
{
	names_survive(s, rng);
	for (size_t i = 0; i < s->n; i++) {
		Node *n = &s->nodes[i];
		if (n->kind == NODE_FILE) {
			node_survive(s, n, rng);
			bytes_drop(n->cache);
			n->cache = n->disk;
			n->cache->refs++;
			n->apart = false;
		} else if (n->kind == NODE_FOLDER) {
			table_drop(n->names);
			n->names = n->disk_names;
			n->names->refs++;
		}
	}
	memset(s->open, 0, sizeof(s->open));
	s->hook = NULL;
	s->fault = (SimFault){0};
	s->next_write = 0;
}
