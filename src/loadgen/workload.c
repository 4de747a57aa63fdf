/* `workloads:` as tables, and the profiles that are used when there are none. */
#include "loadgen/workload.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static const char *const arrivals_names[] = {"closed", "constant", "poisson", "gamma",
					     "ramp",   "replay",   NULL};

const char *arrivals_name(int arrivals)
{
	return arrivals >= 0 && arrivals < ARRIVALS_MAX_ ? arrivals_names[arrivals] : "unknown";
}

/* The place of a key when it was written, else of the whole. */
static const ConfNode *place(const ConfNode *n, const char *key)
{
	const ConfNode *at = conf_get(n, key);
	return at ? at : n;
}

static void check_lengths(const ConfNode *n, void *target, Diags *d)
{
	const Lengths *l = target;
	if (l->min > l->max)
		conf_fault(place(n, "min"), d, "a shortest length that is not above the longest",
			   "min %lld is above max %lld", (long long)l->min, (long long)l->max);
	else if (l->median < (double)l->min || l->median > (double)l->max)
		conf_fault(place(n, "median"), d, "a median between min and max",
			   "the median %g lies outside %lld to %lld", l->median, (long long)l->min,
			   (long long)l->max);
}

static const ConfField token_fields[] = {
    {.name = "median",
     .type = CONF_T_NUMBER,
     .offset = offsetof(Lengths, median),
     .help = "Half of the requests have fewer tokens",
     .otherwise = "128",
     .min = 1,
     .max = 1e6},
    {.name = "sigma",
     .type = CONF_T_NUMBER,
     .offset = offsetof(Lengths, sigma),
     .help = "Spread of the lognormal; 0: all have the median's length",
     .otherwise = "0.5",
     .min = 0,
     .max = 3},
    {.name = "min",
     .type = CONF_T_INT,
     .offset = offsetof(Lengths, min),
     .help = "Shorter ones get this many",
     .otherwise = "1",
     .min = 1,
     .max = 1e6},
    {.name = "max",
     .type = CONF_T_INT,
     .offset = offsetof(Lengths, max),
     .help = "Longer ones get this many",
     .otherwise = "1024",
     .min = 1,
     .max = 1e6},
    {0},
};

static const ConfTable token_table = {
    .name = "tokens",
    .help = "How many tokens a request has",
    .size = sizeof(Lengths),
    .fields = token_fields,
    .check = check_lengths,
};

static const ConfField clip_fields[] = {
    {.name = "median",
     .type = CONF_T_NUMBER,
     .offset = offsetof(Lengths, median),
     .help = "Half of the clips are shorter, in milliseconds",
     .otherwise = "3000",
     .min = 1,
     .max = 36e5},
    {.name = "sigma",
     .type = CONF_T_NUMBER,
     .offset = offsetof(Lengths, sigma),
     .help = "Spread of the lognormal; 0: all have the median's length",
     .otherwise = "0.4",
     .min = 0,
     .max = 3},
    {.name = "min",
     .type = CONF_T_INT,
     .offset = offsetof(Lengths, min),
     .help = "Shorter clips are lengthened to this",
     .otherwise = "500",
     .min = 1,
     .max = 36e5},
    {.name = "max",
     .type = CONF_T_INT,
     .offset = offsetof(Lengths, max),
     .help = "Longer clips are cut to this",
     .otherwise = "30000",
     .min = 1,
     .max = 36e5},
    {0},
};

static const ConfTable clip_table = {
    .name = "clip",
    .help = "How long the spoken clips are, in milliseconds",
    .size = sizeof(Lengths),
    .fields = clip_fields,
    .check = check_lengths,
};

