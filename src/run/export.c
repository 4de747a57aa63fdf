/* Files under artifacts/: exports of what the store holds, each written whole. Losing one loses
 * nothing. */
#include "run/internal.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "base/json.h"
#include "record/promotion.h"

enum {
	FILE_MODE = 0644,
	DIR_MODE = 0755
};

/* Writes artifacts/<folder>/<name>, making the folder. */
static int write_artifact(const Turn *t, const char *folder, const char *name, const char *text,
			  size_t len, Err *err)
{
	_cleanup_free_ char *dir = path_join(t->r->plan->run.artifact_root, folder);
	_cleanup_free_ char *path = dir ? path_join(dir, name) : NULL;
	if (!path)
		return err_oom(err);
	int r = dir_make(dir, DIR_MODE, err);
	return r < 0 ? r : file_write(path, FILE_MODE, text, len, err);
}

static int write_json(const Turn *t, const char *folder, const char *name, const json_t *v,
		      Err *err)
{
	_cleanup_free_ char *text =
	    json_dumps(v, JSON_INDENT(2) | JSON_SORT_KEYS | JSON_REAL_PRECISION(15));
	_cleanup_free_ char *lines = text ? str_fmt("%s\n", text) : NULL;
	if (!lines)
		return err_oom(err);
	return write_artifact(t, folder, name, lines, strlen(lines), err);
}

/* --- An epoch -------------------------------------------------------------------------------- */

typedef struct Lines {
	Str text;
	int64_t measured;
} Lines;

static int add_line(void *userdata, const StoreTrial *s)
{
	Lines *lines = userdata;
	json_auto_t *o = store_trial_json(s);
	if (!o)
		return -ENOMEM;
	/* Stays in the store: long, and of no use in a table. */
	(void)json_object_del(json_object_get(o, "measurement"), "evidence");
	js_canonical(o, &lines->text);
	str_addc(&lines->text, '\n');
	lines->measured += s->stage != STAGE_PREDICTED;
	return 0;
}

static json_t *manifest_json(const Turn *t, const char *state, int64_t trials, bool *failed)
{
	char at[32];
	time_rfc3339(clock_now_us(t->r->clock), at);
	json_t *o = json_object();
	js_set(o, "schema", js_text("dream.epoch/v1"), failed);
	js_set(o, "experiment", js_text(t->x->name), failed);
	js_set(o, "epoch", json_integer(t->history.epoch), failed);
	js_set(o, "evolution", json_integer(t->history.evolution), failed);
	js_set(o, "written_at", js_text(at), failed);
	js_set(o, "state", js_text(state), failed);
	js_set(o, "trials", json_integer(trials), failed);
	js_set(o, "strategy", js_text(t->strategy), failed);
	js_set(o, "seed", json_integer((json_int_t)t->r->seed), failed);
	js_set(o, "best_fitness", js_number(t->best), failed);
	js_set(o, "configuration_sha256", js_text(t->r->plan->sha256), failed);
	js_set(o, "dream_version", js_text(DREAM_VERSION), failed);
	return o;
}

int export_epoch(Turn *t, const char *state, int64_t *ret_trials, Err *err)
{
	Lines lines = {0};
	TrialQuery q = {.experiment = t->x->name, .epoch = t->history.epoch};
	int r = store_trials(t->r->store, &q, add_line, &lines, err);
	char folder[METRIC_NAME_MAX + 256];
	(void)snprintf(folder, sizeof(folder), "%.200s/epoch_%04" PRId64, t->x->name,
		       t->history.epoch);
	if (r >= 0 && lines.text.failed)
		r = err_oom(err);
	if (r >= 0)
		r = write_artifact(t, folder, "metrics.jsonl", lines.text.s ? lines.text.s : "",
				   lines.text.len, err);
	str_done(&lines.text);
	if (r < 0)
		return r;
	bool failed = false;
	json_auto_t *manifest = manifest_json(t, state, lines.measured, &failed);
	if (failed || !manifest)
		return err_oom(err);
	*ret_trials = lines.measured;
	return write_json(t, folder, "manifest.json", manifest, err);
}

/* --- A winner, in the shape that the first version's documents print ------------------------- */

/* Their names for our metrics, where they differ. */
static const char *seed_name(const char *metric)
{
	return strcmp(metric, "gpu_memory_pct") == 0 ? "gpu_utilization" : metric;
}

static json_t *best_metrics(const json_t *winner, bool *failed)
{
	json_t *o = json_object();
	const char *name;
	json_t *interval;
	json_object_foreach (json_object_get(winner, "metrics"), name, interval) {
		js_set(o, seed_name(name), js_number(js_num(interval, "mean", (double)NAN)),
		       failed);
	}
	js_set(o, "fitness",
	       js_number(js_num(json_object_get(winner, "fitness"), "mean", (double)NAN)), failed);
	return o;
}

