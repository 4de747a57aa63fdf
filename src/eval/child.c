/* One run of an evaluator that is a child process: feeds it the request, reads what it writes,
 * watches its deadline, and lets output.c judge. It ends in one way only: when the process and
 * everything it started are dead (or proved unkillable). */
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/json.h"
#include "base/proc.h"
#include "base/strings.h"
#include "eval/internal.h"
#include "eval/output.h"
#include "eval/trialdir.h"

enum {
	READ_SIZE = 65536,
	LAST_READS = 64, /* more than a pipe can hold, and an end even if somebody still writes */
	/* A program that closed its standard output is about to end; one that is not is killed. */
	CLOSED_GRACE_US = 500000,
	TIMER_ACCURACY_US = 1000,
	/* A trial that is called off has so long to stop its services and to bring production back;
	 * after that it is killed, and what is left is put right by the guard and the next trial.
	 */
	WORKER_STOP_US = 10000000,
};

typedef struct Child {
	EvalRun *run;
	Proc proc;
	Str request;
	size_t sent;
	Output out;
	Tail tail; /* of standard error */
	Ending end;
	bool out_done;	 /* nothing that comes now counts */
	bool called_off; /* nobody wants a result any more, only to know when it has ended */
	int64_t began_us;
	sd_event_source *on_in, *on_out, *on_err, *on_exit, *on_time;
} Child;

/* --- Ends ------------------------------------------------------------------------------------ */

/* Bytes, 0 at the end of file, -EAGAIN. */
static ssize_t read_some(int fd, char *buf)
{
	ssize_t n;
	do
		n = read(fd, buf, READ_SIZE);
	while (n < 0 && errno == EINTR);
	return n < 0 && errno != EAGAIN ? 0 : n < 0 ? -EAGAIN : n;
}

/* Reads what nobody wants any more, so that the writer does not wait. */
static void let_go(int *fd, short revents)
{
	char buf[READ_SIZE];
	if (revents && read_some(*fd, buf) == 0)
		*fd = -1;
}

static void ask_to_end(const Child *c)
{
	kill(c->proc.pid, SIGTERM);
	kill(c->proc.pid, SIGCONT);
}

/* A trial on real services puts back by itself what it changed: it is asked, not killed. */
static void end_worker(Child *c)
{
	struct pollfd fds[] = {{.fd = c->proc.pidfd, .events = POLLIN},
			       {.fd = c->proc.out, .events = POLLIN},
			       {.fd = c->proc.err, .events = POLLIN}};
	int64_t until = clock_mono_us(&clock_system) + WORKER_STOP_US, now;
	siginfo_t si;
	if (c->proc.guard <= 0 || c->proc.pidfd < 0 || c->end.killed)
		return;
	ask_to_end(c);
	while (proc_reap(&c->proc, &si) == 0 && (now = clock_mono_us(&clock_system)) < until) {
		if (poll(fds, 3, (int)((until - now) / 1000) + 1) <= 0)
			continue;
		let_go(&fds[1].fd, fds[1].revents);
		let_go(&fds[2].fd, fds[2].revents);
	}
}

static Child *child_free(Child *c)
{
	if (!c)
		return NULL;
	sd_event_source_disable_unref(c->on_in);
	sd_event_source_disable_unref(c->on_out);
	sd_event_source_disable_unref(c->on_err);
	sd_event_source_disable_unref(c->on_exit);
	sd_event_source_disable_unref(c->on_time);
	if (c->end.worker && c->proc.guard > 0 && !c->end.stuck) {
		end_worker(c);
		proc_done(&c->proc);
		trialdir_sweep(); /* where it had to be killed */
	}
	if (c->end.stuck)
		proc_leave(&c->proc);
	proc_done(&c->proc);
	output_done(&c->out);
	str_done(&c->request);
	free(c);
	return NULL;
}

DEFINE_CLEANUP(Child *, child_free)

static void child_stop(void *impl)
{
	(void)child_free(impl);
}

static void stop_source(sd_event_source **s)
{
	*s = sd_event_source_disable_unref(*s);
}

/* The callee may free us. */
static int report(Child *c)
{
	EvalRun *run = c->run;
	Measurement m = MEASUREMENT_INIT;
	Err err = ERR_INIT;

	c->end.wall_us = clock_mono_us(&clock_system) - c->began_us;
	stop_source(&c->on_in);
	stop_source(&c->on_out);
	stop_source(&c->on_err);
	stop_source(&c->on_exit);
	stop_source(&c->on_time);
	if (c->end.worker && c->end.status.si_code != CLD_EXITED)
		trialdir_sweep(); /* it could not do so itself */
	int r = c->called_off ? err_set(&err, -ECANCELED, "the trial was called off")
			      : output_verdict(&c->out, &c->end, &m, &err);
	run->done(run->userdata, &m, r < 0 ? &err : NULL);
	measurement_done(&m);
	return 0;
}

