/* What was heard against what was said: word errors of the clips of a stream. */
#include <string.h>

#include "base/json.h"
#include "worker/internal.h"

enum {
	CLIPS_IN_EVIDENCE = 2000,
};

/* Each clip once, however often it was sent: the first answer counts. */
static const Exchange *answer_of(const StreamResult *r, size_t clip)
{
	for (size_t i = 0; i < r->n; i++) {
		const Exchange *x = &r->exchanges[i];
		if (x->clip == clip && x->failed == EXCHANGE_OK && x->text)
			return x;
	}
	return NULL;
}

static int judge_clip(Normaliser n, const char *said, const char *heard, WordErrors *ret, Err *err)
{
	_cleanup_(str_done) Str a = STR_INIT, b = STR_INIT;
	int r = normalise(n, said, strlen(said), &a);
	if (r >= 0)
		r = normalise(n, heard, strlen(heard), &b);
	if (r >= 0)
		r = a.failed || b.failed ? -ENOMEM
					 : word_errors(a.s ? a.s : "", b.s ? b.s : "", ret);
	return r < 0 ? err_set(err, r, "cannot compare a transcript: %s", strerror(-r)) : 0;
}

/* By clip: two candidates are compared on the same ones. */
static json_t *clips_json(const Worker *w, const WordErrors *clips, const size_t *which, size_t n)
{
	bool failed = false;
	json_t *o = json_object();
	for (size_t i = 0; i < n && i < CLIPS_IN_EVIDENCE; i++) {
		const WordErrors *e = &clips[i];
		json_int_t errors = e->substitutions + e->deletions + e->insertions;
		js_set(o, contents_clip_name(w->clips, which[i]),
		       json_pack("[I,I]", errors, (json_int_t)e->words), &failed);
	}
	if (!failed)
		return o;
	json_decref(o);
	return NULL;
}

static int note(Worker *w, Normaliser rules, const Wer *wer, json_t *clips, Err *err)
{
	bool failed = false;
	json_t *o = json_object();
	js_set(o, "normaliser", json_string(normaliser_name(rules)), &failed);
	js_set(o, "errors", json_integer(wer->errors), &failed);
	js_set(o, "words", json_integer(wer->words), &failed);
	js_set(o, "clips", clips, &failed);
	js_set(w->evidence, "wer", o, &failed);
	if (failed)
		return err_oom(err);
	Metric m = {.value = wer->pct,
		    .se = wer->se,
		    .lo = wer->lo,
		    .hi = wer->hi,
		    .n = (int64_t)wer->clips};
	(void)snprintf(m.name, sizeof(m.name), "wer_pct");
	(void)snprintf(m.unit, sizeof(m.unit), "%%");
	return measurement_set(&w->m, &m, err);
}

int speech_judge(Worker *w, const Party *p, const StreamResult *r, Err *err)
{
	(void)p;
	size_t n = w->clips ? contents_clips(w->clips) : 0, judged = 0;
	if (n == 0 || measurement_get(&w->m, "wer_pct"))
		return 0;
	Normaliser rules = normaliser_for(w->job.spec.allocation.language);
	_cleanup_free_ WordErrors *clips = calloc(n, sizeof(*clips));
	_cleanup_free_ size_t *which = calloc(n, sizeof(*which));
	if (!clips || !which)
		return err_oom(err);
	for (size_t i = 0; i < n; i++) {
		const char *said = contents_clip_text(w->clips, i);
		const Exchange *x = said ? answer_of(r, i) : NULL;
		if (!x)
			continue;
		int e = judge_clip(rules, said, x->text, &clips[judged], err);
		if (e < 0)
			return e;
		which[judged++] = i;
	}
	if (judged == 0)
		return 0;
	Rng rng = rng_derive(w->job.seed, "wer", 0);
	Wer wer;
	int e = wer_of(clips, judged, &rng, &wer, err);
	if (e < 0 || wer.words == 0)
		return e;
	return note(w, rules, &wer, clips_json(w, clips, which, judged), err);
}
