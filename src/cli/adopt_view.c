/* What adopting shows: the preview of a unit before and after, and the list of what is adopted. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "cli/adopt.h"
#include "cli/internal.h"

/* --- The preview ------------------------------------------------------------------------------ */

/* Every line of a text behind a sign. */
static void add_lines(Str *out, char sign, const char *text)
{
	while (*text) {
		size_t len = strcspn(text, "\n");
		str_addc(out, sign);
		str_add_safe(out, text, len, 0);
		str_addc(out, '\n');
		text += len;
		text += *text == '\n';
	}
}

/* As `systemctl cat` would show it: the files there are stay as they are, ours comes last. */
static void add_diff(const AdoptPreview *p, Str *out)
{
	str_addf(out, "--- %s as it is\n+++ %s as it will be\n", p->a->unit, p->a->unit);
	for (size_t i = 0; i < p->texts->n; i++)
		str_addf(out, " # %s (stays as it is)\n", p->texts->files[i].path);
	if (p->before && strcmp(p->before, p->dropin) == 0) {
		str_addf(out, " # %s (stays as it is)\n", p->a->dropin);
		return;
	}
	if (p->before) {
		str_addf(out, " # %s\n", p->a->dropin);
		add_lines(out, '-', p->before);
	} else {
		str_addf(out, "+# %s\n", p->a->dropin);
	}
	add_lines(out, '+', p->dropin);
}

static void add_allowed(const Allowed *a, Str *out)
{
	if (a->has_range)
		str_addf(out, "%g to %g", a->min, a->max);
	for (char **w = a->words; w && *w; w++)
		str_addf(out, "%s%s", w == a->words ? "" : ", ", *w);
	if (!a->has_range && !a->words)
		str_add(out, "any plain value");
}

static void add_target(const AdoptedTarget *t, const json_t *values, Str *out)
{
	_cleanup_free_ char *text = target_text(t);
	str_addf(out, "  %s = %s at %s", t->parameter, js_str(values, t->parameter, "-"),
		 text ? text : "-");
	if (!t->original)
		str_add(out, " (added: the unit does not say it)");
	str_add(out, "; allowed: ");
	add_allowed(&t->allowed, out);
	str_addc(out, '\n');
	if (t->file_sha256)
		str_addf(out,
			 "    from a copy of %s: later edits of that file have no effect until "
			 "the unit is adopted anew\n",
			 t->path);
}

int adopt_print_preview(const AdoptPreview *p)
{
	_cleanup_(str_done) Str out = STR_INIT;
	add_diff(p, &out);
	str_add(&out, "\nThe values, as they are now:\n");
	for (size_t i = 0; i < p->a->n; i++)
		add_target(&p->a->targets[i], p->values, &out);
	if (p->notes && *p->notes)
		str_addf(&out, "\n%s", p->notes);
	return out.failed ? cli_oom() : cli_print(out.s);
}

/* --- The list --------------------------------------------------------------------------------- */

int adopt_drift(const AdoptWorld *w, const Adoption *a, char **ret, Err *err)
{
	UnitTexts texts = {0};
	Err why = ERR_INIT;
	int r = w->systemd ? unittexts_read(w, a->unit, a->dropin, &texts, &why) : -ENOTCONN;
	if (r >= 0 && texts.n == 0) {
		*ret = str_fmt("the unit is gone; 'dream adopt --undo %s' takes away what is left",
			       a->unit);
		r = *ret ? 0 : -ENOMEM;
	} else if (r >= 0 && !texts.has_ours) {
		*ret = strdup("our drop-in is not in effect; adopt the unit anew");
		r = *ret ? 0 : -ENOMEM;
	} else if (r >= 0) {
		const AdoptInput in = {.unit = a->unit,
				       .files = texts.files,
				       .n_files = texts.n,
				       .state_dir = w->places.state_dir,
				       .dropin = a->dropin,
				       .home = getenv("HOME"),
				       .read_file = unit_read_file};
		r = adoption_drift(a, &in, ret, &why);
	}
	unittexts_done(&texts);
	if (r >= 0)
		return 0;
	*ret = str_fmt("cannot be seen: %s", w->systemd ? why.msg : "no systemd is running here");
	return *ret ? 0 : err_oom(err);
}

