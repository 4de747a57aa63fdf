#pragma once
/* A real server and the load generator on one event loop. */
#include <errno.h>
#include <string.h>
#include <time.h>

#include "http/server.h"
#include "loadgen/traffic.h"
#include "test.h"

enum {
	STAND_SECONDS_MAX = 60
};

typedef struct Stand {
	sd_event *loop;
	HttpServer *server;
	HttpLoop *http;
	HttpClient *client;
	Contents *contents;
	Traffic *traffic;
	TrafficResult result;
	Err err;
	int told, progress;
	uint16_t port;
} Stand;

static inline int64_t stand_now_us(void)
{
	struct timespec ts;
	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * INT64_C(1000000) + ts.tv_nsec / 1000;
}

static inline void stand_serve(Stand *s, void (*serve)(void *, Incoming *),
			       void (*closed)(void *, Incoming *), void *ctx)
{
	Err err = ERR_INIT;
	HttpTarget target = {0};
	char url[64];
	CHECK_OK(sd_event_new(&s->loop));
	HttpServerSpec spec = {.host = "127.0.0.1", .serve = serve, .closed = closed, .ctx = ctx};
	if (httpserver_new(s->loop, &spec, &s->server, &err) < 0)
		test_fail(__FILE__, __LINE__, "%s", err.msg);
	s->port = httpserver_port(s->server);
	snprintf(url, sizeof(url), "http://127.0.0.1:%u", s->port);
	CHECK_OK(httptarget_parse(url, &target, &err));
	CHECK_OK(httploop_new(s->loop, &s->http, &err));
	CHECK_OK(httpclient_new(s->http, &(HttpClientSpec){.target = &target}, &s->client, &err));
	httptarget_done(&target);
}

static inline void stand_contents(Stand *s, const ContentsSpec *spec)
{
	Err err = ERR_INIT;
	if (contents_new(spec, &s->contents, &err) < 0)
		test_fail(__FILE__, __LINE__, "%s", err.msg);
}

static inline void stand_done(Stand *s)
{
	s->traffic = traffic_stop(s->traffic, false);
	traffic_result_done(&s->result);
	s->client = httpclient_free(s->client);
	s->http = httploop_free(s->http);
	s->server = httpserver_free(s->server);
	s->contents = contents_free(s->contents);
	s->loop = sd_event_unref(s->loop);
}

static inline void stand_told(void *ctx, TrafficResult *r, const Err *err)
{
	Stand *s = ctx;
	s->told++;
	s->result = *r;
	*r = (TrafficResult){0};
	if (err)
		s->err = *err;
}

static inline void stand_progress(void *ctx, const TrafficProgress *p)
{
	Stand *s = ctx;
	CHECK(p->sent >= p->answered + p->failed);
	s->progress++;
}

static const TrafficHandler stand_handler = {stand_told, stand_progress};

static inline void stand_begin(Stand *s, const TrafficStream *streams, size_t n)
{
	Err err = ERR_INIT;
	s->traffic = traffic_stop(s->traffic, false);
	traffic_result_done(&s->result);
	s->told = 0;
	if (traffic_start(s->loop, streams, n, &stand_handler, s, &s->traffic, &err) < 0)
		test_fail(__FILE__, __LINE__, "%s", err.msg);
}

static inline void stand_wait(Stand *s)
{
	int64_t until = stand_now_us() + STAND_SECONDS_MAX * INT64_C(1000000);
	while (s->told == 0 && stand_now_us() < until)
		CHECK_OK(sd_event_run(s->loop, 100000));
	CHECK_INT(s->told, 1);
}

static inline void stand_run(Stand *s, const TrafficStream *streams, size_t n)
{
	stand_begin(s, streams, n);
	stand_wait(s);
	if (s->err.code < 0)
		test_fail(__FILE__, __LINE__, "%s", s->err.msg);
}
