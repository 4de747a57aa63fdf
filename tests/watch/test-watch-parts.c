/* What is decided without asking anybody: units' states, servers' pages, last words. */
#include "base/rng.h"
#include "base/str.h"
#include "test.h"
#include "watch/metrics.h"
#include "watch/probe.h"
#include "watch/reason.h"
#include "watch/units.h"

/* --- Units ----------------------------------------------------------------------------------- */

typedef struct Step {
	const char *active, *sub, *result;
	char invocation;
	pid_t pid;
	int64_t restarts, kills;
	HardEvent want;
} Step;

#define UP     "active", "running", "success"
#define START  "activating", "start", "success"
#define STOP   "deactivating", "stop-sigterm", "success"
#define GONE   "inactive", "dead", "success"
#define FAILED "failed", "failed", "exit-code"
#define AGAIN  "activating", "auto-restart", "exit-code"
#define KILLED "failed", "failed", "oom-kill"
#define LOST   "", "", ""
#define MAX    12

static UnitState state_of(const Step *s)
{
	UnitState u = {.main_pid = s->pid, .restarts = s->restarts};
	snprintf(u.active, sizeof(u.active), "%s", s->active);
	snprintf(u.sub, sizeof(u.sub), "%s", s->sub);
	snprintf(u.result, sizeof(u.result), "%s", s->result);
	snprintf(u.invocation, sizeof(u.invocation), "%c", s->invocation);
	return u;
}

/* The first step is what the unit is when the watch begins. */
static void walk(const char *name, const Step *steps)
{
	UnitSeen seen;
	char words[400];
	UnitState u = state_of(&steps[0]);
	unitseen_take(&seen, &u, steps[0].kills);
	for (size_t i = 1; i < MAX && steps[i].active; i++) {
		u = state_of(&steps[i]);
		HardEvent e =
		    unitseen_look(&seen, "a.service", &u, steps[i].kills, words, sizeof(words));
		if (e != steps[i].want)
			test_fail(__FILE__, __LINE__, "%s, step %zu: %s, want %s (%s)", name, i,
				  hard_event_name(e), hard_event_name(steps[i].want), words);
		CHECK((e == HARD_NONE) == (*words == '\0') || e == HARD_NONE);
		CHECK(e == HARD_NONE || strstr(words, "a.service"));
	}
}

#define WALK(name, ...) walk(name, (const Step[MAX]){__VA_ARGS__})

TEST(a_unit_that_goes_on_is_no_event)
{
	WALK("quiet", {UP, 'a', 10, 0, 0, 0}, {UP, 'a', 10, 0, 0, 0});
	WALK("it becomes ready", {START, 'a', 10, 0, 0, 0}, {UP, 'a', 10, 0, 0, 0});
	WALK("its main process is known later", {START, 'a', 10, 0, 0, 0}, {UP, 'a', 11, 0, 0, 0});
	WALK("restarts of long ago", {UP, 'a', 10, 7, 0, 0}, {UP, 'a', 10, 7, 0, 0});
	WALK("kills of long ago", {UP, 'a', 10, 0, 3, 0}, {UP, 'a', 10, 0, 3, 0});
	WALK("the manager is executed anew", {UP, 'a', 10, 0, 0, 0}, {LOST, 'a', 0, 0, -1, 0},
	     {UP, 'a', 10, 0, 0, 0});
	WALK("reloading", {UP, 'a', 10, 0, 0, 0},
	     {"reloading", "reload", "success", 'a', 10, 0, 0, 0});
}

TEST(an_end_is_told_once)
{
	WALK("failed", {UP, 'a', 10, 0, 0, 0}, {FAILED, 'a', 0, 0, -1, HARD_DIED},
	     {FAILED, 'a', 0, 0, -1, 0});
	WALK("stopped by somebody", {UP, 'a', 10, 0, 0, 0}, {STOP, 'a', 10, 0, 0, 0},
	     {GONE, 'a', 0, 0, -1, HARD_DIED}, {GONE, 'a', 0, 0, -1, 0});
	WALK("and it comes back", {UP, 'a', 10, 0, 0, 0}, {FAILED, 'a', 0, 0, -1, HARD_DIED},
	     {START, 'b', 11, 0, 0, 0}, {UP, 'b', 11, 0, 0, 0}, {FAILED, 'b', 0, 0, -1, HARD_DIED});
	WALK("it was down when the watch began", {FAILED, 'a', 0, 0, -1, 0},
	     {FAILED, 'a', 0, 0, -1, HARD_DIED}, {FAILED, 'a', 0, 0, -1, 0});
	WALK("it never came up", {START, 'a', 10, 0, 0, 0},
	     {FAILED, 'a', 0, 0, -1, HARD_START_FAILED});
}

