/* The adoption file: what root wrote down, read as if anybody had. */
#include <math.h>
#include <string.h>

#include "base/hash.h"
#include "base/json.h"
#include "production/adoptionjson.h"
#include "production/internal.h"

/* --- Writing ---------------------------------------------------------------------------------- */

static json_t *text_or_null(const char *s)
{
	return s ? json_string(s) : json_null();
}

static json_t *list_json(char *const *list)
{
	json_t *out = json_array();
	for (; list && *list; list++)
		if (json_array_append_new(out, json_string(*list)) < 0) {
			json_decref(out);
			return NULL;
		}
	return out;
}

static json_t *allowed_json(const Allowed *a)
{
	json_t *o = json_object();
	bool failed = !o;
	if (a->has_range) {
		js_set(o, "min", js_number(a->min), &failed);
		js_set(o, "max", js_number(a->max), &failed);
	}
	if (a->words)
		js_set(o, "words", list_json(a->words), &failed);
	if (!failed)
		return o;
	json_decref(o);
	return NULL;
}

static json_t *target_json(const AdoptedTarget *t)
{
	json_t *o = json_object();
	bool failed = !o;
	js_set(o, "parameter", json_string(t->parameter), &failed);
	js_set(o, "kind", json_string(target_kind_name(t->kind)), &failed);
	js_set(o, "name", json_string(t->name), &failed);
	js_set(o, "path", text_or_null(t->path), &failed);
	js_set(o, "variable", text_or_null(t->variable), &failed);
	js_set(o, "original", text_or_null(t->original), &failed);
	js_set(o, "allowed", allowed_json(&t->allowed), &failed);
	js_set(o, "file_sha256", text_or_null(t->file_sha256), &failed);
	if (!failed)
		return o;
	json_decref(o);
	return NULL;
}

json_t *adoption_json(const Adoption *a)
{
	json_t *o = json_object(), *targets = json_array();
	bool failed = !o || !targets;
	for (size_t i = 0; i < a->n; i++)
		failed |= json_array_append_new(targets, target_json(&a->targets[i])) < 0;
	js_set(o, "schema", json_string(ADOPTION_SCHEMA), &failed);
	js_set(o, "unit", json_string(a->unit), &failed);
	js_set(o, "fingerprint", json_string(a->fingerprint), &failed);
	js_set(o, "command", js_text(a->command), &failed);
	js_set(o, "dropin", json_string(a->dropin), &failed);
	js_set(o, "after", list_json(a->after), &failed);
	js_set(o, "targets", targets, &failed);
	if (!failed)
		return o;
	json_decref(o);
	return NULL;
}

/* --- Reading ---------------------------------------------------------------------------------- */

enum {
	TARGETS_MAX = 64,
	WORDS_MAX = 256,
	AFTER_MAX = 64,
};

static bool has_only(json_t *o, const char *const *keys)
{
	const char *name;
	json_t *v;
	json_object_foreach (o, name, v) {
		const char *const *k = keys;
		while (*k && strcmp(*k, name) != 0)
			k++;
		if (!*k || !v)
			return false;
	}
	return json_is_object(o);
}

/* 0: it is there, *ret is new; -EBADMSG: missing, or no text; -ENOMEM. */
static int take_text(const json_t *o, const char *key, bool may_be_null, char **ret)
{
	const json_t *v = json_object_get(o, key);
	if (may_be_null && json_is_null(v))
		return 0;
	if (!json_is_string(v) || !*json_string_value(v))
		return -EBADMSG;
	*ret = strdup(json_string_value(v));
	return *ret ? 0 : -ENOMEM;
}

static int take_list(const json_t *v, size_t max, char ***ret)
{
	size_t i;
	const json_t *item;
	if (!json_is_array(v) || json_array_size(v) > max)
		return -EBADMSG;
	*ret = calloc(1, sizeof(**ret));
	if (!*ret)
		return -ENOMEM;
	json_array_foreach (v, i, item) {
		if (!json_is_string(item))
			return -EBADMSG;
		if (strings_add(ret, strdup(json_string_value(item))) < 0)
			return -ENOMEM;
	}
	return 0;
}

