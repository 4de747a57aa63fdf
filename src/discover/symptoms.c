/* Looking for what may be wrong, beyond the machine itself. */
#include "discover/symptoms.h"

#include <dirent.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/proc.h"
#include "gpu/lease.h"
#include "gpu/leasename.h"
#include "service/quiesce_internal.h"
#include "service/strings.h"
#include "systemd/bus.h"
#include "systemd/journal.h"

enum {
	ASK_US = 5000000,
	LEFTOVERS_MAX = 50,
};

static void close_loop(sd_event **loop)
{
	sd_event_unref(*loop);
}

void symptoms_done(Symptoms *s)
{
	for (size_t i = 0; i < s->n_leftovers; i++) {
		free(s->leftovers[i].what);
		free(s->leftovers[i].mend);
	}
	free(s->leftovers);
	*s = (Symptoms){0};
}

/* Takes both over; NULL is out of memory. */
static int add_leftover(Symptoms *s, char *what, char *mend)
{
	Leftover *grown = s->n_leftovers < LEFTOVERS_MAX
			      ? reallocarray(s->leftovers, s->n_leftovers + 1, sizeof(*grown))
			      : NULL;
	if (grown)
		s->leftovers = grown;
	if (grown && what && mend) {
		grown[s->n_leftovers++] = (Leftover){what, mend};
		return 0;
	}
	bool full = s->n_leftovers == LEFTOVERS_MAX;
	free(what);
	free(mend);
	return full ? 0 : -ENOMEM;
}

/* --- Leases ---------------------------------------------------------------------------------- */

static int look_at_leases(Symptoms *s, Err *err)
{
	static const char dead[] = "what is left of ";
	_cleanup_free_ char *dir = NULL;
	int r = lease_default_dir(&dir, err);
	for (size_t i = 0; r >= 0 && i < s->machine->n_gpus; i++) {
		_cleanup_free_ char *holder = NULL;
		const GpuInfo *g = &s->machine->gpus[i].info;
		if (lease_holder(dir, g->uuid, &holder) < 0)
			return err_oom(err);
		if (!holder)
			continue;
		if (strncmp(holder, dead, sizeof(dead) - 1) != 0)
			s->run_goes_on = true;
		else if (add_leftover(
			     s,
			     str_fmt("the lease of GPU %d is still held by %s", g->index, holder),
			     strdup("the next run ends those processes and takes it")) < 0)
			return err_oom(err);
	}
	return r;
}

/* --- Units ----------------------------------------------------------------------------------- */

static bool begins(const char *name, const char *with)
{
	return strncmp(name, with, strlen(with)) == 0;
}

static bool is_up(const char *active)
{
	return strcmp(active, "inactive") != 0;
}

static int add_unit(Symptoms *s, const UnitName *u)
{
	if (begins(u->name, "dream-guard-"))
		return add_leftover(s,
				    str_fmt("%s is %s: it keeps production stopped, or could not "
					    "start it again",
					    u->name, u->active),
				    str_fmt("systemctl stop %s, which starts production", u->name));
	bool failed = strcmp(u->active, "failed") == 0;
	return add_leftover(s, str_fmt("the trial's unit %s is %s", u->name, u->active),
			    str_fmt("systemctl %s %s", failed ? "reset-failed" : "stop", u->name));
}

static int look_at_units(Symptoms *s, Err *err)
{
	_cleanup_(systemd_closep) Systemd *manager = NULL;
	_cleanup_(close_loop) sd_event *loop = NULL;
	UnitName *list = NULL;
	size_t n = 0;
	int r = sd_event_new(&loop);
	if (r < 0)
		return err_set(err, r, "cannot make an event loop: %s", strerror(-r));
	if (s->machine->systemd < 0 || systemd_open(loop, false, &manager, NULL) < 0 ||
	    unit_list(manager, &list, &n, NULL) < 0)
		return 0;
	r = 0;
	for (size_t i = 0; i < n && r >= 0; i++) {
		const UnitName *u = &list[i];
		bool ours = begins(u->name, "dream-trial-") || begins(u->name, "dream-trial@") ||
			    begins(u->name, "dream-guard-");
		if (ours && is_up(u->active) && !s->run_goes_on)
			r = add_unit(s, u);
	}
	unit_list_free(list, n);
	return r < 0 ? err_oom(err) : 0;
}

