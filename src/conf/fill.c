/* From the tree into structs, by their tables. Every mistake is reported and reading goes on. */
#include <math.h>
#include <string.h>

#include "conf/internal.h"

/* --- Mistakes -------------------------------------------------------------------------------- */

/* "'wallclock_sec' is the text 'abc'; expected a whole number from 1 to 86400" */
static void wrong(const ConfField *f, const ConfNode *n, Diags *d)
{
	_cleanup_(str_done) Str found = STR_INIT, expected = STR_INIT;
	conf_found(n, &found);
	str_add(&expected, "expected ");
	conf_expected(f, &expected);
	conf_fault(n, d, expected.s, "'%s' is %s", f->name, found.s ? found.s : "wrong");
}

static void wrong_choice(const ConfField *f, const ConfNode *n, Diags *d)
{
	const char *text = conf_text(n);
	const char *near = text ? conf_nearest(text, f->choices) : NULL;
	if (!near) {
		wrong(f, n, d);
		return;
	}
	_cleanup_(str_done) Str found = STR_INIT, accept = STR_INIT;
	conf_found(n, &found);
	str_addf(&accept, "did you mean '%s'? (", near);
	conf_expected(f, &accept);
	str_addc(&accept, ')');
	conf_fault(n, d, accept.s, "'%s' is %s", f->name, found.s ? found.s : "wrong");
}

static void missing(const ConfTable *t, const ConfField *f, const ConfNode *n, Diags *d)
{
	_cleanup_(str_done) Str expected = STR_INIT;
	str_add(&expected, "expected ");
	conf_expected(f, &expected);
	const ConfNode *value = conf_get(n, f->name);
	if (value)
		conf_fault(value, d, expected.s, "the required key '%s' has no value in %s",
			   f->name, t->name);
	else
		conf_fault(n, d, expected.s, "the required key '%s' is missing in %s", f->name,
			   t->name);
}

static const ConfField *find_field(const ConfTable *t, const char *name)
{
	for (const ConfField *f = t->fields; f->name; f++)
		if (strcmp(f->name, name) == 0)
			return f;
	return NULL;
}

static int unknown_key(const ConfTable *t, const ConfNode *key, Diags *d)
{
	size_t n = 0;
	while (t->fields[n].name)
		n++;
	_cleanup_free_ const char **names = calloc(n + 1, sizeof(*names));
	if (!names)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++)
		names[i] = t->fields[i].name;

	_cleanup_(str_done) Str accept = STR_INIT, quoted = STR_INIT;
	const char *near = conf_nearest(key->text, names);
	if (near) {
		str_addf(&accept, "did you mean '%s'?", near);
	} else {
		str_add(&accept, n > 0 ? "accepted keys: " : "no key is accepted here");
		conf_join(names, &accept);
	}
	conf_quote(key->text, &quoted);
	conf_fault(key, d, accept.s, "unknown key %s in %s", quoted.s ? quoted.s : "", t->name);
	return 0;
}

static int check_keys(const ConfTable *t, const ConfNode *map, Diags *d)
{
	for (size_t i = 0; !t->open && i < map->n; i++) {
		int r = find_field(t, map->keys[i]->text) ? 0 : unknown_key(t, map->keys[i], d);
		if (r < 0)
			return r;
	}
	return 0;
}

/* --- Scalars --------------------------------------------------------------------------------- */

static bool in_range(const ConfField *f, double v)
{
	return !(f->min < f->max) || (v >= f->min && v <= f->max);
}

static void read_bool(const ConfField *f, const ConfNode *n, bool *member, Diags *d)
{
	if (!conf_as_bool(n, member))
		wrong(f, n, d);
}

static void read_int(const ConfField *f, const ConfNode *n, int64_t *member, Diags *d)
{
	int64_t v;
	if (conf_as_int(n, &v) && in_range(f, (double)v))
		*member = v;
	else
		wrong(f, n, d);
}

static void read_number(const ConfField *f, const ConfNode *n, double *member, Diags *d)
{
	double v;
	if (conf_as_number(n, &v) && in_range(f, v))
		*member = v;
	else
		wrong(f, n, d);
}

static int read_string(const ConfField *f, const ConfNode *n, char **member, Diags *d)
{
	if (n->kind != CONF_SCALAR) {
		wrong(f, n, d);
		return 0;
	}
	*member = strdup(n->text);
	return *member ? 0 : -ENOMEM;
}

static void read_enum(const ConfField *f, const ConfNode *n, int *member, Diags *d)
{
	const char *text = conf_text(n);
	for (int i = 0; text && f->choices[i]; i++) {
		if (strcmp(text, f->choices[i]) == 0) {
			*member = i;
			return;
		}
	}
	wrong_choice(f, n, d);
}

static void read_duration(const ConfField *f, const ConfNode *n, int64_t *member, Diags *d)
{
	int64_t us;
	if (conf_text(n) && conf_parse_duration(conf_text(n), &us) && in_range(f, (double)us / 1e6))
		*member = us;
	else
		wrong(f, n, d);
}

