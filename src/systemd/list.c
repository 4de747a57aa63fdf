/* The service units that the manager has loaded. */
#include <stdlib.h>
#include <string.h>

#include "systemd/internal.h"

#ifndef __clang__
/* gcc 12 loses what a struct owns, or what was returned through a pointer, once functions are
 * nested; the tests run under ASan, leaks included. */
#pragma GCC diagnostic ignored "-Wanalyzer-malloc-leak"
#endif

void unit_list_free(UnitName *list, size_t n)
{
	for (size_t i = 0; list && i < n; i++) {
		free(list[i].name);
		free(list[i].active);
		free(list[i].description);
	}
	free(list);
}

typedef struct List {
	UnitName *items;
	size_t n;
} List;

static int add(List *l, const char *name, const char *active, const char *description)
{
	if (l->n >= STRINGS_MAX)
		return -E2BIG;
	if ((l->n & (l->n - 1)) == 0) {
		size_t cap = l->n ? 2 * l->n : 1;
		UnitName *more = reallocarray(l->items, cap, sizeof(*more));
		if (!more)
			return -ENOMEM;
		l->items = more;
	}
	UnitName *u = &l->items[l->n++];
	*u = (UnitName){strdup(name), strdup(active), strdup(description)};
	return u->name && u->active && u->description ? 0 : -ENOMEM;
}

static int read_list(sd_bus_message *m, List *l)
{
	const char *name, *description, *load, *active;
	int r = sd_bus_message_enter_container(m, 'a', "(ssssssouso)");

	while (r >= 0 && (r = sd_bus_message_enter_container(m, 'r', "ssssssouso")) > 0) {
		r = sd_bus_message_read(m, "ssss", &name, &description, &load, &active);
		if (r >= 0)
			r = sd_bus_message_skip(m, "ssouso");
		if (r >= 0)
			r = sd_bus_message_exit_container(m);
		if (r >= 0 && strcmp(load, "not-found") != 0)
			r = add(l, name, active, description);
	}
	return r;
}

int unit_list(Systemd *s, UnitName **ret, size_t *ret_n, Err *err)
{
	_cleanup_(sd_bus_message_unrefp) sd_bus_message *m = NULL;
	sd_bus_error e = SD_BUS_ERROR_NULL;
	List l = {0};
	int r = sd_bus_call_method(s->bus, MANAGER, MANAGER_PATH, MANAGER_IFACE,
				   "ListUnitsByPatterns", &e, &m, "asas", 0, 1, "*.service");
	if (r < 0) {
		r = bus_error(s, r, &e, "list the units", "", err);
		sd_bus_error_free(&e);
		return r;
	}
	r = read_list(m, &l);
	if (r < 0) {
		unit_list_free(l.items, l.n);
		return bus_garbage(r, "ListUnitsByPatterns", err);
	}
	*ret = l.items;
	*ret_n = l.n;
	return 0;
}
