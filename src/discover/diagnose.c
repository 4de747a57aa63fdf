/* Symptoms to findings: one function a check. */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "discover/symptoms.h"
#include "discover/words.h"
#include "service/strings.h"

enum {
	RECENT_US = 600000000, /* a restart in these ten minutes is still going on */
	VLLM_LOWEST = 70,
};

const char *finding_level_name(FindingLevel l)
{
	return l == FINDING_OK ? "ok" : l == FINDING_PROBLEM ? "problem" : "unknown";
}

size_t findings_count(const DoctorFindings *f, FindingLevel l)
{
	size_t n = 0;
	for (size_t i = 0; i < f->n; i++)
		n += f->list[i].level == l;
	return n;
}

void findings_done(DoctorFindings *f)
{
	for (size_t i = 0; i < f->n; i++) {
		free(f->list[i].what);
		free(f->list[i].mend);
	}
	free(f->list);
	*f = (DoctorFindings){0};
}

/* Names of units and commands are others' text. */
static char *safe(const char *fmt, va_list ap) __attribute__((format(printf, 1, 0)));
static char *safe(const char *fmt, va_list ap)
{
	_cleanup_(str_done) Str raw = STR_INIT, out = STR_INIT;
	char *ret = NULL;
	str_addv(&raw, fmt, ap);
	str_add_safe(&out, raw.s ? raw.s : "", raw.len, 0);
	return raw.failed || str_take(&out, &ret) < 0 ? NULL : ret;
}

static void _printf_(4, 5)
    add(DoctorFindings *f, const char *check, FindingLevel level, const char *fmt, ...)
{
	DoctorFinding *grown = reallocarray(f->list, f->n + 1, sizeof(*grown));
	if (!grown) {
		f->failed = true;
		return;
	}
	f->list = grown;
	va_list ap;
	va_start(ap, fmt);
	grown[f->n] = (DoctorFinding){.check = check, .level = level, .what = safe(fmt, ap)};
	va_end(ap);
	grown[f->n].mend = strdup("");
	f->failed |= !grown[f->n].what || !grown[f->n].mend;
	f->n++;
}

/* How the finding that was added last is mended. */
static void _printf_(2, 3) mend(DoctorFindings *f, const char *fmt, ...)
{
	if (f->failed || f->n == 0)
		return;
	va_list ap;
	va_start(ap, fmt);
	char *text = safe(fmt, ap);
	va_end(ap);
	free(f->list[f->n - 1].mend);
	f->list[f->n - 1].mend = text;
	f->failed |= !text;
}

/* --- The driver and the cards ---------------------------------------------------------------- */

static void check_driver(const Symptoms *s, DoctorFindings *f)
{
	const Machine *m = s->machine;
	if (m->nvml == -ENOENT) {
		add(f, "driver", FINDING_PROBLEM, "there is no NVML, so no GPU can be seen");
		mend(f, "install NVIDIA's driver (in a container: its libraries); without a GPU, "
			"'dream init' sets up the simulated box");
	} else if (m->nvml < 0) {
		add(f, "driver", FINDING_PROBLEM, "%s", m->nvml_why);
	} else if (m->n_gpus == 0) {
		add(f, "driver", FINDING_PROBLEM, "NVML runs and has no GPU%s%s",
		    *m->nvml_why ? ": " : "", m->nvml_why);
		mend(f, "lspci shows whether the machine has one, and dmesg why the driver does "
			"not take it");
	} else {
		add(f, "driver", FINDING_OK, "driver %s%s%s, %zu GPU%s",
		    *m->driver ? m->driver : "of unknown version", *m->cuda ? ", CUDA up to " : "",
		    m->cuda, m->n_gpus, m->n_gpus == 1 ? "" : "s");
	}
	if (m->nvml >= 0 && m->n_gpus > 0 && *m->nvml_why) {
		add(f, "driver", FINDING_PROBLEM, "%s", m->nvml_why);
		mend(f, "dmesg shows why");
	}
	for (size_t i = 0; i < m->n_gpus; i++)
		if (*m->gpus[i].gone) {
			add(f, "driver", FINDING_PROBLEM, "GPU %d cannot be read: %s",
			    m->gpus[i].info.index, m->gpus[i].gone);
			mend(f, "dmesg shows why");
		} else if (!m->gpus[i].processes_known) {
			add(f, "driver", FINDING_PROBLEM,
			    "GPU %d: the driver does not list processes, so placement cannot be "
			    "proved",
			    m->gpus[i].info.index);
			mend(f, "run outside of containers and WSL, or with the host's PID "
				"namespace");
		}
}

