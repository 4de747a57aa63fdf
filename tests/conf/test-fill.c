#include "read.h"

typedef struct Limits {
	char *name;
	int64_t tries;
	double share;
} Limits;

typedef struct Thing {
	bool on;
	int mode;
	int64_t wait_us, memory_bytes;
	char *text;
	ConfStrings tags;
	json_t *any;
	Limits limits;
	Limits *more;
	ConfList list, named;
	int64_t even;
} Thing;

static const ConfField limits_fields[] = {
    {"name", CONF_T_STRING, offsetof(Limits, name), .help = "Its name"},
    {"tries", CONF_T_INT, offsetof(Limits, tries), .required = true, .min = 1, .max = 100},
    {"share", CONF_T_NUMBER, offsetof(Limits, share), .otherwise = "0.5", .min = 0, .max = 1},
    {0},
};

static void check_limits(const ConfNode *n, void *target, Diags *d)
{
	const Limits *l = target;
	if (l->share * (double)l->tries > 50)
		conf_fault(n, d, "at most 50", "share times tries is %g",
			   l->share * (double)l->tries);
}

static const ConfTable limits_table = {
    .name = "limits",
    .size = sizeof(Limits),
    .fields = limits_fields,
    .check = check_limits,
};

static int read_even(const ConfNode *n, void *member, Diags *d)
{
	int64_t v;
	if (!conf_as_int(n, &v) || v % 2 != 0)
		conf_fault(n, d, "an even number", "'even' is odd");
	else
		*(int64_t *)member = v;
	return 0;
}

static const ConfCustom even = {.read = read_even};
static const char *const modes[] = {"latency", "capacity", "quality", NULL};

static const ConfField thing_fields[] = {
    {"on", CONF_T_BOOL, offsetof(Thing, on), .otherwise = "true"},
    {"mode", CONF_T_ENUM, offsetof(Thing, mode), .otherwise = "quality", .choices = modes},
    {"wait", CONF_T_DURATION, offsetof(Thing, wait_us), .otherwise = "5 min", .max = 3600},
    {"memory", CONF_T_BYTES, offsetof(Thing, memory_bytes), .help = "GPU memory"},
    {"text", CONF_T_STRING, offsetof(Thing, text), .otherwise = "'as it is: so'"},
    {"tags", CONF_T_STRINGS, offsetof(Thing, tags), .otherwise = "[a, b]"},
    {"any", CONF_T_JSON, offsetof(Thing, any), .help = "Anything"},
    {"limits", CONF_T_OBJECT, offsetof(Thing, limits), .table = &limits_table},
    {"more", CONF_T_OPTIONAL, offsetof(Thing, more), .table = &limits_table},
    {"list", CONF_T_LIST, offsetof(Thing, list), .table = &limits_table},
    {"named", CONF_T_NAMED, offsetof(Thing, named), .table = &limits_table},
    {"even", CONF_T_CUSTOM, offsetof(Thing, even), .otherwise = "-4", .custom = &even},
    {0},
};

static const ConfTable thing_table = {
    .name = "thing",
    .size = sizeof(Thing),
    .fields = thing_fields,
};

static void thing_done(Thing *t)
{
	conf_done(&thing_table, t);
}

static void fill(const char *text, Thing *ret, const char *want_diags)
{
	_cleanup_(reading_done) Reading x = read_text(text);
	CHECK_OK(x.r);
	CHECK_OK(conf_fill(&thing_table, conf_root(x.doc), ret, &x.d));
	check_diags(&x.d, want_diags);
}

static void check_fault(const char *text, const char *want)
{
	_cleanup_(thing_done) Thing t = {0};
	_cleanup_free_ char *line = NULL;
	CHECK(asprintf(&line, "t.yaml:%s\n", want) > 0);
	fill(text, &t, line);
}

static void check_defaults(const Thing *t)
{
	CHECK(t->on && t->mode == 2 && t->memory_bytes == 0 && t->even == -4);
	CHECK_INT(t->wait_us, 300000000);
	CHECK_STR(t->text, "as it is: so");
	CHECK_INT(t->tags.n, 2);
	CHECK_STR(t->tags.items[1], "b");
	CHECK_NEAR(t->limits.share, 0.5, 0);
	CHECK(!t->any && !t->more && t->list.n == 0 && t->named.n == 0);
}

