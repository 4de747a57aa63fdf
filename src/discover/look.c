#include "discover/look.h"

#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/str.h"
#include "discover/sight.h"

static void close_loop(sd_event **loop)
{
	sd_event_unref(*loop);
}

/* --- GPUs ------------------------------------------------------------------------------------ */

static int add_use(Sightings *seen, size_t gpu, const GpuProcess *p)
{
	SeenUse *grown = reallocarray(seen->uses, seen->n_uses + 1, sizeof(*grown));
	if (!grown)
		return -ENOMEM;
	seen->uses = grown;
	grown[seen->n_uses++] =
	    (SeenUse){.gpu = gpu, .pid = p->pid, .bytes = p->used_bytes, .visible = p->visible};
	return 0;
}

static int look_at_gpu(Nvml *n, size_t i, GpuState *state, FoundGpu *g, Sightings *seen)
{
	Err err = ERR_INIT;
	*g = (FoundGpu){.info = *nvml_info(n, i),
			.total_bytes = -1,
			.used_bytes = -1,
			.free_bytes = -1,
			.reserved_bytes = -1};
	if (nvml_look(n, i, GPU_LOOK_MEMORY, state, &err) < 0) {
		(void)snprintf(g->gone, sizeof(g->gone), "%.159s", err.msg);
		return 0;
	}
	g->total_bytes = state->total_bytes;
	g->used_bytes = state->used_bytes;
	g->free_bytes = state->free_bytes;
	g->reserved_bytes = state->reserved_bytes;
	g->processes_known = state->processes_known;
	for (size_t k = 0; k < state->n_processes; k++)
		if (add_use(seen, i, &state->processes[k]) < 0)
			return -ENOMEM;
	return 0;
}

static int look_at_gpus(Machine *m, Sightings *seen, Err *err)
{
	_cleanup_(nvml_closep) Nvml *n = NULL;
	Err why = ERR_INIT;
	m->nvml = nvml_open(NULL, &n, &why);
	if (m->nvml == -ENOMEM)
		return err_oom(err);
	if (m->nvml < 0) {
		(void)snprintf(m->nvml_why, sizeof(m->nvml_why), "%s", why.msg);
		return 0;
	}
	_cleanup_free_ GpuState *state = calloc(1, sizeof(*state));
	m->gpus = calloc(nvml_count(n) + 1, sizeof(*m->gpus));
	if (!state || !m->gpus)
		return err_oom(err);
	(void)snprintf(m->nvml_why, sizeof(m->nvml_why), "%s", nvml_missing(n));
	(void)snprintf(m->driver, sizeof(m->driver), "%s", nvml_driver(n));
	(void)snprintf(m->cuda, sizeof(m->cuda), "%s", nvml_cuda(n));
	for (; m->n_gpus < nvml_count(n); m->n_gpus++)
		if (look_at_gpu(n, m->n_gpus, state, &m->gpus[m->n_gpus], seen) < 0)
			return err_oom(err);
	return 0;
}

/* --- Units ----------------------------------------------------------------------------------- */

static int look_at_units(sd_event *loop, Machine *m, Sightings *seen, Err *err)
{
	_cleanup_(systemd_closep) Systemd *s = NULL, *own = NULL;
	Err why = ERR_INIT, ignored = ERR_INIT;
	m->systemd = systemd_open(loop, false, &s, &why);
	if (m->systemd >= 0)
		m->systemd = sight_units(s, seen, &why);
	if (m->systemd == -ENOMEM)
		return err_oom(err);
	if (m->systemd < 0)
		(void)snprintf(m->systemd_why, sizeof(m->systemd_why), "%s", why.msg);
	/* Whoever looks may have services of their own. */
	if (!m->root && systemd_open(loop, true, &own, &ignored) >= 0 &&
	    sight_units(own, seen, &ignored) == -ENOMEM)
		return err_oom(err);
	m->n_units = seen->n_units;
	return 0;
}

/* --- All of it ------------------------------------------------------------------------------- */

static bool is_mps(const SeenProcess *p)
{
	return p->argv && p->argv[0] &&
	       strcmp(path_base(p->argv[0]), "nvidia-cuda-mps-control") == 0;
}

static bool is_worker(const SeenProcess *p)
{
	return p->argv && p->argv[0] && p->argv[1] && strcmp(path_base(p->argv[0]), "dream") == 0 &&
	       strcmp(p->argv[1], "worker") == 0;
}

static int look_closer(const LookOptions *o, Machine *m, Err *err)
{
	for (size_t i = 0; i < m->n_servers; i++) {
		FoundServer *s = &m->servers[i];
		int r = sight_start(s, err);
		if (r >= 0)
			r = sight_files(s, err);
		if (r >= 0 && s->listens &&
		    (o->ask || strcmp(server_kind_name(s->kind), "ollama") == 0))
			r = sight_health(s, err);
		if (r < 0)
			return r;
	}
	return 0;
}

int machine_look(const LookOptions *o, Machine *ret, Err *err)
{
	_cleanup_(sightings_done) Sightings seen = {0};
	_cleanup_(machine_done) Machine m = {.root = geteuid() == 0};
	_cleanup_(close_loop) sd_event *loop = NULL;
	int r = sd_event_new(&loop);
	if (r < 0)
		return err_set(err, r, "cannot make an event loop: %s", strerror(-r));
	r = look_at_gpus(&m, &seen, err);
	if (r >= 0)
		r = sight_processes(&seen, &m.n_hidden, err);
	if (r >= 0)
		r = look_at_units(loop, &m, &seen, err);
	if (r >= 0)
		r = listeners(&seen.listeners, &seen.n_listeners, err);
	if (r < 0)
		return r;
	m.n_processes = seen.n_processes;
	for (size_t i = 0; i < seen.n_processes; i++) {
		m.mps |= is_mps(&seen.processes[i]);
		m.n_workers += is_worker(&seen.processes[i]);
	}
	r = machine_match(&seen, &m, err);
	if (r >= 0)
		r = look_closer(o, &m, err);
	if (r < 0)
		return r;
	*ret = m;
	m = (Machine){0};
	return 0;
}
