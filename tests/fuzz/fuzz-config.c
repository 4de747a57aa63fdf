/* dream.yaml of anybody: a plan without mistakes, or mistakes and no plan; and a plan that can be
 * used: its space walked, its candidates predicted. */
#include <string.h>

#include "config/config.h"
#include "fuzz.h"

static void use(const Experiment *x)
{
	Point p;
	int left = 50;

	MUST(x->name && x->space && x->source && x->selector.kind);
	MUST(x->workloads.n > 0 && x->goals.objectives.n > 0);
	for (bool more = space_first(x->space, &p); more && left-- > 0;
	     more = space_next(x->space, &p)) {
		json_auto_t *params = point_json(x->space, &p);
		Fit f;
		Err err = ERR_INIT;
		if (!x->memory)
			continue;
		int r = footprint_predict(x->memory, x->services.items, x->services.n, params, &f,
					  &err);
		MUST(r == 0 || (r == -EINVAL && err.msg[0] != '\0'));
		if (r < 0)
			continue;
		MUST(f.reason && (f.verdict == FIT_NO) == (f.cause[0] != '\0'));
		fit_done(&f);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_(diags_done) Diags d = DIAGS_INIT;
	_cleanup_(config_freep) Plan *p = NULL;
	_cleanup_(str_done) Str out = STR_INIT;
	Err err = ERR_INIT;
	int r = config_load_text("fuzz.yaml", (const char *)data, size, DIAG_WARNING, &p, &d, &err);

	MUST((r == 0) == (p != NULL));
	MUST(r == 0 ? d.errors == 0 : r == -EBADMSG && d.errors > 0);
	diags_text(&d, &out);
	for (size_t i = 0; i < out.len; i++)
		MUST(out.s[i] == '\n' || (unsigned char)out.s[i] >= 0x20);
	for (size_t i = 0; p && i < p->n_experiments; i++)
		use(&p->experiments[i]);
	return 0;
}
