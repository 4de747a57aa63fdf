/* What exists is one visible list, and the words for what a search says. */
#include <string.h>

#include "search/ops.h"

static const SearchOps *const strategies[] = {
    &search_rzero,
    &search_random,
    &search_grid,
};

const SearchOps *search_ops(size_t i)
{
	return i < sizeof(strategies) / sizeof(strategies[0]) ? strategies[i] : NULL;
}

const SearchStrategy *search_strategy(size_t i)
{
	const SearchOps *ops = search_ops(i);
	return ops ? &ops->about : NULL;
}

static const char *const origin_names[ORIGIN_MAX_] = {
    [ORIGIN_BASELINE] = "baseline", [ORIGIN_WARM] = "warm",   [ORIGIN_RANDOM] = "random",
    [ORIGIN_GRID] = "grid",	    [ORIGIN_ELITE] = "elite", [ORIGIN_CROSSOVER] = "crossover",
    [ORIGIN_MUTATION] = "mutation", [ORIGIN_FRESH] = "fresh",
};

const char *search_origin_name(SearchOrigin o)
{
	return o < ORIGIN_MAX_ ? origin_names[o] : "unknown";
}

const char *search_stop_text(SearchStop s)
{
	switch (s) {
	case SEARCH_RUNNING:
		return "the search goes on";
	case SEARCH_STOP_GENERATIONS:
		return "all generations are done";
	case SEARCH_STOP_PLATEAU:
		return "several generations brought nothing better";
	case SEARCH_STOP_EXHAUSTED:
		return "every feasible candidate has been measured";
	case SEARCH_STOP_MAX_:
		break;
	}
	return "unknown";
}
