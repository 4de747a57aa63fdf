/* What an ask and a tell cost in memory, and whether that stays flat: time per trial of each block
 * of trials, for spaces of 6 parameters as in facts of other tools. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#include "row.h"

#include "base/cleanup.h"
#include "search/search.h"

static const char space_text[] = "gpu_memory_utilization: {min: 0.40, max: 0.95, step: 0.01}\n"
				 "max_num_seqs: {min: 1, max: 256}\n"
				 "max_num_batched_tokens: {min: 512, max: 16384, step: 512}\n"
				 "chunked_prefill: {type: bool}\n"
				 "kv_cache_dtype: [auto, fp8]\n"
				 "whisper_model_size: [tiny, base, small, medium]\n";

static Space *read_space(void)
{
	Diags d = DIAGS_INIT;
	Err err = ERR_INIT;
	_cleanup_(conf_freep) ConfDoc *doc = NULL;
	Space *s = NULL;
	int e = conf_read_text("bench", space_text, strlen(space_text), &doc, &d, &err);
	if (e >= 0)
		e = space_read(conf_root(doc), NULL, NULL, &s, &d);
	diags_done(&d);
	return e < 0 ? NULL : s;
}

/* A cheap surface, so that the time is the strategy's. */
static double value(const Point *p)
{
	double u = p->level[0] / 55.0 - 0.7, n = p->level[1] / 255.0 - 0.3;
	return 1 - u * u - n * n + 0.01 * p->level[5];
}

static bool half(void *userdata, const Point *p)
{
	(void)userdata;
	return p->level[0] / 55.0 + p->level[1] / 255.0 < 1;
}

/* The process's own time: another program on the same core does not count. */
static double cpu_us(void)
{
	struct timespec t;
	(void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

typedef struct Cost {
	double mean, first, last; /* microseconds a trial: of all, of the first and last 10,000 */
} Cost;

enum {
	TRIALS = 100000,
	BLOCK = 10000,
};

/* Asks a generation and tells it, until TRIALS are told. */
static int play(Search *s, uint32_t candidates, Cost *ret, Err *err)
{
	_cleanup_free_ SearchAsk *asks = calloc(candidates, sizeof(*asks));
	double from = cpu_us();
	uint64_t counted = 0;
	for (uint64_t n = 0, got = 1; asks && n < TRIALS && got > 0; n += got) {
		for (got = 0; got < candidates && search_ask(s, &asks[got], err) == 1;)
			got++;
		for (uint64_t i = 0; i < got; i++) {
			SearchTell t = {.number = asks[i].number, .fitness = value(&asks[i].point)};
			int e = search_tell(s, &t, err);
			if (e < 0)
				return e;
		}
		if (n + got - counted < BLOCK)
			continue;
		ret->last = (cpu_us() - from) / (double)(n + got - counted);
		ret->first = counted == 0 ? ret->last : ret->first;
		counted = n + got;
		from = cpu_us();
	}
	return asks ? 0 : err_oom(err);
}

static int run(const Space *space, const char *name, bool with_predicate, uint32_t candidates,
	       Cost *ret, Err *err)
{
	SearchSpec spec = {.strategy = name,
			   .space = space,
			   .seed = 1,
			   .feasible = with_predicate ? half : NULL,
			   .max_candidates = candidates,
			   .max_generations = TRIALS / candidates * 2 + 2,
			   .tournament_size = 4,
			   .survivors = 2,
			   .elitism = 1,
			   .fresh_inject = 1};
	_cleanup_(search_freep) Search *s = NULL;
	double began = cpu_us();
	int e = search_new(&spec, &s, err);
	if (e >= 0)
		e = play(s, candidates, ret, err);
	ret->mean = (cpu_us() - began) / TRIALS;
	return e;
}

int main(void)
{
	static const struct {
		const char *name;
		uint32_t candidates;
		double goal;
	} rows[] = {{"random", 10, 2}, {"rzero", 10, 5}, {"rzero", 1000, 5}, {"rzero", TRIALS, 5}};
	_cleanup_(space_freep) Space *space = read_space();
	if (!space)
		return 1;
	for (size_t i = 0; i < 2 * sizeof(rows) / sizeof(rows[0]); i++) {
		size_t r = i / 2;
		bool predicate = i % 2;
		char what[80];
		Cost c = {0};
		Err err = ERR_INIT;
		if (run(space, rows[r].name, predicate, rows[r].candidates, &c, &err) < 0) {
			fprintf(stderr, "bench-search: %s\n", err.msg);
			return 1;
		}
		(void)snprintf(what, sizeof(what), "ask + tell, %s, %u a generation%s",
			       rows[r].name, rows[r].candidates,
			       predicate ? ", half infeasible" : "");
		row(what, c.mean, "us", ROW_AT_MOST, rows[r].goal);
		if (rows[r].candidates == TRIALS)
			continue; /* planned as a whole: no trial is early or late */
		row("  the first 10,000", c.first, "us", ROW_NO_GOAL, 0);
		row("  the last 10,000 of 100,000", c.last, "us", ROW_AT_MOST, rows[r].goal);
	}
	struct rusage use;
	(void)getrusage(RUSAGE_SELF, &use);
	row("  memory, 100,000 candidates", (double)use.ru_maxrss * 1024 / 1e6, "MB", ROW_NO_GOAL,
	    0);
	return 0;
}
