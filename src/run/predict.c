#include "run/internal.h"

bool predict_feasible(void *userdata, const Point *p)
{
	Predictor *predictor = userdata;
	Fit fit = {0};
	Err err = ERR_INIT;
	if (!predictor->experiment->memory)
		return true;
	int r = scan_point(predictor->experiment, NULL, p, &fit, &err);
	if (r < 0) {
		predictor->failed = r;
		return true;
	}
	bool feasible = fit.verdict != FIT_NO;
	fit_done(&fit);
	return feasible;
}
