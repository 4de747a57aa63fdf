/* The drop-in of an adopted unit. It is written once: whatever is tuned later is only in the files
 * of the generations, which the link `current` leads to whenever the unit starts.
 *
 * The data file is read without a leading '-', so that a unit whose values are gone does not start
 * with empty ones. A copy of a file may hold secrets, so its generation's file is readable by root
 * alone; the manager hands it to this unit's user as a credential, and lays that over the path. */
#include <string.h>

#include "base/str.h"
#include "production/internal.h"

char *current_path(const char *state_dir, const char *unit, const char *suffix)
{
	_cleanup_free_ char *plain = str_fmt("%s/current/%s%s", state_dir, unit, suffix);
	char *escaped = NULL;
	return plain && specifiers_escape(plain, &escaped) >= 0 ? escaped : NULL;
}

static bool needs_variable(const AdoptedTarget *t)
{
	return t->variable != NULL;
}

/* EnvironmentFile= is a pattern, in which a backslash (an instance's name may have one) is an
 * escape. */
static int add_data_file(const AdoptInput *in, const Adoption *a, Str *out)
{
	bool needed = false;
	for (size_t i = 0; i < a->n; i++)
		needed = needed || needs_variable(&a->targets[i]);
	if (!needed)
		return 0;
	_cleanup_free_ char *path = current_path(in->state_dir, in->unit, ".env");
	if (!path)
		return -ENOMEM;
	str_add(out, "EnvironmentFile=");
	for (const char *p = path; *p; p++) {
		if (*p == '\\')
			str_addc(out, '\\');
		str_addc(out, *p);
	}
	str_addc(out, '\n');
	return 0;
}

static int add_copies(const AdoptInput *in, const Adoption *a, Str *out)
{
	int next = 0;
	for (size_t i = 0; i < a->n && !in->user; i++) {
		int number = target_copy_number(a, i);
		if (number != next) /* none, or one that another target has named */
			continue;
		_cleanup_free_ char *suffix = str_fmt(".file%d", number);
		_cleanup_free_ char *path =
		    suffix ? current_path(in->state_dir, in->unit, suffix) : NULL;
		if (!path)
			return -ENOMEM;
		str_addf(out, "LoadCredential=dream.file%d:%s\n", number, path);
		str_addf(out, "BindReadOnlyPaths=%%d/dream.file%d:%s\n", number,
			 a->targets[i].path);
		next++;
	}
	return 0;
}

/* What a power cut left open is undone before the unit starts; it is wanted and not required, so
 * that production comes up whatever becomes of that. A user's manager has no such unit. */
static void add_order(const AdoptInput *in, const Adoption *a, Str *out)
{
	if (in->user && !a->after[0])
		return;
	str_add(out, "[Unit]\n");
	if (!in->user)
		str_add(out, "Wants=dream-recover.service\nAfter=dream-recover.service\n");
	if (a->after[0]) {
		str_add(out, "After=");
		for (char **u = a->after; *u; u++)
			str_addf(out, "%s%s", u == a->after ? "" : " ", *u);
		str_add(out, "\n");
	}
	str_add(out, "\n");
}

int dropin_text(const AdoptInput *in, const Adoption *a, const char *line, char **ret, Err *err)
{
	_cleanup_(str_done) Str out = STR_INIT;

	str_addf(&out,
		 "# Written by 'dream adopt'. 'dream adopt --undo %s' takes it away.\n"
		 "# The values are in %s/current.\n",
		 in->unit, in->state_dir);
	add_order(in, a, &out);
	str_add(&out, "[Service]\n");
	int r = add_data_file(in, a, &out);
	if (r >= 0)
		r = add_copies(in, a, &out);
	if (line)
		str_addf(&out, "ExecStart=\nExecStart=%s\n", line);
	if (r < 0 || str_take(&out, ret) < 0)
		return err_oom(err);
	return 0;
}
