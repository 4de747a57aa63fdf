/* The files of a generation, from what was adopted and the values. */
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "base/json.h"
#include "production/generation.h"
#include "production/internal.h"

enum {
	PRIVATE_MODE = 0600, /* copies: what they were copied from may hold secrets */
};

void generation_done(Generation *g)
{
	json_decref(g->values);
	*g = (Generation){0};
}

void generationfiles_free(GenerationFile *files, size_t n)
{
	for (size_t i = 0; files && i < n; i++) {
		free(files[i].name);
		free(files[i].text);
	}
	free(files);
}

/* --- Checks ----------------------------------------------------------------------------------- */

static bool has_parameter(const Adoption *a, const char *parameter)
{
	for (size_t i = 0; i < a->n; i++)
		if (strcmp(a->targets[i].parameter, parameter) == 0)
			return true;
	return false;
}

/* Every target has a say: two of one parameter may allow different values. */
static int check_unit(const Adoption *a, json_t *values, Err *err)
{
	const char *name;
	json_t *v;

	if (!json_is_object(values))
		return err_set(err, -EINVAL, "there are no values for %s", a->unit);
	for (size_t i = 0; i < a->n; i++) {
		const AdoptedTarget *t = &a->targets[i];
		const char *value = json_string_value(json_object_get(values, t->parameter));
		if (!value)
			return err_set(err, -EINVAL, "there is no value for %s of %s", t->parameter,
				       a->unit);
		int r = allowed_check(&t->allowed, t->parameter, value, err);
		if (r < 0)
			return err_wrap(err, r, "%s", a->unit);
	}
	json_object_foreach (values, name, v)
		if (!v || !has_parameter(a, name))
			return err_set(err, -EINVAL, "%s has no parameter %.100s", a->unit, name);
	return 0;
}

static int check(const Adoption *units, size_t n, const json_t *values, Err *err)
{
	for (size_t i = 0; i < n; i++) {
		int r = check_unit(&units[i], json_object_get(values, units[i].unit), err);
		if (r < 0)
			return r;
	}
	return json_object_size(values) == n
		   ? 0
		   : err_set(err, -EINVAL, "there are values for a unit that is not adopted");
}

/* --- Texts ------------------------------------------------------------------------------------ */

typedef struct Files {
	GenerationFile *items;
	size_t n;
	AdoptReadFile *read_file;
	void *ctx;
	Err *err;
} Files;

/* Takes both over. */
static int put(Files *f, char *name, char *text, mode_t mode)
{
	GenerationFile *more =
	    name && text ? reallocarray(f->items, f->n + 1, sizeof(*more)) : NULL;
	if (!more) {
		free(name);
		free(text);
		return err_oom(f->err);
	}
	f->items = more;
	f->items[f->n++] = (GenerationFile){.name = name, .text = text, .mode = mode};
	return 0;
}

static const char *value_of(const AdoptedTarget *t, const json_t *values)
{
	return json_string_value(json_object_get(values, t->parameter));
}

static bool is_first_of_variable(const Adoption *a, size_t i)
{
	for (size_t k = 0; k < i; k++)
		if (a->targets[k].variable &&
		    strcmp(a->targets[k].variable, a->targets[i].variable) == 0)
			return false;
	return true;
}

/* Plain values need no quotes: value_is_plain() lets nothing through that means anything here. */
static int add_variables(Files *f, const Adoption *a, const json_t *values)
{
	_cleanup_(str_done) Str out = STR_INIT;
	char *text = NULL;
	for (size_t i = 0; i < a->n; i++)
		if (a->targets[i].variable && is_first_of_variable(a, i))
			str_addf(&out, "%s=%s\n", a->targets[i].variable,
				 value_of(&a->targets[i], values));
	if (str_take(&out, &text) < 0)
		return err_oom(f->err);
	return put(f, str_fmt("%s.env", a->unit), text, 0);
}

static int set_one(const AdoptedTarget *t, const char *value, char **text, Err *err)
{
	char *next = NULL;
	int r = t->kind == TARGET_KEY ? envtext_set(t->path, *text, t->name, value, &next, err)
				      : yamltext_set(t->path, *text, t->name, value, &next, err);
	if (r < 0)
		return r;
	free(*text);
	*text = next;
	return 0;
}

/* The copy of the path of target `first`, with all targets of that path set. */
static int add_copy(Files *f, const Adoption *a, size_t first, const json_t *values)
{
	_cleanup_free_ char *text = NULL;
	const char *path = a->targets[first].path;
	int number = target_copy_number(a, first);
	int r = f->read_file(f->ctx, path, &text, f->err);

	if (r >= 0 && !text)
		r = err_set(f->err, -ENOENT, "there is no %s any more, which %s reads", path,
			    a->unit);
	for (size_t i = first; r >= 0 && i < a->n; i++)
		if (target_copy_number(a, i) == number)
			r = set_one(&a->targets[i], value_of(&a->targets[i], values), &text,
				    f->err);
	if (r < 0)
		return r;
	return put(f, str_fmt("%s.file%d", a->unit, number), TAKE_PTR(text), PRIVATE_MODE);
}

static int add_unit(Files *f, const Adoption *a, const json_t *values)
{
	int next = 0;
	int r = add_variables(f, a, values);
	for (size_t i = 0; r >= 0 && i < a->n; i++)
		if (target_copy_number(a, i) == next) {
			r = add_copy(f, a, i, values);
			next++;
		}
	return r;
}

/* --- The whole -------------------------------------------------------------------------------- */

static int add_values(Files *f, const json_t *values)
{
	_cleanup_(str_done) Str out = STR_INIT;
	char *text = NULL;
	js_canonical(values, &out);
	str_addc(&out, '\n');
	if (str_take(&out, &text) < 0)
		return err_oom(f->err);
	return put(f, strdup("values.json"), text, 0);
}

/* Names and lengths are part of what is hashed, so no other files come to the same text. */
static int name_it(const Files *f, char ret[GENERATION_ID_SIZE])
{
	_cleanup_(str_done) Str all = STR_INIT;
	char hex[HASH_HEX_SIZE];
	for (size_t i = 0; i < f->n; i++)
		str_addf(&all, "%s %zu\n%s", f->items[i].name, strlen(f->items[i].text),
			 f->items[i].text);
	if (all.failed)
		return err_oom(f->err);
	Hash h = hash_of(all.s, all.len);
	hash_hex(&h, hex);
	memcpy(ret, hex, GENERATION_ID_SIZE - 1);
	ret[GENERATION_ID_SIZE - 1] = '\0';
	return 0;
}

int generation_render(const Adoption *units, size_t n, const json_t *values,
		      int (*read_file)(void *ctx, const char *path, char **ret, Err *err),
		      void *ctx, char ret_id[GENERATION_ID_SIZE], GenerationFile **ret,
		      size_t *ret_n, Err *err)
{
	Files f = {.read_file = read_file, .ctx = ctx, .err = err};
	int r = check(units, n, values, err);

	if (r >= 0)
		r = add_values(&f, values);
	for (size_t i = 0; r >= 0 && i < n; i++)
		r = add_unit(&f, &units[i], json_object_get(values, units[i].unit));
	if (r >= 0)
		r = name_it(&f, ret_id);
	if (r < 0) {
		generationfiles_free(f.items, f.n);
		return r;
	}
	*ret = f.items;
	*ret_n = f.n;
	return 0;
}
