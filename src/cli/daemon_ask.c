#include "cli/daemon_ask.h"

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

int cli_ask_daemon(const char *given, json_t *request, json_t **ret, Err *err)
{
	_cleanup_free_ char *path = NULL;
	int r = cli_find_daemon(given, &path, err);
	if (r < 0) {
		json_decref(request);
		return r;
	}
	r = control_ask(path, request, ret, err);
	if (r == -ENOENT || r == -ECONNREFUSED)
		return err_set(err, r,
			       "no daemon runs here: nobody answers at %s; start 'dream daemon' or "
			       "dream.service",
			       path);
	if (r == -EACCES)
		return err_set(err, r,
			       "you may not reach the daemon at %s: only root, its own user and "
			       "members of the approvers' group may",
			       path);
	return r;
}

int cli_print_begun(const json_t *reply, const char *otherwise)
{
	_cleanup_(str_done) Str out = STR_INIT;
	const char *words = js_str(reply, "words", otherwise);
	str_add_safe(&out, words, strlen(words), 400);
	str_add(&out, "; `dream status --follow` shows how it goes\n");
	return cli_print(out.failed ? NULL : out.s);
}
