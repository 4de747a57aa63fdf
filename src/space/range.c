/* Ranges: {min, max} with step or points, linear or logarithmic, of integers or decimals. The
 * levels of a decimal range are the decimals a person would write (0.5, never 0.5000000000000001):
 * each is computed and then rounded to as many places as the file's own numbers have. */
#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "space/internal.h"

enum {
	DECIMALS_MAX = 340, /* the smallest double has 324 */
};

#define RANGE_INTEGER_MAX 9007199254740992.0 /* 2^53: beyond it doubles skip integers */

typedef struct Range {
	const ConfNode *at, *step_at, *points_at;
	double min, max, step; /* step 0: none given */
	int64_t points;	       /* 0: none given */
	bool whole, logarithmic;
	int decimals; /* of min, max and step as written */
} Range;

/* How many decimals a number has as written: "0.05" 2, "5e-3" 3, "12" 0. */
static int decimals_of(const char *text)
{
	const char *dot = strchr(text, '.');
	long digits = 0;
	for (const char *p = dot ? dot + 1 : ""; isdigit((unsigned char)*p); p++)
		digits++;
	const char *e = strpbrk(text, "eE");
	long n = digits - (e ? strtol(e + 1, NULL, 10) : 0);
	return n < 0 ? 0 : n > DECIMALS_MAX ? DECIMALS_MAX : (int)n;
}

static double round_to(double v, int decimals)
{
	char text[2 * DECIMALS_MAX + 64];
	int n = snprintf(text, sizeof(text), "%.*f", decimals, v);
	return n > 0 && (size_t)n < sizeof(text) ? strtod(text, NULL) : v;
}

static double round_significant(double v, int digits)
{
	char text[64];
	snprintf(text, sizeof(text), "%.*e", digits - 1, v);
	return strtod(text, NULL);
}

/* Reads a number under `key`; false when absent or wrong. */
static bool number_at(const ConfNode *n, const char *key, Range *r, double *ret, Diags *d)
{
	const ConfNode *at = conf_get(n, key);
	if (!at)
		return false;
	int64_t whole;
	if (!conf_as_number(at, ret)) {
		conf_fault(at, d, "a number", "%s is not a number", key);
		return false;
	}
	if (!conf_as_int(at, &whole))
		r->whole = false;
	if (r->decimals < decimals_of(conf_text(at)))
		r->decimals = decimals_of(conf_text(at));
	return true;
}

static void read_type(const ConfNode *n, Range *r, Diags *d)
{
	const ConfNode *at = conf_get(n, "type");
	const char *type = at ? conf_text(at) : NULL;
	if (!at)
		return;
	if (type && strcmp(type, "float") == 0)
		r->whole = false;
	else if (!type || strcmp(type, "int") != 0)
		conf_fault(at, d, "int or float for a range, or {type: bool} alone",
			   "a range cannot have this type");
	else if (!r->whole)
		conf_fault(at, d, "whole min, max and step, or type: float",
			   "a range of integers has a bound or step that is not whole");
}

static void read_points(const ConfNode *n, Range *r, Diags *d)
{
	r->points_at = conf_get(n, "points");
	if (!r->points_at)
		return;
	if (!conf_as_int(r->points_at, &r->points) || r->points < 2 ||
	    r->points > SPACE_LEVELS_MAX) {
		conf_fault(r->points_at, d, "a whole number from 2 to 100000",
			   "points is not a number of levels");
		r->points = 2;
	}
	if (r->step_at)
		conf_fault(r->points_at, d, "one of the two", "a range has both step and points");
}

/* Is what was read a range at all? Reports what is not. */
static void check_range(const Range *r, Diags *d)
{
	if (r->min > r->max)
		conf_fault(r->at, d, "min at most max", "min %.15g is above max %.15g", r->min,
			   r->max);
	if (r->logarithmic && r->min <= 0)
		conf_fault(r->at, d, "min above 0", "a logarithmic range cannot start at %.15g",
			   r->min);
	if (r->logarithmic && r->step_at)
		conf_fault(r->step_at, d, "points: how many levels",
			   "a logarithmic range has no constant step");
	if (r->step_at && !(r->step > 0))
		conf_fault(r->step_at, d, "a number above 0", "step is not above 0");
	if (!r->whole && !r->step_at && !r->points_at && r->min < r->max)
		conf_fault(r->at, d, "step: 0.05 or points: 5",
			   "a range of decimals needs a step or a number of points");
	if (r->whole && (fabs(r->min) > RANGE_INTEGER_MAX || fabs(r->max) > RANGE_INTEGER_MAX))
		conf_fault(r->at, d, "numbers up to 2^53", "the range is too far out");
	if (r->whole && r->points > r->max - r->min + 1 && r->min <= r->max)
		conf_fault(r->points_at, d, "fewer points, or a wider range",
			   "%lld points, but only %.0f integers from %.0f to %.0f",
			   (long long)r->points, r->max - r->min + 1, r->min, r->max);
}

