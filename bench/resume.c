/* A durable trial of the runner (ask, trivial evaluation in process, keep, tell), and going on with
 * a run of 10,000 trials: time to the first ask and resident memory, in a fresh process.
 *   bench-resume            builds a store and prints the table
 *   bench-resume resume F   only resumes (what the first form starts) */
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

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
	char dir[64], *config, *store_path;
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

/* The first ask of a resumed run: printed for the parent as "ms kB". */
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
	printf("%.2f ms to the first ask of a run of %d trials (goal 20), %.1f MB RSS (goal 20)\n",
	       ms, TRIALS, (double)u.ru_maxrss / 1024);
	close_all(b);
	return 0;
}

/* What the disk itself takes for a small durable write, in the same run. */
static double floor_ms(const char *dir)
{
	char path[128], line[256];
	(void)snprintf(path, sizeof(path), "%s/floor", dir);
	memset(line, 'x', sizeof(line));
	FILE *f = fopen(path, "we");
	if (!f)
		return (double)NAN;
	double began = now_ms();
	for (int i = 0; i < 500; i++)
		if (write(fileno(f), line, sizeof(line)) < 0 || fdatasync(fileno(f)) < 0)
			break;
	double ms = (now_ms() - began) / 500;
	(void)fclose(f);
	return ms;
}

static void in_dir(Bench *b, const char *dir)
{
	(void)snprintf(b->dir, sizeof(b->dir), "%s", dir);
	b->config = path_join(dir, "dream.yaml");
	b->store_path = path_join(dir, "dream.db");
}

int main(int argc, char **argv)
{
	Bench b = {0};
	Err err = ERR_INIT;
	if (argc == 3 && strcmp(argv[1], "resume") == 0) {
		in_dir(&b, argv[2]);
		return resume(&b);
	}
	char dir[] = "./bench-XXXXXX";
	if (!mkdtemp(dir))
		return 1;
	in_dir(&b, dir);
	if (file_write(b.config, 0644, config, sizeof(config) - 1, &err) < 0)
		die(&err);
	open_all(&b);
	double disk_ms = floor_ms(dir), began = now_ms();
	fill(&b, DURABLE, 1);
	double each_ms = (now_ms() - began) / DURABLE;
	printf("%.3f ms a durable trial (goal 0.5), %.0f a second; one append + fdatasync here: "
	       "%.3f ms, ratio %.2f\n",
	       each_ms, 1000 / each_ms, disk_ms, each_ms / disk_ms);
	fill(&b, TRIALS - DURABLE, 100);
	close_all(&b);
	fflush(stdout);
	for (int i = 0; i < 3; i++) {
		pid_t pid = fork();
		if (pid == 0)
			execl("/proc/self/exe", argv[0], "resume", dir, (char *)NULL);
		(void)waitpid(pid, NULL, 0);
	}
	printf("the store is in %s\n", dir);
	return 0;
}
