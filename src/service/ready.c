/* How an instance becomes ready: its health page says so, the port is really its own, the kind's
 * load request is answered, and then a first real request. A service without HTTP is ready when its
 * probe program ends well, when its output says so, when it listens, or, with none of these, when
 * it runs. */
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/str.h"
#include "service/firstrequest.h"
#include "service/internal.h"
#include "service/port.h"

enum {
	FAST_US = 20000,
	FAST_UNTIL_US = 2000000,
	SLOW_US = 250000,
	LOOK_TIMEOUT_US = 2000000, /* of one health request */
	HEALTH_MAX = 1 << 20,
	ANSWER_MAX = 4 << 20,
	FOREIGN_LOOKS = 3,
	CONTAINER_LOOK_US = 500000,
};

static int on_tick(sd_event_source *s, uint64_t at, void *ctx);

static void seen(Instance *i, const char *fmt, ...) _printf_(2, 3);
static void seen(Instance *i, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	(void)vsnprintf(i->seen, sizeof(i->seen), fmt, ap);
	va_end(ap);
}

static void again(Instance *i)
{
	bool fast = now_us() - i->began_us < FAST_UNTIL_US;
	if (timer_set(i, &i->tick, now_us() + (fast ? FAST_US : SLOW_US), on_tick, NULL) < 0)
		instance_abort(i, "it cannot be looked at any more: no timer can be set");
}

static void is_ready(Instance *i)
{
	ready_end(i);
	i->phase = INSTANCE_READY;
	i->ready_us = now_us() - i->began_us;
	i->h->ready(i->ctx, i);
}

static const char *fault_words(HttpFault f)
{
	static const char *const words[HTTP_FAULT_MAX_] = {
	    [HTTP_FINE] = "",
	    [HTTP_RESOLVE] = "its address is not known",
	    [HTTP_CONNECT] = "the connection was refused",
	    [HTTP_TLS] = "TLS failed",
	    [HTTP_TIMEOUT] = "no answer came in time",
	    [HTTP_CLOSED] = "the connection was closed without an answer",
	    [HTTP_TRUNCATED] = "the answer broke off in the middle",
	    [HTTP_GARBAGE] = "what came is no HTTP",
	    [HTTP_BROKER] = ("it could not be asked: dream-connect gave no connection "
			     "(systemctl status dream-connect.service)"),
	    [HTTP_NO_PORT] = "this machine has no address or port left to ask it from",
	};
	return (unsigned)f < HTTP_FAULT_MAX_ ? words[f] : "";
}

/* --- Containers ------------------------------------------------------------------------------ */

/* Its processes are the container daemon's children, and use the GPU long before they listen. */
static void find_container(Instance *i)
{
	const char *const argv[] = {i->container_program, "inspect",	"-f",
				    "{{.State.Pid}}",	  i->container, NULL};
	ProcSpec spec = {.argv = argv, .stdin_path = "/dev/null", .stderr_fd = -1};
	_cleanup_free_ char *out = NULL;
	if (!i->container || i->container_pid > 0 || now_us() < i->container_look_us)
		return;
	if (proc_run(&spec, NULL, 0, 64, LOOK_TIMEOUT_US, &out, NULL, NULL) >= 0)
		i->container_pid = (pid_t)strtol(out, NULL, 10);
	i->container_look_us = now_us() + CONTAINER_LOOK_US;
	if (i->container_pid > 0 && i->h->moved)
		i->h->moved(i->ctx, i);
}

/* --- Whose port ------------------------------------------------------------------------------ */

/* An answer must come from our own process. A port whose owner cannot be seen is another user's, if
 * ours is a process that we could see into; a look may also fall between a listen and an exit, so
 * one alone proves nothing. */
static bool check_port(Instance *i)
{
	pid_t pid = 0;
	Owner o = instance_owner(i);

	if (i->port_is_ours || i->spec->port == 0)
		return true;
	if (!port_is_taken(i->spec->port, &pid)) {
		seen(i, "nothing listens on port %u", i->spec->port);
		return false;
	}
	if (i->container && i->container_pid <= 0) {
		seen(i, "its container is not running yet");
		return false;
	}
	bool visible =
	    geteuid() == 0 || (runs_as_child(i) && !i->spec->command->user && !i->container);
	if (pid > 0 ? owner_has(&o, pid) : !visible) {
		i->port_is_ours = true;
		return true;
	}
	if (++i->foreign < FOREIGN_LOOKS)
		return false;
	_cleanup_free_ char *who = NULL;
	if (pid <= 0 || process_words(pid, &who) < 0)
		who = NULL;
	i->end.port_taken = true;
	instance_abort(i, "port %u is taken by somebody else (process %d %.100s)", i->spec->port,
		       (int)pid, who ? who : "");
	return false;
}

