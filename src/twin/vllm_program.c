/* The life of a `vllm serve`: start-up with its lines, serving, the ways it ends. The texts, and
 * the places in the source that they name, are those of vLLM 0.11. */
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/json.h"
#include "twin/programs.h"
#include "twin/vllm.h"

enum {
	STATS_EVERY_US = 10000000,
	GRACE_US = 5000000,    /* for requests that are under way at SIGTERM */
	LAST_WORDS_US = 50000, /* until answers of a dead engine are out */
};

static Vllm *vllm_of(Program *p)
{
	return (Vllm *)p;
}

/* --- Log ------------------------------------------------------------------------------------- */

/* Where in the source a line comes from. */
static const char *const places[][2] = {
    {"Model loading took", "gpu_model_runner.py:2653"},
    {"Available KV cache memory", "gpu_worker.py:298"},
    {"GPU KV cache size", "kv_cache_utils.py:1087"},
    {"Maximum concurrency", "kv_cache_utils.py:1091"},
    {"Graph capturing finished", "gpu_model_runner.py:3480"},
    {"init engine", "core.py:210"},
};

static void line(const char *who, const char *level, const char *place, const char *text)
{
	time_t now = time(NULL);
	struct tm tm;
	char at[32];
	localtime_r(&now, &tm);
	strftime(at, sizeof(at), "%m-%d %H:%M:%S", &tm);
	printf("(%s pid=%d) %s %s [%s] %s\n", who, (int)getpid(), level, at, place, text);
}

static void front(const char *place, const char *fmt, ...) _printf_(2, 3);

static void front(const char *place, const char *fmt, ...)
{
	_cleanup_(str_done) Str text = STR_INIT;
	va_list ap;
	va_start(ap, fmt);
	str_addv(&text, fmt, ap);
	va_end(ap);
	line("APIServer", "INFO", place, text.s ? text.s : "");
}

static void uvicorn(const char *text)
{
	printf("(APIServer pid=%d) INFO:     %s\n", (int)getpid(), text);
}

/* What the model of the server says, in the clothes of the real one's log. */
static void say(void *ctx, const char *text)
{
	const Vllm *v = ctx;
	for (size_t i = 0; i < sizeof(places) / sizeof(*places); i++) {
		if (strncmp(text, places[i][0], strlen(places[i][0])) == 0) {
			line("EngineCore_DP0", "INFO", places[i][1], text);
			return;
		}
	}
	if (strcmp(text, "Application startup complete.") == 0)
		return; /* said when it listens */
	if (strncmp(text, "RuntimeError: Engine core initialization failed", 47) == 0)
		fprintf(stderr, "(APIServer pid=%d) %s\n", (int)getpid(), text);
	else
		line("EngineCore_DP0", "ERROR", v->program.ready ? "core.py:710" : "core.py:708",
		     text);
}

/* --- Start ----------------------------------------------------------------------------------- */

/* Python's way of writing a value. */
static void python_value(const json_t *v, Str *out)
{
	if (json_is_boolean(v)) {
		str_add(out, json_is_true(v) ? "True" : "False");
	} else if (json_is_string(v)) {
		str_addf(out, "'%s'", json_string_value(v));
	} else {
		js_canonical(v, out);
	}
}

static void say_arguments(const Vllm *v)
{
	_cleanup_(str_done) Str text = STR_INIT;
	const char *key;
	json_t *value;
	str_addf(&text, "non-default args: {'model_tag': '%s', 'model': '%s'", v->args.model,
		 v->args.model);
	json_object_foreach (v->args.shown, key, value) {
		if (strcmp(key, "model") == 0)
			continue;
		str_addf(&text, ", '%s': ", key);
		python_value(value, &text);
	}
	str_addc(&text, '}');
	front("api_server.py:1839", "vLLM API server version %s", VLLM_VERSION);
	front("utils.py:233", "%s", text.s ? text.s : "");
}

static void say_engine(const Vllm *v)
{
	const VllmSettings *s = &v->llm.service->set.vllm;
	_cleanup_free_ char *text = str_fmt(
	    "Initializing a V1 LLM engine (v%s) with config: model='%s', speculative_config=None, "
	    "tokenizer='%s', max_seq_len=%" PRId64 ", load_format=auto, tensor_parallel_size=1, "
	    "pipeline_parallel_size=1, enforce_eager=%s, kv_cache_dtype=%s, device_config=cuda, "
	    "served_model_name=%s",
	    VLLM_VERSION, v->args.model, v->args.model, s->max_model_len,
	    s->eager ? "True" : "False", s->fp8 ? "fp8" : "auto", vllm_name(v));
	line("EngineCore_DP0", "INFO", "core.py:77", text ? text : "");
}

/* 0: may go on. */
static int check_port(const Vllm *v)
{
	int r = v->args.socket ? 0
			       : program_can_listen(v->args.host ? v->args.host : "0.0.0.0",
						    (uint16_t)v->args.port);
	if (r < 0)
		fprintf(stderr, "(APIServer pid=%d) OSError: [Errno %d] %s\n", (int)getpid(), -r,
			strerror(-r));
	return r;
}