TEST(an_empty_map_gives_the_defaults)
{
	_cleanup_(thing_done) Thing filled = {0}, defaults = {0};
	fill("{}", &filled, "");
	check_defaults(&filled);
	CHECK_OK(conf_defaults(&thing_table, &defaults));
	check_defaults(&defaults);
}

TEST(every_type_reads_its_value)
{
	_cleanup_(thing_done) Thing t = {0};
	fill("on: false\nmode: latency\nwait: 90 s\nmemory: 5.5 GiB\ntext: 3.10\ntags: [x, 'y z', "
	     "3]\n"
	     "any: {k: [1, ~]}\nlimits: {tries: 3, share: 1}\nmore: {tries: 4, name: m}\n"
	     "list: [{tries: 5}, {tries: 6}]\nnamed:\n  vllm: {tries: 7}\n  whisper: {tries: 8}\n"
	     "even: 12\n",
	     &t, "");
	CHECK(!t.on && t.mode == 0 && t.wait_us == 90000000 && t.even == 12);
	CHECK_INT(t.memory_bytes, INT64_C(5905580032));
	CHECK_STR(t.text, "3.10");
	CHECK(t.tags.n == 3 && strcmp(t.tags.items[1], "y z") == 0);
	CHECK_INT(json_array_size(json_object_get(t.any, "k")), 2);
	CHECK(t.limits.tries == 3 && t.limits.share == 1);
	CHECK(t.more && t.more->tries == 4 && t.more->share == 0.5);
	const Limits *list = t.list.items, *named = t.named.items;
	CHECK(t.list.n == 2 && list[1].tries == 6 && list[1].share == 0.5);
	CHECK(t.named.n == 2 && named[1].tries == 8);
	CHECK_STR(named[0].name, "vllm");
	CHECK_STR(named[1].name, "whisper");
}

TEST(a_key_without_a_value_is_like_an_absent_one)
{
	_cleanup_(thing_done) Thing t = {0};
	fill("on:\nmode: ~\nwait: null\nmemory:\ntext:\ntags:\nlimits:\nmore: ~\nlist:\nnamed:\n",
	     &t, "");
	check_defaults(&t);
	_cleanup_(thing_done) Thing with_null = {0};
	fill("any: ~\n", &with_null, "");
	CHECK(json_is_null(with_null.any));
}

TEST(one_text_is_a_list_of_one)
{
	_cleanup_(thing_done) Thing t = {0}, none = {0};
	fill("tags: alone\n", &t, "");
	CHECK_INT(t.tags.n, 1);
	CHECK_STR(t.tags.items[0], "alone");
	fill("tags: []\n", &none, "");
	CHECK_INT(none.tags.n, 0);
}

TEST(unknown_keys_name_the_nearest_or_all_that_are_known)
{
	check_fault("limits: {tries: 1, shar: 1}", "1:20: error: unknown key 'shar' in limits; did "
						   "you mean 'share'?");
	check_fault("limits: {tries: 1, frobnicate: 1}",
		    "1:20: error: unknown key 'frobnicate' in limits; accepted keys: name, tries, "
		    "share");
	check_fault("\"\\e[2J\": 1",
		    "1:1: error: unknown key '\\x1b[2J' in thing; accepted keys: on, "
		    "mode, wait, memory, text, tags, any, limits, more, list, named, "
		    "even");
}

TEST(wrong_types_say_what_was_found_and_what_is_expected)
{
	check_fault("on: yes", "1:5: error: 'on' is the text 'yes'; expected true or false");
	check_fault("on: 1", "1:5: error: 'on' is 1; expected true or false");
	check_fault("limits: {tries: 1.5}",
		    "1:17: error: 'tries' is 1.5; expected a whole number from 1 to 100");
	check_fault("limits: {tries: '5'}",
		    "1:17: error: 'tries' is the quoted text '5'; expected a "
		    "whole number from 1 to 100");
	check_fault("limits: {tries: 5, share: {a: b}}",
		    "1:27: error: 'share' is a map; expected a number from 0 to 1");
	check_fault("limits: {tries: 5, share: .nan}",
		    "1:27: error: 'share' is the text '.nan'; expected a number from 0 to 1");
	check_fault("text: [a]", "1:7: error: 'text' is a list; expected a text");
	check_fault("tags: {a: b}", "1:7: error: 'tags' is a map; expected a list of texts");
	check_fault("tags: [a, [b]]", "1:11: error: an item of 'tags' is a list; expected a text");
	check_fault("tags: [a, ~]", "1:11: error: an item of 'tags' is empty; expected a text");
	check_fault("wait: 5 parsecs", "1:7: error: 'wait' is the text '5 parsecs'; expected a "
				       "duration from 0 to 3600 s, like 90 s, 5 min or 250 ms");
	check_fault("memory: [1]", "1:9: error: 'memory' is a list; expected an amount of memory, "
				   "like 5.5 GiB or 512 MiB");
	check_fault("limits: 3", "1:9: error: 'limits' is 3; expected a map");
	check_fault("more: [1]", "1:7: error: 'more' is a list; expected a map");
	check_fault("list: {a: b}", "1:7: error: 'list' is a map; expected a list of maps");
	check_fault("named: [1]", "1:8: error: 'named' is a list; expected a map of names to maps");
	check_fault("even: 3", "1:7: error: 'even' is odd; an even number");
}

