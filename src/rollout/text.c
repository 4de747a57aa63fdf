#include "rollout/text.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/json.h"
#include "rollout/validate.h"

bool text_take(const json_t *o, const char *key, char *ret, size_t size)
{
	const char *s = js_str(o, key, NULL);
	if (!s || strlen(s) >= size)
		return false;
	memcpy(ret, s, strlen(s) + 1);
	return true;
}

bool text_is_name(const char *s, size_t max)
{
	static const char allowed[] =
	    "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-";
	size_t n = strlen(s);
	return n > 0 && n <= max && strspn(s, allowed) == n && *s != '.' && *s != '-';
}

void str_copy_to(const char *text, char *ret, size_t size)
{
	size_t len = strlen(text);
	if (len >= size) {
		len = size - 1;
		while (len > 0 && ((unsigned char)text[len] & 0xc0) == 0x80)
			len--;
	}
	memcpy(ret, text, len);
	ret[len] = '\0';
}

/* "2026-11-20T12:30:05" and what comes after it. */
static const char *read_second(const char *text, struct tm *ret)
{
	static const char shape[] = "0000-00-00T00:00:00";
	for (size_t i = 0; shape[i]; i++)
		if (shape[i] == '0' ? text[i] < '0' || text[i] > '9' : text[i] != shape[i])
			return NULL;
	struct tm t = {0};
	(void)sscanf(text, "%4d-%2d-%2dT%2d:%2d:%2d", &t.tm_year, &t.tm_mon, &t.tm_mday, &t.tm_hour,
		     &t.tm_min, &t.tm_sec);
	if (t.tm_year < 1970 || t.tm_mon < 1 || t.tm_mon > 12 || t.tm_mday < 1 || t.tm_mday > 31 ||
	    t.tm_hour > 23 || t.tm_min > 59 || t.tm_sec > 59)
		return NULL;
	t.tm_year -= 1900;
	t.tm_mon -= 1;
	*ret = t;
	return text + sizeof(shape) - 1;
}

bool time_from_rfc3339(const char *text, int64_t *ret_us)
{
	struct tm t;
	const char *rest = read_second(text, &t);
	int64_t us = 0;
	if (!rest)
		return false;
	if (*rest == '.') {
		int64_t unit = 100000;
		const char *digit = ++rest;
		for (; *digit >= '0' && *digit <= '9' && unit > 0; unit /= 10)
			us += (*digit++ - '0') * unit;
		if (digit == rest)
			return false;
		rest = digit;
	}
	if (strcmp(rest, "Z") != 0)
		return false;
	int day = t.tm_mday;
	time_t s = timegm(&t);
	if (t.tm_mday != day) /* there is no 31st of February */
		return false;
	*ret_us = (int64_t)s * 1000000 + us;
	return true;
}
