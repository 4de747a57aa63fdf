/* Putting together what was seen: a server's leader, its unit or container, its ports, its share of
 * the GPUs. By unit, container and descent, never by name. */
#include "discover/machine.h"

#include <ctype.h>
#include <string.h>

#include "base/file.h"
#include "base/str.h"
#include "base/strings.h"
#include "discover/words.h"
#include "gpu/owners.h"
#include "service/strings.h"

enum {
	DEPTH_MAX = 64, /* of a family of processes; more is a loop of numbers used again */
};

/* --- Ends ------------------------------------------------------------------------------------ */

static void process_done(SeenProcess *p)
{
	(void)strings_free(p->argv);
	(void)strings_free(p->env);
	free(p->cwd);
	free(p->home);
	free(p->unit);
}

static void unit_done(SeenUnit *u)
{
	(void)strings_free(u->argv);
	(void)strings_free(u->env);
	(void)strings_free(u->env_files);
	servercommand_done(&u->command);
	free(u->name);
	free(u->wd);
	free(u->refused);
}

void sightings_done(Sightings *s)
{
	for (size_t i = 0; i < s->n_processes; i++)
		process_done(&s->processes[i]);
	for (size_t i = 0; i < s->n_units; i++)
		unit_done(&s->units[i]);
	free(s->processes);
	free(s->units);
	free(s->listeners);
	free(s->uses);
	*s = (Sightings){0};
}

static void server_done(FoundServer *s)
{
	(void)strings_free(s->unit_argv);
	(void)strings_free(s->unit_env);
	(void)strings_free(s->unit_env_files);
	(void)strings_free(s->models);
	servercommand_done(&s->command);
	json_decref(s->settings);
	vllm_key_done(&s->start.key);
	free(s->name);
	free(s->unit);
	free(s->container);
	free(s->refused);
	free(s->model);
	free(s->torch);
}

void machine_done(Machine *m)
{
	for (size_t i = 0; i < m->n_servers; i++)
		server_done(&m->servers[i]);
	for (size_t i = 0; i < m->n_tenants; i++) {
		free(m->tenants[i].home);
		free(m->tenants[i].words);
	}
	free(m->servers);
	free(m->tenants);
	free(m->gpus);
	*m = (Machine){0};
}

/* --- Families -------------------------------------------------------------------------------- */

static const SeenProcess *process_of(const Sightings *seen, pid_t pid)
{
	for (size_t i = 0; pid > 0 && i < seen->n_processes; i++)
		if (seen->processes[i].pid == pid)
			return &seen->processes[i];
	return NULL;
}

static const char *container_of(const SeenProcess *p)
{
	static const char *const runtimes[] = {"docker ", "podman ", "container ", "lxc "};
	for (size_t i = 0; i < sizeof(runtimes) / sizeof(*runtimes); i++)
		if (p->home && strncmp(p->home, runtimes[i], strlen(runtimes[i])) == 0)
			return p->home;
	return "";
}

static bool descends(const Sightings *seen, pid_t pid, pid_t from)
{
	for (int depth = 0; pid > 1 && depth < DEPTH_MAX; depth++) {
		if (pid == from)
			return true;
		const SeenProcess *p = process_of(seen, pid);
		if (!p)
			return false;
		pid = p->parent;
	}
	return false;
}

bool server_has(const FoundServer *s, const Sightings *seen, pid_t pid)
{
	const SeenProcess *p = process_of(seen, pid);
	if (!p || pid <= 0)
		return false;
	if (*s->container && strcmp(container_of(p), s->container) == 0)
		return true;
	if (*s->unit && strcmp(p->unit, s->unit) == 0 && p->user_unit == s->user_unit)
		return true;
	return s->pid > 0 && descends(seen, pid, s->pid);
}

bool is_container(const FoundServer *s)
{
	return *s->container && !*s->unit;
}

static bool is_shell(const char *program)
{
	static const char *const shells[] = {"sh", "bash", "dash", "zsh", "ksh", "ash", NULL};
	return words_have(shells, path_base(program));
}

