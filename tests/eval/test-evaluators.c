/* Evaluators as they are configured: the kinds, their mistakes, their stages, and the examples of
 * the documentation, run. */
#include <unistd.h>

#include "base/file.h"
#include "base/json.h"
#include "base/strings.h"
#include "eval/internal.h"
#include "support.h"
#include "test.h"

/* What evaluator_table makes of a YAML text: the diagnostics, or "" and the specification. */
static void read_spec(const char *yaml, EvaluatorSpec *spec, Str *messages)
{
	ConfDoc *doc = NULL;
	Diags d = DIAGS_INIT;
	*spec = (EvaluatorSpec){0};
	CHECK_OK(conf_read_text("t.yaml", yaml, strlen(yaml), &doc, &d, NULL));
	CHECK_OK(conf_fill(&evaluator_table, conf_root(doc), spec, &d));
	diags_text(&d, messages);
	diags_done(&d);
	conf_free(doc);
}

static Evaluator *make(const char *yaml, const char *dir, DiagLevel missing, Str *messages)
{
	EvaluatorSpec spec;
	Diags d = DIAGS_INIT;
	Evaluator *e = NULL;
	read_spec(yaml, &spec, messages);
	CHECK_INT(messages->len, 0);
	int r = evaluator_new(&spec, dir, NULL, missing, &e, &d, NULL);
	CHECK(r == 0 || r == -EBADMSG);
	CHECK((r == 0) == (e != NULL));
	diags_text(&d, messages);
	diags_done(&d);
	conf_done(&evaluator_table, &spec);
	return e;
}

static Evaluator *make_good(const char *yaml, const char *dir)
{
	Str s = STR_INIT;
	Evaluator *e = make(yaml, dir, DIAG_ERROR, &s);
	if (!e)
		test_fail(__FILE__, __LINE__, "%s", s.s);
	CHECK_INT(s.len, 0);
	str_done(&s);
	return e;
}

TEST(mistakes_in_a_configuration_are_named_with_their_place)
{
	static const struct {
		const char *yaml, *say;
	} bad[] = {
	    {"applies: true\n", "does not say what to run"},
	    {"kind: pyhton\npath: x.py\n", "t.yaml:1:7: error: there is no kind of evaluator"},
	    {"kind: command\n", "has no program"},
	    {"kind: python\nclass: X\n", "has no file"},
	    {"kind: twin\n", "has no box"},
	    {"kind: twin\nbox: b.yaml\ncommand: [x]\n", "t.yaml:3:10"},
	    {"path: x.py\nclass: a-b\n", "not the name of a Python class"},
	    {"path: x.py\ninit_kwargs: [1]\n", "init_kwargs is not a map"},
	    {"command: x\nenv: [A]\n", "env is not a map"},
	    {"command: x\nenv: {A: 1}\n", "t.yaml:2:10"},
	    {"command: x\nenv: {'A=B': 'x'}\n", "not the name of a variable"},
	    {"pth: x.py\n", "pth"},
	};
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		EvaluatorSpec spec;
		Str s = STR_INIT;
		read_spec(bad[i].yaml, &spec, &s);
		if (!s.s || !strstr(s.s, bad[i].say))
			test_fail(__FILE__, __LINE__, "%s: %s", bad[i].yaml, s.s ? s.s : "");
		conf_done(&evaluator_table, &spec);
		str_done(&s);
	}
}

TEST(the_seeds_form_is_a_python_evaluator)
{
	EvaluatorSpec spec;
	Str s = STR_INIT;
	read_spec("path: /home/kloros/src/phase/domains/spica_gpu_allocation.py\nclass: "
		  "SpicaGPUAllocation\ninit_kwargs: {}\n",
		  &spec, &s);
	CHECK_INT(s.len, 0);
	CHECK_STR(spec.class_name, "SpicaGPUAllocation");
	CHECK(!spec.applies);
	conf_done(&evaluator_table, &spec);
}

TEST(a_missing_file_is_a_warning_or_an_error_as_the_caller_wants)
{
	static const char *const yaml[] = {"path: no-such.py\n", "command: ./no-such.sh\n",
					   "command: no-such-program-anywhere\n",
					   "box: no-such.yaml\n"};
	for (size_t i = 0; i < sizeof(yaml) / sizeof(*yaml); i++) {
		Str s = STR_INIT;
		_cleanup_(evaluator_freep) Evaluator *e = make(yaml[i], "/tmp", DIAG_WARNING, &s);
		CHECK(e);
		CHECK(strstr(s.s, "warning: ") && strstr(s.s, "no-such"));
		str_clear(&s);
		CHECK(!make(yaml[i], "/tmp", DIAG_ERROR, &s));
		CHECK(strstr(s.s, "error: ") && strstr(s.s, "no-such"));
		str_done(&s);
	}
}

