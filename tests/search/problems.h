#pragma once
/* Test functions on spaces, and a driver that runs a search on one. All are maximised. */
#include "../test.h"
#include "base/rng.h"
#include "base/str.h"
#include "search/search.h"

static inline Space *space_from(const char *text)
{
	Diags d = DIAGS_INIT;
	Err err = ERR_INIT;
	_cleanup_(conf_freep) ConfDoc *doc = NULL;
	Space *s = NULL;
	int e = conf_read_text("t.yaml", text, strlen(text), &doc, &d, &err);
	if (e >= 0)
		e = space_read(conf_get(conf_root(doc), "search_space"),
			       conf_get(conf_root(doc), "bounds"),
			       conf_get(conf_root(doc), "forbid"), &s, &d);
	if (e < 0)
		test_fail(__FILE__, __LINE__, "%s: %d %s", text, e, d.n ? d.items[0].what : "");
	diags_done(&d);
	return s;
}

typedef struct Problem {
	const char *name, *space;
	/* NAN: the candidate fails. */
	double (*value)(const Space *s, const Point *p);
} Problem;

/* Where a level lies in its parameter, from 0 to 1. */
static inline double share(const Space *s, const Point *p, size_t d)
{
	return p->level[d] == SPACE_INACTIVE
		   ? 0
		   : (double)p->level[d] / (double)(space_levels(s, d) - 1);
}

static inline double sphere(const Space *s, const Point *p)
{
	double sum = 0;
	for (size_t d = 0; d < space_dims(s); d++)
		sum += pow(share(s, p, d) - 0.7, 2);
	return 1 - sum / (double)space_dims(s);
}

/* Uphill leads to the wrong corner, but for a narrow ridge. */
static inline double deceptive(const Space *s, const Point *p)
{
	double sum = 0;
	for (size_t d = 0; d < space_dims(s); d++)
		sum += share(s, p, d) > 0.85 ? 1 : 0.8 * (1 - share(s, p, d));
	return sum / (double)space_dims(s);
}

static inline double plateau(const Space *s, const Point *p)
{
	return floor(4 * sphere(s, p)) / 4;
}

/* The nearer to the edge the better, and beyond it everything fails. */
static inline double cliff(const Space *s, const Point *p)
{
	double load = share(s, p, 0) + 0.5 * share(s, p, 1);
	return load > 0.9 ? (double)NAN : 0.5 * load + 0.5 * (1 - fabs(share(s, p, 2) - 0.3));
}

static inline double categorical(const Space *s, const Point *p)
{
	static const double worth[5] = {0.2, 0.9, 0.1, 0.5, 0.4};
	double sum = 0;
	for (size_t d = 0; d < space_dims(s); d++)
		sum += worth[(p->level[d] + d) % 5];
	return sum / (double)space_dims(s);
}

static inline double conditional(const Space *s, const Point *p)
{
	return p->level[0] == 0 ? 0.3 + 0.3 * share(s, p, 1)
				: 0.2 + 0.5 * share(s, p, 2) + 0.3 * (p->level[3] == 1);
}

#define GRID3 \
	"search_space:\n  a: {min: 1, max: 20}\n  b: {min: 1, max: 20}\n  c: {min: 1, max: 20}\n"

static const Problem problems[] = {
    {"sphere", GRID3, sphere},
    {"deceptive", GRID3, deceptive},
    {"plateau", GRID3, plateau},
    {"cliff", GRID3, cliff},
    {"categorical",
     "search_space:\n  a: [v, w, x, y, z]\n  b: [v, w, x, y, z]\n  c: [v, w, x, y, z]\n"
     "  d: [v, w, x, y, z]\n  e: [v, w, x, y, z]\n",
     categorical},
    {"conditional",
     "search_space:\n  on: {type: bool}\n  x: {min: 1, max: 30, when: {on: false}}\n"
     "  y: {min: 1, max: 30, when: {on: true}}\n  z: {values: [a, b, c], when: {on: true}}\n"
     "  w: {min: 1, max: 5}\n",
     conditional},
};

enum {
	N_PROBLEMS = sizeof(problems) / sizeof(problems[0]),
};

/* The seeds' knobs. */
static inline SearchSpec seeds_spec(const char *strategy, const Space *space, uint64_t seed)
{
	return (SearchSpec){.strategy = strategy,
			    .space = space,
			    .seed = seed,
			    .max_candidates = 10,
			    .max_generations = 4,
			    .tournament_size = 4,
			    .survivors = 2,
			    .elitism = 1,
			    .fresh_inject = 1};
}

static inline SearchTell tell_of(const Problem *pr, const Space *s, const SearchAsk *a)
{
	double v = pr->value(s, &a->point);
	return (SearchTell){.number = a->number,
			    .outcome = isnan(v) ? OUTCOME_OOM : OUTCOME_OK,
			    .fitness = isnan(v) ? 0 : v};
}

/* One measurement after another to the end, at most `max`; the best value found. Fills `ret` with
 * the asks when it is not NULL. */
static inline double run_search(Search *search, const Problem *pr, const Space *s, SearchAsk *ret,
				size_t max, size_t *ret_n)
{
	double best = 0;
	size_t n = 0;
	Err err = ERR_INIT;
	SearchAsk a;
	int e = 0;
	while (n < max && (e = search_ask(search, &a, &err)) == 1) {
		SearchTell t = tell_of(pr, s, &a);
		CHECK_OK(search_tell(search, &t, &err));
		best = t.fitness > best ? t.fitness : best;
		if (ret)
			ret[n] = a;
		n++;
	}
	CHECK_OK(e);
	if (ret_n)
		*ret_n = n;
	return best;
}