/* Which kinds of arrivals a key belongs to. */
static const struct Belongs {
	const char *key;
	unsigned kinds;
	const char *accept; /* what was probably meant */
	const char *lack;   /* "poisson arrivals have no ..." */
} belongs[] = {
    {"rate",
     1U << ARRIVALS_CONSTANT | 1U << ARRIVALS_POISSON | 1U << ARRIVALS_GAMMA | 1U << ARRIVALS_RAMP,
     "users and think, or arrivals: poisson", "rate"},
    {"rate_to", 1U << ARRIVALS_RAMP, "arrivals: ramp", "rate_to"},
    {"users", 1U << ARRIVALS_CLOSED, "rate, or arrivals: closed", "users"},
    {"think", 1U << ARRIVALS_CLOSED, "rate, or arrivals: closed", "time to think"},
    {"cv", 1U << ARRIVALS_GAMMA, "arrivals: gamma", "cv"},
    {"trace", 1U << ARRIVALS_REPLAY, "arrivals: replay", "trace"},
    {"speed", 1U << ARRIVALS_REPLAY, "arrivals: replay", "speed"},
};

static void check_needs(const ConfNode *n, const Stream *s, Diags *d)
{
	const ConfNode *at = place(n, "arrivals");
	const char *kind = arrivals_names[s->arrivals];
	if (s->arrivals == ARRIVALS_CLOSED && s->users < 1)
		conf_fault(at, d, "users: 4", "closed arrivals need the number of users");
	if ((belongs[0].kinds >> s->arrivals & 1) && !(s->rate > 0))
		conf_fault(at, d, "rate: 1.5 (requests a second)", "%s arrivals need a rate", kind);
	if (s->arrivals == ARRIVALS_RAMP && !(s->rate_to > 0))
		conf_fault(at, d, "rate_to: 6 (requests a second at the end)",
			   "ramp arrivals need a rate_to");
	if (s->arrivals == ARRIVALS_REPLAY && (!s->trace || !*s->trace))
		conf_fault(at, d, "trace: load.csv", "replay arrivals need a trace");
}

/* Each kind of arrivals has its own numbers; one that would have no effect is a mistake, because it
 * tells that something else was meant. */
static void check_stream(const ConfNode *n, void *target, Diags *d)
{
	const Stream *s = target;
	check_needs(n, s, d);
	for (size_t i = 0; i < sizeof(belongs) / sizeof(*belongs); i++) {
		const struct Belongs *b = &belongs[i];
		const ConfNode *at = conf_get(n, b->key);
		if (at && !conf_is_null(at) && !(b->kinds >> s->arrivals & 1))
			conf_fault(at, d, b->accept, "%s arrivals have no %s",
				   arrivals_names[s->arrivals], b->lack);
	}
}

static const ConfField llm_fields[] = {
    {.name = "arrivals",
     .type = CONF_T_ENUM,
     .offset = offsetof(Stream, arrivals),
     .help = "How requests come: closed (users who wait for their answer), constant, poisson, "
	     "gamma (in clumps), ramp (evenly, ever faster) or replay (of a trace)",
     .otherwise = "poisson",
     .choices = arrivals_names},
    {.name = "rate",
     .type = CONF_T_NUMBER,
     .offset = offsetof(Stream, rate),
     .help = "Requests a second; not for closed arrivals and replay",
     .min = 1e-3,
     .max = 1e6},
    {.name = "rate_to",
     .type = CONF_T_NUMBER,
     .offset = offsetof(Stream, rate_to),
     .help = "The rate at the end of ramp arrivals, which begin with rate",
     .min = 1e-3,
     .max = 1e6},
    {.name = "trace",
     .type = CONF_T_STRING,
     .offset = offsetof(Stream, trace),
     .help = "CSV file with the times and lengths of replay arrivals, relative to this file"},
    {.name = "speed",
     .type = CONF_T_NUMBER,
     .offset = offsetof(Stream, speed),
     .help = "How many times faster than it was recorded a trace is replayed",
     .otherwise = "1",
     .min = 1e-3,
     .max = 1e3},
    {.name = "cv",
     .type = CONF_T_NUMBER,
     .offset = offsetof(Stream, cv),
     .help = "Coefficient of variation of the gaps of gamma arrivals; 1 is poisson",
     .otherwise = "3",
     .min = 0.05,
     .max = 20},
    {.name = "users",
     .type = CONF_T_INT,
     .offset = offsetof(Stream, users),
     .help = "Requests at a time; for closed arrivals",
     .min = 1,
     .max = 100000},
    {.name = "think",
     .type = CONF_T_DURATION,
     .offset = offsetof(Stream, think_us),
     .help = "Pause of a user between an answer and the next request",
     .otherwise = "0"},
    {.name = "requests",
     .type = CONF_T_INT,
     .offset = offsetof(Stream, requests),
     .help = "How many requests are measured",
     .otherwise = "150",
     .min = 1,
     .max = 1000000},
    {.name = "warmup",
     .type = CONF_T_INT,
     .offset = offsetof(Stream, warmup),
     .help = "How many are sent before and not counted",
     .otherwise = "10",
     .min = 0,
     .max = 100000},
    {.name = "prompt_tokens",
     .type = CONF_T_OBJECT,
     .offset = offsetof(Stream, prompt),
     .help = "Length of the prompt",
     .table = &token_table},
    {.name = "output_tokens",
     .type = CONF_T_OBJECT,
     .offset = offsetof(Stream, output),
     .help = "Length of the answer",
     .table = &token_table},
    {.name = "limit",
     .type = CONF_T_DURATION,
     .offset = offsetof(Stream, limit_us),
     .help = "End-to-end limit of one request, for capacity and goodput; 0: none",
     .otherwise = "3 s"},
    {.name = "ttft_limit",
     .type = CONF_T_DURATION,
     .offset = offsetof(Stream, ttft_limit_us),
     .help = "Limit of the time to the first token, beside limit; 0: none",
     .otherwise = "0"},
    {.name = "tpot_limit",
     .type = CONF_T_DURATION,
     .offset = offsetof(Stream, tpot_limit_us),
     .help = "Limit of the mean time from one token to the next, beside limit; 0: none",
     .otherwise = "0"},
    {0},
};

