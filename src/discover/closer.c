/* A closer look at one server: its start-up log, its health page, the files beside it. */
#include <dirent.h>
#include <math.h>
#include <string.h>

#include "base/file.h"
#include "base/json.h"
#include "discover/sight.h"
#include "http/client.h"
#include "server/vllm_log.h"
#include "service/strings.h"
#include "systemd/journal.h"

enum {
	LOG_MAX = 4 << 20,
	BODY_MAX = 1 << 20,
	ASK_US = 2000000,
	FILES_MAX = 64,
	VERSION_FILE_MAX = 4096,
};

static bool is_kind(const FoundServer *s, const char *kind)
{
	return strcmp(server_kind_name(s->kind), kind) == 0;
}

/* --- The journal ----------------------------------------------------------------------------- */

int sight_start(FoundServer *s, Err *err)
{
	_cleanup_free_ char *text = NULL;
	VllmLog log = {0};
	size_t len = 0;
	if (!is_kind(s, "vllm") || !*s->unit || s->user_unit || !*s->invocation)
		return 0;
	int r = journal_read(s->unit, s->invocation, NULL, LOG_MAX, &text, &len, NULL);
	if (r < 0)
		return r == -ENOMEM ? err_oom(err) : 0;
	if (vllm_log_parse(text, len, &log, NULL) < 0)
		return 0;
	if (isfinite(log.start.kv_gib) && log.start.kv_gib > 0 && log.start.kv_tokens > 0) {
		s->start = log.start;
		s->start_known = true;
		log.start.key = (VllmKey){0}; /* it is ours now */
	}
	vllm_log_done(&log);
	return 0;
}

/* --- Its pages ------------------------------------------------------------------------------- */

typedef struct Asked {
	sd_event *loop;
	int status;
	char *body;
} Asked;

static void on_answer(void *ctx, const HttpEnd *end, const char *body, size_t len)
{
	Asked *a = ctx;
	a->status = end->fault == HTTP_FINE ? end->status : 0;
	a->body = strndup(body ? body : "", len);
	(void)sd_event_exit(a->loop, 0);
}

/* status 0: no answer within the time. */
static int get(const FoundServer *s, const char *path, Asked *a, Err *err)
{
	_cleanup_(httploop_freep) HttpLoop *http = NULL;
	_cleanup_(httpclient_freep) HttpClient *client = NULL;
	char host[sizeof(s->host)] = "127.0.0.1";
	if (*s->host)
		memcpy(host, s->host, sizeof(host));
	HttpTarget to = {.host = host, .port = s->port, .base = (char[]){""}};
	const HttpClientSpec spec = {.target = &to, .connect_timeout_us = ASK_US};
	const HttpRequest rq = {.method = "GET", .path = path, .timeout_us = ASK_US};
	HttpCall *call = NULL;
	/* A loop that was left once stays so: each question has its own. */
	int r = sd_event_new(&a->loop);
	if (r >= 0)
		r = httploop_new(a->loop, &http, err);
	if (r >= 0)
		r = httpclient_new(http, &spec, &client, err);
	if (r >= 0)
		r = http_fetch(client, &rq, BODY_MAX, on_answer, a, &call, err);
	if (r >= 0)
		r = sd_event_loop(a->loop);
	return r < 0 ? r : 0;
}

static void asked_done(Asked *a)
{
	sd_event_unref(a->loop);
	free(a->body);
}

/* The model that Ollama has loaded, else the first that it has. */
static int ollama_model(FoundServer *s, Err *err)
{
	static const char *const pages[] = {"/api/ps", "/api/tags"};
	for (size_t i = 0; i < 2 && !s->model; i++) {
		_cleanup_(asked_done) Asked a = {0};
		json_auto_t *o = NULL;
		if (get(s, pages[i], &a, err) < 0 || a.status != 200 || !a.body)
			continue;
		if (js_parse(a.body, strlen(a.body), BODY_MAX, &o, NULL) < 0)
			continue;
		const char *name =
		    js_str(json_array_get(json_object_get(o, "models"), 0), "name", NULL);
		if (name && !(s->model = strdup(name)))
			return err_oom(err);
	}
	return 0;
}

