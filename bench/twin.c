/* How many requests the simulated box serves in a second of one core, and what a trial costs. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "row.h"

#include "base/json.h"
#include "twin/twin.h"

static double cpu_s(void)
{
	struct timespec t;
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static Box *load_box(const char *dir, const char *name)
{
	_cleanup_free_ char *path = str_fmt("%s/%s.yaml", dir, name);
	Diags d = DIAGS_INIT;
	Err err = ERR_INIT;
	Box *b = NULL;
	if (box_load(path, &b, &d, &err) < 0)
		fprintf(stderr, "bench-twin: %s\n", err.msg);
	diags_done(&d);
	return b;
}

static int run(const Box *b, const char *model, const char *size, const Workload *w, uint64_t seed,
	       Measurement *ret)
{
	json_auto_t *llm = json_pack("{s:s, s:f}", "model", model, "gpu_memory_utilization", 0.7);
	json_auto_t *stt = json_pack("{s:s}", "model_size", size);
	char names[2][8] = {"llm", "stt"}, kinds[2][8] = {"vllm", "whisper"};
	ServiceSpec services[2] = {{.name = names[0], .kind = kinds[0], .settings = llm},
				   {.name = names[1], .kind = kinds[1], .settings = stt}};
	TwinTrial t = {.box = b,
		       .services = services,
		       .n_services = 2,
		       .workload = w,
		       .all_services = true,
		       .seed = seed};
	Err err = ERR_INIT;
	int r = twin_trial(&t, ret, &err);
	if (r < 0)
		fprintf(stderr, "bench-twin: %s\n", err.msg);
	return r;
}

enum {
	REQUESTS = 200000,
};

static int requests_a_second(const Box *b, const char *model)
{
	static const struct {
		const char *what;
		int64_t users;
		int64_t prompt, output;
	} rows[] = {{"one user, 100 + 16 tokens", 1, 100, 16},
		    {"16 users, 100 + 16 tokens", 16, 100, 16},
		    {"16 users, 400 + 200 tokens", 16, 400, 200},
		    {"64 users, 400 + 200 tokens", 64, 400, 200}};
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		Stream s = {.arrivals = ARRIVALS_CLOSED,
			    .users = rows[i].users,
			    .requests = REQUESTS,
			    .prompt = {(double)rows[i].prompt, 0.5, 1, 4000},
			    .output = {(double)rows[i].output, 0.5, 1, 4000}};
		char name[] = "bench";
		Workload w = {.name = name, .llm = &s, .capacity_share = 0.95};
		Measurement m = MEASUREMENT_INIT;
		double before = cpu_s();
		int r = run(b, model, "tiny", &w, 1, &m);
		if (r < 0)
			return r;
		if (m.outcome != OUTCOME_OK) {
			fprintf(stderr, "bench-twin: %s\n",
				m.reason ? m.reason : "no reason given");
			measurement_done(&m);
			return -EIO;
		}
		char what[80];
		(void)snprintf(what, sizeof(what), "simulated requests, %s, %s", box_name(b),
			       rows[i].what);
		row(what, REQUESTS / (cpu_s() - before), "/s", ROW_AT_LEAST, 100000);
		measurement_done(&m);
	}
	return 0;
}

static int cost_of_a_trial(const Box *b, const char *model)
{
	for (size_t i = 0; i < 2; i++) {
		Workload w;
		int r = workload_default(i, &w);
		if (r < 0)
			return r;
		enum {
			TRIALS = 300
		};
		double before = cpu_s(), simulated = 0;
		for (uint64_t seed = 0; seed < TRIALS && r == 0; seed++) {
			Measurement m = MEASUREMENT_INIT;
			r = run(b, model, "small", &w, seed, &m);
			simulated += (double)m.duration_us / 1e6 / TRIALS;
			measurement_done(&m);
		}
		char what[80];
		(void)snprintf(what, sizeof(what), "a simulated trial, %s, %s, of %.0f s",
			       box_name(b), w.name, simulated);
		row(what, (cpu_s() - before) * 1e3 / TRIALS, "ms", ROW_NO_GOAL, 0);
		conf_done(&workload_table, &w);
		if (r < 0)
			return r;
	}
	return 0;
}

int main(int argc, char **argv)
{
	static const char *const rows[][2] = {{"rtx3060", "Qwen2.5-7B-Instruct-AWQ"},
					      {"rtx4090", "Qwen2.5-14B-Instruct-AWQ"}};
	for (size_t i = 0; i < 2; i++) {
		_cleanup_(box_freep) Box *b = load_box(argc > 1 ? argv[1] : "boxes", rows[i][0]);
		if (!b || requests_a_second(b, rows[i][1]) < 0 ||
		    cost_of_a_trial(b, rows[i][1]) < 0)
			return 1;
	}
	return 0;
}