TEST(a_choice_names_the_nearest_and_all)
{
	check_fault("mode: latensy", "1:7: error: 'mode' is the text 'latensy'; did you mean "
				     "'latency'? (one of latency, capacity, quality)");
	check_fault("mode: fast", "1:7: error: 'mode' is the text 'fast'; expected one of latency, "
				  "capacity, quality");
	check_fault("mode: [latency]",
		    "1:7: error: 'mode' is a list; expected one of latency, capacity, quality");
}

TEST(a_number_out_of_range_gives_the_range)
{
	check_fault("limits: {tries: 0}",
		    "1:17: error: 'tries' is 0; expected a whole number from 1 to 100");
	check_fault("limits: {tries: 101}",
		    "1:17: error: 'tries' is 101; expected a whole number from 1 to 100");
	check_fault("limits: {tries: 1, share: 1.0000001}",
		    "1:27: error: 'share' is 1.0000001; expected a number from 0 to 1");
	check_fault("wait: 2 h",
		    "1:7: error: 'wait' is the text '2 h'; expected a duration from 0 to "
		    "3600 s, like 90 s, 5 min or 250 ms");
	check_fault("limits: {tries: 99999999999999999999}",
		    "1:17: error: 'tries' is 99999999999999999999; expected a whole number from 1 "
		    "to 100");
}

TEST(a_missing_key_is_named_at_the_place_of_its_map)
{
	check_fault("on: true\nlimits:\n  share: 1\n",
		    "3:3: error: the required key 'tries' is missing in limits; expected a whole "
		    "number from 1 to 100");
	check_fault("limits: {tries: }", "1:17: error: the required key 'tries' has no value in "
					 "limits; expected a whole number from 1 to 100");
	check_fault("named: {a: }", "1:12: error: the required key 'tries' is missing in limits; "
				    "expected a whole number from 1 to 100");
}

TEST(what_is_no_map_at_all_is_one_mistake_and_leaves_the_defaults)
{
	_cleanup_(thing_done) Thing t = {0}, empty = {0}, list = {0};
	fill("text", &t, "t.yaml:1:1: error: thing is the text 'text'; expected a map\n");
	check_defaults(&t);
	fill("", &empty, "t.yaml:1:1: error: thing is empty; expected a map\n");
	fill("- a", &list, "t.yaml:1:1: error: thing is a list; expected a map\n");
}

