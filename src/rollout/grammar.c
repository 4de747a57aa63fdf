/* A promotion may come from anybody, so nothing is taken that it need not have: a member that is
 * not known, of another type, or longer than it can be is a mistake. */
#include "rollout/grammar.h"

#include <math.h>
#include <string.h>

#include "base/json.h"
#include "base/str.h"
#include "record/promotion.h"
#include "rollout/text.h"
#include "trial/trial.h"

typedef enum Kind {
	G_SCHEMA,
	G_NAME,	  /* letters, digits and _.- */
	G_TEXT,	  /* one line */
	G_HEX,	  /* exactly `max` lower-case digits */
	G_COUNT,  /* a whole number from 0 on */
	G_NUMBER, /* finite, or null where it was not measured */
	G_TRUTH,
	G_SCALAR,    /* a parameter's value: number, text, truth; null: inactive */
	G_OBJECT,    /* `members` */
	G_LIST,	     /* at most `max` of `members` */
	G_NAMES,     /* at most `max` names */
	G_TEXTS,     /* at most `max` lines */
	G_COUNTS,    /* at most `max` whole numbers */
	G_VALUES,    /* parameter: scalar; at most `max` */
	G_INTERVALS, /* metric: interval; at most `max` */
} Kind;

typedef struct Rule {
	const char *name;
	Kind kind;
	size_t max;
	bool optional;
	const struct Rule *members;
} Rule;

enum {
	TEXT_MAX = 1000,
	PARAMETERS_MAX = 64,
	CHANGES_MAX = 32,
	TARGETS_MAX = 16,
	LIST_MAX = 100000,
};

static const Rule interval_rules[] = {
    {"mean", G_NUMBER, 0, false, NULL}, {"lo", G_NUMBER, 0, false, NULL},
    {"hi", G_NUMBER, 0, false, NULL},	{"n", G_COUNT, 0, false, NULL},
    {NULL, 0, 0, false, NULL},
};

static const Rule side_rules[] = {
    {"params", G_VALUES, PARAMETERS_MAX, false, NULL},
    {"config_hash", G_HEX, 16, false, NULL},
    {"metrics", G_INTERVALS, METRICS_MAX, true, NULL},
    {"fitness", G_OBJECT, 0, true, interval_rules},
    {NULL, 0, 0, false, NULL},
};

static const Rule effect_rules[] = {
    {"verdict", G_NAME, 64, false, NULL},
    {"reason", G_TEXT, TEXT_MAX, false, NULL},
    {"fitness", G_OBJECT, 0, true, interval_rules},
    {"metrics", G_INTERVALS, METRICS_MAX, true, NULL},
    {NULL, 0, 0, false, NULL},
};

static const Rule target_rules[] = {
    {"unit", G_TEXT, 256, true, NULL}, {"flag", G_TEXT, 256, true, NULL},
    {"env", G_TEXT, 256, true, NULL},  {"file", G_TEXT, 4096, true, NULL},
    {"key", G_TEXT, 256, true, NULL},  {NULL, 0, 0, false, NULL},
};

static const Rule change_rules[] = {
    {"parameter", G_NAME, PARAMETER_NAME_MAX, false, NULL},
    {"from", G_SCALAR, 0, false, NULL},
    {"to", G_SCALAR, 0, false, NULL},
    {"effect", G_OBJECT, 0, true, effect_rules},
    {"targets", G_LIST, TARGETS_MAX, true, target_rules},
    {NULL, 0, 0, false, NULL},
};

static const Rule rule_rules[] = {
    {"confidence", G_NUMBER, 0, false, NULL},
    {"interval_confidence", G_NUMBER, 0, true, NULL},
    {"pairs_per_workload", G_COUNT, 0, true, NULL},
    {"min_pairs", G_COUNT, 0, true, NULL},
    {"finalists", G_COUNT, 0, true, NULL},
    {NULL, 0, 0, false, NULL},
};

static const Rule lineage_rules[] = {
    {"seq", G_COUNT, 0, false, NULL},
    {"hash", G_HEX, HASH_HEX_SIZE - 1, false, NULL},
    {"search_trial", G_COUNT, 0, true, NULL},
    {"confirming_trials", G_COUNTS, LIST_MAX, true, NULL},
    {NULL, 0, 0, false, NULL},
};

static const Rule by_rules[] = {
    {"uid", G_COUNT, 0, false, NULL},
    {"name", G_TEXT, 64, false, NULL},
    {NULL, 0, 0, false, NULL},
};

static const Rule signature_rules[] = {
    {"key", G_HEX, PUBLIC_KEY_HEX_SIZE - 1, false, NULL},
    {"digest", G_HEX, HASH_HEX_SIZE - 1, false, NULL},
    {"value", G_HEX, SIGNATURE_HEX_SIZE - 1, false, NULL},
    {NULL, 0, 0, false, NULL},
};

