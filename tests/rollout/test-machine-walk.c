/* Every order of events, a restart of ours between any two included, against the rules of a
 * rollout; and machines with a fault, each of which the rules must find. */
#include "base/rng.h"
#include "test.h"
#include "walk.h"

static void print_spec(const MachineSpec *spec)
{
	static const char *const policy[] = {"wait", "ask", "undo"};
	printf("# n %u%s%s%s%s, when inconclusive: %s (%u)\n", spec->n,
	       spec->isolated ? ", isolated" : "", spec->colocated ? ", colocated" : "",
	       spec->cold_start ? ", cold start" : "", spec->probation ? ", probation" : "",
	       policy[spec->on_inconclusive], spec->waits);
}

typedef struct Sum {
	size_t walks, states, steps;
	double orders;
	int depth, restarts;
} Sum;

static void walk_one(const MachineSpec *spec, Sum *sum)
{
	Walk w = walk(spec, machine_step);
	if (w.broken) {
		print_spec(spec);
		printf("# %s, after: %s\n", w.broken, w.story);
		CHECK(!w.broken);
	}
	sum->walks++;
	sum->states += w.states;
	sum->steps += w.steps;
	sum->orders += w.orders;
	sum->depth = w.depth > sum->depth ? w.depth : sum->depth;
	sum->restarts = w.restarts > sum->restarts ? w.restarts : sum->restarts;
	CHECK(w.restarts <= (int)(7 * spec->n + 5)); /* as machine.h says */
}

static void print_sum(const char *of, const Sum *s)
{
	printf("# %-10s %4zu specs %9zu states %10zu steps  %.3g orders of 12  depth %3d  changes "
	       "<= %d\n",
	       of, s->walks, s->states, s->steps, s->orders, s->depth, s->restarts);
}

static MachineSpec spec_number(uint32_t n, unsigned int i)
{
	return (MachineSpec){.n = n,
			     .isolated = i & 1,
			     .colocated = i >> 1 & 1,
			     .cold_start = i >> 2 & 1,
			     .probation = i >> 3 & 1,
			     .on_inconclusive = (OnInconclusive)(i / 16 % 3),
			     .waits = i / 48};
}

enum {
	SPECS = 48 * 2, /* two ways to wait */
};

static bool soak(void)
{
	const char *s = getenv("DREAM_SOAK");
	return s && *s;
}

static uint64_t seed(void)
{
	const char *s = getenv("SEED");
	return s && *s ? strtoull(s, NULL, 10) : 1;
}

/* Every spec of n parameters, or in a short test one in `every`, which ones says the seed. */
static void walk_all(uint32_t n, const char *name, unsigned int every)
{
	Rng rng = rng_derive(seed(), name, n);
	Sum sum = {0};
	unsigned int first = soak() ? 0 : (unsigned int)rng_below(&rng, every);
	for (unsigned int i = first; i < SPECS; i += soak() ? 1 : every) {
		MachineSpec spec = spec_number(n, i);
		walk_one(&spec, &sum);
	}
	if (every > 1 && !soak())
		printf("# SEED=%" PRIu64 "\n", seed());
	print_sum(name, &sum);
	CHECK(sum.walks > 0 && sum.depth >= 12);
}

TEST(no_order_of_events_breaks_a_rule_for_one_parameter)
{
	walk_all(1, "n = 1", 1);
}

TEST(no_order_of_events_breaks_a_rule_for_two_parameters)
{
	walk_all(2, "n = 2", 1);
}

TEST(no_order_of_events_breaks_a_rule_for_three_parameters)
{
	walk_all(3, "n = 3", 11);
}

TEST(no_order_of_events_breaks_a_rule_for_four_parameters)
{
	walk_all(4, "n = 4", SPECS);
}

/* --- More parameters: at random --------------------------------------------------------------- */

/* What the machine asked for is answered well, mostly, so that it gets far. */
static MachineEvent likely(Rng *rng, MachineDo asked)
{
	if (rng_below(rng, 8) == 0)
		return (MachineEvent)rng_below(rng, EVENT_MAX_);
	if (rng_below(rng, 6) == 0)
		return rng_below(rng, 2) ? EVENT_BROKEN : EVENT_WORSE;
	if (asked == DO_WATCH)
		return EVENT_NO_WORSE;
	if (asked == DO_ASK)
		return EVENT_CONTINUE;
	return asked == DO_NOTHING ? EVENT_START : EVENT_OK;
}

static MachineResult random_walk(const MachineSpec *spec, Rng *rng)
{
	Machine m;
	Trace t;
	machine_init(&m);
	trace_init(&t);
	for (int i = 0; i < 1000 && m.phase != PHASE_ENDED; i++) {
		MachineEvent e = likely(rng, t.asked);
		MachineDo d = machine_step(spec, &m, e);
		const char *broken = trace_step(spec, &t, e, d, m.target, m.result);
		if (broken) {
			print_spec(spec);
			printf("# %s, at step %d by %s\n", broken, i, machine_event_name(e));
		}
		CHECK(!broken);
	}
	return m.result;
}

