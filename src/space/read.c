/* `search_space:` from the file: every parameter with its levels. What ties parameters together
 * (when, bounds, forbid) is read after all of them are known, in rules.c. */
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "space/internal.h"

static const char *const param_keys[] = {"values", "min",  "max",     "step", "points",
					 "log",	   "type", "ordered", "when", NULL};

static const char range_accept[] = "a list of values, {values: [...]}, {min, max, step}, {min, max,"
				   " points}, or {type: bool}";

typedef struct Keyed {
	char *text; /* canonical, owned */
	uint32_t level;
} Keyed;

static int by_text(const void *a, const void *b)
{
	const Keyed *x = a, *y = b;
	int c = strcmp(x->text, y->text);
	return c ? c : (x->level > y->level) - (x->level < y->level);
}

/* 1 and 1.0 count as the same value: they would be one setting under two ids. */
static int value_key(const json_t *v, char **ret)
{
	_cleanup_(str_done) Str text = STR_INIT;
	char number[32];
	if (json_is_number(v)) {
		js_double(json_number_value(v), number);
		str_add(&text, number);
	} else {
		js_canonical(v, &text);
	}
	return str_take(&text, ret);
}

static int check_distinct(const ConfNode *list, const Dim *dim, Diags *d)
{
	Keyed *keys = calloc(dim->n ? dim->n : 1, sizeof(*keys));
	int e = keys ? 0 : -ENOMEM;
	for (uint32_t i = 0; e >= 0 && i < dim->n; i++) {
		keys[i].level = i;
		e = value_key(dim->values[i], &keys[i].text);
	}
	if (e >= 0)
		qsort(keys, dim->n, sizeof(*keys), by_text);
	for (uint32_t i = 1; e >= 0 && i < dim->n; i++)
		if (strcmp(keys[i].text, keys[i - 1].text) == 0)
			conf_fault(conf_at(list, keys[i].level), d, "each value once",
				   "%s has the value %s twice", dim->name, keys[i].text);
	for (uint32_t i = 0; keys && i < dim->n; i++)
		free(keys[i].text);
	free(keys);
	return e;
}

static int read_list(const ConfNode *list, Dim *dim, Diags *d)
{
	size_t before = d->errors, n = conf_len(list);
	if (conf_kind(list) != CONF_SEQ || n == 0 || n > SPACE_LEVELS_MAX) {
		conf_fault(list, d, "a list such as [0.40, 0.45, 0.50], of at most 100000 values",
			   "%s has no list of values", dim->name);
		return 0;
	}
	for (size_t i = 0; i < n; i++) {
		const ConfNode *item = conf_at(list, i);
		if (conf_is_null(item)) {
			conf_fault(item, d, "a number, true or false, a string or a list",
				   "%s has an empty value", dim->name);
			continue;
		}
		int e = dim_push(dim, conf_to_json(item));
		if (e < 0)
			return e;
	}
	return d->errors > before ? 0 : check_distinct(list, dim, d);
}

static int read_bool(const ConfNode *n, Dim *dim, Diags *d)
{
	for (size_t i = 0; i < conf_len(n); i++)
		if (strcmp(conf_key(n, i), "type") != 0 && strcmp(conf_key(n, i), "when") != 0)
			conf_fault(conf_key_node(n, i), d, "{type: bool}, or with when:",
				   "a parameter of type bool has no %s", conf_key(n, i));
	int e = dim_push(dim, json_false());
	return e < 0 ? e : dim_push(dim, json_true());
}

static void check_keys(const ConfNode *n, const char *name, Diags *d)
{
	for (size_t i = 0; i < conf_len(n); i++) {
		const char *key = conf_key(n, i), *const *known = param_keys;
		while (*known && strcmp(*known, key) != 0)
			known++;
		if (*known)
			continue;
		const char *near = conf_nearest(key, param_keys);
		conf_fault(conf_key_node(n, i), d,
			   near ? near : "values, min, max, step, points, log, type, ordered, when",
			   "%s has the unknown key %s", name, key);
	}
}