static int stage_first(Vllm *v, int64_t *ret_us)
{
	say_arguments(v);
	if (check_port(v) < 0) {
		v->program.host.failed = true;
		return 0;
	}
	if (v->program.o.faults.cpu) {
		fprintf(stderr,
			"(APIServer pid=%d) RuntimeError: Failed to infer device type, please set "
			"the environment variable `VLLM_LOGGING_LEVEL=DEBUG` to turn on verbose "
			"logging to help debug the issue.\n",
			(int)getpid());
		v->program.host.failed = true;
		return 0;
	}
	front("scheduler.py:205",
	      "Chunked prefill is enabled with max_num_batched_tokens=%" PRId64 ".",
	      v->llm.service->set.vllm.max_num_batched_tokens);
	say_engine(v);
	*ret_us = 0;
	return 1;
}

static int stage(Program *p, int number, int64_t *ret_us)
{
	Vllm *v = vllm_of(p);
	if (number == 0)
		return stage_first(v, ret_us);
	if (number == 1 + LLM_STAGE_LOAD)
		line("EngineCore_DP0", "INFO", "gpu_model_runner.py:2602",
		     "Starting to load model");
	int r = llm_start_stage(&v->llm, (LlmStage)(number - 1), ret_us);
	if (r == 0)
		front("core_client.py:564", "Engine core failed to start");
	return r;
}

static int stats_due(Sim *s, void *owner, uint32_t mark)
{
	(void)mark;
	Vllm *v = owner;
	VllmMetrics *m = &v->metrics;
	int64_t now = clock_mono_us(v->program.clock);
	double seconds = (double)(now - v->stats_at_us) / 1e6;
	bool quiet = v->args.quiet_stats ||
		     (m->prompt_tokens == m->seen_prompt &&
		      m->generation_tokens == m->seen_generation && llm_queued(&v->llm) == 0);
	if (!quiet && seconds > 0)
		front("loggers.py:127",
		      "Engine 000: Avg prompt throughput: %.1f tokens/s, Avg generation "
		      "throughput: %.1f tokens/s, Running: %zu reqs, Waiting: %zu reqs, GPU KV "
		      "cache usage: %.1f%%, Prefix cache hit rate: 0.0%%",
		      (double)(m->prompt_tokens - m->seen_prompt) / seconds,
		      (double)(m->generation_tokens - m->seen_generation) / seconds,
		      v->llm.n_running, v->llm.n_waiting,
		      100.0 * (double)(v->llm.kv_blocks - v->llm.free_blocks) /
			  (double)v->llm.kv_blocks);
	m->seen_prompt = m->prompt_tokens;
	m->seen_generation = m->generation_tokens;
	v->stats_at_us = now;
	return sim_timer(s, v->stats_timer, s->now_us + STATS_EVERY_US, 0);
}

static int listen_now(Vllm *v, Err *err)
{
	const HttpServerSpec spec = {
	    .host = v->args.host ? v->args.host : "0.0.0.0",
	    .port = (uint16_t)v->args.port,
	    .socket = v->args.socket,
	    .serve = vllm_serve,
	    .closed = vllm_closed,
	    .ctx = v,
	};
	int r = program_listen(&v->program, &spec, err);
	if (r < 0)
		return r;
	if (v->args.socket)
		front("api_server.py:1912", "Starting vLLM API server 0 on unix:%s",
		      v->args.socket);
	else
		front("api_server.py:1912", "Starting vLLM API server 0 on http://%s:%u", spec.host,
		      httpserver_port(v->program.server));
	return 0;
}

static int ready(Program *p)
{
	Vllm *v = vllm_of(p);
	Sim *s = &p->host.sim;
	Err err = ERR_INIT;
	v->stats_timer = sim_add_timer(s, stats_due, v);
	v->outbox_timer = sim_add_timer(s, vllm_outbox_due, v);
	front("loggers.py:147",
	      "Engine 000: vllm cache_config_info with initialization after num_gpu_blocks is: "
	      "%" PRId64,
	      v->llm.kv_blocks);
	if (listen_now(v, &err) < 0) {
		fprintf(stderr, "(APIServer pid=%d) OSError: %s\n", (int)getpid(), err.msg);
		return 1;
	}
	_cleanup_free_ char *text = str_fmt("Started server process [%d]", (int)getpid());
	uvicorn(text ? text : "");
	uvicorn("Waiting for application startup.");
	uvicorn("Application startup complete.");
	v->llm.starved = p->o.faults.oom_under_load;
	v->llm.slower_from_us = s->now_us;
	v->llm.slower_us = p->o.faults.slower_us;
	v->stats_at_us = clock_mono_us(p->clock);
	v->created_s = clock_now_us(p->clock) / 1000000;
	return sim_timer(s, v->stats_timer, s->now_us + STATS_EVERY_US, 0) < 0;
}

/* --- End ------------------------------------------------------------------------------------- */

