/* What ties parameters together: conditions (when), hard bounds and forbidden combinations. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "space/internal.h"

/* The parameter called `name`, or -1 with a mistake at `at`. */
static int named(const Space *s, const char *name, const ConfNode *at, const char *where, Diags *d)
{
	const char *names[SPACE_DIMS_MAX + 1] = {0};
	int dim = space_dim(s, name);
	if (dim >= 0)
		return dim;
	_cleanup_(str_done) Str all = STR_INIT;
	for (uint32_t i = 0; i < s->n; i++) {
		names[i] = s->dims[i].name;
		str_addf(&all, "%s%s", i ? ", " : "", names[i]);
	}
	const char *near = conf_nearest(name, names);
	conf_fault(at, d, near ? near : all.s, "%s names the parameter %s, which does not exist",
		   where, name);
	return -1;
}

static int add_level(const ConfNode *at, const Dim *dim, LevelList *levels, Diags *d)
{
	json_auto_t *value = conf_to_json(at);
	if (!value)
		return -ENOMEM;
	int64_t level = dim_find(dim, value);
	if (level < 0) {
		_cleanup_(str_done) Str what = STR_INIT, accept = STR_INIT;
		value_text(value, &what);
		dim_accepts(dim, &accept);
		conf_fault(at, d, accept.s, "%s never has the value %s", dim->name,
			   what.s ? what.s : "");
		return 0;
	}
	/* Grows at powers of two. */
	if ((levels->n & (levels->n - 1)) == 0) {
		size_t cap = levels->n ? 2 * levels->n : 1;
		uint32_t *grown = realloc(levels->items, cap * sizeof(*grown));
		if (!grown)
			return -ENOMEM;
		levels->items = grown;
	}
	levels->items[levels->n++] = (uint32_t)level;
	return 0;
}

/* Is this list itself a level of the parameter, rather than a list of levels? */
static int is_level(const ConfNode *list, const Dim *dim)
{
	json_auto_t *whole = conf_to_json(list);
	if (!whole)
		return -ENOMEM;
	return conf_len(list) == 0 || dim_find(dim, whole) >= 0;
}

/* Appends the levels that a value, or a list of values, names. */
static int read_term(const ConfNode *at, const Dim *dim, LevelList *levels, Diags *d)
{
	int one = conf_kind(at) == CONF_SEQ ? is_level(at, dim) : 1, e = 0;
	if (one < 0)
		return one;
	size_t n = one ? 1 : conf_len(at);
	/* Without levels the parameter has a mistake of its own, which is reported already. */
	for (size_t i = 0; e >= 0 && i < n && dim->n > 0; i++)
		e = add_level(one ? at : conf_at(at, i), dim, levels, d);
	return e;
}

static int read_when(const ConfNode *at, Space *s, Dim *dim, Diags *d)
{
	if (conf_kind(at) != CONF_MAP || conf_len(at) != 1) {
		conf_fault(at, d,
			   "{other_parameter: value} or {other_parameter: [values]}; for two"
			   " conditions let the other parameter have a when: of its own",
			   "when of %s is not a condition on one parameter", dim->name);
		return 0;
	}
	int parent = named(s, conf_key(at, 0), conf_key_node(at, 0), "when", d);
	if (parent < 0)
		return 0;
	const Dim *other = &s->dims[parent];
	LevelList levels = {0};
	int e = read_term(conf_at(at, 0), other, &levels, d);
	if (e >= 0) {
		dim->holds = calloc(other->n ? other->n : 1, sizeof(*dim->holds));
		e = dim->holds ? 0 : -ENOMEM;
	}
	for (size_t i = 0; e >= 0 && i < levels.n; i++)
		dim->holds[levels.items[i]] = true;
	if (e >= 0)
		dim->parent = parent;
	free(levels.items);
	return e;
}

/* Parents before children; what is left over depends on itself. */
static void sort_dims(const ConfNode *search_space, Space *s, Diags *d)
{
	bool placed[SPACE_DIMS_MAX] = {false};
	uint32_t n = 0;
	for (bool again = true; again;) {
		again = false;
		for (uint32_t i = 0; i < s->n && !again; i++) {
			int parent = s->dims[i].parent;
			if (placed[i] || (parent >= 0 && !placed[parent]))
				continue;
			placed[i] = again = true;
			s->order[n++] = i;
		}
	}
	for (uint32_t i = 0; i < s->n; i++) {
		if (placed[i])
			continue;
		conf_fault(conf_get(conf_at(search_space, i), "when"), d,
			   "a condition on a parameter that does not depend on this one",
			   "the conditions of %s lead back to itself", s->dims[i].name);
		return;
	}
}

int read_conditions(const ConfNode *search_space, Space *s, Diags *d)
{
	for (uint32_t i = 0; i < s->n; i++) {
		const ConfNode *when = conf_get(conf_at(search_space, i), "when");
		int e = when ? read_when(when, s, &s->dims[i], d) : 0;
		if (e < 0)
			return e;
	}
	sort_dims(search_space, s, d);
	return 0;
}

