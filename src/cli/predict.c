/* dream predict: the memory model over the whole space, with the reasons in numbers. */
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "cli/calibrate.h"
#include "cli/internal.h"

static const double GIB = 1024.0 * 1024 * 1024;

typedef struct Options {
	const char *config, *experiment, *only;
	OptStrings logs;
	int64_t token_bytes, limit;
	bool json;
} Options;

/* The distinct sentences, in the order of their first use; the table refers to them by number. */
typedef struct Reasons {
	char **text;
	size_t n, cap;
} Reasons;

typedef struct Prediction {
	const Options *options;
	const Experiment *x;
	json_t *only; /* PARAM=VALUE restrictions */
	Table *table;
	json_t *array;
	Reasons reasons;
	int64_t shown, hidden;
} Prediction;

static int reason_number(Reasons *r, const char *text, size_t *ret)
{
	for (size_t i = 0; i < r->n; i++) {
		if (strcmp(r->text[i], text) == 0) {
			*ret = i + 1;
			return 0;
		}
	}
	if (r->n == r->cap) {
		size_t cap = r->cap ? 2 * r->cap : 16;
		char **more = reallocarray(r->text, cap, sizeof(*more));
		if (!more)
			return -ENOMEM;
		r->text = more;
		r->cap = cap;
	}
	r->text[r->n] = strdup(text);
	if (!r->text[r->n])
		return -ENOMEM;
	*ret = ++r->n;
	return 0;
}

static void reasons_done(Reasons *r)
{
	for (size_t i = 0; i < r->n; i++)
		free(r->text[i]);
	free(r->text);
}

static bool matches(json_t *only, const json_t *params)
{
	const char *key;
	json_t *value;
	json_object_foreach (only, key, value) {
		const json_t *v = json_object_get(params, key);
		bool numbers = json_is_number(v) && json_is_number(value);
		if (numbers ? fabs(json_number_value(v) - json_number_value(value)) > 1e-12
			    : !json_equal(v, value))
			return false;
	}
	return true;
}

static json_t *fit_json(json_t *params, const Fit *fit)
{
	char hash[CONFIG_HASH_SIZE];
	bool failed = false;
	json_auto_t *o = json_object();
	config_hash(params, hash);
	js_set(o, "params", json_incref(params), &failed);
	js_set(o, "config_hash", json_string(hash), &failed);
	js_set(o, "verdict", json_string(fit_verdict_name(fit->verdict)), &failed);
	js_set(o, "cause", *fit->cause ? json_string(fit->cause) : json_null(), &failed);
	js_set(o, "reason", js_text(fit->reason), &failed);
	js_set(o, "kv_bytes",
	       fit->kv_bytes == INT64_MIN ? json_null() : json_integer(fit->kv_bytes), &failed);
	js_set(o, "kv_tokens", fit->kv_tokens < 0 ? json_null() : json_integer(fit->kv_tokens),
	       &failed);
	js_set(o, "kv_concurrency", js_number(fit->kv_concurrency), &failed);
	js_set(o, "min_share", js_number(fit->min_share), &failed);
	js_set(o, "used_bytes", fit->used_bytes < 0 ? json_null() : json_integer(fit->used_bytes),
	       &failed);
	return failed || !o ? NULL : TAKE_PTR(o);
}

static void gib_cell(Table *t, int64_t bytes, bool known)
{
	if (known)
		table_cell(t, "%.3f GiB", (double)bytes / GIB);
	else
		table_cell(t, "-");
}

