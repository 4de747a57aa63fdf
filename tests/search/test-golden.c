/* The asks for one seed, written down: the same with gcc and clang, in debug and release builds. A
 * change here means that runs in stores cannot be resumed, so the strategy's version must change
 * with it. */
#include "problems.h"

static const char *const rzero_asks[] = {
    "random on=true y=19 z=a w=1",
    "random on=true y=14 z=c w=4",
    "random on=false x=23 w=2",
    "random on=false x=28 w=5",
    "random on=true y=15 z=c w=3",
    "random on=true y=11 z=c w=2",
    "random on=false x=10 w=3",
    "random on=true y=21 z=c w=2",
    "random on=true y=1 z=b w=2",
    "random on=false x=9 w=5",
    "fresh on=true y=21 z=a w=3",
    "crossover on=true y=27 z=a w=5 <- 0 3",
    "mutation on=true y=19 z=c w=1 <- 0",
    "crossover on=true y=13 z=c w=1 <- 0 3",
    "mutation on=false x=24 w=1 <- 0",
    "mutation on=true y=19 z=a w=3 <- 0",
    "crossover on=true y=18 z=a w=5 <- 3 0",
    "mutation on=true y=18 z=a w=1 <- 0",
    "fresh on=false x=26 w=1",
    "mutation on=true y=19 z=c w=2 <- 12",
    "mutation on=false x=15 w=1 <- 12",
    "crossover on=false x=29 w=1 <- 12 11",
    "mutation on=true y=27 z=c w=5 <- 11",
    "crossover on=true y=19 z=a w=4 <- 12 11",
    "crossover on=true y=19 z=b w=5 <- 12 11",
    "crossover on=true y=27 z=c w=2 <- 11 12",
    "fresh on=true y=11 z=b w=3",
    "mutation on=true y=19 z=a w=5 <- 24",
    "mutation on=false x=14 w=5 <- 24",
    "crossover on=false x=15 w=5 <- 24 22",
    "mutation on=true y=27 z=c w=3 <- 22",
    "crossover on=false x=10 w=5 <- 24 22",
    "crossover on=true y=19 z=c w=5 <- 22 24",
    "crossover on=true y=28 z=b w=5 <- 24 22",
};

static const char *const random_asks[] = {
    "random on=false x=19 w=4",	   "random on=true y=29 z=a w=2", "random on=true y=25 z=c w=5",
    "random on=true y=12 z=a w=4", "random on=true y=29 z=c w=5", "random on=true y=19 z=a w=4",
    "random on=true y=4 z=c w=3",  "random on=true y=22 z=a w=4", "random on=true y=24 z=b w=3",
    "random on=false x=22 w=3",	   "random on=true y=12 z=a w=3", "random on=true y=6 z=c w=4",
    "random on=false x=16 w=3",	   "random on=false x=25 w=5",	  "random on=true y=16 z=b w=2",
    "random on=true y=24 z=a w=1", "random on=true y=27 z=b w=5", "random on=true y=16 z=b w=1",
    "random on=true y=11 z=c w=1", "random on=true y=21 z=b w=2", "random on=true y=1 z=b w=4",
    "random on=false x=20 w=3",	   "random on=true y=1 z=b w=1",  "random on=true y=22 z=c w=2",
    "random on=false x=9 w=1",	   "random on=true y=11 z=a w=1", "random on=false x=2 w=4",
    "random on=false x=5 w=5",	   "random on=true y=8 z=a w=5",  "random on=true y=27 z=b w=2",
    "random on=true y=12 z=b w=1", "random on=true y=10 z=a w=2", "random on=false x=21 w=3",
    "random on=true y=5 z=c w=4",  "random on=true y=23 z=a w=5", "random on=false x=24 w=4",
    "random on=true y=7 z=b w=1",  "random on=false x=26 w=1",	  "random on=false x=11 w=2",
    "random on=true y=25 z=b w=3",
};

static void asks_are(const char *strategy, const char *const *want, size_t n_want)
{
	const Problem *pr = &problems[N_PROBLEMS - 1];
	_cleanup_(space_freep) Space *s = space_from(pr->space);
	SearchSpec spec = seeds_spec(strategy, s, 2026);
	_cleanup_(search_freep) Search *search = NULL;
	SearchAsk asks[64];
	size_t n;
	CHECK_OK(search_new(&spec, &search, NULL));
	run_search(search, pr, s, asks, 64, &n);
	for (size_t i = 0; i < n && i < n_want; i++) {
		_cleanup_(str_done) Str text = STR_INIT;
		str_addf(&text, "%s ", search_origin_name(asks[i].origin));
		point_text(s, &asks[i].point, &text);
		for (size_t k = 0; k < 2 && asks[i].parents[k] != -1; k++)
			str_addf(&text, k ? " %d" : " <- %d", (int)asks[i].parents[k]);
		CHECK_STR(text.s, want[i]);
	}
	CHECK_INT((intmax_t)n, (intmax_t)n_want);
}

TEST(rzero_asks_what_it_always_asked_for_this_seed)
{
	asks_are("rzero", rzero_asks, sizeof(rzero_asks) / sizeof(rzero_asks[0]));
}

TEST(random_asks_what_it_always_asked_for_this_seed)
{
	asks_are("random", random_asks, sizeof(random_asks) / sizeof(random_asks[0]));
}
