/* The space as a whole: sizes, the walk over its points, and what is allowed. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "space/internal.h"

Space *space_free(Space *s)
{
	if (!s)
		return NULL;
	for (uint32_t i = 0; i < s->n; i++) {
		Dim *d = &s->dims[i];
		for (uint32_t l = 0; l < d->n; l++)
			json_decref(d->values[l]);
		free(d->values);
		free(d->numbers);
		free(d->within);
		free(d->holds);
		free(d->name);
	}
	free(s->forbid_levels.items);
	free(s->forbid);
	free(s);
	return NULL;
}

size_t space_dims(const Space *s)
{
	return s->n;
}

const char *space_name(const Space *s, size_t dim)
{
	return s->dims[dim].name;
}

int space_dim(const Space *s, const char *name)
{
	for (uint32_t i = 0; i < s->n; i++)
		if (strcmp(s->dims[i].name, name) == 0)
			return (int)i;
	return -ENOENT;
}

uint32_t space_levels(const Space *s, size_t dim)
{
	return s->dims[dim].n;
}

bool space_ordered(const Space *s, size_t dim)
{
	return s->dims[dim].ordered;
}

json_t *space_value(const Space *s, size_t dim, uint32_t level)
{
	return level < s->dims[dim].n ? json_incref(s->dims[dim].values[level]) : NULL;
}

static uint64_t saturating_mul(uint64_t a, uint64_t b)
{
	uint64_t r;
	return __builtin_mul_overflow(a, b, &r) ? UINT64_MAX : r;
}

static uint64_t saturating_add(uint64_t a, uint64_t b)
{
	uint64_t r;
	return __builtin_add_overflow(a, b, &r) ? UINT64_MAX : r;
}

/* Conditions make a forest: below each level of a parameter hang those parameters that it brings
 * into being. So the points are counted from the leaves up, without visiting them. */
uint64_t space_count(const Space *s)
{
	uint64_t below[SPACE_DIMS_MAX], total = 1;
	for (uint32_t i = s->n; i-- > 0;) {
		uint32_t dim = s->order[i];
		below[dim] = 0;
		for (uint32_t l = 0; l < s->dims[dim].n; l++) {
			uint64_t ways = 1;
			for (uint32_t c = 0; c < s->n; c++)
				if (s->dims[c].parent == (int)dim && s->dims[c].holds[l])
					ways = saturating_mul(ways, below[c]);
			below[dim] = saturating_add(below[dim], ways);
		}
		if (s->dims[dim].parent < 0)
			total = saturating_mul(total, below[dim]);
	}
	return total;
}

/* Does the parameter exist, given the level of the one it depends on? */
static bool active(const Dim *d, const Point *p)
{
	if (d->parent < 0)
		return true;
	uint32_t level = p->level[d->parent];
	return level != SPACE_INACTIVE && d->holds[level];
}

bool space_first(const Space *s, Point *p)
{
	*p = (Point){0};
	space_canonical(s, p);
	return s->n > 0;
}

bool space_next(const Space *s, Point *p)
{
	uint32_t i = s->n;
	while (i-- > 0) {
		uint32_t dim = s->order[i];
		if (p->level[dim] == SPACE_INACTIVE || p->level[dim] + 1 >= s->dims[dim].n)
			continue;
		p->level[dim]++;
		for (i++; i < s->n; i++) {
			dim = s->order[i];
			p->level[dim] = active(&s->dims[dim], p) ? 0 : SPACE_INACTIVE;
		}
		return true;
	}
	return false;
}

void space_canonical(const Space *s, Point *p)
{
	for (uint32_t i = 0; i < s->n; i++) {
		uint32_t dim = s->order[i];
		if (!active(&s->dims[dim], p))
			p->level[dim] = SPACE_INACTIVE;
		else if (p->level[dim] >= s->dims[dim].n)
			p->level[dim] = 0;
	}
	memset(p->level + s->n, 0, (SPACE_DIMS_MAX - s->n) * sizeof(p->level[0]));
}

bool space_level_allowed(const Space *s, size_t dim, uint32_t level)
{
	const Dim *d = &s->dims[dim];
	return level < d->n && (!d->within || d->within[level]);
}

static void explain_bound(const Dim *d, uint32_t level, Str *why)
{
	str_addf(why, "%s ", d->name);
	value_text(d->values[level], why);
	if (isinf(d->min))
		str_addf(why, " is above its hard bound %.15g", d->max);
	else if (isinf(d->max))
		str_addf(why, " is below its hard bound %.15g", d->min);
	else
		str_addf(why, " is outside its hard bounds %.15g to %.15g", d->min, d->max);
}

static bool matches(const Space *s, const ForbidTerm *term, const Point *p)
{
	const uint32_t *levels = s->forbid_levels.items + term->from;
	for (size_t i = 0; i < term->n; i++)
		if (levels[i] == p->level[term->dim])
			return true;
	return false;
}

/* The first combination that the point has all of: its terms are *ret_from ... *ret_to - 1. */
static bool find_forbidden(const Space *s, const Point *p, size_t *ret_from, size_t *ret_to)
{
	for (size_t from = 0, to; from < s->n_forbid; from = to) {
		bool all = true;
		for (to = from; to < s->n_forbid && (to == from || !s->forbid[to].first); to++)
			all = all && matches(s, &s->forbid[to], p);
		*ret_from = from;
		*ret_to = to;
		if (all)
			return true;
	}
	return false;
}

static void explain_forbid(const Space *s, size_t from, size_t to, const Point *p, Str *why)
{
	str_add(why, "the combination ");
	for (size_t t = from; t < to; t++) {
		const Dim *d = &s->dims[s->forbid[t].dim];
		str_addf(why, "%s%s ", t > from ? ", " : "", d->name);
		value_text(d->values[p->level[s->forbid[t].dim]], why);
	}
	str_add(why, " is forbidden");
}

bool space_allows(const Space *s, const Point *p, Str *why)
{
	for (uint32_t i = 0; i < s->n; i++) {
		const Dim *d = &s->dims[i];
		if (!d->within || p->level[i] == SPACE_INACTIVE || d->within[p->level[i]])
			continue;
		if (why)
			explain_bound(d, p->level[i], why);
		return false;
	}
	size_t from, to;
	if (!find_forbidden(s, p, &from, &to))
		return true;
	if (why)
		explain_forbid(s, from, to, p, why);
	return false;
}
