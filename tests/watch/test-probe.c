/* A probe against a server that answers as it is told. */
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/json.h"
#include "http/server.h"
#include "test.h"
#include "watch/probe.h"

typedef enum Mode {
	ANSWERS,
	STREAMS,
	REFUSES,
	LACKS_THE_MODEL,
	HANGS,
	BREAKS_OFF,
	GENERATES_NOTHING,
} Mode;

typedef struct Rig {
	sd_event *loop;
	HttpLoop *http;
	HttpServer *server;
	Mode mode;
	Incoming *waiting;
	sd_event_source *later;
	int asked;
	char path[100], type[200], token[200];
	char *body;
	size_t body_len;
	char url[60];
	ServiceSpec spec;
	WatchedService watched;
	Asker asker;
	Probe *probe;
	bool over, again;
	ProbeResult result;
} Rig;

#define CHUNK(text) "data: {\"choices\":[{\"text\":\"" text "\"}]}\n\n"

static void say(Incoming *rq, int status, const char *type, const char *text)
{
	CHECK_OK(incoming_answer(rq, status, type, text, strlen(text)));
}

static int on_later(sd_event_source *s, uint64_t at, void *ctx)
{
	static const char rest[] = CHUNK("two") "data: [DONE]\n\n";
	Rig *r = ctx;
	(void)s, (void)at;
	CHECK_OK(incoming_write(r->waiting, rest, sizeof(rest) - 1));
	incoming_end(r->waiting);
	return 0;
}

static void stream(Rig *r, Incoming *rq)
{
	static const char one[] = CHUNK("one");
	CHECK_OK(incoming_stream(rq, 200, "text/event-stream"));
	CHECK_OK(incoming_write(rq, one, sizeof(one) - 1));
	if (r->mode == BREAKS_OFF) {
		incoming_end(rq);
		return;
	}
	r->waiting = rq;
	sd_event_source_unref(r->later);
	CHECK_OK(sd_event_add_time_relative(r->loop, &r->later, CLOCK_MONOTONIC, 60000, 1000,
					    on_later, r));
}

static void serve(void *ctx, Incoming *rq)
{
	Rig *r = ctx;
	const char *type = incoming_header(rq, "Content-Type"),
		   *token = incoming_header(rq, "Authorization"),
		   *body = incoming_body(rq, &r->body_len);
	r->asked++;
	snprintf(r->path, sizeof(r->path), "%s %s", incoming_method(rq), incoming_path(rq));
	snprintf(r->type, sizeof(r->type), "%s", type ? type : "");
	snprintf(r->token, sizeof(r->token), "%s", token ? token : "");
	free(r->body);
	r->body = malloc(r->body_len + 1);
	CHECK(r->body);
	memcpy(r->body, body, r->body_len);
	r->body[r->body_len] = '\0';
	switch (r->mode) {
	case ANSWERS:
		say(rq, 200, "application/json",
		    "{\"choices\":[{\"text\":\"one\"}],\"text\":\"one\","
		    "\"usage\":{\"completion_tokens\":1,\"prompt_tokens\":1}}");
		break;
	case STREAMS:
	case BREAKS_OFF:
		stream(r, rq);
		break;
	case REFUSES:
		say(rq, 503, "text/plain", "busy");
		break;
	case LACKS_THE_MODEL:
		say(rq, 404, "application/json", "{\"error\":{\"message\":\"no such model\"}}");
		break;
	case GENERATES_NOTHING:
		say(rq, 200, "text/event-stream",
		    "data: {\"choices\":[{\"text\":\"\",\"finish_reason\":\"stop\"}]}\n\n"
		    "data: [DONE]\n\n");
		break;
	case HANGS:
		break;
	}
}

static void on_done(void *ctx, const ProbeResult *p)
{
	Rig *r = ctx;
	r->over = true;
	r->result = *p;
	if (r->again) { /* from inside its own end */
		r->again = r->over = false;
		CHECK_OK(probe_send(r->probe, NULL));
	}
}

static char name[] = "judge";

