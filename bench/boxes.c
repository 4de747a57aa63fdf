/* How well each strategy finds the best candidate of the two simulated boxes, over many seeds.
 *   bench-boxes [FOLDER]     the folder with the examples; default: examples
 *
 * The truth does not come from any strategy: every allowed candidate that the memory model does not
 * refuse is tried TRUTH times, each time with another seed and at another time of the box's slow
 * drift, and the BEST of them REFINED times more; the mean fitness of the later trials is what it
 * is worth. (A box without noise would not do: the arrivals of the load are drawn anew as well.)
 * What a strategy is told comes from trials of its own, each with its own seed, a minute apart on
 * the drift as the runner has them, every search on another day. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/file.h"
#include "base/rng.h"
#include "run/internal.h"
#include "twin/twin.h"

enum {
	SEEDS = 100,
	TRUTH = 8,
	REFINED = 200,
	BEST = 100,
	DAY_MINUTES = 24 * 60,
	WORKERS_MAX = 16,
};

static const double CLOSE = 0.01; /* of the best candidate's fitness */

typedef struct Candidate {
	Point point;
	uint64_t key;
	double truth; /* mean fitness */
	bool sound;   /* no trial failed or broke a constraint */
} Candidate;

typedef struct Bench {
	const Experiment *x;
	Box *box;
	Candidate *items; /* by key; shared by the workers */
	uint32_t n, best, workers;
	uint32_t ranked[BEST]; /* the first BEST by a first look */
	uint32_t n_ranked, n_close;
} Bench;

/* What came of one search. */
typedef struct Play {
	bool best, close;
	double regret;	/* of the recommended candidate, as a share of the best one's fitness */
	uint32_t until; /* trials until a close candidate was first measured; 0: never */
	uint32_t trials;
} Play;

typedef void Work(Bench *b, uint32_t worker, void *userdata);

_Noreturn static void fail(const Err *err)
{
	fprintf(stderr, "bench-boxes: %s\n", err->msg);
	exit(1);
}

static void *shared(size_t bytes)
{
	void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (p == MAP_FAILED) {
		perror("bench-boxes: no memory to share");
		exit(1);
	}
	return p;
}

/* One process for each core; the results are in shared memory. */
static void in_workers(Bench *b, Work *work, void *userdata)
{
	pid_t pids[WORKERS_MAX];
	fflush(stdout);
	for (uint32_t i = 0; i < b->workers; i++) {
		pids[i] = fork();
		if (pids[i] == 0) {
			work(b, i, userdata);
			_exit(0);
		}
	}
	bool bad = false;
	for (uint32_t i = 0; i < b->workers; i++) {
		int status = 1;
		bad |= pids[i] < 0 || waitpid(pids[i], &status, 0) < 0 || status != 0;
	}
	if (bad) {
		fprintf(stderr, "bench-boxes: a worker failed\n");
		exit(1);
	}
}

/* --- The candidates -------------------------------------------------------------------------- */

static Fitness try_once(const Bench *b, const Point *p, Rng *r, int64_t minute, Outcome *ret)
{
	Err err = ERR_INIT;
	json_auto_t *params = point_json(b->x->space, p);
	TwinTrial t = {.box = b->box,
		       .services = b->x->services.items,
		       .n_services = b->x->services.n,
		       .params = params,
		       .workload = b->x->workloads.items,
		       .all_services = b->x->search_all_services,
		       .seed = rng_u64(r),
		       .drift_at_us = minute * 60000000,
		       .timeout_us = b->x->budget.trial_timeout_us};
	Measurement m;
	if (twin_trial(&t, &m, &err) < 0)
		fail(&err);
	Fitness f = fitness_of(&b->x->goals, &m);
	*ret = m.outcome;
	measurement_done(&m);
	return f;
}

static int by_key(const void *a, const void *b)
{
	const Candidate *x = a, *y = b;
	return (x->key > y->key) - (x->key < y->key);
}

static bool wanted(const Bench *b, Predictor *predictor, const Point *p)
{
	if (b->x->baseline && point_equal(b->x->space, p, &b->x->baseline_point))
		return true;
	return space_allows(b->x->space, p, NULL) && predict_feasible(predictor, p);
}

static void find_candidates(Bench *b)
{
	const Space *space = b->x->space;
	Predictor predictor = {.experiment = b->x};
	Point p;
	b->items = shared(space_count(space) * sizeof(*b->items));
	for (bool more = space_first(space, &p); more; more = space_next(space, &p))
		if (wanted(b, &predictor, &p))
			b->items[b->n++] = (Candidate){.point = p, .key = point_key(space, &p)};
	qsort(b->items, b->n, sizeof(*b->items), by_key);
}

