/* dream rollout: brings an approved promotion to production. */
#include <stdio.h>
#include <string.h>

#include "base/json.h"
#include "cli/daemon_ask.h"
#include "cli/internal.h"
#include "cli/world.h"

typedef struct Options {
	const char *config, *reason;
	bool foreground, dry_run, resume, go_on, abort;
} Options;

/* --- Through the daemon ---------------------------------------------------------------------- */

static int ask_daemon(const char *verb, const char *promotion, const char *reason, json_t **ret,
		      Err *err)
{
	bool failed = false;
	json_t *rq = json_object();
	js_set(rq, "do", js_text(verb), &failed);
	if (promotion)
		js_set(rq, "promotion", js_text(promotion), &failed);
	if (reason)
		js_set(rq, "reason", js_text(reason), &failed);
	if (!failed)
		return cli_ask_daemon(NULL, rq, ret, err);
	json_decref(rq);
	return err_oom(err);
}

static int tell_daemon(const char *verb, const char *promotion, const char *reason,
		       const char *done)
{
	json_auto_t *reply = NULL;
	Err err = ERR_INIT;
	int r = ask_daemon(verb, promotion, reason, &reply, &err);
	if (r == -ENOENT || r == -ECONNREFUSED)
		return cli_failf(EXIT_FAILED,
				 "no daemon is running here (%s); start `dream daemon`, or use "
				 "--foreground",
				 err.msg);
	if (r < 0)
		return cli_fail(EXIT_FAILED, &err);
	return cli_print(done);
}

/* --- Here ------------------------------------------------------------------------------------- */

static int roll_out(World *w, const Options *o, const char *promotion)
{
	Spoken s = {.world = w};
	RolloutWorld world = world_of(w);
	Err err = ERR_INIT;
	int r = o->resume ? rollout_resume(&world, &spoken_handler, &s, &s.rollout, &err)
			  : rollout_start(&world, promotion, &spoken_handler, &s, &s.rollout, &err);
	if (r < 0)
		return cli_fail(EXIT_FAILED, &err);
	if (!s.rollout)
		return cli_print("nothing was in the middle of anything\n");
	Approver by;
	world_who(o->reason, &by);
	if ((o->go_on || o->abort) && rollout_decide(s.rollout, o->go_on, &by, &err) < 0)
		r = cli_fail(EXIT_FAILED, &err);
	else
		r = spoken_run(&s);
	rollout_free(s.rollout);
	return r;
}

static int preview(World *w, const char *promotion)
{
	_cleanup_(str_done) Str text = STR_INIT;
	RolloutWorld world = world_of(w);
	Err err = ERR_INIT;
	if (rollout_preview(&world, promotion, &text, &err) < 0)
		return cli_fail(EXIT_FAILED, &err);
	return cli_print(text.s);
}

static int run(const void *options, int argc, char **argv)
{
	const Options *o = options;
	World w = {0};
	if (o->go_on && !o->resume)
		return tell_daemon("continue", NULL, o->reason, "it is watched again\n");
	if (o->abort && !o->resume)
		return tell_daemon("abort", NULL, o->reason, "it is being taken back\n");
	if (argc == 0 && !o->resume)
		return cli_failf(EXIT_USAGE, "which promotion? `dream promotions` lists them");
	if (!o->foreground && !o->resume && !o->dry_run)
		return tell_daemon("rollout", argv[0], o->reason,
				   "begun; `dream status --follow` shows how it goes\n");
	int r = world_open(o->config, &w);
	if (r == 0 && o->dry_run && argc > 0)
		r = preview(&w, argv[0]);
	else if (r == 0)
		r = roll_out(&w, o, argc > 0 ? argv[0] : NULL);
	world_done(&w);
	return r;
}

#define AT(member) offsetof(Options, member)
static const Option rows[] = {
    {"config", 'c', "FILE", OPT_STRING, AT(config), .complete = "file",
     .help = "The configuration; otherwise ./dream.yaml, then the user's, then the system's"},
    {"foreground", 'f', NULL, OPT_FLAG, AT(foreground),
     .help = "Do it here instead of in the daemon, and say every step"},
    {"dry-run", 'n', NULL, OPT_FLAG, AT(dry_run),
     .help = "Say what would be done and what downtime it costs; change nothing"},
    {"resume", 0, NULL, OPT_FLAG, AT(resume),
     .help = "Take up, in the foreground, what an interrupted rollout left; with --continue or "
	     "--abort as a person decides"},
    {"continue", 0, NULL, OPT_FLAG, AT(go_on), .help = "A rollout that asks is watched again"},
    {"abort", 0, NULL, OPT_FLAG, AT(abort), .help = "The rollout that is going on is taken back"},
    {"reason", 'r', "TEXT", OPT_STRING, AT(reason), .help = "Why, for the records"},
    {0},
};
#undef AT

const Command cmd_rollout = {
    .name = "rollout",
    .args = "[PROMOTION]",
    .summary = "bring an approved promotion to production",
    .about =
	"Validates the promotion, looks for its approval, and brings it to production stage by "
	"stage and parameter by parameter. Each change is restarted, asked, read back from the "
	"running process and watched; what hurts is taken back at once, what is left is "
	"confirmed from a cold start and becomes the new baseline. A power cut at any moment "
	"ends in the old configuration or in the new one.\n\nEnds with 0 when something was "
	"committed, 3 when all was taken back, 4 when it was interrupted and can be taken up "
	"again.",
    .options = rows,
    .options_size = sizeof(Options),
    .min_args = 0,
    .max_args = 1,
    .run = run,
};
