#include "config/scan.h"

#include <math.h>

#include "base/str.h"

int scan_point(const Experiment *x, const Footprint *fp, const Point *p, Fit *ret, Err *err)
{
	json_auto_t *params = NULL;
	const Footprint *memory = fp ? fp : x->memory;
	if (!memory) {
		*ret = (Fit){.verdict = FIT_UNKNOWN,
			     .kv_bytes = INT64_MIN,
			     .kv_tokens = -1,
			     .kv_concurrency = (double)NAN,
			     .min_share = (double)NAN,
			     .used_bytes = -1};
		ret->reason = str_fmt("the experiment has no memory: block");
		return ret->reason ? 0 : err_oom(err);
	}
	params = point_json(x->space, p);
	if (!params)
		return err_oom(err);
	return footprint_predict(memory, x->services.items, x->services.n, params, ret, err);
}

static int scan_one(const Experiment *x, const Footprint *fp, const Point *p, ScanFn *fn,
		    void *userdata, Scan *scan, Err *err)
{
	Fit fit = {0};
	int r;
	if (!space_allows(x->space, p, NULL))
		return 0;
	scan->allowed++;
	r = scan_point(x, fp, p, &fit, err);
	if (r < 0)
		return r;
	scan->fit += fit.verdict == FIT_YES;
	scan->infeasible += fit.verdict == FIT_NO;
	scan->unknown += fit.verdict == FIT_UNKNOWN;
	r = fn ? fn(userdata, p, &fit) : 0;
	fit_done(&fit);
	return r;
}

int scan_space(const Experiment *x, const Footprint *fp, uint64_t max, ScanFn *fn, void *userdata,
	       Scan *ret, Err *err)
{
	Point p = {0};
	int r = 0;
	bool more = space_first(x->space, &p);
	*ret = (Scan){0};
	while (more && r == 0 && (max == 0 || ret->points < max)) {
		ret->points++;
		r = scan_one(x, fp, &p, fn, userdata, ret, err);
		more = space_next(x->space, &p);
	}
	ret->whole = !more;
	return r;
}