static void add_rows(const AdoptWorld *w, const Adoption *a, const char *drift, Table *t)
{
	for (size_t i = 0; i < a->n; i++) {
		const AdoptedTarget *target = &a->targets[i];
		_cleanup_free_ char *text = target_text(target);
		_cleanup_(str_done) Str allowed = STR_INIT;
		add_allowed(&target->allowed, &allowed);
		table_cell(t, "%s", a->unit);
		table_cell(t, "%s", target->parameter);
		table_text(t, js_str(json_object_get(w->values, a->unit), target->parameter, NULL));
		table_text(t, text);
		table_text(t, allowed.s);
		table_cell(t, "%s", *drift ? "yes" : "no");
	}
}

static json_t *list_targets(const AdoptWorld *w, const Adoption *a, bool *failed)
{
	json_t *list = json_array();
	for (size_t i = 0; i < a->n; i++) {
		const AdoptedTarget *t = &a->targets[i];
		_cleanup_free_ char *text = target_text(t);
		const char *value = js_str(json_object_get(w->values, a->unit), t->parameter, NULL);
		json_t *o = json_object();
		js_set(o, "parameter", js_text(t->parameter), failed);
		js_set(o, "kind", js_text(target_kind_name(t->kind)), failed);
		js_set(o, "target", text ? js_text(text) : NULL, failed);
		js_set(o, "value", value ? js_text(value) : json_null(), failed);
		*failed = *failed || json_array_append_new(list, o) < 0;
	}
	return list;
}

static json_t *list_unit(const AdoptWorld *w, const Adoption *a, const char *drift, bool *failed)
{
	json_t *o = json_object(), *after = json_array();
	for (char **u = a->after; *u; u++)
		*failed = *failed || json_array_append_new(after, js_text(*u)) < 0;
	js_set(o, "unit", js_text(a->unit), failed);
	js_set(o, "dropin", js_text(a->dropin), failed);
	js_set(o, "drift", js_text(drift), failed);
	js_set(o, "after", after, failed);
	js_set(o, "targets", list_targets(w, a, failed), failed);
	return o;
}

static int print_json(const AdoptWorld *w, json_t *units, bool failed)
{
	json_t *o = json_object();
	js_set(o, "schema", json_string("dream.adopted/v1"), &failed);
	js_set(o, "generation", json_string(w->current), &failed);
	js_set(o, "units", json_incref(units), &failed);
	return failed ? cli_oom() : cli_print_json(o);
}

int adopt_list(const AdoptWorld *w, bool json)
{
	static const TableColumn columns[] = {
	    {"unit", ALIGN_LEFT, COLUMN_KEEP},	  {"parameter", ALIGN_LEFT, COLUMN_KEEP},
	    {"value", ALIGN_LEFT, COLUMN_KEEP},	  {"target", ALIGN_LEFT, COLUMN_CUT},
	    {"allowed", ALIGN_LEFT, COLUMN_DROP}, {"edited", ALIGN_LEFT, COLUMN_KEEP}};
	_cleanup_(table_freep) Table *t = NULL;
	_cleanup_(str_done) Str notes = STR_INIT;
	json_auto_t *units = json_array();
	bool failed = !units;
	Err err = ERR_INIT;

	if (table_new(columns, 6, &t) < 0)
		return cli_oom();
	for (size_t i = 0; i < w->n_adopted; i++) {
		_cleanup_free_ char *drift = NULL;
		const Adoption *a = &w->adopted[i];
		if (adopt_drift(w, a, &drift, &err) < 0)
			return cli_fail(EXIT_FAILED, &err);
		add_rows(w, a, drift, t);
		failed =
		    failed || json_array_append_new(units, list_unit(w, a, drift, &failed)) < 0;
		if (*drift)
			str_addf(&notes, "%s: %s\n", a->unit, drift);
	}
	if (json)
		return print_json(w, units, failed);
	if (w->n_adopted == 0)
		return cli_print("no unit is adopted\n");
	int r = cli_print_table(t);
	return r == EXIT_DONE && notes.s ? cli_print(notes.s) : r;
}
