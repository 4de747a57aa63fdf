/* Does a process have what the generation says? Pure: a command line, an environment and files go
 * in. What is not adopted is not looked at, and never printed. */
#include "production/readback.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/json.h"
#include "base/str.h"
#include "production/containerline.h"
#include "production/internal.h"
#include "production/sight.h"

enum {
	FOUND_MAX = 256, /* characters of a value that are kept */
	/* A process' start is told in clock ticks, rounded down. */
	TICK_US = 10000,
};

void readback_done(Readback *r)
{
	for (size_t i = 0; i < r->n; i++) {
		free(r->values[i].expected);
		free(r->values[i].found);
	}
	free(r->values);
	*r = (Readback){0};
}

/* --- What a process says ---------------------------------------------------------------------- */

/* One value as it is found: the last that is said counts on a command line, the first in an
 * environment. */
typedef struct Found {
	const char *text; /* borrowed; NULL: not set */
	const char *where;
	bool twice;
} Found;

static void found_last(Found *f, const char *text)
{
	if (f->text && strcmp(f->text, text) != 0)
		f->twice = true;
	f->text = text;
}

static void found_first(Found *f, const char *text)
{
	if (!f->text)
		f->text = text;
	else if (strcmp(f->text, text) != 0)
		f->twice = true;
}

typedef struct Words {
	char *const *argv; /* NULL-terminated */
	size_t options;	   /* where the options of a container's line begin; 0: it is none */
	size_t program;	   /* where the program's own arguments begin */
} Words;

static Words words_of(char *const *argv)
{
	Words w = {.argv = argv, .program = argv[0] ? 1 : 0};
	if (!container_line(argv, &w.options, &w.program))
		w.options = 0;
	return w;
}

/* Python's servers take '_' for '-' in long flags. */
static bool same_flag(const char *said, size_t len, const char *name)
{
	if (strlen(name) != len)
		return false;
	for (size_t i = 0; i < len; i++)
		if (said[i] != name[i] && !(strchr("-_", said[i]) && strchr("-_", name[i])))
			return false;
	return true;
}

static void find_flag(const Words *w, const char *name, Found *f)
{
	for (char *const *arg = w->argv + w->program; *arg; arg++) {
		size_t len = strcspn(*arg, "=");
		if (!same_flag(*arg, len, name))
			continue;
		if ((*arg)[len])
			found_last(f, *arg + len + 1);
		else if (arg[1])
			found_last(f, *++arg);
		else
			found_last(f, "");
	}
}

static const char *value_behind(const char *assignment, const char *name)
{
	size_t n = strlen(name);
	return strncmp(assignment, name, n) == 0 && assignment[n] == '=' ? assignment + n + 1
									 : NULL;
}

static void find_container_env(const Words *w, const char *name, Found *f)
{
	for (size_t at = w->options; w->argv[at] && at + 1 < w->program;) {
		ContainerOption o;
		container_option(w->argv + at, &o);
		const char *value =
		    strcmp(o.name, "env") == 0 && o.value ? value_behind(o.value, name) : NULL;
		if (value)
			found_last(f, value);
		for (size_t i = 0; i < o.words && w->argv[at]; i++)
			at++;
	}
}

static void find_env(char *const *env, const char *name, Found *f)
{
	for (; *env; env++) {
		const char *value = value_behind(*env, name);
		if (value)
			found_first(f, value);
	}
}

/* --- One target ------------------------------------------------------------------------------- */

static Found search_env(const AdoptedTarget *t, const Words *w, char *const *env)
{
	Found f = {.where = "environment"};
	if (w->options > 0) {
		f.where = "command line";
		find_container_env(w, t->name, &f);
	} else {
		find_env(env, t->name, &f);
	}
	return f;
}

static int from_file(const AdoptedTarget *t, const char *text, char **ret, Err *err)
{
	*ret = NULL;
	if (!text)
		return 0;
	int r = t->kind == TARGET_CONFIG ? yamltext_get(t->path, text, t->name, ret, err)
					 : envtext_get(t->path, text, t->name, true, ret, err);
	/* A file that cannot be understood says nothing. */
	return r == -ENOMEM ? r : 0;
}

/* A file's key, unless the environment or a flag of the same name says something else, which would
 * count more. */
static int search_file(const AdoptedTarget *t, const Words *w, char *const *env, const char *text,
		       Found *ret, char **ret_own, Err *err)
{
	Found f = {0};
	if (t->kind == TARGET_CONFIG) {
		_cleanup_free_ char *flag = str_fmt("--%s", t->name);
		if (!flag)
			return err_oom(err);
		f.where = "command line";
		find_flag(w, flag, &f);
	} else {
		f = search_env(t, w, env);
	}
	if (!f.text) {
		int r = from_file(t, text, ret_own, err);
		if (r < 0)
			return r;
		f = (Found){.text = *ret_own, .where = "file"};
	}
	*ret = f;
	return 0;
}

