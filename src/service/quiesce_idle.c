/* Is production used? Looked at again and again, since one quiet moment says nothing: by a metrics
 * page that counts requests, or by the connections to the units' ports. */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/str.h"
#include "connect/connect.h"
#include "service/port.h"
#include "service/quiesce_internal.h"
#include "service/strings.h"

enum {
	PAGE_MAX = 4 << 20,
	PORTS_MAX = 64,
	FETCH_US = 3000000,
	STEP_MIN_US = 100000,
	STEP_MAX_US = 1000000,
};

struct IdleWatch {
	HttpClient *client;
	HttpCall *call;
	sd_event_source *timer;
	const QuiesceSpec *q;
	char **units; /* a copy */
	size_t n;
	int64_t busy_at_us, until_us, step_us;
	double activity;
	bool known; /* activity was seen once */
	char why[200];
	IdleTold *told;
	void *ctx;
};

/* --- A metrics page -------------------------------------------------------------------------- */

/* Figures of the servers' own pages. A gauge above zero is use; a counter that grew is use since
 * the last look, however short it was. */
static const struct {
	const char *name;
	bool gauge;
} figures[] = {
    {"vllm:num_requests_running", true},     {"vllm:num_requests_waiting", true},
    {"vllm:request_success_total", false},   {"vllm:prompt_tokens_total", false},
    {"llamacpp:requests_processing", true},  {"llamacpp:requests_deferred", true},
    {"llamacpp:prompt_tokens_total", false}, {"llamacpp:tokens_predicted_total", false},
};

/* "name{labels} value [timestamp]". The value after the name, or NAN's absence told by false. */
static bool sample_value(const char *line, size_t len, const char *name, double *ret)
{
	size_t n = strlen(name);
	char number[64];

	if (len <= n || memcmp(line, name, n) != 0 || (line[n] != '{' && line[n] != ' '))
		return false;
	const char *at = line + n, *end = line + len;
	if (*at == '{') {
		const char *close = memrchr(at, '}', (size_t)(end - at));
		if (!close)
			return false;
		at = close + 1;
	}
	while (at < end && *at == ' ')
		at++;
	size_t k = 0;
	while (at < end && !isspace((unsigned char)*at) && k + 1 < sizeof(number))
		number[k++] = *at++;
	number[k] = '\0';
	char *stop;
	*ret = strtod(number, &stop);
	return k > 0 && *stop == '\0';
}

static bool read_line(const char *line, size_t len, IdleLook *look)
{
	for (size_t i = 0; i < sizeof(figures) / sizeof(figures[0]); i++) {
		double v;
		if (!sample_value(line, len, figures[i].name, &v))
			continue;
		if (!figures[i].gauge) {
			look->activity += v;
		} else if (!(v <= 0)) { /* a figure that is no number is no proof of rest */
			look->busy = true;
			snprintf(look->why, sizeof(look->why), "%s is %g", figures[i].name, v);
		}
		return true;
	}
	return false;
}

int idle_read_metrics(const char *text, size_t len, IdleLook *ret)
{
	bool any = false;

	*ret = (IdleLook){0};
	for (const char *at = text, *end = text + len; at < end;) {
		const char *stop = memchr(at, '\n', (size_t)(end - at));
		size_t n = stop ? (size_t)(stop - at) : (size_t)(end - at);
		any |= read_line(at, n, ret);
		at += n + 1;
	}
	return any ? 0 : -ENODATA;
}

/* --- Connections ----------------------------------------------------------------------------- */

/* "sl: local:port remote:port st ...", in hex; 01 is an established connection. */
static bool is_connection(const char *line, const uint16_t *ports, size_t n)
{
	unsigned port, state;

	if (sscanf(line, " %*u: %*32[0-9A-Fa-f]:%4x %*32[0-9A-Fa-f]:%*4x %2x", &port, &state) != 2)
		return false;
	for (size_t i = 0; i < n; i++)
		if (state == 1 && ports[i] == port)
			return true;
	return false;
}

size_t idle_count_connections(const char *text, size_t len, const uint16_t *ports, size_t n)
{
	size_t count = 0;

	for (const char *at = text, *end = text + len; at < end;) {
		const char *stop = memchr(at, '\n', (size_t)(end - at));
		char line[128];
		size_t k = stop ? (size_t)(stop - at) : (size_t)(end - at);
		snprintf(line, sizeof(line), "%.*s", (int)(k < 120 ? k : 120), at);
		count += is_connection(line, ports, n);
		at += k + 1;
	}
	return count;
}

static int connections(const uint16_t *ports, size_t n, size_t *ret, Err *err)
{
	_cleanup_free_ char *text = NULL;
	size_t len;

	int r = connect_tables(&text, &len, err);
	if (r == 0)
		*ret = idle_count_connections(text, len, ports, n);
	return r;
}

static bool belongs(const Listener *l, const char *unit)
{
	_cleanup_free_ char *of = NULL;
	return l->pid > 0 && unit_of_pid(l->pid, &of, NULL) >= 0 && strcmp(of, unit) == 0;
}

/* The ports of the units. A unit without one cannot be judged by connections. */
static int find_ports(const IdleWatch *w, uint16_t *ports, size_t *ret_n, char *why,
		      size_t why_size)
{
	Listener *all = NULL;
	size_t n = 0, k = 0;
	Err err = ERR_INIT;

	if (listeners(&all, &n, &err) < 0) {
		snprintf(why, why_size, "%.150s", err.msg);
		return -ENODATA;
	}
	for (size_t u = 0; u < w->n; u++) {
		size_t before = k;
		for (size_t i = 0; i < n && k < PORTS_MAX; i++)
			if (belongs(&all[i], w->units[u]))
				ports[k++] = all[i].port;
		if (k == before) {
			snprintf(why, why_size,
				 "%s listens on no port, so it cannot be seen whether it is used; "
				 "set idle_url",
				 w->units[u]);
			free(all);
			return -ENODATA;
		}
	}
	free(all);
	*ret_n = k;
	return 0;
}

