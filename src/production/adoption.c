/* Adoptions as values: what a wish says, what a target reads like, what was edited since. */
#include "production/adoption.h"

#include <math.h>
#include <string.h>

#include "base/hash.h"
#include "production/internal.h"

/* --- Freeing ---------------------------------------------------------------------------------- */

void allowed_done(Allowed *a)
{
	strings_free(a->words);
	*a = (Allowed){0};
}

static void target_done(AdoptedTarget *t)
{
	free(t->parameter);
	free(t->name);
	free(t->path);
	free(t->variable);
	free(t->original);
	free(t->file_sha256);
	allowed_done(&t->allowed);
}

void adoption_done(Adoption *a)
{
	for (size_t i = 0; i < a->n; i++)
		target_done(&a->targets[i]);
	free(a->targets);
	free(a->unit);
	free(a->fingerprint);
	free(a->command);
	free(a->dropin);
	strings_free(a->after);
	*a = (Adoption){0};
}

void adoption_free_all(Adoption *list, size_t n)
{
	for (size_t i = 0; list && i < n; i++)
		adoption_done(&list[i]);
	free(list);
}

void adoptwish_done(AdoptWish *w)
{
	free(w->parameter);
	free(w->target);
	free(w->value);
	allowed_done(&w->allowed);
	*w = (AdoptWish){0};
}

/* --- What is allowed -------------------------------------------------------------------------- */

int allowed_copy(const Allowed *a, Allowed *ret)
{
	Allowed c = {.has_range = a->has_range, .min = a->min, .max = a->max};
	for (char **w = a->words; w && *w; w++)
		if (strings_add(&c.words, strdup(*w)) < 0) {
			allowed_done(&c);
			return -ENOMEM;
		}
	*ret = c;
	return 0;
}

static bool read_number(const char *text, size_t len, double *ret)
{
	_cleanup_free_ char *one = strndup(text, len);
	char *end;
	if (!one || len == 0 || strspn(one, "0123456789+-.eE") != len)
		return false;
	*ret = strtod(one, &end);
	return !*end && isfinite(*ret);
}

static int read_words(const char *text, Allowed *a, Err *err)
{
	for (;; text++) {
		size_t len = strcspn(text, ",");
		char *word = strndup(text, len);
		if (word && !value_is_plain(word)) {
			free(word);
			return err_set(err, -EINVAL, "'%.100s' is no value", text);
		}
		if (strings_add(&a->words, word) < 0)
			return err_oom(err);
		text += len;
		if (!*text)
			return 0;
	}
}

int allowed_parse(const char *text, Allowed *ret, Err *err)
{
	Allowed a = {0};
	const char *dots = strstr(text, "..");
	int r = 0;

	if (dots && !strchr(text, ',')) {
		a.has_range = true;
		if (!read_number(text, (size_t)(dots - text), &a.min) ||
		    !read_number(dots + 2, strlen(dots + 2), &a.max) || a.min > a.max)
			return err_set(err, -EINVAL,
				       "'%.100s' is no range of numbers, as in 0.3..0.95", text);
	} else {
		r = read_words(text, &a, err);
	}
	if (r < 0) {
		allowed_done(&a);
		return r;
	}
	*ret = a;
	return 0;
}

/* --- Wishes ----------------------------------------------------------------------------------- */

enum {
	PARAMETER_CHARS_MAX = 64,
	TARGET_CHARS_MAX = 1024,
};

static bool is_parameter(const char *s, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (!(s[i] >= 'a' && s[i] <= 'z') && !(s[i] >= 'A' && s[i] <= 'Z') &&
		    !(s[i] >= '0' && s[i] <= '9' && i > 0) && s[i] != '_' &&
		    !(i > 0 && (s[i] == '-' || s[i] == '.')))
			return false;
	return len > 0 && len <= PARAMETER_CHARS_MAX;
}

static bool is_flag(const char *s)
{
	size_t dashes = strspn(s, "-");
	const char *name = s + dashes;
	return dashes >= 1 && dashes <= 2 && *name &&
	       strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-.") ==
		   strlen(name);
}

static bool is_target(const char *s)
{
	const char *colon = strrchr(s, ':');
	if (strlen(s) > TARGET_CHARS_MAX)
		return false;
	if (strncmp(s, "--config:", 9) == 0)
		return s[9] != '\0';
	if (s[0] == '-')
		return is_flag(s);
	if (s[0] == '/')
		return colon && env_name_ok(colon + 1);
	return env_name_ok(s);
}