static int take_allowed(json_t *o, Allowed *ret)
{
	static const char *const keys[] = {"min", "max", "words", NULL};
	const json_t *min = json_object_get(o, "min"), *max = json_object_get(o, "max");

	if (!has_only(o, keys) || !min != !max)
		return -EBADMSG;
	if (min) {
		*ret = (Allowed){true, json_number_value(min), json_number_value(max), NULL};
		if (!json_is_number(min) || !json_is_number(max) || !(ret->min <= ret->max))
			return -EBADMSG;
	}
	if (!json_object_get(o, "words"))
		return 0;
	int r = take_list(json_object_get(o, "words"), WORDS_MAX, &ret->words);
	return r >= 0 && !ret->words[0] ? -EBADMSG : r;
}

static bool take_kind(const json_t *o, TargetKind *ret)
{
	const char *name = js_str(o, "kind", "");
	for (TargetKind k = TARGET_FLAG; k <= TARGET_CONFIG; k++)
		if (strcmp(name, target_kind_name(k)) == 0) {
			*ret = k;
			return true;
		}
	return false;
}

/* What the writer makes: a variable, or a copy of an absolute path; never neither. */
static bool is_whole(const AdoptedTarget *t)
{
	Hash h;
	bool needs_path = t->kind == TARGET_KEY || t->kind == TARGET_CONFIG;
	return (t->variable || t->file_sha256) && (!t->variable || env_name_ok(t->variable)) &&
	       needs_path == (t->path != NULL) && (!t->path || t->path[0] == '/') &&
	       (!t->file_sha256 || (t->path && hash_from_hex(t->file_sha256, &h))) &&
	       (t->kind != TARGET_KEY || env_name_ok(t->name));
}

static int take_target(json_t *o, AdoptedTarget *t)
{
	static const char *const keys[] = {"parameter", "kind",	       "name",
					   "path",	"variable",    "original",
					   "allowed",	"file_sha256", NULL};
	if (!has_only(o, keys) || !take_kind(o, &t->kind))
		return -EBADMSG;
	int r = take_text(o, "parameter", false, &t->parameter);
	if (r >= 0)
		r = take_text(o, "name", false, &t->name);
	if (r >= 0)
		r = take_text(o, "path", true, &t->path);
	if (r >= 0)
		r = take_text(o, "variable", true, &t->variable);
	if (r >= 0)
		r = take_text(o, "original", true, &t->original);
	if (r >= 0)
		r = take_text(o, "file_sha256", true, &t->file_sha256);
	if (r >= 0)
		r = take_allowed(json_object_get(o, "allowed"), &t->allowed);
	return r >= 0 && !is_whole(t) ? -EBADMSG : r;
}

static int take_targets(const json_t *list, Adoption *a)
{
	size_t i;
	json_t *o;
	size_t n = json_array_size(list);
	if (n == 0 || n > TARGETS_MAX)
		return -EBADMSG;
	a->targets = calloc(n, sizeof(*a->targets));
	if (!a->targets)
		return -ENOMEM;
	json_array_foreach (list, i, o) {
		int r = take_target(o, &a->targets[a->n++]);
		if (r < 0)
			return r;
	}
	return 0;
}

static int take(json_t *o, Adoption *a)
{
	static const char *const keys[] = {"schema", "unit",  "fingerprint", "command",
					   "dropin", "after", "targets",     NULL};
	Hash h;
	if (!has_only(o, keys) || strcmp(js_str(o, "schema", ""), ADOPTION_SCHEMA) != 0)
		return -EBADMSG;
	int r = take_text(o, "unit", false, &a->unit);
	if (r >= 0)
		r = take_text(o, "fingerprint", false, &a->fingerprint);
	if (r >= 0)
		r = take_text(o, "command", false, &a->command);
	if (r >= 0)
		r = take_text(o, "dropin", false, &a->dropin);
	if (r >= 0)
		r = take_list(json_object_get(o, "after"), AFTER_MAX, &a->after);
	if (r >= 0)
		r = take_targets(json_object_get(o, "targets"), a);
	return r >= 0 && !hash_from_hex(a->fingerprint, &h) ? -EBADMSG : r;
}

int adoption_from_json(const char *path, const char *text, size_t len, Adoption *ret, Err *err)
{
	json_auto_t *o = NULL;
	Adoption a = {0};
	int r = js_parse(text, len, ADOPTION_FILE_MAX, &o, err);
	if (r < 0)
		return err_wrap(err, r, "%s", path);
	r = take(o, &a);
	if (r < 0) {
		adoption_done(&a);
		return r == -ENOMEM
			   ? err_oom(err)
			   : err_set(err, r, "%s is not an adoption that 'dream adopt' wrote",
				     path);
	}
	*ret = a;
	return 0;
}
