#pragma once
/* One simulated vLLM by itself, so that a test sees every request and not only what a trial
 * reports. */
#include "rig.h"
#include "twin/llm.h"

typedef struct EngineRig {
	Host host;
	Measurement m;
	Service service;
	Llm llm;
	Load load;
	int64_t unfinished;
} EngineRig;

/* Started with nothing else on the card, and run until the stream is done. */
static inline EngineRig *engine_run(const Box *box, const VllmSettings *set, const Stream *stream)
{
	EngineRig *e = calloc(1, sizeof(*e));
	CHECK(e);
	e->m = MEASUREMENT_INIT;
	e->host = (Host){.box = box, .m = &e->m};
	e->host.sim.gpu.total_bytes = box->gpu.total_bytes;
	e->host.sim.noise = noise_start(&box->noise, 1, 0);
	e->host.sim.noise.trial = 1;
	e->service = (Service){.name = "judge", .log = json_array()};
	e->service.set.vllm = *set;
	e->llm = (Llm){.host = &e->host, .service = &e->service};
	CHECK_OK(llm_start(&e->llm));
	CHECK(!e->host.failed);
	e->unfinished = 1;
	CHECK_OK(load_init(&e->load, stream, false, 1, llm_send, &e->llm));
	e->llm.load = &e->load;
	CHECK_OK(sim_clear(&e->host.sim));
	CHECK_OK(load_begin(&e->load, &e->host.sim, &e->unfinished));
	while (sim_step(&e->host.sim, INT64_MAX) > 0)
		;
	CHECK_INT(e->load.measured, stream->requests);
	return e;
}

static inline void engine_free(EngineRig *e)
{
	load_done(&e->load);
	llm_done(&e->llm);
	events_done(&e->host.sim.events);
	json_decref(e->service.log);
	measurement_done(&e->m);
	free(e);
}
