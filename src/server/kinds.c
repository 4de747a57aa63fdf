/* What all kinds have in common: the list, how settings become flags, where they listen, when they
 * are ready. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "server/kind.h"

static const ServerKind *const kinds[] = {&kind_vllm,	    &kind_llamacpp,   &kind_ollama,
					  &kind_whispercpp, &kind_openai_stt, &kind_command};

enum {
	N_KINDS = sizeof(kinds) / sizeof(*kinds),
	FLAG_MAX = 128,
	PORT_MAX = 65535,
};

/* --- The list -------------------------------------------------------------------------------- */

const ServerKind *server_kind(const char *name)
{
	for (size_t i = 0; name && i < N_KINDS; i++)
		if (strcmp(kinds[i]->name, name) == 0)
			return kinds[i];
	return NULL;
}

const char *const *server_kind_names(void)
{
	static const char *const names[] = {"vllm",	  "llamacpp", "ollama", "whispercpp",
					    "openai-stt", "command",  NULL};
	return names;
}

const char *server_kind_name(const ServerKind *k)
{
	return k->name;
}

ServerRole server_role(const ServerKind *k)
{
	return k->role;
}

bool server_speaks_http(const ServerKind *k)
{
	return k->speaks_http;
}

Protocol server_protocol(const ServerKind *k)
{
	return k->protocol;
}

static ServerCommand seen(const ServerKind *k, const ServerCommand *c);

bool server_wants_gpu(const ServerKind *k, const ServerCommand *c)
{
	const char *visible = command_env(c, "CUDA_VISIBLE_DEVICES");

	if (visible && (*visible == '\0' || strcmp(visible, "-1") == 0))
		return false;
	ServerCommand v = seen(k, c);
	return !k->on_cpu || !k->on_cpu(&v);
}

const ServerKind *server_recognise(char *const *argv)
{
	for (size_t i = 0; argv && argv[0] && i < N_KINDS; i++)
		if (kinds[i]->recognise && kinds[i]->recognise(argv))
			return kinds[i];
	return NULL;
}

static bool begins(const ServerKind *k, char *const *argv)
{
	char *const two[] = {argv[0], argv[0] ? argv[1] : NULL, NULL};
	return argv[0] && k->recognise(two);
}

/* The word of the server itself: what stands before it started the server for somebody ("python3
 * wrap.py llama-server -m ..."), and what stands behind it may be a path of the same name. */
static size_t program_at(const ServerKind *k, char *const *argv)
{
	for (size_t i = 0; k->recognise && argv && argv[i]; i++)
		if (begins(k, argv + i))
			return begins(k, argv + i + 1) ? i + 1 : i;
	return 0;
}

static ServerCommand seen(const ServerKind *k, const ServerCommand *c)
{
	ServerCommand v = *c;
	v.program = program_at(k, c->argv);
	return v;
}

size_t word_at(char *const *argv, const char *word)
{
	for (size_t i = 1; argv[0] && argv[i]; i++)
		if (strcmp(argv[i], word) == 0)
			return i;
	return 0;
}

bool runs_image(char *const *argv, const char *part)
{
	for (size_t i = 0; argv[i]; i++)
		if (argv[i][0] != '-' && argv[i][0] != '/' && !strchr(argv[i], '=') &&
		    (i == 0 || word_at(argv, "run")) && strpbrk(argv[i], "/:") &&
		    strstr(argv[i], part))
			return true;
	return false;
}

/* --- Settings -------------------------------------------------------------------------------- */

static const SettingPlace *find_setting(const ServerKind *k, const char *name)
{
	for (const SettingPlace *s = k->settings; s && s->name; s++)
		if (strcmp(s->name, name) == 0)
			return s;
	return NULL;
}

static bool is_on(const char *text)
{
	return strcmp(text, "true") == 0 || strcmp(text, "1") == 0 || strcmp(text, "on") == 0;
}

