/* The state of a unit: all its properties in one call, of which the few that matter are kept. */
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "systemd/internal.h"

#ifndef __clang__
/* gcc 12 loses what a struct owns, or what was returned through a pointer, once functions are
 * nested; the tests run under ASan, leaks included. */
#pragma GCC diagnostic ignored "-Wanalyzer-malloc-leak"
#endif

void unit_state_done(UnitState *u)
{
	free(u->cgroup);
	*u = (UnitState){0};
}

typedef struct Reading {
	UnitState *u;
	uint64_t inactive_exit_us, active_enter_us;
} Reading;

/* Where a property goes, and how large a text may be (0: an integer of that type). */
static const struct {
	const char *name;
	char type;
	size_t offset, size;
} fields[] = {
    {"LoadState", 's', offsetof(UnitState, load), 24},
    {"ActiveState", 's', offsetof(UnitState, active), 24},
    {"SubState", 's', offsetof(UnitState, sub), 24},
    {"Result", 's', offsetof(UnitState, result), 24},
    {"MainPID", 'u', offsetof(UnitState, main_pid), sizeof(pid_t)},
    {"ExecMainCode", 'i', offsetof(UnitState, exit_code), sizeof(int)},
    {"ExecMainStatus", 'i', offsetof(UnitState, exit_status), sizeof(int)},
};

static int read_field(const char *name, sd_bus_message *m, UnitState *u)
{
	for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++) {
		char *at = (char *)u + fields[i].offset;
		const char *text;
		if (strcmp(name, fields[i].name) != 0)
			continue;
		if (fields[i].type != 's')
			return sd_bus_message_read(m, "v", (char[]){fields[i].type, 0}, at);
		int r = sd_bus_message_read(m, "v", "s", &text);
		if (r >= 0)
			snprintf(at, fields[i].size, "%s", text);
		return r;
	}
	return 0;
}

static int read_invocation(sd_bus_message *m, UnitState *u)
{
	const uint8_t *id;
	size_t n;
	int r = sd_bus_message_enter_container(m, 'v', "ay");
	if (r >= 0)
		r = sd_bus_message_read_array(m, 'y', (const void **)&id, &n);
	if (r < 0)
		return r;
	for (size_t i = 0; i < n && i < 16; i++)
		snprintf(u->invocation + 2 * i, 3, "%02x", id[i]);
	return sd_bus_message_exit_container(m);
}

static int read_cgroup(sd_bus_message *m, UnitState *u)
{
	const char *text;
	int r = sd_bus_message_read(m, "v", "s", &text);
	if (r < 0)
		return r;
	free(u->cgroup);
	u->cgroup = strdup(text);
	return u->cgroup ? 0 : -ENOMEM;
}

static int read_one(void *ctx, const char *name, sd_bus_message *m)
{
	Reading *at = ctx;
	int r, flag = 0;
	uint32_t n = 0;

	if (strcmp(name, "InvocationID") == 0)
		return read_invocation(m, at->u);
	if (strcmp(name, "ControlGroup") == 0)
		return read_cgroup(m, at->u);
	if (strcmp(name, "NRestarts") == 0) {
		r = sd_bus_message_read(m, "v", "u", &n);
		at->u->restarts = n;
		return r;
	}
	if (strcmp(name, "NeedDaemonReload") == 0) {
		r = sd_bus_message_read(m, "v", "b", &flag);
		at->u->needs_reload = flag;
		return r;
	}
	if (strcmp(name, "ActiveEnterTimestampMonotonic") == 0)
		return sd_bus_message_read(m, "v", "t", &at->active_enter_us);
	if (strcmp(name, "InactiveExitTimestampMonotonic") == 0)
		return sd_bus_message_read(m, "v", "t", &at->inactive_exit_us);
	return read_field(name, m, at->u);
}

static bool is_active(const UnitState *u)
{
	return strcmp(u->active, "active") == 0 || strcmp(u->active, "reloading") == 0;
}

int unit_state_read(sd_bus_message *m, UnitState *ret)
{
	UnitState u = {0};
	Reading at = {.u = &u};
	int r = properties_each(m, read_one, &at);
	if (r >= 0 && !u.cgroup && !(u.cgroup = strdup("")))
		r = -ENOMEM;
	if (r >= 0 && !u.active[0])
		r = -EBADMSG;
	if (r < 0) {
		unit_state_done(&u);
		return r;
	}
	if (at.active_enter_us >= at.inactive_exit_us && at.inactive_exit_us > 0)
		u.started_in_us = (int64_t)(at.active_enter_us - at.inactive_exit_us);
	if (is_active(&u))
		u.active_since_us = (int64_t)at.active_enter_us;
	*ret = u;
	return 0;
}

int unit_state(Systemd *s, const char *unit, UnitState *ret, Err *err)
{
	_cleanup_(sd_bus_message_unrefp) sd_bus_message *m = NULL;
	_cleanup_free_ char *path = NULL;
	int r = unit_path(unit, &path, err);
	if (r >= 0)
		r = properties_get(s, path, "read the state of", unit, &m, err);
	if (r < 0)
		return r;
	r = unit_state_read(m, ret);
	return r < 0 ? bus_garbage(r, "GetAll", err) : 0;
}