int sight_health(FoundServer *s, Err *err)
{
	const char *path = server_health_path(s->kind);
	_cleanup_(asked_done) Asked a = {0};
	if (s->port == 0)
		return 0;
	if (get(s, path ? path : "/", &a, err) < 0)
		return 0; /* it could not be asked */
	s->health = a.status;
	return is_kind(s, "ollama") && a.status > 0 ? ollama_model(s, err) : 0;
}

/* --- Files ----------------------------------------------------------------------------------- */

/* "/srv/ggml-small.bin" among others of its kind. */
static int list_models(FoundServer *s, Err *err)
{
	const char *model = js_str(s->settings, "model", NULL);
	if (!model || !strchr(model, '/') || strncmp(path_base(model), "ggml-", 5) != 0)
		return 0;
	_cleanup_free_ char *whole = path_join(s->command.cwd ? s->command.cwd : "/", model);
	if (!whole)
		return err_oom(err);
	_cleanup_free_ char *dir = path_dir(whole);
	DIR *d = dir ? opendir(dir) : NULL;
	if (!d)
		return dir ? 0 : err_oom(err);
	int r = 0;
	size_t n = 0;
	for (struct dirent *e; r >= 0 && n < FILES_MAX && (e = readdir(d));) {
		size_t len = strlen(e->d_name);
		if (strncmp(e->d_name, "ggml-", 5) != 0 || len < 10 || len > 200 ||
		    strcmp(e->d_name + len - 4, ".bin") != 0)
			continue;
		r = strings_add(&s->models, path_join(dir, e->d_name));
		n++;
	}
	closedir(d);
	return r < 0 ? err_oom(err) : 0;
}

/* __version__ = '2.8.0+cu128' */
static char *quoted_version(const char *text)
{
	const char *at = strstr(text, "__version__");
	const char *open = at ? strpbrk(at, "'\"") : NULL;
	size_t n = open ? strspn(open + 1, "0123456789abcdefghijklmnopqrstuvwxyz.+-") : 0;
	return n > 0 && n < 60 ? strndup(open + 1, n) : NULL;
}

static char *torch_below(const char *lib)
{
	DIR *d = opendir(lib);
	char *version = NULL;
	for (struct dirent *e; d && !version && (e = readdir(d));) {
		if (strncmp(e->d_name, "python3", 7) != 0)
			continue;
		_cleanup_free_ char *path =
		    str_fmt("%s/%s/site-packages/torch/version.py", lib, e->d_name);
		size_t len;
		_cleanup_free_ char *text = NULL;
		if (path && file_read(path, VERSION_FILE_MAX, &text, &len, NULL) >= 0)
			version = quoted_version(text);
	}
	if (d)
		closedir(d);
	return version;
}

/* Its PyTorch is where its Python is: /opt/venv/bin/vllm has /opt/venv/lib/python3.11/. */
static int find_torch(FoundServer *s, Err *err)
{
	for (size_t i = 0; i < 2 && s->command.argv && s->command.argv[i] && !s->torch; i++) {
		const char *program = s->command.argv[i];
		if (program[0] != '/' || is_container(s))
			continue;
		_cleanup_free_ char *bin = path_dir(program);
		if (!bin)
			return err_oom(err);
		_cleanup_free_ char *lib = str_fmt("%s/../lib", bin);
		if (!lib)
			return err_oom(err);
		s->torch = torch_below(lib);
	}
	return 0;
}

int sight_files(FoundServer *s, Err *err)
{
	int r = is_kind(s, "whispercpp") ? list_models(s, err) : 0;
	return r < 0 ? r : find_torch(s, err);
}
