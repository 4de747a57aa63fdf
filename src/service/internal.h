#pragma once
/* One instance, as its parts share it: instance.c is its life, child.c and unit.c the two ways to
 * run it, ready.c how it becomes ready. */
#include "base/proc.h"
#include "service/instance.h"
#include "service/output.h"

typedef enum ReadyStep {
	READY_HEALTH, /* until it says that it is well */
	READY_LOAD,   /* the kind's own request that loads the model */
	READY_FIRST,  /* a first real request */
} ReadyStep;

struct Instance {
	sd_event *loop;
	HttpLoop *http;
	const InstanceSpec *spec;
	const InstanceHandler *h;
	void *ctx;

	InstancePhase phase;
	InstanceEnd end;
	int64_t began_us, ready_us;
	Output output;
	char unlimited[240];
	sd_event_source *soon, *trim, *runtime;
	bool too_long; /* it ran for as long as it may */

	/* As a child. */
	Proc proc;
	int leader; /* pidfd of the program itself; -1 */
	sd_event_source *dead, *give_up;
	char *container; /* the name of the container that a child of ours runs; NULL */
	char *container_program;
	pid_t container_pid;
	int64_t container_look_us; /* the next time that it is asked for */

	/* As a unit. */
	char *unit, *cgroup, *trial;
	char *env_file;	 /* its variables, until the manager has read them */
	char *cursor;	 /* of the journal, before it began */
	bool to_journal; /* an instance of the template, whose output is there */
	UnitJob *job;
	UnitWatch *watch;
	pid_t main_pid;
	bool unit_failed; /* it is kept by the manager until it is told to forget it */

	/* Becoming ready. */
	ReadyStep step;
	int64_t deadline_us;
	sd_event_source *tick, *deadline;
	HttpClient *client;
	HttpCall *call;
	Proc probe;
	sd_event_source *probe_end;
	bool port_is_ours;
	unsigned foreign; /* looks in a row at which somebody else had the port */
	char seen[160];	  /* what the last look said */
};

int64_t now_us(void);
/* One-shot or, called again by itself, repeated. `*source` is made or set anew. */
int timer_set(Instance *i, sd_event_source **source, int64_t at_us, sd_event_time_handler_t handler,
	      Err *err) _must_check_;
void source_drop(sd_event_source **source);
bool runs_as_child(const Instance *i);

/* It has ended: whatever is known is in i->end. Tells its user, once. May free the instance. */
void instance_over(Instance *i);
/* Ends it because of what we saw; the sentence is kept. */
void instance_abort(Instance *i, const char *fmt, ...) _printf_(2, 3);

/* A limit that was asked and cannot be held to. */
void instance_cannot_hold(Instance *i, const char *limit);
/* The same for all that are the business of a unit of its own. */
void instance_cannot_limit(Instance *i);

int child_start(Instance *i, Err *err) _must_check_;
void child_stop(Instance *i);
void child_free(Instance *i);
int child_left(const Instance *i, Err *err) _must_check_;

int unit_backend_start(Instance *i, Err *err) _must_check_;
void unit_backend_stop(Instance *i);
void unit_backend_free(Instance *i);
const char *unit_backend_output(Instance *i, size_t *ret_len);
int unit_backend_left(const Instance *i, Err *err) _must_check_;

/* Begins to look whether it is ready. */
int ready_begin(Instance *i, Err *err) _must_check_;
void ready_end(Instance *i);

/* The whole environment of the service: the command's, what a login would have set where that is
 * missing, and the GPU. */
int instance_env(const InstanceSpec *spec, const char *home, const char *user, const char *shell,
		 char ***ret) _must_check_;
