/* Keys of files: an env file, and the file that --config names. */
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "production/draft.h"

/* --- Files ------------------------------------------------------------------------------------ */

/* Plain enough for a line where blanks and ':' part words. */
static bool is_plain_path(const char *path)
{
	if (path[0] != '/' || strlen(path) > 1024)
		return false;
	for (const char *p = path; *p; p++)
		if (!(*p >= 'a' && *p <= 'z') && !(*p >= 'A' && *p <= 'Z') &&
		    !(*p >= '0' && *p <= '9') && !strchr("/._-+@", *p))
			return false;
	return !strstr(path, "/../") && !strstr(path, "//");
}

static int read_target(const Draft *d, const char *path, char **ret)
{
	int r = d->in->read_file(d->in->ctx, path, ret, d->err);
	if (r >= 0 && !*ret)
		r = err_set(d->err, -ENOENT, "there is no %s", path);
	return r;
}

/* The generation's copy is laid over the file in the unit's own view of the file system. */
static int check_copy(const Draft *d, const char *path)
{
	static const char *const roots[] = {"RootDirectory", "RootImage", NULL};
	_cleanup_(unitsettings_done) UnitSettings s = {0};
	int r = 0;

	if (d->in->user)
		return err_set(d->err, -ENOTSUP,
			       "%s is read by the program itself, and a user's systemd cannot put "
			       "another file in its place; adopt a variable or a flag, or name the "
			       "file by EnvironmentFile= in the unit",
			       path);
	for (const char *const *key = roots; *key && r >= 0 && s.n == 0; key++) {
		unitsettings_done(&s);
		r = unitsettings_read(d->in->files, d->in->n_files, "Service", *key, &s, d->err);
	}
	if (r < 0)
		return r;
	return s.n > 0 ? err_set(d->err, -ENOTSUP,
				 "%s runs in another root, where %s cannot be replaced",
				 d->in->unit, path)
		       : 0;
}

/* The unit's manager reads it, and nobody else is said to: a later file of variables wins. */
static bool is_env_file(const Draft *d, const char *path)
{
	for (char **f = d->env_files; *f; f++)
		if (strcmp(*f + (**f == '-'), path) == 0)
			return true;
	return false;
}

static bool is_wished_env(const Draft *d, const char *name)
{
	for (size_t i = 0; i < d->in->n; i++)
		if (strcmp(d->in->wishes[i].target, name) == 0)
			return true;
	return false;
}

static int check_key(const Draft *d, const char *path, const char *name, bool by_manager)
{
	int r = target_check_variable(d, name);
	if (r < 0)
		return r;
	if (!is_plain_path(path))
		return err_set(d->err, -EINVAL, "'%.100s' is not the plain path of a file", path);
	if (d->container && !target_is_container_file(d, path))
		return err_set(
		    d->err, -ENOTSUP,
		    "%s is not what the container program reads (--env-file), and what is "
		    "read inside the container cannot be replaced; adopt a variable",
		    path);
	return by_manager ? target_check_inherited(d, name) : check_copy(d, path);
}

static int put_key(Draft *d, const AdoptWish *w, const char *path, const char *name,
		   bool by_manager)
{
	_cleanup_free_ char *text = NULL;
	_cleanup_free_ char *original = NULL;
	int r = read_target(d, path, &text);
	if (r >= 0)
		r = envtext_get(path, text, name, !by_manager, &original, d->err);
	if (r < 0)
		return r;
	return target_put(d, w,
			  &(Found){TARGET_KEY, name, path, by_manager ? name : NULL, original,
				   by_manager ? NULL : text});
}

int target_add_key(Draft *d, const AdoptWish *w)
{
	const char *colon = strrchr(w->target, ':'), *name = colon + 1;
	_cleanup_free_ char *path = strndup(w->target, (size_t)(colon - w->target));
	if (!path)
		return err_oom(d->err);
	bool by_manager = is_env_file(d, path) && !is_wished_env(d, name) && !d->container;
	int r = check_key(d, path, name, by_manager);
	return r < 0 ? r : put_key(d, w, path, name, by_manager);
}

