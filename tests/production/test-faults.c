/* Calls that fail. The story of production is told once for every call that it makes, and that
 * call fails: what is asked for is then done, or refused in words; what is left can be recovered,
 * asked for again, and survives a power cut. And once more with a disk that is broken from that
 * call on, until the machine is started again. */
#include <errno.h>

#include "simdisk.h"
#include "story.h"
#include "test.h"

typedef struct Trial {
	SimFault fault;
	Rng rng;
	uint64_t refused, done_anyway;
	char problem[900];
} Trial;

static void found(Trial *t, const Step *s, const char *how, const char *what)
{
	if (!t->problem[0])
		(void)snprintf(t->problem, sizeof(t->problem),
			       "call %" PRIu64 " fails with %s%s, in %s %d: %s: %s", t->fault.at,
			       strerrorname_np(t->fault.code), t->fault.on ? " for good" : "",
			       step_name(s->kind), s->generation, how, what);
}

static const Known *match(const Disk *d, const Known *possible, size_t n, const char **ret_bad)
{
	for (size_t i = 0; i < n; i++) {
		*ret_bad = story_check(d, STORY_DIR, &possible[i]);
		if (!*ret_bad)
			return &possible[i];
	}
	return NULL;
}

/* Recovered, it is one of what it may be, and stays it. Consumes the disk. */
static void recover(Trial *t, const Step *s, SimDisk *sim, const Known *possible, size_t n,
		    const char *how)
{
	Err err = ERR_INIT;
	const char *bad = NULL;
	Disk d = sim_disk(sim);
	_cleanup_(production_closep) Production *p = NULL;
	int r = production_open(&d, STORY_DIR, &p, &err);
	if (r >= 0)
		r = production_recover(p, &err);
	const Known *now = r < 0 ? NULL : match(&d, possible, n, &bad);
	if (now) {
		sim_power_loss(sim, &t->rng);
		bad = story_check(&d, STORY_DIR, now);
	}
	if (r < 0 || bad)
		found(t, s, how, r < 0 ? err.msg : bad);
	sim_free(sim);
}

/* The same is asked for again, now that the disk works, and is done; it stays done. */
static void ask_again(Trial *t, const Step *s, SimDisk *sim, const Known *after)
{
	Err err = ERR_INIT;
	Disk d = sim_disk(sim);
	_cleanup_(production_closep) Production *p = NULL;
	int r = production_open(&d, STORY_DIR, &p, &err);
	if (r >= 0)
		r = story_do(p, s, &err);
	if ((r == -EPERM && s->kind == STEP_COMMIT) || (r == -EBUSY && s->kind == STEP_BEGIN))
		r = 0; /* it was done before */
	const char *bad = r < 0 ? err.msg : story_check(&d, STORY_DIR, after);
	if (!bad) {
		sim_power_loss(sim, &t->rng);
		bad = story_check(&d, STORY_DIR, after);
	}
	if (bad)
		found(t, s, "asked again", bad);
	sim_free(sim);
}

static void after_refusal(Trial *t, const Step *s, SimDisk *sim, const Known *before)
{
	Known possible[3], after = known_after(before, s);
	size_t n = known_possible(before, &after, s, possible);
	if (!t->fault.on) {
		recover(t, s, sim_clone(sim), possible, n, "recovered");
		ask_again(t, s, sim_clone(sim), &after);
	}
	for (int i = 0; i < 3; i++) {
		SimDisk *left = sim_clone(sim);
		sim_power_loss(left, &t->rng);
		recover(t, s, left, possible, n, "started again");
	}
}

/* Done although a call failed: one that does not matter. */
static void after_success(Trial *t, const Step *s, SimDisk *sim, const Known *after)
{
	SimDisk *left = sim_clone(sim);
	Disk d = sim_disk(left);
	const char *bad = story_check(&d, STORY_DIR, after);
	if (!bad) {
		sim_power_loss(left, &t->rng);
		bad = story_check(&d, STORY_DIR, after);
	}
	if (bad)
		found(t, s, "done", bad);
	sim_free(left);
}

/* Tells the story up to the refusal, or to its end. */
static void tell(Trial *t, SimDisk *sim, const Step *story, Known known)
{
	Disk d = sim_disk(sim);
	bool over = false;
	for (const Step *s = story; s->kind != STEP_END && !over && !t->problem[0]; s++) {
		Err err = ERR_INIT;
		_cleanup_(production_closep) Production *p = NULL;
		bool failed_before = sim_failed(sim);
		int r = production_open(&d, STORY_DIR, &p, &err);
		if (r >= 0)
			r = story_do(p, s, &err);
		if (sim_open_files(sim) != 0)
			found(t, s, "then", "files are left open");
		if (r < 0 && !sim_failed(sim))
			found(t, s, "refused without a reason", err.msg);
		if (r < 0 && (!err.msg[0] || err.code != r))
			found(t, s, "refused", "without words");
		over = r < 0;
		if (over) {
			t->refused++;
			after_refusal(t, s, sim, &known);
			break;
		}
		known = known_after(&known, s);
		if (sim_failed(sim) && !failed_before) {
			t->done_anyway++;
			after_success(t, s, sim, &known);
		}
	}
}

static uint64_t seed_of_run(void)
{
	const char *seed = getenv("SEED");
	return seed ? strtoull(seed, NULL, 10) : 1;
}

static uint64_t calls_of(const Step *story)
{
	Trial t = {0};
	SimDisk *s = sim_new();
	tell(&t, s, story, KNOWN_NOTHING);
	CHECK(!t.problem[0]);
	uint64_t n = sim_calls(s);
	sim_free(s);
	return n;
}

static void fail_each(int code, bool on, uint64_t *ret_refused, uint64_t *ret_anyway)
{
	uint64_t n = calls_of(story_whole);
	for (uint64_t at = 1; at <= n; at++) {
		Trial t = {.fault = {.at = at, .code = code, .on = on},
			   .rng = rng_derive(seed_of_run(), "faults", at)};
		SimDisk *s = sim_new();
		sim_fault(s, t.fault, seed_of_run());
		tell(&t, s, story_whole, KNOWN_NOTHING);
		CHECK(sim_failed(s));
		sim_free(s);
		if (t.problem[0])
			printf("# seed %" PRIu64 ": %s\n", seed_of_run(), t.problem);
		CHECK(!t.problem[0]);
		*ret_refused += t.refused;
		*ret_anyway += t.done_anyway;
	}
	printf("# %" PRIu64 " calls\n", n);
}

static void each(int code, bool on)
{
	uint64_t refused = 0, anyway = 0;
	fail_each(code, on, &refused, &anyway);
	printf("# %" PRIu64 " refused, %" PRIu64 " done all the same\n", refused, anyway);
	CHECK(refused > 100);
}

TEST(any_call_may_fail_once_for_want_of_space)
{
	each(ENOSPC, false);
}

TEST(any_call_may_fail_once_with_an_error_of_the_disk)
{
	each(EIO, false);
}

TEST(the_disk_may_become_read_only_at_any_call)
{
	each(EROFS, true);
}

TEST(the_disk_may_break_at_any_call)
{
	each(EIO, true);
}
