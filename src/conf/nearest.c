/* Which word was probably meant. */
#include <ctype.h>
#include <string.h>

#include "conf/conf.h"

enum {
	WORD_MAX = 64
};

/* Upper case, '-' and '_' are the mistakes that are none. */
static char fold(char c)
{
	return c == '-' ? '_' : (char)tolower((unsigned char)c);
}

static size_t min3(size_t a, size_t b, size_t c)
{
	size_t m = a < b ? a : b;
	return m < c ? m : c;
}

/* Insertions, deletions, replacements and swaps of neighbours that lead from one to the other
 * (optimal string alignment, three rows of the table). */
static size_t distance(const char *a, const char *b)
{
	size_t rows[3][WORD_MAX + 1];
	size_t la = strlen(a), lb = strlen(b);
	size_t *before = rows[0], *last = rows[1], *row = rows[2];
	for (size_t j = 0; j <= lb; j++)
		before[j] = last[j] = j;
	for (size_t i = 1; i <= la; i++) {
		row[0] = i;
		for (size_t j = 1; j <= lb; j++) {
			char x = fold(a[i - 1]), y = fold(b[j - 1]);
			row[j] = min3(last[j] + 1, row[j - 1] + 1, last[j - 1] + (x != y));
			if (i > 1 && j > 1 && x == fold(b[j - 2]) && fold(a[i - 2]) == y)
				row[j] = min3(row[j], before[j - 2] + 1, SIZE_MAX);
		}
		size_t *free_row = before;
		before = last;
		last = row;
		row = free_row;
	}
	return last[lb];
}

/* "wallclock" for "wallclock_sec": the only name that continues what was written. */
static const char *completion(const char *word, const char *const *names)
{
	const char *found = NULL;
	size_t len = strlen(word);
	for (; len >= 3 && *names; names++) {
		if (strncasecmp(word, *names, len) != 0)
			continue;
		if (found)
			return NULL;
		found = *names;
	}
	return found;
}

const char *conf_nearest(const char *word, const char *const *names)
{
	size_t len = strlen(word);
	if (len == 0 || len > WORD_MAX)
		return NULL;
	size_t limit = len < 3 ? 1 : len / 3 < 3 ? len / 3 : 3;
	const char *best = NULL;
	size_t best_distance = limit + 1;
	for (const char *const *name = names; *name; name++) {
		if (strlen(*name) > WORD_MAX)
			continue;
		size_t d = distance(word, *name);
		/* A word of one or two letters is near to any other: half of it must be right. */
		if (d < best_distance && d < len) {
			best = *name;
			best_distance = d;
		}
	}
	return best ? best : completion(word, names);
}
