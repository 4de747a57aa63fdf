/* How fast the store is, beside the bare disk: `bench-store [DIRECTORY]`. The goals are ratios to
 * the disk as much as numbers, for a busy machine slows both. */
#include <fcntl.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "row.h"

#include "base/clock.h"
#include "base/json.h"
#include "base/rng.h"
#include "store/store.h"

enum {
	ALONE = 4000,
	PROCESSES = 8,
	EACH = 1000,
	RESUME = 10000,
	MANY = 1000000,
	MANY_BATCH = 5000,
	PLAIN_WRITE = 700, /* bytes: about what a trial's record has */
};

_Noreturn static void fail(const char *what, const Err *err)
{
	fprintf(stderr, "bench-store: %s: %s\n", what, err ? err->msg : strerror(errno));
	exit(1);
}

static int64_t now_us(void)
{
	return clock_mono_us(&clock_system);
}

static void fill_trial(StoreTrial *t, const char *experiment, int64_t n)
{
	Rng rng = rng_derive(1, "bench", (uint64_t)n);
	*t = (StoreTrial){.epoch = 1,
			  .evolution = 1,
			  .ask = n,
			  .generation = n / 10,
			  .config_hash = "f47ecf886cf6beaa",
			  .stage = STAGE_TWIN,
			  .fitness = rng_unit(&rng),
			  .fitness_se = 0.01,
			  .feasible = true};
	char id[32];
	snprintf(id, sizeof(id), "spica-gpu-%08x", (unsigned)rng_u64(&rng));
	t->experiment = strdup(experiment);
	t->purpose = strdup("search");
	t->origin = strdup("fresh");
	t->spica_id = strdup(id);
	t->evaluator = strdup("twin");
	t->workload = strdup("steady");
	t->params = json_pack("{s:f, s:i, s:i, s:s, s:b, s:i}", "gpu_memory_utilization", 0.5,
			      "max_num_seqs", 64, "max_num_batched_tokens", 2048, "kv_cache_dtype",
			      "auto", "enforce_eager", 0, "max_model_len", 2048);
	static const char *const names[] = {"stt_latency_ms", "llm_latency_ms",
					    "concurrent_capacity", "oom_events", "gpu_memory_pct"};
	for (size_t i = 0; i < 5; i++) {
		Metric m = {
		    .value = rng_unit(&rng) * 500, .lo = (double)NAN, .hi = (double)NAN, .n = 60};
		snprintf(m.name, sizeof(m.name), "%s", names[i]);
		if (measurement_set(&t->m, &m, NULL) < 0)
			fail("cannot make a trial", NULL);
	}
}

static Store *open_store(const char *path, StoreMode mode)
{
	Err err = ERR_INIT;
	Store *s = NULL;
	if (store_open(path, mode, &clock_system, &s, &err) < 0)
		fail("open", &err);
	return s;
}

/* Adds one; returns how long that took. */
static int64_t add_one(Store *s, const char *experiment, int64_t n)
{
	StoreTrial t, *list[] = {&t};
	Err err = ERR_INIT;
	fill_trial(&t, experiment, n);
	int64_t begin = now_us();
	if (store_add_trials(s, list, 1, &err) < 0)
		fail("add", &err);
	int64_t took = now_us() - begin;
	store_trial_done(&t);
	return took;
}

static double bare_append_us(const char *path)
{
	char data[PLAIN_WRITE];
	memset(data, 'x', sizeof(data));
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0600);
	if (fd < 0)
		fail(path, NULL);
	int64_t begin = now_us();
	for (int i = 0; i < ALONE; i++)
		if (write(fd, data, sizeof(data)) != (ssize_t)sizeof(data) || fdatasync(fd) < 0)
			fail(path, NULL);
	int64_t took = now_us() - begin;
	close(fd);
	unlink(path);
	return (double)took / ALONE;
}

static double alone_us(const char *path)
{
	Store *s = open_store(path, STORE_WRITE);
	int64_t total = 0;
	for (int i = 0; i < ALONE; i++)
		total += add_one(s, "alone", i);
	store_close(s);
	return (double)total / ALONE;
}

static void writer(const char *path, int number, int out)
{
	Store *s = open_store(path, STORE_WRITE);
	char name[16];
	int64_t worst = 0;
	snprintf(name, sizeof(name), "e%d", number);
	for (int i = 0; i < EACH; i++) {
		int64_t took = add_one(s, name, i);
		worst = took > worst ? took : worst;
	}
	store_close(s);
	if (write(out, &worst, sizeof(worst)) != (ssize_t)sizeof(worst))
		_exit(1);
	_exit(0);
}

static void together(const char *path, double *ret_per_second, int64_t *ret_worst_us)
{
	int fds[2];
	if (pipe2(fds, O_CLOEXEC) < 0)
		fail("pipe", NULL);
	fflush(stdout);
	int64_t begin = now_us();
	for (int i = 0; i < PROCESSES; i++) {
		pid_t pid = fork();
		if (pid < 0)
			fail("fork", NULL);
		if (pid == 0)
			writer(path, i, fds[1]);
	}
	close(fds[1]);
	*ret_worst_us = 0;
	int64_t worst;
	int answers = 0;
	while (read(fds[0], &worst, sizeof(worst)) == (ssize_t)sizeof(worst)) {
		answers++;
		*ret_worst_us = worst > *ret_worst_us ? worst : *ret_worst_us;
	}
	close(fds[0]);
	while (wait(NULL) > 0)
		;
	if (answers != PROCESSES)
		fail("a writer failed", NULL);
	*ret_per_second = PROCESSES * EACH * 1e6 / (double)(now_us() - begin);
}

