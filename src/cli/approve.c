/* dream approve, dream reject: a person's decision about a promotion. */
#include <stdio.h>
#include <string.h>

#include "base/json.h"
#include "cli/daemon_ask.h"
#include "cli/decide.h"
#include "record/decision.h"

typedef struct Options {
	const char *config, *socket, *reason;
	bool json;
} Options;

typedef struct Wish {
	const Options *options;
	const char *id;
	bool yes;
} Wish;

static int print_decision(const Wish *w, const json_t *approval)
{
	_cleanup_(str_done) Str out = STR_INIT;
	if (w->options->json)
		return cli_print_json(js_deep_copy(approval));
	str_addf(&out, "%s is %s for version %lld of the baseline",
		 js_str(approval, "promotion", w->id), w->yes ? "approved" : "rejected",
		 (long long)js_int(approval, "baseline_version", 0));
	int64_t until = js_int(approval, "expires_at_us", 0);
	if (w->yes && until > 0) {
		str_add(&out, ", until ");
		when_text(until, &out);
	}
	str_addc(&out, '\n');
	if (w->yes)
		str_addf(&out, "'dream rollout %s' brings it to production\n", w->id);
	return cli_print(out.failed ? NULL : out.s);
}

/* --- Through the daemon ------------------------------------------------------------------------
 */

/* -ENOENT, -ECONNREFUSED: there is no daemon, or it knows no such promotion. */
static int ask_daemon(const Wish *w, json_t **ret, Err *err)
{
	const char *reason = w->options->reason ? w->options->reason : "";
	json_t *rq = json_pack("{s:s, s:o, s:o}", "do", w->yes ? "approve" : "reject", "promotion",
			       js_text(w->id), "reason", js_text(reason));
	return cli_ask_daemon(w->options->socket, rq, ret, err);
}

/* --- Without one ------------------------------------------------------------------------------ */

static int refuse_unfit(const Decider *d, const json_t *promotion, const Baseline *b)
{
	_cleanup_(validation_done) Validation v = {0};
	_cleanup_(str_done) Str out = STR_INIT;
	Err err = ERR_INIT;
	if (decider_validate(d, promotion, b, &v, &err) < 0)
		return cli_fail(EXIT_FAILED, &err);
	if (v.ok)
		return 0;
	json_auto_t *checks = validation_json(&v);
	checks_text(checks, &out);
	fputs(out.s && !out.failed ? out.s : "", stderr);
	return cli_failf(EXIT_FAILED, "it is not fit for production, so it was not approved");
}

static int decide(const Decider *d, const Wish *w, const json_t *promotion, const Baseline *b)
{
	const Experiment *x = decider_experiment(d, promotion);
	Approval a = {.approved = w->yes, .baseline_version = b->version}, ret;
	Err err = ERR_INIT;
	(void)snprintf(a.promotion, sizeof(a.promotion), "%s", js_str(promotion, "id", ""));
	if (decision_digest(promotion, a.digest, &err) < 0)
		return cli_fail(EXIT_FAILED, &err);
	decider_who(w->options->reason, &a.by);
	a.lasts_us = w->yes && x ? x->rollout.approval_expires_us : 0;
	int r = approval_append(d->store, d->key, &a, &ret, &err);
	if (r < 0)
		return cli_fail(EXIT_FAILED, &err);
	json_auto_t *approval = approval_json(&ret);
	return approval ? print_decision(w, approval) : cli_oom();
}

/* *ret_unknown: our own store has no such promotion. */
static int decide_here(const Wish *w, bool *ret_unknown)
{
	_cleanup_(decider_done) Decider d;
	_cleanup_(baseline_done) Baseline b = {0};
	json_auto_t *promotion = NULL;
	Err err = ERR_INIT;
	int r = decider_open(w->options->config, STORE_WRITE, &d);
	if (r)
		return r;
	r = promotion_find(d.store, w->id, &promotion, &err);
	*ret_unknown = r == -ENOENT;
	if (r == 0)
		r = decider_baseline(&d, &b, &err);
	if (r < 0)
		return *ret_unknown ? EXIT_FAILED : cli_fail(EXIT_FAILED, &err);
	if (b.version == 0)
		return decider_no_baseline(&d);
	r = w->yes ? refuse_unfit(&d, promotion, &b) : 0;
	return r ? r : decide(&d, w, promotion, &b);
}

static int run(const void *options, char **argv, bool yes)
{
	const Options *o = options;
	const Wish w = {.options = o, .id = argv[0], .yes = yes};
	json_auto_t *answer = NULL;
	Err err = ERR_INIT;
	bool unknown = false;
	if (o->reason && strlen(o->reason) >= sizeof(((Approver *)NULL)->reason))
		return cli_failf(EXIT_USAGE, "the reason is longer than %zu bytes",
				 sizeof(((Approver *)NULL)->reason) - 1);
	int r = ask_daemon(&w, &answer, &err);
	if (!cli_no_daemon(r))
		return r < 0 ? cli_fail(EXIT_FAILED, &err)
			     : print_decision(&w, json_object_get(answer, "approval"));
	int code = decide_here(&w, &unknown);
	return unknown
		   ? cli_failf(EXIT_FAILED,
			       "there is no promotion '%s'; 'dream promotions' lists them", w.id)
		   : code;
}

static int run_approve(const void *options, int argc, char **argv)
{
	(void)argc;
	return run(options, argv, true);
}

static int run_reject(const void *options, int argc, char **argv)
{
	(void)argc;
	return run(options, argv, false);
}

static const Option rows[] = {
    OPTION_CONFIG("the configuration that names the store, where no daemon runs"),
    OPTION_SOCKET,
    {"reason", 'r', "TEXT", OPT_STRING, offsetof(Options, reason), .help = "why; kept for ever"},
    OPTION_JSON("print JSON"),
    {0},
};

const Command cmd_approve = {
    .name = "approve",
    .args = "ID",
    .summary = "allow a promotion to go to production",
    .about =
	"Writes down who allowed it, when and why, signed, through the daemon where one runs. It "
	"holds for exactly this promotion and for what production runs now, and only for a time "
	"(rollout.approval_expires). The first decision counts: of two at once one is told that "
	"the "
	"other was first. It brings nothing to production: 'dream rollout' or the daemon does.",
    .options = rows,
    .options_size = sizeof(Options),
    .min_args = 1,
    .max_args = 1,
    .run = run_approve,
};

const Command cmd_reject = {
    .name = "reject",
    .args = "ID",
    .summary = "refuse a promotion",
    .about = "Writes down who refused it, when and why, signed. The first decision counts, so a "
	     "promotion that is rejected stays so until production runs something else.",
    .options = rows,
    .options_size = sizeof(Options),
    .min_args = 1,
    .max_args = 1,
    .run = run_reject,
};