TEST(random_orders_of_events_break_no_rule_for_up_to_sixteen_parameters)
{
	size_t results[RESULT_STUCK + 1] = {0};
	printf("# SEED=%" PRIu64 "\n", seed());
	int rounds = soak() ? 100000 : 3000;
	for (uint32_t n = 4; n <= ROLLOUT_PARAMS_MAX; n++)
		for (int i = 0; i < rounds; i++) {
			Rng rng = rng_derive(seed(), "walk", n * 1000000ULL + (unsigned int)i);
			MachineSpec spec = spec_number(n, (unsigned int)rng_below(&rng, SPECS));
			results[random_walk(&spec, &rng)]++;
		}
	for (int r = 0; r <= RESULT_STUCK; r++)
		printf("# %-20s %8zu\n", machine_result_name((MachineResult)r), results[r]);
	CHECK(results[RESULT_COMMITTED] && results[RESULT_PARTIALLY_COMMITTED] &&
	      results[RESULT_ROLLED_BACK] && results[RESULT_REFUSED]);
}

/* --- The rules find what is wrong ------------------------------------------------------------- */

/* Machines that are wrong in one way each. */

static MachineDo inconclusive_is_good(const MachineSpec *spec, Machine *m, MachineEvent e)
{
	return machine_step(spec, m, e == EVENT_INCONCLUSIVE ? EVENT_NO_WORSE : e);
}

static MachineDo no_data_is_good(const MachineSpec *spec, Machine *m, MachineEvent e)
{
	return machine_step(spec, m, e == EVENT_NO_DATA ? EVENT_BETTER : e);
}

static MachineDo error_is_good(const MachineSpec *spec, Machine *m, MachineEvent e)
{
	bool watched = m->phase == PHASE_WATCH && e == EVENT_ERROR;
	return machine_step(spec, m, watched ? EVENT_NO_WORSE : e);
}

static MachineDo no_cold_start(const MachineSpec *spec, Machine *m, MachineEvent e)
{
	MachineDo d = machine_step(spec, m, e);
	return d == DO_COLD ? machine_step(spec, m, EVENT_OK) : d;
}

static MachineDo no_watch_after_cold_start(const MachineSpec *spec, Machine *m, MachineEvent e)
{
	bool from_cold = m->phase == PHASE_COLD;
	MachineDo d = machine_step(spec, m, e);
	return from_cold && d == DO_WATCH ? machine_step(spec, m, EVENT_NO_WORSE) : d;
}

static MachineDo restart_is_ok(const MachineSpec *spec, Machine *m, MachineEvent e)
{
	bool changing = m->phase == PHASE_APPLY || m->phase == PHASE_COLD;
	return machine_step(spec, m, changing && e == EVENT_RESTARTED ? EVENT_OK : e);
}

static MachineDo restart_commits_again(const MachineSpec *spec, Machine *m, MachineEvent e)
{
	if (m->phase == PHASE_COMMIT && e == EVENT_RESTARTED)
		return DO_COMMIT;
	return machine_step(spec, m, e);
}

static MachineDo expiry_is_forgotten(const MachineSpec *spec, Machine *m, MachineEvent e)
{
	return e == EVENT_EXPIRED ? DO_NOTHING : machine_step(spec, m, e);
}

static MachineDo move_is_forgotten(const MachineSpec *spec, Machine *m, MachineEvent e)
{
	return e == EVENT_MOVED ? DO_NOTHING : machine_step(spec, m, e);
}

static MachineDo abort_is_not_heard(const MachineSpec *spec, Machine *m, MachineEvent e)
{
	return e == EVENT_ABORT && m->phase == PHASE_WATCH ? DO_NOTHING : machine_step(spec, m, e);
}

static MachineDo break_is_only_doubt(const MachineSpec *spec, Machine *m, MachineEvent e)
{
	bool watched = m->phase == PHASE_WATCH && e == EVENT_BROKEN;
	return machine_step(spec, m, watched ? EVENT_INCONCLUSIVE : e);
}

static MachineDo broken_is_dropped_with_the_next(const MachineSpec *spec, Machine *m,
						 MachineEvent e)
{
	bool hard = e == EVENT_BROKEN && (m->phase == PHASE_WATCH || m->phase == PHASE_APPLY);
	return machine_step(spec, m, hard ? EVENT_WORSE : e);
}

static MachineDo stuck_tries_for_ever(const MachineSpec *spec, Machine *m, MachineEvent e)
{
	m->undo_tries = 0;
	return machine_step(spec, m, e);
}

static MachineDo stuck_at_once(const MachineSpec *spec, Machine *m, MachineEvent e)
{
	if (m->phase == PHASE_UNDO && !m->undo_tries)
		m->undo_tries = ROLLOUT_TRIES;
	return machine_step(spec, m, e);
}

static MachineDo restart_fails_the_undo(const MachineSpec *spec, Machine *m, MachineEvent e)
{
	bool interrupted = m->phase == PHASE_UNDO && e == EVENT_RESTARTED;
	return machine_step(spec, m, interrupted ? EVENT_ERROR : e);
}

