/* dream feedback: a person's verdict on what production runs. */
#include <string.h>

#include "base/json.h"
#include "cli/decide.h"
#include "rollout/feedback.h"

typedef struct Options {
	const char *config;
} Options;

static int run(const void *options, int argc, char **argv)
{
	const Options *o = options;
	_cleanup_(decider_done) Decider d;
	_cleanup_(baseline_done) Baseline b = {0};
	_cleanup_(str_done) Str words = STR_INIT, out = STR_INIT;
	Feedback f = {.good = strcmp(argv[0], "good") == 0};
	Err err = ERR_INIT;
	int r = decider_open(o->config, STORE_WRITE, &d);
	if (r)
		return r;
	if (!f.good && strcmp(argv[0], "bad") != 0)
		return cli_failf(EXIT_USAGE, "it takes 'good' or 'bad' and a few words, not '%s'",
				 argv[0]);
	for (int i = 1; i < argc; i++)
		str_addf(&words, "%s%s", i > 1 ? " " : "", argv[i]);
	if (words.len == 0 || words.len >= sizeof(f.words))
		return cli_failf(EXIT_USAGE, "say in a few words what is %s: at most %zu bytes",
				 argv[0], sizeof(f.words) - 1);
	memcpy(f.words, words.s, words.len + 1);
	if (decider_baseline(&d, &b, &err) < 0)
		return cli_fail(EXIT_FAILED, &err);
	if (b.version == 0)
		return decider_no_baseline(&d);
	f.baseline_version = b.version;
	decider_who(NULL, &f.by);
	if (feedback_append(d.store, d.key, &f, &err) < 0)
		return cli_fail(EXIT_FAILED, &err);
	str_addf(&out, "written down: version %lld is %s\n", (long long)b.version, argv[0]);
	return cli_print(out.s);
}

static const Option rows[] = {
    {"config", 'c', "FILE", OPT_STRING, offsetof(Options, config), .complete = "file",
     .help = "the configuration that names the store"},
    {0},
};

const Command cmd_feedback = {
    .name = "feedback",
    .args = "good|bad WORDS...",
    .summary = "say whether production is good or bad as it runs now",
    .about = "A signed record of who said it, when, and which version of the baseline ran. 'dream "
	     "baseline log' shows it beside the version.",
    .options = rows,
    .options_size = sizeof(Options),
    .min_args = 2,
    .max_args = -1,
    .run = run,
};
