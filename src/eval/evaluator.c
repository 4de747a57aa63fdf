/* Which kinds of evaluators there are, how one is configured, and what all of them share. */
#include <ctype.h>
#include <math.h>
#include <signal.h>
#include <string.h>

#include "base/file.h"
#include "base/json.h"
#include "base/proc.h"
#include "eval/internal.h"

static const EvalKind *const kinds[] = {&eval_twin, &eval_command, &eval_python, &eval_allocation};

/* --- Configuration --------------------------------------------------------------------------- */

const char *evaluator_spec_kind(const EvaluatorSpec *s)
{
	if (s->kind)
		return s->kind;
	return s->path ? "python" : s->command.n ? "command" : s->box ? "twin" : NULL;
}

static const ConfNode *place(const ConfNode *n, const char *key)
{
	const ConfNode *at = conf_get(n, key);
	return at ? at : n;
}

static bool is_identifier(const char *s, bool dots)
{
	if (!isalpha((unsigned char)*s) && *s != '_')
		return false;
	for (; *s; s++)
		if (!isalnum((unsigned char)*s) && *s != '_' && !(dots && *s == '.'))
			return false;
	return true;
}

static void check_env(const ConfNode *n, const json_t *env, Diags *d)
{
	static const char want[] = "a map of names to texts, such as {HF_HOME: /srv/models}";
	const char *name;
	json_t *value;

	if (!env || json_is_null(env))
		return;
	if (!json_is_object(env)) {
		conf_fault(place(n, "env"), d, want, "env is not a map");
		return;
	}
	json_object_foreach ((json_t *)(uintptr_t)env, name, value) {
		const ConfNode *at = place(place(n, "env"), name);
		if (!is_identifier(name, false))
			conf_fault(at, d, want, "'%s' is not the name of a variable", name);
		else if (!json_is_string(value))
			conf_fault(at, d, "quotes around it", "the variable %s is not given a text",
				   name);
	}
}

/* A key that another kind reads tells that something else was meant. */
static void check_strangers(const ConfNode *n, const char *kind, Diags *d)
{
	static const struct {
		const char *key, *kind;
	} owners[] = {
	    {"path", "python"},
	    {"class", "python"},
	    {"init_kwargs", "python"},
	    {"interpreter", "python"},
	    {"command", "command"},
	    {"box", "twin"},
	    {"as", "gpu_allocation"},
	    {"clips", "gpu_allocation"},
	    {"prompts", "gpu_allocation"},
	    {"language", "gpu_allocation"},
	    {"answers", "gpu_allocation"},
	    {"quality", "gpu_allocation"},
	    {"alone", "gpu_allocation"},
	    {"state", "gpu_allocation"},
	    {"quiesce", "gpu_allocation"},
	};
	for (size_t i = 0; i < sizeof(owners) / sizeof(*owners); i++)
		if (strcmp(owners[i].kind, kind) != 0 && conf_get(n, owners[i].key))
			conf_fault(conf_get(n, owners[i].key), d, NULL,
				   "%s belongs to evaluators of kind %s, this one is of kind %s",
				   owners[i].key, owners[i].kind, kind);
}

static void check_evaluator(const ConfNode *n, void *target, Diags *d)
{
	EvaluatorSpec *s = target;
	const char *kind = evaluator_spec_kind(s);

	if (!kind) {
		conf_fault(n, d,
			   "path (a Python file), command (a program) or box (the simulated box)",
			   "the evaluator does not say what to run");
		return;
	}
	bool python = strcmp(kind, "python") == 0, command = strcmp(kind, "command") == 0;
	bool known =
	    python || command || strcmp(kind, "twin") == 0 || strcmp(kind, "gpu_allocation") == 0;
	if (!known) {
		conf_fault(place(n, "kind"), d, "twin, command, python or gpu_allocation",
			   "there is no kind of evaluator called '%s'", kind);
		return;
	}
	check_strangers(n, kind, d);
	if (!python && !command && conf_get(n, "applies"))
		conf_fault(conf_get(n, "applies"), d, NULL,
			   "applies belongs to evaluators of kind command or python: one of kind "
			   "%s knows by itself",
			   kind);
	if (python && !s->path)
		conf_fault(n, d, "path: evaluator.py", "a python evaluator has no file");
	if (command && (s->command.n == 0 || s->command.items[0][0] == '\0'))
		conf_fault(place(n, "command"), d, "command: [./measure.sh]",
			   "a command evaluator has no program");
	if (strcmp(kind, "twin") == 0 && !s->box)
		conf_fault(n, d, "box: boxes/rtx3060.yaml", "a twin evaluator has no box");
	if (s->class_name && !is_identifier(s->class_name, true))
		conf_fault(place(n, "class"), d, "the name of a class in the file",
			   "'%s' is not the name of a Python class", s->class_name);
	if (s->init_kwargs && !json_is_object(s->init_kwargs) && !json_is_null(s->init_kwargs))
		conf_fault(place(n, "init_kwargs"), d, "a map of argument names to values",
			   "init_kwargs is not a map");
	check_env(n, s->env, d);
}

