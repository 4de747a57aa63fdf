#include "watch/asker.h"

#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/str.h"
#include "service/derive.h"

enum {
	TOKEN_MAX = 16384,
	ENV_FILE_MAX = 1 << 20,
	CONNECT_TIMEOUT_US = 2000000,
};

void asker_done(Asker *a)
{
	httpclient_free(a->client);
	free(a->model);
	json_decref(a->ask);
	*a = (Asker){0};
}

/* --- What the unit's command says ------------------------------------------------------------ */

static int read_env_file(void *ctx, const char *path, char **ret, Err *err)
{
	(void)ctx;
	size_t len;
	int r = file_read(path, ENV_FILE_MAX, ret, &len, err);
	if (r != -ENOENT)
		return r;
	*ret = NULL;
	return 0;
}

/* Of what runs inside, where it is a container. A command that cannot be read is no obstacle: then
 * nothing is known but what dream.yaml says. */
static bool read_command(Systemd *systemd, const char *unit, ServerCommand *ret,
			 bool *ret_contained)
{
	UnitExec exec = {0};
	ContainerRun run = {0};
	if (!systemd || !unit)
		return false;
	int r = unit_exec(systemd, unit, &exec, NULL);
	if (r >= 0)
		r = command_from_unit(&exec, read_env_file, NULL, ret, NULL);
	unit_exec_done(&exec);
	if (r >= 0)
		r = container_open(ret, &run, NULL);
	container_done(&run);
	*ret_contained = r > 0;
	return r >= 0;
}

static int take_model(Asker *a, const ServerCommand *c, Err *err)
{
	if (!a->service->model && c && server_model(a->kind, c, &a->model, NULL) >= 0)
		return 0;
	a->model = strdup(a->service->model ? a->service->model : "");
	return a->model ? 0 : err_oom(err);
}

static int take_url(const Asker *a, const ServerCommand *c, char **ret, Err *err)
{
	uint16_t port = 0;
	if (a->service->url)
		*ret = strdup(a->service->url);
	else if (c && server_listen(a->kind, c, &port) >= 0 && port)
		*ret = str_fmt("http://127.0.0.1:%u", port);
	else
		return err_set(err, -EINVAL,
			       "it is not known where %s listens; say `url:` of the service",
			       a->service->name);
	return *ret ? 0 : err_oom(err);
}

/* --- What dream.yaml says -------------------------------------------------------------------- */

static int read_token(const WatchedService *s, char **ret, Err *err)
{
	size_t len;
	if (!s->service->token_file)
		return 0;
	_cleanup_free_ char *path =
	    path_join(s->base_dir ? s->base_dir : ".", s->service->token_file);
	if (!path)
		return err_oom(err);
	int r = file_read(path, TOKEN_MAX, ret, &len, err);
	if (r < 0)
		return r;
	(*ret)[strcspn(*ret, "\r\n")] = '\0';
	return 0;
}

static int take_protocol(Asker *a, Err *err)
{
	const char *name = a->service->protocol;
	a->protocol = server_protocol(a->kind);
	a->role = server_role(a->kind);
	if (!name)
		return 0;
	if (!protocol_from_name(name, &a->protocol))
		return err_set(err, -EINVAL, "there is no protocol called '%s'", name);
	a->role = protocol_is_stt(a->protocol)	 ? ROLE_STT
		  : a->protocol == PROTOCOL_HTTP ? ROLE_NONE
						 : ROLE_LLM;
	return 0;
}

static int take_ask(Asker *a, Err *err)
{
	a->ask = server_ask(a->kind, a->service->settings);
	if (!a->ask ||
	    (json_is_object(a->service->ask) && json_object_update(a->ask, a->service->ask) < 0))
		return err_oom(err);
	return 0;
}

static int open_client(Asker *a, HttpLoop *http, const HttpTarget *target, const char *token,
		       Err *err)
{
	/* A connection of its own for each request: one that was kept may just be closing, and that
	 * would be no failure of the service. */
	HttpClientSpec spec = {.target = target,
			       .token = token,
			       .close_each = true,
			       .connect_timeout_us = CONNECT_TIMEOUT_US};
	return httpclient_new(http, &spec, &a->client, err);
}

static bool is_here(const HttpTarget *t)
{
	return t->host && (strncmp(t->host, "127.", 4) == 0 || strcmp(t->host, "localhost") == 0 ||
			   strcmp(t->host, "::1") == 0);
}

static int reach(Asker *a, HttpLoop *http, const WatchedService *s, const ServerCommand *c,
		 Err *err)
{
	_cleanup_free_ char *url = NULL;
	_cleanup_free_ char *token = NULL;
	HttpTarget target = {0};
	int r = take_url(a, c, &url, err);
	if (r >= 0)
		r = httptarget_parse(url, &target, err);
	if (r >= 0)
		r = read_token(s, &token, err);
	if (r >= 0)
		r = open_client(a, http, &target, token, err);
	a->port = r >= 0 && is_here(&target) ? target.port : 0;
	httptarget_done(&target);
	return r;
}

static int open_all(Asker *a, HttpLoop *http, const WatchedService *s, const ServerCommand *c,
		    Err *err)
{
	int r = take_protocol(a, err);
	if (r >= 0)
		r = take_model(a, c, err);
	if (r >= 0)
		r = take_ask(a, err);
	/* A service of no known kind is asked by HTTP only where its address is given. */
	if (r < 0 || (!server_speaks_http(a->kind) && !s->service->url))
		return r;
	return reach(a, http, s, c, err);
}

int asker_open(Systemd *systemd, HttpLoop *http, const WatchedService *s, Asker *ret, Err *err)
{
	Asker a = {.service = s->service, .kind = server_kind(s->service->kind)};
	ServerCommand command = {0};
	if (!a.kind)
		return err_set(err, -EINVAL, "there is no kind of server called '%s'",
			       s->service->kind);
	bool known = read_command(systemd, s->service->unit, &command, &a.contained);
	int r = open_all(&a, http, s, known ? &command : NULL, err);
	servercommand_done(&command);
	if (r < 0) {
		asker_done(&a);
		return err_wrap(err, r, "cannot ask service %s", s->service->name);
	}
	*ret = a;
	return 0;
}