/* --- Again and again ------------------------------------------------------------------------- */

IdleWatch *idlewatch_free(IdleWatch *w)
{
	if (!w)
		return NULL;
	if (w->call)
		http_cancel(w->call);
	httpclient_free(w->client);
	sd_event_source_disable_unref(w->timer);
	strings_free(w->units);
	free(w);
	return NULL;
}

DEFINE_CLEANUP(IdleWatch *, idlewatch_free)

static void again(IdleWatch *w)
{
	(void)sd_event_source_set_time_relative(w->timer, (uint64_t)w->step_us);
	(void)sd_event_source_set_enabled(w->timer, SD_EVENT_ONESHOT);
}

/* May end the watch: nothing of it is used after. */
static void judge(IdleWatch *w, const IdleLook *look)
{
	int64_t now = clock_mono_us(&clock_system);
	bool asked = w->known && !(look->activity == w->activity);

	if (look->busy || asked || !w->known)
		w->busy_at_us = now;
	if (look->busy)
		snprintf(w->why, sizeof(w->why), "%s", look->why);
	else if (asked)
		snprintf(w->why, sizeof(w->why), "requests were answered %s",
			 "within the last moments");
	w->activity = look->activity;
	w->known = true;
	if (!look->busy && now - w->busy_at_us >= w->q->idle_us)
		w->told(w->ctx, NULL);
	else if (now >= w->until_us)
		w->told(w->ctx, w->why[0] ? w->why : "it was not idle for long enough");
	else
		again(w);
}

static void unseen(IdleWatch *w, const char *why)
{
	IdleLook look = {.busy = true, .activity = w->activity};
	snprintf(look.why, sizeof(look.why), "%.150s", why);
	judge(w, &look);
}

static void look_at_connections(IdleWatch *w)
{
	uint16_t ports[PORTS_MAX];
	IdleLook look = {0};
	char why[160];
	size_t n = 0, open = 0;
	Err err = ERR_INIT;

	if (find_ports(w, ports, &n, why, sizeof(why)) < 0) {
		unseen(w, why);
		return;
	}
	if (connections(ports, n, &open, &err) < 0) {
		unseen(w, err.msg);
		return;
	}
	look.busy = open > 0;
	if (open > 0)
		snprintf(look.why, sizeof(look.why), "%zu connection%s to its ports %s open", open,
			 open == 1 ? "" : "s", open == 1 ? "is" : "are");
	judge(w, &look);
}

static void on_page(void *ctx, const HttpEnd *end, const char *body, size_t len)
{
	IdleWatch *w = ctx;
	IdleLook look = {0};
	char why[160];

	w->call = NULL;
	if (end->fault != HTTP_FINE || end->status != 200) {
		snprintf(why, sizeof(why), "%.100s does not answer (%s, status %d)", w->q->idle_url,
			 http_fault_name(end->fault), end->status);
		unseen(w, why);
	} else if (idle_read_metrics(body, len, &look) < 0) {
		snprintf(why, sizeof(why), "%.100s has no figure of requests that is known here",
			 w->q->idle_url);
		unseen(w, why);
	} else {
		judge(w, &look);
	}
}

static int on_timer(sd_event_source *source, uint64_t at, void *ctx)
{
	IdleWatch *w = ctx;
	const HttpRequest rq = {.method = "GET", .path = "", .timeout_us = FETCH_US};
	Err err = ERR_INIT;

	(void)source;
	(void)at;
	if (!w->client)
		look_at_connections(w);
	else if (http_fetch(w->client, &rq, PAGE_MAX, on_page, w, &w->call, &err) < 0)
		unseen(w, err.msg);
	return 0;
}

static int open_page(HttpLoop *http, const char *url, HttpClient **ret, Err *err)
{
	HttpTarget target = {0};
	int r = httptarget_parse(url, &target, err);
	if (r < 0)
		return r;
	r = httpclient_new(
	    http, &(HttpClientSpec){.target = &target, .connect_timeout_us = FETCH_US}, ret, err);
	httptarget_done(&target);
	return r;
}

static int64_t step_of(const QuiesceSpec *q)
{
	int64_t step = q->idle_us / 4;
	return step < STEP_MIN_US ? STEP_MIN_US : step > STEP_MAX_US ? STEP_MAX_US : step;
}

int idle_watch(sd_event *loop, HttpLoop *http, const QuiesceSpec *q, char *const *units, size_t n,
	       IdleTold *told, void *ctx, IdleWatch **ret, Err *err)
{
	_cleanup_(idlewatch_freep) IdleWatch *w = calloc(1, sizeof(*w));
	if (!w)
		return err_oom(err);
	int64_t now = clock_mono_us(&clock_system);
	*w = (IdleWatch){.q = q,
			 .n = n,
			 .told = told,
			 .ctx = ctx,
			 .busy_at_us = now,
			 .until_us = now + q->idle_us + q->drain_us,
			 .step_us = step_of(q)};
	w->units = strings_copy(units);
	if (!w->units)
		return err_oom(err);
	int r = q->idle_url ? open_page(http, q->idle_url, &w->client, err) : 0;
	if (r < 0)
		return r;
	r = sd_event_add_time_relative(loop, &w->timer, CLOCK_MONOTONIC, 0, 1000, on_timer, w);
	if (r < 0)
		return err_set(err, r, "cannot watch production: %s", strerror(-r));
	*ret = TAKE_PTR(w);
	return 0;
}
