/* Partial winners: what is left of a promotion when some of its parameters hurt, alone or together,
 * and when that shows. The machine is driven by a world with faults, and its result is compared
 * with an oracle that looks at all subsets. */
#include "base/rng.h"
#include "rollout/machine.h"
#include "test.h"

enum {
	PARAMS_MAX = 8,
	UNITS_MAX = 3,
	FAULTS_MAX = 4,
};

/* Where a fault shows. */
typedef enum Shows {
	SHOWS_ISOLATED,
	SHOWS_COLOCATED,
	SHOWS_APPLY,
	SHOWS_WATCH_BREAKS,
	SHOWS_WATCH_WORSE,
	SHOWS_COLD_BREAKS,	 /* it does not start together with the others */
	SHOWS_COLD_WATCH_BREAKS, /* it starts, and breaks later */
	SHOWS_COLD_WATCH_WORSE,
	SHOWS_MAX_,
} Shows;

static const char *const shows_names[] = {
    "isolated trial",	 "colocated trial",  "apply", "watch, breaks", "watch, worse", "cold start",
    "cold, then breaks", "cold, then worse",
};

typedef struct Fault {
	ParamMask set; /* with all of these */
	Shows shows;
} Fault;

typedef struct Pattern {
	MachineSpec spec;
	uint32_t unit[PARAMS_MAX];
	uint32_t units;
	Fault faults[FAULTS_MAX];
	size_t n_faults;
} Pattern;

static ParamMask all_of(const Pattern *p)
{
	return (1U << p->spec.n) - 1;
}

/* --- The world -------------------------------------------------------------------------------- */

typedef struct World {
	const Pattern *p;
	ParamMask runs;
	bool cold, committed;
	uint32_t restarts[UNITS_MAX];
	uint32_t steps;
} World;

static bool is_hit(const Pattern *p, ParamMask set, Shows shows)
{
	for (size_t i = 0; i < p->n_faults; i++)
		if (p->faults[i].shows == shows && (p->faults[i].set & ~set) == 0)
			return true;
	return false;
}

static void restart_all(World *w)
{
	for (uint32_t u = 0; u < w->p->units; u++)
		w->restarts[u]++;
}

static void change_to(World *w, ParamMask target)
{
	bool moved[UNITS_MAX] = {false};
	for (uint32_t i = 0; i < w->p->spec.n; i++)
		if ((w->runs ^ target) >> i & 1)
			moved[w->p->unit[i]] = true;
	for (uint32_t u = 0; u < w->p->units; u++)
		w->restarts[u] += moved[u];
	w->runs = target;
	w->cold = false;
}

static MachineEvent watched(const World *w)
{
	if (is_hit(w->p, w->runs, SHOWS_WATCH_BREAKS) ||
	    (w->cold && is_hit(w->p, w->runs, SHOWS_COLD_WATCH_BREAKS)))
		return EVENT_BROKEN;
	if (is_hit(w->p, w->runs, SHOWS_WATCH_WORSE) ||
	    (w->cold && is_hit(w->p, w->runs, SHOWS_COLD_WATCH_WORSE)))
		return EVENT_WORSE;
	return EVENT_NO_WORSE;
}

static MachineEvent verdict_of(const World *w, ParamMask set, Shows shows)
{
	return is_hit(w->p, set, shows) ? EVENT_BROKEN : EVENT_OK;
}

static MachineEvent answer(World *w, const Machine *m, MachineDo d)
{
	switch (d) {
	case DO_ISOLATED:
		CHECK_INT(__builtin_popcount(m->target), 1);
		return verdict_of(w, m->target, SHOWS_ISOLATED);
	case DO_COLOCATED:
		if (m->touched)
			restart_all(w); /* out of the way, and back */
		return verdict_of(w, m->target, SHOWS_COLOCATED);
	case DO_APPLY:
		change_to(w, m->target);
		return verdict_of(w, w->runs, SHOWS_APPLY);
	case DO_WATCH:
		return watched(w);
	case DO_COLD:
		CHECK_INT(m->target, w->runs);
		restart_all(w);
		w->cold = true;
		return verdict_of(w, w->runs, SHOWS_COLD_BREAKS);
	case DO_UNDO:
		change_to(w, 0);
		return EVENT_OK;
	case DO_COMMIT:
		CHECK(!w->committed && w->cold);
		w->committed = true;
		return EVENT_OK;
	case DO_OBSERVE:
	case DO_PROBATION:
		return EVENT_OK;
	case DO_NOTHING:
	case DO_ASK:
	case DO_ALERT:
	case DO_END:
		break;
	}
	test_fail(__FILE__, __LINE__, "the machine asks for '%s'", machine_do_name(d));
}