static void rig_open(Rig *r, const char *kind, const char *base_dir)
{
	Err err = ERR_INIT;
	const HttpServerSpec server = {.host = "127.0.0.1", .serve = serve, .ctx = r};
	CHECK_OK(sd_event_new(&r->loop));
	CHECK_OK(httploop_new(r->loop, &r->http, &err));
	CHECK_OK(httpserver_new(r->loop, &server, &r->server, &err));
	snprintf(r->url, sizeof(r->url), "http://127.0.0.1:%u/base", httpserver_port(r->server));
	r->spec.name = name;
	r->spec.kind = strdup(kind);
	if (!r->spec.url && strcmp(kind, "command") != 0)
		r->spec.url = r->url;
	r->watched = watched_service(&r->spec, base_dir);
	int e = asker_open(NULL, r->http, &r->watched, &r->asker, &err);
	if (e < 0)
		printf("# %s\n", err.msg);
	CHECK_OK(e);
	CHECK_OK(probe_new(r->loop, &r->asker, base_dir, 300000, on_done, r, &r->probe, &err));
}

static void rig_done(Rig *r)
{
	probe_free(r->probe);
	asker_done(&r->asker);
	sd_event_source_unref(r->later);
	httpserver_free(r->server);
	httploop_free(r->http);
	sd_event_unref(r->loop);
	free(r->spec.kind);
	free(r->body);
}

static void probe(Rig *r)
{
	Err err = ERR_INIT;
	r->over = false;
	CHECK_OK(probe_send(r->probe, &err));
	CHECK_ERR(probe_send(r->probe, &err), EBUSY);
	while (!r->over)
		CHECK_OK(sd_event_run(r->loop, 5000000));
	CHECK(!probe_busy(r->probe));
}

TEST(a_stream_gives_the_time_to_its_first_token_and_to_its_end)
{
	Rig r = {.mode = STREAMS};
	rig_open(&r, "vllm", NULL);
	probe(&r);
	CHECK(r.result.ok);
	CHECK_STR(r.result.why, "");
	CHECK_STR(r.path, "POST /base/v1/completions");
	CHECK(r.result.latency_ms >= 59);
	CHECK(r.result.ttft_ms > 0 && r.result.ttft_ms < r.result.latency_ms - 40);
	rig_done(&r);
}

TEST(what_is_asked_is_the_same_each_time)
{
	static char model[] = "m-1";
	Rig r = {.mode = ANSWERS, .spec.model = model};
	r.spec.ask = json_pack("{s:i,s:b}", "top_k", 1, "ignore_eos", 1);
	rig_open(&r, "llamacpp", NULL);
	probe(&r);
	CHECK(r.result.ok && isnan(r.result.ttft_ms));
	_cleanup_free_ char *first = strdup(r.body);
	json_auto_t *o = json_loads(r.body, 0, NULL);
	CHECK(o);
	CHECK_STR(js_str(o, "model", ""), "m-1");
	CHECK_INT(json_integer_value(json_object_get(o, "max_tokens")), PROBE_TOKENS);
	CHECK_INT(json_integer_value(json_object_get(o, "temperature")), 0);
	CHECK(json_is_true(json_object_get(o, "stream")));
	CHECK(json_is_true(json_object_get(o, "ignore_eos")));
	CHECK(strlen(js_str(o, "prompt", "")) > 10);
	probe(&r);
	CHECK_STR(r.body, first);
	json_decref(r.spec.ask);
	rig_done(&r);
}

TEST(what_the_configuration_says_wins)
{
	static char chat[] = "openai-chat";
	Rig r = {.mode = ANSWERS, .spec.protocol = chat};
	r.spec.ask = json_pack("{s:f,s:b,s:i}", "temperature", 0.7, "stream", 0, "max_tokens", 3);
	rig_open(&r, "vllm", NULL);
	probe(&r);
	CHECK_STR(r.path, "POST /base/v1/chat/completions");
	json_auto_t *o = json_loads(r.body, 0, NULL);
	CHECK_NEAR(js_num(o, "temperature", 0), 0.7, 0);
	CHECK_INT(json_integer_value(json_object_get(o, "max_tokens")), 3);
	CHECK(json_is_false(json_object_get(o, "stream")));
	CHECK_INT(json_array_size(json_object_get(o, "messages")), 1);
	json_decref(r.spec.ask);
	rig_done(&r);
}

