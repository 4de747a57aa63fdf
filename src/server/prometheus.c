#include "server/prometheus.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

enum {
	NUMBER_MAX = 64,
};

static bool is_name(char c, bool first)
{
	return isalpha((unsigned char)c) || c == '_' || c == ':' ||
	       (!first && isdigit((unsigned char)c));
}

/* To the brace that ends the labels; one in a quoted value does not. NULL: none. */
static const char *labels_end(const char *p, const char *end)
{
	bool quoted = false;
	for (; p < end; p++) {
		if (quoted && *p == '\\' && p + 1 < end)
			p++;
		else if (*p == '"')
			quoted = !quoted;
		else if (*p == '}' && !quoted)
			return p;
	}
	return NULL;
}

static bool read_value(const char *p, const char *end, double *ret)
{
	char text[NUMBER_MAX], *stop;
	size_t n = 0;
	while (p < end && (*p == ' ' || *p == '\t'))
		p++;
	for (; p < end && !isspace((unsigned char)*p); p++) {
		if (n + 1 == sizeof(text))
			return false;
		text[n++] = *p;
	}
	text[n] = '\0';
	/* No hexadecimal, which strtod() would take: +Inf, NaN and decimal numbers only. */
	if (n == 0 || strpbrk(text, "xXpP"))
		return false;
	*ret = strtod(text, &stop);
	return *stop == '\0';
}

static bool read_line(const char *p, const char *end, Sample *ret)
{
	*ret = (Sample){.name = p};
	while (p < end && is_name(*p, p == ret->name))
		p++;
	ret->name_len = (size_t)(p - ret->name);
	if (ret->name_len == 0 || p == end)
		return false;
	if (*p == '{') {
		const char *stop = labels_end(p + 1, end);
		if (!stop)
			return false;
		ret->labels = p + 1;
		ret->labels_len = (size_t)(stop - p - 1);
		p = stop + 1;
	}
	return read_value(p, end, &ret->value);
}

bool prometheus_next(const char *text, size_t len, size_t *at, Sample *ret)
{
	while (*at < len) {
		const char *line = text + *at, *nl = memchr(line, '\n', len - *at);
		const char *end = nl ? nl : text + len;
		*at = (size_t)(end - text) + 1;
		while (line < end && (*line == ' ' || *line == '\t'))
			line++;
		if (line < end && *line != '#' && read_line(line, end, ret))
			return true;
	}
	return false;
}