static uint32_t find(const Bench *b, const Point *p)
{
	Candidate wanted_one = {.key = point_key(b->x->space, p)};
	const Candidate *c = bsearch(&wanted_one, b->items, b->n, sizeof(*c), by_key);
	if (!c || !point_equal(b->x->space, &c->point, p)) {
		fprintf(stderr, "bench-boxes: a strategy asked for what nobody may try\n");
		exit(1);
	}
	return (uint32_t)(c - b->items);
}

/* --- What they are worth --------------------------------------------------------------------- */

static void measure_truth(const Bench *b, uint32_t i, const char *label, int times)
{
	Candidate *c = &b->items[i];
	Rng r = rng_derive(0, label, c->key);
	double sum = 0;
	c->sound = true;
	for (int t = 0; t < times; t++) {
		Outcome outcome;
		int64_t minute = (int64_t)rng_below(&r, SEEDS * DAY_MINUTES);
		Fitness f = try_once(b, &c->point, &r, minute, &outcome);
		sum += f.value;
		c->sound &= outcome == OUTCOME_OK && f.feasible;
	}
	c->truth = sum / times;
}

static void first_look(Bench *b, uint32_t worker, void *userdata)
{
	(void)userdata;
	for (uint32_t i = worker; i < b->n; i += b->workers)
		measure_truth(b, i, "truth", TRUTH);
}

static void second_look(Bench *b, uint32_t worker, void *userdata)
{
	(void)userdata;
	for (uint32_t i = worker; i < b->n_ranked; i += b->workers)
		measure_truth(b, b->ranked[i], "refined", REFINED);
}

static void rank(Bench *b, uint32_t i)
{
	uint32_t at = b->n_ranked;
	while (at > 0 && b->items[i].truth > b->items[b->ranked[at - 1]].truth)
		at--;
	if (!b->items[i].sound || at == BEST)
		return;
	b->n_ranked += b->n_ranked < BEST;
	memmove(&b->ranked[at + 1], &b->ranked[at], (b->n_ranked - 1 - at) * sizeof(b->ranked[0]));
	b->ranked[at] = i;
}

static bool is_close(const Bench *b, uint32_t i)
{
	return b->items[i].sound && b->items[i].truth >= (1 - CLOSE) * b->items[b->best].truth;
}

static void find_best(Bench *b)
{
	in_workers(b, first_look, NULL);
	for (uint32_t i = 0; i < b->n; i++)
		rank(b, i);
	in_workers(b, second_look, NULL);
	if (b->n_ranked == 0) {
		fprintf(stderr, "bench-boxes: no candidate of %s ever works\n", b->x->name);
		exit(1);
	}
	b->best = b->ranked[0];
	for (uint32_t i = 1; i < b->n_ranked; i++)
		if (b->items[b->ranked[i]].sound &&
		    b->items[b->ranked[i]].truth > b->items[b->best].truth)
			b->best = b->ranked[i];
	for (uint32_t i = 0; i < b->n; i++)
		b->n_close += is_close(b, i);
}

/* --- The strategies -------------------------------------------------------------------------- */

static Search *new_search(const Bench *b, const char *strategy, uint64_t seed, Predictor *predictor)
{
	SearchSpec spec = evolve_spec(b->x, strategy, seed, predictor);
	Search *s = NULL;
	Err err = ERR_INIT;
	if (search_new(&spec, &s, &err) < 0)
		fail(&err);
	return s;
}

/* The whole search, as the runner would do it, and what it recommends at its end. */
static Play play(const Bench *b, const char *strategy, uint64_t seed)
{
	Predictor predictor;
	_cleanup_(search_freep) Search *s = new_search(b, strategy, seed, &predictor);
	Play ret = {.regret = 1};
	SearchAsk ask;
	Err err = ERR_INIT;
	while (search_ask(s, &ask, &err) == 1) {
		uint32_t at = find(b, &ask.point);
		Rng r = rng_derive(seed, "trial", ask.number);
		SearchTell tell = {.number = ask.number};
		Fitness f = try_once(b, &ask.point, &r, (int64_t)(seed * DAY_MINUTES + ask.number),
				     &tell.outcome);
		tell.fitness = f.value;
		tell.se = f.se;
		if (search_tell(s, &tell, &err) < 0)
			fail(&err);
		ret.trials++;
		if (!ret.until && is_close(b, at))
			ret.until = ret.trials;
	}
	Point chosen;
	if (search_survivors(s, &chosen, 1) == 1) {
		uint32_t at = find(b, &chosen);
		ret.best = at == b->best;
		ret.close = is_close(b, at);
		ret.regret = 1 - b->items[at].truth / b->items[b->best].truth;
	}
	return ret;
}

