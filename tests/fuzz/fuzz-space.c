/* A search space of others: either mistakes, each at its place, or a space whose points keep what
 * space.h promises. */
#include <string.h>

#include "fuzz.h"
#include "space/space.h"

enum {
	STEPS = 300, /* points looked at; a space may be astronomically large */
};

static void check_point(const Space *s, const Point *p)
{
	Point canonical = *p, back;
	space_canonical(s, &canonical);
	MUST(point_equal(s, p, &canonical));
	json_auto_t *json = point_json(s, p);
	MUST(json && point_from_json(s, json, &back, NULL) == 0 && point_equal(s, p, &back));
	_cleanup_(str_done) Str why = STR_INIT;
	MUST(space_allows(s, p, &why) == (why.len == 0));
}

static void check_space(const Space *s)
{
	uint64_t n = 0;
	Point p, last;
	MUST(space_dims(s) > 0 && space_dims(s) <= SPACE_DIMS_MAX);
	bool more = space_first(s, &p);
	for (; more && n < STEPS; n++) {
		check_point(s, &p);
		MUST(n == 0 || !point_equal(s, &p, &last));
		last = p;
		more = space_next(s, &p);
	}
	MUST(more ? space_count(s) > n : space_count(s) == n);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_(diags_done) Diags d = DIAGS_INIT;
	_cleanup_(conf_freep) ConfDoc *doc = NULL;
	_cleanup_(space_freep) Space *s = NULL;
	Err err = ERR_INIT;
	if (conf_read_text("fuzz.yaml", (const char *)data, size, &doc, &d, &err) < 0)
		return 0;
	const ConfNode *root = conf_root(doc), *space = conf_get(root, "search_space");
	if (!space)
		return 0;
	size_t before = d.errors; /* such as a key given twice */
	int r = space_read(space, conf_get(root, "bounds"), conf_get(root, "forbid"), &s, &d);
	MUST(r == 0 || r == -EBADMSG);
	MUST((r == 0) == (s != NULL) && (r == 0) == (d.errors == before));
	if (s)
		check_space(s);
	return 0;
}