static int add_row(Prediction *w, const Point *p, const Fit *fit)
{
	size_t number = 0;
	for (size_t d = 0; d < space_dims(w->x->space); d++) {
		_cleanup_(str_done) Str text = STR_INIT;
		json_auto_t *v =
		    p->level[d] == SPACE_INACTIVE ? NULL : space_value(w->x->space, d, p->level[d]);
		if (v)
			param_value_text(v, &text);
		table_cell(w->table, "%s", text.s ? text.s : "-");
	}
	table_cell(w->table, "%s", fit_verdict_name(fit->verdict));
	gib_cell(w->table, fit->kv_bytes, fit->kv_bytes != INT64_MIN);
	if (fit->kv_tokens >= 0)
		table_cell(w->table, "%" PRId64, fit->kv_tokens);
	else
		table_cell(w->table, "-");
	if (isnan(fit->kv_concurrency))
		table_cell(w->table, "-");
	else
		table_cell(w->table, "%.2fx", fit->kv_concurrency);
	gib_cell(w->table, fit->used_bytes, fit->used_bytes >= 0);
	if (fit->verdict == FIT_YES || !fit->reason) {
		table_cell(w->table, "%s", "");
		return 0;
	}
	int r = reason_number(&w->reasons, fit->reason, &number);
	table_cell(w->table, "[%zu]", number);
	return r;
}

static bool verdict_wanted(const Options *o, FitVerdict v)
{
	static const char *const names[] = {
	    [FIT_YES] = "fits", [FIT_NO] = "infeasible", [FIT_UNKNOWN] = "unknown"};
	return !o->only || strcmp(o->only, names[v]) == 0;
}

static int add_point(void *userdata, const Point *p, const Fit *fit)
{
	Prediction *w = userdata;
	json_auto_t *params = point_json(w->x->space, p);
	if (!params)
		return -ENOMEM;
	if (!verdict_wanted(w->options, fit->verdict) || !matches(w->only, params))
		return 0;
	if (w->options->limit > 0 && w->shown >= w->options->limit) {
		w->hidden++;
		return 0;
	}
	w->shown++;
	if (!w->array)
		return add_row(w, p, fit);
	json_t *o = fit_json(params, fit);
	return !o || json_array_append_new(w->array, o) < 0 ? -ENOMEM : 0;
}

static int begin_table(Prediction *w, TableColumn *columns)
{
	static const TableColumn rest[] = {
	    {"verdict", ALIGN_LEFT, COLUMN_KEEP},    {"KV cache", ALIGN_RIGHT, COLUMN_KEEP},
	    {"KV tokens", ALIGN_RIGHT, COLUMN_DROP}, {"at full length", ALIGN_RIGHT, COLUMN_KEEP},
	    {"used", ALIGN_RIGHT, COLUMN_DROP},	     {"why", ALIGN_LEFT, COLUMN_KEEP}};
	size_t n = space_dims(w->x->space);
	for (size_t d = 0; d < n; d++)
		columns[d] = (TableColumn){space_name(w->x->space, d), ALIGN_LEFT, COLUMN_CUT};
	memcpy(columns + n, rest, sizeof(rest));
	return table_new(columns, n + sizeof(rest) / sizeof(*rest), &w->table);
}

static void yaml_text(const char *name, const char *text, Str *out)
{
	json_auto_t *v = text ? js_text(text) : NULL; /* a JSON string is a YAML scalar too */
	if (!v)
		return;
	str_addf(out, "      %s: ", name);
	js_canonical(v, out);
	str_addc(out, '\n');
}

static void yaml_count(const char *name, int64_t n, Str *out)
{
	if (n > 0)
		str_addf(out, "      %s: %" PRId64 "\n", name, n);
}

/* As it is written in dream.yaml. */
static void fact_text(const VllmFact *f, Str *out)
{
	str_add(out, "Learned, for memory: in the configuration:\n  vllm:\n    -\n");
	yaml_text("version", f->key.version, out);
	yaml_text("model", f->key.model, out);
	yaml_text("kv_cache_dtype", f->key.kv_cache_dtype, out);
	yaml_count("max_model_len", f->key.max_model_len, out);
	yaml_count("max_num_seqs", f->key.max_num_seqs, out);
	yaml_count("max_num_batched_tokens", f->key.max_num_batched_tokens, out);
	if (f->key.enforce_eager)
		str_add(out, "      enforce_eager: true\n");
	yaml_count("non_kv_bytes", f->non_kv_bytes, out);
	yaml_count("token_bytes", f->token_bytes, out);
	yaml_count("block_size", f->block_size, out);
	yaml_text("source", f->source, out);
	str_addc(out, '\n');
}

