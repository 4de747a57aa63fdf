#include "cli/decide.h"

#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/json.h"
#include "cli/daemon_ask.h"
#include "helper/wire.h"
#include "rollout/others.h"

enum {
	HELPER_WAIT_US = 20000000,
};

/* --- Opening --------------------------------------------------------------------------------- */

/* A verb that only looks makes no key, and does without one that it may not read. */
static int find_key(Decider *d)
{
	_cleanup_free_ char *store = NULL, *dir = NULL, *beside = NULL;
	int r = cli_store_path(d->plan, &store);
	if (r)
		return r;
	dir = path_dir(store);
	beside = dir ? path_join(dir, "dream.key") : NULL;
	if (!beside)
		return cli_oom();
	const char *path = d->plan->run.key ? d->plan->run.key : beside;
	if (access(path, R_OK) == 0 && sign_key_load(path, &d->key, NULL) < 0)
		d->key = NULL;
	return 0;
}

static int gather_keys(Decider *d)
{
	const ConfStrings *trusted = &d->plan->daemon.trusted_keys;
	size_t n = 0;
	if (d->key)
		sign_public_hex(d->key, d->public);
	d->pinned = d->plan->run.pinned_key ? d->plan->run.pinned_key
		    : *d->public	    ? d->public
					    : NULL;
	d->keys = calloc(trusted->n + 3, sizeof(*d->keys));
	if (!d->keys)
		return cli_oom();
	d->keys[n++] = d->public;
	if (d->plan->run.pinned_key)
		d->keys[n++] = d->plan->run.pinned_key;
	for (size_t i = 0; i < trusted->n; i++)
		d->keys[n++] = trusted->items[i];
	return 0;
}

/* What another key than the pinned one signs counts for nobody: better said than done in vain. */
static int check_key(const Decider *d)
{
	const char *pinned = d->plan->run.pinned_key;
	if (!pinned || strcmp(pinned, d->public) == 0)
		return 0;
	return cli_failf(EXIT_FAILED,
			 "the configuration pins the key %s, and ours is %s: nothing that we sign "
			 "would count (run.pinned_key, run.key)",
			 pinned, d->public);
}

static int open_rest(StoreMode mode, Decider *d)
{
	int r = cli_store(d->plan, mode, &d->store);
	if (r == 0)
		r = mode == STORE_WRITE ? cli_key(d->plan, &d->key) : find_key(d);
	if (r == 0)
		r = gather_keys(d);
	if (r == 0 && mode == STORE_WRITE)
		r = check_key(d);
	if (r)
		return r;
	Err err = ERR_INIT;
	if (productionplaces_here(&d->places, &err) < 0)
		return cli_fail(EXIT_FAILED, &err);
	if (adoption_load_all(&d->places, &d->units, &d->n_units, &d->units_fault) < 0) {
		d->units = NULL;
		d->n_units = 0;
	}
	return 0;
}

int decider_open(const char *config, StoreMode mode, Decider *d)
{
	*d = (Decider){0};
	int r = cli_open(config, &d->plan);
	return r ? r : open_rest(mode, d);
}

int decider_open_or_ask(const char *config, json_t *request, Decider *d, json_t **ret_view)
{
	*d = (Decider){0};
	*ret_view = NULL;
	int r = cli_open(config, &d->plan);
	if (r) {
		json_decref(request);
		return r;
	}
	r = cli_ask_instead(d->plan, NULL, request, ret_view);
	return r || *ret_view ? r : open_rest(STORE_READ, d);
}

/* Whoever looks first where units are adopted takes down what runs as the first version: for that
 * the store is made. */
int decider_make_store(const char *config, Decider *d)
{
	if (d->store || d->n_units == 0)
		return 0;
	decider_done(d);
	return decider_open(config, STORE_WRITE, d);
}

void decider_done(Decider *d)
{
	adoption_free_all(d->units, d->n_units);
	productionplaces_done(&d->places);
	free(d->keys);
	sign_key_free(d->key);
	store_close(d->store);
	config_free(d->plan);
}

void decider_who(const char *reason, Approver *ret)
{
	const struct passwd *p = getpwuid(getuid());
	*ret = (Approver){.uid = getuid()};
	if (p)
		(void)snprintf(ret->name, sizeof(ret->name), "%.60s", p->pw_name);
	else
		(void)snprintf(ret->name, sizeof(ret->name), "uid %u", (unsigned)ret->uid);
	(void)snprintf(ret->reason, sizeof(ret->reason), "%.230s", reason ? reason : "");
}

