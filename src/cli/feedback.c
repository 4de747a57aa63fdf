/* dream feedback: a person's verdict on what production runs. */
#include <stdio.h>
#include <string.h>

#include "base/json.h"
#include "cli/daemon_ask.h"
#include "cli/decide.h"
#include "rollout/feedback.h"

typedef struct Options {
	const char *config, *socket;
} Options;

static int print_done(int64_t version, bool good, const char *rollout)
{
	_cleanup_(str_done) Str out = STR_INIT;
	str_addf(&out, "written down: version %lld is %s", (long long)version,
		 good ? "good" : "bad");
	if (*rollout) {
		str_add(&out, ", said in the middle of ");
		said_text(rollout, &out);
	}
	str_addc(&out, '\n');
	if (*rollout && !good)
		str_add(&out, "a change that is being watched is taken back for it; 'dream status' "
			      "shows how it goes\n");
	return cli_print(out.failed ? NULL : out.s);
}

static int ask_daemon(const Options *o, const Feedback *f, json_t **ret, Err *err)
{
	json_t *rq = json_pack("{s:s, s:s, s:o}", "do", "feedback", "verdict",
			       f->good ? "good" : "bad", "words", js_text(f->words));
	return cli_ask_daemon(o->socket, rq, ret, err);
}

/* A rollout in the foreground, say: it reads what people say of it. */
static void note_rollout(const Decider *d, Feedback *f)
{
	json_auto_t *status = NULL;
	Err ignored = ERR_INIT;
	if (decider_ask_helper(d, "status", NULL, &status, &ignored) >= 0)
		(void)snprintf(f->rollout, sizeof(f->rollout), "%s",
			       js_str(json_object_get(status, "change"), "rollout", ""));
}

static int write_here(const Options *o, Feedback *f)
{
	_cleanup_(decider_done) Decider d;
	_cleanup_(baseline_done) Baseline b = {0};
	Err err = ERR_INIT;
	int r = decider_open(o->config, STORE_WRITE, &d);
	if (r)
		return r;
	if (decider_baseline(&d, &b, &err) < 0)
		return cli_fail(EXIT_FAILED, &err);
	if (b.version == 0)
		return decider_no_baseline(&d);
	f->baseline_version = b.version;
	decider_who(NULL, &f->by);
	note_rollout(&d, f);
	if (feedback_append(d.store, d.key, f, &err) < 0)
		return cli_fail(EXIT_FAILED, &err);
	return print_done(b.version, f->good, f->rollout);
}

/* The words as one line; what the terminal would take for a command is none of them. */
static int take_words(int argc, char **argv, Feedback *f)
{
	_cleanup_(str_done) Str words = STR_INIT;
	for (int i = 1; i < argc; i++)
		str_addf(&words, "%s%s", i > 1 ? " " : "", argv[i]);
	if (words.failed)
		return cli_oom();
	if (words.len == 0 || words.len >= sizeof(f->words))
		return cli_failf(EXIT_USAGE, "say in a few words what is %s: at most %zu bytes",
				 argv[0], sizeof(f->words) - 1);
	memcpy(f->words, words.s, words.len + 1);
	return EXIT_DONE;
}

static int run(const void *options, int argc, char **argv)
{
	const Options *o = options;
	Feedback f = {.good = strcmp(argv[0], "good") == 0};
	json_auto_t *answer = NULL;
	Err err = ERR_INIT;
	if (!f.good && strcmp(argv[0], "bad") != 0)
		return cli_failf(EXIT_USAGE, "it takes 'good' or 'bad' and a few words, not '%s'",
				 argv[0]);
	int r = take_words(argc, argv, &f);
	if (r)
		return r;
	r = ask_daemon(o, &f, &answer, &err);
	if (cli_no_daemon(r))
		return write_here(o, &f);
	if (r < 0)
		return cli_fail(EXIT_FAILED, &err);
	return print_done(js_int(answer, "version", 0), f.good, js_str(answer, "rollout", ""));
}

static const Option rows[] = {
    OPTION_CONFIG("the configuration that names the store, where no daemon runs"),
    OPTION_SOCKET,
    {0},
};

const Command cmd_feedback = {
    .name = "feedback",
    .args = "good|bad WORDS...",
    .summary = "say whether production is good or bad as it runs now",
    .about =
	"A signed record of who said it, when, and which version of the baseline ran, written "
	"through the daemon where one runs. 'dream baseline log' shows it beside the version. "
	"\"bad\" is also a guard: said while a change is watched, or in its probation, it counts "
	"as worse, and the change is taken back within seconds.",
    .options = rows,
    .options_size = sizeof(Options),
    .min_args = 2,
    .max_args = -1,
    .run = run,
};
