/* dream run: search, confirm, propose. */
#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "base/json.h"
#include "cli/internal.h"
#include "cli/quiesce.h"
#include "cli/run_view.h"

typedef struct Options {
	const char *config, *logdir, *experiment, *strategy, *stage;
	int64_t epochs_per_cycle, max_parallel, sleep_us;
	OptSeed seed, cycles;
	bool dry_run, log_json, json;
} Options;

#define AT(member) offsetof(Options, member)

static const Option options[] = {
    {"config", 'c', "FILE", OPT_STRING, AT(config), NULL, 0, 0, "file",
     "the configuration (default: ./dream.yaml, ~/.config/dream/dream.yaml, "
     "/etc/dream/dream.yaml)"},
    {"logdir", 0, "DIR", OPT_STRING, AT(logdir), NULL, 0, 0, "dir",
     "where runner.log goes (default: `run.logdir` of the configuration)"},
    {"experiment", 'e', "NAME", OPT_STRING, AT(experiment), NULL, 0, 0, "experiment",
     "only this experiment, enabled or not"},
    {"epochs-per-cycle", 0, "N", OPT_INT, AT(epochs_per_cycle), NULL, 1, 1e6, NULL,
     "epochs that every experiment gets in one cycle (default: as configured, else 1)"},
    {"max-parallel", 0, "N", OPT_INT, AT(max_parallel), NULL, 1, 64, NULL,
     "experiments at once; trials on one GPU still go one after another (default: as configured, "
     "else 1)"},
    {"sleep-between-cycles", 0, "TIME", OPT_DURATION, AT(sleep_us), NULL, 0, 0, NULL,
     "rest after each cycle (default: as configured, else none)"},
    {"cycles", 0, "N", OPT_SEED, AT(cycles), NULL, 0, 0, NULL,
     "cycles before it ends; 0: until it is stopped or nothing is left to measure (default: 1, "
     "with "
     "--sleep-between-cycles 0)"},
    {"seed", 0, "N", OPT_SEED, AT(seed), NULL, 0, 0, NULL,
     "of every random choice (default: `run.seed` of the configuration)"},
    {"strategy", 0, "NAME", OPT_STRING, AT(strategy), NULL, 0, 0, "rzero random grid",
     "how to search (default: as configured, else rzero)"},
    {"stage", 0, "STAGE", OPT_STRING, AT(stage), NULL, 0, 0, "isolated colocated",
     "what runs during the search: the tuned services only (isolated) or every service "
     "(colocated); a confirmation always runs every service"},
    {"dry-run", 'n', NULL, OPT_FLAG, AT(dry_run), NULL, 0, 0, NULL,
     "print what would be tried and how long it would take, and touch nothing"},
    {"log-json", 0, NULL, OPT_FLAG, AT(log_json), NULL, 0, 0, NULL,
     "write runner.log as JSON lines"},
    {"json", 0, NULL, OPT_FLAG, AT(json), NULL, 0, 0, NULL,
     "print the result as JSON instead of lines"},
    {NULL, 0, NULL, 0, 0, NULL, 0, 0, NULL, NULL},
};

/* --- What would be tried --------------------------------------------------------------------- */

enum {
	NEXT_SHOWN = 12,
};

typedef struct DryRun {
	const Plan *plan;
	Store *store; /* NULL: none yet */
	int all_services;
	Str text;
	json_t *list;
	bool failed;
	Err err;
} DryRun;

/* The most that the rest of the epoch can take. */
static int64_t longest_us(const RunPreview *p)
{
	int64_t budget_us = p->experiment->budget.wallclock_us;
	double by_trials = (double)p->trials_at_most * (double)p->trial_us;
	if (p->trial_us < 0 || (budget_us > 0 && by_trials > (double)budget_us))
		return budget_us;
	return (int64_t)by_trials;
}

/* Borrowed by the list. */
static json_t *dry_json(DryRun *d, const RunPreview *p)
{
	json_t *o = json_object(), *next = json_array();
	for (size_t i = 0; i < p->n_next; i++)
		d->failed |=
		    json_array_append_new(next, point_json(p->experiment->space, &p->next[i])) < 0;
	js_set(o, "experiment", js_text(p->experiment->name), &d->failed);
	js_set(o, "strategy", js_text(p->strategy), &d->failed);
	js_set(o, "resumed", json_boolean(p->resumed), &d->failed);
	js_set(o, "candidates", json_integer((json_int_t)p->candidates), &d->failed);
	js_set(o, "infeasible", json_integer((json_int_t)p->infeasible), &d->failed);
	js_set(o, "next", next, &d->failed);
	js_set(o, "trials_at_most", json_integer((json_int_t)p->trials_at_most), &d->failed);
	js_set(o, "trial_us", p->trial_us < 0 ? json_null() : json_integer(p->trial_us),
	       &d->failed);
	js_set(o, "budget_us", json_integer(p->experiment->budget.wallclock_us), &d->failed);
	js_set(o, "trial_timeout_us", json_integer(p->experiment->budget.trial_timeout_us),
	       &d->failed);
	d->failed |= json_array_append_new(d->list, o) < 0;
	return o;
}

