/* A candidate's ancestry: its parents, theirs, and so on to the initial population. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "cli/internal.h"
#include "cli/lineage.h"

enum {
	DEPTH_MAX = 64,	  /* generations back */
	DRAWN_MAX = 4096, /* different ancestors */
};

typedef struct Walk {
	Store *store;
	Str out;	/* the tree */
	json_t *trials; /* every ancestor once */
	int64_t *seen;	/* DRAWN_MAX numbers */
	size_t n_seen;
	Err err;
} Walk;

static bool was_seen(const Walk *w, int64_t seq)
{
	for (size_t i = 0; i < w->n_seen; i++)
		if (w->seen[i] == seq)
			return true;
	return false;
}

static void describe(Walk *w, const StoreTrial *t, bool again)
{
	Str *out = &w->out;
	str_addf(out, "%s  trial %" PRId64 "  ", t->spica_id, t->seq);
	if (again) {
		str_add(out, "(drawn above)\n");
		return;
	}
	str_addf(out, "generation %" PRId64 ", ", t->generation);
	origin_text(t, out);
	if (json_object_size(t->mutations) > 0) {
		str_add(out, " (");
		change_text(t->mutations, out);
		str_add(out, ")");
	}
	str_add(out, "  ");
	params_text(t->params, out);
	if (t->m.outcome == OUTCOME_OK)
		str_addf(out, "  fitness %.4f\n", t->fitness);
	else
		str_addf(out, "  %s\n", outcome_name(t->m.outcome));
}

static int collect(Walk *w, const StoreTrial *t)
{
	json_t *v = store_trial_json(t);
	if (!v || json_array_append_new(w->trials, v) < 0)
		return err_oom(&w->err);
	w->seen[w->n_seen++] = t->seq;
	return 0;
}

static int draw(Walk *w, const char *id, const char *indent, int depth);

/* `indent` is what stands in front of the lines below the parent's own. */
static int draw_parents(Walk *w, const StoreTrial *t, const char *indent, int depth)
{
	size_t n = 0;
	int64_t parents[2];
	for (size_t i = 0; i < 2; i++)
		if (t->parents[i] > 0 && (i == 0 || t->parents[1] != t->parents[0]))
			parents[n++] = t->parents[i];
	for (size_t i = 0; i < n; i++) {
		bool last = i + 1 == n;
		char id[32];
		_cleanup_free_ char *below = str_fmt("%s%s", indent, last ? "   " : "│  ");
		if (!below)
			return err_oom(&w->err);
		snprintf(id, sizeof(id), "%" PRId64, parents[i]);
		str_addf(&w->out, "%s%s", indent, last ? "└─ " : "├─ ");
		int r = draw(w, id, below, depth + 1);
		if (r < 0)
			return r;
	}
	return 0;
}

static int draw(Walk *w, const char *id, const char *indent, int depth)
{
	StoreTrial t = {0};
	int r = store_trial(w->store, id, &t, &w->err);
	if (r < 0)
		return r;
	bool again = was_seen(w, t.seq);
	describe(w, &t, again);
	if (!again && w->n_seen < DRAWN_MAX) {
		r = collect(w, &t);
		if (r >= 0 && depth < DEPTH_MAX)
			r = draw_parents(w, &t, indent, depth);
	}
	store_trial_done(&t);
	return r;
}

int ancestry_show(Store *store, const char *id, bool json)
{
	bool failed = false;
	_cleanup_free_ int64_t *seen = calloc(DRAWN_MAX, sizeof(*seen));
	json_auto_t *trials = json_array();
	Walk w = {.store = store, .trials = trials, .seen = seen};
	int r = seen && trials ? draw(&w, id, "", 0) : -ENOMEM;
	_cleanup_(str_done) Str text = w.out;
	if (r == -ENOENT)
		return cli_failf(EXIT_FAILED, "there is no trial or candidate '%s'", id);
	if (r < 0)
		return r == -ENOMEM ? cli_oom() : cli_fail(EXIT_FAILED, &w.err);
	if (!json)
		return cli_print(text.failed ? NULL : text.s);
	json_t *o = json_object();
	js_set(o, "schema", json_string("dream.lineage/v1"), &failed);
	js_set(o, "trials", json_incref(trials), &failed);
	return failed ? cli_oom() : cli_print_json(o);
}
