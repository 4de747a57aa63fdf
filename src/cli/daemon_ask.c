#include "cli/daemon_ask.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/json.h"
#include "base/str.h"
#include "cli/internal.h"

/* Root means the machine's daemon and others their own, where there is one. */
int cli_find_daemon(const char *given, char **ret, Err *err)
{
	bool user = geteuid() != 0;
	if (given) {
		*ret = str_fmt("%s", given);
		return *ret ? 0 : err_oom(err);
	}
	_cleanup_free_ char *first = NULL;
	int r = control_path(user, &first, err);
	if (r < 0 || !first)
		return r < 0 ? r : err_oom(err);
	_cleanup_free_ char *second = NULL;
	r = control_path(!user, &second, err);
	if (r < 0 || !second)
		return r < 0 ? r : err_oom(err);
	bool absent = access(first, F_OK) < 0 && errno == ENOENT;
	*ret = absent && access(second, F_OK) == 0 ? TAKE_PTR(second) : TAKE_PTR(first);
	return 0;
}

/* `path` and, where it is not the machine's, that one too: both were looked at. */
static int nobody_answers(const char *given, const char *path, int r, Err *err)
{
	char *machine = NULL;
	int found = given ? -ENOENT : control_path(false, &machine, NULL);
	bool both = found >= 0 && machine && strcmp(machine, path) != 0;
	err_set(err, r,
		"no daemon runs here: nobody answers at %s%s%s; start 'dream daemon' or "
		"dream.service",
		both ? machine : path, both ? " or " : "", both ? path : "");
	free(machine);
	return r;
}

int cli_ask_daemon(const char *given, json_t *request, json_t **ret, Err *err)
{
	_cleanup_free_ char *path = NULL;
	int r = request ? cli_find_daemon(given, &path, err) : err_oom(err);
	if (r < 0 || !path) {
		json_decref(request);
		return r < 0 ? r : err_oom(err);
	}
	r = control_ask(path, request, ret, err);
	if (cli_no_daemon(r))
		return nobody_answers(given, path, r, err);
	if (r == -EACCES)
		return err_set(err, r,
			       "you may not reach the daemon at %s: only root, its own user and "
			       "members of the approvers' group may",
			       path);
	return r;
}

bool cli_no_daemon(int r)
{
	return r == -ENOENT || r == -ECONNREFUSED;
}

static bool is_closed(const char *path)
{
	return access(path, R_OK) < 0 && errno == EACCES;
}

/* What cannot be asked is left to the store, whose refusal says who may read it. */
static bool is_unreached(int r)
{
	return cli_no_daemon(r) || r == -EACCES;
}

int cli_ask_instead(const Plan *plan, const char *socket, json_t *request, json_t **ret)
{
	_cleanup_free_ char *path = NULL;
	json_auto_t *rq = request;
	bool failed = !rq;
	Err err = ERR_INIT;
	*ret = NULL;
	int r = cli_store_path(plan, &path);
	if (r || !is_closed(path))
		return r;
	js_set(rq, "store", js_text(path), &failed);
	if (failed)
		return cli_oom();
	r = cli_ask_daemon(socket, json_incref(rq), ret, &err);
	if (r < 0)
		return is_unreached(r) ? 0 : cli_fail(EXIT_FAILED, &err);
	(void)json_object_del(*ret, "ok");
	return 0;
}

void cli_say_left_out(const json_t *view)
{
	if (js_bool(view, "older_left_out", false))
		fputs(
		    "there are older ones, which do not fit into the daemon's answer; root and the "
		    "daemon's own user can list all of them\n",
		    stderr);
}

int cli_print_begun(const json_t *reply, const char *otherwise)
{
	_cleanup_(str_done) Str out = STR_INIT;
	const char *words = js_str(reply, "words", otherwise);
	str_add_safe(&out, words, strlen(words), 400);
	str_add(&out, "; `dream status --follow` shows how it goes\n");
	return cli_print(out.failed ? NULL : out.s);
}
