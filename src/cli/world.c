/* What the verbs that change production work with. */
#include "cli/world.h"

#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "cli/daemon_ask.h"
#include "cli/internal.h"
#include "rollout/turn.h"
#include "worker/worker.h"

static int state_dir(const Plan *plan, char **ret, Err *err)
{
	const AllocationSpec none = {0};
	const AllocationSpec *a =
	    plan->n_experiments > 0 ? &plan->experiments[0].evaluator.allocation : &none;
	return worker_state_dir(a, plan->dir, ret, err);
}

static int open_helper(World *w, Err *err)
{
	_cleanup_free_ char *program = NULL;
	HelperAddress a = {.socket = NULL};
	/* Whoever may do it all needs nobody to ask; others ask the one that the system runs. */
	if (w->places.user || geteuid() == 0) {
		int r = helper_program(&program, err);
		if (r < 0)
			return r;
		a.program = program;
	}
	return helper_connect(w->loop, &a, &w->helper, err);
}

/* What does for looking. */
static int open_production(World *w, Err *err)
{
	int r = sd_event_new(&w->loop);
	if (r < 0)
		return err_set(err, r, "cannot make an event loop");
	r = productionplaces_here(&w->places, err);
	return r < 0 ? r : open_helper(w, err);
}

static int open_rest(World *w, Err *err)
{
	_cleanup_free_ char *history = NULL;
	_cleanup_free_ const char **hook = NULL;
	const ConfStrings *words = &w->plan->daemon.hook;
	int r = open_production(w, err);
	if (r >= 0)
		r = state_dir(w->plan, &w->state_dir, err);
	if (r >= 0)
		r = dir_make(w->state_dir, 0700, err);
	if (r >= 0)
		r = systemd_open(w->loop, w->places.user, &w->systemd, err);
	if (r >= 0)
		r = httploop_new(w->loop, &w->http, err);
	if (r < 0)
		return r;
	history = path_join(w->state_dir, "history");
	hook = calloc(words->n + 1, sizeof(*hook));
	if (!history || !hook)
		return err_oom(err);
	memcpy(hook, words->items, words->n * sizeof(*hook));
	r = history_open(history, &clock_system, &w->history, err);
	if (r >= 0)
		r = alerts_new(w->loop, words->n > 0 ? hook : NULL, &clock_system, &w->alerts, err);
	return r;
}

static int find_store_dir(World *w)
{
	_cleanup_free_ char *path = NULL;
	int r = cli_store_path(w->plan, &path);
	if (r == 0)
		w->store_dir = path_dir(path);
	return r == 0 && !w->store_dir ? cli_oom() : r;
}

int world_open(const char *config, World *w)
{
	Err err = ERR_INIT;
	*w = (World){.turn_fd = -1};
	int r = cli_open(config, &w->plan);
	if (r == 0)
		r = find_store_dir(w);
	if (r == 0)
		r = cli_store(w->plan, STORE_WRITE, &w->store);
	if (r == 0)
		r = cli_key(w->plan, &w->key);
	if (r != 0)
		return r;
	return open_rest(w, &err) < 0 ? cli_fail(EXIT_FAILED, &err) : 0;
}

/* Without a store there is no promotion that could be looked at, without a key none that it signed.
 */
static int look_here(World *w)
{
	_cleanup_free_ char *key = NULL;
	Err err = ERR_INIT;
	int r = cli_store(w->plan, STORE_READ, &w->store);
	if (r == 0)
		r = cli_key_path(w->plan, &key);
	if (r == 0 && (!w->store || (access(key, F_OK) < 0 && errno == ENOENT)))
		return cli_nothing_yet(EXIT_FAILED);
	if (r == 0)
		r = cli_key(w->plan, &w->key);
	if (r != 0)
		return r;
	return open_production(w, &err) < 0 ? cli_fail(EXIT_FAILED, &err) : 0;
}

int world_look(const char *config, const char *socket, json_t *request, World *w,
	       json_t **ret_answer)
{
	*w = (World){.turn_fd = -1};
	*ret_answer = NULL;
	int r = cli_open(config, &w->plan);
	if (r)
		json_decref(request);
	else
		r = cli_ask_instead(w->plan, socket, request, ret_answer);
	return r || *ret_answer ? r : look_here(w);
}

