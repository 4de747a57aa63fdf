#pragma once
/* One service of a trial, really started: as a child process in a session of its own, or as a
 * systemd unit. It is started, becomes ready (health, then a first real request), is watched, and
 * is stopped; afterwards nothing of it is left, and that is checked. On the caller's event loop. */
#include <jansson.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <systemd/sd-event.h>

#include "gpu/lease.h"
#include "gpu/owners.h"
#include "http/client.h"
#include "server/server.h"
#include "systemd/bus.h"
#include "trial/trial.h"

/* Where root's transient units find their variables, each in a file with the unit's name, until the
 * manager has read it. Nobody but root can put another one there. */
#define INSTANCE_ENV_DIR "/run/dream-worker"

typedef struct InstanceLimits {
	double cpu_quota;			  /* cores; 0: none */
	int64_t memory_max_bytes, tasks_max;	  /* 0: none */
	int64_t runtime_max_us;			  /* 0: none */
	int64_t mps_thread_pct, mps_memory_bytes; /* where MPS runs; 0: none */
} InstanceLimits;

/* Everything is borrowed until the instance is freed. */
typedef struct InstanceSpec {
	const char *name;
	const ServerKind *kind;
	const ServiceSpec *service;   /* probe, pattern, and what else the configuration says */
	const ServerCommand *command; /* with the candidate's settings and the port in it */
	const json_t *settings;	      /* the candidate's, for a load request */
	uint16_t port;		      /* 0: it does not listen */
	const char *token;	      /* for its requests; NULL */
	const char *model;	      /* that they name; NULL: what the command says */
	Systemd *systemd;	      /* run as a transient unit; NULL: as a child */
	const char
	    *unit_template;  /* "dream-trial@.service" where no transient unit may be made; NULL */
	const char *bind_to; /* a transient unit does not outlive this unit; NULL */
	InstanceLimits limits;
	Lease *lease; /* NULL: no GPU; else inherited, so that the lock lives as long as it does */
	const char *gpu_uuid; /* for CUDA_VISIBLE_DEVICES; NULL */
	const char *dir;      /* a folder of the trial for its output */
	const char
	    *warm_clip; /* STT: a WAV file for the first request; NULL: a second of silence */
	int64_t ready_timeout_us;
	int64_t stop_timeout_us; /* from SIGTERM to SIGKILL */
} InstanceSpec;

typedef enum InstancePhase {
	INSTANCE_STARTING,
	INSTANCE_READY,
	INSTANCE_STOPPING,
	INSTANCE_ENDED, /* by itself or stopped */
} InstancePhase;

typedef struct Instance Instance;

/* Called from the loop. The instance must not be freed in one of them. */
typedef struct InstanceHandler {
	/* Health and a first real answer. */
	void (*ready)(void *ctx, Instance *i);
	/* It is not running any more: it died, could not start, was not ready in time, or was
	 * stopped. Once. */
	void (*ended)(void *ctx, Instance *i);
	/* instance_owner() is another: the processes of a container are found some time after it
	 * was asked for. May be NULL. */
	void (*moved)(void *ctx, Instance *i);
} InstanceHandler;

/* A busy port, a program that is not there and the like come to ended(), not here. */
int instance_start(sd_event *loop, HttpLoop *http, const InstanceSpec *spec,
		   const InstanceHandler *h, void *ctx, Instance **ret, Err *err) _must_check_;
/* SIGTERM, then SIGKILL to all that is left; ended() follows. */
void instance_stop(Instance *i);
/* At once, without a word. Accepts NULL, returns NULL. */
Instance *instance_free(Instance *i);
DEFINE_CLEANUP(Instance *, instance_free)

InstancePhase instance_phase(const Instance *i);
const char *instance_name(const Instance *i);
Owner instance_owner(const Instance *i);      /* its strings: until the loop runs again */
int64_t instance_ready_us(const Instance *i); /* from the start to ready; -1: not */
HttpClient *instance_client(const Instance *i);
/* Its output so far, the newest 4 MiB; valid until the loop runs again. */
const char *instance_output(Instance *i, size_t *ret_len);

/* Which of the limits that were asked for it cannot be held to, in words; "" for none. A child has
 * no control group of its own. */
const char *instance_unlimited(const Instance *i);

/* How it ended, as evidence. */
typedef struct InstanceEnd {
	bool asked;	   /* we stopped it */
	bool timed_out;	   /* it was not ready in time */
	bool port_taken;   /* somebody else listens on its port */
	bool not_executed; /* the program could not be executed */
	bool first_request_failed;
	siginfo_t status;     /* of a child or a unit's main process; si_code 0: unknown */
	char unit_result[24]; /* systemd's word; "" */
	int64_t oom_kills;    /* cgroup memory.events, since the start; -1: unknown */
	char words[240];      /* a sentence */
	char said[240];	      /* its newest line when we gave up on it; "" otherwise */
} InstanceEnd;
const InstanceEnd *instance_end(const Instance *i);

/* Proves that nothing is left: processes, the port, the unit, files. -EBUSY with what is there. */
int instance_left(const Instance *i, Err *err) _must_check_;
