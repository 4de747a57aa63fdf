#include "cli/calibrate.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/json.h"
#include "server/vllm_log.h"

typedef struct Logs {
	VllmLog log[OPT_STRINGS_MAX];
	VllmStart start[OPT_STRINGS_MAX]; /* borrowed from the logs */
	size_t n;
} Logs;

static void logs_done(Logs *l)
{
	for (size_t i = 0; i < l->n; i++)
		vllm_log_done(&l->log[i]);
}

/* "FILE@0.5" -> "FILE" and 0.5; a name that has no such end stays whole. New string. */
static char *split_share(const char *name, double *ret_share)
{
	const char *at = strrchr(name, '@');
	char *end = NULL;
	double share = at ? strtod(at + 1, &end) : 0;
	if (!at || end == at + 1 || *end != '\0' || !(share > 0 && share <= 1))
		return strdup(name);
	*ret_share = share;
	return strndup(name, (size_t)(at - name));
}

static bool says_nothing(const VllmLog *l)
{
	return l->end == VLLM_LOG_UNKNOWN && isnan(l->start.kv_gib) && l->start.kv_tokens == 0 &&
	       isnan(l->start.share);
}

/* `share`: what the command line says of it; 0: nothing. */
static int check_log(const char *path, const VllmLog *l, double share, Err *err)
{
	if (says_nothing(l))
		return err_set(err, -ENODATA,
			       "cannot learn from '%s': nothing in it is what vLLM writes when it "
			       "starts",
			       path);
	if (isnan(l->start.share) && !(share > 0))
		return err_set(err, -ENODATA,
			       "cannot learn from '%s': it does not say its "
			       "gpu_memory_utilization; append it, as in --from-log %s@0.50",
			       path, path);
	return 0;
}

static int read_log(const char *name, VllmLog *ret, Err *err)
{
	double share = 0;
	size_t len = 0;
	_cleanup_free_ char *path = split_share(name, &share);
	_cleanup_free_ char *text = NULL;
	int r = path ? file_read(path, VLLM_LOG_MAX, &text, &len, err) : err_oom(err);
	if (r >= 0)
		r = vllm_log_parse(text, len, ret, err);
	if (r < 0)
		return err_wrap(err, r, "cannot learn from %s", name);
	r = check_log(path, ret, share, err);
	if (r < 0)
		vllm_log_done(ret);
	else if (share > 0)
		ret->start.share = share;
	return r;
}

/* The experiment's first vLLM service, or NULL. */
static const ServiceSpec *vllm_service(const Experiment *x)
{
	const ServiceSpec *services = x->services.items;
	for (size_t i = 0; i < x->services.n; i++)
		if (services[i].kind && strcmp(services[i].kind, "vllm") == 0)
			return &services[i];
	return NULL;
}

static int fill_text(char **part, const char *known, Err *err)
{
	if (*part || !known)
		return 0;
	*part = strdup(known);
	return *part ? 0 : err_oom(err);
}

static void fill_count(int64_t *part, const json_t *settings, const char *name)
{
	if (*part == 0)
		*part = js_int(settings, name, 0);
}

/* What a log does not say about its configuration is what the service is configured with. */
static int fill_key(const ServiceSpec *s, VllmKey *key, Err *err)
{
	if (!s)
		return 0;
	if (!key->model) /* a log that repeats its settings names the model among them */
		key->enforce_eager = js_bool(s->settings, "enforce_eager", key->enforce_eager);
	int r = fill_text(&key->version, s->version, err);
	if (r >= 0)
		r = fill_text(&key->model, js_str(s->settings, "model", NULL), err);
	if (r >= 0)
		r = fill_text(&key->kv_cache_dtype, js_str(s->settings, "kv_cache_dtype", NULL),
			      err);
	fill_count(&key->max_model_len, s->settings, "max_model_len");
	fill_count(&key->max_num_seqs, s->settings, "max_num_seqs");
	fill_count(&key->max_num_batched_tokens, s->settings, "max_num_batched_tokens");
	return r;
}

static int read_logs(const Experiment *x, const OptStrings *names, Logs *logs, Err *err)
{
	for (size_t i = 0; i < names->n; i++) {
		int r = read_log(names->items[i], &logs->log[i], err);
		if (r < 0)
			return r;
		logs->n++;
		r = fill_key(vllm_service(x), &logs->log[i].start.key, err);
		if (r < 0)
			return r;
		logs->start[i] = logs->log[i].start;
	}
	return 0;
}

static int64_t declared_token_bytes(const Experiment *x, const VllmKey *key)
{
	const VllmFact *facts = x->memory ? x->memory->vllm.items : NULL;
	for (size_t i = 0; facts && i < x->memory->vllm.n; i++)
		if (key->model && facts[i].key.model && strcmp(key->model, facts[i].key.model) == 0)
			return facts[i].token_bytes;
	return 0;
}

/* The facts of the experiment with the new one in front: the first that fits is used. */
static int with_fact(const Experiment *x, const Logs *logs, Calibration *c, Err *err)
{
	size_t n = x->memory ? x->memory->vllm.n : 0;
	VllmFact *facts = calloc(n + 1, sizeof(*facts));
	if (!facts)
		return err_oom(err);
	facts[0] = c->fact;
	if (n > 0)
		memcpy(facts + 1, x->memory->vllm.items, n * sizeof(*facts));
	if (x->memory)
		c->memory = *x->memory;
	for (size_t i = 0; i < logs->n && c->memory.total_bytes == 0; i++)
		c->memory.total_bytes = logs->start[i].total_bytes;
	c->memory.vllm = (ConfList){facts, n + 1};
	return 0;
}

int calibrate_from_logs(const Experiment *x, const OptStrings *names, int64_t token_bytes,
			Calibration *ret, Err *err)
{
	_cleanup_free_ Logs *logs = calloc(1, sizeof(*logs));
	_cleanup_free_ char *source =
	    str_fmt("start-up log %s%s", names->items[0], names->n > 1 ? " and others" : "");
	if (!logs || !source)
		return err_oom(err);
	int r = read_logs(x, names, logs, err);
	if (r >= 0 && token_bytes == 0 && names->n == 1)
		token_bytes = declared_token_bytes(x, &logs->start[0].key);
	if (r >= 0)
		r = footprint_calibrate(logs->start, logs->n,
					x->memory ? x->memory->total_bytes : 0, token_bytes, source,
					&ret->fact, err);
	if (r >= 0)
		r = with_fact(x, logs, ret, err);
	logs_done(logs);
	return r;
}

void calibration_done(Calibration *c)
{
	free(c->memory.vllm.items);
	vllm_fact_done(&c->fact);
	*c = (Calibration){0};
}
