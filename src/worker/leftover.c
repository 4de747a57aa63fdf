/* What a killed run left: units of its trials that still hold the GPU, and production that was not
 * put back. */
#include <dirent.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/proc.h"
#include "service/instance.h"
#include "systemd/trialfile.h"
#include "worker/internal.h"

enum {
	STOP_US = 120000000,
	CONTAINER_US = 15000000,
	NAMES_MAX = 65536,
};

/* Of "PID_PORT_NAME". */
static pid_t number_of(const char *name)
{
	int pid = 0, end = 0;
	if (sscanf(name, "%9d_%n", &pid, &end) != 1 || end == 0 || pid <= 1)
		return 0;
	return pid;
}

/* "dream-trial-PID_PORT_NAME.service" or "dream-trial@PID_...": whose it was. 0: not one of ours.
 */
static pid_t worker_of(const char *unit)
{
	if (strncmp(unit, "dream-trial", 11) != 0 || !unit[11] || !strchr("-@", unit[11]))
		return 0;
	return number_of(unit + 12);
}

/* Somebody else may have got its number; then the unit stays until its own time is up. */
static bool is_dead(pid_t pid)
{
	return kill(pid, 0) < 0 && errno == ESRCH;
}

typedef struct Stopping {
	bool done;
} Stopping;

static void on_stopped(void *ctx, const char *result, const Err *err)
{
	Stopping *s = ctx;
	(void)result, (void)err; /* whether it is gone is looked at */
	s->done = true;
}

static int on_late(sd_event_source *s, uint64_t usec, void *userdata)
{
	(void)s, (void)usec;
	*(bool *)userdata = true;
	return 0;
}

static int await_stop(sd_event *loop, Stopping *s, Err *err)
{
	sd_event_source *timer = NULL;
	bool late = false;
	int r = sd_event_add_time_relative(loop, &timer, CLOCK_MONOTONIC, STOP_US, 1000, on_late,
					   &late);
	while (r >= 0 && !s->done && !late)
		r = sd_event_run(loop, UINT64_MAX);
	sd_event_source_disable_unref(timer);
	return r < 0 ? err_set(err, r, "cannot wait: %s", strerror(-r)) : 0;
}

static int stop_unit(sd_event *loop, Systemd *s, const char *unit, Err *err)
{
	Stopping stopping = {0};
	UnitState u = {0};
	UnitJob *job = NULL;
	int r = unit_stop(s, unit, on_stopped, &stopping, &job, err);
	if (r >= 0)
		r = await_stop(loop, &stopping, err);
	if (r >= 0 && !stopping.done)
		(void)unitjob_forget(job);
	if (r >= 0)
		r = unit_state(s, unit, &u, err);
	if (r >= 0 && strcmp(u.active, "failed") == 0)
		r = unit_reset_failed(s, unit, err);
	else if (r >= 0 && strcmp(u.active, "inactive") != 0)
		r = err_set(err, -EBUSY, "the unit %s of a dead run does not stop", unit);
	unit_state_done(&u);
	return r == -ENOENT ? 0 : r; /* gone by itself */
}

/* Only names that a trial of ours makes are looked at, and only of processes that are no more. */
static int stop_units(sd_event *loop, Systemd *s, Err *err)
{
	UnitName *list = NULL;
	size_t n = 0;
	int r = unit_list(s, &list, &n, err), stopped = 0;
	for (size_t i = 0; r >= 0 && i < n; i++) {
		pid_t pid = worker_of(list[i].name);
		if (pid == 0 || !is_dead(pid))
			continue;
		r = stop_unit(loop, s, list[i].name, err);
		stopped = 1;
	}
	unit_list_free(list, n);
	return r < 0 ? r : stopped;
}

/* A file that is being written has another name: ".NAME.WRITER-0~". */
static void remove_files_in(const char *folder, pid_t (*whose)(const char *name))
{
	DIR *dir = opendir(folder);
	const struct dirent *e;
	while (dir && (e = readdir(dir))) {
		pid_t pid = whose(e->d_name + (*e->d_name == '.'));
		if (pid > 0 && is_dead(pid))
			(void)unlinkat(dirfd(dir), e->d_name, 0);
	}
	if (dir)
		(void)closedir(dir);
}