int torch_lowest(const char *version)
{
	int major = 0, minor = 0, cuda = 0;
	const char *plus = strstr(version, "+cu");
	if (sscanf(version, "%3d.%3d", &major, &minor) != 2)
		return 0;
	if (plus)
		cuda = (int)strtol(plus + 3, NULL, 10);
	int v = major * 100 + minor;
	if (cuda >= 130)
		return 75;
	if (v < 208)
		return v >= 200 ? 50 : 0;
	if (cuda > 0 && cuda < 128)
		return 50;
	return cuda == 0 ? 0 : v >= 211 ? 75 : 70;
}

static int capability(const GpuInfo *g)
{
	return g->cc_major < 0 ? 0 : g->cc_major * 10 + (g->cc_minor > 0 ? g->cc_minor : 0);
}

static void check_age_of(const FoundServer *s, const FoundGpu *g, DoctorFindings *f, bool *old)
{
	int has = capability(&g->info), wants = s->torch ? torch_lowest(s->torch) : 0;
	bool vllm = strcmp(server_kind_name(s->kind), "vllm") == 0;
	if (has == 0)
		return;
	if (wants > has) {
		*old = true;
		add(f, "card", FINDING_PROBLEM,
		    "GPU %d (%s) has compute capability %d.%d, and the PyTorch %s of %s has code "
		    "for %d.%d and newer only: it fails, or runs on the CPU without a word",
		    g->info.index, g->info.name, has / 10, has % 10, s->torch, s->name, wants / 10,
		    wants % 10);
		mend(f, "install a PyTorch built for CUDA 12.6 (pip's index .../whl/cu126), or an "
			"older one");
	} else if (vllm && has < VLLM_LOWEST) {
		*old = true;
		add(f, "card", FINDING_PROBLEM,
		    "GPU %d (%s) has compute capability %d.%d, and vLLM needs 7.0", g->info.index,
		    g->info.name, has / 10, has % 10);
		mend(f, "serve with llama.cpp on this card");
	}
}

static void check_age(const Symptoms *s, DoctorFindings *f)
{
	const Machine *m = s->machine;
	bool old = false;
	for (size_t g = 0; g < m->n_gpus; g++) {
		bool reported = false;
		for (size_t i = 0; i < m->n_servers && !reported; i++) {
			const FoundServer *server = &m->servers[i];
			if (server->gpu == g || (server->gpu == SIZE_MAX && m->n_gpus == 1))
				check_age_of(server, &m->gpus[g], f, &reported);
		}
		old |= reported;
		int has = capability(&m->gpus[g].info);
		if (!reported && has > 0 && has < VLLM_LOWEST) {
			old = true;
			add(f, "card", FINDING_UNKNOWN,
			    "GPU %d (%s) has compute capability %d.%d: PyTorch 2.8 and newer "
			    "built for CUDA 12.8 or newer has no code for it, and neither has "
			    "vLLM",
			    m->gpus[g].info.index, m->gpus[g].info.name, has / 10, has % 10);
			mend(f, "use builds for CUDA 12.6, and let trials prove the placement");
		} else if (has == 0) {
			old = true;
			add(f, "card", FINDING_UNKNOWN,
			    "the compute capability of GPU %d cannot be read",
			    m->gpus[g].info.index);
		}
	}
	if (!old && m->n_gpus > 0)
		add(f, "card", FINDING_OK,
		    "every GPU is new enough for the servers that were found");
}

static bool by_index(const char *visible)
{
	return visible && isdigit((unsigned char)*visible);
}

static void check_order(const Symptoms *s, DoctorFindings *f)
{
	const Machine *m = s->machine;
	bool problem = false;
	if (m->n_gpus < 2) {
		if (m->n_gpus == 1)
			add(f, "order", FINDING_OK,
			    "one GPU: its number is the same for all tools");
		return;
	}
	for (size_t i = 0; i < m->n_servers; i++) {
		const FoundServer *server = &m->servers[i];
		const char *order = command_env(&server->command, "CUDA_DEVICE_ORDER");
		if (order && strcmp(order, "PCI_BUS_ID") == 0)
			continue;
		if (!by_index(command_env(&server->command, "CUDA_VISIBLE_DEVICES")))
			continue;
		problem = true;
		add(f, "order", FINDING_PROBLEM,
		    "%s chooses its GPU by number, and CUDA numbers them by speed where "
		    "nvidia-smi numbers them by PCI bus",
		    server->name);
		mend(f, "give it CUDA_VISIBLE_DEVICES=GPU-... (dream gpu shows it), or "
			"CUDA_DEVICE_ORDER=PCI_BUS_ID");
	}
	if (problem)
		return;
	if (!s->device_order || strcmp(s->device_order, "PCI_BUS_ID") != 0) {
		add(f, "order", FINDING_PROBLEM,
		    "%zu GPUs and CUDA_DEVICE_ORDER is not PCI_BUS_ID here: CUDA's number 0 may "
		    "be another card than nvidia-smi's",
		    m->n_gpus);
		mend(f, "set CUDA_DEVICE_ORDER=PCI_BUS_ID, for instance in /etc/environment and "
			"in units; trials choose by UUID and do not need it");
	} else {
		add(f, "order", FINDING_OK, "CUDA_DEVICE_ORDER is PCI_BUS_ID");
	}
}

