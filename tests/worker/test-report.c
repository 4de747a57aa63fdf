/* What the runner gets of a trial: never more than it takes. */
#include <string.h>

#include "base/json.h"
#include "eval/output.h"
#include "test.h"
#include "worker/internal.h"

/* A report of so many services, each of which said so many bytes that take six in JSON. */
static json_t *report_of(size_t services, size_t bytes)
{
	char name[16];
	bool failed = false;
	json_t *all = json_object();
	char *said = malloc(bytes + 1);
	memset(said, '\033', bytes);
	said[bytes] = '\0';
	for (size_t i = 0; i < services; i++) {
		(void)snprintf(name, sizeof(name), "s%zu", i);
		js_set(all, name, json_pack("{s:s,s:s}", "kind", "vllm", "output_tail", said),
		       &failed);
	}
	free(said);
	Measurement m = MEASUREMENT_INIT;
	CHECK_OK(measurement_fail(&m, OUTCOME_CRASHED, NULL, "it ended"));
	m.evidence = json_pack("{s:o}", "services", all);
	json_t *o = measurement_json(&m);
	measurement_done(&m);
	CHECK(o && !failed);
	return o;
}

/* The runner's own judgement of one line. */
static void check_taken(const Str *line, const char *left_out, const char *kind)
{
	static const Tail nothing = {0};
	Output out = {0};
	Ending end = {.status = {.si_code = CLD_EXITED}, .worker = true, .tail = &nothing};
	Measurement m = MEASUREMENT_INIT;
	Err err = ERR_INIT;
	CHECK_OK(output_feed(&out, line->s, line->len));
	CHECK_OK(output_end(&out));
	CHECK_OK(output_verdict(&out, &end, &m, &err));
	CHECK_STR(m.reason, "it ended");
	CHECK_STR(js_str(m.evidence, "left_out", ""), left_out);
	const json_t *first = json_object_get(json_object_get(m.evidence, "services"), "s0");
	CHECK_STR(js_str(first, "kind", ""), kind);
	measurement_done(&m);
	output_done(&out);
}

TEST(a_report_that_is_small_enough_is_whole)
{
	_cleanup_(str_done) Str line = STR_INIT;
	json_auto_t *o = report_of(2, 6000);
	CHECK_OK(report_text(o, &line));
	check_taken(&line, "", "vllm");
	CHECK(strstr(line.s, "output_tail"));
}

TEST(many_services_that_said_a_lot_cost_no_result)
{
	_cleanup_(str_done) Str line = STR_INIT;
	json_auto_t *o = report_of(32, 6000);
	CHECK_OK(report_text(o, &line));
	check_taken(&line, "output_tail", "vllm");
}

TEST(what_is_large_elsewhere_costs_the_evidence_and_not_the_outcome)
{
	_cleanup_(str_done) Str line = STR_INIT;
	json_auto_t *o = report_of(1, 10);
	json_t *many = json_array();
	for (int i = 0; i < 30000; i++)
		CHECK(json_array_append_new(many, json_integer(i)) == 0);
	CHECK(json_object_set_new(json_object_get(o, "evidence"), "many", many) == 0);
	CHECK_OK(report_text(o, &line));
	check_taken(&line, "everything", "");
}
