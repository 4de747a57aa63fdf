#pragma once
/* What the verbs that change production work with: opened together, closed together. */
#include "cli/cli.h"
#include "rollout/rollout.h"

typedef struct World {
	Plan *plan;
	Store *store;
	SignKey *key;
	sd_event *loop;
	Systemd *systemd;
	HttpLoop *http;
	Helper *helper;
	Alerts *alerts;
	History *history;
	ProductionPlaces places;
	char *state_dir, *store_dir;
	int turn_fd; /* while production is ours to change; -1 */
} World;

/* 0, or the exit code to return; what was opened is closed by world_done() either way. */
int world_open(const char *config, World *ret);
/* The same for a verb that only looks: what it does without is NULL, and nothing is made. Where the
 * store may not be read the daemon at `socket` is asked instead (cli_ask_instead()): then
 * *ret_answer is what it says, and nothing is opened. The request is consumed. */
int world_look(const char *config, const char *socket, json_t *request, World *ret,
	       json_t **ret_answer);
void world_done(World *w);
/* Before anything changes production, until world_done(). 0, or the exit code to return. */
int world_take_turn(World *w);
RolloutWorld world_of(const World *w);
/* Who types: for approvals and rollbacks. */
void world_who(const char *reason, Approver *ret);
/* Runs the loop until the rollout is over, saying on standard output what happens. Ctrl-C leaves
 * production as it is, and says so. The exit code. */
typedef struct Spoken {
	const World *world;
	Rollout *rollout;
	bool over, fault, asked, to_stderr;
	MachineResult result;
	Err err;
} Spoken;
extern const RolloutHandler spoken_handler; /* its ctx is a Spoken */
int spoken_run(Spoken *s);
