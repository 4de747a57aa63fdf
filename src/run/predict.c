#include "run/internal.h"

#include <string.h>

int predict_point(const Experiment *x, const Point *p, Fit *ret, Err *err)
{
	if (!x->memory) {
		*ret = (Fit){.verdict = FIT_UNKNOWN,
			     .kv_bytes = INT64_MIN,
			     .kv_tokens = -1,
			     .used_bytes = -1};
		return 0;
	}
	json_auto_t *params = point_json(x->space, p);
	if (!params)
		return err_oom(err);
	return footprint_predict(x->memory, x->services.items, x->services.n, params, ret, err);
}

bool predict_feasible(void *userdata, const Point *p)
{
	Predictor *predictor = userdata;
	Fit fit = {0};
	Err err = ERR_INIT;
	int r = predict_point(predictor->experiment, p, &fit, &err);
	if (r < 0) {
		predictor->failed = r;
		return true;
	}
	bool feasible = fit.verdict != FIT_NO;
	fit_done(&fit);
	return feasible;
}

int predict_space(const Experiment *x, PredictFn *infeasible, void *userdata, Prediction *ret,
		  Err *err)
{
	Prediction sum = {0};
	Point p = {0};
	uint64_t looked = 0;
	bool more;
	for (more = space_first(x->space, &p); more && looked < PREDICT_MAX;
	     more = space_next(x->space, &p)) {
		looked++;
		if (!space_allows(x->space, &p, NULL))
			continue;
		sum.points++;
		Fit fit = {0};
		int r = predict_point(x, &p, &fit, err);
		if (r < 0)
			return r;
		sum.infeasible += fit.verdict == FIT_NO;
		sum.unknown += fit.verdict == FIT_UNKNOWN;
		r = fit.verdict == FIT_NO && infeasible ? infeasible(userdata, &p, &fit) : 0;
		fit_done(&fit);
		if (r < 0)
			return r;
	}
	sum.complete = !more;
	*ret = sum;
	return 0;
}
