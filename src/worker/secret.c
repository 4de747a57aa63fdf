/* What must not leave a trial. Servers print their own command lines and environments, and their
 * last words go into reasons and evidence, which are for ever. So what may be a secret is taken out
 * of everything that is reported: tokens, variables of dream.yaml, and whatever has the name or the
 * looks of a secret in the environment, the command line and the settings of a service. */
#include <string.h>

#include "base/json.h"
#include "gpu/owners.h"
#include "worker/internal.h"

enum {
	SECRETS_MAX = 512,
	SHORT = 6, /* "true" or "1" is no secret, and would be found everywhere */
};

typedef struct Secrets {
	const char *items[SECRETS_MAX]; /* borrowed */
	size_t n;
	bool failed;
} Secrets;

/* --- Which ----------------------------------------------------------------------------------- */

static void add(Secrets *s, const char *value)
{
	if (value && strlen(value) >= SHORT && s->n < SECRETS_MAX)
		s->items[s->n++] = value;
}

static bool is_path(const char *value)
{
	return *value == '/' || strncmp(value, "./", 2) == 0 || strncmp(value, "../", 3) == 0;
}

static void from_env(Secrets *s, char *const *env)
{
	for (; env && *env; env++) {
		size_t name = strcspn(*env, "=");
		const char *value = (*env)[name] ? *env + name + 1 : "";
		if ((words_name_is_secret(*env, name) && !is_path(value)) ||
		    words_value_is_secret(value))
			add(s, value);
	}
}

static void from_words(Secrets *s, char *const *argv)
{
	for (; argv && *argv; argv++) {
		size_t name = strcspn(*argv, "=");
		if (words_value_is_secret(*argv))
			add(s, *argv);
		else if ((*argv)[name] == '=' && (words_name_is_secret(*argv, name) ||
						  words_value_is_secret(*argv + name + 1)))
			add(s, *argv + name + 1);
		else if (**argv == '-' && words_name_is_secret(*argv, name) && argv[1])
			add(s, argv[1]);
	}
}

/* Of dream.yaml's own variables every one is kept out, whatever it is called; but a path tells
 * nothing and is in every message. */
static void from_service(Secrets *s, const Party *p)
{
	const char *name;
	json_t *value;
	json_object_foreach (p->spec->env, name, value)
		if (json_is_string(value) && !is_path(json_string_value(value)))
			add(s, json_string_value(value));
	json_object_foreach (p->settings, name, value)
		if (json_is_string(value) && words_name_is_secret(name, strlen(name)))
			add(s, json_string_value(value));
}

static void collect(const Worker *w, Secrets *s)
{
	for (size_t i = 0; i < w->n_parties; i++) {
		const Party *p = &w->parties[i];
		add(s, p->token);
		from_service(s, p);
		from_env(s, p->command.env);
		from_words(s, p->command.argv);
	}
}

/* --- Out of what ----------------------------------------------------------------------------- */

static const char *find(const Secrets *s, const char *text, size_t *ret_len)
{
	const char *first = NULL;
	for (size_t i = 0; i < s->n; i++) {
		const char *at = strstr(text, s->items[i]);
		size_t len = strlen(s->items[i]);
		if (!at || (first && (at > first || (at == first && len < *ret_len))))
			continue;
		first = at;
		*ret_len = len;
	}
	return first;
}

/* A new string without them; NULL: there is none in it. */
static json_t *without(Secrets *s, const char *text)
{
	_cleanup_(str_done) Str out = STR_INIT;
	size_t len = 0;
	const char *at = find(s, text, &len);
	if (!at)
		return NULL;
	for (; at; at = find(s, text, &len)) {
		str_addn(&out, text, (size_t)(at - text));
		str_add(&out, "...");
		text = at + len;
	}
	str_add(&out, text);
	json_t *v = out.failed ? NULL : js_text(out.s);
	s->failed |= !v;
	return v;
}

static void hide(Secrets *s, json_t *v)
{
	const char *name;
	void *next;
	json_t *one;
	size_t i;
	json_object_foreach_safe(v, next, name, one)
	{
		json_t *clean = json_is_string(one) ? without(s, json_string_value(one)) : NULL;
		s->failed |= clean && json_object_set_new(v, name, clean) < 0;
		if (!clean)
			hide(s, one);
	}
	json_array_foreach (v, i, one) {
		json_t *clean = json_is_string(one) ? without(s, json_string_value(one)) : NULL;
		s->failed |= clean && json_array_set_new(v, i, clean) < 0;
		if (!clean)
			hide(s, one);
	}
}

int secrets_hide(const Worker *w, json_t *report)
{
	Secrets s = {0};
	collect(w, &s);
	hide(&s, report);
	return s.failed ? -ENOMEM : 0;
}
