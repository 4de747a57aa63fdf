/* dream eval: measures one candidate once. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/hash.h"
#include "base/json.h"
#include "cli/eval_view.h"
#include "cli/internal.h"
#include "cli/quiesce.h"
#include "gpu/lease.h"
#include "gpu/leasename.h"

typedef struct Options {
	const char *config, *experiment, *workload;
	int64_t timeout_us;
	OptSeed seed;
	bool all_services, store, json;
} Options;

typedef struct Session {
	const Options *options;
	const Plan *plan;
	const Experiment *x;
	const Workload *workload;
	Evaluator *evaluator;
	char *gpu; /* under whose name it is leased; NULL: none */
	Lease *lease;
	StoreTrial trial;
} Session;

static int open_evaluator(Session *s)
{
	_cleanup_(diags_done) Diags d = DIAGS_INIT;
	_cleanup_(str_done) Str text = STR_INIT;
	Err err = ERR_INIT;
	int r = evaluator_new(&s->x->evaluator, s->plan->dir, s->x->evaluator_at, DIAG_ERROR,
			      &s->evaluator, &d, &err);
	diags_text(&d, &text);
	fputs(text.s ? text.s : "", stderr);
	if (r < 0 && d.errors > 0)
		return EXIT_USAGE;
	return r < 0 ? cli_fail(EXIT_FAILED, &err) : 0;
}

/* As in `dream run`: whoever means the same card meets at the same lock. */
static int find_gpu(Session *s, Err *err)
{
	const char *known = evaluator_gpu(s->evaluator);
	if (!s->x->budget.allow_gpu)
		return 0;
	if (s->x->gpu || !known)
		return gpu_lease_name(NULL, s->x->gpu, &s->gpu, err);
	s->gpu = strdup(known);
	return s->gpu ? 0 : err_oom(err);
}

/* Two measurements on one GPU would measure each other. */
static int take_lease(Session *s)
{
	Err err = ERR_INIT;
	int r = find_gpu(s, &err);
	if (r < 0)
		return cli_fail(EXIT_FAILED, &err);
	if (!s->gpu)
		return 0;
	_cleanup_free_ char *dir = NULL, *holder = NULL;
	r = lease_default_dir(&dir, &err);
	if (r >= 0)
		r = lease_take(dir, s->gpu, "dream eval", &s->lease, &holder, &err);
	if (r < 0)
		return cli_fail(EXIT_FAILED, &err);
	return r > 0 ? 0
		     : cli_failf(EXIT_FAILED, "GPU %s is in use by %s; try again later", s->gpu,
				 holder ? holder : "another process");
}

/* Its own name: an evaluation is no child of any evolution. */
static char *eval_id(const StoreTrial *t)
{
	_cleanup_(str_done) Str text = STR_INIT;
	char hex[HASH_HEX_SIZE];
	str_addf(&text, "%s %s %" PRId64, t->experiment, t->config_hash, t->at_us);
	if (text.failed)
		return NULL;
	Hash h = hash_of(text.s, text.len);
	hash_hex(&h, hex);
	return str_fmt("spica-gpu-%.8s", hex);
}

static int describe_trial(Session *s, json_t *params)
{
	StoreTrial *t = &s->trial;
	t->at_us = clock_now_us(&clock_system);
	t->experiment = str_fmt("%s", s->x->name);
	t->ask = -1;
	t->purpose = str_fmt("eval");
	t->origin = str_fmt("eval");
	t->params = json_incref(params);
	config_hash(params, t->config_hash);
	t->stage = evaluator_stage(s->evaluator, s->options->all_services);
	t->evaluator = str_fmt("%s", evaluator_kind(s->evaluator));
	t->workload = str_fmt("%s", s->workload->name);
	t->all_services = s->options->all_services;
	t->spica_id = t->experiment ? eval_id(t) : NULL;
	return t->experiment && t->purpose && t->origin && t->evaluator && t->workload &&
		       t->spica_id
		   ? 0
		   : cli_oom();
}

/* One line that changes, for whoever waits at a terminal. */
static void on_progress(void *userdata, const json_t *event)
{
	_cleanup_(str_done) Str text = STR_INIT;
	(void)userdata;
	eval_progress_text(event, &text);
	if (text.s && !text.failed)
		fprintf(stderr, "\r\033[K%s", text.s);
}

static int measure(Session *s)
{
	bool terminal = isatty(STDERR_FILENO);

	Err err = ERR_INIT;
	const Options *o = s->options;
	EvalRequest rq = {
	    .experiment = s->x->name,
	    .spica_id = s->trial.spica_id,
	    .params = s->trial.params,
	    .services = s->x->services.items,
	    .n_services = s->x->services.n,
	    .workload = s->workload,
	    .all_services = o->all_services,
	    .seed = o->seed.given ? o->seed.value : s->plan->run.seed,
	    .timeout_us = o->timeout_us > 0 ? o->timeout_us : s->x->budget.trial_timeout_us,
	    .lease = s->lease,
	    .gpu_uuid = s->gpu,
	};
	int r = eval_once_told(s->evaluator, &rq, terminal ? on_progress : NULL, NULL, &s->trial.m,
			       &err);
	if (terminal)
		fputs("\r\033[K", stderr);
	if (r < 0)
		return cli_fail(r == -EINTR ? EXIT_INTERRUPTED : EXIT_FAILED, &err);
	Fitness f = fitness_of(&s->x->goals, &s->trial.m);
	s->trial.fitness = f.value;
	s->trial.fitness_se = f.se;
	s->trial.feasible = f.feasible;
	return 0;
}

