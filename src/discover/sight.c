/* Processes from /proc and units from their manager. */
#include "discover/sight.h"

#include <dirent.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "gpu/owners.h"
#include "gpu/procid.h"
#include "service/derive.h"
#include "service/strings.h"

enum {
	CMDLINE_MAX = 128 << 10,
	ENVIRON_MAX = 1 << 20,
	ENV_FILE_MAX = 1 << 20,
	PROCESSES_MAX = 65536,
	PATH_MAX_ = 4096,
};

/* --- Processes ------------------------------------------------------------------------------- */

/* A file of /proc: strings that each end in NUL. *ret NULL: it is empty or may not be read. */
static int read_strings(pid_t pid, const char *name, size_t max, char ***ret)
{
	char path[64];
	size_t len = 0;
	*ret = NULL;
	(void)snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, name);
	_cleanup_free_ char *text = NULL;
	int r = file_read(path, max, &text, &len, NULL);
	if (r < 0 || len == 0)
		return r == -ENOMEM ? r : 0;
	_cleanup_(strings_freep) char **list = NULL;
	for (size_t i = 0; i < len; i += strlen(text + i) + 1)
		if (strings_add(&list, strdup(text + i)) < 0)
			return -ENOMEM;
	*ret = TAKE_PTR(list);
	return 0;
}

static int read_cwd(pid_t pid, char **ret)
{
	char path[64], to[PATH_MAX_];
	(void)snprintf(path, sizeof(path), "/proc/%d/cwd", (int)pid);
	ssize_t n = readlink(path, to, sizeof(to) - 1);
	*ret = strndup(to, n > 0 ? (size_t)n : 0);
	return *ret ? 0 : -ENOMEM;
}

static int read_unit(pid_t pid, SeenProcess *p)
{
	char path[64], text[8192];
	(void)snprintf(path, sizeof(path), "/proc/%d/cgroup", (int)pid);
	if (procfile_read(path, text, sizeof(text)) < 0)
		text[0] = '\0';
	int r = unit_of_cgroup(text, &p->unit, &p->user_unit);
	if (r == -ENOMEM)
		return r;
	if (r < 0)
		p->unit = strdup("");
	return p->unit ? 0 : -ENOMEM;
}

/* What only a server is asked for: its environment is large, and nobody's business. */
static int read_more(SeenProcess *p)
{
	int r =
	    server_recognise(p->argv) ? read_strings(p->pid, "environ", ENVIRON_MAX, &p->env) : 0;
	return r < 0 ? r : read_cwd(p->pid, &p->cwd);
}

static int add_process(Sightings *s, pid_t pid, size_t *ret_hidden)
{
	char path[64];
	struct stat st;
	ProcStat stat_;
	_cleanup_(strings_freep) char **argv = NULL;
	if (procstat_read(pid, &stat_) < 0 || stat_.dead)
		return 0;
	(void)snprintf(path, sizeof(path), "/proc/%d", (int)pid);
	if (stat(path, &st) < 0)
		return 0;
	if (read_strings(pid, "cmdline", CMDLINE_MAX, &argv) < 0)
		return -ENOMEM;
	if (!argv) {
		/* A kernel thread has kthreadd for its parent, or is it. */
		*ret_hidden += stat_.parent != 2 && pid != 2;
		return 0;
	}
	SeenProcess *grown = reallocarray(s->processes, s->n_processes + 1, sizeof(*grown));
	if (!grown)
		return -ENOMEM;
	s->processes = grown;
	SeenProcess *p = &grown[s->n_processes++];
	*p = (SeenProcess){.pid = pid, .parent = stat_.parent, .uid = st.st_uid};
	p->argv = TAKE_PTR(argv);
	int r = read_more(p);
	if (r >= 0)
		r = read_unit(pid, p);
	return r < 0 ? r : process_home(pid, &p->home);
}

int sight_processes(Sightings *s, size_t *ret_hidden, Err *err)
{
	DIR *proc = opendir("/proc");
	if (!proc)
		return err_set(err, -errno, "cannot look at /proc: %s", strerror(errno));
	int r = 0;
	for (struct dirent *e; r >= 0 && (e = readdir(proc)) && s->n_processes < PROCESSES_MAX;) {
		char *end;
		long pid = strtol(e->d_name, &end, 10);
		if (pid > 0 && *end == '\0' && pid != getpid())
			r = add_process(s, (pid_t)pid, ret_hidden);
	}
	closedir(proc);
	return r < 0 ? err_oom(err) : 0;
}

/* --- Units ----------------------------------------------------------------------------------- */

static int read_env_file(void *ctx, const char *path, char **ret, Err *err)
{
	size_t len;
	(void)ctx;
	*ret = NULL;
	int r = file_read(path, ENV_FILE_MAX, ret, &len, err);
	return r == -ENOENT ? 0 : r;
}

static int work_out(SeenUnit *u, const UnitExec *x)
{
	Err why = ERR_INIT;
	int r = command_from_unit(x, read_env_file, NULL, &u->command, &why);
	if (r == -ENOMEM)
		return r;
	if (r >= 0)
		return 0;
	/* Only a refusal is the unit's own; what could not be read now may be readable to the
	 * trial.
	 */
	u->refused = strdup(why.msg);
	return u->refused ? 0 : -ENOMEM;
}

static int fill_unit(SeenUnit *u, const UnitName *name, const UnitState *st, const UnitExec *x,
		     bool user)
{
	u->user = user;
	u->name = strdup(name->name);
	u->argv = strings_copy(x->argv);
	u->env = strings_copy(x->env);
	u->env_files = strings_copy(x->env_files);
	u->wd = strdup(x->cwd ? x->cwd : "");
	(void)snprintf(u->active, sizeof(u->active), "%s", st->active);
	(void)snprintf(u->sub, sizeof(u->sub), "%s", st->sub);
	(void)snprintf(u->result, sizeof(u->result), "%s", st->result);
	(void)snprintf(u->invocation, sizeof(u->invocation), "%.39s", st->invocation);
	u->main_pid = st->main_pid;
	u->restarts = st->restarts;
	u->active_since_us = st->active_since_us;
	if (!u->name || !u->argv || !u->env || !u->env_files || !u->wd)
		return -ENOMEM;
	return server_recognise(u->argv) ? work_out(u, x) : 0;
}

static int add_unit(Systemd *manager, Sightings *s, const UnitName *name)
{
	UnitExec x = {0};
	UnitState st = {0};
	int r = unit_exec(manager, name->name, &x, NULL);
	if (r >= 0)
		r = unit_state(manager, name->name, &st, NULL);
	if (r >= 0 && x.argv && x.argv[0]) {
		SeenUnit *grown = reallocarray(s->units, s->n_units + 1, sizeof(*grown));
		r = grown ? 0 : -ENOMEM;
		if (grown) {
			s->units = grown;
			grown[s->n_units] = (SeenUnit){0};
			r = fill_unit(&grown[s->n_units++], name, &st, &x,
				      systemd_is_user(manager));
		}
	}
	unit_exec_done(&x);
	unit_state_done(&st);
	/* A unit that cannot be looked at is none of ours. */
	return r == -ENOMEM ? r : 0;
}

int sight_units(Systemd *manager, Sightings *s, Err *err)
{
	UnitName *list = NULL;
	size_t n = 0;
	int r = unit_list(manager, &list, &n, err);
	if (r < 0)
		return r;
	for (size_t i = 0; i < n && r >= 0; i++)
		r = add_unit(manager, s, &list[i]);
	unit_list_free(list, n);
	return r < 0 ? err_oom(err) : 0;
}