/* What dream.yaml says of it: {flag: --x}, {switch: --x}, {env: X}. */
static int apply_told(const json_t *place, const char *text, ServerCommand *c)
{
	const char *flag = js_str(place, "flag", NULL), *sw = js_str(place, "switch", NULL);
	const char *names[] = {flag ? flag : sw, NULL};
	if (flag)
		return command_set_flag(c, names, text);
	if (sw)
		return command_set_switch(c, names, is_on(text));
	return command_set_env(c, js_str(place, "env", ""), text);
}

static int apply_known(const SettingPlace *s, const char *text, ServerCommand *c)
{
	if (s->by_request)
		return 0;
	if (s->env)
		return command_set_env(c, s->env, text);
	if (s->off) {
		const char *const off[] = {s->off, NULL};
		int r = command_set_switch(c, off, !is_on(text));
		if (r < 0)
			return r;
	}
	return s->is_switch ? command_set_switch(c, s->flags, is_on(text))
			    : command_set_flag(c, s->flags, text);
}

/* vLLM's and llama.cpp's long flags are the names of their settings. */
static int apply_any(const char *name, const json_t *value, const char *text, ServerCommand *c)
{
	char flag[FLAG_MAX];
	const char *const names[] = {flag, NULL};
	(void)snprintf(flag, sizeof(flag), "--%s", name);
	for (char *p = flag; *p; p++)
		*p = *p == '_' ? '-' : *p;
	return json_is_boolean(value) ? command_set_switch(c, names, json_is_true(value))
				      : command_set_flag(c, names, text);
}

static int apply_one(const ServerKind *k, const ServiceSpec *spec, const char *name,
		     const json_t *value, ServerCommand *c, Err *err)
{
	static const ServiceSpec plain = {0};
	_cleanup_free_ char *text = service_value_text(spec ? spec : &plain, name, value);
	const SettingPlace *s = find_setting(k, name);
	const json_t *told = spec ? json_object_get(spec->places, name) : NULL;
	int r;
	if (!text)
		return err_oom(err);
	if (told)
		r = apply_told(told, text, c);
	else if (strcmp(name, "model") == 0 && k->set_model)
		r = k->set_model(c, text);
	else if (s)
		r = apply_known(s, text, c);
	else if (k->any_flag)
		r = apply_any(name, value, text, c);
	else
		return err_set(
		    err, -EINVAL,
		    "nothing says where %s of a %s goes: give it a place, such as places: "
		    "{%s: {flag: --%s}} or {env: NAME}",
		    name, k->name, name, name);
	return r == -ENOMEM ? err_oom(err)
	       : r < 0	    ? err_set(err, r, "%s cannot be set to '%.100s'", name, text)
			    : 0;
}

int server_apply(const ServerKind *k, const ServiceSpec *spec, const json_t *settings,
		 ServerCommand *c, Err *err)
{
	const char *name;
	json_t *value;
	c->program = program_at(k, c->argv);
	json_object_foreach ((json_t *)(uintptr_t)settings, name, value) {
		if (json_is_null(value))
			continue;
		int r = apply_one(k, spec, name, value, c, err);
		if (r < 0)
			return r;
	}
	return 0;
}

/* A number stays one. */
static json_t *value_of(const char *text)
{
	char *end;
	double v = strtod(text, &end);
	bool number = *text && !*end && strspn(text, "+-.0123456789eE") == strlen(text);
	if (number && fabs(v) < 1e15 && !strpbrk(text, ".eE"))
		return json_integer((json_int_t)v);
	return number ? js_number(v) : js_text(text);
}

static json_t *read_setting(const SettingPlace *s, const ServerCommand *c)
{
	if (s->env) {
		const char *text = command_env(c, s->env);
		return text ? value_of(text) : NULL;
	}
	if (s->is_switch) {
		const char *const off[] = {s->off, NULL};
		if (command_switch(c, s->flags))
			return json_true();
		return command_switch(c, off) ? json_false() : NULL;
	}
	const char *text = s->flags[0] ? command_flag(c, s->flags) : NULL;
	if (!text && s->also)
		text = command_env(c, s->also);
	return text ? value_of(text) : NULL;
}