static bool as_number(const char *text, double *ret)
{
	char *end;
	if (!*text || !strchr("+-.0123456789", *text))
		return false;
	*ret = strtod(text, &end);
	return !*end && isfinite(*ret);
}

static bool same_value(const char *expected, const char *found)
{
	double a, b;
	if (strcmp(expected, found) == 0)
		return true;
	return as_number(expected, &a) && as_number(found, &b) && a == b;
}

static int judge_value(const AdoptedTarget *t, const char *expected, const Words *w,
		       char *const *env, const char *file, ReadValue *ret, Err *err)
{
	_cleanup_free_ char *own = NULL;
	Found f = {.where = "command line"};
	int r = 0;

	if (t->kind == TARGET_FLAG)
		find_flag(w, t->name, &f);
	else if (t->kind == TARGET_ENV)
		f = search_env(t, w, env);
	else
		r = search_file(t, w, env, file, &f, &own, err);
	if (r < 0)
		return r;
	*ret = (ReadValue){.target = t, .twice = f.twice, .where = f.where};
	ret->expected = strdup(expected);
	ret->found = f.text ? strndup(f.text, FOUND_MAX) : NULL;
	if (!ret->expected || (f.text && !ret->found)) {
		free(ret->expected);
		free(ret->found);
		return err_oom(err);
	}
	ret->same = f.text && same_value(expected, f.text);
	return 0;
}

/* --- Words ------------------------------------------------------------------------------------ */

static void say_value(const ReadValue *v, const char *more, Str *out)
{
	str_addf(out, "%s should be %s and is ", v->target->parameter, v->expected);
	if (!v->found)
		str_addf(out, "not set (%s: %s)", v->where, v->target->name);
	else if (!*v->found)
		str_addf(out, "empty (%s: %s)", v->where, v->target->name);
	else
		str_add_safe(out, v->found, strlen(v->found), 60);
	if (v->found && v->twice)
		str_addf(out, " (%s is there twice)", v->target->name);
	str_add(out, more);
}

static void say_all(const Readback *r, bool hidden, Str *out)
{
	size_t wrong = 0;
	if (r->pid == 0)
		str_add(out, "the unit has no process; ");
	else if (!r->fresh)
		str_add(out, "the process is older than the change; ");
	if (r->drifted)
		str_addf(out, "%s; ", r->drift);
	if (hidden)
		str_add(out, "the process shows no command line; ");
	if (r->unseen)
		str_add(out, "it runs in a container that is not seen into: no process was started "
			     "there with these arguments; ");
	for (size_t i = 0; r->pid != 0 && !r->unseen && i < r->n; i++)
		if (!r->values[i].same && wrong++ < 3)
			say_value(&r->values[i], "; ", out);
}

static int say(Readback *r, bool hidden, Err *err)
{
	_cleanup_(str_done) Str text = STR_INIT;
	r->words[0] = '\0';
	say_all(r, hidden, &text);
	if (text.failed)
		return err_oom(err);
	if (text.len >= 2)
		snprintf(r->words, sizeof(r->words), "%.*s", (int)text.len - 2, text.s);
	return 0;
}

/* --- Drift ------------------------------------------------------------------------------------ */

/* The files without ours; *ret_ours: it was among them. Borrowed, but for the array. */
static UnitFile *without_ours(const Adoption *a, const UnitFile *files, size_t n, size_t *ret_n,
			      bool *ret_ours)
{
	UnitFile *theirs = calloc(n + 1, sizeof(*theirs));
	*ret_n = 0;
	*ret_ours = false;
	for (size_t i = 0; theirs && i < n; i++) {
		if (strcmp(files[i].path, a->dropin) == 0)
			*ret_ours = true;
		else
			theirs[(*ret_n)++] = files[i];
	}
	return theirs;
}

void readback_drift(const Adoption *a, const UnitFile *files, size_t n, char *ret, size_t size)
{
	size_t n_theirs;
	bool ours;
	_cleanup_free_ UnitFile *theirs = without_ours(a, files, n, &n_theirs, &ours);
	const AdoptInput in = {.unit = a->unit,
			       .files = theirs,
			       .n_files = n_theirs,
			       .dropin = a->dropin,
			       .home = geteuid() == 0 ? "/root" : getenv("HOME"),
			       .read_file = unit_read_file};
	_cleanup_free_ char *words = NULL;
	Err err = ERR_INIT;

	ret[0] = '\0';
	if (!theirs)
		snprintf(ret, size, "out of memory");
	else if (n == 0)
		snprintf(ret, size, "%s has no files: it is masked or gone", a->unit);
	else if (!ours)
		snprintf(ret, size, "systemd does not read %s", a->dropin);
	else if (adoption_drift(a, &in, &words, &err) < 0)
		snprintf(ret, size, "%s is not understood any more: %.100s", a->unit, err.msg);
	else if (*words)
		snprintf(ret, size, "%s is not what was adopted: %.160s", a->unit, words);
}

/* --- The judge -------------------------------------------------------------------------------- */