TEST(a_restart_is_told_however_little_of_it_was_seen)
{
	WALK("only the counter shows it", {UP, 'a', 10, 0, 0, 0},
	     {UP, 'b', 11, 1, 0, HARD_RESTARTED}, {UP, 'b', 11, 1, 0, 0},
	     {UP, 'd', 13, 3, 0, HARD_RESTARTED});
	WALK("its end was seen, and the counter follows", {UP, 'a', 10, 0, 0, 0},
	     {AGAIN, 'a', 0, 0, -1, HARD_RESTARTED}, {START, 'b', 11, 1, 0, 0},
	     {UP, 'b', 11, 1, 0, 0}, {AGAIN, 'b', 0, 1, -1, HARD_RESTARTED},
	     {UP, 'c', 12, 2, 0, 0});
	WALK("the counter is ahead of the restart", {UP, 'a', 10, 0, 0, 0},
	     {AGAIN, 'a', 0, 0, -1, HARD_RESTARTED}, {AGAIN, 'a', 0, 1, -1, 0},
	     {UP, 'b', 11, 1, 0, 0}, {AGAIN, 'b', 0, 1, -1, HARD_RESTARTED});
	WALK("several while we looked away", {UP, 'a', 10, 0, 0, 0},
	     {AGAIN, 'a', 0, 0, -1, HARD_RESTARTED}, {UP, 'd', 14, 3, 0, HARD_RESTARTED});
	WALK("one waiting after another", {UP, 'a', 10, 0, 0, 0},
	     {AGAIN, 'a', 0, 0, -1, HARD_RESTARTED}, {AGAIN, 'b', 0, 1, -1, HARD_RESTARTED},
	     {FAILED, 'b', 0, 1, -1, HARD_DIED});
	WALK("by a person", {UP, 'a', 10, 0, 0, 0}, {UP, 'b', 11, 0, 0, HARD_RESTARTED},
	     {UP, 'b', 11, 0, 0, 0});
	WALK("another main process", {UP, 'a', 10, 0, 0, 0}, {UP, 'a', 12, 0, 0, HARD_RESTARTED},
	     {UP, 'a', 12, 0, 0, 0});
	WALK("a start that fails again and again", {START, 'a', 10, 0, 0, 0},
	     {AGAIN, 'a', 0, 0, -1, HARD_START_FAILED}, {START, 'b', 11, 1, 0, 0},
	     {AGAIN, 'b', 0, 1, -1, HARD_START_FAILED}, {FAILED, 'b', 0, 1, -1, HARD_DIED});
}

TEST(what_the_kernel_killed_ran_out_of_memory)
{
	WALK("the whole unit", {UP, 'a', 10, 0, 0, 0}, {KILLED, 'a', 0, 0, -1, HARD_OOM},
	     {KILLED, 'a', 0, 0, -1, 0});
	WALK("one of its processes", {UP, 'a', 10, 0, 0, 0}, {UP, 'a', 10, 0, 1, HARD_OOM},
	     {UP, 'a', 10, 0, 1, 0}, {UP, 'a', 10, 0, 2, HARD_OOM});
	WALK("before its end", {UP, 'a', 10, 0, 0, 0}, {FAILED, 'a', 0, 0, 1, HARD_OOM});
	WALK("a new group counts from zero", {UP, 'a', 10, 0, 5, 0}, {UP, 'b', 11, 1, 1, HARD_OOM});
	WALK("no count is no kill", {UP, 'a', 10, 0, -1, 0}, {UP, 'a', 10, 0, 4, 0},
	     {UP, 'a', 10, 0, 5, HARD_OOM});
}

/* --- Pages ----------------------------------------------------------------------------------- */

/* A page of an imagined server that counts the requests it is given. */
typedef struct Server {
	const char *labels;
	double bounds[6], sum, running, waiting;
	int64_t counts[7], n;
} Server;

#define SERVER \
	((Server){.labels = "engine=\"0\",model_name=\"m\"", .bounds = {0.1, 0.2, 0.5, 1, 2, 5}})

static void serve(Server *s, double seconds)
{
	size_t at = 0;
	while (at < 6 && seconds > s->bounds[at])
		at++;
	s->counts[at]++;
	s->n++;
	s->sum += seconds;
}

