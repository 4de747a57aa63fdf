/* What root wrote down when units were adopted, as the verbs ask it. */
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "base/json.h"
#include "helper/server.h"

int adopted(const Server *s, const char *unit, Adoption *ret, Err *err)
{
	int r = adoption_load(server_places(s), unit, ret, err);
	return r == -ENOENT ? err_set(err, -EPERM, "%s is not adopted", unit) : r;
}

void adoptedlist_done(AdoptedList *a)
{
	adoption_free_all(a->list, a->n);
	*a = (AdoptedList){0};
}

/* --- Values ----------------------------------------------------------------------------------- */

static const AdoptedTarget *target_of(const Adoption *a, const char *parameter)
{
	for (size_t i = 0; i < a->n; i++)
		if (strcmp(a->targets[i].parameter, parameter) == 0)
			return &a->targets[i];
	return NULL;
}

/* Every target has a say: two of one parameter may allow different values. */
static int check_unit(const Adoption *a, const json_t *values, Err *err)
{
	const char *key;
	json_t *v;
	for (size_t i = 0; i < a->n; i++) {
		const AdoptedTarget *t = &a->targets[i];
		const char *value = js_str(values, t->parameter, NULL);
		if (!value)
			return err_set(err, -EINVAL, "%s of %s has no value", t->parameter,
				       a->unit);
		int r = allowed_check(&t->allowed, t->parameter, value, err);
		if (r < 0)
			return r;
	}
	json_object_foreach ((json_t *)(uintptr_t)values, key, v) {
		if (!target_of(a, key))
			return err_set(err, -EPERM, "%s has no parameter %s", a->unit, key);
	}
	return 0;
}

int values_check(const Adoption *units, size_t n, const json_t *values, Err *err)
{
	for (size_t i = 0; i < n; i++) {
		int r = check_unit(&units[i], json_object_get(values, units[i].unit), err);
		if (r < 0)
			return r;
	}
	if (json_object_size(values) != n)
		return err_set(err, -ESTALE,
			       "the generation is of other units than those that are adopted now");
	return 0;
}

/* --- Files ------------------------------------------------------------------------------------ */

static const char *hash_then(const AdoptedList *units, const char *path)
{
	for (size_t i = 0; i < units->n; i++)
		for (size_t k = 0; k < units->list[i].n; k++) {
			const AdoptedTarget *t = &units->list[i].targets[k];
			if (t->path && strcmp(t->path, path) == 0)
				return t->file_sha256;
		}
	return NULL;
}

/* Whoever may write in a file's folder must not be able to have us copy another file: links are not
 * followed, and it must be what it was when root looked at it. */
int adopted_file(void *ctx, const char *path, char **ret, Err *err)
{
	const AdoptedList *units = ctx;
	const char *then = hash_then(units, path);
	_cleanup_free_ char *text = NULL;
	char hex[HASH_HEX_SIZE];

	*ret = NULL;
	if (!then)
		return err_set(err, -EPERM, "%s is a file of no adopted unit", path);
	int r = adoption_read_file(NULL, path, &text, err);
	if (r < 0)
		return r;
	if (!text)
		return err_set(err, -ENOENT, "there is no %s any more", path);
	Hash h = hash_of(text, strlen(text));
	hash_hex(&h, hex);
	if (strcmp(hex, then) != 0)
		return err_set(err, -ESTALE,
			       "%s was edited since its unit was adopted; adopt the unit anew",
			       path);
	*ret = TAKE_PTR(text);
	return 0;
}
