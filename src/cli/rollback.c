/* dream rollback: production as an earlier version of the baseline had it. */
#include <stdio.h>
#include <stdlib.h>

#include "base/json.h"
#include "cli/daemon_ask.h"
#include "cli/internal.h"
#include "cli/world.h"

typedef struct Options {
	const char *config, *reason;
	bool foreground;
} Options;

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

static int ask_daemon(int64_t version, const char *reason, Err *err)
{
	json_auto_t *reply = NULL;
	bool failed = false;
	json_t *rq = json_object();
	js_set(rq, "do", js_text("rollback"), &failed);
	js_set(rq, "version", json_integer(version), &failed);
	js_set(rq, "reason", js_text(reason ? reason : ""), &failed);
	if (!failed)
		return cli_ask_daemon(NULL, rq, &reply, err);
	json_decref(rq);
	return err_oom(err);
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
	World w = {0};
	Err err = ERR_INIT;
	if (argc > 0 && !version_number(argv[0], &version))
		return cli_failf(EXIT_USAGE,
				 "\"%s\" is no version; `dream baseline log` lists them", argv[0]);
	if (!o->foreground) {
		int r = ask_daemon(version, o->reason, &err);
		if (r >= 0)
			return cli_print("going back; `dream status --follow` shows how it goes\n");
		if (r != -ENOENT && r != -ECONNREFUSED)
			return cli_fail(EXIT_FAILED, &err);
	}
	int r = world_open(o->config, &w);
	if (r == 0)
		r = go_back(&w, version, o->reason);
	world_done(&w);
	return r;
}

#define AT(member) offsetof(Options, member)
static const Option rows[] = {
    {"config", 'c', "FILE", OPT_STRING, AT(config), .complete = "file",
     .help = "The configuration; otherwise ./dream.yaml, then the user's, then the system's"},
    {"foreground", 'f', NULL, OPT_FLAG, AT(foreground),
     .help = "Do it here, also when a daemon is running"},
    {"reason", 'r', "TEXT", OPT_STRING, AT(reason), .help = "Why, for the records"},
    {0},
};
#undef AT

const Command cmd_rollback = {
    .name = "rollback",
    .args = "[VERSION]",
    .summary = "bring production back to an earlier version of the baseline",
    .about =
	"Without a version, the one before the current. The units that have other values then "
	"are restarted, asked until they answer, and read back from the running processes. The "
	"result is a new version: what was is never rewritten. Works without the daemon, too.",
    .options = rows,
    .options_size = sizeof(Options),
    .min_args = 0,
    .max_args = 1,
    .run = run,
};
