/* Numbers for people: about three digits that mean something, and the unit. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/strings.h"
#include "report/report.h"

/* Digits after the point that leave three or so in front of and behind it together. */
static int decimals_for(double v)
{
	double size = fabs(v);
	return size >= 99.95 ? 0 : size >= 9.995 ? 1 : size >= 0.9995 ? 2 : 3;
}

static bool is_count(double v, const char *unit)
{
	static const char *const counts[] = {"", "requests", "tokens", "events", "count", NULL};
	return v == rint(v) && words_have(counts, unit);
}

/* "12345" -> "12,345"; digits before the point only. */
static void group_thousands(char *text, size_t size)
{
	size_t start = text[0] == '-', digits = strspn(text + start, "0123456789");
	while (digits > 3) {
		digits -= 3;
		size_t at = start + digits, len = strlen(text);
		if (len + 2 > size)
			return;
		memmove(text + at + 1, text + at, len - at + 1);
		text[at] = ',';
	}
}

void report_number(double v, const char *unit, char *ret)
{
	const char *name = unit ? unit : "";
	char number[16];
	if (!isfinite(v)) {
		snprintf(ret, 2, "-");
		return;
	}
	if (fabs(v) >= 999999.5 || (v != 0 && fabs(v) < 0.0005))
		snprintf(number, sizeof(number), "%.3g", v);
	else
		snprintf(number, sizeof(number), "%.*f", is_count(v, name) ? 0 : decimals_for(v),
			 v);
	group_thousands(number, sizeof(number));
	snprintf(ret, 32, "%s%s%.14s", number, name[0] ? " " : "", name);
}

void report_interval(double mean, double lo, double hi, char *ret)
{
	if (!isfinite(mean)) {
		snprintf(ret, 2, "-");
		return;
	}
	bool known = isfinite(lo) && isfinite(hi);
	double size = known ? fmax(fabs(mean), fmax(fabs(lo), fabs(hi))) : fabs(mean);
	int digits = decimals_for(size);
	if (size >= 999999.5 && known)
		snprintf(ret, 64, "%+.3g [%+.3g, %+.3g]", mean, lo, hi);
	else if (size >= 999999.5)
		snprintf(ret, 64, "%+.3g", mean);
	else if (known)
		snprintf(ret, 64, "%+.*f [%+.*f, %+.*f]", digits, mean, digits, lo, digits, hi);
	else
		snprintf(ret, 64, "%+.*f", digits, mean);
}
