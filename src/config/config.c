/* The file as a whole: read once, filled by the tables, each experiment finished, then handed over
 * as a plan. */
#include "config/config.h"

#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/hash.h"
#include "base/json.h"
#include "config/draft.h"

static void draft_plan_done(DraftPlan *p)
{
	Draft *items = p->experiments.items;

	/* What no table knows of. */
	for (size_t i = 0; i < p->experiments.n; i++) {
		items[i].x.space = space_free(items[i].x.space);
		json_decref(items[i].x.source);
		json_decref(items[i].x.target_direction);
		json_decref(items[i].x.metric_map);
	}
	conf_done(&draft_plan_table, p);
}

/* --- Checks between experiments -------------------------------------------------------------- */

static void check_file(const DraftPlan *p, const ConfNode *root, Diags *d)
{
	const ConfNode *list = conf_get(root, "experiments");

	if (p->version != 1 && conf_get(root, "version"))
		conf_fault(conf_get(root, "version"), d, "version: 1",
			   "this program does not know layout version %lld of this file",
			   (long long)p->version);
	if (list && conf_kind(list) == CONF_SEQ && conf_len(list) == 0)
		conf_fault(list, d, "at least one experiment", "there is no experiment");
}

static const char *name_of(const ConfNode *list, size_t i)
{
	const ConfNode *name = conf_get(conf_at(list, i), "name");

	return name ? conf_text(name) : NULL;
}

static void check_duplicates(const ConfNode *list, Diags *d)
{
	for (size_t i = 0; i < conf_len(list); i++) {
		const char *name = name_of(list, i);
		for (size_t j = 0; name && j < i; j++) {
			const char *before = name_of(list, j);
			if (!before || strcmp(before, name) != 0)
				continue;
			conf_fault(conf_get(conf_at(list, i), "name"), d, "a name of its own",
				   "another experiment is called '%.60s' already", name);
			break;
		}
	}
}

/* --- Loading --------------------------------------------------------------------------------- */

static int finish_all(DraftPlan *draft, const ConfNode *list, const char *dir, DiagLevel missing,
		      Diags *d, Err *err)
{
	Draft *items = draft->experiments.items;
	size_t k = 0;

	/* Entries that are no maps were reported and left out. */
	for (size_t i = 0; i < conf_len(list) && k < draft->experiments.n; i++) {
		if (conf_kind(conf_at(list, i)) != CONF_MAP)
			continue;
		int r = draft_finish(&items[k++], conf_at(list, i), dir, missing, d, err);
		if (r < 0)
			return r;
	}
	return 0;
}

static void take_run(DraftRun *from, RunConfig *to)
{
	*to = from->run;
	from->run = (RunConfig){0};
	to->seed = (uint64_t)from->seed;
	to->max_parallel = from->scheduling.max_parallel;
	to->backoff_on_failure_us = from->scheduling.backoff_on_failure_us;
}

static int take_experiments(DraftPlan *from, Plan *to)
{
	Draft *items = from->experiments.items;

	to->experiments = calloc(from->experiments.n + 1, sizeof(*to->experiments));
	if (!to->experiments)
		return -ENOMEM;
	for (size_t i = 0; i < from->experiments.n; i++) {
		to->experiments[i] = items[i].x;
		items[i].x = (Experiment){0};
	}
	to->n_experiments = from->experiments.n;
	return 0;
}

static int fill(Plan *p, DraftPlan *draft, DiagLevel missing, Diags *d, Err *err)
{
	const ConfNode *root = conf_root(p->doc);
	const ConfNode *list;
	int r = conf_fill(&draft_plan_table, root, draft, d);

	if (r < 0)
		return err_wrap(err, r, "cannot read %s", p->path);
	check_file(draft, root, d);
	list = conf_get(root, "experiments");
	if (!list || conf_kind(list) != CONF_SEQ)
		return 0;
	check_duplicates(list, d);
	return finish_all(draft, list, p->dir, missing, d, err);
}

static int otherwise_in(const ConfNode *run, const char *key, const char *path, char **at)
{
	const ConfNode *given = conf_get(run, key);
	if (given && !conf_is_null(given))
		return 0;
	free(*at);
	*at = strdup(path);
	return *at ? 0 : -ENOMEM;
}

/* The machine's own configuration means the daemon's places, whoever reads it: root must not keep
 * a second store at home. */
static int machine_places(Plan *p)
{
	const ConfNode *run = conf_get(conf_root(p->doc), "run");
	if (strcmp(p->dir, CONFIG_MACHINE_DIR) != 0)
		return 0;
	int r = otherwise_in(run, "store", "/var/lib/dream/dream.db", &p->run.store);
	if (r == 0)
		r = otherwise_in(run, "artifact_root", "/var/lib/dream/artifacts",
				 &p->run.artifact_root);
	return r < 0 ? r : otherwise_in(run, "logdir", "/var/log/dream", &p->run.logdir);
}

