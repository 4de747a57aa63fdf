/* What was read is written back, and reads the same again. */
#include <stdlib.h>
#include <string.h>

#include "../test.h"
#include "conf/conf.h"

typedef struct Inner {
	char *name;
	int64_t size_bytes, wait_us;
} Inner;

typedef struct Outer {
	bool on;
	int64_t count;
	double share;
	char *word;
	int colour;
	ConfStrings list;
	json_t *any;
	Inner in;
	Inner *maybe;
	ConfList named;
} Outer;

static const char *const colours[] = {"red", "green", NULL};
static const ConfField inner_fields[] = {
    {.name = "name", .type = CONF_T_STRING, .offset = offsetof(Inner, name)},
    {.name = "size",
     .type = CONF_T_BYTES,
     .offset = offsetof(Inner, size_bytes),
     .otherwise = "1 KiB"},
    {.name = "wait",
     .type = CONF_T_DURATION,
     .offset = offsetof(Inner, wait_us),
     .otherwise = "2 s"},
    {0},
};
static const ConfTable inner = {.name = "inner", .size = sizeof(Inner), .fields = inner_fields};
static const ConfField outer_fields[] = {
    {.name = "on", .type = CONF_T_BOOL, .offset = offsetof(Outer, on), .otherwise = "true"},
    {.name = "count", .type = CONF_T_INT, .offset = offsetof(Outer, count), .min = 1, .max = 9},
    {.name = "share", .type = CONF_T_NUMBER, .offset = offsetof(Outer, share), .otherwise = "0.5"},
    {.name = "word", .type = CONF_T_STRING, .offset = offsetof(Outer, word)},
    {.name = "colour",
     .type = CONF_T_ENUM,
     .offset = offsetof(Outer, colour),
     .choices = colours,
     .otherwise = "red"},
    {.name = "list", .type = CONF_T_STRINGS, .offset = offsetof(Outer, list)},
    {.name = "any", .type = CONF_T_JSON, .offset = offsetof(Outer, any)},
    {.name = "in", .type = CONF_T_OBJECT, .offset = offsetof(Outer, in), .table = &inner},
    {.name = "maybe", .type = CONF_T_OPTIONAL, .offset = offsetof(Outer, maybe), .table = &inner},
    {.name = "named", .type = CONF_T_NAMED, .offset = offsetof(Outer, named), .table = &inner},
    {0},
};
static const ConfTable outer = {.name = "outer", .size = sizeof(Outer), .fields = outer_fields};

static int read_text(const char *text, Outer *ret, size_t *ret_errors)
{
	_cleanup_(conf_freep) ConfDoc *doc = NULL;
	_cleanup_(diags_done) Diags d = DIAGS_INIT;
	*ret = (Outer){0};
	int r = conf_read_text("test", text, strlen(text), &doc, &d, NULL);
	if (r >= 0)
		r = conf_fill(&outer, conf_root(doc), ret, &d);
	*ret_errors = d.errors;
	return r;
}

static json_t *round_trip(const char *text, size_t *ret_errors)
{
	Outer a, b;
	size_t first = 0;
	CHECK(read_text(text, &a, &first) == 0 && first == 0);
	json_auto_t *once = conf_dump(&outer, &a);
	char *written = json_dumps(once, JSON_COMPACT);
	CHECK(written != NULL);
	CHECK(read_text(written, &b, ret_errors) == 0);
	json_t *twice = conf_dump(&outer, &b);
	CHECK(json_equal(once, twice));
	free(written);
	conf_done(&outer, &a);
	conf_done(&outer, &b);
	return twice;
}

TEST(everything_that_was_said_is_said_again)
{
	size_t errors = 0;
	json_auto_t *v =
	    round_trip("on: false\ncount: 3\nshare: 0.45\nword: \"true\"\ncolour: green\n"
		       "list: [a, \"1\"]\nany: {x: [1, null]}\nin: {size: 3 MiB, wait: 250us}\n"
		       "maybe: {wait: 1 min}\nnamed: {one: {size: 7}, two: {}}\n",
		       &errors);
	CHECK_INT(errors, 0);
	CHECK(json_object_size(v) == 10);
	CHECK_INT(json_integer_value(json_object_get(json_object_get(v, "in"), "size")), 3 << 20);
	CHECK_STR(json_string_value(json_object_get(v, "word")), "true");
}

TEST(what_is_as_by_default_is_left_out)
{
	size_t errors = 0;
	json_auto_t *v = round_trip("on: true\n", &errors);
	CHECK_INT(errors, 0);
	CHECK_INT(json_object_size(json_object_get(v, "in")), 0);
	CHECK(json_object_get(v, "count") == NULL);
	CHECK(json_object_get(v, "on") == NULL);
}
