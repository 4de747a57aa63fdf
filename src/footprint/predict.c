/* Does it fit? Walks the services in the order in which they start, and keeps what each leaves on
 * the GPU. Where something is not known the sum is a lower bound, so that a refusal is always
 * certain: "unknown" may turn out either way, "infeasible" may not. */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "footprint/arith.h"
#include "footprint/footprint.h"
#include "footprint/settings.h"

typedef struct Walk {
	const Footprint *fp;
	const char *service; /* of the one being looked at */
	bool many_vllm;
	int64_t used; /* so far, steady; a lower bound while `unknown` */
	bool unknown;
	bool seen_vllm; /* the first one's numbers are in `fit` */
	Str known;	/* the good news, for FIT_YES */
	Str why;	/* what is not known */
	Fit fit;
} Walk;

static void walk_done(Walk *w)
{
	str_done(&w->known);
	str_done(&w->why);
	fit_done(&w->fit);
}

/* --- Verdicts -------------------------------------------------------------------------------- */

static int refuse(Walk *w, const char *cause, Str *reason, Err *err)
{
	w->fit.verdict = FIT_NO;
	snprintf(w->fit.cause, sizeof(w->fit.cause), "%s", cause);
	free(TAKE_PTR(w->fit.reason));
	if (str_take(reason, &w->fit.reason) < 0)
		return err_oom(err);
	return 1;
}

static void not_known(Walk *w, const char *fmt, ...) _printf_(2, 3);
static void not_known(Walk *w, const char *fmt, ...)
{
	va_list ap;

	w->unknown = true;
	if (w->why.len > 0)
		str_add(&w->why, "; ");
	va_start(ap, fmt);
	str_addv(&w->why, fmt, ap);
	va_end(ap);
}

static void begin(const Walk *w, Str *out, const VllmAsk *a)
{
	if (w->many_vllm)
		str_addf(out, "%s: ", w->service);
	add_share(out, a->share);
	str_add(out, ": ");
}

static int64_t blocks_for(const VllmFact *f, int64_t tokens)
{
	return tokens > 0 ? div_up(tokens, f->block_size) : 1;
}

/* The bytes of `n` blocks, in floating point: a length from outside must not overflow. */
static double block_bytes(const VllmFact *f, int64_t n)
{
	return (double)n * (double)f->block_size * (double)f->token_bytes;
}

/* The smallest share, rounded up to what is printed, that serves one request. */
static double share_needed(const Walk *w, const VllmFact *f, int64_t tokens)
{
	double bytes = (double)f->non_kv_bytes + block_bytes(f, blocks_for(f, tokens));
	return bytes / (double)w->fp->total_bytes;
}

static void add_need(const Walk *w, Str *out, const VllmFact *f, int64_t tokens)
{
	double share = share_needed(w, f, tokens);

	str_add(out, tokens > 0 ? "one request of " : "one block of the cache");
	if (tokens > 0) {
		add_count(out, tokens);
		str_add(out, " tokens");
	}
	if (share > 1)
		str_add(out, " needs more than the whole GPU");
	else
		str_addf(out, " needs ≥ %.3f", ceil(share * 1000 - 1e-9) / 1000);
}

static void add_budget(const Walk *w, Str *out, const VllmAsk *a, const VllmFact *f)
{
	add_gib(out, share_bytes(a->share, w->fp->total_bytes));
	str_add(out, " budget − ");
	add_gib(out, f->non_kv_bytes);
	str_add(out, " weights and activations");
}

/* The KV cache that a share leaves. 1: refused, in the fit. `bound`: the fact is of a smaller
 * instance, so its numbers are the best case. */