int config_load_text(const char *path, const char *text, size_t len, DiagLevel missing, Plan **ret,
		     Diags *d, Err *err)
{
	_cleanup_(draft_plan_done) DraftPlan draft = {0};
	_cleanup_(config_freep) Plan *p = calloc(1, sizeof(*p));
	int r;

	if (!p)
		return err_oom(err);
	p->path = strdup(path);
	p->dir = path_dir(path);
	if (!p->path || !p->dir)
		return err_oom(err);
	Hash h = hash_of(text, len);
	hash_hex(&h, p->sha256);
	r = conf_read_text(path, text, len, &p->doc, d, err);
	if (r == 0)
		r = fill(p, &draft, missing, d, err);
	diags_sort(d);
	if (r < 0)
		return r;
	if (d->errors > 0)
		return err_set(err, -EBADMSG, "%s has %zu mistake%s", path, d->errors,
			       d->errors == 1 ? "" : "s");
	p->version = draft.version;
	take_run(&draft.run, &p->run);
	if (machine_places(p) < 0)
		return err_oom(err);
	p->daemon = draft.daemon;
	draft.daemon = (DaemonConfig){0};
	if (take_experiments(&draft, p) < 0)
		return err_oom(err);
	*ret = TAKE_PTR(p);
	return 0;
}

int config_load(const char *path, DiagLevel missing, Plan **ret, Diags *d, Err *err)
{
	_cleanup_free_ char *text = NULL;
	size_t len;
	int r = file_read(path, CONF_FILE_MAX, &text, &len, err);

	if (r < 0)
		return err_wrap(err, r, "cannot read the configuration");
	return config_load_text(path, text, len, missing, ret, d, err);
}

/* --- The plan -------------------------------------------------------------------------------- */

/* The tables free what they filled: the parts go back to where they were read. */
static void experiment_done(Experiment *x)
{
	Draft back = {.x = *x};

	space_free(x->space);
	json_decref(x->source);
	json_decref(x->target_direction);
	json_decref(x->metric_map);
	conf_done(&draft_table, &back);
}

Plan *config_free(Plan *p)
{
	if (!p)
		return NULL;
	DraftPlan back = {.run.run = p->run, .daemon = p->daemon};
	for (size_t i = 0; i < p->n_experiments; i++)
		experiment_done(&p->experiments[i]);
	free(p->experiments);
	conf_done(&draft_plan_table, &back);
	conf_free(p->doc);
	free(p->path);
	free(p->dir);
	free(p);
	return NULL;
}

const Experiment *config_experiment(const Plan *p, const char *name)
{
	for (size_t i = 0; i < p->n_experiments; i++)
		if (strcmp(p->experiments[i].name, name) == 0)
			return &p->experiments[i];
	return NULL;
}

json_t *config_schema(void)
{
	json_t *o = conf_schema(&draft_plan_table);
	bool failed = !o;

	js_set(o, "$schema", json_string("https://json-schema.org/draft/2020-12/schema"), &failed);
	js_set(o, "title", json_string("dream.yaml"), &failed);
	if (!failed)
		return o;
	json_decref(o);
	return NULL;
}

int config_state_dir(char **ret, Err *err)
{
	const char *state = getenv("XDG_STATE_HOME"), *home = getenv("HOME");
	char *dir;

	/* The rule of the XDG specification: a relative path counts as not set. */
	if (state && state[0] == '/')
		dir = path_join(state, "dream");
	else if (home && home[0] == '/')
		dir = path_join(home, ".local/state/dream");
	else
		return err_set(err, -ENOENT,
			       "cannot tell where to keep data: neither XDG_STATE_HOME nor HOME is "
			       "set to an absolute path");
	if (!dir)
		return err_oom(err);
	*ret = dir;
	return 0;
}

bool rollout_asks_stage(const RolloutConfig *c, const char *stage)
{
	for (size_t i = 0; i < c->stages.n; i++)
		if (strcmp(c->stages.items[i], stage) == 0)
			return true;
	return false;
}

const ServiceSpec *experiment_service(const Experiment *x, const char *unit)
{
	const ServiceSpec *s = x->services.items;
	for (size_t i = 0; i < x->services.n; i++)
		if ((s[i].unit && strcmp(s[i].unit, unit) == 0) ||
		    (s[i].from_unit && strcmp(s[i].from_unit, unit) == 0))
			return &s[i];
	return NULL;
}
