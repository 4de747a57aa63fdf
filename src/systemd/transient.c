/* Transient services: a unit file that exists only as properties in a call. */
#include <string.h>

#include "systemd/internal.h"

/* Appends the array of strings, whatever happened before: the first error sticks. */
static void add_strings(sd_bus_message *m, int *r, const char *name, const char *const *list)
{
	if (*r < 0 || !list || !list[0])
		return;
	*r = sd_bus_message_open_container(m, 'r', "sv");
	if (*r >= 0)
		*r = sd_bus_message_append(m, "s", name);
	if (*r >= 0)
		*r = sd_bus_message_open_container(m, 'v', "as");
	if (*r >= 0)
		*r = sd_bus_message_append_strv(m, (char **)(uintptr_t)list);
	if (*r >= 0)
		*r = sd_bus_message_close_container(m);
	if (*r >= 0)
		*r = sd_bus_message_close_container(m);
}

static void add_text(sd_bus_message *m, int *r, const char *name, const char *value)
{
	if (*r >= 0 && value)
		*r = sd_bus_message_append(m, "(sv)", name, "s", value);
}

static void add_amount(sd_bus_message *m, int *r, const char *name, int64_t value)
{
	if (*r >= 0 && value > 0)
		*r = sd_bus_message_append(m, "(sv)", name, "t", (uint64_t)value);
}

static void add_fd(sd_bus_message *m, int *r, const char *name, int fd)
{
	if (*r >= 0)
		*r = sd_bus_message_append(m, "(sv)", name, "h", fd);
}

/* Only the form with flags can say that "$" is no variable. */
static void add_command(sd_bus_message *m, int *r, const char *name, const char *const *argv)
{
	static const char *const flags[] = {"no-env-expand", NULL};

	if (*r < 0 || !argv)
		return;
	*r = sd_bus_message_open_container(m, 'r', "sv");
	if (*r >= 0)
		*r = sd_bus_message_append(m, "s", name);
	if (*r >= 0)
		*r = sd_bus_message_open_container(m, 'v', "a(sasas)");
	if (*r >= 0)
		*r = sd_bus_message_open_container(m, 'a', "(sasas)");
	if (*r >= 0)
		*r = sd_bus_message_open_container(m, 'r', "sasas");
	if (*r >= 0)
		*r = sd_bus_message_append(m, "s", argv[0]);
	if (*r >= 0)
		*r = sd_bus_message_append_strv(m, (char **)(uintptr_t)argv);
	if (*r >= 0)
		*r = sd_bus_message_append_strv(m, (char **)(uintptr_t)flags);
	for (int i = 0; i < 4 && *r >= 0; i++)
		*r = sd_bus_message_close_container(m);
}

static void add_limits(sd_bus_message *m, int *r, const TransientSpec *spec)
{
	add_amount(m, r, "MemoryMax", spec->memory_max);
	add_amount(m, r, "TasksMax", spec->tasks_max);
	add_amount(m, r, "CPUQuotaPerSecUSec", (int64_t)(spec->cpu_quota * 1e6));
	add_amount(m, r, "RuntimeMaxUSec", spec->runtime_max_us);
	add_amount(m, r, "TimeoutStopUSec", spec->stop_timeout_us);
	add_amount(m, r, "TimeoutStartUSec", spec->start_timeout_us);
	add_amount(m, r, "LimitNOFILE", spec->nofile);
}

static void add_streams(sd_bus_message *m, int *r, const TransientSpec *spec)
{
	if (spec->input_fd > 0)
		add_fd(m, r, "StandardInputFileDescriptor", spec->input_fd);
	if (spec->log_fd >= 0) {
		add_fd(m, r, "StandardOutputFileDescriptor", spec->log_fd);
		add_fd(m, r, "StandardErrorFileDescriptor", spec->log_fd);
	}
}

static void add_order(sd_bus_message *m, int *r, const TransientSpec *spec)
{
	const char *const bound[] = {spec->binds_to, NULL};
	add_strings(m, r, "Conflicts", spec->conflicts);
	add_strings(m, r, "BindsTo", bound);
	add_strings(m, r, "After", bound);
}

static int add_properties(sd_bus_message *m, const TransientSpec *spec)
{
	int r = sd_bus_message_open_container(m, 'a', "(sv)");

	add_text(m, &r, "Description", spec->description);
	add_text(m, &r, "Type", spec->type ? spec->type : "exec");
	add_text(m, &r, "WorkingDirectory", spec->cwd);
	add_text(m, &r, "User", spec->user);
	add_text(m, &r, "Group", spec->group);
	add_text(m, &r, "Slice", spec->slice);
	add_text(m, &r, "CollectMode", spec->collect ? "inactive-or-failed" : NULL);
	add_limits(m, &r, spec);
	add_order(m, &r, spec);
	add_strings(m, &r, "Environment", (const char *const *)spec->env);
	if (r >= 0 && spec->env_file)
		r = sd_bus_message_append(m, "(sv)", "EnvironmentFiles", "a(sb)", 1, spec->env_file,
					  false);
	add_streams(m, &r, spec);
	add_command(m, &r, "ExecStartEx", (const char *const *)spec->argv);
	add_command(m, &r, "ExecStopPostEx", spec->stop_post);
	return r < 0 ? r : sd_bus_message_close_container(m);
}

int unit_run_transient(Systemd *s, const TransientSpec *spec, JobDone *done, void *ctx,
		       UnitJob **ret, Err *err)
{
	_cleanup_(sd_bus_message_unrefp) sd_bus_message *m = NULL;
	int r = unit_name_check(spec->unit, err);
	if (r < 0)
		return r;
	if (!spec->argv || !spec->argv[0])
		return err_set(err, -EINVAL, "the transient unit %s has no command", spec->unit);
	r = sd_bus_message_new_method_call(s->bus, &m, MANAGER, MANAGER_PATH, MANAGER_IFACE,
					   "StartTransientUnit");
	if (r >= 0)
		r = sd_bus_message_append(m, "ss", spec->unit, "fail");
	if (r >= 0)
		r = add_properties(m, spec);
	if (r >= 0)
		r = sd_bus_message_append(m, "a(sa(sv))", 0);
	if (r < 0)
		return bus_error(s, r, NULL, "describe", spec->unit, err);
	return job_send(s, m, "run", spec->unit, true, done, ctx, ret, err);
}