static void fail(Child *c, int code, const char *what)
{
	EvalRun *run = c->run;
	Measurement m = MEASUREMENT_INIT;
	Err err = ERR_INIT;

	err_set(&err, code, "%s: %s", what, strerror(-code));
	stop_source(&c->on_in);
	stop_source(&c->on_out);
	stop_source(&c->on_err);
	stop_source(&c->on_exit);
	stop_source(&c->on_time);
	c->end.killed = true;
	proc_kill(&c->proc);
	run->done(run->userdata, &m, &err);
	measurement_done(&m);
}

static int arm(Child *c, int64_t after_us)
{
	uint64_t now;
	int r = sd_event_now(c->run->loop, CLOCK_MONOTONIC, &now);
	if (r >= 0)
		r = sd_event_source_set_time(c->on_time, now + (uint64_t)after_us);
	return r < 0 ? r : sd_event_source_set_enabled(c->on_time, SD_EVENT_ONESHOT);
}

static void kill_now(Child *c)
{
	c->end.killed = true;
	c->out_done = true;
	stop_source(&c->on_in);
	stop_source(&c->on_out);
	proc_kill(&c->proc);
	(void)arm(c, PROC_KILL_WAIT_US);
}

/* --- Streams --------------------------------------------------------------------------------- */

static int on_writable(sd_event_source *s, int fd, uint32_t revents, void *userdata)
{
	(void)s, (void)fd, (void)revents;
	Child *c = userdata;
	ssize_t n = proc_write(&c->proc, c->request.s + c->sent, c->request.len - c->sent);
	if (n > 0)
		c->sent += (size_t)n;
	if (n < 0 || c->sent == c->request.len) { /* it need not read its request */
		stop_source(&c->on_in);
		close(c->proc.in);
		c->proc.in = -1;
	}
	return 0;
}

/* Reads once. False: there is no more for now, or for ever. */
static bool take_output(Child *c, int *r)
{
	char buf[READ_SIZE];
	ssize_t n = read_some(c->proc.out, buf);
	*r = n > 0 ? output_feed(&c->out, buf, (size_t)n) : n == 0 ? output_end(&c->out) : 0;
	if (c->called_off)
		*r = 0; /* it is read so that the writer does not wait */
	if (n == 0 || *r < 0)
		c->out_done = true;
	return n > 0 && *r >= 0;
}

static int on_output(sd_event_source *s, int fd, uint32_t revents, void *userdata)
{
	(void)s, (void)fd, (void)revents;
	Child *c = userdata;
	int r;
	(void)take_output(c, &r);
	if (r == -ENOMEM) {
		fail(c, r, "cannot keep what the evaluator wrote");
		return 0;
	}
	if (r < 0)
		kill_now(c);
	else if (c->out_done) {
		stop_source(&c->on_out);
		int64_t left = c->end.timeout_us - (clock_mono_us(&clock_system) - c->began_us);
		if (!c->out.result && !c->called_off && left > CLOSED_GRACE_US) {
			c->end.closed_early = true;
			(void)arm(c, CLOSED_GRACE_US);
		}
	}
	return 0;
}

static bool take_error(Child *c)
{
	char buf[READ_SIZE];
	ssize_t n = read_some(c->proc.err, buf);
	if (n > 0)
		tail_add(&c->tail, buf, (size_t)n);
	if (n == 0)
		stop_source(&c->on_err);
	return n > 0;
}

static int on_error_output(sd_event_source *s, int fd, uint32_t revents, void *userdata)
{
	(void)s, (void)fd, (void)revents;
	(void)take_error(userdata);
	return 0;
}

/* --- The end --------------------------------------------------------------------------------- */

/* All writers are dead: what is in the pipes is all there is. */
static int on_ended(sd_event_source *s, int fd, uint32_t revents, void *userdata)
{
	(void)s, (void)fd, (void)revents;
	Child *c = userdata;
	int r = proc_reap(&c->proc, &c->end.status);
	if (r == 0)
		return 0;
	if (r < 0) {
		fail(c, r, "cannot learn how the evaluator ended");
		return 0;
	}
	if (!c->end.killed)
		c->end.closed_early = false;
	for (int i = 0; i < LAST_READS && take_error(c); i++)
		;
	r = 0;
	for (int i = 0; i < LAST_READS && !c->out_done && take_output(c, &r); i++)
		;
	if (r == -ENOMEM) {
		fail(c, r, "cannot keep what the evaluator wrote");
		return 0;
	}
	return report(c);
}

static int on_timer(sd_event_source *s, uint64_t usec, void *userdata)
{
	(void)s, (void)usec;
	Child *c = userdata;
	if (c->end.killed) { /* and still there */
		c->end.stuck = true;
		return report(c);
	}
	c->end.timed_out = !c->end.closed_early;
	kill_now(c);
	return 0;
}