TEST(a_result_is_observed_unless_the_candidate_is_really_started)
{
	_cleanup_(evaluator_freep) Evaluator *plain = make_good("command: 'true'\n", "/tmp");
	_cleanup_(evaluator_freep) Evaluator *applies =
	    make_good("command: 'true'\napplies: true\n", "/tmp");
	CHECK_INT(evaluator_stage(plain, true), STAGE_OBSERVED);
	CHECK_INT(evaluator_stage(plain, false), STAGE_OBSERVED);
	CHECK_INT(evaluator_stage(applies, true), STAGE_COLOCATED);
	CHECK_INT(evaluator_stage(applies, false), STAGE_ISOLATED);
	CHECK_STR(evaluator_kind(plain), "command");
	CHECK(!evaluator_gpu(plain));
}

/* --- The request ----------------------------------------------------------------------------- */

TEST(the_request_says_what_the_documentation_says)
{
	EvalRequest rq = request_make();
	char name[] = "judge", kind[] = "vllm";
	ServiceSpec service = {
	    .name = name,
	    .kind = kind,
	    .settings = json_pack("{s:i}", "max_model_len", 2048),
	    .params = json_pack("{s:s}", "vllm_memory_util", "gpu_memory_utilization"),
	};
	Workload steady;
	CHECK_OK(workload_default(0, &steady));
	rq.services = &service;
	rq.n_services = 1;
	rq.workload = &steady;
	rq.all_services = true;
	rq.seed = UINT64_MAX;
	Str text = STR_INIT;
	CHECK_OK(eval_request_text(&rq, STAGE_COLOCATED, NULL, &text, NULL));
	CHECK(strchr(text.s, '\n') == text.s + text.len - 1);

	json_auto_t *o = NULL;
	CHECK_OK(js_parse(text.s, text.len - 1, 65536, &o, NULL));
	CHECK_STR(js_str(o, "schema", ""), "dream.eval-request/v1");
	CHECK_STR(js_str(o, "experiment", ""), "spica_gpu_allocation");
	CHECK_STR(js_str(o, "spica_id", ""), "spica-gpu-d5e5c0c0");
	CHECK_STR(js_str(o, "stage", ""), "colocated");
	CHECK_INT(js_int(o, "generation", 0), 3);
	CHECK_INT(js_int(o, "seed", 0), INT64_MAX);
	CHECK(js_bool(o, "all_services", false));
	CHECK_NEAR(js_num(json_object_get(o, "params"), "vllm_memory_util", 0), 0.5, 0);
	CHECK_NEAR(js_num(json_object_get(o, "budget"), "timeout_ms", 0), 30000, 0);
	CHECK(json_is_null(json_object_get(o, "gpu")));
	json_t *s = json_array_get(json_object_get(o, "services"), 0);
	CHECK_STR(js_str(s, "name", ""), "judge");
	CHECK(js_bool(s, "tuned", false));
	CHECK_NEAR(js_num(json_object_get(s, "settings"), "gpu_memory_utilization", 0), 0.5, 0);
	CHECK_INT(js_int(json_object_get(s, "settings"), "max_model_len", 0), 2048);
	CHECK(json_is_object(json_object_get(o, "workload")));
	str_done(&text);
	conf_done(&workload_table, &steady);
	json_decref(service.settings);
	json_decref(service.params);
}

TEST(a_lease_of_a_gpu_without_a_name_leaves_the_choice_to_the_evaluator)
{
	char dir[] = "/tmp/test-evaluators-XXXXXX", file[128];
	EvalRequest rq = request_make();
	CHECK(mkdtemp(dir));
	CHECK_INT(lease_take(dir, "default", "test", &rq.lease, NULL, NULL), 1);
	rq.gpu_uuid = "default";
	Str text = STR_INIT;
	CHECK_OK(eval_request_text(&rq, STAGE_OBSERVED, NULL, &text, NULL));
	CHECK(strstr(text.s, "\"gpu\": {\"uuid\": null}"));
	str_done(&text);

	ChildSpec none = {0};
	char **env = NULL;
	CHECK_OK(eval_environment(&none, &rq, &env, NULL));
	for (char **e = env; *e; e++)
		CHECK(strncmp(*e, "CUDA_VISIBLE_DEVICES", 20) != 0);
	strings_free(env);
	lease_release(rq.lease);
	snprintf(file, sizeof(file), "%s/gpu-default.lock", dir);
	unlink(file);
	rmdir(dir);
}

/* --- The examples of docs/evaluator.md ------------------------------------------------------- */

TEST(the_shell_example_measures)
{
	const char *dir = getenv("EVAL_EXAMPLES");
	EvalRequest rq = request_make();
	Measurement m;
	{
		_cleanup_(evaluator_freep) Evaluator *e =
		    make_good("command: [./observe.sh]\nenv: {PROBE: 'echo hi'}\n", dir);
		m = measure(e, &rq);
	}
	CHECK_INT(m.outcome, OUTCOME_OK);
	const Metric *x = measurement_get(&m, "llm_latency_ms");
	CHECK(x && x->value > 0 && x->value < 10000);
	CHECK_INT(x->n, 5);
	measurement_done(&m);

	_cleanup_(evaluator_freep) Evaluator *e =
	    make_good("command: [./observe.sh]\nenv: {PROBE: 'false'}\n", dir);
	m = measure(e, &rq);
	CHECK_INT(m.outcome, OUTCOME_UNHEALTHY);
	measurement_done(&m);
}

