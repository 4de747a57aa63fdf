/* What each service of the trial runs: production's command, or the one in dream.yaml, with the
 * candidate's settings and a port of its own. */
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/json.h"
#include "connect/connect.h"
#include "service/derive.h"
#include "service/port.h"
#include "worker/internal.h"

enum {
	TOKEN_MAX = 16384,
	ENV_FILE_MAX = 1 << 20,
	PORTS_MAX = 3 * PARTIES_MAX,
};

/* The configuration's fault: told as an outcome that says nothing about the candidate. */
static int refuse(Worker *w, const Party *p, const Err *err)
{
	worker_over(w, OUTCOME_MEASURE_FAILED, NULL, "service %s cannot be started: %s",
		    p->spec->name, err->msg);
	return 0;
}

/* --- The command ----------------------------------------------------------------------------- */

static int read_env_file(void *ctx, const char *path, char **ret, Err *err)
{
	(void)ctx;
	size_t len;
	int r = file_read(path, ENV_FILE_MAX, ret, &len, err);
	if (r == -ENOENT) {
		*ret = NULL;
		return 0;
	}
	return r;
}

static int from_unit(Worker *w, const ServiceSpec *s, ServerCommand *ret, Err *err)
{
	UnitExec exec = {0};
	if (!w->systemd)
		return err_set(err, -ENOTCONN,
			       "its command is that of %s, and systemd cannot be asked",
			       s->from_unit);
	int r = unit_exec(w->systemd, s->from_unit, &exec, err);
	if (r >= 0)
		r = command_from_unit(&exec, read_env_file, NULL, ret, err);
	unit_exec_done(&exec);
	return r;
}

static int by_hand(const Worker *w, const ServiceSpec *s, ServerCommand *ret, Err *err)
{
	size_t n_env = 0;
	while (environ[n_env])
		n_env++;
	ret->argv = calloc(s->command.n + 1, sizeof(*ret->argv));
	ret->env = calloc(n_env + 1, sizeof(*ret->env));
	ret->cwd = strdup(w->job.base_dir);
	ret->from = strdup("dream.yaml");
	if (!ret->argv || !ret->env || !ret->cwd || !ret->from)
		return err_oom(err);
	for (size_t i = 0; i < s->command.n; i++)
		if (!(ret->argv[i] = strdup(s->command.items[i])))
			return err_oom(err);
	for (size_t i = 0; i < n_env; i++)
		if (!(ret->env[i] = strdup(environ[i])))
			return err_oom(err);
	return 0;
}

static int add_environment(const ServiceSpec *s, ServerCommand *c, Err *err)
{
	const char *name;
	json_t *value;
	json_object_foreach (s->env, name, value)
		if (command_set_env(c, name, json_string_value(value)) < 0)
			return err_oom(err);
	return 0;
}

static int set_folder(const Worker *w, const ServiceSpec *s, ServerCommand *c, Err *err)
{
	if (!s->cwd)
		return 0;
	free(c->cwd);
	c->cwd = path_join(w->job.base_dir, s->cwd);
	return c->cwd ? 0 : err_oom(err);
}

static int take_command(Worker *w, Party *p, Err *err)
{
	const ServiceSpec *s = p->spec;
	int r;
	if (s->command.n > 0)
		r = by_hand(w, s, &p->command, err);
	else if (s->from_unit)
		r = from_unit(w, s, &p->command, err);
	else
		r = err_set(err, -EINVAL,
			    "it has neither from_unit nor command; say one of them in dream.yaml");
	return r < 0 ? r : set_folder(w, s, &p->command, err);
}

/* --- In a container -------------------------------------------------------------------------- */

/* Settings, variables and the port are for the server inside. 1: it is one. */
static int open_container(Worker *w, Party *p, ContainerRun *ret, Err *err)
{
	int r = container_open(&p->command, ret, err);
	if (r > 0 && w->job.spec.allocation.as == AS_PROCESSES &&
	    leftover_containers(p->command.argv[0]) > 0)
		worker_progress(w, 0, "containers of an earlier run were removed");
	if (r > 0 && w->job.spec.allocation.as == AS_UNITS)
		return err_set(err, -ENOTSUP,
			       "it is a container, and a container is no part of the unit that "
			       "starts it; say 'as: processes' in the evaluator");
	return r;
}