static const ConfTable llm_table = {
    .name = "llm stream",
    .help = "What the language model is asked",
    .size = sizeof(Stream),
    .fields = llm_fields,
    .check = check_stream,
};

static const ConfField stt_fields[] = {
    {.name = "arrivals",
     .type = CONF_T_ENUM,
     .offset = offsetof(Stream, arrivals),
     .help = "How clips come: closed, constant, poisson, gamma (in clumps), ramp (evenly, ever "
	     "faster) or replay (of a trace)",
     .otherwise = "poisson",
     .choices = arrivals_names},
    {.name = "rate",
     .type = CONF_T_NUMBER,
     .offset = offsetof(Stream, rate),
     .help = "Clips a second; not for closed arrivals and replay",
     .min = 1e-3,
     .max = 1e6},
    {.name = "rate_to",
     .type = CONF_T_NUMBER,
     .offset = offsetof(Stream, rate_to),
     .help = "The rate at the end of ramp arrivals, which begin with rate",
     .min = 1e-3,
     .max = 1e6},
    {.name = "trace",
     .type = CONF_T_STRING,
     .offset = offsetof(Stream, trace),
     .help = "CSV file with the times and lengths of replay arrivals, relative to this file"},
    {.name = "speed",
     .type = CONF_T_NUMBER,
     .offset = offsetof(Stream, speed),
     .help = "How many times faster than it was recorded a trace is replayed",
     .otherwise = "1",
     .min = 1e-3,
     .max = 1e3},
    {.name = "cv",
     .type = CONF_T_NUMBER,
     .offset = offsetof(Stream, cv),
     .help = "Coefficient of variation of the gaps of gamma arrivals; 1 is poisson",
     .otherwise = "3",
     .min = 0.05,
     .max = 20},
    {.name = "users",
     .type = CONF_T_INT,
     .offset = offsetof(Stream, users),
     .help = "Clips at a time; for closed arrivals",
     .min = 1,
     .max = 100000},
    {.name = "think",
     .type = CONF_T_DURATION,
     .offset = offsetof(Stream, think_us),
     .help = "Pause of a user between a transcript and the next clip",
     .otherwise = "0"},
    {.name = "requests",
     .type = CONF_T_INT,
     .offset = offsetof(Stream, requests),
     .help = "How many clips are measured",
     .otherwise = "150",
     .min = 1,
     .max = 1000000},
    {.name = "warmup",
     .type = CONF_T_INT,
     .offset = offsetof(Stream, warmup),
     .help = "How many are sent before and not counted",
     .otherwise = "5",
     .min = 0,
     .max = 100000},
    {.name = "clip_ms",
     .type = CONF_T_OBJECT,
     .offset = offsetof(Stream, clip_ms),
     .help = "Length of the clips",
     .table = &clip_table},
    {.name = "limit",
     .type = CONF_T_DURATION,
     .offset = offsetof(Stream, limit_us),
     .help = "End-to-end limit of one clip; 0: none",
     .otherwise = "1 s"},
    {0},
};