/* --- Production ------------------------------------------------------------------------------ */

/* Who may do it all starts the helper beside itself; others ask the one that the system runs. */
static int connect_helper(const Decider *d, sd_event *loop, Helper **ret, Err *err)
{
	_cleanup_free_ char *program = NULL;
	HelperAddress a = {.socket = NULL};
	if (d->places.user || geteuid() == 0) {
		int r = helper_program(&program, err);
		if (r < 0)
			return r;
		a.program = program;
	}
	return helper_connect(loop, &a, ret, err);
}

int decider_ask_helper(const Decider *d, const char *what, const char *unit, json_t **ret, Err *err)
{
	_cleanup_(helper_closep) Helper *helper = NULL;
	sd_event *loop = NULL;
	bool failed = false;
	int r = sd_event_new(&loop);
	if (r < 0)
		return err_set(err, r, "cannot make an event loop: %s", strerror(-r));
	r = connect_helper(d, loop, &helper, err);
	json_t *request = r < 0 ? NULL : json_object();
	js_set(request, "do", js_text(what), &failed);
	if (unit)
		js_set(request, "unit", js_text(unit), &failed);
	if (r >= 0 && (!request || failed))
		r = err_oom(err);
	if (r < 0)
		json_decref(request);
	else
		r = helper_ask(helper, request, HELPER_WAIT_US, ret, err);
	helper = helper_close(helper);
	sd_event_unref(loop);
	return r;
}

int decider_baseline(const Decider *d, Baseline *ret, Err *err)
{
	json_auto_t *status = NULL;
	Approver by;
	*ret = (Baseline){0};
	if (!d->store)
		return 0;
	int r = baseline_current(d->store, d->pinned, ret, err);
	if (r < 0 || ret->version > 0 || !d->key || d->n_units == 0)
		return r;
	r = decider_ask_helper(d, "status", NULL, &status, err);
	if (r < 0)
		return err_wrap(err, r, "cannot see what production runs");
	decider_who(NULL, &by);
	r = baseline_ensure(d->store, d->key, d->pinned, status, by.name, ret, err);
	return r == -EROFS ? 0 : r;
}

int decider_no_baseline(const Decider *d)
{
	if (d->units_fault.code < 0)
		return cli_failf(EXIT_FAILED,
				 "there is no baseline, and it is not known what is adopted: %s",
				 d->units_fault.msg);
	bool unseen = !d->keys; /* the daemon was asked: nothing but the plan is open here */
	return cli_failf(EXIT_FAILED, d->n_units || unseen
					  ? "there is no baseline yet"
					  : "there is no baseline: nothing is adopted yet "
					    "('dream adopt')");
}

const Experiment *decider_experiment(const Decider *d, const json_t *promotion)
{
	return config_experiment(d->plan, js_str(promotion, "experiment", ""));
}

static ValidateInput validate_input(const Decider *d, const json_t *promotion, const Baseline *b)
{
	const Experiment *x = decider_experiment(d, promotion);
	return (ValidateInput){.promotion = promotion,
			       .x = x,
			       .baseline = b,
			       .units = d->units,
			       .n_units = d->n_units,
			       .keys = d->keys,
			       .store = d->store,
			       .memory = x && x->rollout.memory_model ? x->memory : NULL,
			       .others_bytes = x ? others_bytes(x, d->units, d->n_units) : -1,
			       .now_us = clock_now_us(&clock_system),
			       .max_age_us = x ? x->rollout.max_age_us : INT64_MAX};
}

int decider_validate(const Decider *d, const json_t *promotion, const Baseline *b, Validation *ret,
		     Err *err)
{
	const ValidateInput in = validate_input(d, promotion, b);
	return promotion_validate(&in, ret, err);
}

ViewSource decider_source(const Decider *d)
{
	return (ViewSource){
	    .store = d->store, .pinned_key_hex = d->pinned, .now_us = clock_now_us(&clock_system)};
}

int decider_view(const Decider *d, const json_t *promotion, json_t **ret, Err *err)
{
	const ViewSource s = decider_source(d);
	const ValidateInput in = validate_input(d, promotion, NULL);
	return promotion_view(&s, &in, d->public, d->units_fault.msg, ret, err);
}