static void counts_text(const Prediction *w, const Scan *scan, Str *out)
{
	str_addf(out,
		 "\n%" PRIu64 " candidates: %" PRIu64 " fit, %" PRIu64 " cannot, %" PRIu64
		 " unknown",
		 scan->allowed, scan->fit, scan->infeasible, scan->unknown);
	if (scan->points > scan->allowed)
		str_addf(out, "; %" PRIu64 " more are forbidden", scan->points - scan->allowed);
	if (w->hidden > 0)
		str_addf(out, "; %" PRId64 " not shown (--limit 0 shows all)", w->hidden);
	str_addc(out, '\n');
	for (size_t i = 0; i < w->reasons.n; i++) {
		size_t before = out->len;
		str_addf(out, "%s[%zu] ", i ? "" : "\n", i + 1);
		text_wrap(w->reasons.text[i], out->len - before, 4, 80, out);
	}
}

static int print_text(const Prediction *w, const Scan *scan, const VllmFact *learned)
{
	_cleanup_(str_done) Str out = STR_INIT;
	Err err = ERR_INIT;
	if (learned)
		fact_text(learned, &out);
	if (table_print(w->table, cli_width(), &out, &err) < 0)
		return cli_fail(EXIT_FAILED, &err);
	counts_text(w, scan, &out);
	return cli_print(out.failed ? NULL : out.s);
}

static json_t *learned_json(const VllmFact *f)
{
	bool failed = false;
	const VllmKey *k = &f->key;
	json_auto_t *o = json_object();
	js_set(o, "source", js_text(f->source), &failed);
	js_set(o, "version", k->version ? js_text(k->version) : json_null(), &failed);
	js_set(o, "model", k->model ? js_text(k->model) : json_null(), &failed);
	js_set(o, "kv_cache_dtype", k->kv_cache_dtype ? js_text(k->kv_cache_dtype) : json_null(),
	       &failed);
	js_set(o, "max_model_len", json_integer(k->max_model_len), &failed);
	js_set(o, "max_num_seqs", json_integer(k->max_num_seqs), &failed);
	js_set(o, "max_num_batched_tokens", json_integer(k->max_num_batched_tokens), &failed);
	js_set(o, "enforce_eager", json_boolean(k->enforce_eager), &failed);
	js_set(o, "non_kv_bytes", json_integer(f->non_kv_bytes), &failed);
	js_set(o, "token_bytes", json_integer(f->token_bytes), &failed);
	js_set(o, "block_size", json_integer(f->block_size), &failed);
	return failed || !o ? NULL : TAKE_PTR(o);
}

static int print_json(const Prediction *w, const Scan *scan, const VllmFact *learned)
{
	bool failed = false;
	json_t *o = json_object();
	js_set(o, "schema", json_string("dream.predict/v1"), &failed);
	js_set(o, "experiment", js_text(w->x->name), &failed);
	js_set(o, "learned", learned ? learned_json(learned) : json_null(), &failed);
	js_set(o, "points", json_integer((json_int_t)scan->points), &failed);
	js_set(o, "allowed", json_integer((json_int_t)scan->allowed), &failed);
	js_set(o, "fits", json_integer((json_int_t)scan->fit), &failed);
	js_set(o, "infeasible", json_integer((json_int_t)scan->infeasible), &failed);
	js_set(o, "unknown", json_integer((json_int_t)scan->unknown), &failed);
	js_set(o, "candidates", json_incref(w->array), &failed);
	return failed ? cli_oom() : cli_print_json(o);
}

static int predict(Prediction *w, const Calibration *c)
{
	TableColumn columns[SPACE_DIMS_MAX + 8];
	json_auto_t *array = json_array();
	const VllmFact *learned = w->options->logs.n > 0 ? &c->fact : NULL;
	Err err = ERR_INIT;
	Scan scan;
	if (!array || begin_table(w, columns) < 0)
		return cli_oom();
	w->array = w->options->json ? array : NULL;
	int r = scan_space(w->x, learned ? &c->memory : NULL, 0, add_point, w, &scan, &err);
	if (r < 0)
		return r == -ENOMEM ? cli_oom() : cli_fail(EXIT_FAILED, &err);
	return w->array ? print_json(w, &scan, learned) : print_text(w, &scan, learned);
}

