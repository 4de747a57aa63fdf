#include "base/json.h"
#include "read.h"

typedef struct Limits {
	char *name;
	int64_t tries;
	double share;
} Limits;

typedef struct Thing {
	int mode;
	int64_t wait_us;
	ConfStrings tags;
	ConfList list, named;
	int64_t even;
} Thing;

static const ConfField limits_fields[] = {
    {"name", CONF_T_STRING, offsetof(Limits, name), .help = "Its name"},
    {"tries", CONF_T_INT, offsetof(Limits, tries), .required = true, .min = 1, .max = 100},
    {"share", CONF_T_NUMBER, offsetof(Limits, share), .otherwise = "0.5", .min = 0,
     .max = HUGE_VAL},
    {0},
};

static const ConfTable limits_table = {
    .name = "limits",
    .help = "What may be spent",
    .size = sizeof(Limits),
    .fields = limits_fields,
};

static json_t *even_schema(void)
{
	return json_pack("{sssi}", "type", "integer", "multipleOf", 2);
}

static int read_even(const ConfNode *n, void *member, Diags *d)
{
	if (!conf_as_int(n, member))
		conf_fault(n, d, NULL, "'even' is no number");
	return 0;
}

static const ConfCustom even = {.read = read_even, .schema = even_schema};
static const char *const modes[] = {"latency", "quality", NULL};

static const ConfField thing_fields[] = {
    {"mode", CONF_T_ENUM, offsetof(Thing, mode), .otherwise = "quality", .choices = modes},
    {"wait", CONF_T_DURATION, offsetof(Thing, wait_us), .otherwise = "5 min"},
    {"tags", CONF_T_STRINGS, offsetof(Thing, tags), .otherwise = "[a, b]", .required = true},
    {"list", CONF_T_LIST, offsetof(Thing, list), .table = &limits_table, .required = true},
    {"named", CONF_T_NAMED, offsetof(Thing, named), .table = &limits_table, .required = true},
    {"even", CONF_T_CUSTOM, offsetof(Thing, even), .custom = &even, .help = "Even"},
    {0},
};

static const ConfTable thing_table = {
    .name = "thing",
    .help = "A thing",
    .size = sizeof(Thing),
    .fields = thing_fields,
};

static void check_at(const json_t *schema, const char *key, const char *want)
{
	const json_t *v = json_object_get(json_object_get(schema, "properties"), key);
	CHECK(v);
	_cleanup_(str_done) Str text = STR_INIT;
	js_canonical(v, &text);
	CHECK_STR(text.s, want);
}

TEST(the_schema_says_what_the_table_says)
{
	json_auto_t *s = conf_schema(&thing_table);
	CHECK_STR(js_str(s, "$schema", ""), "https://json-schema.org/draft/2020-12/schema");
	CHECK_STR(js_str(s, "title", ""), "thing");
	CHECK_STR(js_str(s, "description", ""), "A thing");
	CHECK_STR(js_str(s, "type", ""), "object");
	CHECK(json_is_false(json_object_get(s, "additionalProperties")));
	json_auto_t *required = json_pack("[sss]", "tags", "list", "named");
	CHECK(json_equal(json_object_get(s, "required"), required));
	check_at(s, "mode",
		 "{\"default\": \"quality\", \"enum\": [\"latency\", \"quality\", null]}");
	check_at(s, "tags",
		 "{\"default\": [\"a\", \"b\"], \"items\": {\"type\": \"string\"}, "
		 "\"type\": [\"array\", \"string\"]}");
	check_at(s, "even",
		 "{\"description\": \"Even\", \"multipleOf\": 2, \"type\": \"integer\"}");
}

TEST(structs_in_lists_and_maps_are_described_in_place)
{
	json_auto_t *s = conf_schema(&thing_table);
	check_at(
	    s, "list",
	    "{\"items\": {\"additionalProperties\": false, \"description\": \"What may be "
	    "spent\", \"properties\": {\"name\": {\"description\": \"Its name\", \"type\": "
	    "[\"string\", \"null\"]}, \"share\": {\"default\": 0.5, \"minimum\": 0.0, \"type\": "
	    "[\"number\", \"null\"]}, \"tries\": {\"maximum\": 100, \"minimum\": 1, \"type\": "
	    "\"integer\"}}, \"required\": [\"tries\"], \"type\": \"object\"}, \"type\": "
	    "\"array\"}");
	const json_t *named = json_object_get(json_object_get(s, "properties"), "named");
	const json_t *item = json_object_get(named, "additionalProperties");
	CHECK(json_is_object(item));
	CHECK(!json_object_get(json_object_get(item, "properties"), "name"));
	CHECK(json_object_get(json_object_get(item, "properties"), "tries"));
}

TEST(an_open_table_allows_other_properties)
{
	static const ConfTable open_table = {
	    .name = "open", .size = sizeof(Limits), .fields = limits_fields, .open = true};
	json_auto_t *s = conf_schema(&open_table);
	CHECK(s && !json_object_get(s, "additionalProperties"));
}
