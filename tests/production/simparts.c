/* Bytes and tables of names, shared and never changed in place. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "simparts.h"

void *sim_memory(void *p)
{
	if (!p)
		abort();
	return p;
}

Bytes *bytes_new(const void *data, size_t len)
{
	Bytes *b = sim_memory(malloc(sizeof(*b) + len + 1));
	b->refs = 1;
	b->len = len;
	if (len)
		memcpy(b->data, data, len);
	return b;
}

void bytes_drop(Bytes *b)
{
	if (b && --b->refs == 0)
		free(b);
}

Table *table_new(const Table *like, size_t n)
{
	Table *t = sim_memory(malloc(sizeof(*t) + n * sizeof(Entry)));
	t->refs = 1;
	t->n = n;
	size_t copied = like && like->n < n ? like->n : n;
	if (like)
		memcpy(t->e, like->e, copied * sizeof(Entry));
	return t;
}

void table_drop(Table *t)
{
	if (t && --t->refs == 0)
		free(t);
}

const Entry *table_find(const Table *t, const char *name)
{
	for (size_t i = 0; i < t->n; i++)
		if (strcmp(t->e[i].name, name) == 0)
			return &t->e[i];
	return NULL;
}

static void table_remove_at(Table **t, size_t at)
{
	Table *less = table_new(*t, (*t)->n);
	memmove(&less->e[at], &less->e[at + 1], (less->n - at - 1) * sizeof(Entry));
	less->n--;
	table_drop(*t);
	*t = less;
}

void table_remove(Table **t, const char *name)
{
	const Entry *e = table_find(*t, name);
	if (e)
		table_remove_at(t, (size_t)(e - (*t)->e));
}

void table_remove_node(Table **t, uint32_t node)
{
	for (size_t i = 0; i < (*t)->n; i++)
		if ((*t)->e[i].node == node) {
			table_remove_at(t, i);
			return;
		}
}

void table_set(Table **t, const char *name, uint32_t node)
{
	table_remove(t, name);
	Table *more = table_new(*t, (*t)->n + 1);
	Entry *e = &more->e[more->n - 1];
	memset(e, 0, sizeof(*e));
	(void)snprintf(e->name, sizeof(e->name), "%s", name);
	e->node = node;
	table_drop(*t);
	*t = more;
}