static bool read_limit(const ConfNode *map, const char *key, double *ret, Diags *d)
{
	const ConfNode *at = conf_get(map, key);
	if (!at || conf_as_number(at, ret))
		return true;
	conf_fault(at, d, "a number", "the bound %s is not a number", key);
	return false;
}

static bool read_limits(const ConfNode *map, const char *name, double *min, double *max, Diags *d)
{
	if (conf_kind(map) != CONF_MAP || conf_len(map) == 0) {
		conf_fault(map, d, "{min: 0.30, max: 0.70}", "the bound of %s has no limits", name);
		return false;
	}
	bool ok = true;
	for (size_t i = 0; i < conf_len(map); i++) {
		const char *key = conf_key(map, i);
		if (strcmp(key, "min") == 0 || strcmp(key, "max") == 0)
			continue;
		conf_fault(conf_key_node(map, i), d, "min, max", "a bound has no key %s", key);
		ok = false;
	}
	ok = read_limit(map, "min", min, d) && ok;
	ok = read_limit(map, "max", max, d) && ok;
	if (ok && *min > *max) {
		conf_fault(map, d, "min at most max", "min %.15g is above max %.15g", *min, *max);
		ok = false;
	}
	return ok;
}

static int read_bound(const ConfNode *map, const ConfNode *key, Dim *dim, Diags *d)
{
	double min = -HUGE_VAL, max = HUGE_VAL;
	if (!read_limits(map, dim->name, &min, &max, d) || dim->n == 0)
		return 0;
	if (!dim->numbers) {
		conf_fault(key, d, "forbid: for parameters that are not numbers",
			   "%s has values that are not numbers, so it cannot have a bound",
			   dim->name);
		return 0;
	}
	dim->within = calloc(dim->n, sizeof(*dim->within));
	if (!dim->within)
		return -ENOMEM;
	bool any = false;
	for (uint32_t i = 0; i < dim->n; i++) {
		dim->within[i] = dim->numbers[i] >= min && dim->numbers[i] <= max;
		any = any || dim->within[i];
	}
	dim->min = min;
	dim->max = max;
	if (any)
		return 0;
	_cleanup_(str_done) Str accept = STR_INIT;
	str_add(&accept, "limits around ");
	dim_accepts(dim, &accept);
	conf_fault(map, d, accept.s, "the bound of %s excludes every value", dim->name);
	return 0;
}

int read_bounds(const ConfNode *n, Space *s, Diags *d)
{
	if (conf_kind(n) != CONF_MAP) {
		if (!conf_is_null(n))
			conf_fault(n, d, "a map such as vllm_memory_util: {min: 0.30, max: 0.70}",
				   "bounds is not a map");
		return 0;
	}
	for (size_t i = 0; i < conf_len(n); i++) {
		int dim = named(s, conf_key(n, i), conf_key_node(n, i), "bounds", d);
		if (dim < 0 || s->dims[dim].within)
			continue;
		int e = read_bound(conf_at(n, i), conf_key_node(n, i), &s->dims[dim], d);
		if (e < 0)
			return e;
	}
	return 0;
}

static int read_rule(const ConfNode *map, Space *s, Diags *d)
{
	if (conf_kind(map) != CONF_MAP || conf_len(map) == 0 || conf_len(map) > SPACE_DIMS_MAX) {
		conf_fault(map, d,
			   "a map such as {vllm_memory_util: [0.55, 0.60],"
			   " whisper_model_size: small}",
			   "a forbidden combination is not a map");
		return 0;
	}
	size_t n = conf_len(map);
	ForbidTerm *grown = realloc(s->forbid, (s->n_forbid + n) * sizeof(*grown));
	if (!grown)
		return -ENOMEM;
	s->forbid = grown;
	for (size_t i = 0; i < n; i++) {
		size_t from = s->forbid_levels.n;
		int dim = named(s, conf_key(map, i), conf_key_node(map, i), "forbid", d);
		if (dim < 0)
			continue;
		int e = read_term(conf_at(map, i), &s->dims[dim], &s->forbid_levels, d);
		if (e < 0)
			return e;
		s->forbid[s->n_forbid++] = (ForbidTerm){.dim = (uint32_t)dim,
							.first = i == 0,
							.from = from,
							.n = s->forbid_levels.n - from};
	}
	return 0;
}

int read_forbid(const ConfNode *n, Space *s, Diags *d)
{
	if (conf_is_null(n))
		return 0;
	if (conf_kind(n) != CONF_SEQ || conf_len(n) > SPACE_FORBID_MAX) {
		conf_fault(n, d, "a list of at most 1000 maps from parameter to value or values",
			   "forbid is not a list of combinations");
		return 0;
	}
	for (size_t i = 0; i < conf_len(n); i++) {
		int e = read_rule(conf_at(n, i), s, d);
		if (e < 0)
			return e;
	}
	return 0;
}
