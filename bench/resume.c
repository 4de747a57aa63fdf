/* A durable trial of the runner (ask, trivial evaluation in process, keep, tell), and going on with
 * a run of 10,000 trials: time to the first ask and resident memory, in a fresh process.
 *   bench-resume [FOLDER]   builds a store in a temporary folder below this one; default: /tmp
 *   bench-resume resume F   only resumes (what the first form starts) */
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "row.h"

#include "base/file.h"
#include "run/internal.h"

enum {
	TRIALS = 10000,
	DURABLE = 2000
};

static const char config[] =
    "version: 1\n"
    "experiments:\n"
    "  - name: bench\n"
    "    search_space:\n"
    "      gpu_memory_utilization: {min: 0.4, max: 0.9, step: 0.05}\n"
    "      max_num_seqs: [8, 16, 32, 64, 128, 256]\n"
    "      max_num_batched_tokens: [1024, 2048, 4096, 8192]\n"
    "      kv_cache_dtype: [auto, fp8]\n"
    "      model_size: [tiny, base, small, medium, turbo]\n"
    "      beam_size: {min: 1, max: 8}\n"
    "    baseline: {gpu_memory_utilization: 0.5, max_num_seqs: 32, max_num_batched_tokens: 2048,\n"
    "               kv_cache_dtype: auto, model_size: small, beam_size: 1}\n"
    "    evaluator: {kind: command, command: ['true'], applies: true}\n"
    "    strategy: random\n"
    "    budget: {max_candidates: 1000, max_generations: 20}\n"
    "    objectives: {latency_ms: {goal: minimize, worst: 100, best: 0, weight: 1}}\n";

typedef struct Bench {
	char dir[100], *config, *store_path;
	Plan *plan;
	Store *store;
	RunOptions options;
	Runner runner;
	Turn *turn;
} Bench;

static void die(const Err *err)
{
	fprintf(stderr, "bench-resume: %s\n", err->msg);
	exit(1);
}

static double now_ms(void)
{
	return (double)clock_mono_us(&clock_system) / 1000;
}

/* Everything a run does before its first ask. */
static void open_all(Bench *b)
{
	Err err = ERR_INIT;
	Diags d = DIAGS_INIT;
	if (config_load(b->config, DIAG_ERROR, &b->plan, &d, &err) < 0) {
		Str text = STR_INIT;
		diags_text(&d, &text);
		fprintf(stderr, "%s", text.s ? text.s : "");
		die(&err);
	}
	diags_done(&d);
	if (store_open(b->store_path, STORE_WRITE, &clock_system, &b->store, &err) < 0)
		die(&err);
	b->options = (RunOptions){.all_services = -1, .clock = &clock_system};
	b->runner = (Runner){.plan = b->plan,
			     .store = b->store,
			     .options = &b->options,
			     .clock = &clock_system,
			     .seed = b->plan->run.seed};
	if (turn_new(&b->runner, &b->plan->experiments[0], &b->turn, &err) < 0 ||
	    history_load(b->store, b->turn->x, &b->turn->id, &b->turn->history, &err) < 0 ||
	    evolve_begin(b->turn, &err) < 0)
		die(&err);
}

static void close_all(Bench *b)
{
	(void)turn_free(b->turn);
	(void)store_close(b->store);
	(void)config_free(b->plan);
	free(b->config);
	free(b->store_path);
}

static void trivial(const Point *p, Measurement *m)
{
	double v = 0;
	for (size_t d = 0; d < 6; d++)
		v += p->level[d] * (d + 1.0);
	*m = (Measurement){.outcome = OUTCOME_OK};
	Metric metric = {
	    .name = "latency_ms", .unit = "ms", .value = v, .lo = (double)NAN, .hi = (double)NAN};
	if (measurement_set(m, &metric, NULL) < 0)
		exit(1);
}

typedef struct Asked {
	StoreTrial trial;
	SearchAsk ask;
} Asked;

static void ask(Bench *b, Asked *a)
{
	Turn *t = b->turn;
	Err err = ERR_INIT;
	if (search_ask(t->search, &a->ask, &err) != 1)
		die(&err);
	Measurement m;
	trivial(&a->ask.point, &m);
	Fitness f = fitness_of(&t->x->goals, &m);
	a->trial = (StoreTrial){
	    .at_us = clock_now_us(&clock_system),
	    .experiment = t->x->name,
	    .epoch = 1,
	    .evolution = t->history.evolution,
	    .ask = (int64_t)a->ask.number,
	    .purpose = (char *)(uintptr_t) "search",
	    .origin = (char *)(uintptr_t)search_origin_name(a->ask.origin),
	    .spica_id = (char *)(uintptr_t) "spica-gpu-00000000",
	    .params = point_json(t->x->space, &a->ask.point),
	    .stage = STAGE_ISOLATED,
	    .evaluator = (char *)(uintptr_t) "bench",
	    .workload = (char *)(uintptr_t) "steady",
	    .fitness = f.value,
	    .feasible = f.feasible,
	    .m = m,
	};
	config_hash(a->trial.params, a->trial.config_hash);
}

