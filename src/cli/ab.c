/* dream ab: two values of one parameter take turns in production. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/json.h"
#include "cli/internal.h"
#include "cli/world.h"
#include "record/decision.h"
#include "rollout/ab.h"

typedef struct Options {
	const char *config, *reason;
	int64_t pairs, block_us, discard_us;
	OptSeed seed;
	bool json;
} Options;

static json_t *figure_json(const AbFigure *f)
{
	bool failed = false;
	json_t *o = json_object();
	js_set(o, "service", js_text(f->service), &failed);
	js_set(o, "metric", js_text(f->metric), &failed);
	js_set(o, "pairs", json_integer((json_int_t)f->pairs), &failed);
	js_set(o, "a", js_number(f->value[0]), &failed);
	js_set(o, "b", js_number(f->value[1]), &failed);
	js_set(o, "change", js_number(f->change), &failed);
	js_set(o, "lo", js_number(f->lo), &failed);
	js_set(o, "hi", js_number(f->hi), &failed);
	if (failed) {
		json_decref(o);
		return NULL;
	}
	return o;
}

static json_t *report_json(const AbSpec *spec, const AbReport *report)
{
	bool failed = false;
	json_t *list = json_array(), *o = json_object();
	for (size_t i = 0; i < report->n; i++)
		failed |=
		    !list || json_array_append_new(list, figure_json(&report->figures[i])) < 0;
	js_set(o, "schema", js_text("dream.ab/v1"), &failed);
	js_set(o, "parameter", js_text(spec->parameter), &failed);
	js_set(o, "a", js_text(spec->values[0]), &failed);
	js_set(o, "b", js_text(spec->values[1]), &failed);
	js_set(o, "seed", json_integer((json_int_t)spec->seed), &failed);
	js_set(o, "restarts", json_integer(report->restarts), &failed);
	js_set(o, "figures", list, &failed);
	if (!failed)
		return o;
	json_decref(o);
	return NULL;
}

/* What was measured in production is kept, signed, with who asked for it. */
static int keep(const World *w, const json_t *report, const Approver *by, int64_t *ret_seq,
		Err *err)
{
	bool failed = false;
	json_auto_t *body = js_deep_copy(report), *record = NULL;
	json_t *who = json_object();
	js_set(who, "uid", json_integer(by->uid), &failed);
	js_set(who, "name", js_text(by->name), &failed);
	js_set(body, "by", who, &failed);
	js_set(body, "reason", js_text(by->reason), &failed);
	if (!body || failed)
		return err_oom(err);
	int r = decision_sign(body, w->key, &record, err);
	return r < 0 ? r : store_add(w->store, "ab", "dream.ab/v1", record, ret_seq, err);
}

static const char *word_of(const AbFigure *f)
{
	if (isnan(f->lo))
		return "too few pairs";
	if (f->hi < 0)
		return "B is better";
	return f->lo > 0 ? "A is better" : "no difference shown";
}

static void number_cell(Table *t, double v, bool percent)
{
	if (isnan(v))
		table_text(t, NULL);
	else if (percent)
		table_cell(t, "%+.1f %%", 100 * v);
	else
		table_cell(t, "%.1f", v);
}

static void add_figure(const AbFigure *f, Table *t)
{
	table_cell(t, "%s", f->service);
	table_cell(t, "%s", f->metric);
	table_cell(t, "%zu", f->pairs);
	number_cell(t, f->value[0], false);
	number_cell(t, f->value[1], false);
	number_cell(t, f->change, true);
	if (isnan(f->lo))
		table_text(t, NULL);
	else
		table_cell(t, "%+.1f to %+.1f %%", 100 * f->lo, 100 * f->hi);
	table_cell(t, "%s", word_of(f));
}

static int print_text(const AbSpec *spec, const AbReport *report, int64_t seq)
{
	static const TableColumn columns[] = {
	    {"service", ALIGN_LEFT, COLUMN_KEEP}, {"metric", ALIGN_LEFT, COLUMN_KEEP},
	    {"pairs", ALIGN_RIGHT, COLUMN_DROP},  {"A", ALIGN_RIGHT, COLUMN_KEEP},
	    {"B", ALIGN_RIGHT, COLUMN_KEEP},	  {"change", ALIGN_RIGHT, COLUMN_KEEP},
	    {"95 %", ALIGN_LEFT, COLUMN_KEEP},	  {"verdict", ALIGN_LEFT, COLUMN_KEEP}};
	_cleanup_(table_freep) Table *t = NULL;
	_cleanup_(str_done) Str out = STR_INIT;
	Err err = ERR_INIT;
	if (table_new(columns, sizeof(columns) / sizeof(*columns), &t) < 0)
		return cli_oom();
	str_addf(&out, "\n%s: A is %s, B is %s; %u pairs of blocks, %u restarts, seed %llu\n\n",
		 spec->parameter, spec->values[0], spec->values[1], spec->pairs, report->restarts,
		 (unsigned long long)spec->seed);
	for (size_t i = 0; i < report->n; i++)
		add_figure(&report->figures[i], t);
	if (report->n == 0)
		str_add(&out, "no block was measured to its end\n");
	else if (table_print(t, cli_width(), &out, &err) < 0)
		return cli_fail(EXIT_FAILED, &err);
	if (seq > 0)
		str_addf(&out, "\nkept as record %lld\n", (long long)seq);
	return cli_print(out.failed ? NULL : out.s);
}

