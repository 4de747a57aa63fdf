/* A service and the settings that a candidate gives it. */
#include "../test.h"
#include "base/json.h"
#include "space/service.h"
#include "space/space.h"

static int fill(const char *text, ServiceSpec *ret, Str *ret_diags)
{
	Diags d = DIAGS_INIT;
	Err err = ERR_INIT;
	_cleanup_(conf_freep) ConfDoc *doc = NULL;
	CHECK_OK(conf_read_text("t.yaml", text, strlen(text), &doc, &d, &err));
	*ret = (ServiceSpec){0};
	CHECK_OK(conf_fill(&service_table, conf_root(doc), ret, &d));
	diags_text(&d, ret_diags);
	int errors = (int)d.errors;
	diags_done(&d);
	return errors;
}

static void settings_are(const ServiceSpec *s, const char *params, const char *want)
{
	json_auto_t *p = json_loads(params, 0, NULL), *got = service_settings(s, p);
	_cleanup_(str_done) Str text = STR_INIT;
	js_canonical(got, &text);
	CHECK_STR(text.s, want);
}

TEST(a_candidate_overrides_the_fixed_settings_it_is_mapped_to)
{
	ServiceSpec s;
	_cleanup_(str_done) Str diags = STR_INIT;
	CHECK_INT(fill("name: judge\nkind: vllm\nsettings: {max_model_len: 2048, max_num_seqs: 8}\n"
		       "params: {util: gpu_memory_utilization, seqs: max_num_seqs}\n",
		       &s, &diags),
		  0);
	CHECK(service_is_tuned(&s));
	settings_are(
	    &s, "{\"util\": 0.5, \"seqs\": 16, \"other\": 1}",
	    "{\"gpu_memory_utilization\": 0.5, \"max_model_len\": 2048, \"max_num_seqs\": 16}");
	settings_are(
	    &s, "{\"util\": 0.5}",
	    "{\"gpu_memory_utilization\": 0.5, \"max_model_len\": 2048, \"max_num_seqs\": 8}");
	settings_are(&s, "{}", "{\"max_model_len\": 2048, \"max_num_seqs\": 8}");
	conf_done(&service_table, &s);
}

TEST(a_service_without_parameters_is_not_tuned)
{
	ServiceSpec s;
	_cleanup_(str_done) Str diags = STR_INIT;
	CHECK_INT(fill("name: rag\nkind: process\n", &s, &diags), 0);
	CHECK(!service_is_tuned(&s));
	settings_are(&s, "{\"util\": 0.5}", "{}");
	conf_done(&service_table, &s);
}

TEST(names_of_settings_are_checked)
{
	ServiceSpec s;
	_cleanup_(str_done) Str diags = STR_INIT;
	CHECK_INT(fill("name: judge\nkind: vllm\nsettings: {max-model-len: 2048}\n"
		       "params: {util: --gpu-memory-utilization, seqs: [a]}\n",
		       &s, &diags),
		  3);
	CHECK(strstr(diags.s, "max-model-len is not the name of a setting; max_model_len"));
	CHECK(strstr(diags.s, "is not the name of a setting; gpu_memory_utilization"));
	CHECK(strstr(diags.s, "the parameter seqs is not given to a setting"));
	conf_done(&service_table, &s);
}

TEST(schemas_can_be_built)
{
	json_auto_t *space = space_schema(), *bounds = space_bounds_schema(),
		    *forbid = space_forbid_schema();
	CHECK(space && bounds && forbid);
	const json_t *param = json_object_get(space, "additionalProperties");
	CHECK_INT((intmax_t)json_array_size(json_object_get(param, "oneOf")), 2);
	const json_t *map = json_array_get(json_object_get(param, "oneOf"), 1);
	CHECK_INT((intmax_t)json_object_size(json_object_get(map, "properties")), 9);
}