/* --- The first real request ------------------------------------------------------------------ */

static Protocol protocol_of(const Instance *i)
{
	Protocol p = server_protocol(i->spec->kind);
	if (i->spec->service->protocol)
		(void)protocol_from_name(i->spec->service->protocol, &p);
	return p;
}

static void on_first(void *ctx, const HttpEnd *end, const char *body, size_t len)
{
	Instance *i = ctx;
	Err err = ERR_INIT;

	i->call = NULL;
	if (end->fault != HTTP_FINE) {
		seen(i, "its first request failed: %s", fault_words(end->fault));
		again(i);
		return;
	}
	if (firstrequest_check(protocol_of(i), end->status, body, len, &err) >= 0) {
		is_ready(i);
		return;
	}
	seen(i, "its first request failed: %.120s", err.msg);
	if (end->status == 503 || end->status == 429) {
		again(i);
		return;
	}
	i->end.first_request_failed = true;
	instance_abort(i, "its first request failed: %s", err.msg);
}

static int send_first(Instance *i, Err *err)
{
	FirstRequestSpec want = {.protocol = protocol_of(i),
				 .model = i->spec->service->model,
				 .ask = i->spec->service->ask,
				 .clip = i->spec->warm_clip};
	FirstRequest f = {0};
	_cleanup_free_ char *model = NULL;

	if (!want.model)
		want.model = i->spec->model;
	seen(i, "it is healthy, and its first request is not answered yet");
	int r = want.model ? 0 : server_model(i->spec->kind, i->spec->command, &model, err);
	if (r < 0)
		return r;
	if (!want.model)
		want.model = model;
	r = firstrequest_make(&want, &f, err);
	if (r < 0)
		return r;
	HttpRequest rq = {.method = f.body ? "POST" : "GET",
			  .path = f.path,
			  .type = f.type,
			  .body = f.body,
			  .body_len = f.body_len,
			  .timeout_us = i->deadline_us - now_us() + LOOK_TIMEOUT_US};
	r = http_fetch(i->client, &rq, ANSWER_MAX, on_first, i, &i->call, err);
	firstrequest_done(&f);
	return r;
}

/* --- Load, health ---------------------------------------------------------------------------- */

static void next_step(Instance *i, ReadyStep step)
{
	i->step = step;
	if (step == READY_FIRST && server_role(i->spec->kind) == ROLE_NONE)
		is_ready(i);
	else
		again(i);
}

static void on_loaded(void *ctx, const HttpEnd *end, const char *body, size_t len)
{
	Instance *i = ctx;
	Str text = STR_INIT;

	i->call = NULL;
	if (end->fault == HTTP_FINE && end->status >= 200 && end->status < 300) {
		next_step(i, READY_FIRST);
		return;
	}
	str_add_safe(&text, body ? body : "", body ? len : 0, 100);
	seen(i, "its load request failed (%s, status %d) %s", http_fault_name(end->fault),
	     end->status, text.s ? text.s : "");
	str_done(&text);
	if (end->fault != HTTP_FINE || end->status == 503 || end->status == 429) {
		again(i);
		return;
	}
	i->end.first_request_failed = true;
	instance_abort(i, "%s", i->seen);
}

/* 1: sent. 0: this kind has none. */
static int send_load(Instance *i, Err *err)
{
	_cleanup_free_ char *path = NULL, *body = NULL;

	if (!server_load_request(i->spec->kind, i->spec->command, i->spec->settings, &path, &body))
		return 0;
	seen(i, "its load request is not answered yet");
	HttpRequest rq = {.method = "POST",
			  .path = path,
			  .type = "application/json",
			  .body = body,
			  .body_len = body ? strlen(body) : 0,
			  .timeout_us = i->deadline_us - now_us() + LOOK_TIMEOUT_US};
	int r = http_fetch(i->client, &rq, ANSWER_MAX, on_loaded, i, &i->call, err);
	return r < 0 ? r : 1;
}

static void on_health(void *ctx, const HttpEnd *end, const char *body, size_t len)
{
	Instance *i = ctx;

	i->call = NULL;
	if (end->fault != HTTP_FINE) {
		seen(i, "its health page gives no answer: %s", fault_words(end->fault));
		again(i);
		return;
	}
	switch (server_health(i->spec->kind, end->status, body ? body : "", len)) {
	case HEALTH_READY:
		next_step(i, READY_LOAD);
		return;
	case HEALTH_LOADING:
		seen(i, "it says that it still loads (status %d)", end->status);
		again(i);
		return;
	case HEALTH_BROKEN:
		break;
	}
	instance_abort(i, "its health page says that it will not become ready (status %d)",
		       end->status);
}

