/* From nothing to all services ready and proved, one after another: two that start at the same time
 * on one GPU take each other's growth for their own. And back to nothing, with a proof. */
#include <string.h>

#include "base/clock.h"
#include "base/json.h"
#include "gpu/owners.h"
#include "worker/internal.h"

enum {
	PROOF_US = 1000000, /* within this a ready service must be seen on the GPU */
	ACCOUNT_MAX = 1 << 20,
	SHUTDOWN_US = 60000000,
};

/* --- What instances tell --------------------------------------------------------------------- */

static Party *party_of(Worker *w, const Instance *i)
{
	for (size_t n = 0; n < w->n_parties; n++)
		if (w->parties[n].instance == i)
			return &w->parties[n];
	return NULL;
}

static void on_ready(void *ctx, Instance *i)
{
	Party *p = party_of(ctx, i);
	if (p)
		p->was_ready = true;
}

static void on_moved(void *ctx, Instance *i)
{
	Worker *w = ctx;
	Party *p = party_of(w, i);
	Owner o = instance_owner(i);
	if (p && w->sampler && sampler_own(w->sampler, p->sampled, &o) < 0)
		worker_over(w, OUTCOME_MEASURE_FAILED, NULL, "out of memory");
}

/* The manager stops what is bound to the guard when that ends, which we may hear of later. */
static bool production_returns(const Worker *w)
{
	UnitState u = {0};
	const char *guard = w->quiesce ? quiesce_guard(w->quiesce) : NULL;
	if (!guard)
		return w->quiesce != NULL;
	bool holds = unit_state(w->systemd, guard, &u, NULL) < 0 || strcmp(u.active, "active") == 0;
	unit_state_done(&u);
	return !holds;
}

/* The outcome is decided from all evidence at the end; here the trial only stops waiting. */
static void on_ended(void *ctx, Instance *i)
{
	Worker *w = ctx;
	Party *p = party_of(w, i);
	if (!p || instance_end(i)->asked)
		return;
	if (p->start.bind_to && production_returns(w))
		worker_over(w, OUTCOME_CONTENDED, "quiesce",
			    "production needs the GPU back: what kept it stopped was ended");
	else
		worker_over(w, OUTCOME_CRASHED, NULL, "service %s ended: %s", p->spec->name,
			    instance_end(i)->words);
}

/* --- One service ----------------------------------------------------------------------------- */

static InstanceLimits limits_of(const ServiceLimits *l)
{
	return (InstanceLimits){
	    .cpu_quota = l->cpus,
	    .memory_max_bytes = l->memory_bytes,
	    .tasks_max = l->tasks,
	    .runtime_max_us = l->runtime_us,
	    .mps_thread_pct = l->mps_threads_pct,
	    .mps_memory_bytes = l->mps_memory_bytes,
	};
}

static int launch(Worker *w, Party *p, Err *err)
{
	static const InstanceHandler handler = {
	    .ready = on_ready, .ended = on_ended, .moved = on_moved};
	bool units = w->job.spec.allocation.as == AS_UNITS;
	InstanceSpec spec = {
	    .name = p->spec->name,
	    .kind = p->kind,
	    .service = p->spec,
	    .command = &p->command,
	    .settings = p->settings,
	    .port = p->port,
	    .token = p->token,
	    .model = p->model,
	    .systemd = units ? w->systemd : NULL,
	    .unit_template = units && geteuid() != 0 ? "dream-trial@.service" : NULL,
	    .bind_to = w->quiesce ? quiesce_guard(w->quiesce) : NULL,
	    .limits = limits_of(&p->spec->limits),
	    .lease = w->lease,
	    .gpu_uuid = w->job.gpu_uuid,
	    .dir = p->output_dir,
	    .ready_timeout_us = p->spec->ready_timeout_us,
	    .stop_timeout_us = p->spec->stop_timeout_us,
	};
	/* Whatever becomes of us, a unit does not outlive the trial by much. */
	int64_t left = worker_left_us(w) + spec.stop_timeout_us + SHUTDOWN_US;
	if (spec.limits.runtime_max_us <= 0 || spec.limits.runtime_max_us > left)
		spec.limits.runtime_max_us = left;
	p->start = spec;
	int r = instance_start(w->loop, w->http, &p->start, &handler, w, &p->instance, err);
	if (r < 0)
		return err_wrap(err, r, "cannot start service %s", p->spec->name);
	Owner o = instance_owner(p->instance);
	if (w->sampler)
		p->sampled = sampler_add(w->sampler, &o);
	return 0;
}

Owner party_owner(const Party *p)
{
	return p->instance ? instance_owner(p->instance) : p->owner;
}

int party_note(Party *p)
{
	_cleanup_free_ pid_t *now = NULL;
	size_t n = 0;
	Owner o = party_owner(p);
	if (owner_pids(&o, &now, &n) < 0 || n == 0)
		return 0;
	pid_t *all = reallocarray(p->pids, p->n_pids + n, sizeof(*all));
	if (!all)
		return -ENOMEM;
	p->pids = all;
	for (size_t i = 0; i < n; i++) {
		bool known = false;
		for (size_t k = 0; k < p->n_pids; k++)
			known |= p->pids[k] == now[i];
		if (!known)
			p->pids[p->n_pids++] = now[i];
	}
	return 0;
}