static const char *const allocation_as[] = {
    [AS_PROCESSES] = "processes", [AS_UNITS] = "units", [AS_OBSERVE] = "observe", NULL};

static const ConfField evaluator_fields[] = {
    {.name = "kind",
     .type = CONF_T_STRING,
     .offset = offsetof(EvaluatorSpec, kind),
     .help = "twin, command, python or gpu_allocation; when absent it follows from box, command or "
	     "path"},
    {.name = "path",
     .type = CONF_T_STRING,
     .offset = offsetof(EvaluatorSpec, path),
     .help = "python: the file with the class or an evaluate() function"},
    {.name = "class",
     .type = CONF_T_STRING,
     .offset = offsetof(EvaluatorSpec, class_name),
     .help = "python: the class whose evaluate() is called; absent: the file's own evaluate()"},
    {.name = "init_kwargs",
     .type = CONF_T_JSON,
     .offset = offsetof(EvaluatorSpec, init_kwargs),
     .help = "python: what the class is constructed with"},
    {.name = "interpreter",
     .type = CONF_T_STRING,
     .offset = offsetof(EvaluatorSpec, interpreter),
     .help = "python: the interpreter, python3 when absent"},
    {.name = "command",
     .type = CONF_T_STRINGS,
     .offset = offsetof(EvaluatorSpec, command),
     .help = "command: the program and its arguments; it runs in the configuration's folder"},
    {.name = "box",
     .type = CONF_T_STRING,
     .offset = offsetof(EvaluatorSpec, box),
     .help = "twin: the file that describes the simulated box"},
    {.name = "applies",
     .type = CONF_T_BOOL,
     .offset = offsetof(EvaluatorSpec, applies),
     .help = "command, python: true when it really starts the candidate; otherwise its results "
	     "count as observed only"},
    {.name = "env",
     .type = CONF_T_JSON,
     .offset = offsetof(EvaluatorSpec, env),
     .help = "command, python, gpu_allocation: environment variables for it; never recorded"},
    {.name = "as",
     .type = CONF_T_ENUM,
     .offset = offsetof(EvaluatorSpec, allocation.as),
     .help = "gpu_allocation: services are started as processes of ours or as systemd units, or "
	     "production is measured as it runs (observe)",
     .otherwise = "processes",
     .choices = allocation_as},
    {.name = "clips",
     .type = CONF_T_STRING,
     .offset = offsetof(EvaluatorSpec, allocation.clips),
     .help = "gpu_allocation: a folder of .wav files for speech-to-text; a .txt beside each says "
	     "what is said in it; absent: quiet noise, made up by length, which gives no wer_pct"},
    {.name = "prompts",
     .type = CONF_T_STRING,
     .offset = offsetof(EvaluatorSpec, allocation.prompts),
     .help = "gpu_allocation: a file of prompts, one a line; absent: made up by length"},
    {.name = "language",
     .type = CONF_T_STRING,
     .offset = offsetof(EvaluatorSpec, allocation.language),
     .help = "gpu_allocation: what is spoken in the clips; decides how words are compared",
     .otherwise = "en"},
    {.name = "answers",
     .type = CONF_T_STRING,
     .offset = offsetof(EvaluatorSpec, allocation.answers),
     .help = "gpu_allocation: a file of prompts with fixed answers; the share that is right is "
	     "llm_quality_pct"},
    {.name = "quality",
     .type = CONF_T_STRINGS,
     .offset = offsetof(EvaluatorSpec, allocation.quality),
     .help =
	 "gpu_allocation: or a program that is run beside the LLM server (LLM_URL, LLM_MODEL) and "
	 "prints llm_quality_pct"},
    {.name = "alone",
     .type = CONF_T_BOOL,
     .offset = offsetof(EvaluatorSpec, allocation.alone),
     .help = "gpu_allocation: each service is also measured while the others are not asked, so "
	     "that it is known how much they slow each other down",
     .otherwise = "true"},
    {.name = "state",
     .type = CONF_T_STRING,
     .offset = offsetof(EvaluatorSpec, allocation.state),
     .help = "gpu_allocation: the folder of the downtime's account and of what must be restored"},
    {.name = "quiesce",
     .type = CONF_T_OPTIONAL,
     .offset = offsetof(EvaluatorSpec, allocation.quiesce),
     .help = "gpu_allocation: which production units may be stopped for a trial, and when",
     .table = &quiesce_table},
    {.name = NULL},
};

