#pragma once
/* An instance on a loop of its own, however it is run: started, waited for, and gone at the end. */
#include <unistd.h>

#include "base/clock.h"
#include "base/str.h"
#include "service/instance.h"
#include "service/port.h"
#include "service/strings.h"
#include "test.h"

enum {
	SECOND = 1000000
};

typedef struct Play {
	sd_event *loop;
	HttpLoop *http;
	Systemd *systemd; /* NULL: it is a child */
	char dir[64];
	ServiceSpec service;
	ServerCommand command;
	InstanceSpec spec;
	Instance *i;
	int n_ready, n_ended;
	pid_t moved_to; /* the leader of its processes then */
	bool port_kept; /* somebody else's */
} Play;

#define WORDS(...) ((const char *const[]){__VA_ARGS__, NULL})

static inline void add_words(char ***list, const char *const *words)
{
	for (; *words; words++)
		CHECK_OK(strings_add(list, strdup(*words)));
}

/* The folder, the loop and the command; the rest of the spec is the test's own. */
static inline void play_begin(Play *p, const char *const *argv, const char *variable)
{
	Err err = ERR_INIT;
	*p = (Play){.dir = "/tmp/dream-test-instance-XXXXXX"};
	CHECK(mkdtemp(p->dir) != NULL);
	CHECK_OK(sd_event_new(&p->loop));
	CHECK_OK(httploop_new(p->loop, &p->http, &err));
	add_words(&p->command.argv, argv);
	add_words(&p->command.env, WORDS(variable));
}

static inline void on_ready(void *ctx, Instance *i)
{
	Play *p = ctx;
	(void)i;
	p->n_ready++;
}

static inline void on_ended(void *ctx, Instance *i)
{
	Play *p = ctx;
	(void)i;
	p->n_ended++;
}

static inline void on_moved(void *ctx, Instance *i)
{
	Play *p = ctx;
	CHECK_INT(p->n_ready, 0);
	p->moved_to = instance_owner(i).leader;
}

static inline void start(Play *p)
{
	static const InstanceHandler h = {.ready = on_ready, .ended = on_ended, .moved = on_moved};
	Err err = ERR_INIT;
	int r = instance_start(p->loop, p->http, &p->spec, &h, p, &p->i, &err);
	if (r < 0)
		CHECK_STR(err.msg, "");
}

/* Until *count is more than nothing, or it has ended. */
static inline void run_until(Play *p, const int *count)
{
	int64_t until = clock_mono_us(&clock_system) + 60 * SECOND;
	while (*count == 0 && p->n_ended == 0) {
		CHECK(clock_mono_us(&clock_system) < until);
		CHECK_OK(sd_event_run(p->loop, SECOND));
	}
}

static inline void run_to_ready(Play *p)
{
	start(p);
	run_until(p, &p->n_ready);
	if (p->n_ready != 1)
		CHECK_STR(instance_end(p->i)->words, "ready");
	CHECK_INT(instance_phase(p->i), INSTANCE_READY);
}

static inline void run_to_end(Play *p)
{
	run_until(p, &p->n_ended);
	CHECK_INT(p->n_ended, 1);
	CHECK_INT(instance_phase(p->i), INSTANCE_ENDED);
}

static inline bool said(Play *p, const char *text)
{
	size_t len;
	return strstr(instance_output(p->i, &len), text) != NULL;
}

/* Nothing of it is left, whatever it was. */
static inline void play_done(Play *p)
{
	Err err = ERR_INIT;
	_cleanup_free_ char *log = str_fmt("%s/judge.log", p->dir);
	if (p->i && instance_phase(p->i) != INSTANCE_ENDED) {
		instance_stop(p->i);
		run_to_end(p);
	}
	if (instance_left(p->i, &err) < 0)
		CHECK_STR(err.msg, "");
	CHECK_INT(p->n_ended, 1);
	instance_free(p->i);
	unlink(log);
	CHECK_INT(rmdir(p->dir), 0);
	servercommand_done(&p->command);
	free(p->service.model);
	free(p->service.ready_text);
	systemd_close(p->systemd);
	httploop_free(p->http);
	sd_event_unref(p->loop);
}
