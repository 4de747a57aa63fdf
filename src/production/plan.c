/* The plan of an adoption: which words of the unit become variables, which values they have now,
 * and what stands in the way. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/json.h"
#include "base/str.h"
#include "production/containerline.h"
#include "production/draft.h"

/* --- The command ------------------------------------------------------------------------------ */

size_t draft_word(const Draft *d, size_t argv_index)
{
	return argv_index ? argv_index + d->skip : 0;
}

static int refuse_container(Draft *d, const char *why)
{
	return err_set(d->err, -ENOTSUP, "%s runs a container, %s", d->in->unit, why);
}

/* Over what stands between the program and what follows "run". */
static int find_run(Draft *d, size_t *ret)
{
	size_t i = 1;

	while (d->argv[i] && d->argv[i][0] == '-') {
		ContainerOption o;
		container_option(&d->argv[i], &o);
		i += o.words == 2 && !d->argv[i + 1] ? 1 : o.words;
	}
	if (d->argv[i] && strcmp(d->argv[i], "container") == 0)
		i++;
	if (!d->argv[i] || strcmp(d->argv[i], "run") != 0)
		return refuse_container(d, "but not with 'run': its flags and variables were given "
					   "when it was created; start it with 'run' in the unit");
	*ret = i + 1;
	return 0;
}

static int split_container(Draft *d)
{
	size_t i = 0;
	int r = find_run(d, &i);

	if (r < 0)
		return r;
	d->options_at = i;
	while (d->argv[i] && d->argv[i][0] == '-' && strcmp(d->argv[i], "--") != 0) {
		ContainerOption o;
		container_option(&d->argv[i], &o);
		if (o.words == 2 && !o.value)
			return refuse_container(d, "and its command line ends in the middle");
		if (strcmp(o.name, "detach") == 0 && !(o.value && strcmp(o.value, "false") == 0))
			return refuse_container(d, "in the background (-d), where the unit's "
						   "restart would not reach it; take -d out");
		i += o.words;
	}
	d->insert_at = i;
	i += d->argv[i] && strcmp(d->argv[i], "--") == 0;
	if (!d->argv[i])
		return refuse_container(d, "but names no image");
	d->image_at = i;
	d->container = true;
	return 0;
}

static bool is_compose(const char *program)
{
	const char *name = path_base(program);
	return strcmp(name, "docker-compose") == 0 || strcmp(name, "podman-compose") == 0;
}

int draft_look(Draft *d)
{
	const UnitCommand *c = &d->cmd;
	char **argv = reallocarray(d->argv, c->n + 1, sizeof(*argv));

	if (!argv)
		return err_oom(d->err);
	d->argv = argv;
	d->skip = strchr(c->prefix, '@') && c->n > 1;
	argv[0] = c->words[0].value;
	size_t n = 1;
	for (size_t i = 1 + d->skip; i < c->n; i++)
		argv[n++] = c->words[i].value;
	argv[n] = NULL;
	d->container = false;
	if (is_compose(argv[0]))
		return refuse_container(d, "whose flags and variables are in a compose file; start "
					   "it with 'docker run' in the unit");
	return container_program(argv[0]) ? split_container(d) : 0;
}

/* --- What stands in the way ------------------------------------------------------------------- */

static int is_relevant(void *ctx, const char *section, const char *key, const char *value, Err *err)
{
	static const char *const keys[] = {"ExecStart",		"EnvironmentFile",
					   "UnsetEnvironment",	"LoadCredential",
					   "BindReadOnlyPaths", NULL};
	const char **found = ctx;

	(void)value;
	(void)err;
	for (const char *const *k = keys; *k && strcmp(section, "Service") == 0; k++)
		if (strcmp(*k, key) == 0)
			*found = *k;
	return 0;
}

/* Drop-ins are read by name, whatever folder they are in; what is read after ours wins. */
static int check_later(const Draft *d)
{
	const AdoptInput *in = d->in;
	for (size_t i = 1; i < in->n_files; i++) {
		const char *path = in->files[i].path, *name = path_base(path), *key = NULL;
		int order = strcmp(name, ADOPTION_DROPIN);
		if (strcmp(path, in->dropin) == 0 || order < 0)
			continue;
		if (order == 0)
			return err_set(d->err, -EEXIST,
				       "%s has the name that our drop-in would have, and is not "
				       "ours; rename it",
				       path);
		int r = unittext_each(path, in->files[i].text, is_relevant, &key, d->err);
		if (r < 0)
			return r;
		if (key)
			return err_set(d->err, -ENOTSUP,
				       "%s is read after our drop-in %s and sets %s=, so it would "
				       "win; give it a name that sorts before ours",
				       path, ADOPTION_DROPIN, key);
	}
	return 0;
}

static int check_unit(const Draft *d)
{
	const char *unit = d->in->unit, *dot = strrchr(unit, '.'), *at = strchr(unit, '@');

	if (!dot || strcmp(dot, ".service") != 0 || strchr(unit, '/'))
		return err_set(d->err, -EINVAL, "%s is no service; only services are adopted",
			       unit);
	if (at && at + 1 == dot)
		return err_set(
		    d->err, -EINVAL,
		    "%s is a template; adopt each of its instances, as in %.*s@NAME.service", unit,
		    (int)(at - unit), unit);
	if (d->in->n == 0)
		return err_set(d->err, -EINVAL, "nothing of %s is named that should be tuned",
			       unit);
	return 0;
}