static const Rule promotion_rules[] = {
    {"schema", G_SCHEMA, 0, false, NULL},
    {"id", G_NAME, PROMOTION_ID_MAX, false, NULL},
    {"experiment", G_NAME, 64, false, NULL},
    {"state", G_NAME, 32, true, NULL},
    {"created_at", G_TEXT, 40, false, NULL},
    {"summary", G_TEXT, TEXT_MAX, true, NULL},
    {"reason", G_TEXT, TEXT_MAX, true, NULL},
    {"by", G_OBJECT, 0, true, by_rules},
    {"epoch", G_COUNT, 0, true, NULL},
    {"evolution", G_COUNT, 0, true, NULL},
    {"context", G_TEXT, 256, true, NULL},
    {"winner", G_OBJECT, 0, false, side_rules},
    {"baseline", G_OBJECT, 0, false, side_rules},
    {"fitness_gain", G_OBJECT, 0, true, interval_rules},
    {"differences", G_INTERVALS, METRICS_MAX, true, NULL},
    {"seed_mark", G_TRUTH, 0, true, NULL},
    {"changes", G_LIST, CHANGES_MAX, false, change_rules},
    {"stages_passed", G_NAMES, 16, false, NULL},
    {"workloads", G_TEXTS, 256, true, NULL},
    {"rule", G_OBJECT, 0, true, rule_rules},
    {"lineage", G_OBJECT, 0, false, lineage_rules},
    {"configuration_sha256", G_HEX, HASH_HEX_SIZE - 1, true, NULL},
    {"signature", G_OBJECT, 0, false, signature_rules},
    {NULL, 0, 0, false, NULL},
};

/* --- The walk -------------------------------------------------------------------------------- */

typedef struct Walk {
	GrammarPath path;
	Err *err;
} Walk;

static void path_text(const GrammarPath *p, Str *out)
{
	for (size_t i = 0; i < p->n; i++) {
		const char *key = p->step[i].key;
		if (!key) {
			str_addf(out, "[%zu]", p->step[i].index);
			continue;
		}
		str_add(out, i ? "." : "");
		str_add_safe(out, key, strlen(key), 64);
	}
}

static int fault(Walk *w, const char *fmt, ...) _printf_(2, 3);
static int fault(Walk *w, const char *fmt, ...)
{
	_cleanup_(str_done) Str place = STR_INIT, words = STR_INIT;
	va_list ap;
	path_text(&w->path, &place);
	va_start(ap, fmt);
	str_addv(&words, fmt, ap);
	va_end(ap);
	return err_set(w->err, -EBADMSG, "%s %s", place.s ? place.s : "the whole",
		       words.s ? words.s : "is not as it must be");
}

static void enter(Walk *w, const char *key, size_t index)
{
	w->path.step[w->path.n].key = key;
	w->path.step[w->path.n++].index = index;
}

static void leave(Walk *w)
{
	w->path.n--;
}

static int check(Walk *w, const Rule *rule, const json_t *v);

static int check_text(Walk *w, const json_t *v, size_t max)
{
	if (!json_is_string(v))
		return fault(w, "must be a text");
	const char *s = json_string_value(v);
	if (strlen(s) > max)
		return fault(w, "is %zu bytes long; at most %zu are taken", strlen(s), max);
	for (; *s; s++)
		if ((unsigned char)*s < ' ' || *s == 0x7f)
			return fault(w, "has a control character in it");
	return 0;
}

static int check_name(Walk *w, const json_t *v, size_t max)
{
	if (json_is_string(v) && text_is_name(json_string_value(v), max))
		return 0;
	return fault(w,
		     "must be a name: 1 to %zu letters, digits, '_', '-' and '.', not beginning "
		     "with '-' or '.'",
		     max);
}

static int check_hex(Walk *w, const json_t *v, size_t digits)
{
	const char *s = json_is_string(v) ? json_string_value(v) : "";
	if (strlen(s) == digits && strspn(s, "0123456789abcdef") == digits)
		return 0;
	return fault(w, "must be %zu digits 0 to 9 and a to f", digits);
}

static int check_count(Walk *w, const json_t *v)
{
	if (json_is_integer(v) && json_integer_value(v) >= 0)
		return 0;
	return fault(w, "must be a whole number from 0 on");
}

static int check_number(Walk *w, const json_t *v)
{
	if (json_is_null(v) || (json_is_number(v) && isfinite(json_number_value(v))))
		return 0;
	return fault(w, "must be a number, or null where nothing was measured");
}