static void page_of(const Server *s, Str *out)
{
	static const char *const names[] = {"vllm:e2e_request_latency_seconds",
					    "vllm:time_to_first_token_seconds"};
	for (size_t k = 0; k < 2; k++) {
		int64_t below = 0;
		str_addf(out, "# TYPE %s histogram\n", names[k]);
		for (size_t i = 0; i < 6; i++)
			str_addf(out, "%s_bucket{%s,le=\"%g\"} %" PRId64 ".0\n", names[k],
				 s->labels, s->bounds[i], below += s->counts[i]);
		str_addf(out, "%s_bucket{%s,le=\"+Inf\"} %" PRId64 ".0\n", names[k], s->labels,
			 s->n);
		str_addf(out, "%s_count{%s} %" PRId64 ".0\n%s_sum{%s} %.17g\n", names[k], s->labels,
			 s->n, names[k], s->labels, k ? s->sum / 10 : s->sum);
		str_addf(out, "%s_created{%s} 1.7e9\n", names[k], s->labels);
	}
	str_addf(out, "vllm:num_requests_running{%s} %g\nvllm:num_requests_waiting{%s} %g\n",
		 s->labels, s->running, s->labels, s->waiting);
}

static ServerPage read_page(const char *kind, const Str *text)
{
	ServerPage p;
	CHECK_OK(serverpage_read(server_kind(kind), text->s, text->len, &p));
	return p;
}

static ServerPage page(const Server *s)
{
	_cleanup_(str_done) Str text = STR_INIT;
	page_of(s, &text);
	return read_page("vllm", &text);
}

TEST(what_came_between_two_pages)
{
	Server s = SERVER;
	PageFigures f;
	for (int i = 0; i < 1000; i++)
		serve(&s, 4.9);
	s.running = 2, s.waiting = 3;
	ServerPage before = page(&s);
	CHECK_NEAR(serverpage_load(&before), 5, 0);
	/* 100 requests from 0.05 to 0.995 s, evenly. */
	double sum = 0;
	for (int i = 0; i < 100; i++) {
		serve(&s, 0.05 + 0.0095455 * i);
		sum += 0.05 + 0.0095455 * i;
	}
	ServerPage after = page(&s);
	serverpage_between(&before, &after, 10000000, 20, &f);
	CHECK(!f.began_anew);
	CHECK_NEAR(f.latency_ms, sum / 100 * 1000, 0.001);
	CHECK_NEAR(f.ttft_ms, sum / 1000 * 1000, 0.001);
	/* Within the bucket from 0.5 to 1 s, and not far from the real one at 0.952. */
	CHECK_NEAR(f.latency_p95_ms, 952, 25);
	CHECK_NEAR(f.per_second, 8, 1e-9);
	CHECK(isnan(f.token_ms) && isnan(f.preemptions));
}

TEST(a_page_with_nothing_new_says_nothing)
{
	Server s = SERVER;
	PageFigures f;
	serve(&s, 0.3);
	ServerPage a = page(&s), b = page(&s);
	serverpage_between(&a, &b, 1000000, 0, &f);
	CHECK(isnan(f.latency_ms) && isnan(f.latency_p95_ms) && isnan(f.ttft_ms));
	CHECK_NEAR(f.per_second, 0, 0);
	/* Of a few the mean is said, of the slowest twentieth nothing. */
	serve(&s, 0.3);
	ServerPage c = page(&s);
	serverpage_between(&b, &c, 1000000, 1, &f);
	CHECK_NEAR(f.latency_ms, 300, 1e-6);
	CHECK(isnan(f.latency_p95_ms));
	CHECK_NEAR(f.per_second, 0, 0);
}

TEST(a_server_that_counts_anew)
{
	Server old = SERVER, new = SERVER;
	PageFigures f;
	for (int i = 0; i < 50; i++)
		serve(&old, 3);
	for (int i = 0; i < 30; i++)
		serve(&new, 0.15);
	ServerPage a = page(&old), b = page(&new);
	serverpage_between(&a, &b, 1000000, 0, &f);
	CHECK(f.began_anew);
	CHECK_NEAR(f.latency_ms, 150, 1e-6);
	CHECK(f.latency_p95_ms > 100 && f.latency_p95_ms <= 200);
	CHECK_NEAR(f.per_second, 30, 1e-9);
	/* More requests than before, but none as slow as those were: its buckets tell. */
	for (int i = 0; i < 50; i++)
		serve(&new, 0.15);
	ServerPage c = page(&new);
	serverpage_between(&a, &c, 1000000, 0, &f);
	CHECK(f.began_anew);
	CHECK_NEAR(f.latency_ms, 150, 1e-6);
}

TEST(several_engines_of_one_server_are_added)
{
	Server one = SERVER, two = SERVER;
	_cleanup_(str_done) Str text = STR_INIT;
	two.labels = "handle=\"le=\\\"9\\\"\",engine=\"1\"";
	for (int i = 0; i < 10; i++) {
		serve(&one, 0.15);
		serve(&two, 0.15);
	}
	one.running = 1, two.running = 4;
	page_of(&one, &text);
	page_of(&two, &text);
	ServerPage p = read_page("vllm", &text);
	CHECK_NEAR(p.e2e.count, 20, 0);
	CHECK_INT(p.e2e.n, 7);
	CHECK_NEAR(p.e2e.below[1], 20, 0);
	CHECK_NEAR(p.e2e.below[0], 0, 0);
	CHECK_NEAR(serverpage_load(&p), 5, 0);
}