json_t *server_settings(const ServerKind *k, const ServerCommand *c)
{
	bool failed = false;
	json_t *o = json_object();
	ServerCommand own = seen(k, c);
	for (const SettingPlace *s = k->settings; s && s->name; s++) {
		json_t *v = read_setting(s, &own);
		if (v)
			js_set(o, s->name, v, &failed);
	}
	const char *model = k->model ? k->model(&own) : NULL;
	if (model)
		js_set(o, "model", js_text(model), &failed);
	if (!failed)
		return o;
	json_decref(o);
	return NULL;
}

/* --- Where it listens ------------------------------------------------------------------------ */

int server_set_listen(const ServerKind *k, ServerCommand *c, const char *host, uint16_t port,
		      Err *err)
{
	char text[16];
	c->program = program_at(k, c->argv);
	if (k->set_listen)
		return k->set_listen(c, host, port, err);
	if (!k->port_flags[0])
		return err_set(err, -EINVAL, "a %s cannot be told where to listen", k->name);
	(void)snprintf(text, sizeof(text), "%u", (unsigned)port);
	if (command_set_flag(c, k->port_flags, text) < 0 ||
	    (k->host_flags[0] && command_set_flag(c, k->host_flags, host) < 0))
		return err_oom(err);
	return 0;
}

int server_listen(const ServerKind *k, const ServerCommand *c, uint16_t *ret_port)
{
	ServerCommand own = seen(k, c);
	const char *text = k->port_flags[0] ? command_flag(&own, k->port_flags) : NULL;
	if (!k->speaks_http)
		return -ENOENT;
	if (k->listen && k->listen(&own, ret_port))
		return 0;
	long port = text ? strtol(text, NULL, 10) : k->default_port;
	if (port <= 0 || port > PORT_MAX)
		return -ENOENT;
	*ret_port = (uint16_t)port;
	return 0;
}

int server_model(const ServerKind *k, const ServerCommand *c, char **ret, Err *err)
{
	ServerCommand own = seen(k, c);
	const char *model = k->model ? k->model(&own) : NULL;
	*ret = strdup(model ? model : "");
	return *ret ? 0 : err_oom(err);
}

/* --- Readiness ------------------------------------------------------------------------------- */

const char *server_health_path(const ServerKind *k)
{
	return k->health_path;
}

HealthVerdict server_health(const ServerKind *k, int status, const char *body, size_t len)
{
	if (k->health)
		return k->health(status, body, len);
	/* It answers, and has no such page: the first real request will tell. */
	if (status == 404 || status == 405)
		return HEALTH_READY;
	return status >= 200 && status < 300 ? HEALTH_READY : HEALTH_LOADING;
}

bool server_load_request(const ServerKind *k, const ServerCommand *c, const json_t *settings,
			 char **ret_path, char **ret_body)
{
	return k->load_request && k->load_request(c, settings, ret_path, ret_body);
}

json_t *server_ask(const ServerKind *k, const json_t *settings)
{
	bool failed = false;
	json_t *options = json_object(), *o = json_object();
	for (const SettingPlace *s = k->settings; s && s->name; s++) {
		const json_t *v = json_object_get(settings, s->name);
		if (s->by_request && v && strcmp(s->name, "model") != 0)
			js_set(options, s->name, js_deep_copy(v), &failed);
	}
	if (json_object_size(options) > 0) {
		js_set(o, "keep_alive", json_integer(-1), &failed);
		js_set(o, "options", json_incref(options), &failed);
	}
	failed |= !options;
	json_decref(options);
	if (!failed)
		return o;
	json_decref(o);
	return NULL;
}

const char *server_account_path(const ServerKind *k)
{
	return k->account_path;
}

int server_account(const ServerKind *k, const char *body, size_t len, int64_t *ret_gpu_bytes,
		   int64_t *ret_all_bytes)
{
	return k->account ? k->account(body, len, ret_gpu_bytes, ret_all_bytes) : -ENODATA;
}

const char *server_metrics_path(const ServerKind *k)
{
	return k->metrics_path;
}