static void build(const char *path, const char *experiment, int64_t n)
{
	Store *s = open_store(path, STORE_WRITE);
	StoreTrial *trials = calloc(MANY_BATCH, sizeof(*trials));
	StoreTrial **list = calloc(MANY_BATCH, sizeof(StoreTrial *));
	Err err = ERR_INIT;
	for (int64_t done = 0; done < n; done += MANY_BATCH) {
		for (int i = 0; i < MANY_BATCH; i++) {
			fill_trial(&trials[i], experiment, done + i);
			list[i] = &trials[i];
		}
		if (store_add_trials(s, list, MANY_BATCH, &err) < 0)
			fail("build", &err);
		for (int i = 0; i < MANY_BATCH; i++)
			store_trial_done(&trials[i]);
	}
	free(list);
	free(trials);
	store_close(s);
}

static int count_told(void *userdata, const StoreTold *t)
{
	*(int64_t *)userdata += t->params != NULL;
	return 0;
}

static int count_trial(void *userdata, const StoreTrial *t)
{
	*(int64_t *)userdata += t->seq > 0;
	return 0;
}

/* What a fresh process needs, so that the memory is its own. */
static int child(const char *what, const char *path)
{
	Err err = ERR_INIT;
	int64_t n = 0, begin = now_us();
	Store *s = open_store(path, STORE_READ);
	TrialQuery best = {.best_first = true, .limit = 10};
	int r = strcmp(what, "told") == 0 ? store_told(s, "resume", count_told, &n, &err)
					  : store_trials(s, &best, count_trial, &n, &err);
	int64_t took = now_us() - begin;
	store_close(s);
	if (r < 0)
		fail(what, &err);
	struct rusage u;
	getrusage(RUSAGE_SELF, &u);
	printf("%" PRId64 " %" PRId64 " %ld\n", n, took, u.ru_maxrss);
	return 0;
}

static void measure_child(const char *what, const char *path, int64_t want, int64_t *ret_us,
			  long *ret_kib)
{
	char command[512];
	int64_t n = 0;
	snprintf(command, sizeof(command), "/proc/%ld/exe --child %s %s", (long)getpid(), what,
		 path);
	FILE *f = popen(command, "re");
	if (!f || fscanf(f, "%" SCNd64 " %" SCNd64 " %ld", &n, ret_us, ret_kib) != 3 || n != want)
		fail(command, NULL);
	pclose(f);
}

static void measure(const char *dir)
{
	char path[256];
	double per_second;
	int64_t us;
	long kib;

	snprintf(path, sizeof(path), "%s/bare", dir);
	double bare = bare_append_us(path);
	row("the disk itself: one append + fdatasync", bare / 1000, "ms", ROW_NO_GOAL, 0);
	snprintf(path, sizeof(path), "%s/alone.db", dir);
	double alone = alone_us(path);
	row("a trial stored durably", alone / 1000, "ms", ROW_AT_MOST, 0.5);
	snprintf(path, sizeof(path), "%s/together.db", dir);
	together(path, &per_second, &us);
	row("eight processes on one store, together", per_second, "/s", ROW_AT_LEAST, 2000);
	row("  longest wait of one of them", (double)us / 1000, "ms", ROW_AT_MOST, 100);
	snprintf(path, sizeof(path), "%s/resume.db", dir);
	build(path, "resume", RESUME);
	measure_child("told", path, RESUME, &us, &kib);
	row("open a store and read its 10,000 trials", (double)us / 1000, "ms", ROW_AT_MOST, 20);
	row("  its memory", (double)kib * 1024 / 1e6, "MB", ROW_AT_MOST, 20);
	snprintf(path, sizeof(path), "%s/many.db", dir);
	us = now_us();
	build(path, "many", MANY);
	row("write 1,000,000 trials, 5,000 a commit", (double)(now_us() - us) / 1e6, "s",
	    ROW_NO_GOAL, 0);
	measure_child("best", path, 10, &us, &kib);
	row("open 1,000,000 trials and list the best ten", (double)us / 1000, "ms", ROW_AT_MOST,
	    1000);
	row("  its memory", (double)kib * 1024 / 1e6, "MB", ROW_NO_GOAL, 0);
}

int main(int argc, char **argv)
{
	if (argc == 4 && strcmp(argv[1], "--child") == 0)
		return child(argv[2], argv[3]);
	char dir[200], command[256];
	snprintf(dir, sizeof(dir), "%s/dream-bench-XXXXXX", argc > 1 ? argv[1] : "/tmp");
	if (!mkdtemp(dir))
		fail(dir, NULL);
	measure(dir);
	snprintf(command, sizeof(command), "rm -rf '%s'", dir);
	return system(command) == 0 ? 0 : 1;
}
