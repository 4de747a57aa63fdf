/* What a rollout tells: people as it goes, the store for ever, and alerts for whoever is not
 * looking. */
#include "rollout/internal.h"

#include <stdarg.h>
#include <string.h>

#include "base/json.h"
#include "record/decision.h"

const char *rollout_mask_text(const Rollout *r, ParamMask m, Str *out)
{
	const char *between = "";
	for (uint32_t i = 0; i < r->spec.n; i++) {
		if (!(m & (1U << i)))
			continue;
		str_addf(out, "%s%s=", between, r->params[i].name);
		str_add_safe(out, r->params[i].to, strlen(r->params[i].to), 0);
		between = ", ";
	}
	if (!*between)
		str_add(out, "nothing");
	return out->s && !out->failed ? out->s : "";
}

static void tell(Rollout *r, const json_t *details, const char *text)
{
	RolloutEvent e = {.text = text, .machine = &r->m, .details = details};
	log_event(r->w.log, LOG_INFO_, "rollout.step", NULL, "%s", text);
	if (r->h.event)
		r->h.event(r->ctx, &e);
}

void rollout_say(Rollout *r, const json_t *details, const char *fmt, ...)
{
	_cleanup_(str_done) Str text = STR_INIT;
	va_list ap;
	va_start(ap, fmt);
	str_addv(&text, fmt, ap);
	va_end(ap);
	tell(r, details, text.s && !text.failed ? text.s : "(out of memory)");
}

static json_t *names_json(const Rollout *r, ParamMask m, bool *failed)
{
	json_t *list = json_array();
	for (uint32_t i = 0; i < r->spec.n; i++)
		if (m & (1U << i))
			*failed |=
			    !list || json_array_append_new(list, js_text(r->params[i].name)) < 0;
	return list;
}

json_t *rollout_step_json(const Rollout *r, MachineEvent e, MachineDo d, const char *words)
{
	bool failed = false;
	char at[32];
	time_rfc3339(clock_now_us(r->w.clock), at);
	json_t *o = json_object();
	js_set(o, "rollout", js_text(r->id), &failed);
	js_set(o, "promotion", js_text(r->promotion_id), &failed);
	js_set(o, "at", js_text(at), &failed);
	js_set(o, "event", js_text(machine_event_name(e)), &failed);
	js_set(o, "do", js_text(machine_do_name(d)), &failed);
	js_set(o, "phase", js_text(machine_phase_name(r->m.phase)), &failed);
	js_set(o, "result", js_text(machine_result_name(r->m.result)), &failed);
	js_set(o, "words", js_text(words ? words : ""), &failed);
	js_set(o, "target", names_json(r, r->m.target, &failed), &failed);
	js_set(o, "kept", names_json(r, r->m.kept, &failed), &failed);
	js_set(o, "dropped", names_json(r, r->m.dropped, &failed), &failed);
	js_set(o, "baseline", json_integer(r->baseline.version), &failed);
	js_set(o, "generation", js_text(r->wanted), &failed);
	js_set(o, "goal", json_integer(r->goal.version), &failed);
	js_set(o, "by", js_text(r->by.name), &failed);
	js_set(o, "reason", js_text(r->by.reason), &failed);
	js_set(o, "machine", machine_json(&r->m), &failed);
	if (failed) {
		json_decref(o);
		return NULL;
	}
	return o;
}

/* The helper's intent log is what a restart goes by; going on, above all with an undo, is safer
 * than stopping where the store cannot be written. */
void rollout_record(Rollout *r, MachineEvent e, MachineDo d, const char *words)
{
	unwritten_step(r, rollout_step_json(r, e, d, words));
}

void rollout_alert(Rollout *r, AlertKind k, const char *words)
{
	bool failed = false;
	json_auto_t *fields = json_object();
	if (!r->w.alerts)
		return;
	js_set(fields, "DREAM_ROLLOUT", js_text(r->id), &failed);
	js_set(fields, "DREAM_PROMOTION", js_text(r->promotion_id), &failed);
	js_set(fields, "DREAM_BASELINE", json_integer(r->baseline.version), &failed);
	js_set(fields, "DREAM_RESULT", js_text(machine_result_name(r->m.result)), &failed);
	alert(r->w.alerts, k, words, failed ? NULL : fields);
}