TEST(tokens_of_llama_cpp)
{
	static const char text[] = "# HELP x y\nllamacpp:tokens_predicted_total 100\n"
				   "llamacpp:tokens_predicted_seconds_total 2\n"
				   "llamacpp:requests_processing 1\nllamacpp:requests_deferred 2\n",
			  later[] = "llamacpp:tokens_predicted_total 300\n"
				    "llamacpp:tokens_predicted_seconds_total 8\n";
	const ServerKind *k = server_kind("llamacpp");
	ServerPage a, b;
	PageFigures f;
	CHECK_OK(serverpage_read(k, text, sizeof(text) - 1, &a));
	CHECK_OK(serverpage_read(k, later, sizeof(later) - 1, &b));
	CHECK_NEAR(serverpage_load(&a), 3, 0);
	CHECK(isnan(serverpage_load(&b)));
	serverpage_between(&a, &b, 1000000, 0, &f);
	CHECK_NEAR(f.token_ms, 30, 1e-9);
	CHECK(isnan(f.per_second) && isnan(f.latency_ms));
	serverpage_between(&b, &a, 1000000, 0, &f);
	CHECK(f.began_anew);
	CHECK_NEAR(f.token_ms, 20, 1e-9);
}

TEST(pages_of_any_bytes_are_read)
{
	const uint64_t seed = 0x77a7c4;
	Rng rng = rng_derive(seed, "page", 0);
	Server s = SERVER;
	_cleanup_(str_done) Str text = STR_INIT;
	PageFigures f;
	for (int i = 0; i < 100; i++)
		serve(&s, 0.2);
	page_of(&s, &text);
	ServerPage whole = read_page("vllm", &text), p;
	printf("# seed %#" PRIx64 "\n", seed);
	for (int round = 0; round < 2000; round++) {
		_cleanup_free_ char *copy = malloc(text.len);
		CHECK(copy);
		memcpy(copy, text.s, text.len);
		for (int k = 0; k < 6; k++)
			copy[rng_below(&rng, text.len)] = (char)rng_u64(&rng);
		if (serverpage_read(server_kind("vllm"), copy, rng_below(&rng, text.len + 1), &p) <
		    0)
			continue;
		CHECK(p.e2e.n <= PAGE_BUCKETS_MAX);
		for (size_t i = 1; i < p.e2e.n; i++)
			CHECK(p.e2e.bounds[i - 1] < p.e2e.bounds[i]);
		serverpage_between(&p, &whole, 1000000, 0, &f);
		CHECK(isnan(f.per_second) || f.per_second >= 0);
		serverpage_between(&whole, &p, 1000000, 0, &f);
	}
	CHECK_ERR(serverpage_read(server_kind("vllm"), "<html>", 6, &p), EBADMSG);
}

/* --- When ------------------------------------------------------------------------------------ */

TEST(probes_come_on_average_as_often_as_asked_and_never_in_step)
{
	Rng a = rng_derive(7, "judge", 0), b = rng_derive(7, "voice", 1), again = a;
	double sum = 0;
	size_t same = 0;
	for (int i = 0; i < 10000; i++) {
		int64_t gap = probe_gap_us(1000000, &a);
		CHECK(gap >= 900000 && gap <= 1100000);
		CHECK(gap == probe_gap_us(1000000, &again));
		same += gap == probe_gap_us(1000000, &b);
		sum += (double)gap;
	}
	/* Four and a half standard errors of the mean. */
	CHECK_NEAR(sum / 10000, 1000000, 2600);
	CHECK(same < 10);
}

/* --- Last words ------------------------------------------------------------------------------ */

static Reason reason(const char *kind, const char *text)
{
	Reason r;
	reason_of(kind, text, strlen(text), &r);
	return r;
}

TEST(why_a_unit_ended)
{
	Reason r =
	    reason("vllm", "INFO loading\nValueError: No available memory for the cache blocks. "
			   "Try increasing `gpu_memory_utilization`\nbye\n");
	CHECK(r.oom && strstr(r.line, "No available memory for the cache blocks"));
	r = reason("llamacpp",
		   "srv start: couldn't bind HTTP server socket, hostname: 127.0.0.1\n");
	CHECK(!r.oom && strstr(r.line, "couldn't bind"));
	r = reason("llamacpp", "all is well\n");
	CHECK(!r.oom);
	CHECK_STR(r.line, "");
	r = reason("no such kind", "torch.OutOfMemoryError: CUDA out of memory. \x1b[31m\n");
	CHECK(r.oom && !strchr(r.line, '\x1b'));
}
