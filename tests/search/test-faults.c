/* Memory runs out at the k-th allocation, for every k: an error and no other change. Linked so that
 * calloc, realloc and strdup of the program come here (see meson.build). */
#include <errno.h>

#include "problems.h"

void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *p, size_t size);
char *__real_strdup(const char *s);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *p, size_t size);
char *__wrap_strdup(const char *s);

static long countdown = -1; /* allocations until one fails; negative: none does */

static bool fails(void)
{
	return countdown >= 0 && countdown-- == 0;
}

void *__wrap_calloc(size_t n, size_t size)
{
	return fails() ? NULL : __real_calloc(n, size);
}

void *__wrap_realloc(void *p, size_t size)
{
	return fails() ? NULL : __real_realloc(p, size);
}

char *__wrap_strdup(const char *s)
{
	return fails() ? NULL : __real_strdup(s);
}

static void *json_alloc(size_t size)
{
	return fails() ? NULL : malloc(size);
}

enum {
	TRIALS = 400,
};

/* Asks and tells to the end; an ask that fails for want of memory is asked once more. Gives the
 * number of failures. */
static size_t trials(Search *search, const Problem *pr, const Space *s, Point *ret, size_t *ret_n)
{
	size_t failed = 0, n = 0;
	while (n < TRIALS) {
		SearchAsk a;
		Err err = ERR_INIT;
		int e = search_ask(search, &a, &err);
		if (e == -ENOMEM && failed++ == 0)
			continue;
		CHECK_OK(e);
		if (e == 0)
			break;
		SearchTell t = tell_of(pr, s, &a);
		CHECK_OK(search_tell(search, &t, &err));
		ret[n++] = a.point;
	}
	*ret_n = n;
	return failed;
}

static void fail_every_allocation(const char *strategy)
{
	static Point want[TRIALS], got[TRIALS];
	const Problem *pr = &problems[3]; /* with a region that fails */
	_cleanup_(space_freep) Space *s = space_from(pr->space);
	SearchSpec spec = seeds_spec(strategy, s, 11);
	spec.max_generations = 40;
	size_t n_want = 0, n_got, hits = 0, later = 0;
	for (long k = -1;; k++) {
		_cleanup_(search_freep) Search *search = NULL;
		Err err = ERR_INIT;
		countdown = k;
		int e = search_new(&spec, &search, &err);
		if (e < 0) {
			CHECK_INT(e, -ENOMEM);
			CHECK(!search && err.msg[0]);
			hits++;
			continue;
		}
		later += trials(search, pr, s, k < 0 ? want : got, k < 0 ? &n_want : &n_got);
		if (k < 0)
			continue;
		CHECK_INT((intmax_t)n_got, (intmax_t)n_want);
		for (size_t i = 0; i < n_want; i++)
			if (!point_equal(s, &want[i], &got[i]))
				test_fail(__FILE__, __LINE__, "allocation %ld, ask %zu", k, i);
		if (countdown >= 0)
			break; /* there were fewer allocations than k */
	}
	countdown = -1;
	CHECK(n_want > 100 && hits > 3 && later > 3);
}

TEST(an_ask_without_memory_changes_nothing)
{
	fail_every_allocation("rzero");
	fail_every_allocation("random");
	fail_every_allocation("grid");
}

TEST(a_space_is_read_whole_or_not_at_all)
{
	static const char text[] =
	    "search_space:\n  on: {type: bool}\n  k: {values: [2, 4], when: {on: true}}\n"
	    "  m: [[a, b], [c]]\n  u: {min: 0.1, max: 0.9, step: 0.1}\n  n: {min: 1, max: 64, log: "
	    "true}\n"
	    "bounds: {u: {min: 0.2}}\nforbid: [{k: [2, 4], m: [c]}, {u: 0.5, on: false}]\n";
	Diags none = DIAGS_INIT;
	Err err = ERR_INIT;
	_cleanup_(conf_freep) ConfDoc *doc = NULL;
	CHECK_OK(conf_read_text("t.yaml", text, strlen(text), &doc, &none, &err));
	const ConfNode *root = conf_root(doc);
	long k = 0;
	json_set_alloc_funcs(json_alloc, free);
	for (;; k++) {
		_cleanup_(diags_done) Diags d = DIAGS_INIT;
		_cleanup_(space_freep) Space *s = NULL;
		countdown = k;
		int e = space_read(conf_get(root, "search_space"), conf_get(root, "bounds"),
				   conf_get(root, "forbid"), &s, &d);
		bool all = countdown >= 0;
		countdown = -1;
		if (all) {
			CHECK_OK(e);
			break;
		}
		if (e >= 0 || s)
			test_fail(__FILE__, __LINE__, "allocation %ld: %d", k, e);
	}
	CHECK(k > 30);
	json_set_alloc_funcs(malloc, free);
}
