/* The tables as a JSON Schema (draft 2020-12), for editors. It accepts what conf_fill() accepts, as
 * far as a schema can say it: checks between fields stay with the program. */
#include <string.h>

#include "base/json.h"
#include "conf/internal.h"

static const char duration_pattern[] =
    "^ *[0-9]*\\.?[0-9]+ *((us|ms|s|sec|seconds?|m|min|minutes?|h|hours?|d|days?)"
    "( *[0-9]*\\.?[0-9]+ *(us|ms|s|sec|seconds?|m|min|minutes?|h|hours?|d|days?))*)? *$";
static const char bytes_pattern[] = "^ *[0-9]*\\.?[0-9]+ *(B|[KMGT]iB|[kKMGT]B)? *$";

/* A key without a value counts as absent, so null is allowed where absence is. */
static json_t *types(const ConfField *f, const char *one, const char *other, bool *failed)
{
	if (f->required && !other)
		return json_string(one);
	json_t *list = json_array();
	if (json_array_append_new(list, json_string(one)) < 0 ||
	    (other && json_array_append_new(list, json_string(other)) < 0) ||
	    (!f->required && json_array_append_new(list, json_string("null")) < 0))
		*failed = true;
	return list;
}

static void set_range(const ConfField *f, json_t *o, bool *failed)
{
	if (!(f->min < f->max))
		return;
	bool whole = f->type == CONF_T_INT || f->type == CONF_T_BYTES;
	const double bounds[] = {f->min, f->max};
	const char *const names[] = {"minimum", "maximum"};
	for (int i = 0; i < 2; i++) {
		double v = bounds[i];
		if (v > -1e15 && v < 1e15)
			js_set(o, names[i], whole ? json_integer((json_int_t)v) : js_number(v),
			       failed);
	}
}

static json_t *choices(const ConfField *f, bool *failed)
{
	json_t *list = json_array();
	for (size_t i = 0; f->choices[i]; i++)
		if (json_array_append_new(list, json_string(f->choices[i])) < 0)
			*failed = true;
	if (!f->required && json_array_append_new(list, json_null()) < 0)
		*failed = true;
	return list;
}

static void set_amount(const ConfField *f, const char *pattern, json_t *o, bool *failed)
{
	js_set(o, "type", types(f, "number", "string", failed), failed);
	js_set(o, "pattern", json_string(pattern), failed);
	if (f->min < f->max)
		set_range(f, o, failed);
	else
		js_set(o, "minimum", json_integer(0), failed);
}

static void set_object(const ConfTable *t, bool named, json_t *o, bool *failed);

static json_t *item_schema(const ConfTable *t, bool named, bool *failed)
{
	json_t *o = json_object();
	js_set(o, "type", named ? json_pack("[ss]", "object", "null") : json_string("object"),
	       failed);
	js_set(o, "description", json_string(t->help ? t->help : t->name), failed);
	set_object(t, named, o, failed);
	return o;
}

/* What a value of the field looks like, into `o`. */
static void set_value(const ConfField *f, json_t *o, bool *failed)
{
	switch (f->type) {
	case CONF_T_BOOL:
		js_set(o, "type", types(f, "boolean", NULL, failed), failed);
		break;
	case CONF_T_INT:
		js_set(o, "type", types(f, "integer", NULL, failed), failed);
		set_range(f, o, failed);
		break;
	case CONF_T_NUMBER:
		js_set(o, "type", types(f, "number", NULL, failed), failed);
		set_range(f, o, failed);
		break;
	case CONF_T_STRING:
		js_set(o, "type", types(f, "string", NULL, failed), failed);
		break;
	case CONF_T_ENUM:
		js_set(o, "enum", choices(f, failed), failed);
		break;
	case CONF_T_DURATION:
		set_amount(f, duration_pattern, o, failed);
		break;
	case CONF_T_BYTES:
		set_amount(f, bytes_pattern, o, failed);
		break;
	case CONF_T_STRINGS:
		js_set(o, "type", types(f, "array", "string", failed), failed);
		js_set(o, "items", json_pack("{ss}", "type", "string"), failed);
		break;
	case CONF_T_OBJECT:
	case CONF_T_OPTIONAL:
		js_set(o, "type", types(f, "object", NULL, failed), failed);
		set_object(f->table, false, o, failed);
		break;
	case CONF_T_LIST:
		js_set(o, "type", types(f, "array", NULL, failed), failed);
		js_set(o, "items", item_schema(f->table, false, failed), failed);
		break;
	case CONF_T_NAMED:
		js_set(o, "type", types(f, "object", NULL, failed), failed);
		js_set(o, "additionalProperties", item_schema(f->table, true, failed), failed);
		break;
	case CONF_T_JSON:
	case CONF_T_CUSTOM:
		break;
	}
}

static void set_default(const ConfField *f, json_t *o, bool *failed)
{
	ConfNode scratch;
	_cleanup_(conf_freep) ConfDoc *doc = NULL;
	int r = 0;
	if (!f->otherwise)
		return;
	const ConfNode *n = conf_default_node(f->otherwise, &scratch, &doc, &r);
	js_set(o, "default", n ? conf_to_json(n) : NULL, failed);
}

static json_t *field_schema(const ConfField *f, bool *failed)
{
	bool custom = f->type == CONF_T_CUSTOM && f->custom->schema;
	json_t *o = custom ? f->custom->schema() : json_object();
	if (!o) {
		*failed = true;
		return NULL;
	}
	bool one = f->type == CONF_T_OBJECT || f->type == CONF_T_OPTIONAL;
	const char *help = f->help || !one ? f->help : f->table->help;
	if (help)
		js_set(o, "description", json_string(help), failed);
	set_value(f, o, failed);
	set_default(f, o, failed);
	return o;
}

/* `named`: the first field is the key outside, not a property. */
static void set_object(const ConfTable *t, bool named, json_t *o, bool *failed)
{
	json_t *properties = json_object(), *required = json_array();
	for (const ConfField *f = t->fields + named; f->name; f++) {
		js_set(properties, f->name, field_schema(f, failed), failed);
		if (f->required && json_array_append_new(required, json_string(f->name)) < 0)
			*failed = true;
	}
	bool any = json_array_size(required) > 0;
	js_set(o, "properties", properties, failed);
	if (any)
		js_set(o, "required", required, failed);
	else
		json_decref(required);
	if (!t->open)
		js_set(o, "additionalProperties", json_false(), failed);
}

json_t *conf_schema(const ConfTable *table)
{
	bool failed = false;
	json_auto_t *o = json_object();
	js_set(o, "$schema", json_string("https://json-schema.org/draft/2020-12/schema"), &failed);
	js_set(o, "title", json_string(table->name), &failed);
	if (table->help)
		js_set(o, "description", json_string(table->help), &failed);
	js_set(o, "type", json_string("object"), &failed);
	set_object(table, false, o, &failed);
	return failed ? NULL : json_incref(o);
}
