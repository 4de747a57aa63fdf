/* Does production run what the baseline says? */
#include <stdio.h>
#include <string.h>

#include "base/json.h"
#include "rollout/baseline.h"

static void add_line(json_t *lines, Str *line, bool *failed)
{
	*failed |= line->failed || json_array_append_new(lines, js_text(line->s)) < 0;
	str_clear(line);
}

/* Others' words in a line for people. */
static void add_words(Str *line, const char *text)
{
	str_add_safe(line, text, strlen(text), 128);
}

static void add_pair(Str *line, const char *parameter, const char *value)
{
	add_words(line, parameter);
	str_addc(line, '=');
	add_words(line, value);
}

static void compare_value(const char *unit, const char *parameter, const char *wanted,
			  const json_t *real, json_t *lines, bool *failed)
{
	_cleanup_(str_done) Str line = STR_INIT;
	const char *is = json_string_value(real);
	if (is && baseline_value_same(is, wanted))
		return;
	add_words(&line, unit);
	if (is) {
		str_add(&line, " runs with ");
		add_pair(&line, parameter, is);
	} else {
		str_add(&line, " runs without ");
		add_words(&line, parameter);
	}
	str_add(&line, "; the baseline says ");
	add_words(&line, wanted);
	add_line(lines, &line, failed);
}

/* What runs and the baseline knows nothing of. */
static void find_unknown(const char *unit, const json_t *wanted, const json_t *real, json_t *lines,
			 bool *failed)
{
	_cleanup_(str_done) Str line = STR_INIT;
	const char *parameter;
	json_t *v;
	json_object_foreach ((json_t *)(uintptr_t)real, parameter, v) {
		if (json_object_get(wanted, parameter))
			continue;
		add_words(&line, unit);
		str_add(&line, " has the adopted parameter ");
		add_words(&line, parameter);
		str_add(&line, ", of which the baseline says nothing");
		add_line(lines, &line, failed);
	}
}

static void compare_unit(const char *unit, const json_t *wanted, const json_t *real, json_t *lines,
			 bool *failed)
{
	_cleanup_(str_done) Str line = STR_INIT;
	const char *parameter;
	json_t *v;
	if (!json_is_object(real)) {
		add_words(&line, unit);
		str_add(&line, real ? " does not run; the baseline says"
				    : " is not adopted any more; the baseline says");
		json_object_foreach ((json_t *)(uintptr_t)wanted, parameter, v) {
			str_addc(&line, ' ');
			add_pair(&line, parameter, json_string_value(v));
		}
		add_line(lines, &line, failed);
		return;
	}
	json_object_foreach ((json_t *)(uintptr_t)wanted, parameter, v)
		compare_value(unit, parameter, json_string_value(v),
			      json_object_get(real, parameter), lines, failed);
	find_unknown(unit, wanted, real, lines, failed);
}

json_t *baseline_drift(const Baseline *b, const json_t *real)
{
	json_t *lines = json_array(), *wanted, *is;
	const char *unit;
	bool failed = !lines;
	json_object_foreach (b->values, unit, wanted)
		compare_unit(unit, wanted, json_object_get(real, unit), lines, &failed);
	json_object_foreach ((json_t *)(uintptr_t)real, unit, is)
		if (!json_object_get(b->values, unit))
			find_unknown(unit, NULL, is, lines, &failed);
	if (failed) {
		json_decref(lines);
		return NULL;
	}
	return lines;
}
