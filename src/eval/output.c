#include "eval/output.h"

#include <string.h>

#include "base/clock.h"
#include "base/json.h"
#include "base/proc.h"
#include "eval/eval.h"

enum {
	QUOTE_MAX = 80,	      /* characters of a bad line that are shown */
	REASON_TAIL = 300,    /* bytes of standard error in a reason */
	EVIDENCE_TAIL = 4096, /* and in the evidence */
};

/* --- Lines ----------------------------------------------------------------------------------- */

static int fault(Output *o, const char *fmt, ...) _printf_(2, 3);

static int fault(Output *o, const char *fmt, ...)
{
	Str text = STR_INIT;
	va_list ap;
	va_start(ap, fmt);
	str_addv(&text, fmt, ap);
	va_end(ap);
	int r = str_take(&text, &o->fault);
	str_done(&text);
	return r < 0 ? r : -EBADMSG;
}

static int bad_line(Output *o, const char *line, size_t len, const char *why)
{
	_cleanup_(str_done) Str quote = STR_INIT;
	str_add_safe(&quote, line, len, QUOTE_MAX);
	if (quote.failed)
		return -ENOMEM;
	return fault(o, "line %zu of the evaluator's output is not believable (%s): %s", o->number,
		     why, quote.s ? quote.s : "");
}

static bool is_blank(const char *s, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (!strchr(" \t\r", s[i]) || s[i] == '\0')
			return false;
	return true;
}

static int take_result(Output *o, json_t *v)
{
	if (o->result)
		return fault(o, "the evaluator gave a second result in line %zu", o->number);
	o->result = json_incref(v);
	return 0;
}

static int take_line(Output *o, const char *line, size_t len)
{
	json_auto_t *v = NULL;
	Err why = ERR_INIT;

	o->number++;
	if (is_blank(line, len))
		return 0;
	int r = js_parse(line, len, OUTPUT_LINE_MAX, &v, &why);
	if (r == -ENOMEM)
		return r;
	if (r < 0)
		return bad_line(o, line, len, why.msg);
	if (!json_is_object(v))
		return bad_line(o, line, len, "not a JSON object");

	json_t *result = json_object_get(v, "result");
	if (result)
		return take_result(o, result);
	if (json_object_get(v, "status"))
		return take_result(o, v);
	if (!json_is_string(json_object_get(v, "event")))
		return bad_line(o, line, len, "neither an event nor a result");
	if (o->result)
		return bad_line(o, line, len, "an event after the result");
	if (o->progress)
		o->progress(o->ctx, v);
	return 0;
}

static int too_long(Output *o)
{
	o->number++;
	return fault(o, "line %zu of the evaluator's output is longer than %d bytes", o->number,
		     (int)OUTPUT_LINE_MAX);
}

int output_feed(Output *o, const char *data, size_t len)
{
	if (o->fault)
		return -EBADMSG;
	o->total += len;
	if (o->total > OUTPUT_TOTAL_MAX)
		return fault(o, "the evaluator wrote more than %d MiB on standard output",
			     (int)(OUTPUT_TOTAL_MAX >> 20));
	while (len > 0) {
		const char *end = memchr(data, '\n', len);
		size_t n = end ? (size_t)(end - data) : len;
		if (o->line.len + n > OUTPUT_LINE_MAX)
			return too_long(o);
		str_addn(&o->line, data, n);
		if (o->line.failed)
			return -ENOMEM;
		if (!end)
			return 0;
		int r = take_line(o, o->line.s ? o->line.s : "", o->line.len);
		if (r < 0)
			return r;
		str_clear(&o->line);
		data += n + 1;
		len -= n + 1;
	}
	return 0;
}

int output_end(Output *o)
{
	if (o->fault)
		return -EBADMSG;
	if (o->line.len == 0)
		return 0;
	int r = take_line(o, o->line.s, o->line.len);
	str_clear(&o->line);
	return r;
}

void output_done(Output *o)
{
	str_done(&o->line);
	json_decref(o->result);
	free(o->fault);
	*o = (Output){0};
}

/* --- Standard error -------------------------------------------------------------------------- */

void tail_add(Tail *t, const char *data, size_t len)
{
	if (len > sizeof(t->b)) {
		data += len - sizeof(t->b);
		len = sizeof(t->b);
	}
	size_t first = sizeof(t->b) - t->at;
	if (first > len)
		first = len;
	memcpy(t->b + t->at, data, first);
	memcpy(t->b, data + first, len - first);
	t->at = (t->at + len) % sizeof(t->b);
	t->len = t->len + len > sizeof(t->b) ? sizeof(t->b) : t->len + len;
}

void tail_text(const Tail *t, size_t max, Str *out)
{
	char buf[EVIDENCE_TAIL];
	size_t n = t->len;
	if (n > max)
		n = max;
	if (n > sizeof(buf))
		n = sizeof(buf);
	for (size_t i = 0; i < n; i++)
		buf[i] = t->b[(t->at + sizeof(t->b) - n + i) % sizeof(t->b)];
	while (n > 0 && strchr(" \t\r\n", buf[n - 1]))
		n--;
	str_add_safe(out, buf, n, 0);
}

