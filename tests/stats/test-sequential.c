#include "stats/sequential.h"

#include <errno.h>

#include "base/rng.h"
#include "test.h"

static const double sizes[] = {.1, .2, .4, .8, 1.6, 3.2};
static const ShiftAsk up = {.sizes = sizes, .n_sizes = 6};
static const ShiftAsk down = {.down = true, .sizes = sizes, .n_sizes = 6};

typedef struct Draw {
	double phi, z;
	Rng rng;
} Draw;

static double next(Draw *d)
{
	d->z = d->phi * d->z + sqrt(1 - d->phi * d->phi) * rng_normal(&d->rng);
	return d->z;
}

static Draw draw(double phi, uint64_t seed)
{
	Draw d = {.phi = phi, .rng = rng_derive(seed, "series", 0)};
	d.z = rng_normal(&d.rng);
	return d;
}

static Shift *basis(Draw *d, size_t n)
{
	Shift *s = NULL;
	CHECK_OK(shift_new(0, &s));
	for (size_t i = 0; i < n; i++)
		shift_add(s, next(d), NULL);
	shift_begin(s);
	return s;
}

TEST(before_anything_came_there_is_no_evidence_and_no_bound)
{
	Draw d = draw(0, 1);
	_cleanup_(shift_freep) Shift *s = basis(&d, 50);
	CHECK_NEAR(shift_evidence(s, &up), 0, 0);
	CHECK(isnan(shift_estimate(s)));
	CHECK(shift_bound(s, &up, 3) == -(double)INFINITY);
	CHECK(shift_bound(s, &down, 3) == (double)INFINITY);
	Shift *none = NULL;
	CHECK_ERR(shift_new(SHIFT_COVARIATES_MAX + 1, &none), EINVAL);
}

TEST(a_shift_is_found_and_lies_between_its_bounds)
{
	Draw d = draw(0.3, 2);
	_cleanup_(shift_freep) Shift *s = basis(&d, 300);
	for (size_t i = 0; i < 200; i++)
		shift_add(s, next(&d) + 1, NULL);
	CHECK(shift_evidence(s, &up) > log(1000));
	CHECK(shift_evidence(s, &down) < 0);
	CHECK_NEAR(shift_estimate(s), 1, 0.4);
	double lo = shift_bound(s, &up, log(100)), hi = shift_bound(s, &down, log(100));
	CHECK(lo > 0 && lo < shift_estimate(s) && shift_estimate(s) < hi && hi < 2);
	ShiftAsk at = up;
	at.null = lo;
	CHECK_NEAR(shift_evidence(s, &at), log(100), 0.01);
}

/* Its evidence speaks of nothing but how the values lie to each other. */
TEST(unit_and_zero_point_make_no_difference)
{
	double larger[6];
	Draw a = draw(0.5, 3), b = draw(0.5, 3);
	_cleanup_(shift_freep) Shift *s = NULL, *t = NULL;
	CHECK_OK(shift_new(0, &s));
	CHECK_OK(shift_new(0, &t));
	for (size_t i = 0; i < 400; i++) {
		if (i == 300) {
			shift_begin(s);
			shift_begin(t);
		}
		shift_add(s, next(&a), NULL);
		shift_add(t, 7 * next(&b) - 30, NULL);
	}
	for (size_t i = 0; i < 6; i++)
		larger[i] = 7 * sizes[i];
	ShiftAsk other = {.sizes = larger, .n_sizes = 6};
	CHECK_NEAR(shift_evidence(s, &up), shift_evidence(t, &other), 1e-6);
	CHECK_NEAR(7 * shift_estimate(s), shift_estimate(t), 1e-6);
}

/* The value follows its covariate, which is another one after the beginning. */
TEST(what_a_covariate_explains_is_no_shift)
{
	Draw d = draw(0, 4), load = draw(0.9, 5);
	_cleanup_(shift_freep) Shift *with = NULL, *without = NULL;
	CHECK_OK(shift_new(1, &with));
	CHECK_OK(shift_new(0, &without));
	for (size_t i = 0; i < 800; i++) {
		if (i == 500) {
			shift_begin(with);
			shift_begin(without);
		}
		double x = next(&load) + (i < 500 ? 0 : 1.5), y = next(&d) + 2 * x;
		shift_add(with, y, &x);
		shift_add(without, y, NULL);
	}
	CHECK(shift_evidence(with, &up) < log(10));
	CHECK_NEAR(shift_estimate(with), 0, 0.4);
	CHECK(shift_estimate(without) > 1);
}

TEST(what_the_basis_is_worth_shrinks_with_resemblance)
{
	double mean_variance, value_variance;
	Draw d = draw(0, 6);
	_cleanup_(shift_freep) Shift *s = basis(&d, 1000), *t = NULL;
	shift_basis(s, &mean_variance, &value_variance);
	CHECK_NEAR(value_variance, 1, 0.15);
	CHECK(mean_variance > 0.0009 && mean_variance < 0.002);
	d = draw(0.9, 7); /* (1 + rho) / (1 - rho) = 19 */
	t = basis(&d, 1000);
	shift_basis(t, &mean_variance, &value_variance);
	CHECK(mean_variance > 0.008 && mean_variance < 0.05);
}

/* Looked at after every value, at 5 %, by the number of series in which it ever says so. */
static size_t ever(double phi, double gap, size_t series)
{
	size_t said = 0;
	for (size_t k = 0; k < series; k++) {
		Draw d = draw(phi, 100 + k);
		_cleanup_(shift_freep) Shift *s = basis(&d, 100);
		bool found = false;
		shift_gap(s, gap);
		for (size_t i = 0; i < 150 && !found; i++) {
			shift_add(s, next(&d), NULL);
			found = shift_evidence(s, &up) >= log(20);
		}
		said += found;
	}
	return said;
}

TEST(looked_at_all_the_time_it_is_wrong_no_more_often_than_stated)
{
	static const double some[] = {0, .5, .9};
	for (size_t i = 0; i < 3; i++) {
		size_t said = ever(some[i], 0, 120);
		printf("# phi %g: %zu of 120\n", some[i], said);
		CHECK(said <= 6 + 6); /* 5 % are 6; more than 12 happen once in 100 */
	}
	CHECK(ever(.5, 1e9, 60) <= 3 + 5);
}