static MachineDo stuck_touches(const MachineSpec *spec, Machine *m, MachineEvent e)
{
	bool again = m->phase == PHASE_STUCK && e == EVENT_CONTINUE;
	return machine_step(spec, m, again ? EVENT_ABORT : e);
}

static MachineDo all_is_called_committed(const MachineSpec *spec, Machine *m, MachineEvent e)
{
	MachineDo d = machine_step(spec, m, e);
	if (m->result == RESULT_PARTIALLY_COMMITTED)
		m->result = RESULT_COMMITTED;
	return d;
}

static MachineDo all_at_once(const MachineSpec *spec, Machine *m, MachineEvent e)
{
	MachineDo d = machine_step(spec, m, e);
	if (d == DO_APPLY)
		m->target = (1U << spec->n) - 1;
	return d;
}

static MachineDo stage_is_left_out(const MachineSpec *spec, Machine *m, MachineEvent e)
{
	MachineSpec less = *spec;
	less.colocated = false;
	return machine_step(&less, m, e);
}

static MachineDo dropped_is_committed(const MachineSpec *spec, Machine *m, MachineEvent e)
{
	MachineDo d = machine_step(spec, m, e);
	if (d == DO_COMMIT)
		m->target |= m->dropped;
	return d;
}

static MachineDo ends_in_the_middle(const MachineSpec *spec, Machine *m, MachineEvent e)
{
	if (m->phase != PHASE_WATCH || e != EVENT_BUDGET)
		return machine_step(spec, m, e);
	m->phase = PHASE_ENDED;
	m->result = RESULT_PARTIALLY_COMMITTED;
	return DO_END;
}

static MachineDo nobody_can_leave(const MachineSpec *spec, Machine *m, MachineEvent e)
{
	return m->phase == PHASE_PROBATION && m->dropped ? DO_NOTHING : machine_step(spec, m, e);
}

static MachineDo cold_start_for_ever(const MachineSpec *spec, Machine *m, MachineEvent e)
{
	if (m->phase == PHASE_WATCH && m->cold && e == EVENT_INCONCLUSIVE &&
	    spec->on_inconclusive == INCONCLUSIVE_ASK) {
		m->phase = PHASE_ASKED;
		return DO_ASK;
	}
	if (m->phase == PHASE_ASKED && m->cold && e == EVENT_CONTINUE) {
		m->phase = PHASE_COLD;
		m->asked_from = PHASE_READY;
		m->cold = false;
		return DO_COLD;
	}
	return machine_step(spec, m, e);
}

static MachineDo late_verdict_answers(const MachineSpec *spec, Machine *m, MachineEvent e)
{
	if (m->phase == PHASE_ASKED && e == EVENT_BETTER && m->asked_from == PHASE_WATCH)
		m->phase = PHASE_WATCH;
	return machine_step(spec, m, e);
}

static const struct {
	const char *name;
	StepFn *step;
} faults[] = {
    {"an inconclusive verdict counts as good", inconclusive_is_good},
    {"no data counts as good", no_data_is_good},
    {"an error counts as good", error_is_good},
    {"the cold start is left out", no_cold_start},
    {"nothing is watched after the cold start", no_watch_after_cold_start},
    {"a restart of ours counts as done", restart_is_ok},
    {"a restart of ours commits once more", restart_commits_again},
    {"an approval that expired is forgotten", expiry_is_forgotten},
    {"a baseline that moved is forgotten", move_is_forgotten},
    {"a person is not heard", abort_is_not_heard},
    {"a hard event is only a doubt", break_is_only_doubt},
    {"after a hard event the next one is tried at once", broken_is_dropped_with_the_next},
    {"a failing undo is tried for ever", stuck_tries_for_ever},
    {"an undo is tried once", stuck_at_once},
    {"a restart of ours is a failed try of the undo", restart_fails_the_undo},
    {"stuck, and touched again", stuck_touches},
    {"a part is called the whole", all_is_called_committed},
    {"all parameters at once", all_at_once},
    {"a stage is left out", stage_is_left_out},
    {"what was dropped is committed", dropped_is_committed},
    {"it ends in the middle", ends_in_the_middle},
    {"nobody can leave the probation", nobody_can_leave},
    {"a person can have it started cold for ever", cold_start_for_ever},
    {"a late verdict answers for a person", late_verdict_answers},
};

TEST(a_machine_with_a_fault_breaks_a_rule)
{
	for (size_t i = 0; i < sizeof(faults) / sizeof(faults[0]); i++) {
		Walk w = {0};
		for (unsigned int k = 0; k < SPECS && !w.broken; k++) {
			MachineSpec spec = spec_number(2, k);
			w = walk(&spec, faults[i].step);
		}
		printf("# %-50s %s (%s)\n", faults[i].name, w.broken ? w.broken : "NOT FOUND",
		       w.story);
		CHECK(w.broken != NULL);
	}
}