static int judge_cache(Walk *w, const VllmAsk *a, const VllmFact *f, bool bound, Err *err)
{
	_cleanup_(str_done) Str out = STR_INIT;
	int64_t kv = share_bytes(a->share, w->fp->total_bytes) - f->non_kv_bytes;
	double need = block_bytes(f, blocks_for(f, a->key.max_model_len));

	if ((double)kv >= need)
		return 0;
	begin(w, &out, a);
	if (bound)
		str_add(&out, "even a start with fewer sequences or batched tokens has ");
	add_budget(w, &out, a, f);
	if (kv <= 0) {
		str_add(&out, ": no KV cache; ");
	} else {
		str_add(&out, ": the KV cache holds ");
		add_count(&out, kv / (f->block_size * f->token_bytes) * f->block_size);
		str_add(&out, " tokens; ");
	}
	add_need(w, &out, f, a->key.max_model_len);
	return refuse(w, "kv_cache", &out, err);
}

static void keep_numbers(Walk *w, const VllmAsk *a, const VllmFact *f)
{
	int64_t kv = share_bytes(a->share, w->fp->total_bytes) - f->non_kv_bytes;
	int64_t blocks = kv > 0 ? kv / (f->block_size * f->token_bytes) : 0;
	int64_t len = a->key.max_model_len;

	w->fit.kv_bytes = kv;
	w->fit.kv_tokens = blocks * f->block_size;
	w->fit.min_share = len > 0 ? share_needed(w, f, len) : (double)NAN;
	w->fit.kv_concurrency = len > 0 ? (double)blocks / (double)blocks_for(f, len) : (double)NAN;
}

/* vLLM looks at the free memory before it loads anything, and refuses to start when its budget is
 * not there: neighbours matter here even though they are not charged to the budget. Its own CUDA
 * context exists by then. */
static int judge_start(Walk *w, const VllmAsk *a, Err *err)
{
	_cleanup_(str_done) Str out = STR_INIT;
	int64_t budget = share_bytes(a->share, w->fp->total_bytes);
	int64_t free_bytes = w->fp->total_bytes - w->used - w->fp->context_bytes;

	if (free_bytes >= budget)
		return 0;
	begin(w, &out, a);
	add_gib(&out, budget);
	str_add(&out, " budget, but at most ");
	add_gib(&out, free_bytes > 0 ? free_bytes : 0);
	str_addf(&out, " are free when %s starts: the server refuses to start", w->service);
	return refuse(w, "start_check", &out, err);
}

static int judge_steady(Walk *w, const char *what, int64_t bytes, const char *cause, Err *err)
{
	_cleanup_(str_done) Str out = STR_INIT;
	int64_t room = w->fp->total_bytes - w->fp->reserve_bytes;

	if (bytes <= room)
		return 0;
	str_addf(&out, "%s: ", what);
	add_gib(&out, bytes);
	str_add(&out, " of ");
	add_gib(&out, w->fp->total_bytes);
	if (w->fp->reserve_bytes > 0) {
		str_add(&out, ", of which ");
		add_gib(&out, w->fp->reserve_bytes);
		str_add(&out, " must stay free");
	}
	return refuse(w, cause, &out, err);
}

/* --- vLLM ------------------------------------------------------------------------------------ */

static int popcount(unsigned bits)
{
	return __builtin_popcount(bits);
}

/* The fact of this key, or NULL and the one that differs in the fewest parts. */
static const VllmFact *find_fact(const Footprint *fp, const VllmKey *key, const VllmFact **ret_near)
{
	const VllmFact *facts = fp->vllm.items;

	*ret_near = NULL;
	for (size_t i = 0; i < fp->vllm.n; i++) {
		unsigned bits = vllm_key_differences(&facts[i].key, key);
		if (bits == 0)
			return &facts[i];
		if (!*ret_near ||
		    popcount(bits) < popcount(vllm_key_differences(&(*ret_near)->key, key)))
			*ret_near = &facts[i];
	}
	return NULL;
}

static bool not_smaller(int64_t ask, int64_t fact)
{
	return ask == fact || (fact > 0 && ask > fact);
}

/* Activations are profiled for max_num_seqs and max_num_batched_tokens: an instance that differs
 * only in having more of them cannot leave more for the cache. */
