/* A service as a transient systemd unit. */
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/file.h"
#include "base/json.h"
#include "base/str.h"
#include "service/derive.h"
#include "service/internal.h"
#include "service/strings.h"
#include "systemd/journal.h"
#include "systemd/trialfile.h"

static void remove_command(Instance *i);
static void remove_env(Instance *i);

static void forget_job(Instance *i)
{
	i->job = unitjob_forget(i->job);
}

/* --- The end --------------------------------------------------------------------------------- */

enum {
	EXIT_CHDIR_ = 200, /* systemd's own exit codes, for what it does before the program runs */
	EXIT_EXEC_ = 203,
	EXIT_GROUP_ = 216,
	EXIT_USER_ = 217,
};

static void note_status(Instance *i, const UnitState *u)
{
	if (*u->result && strcmp(u->result, "success") != 0)
		(void)snprintf(i->end.unit_result, sizeof(i->end.unit_result), "%s", u->result);
	if (u->exit_code) {
		i->end.status.si_code = u->exit_code;
		i->end.status.si_status = u->exit_status;
		i->end.status.si_pid = i->main_pid;
	}
	if (u->exit_code != CLD_EXITED || i->phase != INSTANCE_STARTING)
		return;
	const char *what = u->exit_status == EXIT_EXEC_	   ? "its program cannot be executed"
			   : u->exit_status == EXIT_CHDIR_ ? "its working folder is not there"
			   : u->exit_status == EXIT_USER_  ? "its user is not there"
			   : u->exit_status == EXIT_GROUP_ ? "its group is not there"
							   : NULL;
	if (!what)
		return;
	i->end.not_executed = true;
	(void)snprintf(i->end.words, sizeof(i->end.words), "%s (systemd, status %d): %.120s", what,
		       u->exit_status, i->spec->command->argv[0]);
}

static bool is_down(const UnitState *u)
{
	return strcmp(u->active, "failed") == 0 || strcmp(u->active, "inactive") == 0 ||
	       !*u->active;
}

/* Its main process is gone, and the manager now waits for what that left behind. */
static void kill_rest(const Instance *i)
{
	const Owner o = {.name = i->spec->name, .cgroup = i->cgroup};
	_cleanup_free_ pid_t *pids = NULL;
	size_t n = 0;

	if (owner_pids(&o, &pids, &n) < 0)
		return;
	for (size_t k = 0; k < n; k++) {
		int fd = (int)syscall(SYS_pidfd_open, pids[k], 0);
		/* Asked again, now that the number cannot come to mean another process. */
		if (fd >= 0 && owner_has(&o, pids[k]))
			(void)syscall(SYS_pidfd_send_signal, fd, SIGKILL, NULL, 0);
		if (fd >= 0)
			close(fd);
	}
}

/* Where it really is, should that differ from what was expected. */
static void note_cgroup(Instance *i, const UnitState *u)
{
	if (!u->cgroup || !*u->cgroup || strcmp(u->cgroup, i->cgroup) == 0)
		return;
	char *real = strdup(u->cgroup);
	if (!real)
		return;
	free(i->cgroup);
	i->cgroup = real;
}

static void on_state(void *ctx, const UnitState *u)
{
	Instance *i = ctx;
	bool kept = strcmp(u->active, "failed") == 0;

	if (u->main_pid > 0)
		i->main_pid = u->main_pid;
	note_cgroup(i, u);
	if (strcmp(u->active, "deactivating") == 0 && i->phase < INSTANCE_STOPPING &&
	    u->main_pid == 0)
		kill_rest(i);
	if (!is_down(u) || i->phase == INSTANCE_ENDED)
		return;
	note_status(i, u);
	forget_job(i);
	remove_command(i);
	/* The manager keeps a failed unit for people to look at; we have looked. */
	if (kept && unit_reset_failed(i->spec->systemd, i->unit, NULL) < 0)
		i->unit_failed = true;
	instance_over(i);
}

static void look(Instance *i)
{
	UnitState u = {0};
	Err err = ERR_INIT;
	if (unit_state(i->spec->systemd, i->unit, &u, &err) >= 0)
		on_state(i, &u);
	else
		instance_abort(i, "systemd does not tell how it is: %.180s", err.msg);
	unit_state_done(&u);
}

/* --- The start ------------------------------------------------------------------------------- */

static void on_started(void *ctx, const char *result, const Err *err)
{
	Instance *i = ctx;

	i->job = NULL;
	remove_env(i); /* it was read, or never will be */
	if (i->phase == INSTANCE_ENDED)
		return;
	if (!result) {
		i->end.not_executed = true;
		(void)snprintf(i->end.words, sizeof(i->end.words),
			       "systemd did not start it: %.200s", err ? err->msg : "");
		instance_over(i);
		return;
	}
	look(i);
	if (i->phase == INSTANCE_ENDED || i->main_pid <= 0 || !i->spec->lease)
		return;
	Err why = ERR_INIT;
	if (lease_note_child(i->spec->lease, i->main_pid, &why) < 0)
		instance_abort(i, "%.230s", why.msg);
}

