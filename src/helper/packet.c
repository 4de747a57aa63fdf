/* Requests and answers as text. */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/str.h"
#include "helper/packet.h"
#include "helper/wire.h"
#include "production/generation.h"

#define DIGITS	"0123456789"
#define LETTERS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"

/* --- Forms ----------------------------------------------------------------------------------- */

static bool is_made_of(const char *text, const char *chars, size_t min, size_t max)
{
	size_t n = text ? strspn(text, chars) : 0;
	return text && !text[n] && n >= min && n <= max;
}

/* As systemd allows them; only services are adopted. No slash, so it is never a path. */
static bool is_unit(const json_t *v)
{
	const char *text = json_string_value(v), *end = ".service";
	size_t n = text ? strlen(text) : 0;
	return n > strlen(end) && is_made_of(text, LETTERS DIGITS ":-_.\\@", 1, 255) &&
	       strcmp(text + n - strlen(end), end) == 0;
}

static bool are_units(const json_t *v)
{
	size_t n = json_array_size(v);
	if (n < 1 || n > PACKET_UNITS_MAX)
		return false;
	for (size_t i = 0; i < n; i++) {
		const json_t *one = json_array_get(v, i);
		if (!is_unit(one))
			return false;
		for (size_t k = 0; k < i; k++)
			if (json_equal(one, json_array_get(v, k)))
				return false;
	}
	return true;
}

static bool is_rollout(const json_t *v)
{
	return is_made_of(json_string_value(v), LETTERS DIGITS "._:-", 1,
			  sizeof(((OpenChange *)NULL)->rollout) - 1);
}

static bool is_generation(const json_t *v)
{
	return is_made_of(json_string_value(v), DIGITS "abcdef", GENERATION_ID_SIZE - 1,
			  GENERATION_ID_SIZE - 1);
}

static bool are_values(const json_t *v)
{
	const char *key;
	const json_t *value;

	if (!json_is_object(v) || json_object_size(v) < 1 ||
	    json_object_size(v) > PACKET_VALUES_MAX)
		return false;
	json_object_foreach ((json_t *)(uintptr_t)v, key, value) {
		if (!is_made_of(key, LETTERS DIGITS "._-", 1, 64) || !json_is_string(value) ||
		    !value_is_plain(json_string_value(value)))
			return false;
	}
	return true;
}

static const struct {
	bool (*is)(const json_t *v);
	const char *words;
} forms_of[] = {
    [MEMBER_UNIT] = {is_unit, "the name of a service unit"},
    [MEMBER_UNITS] = {are_units, "a list of 1 to 32 different service units"},
    [MEMBER_ROLLOUT] = {is_rollout, "at most 63 letters, digits and ._:-"},
    [MEMBER_GENERATION] = {is_generation, "16 lower-case hex digits"},
    [MEMBER_VALUES] = {are_values, "1 to 64 parameters with plain texts as values"},
};

/* --- A request ------------------------------------------------------------------------------- */

static bool is_member(const VerbForm *f, const char *name)
{
	if (strcmp(name, "do") == 0)
		return true;
	for (const Member *m = f->members; m->name; m++)
		if (strcmp(m->name, name) == 0)
			return true;
	return false;
}

static int check_members(const VerbForm *f, json_t *request, Err *err)
{
	const char *key;
	json_t *value;

	json_object_foreach (request, key, value) {
		if (!is_member(f, key))
			return err_set(err, -EINVAL, "'%s' takes no \"%.40s\"", f->name, key);
	}
	for (const Member *m = f->members; m->name; m++)
		if (!forms_of[m->form].is(json_object_get(request, m->name)))
			return err_set(err, -EINVAL, "'%s' needs \"%s\": %s", f->name, m->name,
				       forms_of[m->form].words);
	return 0;
}

int packet_request(const char *text, size_t len, const VerbForm *forms, size_t n_forms,
		   size_t *ret_form, json_t **ret, Err *err)
{
	json_auto_t *request = NULL;
	int r = js_parse(text, len, HELPER_PACKET_MAX, &request, err);
	if (r < 0)
		return r;
	const char *name = js_str(request, "do", NULL);
	if (!name)
		return err_set(err, -EINVAL, "a request is an object with \"do\"");
	for (size_t i = 0; i < n_forms; i++) {
		if (strcmp(name, forms[i].name) != 0)
			continue;
		r = check_members(&forms[i], request, err);
		if (r < 0)
			return r;
		*ret_form = i;
		*ret = TAKE_PTR(request);
		return 0;
	}
	return err_set(err, -EINVAL, "there is no such request");
}

/* --- An answer ------------------------------------------------------------------------------- */

static int dump(json_t *o, char **ret)
{
	_cleanup_(str_done) Str text = STR_INIT;
	js_canonical(o, &text);
	return str_take(&text, ret);
}

int packet_refusal(const Err *why, char **ret)
{
	bool failed = false;
	json_auto_t *o = json_object();
	js_set(o, "ok", json_false(), &failed);
	js_set(o, "error", json_string(errno_name(why->code)), &failed);
	js_set(o, "message", js_text(why->msg), &failed);
	return !o || failed ? -ENOMEM : dump(o, ret);
}

int packet_reply(const json_t *members, char **ret)
{
	_cleanup_free_ char *text = NULL;
	bool failed = false;
	json_auto_t *o = members ? js_copy(members) : json_object();
	js_set(o, "ok", json_true(), &failed);
	int r = !o || failed ? -ENOMEM : dump(o, &text);
	if (r < 0)
		return r;
	if (strlen(text) > HELPER_PACKET_MAX) {
		Err why = ERR_INIT;
		err_set(&why, -EMSGSIZE, "the answer is longer than %d bytes", HELPER_PACKET_MAX);
		return packet_refusal(&why, ret);
	}
	*ret = TAKE_PTR(text);
	return 0;
}

int packet_answer(const char *text, size_t len, json_t **ret, Err *err)
{
	json_auto_t *o = NULL;
	int r = js_parse(text, len, HELPER_PACKET_MAX, &o, err);
	if (r < 0)
		return err_wrap(err, r == -ENOMEM ? r : -EBADMSG, "dream-helper's answer is none");
	if (!json_is_boolean(json_object_get(o, "ok")))
		return err_set(err, -EBADMSG, "dream-helper's answer does not say \"ok\"");
	if (!js_bool(o, "ok", false))
		return err_set(err, errno_of_name(js_str(o, "error", "")), "%s",
			       js_str(o, "message", "dream-helper refused without a reason"));
	*ret = TAKE_PTR(o);
	return 0;
}

/* --- Names of errors ------------------------------------------------------------------------- */

enum {
	ERRNO_MAX = 133, /* EHWPOISON, the last of Linux */
};

const char *errno_name(int code)
{
	const char *name = strerrorname_np(abs(code));
	return code && name ? name : "EIO";
}

int errno_of_name(const char *name)
{
	for (int i = 1; i <= ERRNO_MAX; i++) {
		const char *known = strerrorname_np(i);
		if (known && strcmp(known, name) == 0)
			return -i;
	}
	return -EIO;
}