static bool is_unit_name(const char *name)
{
	static const char chars[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
				    "0123456789:-_.\\@";
	size_t n = strlen(name);
	const char *dot = strrchr(name, '.');
	return n > 0 && n < 256 && strspn(name, chars) == n && dot && dot > name && dot[1];
}

static int take_after(Draft *d)
{
	for (char *const *u = d->in->after; u && *u; u++) {
		if (!is_unit_name(*u) || strcmp(*u, d->in->unit) == 0)
			return err_set(d->err, -EINVAL, "%s cannot start after '%.100s'",
				       d->in->unit, *u);
		if (!strings_has(d->a.after, *u) && strings_add(&d->a.after, strdup(*u)) < 0)
			return err_oom(d->err);
	}
	if (!d->a.after && !(d->a.after = calloc(1, sizeof(*d->a.after))))
		return err_oom(d->err);
	return 0;
}

/* --- Values ----------------------------------------------------------------------------------- */

static bool as_number(const char *text, double *ret)
{
	char *end;
	*ret = strtod(text, &end);
	return end != text && !*end && isfinite(*ret);
}

static bool same_value(const char *a, const char *b)
{
	double x, y;
	return strcmp(a, b) == 0 || (as_number(a, &x) && as_number(b, &y) && !(x < y || y < x));
}

/* What the targets of a parameter say it is; the first that says anything. */
typedef struct Said {
	const AdoptedTarget *first, *other; /* `other` says something else */
	bool wish_is_one;
} Said;

static Said said_of(const Adoption *a, const AdoptWish *w)
{
	Said s = {0};
	for (size_t i = 0; i < a->n; i++) {
		const AdoptedTarget *t = &a->targets[i];
		if (strcmp(t->parameter, w->parameter) != 0 || !t->original)
			continue;
		if (!s.first)
			s.first = t;
		else if (!same_value(s.first->original, t->original))
			s.other = t;
		s.wish_is_one = s.wish_is_one || (w->value && same_value(w->value, t->original));
	}
	return s;
}

static int decide_value(const Draft *d, const AdoptWish *w, const char **ret)
{
	const Said s = said_of(&d->a, w);

	*ret = w->value ? w->value : s.first ? s.first->original : NULL;
	if (w->tuned)
		return 0;
	if (!*ret)
		return err_set(d->err, -EINVAL,
			       "%s does not say what %s is now, so there would be nothing to go "
			       "back to; give it with --value %s=VALUE (the server's default)",
			       d->in->unit, w->parameter, w->parameter);
	if (s.other && !s.wish_is_one)
		return err_set(d->err, -EINVAL,
			       "%s is %s at %s and %s at %s; make them the same, or say with "
			       "--value %s=VALUE which of them counts",
			       w->parameter, s.first->original, s.first->name, s.other->original,
			       s.other->name, w->parameter);
	if (!s.other && s.first && !s.wish_is_one && w->value)
		return err_set(d->err, -EINVAL,
			       "%s is %s in %s, not %s: adopting a unit changes no value; change "
			       "the unit first, or roll the value out afterwards",
			       w->parameter, s.first->original, d->in->unit, w->value);
	return 0;
}

static int take_values(const Draft *d, json_t **ret)
{
	json_auto_t *values = json_object();
	bool failed = !values;

	for (size_t i = 0; i < d->in->n; i++) {
		const AdoptWish *w = &d->in->wishes[i];
		const char *value = NULL;
		int r = decide_value(d, w, &value);
		if (r < 0)
			return r;
		r = allowed_check(&w->allowed, w->parameter, value, d->err);
		if (r < 0)
			return err_wrap(d->err, r, "%s as it is now", d->in->unit);
		js_set(values, w->parameter, json_string(value), &failed);
	}
	if (failed)
		return err_oom(d->err);
	*ret = TAKE_PTR(values);
	return 0;
}

/* --- The whole -------------------------------------------------------------------------------- */

static void draft_done(Draft *d)
{
	unitcommand_done(&d->cmd);
	free(d->argv);
	strings_free(d->env_files);
	adoption_done(&d->a);
}

static int begin(Draft *d)
{
	const AdoptInput *in = d->in;
	char print[65];
	int r = check_unit(d);
	if (r >= 0)
		r = unitcommand_read(in->files, in->n_files, &d->cmd, d->err);
	if (r < 0)
		return r;
	r = unit_fingerprint(in->files, in->n_files, in->dropin, print, d->err);
	if (r < 0)
		return r;
	d->a.unit = strdup(in->unit);
	d->a.fingerprint = strdup(print);
	d->a.command = strdup(d->cmd.line);
	d->a.dropin = strdup(in->dropin);
	if (!d->a.unit || !d->a.fingerprint || !d->a.command || !d->a.dropin)
		return err_oom(d->err);
	r = check_later(d);
	if (r >= 0)
		r = draft_look(d);
	if (r >= 0)
		r = unitenv_files(in, &d->env_files, d->err);
	return r < 0 ? r : take_after(d);
}

int adoption_plan(const AdoptInput *in, Adoption *ret, char **ret_dropin, json_t **ret_values,
		  Err *err)
{
	_cleanup_(draft_done) Draft d = {.in = in, .err = err};
	_cleanup_free_ char *dropin = NULL;
	json_auto_t *values = NULL;
	int r = begin(&d);

	for (size_t i = 0; r >= 0 && i < in->n; i++)
		r = target_add(&d, &in->wishes[i]);
	if (r >= 0)
		r = take_values(&d, &values);
	if (r >= 0)
		r = dropin_text(in, &d.a, d.changed ? d.cmd.line : NULL, &dropin, err);
	if (r < 0)
		return r;
	*ret = d.a;
	d.a = (Adoption){0};
	*ret_dropin = TAKE_PTR(dropin);
	*ret_values = TAKE_PTR(values);
	return 0;
}