static Machine drive(const Pattern *p, World *w)
{
	Machine m;
	machine_init(&m);
	*w = (World){.p = p};
	MachineDo d = machine_step(&p->spec, &m, EVENT_START);
	for (; d != DO_END; w->steps++) {
		CHECK(w->steps < 1000);
		d = machine_step(&p->spec, &m, answer(w, &m, d));
	}
	return m;
}

/* --- The oracle: all subsets ------------------------------------------------------------------ */

static bool is_safe(const Pattern *p, ParamMask set)
{
	for (int shows = 0; shows < SHOWS_MAX_; shows++)
		if (is_hit(p, set, (Shows)shows))
			return false;
	return true;
}

/* Safe, and no larger set that holds it is. */
static bool is_maximal(const Pattern *p, ParamMask set)
{
	if (!is_safe(p, set))
		return false;
	for (ParamMask other = 0; other <= all_of(p); other++)
		if (other != set && (set & ~other) == 0 && is_safe(p, other))
			return false;
	return true;
}

/* --- Patterns --------------------------------------------------------------------------------- */

/* A stage that is not asked for shows nothing, and one parameter's trial shows no pair. */
static Shows random_shows(const Pattern *p, Rng *rng, uint32_t size)
{
	for (;;) {
		Shows s = (Shows)rng_below(rng, SHOWS_MAX_);
		if (s == SHOWS_ISOLATED && (!p->spec.isolated || size > 1))
			continue;
		if (s == SHOWS_COLOCATED && !p->spec.colocated)
			continue;
		return s;
	}
}

static ParamMask random_set(Rng *rng, uint32_t n, uint32_t size)
{
	ParamMask set = 0;
	while ((uint32_t)__builtin_popcount(set) < size)
		set |= 1U << rng_below(rng, n);
	return set;
}

static Pattern random_pattern(Rng *rng, uint32_t n, uint32_t units)
{
	Pattern p = {.spec = {.n = n,
			      .isolated = rng_below(rng, 2),
			      .colocated = rng_below(rng, 2),
			      .cold_start = true,
			      .probation = rng_below(rng, 2)},
		     .units = units};
	for (uint32_t i = 0; i < n; i++)
		p.unit[i] = (uint32_t)rng_below(rng, units);
	return p;
}

static void add_fault(Pattern *p, Rng *rng, uint32_t size)
{
	Fault *f = &p->faults[p->n_faults++];
	f->set = random_set(rng, p->spec.n, size);
	f->shows = random_shows(p, rng, size);
}

/* --- What is said about them ------------------------------------------------------------------ */

typedef struct Row {
	size_t patterns, right;
	uint32_t restarts, of_k; /* the most of one unit, and with how many parameters on it */
	double over;		 /* the most, as a share of what is allowed */
	size_t results[RESULT_STUCK + 1];
} Row;

static bool any_cold(const Pattern *p)
{
	for (size_t i = 0; i < p->n_faults; i++)
		if (p->faults[i].shows >= SHOWS_COLD_BREAKS)
			return true;
	return false;
}

static bool any_colocated(const Pattern *p)
{
	for (size_t i = 0; i < p->n_faults; i++)
		if (p->faults[i].shows == SHOWS_COLOCATED)
			return true;
	return false;
}

static uint32_t on_unit(const Pattern *p, uint32_t unit, ParamMask set)
{
	uint32_t k = 0;
	for (uint32_t i = 0; i < p->spec.n; i++)
		k += p->unit[i] == unit && (set >> i & 1);
	return k;
}

/* What machine.h promises for one unit. When all is taken back there is one restart more. */
static uint32_t allowed(const Pattern *p, const Machine *m, uint32_t unit)
{
	uint32_t k = on_unit(p, unit, all_of(p));
	if (any_cold(p) || (any_colocated(p) && p->n_faults > 1))
		return 7 * p->spec.n + 5;
	return k + 1 + on_unit(p, unit, m->dropped);
}

static void explain(const Pattern *p, const Machine *m, const World *w)
{
	printf("# n %u%s%s, kept %x of %x\n", p->spec.n, p->spec.isolated ? ", isolated" : "",
	       p->spec.colocated ? ", colocated" : "", m->kept, all_of(p));
	for (size_t i = 0; i < p->n_faults; i++)
		printf("#   bad set %x: %s\n", p->faults[i].set, shows_names[p->faults[i].shows]);
	for (uint32_t u = 0; u < p->units; u++)
		printf("#   unit %u: %u restarts, %u allowed\n", u, w->restarts[u],
		       allowed(p, m, u));
}

static bool result_fits(const Pattern *p, const Machine *m, const World *w)
{
	if (m->kept == all_of(p))
		return m->result == RESULT_COMMITTED && w->committed;
	if (m->kept)
		return m->result == RESULT_PARTIALLY_COMMITTED && w->committed;
	return m->result == (m->touched ? RESULT_ROLLED_BACK : RESULT_REFUSED) && !w->committed;
}

