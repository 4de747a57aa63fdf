/* What a rollout would do, and what it would cost, before anything is touched. */
#include "rollout/internal.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/json.h"
#include "service/quiesce.h"

static void add_time(Str *out, int64_t us)
{
	char text[32];
	time_human(us, text);
	str_add(out, text);
}

static void add_parameters(const Rollout *r, Str *out)
{
	for (uint32_t i = 0; i < r->spec.n; i++) {
		const RolloutParam *p = &r->params[i];
		const char *between = "";
		str_addf(out, "  %u. %s: %s -> %s, in ", i + 1, p->name, p->from, p->to);
		for (size_t k = 0; k < r->n_units; k++) {
			if (!(p->units & (1U << k)))
				continue;
			str_addf(out, "%s%s", between, r->units[k].name);
			between = ", ";
		}
		if (isnan(p->gain))
			str_add(out, "; what it does alone was not measured\n");
		else
			str_addf(out, "; alone it changes fitness by %+.3f\n", p->gain);
	}
}

/* Of k parameters on a unit: one restart each, one where one must be dropped, and the cold start.
 */
static uint32_t restarts_of(const Rollout *r, size_t unit)
{
	uint32_t n = 0;
	for (uint32_t i = 0; i < r->spec.n; i++)
		n += (r->params[i].units & (1U << unit)) != 0;
	return n + r->spec.cold_start;
}

/* What a trial costs is known when it is over; what it may cost is known before. */
static void add_trials(const Rollout *r, Str *out)
{
	const QuiesceSpec *q = r->x->evaluator.allocation.quiesce;
	if (!q || (!r->spec.isolated && !r->spec.colocated))
		return;
	str_add(out, "  trials: ");
	for (size_t i = 0; i < q->units.n; i++)
		str_addf(out, "%s%s", i ? ", " : "", q->units.items[i]);
	str_add(out, q->units.n == 1 ? " is" : " are");
	str_add(out, " stopped for each of them, for at most ");
	add_time(out, r->x->budget.trial_timeout_us);
	str_add(out, ";\n    all downtime together may be ");
	add_time(out, q->budget_us);
	str_addf(out, " a day (quiesce.budget), in the window %s\n",
		 q->window ? q->window : "(none: never)");
}

static void add_downtime(const Rollout *r, const json_t *status, Str *out)
{
	const json_t *units = json_object_get(status, "units");
	add_trials(r, out);
	for (size_t i = 0; i < r->n_units; i++) {
		uint32_t n = restarts_of(r, i);
		const json_t *state =
		    json_object_get(json_object_get(units, r->units[i].name), "state");
		int64_t took = js_int(state, "started_in_us", 0);
		if (n == 0)
			continue;
		uint32_t most = r->units[i].touched ? n + 1 : n;
		str_addf(out,
			 "  %s: %u restart%s when all is well, %u when one parameter must be "
			 "taken back;\n    not longer than ",
			 r->units[i].name, n, n == 1 ? "" : "s", most);
		add_time(out, most * r->x->rollout.ready_us);
		str_add(out, " together (rollout.ready is ");
		add_time(out, r->x->rollout.ready_us);
		str_addc(out, ')');
		if (took > 0) {
			str_add(out, "; its last start took ");
			add_time(out, took);
			str_add(out, ", loading that systemd does not see not counted");
		}
		str_add(out, "\n");
	}
	str_add(out, "  a rollout may cost each unit ");
	add_time(out, r->x->rollout.budget_us);
	str_add(out, " of downtime (rollout.budget)");
	if (r->x->rollout.window)
		str_addf(out, ", from %s only", r->x->rollout.window);
	str_add(out, "\n");
}

static void add_stages(const Rollout *r, Str *out)
{
	const RolloutConfig *c = &r->x->rollout;
	if (r->spec.isolated)
		str_add(out, "  isolated: each parameter in a trial with its own service alone\n");
	if (r->spec.colocated)
		str_add(out, "  colocated: all of them in a trial with every service\n");
	str_add(out, "  production: looked at as it is for ");
	add_time(out, c->observe_us);
	str_add(out, ", then each parameter is watched for ");
	add_time(out, c->watch_us);
	str_add(out, "\n");
	if (r->spec.cold_start) {
		str_add(out, "  cold start: all managed units together, watched for ");
		add_time(out, c->watch_us);
		str_add(out, "\n");
	}
	if (r->spec.probation) {
		str_add(out, "  probation: watched for ");
		add_time(out, c->probation_us);
		str_add(out, " after the commit\n");
	}
}

int rollout_preview_text(const Rollout *r, const json_t *status, Str *out)
{
	str_add(out, "Parameters, the most useful first:\n");
	add_parameters(r, out);
	str_add(out, "\nStages:\n");
	add_stages(r, out);
	str_add(out, "\nDowntime:\n");
	add_downtime(r, status, out);
	return out->failed ? -ENOMEM : 0;
}
