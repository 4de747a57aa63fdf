/* Amounts with units, as people write them. */
#include <math.h>
#include <string.h>

#include "conf/conf.h"

typedef struct Unit {
	const char *name;
	double factor;
} Unit;

static const Unit byte_units[] = {
    {"B", 1},	 {"KiB", 0x1p10}, {"MiB", 0x1p20}, {"GiB", 0x1p30}, {"TiB", 0x1p40}, {"kB", 1e3},
    {"KB", 1e3}, {"MB", 1e6},	  {"GB", 1e9},	   {"TB", 1e12},    {NULL, 0},
};

static const Unit time_units[] = {
    {"us", 1},	       {"ms", 1e3},	 {"s", 1e6},	    {"sec", 1e6},     {"second", 1e6},
    {"seconds", 1e6},  {"m", 60e6},	 {"min", 60e6},	    {"minute", 60e6}, {"minutes", 60e6},
    {"h", 3600e6},     {"hour", 3600e6}, {"hours", 3600e6}, {"d", 86400e6},   {"day", 86400e6},
    {"days", 86400e6}, {NULL, 0},
};

static const char *skip_blanks(const char *s)
{
	return s + strspn(s, " ");
}

/* Decimal digits with at most one point: no sign, exponent, "inf" or "0x". Not more of them than a
 * double can tell apart by far. */
static bool read_decimal(const char **s, double *ret)
{
	char text[40];
	size_t n = strspn(*s, "0123456789.");
	if (n == 0 || n >= sizeof(text))
		return false;
	memcpy(text, *s, n);
	text[n] = '\0';
	char *end = NULL;
	double v = strtod(text, &end);
	if (end != text + n || strcmp(text, ".") == 0)
		return false;
	*s += n;
	*ret = v;
	return true;
}

static bool read_unit(const char **s, const Unit *units, double *ret)
{
	const char *at = skip_blanks(*s);
	size_t n = strcspn(at, " 0123456789.");
	for (; units->name; units++) {
		if (strlen(units->name) == n && strncmp(units->name, at, n) == 0) {
			*s = at + n;
			*ret = units->factor;
			return true;
		}
	}
	return false;
}

/* 2^63 as a double; anything that rounds to it does not fit. */
static bool to_int64(double v, int64_t *ret)
{
	v = round(v);
	if (!(v >= 0 && v < 0x1p63))
		return false;
	*ret = (int64_t)v;
	return true;
}

bool conf_parse_bytes(const char *text, int64_t *ret)
{
	const char *s = skip_blanks(text);
	double amount = 0, factor = 1;
	if (!read_decimal(&s, &amount))
		return false;
	if (*skip_blanks(s) != '\0' && !read_unit(&s, byte_units, &factor))
		return false;
	return *skip_blanks(s) == '\0' && to_int64(amount * factor, ret);
}

/* One part with its unit after another ("1 h 30 min"), or a bare number of seconds. */
bool conf_parse_duration(const char *text, int64_t *ret_us)
{
	const char *s = skip_blanks(text);
	double amount = 0, factor = 1e6, sum = 0;
	if (!read_decimal(&s, &amount))
		return false;
	if (*skip_blanks(s) == '\0')
		return to_int64(amount * factor, ret_us);
	for (;;) {
		if (!read_unit(&s, time_units, &factor))
			return false;
		sum += amount * factor;
		s = skip_blanks(s);
		if (*s == '\0')
			return to_int64(sum, ret_us);
		if (!read_decimal(&s, &amount))
			return false;
	}
}