static const ConfTable stt_table = {
    .name = "stt stream",
    .help = "What speech-to-text is asked",
    .size = sizeof(Stream),
    .fields = stt_fields,
    .check = check_stream,
};

static void check_workload(const ConfNode *n, void *target, Diags *d)
{
	const Workload *w = target;
	if (!w->llm && !w->stt)
		conf_fault(n, d, "llm: {...} or stt: {...}",
			   "the workload %s asks nothing of any service", w->name ? w->name : "");
}

static const ConfField workload_fields[] = {
    {.name = "name",
     .type = CONF_T_STRING,
     .offset = offsetof(Workload, name),
     .help = "The name of the profile"},
    {.name = "llm",
     .type = CONF_T_OPTIONAL,
     .offset = offsetof(Workload, llm),
     .help = "Load on the language model; absent: none",
     .table = &llm_table},
    {.name = "stt",
     .type = CONF_T_OPTIONAL,
     .offset = offsetof(Workload, stt),
     .help = "Load on speech-to-text; absent: none",
     .table = &stt_table},
    {.name = "capacity_max",
     .type = CONF_T_INT,
     .offset = offsetof(Workload, capacity_max),
     .help = "The highest concurrency that the capacity search tries; 0: no search",
     .otherwise = "32",
     .min = 0,
     .max = 4096},
    {.name = "capacity_share",
     .type = CONF_T_NUMBER,
     .offset = offsetof(Workload, capacity_share),
     .help = "The share of requests that must meet the limit",
     .otherwise = "0.95",
     .min = 0.5,
     .max = 1},
    {0},
};

const ConfTable workload_table = {
    .name = "workload",
    .help = "A load profile: what is asked of the services, how often",
    .size = sizeof(Workload),
    .fields = workload_fields,
    .check = check_workload,
};

/* A voice assistant: some context in, a short answer out, and a spoken sentence for each. */
static const Stream steady_llm = {
    .arrivals = ARRIVALS_POISSON,
    .rate = 0.7,
    .cv = 3,
    .speed = 1,
    .requests = 150,
    .warmup = 10,
    .prompt = {.median = 100, .sigma = 0.4, .min = 16, .max = 1024},
    .output = {.median = 16, .sigma = 0.4, .min = 4, .max = 128},
    .limit_us = 2000000,
};
static const Stream steady_stt = {
    .arrivals = ARRIVALS_POISSON,
    .rate = 0.7,
    .cv = 3,
    .speed = 1,
    .requests = 150,
    .warmup = 5,
    .clip_ms = {.median = 3000, .sigma = 0.3, .min = 500, .max = 30000},
    .limit_us = 1000000,
};

static int take_stream(const Stream *from, bool bursty, Stream **ret)
{
	Stream *s = malloc(sizeof(*s));
	if (!s)
		return -ENOMEM;
	*s = *from;
	if (bursty) {
		s->arrivals = ARRIVALS_GAMMA;
		s->cv = 3;
	}
	*ret = s;
	return 0;
}

int workload_default(size_t i, Workload *ret)
{
	static const char *const names[] = {"steady", "bursty"};
	if (i >= sizeof(names) / sizeof(*names))
		return -ENOENT;
	Workload w = {.name = strdup(names[i]), .capacity_max = 32, .capacity_share = 0.95};
	if (!w.name || take_stream(&steady_llm, i == 1, &w.llm) < 0 ||
	    take_stream(&steady_stt, i == 1, &w.stt) < 0) {
		conf_done(&workload_table, &w);
		return -ENOMEM;
	}
	*ret = w;
	return 0;
}