int export_winner(Turn *t, const json_t *promotion, Err *err)
{
	const json_t *winner = json_object_get(promotion, "winner");
	bool failed = false;
	json_auto_t *o = json_object();
	json_t *params = json_object_get(winner, "params");
	js_set(o, "experiment", js_text(t->x->name), &failed);
	js_set(o, "best_params", params ? json_incref(params) : json_object(), &failed);
	js_set(o, "best_metrics", best_metrics(winner, &failed), &failed);
	js_set(o, "promotion", js_text(js_str(promotion, "id", "")), &failed);
	js_set(o, "created_at", js_text(js_str(promotion, "created_at", "")), &failed);
	if (failed || !o)
		return err_oom(err);
	_cleanup_free_ char *name = str_fmt("%s.json", t->x->name);
	if (!name)
		return err_oom(err);
	return write_json(t, "winners", name, o, err);
}

/* "2026-11-20T12:30:05.123456Z" -> "20261120_123005": the promotion's own time, so that writing it
 * again after a crash gives the same file. */
static void stamp_of(const char *rfc3339, char ret[16])
{
	size_t n = 0;
	for (const char *c = rfc3339; *c && *c != '.' && *c != 'Z' && n < 15; c++) {
		if (*c == 'T')
			ret[n++] = '_';
		else if (*c >= '0' && *c <= '9')
			ret[n++] = *c;
	}
	ret[n] = '\0';
}

/* Another promotion of the same second keeps its file; this one's gets the digits of its id. The
 * same promotion, written again after a crash, is written over itself. */
static int promotion_name(const Turn *t, const char *prefix, const char *stamp, const char *yaml,
			  const char *id, char **ret, Err *err)
{
	_cleanup_free_ char *name = str_fmt("%s_%s.yaml", prefix, stamp);
	_cleanup_free_ char *dir = path_join(t->r->plan->run.artifact_root, "promotions");
	_cleanup_free_ char *path = dir && name ? path_join(dir, name) : NULL;
	size_t len = strlen(id), there_len = 0;
	if (!path)
		return err_oom(err);
	_cleanup_free_ char *there = NULL;
	bool other = file_read(path, RECORD_BODY_MAX, &there, &there_len, NULL) == 0 &&
		     strcmp(there, yaml) != 0;
	*ret = other ? str_fmt("%s_%s_%s.yaml", prefix, stamp, id + (len > 8 ? len - 8 : 0))
		     : TAKE_PTR(name);
	return *ret ? 0 : err_oom(err);
}

static int write_promotion(Turn *t, const char *prefix, const char *stamp, const char *yaml,
			   const char *id, Err *err)
{
	_cleanup_free_ char *name = NULL;
	int r = promotion_name(t, prefix, stamp, yaml, id, &name, err);
	return r < 0 ? r : write_artifact(t, "promotions", name, yaml, strlen(yaml), err);
}

int export_promotion(Turn *t, const json_t *promotion, Err *err)
{
	_cleanup_free_ char *yaml = NULL;
	int r = promotion_yaml(promotion, &yaml, err);
	if (r < 0)
		return r;
	char stamp[16];
	const char *id = js_str(promotion, "id", "");
	stamp_of(js_str(promotion, "created_at", ""), stamp);
	r = write_promotion(t, t->x->name, stamp, yaml, id, err);
	/* The first version's orchestrator looks for this name. */
	if (r >= 0 && strcmp(t->x->name, "spica_gpu_allocation") == 0)
		r = write_promotion(t, "gpu_allocation", stamp, yaml, id, err);
	return r;
}

/* --- Heads kept elsewhere -------------------------------------------------------------------- */

int export_anchors(Runner *r, Err *err)
{
	if (r->plan->run.anchors.n == 0)
		return 0;
	int64_t seq = 0;
	Hash head = {0};
	int e = store_head(r->store, &seq, &head, err);
	if (e < 0)
		return e;
	char hex[HASH_HEX_SIZE], line[128];
	hash_hex(&head, hex);
	int len = snprintf(line, sizeof(line), "%" PRId64 ":%s\n", seq, hex);
	for (size_t i = 0; i < r->plan->run.anchors.n; i++) {
		e = file_append(r->plan->run.anchors.items[i], line, (size_t)len, err);
		if (e < 0)
			return err_wrap(err, e, "cannot keep the chain's head outside the store");
	}
	return 0;
}
