#include "run/internal.h"

bool predict_feasible(void *userdata, const Point *p)
{
	Predictor *predictor = userdata;
	Fit fit = {0};
	Err err = ERR_INIT;
	const Footprint *memory = predictor->learned ? learned_footprint(predictor->learned)
						     : predictor->experiment->memory;
	if (!memory)
		return true;
	int r = scan_point(predictor->experiment, memory, p, &fit, &err);
	if (r < 0) {
		predictor->failed = r;
		return true;
	}
	bool feasible = fit.verdict != FIT_NO;
	fit_done(&fit);
	return feasible;
}
