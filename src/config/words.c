/* Texts that must be one of a few words: checked where they stand, whatever else is wrong around
 * them, and listed in the schema. */
#include <errno.h>
#include <string.h>

#include "base/json.h"
#include "config/draft.h"
#include "search/search.h"

enum {
	WORDS_MAX = 16
};

static const char *const approvals[] = {"manual", "auto", NULL};
static const char *const answers[] = {"wait", "ask", "undo", NULL};
static const char *const stages[] = {"isolated", "colocated", "cold_start", "production", NULL};
static const char *const selections[] = {"round_robin", NULL};
static const char *const directions[] = {"up", "down", "neutral", NULL};

/* `what` is what the words are: "strategy". */
static bool is_word(const ConfNode *n, const char *what, const char *const *words, Diags *d)
{
	_cleanup_(str_done) Str accept = STR_INIT;
	const char *text = conf_text(n);

	for (size_t i = 0; words[i]; i++) {
		if (text && strcmp(words[i], text) == 0)
			return true;
		str_addf(&accept, "%s%s", i > 0 ? ", " : "", words[i]);
	}
	const char *near = text ? conf_nearest(text, words) : NULL;
	if (near) {
		str_clear(&accept);
		str_addf(&accept, "did you mean %s?", near);
	}
	if (text)
		conf_fault(n, d, accept.s, "there is no %s '%.60s'", what, text);
	else
		conf_fault(n, d, accept.s, "the %s is not a word", what);
	return false;
}

static int keep_word(const ConfNode *n, const char *what, const char *const *words, void *member,
		     Diags *d)
{
	if (conf_is_null(n) || !is_word(n, what, words, d))
		return 0;
	char *copy = strdup(conf_text(n));
	*(char **)member = copy;
	return copy ? 0 : -ENOMEM;
}

static void free_word(void *member)
{
	free(*(char **)member);
}

static json_t *one_of(const char *const *words)
{
	json_t *list = json_array(), *o = json_object();
	bool failed = !list;

	for (size_t i = 0; words[i]; i++)
		failed |= json_array_append_new(list, json_string(words[i])) < 0;
	js_set(o, "enum", list, &failed);
	if (!failed)
		return o;
	json_decref(o);
	return NULL;
}

/* --- Strategies, scenarios ------------------------------------------------------------------- */

static void strategy_names(const char *ret[WORDS_MAX + 1])
{
	size_t n = 0;
	const SearchStrategy *s;

	for (; n < WORDS_MAX && (s = search_strategy(n)); n++)
		ret[n] = s->name;
	ret[n] = NULL;
}

static int read_strategy(const ConfNode *n, void *member, Diags *d)
{
	const char *names[WORDS_MAX + 1];

	strategy_names(names);
	return keep_word(n, "strategy", names, member, d);
}

static json_t *strategy_schema(void)
{
	const char *names[WORDS_MAX + 1];

	strategy_names(names);
	return one_of(names);
}

static int read_scenario(const ConfNode *n, void *member, Diags *d)
{
	return keep_word(n, "scenario", goals_scenarios, member, d);
}

static json_t *scenario_schema(void)
{
	return one_of(goals_scenarios);
}

/* --- Scheduling, rollout --------------------------------------------------------------------- */

static int read_selection(const ConfNode *n, void *member, Diags *d)
{
	return keep_word(n, "selection", selections, member, d);
}

static json_t *selection_schema(void)
{
	return one_of(selections);
}

static int read_approval(const ConfNode *n, void *member, Diags *d)
{
	return keep_word(n, "approval", approvals, member, d);
}

static json_t *approval_schema(void)
{
	return one_of(approvals);
}

static int read_inconclusive(const ConfNode *n, void *member, Diags *d)
{
	return keep_word(n, "on_inconclusive", answers, member, d);
}

static json_t *inconclusive_schema(void)
{
	return one_of(answers);
}

static int read_stages(const ConfNode *n, void *member, Diags *d)
{
	ConfStrings *s = member;
	size_t count = conf_kind(n) == CONF_SEQ ? conf_len(n) : 0;

	if (count == 0) {
		conf_fault(n, d, "[isolated, colocated, cold_start, production]",
			   "there is no list of stages");
		return 0;
	}
	char **items = calloc(count, sizeof(*items));
	if (!items)
		return -ENOMEM;
	s->items = items;
	for (size_t i = 0; i < count; i++) {
		if (!is_word(conf_at(n, i), "stage", stages, d))
			continue;
		char *copy = strdup(conf_text(conf_at(n, i)));
		if (!copy)
			return -ENOMEM;
		items[s->n++] = copy;
	}
	return 0;
}