static int send_health(Instance *i, Err *err)
{
	const char *path = server_health_path(i->spec->kind);
	HttpRequest rq = {
	    .method = "GET", .path = path ? path : "/", .timeout_us = LOOK_TIMEOUT_US};
	if (!*i->seen || strncmp(i->seen, "nothing listens", 15) == 0)
		seen(i, "it listens, and its health page is not answered yet");
	return http_fetch(i->client, &rq, HEALTH_MAX, on_health, i, &i->call, err);
}

static int look_http(Instance *i, Err *err)
{
	int r = 0;
	if (i->call)
		return 0;
	/* Nobody but our own process is asked. */
	if (!check_port(i)) {
		if (i->phase == INSTANCE_STARTING)
			again(i);
		return 0;
	}
	if (i->step == READY_HEALTH)
		return send_health(i, err);
	if (i->step == READY_LOAD) {
		r = send_load(i, err);
		if (r != 0)
			return r;
		next_step(i, READY_FIRST);
		return 0;
	}
	return send_first(i, err);
}

/* --- Without HTTP ---------------------------------------------------------------------------- */

static void probe_over(Instance *i)
{
	source_drop(&i->probe_end);
	proc_done(&i->probe);
}

static int on_probe_end(sd_event_source *s, int fd, uint32_t events, void *ctx)
{
	Instance *i = ctx;
	siginfo_t si;
	char how[48];
	(void)s;
	(void)fd;
	(void)events;
	if (proc_reap(&i->probe, &si) == 0)
		return 0;
	probe_over(i);
	if (si.si_code == CLD_EXITED && si.si_status == 0) {
		is_ready(i);
		return 0;
	}
	proc_describe(&si, how);
	seen(i, "its probe ended with %s", how);
	again(i);
	return 0;
}

static int start_probe(Instance *i, Err *err)
{
	const ConfStrings *p = &i->spec->service->probe;
	const char **argv = calloc(p->n + 1, sizeof(*argv));
	if (!argv)
		return err_oom(err);
	for (size_t k = 0; k < p->n; k++)
		argv[k] = p->items[k];
	ProcSpec spec = {.argv = argv,
			 .cwd = i->spec->service->cwd,
			 .stdin_path = "/dev/null",
			 .stdout_fd = i->output.fd,
			 .stderr_fd = i->output.fd};
	int r = proc_spawn(&spec, &i->probe, err);
	free(argv);
	if (r >= 0)
		r = sd_event_add_io(i->loop, &i->probe_end, i->probe.pidfd, EPOLLIN, on_probe_end,
				    i);
	return r;
}

static bool output_says(Instance *i, const char *text)
{
	size_t len;
	const char *out = instance_output(i, &len);
	return memmem(out, len, text, strlen(text)) != NULL;
}

static int look_plain(Instance *i, Err *err)
{
	const ServiceSpec *s = i->spec->service;

	if (s->probe.n > 0)
		return i->probe.guard > 0 ? 0 : start_probe(i, err);
	bool ready = true;
	if (s->ready_text) {
		ready = output_says(i, s->ready_text);
		seen(i, "its output does not have '%.80s' yet", s->ready_text);
	} else if (i->spec->port) {
		ready = check_port(i);
	}
	if (i->phase != INSTANCE_STARTING)
		return 0;
	if (ready)
		is_ready(i);
	else
		again(i);
	return 0;
}

/* --- The loop -------------------------------------------------------------------------------- */

static int on_tick(sd_event_source *s, uint64_t at, void *ctx)
{
	Instance *i = ctx;
	Err err = ERR_INIT;
	(void)s;
	(void)at;

	if (i->job) { /* the manager is still starting it: without a port it would look ready */
		again(i);
		return 0;
	}
	find_container(i);
	int r = i->client ? look_http(i, &err) : look_plain(i, &err);
	if (r < 0)
		instance_abort(i, "it cannot be asked whether it is ready: %.180s", err.msg);
	return 0;
}

static int make_client(Instance *i, Err *err)
{
	char host[] = "127.0.0.1", base[] = "";
	HttpTarget target = {.host = host, .port = i->spec->port, .base = base};
	HttpClientSpec spec = {
	    .target = &target, .token = i->spec->token, .connect_timeout_us = LOOK_TIMEOUT_US};
	return httpclient_new(i->http, &spec, &i->client, err);
}

int ready_begin(Instance *i, Err *err)
{
	if (server_speaks_http(i->spec->kind) && i->spec->port) {
		int r = make_client(i, err);
		if (r < 0)
			return r;
	}
	return timer_set(i, &i->tick, now_us() + FAST_US, on_tick, err);
}

void ready_end(Instance *i)
{
	if (i->call)
		http_cancel(TAKE_PTR(i->call));
	source_drop(&i->tick);
	source_drop(&i->deadline);
	probe_over(i);
}
