/* For tests: watches one service by its address and prints what comes, a line of JSON each.
 *
 *   watch-url KIND URL PROBES-A-SECOND      until standard input ends */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "watch/watch.h"

static void print(json_t *o)
{
	json_dumpf(o, stdout, JSON_COMPACT);
	putchar('\n');
	fflush(stdout);
	json_decref(o);
}

static json_t *number(double v)
{
	return isfinite(v) ? json_real(v) : json_null();
}

static void on_sample(void *ctx, const WatchSample *s)
{
	(void)ctx;
	print(json_pack("{s:s,s:o,s:o,s:b}", "metric", s->metric, "value", number(s->s.value),
			"load", number(s->s.load), "failed", s->s.failed));
}

static void on_hard(void *ctx, HardEvent e, const char *service, const char *words)
{
	(void)ctx, (void)service;
	print(json_pack("{s:s,s:s}", "hard", hard_event_name(e), "words", words));
}

static int on_input(sd_event_source *s, int fd, uint32_t events, void *ctx)
{
	char byte;
	(void)events, (void)ctx;
	return read(fd, &byte, 1) > 0 ? 0 : sd_event_exit(sd_event_source_get_event(s), 0);
}

int main(int argc, char **argv)
{
	static char name[] = "it";
	static const WatchHandler handler = {.sample = on_sample, .hard = on_hard};
	sd_event *loop = NULL;
	HttpLoop *http = NULL;
	Watch *w = NULL;
	Err err = ERR_INIT;
	if (argc != 4)
		return 2;
	ServiceSpec service = {.name = name, .kind = argv[1], .url = argv[2]};
	const WatchedService watched = {.service = &service};
	const WatchSpec spec = {.services = &watched,
				.n = 1,
				.probe_every_us = (int64_t)(1e6 / strtod(argv[3], NULL)),
				.probe_limit_us = 1500000,
				.healthy_after = 3,
				.clock = &clock_system,
				.seed = 1};
	int r = sd_event_new(&loop);
	if (r >= 0)
		r = httploop_new(loop, &http, &err);
	if (r >= 0)
		r = watch_start(loop, NULL, http, &spec, &handler, NULL, &w, &err);
	if (r >= 0)
		r = sd_event_add_io(loop, NULL, 0, EPOLLIN | EPOLLHUP, on_input, NULL);
	if (r >= 0)
		r = sd_event_loop(loop);
	if (r < 0)
		fprintf(stderr, "watch-url: %s\n", err.msg);
	watch_free(w);
	httploop_free(http);
	sd_event_unref(loop);
	return r < 0;
}