static int keep(Session *s)
{
	_cleanup_(store_closep) Store *store = NULL;
	StoreTrial *one = &s->trial;
	Err err = ERR_INIT;
	int r = cli_store(s->plan, STORE_WRITE, &store);
	if (r)
		return r;
	return store_add_trials(store, &one, 1, &err) < 0 ? cli_fail(EXIT_FAILED, &err) : 0;
}

static int print_json(const StoreTrial *t)
{
	bool failed = false;
	json_t *v = store_trial_json(t);
	js_set(v, "evaluation", evaluation_json(t), &failed);
	if (v && !failed)
		return cli_print_json(v);
	json_decref(v);
	return cli_oom();
}

static int print(const Session *s)
{
	_cleanup_(str_done) Str out = STR_INIT;
	const StoreTrial *t = &s->trial;
	char took[32];
	if (s->options->json)
		return print_json(t);
	time_human(t->m.duration_us, took);
	str_add(&out, "parameters   ");
	params_text(t->params, &out);
	str_addf(&out, "\nconfig       %s\n", t->config_hash);
	str_addf(&out, "stage        %s, %s, workload %s, took %s%s\n", stage_name(t->stage),
		 t->all_services ? "all services" : "tuned services only", t->workload, took,
		 t->stage == STAGE_TWIN ? " of simulated time" : "");
	outcome_text(t, &out);
	services_text(&t->m, &out);
	metrics_text(&t->m, &s->x->goals, &out);
	if (t->seq > 0)
		str_addf(&out, "\nkept as trial %" PRId64 "\n", t->seq);
	return cli_print(out.failed ? NULL : out.s);
}

static int evaluate(Session *s, int argc, char **argv)
{
	json_auto_t *params = NULL;
	int r = cli_candidate(s->x, argc, argv, &params);
	if (r == 0)
		r = cli_workload(s->x, s->options->workload, &s->workload);
	if (r == 0)
		r = open_evaluator(s);
	if (r == 0)
		r = take_lease(s);
	if (r == 0)
		r = cli_recover(s->plan, s->x);
	if (r == 0)
		r = describe_trial(s, params);
	if (r == 0)
		r = measure(s);
	if (r == 0 && s->options->store)
		r = keep(s);
	if (r == 0)
		r = print(s);
	return r ? r : s->trial.m.outcome == OUTCOME_OK ? EXIT_DONE : EXIT_FAILED;
}

static int run(const void *options, int argc, char **argv)
{
	_cleanup_(config_freep) Plan *plan = NULL;
	Session s = {.options = options, .trial = {.m = MEASUREMENT_INIT}};
	int r = cli_open(cli_take_config(s.options->config, &argc, &argv), &plan);
	if (r == 0)
		r = cli_experiment(plan, s.options->experiment, &s.x);
	if (r)
		return r;
	s.plan = plan;
	r = evaluate(&s, argc, argv);
	store_trial_done(&s.trial);
	lease_release(s.lease);
	evaluator_free(s.evaluator);
	free(s.gpu);
	return r;
}

static const Option rows[] = {
    OPTION_CONFIG("the configuration"),
    OPTION_ONE_EXPERIMENT,
    {"workload", 'w', "NAME", OPT_STRING, offsetof(Options, workload),
     .help = "the load profile (default: the experiment's first)"},
    {"all-services", 'a', NULL, OPT_FLAG, offsetof(Options, all_services),
     .help = "with every service active, not only the tuned ones"},
    {"seed", 0, "N", OPT_SEED, offsetof(Options, seed),
     .help = "of the evaluator's randomness (default: the configuration's)"},
    {"timeout", 't', "TIME", OPT_DURATION, offsetof(Options, timeout_us),
     .help = "the trial's deadline (default: the configuration's)"},
    {"store", 's', NULL, OPT_FLAG, offsetof(Options, store),
     .help = "keep the result as a trial in the store"},
    OPTION_JSON("print JSON"),
    {0},
};

const Command cmd_eval = {
    .name = "eval",
    .args = "[CONFIG] [PARAM=VALUE...]",
    .summary = "measure one candidate once",
    .about =
	"Runs the experiment's evaluator on one candidate and prints what it measured. "
	"Parameters that are not given are the baseline's. The memory model is not asked: what "
	"it calls infeasible can be tried here. Ctrl-C calls the trial off: what it started is "
	"stopped. Exit status 0 when the trial ended ok, 1 when it did not, 4 after Ctrl-C.",
    .options = rows,
    .options_size = sizeof(Options),
    .max_args = -1,
    .run = run,
};
