#include "base/rng.h"

#include "test.h"

typedef struct Moments {
	double mean, variance;
} Moments;

static Moments moments(double (*draw)(Rng *r, double arg), double arg, int n)
{
	Rng r = rng_derive(1, "moments", 0);
	double sum = 0, squares = 0;
	for (int i = 0; i < n; i++) {
		double x = draw(&r, arg);
		sum += x;
		squares += x * x;
	}
	double mean = sum / n;
	return (Moments){mean, squares / n - mean * mean};
}

TEST(the_stream_is_splitmix64)
{
	/* The first outputs for seed 0 of its authors' reference program. */
	Rng r = {0};
	CHECK(rng_u64(&r) == UINT64_C(0xe220a8397b1dcdaf));
	CHECK(rng_u64(&r) == UINT64_C(0x6e789e6aa1b965f4));
	CHECK(rng_u64(&r) == UINT64_C(0x06c45d188009454f));
}

TEST(derived_streams_are_pinned_and_differ_in_each_part)
{
	Rng a = rng_derive(7, "crossover", 3), again = rng_derive(7, "crossover", 3);
	CHECK(a.s == again.s);
	CHECK(a.s != rng_derive(8, "crossover", 3).s);
	CHECK(a.s != rng_derive(7, "mutation", 3).s);
	CHECK(a.s != rng_derive(7, "crossover", 4).s);
	/* Computed apart, in Python. Stored runs resume by these numbers: to change them is to
	 * change the format. */
	CHECK(a.s == UINT64_C(0xaff34d91f1b650ea));
}

TEST(neighbouring_streams_are_not_correlated)
{
	double sum = 0;
	int n = 20000;
	for (int i = 0; i < n; i++) {
		Rng a = rng_derive(1, "x", (uint64_t)i), b = rng_derive(1, "x", (uint64_t)i + 1);
		sum += (rng_unit(&a) - 0.5) * (rng_unit(&b) - 0.5) * 12;
	}
	CHECK_NEAR(sum / n, 0, 4 / sqrt(n));
}

TEST(below_is_uniform_and_never_reaches_its_bound)
{
	Rng r = rng_derive(2, "below", 0);
	int counts[7] = {0}, n = 70000;
	for (int i = 0; i < n; i++)
		counts[rng_below(&r, 7)]++;
	double chi2 = 0;
	for (int i = 0; i < 7; i++)
		chi2 += pow(counts[i] - n / 7.0, 2) / (n / 7.0);
	CHECK(chi2 < 22.5); /* 6 degrees of freedom, p = 0.001 */
	for (int i = 0; i < 100; i++)
		CHECK_INT(rng_below(&r, 1), 0);
}

TEST(below_has_no_bias_for_bounds_near_the_top)
{
	/* Taking the remainder alone would give the lower half twice as often. */
	Rng r = rng_derive(3, "below", 0);
	uint64_t bound = UINT64_C(3) << 62;
	int low = 0, n = 20000;
	for (int i = 0; i < n; i++)
		low += rng_below(&r, bound) < bound / 3;
	CHECK_NEAR((double)low / n, 1.0 / 3, 0.015);
}

static double unit(Rng *r, double arg)
{
	(void)arg;
	double x = rng_unit(r);
	CHECK(x >= 0 && x < 1);
	return x;
}

static double normal(Rng *r, double arg)
{
	(void)arg;
	return rng_normal(r);
}

static double exponential(Rng *r, double arg)
{
	(void)arg;
	double x = rng_exponential(r);
	CHECK(x >= 0);
	return x;
}

TEST(uniform_normal_and_exponential_have_their_moments)
{
	Moments u = moments(unit, 0, 200000), z = moments(normal, 0, 200000),
		e = moments(exponential, 0, 200000);
	CHECK_NEAR(u.mean, 0.5, 0.005);
	CHECK_NEAR(u.variance, 1.0 / 12, 0.002);
	CHECK_NEAR(z.mean, 0, 0.01);
	CHECK_NEAR(z.variance, 1, 0.02);
	CHECK_NEAR(e.mean, 1, 0.01);
	CHECK_NEAR(e.variance, 1, 0.04);
}

TEST(normal_tails_have_their_weight)
{
	Rng r = rng_derive(4, "tails", 0);
	int n = 200000, past_one = 0, past_three = 0;
	for (int i = 0; i < n; i++) {
		double x = fabs(rng_normal(&r));
		past_one += x > 1;
		past_three += x > 3;
	}
	CHECK_NEAR((double)past_one / n, 0.3173, 0.005);
	CHECK_NEAR((double)past_three / n, 0.0027, 0.0006);
}

TEST(gamma_has_its_mean_and_variance_for_every_shape)
{
	static const double shapes[] = {0.05, 0.25, 0.9, 1, 1.5, 4, 50};
	for (size_t i = 0; i < sizeof(shapes) / sizeof(shapes[0]); i++) {
		int n = 200000;
		Moments m = moments(rng_gamma, shapes[i], n);
		/* Mean and variance are the shape; the variance of the sample variance follows from
		 * the fourth moment, shape^2 (2 + 6 / shape). */
		CHECK_NEAR(m.mean, shapes[i], 5 * sqrt(shapes[i] / n));
		CHECK_NEAR(m.variance, shapes[i], 5 * shapes[i] * sqrt((2 + 6 / shapes[i]) / n));
	}
}

TEST(lognormal_has_its_median)
{
	Rng r = rng_derive(5, "lognormal", 0);
	int below = 0, n = 50000;
	for (int i = 0; i < n; i++)
		below += rng_lognormal(&r, 34.0, 0.5) < 34.0;
	CHECK_NEAR((double)below / n, 0.5, 0.01);
	CHECK_NEAR(rng_lognormal(&r, 34.0, 0), 34.0, 1e-12);
}