typedef struct Plays {
	const char *strategy;
	Play *items; /* SEEDS of them, shared */
} Plays;

static void play_some(Bench *b, uint32_t worker, void *userdata)
{
	Plays *plays = userdata;
	for (uint32_t seed = worker; seed < SEEDS; seed += b->workers)
		plays->items[seed] = play(b, plays->strategy, seed + 1);
}

static int by_size(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;
	return (x > y) - (x < y);
}

/* Of SEEDS numbers, which it sorts. */
static double quantile(double *list, double q)
{
	qsort(list, SEEDS, sizeof(*list), by_size);
	return list[(size_t)(q * (SEEDS - 1) + 0.5)];
}

static void print_row(const Play *plays, const char *strategy)
{
	double regret[SEEDS], until[SEEDS], trials[SEEDS];
	int best = 0, near = 0;
	for (int i = 0; i < SEEDS; i++) {
		best += plays[i].best;
		near += plays[i].close;
		regret[i] = 100 * plays[i].regret;
		until[i] = plays[i].until ? plays[i].until : (double)INFINITY;
		trials[i] = plays[i].trials;
	}
	double median = quantile(until, 0.5);
	char found[16] = "more";
	if (isfinite(median))
		(void)snprintf(found, sizeof(found), "%.0f", median);
	printf("  %-8s %6.0f %10.0f %% %10.0f %% %10.2f %% %10.2f %% %12s\n", strategy,
	       quantile(trials, 0.5), 100.0 * best / SEEDS, 100.0 * near / SEEDS,
	       quantile(regret, 0.5), quantile(regret, 0.9), found);
}

static void print_head(const Bench *b)
{
	_cleanup_(str_done) Str text = STR_INIT;
	point_text(b->x->space, &b->items[b->best].point, &text);
	printf("%s: %u candidates that the memory model does not refuse; %u within %.0f %% of the "
	       "best, fitness %.4f:\n  %s\n",
	       b->x->name, b->n, b->n_close, 100 * CLOSE, b->items[b->best].truth, text.s);
	printf("  %-8s %6s %12s %12s %12s %12s %12s\n", "", "", "best one", "within 1 %", "regret",
	       "regret", "trials until");
	printf("  %-8s %6s %12s %12s %12s %12s %12s\n", "strategy", "trials", "recommended",
	       "recommended", "median", "p90", "one within");
}

static void bench_box(const char *path, uint32_t workers)
{
	Err err = ERR_INIT;
	Diags d = DIAGS_INIT;
	_cleanup_(config_freep) Plan *plan = NULL;
	if (config_load(path, DIAG_ERROR, &plan, &d, &err) < 0)
		fail(&err);
	Bench b = {.x = &plan->experiments[0], .workers = workers};
	_cleanup_free_ char *file = path_join(plan->dir, b.x->evaluator.box);
	if (!file || box_load(file, &b.box, &d, &err) < 0)
		fail(&err);
	diags_done(&d);
	find_candidates(&b);
	find_best(&b);
	print_head(&b);
	Plays plays = {.items = shared(SEEDS * sizeof(Play))};
	for (size_t i = 0; search_strategy(i); i++) {
		plays.strategy = search_strategy(i)->name;
		in_workers(&b, play_some, &plays);
		print_row(plays.items, plays.strategy);
	}
	(void)munmap(plays.items, SEEDS * sizeof(Play));
	(void)munmap(b.items, space_count(b.x->space) * sizeof(*b.items));
	(void)box_free(b.box);
}

int main(int argc, char **argv)
{
	long cores = sysconf(_SC_NPROCESSORS_ONLN);
	uint32_t workers = cores < 1 ? 1 : cores > WORKERS_MAX ? WORKERS_MAX : (uint32_t)cores;
	static const char *const names[] = {"rtx3060.yaml", "rtx4090.yaml"};
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		_cleanup_free_ char *path = path_join(argc > 1 ? argv[1] : "examples", names[i]);
		if (!path)
			return 1;
		bench_box(path, workers);
	}
	return 0;
}