static void check_modes(const Symptoms *s, DoctorFindings *f)
{
	const Machine *m = s->machine;
	for (size_t i = 0; i < m->n_gpus; i++) {
		const GpuInfo *g = &m->gpus[i].info;
		if (g->persistence == 1) {
			add(f, "persistence", FINDING_OK, "GPU %d: persistence mode is on",
			    g->index);
		} else if (g->persistence == 0) {
			add(f, "persistence", FINDING_PROBLEM,
			    "GPU %d: persistence mode is off, so the driver starts anew for the "
			    "first program: starts look slower than they are",
			    g->index);
			mend(f, "nvidia-smi -pm 1, or the service nvidia-persistenced");
		} else {
			add(f, "persistence", FINDING_UNKNOWN,
			    "GPU %d does not say whether persistence mode is on", g->index);
		}
		if (g->compute_mode > 0) {
			add(f, "sharing", FINDING_PROBLEM, "GPU %d %s, so services cannot share it",
			    g->index,
			    g->compute_mode == 2 ? "prohibits compute"
						 : "lets one process at a time compute");
			mend(f, "nvidia-smi -c DEFAULT");
		}
	}
	if (m->mps) {
		add(f, "sharing", FINDING_UNKNOWN,
		    "MPS runs: a fault of one service may end the others on the GPU");
		mend(f, "if that is not meant: echo quit | nvidia-cuda-mps-control; if it is, "
			"limits of a service may have mps_threads_pct and mps_memory");
	} else {
		add(f, "sharing", FINDING_OK, "MPS does not run");
	}
}

/* --- Rights ---------------------------------------------------------------------------------- */

static void check_rights(const Symptoms *s, DoctorFindings *f)
{
	const Machine *m = s->machine;
	if (s->journal >= 0) {
		add(f, "journal", FINDING_OK, "the system's journal can be read");
	} else if (s->journal == -ENOENT) {
		add(f, "journal", FINDING_PROBLEM,
		    "there is no systemd journal, so what servers say of failures cannot be read");
		mend(f, "measure services as processes (as: processes), whose output is kept");
	} else {
		add(f, "journal", FINDING_PROBLEM,
		    "this user may not read the journal, so why a unit failed stays unknown");
		mend(f, "usermod -aG systemd-journal NAME, then log in again");
	}
	if (m->systemd < 0) {
		add(f, "units", FINDING_UNKNOWN, "systemd cannot be asked: %s", m->systemd_why);
		return;
	}
	if (s->restart > 0) {
		add(f, "units", FINDING_OK, "this user may start and stop units");
	} else if (s->restart == 0) {
		add(f, "units", FINDING_PROBLEM,
		    "this user may not restart units, so neither trials as units nor a rollout "
		    "can work");
		mend(f, "run as root, or allow it with a polkit rule such as "
			"data/polkit/50-dream.rules");
	} else {
		add(f, "units", FINDING_UNKNOWN,
		    "whether this user may restart units cannot be told (no pkcheck)");
	}
}

/* --- Production ------------------------------------------------------------------------------ */

static bool is_broken_unit(const Symptoms *s, const FoundServer *v, DoctorFindings *f)
{
	if (strcmp(v->active, "failed") == 0) {
		add(f, "production", FINDING_PROBLEM, "%s has failed (%s)", v->unit, v->result);
		mend(f, "journalctl -u %s -n 300 shows why", v->unit);
		return true;
	}
	if (strcmp(v->sub, "auto-restart") == 0 || (v->restarts > 0 && v->active_since_us > 0 &&
						    s->now_us - v->active_since_us < RECENT_US)) {
		add(f, "production", FINDING_PROBLEM,
		    "%s keeps starting again: %lld restarts so far, the last within 10 minutes",
		    v->unit, (long long)v->restarts);
		mend(f, "journalctl -u %s -n 300 shows why; mend that before anything is tuned",
		     v->unit);
		return true;
	}
	return false;
}