static void check_pattern(const Pattern *p, Row *row)
{
	World w;
	Machine m = drive(p, &w);
	bool right = is_maximal(p, m.kept) && w.runs == m.kept && result_fits(p, &m, &w) &&
		     (m.kept | m.dropped) == all_of(p) && !(m.kept & m.dropped);
	for (uint32_t u = 0; u < p->units; u++) {
		double share = (double)w.restarts[u] / allowed(p, &m, u);
		right = right && share <= 1;
		row->over = share > row->over ? share : row->over;
		if (w.restarts[u] > row->restarts) {
			row->restarts = w.restarts[u];
			row->of_k = on_unit(p, u, all_of(p));
		}
	}
	row->patterns++;
	row->right += right;
	row->results[m.result]++;
	if (!right)
		explain(p, &m, &w);
	CHECK(right);
}

static void print_row(const char *of, const Row *r)
{
	printf("# %-28s %6zu %6zu %9zu %7zu %6zu %7zu %8u (k %u) %6.0f %%\n", of, r->patterns,
	       r->right, r->results[RESULT_COMMITTED], r->results[RESULT_PARTIALLY_COMMITTED],
	       r->results[RESULT_ROLLED_BACK], r->results[RESULT_REFUSED], r->restarts, r->of_k,
	       100 * r->over);
}

static void print_head(void)
{
	printf("# %-28s %6s %6s %9s %7s %6s %7s %15s %8s\n", "faults", "tried", "right",
	       "committed", "partly", "undone", "refused", "restarts <=", "of bound");
}

/* --- Cases ------------------------------------------------------------------------------------ */

static uint64_t seed(void)
{
	const char *s = getenv("SEED");
	return s && *s ? strtoull(s, NULL, 10) : 1;
}

static int rounds(void)
{
	const char *s = getenv("DREAM_SOAK");
	return s && *s ? 1000 : 10;
}

/* With k parameters on one unit, of which one is bad: the others, with k + 2 restarts. */
TEST(with_a_single_bad_parameter_exactly_the_others_stay)
{
	print_head();
	for (int shows = 0; shows < SHOWS_MAX_; shows++) {
		Row row = {0};
		for (uint32_t k = 1; k <= PARAMS_MAX; k++)
			for (uint32_t bad = 0; bad < k; bad++) {
				Pattern p = {.spec = {.n = k,
						      .isolated = true,
						      .colocated = true,
						      .cold_start = true},
					     .units = 1,
					     .n_faults = 1,
					     .faults = {{1U << bad, (Shows)shows}}};
				check_pattern(&p, &row);
				World w;
				Machine m = drive(&p, &w);
				CHECK_INT(m.kept, all_of(&p) & ~(1U << bad));
				if (shows < SHOWS_COLD_BREAKS)
					CHECK(w.restarts[0] <= k + 2);
			}
		print_row(shows_names[shows], &row);
	}
}

TEST(with_no_bad_parameter_all_stay_for_one_restart_each_and_the_cold_start)
{
	for (uint32_t k = 1; k <= PARAMS_MAX; k++) {
		Pattern p = {.spec = {.n = k, .cold_start = true}, .units = 1};
		World w;
		Machine m = drive(&p, &w);
		CHECK_INT(m.kept, all_of(&p));
		CHECK_INT(w.restarts[0], k + 1);
	}
}

/* One after another; each of a kind of their own and of any. */
TEST(random_faults_leave_a_maximal_safe_set)
{
	static const char *const names[] = {
	    "no fault",	      "a bad one", "a bad pair",	"a bad triple",	   "two bad ones",
	    "a pair and one", "two pairs", "three of any size", "four of any size"};
	static const uint32_t sizes[][FAULTS_MAX] = {{0},    {1},    {2},	{3},	     {1, 1},
						     {2, 1}, {2, 2}, {9, 9, 9}, {9, 9, 9, 9}};
	Row all = {0};
	printf("# SEED=%" PRIu64 "\n", seed());
	print_head();
	for (size_t kind = 0; kind < sizeof(sizes) / sizeof(sizes[0]); kind++) {
		Row row = {0};
		for (int i = 0; i < 12 * rounds(); i++) {
			Rng rng = rng_derive(seed(), names[kind], (uint64_t)i);
			uint32_t n = 3 + (uint32_t)rng_below(&rng, PARAMS_MAX - 2);
			Pattern p = random_pattern(&rng, n, 1 + (uint32_t)rng_below(&rng, 3));
			for (size_t f = 0; f < FAULTS_MAX && sizes[kind][f]; f++)
				add_fault(&p, &rng,
					  sizes[kind][f] < 9 ? sizes[kind][f]
							     : 1 + (uint32_t)rng_below(&rng, 3));
			check_pattern(&p, &row);
			check_pattern(&p, &all);
		}
		print_row(names[kind], &row);
	}
	print_row("all of them", &all);
	CHECK(all.patterns >= 1000 && all.right == all.patterns);
}