static void free_stages(void *member)
{
	ConfStrings *s = member;

	for (size_t i = 0; i < s->n; i++)
		free(s->items[i]);
	free(s->items);
}

static json_t *stages_schema(void)
{
	json_t *words = one_of(stages);

	return words ? json_pack("{s:s, s:i, s:o}", "type", "array", "minItems", 1, "items", words)
		     : NULL;
}

/* --- Metrics --------------------------------------------------------------------------------- */

static int keep_map(const ConfNode *n, void *member)
{
	json_t *v = conf_kind(n) == CONF_MAP ? conf_to_json(n) : NULL;

	*(json_t **)member = v;
	return v || conf_kind(n) != CONF_MAP ? 0 : -ENOMEM;
}

static void free_map(void *member)
{
	json_decref(*(json_t **)member);
}

static int read_directions(const ConfNode *n, void *member, Diags *d)
{
	if (conf_kind(n) != CONF_MAP && !conf_is_null(n))
		conf_fault(n, d, "a map from metric to up, down or neutral",
			   "target_direction is not a map");
	for (size_t i = 0; conf_kind(n) == CONF_MAP && i < conf_len(n); i++)
		(void)is_word(conf_at(n, i), "target direction", directions, d);
	return keep_map(n, member);
}

static json_t *directions_schema(void)
{
	json_t *words = one_of(directions);

	return words ? json_pack("{s:[s, s], s:o}", "type", "object", "null",
				 "additionalProperties", words)
		     : NULL;
}

/* Two metrics on one canonical name: in the first version the later one silently won, and the
 * search never saw the other. */
static void check_taken(const ConfNode *map, size_t i, const char *to, Diags *d)
{
	for (size_t j = 0; j < i; j++) {
		const char *before = conf_text(conf_at(map, j));
		if (!before || strcmp(before, to) != 0)
			continue;
		conf_fault(conf_at(map, i), d, "one metric for each name",
			   "%s and %s are both mapped to %s: one would hide the other",
			   conf_key(map, j), conf_key(map, i), to);
		return;
	}
}

static int read_metric_map(const ConfNode *n, void *member, Diags *d)
{
	if (conf_kind(n) != CONF_MAP && !conf_is_null(n))
		conf_fault(n, d, "a map from metric to canonical name", "map is not a map");
	for (size_t i = 0; conf_kind(n) == CONF_MAP && i < conf_len(n); i++) {
		const char *to = conf_text(conf_at(n, i));
		if (to && *to)
			check_taken(n, i, to, d);
		else
			conf_fault(conf_at(n, i), d, "a name, for example latency",
				   "%s is not mapped to a name", conf_key(n, i));
	}
	return keep_map(n, member);
}

static json_t *metric_map_schema(void)
{
	return json_pack("{s:[s, s], s:{s:s, s:i}}", "type", "object", "null",
			 "additionalProperties", "type", "string", "minLength", 1);
}

/* --- Keys ------------------------------------------------------------------------------------ */

static int read_public_key(const ConfNode *n, void *member, Diags *d)
{
	const char *text = conf_text(n);

	if (conf_is_null(n))
		return 0;
	if (!text || strlen(text) != 64 || strspn(text, "0123456789abcdef") != 64) {
		conf_fault(n, d, "64 digits 0-9 and a-f", "pinned_key is not a public key");
		return 0;
	}
	char *copy = strdup(text);
	*(char **)member = copy;
	return copy ? 0 : -ENOMEM;
}

static json_t *public_key_schema(void)
{
	return json_pack("{s:[s, s], s:s}", "type", "string", "null", "pattern", "^[0-9a-f]{64}$");
}

const ConfCustom word_strategy = {read_strategy, free_word, strategy_schema};
const ConfCustom word_scenario = {read_scenario, free_word, scenario_schema};
const ConfCustom word_selection = {read_selection, free_word, selection_schema};
const ConfCustom word_approval = {read_approval, free_word, approval_schema};
const ConfCustom word_inconclusive = {read_inconclusive, free_word, inconclusive_schema};
const ConfCustom word_stages = {read_stages, free_stages, stages_schema};
const ConfCustom word_directions = {read_directions, free_map, directions_schema};
const ConfCustom word_metric_map = {read_metric_map, free_map, metric_map_schema};
const ConfCustom word_public_key = {read_public_key, free_word, public_key_schema};