/* The kinds that dream.yaml can name and that listen; the others are told by nothing. */
static const ServerKind *kind_of(char *const *argv)
{
	if (!argv || !argv[0])
		return NULL;
	const ServerKind *k = server_recognise(argv);
	for (size_t i = 0; k && server_kind_names()[i]; i++)
		if (strcmp(server_kind_name(k), server_kind_names()[i]) == 0)
			return server_speaks_http(k) ? k : NULL;
	return NULL;
}

/* A server's leader: workers below one belong to it, and a shell in front of it is none. */
static const ServerKind *leader_kind(const Sightings *seen, const SeenProcess *p)
{
	const ServerKind *k = kind_of(p->argv);
	if (!k || is_shell(p->argv[0]))
		return NULL;
	pid_t up = p->parent;
	for (int depth = 0; depth < DEPTH_MAX; depth++) {
		const SeenProcess *parent = process_of(seen, up);
		if (!parent || parent->pid == p->pid)
			return k;
		if (kind_of(parent->argv) && !is_shell(parent->argv[0]))
			return NULL;
		up = parent->parent;
	}
	return k;
}

/* --- Servers --------------------------------------------------------------------------------- */

static FoundServer *add_server(Machine *m, const ServerKind *k)
{
	FoundServer *grown = reallocarray(m->servers, m->n_servers + 1, sizeof(*grown));
	if (!grown)
		return NULL;
	m->servers = grown;
	FoundServer *s = &grown[m->n_servers++];
	*s = (FoundServer){.kind = k, .gpu = SIZE_MAX, .gpu_bytes = -1, .health = -1};
	return s;
}

static int copy_text(char **to, const char *text)
{
	if (*to)
		return 0;
	*to = strdup(text ? text : "");
	return *to ? 0 : -ENOMEM;
}

static int take_unit(FoundServer *s, const SeenUnit *u)
{
	memcpy(s->active, u->active, sizeof(s->active));
	memcpy(s->sub, u->sub, sizeof(s->sub));
	memcpy(s->result, u->result, sizeof(s->result));
	memcpy(s->invocation, u->invocation, sizeof(s->invocation));
	s->restarts = u->restarts;
	s->active_since_us = u->active_since_us;
	s->user_unit = u->user;
	s->unit_argv = strings_copy(u->argv);
	s->unit_env = strings_copy(u->env);
	s->unit_env_files = strings_copy(u->env_files);
	if (!s->unit_argv || !s->unit_env || !s->unit_env_files || copy_text(&s->unit, u->name) < 0)
		return -ENOMEM;
	return u->refused ? copy_text(&s->refused, u->refused) : 0;
}

static int take_process(FoundServer *s, const SeenProcess *p)
{
	s->pid = p->pid;
	s->command.argv = strings_copy(p->argv);
	s->command.env = p->env ? strings_copy(p->env) : NULL;
	if (!s->command.argv || (p->env && !s->command.env) ||
	    copy_text(&s->container, container_of(p)) < 0)
		return -ENOMEM;
	if (p->cwd && *p->cwd && !(s->command.cwd = strdup(p->cwd)))
		return -ENOMEM;
	return 0;
}

static const SeenUnit *unit_named(const Sightings *seen, const char *name, bool user)
{
	for (size_t i = 0; name && *name && i < seen->n_units; i++)
		if (strcmp(seen->units[i].name, name) == 0 && seen->units[i].user == user)
			return &seen->units[i];
	return NULL;
}

static bool is_script(const SeenUnit *u)
{
	for (size_t i = 0; i < 2 && u->argv && u->argv[i]; i++) {
		size_t n = strlen(u->argv[i]);
		if (n > 3 && strcmp(u->argv[i] + n - 3, ".sh") == 0)
			return true;
	}
	return false;
}

/* What is started by hand over ssh, or by cron, runs in the unit of sshd or cron, and is not what
 * that unit is for. */
static bool is_its_server(const Sightings *seen, const SeenUnit *u, const SeenProcess *p)
{
	const SeenProcess *main = process_of(seen, u->main_pid);
	if (u->main_pid == p->pid || kind_of(u->argv) || kind_of(u->command.argv))
		return true;
	return main && main->pid == p->parent && main->argv && main->argv[0] &&
	       is_shell(main->argv[0]) && is_script(u);
}