/* polkit decides; it is asked only where the answer is not plain. */
static int may_restart(const Machine *m)
{
	_cleanup_free_ char *pid = str_fmt("%d", (int)getpid());
	_cleanup_free_ char *program = NULL;
	_cleanup_free_ char *out = NULL;
	size_t len = 0;
	if (m->root)
		return 1;
	if (!pid || proc_find_program("pkcheck", &program, NULL) < 0)
		return -1;
	const char *const argv[] = {
	    program,	 "--action-id", "org.freedesktop.systemd1.manage-units",
	    "--process", pid,		NULL};
	const ProcSpec spec = {
	    .argv = argv, .stdin_path = "/dev/null", .stdout_fd = -1, .stderr_fd = -1};
	int r = proc_run(&spec, NULL, 0, 65536, ASK_US, &out, &len, NULL);
	return r == 0 ? 1 : r == -EIO ? 0 : -1;
}

/* --- What was stopped ------------------------------------------------------------------------ */

static int look_at_intent(Symptoms *s, const char *state_dir, Err *err)
{
	QuiesceIntent i = {0};
	Err why = ERR_INIT;
	int r = quiesceintent_read(state_dir, &i, &why);
	if (r == -EBADMSG)
		r = add_leftover(
		    s, str_fmt("%s", why.msg),
		    strdup("start the production units by hand, then remove that file"));
	else if (r > 0 && !s->run_goes_on) {
		_cleanup_(str_done) Str units = STR_INIT;
		for (size_t k = 0; k < i.n; k++)
			str_addf(&units, " %s", i.units[k]);
		r = add_leftover(s,
				 str_fmt("a run that was killed had stopped%s, and did not note "
					 "that it was put back",
					 units.s ? units.s : " units"),
				 str_fmt("systemctl start%s, then remove %s/quiesce.json",
					 units.s ? units.s : " UNITS", state_dir));
	}
	quiesceintent_done(&i);
	return r == -ENOMEM ? err_oom(err) : 0;
}

static int look_at_folders(Symptoms *s, Err *err)
{
	const char *tmp = getenv("TMPDIR");
	const char *dir = tmp && *tmp == '/' ? tmp : "/tmp";
	size_t n = 0;
	DIR *d = s->run_goes_on ? NULL : opendir(dir);
	for (struct dirent *e; d && (e = readdir(d));) {
		_cleanup_free_ char *path = path_join(dir, e->d_name);
		struct stat st;
		n += begins(e->d_name, "dream-trial-") && path && lstat(path, &st) == 0 &&
		     S_ISDIR(st.st_mode);
	}
	if (d)
		closedir(d);
	if (n == 0)
		return 0;
	int r = add_leftover(s,
			     str_fmt("%zu folder%s %s/dream-trial-* of trials that were killed", n,
				     n == 1 ? "" : "s", dir),
			     str_fmt("rm -r %s/dream-trial-*, when no run goes on", dir));
	return r < 0 ? err_oom(err) : 0;
}

int symptoms_look(const Machine *m, const char *state_dir, Symptoms *ret, Err *err)
{
	_cleanup_(symptoms_done) Symptoms s = {.machine = m,
					       .now_us = clock_mono_us(&clock_system),
					       .device_order = getenv("CUDA_DEVICE_ORDER")};
	Err why = ERR_INIT;
	s.run_goes_on = m->n_workers > 0;
	s.journal = journal_access(&why);
	(void)snprintf(s.journal_why, sizeof(s.journal_why), "%s", why.msg);
	s.restart = may_restart(m);
	int r = look_at_leases(&s, err);
	if (r >= 0)
		r = look_at_units(&s, err);
	if (r >= 0)
		r = look_at_intent(&s, state_dir, err);
	if (r >= 0)
		r = look_at_folders(&s, err);
	if (r < 0)
		return r;
	*ret = s;
	s = (Symptoms){0};
	return 0;
}
