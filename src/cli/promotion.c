/* dream promotion: one proposal, looked at, taken in, or made by hand. */
#include <string.h>

#include "base/json.h"
#include "cli/decide.h"
#include "record/promotion.h"

typedef struct Options {
	const char *config, *experiment, *reason;
	bool json;
} Options;

/* --- show ------------------------------------------------------------------------------------ */

/* `first`: what is said above it. The view is consumed. */
static int print_view(const Decider *d, json_t *view, const char *first, bool json)
{
	_cleanup_(str_done) Str out = STR_INIT;
	json_auto_t *owned = view;
	if (json)
		return cli_print_json(TAKE_PTR(owned));
	const json_t *promotion = json_object_get(owned, "promotion");
	const char *unseen = js_str(owned, "unseen", NULL);
	str_add(&out, first);
	promotion_text(owned, decider_experiment(d, promotion), &out);
	if (unseen) {
		str_add(&out, "\nIt is not known what is adopted: ");
		said_text(unseen, &out);
		str_addc(&out, '\n');
	}
	return cli_print(out.failed ? NULL : out.s);
}

static int print(const Decider *d, const json_t *promotion, const char *first, bool json)
{
	json_t *view = NULL;
	Err err = ERR_INIT;
	int r = decider_view(d, promotion, &view, &err);
	return r < 0 ? cli_fail(EXIT_FAILED, &err) : print_view(d, view, first, json);
}

static int show(const Options *o, int argc, char **argv)
{
	_cleanup_(decider_done) Decider d = {0};
	json_auto_t *promotion = NULL;
	json_t *view = NULL;
	Err err = ERR_INIT;
	if (argc != 1)
		return cli_failf(EXIT_USAGE, "'show' takes the ID of one promotion; 'dream "
					     "promotions' lists them");
	int r = decider_open_or_ask(
	    o->config, json_pack("{s:s, s:o}", "do", "promotion", "promotion", js_text(argv[0])),
	    &d, &view);
	if (r)
		return r;
	if (view)
		return print_view(&d, view, "", o->json);
	if (!d.store)
		return cli_nothing_yet(EXIT_FAILED);
	if (promotion_find(d.store, argv[0], &promotion, &err) < 0)
		return cli_fail(EXIT_FAILED, &err);
	return print(&d, promotion, "", o->json);
}

/* --- import ---------------------------------------------------------------------------------- */

static int check_signer(const Decider *d, const json_t *promotion, Err *err)
{
	const char *key = js_str(json_object_get(promotion, "signature"), "key", "");
	int r = promotion_verify(promotion, NULL, err);
	if (r < 0)
		return r;
	for (size_t i = 0; d->keys[i]; i++)
		if (strcmp(d->keys[i], key) == 0)
			return 0;
	return err_set(err, -EPERM,
		       "it is signed with the key %s, which is not trusted here; if you know whose "
		       "it is, add it to daemon.trusted_keys",
		       key);
}

static int import(const Options *o, int argc, char **argv)
{
	_cleanup_(decider_done) Decider d;
	json_auto_t *promotion = NULL;
	Err err = ERR_INIT;
	int r = decider_open(o->config, STORE_WRITE, &d);
	if (r)
		return r;
	if (argc != 1)
		return cli_failf(EXIT_USAGE, "'import' takes one FILE");
	r = promotion_read_file(argv[0], &promotion, &err);
	if (r == 0 && (r = check_signer(&d, promotion, &err)) < 0)
		return cli_failf(EXIT_FAILED, "%s: %s", argv[0], err.msg);
	if (r == 0)
		r = promotion_store(d.store, promotion, &err);
	if (r < 0)
		return cli_fail(EXIT_FAILED, &err);
	return print(&d, promotion, r ? "Taken in.\n\n" : "It is here already.\n\n", o->json);
}

/* --- new ------------------------------------------------------------------------------------- */

static int make(const Options *o, int argc, char **argv)
{
	_cleanup_(decider_done) Decider d;
	_cleanup_(baseline_done) Baseline b = {0};
	json_auto_t *promotion = NULL;
	const Experiment *x = NULL;
	Err err = ERR_INIT;
	int r = decider_open(o->config, STORE_WRITE, &d);
	if (r == 0)
		r = cli_experiment(d.plan, o->experiment, &x);
	if (r)
		return r;
	if (argc == 0)
		return cli_failf(EXIT_USAGE, "'new' takes PARAM=VALUE, as in vllm_memory_util=0.5");
	if (decider_baseline(&d, &b, &err) < 0)
		return cli_fail(EXIT_FAILED, &err);
	if (b.version == 0)
		return decider_no_baseline(&d);
	r = promotion_by_hand(&d, x, &b, argc, argv, o->reason, &promotion);
	if (r)
		return r;
	if (promotion_store(d.store, promotion, &err) < 0)
		return cli_fail(EXIT_FAILED, &err);
	return print(&d, promotion, "", o->json);
}

/* --- The verb -------------------------------------------------------------------------------- */

static int run(const void *options, int argc, char **argv)
{
	const char *what = argv[0];
	if (strcmp(what, "show") == 0)
		return show(options, argc - 1, argv + 1);
	if (strcmp(what, "import") == 0)
		return import(options, argc - 1, argv + 1);
	if (strcmp(what, "new") == 0)
		return make(options, argc - 1, argv + 1);
	return cli_failf(EXIT_USAGE,
			 "it takes 'show ID', 'import FILE' or 'new PARAM=VALUE...', not '%s'",
			 what);
}

static const Option rows[] = {
    OPTION_CONFIG_OF_STORE,
    OPTION_EXPERIMENT("of which experiment a new one is, where there are several"),
    {"reason", 'r', "TEXT", OPT_STRING, offsetof(Options, reason),
     .help = "why a new one is proposed"},
    OPTION_JSON("print JSON"),
    {0},
};

const Command cmd_promotion = {
    .name = "promotion",
    .args = "show ID | import FILE | new PARAM=VALUE...",
    .summary = "look at one proposal, take one in, or make one by hand",
    .about =
	"'show' prints one proposal on a screen: what changes, the evidence, whether it is fit for "
	"production now, what happens when it fails, and who approved it. 'import' takes in a file "
	"from another machine, if a key that is trusted here signed it. 'new' makes one by hand "
	"against what production runs now; it is signed with our key and carries no measurement, "
	"and says so. None of them changes production.",
    .options = rows,
    .options_size = sizeof(Options),
    .min_args = 1,
    .max_args = -1,
    .run = run,
};
