#include "footprint/learn.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "footprint/arith.h"
#include "footprint/settings.h"

enum {
	STARTS_MAX = 4096,
	BLOCK_MAX = 4096,
};

struct Learned {
	const Footprint *declared;
	Footprint all;	   /* its `vllm` list is ours, the declared facts in it are borrowed */
	VllmStart *starts; /* owned, with their keys */
	size_t n_starts;
	size_t n_declared; /* facts at the front of the list that are not ours */
};

/* --- A start as it is kept ------------------------------------------------------------------- */

json_t *vllm_start_json(const VllmStart *s)
{
	bool failed = false;
	json_t *o = json_object();
	if (isfinite(s->kv_gib))
		js_set(o, "kv_gib", js_number(s->kv_gib), &failed);
	if (s->kv_tokens > 0)
		js_set(o, "kv_tokens", json_integer(s->kv_tokens), &failed);
	if (isfinite(s->concurrency) && s->concurrency > 0)
		js_set(o, "concurrency", js_number(s->concurrency), &failed);
	if (s->total_bytes > 0)
		js_set(o, "total_bytes", json_integer(s->total_bytes), &failed);
	if (s->block_size > 0)
		js_set(o, "block_size", json_integer(s->block_size), &failed);
	if (s->no_kv)
		js_set(o, "no_kv", json_true(), &failed);
	if (!failed)
		return o;
	json_decref(o);
	return NULL;
}

static VllmStart start_of(const json_t *o, const VllmAsk *ask)
{
	int64_t block = js_int(o, "block_size", 0);
	VllmStart s = {
	    .key = ask->key,
	    .share = ask->share,
	    .kv_gib = js_num(o, "kv_gib", (double)NAN),
	    .kv_tokens = js_int(o, "kv_tokens", 0),
	    .concurrency = js_num(o, "concurrency", 0),
	    .total_bytes = js_int(o, "total_bytes", 0),
	    .block_size = block > 0 && block <= BLOCK_MAX ? block : 0,
	    .no_kv = js_bool(o, "no_kv", false),
	};
	return s;
}

static bool says_something(const VllmStart *s)
{
	return isfinite(s->share) && s->share > 0 &&
	       (s->no_kv || isfinite(s->kv_gib) || s->kv_tokens > 0);
}

/* --- What is known --------------------------------------------------------------------------- */

int learned_new(const Footprint *declared, Learned **ret, Err *err)
{
	_cleanup_(learned_freep) Learned *l = calloc(1, sizeof(*l));
	if (!l)
		return err_oom(err);
	l->declared = declared;
	int r = declared ? 0 : conf_defaults(&footprint_table, &l->all);
	if (r < 0)
		return err_oom(err);
	if (declared) {
		l->all = *declared;
		l->n_declared = declared->vllm.n;
		l->all.vllm.items = calloc(l->n_declared + 1, sizeof(VllmFact));
		if (!l->all.vllm.items) {
			l->n_declared = l->all.vllm.n = 0;
			return err_oom(err);
		}
		if (l->n_declared > 0)
			memcpy(l->all.vllm.items, declared->vllm.items,
			       l->n_declared * sizeof(VllmFact));
	}
	*ret = TAKE_PTR(l);
	return 0;
}

Learned *learned_free(Learned *l)
{
	if (!l)
		return NULL;
	VllmFact *facts = l->all.vllm.items;
	for (size_t i = l->n_declared; i < l->all.vllm.n; i++)
		vllm_fact_done(&facts[i]);
	free(facts);
	for (size_t i = 0; i < l->n_starts; i++)
		vllm_key_done(&l->starts[i].key);
	free(l->starts);
	free(l);
	return NULL;
}

const Footprint *learned_footprint(const Learned *l)
{
	return l->declared || l->all.vllm.n > 0 ? &l->all : NULL;
}