static void check_values_alone(const ConfNode *n, Diags *d)
{
	static const char *const others[] = {"min", "max", "step", "points", "log", "type"};
	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
		const ConfNode *at = conf_get(n, others[i]);
		if (at)
			conf_fault(at, d, "one of the two", "values and %s exclude each other",
				   others[i]);
	}
}

static int read_map(const ConfNode *n, Dim *dim, Diags *d)
{
	check_keys(n, dim->name, d);
	const ConfNode *values = conf_get(n, "values"), *type = conf_get(n, "type");
	const char *type_name = type ? conf_text(type) : NULL;
	if (values) {
		check_values_alone(n, d);
		return read_list(values, dim, d);
	}
	if (conf_get(n, "min") || conf_get(n, "max"))
		return read_range(n, dim, d);
	if (type_name && strcmp(type_name, "bool") == 0)
		return read_bool(n, dim, d);
	conf_fault(n, d, range_accept, "%s has neither values nor a range", dim->name);
	return 0;
}

/* Numbers in one direction are neighbours by value; other lists only when they say so. */
static void decide_order(const ConfNode *n, Dim *dim, Diags *d)
{
	const ConfNode *at = conf_get(n, "ordered");
	dim->ordered = dim->n > 1 && dim->numbers && dim->direction != 0;
	if (at && !conf_as_bool(at, &dim->ordered))
		conf_fault(at, d, "true or false", "ordered is not a truth value");
}

int read_levels(const ConfNode *n, Dim *dim, Diags *d)
{
	int e = 0;
	if (conf_kind(n) == CONF_SEQ)
		e = read_list(n, dim, d);
	else if (conf_kind(n) == CONF_MAP)
		e = read_map(n, dim, d);
	else
		conf_fault(n, d, range_accept, "%s has no levels", dim->name);
	if (e >= 0)
		e = dim_finish(dim);
	if (e >= 0)
		decide_order(n, dim, d);
	return e;
}

static int read_params(const ConfNode *n, Space *s, Diags *d)
{
	size_t len = conf_kind(n) == CONF_MAP ? conf_len(n) : 0;
	if (len == 0)
		conf_fault(n, d, "a map from parameter to a list of values or a range",
			   "the search space has no parameter");
	if (len > SPACE_DIMS_MAX) {
		conf_fault(conf_key_node(n, SPACE_DIMS_MAX), d, "at most 32 parameters",
			   "the search space has %zu parameters", len);
		len = SPACE_DIMS_MAX;
	}
	for (size_t i = 0; i < len; i++) {
		bool again = space_dim(s, conf_key(n, i)) >= 0;
		Dim *dim = &s->dims[s->n++];
		dim->parent = -1;
		dim->name = strdup(conf_key(n, i));
		if (!dim->name)
			return -ENOMEM;
		if (again)
			conf_fault(conf_key_node(n, i), d, "each parameter once",
				   "the parameter %s is declared twice", dim->name);
		if (!*dim->name)
			conf_fault(conf_key_node(n, i), d, "a name", "a parameter has no name");
		int e = read_levels(conf_at(n, i), dim, d);
		if (e < 0)
			return e;
	}
	return 0;
}

int space_read(const ConfNode *search_space, const ConfNode *bounds, const ConfNode *forbid,
	       Space **ret, Diags *d)
{
	size_t before = d->errors;
	_cleanup_(space_freep) Space *s = calloc(1, sizeof(*s));
	if (!s)
		return -ENOMEM;
	int e = read_params(search_space, s, d);
	if (e >= 0)
		e = read_conditions(search_space, s, d);
	if (e >= 0 && bounds)
		e = read_bounds(bounds, s, d);
	if (e >= 0 && forbid)
		e = read_forbid(forbid, s, d);
	if (e >= 0 && d->errors > before)
		e = -EBADMSG;
	if (e < 0)
		return e;
	*ret = TAKE_PTR(s);
	return 0;
}
