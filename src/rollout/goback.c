/* A going back that was interrupted: what its last step says of it. */
#include "rollout/internal.h"

#include <string.h>

#include "base/json.h"
#include "rollout/text.h"

int goback_take_up(Rollout *r, const json_t *step, Err *err)
{
	int64_t goal = js_int(step, "goal", 0);
	if (goal < 1)
		return err_set(err, -ENOENT, "to which version it went is not known");
	str_copy_to(js_str(step, "rollout", ""), r->id, sizeof(r->id));
	str_copy_to(js_str(step, "by", ""), r->by.name, sizeof(r->by.name));
	str_copy_to(js_str(step, "reason", ""), r->by.reason, sizeof(r->by.reason));
	int e = baseline_current(r->w.store, r->key_hex, &r->baseline, err);
	if (e >= 0)
		e = baseline_version(r->w.store, r->key_hex, goal, &r->goal, err);
	if (e >= 0)
		e = rollout_plan_units(r, err);
	if (e < 0)
		return e;
	for (size_t i = 0; i < r->n_units; i++)
		r->units[i].touched = true;
	r->committed = true;
	return 0;
}
