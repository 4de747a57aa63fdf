/* Configuration of others: read, filled into a struct with a field of every type, turned into JSON.
 * Whatever comes in, the diagnostics are lines of text that a terminal can show. */
#include <string.h>

#include "base/json.h"
#include "conf/conf.h"
#include "fuzz.h"

typedef struct Limits {
	char *name;
	int64_t tries;
	double share;
} Limits;

typedef struct Thing {
	bool on;
	int mode;
	int64_t wait_us, memory_bytes;
	ConfStrings tags;
	json_t *any;
	Limits limits;
	Limits *more;
	ConfList list, named;
	json_t *custom;
} Thing;

static const ConfField limits_fields[] = {
    {"name", CONF_T_STRING, offsetof(Limits, name), .help = "A name"},
    {"tries", CONF_T_INT, offsetof(Limits, tries), .required = true, .min = 1, .max = 100},
    {"share", CONF_T_NUMBER, offsetof(Limits, share), .otherwise = "0.5", .min = 0, .max = 1},
    {0},
};

static void check_limits(const ConfNode *n, void *target, Diags *d)
{
	const Limits *l = target;
	MUST(l->tries >= 1 && l->tries <= 100 && l->share >= 0 && l->share <= 1);
	if (l->share * (double)l->tries > 50)
		conf_warn(n, d, NULL, "that is much");
}

static const ConfTable limits_table = {
    .name = "limits",
    .size = sizeof(Limits),
    .fields = limits_fields,
    .check = check_limits,
};

static int read_custom(const ConfNode *n, void *member, Diags *d)
{
	if (conf_kind(n) != CONF_SEQ)
		conf_fault(n, d, "a list", "'custom' is no list");
	*(json_t **)member = conf_to_json(n);
	return 0;
}

static void done_custom(void *member)
{
	json_decref(*(json_t **)member);
}

static const ConfCustom custom = {.read = read_custom, .done = done_custom};
static const char *const modes[] = {"latency", "capacity", "quality", NULL};

static const ConfField thing_fields[] = {
    {"on", CONF_T_BOOL, offsetof(Thing, on), .otherwise = "true"},
    {"mode", CONF_T_ENUM, offsetof(Thing, mode), .otherwise = "quality", .choices = modes},
    {"wait", CONF_T_DURATION, offsetof(Thing, wait_us), .otherwise = "5 min", .max = 1e6},
    {"memory", CONF_T_BYTES, offsetof(Thing, memory_bytes), .help = "Memory"},
    {"tags", CONF_T_STRINGS, offsetof(Thing, tags), .otherwise = "[a, b]"},
    {"any", CONF_T_JSON, offsetof(Thing, any), .help = "Anything"},
    {"limits", CONF_T_OBJECT, offsetof(Thing, limits), .table = &limits_table},
    {"more", CONF_T_OPTIONAL, offsetof(Thing, more), .table = &limits_table},
    {"list", CONF_T_LIST, offsetof(Thing, list), .table = &limits_table},
    {"named", CONF_T_NAMED, offsetof(Thing, named), .table = &limits_table},
    {"custom", CONF_T_CUSTOM, offsetof(Thing, custom), .custom = &custom},
    {0},
};

static const ConfTable thing_table = {
    .name = "thing", .size = sizeof(Thing), .fields = thing_fields};

static void check_lines(Diags *d)
{
	_cleanup_(str_done) Str text = STR_INIT;
	diags_sort(d);
	diags_text(d, &text);
	size_t lines = 0;
	for (size_t i = 0; i < text.len; i++) {
		lines += text.s[i] == '\n';
		MUST(text.s[i] == '\n' || (unsigned char)text.s[i] >= 0x20);
	}
	MUST(lines == d->n + (d->truncated && d->errors > DIAGS_MAX));
	for (size_t i = 0; i < d->n; i++)
		MUST(d->items[i].line > 0 && d->items[i].column > 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_(diags_done) Diags d = DIAGS_INIT;
	_cleanup_(conf_freep) ConfDoc *doc = NULL;
	Err err = ERR_INIT;
	int r = conf_read_text("fuzz.yaml", (const char *)data, size, &doc, &d, &err);
	MUST((r == 0) == (doc != NULL));
	MUST(r == 0 || (r == -EBADMSG && d.errors > 0 && err.msg[0] != '\0'));
	if (doc) {
		Thing thing = {0};
		MUST(conf_fill(&thing_table, conf_root(doc), &thing, &d) == 0);
		conf_done(&thing_table, &thing);

		json_auto_t *json = conf_to_json(conf_root(doc));
		_cleanup_(str_done) Str text = STR_INIT;
		js_canonical(json, &text);
		MUST(!text.failed);
	}
	check_lines(&d);
	return 0;
}
