/* The files that make up a unit, and its place in the order of starting. */
#include <stdlib.h>
#include <string.h>

#include "systemd/internal.h"

#ifndef __clang__
/* gcc 12 loses what a struct owns once functions are nested, and takes what realloc() grew for
 * unwritten; the tests run under ASan, leaks included. */
#pragma GCC diagnostic ignored "-Wanalyzer-malloc-leak"
#pragma GCC diagnostic ignored "-Wanalyzer-use-of-uninitialized-value"
#endif

static void strv_free(char **list)
{
	for (char **s = list; s && *s; s++)
		free(*s);
	free(list);
}

void unit_origin_done(UnitOrigin *u)
{
	strv_free(u->paths);
	strv_free(u->after);
	*u = (UnitOrigin){0};
}

typedef struct Names {
	char **list;
	size_t n;
} Names;

typedef struct Reading {
	Names fragment, dropins, after;
} Reading;

static void names_done(Names *a)
{
	for (size_t i = 0; i < a->n; i++)
		free(a->list[i]);
	free(a->list);
	*a = (Names){0};
}

/* Always with a NULL at the end. */
static int names_add(Names *a, const char *text)
{
	if (a->n >= STRINGS_MAX)
		return -E2BIG;
	char **grown = realloc(a->list, (a->n + 2) * sizeof(*grown));
	if (!grown)
		return -ENOMEM;
	a->list = grown;
	grown[a->n] = strdup(text);
	if (!grown[a->n])
		return -ENOMEM;
	grown[++a->n] = NULL;
	return 0;
}

static int read_names(sd_bus_message *m, Names *ret)
{
	const char *text;
	int r = sd_bus_message_enter_container(m, 'v', "as");
	if (r >= 0)
		r = sd_bus_message_enter_container(m, 'a', "s");
	while (r >= 0 && (r = sd_bus_message_read(m, "s", &text)) > 0)
		r = names_add(ret, text);
	if (r >= 0)
		r = sd_bus_message_exit_container(m);
	return r < 0 ? r : sd_bus_message_exit_container(m);
}

static int read_one(void *ctx, const char *name, sd_bus_message *m)
{
	Reading *at = ctx;
	const char *text;

	if (strcmp(name, "DropInPaths") == 0)
		return read_names(m, &at->dropins);
	if (strcmp(name, "After") == 0)
		return read_names(m, &at->after);
	if (strcmp(name, "FragmentPath") != 0)
		return 0;
	int r = sd_bus_message_read(m, "v", "s", &text);
	return r < 0 || !*text ? r : names_add(&at->fragment, text);
}

static int names_take(Names *a, char ***ret)
{
	if (!a->list && !(a->list = calloc(1, sizeof(*a->list))))
		return -ENOMEM;
	*ret = a->list;
	*a = (Names){0};
	return 0;
}

/* The unit's own file first, whatever the order in which the properties came. */
static int join(Reading *at, UnitOrigin *ret)
{
	UnitOrigin u = {0};
	int r = 0;
	for (size_t i = 0; r >= 0 && i < at->dropins.n; i++)
		r = names_add(&at->fragment, at->dropins.list[i]);
	if (r >= 0)
		r = names_take(&at->fragment, &u.paths);
	if (r >= 0)
		r = names_take(&at->after, &u.after);
	if (r < 0)
		unit_origin_done(&u);
	else
		*ret = u;
	return r;
}

static void reading_done(Reading *at)
{
	names_done(&at->fragment);
	names_done(&at->dropins);
	names_done(&at->after);
}

static int read_origin(sd_bus_message *m, UnitOrigin *ret)
{
	_cleanup_(reading_done) Reading at = {0};
	int r = properties_each(m, read_one, &at);
	return r < 0 ? r : join(&at, ret);
}

int unit_origin_state(Systemd *s, const char *unit, UnitOrigin *ret, UnitState *ret_state, Err *err)
{
	_cleanup_(sd_bus_message_unrefp) sd_bus_message *m = NULL;
	_cleanup_free_ char *path = NULL;
	UnitOrigin origin = {0};
	int r = unit_path(unit, &path, err);
	if (r >= 0)
		r = properties_get(s, path, "read the files of", unit, &m, err);
	if (r < 0)
		return r;
	r = read_origin(m, &origin);
	if (r >= 0)
		r = sd_bus_message_rewind(m, true);
	if (r >= 0)
		r = unit_state_read(m, ret_state);
	if (r < 0) {
		unit_origin_done(&origin);
		return bus_garbage(r, "GetAll", err);
	}
	*ret = origin;
	return 0;
}

int unit_origin(Systemd *s, const char *unit, UnitOrigin *ret, Err *err)
{
	UnitState state = {0};
	int r = unit_origin_state(s, unit, ret, &state, err);
	unit_state_done(&state);
	return r;
}
