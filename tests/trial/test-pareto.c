/* The front by definition, the volume against counting cells and against known figures. */
#include <errno.h>

#include "base/rng.h"
#include "test.h"
#include "trial/pareto.h"

TEST(what_nothing_beats_in_everything_is_the_front)
{
	static const double scores[] = {
	    0.9, 0.1, /* best in the first */
	    0.5, 0.5, /* a compromise */
	    0.4, 0.5, /* beaten by the compromise */
	    0.1, 0.9, /* best in the second */
	    0.1, 0.9, /* the same again */
	    0.0, 0.0,
	};
	bool front[6];
	pareto_front(scores, 6, 2, front);
	CHECK(front[0] && front[1] && !front[2] && front[3] && front[4] && !front[5]);
}

TEST(a_single_row_is_its_own_front)
{
	double row[] = {0, 0, 0}, volume = -1;
	bool front;
	pareto_front(row, 1, 3, &front);
	CHECK(front);
	CHECK_OK(pareto_hypervolume(row, 1, 3, &volume));
	CHECK_NEAR(volume, 0, 0);
}

TEST(known_volumes_come_out_exactly)
{
	double volume;
	CHECK_OK(pareto_hypervolume(NULL, 0, 2, &volume));
	CHECK_NEAR(volume, 0, 0);
	static const double line[] = {0.25, 0.5, 1.0};
	CHECK_OK(pareto_hypervolume(line, 3, 1, &volume));
	CHECK_NEAR(volume, 1.0, 0);
	/* Two boxes of area .25 that share .0625. */
	static const double pair[] = {1, 0.25, 0.25, 1};
	CHECK_OK(pareto_hypervolume(pair, 2, 2, &volume));
	CHECK_NEAR(volume, 0.4375, 1e-15);
	/* Three bars 1 x .5 x .5 along the axes: .75 - 3 * .125 shared by two + .125 by all. */
	static const double bars[] = {1, .5, .5, .5, 1, .5, .5, .5, 1};
	CHECK_OK(pareto_hypervolume(bars, 3, 3, &volume));
	CHECK_NEAR(volume, 0.5, 1e-15);
}

TEST(rows_below_zero_cover_nothing)
{
	static const double scores[] = {-1, 5, 0.5, 0.5};
	double volume;
	CHECK_OK(pareto_hypervolume(scores, 2, 2, &volume));
	CHECK_NEAR(volume, 0.25, 1e-15);
}

TEST(more_than_eight_dimensions_are_refused)
{
	double scores[9] = {0}, volume;
	CHECK_ERR(pareto_hypervolume(scores, 1, 9, &volume), E2BIG);
	CHECK_ERR(pareto_hypervolume(scores, 1, 0, &volume), E2BIG);
}

/* Scores on a grid of sixths: the volume is the share of unit cells that some row covers. */
static double count_cells(const double *scores, size_t n, size_t dims)
{
	size_t cells = 1, covered = 0;
	for (size_t k = 0; k < dims; k++)
		cells *= 6;
	for (size_t c = 0; c < cells; c++) {
		bool any = false;
		for (size_t i = 0; i < n && !any; i++) {
			size_t rest = c;
			any = true;
			for (size_t k = 0; k < dims; k++, rest /= 6)
				any &= scores[i * dims + k] * 6 > (double)(rest % 6) + 0.5;
		}
		covered += any;
	}
	return (double)covered / (double)cells;
}

TEST(volumes_agree_with_counting_cells)
{
	for (uint64_t seed = 0; seed < 200; seed++) {
		Rng rng = rng_derive(seed, "pareto", 0);
		size_t n = 1 + rng_below(&rng, 12), dims = 1 + rng_below(&rng, 5);
		double scores[12 * 5], volume;
		for (size_t i = 0; i < n * dims; i++)
			scores[i] = (double)rng_below(&rng, 7) / 6;
		CHECK_OK(pareto_hypervolume(scores, n, dims, &volume));
		double counted = count_cells(scores, n, dims);
		if (fabs(volume - counted) > 1e-12)
			test_fail(__FILE__, __LINE__, "seed %" PRIu64 ": %g, counted %g", seed,
				  volume, counted);
	}
}