int world_take_turn(World *w)
{
	Err err = ERR_INIT;
	return turn_take(w->store_dir, &w->turn_fd, &err) < 0 ? cli_fail(EXIT_FAILED, &err) : 0;
}

void world_done(World *w)
{
	alerts_free(w->alerts);
	history_close(w->history);
	helper_close(w->helper);
	httploop_free(w->http);
	systemd_close(w->systemd);
	sd_event_unref(w->loop);
	productionplaces_done(&w->places);
	free(w->state_dir);
	free(w->store_dir);
	sign_key_free(w->key);
	store_close(w->store);
	config_free(w->plan);
	w->turn_fd = turn_end(w->turn_fd);
}

RolloutWorld world_of(const World *w)
{
	return (RolloutWorld){.loop = w->loop,
			      .clock = &clock_system,
			      .systemd = w->systemd,
			      .http = w->http,
			      .helper = w->helper,
			      .store = w->store,
			      .key = w->key,
			      .plan = w->plan,
			      .places = &w->places,
			      .history = w->history,
			      .alerts = w->alerts,
			      .state_dir = w->state_dir,
			      .store_dir = w->store_dir};
}

void world_who(const char *reason, Approver *ret)
{
	*ret = (Approver){.uid = getuid()};
	const struct passwd *p = getpwuid(ret->uid);
	if (p)
		snprintf(ret->name, sizeof(ret->name), "%s", p->pw_name);
	else
		snprintf(ret->name, sizeof(ret->name), "uid %u", (unsigned)ret->uid);
	snprintf(ret->reason, sizeof(ret->reason), "%s", reason ? reason : "");
}

/* --- Saying what happens -----------------------------------------------------------------------
 */

static void on_event(void *ctx, const RolloutEvent *e)
{
	const Spoken *s = ctx;
	FILE *to = s->to_stderr ? stderr : stdout;
	char at[32];
	time_rfc3339(clock_now_us(&clock_system), at);
	at[19] = 0;
	fprintf(to, "%s  %s\n", at + 11, e->text);
	fflush(to);
}

static void on_done(void *ctx, const Machine *m, const Err *err)
{
	Spoken *s = ctx;
	s->over = true;
	s->result = m->result;
	s->fault = err;
	if (err)
		s->err = *err;
	sd_event_exit(s->world->loop, 0);
}

/* Nobody can answer a program that waits in the foreground. */
static void on_asked(void *ctx, const char *words)
{
	Spoken *s = ctx;
	(void)words;
	s->asked = true;
	sd_event_exit(s->world->loop, 0);
}

const RolloutHandler spoken_handler = {.event = on_event, .asked = on_asked, .done = on_done};

static int exit_code(const Spoken *s)
{
	switch (s->result) {
	case RESULT_COMMITTED:
	case RESULT_PARTIALLY_COMMITTED:
		return EXIT_DONE;
	case RESULT_ROLLED_BACK:
		return EXIT_NOTHING_BETTER;
	case RESULT_NONE:
	case RESULT_REFUSED:
	case RESULT_STUCK:
		break;
	}
	return EXIT_FAILED;
}

int spoken_run(Spoken *s)
{
	sigset_t mask;
	sigemptyset(&mask);
	sigaddset(&mask, SIGINT);
	sigaddset(&mask, SIGTERM);
	sigprocmask(SIG_BLOCK, &mask, NULL);
	sd_event *loop = s->world->loop;
	if (sd_event_add_signal(loop, NULL, SIGINT, NULL, NULL) < 0 ||
	    sd_event_add_signal(loop, NULL, SIGTERM, NULL, NULL) < 0)
		return cli_failf(EXIT_FAILED, "cannot wait for signals");
	int r = sd_event_loop(loop);
	if (r < 0)
		return cli_failf(EXIT_FAILED, "the event loop failed: %s", strerror(-r));
	if (!s->over && s->asked) {
		fprintf(stderr, "production stays as it is now, and is not watched; `dream rollout "
				"--resume --continue` watches it again, `dream rollout --resume "
				"--abort` takes it back\n");
		return EXIT_INTERRUPTED;
	}
	if (!s->over) {
		fprintf(stderr,
			"interrupted: production stays as it is now; `dream rollout --resume` "
			"takes the rollout up again, `dream status` shows what runs\n");
		return EXIT_INTERRUPTED;
	}
	return s->fault ? cli_fail(EXIT_FAILED, &s->err) : exit_code(s);
}
