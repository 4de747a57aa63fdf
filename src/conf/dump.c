/* From structs back into what they were read from: JSON that the same table reads again. */
#include <errno.h>
#include <stdlib.h>

#include "base/json.h"
#include "base/str.h"
#include "conf/conf.h"

static json_t *strings_json(const ConfStrings *s)
{
	json_t *list = json_array();
	for (size_t i = 0; list && i < s->n; i++)
		if (json_array_append_new(list, js_text(s->items[i])) < 0) {
			json_decref(list);
			return NULL;
		}
	return list;
}

static json_t *list_json(const ConfField *f, const ConfList *l)
{
	bool named = f->type == CONF_T_NAMED, failed = false;
	json_t *all = named ? json_object() : json_array();
	for (size_t i = 0; i < l->n; i++) {
		const char *item = (const char *)l->items + i * f->table->size;
		json_t *one = conf_dump(f->table, item);
		if (named) {
			const char *name = *(char *const *)(const void *)item;
			(void)json_object_del(one, "name");
			js_set(all, name, one, &failed);
		} else {
			failed |= json_array_append_new(all, one) < 0;
		}
	}
	if (!failed)
		return all;
	json_decref(all);
	return NULL;
}

/* A number with its unit, as the readers of durations take it. */
static json_t *duration_json(int64_t us)
{
	_cleanup_(str_done) Str b = STR_INIT;
	str_addf(&b, "%lldus", (long long)us);
	return b.failed ? NULL : json_string(b.s);
}

static json_t *field_json(const ConfField *f, const void *member)
{
	switch (f->type) {
	case CONF_T_BOOL:
		return json_boolean(*(const bool *)member);
	case CONF_T_INT:
	case CONF_T_BYTES:
		return json_integer(*(const int64_t *)member);
	case CONF_T_NUMBER:
		return js_number(*(const double *)member);
	case CONF_T_STRING: {
		const char *s = *(char *const *)member;
		return s ? js_text(s) : json_null();
	}
	case CONF_T_ENUM:
		return json_string(f->choices[*(const int *)member]);
	case CONF_T_DURATION:
		return duration_json(*(const int64_t *)member);
	case CONF_T_STRINGS: {
		const ConfStrings *s = member;
		return strings_json(s);
	}
	case CONF_T_JSON: {
		const json_t *v = *(json_t *const *)member;
		return v ? js_deep_copy(v) : json_null();
	}
	case CONF_T_OBJECT:
		return conf_dump(f->table, member);
	case CONF_T_OPTIONAL: {
		const void *target = *(void *const *)member;
		return target ? conf_dump(f->table, target) : json_null();
	}
	case CONF_T_LIST:
	case CONF_T_NAMED:
		return list_json(f, member);
	case CONF_T_CUSTOM:
		break;
	}
	return NULL;
}

static json_t *changed_json(const ConfTable *t, const void *target, const void *defaults)
{
	bool failed = false;
	json_t *o = json_object();
	for (const ConfField *f = t->fields; f->name; f++) {
		json_t *v = field_json(f, (const char *)target + f->offset);
		json_auto_t *usual = field_json(f, (const char *)defaults + f->offset);
		if (v && (json_is_null(v) || (!f->required && json_equal(v, usual))))
			json_decref(v);
		else
			js_set(o, f->name, v, &failed);
	}
	if (!failed)
		return o;
	json_decref(o);
	return NULL;
}

json_t *conf_dump(const ConfTable *t, const void *target)
{
	json_t *o = NULL;
	void *defaults = calloc(1, t->size);
	if (defaults && conf_defaults(t, defaults) >= 0)
		o = changed_json(t, target, defaults);
	if (defaults)
		conf_done(t, defaults);
	free(defaults);
	return o;
}
