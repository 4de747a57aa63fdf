#pragma once
/* Production for tests: units that run the simulated box's servers under a systemd of their own,
 * and what a watch told of them. */
#include <unistd.h>

#include "../systemd/manager.h"
#include "base/json.h"
#include "http/client.h"
#include "watch/watch.h"

#define GPU_UUID   "GPU-3060f0e1-5c1a-4d2e-9b7a-12622168064a"
#define JUDGE_PORT 18100
#define VOICE_PORT 18101

enum {
	TOLD_MAX = 256,
	SAMPLES_MAX = 4096,
};

typedef struct Told {
	HardEvent e;
	char service[40], words[500];
	int64_t at_us; /* monotonic */
} Told;

typedef struct Taken {
	char service[40], metric[40];
	JudgeSample s;
} Taken;

typedef struct Rig {
	Bench b;
	HttpLoop *http;
	Watch *watch;
	Told told[TOLD_MAX];
	size_t n_told;
	Taken taken[SAMPLES_MAX];
	size_t n_taken;
	const char *restart_from_handler; /* this unit is expected from inside a handler */
} Rig;

static inline int64_t mono_us(void)
{
	return clock_mono_us(&clock_system);
}

/* --- Units ----------------------------------------------------------------------------------- */

/* What the servers read when they start; one file a unit. */
static inline void set_env(const char *unit, const char *more)
{
	char path[200], text[1000];
	int n = snprintf(text, sizeof(text),
			 "TWIN_BOX=%s/rtx3060.yaml\nTWIN_GPU=/tmp/card\nTWIN_NOISE_SEED=1\n%s\n",
			 BOXES, more);
	snprintf(path, sizeof(path), "/run/%s.env", unit);
	CHECK_OK(file_write(path, 0644, text, (size_t)n, NULL));
}

static inline void make_units(const char *service_lines)
{
	char text[2000];
	snprintf(text, sizeof(text),
		 "[Unit]\nStartLimitIntervalSec=0\n[Service]\nType=exec\nEnvironmentFile=/run/"
		 "judge.env\n%s\n"
		 "ExecStart=%s twin vllm serve Qwen2.5-7B-Instruct-AWQ --host 127.0.0.1 --port %d "
		 "--gpu-memory-utilization ${UTIL} --max-model-len 2048 --enforce-eager "
		 "--served-model-name judge\n",
		 service_lines, DREAM, JUDGE_PORT);
	unit_file("judge.service", text);
	snprintf(text, sizeof(text),
		 "[Unit]\nStartLimitIntervalSec=0\n[Service]\nType=exec\nEnvironmentFile=/run/"
		 "voice.env\n%s\n"
		 "ExecStart=%s twin whisper --host 127.0.0.1 --port %d --model small\n",
		 service_lines, DREAM, VOICE_PORT);
	unit_file("voice.service", text);
	shell("systemctl daemon-reload");
}

#define FAST "TWIN_SPEED=50\nUTIL=0.5\n"

static char judge_name[] = "judge", judge_unit[] = "judge.service", vllm[] = "vllm";
static char voice_name[] = "voice", voice_unit[] = "voice.service", whisper[] = "whispercpp";
static char judge_url[] = "http://127.0.0.1:18100", voice_url[] = "http://127.0.0.1:18101";

static const ServiceSpec judge_spec = {
    .name = judge_name, .kind = vllm, .unit = judge_unit, .url = judge_url};
static const ServiceSpec voice_spec = {
    .name = voice_name, .kind = whisper, .unit = voice_unit, .url = voice_url};

static const WatchedService judge = {.service = &judge_spec, .wants_gpu = true};
static const WatchedService voice = {.service = &voice_spec, .wants_gpu = true};

/* --- What is told ---------------------------------------------------------------------------- */

static inline void rig_sample(void *ctx, const WatchSample *s)
{
	Rig *r = ctx;
	CHECK(r->n_taken < SAMPLES_MAX);
	Taken *t = &r->taken[r->n_taken++];
	snprintf(t->service, sizeof(t->service), "%s", s->service);
	snprintf(t->metric, sizeof(t->metric), "%s", s->metric);
	t->s = s->s;
}

static inline void rig_hard(void *ctx, HardEvent e, const char *service, const char *words)
{
	Rig *r = ctx;
	CHECK(r->n_told < TOLD_MAX);
	Told *t = &r->told[r->n_told++];
	t->e = e;
	t->at_us = mono_us();
	snprintf(t->service, sizeof(t->service), "%s", service);
	snprintf(t->words, sizeof(t->words), "%s", words);
	printf("# %s: %s: %s\n", service, hard_event_name(e), words);
	if (r->restart_from_handler)
		watch_expect(r->watch, r->restart_from_handler, true);
}

/* Runs the loop for so long. */
static inline void run_for(Rig *r, int64_t us)
{
	for (int64_t until = mono_us() + us, left; (left = until - mono_us()) > 0;)
		CHECK_OK(sd_event_run(r->b.loop, (uint64_t)left));
}

static inline size_t count_told(const Rig *r, HardEvent e, const char *service)
{
	size_t n = 0;
	for (size_t i = 0; i < r->n_told; i++)
		n += r->told[i].e == e && strcmp(r->told[i].service, service) == 0;
	return n;
}