static bool is_lower_bound(const VllmFact *f, const VllmKey *key)
{
	unsigned rest = vllm_key_differences(&f->key, key) &
			~(1u << KEY_MAX_NUM_SEQS | 1u << KEY_MAX_NUM_BATCHED_TOKENS);

	return rest == 0 && not_smaller(key->max_num_seqs, f->key.max_num_seqs) &&
	       not_smaller(key->max_num_batched_tokens, f->key.max_num_batched_tokens);
}

static void say_unlike(Walk *w, const VllmAsk *a, const VllmFact *near)
{
	_cleanup_(str_done) Str out = STR_INIT;

	if (!near) {
		not_known(w, "no facts about the memory of %s are declared", w->service);
		return;
	}
	unsigned bits = vllm_key_differences(&near->key, &a->key);
	for (VllmKeyPart p = 0; p < KEY_PARTS_; p++) {
		if (!(bits & 1u << p))
			continue;
		str_addf(&out, "%s%s ", out.len > 0 ? ", " : "", vllm_key_part_name(p));
		add_key_part(&out, &a->key, p);
		str_add(&out, " (the nearest fact: ");
		add_key_part(&out, &near->key, p);
		str_addc(&out, ')');
	}
	not_known(w, "no fact about %s holds for %s", w->service, out.s ? out.s : "");
}

static int vllm_without_fact(Walk *w, const VllmAsk *a, const VllmFact *near, Err *err)
{
	const VllmFact *facts = w->fp->vllm.items;

	for (size_t i = 0; i < w->fp->vllm.n; i++) {
		if (!is_lower_bound(&facts[i], &a->key))
			continue;
		int r = judge_cache(w, a, &facts[i], true, err);
		if (r != 0)
			return r;
	}
	say_unlike(w, a, near);
	return 0;
}

static void praise(Walk *w, const VllmAsk *a, const VllmFact *f)
{
	if (w->known.len > 0)
		str_add(&w->known, "; ");
	begin(w, &w->known, a);
	add_budget(w, &w->known, a, f);
	str_add(&w->known, ": ");
	add_gib(&w->known, w->fit.kv_bytes);
	str_add(&w->known, " KV cache, ");
	add_count(&w->known, w->fit.kv_tokens);
	str_add(&w->known, " tokens");
	if (a->key.max_model_len > 0) {
		str_addf(&w->known, ", %.2f requests of ", w->fit.kv_concurrency);
		add_count(&w->known, a->key.max_model_len);
	}
}

static int walk_vllm(Walk *w, const ServiceSpec *s, const json_t *settings, Err *err)
{
	VllmAsk a;
	const VllmFact *near = NULL;
	int r = ask_read(s, settings, &a, err);

	if (r < 0)
		return r;
	if (isnan(a.share)) {
		w->used += w->fp->context_bytes;
		not_known(w,
			  "%s has no gpu_memory_utilization, and the server's default depends on "
			  "its version",
			  s->name);
		return 0;
	}
	const VllmFact *fact = find_fact(w->fp, &a.key, &near);
	if (fact && !w->seen_vllm)
		keep_numbers(w, &a, fact);
	w->seen_vllm = true;
	if (fact)
		r = judge_cache(w, &a, fact, false, err);
	else
		r = vllm_without_fact(w, &a, near, err);
	if (r == 0)
		r = judge_start(w, &a, err);
	if (r != 0)
		return r;
	if (fact)
		praise(w, &a, fact);
	w->used += share_bytes(a.share, w->fp->total_bytes) + w->fp->context_bytes;
	return 0;
}

/* --- Whisper and the rest -------------------------------------------------------------------- */

static const WhisperFact *find_whisper(const Footprint *fp, const char *size, const char *engine)
{
	const WhisperFact *facts = fp->whisper.items, *any = NULL;

	for (size_t i = 0; i < fp->whisper.n; i++) {
		if (strcmp(facts[i].size, size) != 0)
			continue;
		if (!facts[i].engine)
			any = &facts[i];
		else if (engine && strcmp(facts[i].engine, engine) == 0)
			return &facts[i];
	}
	return any;
}