/* What the template's rule allows: letters, digits and "_". */
static char *trial_name_for(const InstanceSpec *spec)
{
	Str out = STR_INIT;
	char *name = NULL;

	str_addf(&out, "%d_%u_", (int)getpid(), spec->port);
	for (const char *p = spec->name; *p && out.len < 90; p++) {
		bool plain = (*p >= 'a' && *p <= 'z') || (*p >= 'A' && *p <= 'Z') ||
			     (*p >= '0' && *p <= '9') || *p == '_';
		str_addc(&out, plain ? *p : '_');
	}
	if (str_take(&out, &name) < 0)
		name = NULL;
	str_done(&out);
	return name;
}

/* Where its group will be, before it is there: below that of the slice that services are put into
 * (the system manager's, or a user's). */
static int find_cgroup(Instance *i)
{
	static const char *const slices[] = {"system.slice", "app.slice", "-.slice"};

	for (size_t k = 0; k < 3 && !i->cgroup; k++) {
		UnitState u = {0};
		if (unit_state(i->spec->systemd, slices[k], &u, NULL) >= 0 &&
		    strcmp(u.active, "active") == 0 && u.cgroup)
			i->cgroup =
			    str_fmt("%s/%s", strcmp(u.cgroup, "/") == 0 ? "" : u.cgroup, i->unit);
		unit_state_done(&u);
	}
	return i->cgroup ? 0 : -ENODATA;
}

static int64_t nofile_of(const ServerCommand *c)
{
	int64_t n = js_int(c->limits, "LimitNOFILE", 0);
	return n > 0 ? n : 0;
}

/* --- The static template --------------------------------------------------------------------- */

/* "dream-trial@.service" and "x" -> "dream-trial@x.service" */
static char *instance_of(const char *template, const char *name)
{
	const char *at = strchr(template, '@');
	return at ? str_fmt("%.*s@%s%s", (int)(at - template), template, name, at + 1) : NULL;
}

static int write_command(Instance *i, Err *err)
{
	static const char account[] = "dream-trial";
	const ServerCommand *c = i->spec->command;
	_cleanup_(strings_freep) char **env = NULL, **argv = strings_copy(c->argv);
	const struct passwd *pw = getpwnam(account);
	char *program = NULL;

	if (!argv || instance_env(i->spec, pw ? pw->pw_dir : NULL, pw ? account : NULL,
				  pw ? pw->pw_shell : NULL, &env) < 0)
		return err_oom(err);
	int r = env_find_program(env, argv[0], &program);
	if (r < 0)
		return err_set(err, r, "there is no program '%s' in its PATH", argv[0]);
	free(argv[0]);
	argv[0] = program;
	bool home = c->cwd && strcmp(c->cwd, "~") == 0;
	return trialfile_write(TRIALFILE_DIR, i->trial, argv, env, home ? NULL : c->cwd, err);
}

static int template_start(Instance *i, Err *err)
{
	const InstanceSpec *spec = i->spec;

	i->to_journal = true;
	instance_cannot_limit(i); /* its limits are root's, in the template */
	i->unit = instance_of(spec->unit_template, i->trial);
	if (!i->unit)
		return err_oom(err);
	int r = journal_cursor(&i->cursor, err);
	if (r >= 0)
		r = find_cgroup(i) < 0 ? err_set(err, -ENODATA,
						 "systemd does not tell where it puts the "
						 "processes of a unit")
				       : 0;
	if (r >= 0)
		r = write_command(i, err);
	if (r >= 0)
		r = unit_watch(spec->systemd, i->unit, on_state, i, &i->watch, err);
	if (r >= 0)
		r = unit_start(spec->systemd, i->unit, on_started, i, &i->job, err);
	return r;
}

static void remove_command(Instance *i)
{
	if (i->to_journal && i->trial) {
		int r = trialfile_remove(TRIALFILE_DIR, i->trial, NULL);
		(void)r; /* what is left is found by instance_left() */
	}
}

const char *unit_backend_output(Instance *i, size_t *ret_len)
{
	char *text = NULL;
	size_t len = 0;

	if (journal_read(i->unit, NULL, i->cursor, OUTPUT_TAIL, &text, &len, NULL) >= 0) {
		free(i->output.tail);
		i->output.tail = text;
		i->output.tail_len = len;
	}
	if (ret_len)
		*ret_len = i->output.tail_len;
	return i->output.tail ? i->output.tail : "";
}

/* --- Transient ------------------------------------------------------------------------------- */

/* The variables may hold secrets, and a unit's properties are for every local user to read. So they
 * stand in a file until the manager has read it, in a folder that nobody else can replace. */
static int write_env(Instance *i, char *const *env, Err *err)
{
	const char *dir = geteuid() == 0 ? INSTANCE_ENV_DIR : i->spec->dir;
	_cleanup_free_ char *text = envfile_text(env), *path = NULL;
	int r = dir_make(dir, 0700, err);

	if (r < 0)
		return r;
	path = text ? str_fmt("%s/%s", dir, i->unit) : NULL;
	if (!path)
		return err_oom(err);
	r = file_write(path, 0600, text, strlen(text), err);
	if (r >= 0)
		i->env_file = TAKE_PTR(path);
	return r;
}

