#include "server/text.h"

#include <ctype.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

bool piece_line(Piece text, size_t *at, Piece *ret)
{
	if (*at >= text.len)
		return false;
	const char *start = text.s + *at;
	const char *end = memchr(start, '\n', text.len - *at);
	size_t n = end ? (size_t)(end - start) : text.len - *at;

	*at += n + 1;
	*ret = (Piece){start, n};
	return true;
}

Piece piece_after(Piece in, const char *what)
{
	size_t n = strlen(what);
	const char *at = in.s && in.len >= n ? memmem(in.s, in.len, what, n) : NULL;

	return at ? (Piece){at + n, in.len - (size_t)(at + n - in.s)} : (Piece){0};
}

bool piece_has(Piece in, const char *what)
{
	return piece_after(in, what).s != NULL;
}

enum {
	NUMBER_MAX = 40
};

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool belongs(Piece in, size_t i, const char *so_far, size_t n)
{
	char c = in.s[i];

	if (is_digit(c))
		return true;
	if (n == 0 || i + 1 >= in.len)
		return false;
	if (c == '.')
		return !memchr(so_far, '.', n) && is_digit(in.s[i + 1]);
	if (c == 'e' || c == 'E')
		return !memchr(so_far, 'e', n) &&
		       (is_digit(in.s[i + 1]) || ((in.s[i + 1] == '+' || in.s[i + 1] == '-') &&
						  i + 2 < in.len && is_digit(in.s[i + 2])));
	return (c == '+' || c == '-') && so_far[n - 1] == 'e';
}

size_t piece_number(Piece in, double *ret)
{
	char text[NUMBER_MAX + 1];
	size_t n = 0, i = 0;

	while (in.s && i < in.len && in.s[i] == ' ')
		i++;
	for (; in.s && i < in.len; i++) {
		if (in.s[i] == ',' && n > 0 && i + 1 < in.len && is_digit(in.s[i + 1]))
			continue;
		if (!belongs(in, i, text, n))
			break;
		if (n == NUMBER_MAX)
			return 0;
		text[n++] = in.s[i] == 'E' ? 'e' : in.s[i];
	}
	text[n] = '\0';
	if (n == 0)
		return 0;
	double v = strtod(text, NULL);
	if (!isfinite(v))
		return 0;
	*ret = v;
	return i;
}

int64_t piece_bytes(Piece in)
{
	static const char units[] = "kmgtp";
	double v;
	size_t n = piece_number(in, &v);

	if (n == 0)
		return -1;
	while (n < in.len && in.s[n] == ' ')
		n++;
	const char *unit = n < in.len ? strchr(units, tolower((unsigned char)in.s[n])) : NULL;
	bool of_bytes = n + 1 < in.len && strchr("iIbB", in.s[n + 1]) && in.s[n + 1];
	if (unit && *unit && (of_bytes || n + 1 >= in.len || !isalpha((unsigned char)in.s[n + 1])))
		v *= pow(1024, (double)(unit - units + 1));
	return v < 9e18 ? (int64_t)v : -1;
}
