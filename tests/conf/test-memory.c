/* Reading and filling with the k-th allocation failing, for every k: never a crash, never a leak
 * (AddressSanitizer looks), never a mistake forgotten. */
#include "base/json.h"
#include "read.h"

static long until_failure = -1; /* -1: never */

static bool fails(void)
{
	return until_failure >= 0 && until_failure-- == 0;
}

/* The linker sends the calls of our own code here. */
void *__real_malloc(size_t n);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *p, size_t n);
void *__real_reallocarray(void *p, size_t n, size_t size);
char *__real_strdup(const char *s);
void *__wrap_malloc(size_t n);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *p, size_t n);
void *__wrap_reallocarray(void *p, size_t n, size_t size);
char *__wrap_strdup(const char *s);

void *__wrap_malloc(size_t n)
{
	return fails() ? NULL : __real_malloc(n);
}

void *__wrap_calloc(size_t n, size_t size)
{
	return fails() ? NULL : __real_calloc(n, size);
}

void *__wrap_realloc(void *p, size_t n)
{
	return fails() ? NULL : __real_realloc(p, n);
}

void *__wrap_reallocarray(void *p, size_t n, size_t size)
{
	return fails() ? NULL : __real_reallocarray(p, n, size);
}

char *__wrap_strdup(const char *s)
{
	return fails() ? NULL : __real_strdup(s);
}

typedef struct Item {
	char *name;
	int64_t tries;
} Item;

typedef struct Thing {
	ConfStrings tags;
	json_t *any;
	Item *more;
	ConfList list, named;
} Thing;

static const ConfField item_fields[] = {
    {"name", CONF_T_STRING, offsetof(Item, name), .otherwise = "'a: b'"},
    {"tries", CONF_T_INT, offsetof(Item, tries), .required = true, .min = 1, .max = 100},
    {0},
};
static const ConfTable item_table = {.name = "item", .size = sizeof(Item), .fields = item_fields};

static const ConfField thing_fields[] = {
    {"tags", CONF_T_STRINGS, offsetof(Thing, tags), .otherwise = "[a, b]"},
    {"any", CONF_T_JSON, offsetof(Thing, any), .help = "Anything"},
    {"more", CONF_T_OPTIONAL, offsetof(Thing, more), .table = &item_table},
    {"list", CONF_T_LIST, offsetof(Thing, list), .table = &item_table},
    {"named", CONF_T_NAMED, offsetof(Thing, named), .table = &item_table},
    {0},
};
static const ConfTable thing_table = {
    .name = "thing", .size = sizeof(Thing), .fields = thing_fields};

static const char right[] = "tags: [x, y]\nany: &a {k: [1, 2.5, text]}\nmore: {tries: 1}\n"
			    "list: [{tries: 2}, {tries: 3, name: n}]\nnamed: {q: {tries: 4}}\n";
static const char wrong[] = "tagz: 1\nmore: {tries: 0}\nlist: [1, {tries: x}]\nmore: 1\n";

/* What the caller sees: a fault, or the mistakes. */
static int read_all(const char *text, size_t *ret_errors, bool *ret_whole)
{
	_cleanup_(diags_done) Diags d = DIAGS_INIT;
	_cleanup_(conf_freep) ConfDoc *doc = NULL;
	Thing thing = {0};
	Err err = ERR_INIT;
	int r = conf_read_text("t.yaml", text, strlen(text), &doc, &d, &err);
	CHECK((r == 0) == (doc != NULL));
	if (r == 0)
		r = conf_fill(&thing_table, conf_root(doc), &thing, &d);
	conf_done(&thing_table, &thing);
	if (r == 0) {
		json_auto_t *v = conf_to_json(conf_root(doc));
		_cleanup_(str_done) Str out = STR_INIT;
		js_canonical(v, &out);
		r = out.failed ? -ENOMEM : 0;
	}
	*ret_errors = d.errors;
	*ret_whole = !d.truncated;
	return r;
}

static void fail_each(const char *text, size_t errors)
{
	for (long k = 0;; k++) {
		size_t found = 0;
		bool whole = false;
		until_failure = k;
		int r = read_all(text, &found, &whole);
		bool reached = until_failure < 0;
		until_failure = -1;
		if (!reached) {
			CHECK(r == 0 && found == errors && whole && k > 50);
			return;
		}
		if (r != -ENOMEM && (r != 0 || found != errors))
			test_fail(__FILE__, __LINE__, "allocation %ld: %d with %zu mistakes", k, r,
				  found);
	}
}

TEST(a_right_file_is_read_or_memory_ran_out)
{
	json_set_alloc_funcs(__wrap_malloc, free);
	fail_each(right, 0);
}

TEST(no_mistake_is_forgotten_when_memory_runs_out)
{
	json_set_alloc_funcs(__wrap_malloc, free);
	fail_each(wrong, 5);
}
