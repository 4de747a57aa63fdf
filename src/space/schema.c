/* The JSON Schemas of search_space, bounds and forbid, for editors. They describe the shape; what
 * hangs together (a name that must exist, a step that must divide) is checked on reading. */
#include "base/json.h"
#include "space/space.h"

static json_t *checked(json_t *o, bool failed)
{
	if (!failed)
		return o;
	json_decref(o);
	return NULL;
}

static json_t *param_schema(void)
{
	json_error_t e;
	return json_pack_ex(
	    &e, 0,
	    "{s:[{s:s, s:s, s:i, s:b}, {s:s, s:s, s:b, s:{s:{s:s, s:i, s:s}, s:{s:s, s:s}, s:{s:s, "
	    "s:s},"
	    " s:{s:s, s:i, s:s}, s:{s:s, s:i, s:i, s:s}, s:{s:s, s:s}, s:{s:[s,s,s], s:s},"
	    " s:{s:s, s:s}, s:{s:s, s:i, s:i, s:s}}}]}",
	    "oneOf", "type", "array", "description", "the values to try, in order", "minItems", 1,
	    "uniqueItems", 1, "type", "object", "description",
	    "a list with options, a range, or {type: bool}", "additionalProperties", 0,
	    "properties", "values", "type", "array", "minItems", 1, "description",
	    "the values to try, in order", "min", "type", "number", "description",
	    "the first value of a range", "max", "type", "number", "description",
	    "the last value of a range", "step", "type", "number", "exclusiveMinimum", 0,
	    "description", "the distance of neighbours; 1 when the range is of whole numbers",
	    "points", "type", "integer", "minimum", 2, "maximum", (int)SPACE_LEVELS_MAX,
	    "description", "how many values the range has, instead of a step", "log", "type",
	    "boolean", "description", "neighbours have a constant ratio instead of a distance",
	    "type", "enum", "bool", "int", "float", "description",
	    "bool: false and true; int, float: what the values of a range are", "ordered", "type",
	    "boolean", "description",
	    "neighbours in the list are near each other; the default for rising or falling numbers",
	    "when", "type", "object", "minProperties", 1, "maxProperties", 1, "description",
	    "the parameter exists only while this other parameter has this value, or one of these");
}

json_t *space_schema(void)
{
	bool failed = false;
	json_t *o = json_object();
	js_set(o, "type", json_string("object"), &failed);
	js_set(o, "description", json_string("the parameters to tune and what each may be"),
	       &failed);
	js_set(o, "minProperties", json_integer(1), &failed);
	js_set(o, "maxProperties", json_integer(SPACE_DIMS_MAX), &failed);
	js_set(o, "additionalProperties", param_schema(), &failed);
	return checked(o, failed || !o);
}

json_t *space_bounds_schema(void)
{
	return json_pack("{s:s, s:s, s:{s:s, s:b, s:i, s:{s:{s:s}, s:{s:s}}}}", "type", "object",
			 "description", "hard limits of numeric parameters, never exceeded",
			 "additionalProperties", "type", "object", "additionalProperties", 0,
			 "minProperties", 1, "properties", "min", "type", "number", "max", "type",
			 "number");
}

json_t *space_forbid_schema(void)
{
	return json_pack("{s:s, s:s, s:{s:s, s:i, s:s}}", "type", "array", "description",
			 "combinations that are never tried", "items", "type", "object",
			 "minProperties", 1, "description",
			 "parameter: value or list of values; all of them together are forbidden");
}