static int close_container(const Worker *w, Party *p, ContainerRun *run, Err *err)
{
	_cleanup_free_ char *name = str_fmt("dream-trial-%d-%zu", (int)getpid(), w->n_parties);
	if (!name)
		return err_oom(err);
	return container_close(run, name, p->wants_gpu ? w->job.gpu_uuid : NULL, &p->command, err);
}

/* --- Its settings ---------------------------------------------------------------------------- */

static bool is_tuned_setting(const ServiceSpec *s, const char *setting)
{
	const char *param;
	json_t *target;
	json_object_foreach (s->params, param, target)
		if (strcmp(json_string_value(target), setting) == 0)
			return true;
	return false;
}

/* A production unit keeps what it has; only what is tuned is changed. */
static json_t *settings_to_apply(const Party *p)
{
	bool failed = false, all = !p->spec->from_unit || p->spec->command.n > 0;
	json_t *o = json_object(), *value;
	const char *name;
	json_object_foreach (p->settings, name, value)
		if (all || is_tuned_setting(p->spec, name))
			js_set(o, name, js_deep_copy(value), &failed);
	if (!failed)
		return o;
	json_decref(o);
	return NULL;
}

static int apply_settings(const Worker *w, Party *p, Err *err)
{
	p->settings = service_settings(p->spec, w->job.params);
	p->applied = p->settings ? settings_to_apply(p) : NULL;
	if (!p->applied)
		return err_oom(err);
	return server_apply(p->kind, p->spec, p->applied, &p->command, err);
}

/* --- Where it listens ------------------------------------------------------------------------ */

static uint16_t url_port(const char *url)
{
	HttpTarget t = {0};
	uint16_t port = 0;
	if (url && httptarget_parse(url, &t, NULL) >= 0)
		port = t.port;
	httptarget_done(&t);
	return port;
}

/* Production's own ports, and those that this trial has already. */
static size_t taken_ports(const Worker *w, uint16_t *ret)
{
	size_t n = 0;
	for (size_t i = 0; i < w->job.n_services; i++) {
		uint16_t port = url_port(w->job.services[i].url);
		if (port)
			ret[n++] = port;
	}
	for (size_t i = 0; i < w->n_parties; i++)
		if (w->parties[i].port)
			ret[n++] = w->parties[i].port;
	return n;
}

static int give_port(Worker *w, Party *p, Err *err)
{
	uint16_t taken[PORTS_MAX], own = 0;
	if (!server_speaks_http(p->kind))
		return 0;
	size_t n = taken_ports(w, taken);
	if (server_listen(p->kind, &p->command, &own) >= 0 && own)
		taken[n++] = own;
	int r = port_pick(taken, n, &p->port, err);
	return r < 0 ? r : server_set_listen(p->kind, &p->command, "127.0.0.1", p->port, err);
}

/* --- How it is asked ------------------------------------------------------------------------- */

static int read_token(const Worker *w, Party *p, Err *err)
{
	if (!p->spec->token_file)
		return 0;
	size_t len;
	_cleanup_free_ char *path = path_join(w->job.base_dir, p->spec->token_file);
	if (!path)
		return err_oom(err);
	int r = file_read(path, TOKEN_MAX, &p->token, &len, err);
	if (r < 0)
		return r;
	p->token[strcspn(p->token, "\r\n")] = '\0';
	return 0;
}

static int name_it(const Worker *w, Party *p, Err *err)
{
	const ServiceSpec *s = p->spec;
	p->protocol = server_protocol(p->kind);
	if (s->protocol && !protocol_from_name(s->protocol, &p->protocol))
		return err_set(err, -EINVAL, "there is no protocol called '%s'", s->protocol);
	p->role = server_role(p->kind);
	if (s->protocol)
		p->role = protocol_is_stt(p->protocol) ? ROLE_STT : ROLE_LLM;
	p->ask = server_ask(p->kind, p->settings);
	if (!p->ask || (json_is_object(s->ask) && json_object_update(p->ask, s->ask) < 0))
		return err_oom(err);
	int r = read_token(w, p, err);
	if (r < 0)
		return r;
	if (!s->model)
		return server_model(p->kind, &p->command, &p->model, err);
	p->model = strdup(s->model);
	return p->model ? 0 : err_oom(err);
}