TEST(speech_is_a_second_of_sound)
{
	Rig r = {.mode = ANSWERS};
	rig_open(&r, "whispercpp", NULL);
	probe(&r);
	CHECK(r.result.ok && r.result.latency_ms > 0 && isnan(r.result.ttft_ms));
	CHECK_STR(r.path, "POST /base/inference");
	CHECK(strncmp(r.type, "multipart/form-data", 19) == 0);
	CHECK(r.body_len > 32000 && memmem(r.body, r.body_len, "WAVEfmt", 7));
	rig_done(&r);
}

TEST(the_token_comes_from_its_file_and_is_never_said)
{
	static char file[] = "token";
	char dir[] = "/tmp/dream-probe-XXXXXX";
	Rig r = {.mode = LACKS_THE_MODEL, .spec.token_file = file};
	CHECK(mkdtemp(dir));
	_cleanup_free_ char *path = path_join(dir, file);
	CHECK_OK(file_write(path, 0600, "s3cret\n", 7, NULL));
	rig_open(&r, "vllm", dir);
	probe(&r);
	CHECK_STR(r.token, "Bearer s3cret");
	CHECK(!strstr(r.result.why, "s3cret"));
	unlink(path);
	rmdir(dir);
	rig_done(&r);
}

static ProbeResult ends_with(Mode mode)
{
	Rig r = {.mode = mode};
	rig_open(&r, "vllm", NULL);
	probe(&r);
	rig_done(&r);
	CHECK(r.result.ok || (isnan(r.result.latency_ms) && isnan(r.result.ttft_ms)));
	CHECK(r.result.ok == (*r.result.why == '\0'));
	return r.result;
}

TEST(what_is_no_answer)
{
	ProbeResult p = ends_with(REFUSES);
	CHECK(!p.ok && !p.wrong && strstr(p.why, "503"));
	p = ends_with(LACKS_THE_MODEL);
	CHECK(!p.ok && p.wrong && strstr(p.why, "no such model"));
	p = ends_with(HANGS);
	CHECK(!p.ok && !p.wrong && strstr(p.why, "in time"));
	p = ends_with(BREAKS_OFF);
	CHECK(!p.ok && strstr(p.why, "end mark"));
	/* It has answered, if not much. */
	p = ends_with(GENERATES_NOTHING);
	CHECK(p.ok && p.latency_ms > 0);
}

TEST(nobody_listens)
{
	static char url[] = "http://127.0.0.1:1";
	Rig r = {.spec.url = url};
	rig_open(&r, "vllm", NULL);
	probe(&r);
	CHECK(!r.result.ok && strstr(r.result.why, "connect"));
	rig_done(&r);
}

TEST(who_was_never_asked_has_not_failed)
{
	Rig r = {.mode = ANSWERS};
	CHECK_OK(setenv("DREAM_CONNECT", "/nonexistent/socket", 1));
	rig_open(&r, "vllm", NULL);
	CHECK_OK(unsetenv("DREAM_CONNECT"));
	probe(&r);
	CHECK(!r.result.ok && !r.result.wrong && r.result.unasked);
	CHECK(strstr(r.result.why, "dream-connect.socket"));
	CHECK_INT(r.asked, 0);
	rig_done(&r);
}

TEST(the_next_may_be_sent_from_inside_the_end)
{
	Rig r = {.mode = ANSWERS, .again = true};
	rig_open(&r, "vllm", NULL);
	probe(&r);
	CHECK_INT(r.asked, 2);
	rig_done(&r);
}

