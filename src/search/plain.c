/* What strategies without selection share: a generation is a number of asks, survivors are the best
 * so far. */
#include "search/ops.h"

Plan plain_plan(const Search *s, uint32_t cand, SearchOrigin origin)
{
	return (Plan){.parents = {-1, -1},
		      .cand = cand,
		      .generation = (uint32_t)(s->next / s->spec.max_candidates),
		      .origin = origin};
}

static uint64_t budget(const Search *s)
{
	return (uint64_t)s->spec.max_candidates * s->spec.max_generations;
}

bool plain_spent(const Search *s)
{
	return s->next >= budget(s);
}

int plain_end(Search *s, SearchStop stop)
{
	if (s->n_pending == 0)
		s->stop = stop;
	return 0;
}

uint32_t plain_generation(const Search *s)
{
	return s->next ? (uint32_t)((s->next - 1) / s->spec.max_candidates) : 0;
}

/* Better, or as good and drawn first by lot. */
static bool precedes(const Search *s, uint32_t a, uint32_t b)
{
	int c = cand_compare(&s->pool.items[a], &s->pool.items[b]);
	if (c)
		return c > 0;
	Rng x = rng_derive(s->spec.seed, "plain.lot", a),
	    y = rng_derive(s->spec.seed, "plain.lot", b);
	return rng_u64(&x) < rng_u64(&y);
}

size_t plain_survivors(const Search *s, uint32_t *ret, size_t max)
{
	size_t n = 0;
	for (uint32_t i = 0; i < s->pool.n && max; i++) {
		if (s->pool.items[i].state != CAND_MEASURED)
			continue;
		if (n == max && !precedes(s, i, ret[n - 1]))
			continue;
		size_t at = n < max ? n++ : n - 1;
		for (; at > 0 && precedes(s, i, ret[at - 1]); at--)
			ret[at] = ret[at - 1];
		ret[at] = i;
	}
	return n;
}

uint64_t plain_planned(const Search *s, uint64_t *ret_later)
{
	*ret_later = budget(s) > s->next ? budget(s) - s->next : 0;
	return 0;
}
