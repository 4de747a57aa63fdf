#pragma once
/* What `dream run` shows while it works: a line a trial, what was found, and on a terminal a
 * progress bar under it. */
#include <stdbool.h>

#include "base/cleanup.h"
#include "base/err.h"
#include "run/run.h"

typedef struct RunView RunView;

/* width 0: no terminal, so plain lines and no bar. */
int run_view_new(size_t width, RunView **ret, Err *err) _must_check_;
RunView *run_view_free(RunView *v); /* accepts NULL, returns NULL */
DEFINE_CLEANUP(RunView *, run_view_free)

void run_view_event(void *view, const RunEvent *e); /* a RunObserver */

/* The bar alone, for tests: "[######......] 12/24 ..." of at most `width` characters. */
void run_view_bar(const RunEvent *e, size_t width, Str *out);