TEST(all_mistakes_are_found_at_once_and_the_rest_is_read)
{
	_cleanup_(thing_done) Thing t = {0};
	fill(
	    "on: maybe\n"
	    "mode: capacity\n"
	    "wait: never\n"
	    "limits: {tries: 1000, share: 0.25}\n"
	    "list:\n"
	    "  - {tries: 1}\n"
	    "  - foo\n"
	    "  - {tries: x, share: 0.75}\n"
	    "named:\n"
	    "  a: {name: b, tries: 2}\n"
	    "  c: [1]\n"
	    "unknown: 1\n",
	    &t,
	    "t.yaml:1:5: error: 'on' is the text 'maybe'; expected true or false\n"
	    "t.yaml:3:7: error: 'wait' is the text 'never'; expected a duration from 0 to 3600 s, "
	    "like 90 s, 5 min or 250 ms\n"
	    "t.yaml:4:17: error: 'tries' is 1000; expected a whole number from 1 to 100\n"
	    "t.yaml:7:5: error: an item of 'list' is the text 'foo'; expected a map\n"
	    "t.yaml:8:13: error: 'tries' is the text 'x'; expected a whole number from 1 to 100\n"
	    "t.yaml:10:13: error: 'name' is given by the key of this limits already; leave it out\n"
	    "t.yaml:11:6: error: an item of 'named' is a list; expected a map\n"
	    "t.yaml:12:1: error: unknown key 'unknown' in thing; accepted keys: on, mode, wait, "
	    "memory, text, tags, any, limits, more, list, named, even\n");
	/* What was wrong has its default. */
	CHECK(t.on && t.wait_us == 300000000 && t.limits.tries == 0);
	CHECK(t.mode == 1 && t.limits.share == 0.25);
	const Limits *list = t.list.items, *named = t.named.items;
	CHECK(t.list.n == 2 && list[0].tries == 1 && list[1].share == 0.75);
	CHECK(t.named.n == 1 && strcmp(named[0].name, "a") == 0 && named[0].tries == 2);
}

TEST(checks_between_fields_run_when_all_fields_were_right)
{
	check_fault("more: {tries: 100, share: 1}",
		    "1:7: error: share times tries is 100; at most 50");
	check_fault("more: {tries: 100, share: 1, x: 1}",
		    "1:30: error: unknown key 'x' in limits; accepted keys: name, tries, share");
}

TEST(an_open_table_allows_other_keys)
{
	static const ConfTable open_table = {
	    .name = "open", .size = sizeof(Limits), .fields = limits_fields, .open = true};
	_cleanup_(reading_done) Reading x = read_text("{tries: 3, anything: 4}");
	Limits l = {0};
	CHECK_OK(conf_fill(&open_table, conf_root(x.doc), &l, &x.d));
	check_diags(&x.d, "");
	CHECK_INT(l.tries, 3);
	conf_done(&open_table, &l);
}

TEST(a_default_that_its_field_refuses_is_a_fault_of_the_program)
{
	static const ConfField fields[] = {
	    {"share", CONF_T_NUMBER, offsetof(Limits, share), .otherwise = "2", .min = 0, .max = 1},
	    {0},
	};
	static const ConfTable table = {.name = "bad", .size = sizeof(Limits), .fields = fields};
	Limits l = {0};
	CHECK_ERR(conf_defaults(&table, &l), EINVAL);
}

TEST(bounds_may_be_on_one_side_only)
{
	static const ConfField fields[] = {
	    {"tries", CONF_T_INT, offsetof(Limits, tries), .min = 1, .max = HUGE_VAL},
	    {"share", CONF_T_NUMBER, offsetof(Limits, share), .min = -HUGE_VAL, .max = 1},
	    {0},
	};
	static const ConfTable table = {.name = "open", .size = sizeof(Limits), .fields = fields};
	_cleanup_(reading_done) Reading x = read_text("{tries: 0, share: 2}");
	Limits l = {0};
	CHECK_OK(conf_fill(&table, conf_root(x.doc), &l, &x.d));
	check_diags(&x.d, "t.yaml:1:9: error: 'tries' is 0; expected a whole number of at least 1\n"
			  "t.yaml:1:19: error: 'share' is 2; expected a number of at most 1\n");
}

TEST(long_texts_are_cut_in_messages)
{
	_cleanup_(str_done) Str text = STR_INIT;
	str_add(&text, "on: ");
	for (int i = 0; i < 500; i++)
		str_add(&text, "\xc3\xa4");
	_cleanup_(reading_done) Reading x = read_text(text.s);
	_cleanup_(thing_done) Thing t = {0};
	CHECK_OK(conf_fill(&thing_table, conf_root(x.doc), &t, &x.d));
	CHECK_INT(x.d.n, 1);
	CHECK(strlen(x.d.items[0].what) < 160 && strstr(x.d.items[0].what, "...'"));
}

TEST(structs_are_freed_once_and_come_out_empty)
{
	Thing t = {0}, zero = {0};
	fill("{tags: [a], any: [1], more: {tries: 1, name: x}, list: [{tries: 1, name: y}], named: "
	     "{z: "
	     "{tries: 1}}}",
	     &t, "");
	conf_done(&thing_table, &t);
	CHECK(memcmp(&t, &zero, sizeof(t)) == 0);
	conf_done(&thing_table, &t);
}