/* --- The file of --config --------------------------------------------------------------------- */

static bool is_key_name(const char *key)
{
	size_t n = strspn(key, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-");
	return n > 0 && !key[n];
}

/* What the command line says wins over the file. */
static int check_not_on_line(const Draft *d, const char *key)
{
	_cleanup_free_ char *flag = str_fmt("--%s", key);
	if (!flag)
		return err_oom(d->err);
	FlagAt at = {0};
	target_flag(d, flag, &at);
	return at.n > 0 ? err_set(d->err, -ENOTSUP,
				  "%s is on the command line as well, which wins over the file of "
				  "--config; adopt it as %s",
				  flag, flag)
			: 0;
}

static int config_path(Draft *d, const FlagAt *at, char **ret)
{
	const char *raw = "";
	if (d->container)
		return err_set(d->err, -ENOTSUP,
			       "the file of --config is inside the container, where it cannot be "
			       "replaced; adopt the flag itself");
	if (at->n == 0)
		return err_set(d->err, -ENOTSUP, "%s has no --config in ExecStart=", d->in->unit);
	int r = target_flag_value(d, at, "--config", &raw);
	if (r >= 0)
		r = target_resolve(d, raw, ret);
	if (r >= 0 && !is_plain_path(*ret))
		r = err_set(d->err, -ENOTSUP,
			    "--config names '%.100s', which is not the plain, absolute path of a "
			    "file",
			    *ret);
	return r;
}

/* Does the flag name the copy already, for a target before this one? */
static bool is_pointed(const Draft *d, const char *path)
{
	for (size_t i = 0; i + 1 < d->a.n; i++)
		if (d->a.targets[i].kind == TARGET_CONFIG &&
		    strcmp(d->a.targets[i].path, path) == 0)
			return true;
	return false;
}

/* A user's manager has no way to lay one file over another, but there the unit may read the copy
 * itself: the flag names it. */
static int point_at_copy(Draft *d)
{
	FlagAt at = {0};
	target_flag(d, "--config", &at);
	const char *word = d->argv[at.at];
	_cleanup_free_ char *suffix = str_fmt(".file%d", target_copy_number(&d->a, d->a.n - 1));
	_cleanup_free_ char *copy =
	    suffix ? current_path(d->in->state_dir, d->in->unit, suffix) : NULL;
	_cleanup_free_ char *text = !copy ? NULL
				    : at.joined
					? str_fmt("%.*s=%s", (int)strcspn(word, "="), word, copy)
					: strdup(copy);
	return text ? target_replace_word(d, at.at + !at.joined, text) : err_oom(d->err);
}

int target_add_config(Draft *d, const AdoptWish *w)
{
	const char *key = strchr(w->target, ':') + 1;
	_cleanup_free_ char *path = NULL;
	_cleanup_free_ char *text = NULL;
	_cleanup_free_ char *original = NULL;
	FlagAt at = {0};
	target_flag(d, "--config", &at);
	int r = is_key_name(key) ? 0
				 : err_set(d->err, -ENOTSUP,
					   "'%.100s' is no key at the top of a file; nested keys "
					   "are not supported",
					   key);
	if (r >= 0)
		r = check_not_on_line(d, key);
	/* Where the flag names the copy already, the path is the one of the target before. */
	for (size_t i = 0; r >= 0 && !path && d->in->user && i < d->a.n; i++)
		if (d->a.targets[i].kind == TARGET_CONFIG && !(path = strdup(d->a.targets[i].path)))
			r = err_oom(d->err);
	if (r >= 0 && !path)
		r = config_path(d, &at, &path);
	if (r >= 0 && !d->in->user)
		r = check_copy(d, path);
	if (r >= 0)
		r = read_target(d, path, &text);
	if (r >= 0)
		r = yamltext_get(path, text, key, &original, d->err);
	if (r >= 0)
		r = target_put(d, w, &(Found){TARGET_CONFIG, key, path, NULL, original, text});
	return r < 0 || !d->in->user || is_pointed(d, path) ? r : point_at_copy(d);
}
