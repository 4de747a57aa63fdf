/* Lists of strings. */
#include <string.h>

#include "production/internal.h"

char **list_free(char **list)
{
	for (char **s = list; s && *s; s++)
		free(*s);
	free(list);
	return NULL;
}

int list_add(char ***list, char *one)
{
	size_t n = 0;
	while (*list && (*list)[n])
		n++;
	char **more = one ? reallocarray(*list, n + 2, sizeof(*more)) : NULL;
	if (!more) {
		free(one);
		return -ENOMEM;
	}
	more[n] = one;
	more[n + 1] = NULL;
	*list = more;
	return 0;
}

bool list_has(char *const *list, const char *one)
{
	for (; list && *list; list++)
		if (strcmp(*list, one) == 0)
			return true;
	return false;
}