static void dry_text(DryRun *d, const RunPreview *p)
{
	char longest[32], timeout[32], each[32];
	time_human(longest_us(p), longest);
	time_human(p->experiment->budget.trial_timeout_us, timeout);
	str_addf(&d->text,
		 "%s: %s over %" PRIu64 "%s candidates, of which %" PRIu64 " cannot start\n",
		 p->experiment->name, p->strategy, p->candidates,
		 p->all_looked_at ? "" : " or more", p->infeasible);
	str_addf(&d->text, "  %s with\n", p->resumed ? "would go on" : "would begin");
	for (size_t i = 0; i < p->n_next && i < NEXT_SHOWN; i++) {
		str_add(&d->text, "    ");
		point_text(p->experiment->space, &p->next[i], &d->text);
		str_add(&d->text, "\n");
	}
	if (p->n_next > NEXT_SHOWN)
		str_addf(&d->text, "    and %zu more\n", p->n_next - NEXT_SHOWN);
	if (p->n_next == 0)
		str_add(&d->text, "    nothing: every feasible candidate is known\n");
	str_addf(&d->text,
		 "  at most %" PRIu64 " trials, the confirmation included, each at most %s",
		 p->trials_at_most, timeout);
	if (p->trial_us >= 0) {
		time_human(p->trial_us, each);
		str_addf(&d->text, " and %s on average last time", each);
	}
	str_addf(&d->text, "\n  the epoch ends after at most %s; what does not fit carries over\n",
		 longest);
}

static int on_preview(void *userdata, const RunPreview *p)
{
	DryRun *d = userdata;
	json_t *o = dry_json(d, p);
	dry_text(d, p);
	return cli_cost(d->plan, p, d->store, d->all_services, &d->text, o, &d->err);
}

static int dry_run(const Options *o, const Plan *plan)
{
	_cleanup_(store_closep) Store *store = NULL;
	RunOptions ro = {
	    .experiment = o->experiment,
	    .strategy = o->strategy,
	    .has_seed = o->seed.given,
	    .seed = o->seed.value,
	    .all_services = o->stage ? strcmp(o->stage, "colocated") == 0 : -1,
	    .clock = &clock_system,
	};
	DryRun d = {.plan = plan, .all_services = ro.all_services, .list = json_array()};
	Err err = ERR_INIT;
	int r = cli_store(plan, STORE_READ, &store);
	d.store = store;
	if (r == 0 && run_preview(plan, store, &ro, on_preview, &d, &err) < 0)
		r = cli_fail(EXIT_FAILED, d.err.code < 0 ? &d.err : &err);
	if (r == 0 && (d.failed || d.text.failed || !d.list))
		r = cli_oom();
	if (r == 0)
		r = o->json ? cli_print_json(json_pack("{s:s, s:O}", "schema", "dream.dry-run/v1",
						       "experiments", d.list))
			    : cli_print(d.text.s ? d.text.s : "");
	json_decref(d.list);
	str_done(&d.text);
	return r;
}

/* --- The run --------------------------------------------------------------------------------- */

typedef struct Session {
	Plan *plan;
	char *store_path;
	Store *store;
	SignKey *key;
	Log *log;
	RunView *view;
} Session;

static void session_done(Session *s)
{
	(void)run_view_free(s->view);
	(void)log_close(s->log);
	(void)sign_key_free(s->key);
	(void)store_close(s->store);
	free(s->store_path);
	(void)config_free(s->plan);
}

static int open_log(const Options *o, Session *s, Err *err)
{
	const char *dir = o->logdir ? o->logdir : s->plan->run.logdir;
	_cleanup_free_ char *path = path_join(dir, "runner.log");
	if (!path)
		return err_oom(err);
	int r = dir_make(dir, 0755, err);
	if (r < 0)
		return r;
	LogSpec spec = {.path = path, .json = o->log_json, .clock = &clock_system};
	return log_open(&spec, &s->log, err);
}

static int open_session(const Options *o, Session *s)
{
	Err err = ERR_INIT;
	int r = cli_store_path(s->plan, &s->store_path);
	if (r == 0)
		r = cli_open_store(s->store_path, STORE_WRITE, &s->store);
	if (r == 0)
		r = cli_key(s->plan, &s->key);
	if (r)
		return r;
	if (open_log(o, s, &err) < 0 || run_view_new(cli_width(), &s->view, &err) < 0)
		return cli_fail(EXIT_FAILED, &err);
	return 0;
}