TEST(a_cancelled_probe_is_not_told)
{
	Rig r = {.mode = HANGS};
	rig_open(&r, "vllm", NULL);
	CHECK_OK(probe_send(r.probe, NULL));
	CHECK_OK(sd_event_run(r.loop, 20000));
	probe_cancel(r.probe);
	CHECK(!probe_busy(r.probe));
	CHECK_OK(sd_event_run(r.loop, 400000));
	CHECK(!r.over);
	rig_done(&r);
}

/* --- A program instead ----------------------------------------------------------------------- */

static ProbeResult runs(const char *script)
{
	char *words[] = {strdup("sh"), strdup("-c"), strdup(script)};
	Rig r = {.spec.probe = {.items = words, .n = 3}};
	rig_open(&r, "command", "/");
	CHECK(r.probe);
	probe(&r);
	rig_done(&r);
	for (size_t i = 0; i < 3; i++)
		free(words[i]);
	return r.result;
}

TEST(a_program_may_be_the_probe)
{
	ProbeResult p = runs("sleep 0.05");
	CHECK(p.ok && p.latency_ms >= 50);
	p = runs("exit 3");
	CHECK(!p.ok && strstr(p.why, "exit status 3"));
	p = runs("sleep 60");
	CHECK(!p.ok && strstr(p.why, "in time"));
	p = runs("kill -9 $$");
	CHECK(!p.ok && strstr(p.why, "SIGKILL"));
}

TEST(a_program_runs_where_the_service_would)
{
	static char folder[] = "where";
	char dir[] = "/tmp/dream-probe-XXXXXX";
	char *words[] = {strdup("test"), strdup("-e"), strdup("it-is")};
	Rig r = {.spec = {.cwd = folder, .probe = {.items = words, .n = 3}}};
	CHECK(mkdtemp(dir));
	_cleanup_free_ char *cwd = path_join(dir, folder);
	_cleanup_free_ char *path = path_join(cwd, "it-is");
	CHECK_OK(mkdir(cwd, 0700));
	CHECK_OK(file_write(path, 0600, "", 0, NULL));
	rig_open(&r, "command", dir);
	probe(&r);
	CHECK_STR(r.result.why, "");
	CHECK(r.result.ok);
	unlink(path);
	rmdir(cwd);
	rmdir(dir);
	rig_done(&r);
	for (size_t i = 0; i < 3; i++)
		free(words[i]);
}

TEST(a_watched_service_is_what_dream_yaml_says)
{
	static char here[] = "/etc/dream";
	ServiceSpec spec = {.name = name, .gpu_bytes = 5};
	WatchedService w = watched_service(&spec, here);
	CHECK(w.service == &spec && w.base_dir == here);
	CHECK(w.wants_gpu);
	CHECK_INT(w.gpu_bytes, 5);
	spec.cpu = true;
	CHECK(!watched_service(&spec, here).wants_gpu);
}

TEST(a_service_without_a_way_to_ask_has_no_probe)
{
	Rig r = {0};
	rig_open(&r, "command", NULL);
	CHECK(!r.probe);
	rig_done(&r);
}

TEST(what_cannot_be_asked_is_refused_with_the_reason)
{
	static char kind[] = "vllm", none[] = "nothing";
	ServiceSpec spec = {.name = name, .kind = kind};
	const WatchedService w = {.service = &spec};
	sd_event *loop = NULL;
	HttpLoop *http = NULL;
	Asker a;
	Err err = ERR_INIT;
	CHECK_OK(sd_event_new(&loop));
	CHECK_OK(httploop_new(loop, &http, NULL));
	CHECK_ERR(asker_open(NULL, http, &w, &a, &err), EINVAL);
	CHECK(strstr(err.msg, "judge") && strstr(err.msg, "url"));
	spec.kind = none;
	CHECK_ERR(asker_open(NULL, http, &w, &a, &err), EINVAL);
	spec.kind = kind;
	spec.token_file = none;
	static char url[] = "http://127.0.0.1:1";
	spec.url = url;
	CHECK_ERR(asker_open(NULL, http, &w, &a, &err), ENOENT);
	httploop_free(http);
	sd_event_unref(loop);
}
