/* The life of an instance: started, ready, stopped or dead, and nothing left. */
#include "service/internal.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/str.h"
#include "service/cgroup.h"
#include "service/port.h"
#include "service/strings.h"

enum {
	TRIM_US = 100000,
	TIMER_EXACT_US = 1000,
	READY_DEFAULT_US = 600000000,
};

int64_t now_us(void)
{
	return clock_mono_us(&clock_system);
}

void source_drop(sd_event_source **source)
{
	*source = sd_event_source_disable_unref(*source);
}

int timer_set(Instance *i, sd_event_source **source, int64_t at_us, sd_event_time_handler_t handler,
	      Err *err)
{
	int r;
	if (*source) {
		r = sd_event_source_set_time(*source, (uint64_t)at_us);
		if (r >= 0)
			r = sd_event_source_set_enabled(*source, SD_EVENT_ONESHOT);
	} else {
		r = sd_event_add_time(i->loop, source, CLOCK_MONOTONIC, (uint64_t)at_us,
				      TIMER_EXACT_US, handler, i);
	}
	return r < 0 ? err_set(err, r, "cannot set a timer: %s", strerror(-r)) : 0;
}

bool runs_as_child(const Instance *i)
{
	return !i->spec->systemd;
}

void instance_cannot_hold(Instance *i, const char *limit)
{
	size_t len = strlen(i->unlimited);
	(void)snprintf(i->unlimited + len, sizeof(i->unlimited) - len, "%s%s", len ? ", " : "",
		       limit);
}

void instance_cannot_limit(Instance *i)
{
	const InstanceLimits *l = &i->spec->limits;
	if (l->cpu_quota > 0)
		instance_cannot_hold(i, "CPUQuota");
	if (l->memory_max_bytes > 0)
		instance_cannot_hold(i, "MemoryMax");
	if (l->tasks_max > 0)
		instance_cannot_hold(i, "TasksMax");
}

/* --- Its environment ------------------------------------------------------------------------- */

static int default_to(char ***env, const char *name, const char *value)
{
	return !value || env_get(*env, name, strlen(name)) ? 0 : env_set(env, name, value);
}

/* Set before the program is executed, since a CUDA library reads them when it is loaded. */
static int set_gpu(const InstanceSpec *spec, char ***env)
{
	const InstanceLimits *l = &spec->limits;
	char text[64];

	int r = env_set(env, "CUDA_DEVICE_ORDER", "PCI_BUS_ID");
	if (r >= 0)
		r = env_set(env, "CUDA_VISIBLE_DEVICES", spec->gpu_uuid);
	if (r >= 0 && l->mps_thread_pct > 0) {
		(void)snprintf(text, sizeof(text), "%" PRId64, l->mps_thread_pct);
		r = env_set(env, "CUDA_MPS_ACTIVE_THREAD_PERCENTAGE", text);
	}
	/* By the number that the device has among the visible ones. */
	if (r >= 0 && l->mps_memory_bytes > 0) {
		(void)snprintf(text, sizeof(text), "0=%" PRId64 "M", l->mps_memory_bytes >> 20);
		r = env_set(env, "CUDA_MPS_PINNED_DEVICE_MEM_LIMIT", text);
	}
	if (r >= 0 && (l->mps_thread_pct > 0 || l->mps_memory_bytes > 0))
		r = default_to(env, "CUDA_MPS_PIPE_DIRECTORY", getenv("CUDA_MPS_PIPE_DIRECTORY"));
	return r;
}

