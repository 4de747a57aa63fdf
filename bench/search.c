/* What an ask and a tell cost in memory, and whether that stays flat: time per trial of each block
 * of trials, for spaces of 6 parameters as in facts of other tools. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "base/clock.h"
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

static int run(const Space *space, const char *name, bool with_predicate, uint32_t candidates,
	       uint64_t trials, uint64_t block)
{
	SearchSpec spec = {.strategy = name,
			   .space = space,
			   .seed = 1,
			   .feasible = with_predicate ? half : NULL,
			   .max_candidates = candidates,
			   .max_generations = (uint32_t)(trials / candidates * 2 + 2),
			   .tournament_size = 4,
			   .survivors = 2,
			   .elitism = 1,
			   .fresh_inject = 1};
	_cleanup_(search_freep) Search *s = NULL;
	Err err = ERR_INIT;
	if (search_new(&spec, &s, &err) < 0) {
		fprintf(stderr, "bench-search: %s\n", err.msg);
		return 1;
	}
	int64_t start = clock_mono_us(&clock_system), from = start;
	SearchAsk *asks = calloc(candidates, sizeof(*asks));
	double first = 0, last = 0;
	uint64_t n = 0, counted = 0;
	while (asks && n < trials) {
		uint32_t got = 0;
		while (got < candidates && search_ask(s, &asks[got], &err) == 1)
			got++;
		if (!got)
			break;
		for (uint32_t i = 0; i < got; i++) {
			SearchTell t = {.number = asks[i].number, .fitness = value(&asks[i].point)};
			if (search_tell(s, &t, &err) < 0)
				return 1;
		}
		n += got;
		if (n - counted >= block) {
			int64_t now = clock_mono_us(&clock_system);
			last = (double)(now - from) / (double)(n - counted);
			counted = n;
			first = first > 0 ? first : last;
			from = now;
		}
	}
	free(asks);
	double mean = (double)(clock_mono_us(&clock_system) - start) / (double)n;
	printf("%-8s %-10s %10u %9llu %11.2f %11.2f %11.2f\n", name,
	       with_predicate ? "half" : "all", candidates, (unsigned long long)n, mean, first,
	       last);
	return 0;
}

int main(void)
{
	_cleanup_(space_freep) Space *space = read_space();
	if (!space)
		return 1;
	printf("ask + tell in memory, 6 parameters, %llu points; microseconds a trial\n"
	       "strategy feasible   candidates    trials        mean first 10000  last 10000\n",
	       (unsigned long long)space_count(space));
	int bad = 0;
	for (int predicate = 0; predicate < 2; predicate++) {
		bad |= run(space, "random", predicate, 10, 100000, 10000);
		bad |= run(space, "grid", predicate, 10, 100000, 10000);
		bad |= run(space, "rzero", predicate, 10, 100000, 10000);
		bad |= run(space, "rzero", predicate, 1000, 100000, 10000);
		bad |= run(space, "rzero", predicate, 100000, 100000, 10000);
	}
	struct rusage use;
	getrusage(RUSAGE_SELF, &use);
	printf("peak memory %.1f MiB\n", (double)use.ru_maxrss / 1024);
	return bad;
}