/* --- The verdict ----------------------------------------------------------------------------- */

static bool ended_well(const Ending *e)
{
	return e->killed || (e->status.si_code == CLD_EXITED && e->status.si_status == 0);
}

/* A result is what it says, unless its process then failed: half of it is not believed. */
static int judge_result(const Output *o, const Ending *e, const char *how, Measurement *m, Err *err)
{
	Err why = ERR_INIT;
	int r = eval_result(o->result, m, &why);
	if (r == -ENOMEM)
		return err_oom(err);
	if (r < 0)
		return measurement_fail(m, OUTCOME_MEASURE_FAILED, NULL,
					"the evaluator's result cannot be used: %s", why.msg);
	if (m->outcome != OUTCOME_OK || ended_well(e))
		return 0;
	if (e->status.si_code != CLD_EXITED)
		return measurement_fail(m, OUTCOME_CRASHED, NULL,
					"the evaluator was %s after it gave its result", how);
	return measurement_fail(m, OUTCOME_MEASURE_FAILED, NULL,
				"the evaluator ended with %s after it gave its result", how);
}

static int judge_silence(const Ending *e, const char *how, const char *said, Measurement *m)
{
	char limit[32];

	if (e->timed_out) {
		time_human(e->timeout_us, limit);
		return measurement_fail(m, OUTCOME_TIMEOUT, NULL,
					"the evaluator gave no result within %s and was killed",
					limit);
	}
	if (e->closed_early)
		return measurement_fail(m, OUTCOME_MEASURE_FAILED, NULL,
					"the evaluator closed its output without a result and "
					"stayed; it was killed");
	/* The services are its children and end by themselves: whoever killed it, it was not the
	 * candidate. */
	if (e->worker && e->status.si_code != CLD_EXITED)
		return measurement_fail(m, OUTCOME_MEASURE_FAILED, NULL,
					"the process that measures (dream worker) was %s in the "
					"middle of the trial%s%s",
					how, *said ? "; its last words: " : "", said);
	if (e->status.si_code != CLD_EXITED)
		return measurement_fail(m, OUTCOME_CRASHED, NULL,
					"the evaluator was %s without a result%s%s", how,
					*said ? "; its last words: " : "", said);
	return measurement_fail(m, OUTCOME_MEASURE_FAILED, NULL,
				"the evaluator ended with %s and no result%s%s", how,
				*said ? "; its last words: " : "", said);
}

static int judge(const Output *o, const Ending *e, Measurement *m, Err *err)
{
	_cleanup_(str_done) Str said = STR_INIT;
	char how[48];

	if (e->stuck)
		return measurement_fail(m, OUTCOME_HARDWARE_FAULT, NULL,
					"the evaluator survives SIGKILL: it hangs in the kernel, "
					"probably in the GPU driver");
	if (o->fault)
		return measurement_fail(m, OUTCOME_MEASURE_FAILED, NULL, "%s", o->fault);
	proc_describe(&e->status, how);
	if (o->result)
		return judge_result(o, e, how, m, err);
	tail_text(e->tail, REASON_TAIL, &said);
	if (said.failed)
		return err_oom(err);
	return judge_silence(e, how, said.s ? said.s : "", m);
}

/* What the runner saw goes beside what the evaluator says. */
static int add_evidence(const Ending *e, bool timed_out, Measurement *m)
{
	_cleanup_(str_done) Str said = STR_INIT;
	bool failed = false;
	char how[48];

	if (m->duration_us == 0)
		m->duration_us = e->wall_us;
	if (m->outcome == OUTCOME_OK && !timed_out)
		return 0;
	json_t *seen = json_object();
	proc_describe(&e->status, how);
	js_set(seen, "ended", js_text(e->stuck ? "not at all" : how), &failed);
	js_set(seen, "killed_at_deadline", json_boolean(timed_out), &failed);
	tail_text(e->tail, EVIDENCE_TAIL, &said);
	if (said.len > 0)
		js_set(seen, "stderr_tail", js_text(said.s), &failed);
	if (!m->evidence)
		m->evidence = json_object();
	js_set(m->evidence, "evaluator_process", seen, &failed);
	return failed || said.failed || !m->evidence ? -ENOMEM : 0;
}

int output_verdict(const Output *o, const Ending *e, Measurement *ret, Err *err)
{
	Measurement m = MEASUREMENT_INIT;

	int r = judge(o, e, &m, err);
	if (r >= 0)
		r = add_evidence(e, e->timed_out, &m);
	if (r < 0) {
		measurement_done(&m);
		return r == -ENOMEM ? err_oom(err) : r;
	}
	*ret = m;
	return 0;
}
