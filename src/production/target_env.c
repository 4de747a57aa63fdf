/* Variables of the unit, or of the container that it runs. */
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/str.h"
#include "base/strings.h"
#include "production/containerline.h"
#include "production/draft.h"

/* --- Variables -------------------------------------------------------------------------------- */

/* Programs that hand no environment on, and words that set it themselves. */
int target_check_inherited(const Draft *d, const char *name)
{
	static const char *const others[] = {"sudo", "su", "runuser", "doas", "pkexec", NULL};
	const char *program = path_base(d->argv[0]);
	size_t len = strlen(name);

	if (words_have(others, program))
		return err_set(d->err, -ENOTSUP,
			       "%s starts its program through %s, which hands no variables "
			       "on; use User= in the unit",
			       d->in->unit, program);
	for (size_t i = 1; d->argv[i]; i++)
		if (strncmp(d->argv[i], name, len) == 0 && d->argv[i][len] == '=')
			return err_set(d->err, -ENOTSUP,
				       "%s sets %s on its command line, which wins; take it out "
				       "there and set it by Environment=",
				       d->in->unit, name);
	return 0;
}

static int add_plain_env(Draft *d, const AdoptWish *w)
{
	_cleanup_free_ char *original = NULL;
	_cleanup_free_ char *from = NULL;
	int r = target_check_inherited(d, w->target);
	if (r >= 0)
		r = unitenv_get(d->in, w->target, &original, &from, d->err);
	if (r < 0)
		return r;
	return target_put(
	    d, w, &(Found){TARGET_ENV, w->target, .variable = w->target, .original = original});
}

/* The last "-e NAME" or "-e NAME=value"; 0: there is none. *ret_word: which of argv holds it. */
static size_t find_container_env(const Draft *d, const char *name, ContainerOption *ret,
				 size_t *ret_word)
{
	size_t len = strlen(name), found = 0;
	for (size_t i = d->options_at; i < d->insert_at;) {
		ContainerOption o;
		container_option(&d->argv[i], &o);
		bool is = strcmp(o.name, "env") == 0 && o.value &&
			  strncmp(o.value, name, len) == 0 &&
			  (o.value[len] == '=' || !o.value[len]);
		if (is) {
			*ret = o;
			*ret_word = i + o.words - 1;
			found++;
		}
		i += o.words;
	}
	return found;
}

bool target_is_container_file(const Draft *d, const char *path)
{
	for (size_t i = d->options_at; i < d->insert_at;) {
		ContainerOption o;
		container_option(&d->argv[i], &o);
		if (strcmp(o.name, "env-file") == 0 && o.value && strcmp(o.value, path) == 0)
			return true;
		i += o.words;
	}
	return false;
}

/* What the files of --env-file say; -e wins over them. */
static int container_file_value(const Draft *d, const char *name, char **ret)
{
	for (size_t i = d->options_at; i < d->insert_at;) {
		ContainerOption o;
		container_option(&d->argv[i], &o);
		i += o.words;
		if (strcmp(o.name, "env-file") != 0 || !o.value)
			continue;
		_cleanup_free_ char *path = NULL;
		_cleanup_free_ char *text = NULL;
		char *value = NULL;
		int r = target_resolve(d, o.value, &path);
		if (r >= 0)
			r = d->in->read_file(d->in->ctx, path, &text, d->err);
		if (r >= 0 && text)
			r = envtext_get(path, text, name, false, &value, d->err);
		if (r < 0)
			return r;
		if (value) {
			free(*ret);
			*ret = value;
		}
	}
	return 0;
}

static int insert_container_env(Draft *d, const char *name, const char *variable)
{
	_cleanup_free_ char *text = str_fmt("%s=${%s}", name, variable);
	int r = text ? target_insert_word(d, d->insert_at, text) : err_oom(d->err);
	return r < 0 ? r : target_insert_word(d, d->insert_at, "-e");
}

static int replace_container_env(Draft *d, const ContainerOption *o, size_t at, const char *name,
				 const char *variable)
{
	const char *word = d->argv[at];
	_cleanup_free_ char *text =
	    str_fmt("%.*s%s=${%s}", (int)(o->value - word), word, name, variable);
	return text ? target_replace_word(d, at, text) : err_oom(d->err);
}

/* "-e NAME": the container program hands its own on. */
static int add_handed_on(Draft *d, const AdoptWish *w)
{
	_cleanup_free_ char *original = NULL;
	_cleanup_free_ char *from = NULL;
	int r = unitenv_get(d->in, w->target, &original, &from, d->err);
	if (r < 0)
		return r;
	return target_put(
	    d, w, &(Found){TARGET_ENV, w->target, .variable = w->target, .original = original});
}

/* On the container's line: `o` at `at` of argv where it is there already (`n` is 1). */
static int add_on_line(Draft *d, const AdoptWish *w, const ContainerOption *o, size_t at, size_t n)
{
	_cleanup_free_ char *variable = target_variable(w->parameter);
	_cleanup_free_ char *original = NULL;
	int r = variable ? target_check_expansion(d) : err_oom(d->err);

	if (r >= 0)
		r = n == 1 ? target_resolve(d, o->value + strlen(w->target) + 1, &original)
			   : container_file_value(d, w->target, &original);
	if (r >= 0)
		r = target_check_new(d, w, &(Found){TARGET_ENV, w->target, .variable = variable});
	if (r >= 0)
		r = n == 1 ? replace_container_env(d, o, at, w->target, variable)
			   : insert_container_env(d, w->target, variable);
	if (r < 0)
		return r;
	return target_put(
	    d, w, &(Found){TARGET_ENV, w->target, .variable = variable, .original = original});
}

static int add_container_env(Draft *d, const AdoptWish *w)
{
	ContainerOption o = {0};
	size_t at = 0, n = find_container_env(d, w->target, &o, &at);

	if (n > 1)
		return err_set(d->err, -ENOTSUP, "%s is given to the container twice; leave one",
			       w->target);
	if (n == 1 && !o.value[strlen(w->target)])
		return add_handed_on(d, w);
	return add_on_line(d, w, &o, at, n);
}

int target_add_env(Draft *d, const AdoptWish *w)
{
	int r = target_check_variable(d, w->target);
	if (r < 0)
		return r;
	return d->container ? add_container_env(d, w) : add_plain_env(d, w);
}
