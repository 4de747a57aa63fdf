/* dream doctor: what is wrong with this machine, and how to mend it. */
#include <string.h>

#include "base/json.h"
#include "cli/internal.h"
#include "discover/look.h"
#include "discover/symptoms.h"
#include "worker/worker.h"

typedef struct Options {
	const char *config;
	bool json;
} Options;

enum {
	WIDTH = 80,
	INDENT = 24, /* of the sentences: a level and the name of a check stand before them */
};

/* --- The configuration ----------------------------------------------------------------------- */

typedef struct Checked {
	char *path, *first;
	size_t errors, warnings;
	Plan *plan; /* NULL: there is none, or it cannot be used */
} Checked;

static void checked_done(Checked *c)
{
	free(c->path);
	free(c->first);
	(void)config_free(c->plan);
}

static int check_config(const Options *o, Checked *c)
{
	_cleanup_(diags_done) Diags d = DIAGS_INIT;
	Err err = ERR_INIT;
	if (!o->config && !cli_has_config())
		return 0;
	int r = cli_config_path(o->config, &c->path);
	if (r)
		return r;
	r = config_load(c->path, DIAG_WARNING, &c->plan, &d, &err);
	if (err_is_shortage(r))
		return cli_fail(EXIT_FAILED, &err);
	diags_sort(&d);
	c->errors = d.errors;
	c->warnings = d.n - d.errors;
	for (size_t i = 0; i < d.n && !c->first; i++)
		if (d.items[i].level == DIAG_ERROR)
			c->first = str_fmt("line %d: %s", (int)d.items[i].line, d.items[i].what);
	if (r < 0 && d.errors == 0) {
		c->errors = 1;
		c->first = strdup(err.msg);
	}
	return 0;
}

/* --- Output ---------------------------------------------------------------------------------- */

static void finding_text(const DoctorFinding *x, Str *out)
{
	str_addf(out, "%-8s %-14s ", finding_level_name(x->level), x->check);
	text_wrap(x->what, INDENT, INDENT, WIDTH, out);
	if (!*x->mend)
		return;
	str_addf(out, "%*s", INDENT, "");
	_cleanup_free_ char *mend = str_fmt("-> %s", x->mend);
	text_wrap(mend ? mend : "", INDENT, INDENT + 3, WIDTH, out);
}

static int print_text(const DoctorFindings *f)
{
	_cleanup_(str_done) Str out = STR_INIT;
	size_t problems = findings_count(f, FINDING_PROBLEM);
	size_t unknown = findings_count(f, FINDING_UNKNOWN);
	for (size_t i = 0; i < f->n; i++)
		finding_text(&f->list[i], &out);
	if (problems == 0)
		str_add(&out, "\nNo problems were found");
	else
		str_addf(&out, "\n%zu problem%s", problems, problems == 1 ? "" : "s");
	if (unknown > 0)
		str_addf(&out, "; %zu thing%s could not be told", unknown, unknown == 1 ? "" : "s");
	str_add(&out, ".\n");
	return cli_print(out.failed ? NULL : out.s);
}

static int print_json(const DoctorFindings *f)
{
	bool failed = false;
	json_t *o = json_object(), *list = json_array();
	for (size_t i = 0; i < f->n; i++) {
		const DoctorFinding *x = &f->list[i];
		json_t *one = json_object();
		js_set(one, "check", js_text(x->check), &failed);
		js_set(one, "level", js_text(finding_level_name(x->level)), &failed);
		js_set(one, "what", js_text(x->what), &failed);
		js_set(one, "mend", *x->mend ? js_text(x->mend) : json_null(), &failed);
		failed |= json_array_append_new(list, one) < 0;
	}
	js_set(o, "schema", json_string("dream.doctor/v1"), &failed);
	js_set(o, "problems", json_integer((json_int_t)findings_count(f, FINDING_PROBLEM)),
	       &failed);
	js_set(o, "findings", list, &failed);
	if (failed) {
		json_decref(o);
		return cli_oom();
	}
	return cli_print_json(o);
}

/* Where trials keep what must be restored: as the configuration says, or as they do without. */
static int state_dir(const Plan *plan, char **ret)
{
	static const AllocationSpec usual = {0};
	const AllocationSpec *a = &usual;
	Err err = ERR_INIT;
	for (size_t i = 0; plan && i < plan->n_experiments && !a->state; i++) {
		const EvaluatorSpec *e = &plan->experiments[i].evaluator;
		const char *kind = evaluator_spec_kind(e);
		if (kind && strcmp(kind, "gpu_allocation") == 0)
			a = &e->allocation;
	}
	int r = worker_state_dir(a, plan ? plan->dir : ".", ret, &err);
	return r < 0 ? cli_fail(EXIT_FAILED, &err) : 0;
}

static int run(const void *options, int argc, char **argv)
{
	const Options *o = options;
	const LookOptions look = {.ask = true};
	_cleanup_(machine_done) Machine m = {0};
	_cleanup_(symptoms_done) Symptoms s = {0};
	_cleanup_(findings_done) DoctorFindings f = {0};
	_cleanup_(checked_done) Checked c = {0};
	_cleanup_free_ char *state = NULL;
	Err err = ERR_INIT;
	(void)argc, (void)argv;
	int r = check_config(o, &c);
	if (r == 0)
		r = state_dir(c.plan, &state);
	if (r)
		return r;
	if (machine_look(&look, &m, &err) < 0 || symptoms_look(&m, state, &s, &err) < 0)
		return cli_fail(EXIT_FAILED, &err);
	s.config = c.path;
	s.config_first = c.first;
	s.config_errors = c.errors;
	s.config_warnings = c.warnings;
	if (diagnose(&s, &f) < 0)
		return cli_oom();
	r = o->json ? print_json(&f) : print_text(&f);
	return r ? r : findings_count(&f, FINDING_PROBLEM) > 0 ? EXIT_FAILED : EXIT_DONE;
}

static const Option rows[] = {
    OPTION_CONFIG("the configuration (default: ./dream.yaml, then the user's, then /etc/dream's)"),
    OPTION_JSON("print JSON"),
    {0},
};

const Command cmd_doctor = {
    .name = "doctor",
    .args = "",
    .summary = "say what is wrong with this machine and how to mend it",
    .about =
	"One line a check: ok, problem, or unknown where it cannot be told, and after an arrow "
	"what to do. Looks at the driver, the age of the cards, their order and modes, the "
	"rights of this user, the model servers and their ports, what a killed run left "
	"behind, and the configuration if there is one. Asks each server's health page once; "
	"changes nothing.\n\nThe exit status is 1 when there is a problem.",
    .options = rows,
    .options_size = sizeof(Options),
    .max_args = 0,
    .run = run,
};