static void child_call_off(void *impl)
{
	Child *c = impl;
	if (c->called_off)
		return;
	c->called_off = true;
	if (c->end.killed)
		return; /* its end is near */
	if (!c->end.worker) {
		kill_now(c);
		return;
	}
	stop_source(&c->on_in);
	ask_to_end(c);
	(void)arm(c, WORKER_STOP_US);
}

/* --- The beginning --------------------------------------------------------------------------- */

static int note_in_lease(void *ctx, pid_t pid, Err *err)
{
	return lease_note_child(ctx, pid, err);
}

static int spawn(const ChildSpec *cs, const EvalRequest *rq, Proc *ret, Err *err)
{
	char **env;
	int fd = rq->lease ? lease_fd(rq->lease) : -1;
	int r = eval_environment(cs, rq, &env, err);
	if (r < 0)
		return r;
	ProcSpec ps = {
	    .cwd = cs->cwd,
	    .keep_fds = &fd,
	    .n_keep_fds = rq->lease ? 1 : 0,
	    .stderr_fd = -1,
	    .admit = rq->lease ? note_in_lease : NULL,
	    .admit_ctx = rq->lease,
	};
	memcpy(&ps.argv, &cs->argv, sizeof(ps.argv));
	memcpy(&ps.env, &env, sizeof(ps.env));
	r = proc_spawn(&ps, ret, err);
	strings_free(env);
	return r < 0 ? err_wrap(err, r, "cannot start the evaluator") : 0;
}

static int watch(Child *c)
{
	sd_event *loop = c->run->loop;
	int r = sd_event_add_io(loop, &c->on_in, c->proc.in, EPOLLOUT, on_writable, c);
	if (r >= 0)
		r = sd_event_add_io(loop, &c->on_out, c->proc.out, EPOLLIN, on_output, c);
	if (r >= 0)
		r = sd_event_add_io(loop, &c->on_err, c->proc.err, EPOLLIN, on_error_output, c);
	if (r >= 0)
		r = sd_event_add_io(loop, &c->on_exit, c->proc.pidfd, EPOLLIN, on_ended, c);
	if (r >= 0)
		r = sd_event_add_time_relative(loop, &c->on_time, CLOCK_MONOTONIC,
					       (uint64_t)c->end.timeout_us, TIMER_ACCURACY_US,
					       on_timer, c);
	/* The deadline comes before anything that became readable at the same moment. */
	if (r >= 0)
		r = sd_event_source_set_priority(c->on_time, SD_EVENT_PRIORITY_IMPORTANT);
	return r;
}

int eval_child_start(const ChildSpec *cs, const EvalRequest *rq, Stage stage, EvalRun *run,
		     Err *err)
{
	_cleanup_(child_freep) Child *c = calloc(1, sizeof(*c));
	if (!c)
		return err_oom(err);
	c->run = run;
	c->proc = PROC_INIT;
	c->out.progress = run->progress;
	c->out.ctx = run->userdata;
	c->end.timeout_us = rq->timeout_us;
	c->end.worker = cs->worker;
	c->end.tail = &c->tail;
	c->began_us = clock_mono_us(&clock_system);

	int r = eval_request_text(rq, stage, cs->extra, &c->request, err);
	if (r >= 0)
		r = spawn(cs, rq, &c->proc, err);
	if (r < 0)
		return r;
	r = watch(c);
	if (r < 0)
		return err_set(err, r, "cannot watch the evaluator: %s", strerror(-r));
	run->impl = TAKE_PTR(c);
	run->stop = child_stop;
	run->call_off = child_call_off;
	return 0;
}

/* --- What to start --------------------------------------------------------------------------- */

ChildSpec *childspec_free(ChildSpec *c)
{
	if (!c)
		return NULL;
	strings_free(c->argv);
	strings_free(c->env);
	free(c->cwd);
	json_decref(c->extra);
	free(c);
	return NULL;
}

/* Everything but argv and extra, which the kind knows. */
int childspec_new(const EvaluatorSpec *spec, const char *base_dir, ChildSpec **ret, Err *err)
{
	_cleanup_(childspec_freep) ChildSpec *c = calloc(1, sizeof(*c));
	if (!c)
		return err_oom(err);
	c->cwd = strdup(base_dir && *base_dir ? base_dir : ".");
	c->env = calloc(json_object_size(spec->env) + 1, sizeof(*c->env));
	if (!c->cwd || !c->env)
		return err_oom(err);

	const char *name;
	json_t *value;
	size_t n = 0;
	json_object_foreach (spec->env, name, value) {
		c->env[n] = str_fmt("%s=%s", name, json_string_value(value));
		if (!c->env[n++])
			return err_oom(err);
	}
	*ret = TAKE_PTR(c);
	return 0;
}