static int unknown_parameter(const Experiment *x, const char *name)
{
	_cleanup_(str_done) Str all = STR_INIT;
	for (size_t d = 0; d < space_dims(x->space); d++)
		str_addf(&all, "%s%s", d ? ", " : "", space_name(x->space, d));
	return cli_failf(EXIT_USAGE, "no parameter of %s is called %.60s; there are: %s", x->name,
			 name, all.s ? all.s : "");
}

/* A name that the space does not have, or a value that it never takes, is a mistake. */
static int check_restriction(const Experiment *x, json_t *only)
{
	const char *key;
	json_t *value;
	json_object_foreach (only, key, value) {
		int d = space_dim(x->space, key);
		bool found = false;
		if (d < 0)
			return unknown_parameter(x, key);
		for (uint32_t i = 0; i < space_levels(x->space, (size_t)d) && !found; i++) {
			json_auto_t *level = space_value(x->space, (size_t)d, i);
			json_auto_t *a = json_pack("{sO}", "v", level);
			json_auto_t *b = json_pack("{sO}", "v", value);
			found = matches(a, b);
		}
		if (!found)
			return cli_failf(EXIT_USAGE, "no candidate of %s has that value of %s",
					 x->name, key);
	}
	return 0;
}

static int run(const void *options, int argc, char **argv)
{
	const Options *o = options;
	_cleanup_(config_freep) Plan *plan = NULL;
	json_auto_t *only = NULL;
	Calibration c = {0};
	Prediction w = {.options = o};
	Err err = ERR_INIT;
	int r = cli_open(cli_take_config(o->config, &argc, &argv), &plan);
	if (r == 0)
		r = cli_experiment(plan, o->experiment, &w.x);
	if (r == 0)
		r = cli_params(argc, argv, &only);
	if (r == 0)
		r = check_restriction(w.x, only);
	if (r)
		return r;
	w.only = only;
	if (o->logs.n > 0 && calibrate_from_logs(w.x, &o->logs, o->token_bytes, &c, &err) < 0)
		r = cli_fail(EXIT_FAILED, &err);
	else
		r = predict(&w, &c);
	calibration_done(&c);
	table_free(w.table);
	reasons_done(&w.reasons);
	return r;
}

static const Option rows[] = {
    OPTION_CONFIG("the configuration"),
    OPTION_ONE_EXPERIMENT,
    {"from-log", 'f', "FILE[@SHARE]", OPT_STRINGS, offsetof(Options, logs), .complete = "file",
     .help = "learn the facts from a vLLM start-up log; may be given several times. SHARE is "
	     "gpu_memory_utilization, for a log that does not say it"},
    {"token-bytes", 0, "N", OPT_INT, offsetof(Options, token_bytes), .min = 1, .max = 1e9,
     .help = "bytes of KV cache for one token, when one log is all there is and the configuration "
	     "does not say"},
    {"only", 'o', "VERDICT", OPT_STRING, offsetof(Options, only),
     .complete = "fits infeasible unknown", .help = "show only candidates with this verdict"},
    {"limit", 'n', "N", OPT_INT, offsetof(Options, limit), .otherwise = "10000", .min = 0,
     .max = 1e9, .help = "show at most N candidates, 0 all; the counts are always of all"},
    OPTION_JSON("print JSON"),
    {0},
};

const Command cmd_predict = {
    .name = "predict",
    .args = "[CONFIG] [PARAM=VALUE...]",
    .summary = "say which candidates fit on the GPU, and why not",
    .about =
	"Asks the memory model about every candidate of an experiment, without starting "
	"anything: does each service start, how much KV cache is left, what is used. Arguments "
	"restrict the table to candidates with these values. The model's facts are those of "
	"the experiment's memory: block, or learned from start-up logs.",
    .options = rows,
    .options_size = sizeof(Options),
    .max_args = -1,
    .run = run,
};
