/* The report of a trial as the runner takes it: without secrets, and no larger than it may be. Many
 * services that all said a lot must not cost the trial its result. */
#include <string.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/json.h"
#include "eval/output.h"
#include "worker/internal.h"

static bool is_taken(const json_t *report, size_t len)
{
	Measurement m = MEASUREMENT_INIT;
	if (len > OUTPUT_LINE_MAX || measurement_from_json(report, &m, NULL) < 0)
		return false;
	measurement_done(&m);
	return true;
}

/* --- What can be done without, the least worth first ----------------------------------------- */

static void drop_output(json_t *evidence)
{
	const char *name;
	json_t *one;
	json_object_foreach (json_object_get(evidence, "services"), name, one)
		(void)json_object_del(one, "output_tail");
}

static void drop_clips(json_t *evidence)
{
	(void)json_object_del(json_object_get(evidence, "wer"), "clips");
}

static void drop_all(json_t *evidence)
{
	(void)json_object_clear(evidence);
}

static const struct {
	const char *what;
	void (*drop)(json_t *evidence);
} drops[] = {
    {"output_tail", drop_output},
    {"clips", drop_clips},
    {"everything", drop_all},
};

int report_text(json_t *report, Str *out)
{
	json_t *evidence = json_object_get(report, "evidence");
	for (size_t i = 0;; i++) {
		str_done(out);
		js_canonical(report, out);
		if (out->failed)
			return -ENOMEM;
		if (!evidence || i == sizeof(drops) / sizeof(*drops) || is_taken(report, out->len))
			return 0;
		drops[i].drop(evidence);
		if (json_object_set_new(evidence, "left_out", json_string(drops[i].what)) < 0)
			return -ENOMEM;
	}
}

int worker_report(Worker *w)
{
	_cleanup_(str_done) Str line = STR_INIT;
	w->m.duration_us = clock_mono_us(&clock_system) - w->began_us;
	json_decref(w->m.evidence);
	w->m.evidence = json_incref(w->evidence);
	json_auto_t *o = measurement_json(&w->m);
	if (!o || secrets_hide(w, o) < 0 || report_text(o, &line) < 0)
		return -ENOMEM;
	str_addc(&line, '\n');
	return line.failed ? -ENOMEM : write_all(w->out, line.s, line.len);
}
