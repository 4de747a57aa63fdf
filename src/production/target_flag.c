/* Flags: words of the command. */
#include <stdlib.h>
#include <string.h>

#include "base/proc.h"
#include "base/str.h"
#include "production/draft.h"

/* --- Words of the command --------------------------------------------------------------------- */

/* Flags of one server are spelled with '-' and with '_'. */
static bool same_flag(const char *word, size_t len, const char *flag)
{
	if (strlen(flag) != len)
		return false;
	for (size_t i = 0; i < len; i++)
		if ((word[i] == '_' ? '-' : word[i]) != (flag[i] == '_' ? '-' : flag[i]))
			return false;
	return true;
}

void target_flag(const Draft *d, const char *flag, FlagAt *ret)
{
	FlagAt f = {0};
	for (size_t i = d->container ? d->image_at + 1 : 1; d->argv[i]; i++) {
		const char *word = d->argv[i], *equals = strchr(word, '=');
		bool whole = same_flag(word, strlen(word), flag);
		bool joined = equals && same_flag(word, (size_t)(equals - word), flag);
		if (!whole && !joined)
			continue;
		f.at = i;
		f.n++;
		f.joined = joined;
	}
	*ret = f;
}

/* The NAME of "${NAME}" and "$NAME", as whole words. */
static bool is_variable(const char *raw, const char **ret, size_t *ret_len)
{
	size_t len = strlen(raw);
	bool braces = len > 3 && raw[1] == '{' && raw[len - 1] == '}';
	*ret = raw + (braces ? 2 : 1);
	*ret_len = braces ? len - 3 : len - 1;
	return raw[0] == '$' && len > 1;
}

static int resolve_variable(const Draft *d, const char *name, char **ret)
{
	_cleanup_free_ char *from = NULL;
	int r = unitenv_get(d->in, name, ret, &from, d->err);
	if (r >= 0 && !*ret)
		return err_set(d->err, -ENOTSUP, "%s uses the variable %s, which is set nowhere",
			       d->in->unit, name);
	return r;
}

int target_resolve(const Draft *d, const char *raw, char **ret)
{
	const char *at;
	size_t len;
	if (!strchr(raw, '$'))
		return specifiers_resolve(raw, d->in->unit, d->in->home, ret, d->err);
	bool is = is_variable(raw, &at, &len);
	_cleanup_free_ char *name = strndup(at, len);
	if (!name)
		return err_oom(d->err);
	if (!is || !env_name_ok(name))
		return err_set(
		    d->err, -ENOTSUP,
		    "%s has the value '%.100s', whose variables only systemd can fill in; "
		    "write the value out",
		    d->in->unit, raw);
	return resolve_variable(d, name, ret);
}

int target_replace_word(Draft *d, size_t argv_index, const char *text)
{
	if (unitcommand_replace(&d->cmd, draft_word(d, argv_index), text) < 0)
		return err_oom(d->err);
	d->changed = true;
	return draft_look(d);
}

int target_insert_word(Draft *d, size_t argv_index, const char *text)
{
	if (unitcommand_insert(&d->cmd, draft_word(d, argv_index), text) < 0)
		return err_oom(d->err);
	d->changed = true;
	return draft_look(d);
}

int target_check_expansion(const Draft *d)
{
	return d->cmd.no_variables
		   ? err_set(d->err, -ENOTSUP,
			     "%s: ':' in front of the program in ExecStart= keeps systemd from "
			     "filling in variables; take the ':' out",
			     d->cmd.from)
		   : 0;
}

/* --- Flags ------------------------------------------------------------------------------------ */

/* "sh -c '...'" anywhere in the line: the server's own words are inside one of ours. */
static bool has_script(const Draft *d)
{
	for (size_t i = 0; d->argv[i] && d->argv[i + 1]; i++)
		if (program_is_shell(d->argv[i]) && d->argv[i + 1][0] == '-' &&
		    strchr(d->argv[i + 1], 'c') && d->argv[i + 1][1] != '-')
			return true;
	return false;
}

