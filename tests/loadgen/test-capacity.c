#include "loadgen/capacity.h"
#include "test.h"

/* What the search finds when every level up to `truth` meets the limit; *ret_tries levels tried. */
static int64_t found(int64_t max, int64_t truth, int *ret_tries)
{
	Capacity c = capacity_start(max);
	*ret_tries = 0;
	for (int64_t level; (level = capacity_next(&c)) > 0; ++*ret_tries) {
		CHECK(level <= max && *ret_tries < 200);
		capacity_told(&c, level, level <= truth);
	}
	return c.met;
}

TEST(every_capacity_is_found_exactly_in_few_tries)
{
	for (int64_t max = 0; max <= 130; max++) {
		for (int64_t truth = 0; truth <= max; truth++) {
			int tries;
			CHECK_INT(found(max, truth, &tries), truth);
			CHECK(tries <= 15); /* 2 log2(130) */
		}
	}
}

TEST(a_capacity_beyond_the_highest_level_is_the_highest_level)
{
	int tries;
	CHECK_INT(found(20, 1000, &tries), 20);
	CHECK_INT(found(INT64_MAX, INT64_MAX, &tries), INT64_MAX - 1);
	CHECK(tries <= 128);
	CHECK_INT(found(-5, 10, &tries), 0);
}

TEST(a_level_that_contradicts_an_earlier_one_lowers_the_capacity)
{
	Capacity c = capacity_start(64);
	capacity_told(&c, 16, true);
	capacity_told(&c, 8, false);
	CHECK_INT(c.met, 7);
	CHECK_INT(capacity_next(&c), 0);
}
