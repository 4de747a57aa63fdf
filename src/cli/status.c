/* dream status: what production runs, what is going on, what waits for whom. */
#include "daemon/status.h"

#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/json.h"
#include "cli/daemon_ask.h"
#include "cli/internal.h"
#include "cli/status_view.h"
#include "helper/wire.h"

typedef struct Options {
	const char *config, *socket;
	bool json, follow;
} Options;

enum {
	HELPER_WAIT_US = 5000000,
};

/* --- Without the daemon
 * --------------------------------------------------------------------------- */

static int ask_helper(json_t **ret, Err *err)
{
	_cleanup_free_ char *program = NULL;
	_cleanup_(helper_closep) Helper *h = NULL;
	sd_event *loop = NULL;
	int r = helper_program(&program, err);
	const HelperAddress a = {.program = program};
	if (r == 0 && sd_event_new(&loop) < 0)
		r = err_oom(err);
	if (r == 0)
		r = helper_connect(loop, &a, &h, err);
	if (r == 0)
		r = helper_ask(h, json_pack("{s:s}", "do", "status"), HELPER_WAIT_US, ret, err);
	h = helper_close(h);
	sd_event_unref(loop);
	return r;
}

/* From the store and the helper; what neither says stays unsaid. */
static int look_alone(const Options *o, const Err *why, json_t **ret)
{
	_cleanup_(config_freep) Plan *plan = NULL;
	_cleanup_(store_closep) Store *store = NULL;
	_cleanup_free_ char *path = NULL;
	json_auto_t *helper = NULL;
	bool failed = false;
	Err err = ERR_INIT;
	/* A configuration with mistakes, which were just said, is no reason to say nothing. */
	bool no_plan = (o->config || cli_has_config()) && cli_open(o->config, &plan) != 0;
	int r = cli_store_path(plan, &path);
	if (r)
		return r;
	bool unread = no_plan || cli_store(plan, STORE_READ, &store) != 0;
	_cleanup_free_ char *dir = path_dir(path);
	if (!dir)
		return cli_oom();
	int asked = ask_helper(&helper, &err);
	const StatusSource source = {
	    .plan = plan,
	    .store = store,
	    .state_dir = dir,
	    .pinned_key_hex = plan ? plan->run.pinned_key : NULL,
	    .helper = helper,
	    .now_us = clock_now_us(&clock_system),
	};
	json_t *s = status_json(&source), *d = json_object();
	/* Whoever may not ask cannot tell. */
	js_set(d, "running", why->code == -EACCES ? json_null() : json_false(), &failed);
	js_set(d, "why", js_text(why->msg), &failed);
	js_set(s, "daemon", d, &failed);
	if (unread)
		js_set(json_object_get(s, "production"), "version", json_null(), &failed);
	if (unread)
		failed |= json_array_append_new(
			      json_object_get(s, "problems"),
			      js_text(no_plan ? "the configuration could not be read, so "
						"it is not known which store is meant"
					      : "the store could not be read")) < 0;
	if (asked < 0)
		failed |=
		    json_array_append_new(json_object_get(s, "problems"), js_text(err.msg)) < 0;
	*ret = s;
	return failed || !s ? cli_oom() : 0;
}

/* --- One look
 * ------------------------------------------------------------------------------------- */

static int print_status(const Options *o, json_t *status)
{
	_cleanup_(str_done) Str text = STR_INIT;
	if (o->json)
		return cli_print_json(status);
	status_text(status, clock_now_us(&clock_system), cli_width(), &text);
	json_decref(status);
	return text.failed ? cli_oom() : cli_print(text.s ? text.s : "");
}

static int look(const Options *o)
{
	json_t *status = NULL;
	Err err = ERR_INIT;
	int r = cli_ask_daemon(o->socket, json_pack("{s:s}", "do", "status"), &status, &err);
	if (cli_no_daemon(r) || r == -EACCES || r == -ETIMEDOUT) {
		r = look_alone(o, &err, &status);
		return r ? r : print_status(o, status);
	}
	if (r < 0)
		return cli_fail(EXIT_FAILED, &err);
	(void)json_object_del(status, "ok");
	return print_status(o, status);
}

/* --- Following
 * ------------------------------------------------------------------------------------ */

static int on_event(void *ctx, const json_t *event)
{
	const Options *o = ctx;
	_cleanup_(str_done) Str text = STR_INIT;
	if (o->json) {
		js_canonical(event, &text);
		str_addc(&text, '\n');
	} else {
		status_event_text(event, &text);
	}
	return cli_print(text.failed ? NULL : text.s) == EXIT_DONE ? 0 : 1;
}

static int follow(const Options *o)
{
	_cleanup_free_ char *path = NULL;
	Err err = ERR_INIT;
	int r = look(o);
	if (r)
		return r;
	r = cli_find_daemon(o->socket, &path, &err);
	if (r == 0)
		r = control_follow(path, on_event, (void *)(uintptr_t)o, &err);
	return r < 0 ? cli_fail(EXIT_FAILED, &err) : EXIT_FAILED;
}

static int run(const void *options, int argc, char **argv)
{
	const Options *o = options;
	(void)argc;
	(void)argv;
	return o->follow ? follow(o) : look(o);
}

#define AT(member) offsetof(Options, member)
static const Option rows[] = {
    OPTION_CONFIG("the configuration that names the store, for when the daemon is down"),
    OPTION_SOCKET,
    OPTION_JSON("print JSON (dream.status/v1)"),
    {"follow", 'f', NULL, OPT_FLAG, AT(follow), .help = "then say what happens, until Ctrl-C"},
    {0},
};
#undef AT

const Command cmd_status = {
    .name = "status",
    .args = "",
    .summary = "show what production runs, what is going on, and what waits for you",
    .about =
	"One screen: the version of the baseline that production runs and since when, whether the "
	"running processes agree with it, the rollout that is going on and what happens next, "
	"promotions that wait for an approval, scheduled runs, who paused the daemon and why, and "
	"what people were told lately.\n\n"
	"Asks the daemon. When it is down, says so, and shows what the store and the helper know.",
    .options = rows,
    .options_size = sizeof(Options),
    .run = run,
};