/* --- All of them ----------------------------------------------------------------------------- */

/* Who has a broker has no network, and neither has a process that it starts. */
static int check_network(const Worker *w, const Party *p, Err *err)
{
	if (!connect_path() || w->job.spec.allocation.as != AS_PROCESSES ||
	    !server_speaks_http(p->kind))
		return 0;
	return err_set(err, -ENETDOWN,
		       "it would be a process of the daemon, which has no network: say `as: units` "
		       "under evaluator in dream.yaml, or give dream.service one "
		       "(docs/security.md)");
}

static int make_command(Worker *w, Party *p, Err *err)
{
	_cleanup_(container_done) ContainerRun run = {0};
	int r = take_command(w, p, err);
	if (r >= 0)
		r = open_container(w, p, &run, err);
	bool contained = r > 0;
	if (r == 0)
		r = check_network(w, p, err);
	if (r >= 0)
		r = add_environment(p->spec, &p->command, err);
	if (r >= 0)
		r = apply_settings(w, p, err);
	if (r >= 0)
		r = give_port(w, p, err);
	if (r >= 0)
		r = name_it(w, p, err);
	if (r < 0)
		return r;
	p->wants_gpu =
	    w->job.lease_fd >= 0 && !p->spec->cpu && server_wants_gpu(p->kind, &p->command);
	return contained ? close_container(w, p, &run, err) : 0;
}

static int prepare(Worker *w, Party *p, Err *err)
{
	p->kind = server_kind(p->spec->kind);
	if (!p->kind)
		return err_set(err, -EINVAL, "there is no kind of server called '%s'",
			       p->spec->kind);
	if (w->job.spec.allocation.as == AS_OBSERVE) {
		p->url = p->spec->url ? strdup(p->spec->url) : NULL;
		p->settings = service_settings(p->spec, w->job.params);
		if (!p->settings || (p->spec->url && !p->url))
			return err_oom(err);
		return p->url ? name_it(w, p, err)
			      : err_set(err, -EINVAL, "it is observed, and has no url");
	}
	int r = make_command(w, p, err);
	if (r < 0)
		return r;
	p->output_dir = str_fmt("%s/service-%zu", w->dir.path, w->n_parties);
	return p->output_dir ? dir_make(p->output_dir, 0700, err) : err_oom(err);
}

int parties_prepare(Worker *w, Err *err)
{
	for (size_t i = 0; i < w->job.n_services && !w->over; i++) {
		const ServiceSpec *s = &w->job.services[i];
		if (!service_is_tuned(s) && !w->job.all_services)
			continue;
		Party *p = &w->parties[w->n_parties];
		*p = (Party){
		    .spec = s, .sampled = -1, .account_gpu_bytes = -1, .account_all_bytes = -1};
		p->placement.placement = PLACED_NO_LIST;
		Err why = ERR_INIT;
		int r = prepare(w, p, &why);
		w->n_parties++;
		if (err_is_shortage(r))
			return err_set(err, r, "%s", why.msg);
		if (r < 0)
			return refuse(w, p, &why);
	}
	if (w->n_parties == 0)
		worker_over(
		    w, OUTCOME_MEASURE_FAILED, NULL,
		    "no service has a tuned parameter: give one `params`, or measure with all "
		    "services");
	return 0;
}

void party_done(Party *p)
{
	(void)instance_free(p->instance);
	if (!p->instance)
		(void)httpclient_free(p->client);
	servercommand_done(&p->command);
	json_decref(p->settings);
	json_decref(p->applied);
	json_decref(p->ask);
	json_decref(p->metrics_before);
	json_decref(p->metrics_after);
	free(p->url);
	free(p->model);
	free(p->token);
	free(p->output_dir);
	free(p->pids);
	free((char *)(uintptr_t)p->owner.cgroup);
	*p = (Party){0};
}