/* "PARAM=A,B"; the parts are owned by `text`. */
static bool take_apart(char *text, AbSpec *spec)
{
	char *equals = strchr(text, '='), *comma = equals ? strchr(equals, ',') : NULL;
	if (!comma || equals == text || comma == equals + 1 || !comma[1] || strchr(comma + 1, ','))
		return false;
	*equals = *comma = '\0';
	spec->parameter = text;
	spec->values[0] = equals + 1;
	spec->values[1] = comma + 1;
	return true;
}

static int conclude(const World *w, const Options *o, const AbSpec *spec, const Spoken *s,
		    const Approver *by)
{
	_cleanup_(ab_report_done) AbReport report = {0};
	json_auto_t *json = NULL;
	int64_t seq = 0;
	Err err = ERR_INIT;
	if (rollout_ab_report(s->rollout, &report, &err) < 0)
		return cli_fail(EXIT_FAILED, &err);
	json = report_json(spec, &report);
	if (!json)
		return cli_oom();
	int kept = keep(w, json, by, &seq, &err);
	int r = o->json ? cli_print_json(json_incref(json)) : print_text(spec, &report, seq);
	return kept < 0 ? cli_fail(EXIT_FAILED, &err) : r;
}

static int compare(World *w, const Options *o, const AbSpec *spec)
{
	Spoken s = {.world = w, .to_stderr = o->json};
	RolloutWorld world = world_of(w);
	Approver by;
	Err err = ERR_INIT;
	world_who(o->reason, &by);
	if (rollout_ab(&world, spec, &by, &spoken_handler, &s, &s.rollout, &err) < 0)
		return cli_fail(EXIT_FAILED, &err);
	int r = spoken_run(&s);
	if (r == EXIT_NOTHING_BETTER)
		r = EXIT_DONE; /* production is as it was: that is the end that was wanted */
	if (r != EXIT_INTERRUPTED)
		r = conclude(w, o, spec, &s, &by) ?: r;
	rollout_free(s.rollout);
	return r;
}

static int run(const void *options, int argc, char **argv)
{
	const Options *o = options;
	World w = {.turn_fd = -1};
	AbSpec spec = {.pairs = (uint32_t)o->pairs,
		       .block_us = o->block_us,
		       .discard_us = o->discard_us,
		       .seed =
			   o->seed.given ? o->seed.value : (uint64_t)clock_now_us(&clock_system),
		       .confidence = 0.95};
	(void)argc;
	_cleanup_free_ char *text = str_fmt("%s", argv[0]);
	if (!text || !take_apart(text, &spec))
		return cli_failf(EXIT_USAGE, "\"%s\" is not of the form PARAM=A,B", argv[0]);
	if (strcmp(spec.values[0], spec.values[1]) == 0)
		return cli_failf(EXIT_USAGE, "%s and %s are the same value", spec.values[0],
				 spec.values[1]);
	int r = world_open(o->config, &w);
	if (r == 0)
		r = world_take_turn(&w);
	if (r == 0)
		r = compare(&w, o, &spec);
	world_done(&w);
	return r;
}

#define AT(member) offsetof(Options, member)
static const Option rows[] = {
    OPTION_CONFIG_FOUND,
    {"pairs", 0, "N", OPT_INT, AT(pairs), .otherwise = "10", .min = 2, .max = AB_PAIRS_MAX,
     .help = "pairs of blocks, one of each value, in an order drawn by lot"},
    {"block", 0, "TIME", OPT_DURATION, AT(block_us), .otherwise = "2 min",
     .help = "how long a block is measured"},
    {"discard", 0, "TIME", OPT_DURATION, AT(discard_us), .otherwise = "20 s",
     .help = "how long after a restart nothing is measured yet"},
    {"seed", 's', "N", OPT_SEED, AT(seed), .help = "where the order is drawn from"},
    {"reason", 'r', "TEXT", OPT_STRING, AT(reason), .help = "why; kept for ever"},
    OPTION_JSON("print the result as JSON"),
    {0},
};
#undef AT

const Command cmd_ab = {
    .name = "ab",
    .args = "PARAM=A,B",
    .summary = "compare two values of a parameter in production, in turns",
    .about =
	"Production gets the two values in turns, block by block, in an order drawn by lot, so "
	"that what drifts and the time of day strike both alike; each block begins with a "
	"restart of the units that the parameter reaches. Services are asked lightly all the "
	"time. Afterwards production is as it was: the answer is a comparison, and "
	"`dream promotion new` proposes a change.",
    .options = rows,
    .options_size = sizeof(Options),
    .min_args = 1,
    .max_args = 1,
    .run = run,
};