/* Keeps `n` asked trials in one commit, then tells them. */
static void keep(Bench *b, Asked *a, size_t n)
{
	StoreTrial *list[100];
	Err err = ERR_INIT;
	for (size_t i = 0; i < n; i++)
		list[i] = &a[i].trial;
	if (store_add_trials(b->store, list, n, &err) < 0)
		die(&err);
	for (size_t i = 0; i < n; i++) {
		SearchTell tell = {.number = a[i].ask.number,
				   .outcome = OUTCOME_OK,
				   .fitness = a[i].trial.fitness,
				   .measurement = &a[i].trial.m};
		if (search_tell(b->turn->search, &tell, &err) < 0)
			die(&err);
		json_decref(a[i].trial.params);
		measurement_done(&a[i].trial.m);
	}
}

static void fill(Bench *b, size_t n, size_t at_once)
{
	static Asked asked[100];
	for (size_t done = 0; done < n; done += at_once) {
		for (size_t i = 0; i < at_once; i++)
			ask(b, &asked[i]);
		keep(b, asked, at_once);
	}
}

/* The first ask of a resumed run: printed for the parent as "ms MB". */
static int resume(Bench *b)
{
	double began = now_ms();
	open_all(b);
	if (b->turn->history.n_told != TRIALS) {
		fprintf(stderr, "bench-resume: %zu trials were found, not %d\n",
			b->turn->history.n_told, TRIALS);
		return 1;
	}
	SearchAsk a;
	Err err = ERR_INIT;
	if (search_ask(b->turn->search, &a, &err) != 1)
		die(&err);
	double ms = now_ms() - began;
	struct rusage u;
	(void)getrusage(RUSAGE_SELF, &u);
	printf("%.3f %.3f\n", ms, (double)u.ru_maxrss * 1024 / 1e6);
	close_all(b);
	return 0;
}

static int by_size(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;
	return (x > y) - (x < y);
}

/* What the disk itself takes for a small durable write, in the same run. */
static double floor_ms(const char *dir)
{
	enum {
		WRITES = 500
	};
	char path[128], line[256];
	double each_ms[WRITES];
	(void)snprintf(path, sizeof(path), "%s/floor", dir);
	memset(line, 'x', sizeof(line));
	FILE *f = fopen(path, "we");
	for (int i = 0; i < WRITES; i++) {
		double before = now_ms();
		if (!f || write(fileno(f), line, sizeof(line)) < 0 || fdatasync(fileno(f)) < 0) {
			perror(path);
			exit(1);
		}
		each_ms[i] = now_ms() - before;
	}
	(void)fclose(f);
	qsort(each_ms, WRITES, sizeof(*each_ms), by_size);
	return each_ms[WRITES / 2];
}

static void in_dir(Bench *b, const char *dir)
{
	(void)snprintf(b->dir, sizeof(b->dir), "%s", dir);
	b->config = path_join(dir, "dream.yaml");
	b->store_path = path_join(dir, "dream.db");
}

/* The median of several fresh processes. */
static int resume_often(const char *dir)
{
	enum {
		TIMES = 11
	};
	double ms[TIMES], mb[TIMES];
	char command[200];
	(void)snprintf(command, sizeof(command), "/proc/%ld/exe resume %s", (long)getpid(), dir);
	for (int i = 0; i < TIMES; i++) {
		FILE *f = popen(command, "r");
		if (!f || fscanf(f, "%lf %lf", &ms[i], &mb[i]) != 2 || pclose(f) != 0) {
			fprintf(stderr, "bench-resume: cannot go on with the run\n");
			return 1;
		}
	}
	qsort(ms, TIMES, sizeof(*ms), by_size);
	qsort(mb, TIMES, sizeof(*mb), by_size);
	row("go on with a run of 10,000 trials: first ask", ms[TIMES / 2], "ms", ROW_AT_MOST, 20);
	row("  its memory", mb[TIMES / 2], "MB", ROW_AT_MOST, 20);
	return 0;
}

static int measure(Bench *b, const char *dir)
{
	Err err = ERR_INIT;
	in_dir(b, dir);
	if (file_write(b->config, 0644, config, sizeof(config) - 1, &err) < 0)
		die(&err);
	open_all(b);
	row("the disk itself: one append + fdatasync", floor_ms(dir), "ms", ROW_NO_GOAL, 0);
	static double each_ms[DURABLE];
	double began = now_ms();
	for (int i = 0; i < DURABLE; i++) {
		double before = now_ms();
		fill(b, 1, 1);
		each_ms[i] = now_ms() - before;
	}
	double all_ms = now_ms() - began;
	qsort(each_ms, DURABLE, sizeof(*each_ms), by_size);
	row("a durable trial: ask, evaluate, keep, tell", each_ms[DURABLE / 2], "ms", ROW_AT_MOST,
	    0.5);
	row("  as many in a second", 1000 * DURABLE / all_ms, "/s", ROW_AT_LEAST, 2000);
	fill(b, TRIALS - DURABLE, 100);
	close_all(b);
	return resume_often(dir);
}

int main(int argc, char **argv)
{
	Bench b = {0};
	if (argc == 3 && strcmp(argv[1], "resume") == 0) {
		in_dir(&b, argv[2]);
		return resume(&b);
	}
	char dir[100], command[128];
	(void)snprintf(dir, sizeof(dir), "%s/dream-bench-XXXXXX", argc > 1 ? argv[1] : "/tmp");
	if (!mkdtemp(dir)) {
		perror(dir);
		return 1;
	}
	int r = measure(&b, dir);
	(void)snprintf(command, sizeof(command), "rm -rf '%s'", dir);
	return system(command) == 0 ? r : 1;
}
