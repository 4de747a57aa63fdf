#include "twin/events.h"

#include <errno.h>
#include <stdlib.h>

static bool before(const Event *a, const Event *b)
{
	return a->at_us != b->at_us ? a->at_us < b->at_us : a->order < b->order;
}

static int grow(Events *e)
{
	size_t cap = e->cap ? 2 * e->cap : 64;
	Event *heap = reallocarray(e->heap, cap, sizeof(*heap));
	if (!heap)
		return -ENOMEM;
	e->heap = heap;
	e->cap = cap;
	return 0;
}

int events_add(Events *e, int64_t at_us, uint32_t kind, uint32_t who, uint32_t mark)
{
	if (e->n == e->cap && grow(e) < 0)
		return -ENOMEM;
	Event new = {at_us, e->added++, kind, who, mark};
	size_t i = e->n++;
	while (i > 0 && before(&new, &e->heap[(i - 1) / 2])) {
		e->heap[i] = e->heap[(i - 1) / 2];
		i = (i - 1) / 2;
	}
	e->heap[i] = new;
	return 0;
}

bool events_next(Events *e, Event *ret)
{
	if (e->n == 0)
		return false;
	*ret = e->heap[0];
	Event last = e->heap[--e->n];
	size_t i = 0;
	for (;;) {
		size_t child = 2 * i + 1;
		if (child >= e->n)
			break;
		if (child + 1 < e->n && before(&e->heap[child + 1], &e->heap[child]))
			child++;
		if (!before(&e->heap[child], &last))
			break;
		e->heap[i] = e->heap[child];
		i = child;
	}
	e->heap[i] = last;
	return true;
}

void events_clear(Events *e)
{
	e->n = 0;
	e->added = 0;
}

void events_done(Events *e)
{
	free(e->heap);
	*e = (Events){0};
}
