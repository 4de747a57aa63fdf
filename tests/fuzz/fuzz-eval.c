/* What an evaluator wrote: however the bytes are cut into reads, the same judgement; never a
 * measurement that is ok and empty, never a failure without a reason that is fit for a terminal. */
#include <math.h>
#include <string.h>

#include "base/json.h"
#include "eval/output.h"
#include "fuzz.h"

static void judge(const char *data, size_t size, size_t chunk, Measurement *ret)
{
	static Tail none;
	Output o = {0};
	Ending e = {.status = {.si_code = 1 /* CLD_EXITED */}, .tail = &none, .timeout_us = 1};
	int r = 0;
	for (size_t at = 0; at < size && r == 0; at += chunk)
		r = output_feed(&o, data + at, at + chunk > size ? size - at : chunk);
	if (r == 0)
		r = output_end(&o);
	MUST(r == 0 || r == -EBADMSG);
	MUST(output_verdict(&o, &e, ret, NULL) == 0);
	output_done(&o);
}

static void check(const Measurement *m)
{
	MUST(m->outcome == OUTCOME_OK ? m->n_metrics > 0 : m->n_metrics <= METRICS_MAX);
	for (size_t i = 0; i < m->n_metrics; i++) {
		MUST(isfinite(m->metrics[i].value));
		MUST(metric_name_valid(m->metrics[i].name));
		MUST(measurement_get(m, m->metrics[i].name) == &m->metrics[i]);
	}
	for (const char *c = m->reason; c && *c; c++)
		MUST((unsigned char)*c >= ' ' && *c != 0x7f);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	Measurement whole = MEASUREMENT_INIT, cut = MEASUREMENT_INIT;
	judge((const char *)data, size, size ? size : 1, &whole);
	judge((const char *)data, size, 7, &cut);
	check(&whole);
	json_auto_t *a = measurement_json(&whole), *b = measurement_json(&cut);
	MUST(a && b && json_equal(a, b));

	/* What was accepted is accepted again, and is the same. */
	Measurement back = MEASUREMENT_INIT;
	MUST(measurement_from_json(a, &back, NULL) == 0);
	json_auto_t *again = measurement_json(&back);
	MUST(json_equal(a, again));
	measurement_done(&whole);
	measurement_done(&cut);
	measurement_done(&back);
	return 0;
}