static int result_json(RunResult result)
{
	static const char *const names[] = {
	    [RUN_OK] = "promoted",
	    [RUN_NOTHING_BETTER] = "nothing_better",
	    [RUN_INTERRUPTED] = "interrupted",
	};
	bool failed = false;
	json_t *o = json_object();
	js_set(o, "schema", js_text("dream.run/v1"), &failed);
	js_set(o, "result", js_text(names[result]), &failed);
	return cli_print_json(o);
}

static int exit_code(RunResult result)
{
	switch (result) {
	case RUN_OK:
		return EXIT_DONE;
	case RUN_NOTHING_BETTER:
		return EXIT_NOTHING_BETTER;
	case RUN_INTERRUPTED:
		break;
	}
	return EXIT_INTERRUPTED;
}

/* Somebody who asks for a rest between cycles wants more than one. */
static int64_t cycles(const Options *o)
{
	if (!o->cycles.given)
		return o->sleep_us > 0 ? 0 : 1;
	return o->cycles.value < INT64_MAX ? (int64_t)o->cycles.value : 0;
}

static int run_session(const Options *o, Session *s)
{
	RunOptions ro = {
	    .store_path = s->store_path,
	    .experiment = o->experiment,
	    .strategy = o->strategy,
	    .cycles = cycles(o),
	    .epochs_per_cycle = o->epochs_per_cycle,
	    .max_parallel = o->max_parallel,
	    .sleep_us = o->sleep_us > 0 ? o->sleep_us : -1,
	    .has_seed = o->seed.given,
	    .seed = o->seed.value,
	    .all_services = o->stage ? strcmp(o->stage, "colocated") == 0 : -1,
	    .clock = &clock_system,
	    .observer = o->json ? NULL : run_view_event,
	    .userdata = s->view,
	};
	RunResult result;
	Err err = ERR_INIT;
	int r = run_plan(s->plan, s->store, s->key, s->log, &ro, &result, &err);
	s->view = run_view_free(s->view);
	if (r < 0) {
		log_event(s->log, LOG_ERROR_, "run.failed", NULL, "%s", err.msg);
		return cli_fail(EXIT_FAILED, &err);
	}
	r = o->json ? result_json(result) : 0;
	return r ? r : exit_code(result);
}

/* Before anything is measured: production that a killed run left stopped. */
static int recover_all(const Options *o, const Plan *plan)
{
	int r = 0;
	for (size_t i = 0; r == 0 && i < plan->n_experiments; i++) {
		const Experiment *x = &plan->experiments[i];
		if (o->experiment ? strcmp(o->experiment, x->name) == 0 : x->enabled)
			r = cli_recover(plan, x);
	}
	return r;
}

static int run(const void *opts, int argc, char **argv)
{
	const Options *o = opts;
	if (o->stage && strcmp(o->stage, "isolated") != 0 && strcmp(o->stage, "colocated") != 0)
		return cli_failf(EXIT_USAGE, "--stage is isolated or colocated, not '%s'",
				 o->stage);
	_cleanup_free_ char *path = NULL;
	_cleanup_(session_done) Session s = {0};
	int r = cli_named_config(o->config, argc, argv, &path);
	if (r == 0)
		r = cli_plan(path, DIAG_ERROR, &s.plan);
	const Experiment *one = NULL;
	if (r == 0 && o->experiment)
		r = cli_experiment(s.plan, o->experiment, &one);
	if (r == 0 && o->dry_run)
		return dry_run(o, s.plan);
	if (r == 0)
		r = recover_all(o, s.plan);
	if (r == 0)
		r = open_session(o, &s);
	return r ? r : run_session(o, &s);
}

const Command cmd_run = {
    .name = "run",
    .args = "[CONFIG]",
    .summary = "search for something better than what runs now, and propose it",
    .about =
	"Takes the experiments of the configuration in turn. For each: asks the strategy for "
	"candidates, leaves out those that the memory model proves dead, measures the others, "
	"keeps "
	"every trial before going on, confirms the best against the baseline in interleaved pairs, "
	"and writes a winner and a signed promotion, or says what was missing.\n\n"
	"After an interruption or a crash the same command goes on where it stopped. Exit status: "
	"0 "
	"something was proposed, 1 failed, 2 usage or configuration error, 3 nothing better than "
	"the "
	"baseline was found, 4 interrupted and resumable.",
    .options = options,
    .options_size = sizeof(Options),
    .min_args = 0,
    .max_args = 1,
    .run = run,
};