static int add_running(const Sightings *seen, Machine *m)
{
	for (size_t i = 0; i < seen->n_processes; i++) {
		const SeenProcess *p = &seen->processes[i];
		const ServerKind *k = leader_kind(seen, p);
		if (!k)
			continue;
		const SeenUnit *u = unit_named(seen, p->unit, p->user_unit);
		if (u && !is_its_server(seen, u, p))
			u = NULL;
		FoundServer *s = add_server(m, k);
		if (!s || take_process(s, p) < 0 || (u && take_unit(s, u) < 0) ||
		    copy_text(&s->unit, "") < 0)
			return -ENOMEM;
	}
	return 0;
}

static bool is_found(const Machine *m, const SeenUnit *u)
{
	for (size_t i = 0; i < m->n_servers; i++)
		if (strcmp(m->servers[i].unit, u->name) == 0 && m->servers[i].user_unit == u->user)
			return true;
	return false;
}

/* Units that would run a server, and do not. */
static int add_idle(const Sightings *seen, Machine *m)
{
	for (size_t i = 0; i < seen->n_units; i++) {
		const SeenUnit *u = &seen->units[i];
		const ServerKind *k = kind_of(u->command.argv ? u->command.argv : u->argv);
		if (!k || is_found(m, u))
			continue;
		FoundServer *s = add_server(m, k);
		if (!s || take_unit(s, u) < 0 || copy_text(&s->container, "") < 0)
			return -ENOMEM;
		int r = 0;
		if (u->command.argv)
			r = servercommand_copy(&u->command, &s->command);
		else if (!(s->command.argv = strings_copy(u->argv)))
			r = -ENOMEM;
		if (r < 0)
			return -ENOMEM;
	}
	return 0;
}

/* The container that a unit's `docker run` started is seen as a server of its own: it is the same
 * one. Only where there is no doubt which. */
static void join_containers(Machine *m)
{
	for (size_t i = 0; i < m->n_servers; i++) {
		FoundServer *s = &m->servers[i];
		const char *program =
		    s->unit_argv && s->unit_argv[0] ? path_base(s->unit_argv[0]) : "";
		if (strcmp(program, "docker") != 0 && strcmp(program, "podman") != 0)
			continue;
		size_t inside = SIZE_MAX, many = 0;
		for (size_t k = 0; k < m->n_servers; k++)
			if (k != i && m->servers[k].kind == s->kind &&
			    is_container(&m->servers[k])) {
				inside = k;
				many++;
			}
		if (many != 1)
			continue;
		FoundServer *c = &m->servers[inside];
		s->pid = c->pid;
		free(s->container);
		s->container = TAKE_PTR(c->container);
		server_done(c);
		memmove(c, c + 1, (m->n_servers - inside - 1) * sizeof(*c));
		m->n_servers--;
		if (inside < i)
			i--;
	}
}

/* --- What is theirs -------------------------------------------------------------------------- */

/* Whose port it is cannot be seen, or it leads into a container. */
static bool may_lead_to(const Sightings *seen, const FoundServer *s, const Listener *l)
{
	const SeenProcess *holder = process_of(seen, l->pid);
	if (!holder || !holder->argv || !holder->argv[0] || !*s->container)
		return l->pid == 0;
	return port_is_forwarder(path_base(holder->argv[0]));
}

/* Of several addresses the one that is surest to answer. */
static void note_listener(FoundServer *s, const Listener *l)
{
	if (!*s->host || (l->every && !s->every) || (l->loopback && !s->every))
		memcpy(s->host, l->host, sizeof(s->host));
	s->every |= l->every;
	s->exposed |= !l->loopback;
	s->listens = true;
}

static void find_port(const Sightings *seen, FoundServer *s)
{
	uint16_t said = 0;
	bool known = server_listen(s->kind, &s->command, &said) >= 0;
	uint16_t first = 0;
	for (size_t i = 0; i < seen->n_listeners; i++) {
		const Listener *l = &seen->listeners[i];
		bool own = s->pid > 0 && server_has(s, seen, l->pid);
		bool likely = s->pid > 0 && known && l->port == said && may_lead_to(seen, s, l);
		if (!own && !likely)
			continue;
		if (known && l->port == said) {
			note_listener(s, l);
		} else if (!first || l->port < first) {
			first = l->port;
		}
	}
	s->port = known ? said : 0;
	if (s->listens || !first || known)
		return;
	s->port = first;
	for (size_t i = 0; i < seen->n_listeners; i++)
		if (seen->listeners[i].port == first && server_has(s, seen, seen->listeners[i].pid))
			note_listener(s, &seen->listeners[i]);
}

