/* dream rollout: brings an approved promotion to production. */
#include <stdio.h>
#include <string.h>

#include "base/json.h"
#include "cli/daemon_ask.h"
#include "cli/internal.h"
#include "cli/world.h"

typedef struct Options {
	const char *config, *socket, *reason;
	bool foreground, dry_run, resume, go_on, abort;
} Options;

/* --- Through the daemon ---------------------------------------------------------------------- */

static int ask_daemon(const Options *o, const char *verb, const char *promotion, json_t **ret,
		      Err *err)
{
	bool failed = false;
	json_t *rq = json_object();
	js_set(rq, "do", js_text(verb), &failed);
	if (promotion)
		js_set(rq, "promotion", js_text(promotion), &failed);
	if (o->reason)
		js_set(rq, "reason", js_text(o->reason), &failed);
	if (!failed)
		return cli_ask_daemon(o->socket, rq, ret, err);
	json_decref(rq);
	return err_oom(err);
}

/* `done`: what it does then; `alone`: how the same is done without a daemon. */
static int tell_daemon(const Options *o, const char *verb, const char *promotion, const char *done,
		       const char *alone)
{
	json_auto_t *reply = NULL;
	Err err = ERR_INIT;
	int r = ask_daemon(o, verb, promotion, &reply, &err);
	if (cli_no_daemon(r))
		return cli_failf(EXIT_FAILED, "%s; without one: `dream rollout %s`", err.msg,
				 alone);
	return r < 0 ? cli_fail(EXIT_FAILED, &err) : cli_print_begun(reply, done);
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

static int preview_here(const World *w, const char *promotion)
{
	_cleanup_(str_done) Str text = STR_INIT;
	RolloutWorld world = world_of(w);
	Err err = ERR_INIT;
	if (rollout_preview(&world, promotion, &text, &err) < 0)
		return cli_fail(EXIT_FAILED, &err);
	return cli_print(text.s);
}

/* Each line as it may go to a terminal. */
static int print_lines(const char *text)
{
	_cleanup_(str_done) Str out = STR_INIT;
	while (*text) {
		size_t n = strcspn(text, "\n");
		str_add_safe(&out, text, n, 0);
		str_addc(&out, '\n');
		text += n + (text[n] == '\n');
	}
	return cli_print(out.failed ? NULL : out.s ? out.s : "");
}

static int preview(const Options *o, const char *promotion)
{
	json_auto_t *answer = NULL;
	World w = {.turn_fd = -1};
	json_t *rq = json_pack("{s:s, s:o}", "do", "preview", "promotion", js_text(promotion));
	int r = world_look(o->config, o->socket, rq, &w, &answer);
	if (r == 0)
		r = answer ? print_lines(js_str(answer, "text", "")) : preview_here(&w, promotion);
	world_done(&w);
	return r;
}

static int check_options(const Options *o, int argc)
{
	bool decides = o->go_on || o->abort;
	if (o->go_on && o->abort)
		return cli_failf(EXIT_USAGE, "it is either --continue or --abort");
	if (argc > 0 && (decides || o->resume))
		return cli_failf(EXIT_USAGE,
				 "%s is about the rollout that is going on and takes "
				 "no promotion",
				 o->go_on   ? "--continue"
				 : o->abort ? "--abort"
					    : "--resume");
	if (o->dry_run && argc == 0)
		return cli_failf(EXIT_USAGE, "--dry-run takes a promotion; `dream promotions` "
					     "lists them");
	if (o->foreground && decides && !o->resume)
		return cli_failf(EXIT_USAGE, "what is done here instead of in the daemon is "
					     "--resume --continue or --resume --abort");
	if (o->reason && !decides)
		return cli_failf(EXIT_USAGE, "--reason goes with --continue and --abort; the "
					     "reason of a rollout is that of its approval");
	if (argc == 0 && !decides && !o->resume)
		return cli_failf(EXIT_USAGE, "which promotion? `dream promotions` lists them");
	return EXIT_DONE;
}

static int run(const void *options, int argc, char **argv)
{
	const Options *o = options;
	World w = {.turn_fd = -1};
	int r = check_options(o, argc);
	if (r)
		return r;
	if (o->go_on && !o->resume)
		return tell_daemon(o, "continue", NULL, "it is watched again",
				   "--resume --continue");
	if (o->abort && !o->resume)
		return tell_daemon(o, "abort", NULL, "it is being taken back", "--resume --abort");
	if (!o->foreground && !o->resume && !o->dry_run)
		return tell_daemon(o, "rollout", argv[0], "it begins", "--foreground PROMOTION");
	if (o->dry_run)
		return preview(o, argv[0]);
	r = world_open(o->config, &w);
	if (r == 0)
		r = world_take_turn(&w);
	if (r == 0)
		r = roll_out(&w, o, argc > 0 ? argv[0] : NULL);
	world_done(&w);
	return r;
}

#define AT(member) offsetof(Options, member)
static const Option rows[] = {
    OPTION_CONFIG_FOUND,
    OPTION_SOCKET,
    {"foreground", 'f', NULL, OPT_FLAG, AT(foreground),
     .help = "do it here instead of in the daemon, and say every step"},
    {"dry-run", 'n', NULL, OPT_FLAG, AT(dry_run),
     .help = "say what would be done and what downtime it costs; change nothing"},
    {"resume", 0, NULL, OPT_FLAG, AT(resume),
     .help = "take up, in the foreground, what an interrupted rollout left; with --continue or "
	     "--abort as a person decides"},
    {"continue", 0, NULL, OPT_FLAG, AT(go_on), .help = "a rollout that asks is watched again"},
    {"abort", 0, NULL, OPT_FLAG, AT(abort), .help = "the rollout that is going on is taken back"},
    {"reason", 'r', "TEXT", OPT_STRING, AT(reason),
     .help = "with --continue or --abort: why; kept for ever"},
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