static void remove_env(Instance *i)
{
	if (i->env_file)
		(void)unlink(i->env_file);
	free(TAKE_PTR(i->env_file));
}

/* A transient unit gets the number of open files; the rest is as the manager has it. */
static void note_unlimited(Instance *i)
{
	const char *name;
	json_t *value;
	json_object_foreach (i->spec->command->limits, name, value)
		if (strncmp(name, "Limit", 5) == 0 && strncmp(name, "LimitNOFILE", 11) != 0 &&
		    !strstr(name, "Soft"))
			instance_cannot_hold(i, name);
}

int unit_backend_start(Instance *i, Err *err)
{
	const InstanceSpec *spec = i->spec;
	const InstanceLimits *l = &spec->limits;
	_cleanup_(strings_freep) char **env = NULL;

	i->trial = trial_name_for(spec);
	if (!i->trial)
		return err_oom(err);
	if (spec->unit_template)
		return template_start(i, err);
	i->unit = str_fmt("dream-trial-%s.service", i->trial);
	if (!i->unit || instance_env(spec, NULL, NULL, NULL, &env) < 0)
		return err_oom(err);
	note_unlimited(i);
	int r = find_cgroup(i);
	if (r < 0)
		return err_set(err, r,
			       "systemd does not tell where it puts the processes of a unit");
	_cleanup_free_ char *description = str_fmt("Trial of %s", spec->name);
	if (!description)
		return err_oom(err);
	TransientSpec t = {
	    .unit = i->unit,
	    .description = description,
	    .argv = spec->command->argv,
	    .cwd = spec->command->cwd,
	    .user = spec->command->user,
	    .group = spec->command->group,
	    .memory_max = l->memory_max_bytes,
	    .tasks_max = l->tasks_max,
	    .cpu_quota = l->cpu_quota,
	    .runtime_max_us = l->runtime_max_us,
	    .stop_timeout_us = spec->stop_timeout_us,
	    .nofile = nofile_of(spec->command),
	    .log_fd = i->output.fd,
	    .binds_to = spec->bind_to,
	};
	r = write_env(i, env, err);
	t.env_file = i->env_file;
	if (r >= 0)
		r = unit_watch(spec->systemd, i->unit, on_state, i, &i->watch, err);
	if (r >= 0)
		r = unit_run_transient(spec->systemd, &t, on_started, i, &i->job, err);
	return r;
}

/* --- Stopping -------------------------------------------------------------------------------- */

static void on_stopped(void *ctx, const char *result, const Err *err)
{
	Instance *i = ctx;

	i->job = NULL;
	if (i->phase == INSTANCE_ENDED)
		return;
	if (!result)
		(void)snprintf(i->end.words, sizeof(i->end.words),
			       "systemd did not stop it: %.200s", err ? err->msg : "");
	look(i);
	if (i->phase != INSTANCE_ENDED && !result)
		instance_over(i); /* what is left is found by instance_left() */
}

void unit_backend_stop(Instance *i)
{
	Err err = ERR_INIT;

	forget_job(i);
	if (unit_stop(i->spec->systemd, i->unit, on_stopped, i, &i->job, &err) >= 0)
		return;
	(void)snprintf(i->end.words, sizeof(i->end.words),
		       "systemd cannot be asked to stop it: %.180s", err.msg);
	instance_over(i);
}

static void ignore_job(void *ctx, const char *result, const Err *err)
{
	(void)ctx;
	(void)result;
	(void)err;
}

void unit_backend_free(Instance *i)
{
	forget_job(i);
	i->watch = unitwatch_free(i->watch);
	if (i->unit && i->phase != INSTANCE_ENDED) {
		UnitJob *job = NULL;
		if (unit_stop(i->spec->systemd, i->unit, ignore_job, NULL, &job, NULL) >= 0)
			(void)unitjob_forget(job);
	}
	remove_command(i);
	remove_env(i);
	free(TAKE_PTR(i->trial));
	free(TAKE_PTR(i->cursor));
	free(TAKE_PTR(i->unit));
	free(TAKE_PTR(i->cgroup));
}

int unit_backend_left(const Instance *i, Err *err)
{
	UnitState u = {0};

	if (!i->unit)
		return 0;
	_cleanup_free_ char *file = path_join(TRIALFILE_DIR, i->trial);
	if (!file)
		return err_oom(err);
	if (i->to_journal && access(file, F_OK) == 0)
		return err_set(err, -EBUSY, "the command of %s is still in %s", i->spec->name,
			       file);
	int r = unit_state(i->spec->systemd, i->unit, &u, err);
	if (r == -ENOENT)
		return 0;
	if (r < 0)
		return err_wrap(err, r, "cannot see whether %s is gone", i->unit);
	bool there = !is_down(&u) || strcmp(u.active, "failed") == 0;
	if (there)
		r = err_set(err, -EBUSY, "the unit %s is still there (%s)", i->unit, u.active);
	unit_state_done(&u);
	return r < 0 ? r : 0;
}
