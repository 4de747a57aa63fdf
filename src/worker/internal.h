#pragma once
/* What the files of this folder share. The worker is written as one sequence of steps; between them
 * it waits in its event loop (wait.c), and whatever ends the trial early ends every wait. */
#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <systemd/sd-event.h>
#include <unistd.h>

#include "base/str.h"
#include "conf/conf.h"
#include "eval/eval.h"
#include "eval/trialdir.h"
#include "gpu/sampler.h"
#include "loadgen/figures.h"
#include "loadgen/traffic.h"
#include "loadgen/wer.h"
#include "server/server.h"
#include "service/instance.h"
#include "service/quiesce.h"
#include "service/verdict.h"
#include "trial/trial.h"
#include "worker/worker.h"

enum {
	PARTIES_MAX = 32, /* services of a trial */
};

/* --- job.c: what is asked of us -------------------------------------------------------------- */

typedef struct Job {
	json_t *request; /* owned */
	char *base_dir;
	EvaluatorSpec spec;    /* options; its environment is our environment */
	ServiceSpec *services; /* owned, n_services */
	size_t n_services;
	Workload *workload; /* owned; NULL: nothing is asked */
	const json_t *params;
	const char *gpu_uuid; /* of the lease; NULL */
	int lease_fd;	      /* -1: no GPU */
	bool all_services;
	uint64_t seed;
	int64_t timeout_us;
} Job;

int job_read(const char *text, size_t len, Job *ret, Err *err) _must_check_;
void job_done(Job *j);

/* --- The trial ------------------------------------------------------------------------------- */

/* One service of the trial. */
typedef struct Party {
	const ServiceSpec *spec;
	const ServerKind *kind;
	ServerRole role;
	ServerCommand command;
	json_t *settings; /* the candidate's, all of them */
	json_t *applied;  /* those of them that were put into the command */
	json_t *ask;	  /* members of every LLM request */
	uint16_t port;
	char *url, *model, *token;
	Protocol protocol;
	char *output_dir;
	InstanceSpec start; /* lives as long as the instance */
	Instance *instance; /* NULL: not started, or observed */
	HttpClient *client; /* of an observed one: ours */
	Owner owner;	    /* of an observed one; its cgroup is owned */
	int sampled;	    /* the sampler's handle; -1 */
	bool was_ready;
	bool wants_gpu;
	PlacementProof placement;
	int64_t account_gpu_bytes, account_all_bytes;
	pid_t *pids; /* all that it ever had */
	size_t n_pids;
	int64_t requests, failed_requests, refused_requests;
	char client_words[240];
	bool has_together, has_alone;
	StreamFigures together, alone;
	json_t *metrics_before, *metrics_after; /* of its own metrics page */
} Party;

typedef struct Worker {
	int out;
	Job job;
	sd_event *loop;
	HttpLoop *http;
	Systemd *systemd; /* NULL: not needed, or none */
	Nvml *nvml;	  /* NULL: none */
	size_t gpu;
	Sampler *sampler;
	Lease *lease;
	Quiesce *quiesce;
	void *room; /* room.c's own */
	TrialDir dir;
	Contents *prompts, *clips;
	Party parties[PARTIES_MAX];
	size_t n_parties;
	int64_t began_us, deadline_us;

	/* Why the trial ends early; the first reason counts. */
	bool over;
	char doing[96]; /* what the last progress line said */
	Measurement m;	/* its outcome when `over` was decided by us; completed at the end */
	json_t *evidence;
	char *kernel_cursor;
} Worker;

/* --- wait.c ---------------------------------------------------------------------------------- */

/* Runs the loop until *done, the end of the trial, or the deadline. 0: done; -ECANCELED: the trial
 * is over. */
int worker_wait(Worker *w, const bool *done);
/* Ends the trial: the first one decides what it is called. */
void worker_over(Worker *w, Outcome o, const char *cause, const char *fmt, ...) _printf_(4, 5);
/* A progress line. */
void worker_progress(Worker *w, double share, const char *fmt, ...) _printf_(3, 4);
/* Time that is left of the trial. */
int64_t worker_left_us(const Worker *w);

