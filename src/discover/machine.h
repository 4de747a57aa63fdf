#pragma once
/* What is on this machine: GPUs, model servers, who else holds a GPU. Values; look.h fills them in,
 * compose.h and diagnose.h read them. Environments may hold secrets and stay in memory. */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"
#include "footprint/footprint.h"
#include "gpu/nvml.h"
#include "server/command.h"
#include "server/server.h"
#include "service/port.h"

/* --- As seen, before anything is put together ------------------------------------------------ */

typedef struct SeenProcess {
	pid_t pid, parent;
	uid_t uid;
	char **argv;	  /* owned */
	char **env;	  /* owned; NULL: it may not be read */
	char *cwd, *home; /* home: as process_home() says it */
	char *unit;	  /* "" for none */
	bool user_unit;
} SeenProcess;

typedef struct SeenUnit {
	char *name;
	bool user;   /* of the user's manager */
	char **argv; /* of ExecStart=, variables as they are written */
	char **env, **env_files;
	char *wd; /* WorkingDirectory= */
	char active[24], sub[24], result[24], invocation[40];
	pid_t main_pid;
	int64_t restarts, active_since_us;
	ServerCommand command; /* what it runs, variables expanded; argv NULL: cannot be said */
	char *refused;	       /* why a trial cannot be made of it; NULL: it can */
} SeenUnit;

typedef struct SeenUse {
	size_t gpu; /* in the list of GPUs */
	pid_t pid;
	int64_t bytes; /* -1: not known */
	bool visible;
} SeenUse;

typedef struct Sightings {
	SeenProcess *processes;
	size_t n_processes;
	SeenUnit *units;
	size_t n_units;
	Listener *listeners;
	size_t n_listeners;
	SeenUse *uses;
	size_t n_uses;
} Sightings;

void sightings_done(Sightings *s);

/* --- Put together ---------------------------------------------------------------------------- */

typedef struct FoundGpu {
	GpuInfo info;
	int64_t total_bytes, used_bytes, free_bytes, reserved_bytes; /* -1: not known */
	bool processes_known;
	char gone[160]; /* why there are no readings; "" */
} FoundGpu;

/* A model server: a process, a unit that would run one, or both. */
typedef struct FoundServer {
	char *name; /* for dream.yaml: "judge"; no two are the same */
	const ServerKind *kind;
	pid_t pid;  /* 0: it does not run */
	char *unit; /* "" */
	bool user_unit;
	char *container;				      /* "docker 3f2a..."; "" */
	char active[24], sub[24], result[24], invocation[40]; /* of the unit */
	int64_t restarts, active_since_us;
	char *refused;	       /* why a trial cannot be made of it; NULL: it can */
	ServerCommand command; /* with what it runs now */
	char **unit_argv, **unit_env, **unit_env_files; /* as the unit says it; NULL */
	json_t *settings;				/* as server_settings() reads them */
	uint16_t port;					/* 0: it cannot be told */
	bool listens, exposed; /* exposed: on an address that others can reach */
	bool every;	       /* on every address */
	char host[46];	       /* where it answers this machine; "": it does not listen */
	int64_t gpu_bytes;     /* -1: none or not known */
	size_t gpu;	       /* where most of it is; SIZE_MAX: nowhere */
	VllmStart start;       /* what its start-up log says */
	bool start_known;
	char **models; /* whisper.cpp: the model files beside its own; NULL */
	char *model;   /* Ollama: the model that it has loaded; NULL */
	int health;    /* the status of its health page; 0: no answer; -1: not asked */
	char *torch;   /* the version of its PyTorch ("2.8.0+cu128"); NULL: not found */
} FoundServer;

/* Somebody else on a GPU. */
typedef struct FoundTenant {
	size_t gpu;
	pid_t pid;
	int64_t bytes; /* -1: not known */
	char *home, *words;
} FoundTenant;

typedef struct Machine {
	int nvml;	    /* 0, or the error of nvml_open() */
	char nvml_why[480]; /* the sentence of that error, or on cards that cannot be used */
	char driver[80], cuda[16];
	FoundGpu *gpus;
	size_t n_gpus;
	int systemd; /* 0, or the error of systemd_open() */
	char systemd_why[480];
	size_t n_units, n_processes,
	    n_hidden; /* looked at; hidden: whose command may not be read */
	FoundServer *servers;
	size_t n_servers;
	FoundTenant *tenants;
	size_t n_tenants;
	bool mps;	  /* its control daemon runs */
	size_t n_workers; /* processes of ours that measure */
	bool root;
} Machine;

void machine_done(Machine *m);

/* Pure: which servers there are, and what is theirs. `m` has its GPUs; its servers and tenants are
 * filled in. */
int machine_match(const Sightings *seen, Machine *m, Err *err) _must_check_;
/* Pure: is this process the server itself, of its unit or container, or a child of it? */
bool server_has(const FoundServer *s, const Sightings *seen, pid_t pid);

/* "docker", "podman" and such: the server runs inside, and its command is not this machine's. */
bool is_container(const FoundServer *s);