static int walk_whisper(Walk *w, const json_t *settings, Err *err)
{
	const char *size, *engine;
	int r;

	if ((r = setting_text(w->service, settings, "model_size", &size, err)) < 0 ||
	    (r = setting_text(w->service, settings, "engine", &engine, err)) < 0)
		return r;
	const WhisperFact *fact = size ? find_whisper(w->fp, size, engine) : NULL;
	w->used += w->fp->context_bytes;
	if (!fact) {
		not_known(w, "no fact holds for Whisper %s%s%s", size ? size : "of a size not said",
			  engine ? " with engine " : "", engine ? engine : "");
		return 0;
	}
	char *what = str_fmt("while Whisper %s loads", size);
	if (!what)
		return err_oom(err);
	r = judge_steady(w, what, w->used + fact->load_bytes, "load", err);
	free(what);
	w->used += fact->steady_bytes;
	return r;
}

/* A service of no kind that the model knows says itself what it takes, or it is not known. */
static int walk_process(Walk *w, const ServiceSpec *s, const json_t *settings, Err *err)
{
	const json_t *v = json_object_get(settings, "gpu_memory_bytes");
	int64_t bytes = json_is_integer(v) ? json_integer_value(v) : -1;

	if (v && json_is_string(v) && !conf_parse_bytes(json_string_value(v), &bytes))
		bytes = -1;
	if (v && (bytes < 0 || bytes > INT64_C(1) << 50))
		return err_set(err, -EINVAL,
			       "setting gpu_memory_bytes of service %s must be a size, for example "
			       "800 MB",
			       s->name);
	if (!v)
		not_known(w, "%s has no gpu_memory_bytes", s->name);
	else if (bytes > 0)
		w->used += bytes + w->fp->context_bytes;
	return 0;
}

static int walk_service(Walk *w, const ServiceSpec *s, const json_t *params, Err *err)
{
	json_auto_t *settings = service_settings(s, params);

	if (!settings)
		return err_oom(err);
	w->service = s->name;
	if (strcmp(s->kind, "vllm") == 0)
		return walk_vllm(w, s, settings, err);
	if (strcmp(s->kind, "whisper") == 0)
		return walk_whisper(w, settings, err);
	return walk_process(w, s, settings, err);
}

/* --- The whole ------------------------------------------------------------------------------- */

static int settle(Walk *w, Err *err)
{
	int r = judge_steady(w, "everything together", w->used, "steady", err);

	if (r != 0)
		return r;
	w->fit.verdict = w->unknown ? FIT_UNKNOWN : FIT_YES;
	w->fit.used_bytes = w->unknown ? -1 : w->used;
	if (!w->unknown) {
		if (w->known.len > 0)
			str_add(&w->known, "; ");
		add_gib(&w->known, w->used);
		str_add(&w->known, " of ");
		add_gib(&w->known, w->fp->total_bytes);
		str_add(&w->known, " used");
	}
	return str_take(w->unknown ? &w->why : &w->known, &w->fit.reason) < 0 ? err_oom(err) : 0;
}

int footprint_predict(const Footprint *fp, const ServiceSpec *services, size_t n_services,
		      const json_t *params, Fit *ret, Err *err)
{
	_cleanup_(walk_done) Walk w = {
	    .fp = fp,
	    .used = fp->others_bytes,
	    .fit = {.kv_bytes = INT64_MIN,
		    .kv_tokens = -1,
		    .kv_concurrency = (double)NAN,
		    .min_share = (double)NAN,
		    .used_bytes = -1},
	};
	size_t vllms = 0;
	int r = 0;

	for (size_t i = 0; i < n_services; i++)
		vllms += strcmp(services[i].kind, "vllm") == 0;
	w.many_vllm = vllms > 1;
	for (size_t i = 0; i < n_services && r == 0; i++)
		r = walk_service(&w, &services[i], params, err);
	if (r == 0)
		r = settle(&w, err);
	if (r < 0)
		return r;
	*ret = w.fit;
	w.fit = (Fit){0};
	return 0;
}
