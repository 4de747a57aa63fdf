#include "systemd/trialfile.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "base/json.h"
#include "base/str.h"

#ifndef __clang__
/* gcc 12 loses what a struct owns, or what was returned through a pointer, once functions are
 * nested; the tests run under ASan, leaks included. */
#pragma GCC diagnostic ignored "-Wanalyzer-malloc-leak"
#pragma GCC diagnostic ignored "-Wanalyzer-null-argument"
#endif

enum {
	FILE_MAX = 1 << 20,
	WORDS_MAX = 10000,
	INSTANCE_MAX = 100,
};

static const char schema[] = "dream.trial-command/v1";

/* --- Writing --------------------------------------------------------------------------------- */

static int file_of(const char *dir, const char *instance, char **ret, Err *err)
{
	static const char chars[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
				    "0123456789_";
	size_t n = strlen(instance);

	if (n == 0 || n > INSTANCE_MAX || strspn(instance, chars) != n)
		return err_set(err, -EINVAL,
			       "'%.100s' is no name of a trial (letters, digits and '_')",
			       instance);
	*ret = path_join(dir, instance);
	return *ret ? 0 : err_oom(err);
}

static json_t *words_json(char *const *words, bool *failed)
{
	json_t *list = json_array();
	for (; words && *words; words++)
		if (json_array_append_new(list, json_string(*words)) < 0)
			*failed = true;
	return list;
}

int trialfile_write(const char *dir, const char *instance, char *const *argv, char *const *env,
		    const char *cwd, Err *err)
{
	_cleanup_(str_done) Str out = STR_INIT;
	_cleanup_free_ char *path = NULL;
	bool failed = false;
	int r = file_of(dir, instance, &path, err);
	if (r < 0)
		return r;
	if (!argv[0] || argv[0][0] != '/')
		return err_set(err, -EINVAL, "a trial's program must be an absolute path, not '%s'",
			       argv[0] ? argv[0] : "");
	json_t *o = json_object();
	js_set(o, "schema", json_string(schema), &failed);
	js_set(o, "argv", words_json(argv, &failed), &failed);
	js_set(o, "env", words_json(env, &failed), &failed);
	if (cwd)
		js_set(o, "cwd", json_string(cwd), &failed);
	js_canonical(failed ? NULL : o, &out);
	json_decref(o);
	if (out.failed)
		return err_set(err, -EINVAL,
			       "the command of trial %s cannot be written down (is it not UTF-8?)",
			       instance);
	r = file_write(path, 0640, out.s, out.len, err);
	/* Whatever our umask is: the folder's group must be able to read it. */
	if (r == 0 && chmod(path, 0640) < 0)
		r = err_set(err, -errno, "cannot make '%s' readable: %m", path);
	return r;
}

int trialfile_remove(const char *dir, const char *instance, Err *err)
{
	_cleanup_free_ char *path = NULL;
	int r = file_of(dir, instance, &path, err);
	if (r < 0)
		return r;
	if (unlink(path) < 0 && errno != ENOENT)
		return err_set(err, -errno, "cannot remove %s: %s", path, strerror(errno));
	return 0;
}

/* --- Running --------------------------------------------------------------------------------- */

static int check_owner(const char *path, Err *err)
{
	struct stat file, folder;
	_cleanup_free_ char *dir = path_dir(path);
	if (!dir)
		return err_oom(err);
	if (lstat(path, &file) < 0 || lstat(dir, &folder) < 0)
		return err_set(err, -errno, "cannot look at %s: %s", path, strerror(errno));
	if (!S_ISREG(file.st_mode) || (file.st_uid != 0 && file.st_uid != folder.st_uid) ||
	    (file.st_mode & 022) || (folder.st_mode & 022) || folder.st_uid == geteuid())
		return err_set(err, -EPERM,
			       "%s could have been written by others than the daemon; its folder "
			       "must be 2750 dream:dream-trial",
			       path);
	return 0;
}

static char **words_of(const json_t *list)
{
	size_t n = json_array_size(list);
	char **words = n <= WORDS_MAX ? calloc(n + 1, sizeof(*words)) : NULL;
	for (size_t i = 0; words && i < n; i++) {
		const char *text = json_string_value(json_array_get(list, i));
		words[i] = strdup(text ? text : "");
		if (!words[i])
			return NULL; /* the process ends */
	}
	return words;
}

static int become(const json_t *o, const char *path, Err *err)
{
	const char *cwd = js_str(o, "cwd", NULL);
	char **argv = words_of(json_object_get(o, "argv"));
	char **env = words_of(json_object_get(o, "env"));

	if (!argv || !env || !argv[0] || argv[0][0] != '/' ||
	    strcmp(js_str(o, "schema", ""), schema) != 0)
		return err_set(err, -EBADMSG, "%s is not the command of a trial", path);
	if (cwd && chdir(cwd) < 0)
		return err_set(err, -errno, "cannot enter %s: %s", cwd, strerror(errno));
	execve(argv[0], argv, env);
	return err_set(err, -errno, "cannot execute %s: %s", argv[0], strerror(errno));
}

int trialfile_run(const char *path, Err *err)
{
	_cleanup_free_ char *text = NULL;
	json_auto_t *o = NULL;
	size_t n;

	if (geteuid() == 0)
		return err_set(err, -EPERM, "a trial's command is never run as root");
	int r = check_owner(path, err);
	if (r >= 0)
		r = file_read(path, FILE_MAX, &text, &n, err);
	if (r >= 0)
		r = js_parse(text, n, FILE_MAX, &o, err);
	return r < 0 ? err_wrap(err, r, "cannot run the trial of %s", path) : become(o, path, err);
}
