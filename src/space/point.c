/* A candidate: its identity, its text and its JSON. */
#include <string.h>

#include "base/json.h"
#include "space/internal.h"

bool point_equal(const Space *s, const Point *a, const Point *b)
{
	return memcmp(a->level, b->level, s->n * sizeof(a->level[0])) == 0;
}

uint64_t point_key(const Space *s, const Point *p)
{
	uint64_t h = UINT64_C(0x243f6a8885a308d3);
	for (uint32_t i = 0; i < s->n; i++) {
		h = (h ^ p->level[i]) * UINT64_C(0x9e3779b97f4a7c15);
		h ^= h >> 29;
	}
	h *= UINT64_C(0xbf58476d1ce4e5b9);
	return h ^ (h >> 32);
}

json_t *point_json(const Space *s, const Point *p)
{
	bool failed = false;
	json_t *o = json_object();
	for (uint32_t i = 0; i < s->n; i++)
		if (p->level[i] != SPACE_INACTIVE)
			js_set(o, s->dims[i].name, space_value(s, i, p->level[i]), &failed);
	if (failed) {
		json_decref(o);
		return NULL;
	}
	return o;
}

static int wrong_value(const Dim *d, const json_t *value, Err *err)
{
	_cleanup_(str_done) Str text = STR_INIT, accept = STR_INIT;
	value_text(value, &text);
	dim_accepts(d, &accept);
	return err_set(err, -EINVAL, "%s cannot be %.60s; accepted: %s", d->name,
		       text.s ? text.s : "", accept.s ? accept.s : "");
}

/* Why a parameter may be absent, or must be. */
static int wrong_presence(const Space *s, const Dim *d, const Point *p, bool given, Err *err)
{
	if (!given && d->parent < 0)
		return err_set(err, -EINVAL, "%s is missing", d->name);
	const Dim *parent = &s->dims[d->parent];
	uint32_t level = p->level[d->parent];
	if (level == SPACE_INACTIVE)
		return err_set(err, -EINVAL, "%s does not apply without %s; leave it out", d->name,
			       parent->name);
	_cleanup_(str_done) Str text = STR_INIT;
	value_text(parent->values[level], &text);
	return err_set(err, -EINVAL,
		       given ? "%s does not apply while %s is %s; leave it out"
			     : "%s is missing, and needed while %s is %s",
		       d->name, parent->name, text.s ? text.s : "");
}

static int unknown_name(const Space *s, const json_t *params, Err *err)
{
	const char *key;
	json_t *value;
	void *iter = json_object_iter((json_t *)(uintptr_t)params);
	for (; iter; iter = json_object_iter_next((json_t *)(uintptr_t)params, iter)) {
		key = json_object_iter_key(iter);
		value = json_object_iter_value(iter);
		if (value && space_dim(s, key) < 0) {
			_cleanup_(str_done) Str all = STR_INIT;
			for (uint32_t i = 0; i < s->n; i++)
				str_addf(&all, "%s%s", i ? ", " : "", s->dims[i].name);
			return err_set(err, -EINVAL, "no parameter is called %.60s; there are: %s",
				       key, all.s ? all.s : "");
		}
	}
	return 0;
}

int point_from_json(const Space *s, const json_t *params, Point *ret, Err *err)
{
	Point p = {0};
	size_t used = 0;
	if (!json_is_object(params))
		return err_set(err, -EINVAL, "a candidate is a map from parameter to value");
	for (uint32_t i = 0; i < s->n; i++) {
		const Dim *d = &s->dims[s->order[i]];
		const json_t *value = json_object_get(params, d->name);
		bool exists = d->parent < 0 || (p.level[d->parent] != SPACE_INACTIVE &&
						d->holds[p.level[d->parent]]);
		if (exists != (value != NULL))
			return wrong_presence(s, d, &p, value != NULL, err);
		p.level[s->order[i]] = SPACE_INACTIVE;
		if (!value)
			continue;
		int64_t level = dim_find(d, value);
		if (level < 0)
			return wrong_value(d, value, err);
		p.level[s->order[i]] = (uint32_t)level;
		used++;
	}
	if (used != json_object_size(params))
		return unknown_name(s, params, err);
	*ret = p;
	return 0;
}

void point_text(const Space *s, const Point *p, Str *out)
{
	bool first = true;
	for (uint32_t i = 0; i < s->n; i++) {
		if (p->level[i] == SPACE_INACTIVE)
			continue;
		str_addf(out, "%s%s=", first ? "" : " ", s->dims[i].name);
		value_text(s->dims[i].values[p->level[i]], out);
		first = false;
	}
}

void config_hash(const json_t *params, char ret[CONFIG_HASH_SIZE])
{
	_cleanup_(str_done) Str text = STR_INIT;
	char hex[HASH_HEX_SIZE];
	ret[0] = '\0';
	js_canonical(params, &text);
	if (text.failed || !text.s)
		return;
	Hash h = hash_of(text.s, text.len);
	hash_hex(&h, hex);
	memcpy(ret, hex, CONFIG_HASH_SIZE - 1);
	ret[CONFIG_HASH_SIZE - 1] = '\0';
}