static void check_production(const Symptoms *s, DoctorFindings *f)
{
	const Machine *m = s->machine;
	size_t before = f->n, runs = 0;
	for (size_t i = 0; i < m->n_servers; i++) {
		const FoundServer *v = &m->servers[i];
		runs += v->pid > 0;
		if ((*v->unit && is_broken_unit(s, v, f)) || v->pid == 0)
			continue;
		const char *path = server_health_path(v->kind);
		if (!v->listens && v->port > 0 && *v->container) {
			add(f, "production", FINDING_UNKNOWN,
			    "%s (process %d) runs in a container, and whether it listens on port "
			    "%u there cannot be seen",
			    v->name, (int)v->pid, (unsigned)v->port);
			mend(f, "ask it at the port that leads into the container, and say that "
				"as its url in dream.yaml");
		} else if (!v->listens && v->port > 0) {
			add(f, "production", FINDING_PROBLEM,
			    "%s (process %d) runs and does not listen on port %u", v->name,
			    (int)v->pid, (unsigned)v->port);
			mend(f, "it may still be loading; look again, then at its log");
		} else if (v->health == 0) {
			add(f, "production", FINDING_PROBLEM,
			    "%s listens on port %u and gives no answer within 2 s", v->name,
			    (unsigned)v->port);
			mend(f, "it hangs or is overloaded; its log tells");
		} else if (v->health >= 500) {
			add(f, "production", FINDING_PROBLEM,
			    "%s answers %s on port %u with status %d", v->name, path ? path : "/",
			    (unsigned)v->port, v->health);
			mend(f, "503 is a server that loads, or whose engine died; its log tells");
		}
	}
	if (f->n > before)
		return;
	if (runs == 0)
		add(f, "production", FINDING_UNKNOWN, "no model server runs that is known here");
	else
		add(f, "production", FINDING_OK, "%zu model server%s, and none is broken", runs,
		    runs == 1 ? "" : "s");
}

static void check_ports(const Symptoms *s, DoctorFindings *f)
{
	const Machine *m = s->machine;
	size_t before = f->n;
	for (size_t i = 0; i < m->n_servers; i++) {
		const FoundServer *v = &m->servers[i];
		if (!v->exposed)
			continue;
		add(f, "ports", FINDING_PROBLEM,
		    "%s listens on port %u of %s, not only of this machine: whoever reaches it may "
		    "use it",
		    v->name, (unsigned)v->port, v->every || !*v->host ? "every address" : v->host);
		mend(f, "have it listen on 127.0.0.1, or put a firewall or a proxy that checks "
			"before it");
	}
	if (f->n == before)
		add(f, "ports", FINDING_OK, "no model server can be reached from outside");
}

/* --- Ourselves ------------------------------------------------------------------------------- */

static void check_leftovers(const Symptoms *s, DoctorFindings *f)
{
	for (size_t i = 0; i < s->n_leftovers; i++) {
		add(f, "leftovers", FINDING_PROBLEM, "%s", s->leftovers[i].what);
		mend(f, "%s", s->leftovers[i].mend);
	}
	if (s->n_leftovers == 0)
		add(f, "leftovers", FINDING_OK, "%s",
		    s->run_goes_on ? "a run goes on; what it made is in use"
				   : "nothing is left of a run that was killed");
}

static void check_config(const Symptoms *s, DoctorFindings *f)
{
	if (!s->config) {
		add(f, "configuration", FINDING_OK, "there is none yet");
		mend(f, "'dream init' writes one");
	} else if (s->config_errors > 0) {
		add(f, "configuration", FINDING_PROBLEM, "%s has %zu mistake%s; the first: %s",
		    s->config, s->config_errors, s->config_errors == 1 ? "" : "s",
		    s->config_first ? s->config_first : "it cannot be read");
		mend(f, "'dream check' shows them all with their places");
	} else {
		add(f, "configuration", FINDING_OK, "%s is correct, with %zu warning%s", s->config,
		    s->config_warnings, s->config_warnings == 1 ? "" : "s");
		if (s->config_warnings > 0)
			mend(f, "'dream check' shows them");
	}
}

int diagnose(const Symptoms *s, DoctorFindings *ret)
{
	DoctorFindings f = {0};
	check_driver(s, &f);
	check_age(s, &f);
	check_order(s, &f);
	check_modes(s, &f);
	check_rights(s, &f);
	check_production(s, &f);
	check_ports(s, &f);
	check_leftovers(s, &f);
	check_config(s, &f);
	if (f.failed) {
		findings_done(&f);
		return -ENOMEM;
	}
	*ret = f;
	return 0;
}