static int push_number(const Range *r, Dim *dim, double v)
{
	return dim_push(dim, r->whole ? json_integer((json_int_t)v) : json_real(v));
}

/* min, min + step, ... max. */
static int fill_steps(const Range *r, Dim *dim, Diags *d)
{
	double step = r->step_at ? r->step : 1;
	double n = r->min < r->max ? (r->max - r->min) / step : 0, whole = round(n);
	if (whole + 1 > SPACE_LEVELS_MAX) {
		conf_fault(r->at, d, "a larger step",
			   "the range has %.0f levels, at most %d are"
			   " possible",
			   whole + 1, SPACE_LEVELS_MAX);
		return 0;
	}
	if (fabs(n - whole) > 1e-9 * (1 + whole)) {
		_cleanup_(str_done) Str accept = STR_INIT;
		str_addf(&accept, "max: %.15g or max: %.15g, or a step that divides the range",
			 round_to(r->min + floor(n) * step, r->decimals),
			 round_to(r->min + ceil(n) * step, r->decimals));
		conf_fault(r->step_at, d, accept.s, "steps of %.15g from %.15g do not reach %.15g",
			   step, r->min, r->max);
		return 0;
	}
	double last = 0;
	int e = 0;
	for (double i = 0; i <= whole && e >= 0; i++) {
		double v = r->min + i * step;
		if (!r->whole)
			v = round_to(v, r->decimals);
		if (i > 0 && v <= last) {
			conf_fault(r->at, d, "a larger step",
				   "numbers near %.15g have no steps as small as %.15g", r->max,
				   step);
			return 0;
		}
		e = push_number(r, dim, v);
		last = v;
	}
	return e;
}

/* The i-th of `points` levels, the ends exact. */
static double point_at(const Range *r, int64_t i)
{
	double share = (double)i / (double)(r->points - 1);
	if (i == 0 || i == r->points - 1)
		return i ? r->max : r->min;
	if (r->logarithmic) {
		double ratio = pow(r->max / r->min, 1 / (double)(r->points - 1));
		int digits = 3 + (int)ceil(fmax(0, -log10(ratio - 1)));
		double v = r->min * pow(r->max / r->min, share);
		return r->whole ? round(v) : round_significant(v, digits > 17 ? 17 : digits);
	}
	double v = r->min + share * (r->max - r->min);
	double gap = (r->max - r->min) / (double)(r->points - 1);
	int decimals = 3 + (int)ceil(fmax(0, -log10(gap)));
	if (decimals < r->decimals)
		decimals = r->decimals;
	return r->whole ? round(v) : round_to(v, decimals > DECIMALS_MAX ? DECIMALS_MAX : decimals);
}

/* Rounding may make neighbours equal (small integers on a log scale): each is taken once. */
static int fill_points(const Range *r, Dim *dim)
{
	double last = r->min;
	int e = push_number(r, dim, r->min);
	for (int64_t i = 1; i < r->points && e >= 0; i++) {
		double v = point_at(r, i);
		if (v <= last || v > r->max)
			continue;
		e = push_number(r, dim, v);
		last = v;
	}
	return e;
}

/* min, 2 min, 4 min, ... and max itself. */
static int fill_doubling(const Range *r, Dim *dim)
{
	int e = 0;
	for (double v = r->min; v < r->max && e >= 0; v *= 2)
		e = push_number(r, dim, v);
	return e < 0 ? e : push_number(r, dim, r->max);
}

int read_range(const ConfNode *n, Dim *dim, Diags *d)
{
	size_t before = d->errors;
	Range r = {.at = n, .step_at = conf_get(n, "step"), .whole = true};
	bool min = number_at(n, "min", &r, &r.min, d), max = number_at(n, "max", &r, &r.max, d);
	if (r.step_at)
		number_at(n, "step", &r, &r.step, d);
	const ConfNode *log_at = conf_get(n, "log");
	if (log_at && !conf_as_bool(log_at, &r.logarithmic))
		conf_fault(log_at, d, "true or false", "log is not a truth value");
	if (!min && !conf_get(n, "min"))
		conf_fault(n, d, "min and max", "the range of %s has no min", dim->name);
	if (!max && !conf_get(n, "max"))
		conf_fault(n, d, "min and max", "the range of %s has no max", dim->name);
	read_type(n, &r, d);
	read_points(n, &r, d);
	if (d->errors == before)
		check_range(&r, d);
	if (d->errors > before)
		return 0;
	dim->ordered = true;
	if (r.points && r.min < r.max)
		return fill_points(&r, dim);
	if (r.logarithmic && r.whole)
		return fill_doubling(&r, dim);
	return fill_steps(&r, dim, d);
}