static int last_words(sd_event_source *s, uint64_t usec, void *userdata)
{
	(void)s;
	(void)usec;
	Vllm *v = userdata;
	(void)vllm_drop_all(v, false);
	_cleanup_free_ char *text = str_fmt("Finished server process [%d]", (int)getpid());
	uvicorn("Waiting for application shutdown.");
	uvicorn("Application shutdown complete.");
	uvicorn(text ? text : "");
	/* Also after its engine died (vllm-project/vllm#48966). */
	program_end(&v->program, 0);
	return 0;
}

static void end_in(Vllm *v, uint64_t us)
{
	sd_event_source_disable_unref(v->grace);
	v->grace = NULL;
	if (sd_event_add_time_relative(v->program.loop, &v->grace, CLOCK_MONOTONIC, us, 1000,
				       last_words, v) < 0)
		program_end(&v->program, 1);
}

void vllm_idle(Vllm *v)
{
	if (v->stopping && v->n_calls == 0)
		end_in(v, 0);
}

static void stop(Program *p)
{
	Vllm *v = vllm_of(p);
	if (v->stopping)
		return;
	v->stopping = true;
	uvicorn("Shutting down");
	end_in(v, v->n_calls > 0 ? GRACE_US : 0);
}

static void died(Program *p)
{
	Vllm *v = vllm_of(p);
	if (v->dead)
		return;
	v->dead = true;
	(void)vllm_drop_all(v, true);
	uvicorn("Shutting down");
	v->stopping = true;
	end_in(v, LAST_WORDS_US);
}

static const ProgramKind kind = {
    .stage = stage,
    .n_stages = 1 + LLM_STAGES,
    .slow_stage = 2, /* the weights are there */
    .ready = ready,
    .died = died,
    .stop = stop,
};

/* --- The program ----------------------------------------------------------------------------- */

/* "Qwen/Qwen2.5-7B-Instruct-AWQ" and "/models/Qwen2.5-7B-Instruct-AWQ/" are the box's
 * "Qwen2.5-7B-Instruct-AWQ". */
static char *model_on_box(const Box *b, const char *name)
{
	size_t len = strlen(name);
	if (box_llm(b, name))
		return str_fmt("%s", name);
	while (len > 0 && name[len - 1] == '/')
		len--;
	size_t from = len;
	while (from > 0 && name[from - 1] != '/')
		from--;
	return str_fmt("%.*s", (int)(len - from), name + from);
}

static int read_settings(Vllm *v)
{
	Program *p = &v->program;
	Err err = ERR_INIT;
	_cleanup_free_ char *model = model_on_box(p->box, v->args.model);
	if (!model || !box_llm(p->box, model)) {
		fprintf(stderr,
			"(APIServer pid=%d) OSError: %s is not a local folder and is not a valid "
			"model identifier listed on 'https://huggingface.co/models'\n",
			(int)getpid(), v->args.model);
		return -ENOENT;
	}
	char name[] = "vllm", type[] = "vllm";
	bool failed = false;
	js_set(v->args.settings, "model", js_text(model), &failed);
	const ServiceSpec spec = {.name = name, .kind = type, .settings = v->args.settings};
	int r = failed ? -ENOMEM : settings_read(p->box, &spec, NULL, &p->service.set, &err);
	if (r < 0)
		fprintf(stderr, "(APIServer pid=%d) ValueError: %s\n", (int)getpid(), err.msg);
	return r;
}

static int name_model(Vllm *v)
{
	if (v->args.n_names == 0)
		v->args.names[v->args.n_names++] = v->args.model;
	if (v->program.o.faults.wrong_model) {
		v->args.names[0] = "Qwen/Qwen3-0.6B"; /* what vLLM serves when none is named */
		v->args.n_names = 1;
	}
	json_t *name = js_text(v->args.names[0]);
	v->name_json = name ? json_dumps(name, JSON_ENCODE_ANY) : NULL;
	json_decref(name);
	return v->name_json ? 0 : -ENOMEM;
}

static int run(Vllm *v)
{
	Program *p = &v->program;
	int r = program_open(p, &v->args.program, &kind, "VLLM::EngineCore");
	if (r != 0)
		return r;
	p->service = (Service){.name = "vllm", .say = say, .say_ctx = v};
	if (read_settings(v) < 0 || name_model(v) < 0)
		return 1;
	v->llm = (Llm){.host = &p->host, .service = &p->service, .hear = vllm_hear, .hear_ctx = v};
	metrics_init(&v->metrics);
	return program_run(p);
}

int twin_vllm(int argc, char **argv)
{
	Vllm *v = calloc(1, sizeof(*v));
	if (!v)
		return 1;
	int r = vllm_args(argc, argv, &v->args);
	if (r > 0) {
		r = run(v);
		(void)vllm_drop_all(v, false);
		llm_done(&v->llm);
		sd_event_source_disable_unref(v->grace);
		program_close(&v->program);
		vllm_args_done(&v->args);
	} else if (r < 0) {
		r = r == -EINVAL ? 2 : 1;
	}
	free(v->outbox);
	free(v->name_json);
	free(v);
	return r;
}
