#pragma once
/* Spaces for tests, from the YAML a person would write. */
#include "../test.h"
#include "base/str.h"
#include "space/space.h"

/* `text` holds search_space, and bounds and forbid where wanted. Diagnostics go to `ret_diags` (may
 * be NULL: then there must be none). NULL when there were mistakes. */
static inline Space *space_of(const char *text, Str *ret_diags)
{
	Diags d = DIAGS_INIT;
	Err err = ERR_INIT;
	_cleanup_(conf_freep) ConfDoc *doc = NULL;
	Space *s = NULL;
	int e = conf_read_text("t.yaml", text, strlen(text), &doc, &d, &err);
	if (e >= 0) {
		const ConfNode *root = conf_root(doc);
		e = space_read(conf_get(root, "search_space"), conf_get(root, "bounds"),
			       conf_get(root, "forbid"), &s, &d);
	}
	diags_sort(&d);
	if (ret_diags)
		diags_text(&d, ret_diags);
	else if (e < 0)
		test_fail(__FILE__, __LINE__, "%s: %d %s", text, e, d.n ? d.items[0].what : "");
	if (d.errors > 0 && (e != -EBADMSG || s))
		test_fail(__FILE__, __LINE__, "mistakes, but %d", e);
	diags_done(&d);
	return s;
}