static bool is_known(const Learned *l, const VllmKey *key)
{
	const VllmFact *facts = l->all.vllm.items;
	for (size_t i = 0; i < l->all.vllm.n; i++)
		if (vllm_key_differences(&facts[i].key, key) == 0)
			return true;
	return false;
}

/* The bytes of a token follow from the model's shape and the cache's type, not from the rest. */
static int64_t token_bytes_of(const Learned *l, const VllmKey *key)
{
	unsigned matter = 1u << KEY_MODEL | 1u << KEY_KV_CACHE_DTYPE;
	const VllmFact *facts = l->all.vllm.items;
	for (size_t i = 0; i < l->all.vllm.n; i++)
		if ((vllm_key_differences(&facts[i].key, key) & matter) == 0)
			return facts[i].token_bytes;
	return 0;
}

/* --- One more start -------------------------------------------------------------------------- */

static int keep_start(Learned *l, const VllmStart *s, Err *err)
{
	if (l->n_starts >= STARTS_MAX)
		return 0;
	VllmStart *starts = reallocarray(l->starts, l->n_starts + 1, sizeof(*starts));
	if (!starts)
		return err_oom(err);
	l->starts = starts;
	VllmStart *own = &starts[l->n_starts];
	*own = *s;
	l->n_starts++;
	return vllm_key_copy(&s->key, &own->key) < 0 ? err_oom(err) : 0;
}

static int keep_fact(Learned *l, VllmFact *fact, Err *err)
{
	VllmFact *facts = reallocarray(l->all.vllm.items, l->all.vllm.n + 1, sizeof(*facts));
	if (!facts)
		return err_oom(err);
	facts[l->all.vllm.n++] = *fact;
	*fact = (VllmFact){0};
	l->all.vllm.items = facts;
	return 0;
}

static int say(const VllmFact *f, char **ret, Err *err)
{
	_cleanup_(str_done) Str b = STR_INIT;
	if (!ret)
		return 0;
	str_addf(&b, "%s takes ", f->key.model ? f->key.model : "the model");
	add_gib(&b, f->non_kv_bytes);
	str_add(&b, " before its KV cache");
	return str_take(&b, ret) < 0 ? err_oom(err) : 0;
}

/* All starts of one key together may say what one alone does not. */
static int calibrate(Learned *l, const VllmKey *key, VllmFact *ret, Err *err)
{
	_cleanup_free_ VllmStart *same = calloc(l->n_starts, sizeof(*same));
	size_t n = 0;
	int64_t total = l->all.total_bytes;
	if (!same)
		return err_oom(err);
	for (size_t i = 0; i < l->n_starts; i++)
		if (vllm_key_differences(&l->starts[i].key, key) == 0)
			same[n++] = l->starts[i];
	return footprint_calibrate(same, n, total, token_bytes_of(l, key), "a trial's start-up log",
				   ret, err);
}

int learned_start(Learned *l, const ServiceSpec *service, const json_t *params, const json_t *start,
		  char **ret_words, Err *err)
{
	_cleanup_(vllm_fact_done) VllmFact fact = {0};
	VllmAsk ask;
	Err why = ERR_INIT;
	json_auto_t *settings = service_settings(service, params);
	if (!settings)
		return err_oom(err);
	if (ask_read(service, settings, &ask, &why) < 0)
		return 0; /* the memory model cannot say anything of such a candidate either */
	VllmStart s = start_of(start, &ask);
	if (!says_something(&s) || is_known(l, &s.key))
		return 0;
	int r = keep_start(l, &s, err);
	if (r < 0)
		return r;
	r = calibrate(l, &s.key, &fact, &why);
	if (r == -ENOMEM)
		return err_oom(err);
	if (r < 0)
		return 0; /* not enough yet, or a contradiction: nothing is better than a guess */
	if (l->all.total_bytes == 0)
		l->all.total_bytes = s.total_bytes;
	r = say(&fact, ret_words, err);
	if (r >= 0)
		r = keep_fact(l, &fact, err);
	return r < 0 ? r : 1;
}