/* Variables and commands that no manager read: they may hold secrets. */
static void remove_files(void)
{
	if (geteuid() == 0)
		remove_files_in(INSTANCE_ENV_DIR, worker_of);
	else
		remove_files_in(TRIALFILE_DIR, number_of);
}

int leftover_clear(sd_event *loop, Systemd *s, const char *state_dir, Err *err)
{
	remove_files();
	int stopped = stop_units(loop, s, err);
	if (stopped < 0)
		return stopped;
	int back = state_dir ? quiesce_recover(loop, s, state_dir, err) : 0;
	return back < 0 ? back : stopped || back;
}

/* --- Containers ------------------------------------------------------------------------------ */

/* "dream-trial-PID-NUMBER" of a dead process. */
static bool is_dead_container(const char *name)
{
	int pid = 0, end = 0;
	unsigned number;
	return sscanf(name, "dream-trial-%9d-%9u%n", &pid, &number, &end) == 2 &&
	       name[end] == '\0' && pid > 1 && is_dead(pid);
}

static void remove_container(const char *program, const char *name)
{
	const char *const argv[] = {program, "rm", "-f", name, NULL};
	ProcSpec spec = {.argv = argv, .stdin_path = "/dev/null", .stderr_fd = -1};
	_cleanup_free_ char *out = NULL;
	int r = proc_run(&spec, NULL, 0, NAMES_MAX, CONTAINER_US, &out, NULL, NULL);
	(void)r; /* one that stays holds memory, which the sampler sees */
}

int leftover_containers(const char *program)
{
	const char *const argv[] = {program,	"ps",	      "-a", "--filter", "name=dream-trial-",
				    "--format", "{{.Names}}", NULL};
	ProcSpec spec = {.argv = argv, .stdin_path = "/dev/null", .stderr_fd = -1};
	_cleanup_free_ char *names = NULL;
	char *rest = NULL;
	int removed = 0;
	/* A program that does not work says so when the service is started. */
	if (proc_run(&spec, NULL, 0, NAMES_MAX, CONTAINER_US, &names, NULL, NULL) < 0)
		return 0;
	for (char *name = strtok_r(names, "\r\n", &rest); name;
	     name = strtok_r(NULL, "\r\n", &rest)) {
		if (!is_dead_container(name))
			continue;
		remove_container(program, name);
		removed++;
	}
	return removed;
}

/* --- For a run that begins ------------------------------------------------------------------- */

int worker_state_dir(const AllocationSpec *a, const char *base_dir, char **ret, Err *err)
{
	const char *home = getenv("HOME"), *xdg = getenv("XDG_STATE_HOME");
	if (a->state)
		*ret = path_join(base_dir, a->state);
	else if (geteuid() == 0)
		*ret = strdup("/var/lib/dream");
	else if (xdg && *xdg == '/')
		*ret = path_join(xdg, "dream");
	else
		*ret = path_join(home ? home : "/", ".local/state/dream");
	return *ret ? 0 : err_oom(err);
}

static int recover(const char *dir, Err *err)
{
	_cleanup_(systemd_closep) Systemd *s = NULL;
	sd_event *loop = NULL;
	int r = sd_event_new(&loop);
	if (r < 0)
		return err_set(err, r, "cannot make an event loop: %s", strerror(-r));
	r = systemd_open(loop, false, &s, err);
	if (r >= 0)
		r = leftover_clear(loop, s, dir, err);
	s = systemd_close(s);
	sd_event_unref(loop);
	return r;
}

int worker_recover(const AllocationSpec *a, const char *base_dir, Err *err)
{
	_cleanup_free_ char *dir = NULL;
	if (!a->quiesce || a->as == AS_OBSERVE)
		return 0;
	int r = worker_state_dir(a, base_dir, &dir, err);
	if (r < 0 || !dir || access(dir, F_OK) < 0)
		return r;
	return recover(dir, err);
}
