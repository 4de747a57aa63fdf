#include "base/strings.h"

#include <string.h>

size_t strings_count(char *const *list)
{
	size_t n = 0;
	while (list && list[n])
		n++;
	return n;
}

char **strings_free(char **list)
{
	for (char **s = list; s && *s; s++)
		free(*s);
	free(list);
	return NULL;
}

char **strings_copy(char *const *list)
{
	size_t n = strings_count(list);
	char **copy = calloc(n + 1, sizeof(*copy));
	if (!copy)
		return NULL;
	for (size_t i = 0; i < n; i++) {
		copy[i] = strdup(list[i]);
		if (!copy[i])
			return strings_free(copy);
	}
	return copy;
}

static char **grown(char ***list, size_t n)
{
	char **more = realloc(*list, (n + 2) * sizeof(*more));
	if (more)
		*list = more;
	return more;
}

int strings_add(char ***list, char *one)
{
	size_t n = strings_count(*list);
	char **more = one ? grown(list, n) : NULL;
	if (!more) {
		free(one);
		return -ENOMEM;
	}
	more[n] = one;
	more[n + 1] = NULL;
	return 0;
}

void strings_remove(char **list, size_t i)
{
	size_t n = strings_count(list);
	if (i >= n)
		return;
	free(list[i]);
	memmove(&list[i], &list[i + 1], (n - i) * sizeof(*list));
}

int strings_insert(char ***list, size_t i, const char *one)
{
	int r = strings_add(list, strdup(one));
	if (r < 0)
		return r;
	size_t last = strings_count(*list) - 1;
	if (i >= last)
		return 0;
	char *moved = (*list)[last];
	memmove(&(*list)[i + 1], &(*list)[i], (last - i) * sizeof(**list));
	(*list)[i] = moved;
	return 0;
}

bool strings_has(char *const *list, const char *one)
{
	return words_have((const char *const *)list, one);
}

bool words_have(const char *const *words, const char *one)
{
	for (; one && words && *words; words++)
		if (strcmp(*words, one) == 0)
			return true;
	return false;
}
