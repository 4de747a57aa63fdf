#pragma once
/* Trials for tests: a box file, services written as JSON, a load in a few words. */
#include <string.h>

#include "base/json.h"
#include "test.h"
#include "twin/twin.h"

#define LLM_3060 "Qwen2.5-7B-Instruct-AWQ"

enum {
	RIG_SERVICES_MAX = 16
};

typedef struct Rig {
	Box *box;
	json_t *json;
	ServiceSpec services[RIG_SERVICES_MAX];
	size_t n_services;
	Stream llm, stt;
	Workload load;
	TwinTrial trial;
} Rig;

/* `services`: {"judge": {"kind": "vllm", "settings": {...}}, ...}. */
static inline void rig_services(Rig *r, const char *services)
{
	const char *name;
	json_t *one;
	json_decref(r->json);
	r->json = json_loads(services, 0, NULL);
	CHECK(r->json);
	r->n_services = 0;
	json_object_foreach (r->json, name, one) {
		ServiceSpec *s = &r->services[r->n_services++];
		memset(s, 0, sizeof(*s));
		s->name = (char *)(uintptr_t)name;
		s->kind = (char *)(uintptr_t)js_str(one, "kind", NULL);
		s->settings = json_object_get(one, "settings");
	}
	r->trial.services = r->services;
	r->trial.n_services = r->n_services;
}

static inline Rig *rig_new(const char *box, const char *services)
{
	Rig *r = calloc(1, sizeof(*r));
	CHECK(r);
	_cleanup_free_ char *path = str_fmt("%s/%s.yaml", BOXES, box);
	Diags d = DIAGS_INIT;
	Err err = ERR_INIT;
	if (box_load(path, &r->box, &d, &err) < 0) {
		Str text = STR_INIT;
		diags_text(&d, &text);
		test_fail(__FILE__, __LINE__, "%s: %s", err.msg, text.s ? text.s : "");
	}
	r->trial.box = r->box;
	r->trial.workload = &r->load;
	r->trial.seed = 1;
	r->load.name = (char *)(uintptr_t) "test";
	r->load.capacity_share = 0.95;
	rig_services(r, services);
	return r;
}

static inline void rig_free(Rig *r)
{
	box_free(r->box);
	json_decref(r->json);
	free(r);
}

/* Fixed lengths, so that a test can count. */
static inline Stream *rig_llm(Rig *r, int arrivals, double rate_or_users, int64_t prompt,
			      int64_t output, int64_t requests)
{
	r->llm = (Stream){.arrivals = arrivals, .rate = rate_or_users, .cv = 1};
	r->llm.users = (int64_t)rate_or_users;
	r->llm.requests = requests;
	r->llm.prompt = (Lengths){.median = (double)prompt, .min = 1, .max = 1000000};
	r->llm.output = (Lengths){.median = (double)output, .min = 1, .max = 1000000};
	r->load.llm = &r->llm;
	return &r->llm;
}

static inline Stream *rig_stt(Rig *r, int arrivals, double rate_or_users, int64_t clip_ms,
			      int64_t requests)
{
	r->stt = (Stream){.arrivals = arrivals, .rate = rate_or_users, .cv = 1};
	r->stt.users = (int64_t)rate_or_users;
	r->stt.requests = requests;
	r->stt.clip_ms = (Lengths){.median = (double)clip_ms, .min = 1, .max = 1000000};
	r->load.stt = &r->stt;
	return &r->stt;
}

static inline Measurement rig_run(Rig *r)
{
	Measurement m = MEASUREMENT_INIT;
	Err err = ERR_INIT;
	if (twin_trial(&r->trial, &m, &err) < 0)
		test_fail(__FILE__, __LINE__, "%s", err.msg);
	return m;
}

static inline double rig_metric(const Measurement *m, const char *name)
{
	const Metric *metric = measurement_get(m, name);
	if (!metric)
		test_fail(__FILE__, __LINE__, "no metric %s (%s: %s)", name,
			  outcome_name(m->outcome), m->reason ? m->reason : "");
	return metric->value;
}

/* Runs, takes one metric of a trial that must end well. */
static inline double rig_measure(Rig *r, const char *name)
{
	Measurement m = rig_run(r);
	if (m.outcome != OUTCOME_OK)
		test_fail(__FILE__, __LINE__, "%s: %s", outcome_name(m.outcome), m.reason);
	double v = rig_metric(&m, name);
	measurement_done(&m);
	return v;
}

/* Does a line of the service's log begin with this text? */
static inline bool rig_logged(const Measurement *m, const char *service, const char *start)
{
	const json_t *log = json_object_get(json_object_get(m->evidence, "log"), service);
	for (size_t i = 0; i < json_array_size(log); i++)
		if (strncmp(json_string_value(json_array_get(log, i)), start, strlen(start)) == 0)
			return true;
	return false;
}
