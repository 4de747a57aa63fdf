/* dream rollback: production as an earlier version of the baseline had it. */
#include <stdio.h>
#include <stdlib.h>

#include "base/json.h"
#include "cli/daemon_ask.h"
#include "cli/internal.h"
#include "cli/world.h"

typedef struct Options {
	const char *config, *socket, *reason;
	bool foreground;
} Options;

enum {
	HELPER_WAIT_US = 20000000,
};

static int go_back(World *w, int64_t version, const char *reason)
{
	Spoken s = {.world = w};
	RolloutWorld world = world_of(w);
	Approver by;
	Err err = ERR_INIT;
	world_who(reason, &by);
	int r = rollout_back(&world, version, &by, &spoken_handler, &s, &s.rollout, &err);
	if (r < 0)
		return cli_fail(EXIT_FAILED, &err);
	r = spoken_run(&s);
	rollout_free(s.rollout);
	return r == EXIT_NOTHING_BETTER ? EXIT_DONE : r;
}

static bool is_open(const World *w, Err *err)
{
	json_auto_t *status = NULL;
	json_t *rq = json_pack("{s:s}", "do", "status");
	return helper_ask(w->helper, rq, HELPER_WAIT_US, &status, err) >= 0 &&
	       json_is_object(json_object_get(status, "change"));
}

/* What an interrupted rollout left is not committed: to go back is to take that back. */
static int take_back(World *w, const char *reason)
{
	Spoken s = {.world = w};
	RolloutWorld world = world_of(w);
	Approver by;
	Err err = ERR_INIT;
	world_who(reason, &by);
	int r = rollout_resume(&world, &spoken_handler, &s, &s.rollout, &err);
	if (r >= 0 && s.rollout)
		r = rollout_decide(s.rollout, false, &by, &err);
	if (r == -EAGAIN || r == -EINVAL) /* it goes back already */
		r = 0;
	if (r < 0)
		r = cli_fail(EXIT_FAILED, &err);
	else if (s.rollout)
		r = spoken_run(&s);
	rollout_free(s.rollout);
	return r == EXIT_NOTHING_BETTER ? EXIT_DONE : r;
}

/* An event loop that was left is not run again: what comes after one rollout has another. */
static int open_again(const char *config, World *w)
{
	world_done(w);
	int r = world_open(config, w);
	return r ? r : world_take_turn(w);
}

static int go_back_here(const Options *o, World *w, int64_t version)
{
	Err err = ERR_INIT;
	int r = world_take_turn(w);
	if (r)
		return r;
	if (is_open(w, &err)) {
		r = take_back(w, o->reason);
		if (r || version == 0)
			return r;
		r = open_again(o->config, w);
		if (r)
			return r;
	}
	return go_back(w, version, o->reason);
}

static int ask_daemon(const Options *o, int64_t version, json_t **ret, Err *err)
{
	json_t *rq = json_pack("{s:s, s:I, s:o}", "do", "rollback", "version", (json_int_t)version,
			       "reason", js_text(o->reason ? o->reason : ""));
	return cli_ask_daemon(o->socket, rq, ret, err);
}

static bool version_number(const char *text, int64_t *ret)
{
	char *end;
	errno = 0;
	*ret = strtoll(text, &end, 10);
	return !errno && end != text && !*end && *ret > 0;
}

static int run(const void *options, int argc, char **argv)
{
	const Options *o = options;
	int64_t version = 0;
	World w = {.turn_fd = -1};
	Err err = ERR_INIT;
	if (argc > 0 && !version_number(argv[0], &version))
		return cli_failf(EXIT_USAGE,
				 "\"%s\" is no version; `dream baseline log` lists them", argv[0]);
	if (!o->foreground) {
		json_auto_t *reply = NULL;
		int r = ask_daemon(o, version, &reply, &err);
		if (r >= 0)
			return cli_print_begun(reply, "going back");
		if (!cli_no_daemon(r))
			return cli_fail(EXIT_FAILED, &err);
	}
	int r = world_open(o->config, &w);
	if (r == 0)
		r = go_back_here(o, &w, version);
	world_done(&w);
	return r;
}

#define AT(member) offsetof(Options, member)
static const Option rows[] = {
    OPTION_CONFIG_FOUND,
    OPTION_SOCKET,
    {"foreground", 'f', NULL, OPT_FLAG, AT(foreground),
     .help = "do it here, also when a daemon is running"},
    {"reason", 'r', "TEXT", OPT_STRING, AT(reason), .help = "why; kept for ever"},
    {0},
};
#undef AT

const Command cmd_rollback = {
    .name = "rollback",
    .args = "[VERSION]",
    .summary = "bring production back to an earlier version of the baseline",
    .about =
	"Without a version, the one before the current; in the middle of a rollout, what "
	"production ran before it. The units that have other values then "
	"are restarted, asked until they answer, and read back from the running processes. The "
	"result is a new version: what was is never rewritten. Works without the daemon, too.",
    .options = rows,
    .options_size = sizeof(Options),
    .min_args = 0,
    .max_args = 1,
    .run = run,
};