static void read_bytes(const ConfField *f, const ConfNode *n, int64_t *member, Diags *d)
{
	int64_t bytes;
	if (conf_text(n) && conf_parse_bytes(conf_text(n), &bytes) && in_range(f, (double)bytes))
		*member = bytes;
	else
		wrong(f, n, d);
}

/* --- Lists ----------------------------------------------------------------------------------- */

static void wrong_item(const ConfField *f, const ConfNode *n, const char *expected, Diags *d)
{
	_cleanup_(str_done) Str found = STR_INIT;
	conf_found(n, &found);
	conf_fault(n, d, expected, "an item of '%s' is %s", f->name, found.s ? found.s : "wrong");
}

static int read_strings(const ConfField *f, const ConfNode *n, ConfStrings *member, Diags *d)
{
	if (n->kind == CONF_MAP) {
		wrong(f, n, d);
		return 0;
	}
	bool single = n->kind == CONF_SCALAR;
	size_t count = single ? 1 : n->n;
	if (count == 0)
		return 0;
	member->items = calloc(count, sizeof(*member->items));
	if (!member->items)
		return -ENOMEM;
	for (size_t i = 0; i < count; i++) {
		const ConfNode *item = single ? n : n->items[i];
		if (item->kind != CONF_SCALAR || conf_is_null(item)) {
			wrong_item(f, item, "expected a text", d);
			continue;
		}
		char *copy = strdup(item->text);
		if (!copy)
			return -ENOMEM;
		member->items[member->n++] = copy;
	}
	return 0;
}

static int fill_map(const ConfTable *t, const ConfNode *n, const char *name, void *target,
		    Diags *d);

/* Items that are no map are left out: a list never holds a struct without its defaults. */
static int read_list(const ConfField *f, const ConfNode *n, ConfList *member, Diags *d)
{
	bool named = f->type == CONF_T_NAMED;
	if (n->kind != (named ? CONF_MAP : CONF_SEQ)) {
		wrong(f, n, d);
		return 0;
	}
	if (n->n == 0)
		return 0;
	member->items = calloc(n->n, f->table->size);
	if (!member->items)
		return -ENOMEM;
	for (size_t i = 0; i < n->n; i++) {
		const ConfNode *item = n->items[i];
		if (item->kind != CONF_MAP && !(named && conf_is_null(item))) {
			wrong_item(f, item, "expected a map", d);
			continue;
		}
		void *at = (char *)member->items + member->n++ * f->table->size;
		int r = fill_map(f->table, item, named ? n->keys[i]->text : NULL, at, d);
		if (r < 0)
			return r;
	}
	return 0;
}

/* --- Structs --------------------------------------------------------------------------------- */

static int read_optional(const ConfField *f, const ConfNode *n, void **member, Diags *d)
{
	if (n->kind != CONF_MAP) {
		wrong(f, n, d);
		return 0;
	}
	*member = calloc(1, f->table->size);
	return *member ? fill_map(f->table, n, NULL, *member, d) : -ENOMEM;
}

static int read_object(const ConfField *f, const ConfNode *n, void *member, Diags *d)
{
	if (n->kind == CONF_MAP)
		return fill_map(f->table, n, NULL, member, d);
	wrong(f, n, d);
	return conf_defaults(f->table, member);
}

static int read_value(const ConfField *f, const ConfNode *n, void *member, Diags *d)
{
	switch (f->type) {
	case CONF_T_BOOL:
		read_bool(f, n, member, d);
		return 0;
	case CONF_T_INT:
		read_int(f, n, member, d);
		return 0;
	case CONF_T_NUMBER:
		read_number(f, n, member, d);
		return 0;
	case CONF_T_STRING:
		return read_string(f, n, member, d);
	case CONF_T_ENUM:
		read_enum(f, n, member, d);
		return 0;
	case CONF_T_DURATION:
		read_duration(f, n, member, d);
		return 0;
	case CONF_T_BYTES:
		read_bytes(f, n, member, d);
		return 0;
	case CONF_T_STRINGS:
		return read_strings(f, n, member, d);
	case CONF_T_JSON:
		*(json_t **)member = conf_to_json(n);
		return *(json_t **)member ? 0 : -ENOMEM;
	case CONF_T_OBJECT:
		return read_object(f, n, member, d);
	case CONF_T_OPTIONAL:
		return read_optional(f, n, member, d);
	case CONF_T_LIST:
	case CONF_T_NAMED:
		return read_list(f, n, member, d);
	case CONF_T_CUSTOM:
		return f->custom->read(n, member, d);
	}
	return -EINVAL;
}

