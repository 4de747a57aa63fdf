/* What a language model says, as a score: prompts with fixed answers, or a program of the user's.
 * Numbers that are faster because the answers are worse must not win. */
#include <math.h>
#include <string.h>

#include "base/file.h"
#include "base/json.h"
#include "loadgen/quality.h"
#include "worker/internal.h"

enum {
	ANSWER_TOKENS = 64,
};

int score_note(Worker *w, double pct, double lo, double hi, double se, int64_t n, Err *err)
{
	Metric m = {.value = pct, .se = se, .lo = lo, .hi = hi, .n = n};
	(void)snprintf(m.name, sizeof(m.name), "llm_quality_pct");
	(void)snprintf(m.unit, sizeof(m.unit), "%%");
	return measurement_set(&w->m, &m, err);
}

/* --- Prompts with fixed answers -------------------------------------------------------------- */

/* The prompts alone, as a file that the load generator reads: one after another, each once. */
static int write_prompts(Worker *w, const QualitySet *set, char **ret, Err *err)
{
	_cleanup_(str_done) Str text = STR_INIT;
	_cleanup_free_ char *path = path_join(w->dir.path, "answers.jsonl");
	bool failed = false;
	for (size_t i = 0; i < set->n; i++) {
		json_auto_t *o = json_object();
		js_set(o, "prompt", js_text(set->items[i].prompt), &failed);
		js_canonical(o, &text);
		str_addc(&text, '\n');
	}
	if (!path || failed || text.failed)
		return err_oom(err);
	int r = file_write(path, 0600, text.s, text.len, err);
	if (r >= 0)
		*ret = TAKE_PTR(path);
	return r;
}

/* One user, no luck of the draw: the same prompts give the same answers. */
static int ask_all(const Party *p, const Contents *prompts, size_t n, Load *ret, Err *err)
{
	Stream load = {
	    .arrivals = ARRIVALS_CLOSED,
	    .users = 1,
	    .requests = (int64_t)n,
	    .prompt = {.median = 64, .min = 1, .max = 64},
	    .output = {.median = ANSWER_TOKENS, .min = ANSWER_TOKENS, .max = ANSWER_TOKENS}};
	json_auto_t *extra = js_copy(p->ask);
	if (json_object_set_new(extra, "temperature", json_real(0)) < 0)
		return err_oom(err);
	(void)json_object_del(extra, "ignore_eos"); /* here the answer may end */
	TrafficStream s = {
	    .name = "answers",
	    .client = p->client,
	    .protocol = p->protocol,
	    .model = p->model && *p->model ? p->model : NULL,
	    .extra = extra,
	    .load = &load,
	    .contents = prompts,
	    .misses_max = -1,
	    .keep_text = true,
	};
	return load_run(ret, &s, 1, err);
}

static int score(Worker *w, const QualitySet *set, const StreamResult *r, Err *err)
{
	_cleanup_free_ bool *right = calloc(set->n, sizeof(*right));
	if (!right)
		return err_oom(err);
	for (size_t i = 0; i < set->n; i++) {
		const char *text = i < r->n ? r->exchanges[i].text : NULL;
		if (quality_right(&set->items[i], text, &right[i]) < 0)
			return err_oom(err);
	}
	QualityScore q = quality_score(right, set->n);
	return score_note(w, q.pct, q.lo, q.hi, 0, (int64_t)q.n, err);
}

static int ask_set(Worker *w, const Party *p, const QualitySet *set, Err *err)
{
	_cleanup_(contents_freep) Contents *prompts = NULL;
	_cleanup_free_ char *path = NULL;
	Load asked = {.w = w, .from = 0.9, .to = 0.95, .what = "prompts with fixed answers"};
	int r = write_prompts(w, set, &path, err);
	if (r < 0 || !path)
		return r;
	ContentsSpec spec = {.prompts = path, .repeat = true};
	r = contents_new(&spec, &prompts, err);
	(void)unlink(path);
	if (r >= 0)
		r = ask_all(p, prompts, set->n, &asked, err);
	if (r >= 0 && !w->over)
		r = score(w, set, &asked.result.streams[0], err);
	traffic_result_done(&asked.result);
	return r;
}

static int ask_answers(Worker *w, const Party *p, Err *err)
{
	QualitySet set = {0};
	Err why = ERR_INIT;
	_cleanup_free_ char *path = path_join(w->job.base_dir, w->job.spec.allocation.answers);
	if (!path)
		return err_oom(err);
	int r = quality_read(path, &set, &why);
	if (err_is_shortage(r))
		return err_set(err, r, "%s", why.msg);
	if (r < 0) {
		worker_over(w, OUTCOME_MEASURE_FAILED, NULL, "%s", why.msg);
		return 0;
	}
	r = ask_set(w, p, &set, err);
	quality_done(&set);
	return r;
}

int answers_judge(Worker *w, Party *p, Err *err)
{
	if (measurement_get(&w->m, "llm_quality_pct"))
		return 0;
	if (w->job.spec.allocation.quality.n > 0)
		return score_program(w, p, err);
	return w->job.spec.allocation.answers ? ask_answers(w, p, err) : 0;
}
