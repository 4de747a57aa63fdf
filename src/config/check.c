/* What needs a whole experiment to be seen: names that must be names of something, and numbers that
 * must add up. */
#include <string.h>

#include "config/draft.h"

enum {
	EXPERIMENT_NAME_MAX = 64,
	SETTINGS_MAX = 16
};

static const ConfNode *place(const ConfNode *n, const char *key)
{
	const ConfNode *at = conf_get(n, key);

	return at ? at : n;
}

/* --- Names ----------------------------------------------------------------------------------- */

/* It becomes part of file names. */
static void check_name(const Experiment *x, const ConfNode *at, Diags *d)
{
	static const char allowed[] =
	    "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-";

	if (!x->name)
		return;
	size_t n = strlen(x->name);
	if (n == 0 || n > EXPERIMENT_NAME_MAX || strspn(x->name, allowed) != n ||
	    x->name[0] == '.' || x->name[0] == '-')
		conf_fault(place(at, "name"), d,
			   "1 to 64 letters, digits, '_', '-' and '.', not beginning with '-' or "
			   "'.'",
			   "an experiment cannot be called '%.80s'", x->name);
}

/* Reports a name that is no parameter of the space, with the nearest or all that are. */
static void check_param(const Experiment *x, const ConfNode *at, const char *name, const char *who,
			Diags *d)
{
	_cleanup_(str_done) Str accept = STR_INIT;
	const char *names[SPACE_DIMS_MAX + 1] = {0};

	if (!x->space || space_dim(x->space, name) >= 0)
		return;
	for (size_t i = 0; i < space_dims(x->space); i++)
		names[i] = space_name(x->space, i);
	const char *near = conf_nearest(name, names);
	if (near)
		str_addf(&accept, "did you mean %s?", near);
	for (size_t i = 0; !near && names[i]; i++)
		str_addf(&accept, "%s%s", i > 0 ? ", " : "", names[i]);
	conf_fault(at, d, accept.s, "%s names %.80s, which is no parameter of the search space",
		   who, name);
}

static void check_apply(const Experiment *x, const ConfNode *at, Diags *d)
{
	const ConfNode *map = conf_get(at, "apply");

	for (size_t i = 0; map && conf_kind(map) == CONF_MAP && i < conf_len(map); i++)
		check_param(x, conf_key_node(map, i), conf_key(map, i), "apply", d);
}

/* --- Services -------------------------------------------------------------------------------- */

typedef struct ServiceKind {
	const char *name;
	const char *settings[SETTINGS_MAX]; /* those that the rest of the program knows */
} ServiceKind;

static const ServiceKind service_kinds[] = {
    {"vllm",
     {"model", "gpu_memory_utilization", "max_model_len", "max_num_seqs", "max_num_batched_tokens",
      "kv_cache_dtype", "enforce_eager", NULL}},
    {"whisper", {"model_size", "beam_size", "engine", NULL}},
    {"process", {"gpu_memory_bytes", NULL}},
};

static const ServiceKind *find_kind(const char *name)
{
	for (size_t i = 0; i < sizeof(service_kinds) / sizeof(service_kinds[0]); i++)
		if (strcmp(service_kinds[i].name, name) == 0)
			return &service_kinds[i];
	return NULL;
}

/* A server has more flags than we know; only what looks like a misspelt one is worth a word. */
static void check_setting(const ServiceKind *k, const ConfNode *at, const char *setting, Diags *d)
{
	for (size_t i = 0; k->settings[i]; i++)
		if (strcmp(k->settings[i], setting) == 0)
			return;
	if (strchr(setting, '-'))
		return; /* no name of a setting at all: reported already */
	const char *near = conf_nearest(setting, k->settings);
	if (near)
		conf_warn(at, d, near, "%s is no setting of %s that is known here", setting,
			  k->name);
}

static void check_params(const Experiment *x, const ServiceSpec *s, const ServiceKind *k,
			 const ConfNode *map, Diags *d)
{
	for (size_t i = 0; map && conf_kind(map) == CONF_MAP && i < conf_len(map); i++) {
		const char *setting = conf_text(conf_at(map, i));
		check_param(x, conf_key_node(map, i), conf_key(map, i), s->name, d);
		if (!setting)
			continue;
		if (k)
			check_setting(k, conf_at(map, i), setting, d);
		for (size_t j = 0; j < i; j++) {
			const char *before = conf_text(conf_at(map, j));
			if (before && strcmp(before, setting) == 0)
				conf_fault(conf_at(map, i), d, "one parameter for each setting",
					   "%s and %s both set %s of %s", conf_key(map, j),
					   conf_key(map, i), setting, s->name);
		}
	}
}

static void check_service(const Experiment *x, const ServiceSpec *s, const ConfNode *at, Diags *d)
{
	const ServiceKind *k = s->kind ? find_kind(s->kind) : NULL;
	const ConfNode *settings = conf_get(at, "settings");

	if (s->kind && !k)
		conf_fault(place(at, "kind"), d, "vllm, whisper, process",
			   "there is no kind of service '%.60s'", s->kind);
	for (size_t i = 0;
	     k && settings && conf_kind(settings) == CONF_MAP && i < conf_len(settings); i++)
		check_setting(k, conf_key_node(settings, i), conf_key(settings, i), d);
	check_params(x, s, k, conf_get(at, "params"), d);
}

static bool reaches_any(const ConfList *services, const char *param)
{
	const ServiceSpec *s = services->items;

	for (size_t i = 0; i < services->n; i++)
		if (json_object_get(s[i].params, param))
			return true;
	return false;
}