static FoundServer *owner_of(Machine *m, const Sightings *seen, pid_t pid)
{
	for (size_t i = 0; i < m->n_servers; i++)
		if (server_has(&m->servers[i], seen, pid))
			return &m->servers[i];
	return NULL;
}

static int add_tenant(Machine *m, const Sightings *seen, const SeenUse *u)
{
	const SeenProcess *p = process_of(seen, u->pid);
	FoundTenant *grown = reallocarray(m->tenants, m->n_tenants + 1, sizeof(*grown));
	if (!grown)
		return -ENOMEM;
	m->tenants = grown;
	FoundTenant *t = &grown[m->n_tenants++];
	*t = (FoundTenant){.gpu = u->gpu, .pid = u->pid, .bytes = u->bytes};
	t->home = strdup(p && p->home ? p->home : "");
	t->words = u->visible && p ? words_for_people(p->argv)
				   : strdup("(not visible here: another PID namespace, or ended)");
	return t->home && t->words ? 0 : -ENOMEM;
}

static int share_gpus(const Sightings *seen, Machine *m)
{
	for (size_t i = 0; i < seen->n_uses; i++) {
		const SeenUse *u = &seen->uses[i];
		FoundServer *s = u->visible ? owner_of(m, seen, u->pid) : NULL;
		if (!s) {
			if (add_tenant(m, seen, u) < 0)
				return -ENOMEM;
			continue;
		}
		if (s->gpu == SIZE_MAX)
			s->gpu = u->gpu;
		if (u->bytes >= 0)
			s->gpu_bytes = (s->gpu_bytes < 0 ? 0 : s->gpu_bytes) + u->bytes;
	}
	return 0;
}

/* --- Names ----------------------------------------------------------------------------------- */

static bool is_taken(const Machine *m, const FoundServer *but, const char *name)
{
	for (size_t i = 0; i < m->n_servers; i++)
		if (&m->servers[i] != but && m->servers[i].name &&
		    strcmp(m->servers[i].name, name) == 0)
			return true;
	return false;
}

/* A word that is a name everywhere: letters, digits and underscores. */
static char *plain_name(const char *text, size_t len)
{
	char *name = strndup(text, len);
	for (char *p = name; p && *p; p++)
		*p = isalnum((unsigned char)*p) ? (char)tolower((unsigned char)*p) : '_';
	return name;
}

static int name_server(const Machine *m, FoundServer *s)
{
	const char *from = *s->unit ? s->unit : server_kind_name(s->kind);
	size_t len = *s->unit ? strcspn(from, ".") : strlen(from);
	_cleanup_free_ char *base = plain_name(from, len < 40 ? len : 40);
	if (!base)
		return -ENOMEM;
	const char *front = isalpha((unsigned char)*base) ? "" : "s";
	s->name = str_fmt("%s%s", front, base);
	for (int n = 2; s->name && is_taken(m, s, s->name); n++) {
		free(s->name);
		s->name = str_fmt("%s%s_%d", front, base, n);
	}
	return s->name ? 0 : -ENOMEM;
}

/* Of two of a kind the one on a GPU has the plain name: it is the one that is tuned. */
static int name_servers(Machine *m)
{
	for (int elsewhere = 0; elsewhere < 2; elsewhere++)
		for (size_t i = 0; i < m->n_servers; i++) {
			FoundServer *s = &m->servers[i];
			if ((s->gpu == SIZE_MAX) == elsewhere && name_server(m, s) < 0)
				return -ENOMEM;
		}
	return 0;
}

int machine_match(const Sightings *seen, Machine *m, Err *err)
{
	if (add_running(seen, m) < 0 || add_idle(seen, m) < 0)
		return err_oom(err);
	join_containers(m);
	for (size_t i = 0; i < m->n_servers; i++) {
		FoundServer *s = &m->servers[i];
		find_port(seen, s);
		s->settings = server_settings(s->kind, &s->command);
		if (!s->settings)
			return err_oom(err);
	}
	return share_gpus(seen, m) < 0 || name_servers(m) < 0 ? err_oom(err) : 0;
}
