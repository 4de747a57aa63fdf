#pragma once
/* What the twin's programs have in common: the box, the shared card, wall time, signals, faults and
 * how they end. */
#include "http/server.h"
#include "twin/fault.h"
#include "twin/host.h"
#include "twin/wall.h"

/* The flags that no real server has; each also as an environment variable (TWIN_BOX, ...), so that
 * a real command line can be taken as it is. */
typedef struct ProgramOptions {
	const char *box, *gpu; /* files; borrowed */
	double speed;
	uint64_t seed;
	bool seeded;
	bool lateness; /* say at the end how late events were handled */
	Faults faults;
} ProgramOptions;

/* From the environment. -EINVAL with a sentence. */
int program_options(ProgramOptions *ret, Err *err) _must_check_;
/* 1: it was one of ours ("box", ...); 0: it is not; -EINVAL with a sentence. `value` NULL: none was
 * given. */
int program_option(ProgramOptions *o, const char *name, const char *value, Err *err) _must_check_;
bool program_option_is_flag(const char *name);
extern const char program_help[];

typedef struct Program Program;

typedef struct ProgramKind {
	/* One stage of the start: 1: the next one begins after *ret_us; 0: the start failed, and
	 * the host says why; negative errno. */
	int (*stage)(Program *p, int stage, int64_t *ret_us);
	int n_stages;
	int slow_stage; /* before which the faults of a start strike */
	/* All stages are over. 0, or an exit code. */
	int (*ready)(Program *p);
	/* The simulation halted after the program was ready: memory ran out, the card is lost. */
	void (*died)(Program *p);
	/* SIGTERM. Ends in program_end(). */
	void (*stop)(Program *p);
} ProgramKind;

struct Program {
	ProgramOptions o;
	const ProgramKind *kind;
	const Clock *clock;
	Box *box;
	SharedGpu *gpu;
	sd_event *loop;
	sd_event_source *sources[2]; /* signals */
	Host host;
	Service service;
	Measurement m;
	Wall wall;
	HttpServer *server;
	int stage, stage_timer, crash_timer;
	int64_t ready_us;
	bool ready, ending;
};

/* Reads the box and opens the card. 0, or the exit code to return, with the reason on stderr. */
int program_open(Program *p, const ProgramOptions *o, const ProgramKind *kind,
		 const char *gpu_name);
/* Starts and serves. Returns the exit code. */
int program_run(Program *p);
void program_end(Program *p, int exit_code);
void program_close(Program *p);

/* Dies as a program dies that a driver bug hit. */
_Noreturn void program_crash(void);
/* Listens; says what is wrong on stderr. 0, or -errno. */
int program_listen(Program *p, const HttpServerSpec *spec, Err *err);
/* Would listening work now? 0, -EADDRINUSE, ... Real servers find out before they load a model. */
int program_can_listen(const char *host, uint16_t port);
/* Answers with a JSON value and frees it. NULL (out of memory): breaks off. */
void program_answer(Incoming *rq, int status, json_t *body);