static int check_scalar(Walk *w, const json_t *v)
{
	if (json_is_string(v))
		return check_text(w, v, 256);
	if (json_is_boolean(v) || json_is_null(v) ||
	    (json_is_number(v) && isfinite(json_number_value(v))))
		return 0;
	return fault(w, "must be a number, a text, true or false");
}

static int check_schema(Walk *w, const json_t *v)
{
	if (json_is_string(v) && strcmp(json_string_value(v), PROMOTION_SCHEMA) == 0)
		return 0;
	return fault(w, "must be %s", PROMOTION_SCHEMA);
}

/* --- What holds others ------------------------------------------------------------------------ */

static const Rule *rule_of(const Rule *rules, const char *name)
{
	for (; rules->name; rules++)
		if (strcmp(rules->name, name) == 0)
			return rules;
	return NULL;
}

static int check_members(Walk *w, const Rule *rules, const json_t *v)
{
	const char *key;
	json_t *member;
	if (!json_is_object(v))
		return fault(w, "must have members");
	json_object_foreach ((json_t *)(uintptr_t)v, key, member) {
		const Rule *rule = rule_of(rules, key);
		enter(w, key, 0);
		int r = rule ? check(w, rule, member) : fault(w, "is not known here");
		if (r < 0)
			return r;
		leave(w);
	}
	for (; rules->name; rules++)
		if (!rules->optional && !json_object_get(v, rules->name))
			return fault(w, "has no %s", rules->name);
	return 0;
}

static int check_list(Walk *w, const Rule *rule, const json_t *v)
{
	static const Rule name = {NULL, G_NAME, METRIC_NAME_MAX, false, NULL};
	static const Rule text = {NULL, G_TEXT, 256, false, NULL};
	static const Rule count = {NULL, G_COUNT, 0, false, NULL};
	const Rule object = {NULL, G_OBJECT, 0, false, rule->members};
	const Rule *item = rule->kind == G_NAMES    ? &name
			   : rule->kind == G_TEXTS  ? &text
			   : rule->kind == G_COUNTS ? &count
						    : &object;
	size_t i;
	json_t *one;
	if (!json_is_array(v))
		return fault(w, "must be a list");
	if (json_array_size(v) > rule->max)
		return fault(w, "has %zu entries; at most %zu are taken", json_array_size(v),
			     rule->max);
	json_array_foreach (v, i, one) {
		enter(w, NULL, i);
		int r = check(w, item, one);
		if (r < 0)
			return r;
		leave(w);
	}
	return 0;
}

static int check_map(Walk *w, const Rule *rule, const json_t *v)
{
	static const Rule scalar = {NULL, G_SCALAR, 0, false, NULL};
	static const Rule interval = {NULL, G_OBJECT, 0, false, interval_rules};
	bool values = rule->kind == G_VALUES;
	const char *key;
	json_t *member;
	if (!json_is_object(v))
		return fault(w, "must have members");
	if (json_object_size(v) > rule->max)
		return fault(w, "has %zu entries; at most %zu are taken", json_object_size(v),
			     rule->max);
	json_object_foreach ((json_t *)(uintptr_t)v, key, member) {
		enter(w, key, 0);
		int r = values ? text_is_name(key, PARAMETER_NAME_MAX) : metric_name_valid(key);
		r = r ? check(w, values ? &scalar : &interval, member)
		      : fault(w, "is not the name of a %s", values ? "parameter" : "metric");
		if (r < 0)
			return r;
		leave(w);
	}
	return 0;
}

static int check(Walk *w, const Rule *rule, const json_t *v)
{
	switch (rule->kind) {
	case G_SCHEMA:
		return check_schema(w, v);
	case G_NAME:
		return check_name(w, v, rule->max);
	case G_TEXT:
		return check_text(w, v, rule->max);
	case G_HEX:
		return check_hex(w, v, rule->max);
	case G_COUNT:
		return check_count(w, v);
	case G_NUMBER:
		return check_number(w, v);
	case G_TRUTH:
		return json_is_boolean(v) ? 0 : fault(w, "must be true or false");
	case G_SCALAR:
		return check_scalar(w, v);
	case G_OBJECT:
		return check_members(w, rule->members, v);
	case G_LIST:
	case G_NAMES:
	case G_TEXTS:
	case G_COUNTS:
		return check_list(w, rule, v);
	case G_VALUES:
	case G_INTERVALS:
		return check_map(w, rule, v);
	}
	return fault(w, "is not known here");
}

int promotion_grammar(const json_t *v, GrammarPath *ret_path, Err *err)
{
	static const Rule whole = {NULL, G_OBJECT, 0, false, promotion_rules};
	Walk w = {.err = err};
	int r = check(&w, &whole, v);
	if (r < 0 && ret_path)
		*ret_path = w.path;
	return r;
}
