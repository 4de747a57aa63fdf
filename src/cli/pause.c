/* dream pause, dream resume: whether the daemon may begin anything new. */

#include "base/json.h"
#include "cli/daemon_ask.h"
#include "cli/internal.h"

typedef struct Options {
	const char *socket;
} Options;

static int take_reason(int argc, char **argv, Str *out)
{
	for (int i = 0; i < argc; i++)
		str_addf(out, "%s%s", i ? " " : "", argv[i]);
	return out->failed ? cli_oom() : 0;
}

static int ask(const Options *o, const char *verb, int argc, char **argv, const char *done)
{
	_cleanup_(str_done) Str reason = STR_INIT;
	json_auto_t *answer = NULL;
	Err err = ERR_INIT;
	int r = take_reason(argc, argv, &reason);
	if (r)
		return r;
	json_t *rq =
	    json_pack("{s:s, s:o}", "do", verb, "reason", js_text(reason.s ? reason.s : ""));
	if (cli_ask_daemon(o->socket, rq, &answer, &err) < 0)
		return cli_fail(EXIT_FAILED, &err);
	return cli_print(done);
}

static int run_pause(const void *options, int argc, char **argv)
{
	return ask(options, "pause", argc, argv,
		   "paused: no new runs and no new rollouts begin; what is being watched stays "
		   "watched\n");
}

static int run_resume(const void *options, int argc, char **argv)
{
	return ask(options, "resume", argc, argv, "resumed\n");
}

static const Option rows[] = {
    OPTION_SOCKET,
    {0},
};

const Command cmd_pause = {
    .name = "pause",
    .args = "[REASON...]",
    .summary = "let the daemon begin nothing new",
    .about =
	"No new runs and no new rollouts begin until 'dream resume', also when the daemon or the "
	"machine is started anew. A rollout that is going on stays watched and is taken back if it "
	"hurts; 'dream rollback' works as ever. 'dream status' shows who paused it and why.",
    .options = rows,
    .options_size = sizeof(Options),
    .max_args = -1,
    .run = run_pause,
};

const Command cmd_resume = {
    .name = "resume",
    .args = "[REASON...]",
    .summary = "let a paused daemon go on",
    .about = "Ends what 'dream pause' began.",
    .options = rows,
    .options_size = sizeof(Options),
    .max_args = -1,
    .run = run_resume,
};
