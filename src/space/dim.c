/* One parameter: its levels and how a value finds its level. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "space/internal.h"

enum {
	ACCEPTS_LISTED = 12, /* levels that a message lists one by one */
};

int dim_push(Dim *d, json_t *value)
{
	if (!value)
		return -ENOMEM;
	/* Grows at powers of two, so that the size needs no field of its own. */
	if ((d->n & (d->n - 1)) == 0) {
		size_t cap = d->n ? 2 * (size_t)d->n : 1;
		json_t **grown = realloc(d->values, cap * sizeof(json_t *));
		if (!grown) {
			json_decref(value);
			return -ENOMEM;
		}
		d->values = grown;
	}
	d->values[d->n++] = value;
	return 0;
}

static int direction_of(const double *v, uint32_t n)
{
	bool up = true, down = true;
	for (uint32_t i = 1; i < n; i++) {
		up = up && v[i] > v[i - 1];
		down = down && v[i] < v[i - 1];
	}
	return up ? 1 : down ? -1 : 0;
}

int dim_finish(Dim *d)
{
	for (uint32_t i = 0; i < d->n; i++)
		if (!json_is_number(d->values[i]))
			return 0;
	d->numbers = calloc(d->n ? d->n : 1, sizeof(double));
	if (!d->numbers)
		return -ENOMEM;
	for (uint32_t i = 0; i < d->n; i++)
		d->numbers[i] = json_number_value(d->values[i]);
	d->direction = direction_of(d->numbers, d->n);
	return 0;
}

static int64_t find_number(const Dim *d, double v)
{
	uint32_t lo = 0, hi = d->n;
	if (!d->direction) {
		while (lo < hi && d->numbers[lo] != v)
			lo++;
	} else {
		while (lo < hi) {
			uint32_t mid = lo + (hi - lo) / 2;
			if ((d->numbers[mid] - v) * d->direction < 0)
				lo = mid + 1;
			else
				hi = mid;
		}
	}
	return lo < d->n && d->numbers[lo] == v ? (int64_t)lo : -ENOENT;
}

int64_t dim_find(const Dim *d, const json_t *value)
{
	bool number = json_is_number(value);
	if (d->numbers)
		return number ? find_number(d, json_number_value(value)) : -ENOENT;
	for (uint32_t i = 0; i < d->n; i++) {
		const json_t *v = d->values[i];
		if (number && json_is_number(v) ? json_number_value(v) == json_number_value(value)
						: json_equal(v, value))
			return i;
	}
	return -ENOENT;
}

void value_text(const json_t *v, Str *out)
{
	if (json_is_string(v))
		str_add(out, json_string_value(v));
	else
		js_canonical(v, out);
}

void dim_accepts(const Dim *d, Str *out)
{
	if (d->n > ACCEPTS_LISTED) {
		value_text(d->values[0], out);
		str_add(out, " ... ");
		value_text(d->values[d->n - 1], out);
		str_addf(out, " (%u levels)", d->n);
		return;
	}
	for (uint32_t i = 0; i < d->n; i++) {
		str_add(out, i ? ", " : "");
		value_text(d->values[i], out);
	}
}