TEST(the_python_example_calculates)
{
	EvalRequest rq = request_make();
	_cleanup_(evaluator_freep) Evaluator *e =
	    make_good("path: allocation.py\nclass: Allocation\ninit_kwargs: {gpu_mib: 12288}\n",
		      getenv("EVAL_EXAMPLES"));
	Measurement m = measure(e, &rq);
	CHECK_INT(m.outcome, OUTCOME_OK);
	/* 0.5 * 12288 + 1240 + 1500 = 8884 of 12288 */
	CHECK_NEAR(measurement_get(&m, "gpu_memory_pct")->value, 72.298, 0.001);
	measurement_done(&m);

	json_auto_t *too_much =
	    json_pack("{s:f,s:s}", "vllm_memory_util", 0.9, "whisper_model_size", "small");
	rq.params = too_much;
	m = measure(e, &rq);
	CHECK_INT(m.outcome, OUTCOME_INFEASIBLE);
	measurement_done(&m);
}

/* --- The twin -------------------------------------------------------------------------------- */

TEST(the_twin_is_asked_on_the_loop_and_gives_the_same_for_the_same_seed)
{
	_cleanup_(evaluator_freep) Evaluator *e =
	    make_good("box: rtx3060.yaml\n", getenv("EVAL_BOXES"));
	char judge[] = "judge", vllm[] = "vllm", kloros[] = "kloros", whisper[] = "whisper";
	ServiceSpec services[] = {
	    {.name = judge,
	     .kind = vllm,
	     .settings =
		 json_pack("{s:s,s:i}", "model", "Qwen2.5-7B-Instruct-AWQ", "max_model_len", 2048),
	     .params = json_pack("{s:s}", "vllm_memory_util", "gpu_memory_utilization")},
	    {.name = kloros,
	     .kind = whisper,
	     .params = json_pack("{s:s}", "whisper_model_size", "model_size")},
	};
	Workload steady;
	CHECK_OK(workload_default(0, &steady));
	EvalRequest rq = request_make();
	rq.services = services;
	rq.n_services = 2;
	rq.workload = &steady;
	rq.timeout_us = INT64_C(3600000000);
	CHECK_INT(evaluator_stage(e, true), STAGE_TWIN);
	CHECK(evaluator_gpu(e));
	Measurement a = measure(e, &rq), b = measure(e, &rq);
	CHECK_INT(a.outcome, OUTCOME_OK);
	json_auto_t *ja = measurement_json(&a), *jb = measurement_json(&b);
	CHECK(json_equal(ja, jb));
	measurement_done(&a);
	measurement_done(&b);

	/* A run that is stopped before the loop turned calls nobody. */
	sd_event *loop = NULL;
	EvalRun *run = NULL;
	CHECK_OK(sd_event_new(&loop));
	CHECK_OK(eval_start(e, &rq, loop, NULL, NULL, NULL, &run, NULL));
	eval_stop(run);
	CHECK_OK(sd_event_run(loop, 0));
	sd_event_unref(loop);
	for (int i = 0; i < 2; i++) {
		json_decref(services[i].settings);
		json_decref(services[i].params);
	}
	conf_done(&workload_table, &steady);
}

static void put(const char *dir, const char *name, const char *text)
{
	_cleanup_free_ char *path = path_join(dir, name);
	CHECK_OK(file_write(path, 0600, text, strlen(text), NULL));
}

TEST(other_prompts_or_clips_are_another_measurement)
{
	char dir[] = "/tmp/dream-content-XXXXXX", before[HASH_HEX_SIZE], after[HASH_HEX_SIZE];
	CHECK(mkdtemp(dir) != NULL);
	put(dir, "prompts.txt", "one\n");
	put(dir, "a.wav", "RIFF");
	put(dir, "a.txt", "said");
	EvaluatorSpec spec;
	_cleanup_(str_done) Str s = STR_INIT;
	read_spec("kind: gpu_allocation\nprompts: prompts.txt\nclips: .\n", &spec, &s);
	CHECK_INT(s.len, 0);
	CHECK_OK(evaluator_content(&spec, dir, before, NULL));
	CHECK_OK(evaluator_content(&spec, dir, after, NULL));
	CHECK_STR(before, after);
	static const char *const edits[] = {"prompts.txt", "a.wav", "a.txt", "b.txt"};
	for (size_t i = 0; i < sizeof(edits) / sizeof(*edits); i++) {
		put(dir, edits[i], "edited");
		CHECK_OK(evaluator_content(&spec, dir, after, NULL));
		CHECK(strcmp(before, after) != 0);
		memcpy(before, after, sizeof(before));
	}
	for (size_t i = 0; i < sizeof(edits) / sizeof(*edits); i++) {
		_cleanup_free_ char *path = path_join(dir, edits[i]);
		CHECK_OK(unlink(path));
	}
	CHECK_OK(rmdir(dir));
	conf_done(&evaluator_table, &spec);
}
