#pragma once
/* The privileged side, for the files of its verbs. One request of a client is at work at a time; a
 * verb that takes long answers later, from the loop, or when it is given up. Nothing about
 * production is kept in memory between two requests: the folder is opened, locked, read and closed
 * for each, so that a helper that dies anywhere has nothing to lose. */
#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <systemd/sd-event.h>

#include "helper/packet.h"
#include "production/adoption.h"
#include "production/generation.h"
#include "systemd/bus.h"

typedef struct Server Server;
typedef struct Call Call;

/* --- Verbs ------------------------------------------------------------------------------------ */

typedef struct Verb {
	VerbForm form;
	bool alone;   /* restarts units: waits until no other does */
	bool changes; /* is said in the journal */
	/* 0: the members of the answer are in *ret (NULL: none). 1: call_end() follows, from the
	 * loop. Negative: refused. */
	int (*run)(Call *c, json_t **ret, Err *err);
	/* Ends a call that is at work, with call_end(): nobody waits for it any more. What systemd
	 * does for it goes on, until another job of the unit takes its place. */
	void (*cancel)(Call *c);
} Verb;

extern const Verb verb_status, verb_prepare, verb_begin, verb_flip, verb_restart, verb_cold,
    verb_readback, verb_commit, verb_undo, verb_cancel;

Server *call_server(const Call *c);
const json_t *call_request(const Call *c);
const char *call_text(const Call *c, const char *member); /* borrowed; never NULL */
void *call_data(const Call *c);				  /* the verb's own, while it runs */
void call_set_data(Call *c, void *data);
/* Ends a call that run() left open. `members` is consumed. `why`: refused. Frees the call. */
void call_end(Call *c, json_t *members, const Err *why);

/* --- What verbs work with --------------------------------------------------------------------- */

sd_event *server_loop(const Server *s);
const ProductionPlaces *server_places(const Server *s);
/* The manager, connected to when it is first needed. Borrowed. */
int server_systemd(Server *s, Systemd **ret, Err *err) _must_check_;

/* Read anew for every request. -ENOENT: nothing is adopted; -EPERM: the folder is not ours alone.
 */
int server_production(const ProductionPlaces *places, Production **ret, Err *err) _must_check_;

/* When the link was last moved, realtime: by us as the boot's clock has it, so that a step of the
 * clock does not count; else as its file says. */
void server_flipped(Server *s);
int64_t server_flipped_at_us(const Server *s);

/* --- Shared between verbs --------------------------------------------------------------------- */

/* -EPERM: not adopted. */
int adopted(const Server *s, const char *unit, Adoption *ret, Err *err) _must_check_;
/* Are these values all that the adopted units need, and each allowed? -EPERM, -EINVAL. */
int values_check(const Adoption *units, size_t n, const json_t *values, Err *err) _must_check_;
/* What a file was when its unit was adopted, or an error (for generation_render()): nobody but root
 * decides what is copied. `ctx`: an AdoptedList. */
typedef struct AdoptedList {
	Adoption *list;
	size_t n;
} AdoptedList;
int adopted_file(void *ctx, const char *path, char **ret, Err *err) _must_check_;
void adoptedlist_done(AdoptedList *a);

json_t *unitstate_json(const UnitState *u); /* NULL: out of memory */
/* A unit as the manager has it, and the texts of its files. */
typedef struct UnitSeen {
	UnitState state;
	UnitFile *files;
	size_t n_files;
} UnitSeen;
int server_look(Server *s, const char *unit, UnitSeen *ret, Err *err) _must_check_;
void unitseen_done(UnitSeen *u);

/* One unit that is being stopped, started or restarted, and what came of it. */
typedef int UnitWorkVerb(Systemd *s, const char *unit, JobDone *done, void *ctx, UnitJob **ret,
			 Err *err);
typedef struct UnitWork {
	Server *s;
	const char *unit; /* borrowed */
	void (*done)(void *ctx);
	void *ctx;
	UnitJob *job; /* NULL: none at work */
	int64_t began_us, took_us;
	char result[24];
	Err err; /* why there was no job, or nothing is known of it */
} UnitWork;

/* done() comes once, from the loop, never from inside. */
int unitwork_start(UnitWork *w, UnitWorkVerb *verb, Err *err) _must_check_;
void unitwork_forget(UnitWork *w);
/* done() does not come any more, and the result is "canceled". */
void unitwork_give_up(UnitWork *w);
/* result, words, state, took_us. A unit that systemd will not start is a result ("refused"); an
 * error is that systemd cannot be asked. */
int unitwork_json(UnitWork *w, json_t **ret, Err *err) _must_check_;

/* --- The server ------------------------------------------------------------------------------- */

typedef struct ServerSpec {
	int listen_fd;	 /* -1: none */
	int client_fd;	 /* a client that is there already, trusted; -1: none */
	bool has_second; /* system mode: besides ourselves this user may ask */
	uid_t second;
	int64_t idle_us; /* ends after so long without a client; 0: at once with the last one */
	bool quiet;	 /* nothing is written to standard error */
} ServerSpec;

/* Until there is nobody left to serve, or SIGTERM and what was begun is done. Takes the fds. */
int server_run(const ServerSpec *spec, const ProductionPlaces *places, Err *err) _must_check_;

/* A line on standard error, with its level (LOG_WARNING, ...) where that is the journal. */
void helper_say(int level, const char *fmt, ...) _printf_(2, 3);
/* At boot. 0: nothing was open, or it was undone; said on standard error. */
int helper_recover(const ProductionPlaces *places, Err *err) _must_check_;
