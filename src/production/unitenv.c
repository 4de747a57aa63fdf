/* The environment that a unit's files give its program, as far as single variables are asked for:
 * Environment=, then every EnvironmentFile=, the later one wins. */
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "production/internal.h"

/* --- Environment= ----------------------------------------------------------------------------- */

static bool names(const char *word, const char *name)
{
	size_t len = strlen(name);
	return strncmp(word, name, len) == 0 && word[len] == '=';
}

/* The last word of the line that sets `name`. */
static int line_value(const AdoptInput *in, const UnitSetting *s, const char *name, char **ret,
		      Err *err)
{
	size_t at = 0;
	UnitWord w = {0};
	int r;

	while ((r = unitword_next(s->value, &at, &w)) > 0) {
		int e = 0;
		if (names(w.value, name)) {
			free(*ret);
			*ret = NULL;
			e = specifiers_resolve(w.value + strlen(name) + 1, in->unit, in->home, ret,
					       err);
		}
		unitword_done(&w);
		if (e < 0)
			return e;
	}
	if (r == -ENOMEM)
		return err_oom(err);
	return r < 0 ? err_set(err, r, "%s: a quote in Environment= is not closed", s->path) : 0;
}

static int from_settings(const AdoptInput *in, const char *name, char **ret, char **ret_from,
			 Err *err)
{
	_cleanup_(unitsettings_done) UnitSettings s = {0};
	int r = unitsettings_read(in->files, in->n_files, "Service", "Environment", &s, err);
	for (size_t i = 0; r >= 0 && i < s.n; i++)
		r = line_value(in, &s.items[i], name, ret, err);
	if (r < 0 || !*ret)
		return r;
	*ret_from = strdup("Environment=");
	return *ret_from ? 0 : err_oom(err);
}

/* --- EnvironmentFile= ------------------------------------------------------------------------- */

int unitenv_files(const AdoptInput *in, char ***ret, Err *err)
{
	_cleanup_(unitsettings_done) UnitSettings s = {0};
	_cleanup_(strings_freep) char **list = NULL;
	int r = unitsettings_read(in->files, in->n_files, "Service", "EnvironmentFile", &s, err);
	if (r < 0)
		return r;
	list = calloc(1, sizeof(*list));
	if (!list)
		return err_oom(err);
	for (size_t i = 0; i < s.n; i++) {
		char *path = NULL;
		r = specifiers_resolve(s.items[i].value, in->unit, in->home, &path, err);
		if (r < 0)
			return err_wrap(err, r, "%s: EnvironmentFile=%s", s.items[i].path,
					s.items[i].value);
		if (strings_add(&list, path) < 0)
			return err_oom(err);
	}
	*ret = TAKE_PTR(list);
	return 0;
}

static int from_file(const AdoptInput *in, const char *entry, const char *name, char **ret,
		     char **ret_from, Err *err)
{
	bool optional = *entry == '-';
	const char *path = entry + optional;

	if (strpbrk(path, "*?["))
		return err_set(err, -ENOTSUP,
			       "EnvironmentFile=%s is a pattern, and which file counts cannot be "
			       "told; name the files",
			       entry);
	_cleanup_free_ char *text = NULL;
	int r = in->read_file(in->ctx, path, &text, err);
	if (r < 0)
		return err_wrap(err, r, "cannot read EnvironmentFile=%s", entry);
	if (!text)
		return optional ? 0
				: err_set(err, -ENOENT, "EnvironmentFile=%s is not there", entry);
	_cleanup_free_ char *value = NULL;
	r = envtext_get(path, text, name, false, &value, err);
	if (r < 0 || !value)
		return r;
	char *from = strdup(path);
	if (!from)
		return err_oom(err);
	free(*ret);
	free(*ret_from);
	*ret = TAKE_PTR(value);
	*ret_from = from;
	return 0;
}

int unitenv_get(const AdoptInput *in, const char *name, char **ret, char **ret_from, Err *err)
{
	_cleanup_(strings_freep) char **files = NULL;
	_cleanup_free_ char *value = NULL;
	_cleanup_free_ char *from = NULL;
	int r = from_settings(in, name, &value, &from, err);
	if (r >= 0)
		r = unitenv_files(in, &files, err);
	for (char **f = files; r >= 0 && *f; f++)
		r = from_file(in, *f, name, &value, &from, err);
	if (r < 0)
		return r;
	*ret = TAKE_PTR(value);
	*ret_from = TAKE_PTR(from);
	return 0;
}

/* --- UnsetEnvironment= ------------------------------------------------------------------------ */

int unitenv_unsets(const AdoptInput *in, const char *name, Err *err)
{
	_cleanup_(unitsettings_done) UnitSettings s = {0};
	bool found = false;
	int r = unitsettings_read(in->files, in->n_files, "Service", "UnsetEnvironment", &s, err);
	for (size_t i = 0; r >= 0 && i < s.n; i++) {
		UnitWord w = {0};
		size_t at = 0;
		while (unitword_next(s.items[i].value, &at, &w) > 0) {
			found = found || strcmp(w.value, name) == 0 || names(w.value, name);
			unitword_done(&w);
		}
	}
	return r < 0 ? r : found;
}