/* A flag that a variable holds: $VLLM_ARGS. */
static int check_not_in_variable(const Draft *d, const char *flag)
{
	for (size_t i = 1; d->argv[i]; i++) {
		_cleanup_free_ char *value = NULL;
		_cleanup_free_ char *from = NULL;
		const char *word = d->argv[i];
		if (word[0] != '$' || !env_name_ok(word + 1))
			continue;
		int r = unitenv_get(d->in, word + 1, &value, &from, d->err);
		if (r < 0)
			return r;
		if (value && strstr(value, flag))
			return err_set(d->err, -ENOTSUP,
				       "%s is inside the variable %s of %s, where it cannot be "
				       "replaced alone; write it into ExecStart= instead",
				       flag, word + 1, from);
	}
	return 0;
}

static int check_append(const Draft *d, const char *flag, const AdoptWish *w)
{
	if (has_script(d))
		return err_set(d->err, -ENOTSUP,
			       "%s starts its server through a shell script in ExecStart=, whose "
			       "words cannot be changed safely; write the server's own command "
			       "there, or adopt a variable that the script uses",
			       d->in->unit);
	for (size_t i = 1; d->argv[i]; i++)
		if (strcmp(d->argv[i], "--") == 0)
			return err_set(
			    d->err, -ENOTSUP,
			    "%s is not in ExecStart=, and where it belongs cannot be told "
			    "because of the '--' there; write it into the unit first",
			    flag);
	int r = check_not_in_variable(d, flag);
	if (r < 0)
		return r;
	if (!w->value)
		return err_set(d->err, -EINVAL,
			       "%s does not give %s to its program; if the program takes it, say "
			       "what it is now with --value %s=VALUE (the program's default), and "
			       "it is added at the end",
			       d->in->unit, flag, w->parameter);
	return 0;
}

/* Whether the flag has a value where one would stand. */
int target_flag_value(const Draft *d, const FlagAt *at, const char *flag, const char **ret)
{
	const char *value = at->joined ? strchr(d->argv[at->at], '=') + 1 : d->argv[at->at + 1];
	bool negative =
	    value && value[0] == '-' && ((value[1] >= '0' && value[1] <= '9') || value[1] == '.');
	if (at->n > 1)
		return err_set(d->err, -ENOTSUP,
			       "%s stands %zu times in ExecStart=, and which one counts is the "
			       "program's own business; leave one",
			       flag, at->n);
	if (!value || (!at->joined && value[0] == '-' && !negative))
		return err_set(d->err, -ENOTSUP,
			       "%s has no value in ExecStart=, so there is "
			       "nothing to tune",
			       flag);
	*ret = value;
	return 0;
}

static int append_flag(Draft *d, const AdoptWish *w, const char *variable)
{
	_cleanup_free_ char *text = str_fmt("${%s}", variable);
	if (!text)
		return err_oom(d->err);
	int r = check_append(d, w->target, w);
	if (r >= 0)
		r = target_insert_word(d, d->cmd.n, w->target);
	return r < 0 ? r : target_insert_word(d, d->cmd.n, text);
}

static int replace_flag(Draft *d, const FlagAt *at, const char *variable)
{
	const char *word = d->argv[at->at];
	_cleanup_free_ char *text =
	    at->joined ? str_fmt("%.*s=${%s}", (int)strcspn(word, "="), word, variable)
		       : str_fmt("${%s}", variable);
	return text ? target_replace_word(d, at->at + !at->joined, text) : err_oom(d->err);
}

static int value_now(const Draft *d, const FlagAt *at, const char *flag, char **ret)
{
	const char *raw = "";
	int r = target_flag_value(d, at, flag, &raw);
	return r < 0 ? r : target_resolve(d, raw, ret);
}

int target_add_flag(Draft *d, const AdoptWish *w)
{
	_cleanup_free_ char *variable = target_variable(w->parameter);
	_cleanup_free_ char *original = NULL;
	FlagAt at = {0};
	target_flag(d, w->target, &at);
	int r = variable ? target_check_expansion(d) : err_oom(d->err);

	if (r >= 0 && at.n > 0)
		r = value_now(d, &at, w->target, &original);
	if (r >= 0)
		r = target_check_new(d, w, &(Found){TARGET_FLAG, w->target, .variable = variable});
	if (r >= 0)
		r = at.n > 0 ? replace_flag(d, &at, variable) : append_flag(d, w, variable);
	if (r < 0)
		return r;
	return target_put(
	    d, w, &(Found){TARGET_FLAG, w->target, .variable = variable, .original = original});
}