const ConfTable evaluator_table = {
    .name = "evaluator",
    .help = "What measures a candidate",
    .size = sizeof(EvaluatorSpec),
    .fields = evaluator_fields,
    .check = check_evaluator,
};

/* --- Making one ------------------------------------------------------------------------------ */

void eval_missing(const ConfNode *at, DiagLevel level, Diags *d, const char *fmt, ...)
{
	_cleanup_(str_done) Str text = STR_INIT;
	va_list ap;
	va_start(ap, fmt);
	str_addv(&text, fmt, ap);
	va_end(ap);
	const char *what = text.failed || !text.s ? "out of memory" : text.s;
	if (level == DIAG_ERROR)
		conf_fault(at, d, NULL, "%s", what);
	else
		conf_warn(at, d, NULL, "%s", what);
}

static const EvalKind *find_kind(const char *name)
{
	for (size_t i = 0; name && i < sizeof(kinds) / sizeof(*kinds); i++)
		if (strcmp(kinds[i]->name, name) == 0)
			return kinds[i];
	return NULL;
}

int evaluator_new(const EvaluatorSpec *spec, const char *base_dir, const ConfNode *at,
		  DiagLevel missing, Evaluator **ret, Diags *d, Err *err)
{
	size_t before = d->errors;
	const EvalKind *kind = find_kind(evaluator_spec_kind(spec));
	if (!kind)
		return err_set(err, -EINVAL, "there is no kind of evaluator called '%s'",
			       evaluator_spec_kind(spec) ? evaluator_spec_kind(spec) : "");
	_cleanup_(evaluator_freep) Evaluator *e = calloc(1, sizeof(*e));
	if (!e)
		return err_oom(err);
	e->kind = kind;
	e->applies = spec->applies;
	int r = kind->init(e, spec, base_dir, at, missing, d, err);
	if (r < 0)
		return r;
	if (d->errors > before)
		return err_set(err, -EBADMSG, "the evaluator cannot be used: %s",
			       d->n > 0 ? d->items[d->n - 1].what : "see the messages");
	*ret = TAKE_PTR(e);
	return 0;
}

Evaluator *evaluator_free(Evaluator *e)
{
	if (e)
		e->kind->done(e);
	free(e);
	return NULL;
}

int evaluator_content(const EvaluatorSpec *spec, const char *base_dir, char ret[HASH_HEX_SIZE],
		      Err *err)
{
	const char *kind = evaluator_spec_kind(spec), *name = NULL;
	size_t len = 0;
	*ret = '\0';
	if (kind && strcmp(kind, "twin") == 0)
		name = spec->box;
	else if (kind && strcmp(kind, "python") == 0)
		name = spec->path;
	else if (kind && strcmp(kind, "gpu_allocation") == 0)
		return allocation_content(&spec->allocation, base_dir, ret, err);
	if (!name)
		return 0;
	_cleanup_free_ char *path = path_join(base_dir, name);
	if (!path)
		return err_oom(err);
	_cleanup_free_ char *text = NULL;
	int r = file_read(path, CONF_FILE_MAX, &text, &len, err);
	if (r < 0)
		return r;
	Hash h = hash_of(text, len);
	hash_hex(&h, ret);
	return 0;
}

const char *evaluator_kind(const Evaluator *e)
{
	return e->kind->name;
}

const char *evaluator_gpu(const Evaluator *e)
{
	return e->kind->gpu ? e->kind->gpu(e) : NULL;
}

Stage evaluator_stage(const Evaluator *e, bool all_services)
{
	if (e->kind->simulated)
		return STAGE_TWIN;
	if (!e->applies)
		return STAGE_OBSERVED;
	return all_services ? STAGE_COLOCATED : STAGE_ISOLATED;
}