int instance_env(const InstanceSpec *spec, const char *home, const char *user, const char *shell,
		 char ***ret)
{
	_cleanup_(strings_freep) char **env = strings_copy(spec->command->env);

	int r = env ? 0 : -ENOMEM;
	if (r >= 0)
		r = default_to(&env, "PATH",
			       "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
	if (r >= 0)
		r = default_to(&env, "HOME", home);
	if (r >= 0)
		r = default_to(&env, "USER", user);
	if (r >= 0)
		r = default_to(&env, "LOGNAME", user);
	if (r >= 0)
		r = default_to(&env, "SHELL", shell);
	if (r >= 0 && spec->gpu_uuid)
		r = set_gpu(spec, &env);
	if (r < 0)
		return r;
	*ret = TAKE_PTR(env);
	return 0;
}

/* --- The end --------------------------------------------------------------------------------- */

static void drop_sources(Instance *i)
{
	source_drop(&i->soon);
	source_drop(&i->runtime);
	source_drop(&i->give_up);
	source_drop(&i->dead);
}

/* A group goes with its last process, so its counter is looked at while there is one. */
static void count_oom_kills(Instance *i)
{
	int64_t now = cgroup_oom_kills(i->cgroup);
	if (now > i->end.oom_kills)
		i->end.oom_kills = now;
}

static void set_words(Instance *i)
{
	char how[48], after[32];

	if (*i->end.words)
		return;
	time_human(now_us() - i->began_us, after);
	if (i->end.status.si_code) {
		proc_describe(&i->end.status, how);
		(void)snprintf(i->end.words, sizeof(i->end.words), "it %s %s after %s%s%s",
			       i->end.status.si_code == CLD_EXITED ? "ended with" : "was", how,
			       after, *i->end.unit_result ? "; systemd says " : "",
			       i->end.unit_result);
	} else {
		(void)snprintf(i->end.words, sizeof(i->end.words),
			       "it is not running any more after %s", after);
	}
}

static bool is_port_busy(Instance *i);

void instance_over(Instance *i)
{
	if (i->phase == INSTANCE_ENDED)
		return;
	ready_end(i);
	drop_sources(i);
	source_drop(&i->trim);
	count_oom_kills(i);
	output_trim(&i->output);
	if (i->phase == INSTANCE_STARTING && !*i->end.words)
		(void)is_port_busy(i); /* it could not have it, whatever it says itself */
	set_words(i);
	i->phase = INSTANCE_ENDED;
	i->h->ended(i->ctx, i);
}

static void stop_backend(Instance *i)
{
	i->phase = INSTANCE_STOPPING;
	ready_end(i);
	if (runs_as_child(i))
		child_stop(i);
	else
		unit_backend_stop(i);
}

/* Afterwards come the words with which it stops, and they explain nothing. */
static void note_said(Instance *i)
{
	size_t len = 0;
	const char *text = instance_output(i, &len);
	Str line = STR_INIT;

	while (text && len > 0 && (unsigned char)text[len - 1] <= ' ')
		len--;
	size_t from = len;
	while (text && from > 0 && text[from - 1] != '\n')
		from--;
	if (len > from)
		str_add_safe(&line, text + from, len - from, sizeof(i->end.said) / 2);
	(void)snprintf(i->end.said, sizeof(i->end.said), "%s", line.s ? line.s : "");
	str_done(&line);
}

void instance_abort(Instance *i, const char *fmt, ...)
{
	va_list ap;

	if (i->phase >= INSTANCE_STOPPING)
		return;
	va_start(ap, fmt);
	(void)vsnprintf(i->end.words, sizeof(i->end.words), fmt, ap);
	va_end(ap);
	note_said(i);
	stop_backend(i);
}

void instance_stop(Instance *i)
{
	if (i->phase >= INSTANCE_STOPPING ||
	    i->soon) /* it never ran, and that is about to be told */
		return;
	i->end.asked = true;
	stop_backend(i);
}

/* --- The start ------------------------------------------------------------------------------- */

static int on_trim(sd_event_source *s, uint64_t at, void *ctx)
{
	Instance *i = ctx;
	(void)s;
	(void)at;
	output_trim(&i->output);
	count_oom_kills(i);
	return timer_set(i, &i->trim, now_us() + TRIM_US, on_trim, NULL);
}

static int on_runtime(sd_event_source *s, uint64_t at, void *ctx)
{
	Instance *i = ctx;
	char limit[32];
	(void)s;
	(void)at;
	time_human(i->spec->limits.runtime_max_us, limit);
	i->too_long = true;
	instance_abort(i, "it was stopped after %s, the longest that it may run", limit);
	return 0;
}

static int on_deadline(sd_event_source *s, uint64_t at, void *ctx)
{
	Instance *i = ctx;
	char limit[32];
	(void)s;
	(void)at;
	time_human(i->deadline_us - i->began_us, limit);
	i->end.timed_out = true;
	instance_abort(i, "it was not ready within %s%s%s", limit, *i->seen ? "; last seen: " : "",
		       i->seen);
	return 0;
}

static int on_soon_over(sd_event_source *s, void *ctx)
{
	(void)s;
	instance_over(ctx);
	return 0;
}

/* What is a result comes to ended(), from the loop. */
static int over_soon(Instance *i, Err *err)
{
	int r = sd_event_add_defer(i->loop, &i->soon, on_soon_over, i);
	return r < 0 ? err_set(err, r, "cannot add to the event loop: %s", strerror(-r)) : 0;
}

static bool is_port_busy(Instance *i)
{
	pid_t pid = 0;

	if (i->spec->port == 0 || !port_is_taken(i->spec->port, &pid))
		return false;
	_cleanup_free_ char *who = NULL;
	if (pid > 0 && process_words(pid, &who) < 0)
		who = NULL;
	i->end.port_taken = true;
	(void)snprintf(i->end.words, sizeof(i->end.words), "port %u is taken%s%.*s%s",
		       i->spec->port, who && *who ? " by " : "", 120, who ? who : "",
		       pid > 0 ? "" : " by a process that cannot be seen");
	return true;
}

static int begin(Instance *i, Err *err)
{
	int64_t wait = i->spec->ready_timeout_us > 0 ? i->spec->ready_timeout_us : READY_DEFAULT_US;

	i->began_us = now_us();
	i->deadline_us = i->began_us + wait;
	if (is_port_busy(i))
		return over_soon(i, err);
	int r = output_open(&i->output, i->spec->dir, i->spec->name, err);
	if (r >= 0)
		r = timer_set(i, &i->trim, i->began_us + TRIM_US, on_trim, err);
	if (r >= 0)
		r = timer_set(i, &i->deadline, i->deadline_us, on_deadline, err);
	if (r >= 0 && i->spec->limits.runtime_max_us > 0)
		r = timer_set(i, &i->runtime, i->began_us + i->spec->limits.runtime_max_us,
			      on_runtime, err);
	if (r >= 0)
		r = runs_as_child(i) ? child_start(i, err) : unit_backend_start(i, err);
	if (r < 0)
		return r;
	if (i->end.not_executed) {
		source_drop(&i->deadline);
		return over_soon(i, err);
	}
	return ready_begin(i, err);
}

int instance_start(sd_event *loop, HttpLoop *http, const InstanceSpec *spec,
		   const InstanceHandler *h, void *ctx, Instance **ret, Err *err)
{
	_cleanup_(instance_freep) Instance *i = calloc(1, sizeof(*i));
	if (!i)
		return err_oom(err);
	*i = (Instance){
	    .loop = sd_event_ref(loop),
	    .http = http,
	    .spec = spec,
	    .h = h,
	    .ctx = ctx,
	    .ready_us = -1,
	    .end = {.oom_kills = -1},
	    .output = OUTPUT_INIT,
	    .proc = PROC_INIT,
	    .probe = PROC_INIT,
	    .leader = -1,
	};
	int r = begin(i, err);
	if (r < 0)
		return err_wrap(err, r, "cannot start %s", spec->name);
	*ret = TAKE_PTR(i);
	return 0;
}

Instance *instance_free(Instance *i)
{
	if (!i)
		return NULL;
	ready_end(i);
	source_drop(&i->trim);
	drop_sources(i);
	child_free(i);
	unit_backend_free(i);
	i->client = httpclient_free(i->client);
	output_close(&i->output);
	sd_event_unref(i->loop);
	free(i);
	return NULL;
}

/* --- Questions ------------------------------------------------------------------------------- */

InstancePhase instance_phase(const Instance *i)
{
	return i->phase;
}

const char *instance_name(const Instance *i)
{
	return i->spec->name;
}

Owner instance_owner(const Instance *i)
{
	return (Owner){
	    .name = i->spec->name,
	    .cgroup = i->cgroup,
	    .leader = i->container_pid > 0 ? i->container_pid
		      : runs_as_child(i)   ? i->proc.pid
					   : i->main_pid,
	};
}

int64_t instance_ready_us(const Instance *i)
{
	return i->ready_us;
}

HttpClient *instance_client(const Instance *i)
{
	return i->client;
}

const char *instance_output(Instance *i, size_t *ret_len)
{
	return i->to_journal ? unit_backend_output(i, ret_len) : output_tail(&i->output, ret_len);
}

const char *instance_unlimited(const Instance *i)
{
	return i->unlimited;
}

const InstanceEnd *instance_end(const Instance *i)
{
	return &i->end;
}

static int processes_left(const Instance *i, Err *err)
{
	_cleanup_free_ pid_t *pids = NULL;
	size_t n = 0;
	Owner o = instance_owner(i);

	if (!o.cgroup && o.leader <= 0)
		return 0;
	int r = owner_pids(&o, &pids, &n);
	if (r < 0)
		return err_oom(err);
	if (n == 0)
		return 0;
	_cleanup_free_ char *words = NULL;
	if (process_words(pids[0], &words) < 0)
		words = NULL;
	return err_set(err, -EBUSY, "of %s %zu process%s left: %d %.200s", i->spec->name, n,
		       n == 1 ? " is" : "es are", (int)pids[0], words ? words : "");
}

int instance_left(const Instance *i, Err *err)
{
	pid_t pid = 0;

	if (i->phase != INSTANCE_ENDED)
		return err_set(err, -EBUSY, "%s still runs", i->spec->name);
	int r = processes_left(i, err);
	if (r < 0)
		return r;
	/* One that was taken before is not ours to give back. */
	if (!i->end.port_taken && i->spec->port && port_is_taken(i->spec->port, &pid))
		return err_set(err, -EBUSY, "port %u of %s is still listened on by process %d",
			       i->spec->port, i->spec->name, (int)pid);
	return runs_as_child(i) ? child_left(i, err) : unit_backend_left(i, err);
}
