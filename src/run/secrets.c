/* What of an experiment's source goes into the store: a record is for ever. */
#include <string.h>

#include "base/json.h"
#include "gpu/owners.h"
#include "run/internal.h"

static const char hidden[] = "...";

static bool asks_for_secret(const char *option)
{
	return *option == '-' && !strchr(option, '=') &&
	       words_name_is_secret(option, strlen(option));
}

/* "--api-key=x", a token by its looks, or a script that speaks of one. */
static bool holds_secret(const char *text)
{
	size_t name = strcspn(text, "=");
	bool script = strchr(text, ' ') && words_name_is_secret(text, strlen(text));
	return script || words_value_is_secret(text) ||
	       (text[name] == '=' &&
		(words_name_is_secret(text, name) || words_value_is_secret(text + name + 1)));
}

static void hide(json_t *v, bool *failed);

/* A command: what stands behind "--api-key" is one. */
static void hide_in_list(json_t *list, bool *failed)
{
	size_t i;
	json_t *one;
	bool next = false;
	json_array_foreach (list, i, one) {
		const char *text = json_string_value(one);
		bool secret = text && (next || holds_secret(text));
		next = text && asks_for_secret(text);
		if (secret)
			*failed |= json_array_set_new(list, i, json_string(hidden)) < 0;
		else
			hide(one, failed);
	}
}

/* The names of `env` stay, its values do not. */
static void hide_in_object(json_t *o, bool env, bool *failed)
{
	const char *name;
	json_t *one;
	void *next;
	json_object_foreach_safe(o, next, name, one)
	{
		const char *text = json_string_value(one);
		bool secret =
		    text && (words_name_is_secret(name, strlen(name)) || holds_secret(text));
		/* Where a secret is, is none. */
		if (text && strcmp(name, "token_file") == 0)
			secret = false;
		if (env)
			js_set(o, name, json_null(), failed);
		else if (secret)
			js_set(o, name, json_string(hidden), failed);
		else if (json_is_object(one))
			hide_in_object(one, strcmp(name, "env") == 0, failed);
		else
			hide(one, failed);
	}
}

static void hide(json_t *v, bool *failed)
{
	if (json_is_object(v))
		hide_in_object(v, false, failed);
	else if (json_is_array(v))
		hide_in_list(v, failed);
}

json_t *source_without_secrets(const json_t *source)
{
	json_t *kept = source ? js_deep_copy(source) : json_object();
	bool failed = !kept;
	const char *name;
	json_t *service;
	if (kept) {
		hide(json_object_get(kept, "evaluator"), &failed);
		json_object_foreach (json_object_get(kept, "services"), name, service)
			hide(service, &failed);
	}
	if (!failed)
		return kept;
	json_decref(kept);
	return NULL;
}
