#include "watch/probe.h"

#include <fcntl.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/json.h"
#include "base/proc.h"
#include "base/str.h"
#include "loadgen/answer.h"
#include "loadgen/decode.h"
#include "loadgen/form.h"
#include "service/firstrequest.h"

static const char prompt[] = "Count from one to ten in words, separated by commas.";

struct Probe {
	sd_event *loop;
	const Asker *asker;
	const char *base_dir;
	int64_t limit_us, began_us;
	ProbeDone *done;
	void *ctx;
	/* By HTTP: all of what is sent, made once. */
	const char *method;
	char *path, *type, *body;
	size_t body_len;
	bool streaming;
	HttpCall *call;
	Answer answer;
	/* By a program. */
	Proc proc;
	sd_event_source *end, *limit;
};

static int64_t now_us(void)
{
	return clock_mono_us(&clock_system);
}

int64_t probe_gap_us(int64_t every_us, Rng *rng)
{
	return (int64_t)((double)every_us * (0.9 + 0.2 * rng_unit(rng)));
}

bool probe_busy(const Probe *p)
{
	return p->call || p->proc.guard > 0;
}

/* --- What is sent ---------------------------------------------------------------------------- */

static bool is_chat(Protocol p)
{
	return p == PROTOCOL_OPENAI_CHAT || p == PROTOCOL_OLLAMA_CHAT;
}

/* The same answer each time, as far as the server can: no drawing of lots. */
static void ask_for_the_likeliest(json_t *o, Protocol protocol, bool *failed)
{
	json_t *at = o;
	if (protocol_is_ollama(protocol)) {
		at = json_object_get(o, "options");
		at = at ? js_deep_copy(at) : json_object();
		js_set(o, "options", at, failed);
	}
	if (at && !json_object_get(at, "temperature"))
		js_set(at, "temperature", json_integer(0), failed);
}

/* The members of the request beside what the protocol needs: dream.yaml's come first. */
static json_t *members(const Asker *a)
{
	const char *key = is_chat(a->protocol) ? "messages" : "prompt";
	bool failed = false;
	json_t *o = js_deep_copy(a->ask);
	if (!o)
		return NULL;
	if (!json_object_get(o, key))
		js_set(o, key,
		       is_chat(a->protocol)
			   ? json_pack("[{s:s,s:s}]", "role", "user", "content", prompt)
			   : js_text(prompt),
		       &failed);
	ask_for_the_likeliest(o, a->protocol, &failed);
	if (!failed)
		return o;
	json_decref(o);
	return NULL;
}

/* The load generator's own form, without gaps to fill but the number of tokens. */
static int make_llm(Probe *p, Err *err)
{
	const Asker *a = p->asker;
	json_auto_t *extra = members(a);
	_cleanup_(form_done) Form form = {0};
	_cleanup_(str_done) Str body = STR_INIT;
	const Size size = {.output = PROBE_TOKENS};
	Filled filled;
	if (!extra)
		return err_oom(err);
	p->streaming = !json_is_false(json_object_get(extra, "stream"));
	TrafficStream s = {.name = a->service->name,
			   .protocol = a->protocol,
			   .model = *a->model ? a->model : NULL,
			   .streaming = p->streaming,
			   .extra = extra};
	int r = form_new(&s, &form, err);
	if (r < 0)
		return r;
	if (form_fill(&form, NULL, &size, &body, &filled) < 0)
		return err_oom(err);
	p->method = form.method;
	p->path = strdup(form.path);
	p->type = strdup(form.type);
	p->body_len = body.len;
	return p->path && p->type && str_take(&body, &p->body) >= 0 ? 0 : err_oom(err);
}

static int make_stt(Probe *p, Err *err)
{
	const FirstRequestSpec want = {.protocol = p->asker->protocol, .model = p->asker->model};
	FirstRequest f = {0};
	int r = firstrequest_make(&want, &f, err);
	if (r < 0)
		return r;
	p->method = "POST";
	p->path = strdup(f.path);
	p->type = TAKE_PTR(f.type);
	p->body = TAKE_PTR(f.body);
	p->body_len = f.body_len;
	firstrequest_done(&f);
	return p->path ? 0 : err_oom(err);
}

static int make_plain(Probe *p, Err *err)
{
	const char *path = server_health_path(p->asker->kind);
	p->method = "GET";
	p->path = strdup(path ? path : "/");
	return p->path ? 0 : err_oom(err);
}

static int make(Probe *p, Err *err)
{
	if (!p->asker->client)
		return 0;
	if (protocol_is_stt(p->asker->protocol))
		return make_stt(p, err);
	return p->asker->protocol == PROTOCOL_HTTP ? make_plain(p, err) : make_llm(p, err);
}

/* --- By HTTP --------------------------------------------------------------------------------- */

static void on_head(void *ctx, int status, const char *type)
{
	Probe *p = ctx;
	answer_head(&p->answer, status, type);
}

static void on_data(void *ctx, const char *data, size_t n, int64_t at_us)
{
	Probe *p = ctx;
	answer_data(&p->answer, data, n, at_us);
}

static double ms_between(int64_t from_us, int64_t to_us)
{
	return (double)(to_us - from_us) / 1000;
}