static int judge_all(const Adoption *a, const Generation *g, const ProcessSight *sight,
		     char *const *argv, char *const *env, Readback *ret, Err *err)
{
	const json_t *values = json_object_get(g->values, a->unit);
	Words w = words_of(argv);

	ret->unseen = w.options > 0;
	ret->values = calloc(a->n + 1, sizeof(*ret->values));
	if (!ret->values)
		return err_oom(err);
	for (size_t i = 0; i < a->n; i++) {
		const char *expected = js_str(values, a->targets[i].parameter, NULL);
		if (!expected)
			return err_set(err, -ESTALE, "the generation %s has no value of %s for %s",
				       g->id, a->targets[i].parameter, a->unit);
		int r = judge_value(&a->targets[i], expected, &w, env,
				    sight->files ? sight->files[i] : NULL, &ret->values[i], err);
		if (r < 0)
			return r;
		/* What the client was told proves nothing of what is inside. */
		ret->values[i].same &= !ret->unseen;
		ret->n++;
	}
	return 0;
}

static bool all_same(const Readback *r)
{
	for (size_t i = 0; i < r->n; i++)
		if (!r->values[i].same)
			return false;
	return r->pid != 0 && !r->unseen && r->fresh && !r->drifted;
}

int readback_judge(const Adoption *a, const Generation *g, const ProcessSight *sight,
		   int64_t flipped_at_us, Readback *ret, Err *err)
{
	_cleanup_free_ char *args = NULL;
	_cleanup_free_ char **argv = NULL;
	_cleanup_free_ char *vars = NULL;
	_cleanup_free_ char **env = NULL;
	Readback r = {.pid = sight->pid,
		      .started_at_us = sight->started_at_us,
		      .flipped_at_us = flipped_at_us};

	r.fresh = sight->pid != 0 && sight->started_at_us + TICK_US > flipped_at_us;
	int code = sight_split(sight->cmdline, sight->cmdline_len, &args, &argv, err);
	if (code >= 0)
		code = sight_split(sight->environ, sight->environ_len, &vars, &env, err);
	if (code >= 0)
		code = argv && env ? judge_all(a, g, sight, argv, env, &r, err) : err_oom(err);
	if (code >= 0)
		code = say(&r, sight->pid != 0 && sight->cmdline_len == 0, err);
	if (code < 0) {
		readback_done(&r);
		return code;
	}
	r.same = all_same(&r);
	*ret = r;
	return 0;
}

/* A process that ended while it was looked at is none. */
int readback_process(const Adoption *a, const Generation *g, pid_t pid, const UnitFile *files,
		     size_t n_files, int64_t flipped_at_us, Readback *ret, Err *err)
{
	_cleanup_(sight_done) Sight s = {0};
	int r = pid > 0 ? sight_read(a, pid, &s, err) : 0;
	if (r < 0 && r != -ESRCH)
		return r;
	r = readback_judge(a, g, &s.p, flipped_at_us, ret, err);
	if (r < 0)
		return r;
	readback_drift(a, files, n_files, ret->drift, sizeof(ret->drift));
	ret->drifted = ret->drift[0] != '\0';
	ret->same = all_same(ret);
	r = say(ret, s.p.pid != 0 && s.p.cmdline_len == 0, err);
	if (r < 0)
		readback_done(ret);
	return r;
}

/* --- JSON ------------------------------------------------------------------------------------- */

static json_t *value_json(const ReadValue *v)
{
	bool failed = false;
	json_auto_t *o = json_object();
	js_set(o, "parameter", js_text(v->target->parameter), &failed);
	js_set(o, "target", js_text(v->target->name), &failed);
	js_set(o, "expected", js_text(v->expected), &failed);
	js_set(o, "found", v->found ? js_text(v->found) : json_null(), &failed);
	js_set(o, "where", js_text(v->where), &failed);
	js_set(o, "twice", json_boolean(v->twice), &failed);
	js_set(o, "same", json_boolean(v->same), &failed);
	return failed ? NULL : TAKE_PTR(o);
}

json_t *readback_json(const Readback *r)
{
	bool failed = false;
	json_auto_t *o = json_object(), *values = json_array();
	for (size_t i = 0; i < r->n; i++)
		if (json_array_append_new(values, value_json(&r->values[i])) < 0)
			failed = true;
	js_set(o, "pid", json_integer(r->pid), &failed);
	js_set(o, "started_at_us", json_integer(r->started_at_us), &failed);
	js_set(o, "flipped_at_us", json_integer(r->flipped_at_us), &failed);
	js_set(o, "fresh", json_boolean(r->fresh), &failed);
	js_set(o, "drift", js_text(r->drift), &failed);
	js_set(o, "seen", json_boolean(!r->unseen), &failed);
	js_set(o, "same", json_boolean(r->same), &failed);
	js_set(o, "words", js_text(r->words), &failed);
	js_set(o, "values", TAKE_PTR(values), &failed);
	return failed ? NULL : TAKE_PTR(o);
}