static void check_services(const Experiment *x, const ConfNode *at, Diags *d)
{
	const ConfNode *map = conf_get(at, "services");
	const ServiceSpec *s = x->services.items;
	size_t errors = d->errors;

	for (size_t i = 0; i < x->services.n; i++)
		if (s[i].name && conf_get(map, s[i].name))
			check_service(x, &s[i], conf_get(map, s[i].name), d);
	/* Beside a misspelt name this would only say the same again. */
	if (x->services.n == 0 || !x->space || d->errors > errors)
		return;
	for (size_t i = 0; i < space_dims(x->space); i++)
		if (!reaches_any(&x->services, space_name(x->space, i)))
			conf_warn(map, d, "an entry under a service's params",
				  "the parameter %s reaches no service", space_name(x->space, i));
}

/* --- Goals ----------------------------------------------------------------------------------- */

static void check_weights(const Experiment *x, const ConfNode *map, Diags *d)
{
	const Objective *o = x->goals.objectives.items;
	double sum = 0;
	bool any = false;

	for (size_t i = 0; i < x->goals.objectives.n; i++) {
		sum += o[i].weight;
		any |= o[i].name && conf_get(conf_get(map, o[i].name), "weight");
	}
	if (x->goals.objectives.n == 0 || !(sum > 0)) {
		conf_fault(
		    map, d, "at least one objective with a weight above 0", "nothing is wanted: %s",
		    x->goals.objectives.n == 0 ? "objectives is empty" : "every weight is 0");
		return;
	}
	for (size_t i = 0; any && i < x->goals.objectives.n; i++)
		if (o[i].name && !conf_get(conf_get(map, o[i].name), "weight"))
			conf_fault(conf_get(map, o[i].name), d,
				   "a weight for every objective, or for none",
				   "the objective %s has no weight, but others have", o[i].name);
}

/* A direction that contradicts the objective is a mistake in one of the two. */
static void check_directions(const Experiment *x, const ConfNode *map, Diags *d)
{
	const Objective *o = x->goals.objectives.items;

	for (size_t i = 0; i < x->goals.objectives.n && map; i++) {
		const ConfNode *n = o[i].name ? conf_get(map, o[i].name) : NULL;
		const char *way = n ? conf_text(n) : NULL;
		if (!way)
			continue;
		bool up = strcmp(way, "up") == 0, down = strcmp(way, "down") == 0;
		if ((up && o[i].goal == GOAL_MINIMIZE) || (down && o[i].goal == GOAL_MAXIMIZE))
			conf_fault(conf_get(map, o[i].name), d, up ? "down" : "up",
				   "%s is to go %s here, but the objectives want it %s", o[i].name,
				   way, up ? "low" : "high");
	}
}

/* An experiment of other metrics that relies on the seeds' five would score nothing at all. */
static void check_default_goals(const Experiment *x, const ConfNode *at, Diags *d)
{
	const ConfNode *map = conf_get(conf_get(at, "metrics"), "target_direction");
	const Objective *o = x->goals.objectives.items;

	if (!map || conf_kind(map) != CONF_MAP || conf_len(map) == 0 || !x->enabled)
		return;
	for (size_t i = 0; i < x->goals.objectives.n; i++)
		if (conf_get(map, o[i].name))
			return;
	conf_warn(map, d, "objectives for the metrics of this experiment",
		  "none of these metrics is an objective: the default five are about a GPU box");
}

static void check_goals(const Experiment *x, const ConfNode *at, Diags *d)
{
	const ConfNode *own = conf_get(at, "objectives");

	if (own && conf_kind(own) == CONF_MAP)
		check_weights(x, own, d);
	else if (!own && !conf_get(at, "scenario"))
		check_default_goals(x, at, d);
	check_directions(x, conf_get(conf_get(at, "metrics"), "target_direction"), d);
}

/* --- Numbers --------------------------------------------------------------------------------- */

static void check_workloads(const Experiment *x, const ConfNode *at, Diags *d)
{
	const ConfNode *map = conf_get(at, "workloads");
	const Workload *w = x->workloads.items;
	bool bursty = false;

	for (size_t i = 0; i < x->workloads.n; i++)
		bursty |= workload_is_bursty(&w[i]);
	if (!map || conf_kind(map) != CONF_MAP || !x->baseline)
		return;
	if (x->workloads.n < 2)
		conf_fault(map, d, "a second, bursty workload, or none for steady and bursty",
			   "a confirmation needs at least two workloads");
	else if (!bursty)
		conf_fault(map, d, "arrivals: gamma with a cv above 1 in one of them",
			   "a confirmation needs a bursty workload");
}

static void check_selector(const Experiment *x, const ConfNode *at, Diags *d)
{
	const SelectorConfig *s = &x->selector;
	const ConfNode *selector = conf_get(at, "selector");

	if (!selector)
		selector = conf_get(at, "rzero");
	if (x->budget.max_candidates > 0 && s->elitism + s->fresh_inject > x->budget.max_candidates)
		conf_fault(selector ? selector : place(at, "budget"), d,
			   "elitism and fresh_inject of at most max_candidates together",
			   "a generation of %lld has no room for %lld kept and %lld new candidates",
			   (long long)x->budget.max_candidates, (long long)s->elitism,
			   (long long)s->fresh_inject);
}

void check_experiment(const Experiment *x, const ConfNode *at, Diags *d)
{
	check_name(x, at, d);
	check_services(x, at, d);
	check_apply(x, at, d);
	check_goals(x, at, d);
	check_workloads(x, at, d);
	check_selector(x, at, d);
}