static void on_done(void *ctx, const HttpEnd *end)
{
	Probe *p = ctx;
	Answer *a = &p->answer;
	ProbeResult r = {.latency_ms = (double)NAN, .ttft_ms = (double)NAN};
	p->call = NULL;
	answer_end(a, end);
	/* A model that ends at once has answered. */
	r.ok = a->failed == EXCHANGE_OK || a->failed == EXCHANGE_EMPTY;
	r.unasked = end->fault == HTTP_BROKER;
	r.wrong = a->failed == EXCHANGE_STATUS || a->failed == EXCHANGE_SAYS_ERROR ||
		  a->failed == EXCHANGE_GARBAGE;
	if (r.ok) {
		r.latency_ms = ms_between(end->began_us, end->end_us);
		if (p->streaming && a->form != ANSWER_WHOLE && a->first_us > 0)
			r.ttft_ms = ms_between(end->began_us, a->first_us);
	} else {
		(void)snprintf(r.why, sizeof(r.why), "%s", a->why);
	}
	p->done(p->ctx, &r);
}

static int send_http(Probe *p, Err *err)
{
	static const HttpHandler handler = {.head = on_head, .data = on_data, .done = on_done};
	const HttpRequest rq = {.method = p->method,
				.path = p->path,
				.type = p->type,
				.body = p->body,
				.body_len = p->body_len,
				.timeout_us = p->limit_us};
	answer_begin(&p->answer, p->asker->protocol, p->streaming, false);
	return http_call(p->asker->client, &rq, &handler, p, &p->call, err);
}

/* --- By a program ---------------------------------------------------------------------------- */

static void program_over(Probe *p)
{
	p->end = sd_event_source_disable_unref(p->end);
	p->limit = sd_event_source_disable_unref(p->limit);
	proc_done(&p->proc);
	p->proc = PROC_INIT;
}

static int on_program_end(sd_event_source *s, int fd, uint32_t events, void *ctx)
{
	Probe *p = ctx;
	siginfo_t si;
	char how[48];
	ProbeResult r = {.latency_ms = (double)NAN, .ttft_ms = (double)NAN};
	(void)s, (void)fd, (void)events;
	if (proc_reap(&p->proc, &si) == 0)
		return 0;
	r.ok = si.si_code == CLD_EXITED && si.si_status == 0;
	proc_describe(&si, how);
	if (r.ok)
		r.latency_ms = ms_between(p->began_us, now_us());
	else
		(void)snprintf(r.why, sizeof(r.why), "its probe ended with %s", how);
	program_over(p);
	p->done(p->ctx, &r);
	return 0;
}

static int on_program_late(sd_event_source *s, uint64_t at, void *ctx)
{
	Probe *p = ctx;
	ProbeResult r = {.latency_ms = (double)NAN, .ttft_ms = (double)NAN};
	(void)s, (void)at;
	(void)snprintf(r.why, sizeof(r.why), "its probe did not end in time");
	program_over(p);
	p->done(p->ctx, &r);
	return 0;
}

/* Where the service itself would run: a relative one is in the folder of the configuration. */
static char *working_dir(const Probe *p)
{
	const char *base = p->base_dir ? p->base_dir : ".", *cwd = p->asker->service->cwd;
	return cwd ? path_join(base, cwd) : str_fmt("%s", base);
}

static int spawn(Probe *p, Err *err)
{
	const ConfStrings *words = &p->asker->service->probe;
	_cleanup_free_ char *cwd = working_dir(p);
	if (!cwd)
		return err_oom(err);
	const char **argv = calloc(words->n + 1, sizeof(*argv));
	if (!argv)
		return err_oom(err);
	for (size_t i = 0; i < words->n; i++)
		argv[i] = words->items[i];
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	const ProcSpec spec = {.argv = argv,
			       .cwd = cwd,
			       .stdin_path = "/dev/null",
			       .stdout_fd = null,
			       .stderr_fd = null};
	int r = null < 0 ? err_set(err, -errno, "cannot open /dev/null: %m")
			 : proc_spawn(&spec, &p->proc, err);
	if (null >= 0)
		close(null);
	free(argv);
	return r;
}

static int send_program(Probe *p, Err *err)
{
	p->began_us = now_us();
	int r = spawn(p, err);
	if (r >= 0)
		r = sd_event_add_io(p->loop, &p->end, p->proc.pidfd, EPOLLIN, on_program_end, p);
	if (r >= 0)
		r = sd_event_add_time_relative(p->loop, &p->limit, CLOCK_MONOTONIC,
					       (uint64_t)p->limit_us, 1000, on_program_late, p);
	if (r < 0)
		program_over(p);
	return r;
}

/* --- All of it ------------------------------------------------------------------------------- */

int probe_send(Probe *p, Err *err)
{
	if (probe_busy(p))
		return err_set(err, -EBUSY, "the probe of %s is not answered yet",
			       p->asker->service->name);
	return p->asker->client ? send_http(p, err) : send_program(p, err);
}

void probe_cancel(Probe *p)
{
	if (p->call)
		http_cancel(TAKE_PTR(p->call));
	program_over(p);
}

Probe *probe_free(Probe *p)
{
	if (!p)
		return NULL;
	probe_cancel(p);
	answer_done(&p->answer);
	free(p->path);
	free(p->type);
	free(p->body);
	free(p);
	return NULL;
}

int probe_new(sd_event *loop, const Asker *a, const char *base_dir, int64_t limit_us,
	      ProbeDone *done, void *ctx, Probe **ret, Err *err)
{
	*ret = NULL;
	if (!a->client && a->service->probe.n == 0)
		return 0;
	Probe *p = calloc(1, sizeof(*p));
	if (!p)
		return err_oom(err);
	*p = (Probe){.loop = loop,
		     .asker = a,
		     .base_dir = base_dir,
		     .limit_us = limit_us,
		     .done = done,
		     .ctx = ctx,
		     .proc = PROC_INIT};
	int r = make(p, err);
	if (r < 0)
		return (void)probe_free(p), r;
	*ret = p;
	return 0;
}