static int read_default(const ConfField *f, void *member)
{
	if (!f->otherwise)
		return f->type == CONF_T_OBJECT ? conf_defaults(f->table, member) : 0;
	ConfNode scratch;
	_cleanup_(conf_freep) ConfDoc *doc = NULL;
	_cleanup_(diags_done) Diags d = DIAGS_INIT;
	int r = 0;
	const ConfNode *n = conf_default_node(f->otherwise, &scratch, &doc, &r);
	if (n)
		r = read_value(f, n, member, &d);
	/* A default that its own field refuses is a mistake in the program, not in a file. */
	return r < 0 ? r : d.errors > 0 ? -EINVAL : 0;
}

static bool sees_null(const ConfField *f)
{
	return f->type == CONF_T_JSON || f->type == CONF_T_CUSTOM;
}

/* Its default needs no memory that reading the value would lose. */
static bool is_simple(ConfType type)
{
	return type == CONF_T_BOOL || type == CONF_T_INT || type == CONF_T_NUMBER ||
	       type == CONF_T_ENUM || type == CONF_T_DURATION || type == CONF_T_BYTES;
}

static int read_field(const ConfTable *t, const ConfField *f, const ConfNode *map, void *target,
		      Diags *d)
{
	void *member = (char *)target + f->offset;
	const ConfNode *n = conf_get(map, f->name);
	if (n && (sees_null(f) || !conf_is_null(n))) {
		/* What is wrong keeps its default, so that a reader of the struct finds no hole. */
		int r = is_simple(f->type) ? read_default(f, member) : 0;
		return r < 0 ? r : read_value(f, n, member, d);
	}
	if (f->required) {
		if (d)
			missing(t, f, map, d);
		return f->type == CONF_T_OBJECT ? conf_defaults(f->table, member) : 0;
	}
	return read_default(f, member);
}

/* The key of a CONF_T_NAMED entry is its first field. */
static int set_name(const ConfTable *t, const ConfNode *n, const char *name, void *target, Diags *d)
{
	const ConfField *f = &t->fields[0];
	const ConfNode *again = conf_get(n, f->name);
	if (again)
		conf_fault(again, d, "leave it out", "'%s' is given by the key of this %s already",
			   f->name, t->name);
	char *copy = strdup(name);
	*(char **)((char *)target + f->offset) = copy;
	return copy ? 0 : -ENOMEM;
}

static int fill_map(const ConfTable *t, const ConfNode *n, const char *name, void *target, Diags *d)
{
	size_t errors = d->errors;
	int r = n->kind == CONF_MAP ? check_keys(t, n, d) : 0;
	const ConfField *f = t->fields;
	if (r == 0 && name)
		r = set_name(t, n, name, target, d);
	f += name != NULL;
	for (; r == 0 && f->name; f++)
		r = read_field(t, f, n, target, d);
	if (r == 0 && t->check && d->errors == errors)
		t->check(n, target, d);
	return r;
}

int conf_fill(const ConfTable *table, const ConfNode *n, void *target, Diags *d)
{
	if (n->kind == CONF_MAP)
		return fill_map(table, n, NULL, target, d);
	_cleanup_(str_done) Str found = STR_INIT;
	conf_found(n, &found);
	conf_fault(n, d, "expected a map", "%s is %s", table->name, found.s ? found.s : "wrong");
	return conf_defaults(table, target);
}

int conf_defaults(const ConfTable *table, void *target)
{
	for (const ConfField *f = table->fields; f->name; f++) {
		int r = read_field(table, f, NULL, target, NULL);
		if (r < 0)
			return r;
	}
	return 0;
}

/* --- Freeing --------------------------------------------------------------------------------- */

static void done_strings(ConfStrings *s)
{
	for (size_t i = 0; i < s->n; i++)
		free(s->items[i]);
	free(s->items);
}

static void done_list(const ConfTable *t, ConfList *l)
{
	for (size_t i = 0; i < l->n; i++)
		conf_done(t, (char *)l->items + i * t->size);
	free(l->items);
}

static void done_optional(const ConfTable *t, void *target)
{
	if (!target)
		return;
	conf_done(t, target);
	free(target);
}

static void done_value(const ConfField *f, void *member)
{
	switch (f->type) {
	case CONF_T_STRING:
		free(*(char **)member);
		break;
	case CONF_T_STRINGS:
		done_strings(member);
		break;
	case CONF_T_JSON:
		json_decref(*(json_t **)member);
		break;
	case CONF_T_OBJECT:
		conf_done(f->table, member);
		break;
	case CONF_T_OPTIONAL:
		done_optional(f->table, *(void **)member);
		break;
	case CONF_T_LIST:
	case CONF_T_NAMED:
		done_list(f->table, member);
		break;
	case CONF_T_CUSTOM:
		if (f->custom->done)
			f->custom->done(member);
		break;
	case CONF_T_BOOL:
	case CONF_T_INT:
	case CONF_T_NUMBER:
	case CONF_T_ENUM:
	case CONF_T_DURATION:
	case CONF_T_BYTES:
		break;
	}
}

void conf_done(const ConfTable *table, void *target)
{
	for (const ConfField *f = table->fields; f->name; f++)
		done_value(f, (char *)target + f->offset);
	memset(target, 0, table->size);
}