void parties_note(Worker *w)
{
	for (size_t i = 0; i < w->n_parties; i++)
		if ((w->parties[i].instance || w->parties[i].owner.leader > 0) &&
		    party_note(&w->parties[i]) < 0)
			return; /* what is known already must do */
}

/* --- Proof ----------------------------------------------------------------------------------- */

static void prove(Worker *w, Party *p)
{
	_cleanup_free_ pid_t *pids = NULL;
	size_t n = 0;
	Owner o = party_owner(p);
	if (owner_pids(&o, &pids, &n) < 0)
		return;
	p->placement =
	    placement_prove(sampler_state(w->sampler), p->spec->name, pids, n, p->spec->gpu_bytes);
}

static int on_tick(sd_event_source *s, uint64_t usec, void *userdata)
{
	(void)s, (void)usec;
	*(bool *)userdata = true;
	return 0;
}

/* One look of the sampler later. */
static int pause_a_look(Worker *w)
{
	bool passed = false;
	sd_event_source *s = NULL;
	int r = sd_event_add_time_relative(w->loop, &s, CLOCK_MONOTONIC, SAMPLER_PERIOD_US, 1000,
					   on_tick, &passed);
	if (r >= 0)
		r = worker_wait(w, &passed);
	sd_event_source_disable_unref(s);
	return r;
}

static bool is_placed(const PlacementProof *p)
{
	return p->placement == PLACED || p->placement == PLACED_UNKNOWN ||
	       p->placement == PLACED_NO_LIST;
}

/* The first answer was given, so whatever it runs on is in use now. */
void party_prove(Worker *w, Party *p)
{
	if (!p->wants_gpu || !w->sampler)
		return;
	int64_t until = clock_mono_us(&clock_system) + PROOF_US;
	do
		prove(w, p);
	while ((!is_placed(&p->placement) || p->placement.placement == PLACED_NO_LIST) &&
	       clock_mono_us(&clock_system) < until && pause_a_look(w) == 0);
	if (!is_placed(&p->placement))
		worker_over(w, OUTCOME_CPU_FALLBACK, NULL, "%s", p->placement.reason);
}

static void ask_account(Worker *w, Party *p)
{
	const char *path = server_account_path(p->kind);
	_cleanup_free_ char *body = path ? worker_fetch(w, p->client, path, ACCOUNT_MAX) : NULL;
	if (body)
		(void)server_account(p->kind, body, strlen(body), &p->account_gpu_bytes,
				     &p->account_all_bytes);
}

/* --- All of them ----------------------------------------------------------------------------- */

int parties_start(Worker *w, Err *err)
{
	for (size_t i = 0; i < w->n_parties && !w->over; i++) {
		Party *p = &w->parties[i];
		worker_progress(w, 0.3 * (double)i / (double)w->n_parties, "starting %s",
				p->spec->name);
		int r = launch(w, p, err);
		if (r < 0)
			return r;
		if (worker_wait(w, &p->was_ready) < 0)
			break;
		if (party_note(p) < 0)
			return err_oom(err);
		p->client = instance_client(p->instance);
		if (w->sampler && p->sampled >= 0)
			sampler_ready(w->sampler, p->sampled);
		ask_account(w, p);
		party_prove(w, p);
	}
	return 0;
}

static bool all_ended(const Worker *w)
{
	for (size_t i = 0; i < w->n_parties; i++) {
		const Instance *in = w->parties[i].instance;
		if (in && instance_phase(in) != INSTANCE_ENDED)
			return false;
	}
	return true;
}

/* Waits for what was told to stop even when the trial is over or late. */
static void await_end(Worker *w, const Instance *i, int64_t until_us)
{
	while (instance_phase(i) != INSTANCE_ENDED) {
		int64_t left = until_us - clock_mono_us(&clock_system);
		if (left <= 0 || sd_event_run(w->loop, (uint64_t)left) < 0)
			return;
	}
}

int parties_stop(Worker *w, Err *err)
{
	for (size_t i = w->n_parties; i-- > 0;) {
		Party *p = &w->parties[i];
		if (!p->instance)
			continue;
		if (w->sampler && p->sampled >= 0)
			sampler_gone(w->sampler, p->sampled);
		instance_stop(p->instance);
		await_end(w, p->instance,
			  clock_mono_us(&clock_system) + p->spec->stop_timeout_us + SHUTDOWN_US);
	}
	if (!all_ended(w))
		return err_set(err, -EBUSY, "a service survives SIGKILL: the driver may hang");
	for (size_t i = 0; i < w->n_parties; i++) {
		Party *p = &w->parties[i];
		int r = p->instance ? instance_left(p->instance, err) : 0;
		if (r < 0)
			return err_wrap(err, r, "something of service %s is left", p->spec->name);
	}
	return 0;
}