/* --- Running --------------------------------------------------------------------------------- */

int eval_start(Evaluator *e, const EvalRequest *rq, sd_event *loop, EvalDone *done,
	       EvalProgress *progress, void *userdata, EvalRun **ret, Err *err)
{
	EvalRun *run = calloc(1, sizeof(*run));
	if (!run)
		return err_oom(err);
	*run = (EvalRun){
	    .loop = sd_event_ref(loop), .done = done, .progress = progress, .userdata = userdata};
	int r = e->kind->start(e, rq, run, err);
	if (r < 0) {
		(void)eval_stop(run);
		return r;
	}
	*ret = run;
	return 0;
}

void eval_call_off(EvalRun *r)
{
	r->call_off(r->impl);
}

EvalRun *eval_stop(EvalRun *r)
{
	if (!r)
		return NULL;
	if (r->impl)
		r->stop(r->impl);
	sd_event_unref(r->loop);
	free(r);
	return NULL;
}

typedef struct Once {
	sd_event *loop;
	Measurement m;
	Err err;
	bool failed, interrupted;
	EvalProgress *progress; /* may be NULL */
	void *userdata;
} Once;

static void on_once(void *userdata, Measurement *m, const Err *err)
{
	Once *o = userdata;
	o->failed = err != NULL;
	if (err)
		o->err = *err;
	o->m = *m;
	*m = MEASUREMENT_INIT;
	(void)sd_event_exit(o->loop, 0);
}

static void on_once_progress(void *userdata, const json_t *event)
{
	Once *o = userdata;
	o->progress(o->userdata, event);
}

static int on_once_signal(sd_event_source *s, const struct signalfd_siginfo *si, void *userdata)
{
	Once *o = userdata;
	(void)s, (void)si;
	o->interrupted = true;
	(void)sd_event_exit(o->loop, 0);
	return 0;
}

static int once_loop(Once *o, Err *err)
{
	int r = sd_event_new(&o->loop);
	if (r >= 0)
		r = sd_event_add_signal(o->loop, NULL, SIGINT, on_once_signal, o);
	if (r >= 0)
		r = sd_event_add_signal(o->loop, NULL, SIGTERM, on_once_signal, o);
	return r < 0 ? err_set(err, r, "cannot make an event loop: %s", strerror(-r)) : 0;
}

static int once_run(Once *o, Evaluator *e, const EvalRequest *rq, Err *err)
{
	EvalRun *run = NULL;
	int r = once_loop(o, err);
	if (r >= 0)
		r = eval_start(e, rq, o->loop, on_once, o->progress ? on_once_progress : NULL, o,
			       &run, err);
	if (r >= 0) {
		r = sd_event_loop(o->loop);
		if (r < 0)
			err_set(err, r, "the event loop failed: %s", strerror(-r));
	}
	(void)eval_stop(run);
	sd_event_unref(o->loop);
	return r;
}

int eval_once_told(Evaluator *e, const EvalRequest *rq, EvalProgress *progress, void *userdata,
		   Measurement *ret, Err *err)
{
	Once o = {.m = MEASUREMENT_INIT, .progress = progress, .userdata = userdata};
	sigset_t mask, before;
	(void)sigemptyset(&mask);
	(void)sigaddset(&mask, SIGINT);
	(void)sigaddset(&mask, SIGTERM);
	(void)sigprocmask(SIG_BLOCK, &mask, &before);
	int r = once_run(&o, e, rq, err);
	(void)sigprocmask(SIG_SETMASK, &before, NULL);
	if (r >= 0 && o.interrupted)
		r = err_set(err, -EINTR, "interrupted: the trial was called off");
	else if (r >= 0 && o.failed)
		r = err_set(err, o.err.code, "%s", o.err.msg);
	if (r < 0) {
		measurement_done(&o.m);
		return r;
	}
	*ret = o.m;
	return 0;
}

int eval_once(Evaluator *e, const EvalRequest *rq, Measurement *ret, Err *err)
{
	return eval_once_told(e, rq, NULL, NULL, ret, err);
}

void eval_progress_text(const json_t *event, Str *out)
{
	enum {
		NOTE_MAX = 60
	};
	double share = js_num(event, "share", (double)NAN);
	const char *note = js_str(event, "note", "");
	if (share >= 0 && share <= 1)
		str_addf(out, "%.0f %%%s", 100 * share, *note ? ", " : "");
	str_add_safe(out, note, strlen(note), NOTE_MAX);
}