int adoptwish_parse(const char *text, AdoptWish *ret, Err *err)
{
	const char *equals = strchr(text, '=');

	if (!equals || !is_parameter(text, (size_t)(equals - text)))
		return err_set(err, -EINVAL,
			       "'%.100s' is not PARAM=TARGET, as in "
			       "vllm_memory_util=--gpu-memory-utilization",
			       text);
	if (!is_target(equals + 1))
		return err_set(
		    err, -EINVAL,
		    "'%.100s' is no target; a flag is written --flag, a variable NAME, a "
		    "key of an env file /path/file:NAME, a key of the file that --config "
		    "names --config:key",
		    equals + 1);
	*ret = (AdoptWish){.parameter = strndup(text, (size_t)(equals - text)),
			   .target = strdup(equals + 1)};
	if (ret->parameter && ret->target)
		return 0;
	adoptwish_done(ret);
	return err_oom(err);
}

/* --- Targets ---------------------------------------------------------------------------------- */

char *target_text(const AdoptedTarget *t)
{
	switch (t->kind) {
	case TARGET_KEY:
		return str_fmt("%s:%s", t->path, t->name);
	case TARGET_CONFIG:
		return str_fmt("--config:%s", t->name);
	case TARGET_FLAG:
	case TARGET_ENV:
		break;
	}
	return strdup(t->name);
}

int target_copy_number(const Adoption *a, size_t target)
{
	int number = -1;
	for (size_t i = 0; i <= target && i < a->n; i++) {
		const AdoptedTarget *t = &a->targets[i];
		size_t k = 0;
		if (!t->file_sha256)
			continue;
		while (k < i &&
		       !(a->targets[k].file_sha256 && strcmp(a->targets[k].path, t->path) == 0))
			k++;
		if (k == i)
			number++; /* the first of its path */
		if (i == target)
			return k == i ? number : target_copy_number(a, k);
	}
	return -1;
}

/* --- Drift ------------------------------------------------------------------------------------ */

static int file_drift(const AdoptedTarget *t, const AdoptInput *in, Str *out, Err *err)
{
	_cleanup_free_ char *text = NULL;
	char hex[HASH_HEX_SIZE] = "";
	int r = in->read_file(in->ctx, t->path, &text, err);
	if (r < 0)
		return r;
	if (text) {
		Hash h = hash_of(text, strlen(text));
		hash_hex(&h, hex);
	}
	if (strcmp(hex, t->file_sha256) != 0)
		str_addf(out, "%s%s was %s since", out->len ? ", " : "", t->path,
			 text ? "edited" : "taken away");
	return 0;
}

/* The value of a key in a file that the manager reads. */
static int key_now(const AdoptedTarget *t, const AdoptInput *in, char **ret, Err *err)
{
	_cleanup_free_ char *text = NULL;
	int r = in->read_file(in->ctx, t->path, &text, err);
	*ret = NULL;
	return r >= 0 && text ? envtext_get(t->path, text, t->name, false, ret, err) : r;
}

static int variable_now(const AdoptedTarget *t, const AdoptInput *in, char **ret, Err *err)
{
	_cleanup_free_ char *from = NULL;
	return unitenv_get(in, t->name, ret, &from, err);
}

/* The value that it would have without us. */
static int value_drift(const AdoptedTarget *t, const AdoptInput *in, Str *out, Err *err)
{
	_cleanup_free_ char *now = NULL;
	int r = t->kind == TARGET_KEY ? key_now(t, in, &now, err) : variable_now(t, in, &now, err);
	if (r < 0)
		return r;
	if (now ? !t->original || strcmp(now, t->original) != 0 : t->original != NULL)
		str_addf(out, "%s%s is %s in the unit's own files now (%s then)",
			 out->len ? ", " : "", t->name, now ? now : "not set",
			 t->original ? t->original : "not set");
	return 0;
}

static int target_drift(const AdoptedTarget *t, const AdoptInput *in, Str *out, Err *err)
{
	bool by_name = t->variable && strcmp(t->variable, t->name) == 0;
	if (t->file_sha256)
		return file_drift(t, in, out, err);
	if ((t->kind == TARGET_ENV || t->kind == TARGET_KEY) && by_name)
		return value_drift(t, in, out, err);
	return 0; /* words of the command: the fingerprint has them */
}

int adoption_drift(const Adoption *a, const AdoptInput *in, char **ret, Err *err)
{
	_cleanup_(str_done) Str out = STR_INIT;
	char print[65];
	int r = unit_fingerprint(in->files, in->n_files, a->dropin, print, err);
	if (r < 0)
		return r;
	if (strcmp(print, a->fingerprint) != 0)
		str_add(&out, "its ExecStart= or environment was edited since it was adopted");
	for (size_t i = 0; i < a->n; i++) {
		r = target_drift(&a->targets[i], in, &out, err);
		if (r < 0)
			return r;
	}
	return str_take(&out, ret) < 0 ? err_oom(err) : 0;
}