static inline size_t count_taken(const Rig *r, const char *service, const char *metric, bool failed)
{
	size_t n = 0;
	for (size_t i = 0; i < r->n_taken; i++)
		n += r->taken[i].s.failed == failed && strcmp(r->taken[i].service, service) == 0 &&
		     strcmp(r->taken[i].metric, metric) == 0;
	return n;
}

static inline const Told *find_told(const Rig *r, HardEvent e, const char *service)
{
	for (size_t i = 0; i < r->n_told; i++)
		if (r->told[i].e == e && strcmp(r->told[i].service, service) == 0)
			return &r->told[i];
	return NULL;
}

/* What was said of the event that was told. */
static inline bool says(const Rig *r, HardEvent e, const char *service, const char *what)
{
	const Told *t = find_told(r, e, service);
	return t && strstr(t->words, what) != NULL;
}

/* Until the event was told; how long that took, in microseconds. */
static inline int64_t wait_told(Rig *r, HardEvent e, const char *service, int seconds)
{
	int64_t began = mono_us(), until = began + seconds * 1000000LL;
	while (!find_told(r, e, service)) {
		int64_t left = until - mono_us();
		if (left <= 0)
			test_fail(__FILE__, __LINE__, "never told: %s %s", service,
				  hard_event_name(e));
		CHECK_OK(sd_event_run(r->b.loop, (uint64_t)left));
	}
	return mono_us() - began;
}

static inline void wait_taken(Rig *r, const char *service, const char *metric, bool failed,
			      size_t n, int seconds)
{
	int64_t until = mono_us() + seconds * 1000000LL;
	while (count_taken(r, service, metric, failed) < n) {
		int64_t left = until - mono_us();
		if (left <= 0)
			test_fail(__FILE__, __LINE__, "only %zu of %zu samples of %s %s",
				  count_taken(r, service, metric, failed), n, service, metric);
		CHECK_OK(sd_event_run(r->b.loop, (uint64_t)left));
	}
}

/* --- All of it ------------------------------------------------------------------------------- */

static inline void rig_watch_every(Rig *r, const WatchedService *list, size_t n, int64_t every_us)
{
	static const WatchHandler handler = {.sample = rig_sample, .hard = rig_hard};
	const WatchSpec spec = {.services = list,
				.n = n,
				.probe_every_us = every_us,
				.probe_limit_us = 1000000,
				.healthy_after = 3,
				.journal = true,
				.gpu_uuid = GPU_UUID,
				.clock = &clock_system,
				.seed = 7};
	Err err = ERR_INIT;
	int e = watch_start(r->b.loop, r->b.s, r->http, &spec, &handler, r, &r->watch, &err);
	if (e < 0)
		printf("# %s\n", err.msg);
	CHECK_OK(e);
	if (*watch_blind(r->watch))
		printf("# blind: %s\n", watch_blind(r->watch));
	CHECK_STR(watch_blind(r->watch), "");
}

static inline void rig_watch(Rig *r, const WatchedService *list, size_t n)
{
	rig_watch_every(r, list, n, 100000);
}

typedef struct First {
	bool over;
	int64_t ready_us, at_us;
	HardEvent e;
	char words[500];
} First;

static inline void on_first(void *ctx, int64_t ready_us, HardEvent e, const char *words)
{
	First *f = ctx;
	CHECK(!f->over);
	*f = (First){.over = true, .ready_us = ready_us, .e = e, .at_us = mono_us()};
	snprintf(f->words, sizeof(f->words), "%s", words);
	printf("# first answer: %s, %.1f ms: %s\n", hard_event_name(e), (double)ready_us / 1000,
	       words);
}

static inline First first(Rig *r, const WatchedService *s, int64_t timeout_us)
{
	First f = {0};
	FirstAnswer *a = NULL;
	Err err = ERR_INIT;
	int e = first_answer(r->b.loop, r->b.s, r->http, s, GPU_UUID, timeout_us, on_first, &f, &a,
			     &err);
	if (e < 0)
		printf("# %s\n", err.msg);
	CHECK_OK(e);
	wait_for(r->b.loop, &f.over, 60);
	first_answer_free(a);
	return f;
}

/* Both services, up and answering. */
static inline void production_up(Rig *r, const char *service_lines)
{
	make_units(service_lines);
	set_env("judge", FAST);
	set_env("voice", FAST);
	shell("systemctl restart judge.service voice.service");
	CHECK_INT(first(r, &judge, 20000000).e, HARD_NONE);
	CHECK_INT(first(r, &voice, 20000000).e, HARD_NONE);
}

static inline Rig *rig_new(void)
{
	Rig *r = calloc(1, sizeof(*r));
	CHECK(r);
	r->b = bench_new();
	CHECK_OK(httploop_new(r->b.loop, &r->http, NULL));
	return r;
}

static inline void rig_done(Rig *r)
{
	shell("systemctl stop judge.service voice.service 2>/dev/null || true; systemctl "
	      "reset-failed");
	watch_free(r->watch);
	httploop_free(r->http);
	bench_done(&r->b);
	free(r);
}