/* The body of a page, or NULL: no matter why not. New string. */
char *worker_fetch(Worker *w, HttpClient *client, const char *path, size_t max);

/* --- party.c: commands, ports, names --------------------------------------------------------- */

/* Faults of the configuration are outcomes (worker_over) with the sentence; negative errno only for
 * faults of the machine. */
int parties_prepare(Worker *w, Err *err) _must_check_;
void party_done(Party *p);

/* --- start.c: from nothing to all services ready and proved ---------------------------------- */

int parties_start(Worker *w, Err *err) _must_check_;
Owner party_owner(const Party *p);
/* Keeps the processes that it has now: -ENOMEM. */
int party_note(Party *p) _must_check_;
/* It gave its first answer: is it on the GPU? When it is not, the trial is over. */
void party_prove(Worker *w, Party *p);
/* Stops all in reverse order and proves that nothing is left. */
int parties_stop(Worker *w, Err *err) _must_check_;
/* Remembers which processes each has now. */
void parties_note(Worker *w);

/* --- observe.c: production as it runs -------------------------------------------------------- */

int parties_observe(Worker *w, Err *err) _must_check_;

/* --- room.c: production out of the way, and back --------------------------------------------- */

int room_make(Worker *w, Err *err) _must_check_;
int room_give_back(Worker *w, Err *err) _must_check_;

/* --- leftover.c: what a killed run left ------------------------------------------------------ */

/* Stops units of trials whose worker is dead and puts production back (`state_dir` NULL: it was
 * never stopped). 1: there was something. Runs the loop. */
int leftover_clear(sd_event *loop, Systemd *s, const char *state_dir, Err *err) _must_check_;

/* Containers are no children of who starts them: removes those whose worker is dead. How many. */
int leftover_containers(const char *program);

/* --- load.c ---------------------------------------------------------------------------------- */

typedef struct Load {
	Worker *w;
	double from, to; /* of the trial's progress */
	const char *what;
	bool done;
	TrafficResult result; /* owned by the caller, whatever load_run() returns */
	Err err;
} Load;

/* Runs the streams to their end. `result` is of use when 0 is returned and the trial is not over.
 */
int load_run(Load *l, const TrafficStream *streams, size_t n, Err *err) _must_check_;

/* --- measure.c ------------------------------------------------------------------------------- */

int measure_all(Worker *w, Err *err) _must_check_;

/* --- speech.c, answers.c: quality ------------------------------------------------------------ */

/* Word errors of the answers in a result's stream, as `wer_pct` and in the evidence. */
int speech_judge(Worker *w, const Party *p, const StreamResult *r, Err *err) _must_check_;
int answers_judge(Worker *w, Party *p, Err *err) _must_check_;
int score_note(Worker *w, double pct, double lo, double hi, double se, int64_t n,
	       Err *err) _must_check_;
/* score.c: by a program of the user's. */
int score_program(Worker *w, const Party *p, Err *err) _must_check_;

/* --- secret.c ---------------------------------------------------------------------------- */

/* Takes what may be a secret out of every text of a report: -ENOMEM. */
int secrets_hide(const Worker *w, json_t *report) _must_check_;

/* --- report.c: what the runner gets ------------------------------------------------------ */

/* As text. What the runner would not take for its size loses evidence, which then says so. */
int report_text(json_t *report, Str *out) _must_check_;
/* The last line of the trial. */
int worker_report(Worker *w) _must_check_;

/* --- verdict.c: what it was, in the end ------------------------------------------------------ */

int worker_conclude(Worker *w, Err *err) _must_check_;
/* After everything was stopped: none of our processes holds a byte of the GPU. -EBUSY with who
 * does. */
int worker_gpu_left(Worker *w, Err *err) _must_check_;
