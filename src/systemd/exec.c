/* What a unit runs, from its properties: only what is set, and what changes what the program sees.
 */
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/str.h"
#include "base/strings.h"
#include "systemd/internal.h"

#ifndef __clang__
/* gcc 12 loses what a struct owns, or what was returned through a pointer, once functions are
 * nested; the tests run under ASan, leaks included. */
#pragma GCC diagnostic ignored "-Wanalyzer-malloc-leak"
#endif

/* Properties that change what a program sees of the machine, and how they read when nobody set them
 * (as JSON). */
static const struct {
	const char *name, *unset;
} sandbox_properties[] = {
    {"AmbientCapabilities", "0"},
    {"BindPaths", "[]"},
    {"BindReadOnlyPaths", "[]"},
    {"CacheDirectory", "[]"},
    {"DeviceAllow", "[]"},
    {"DevicePolicy", "\"auto\""},
    {"DynamicUser", "false"},
    {"ExecPaths", "[]"},
    {"InaccessiblePaths", "[]"},
    {"LoadCredential", "[]"},
    {"LogsDirectory", "[]"},
    {"MemoryDenyWriteExecute", "false"},
    {"NetworkNamespacePath", "\"\""},
    {"NoExecPaths", "[]"},
    {"NoNewPrivileges", "false"},
    {"PAMName", "\"\""},
    {"PassEnvironment", "[]"},
    {"PrivateDevices", "false"},
    {"PrivateIPC", "false"},
    {"PrivateMounts", "false"},
    {"PrivateNetwork", "false"},
    {"PrivateTmp", "false"},
    {"PrivateUsers", "false"},
    {"ProcSubset", "\"all\""},
    {"ProtectHome", "\"no\""},
    {"ProtectKernelModules", "false"},
    {"ProtectKernelTunables", "false"},
    {"ProtectProc", "\"default\""},
    {"ProtectSystem", "\"no\""},
    {"ReadOnlyPaths", "[]"},
    {"ReadWritePaths", "[]"},
    {"RestrictAddressFamilies", "[false, []]"},
    {"RestrictRealtime", "false"},
    {"RootDirectoryStartOnly", "false"},
    {"RootImage", "\"\""},
    {"RuntimeDirectory", "[]"},
    {"StateDirectory", "[]"},
    {"SupplementaryGroups", "[]"},
    {"SystemCallFilter", "[false, []]"},
    {"TemporaryFileSystem", "[]"},
    {"UMask", "18"},
    {"UnsetEnvironment", "[]"},
};

/* Amounts that are no limit when they are infinite; those of processes also when they are the
 * manager's default. */
static const char *const amounts[] = {
    "CPUQuotaPerSecUSec", "MemoryMax",	    "MemoryHigh", "MemorySwapMax",
    "TasksMax",		  "RuntimeMaxUSec", NULL};

typedef struct Reading {
	UnitExec *u;
	json_t *defaults; /* of the manager, by the names of the unit's properties */
	bool failed;
} Reading;

void unit_exec_done(UnitExec *u)
{
	char **const lists[] = {u->argv, u->env, u->env_files};
	char *const texts[] = {u->unit, u->fragment, u->user, u->group,
			       u->cwd,	u->root_dir, u->type};

	for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++) {
		for (char **s = lists[i]; s && *s; s++)
			free(*s);
		free(lists[i]);
	}
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		free(texts[i]);
	json_decref(u->limits);
	json_decref(u->sandbox);
	*u = (UnitExec){0};
}

/* --- Lists ----------------------------------------------------------------------------------- */

static void strv_free(char **list)
{
	for (char **s = list; s && *s; s++)
		free(*s);
	free(list);
}

DEFINE_CLEANUP(char **, strv_free)

/* Of a JSON list of strings; what is no string is left out. */
static int strv_from(const json_t *list, char ***ret)
{
	_cleanup_(strv_freep) char **out = calloc(json_array_size(list) + 1, sizeof(*out));
	size_t n = 0;
	if (!out)
		return -ENOMEM;
	for (size_t i = 0; i < json_array_size(list); i++) {
		const char *text = json_string_value(json_array_get(list, i));
		if (text && !(out[n++] = strdup(text)))
			return -ENOMEM;
	}
	if (*ret)
		strv_free(*ret);
	*ret = TAKE_PTR(out);
	return 0;
}

/* ExecStart, a(sasbttttuii): of each command the path, the arguments, and whether its failure
 * matters; the rest is about when it ran. */
static int read_commands(const json_t *v, UnitExec *u)
{
	const json_t *first = json_array_get(v, 0);
	const char *path = json_string_value(json_array_get(first, 0));

	u->n_commands = json_array_size(v);
	int r = strv_from(json_array_get(first, 1), &u->argv);
	if (r < 0 || !path)
		return r;
	if (!u->argv[0])
		return 0;
	/* "@/path name": the program is called by another name than its path. */
	char *copy = strdup(path);
	if (!copy)
		return -ENOMEM;
	free(u->argv[0]);
	u->argv[0] = copy;
	return 0;
}

/* EnvironmentFiles, a(sb): the path, and whether it may be missing. */
static int read_env_files(const json_t *v, UnitExec *u)
{
	json_auto_t *names = json_array();
	const json_t *file;
	size_t i;

	json_array_foreach (v, i, file) {
		const char *path = json_string_value(json_array_get(file, 0));
		bool optional = json_is_true(json_array_get(file, 1));
		_cleanup_free_ char *name = str_fmt("%s%s", optional ? "-" : "", path ? path : "");
		if (!names || !name || json_array_append_new(names, js_text(name)) < 0)
			return -ENOMEM;
	}
	return strv_from(names, &u->env_files);
}

/* --- One property ---------------------------------------------------------------------------- */

static char **text_of(UnitExec *u, const char *name)
{
	const struct {
		const char *name;
		char **at;
	} texts[] = {
	    {"FragmentPath", &u->fragment},
	    {"User", &u->user},
	    {"Group", &u->group},
	    {"WorkingDirectory", &u->cwd},
	    {"RootDirectory", &u->root_dir},
	    {"Type", &u->type},
	};
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		if (strcmp(name, texts[i].name) == 0)
			return texts[i].at;
	return NULL;
}

static int keep_text(char **at, const json_t *v)
{
	const char *text = json_string_value(v);
	char *copy = strdup(text ? text : "");
	if (!copy)
		return -ENOMEM;
	free(*at);
	*at = copy;
	return 0;
}

static bool is_amount(const char *name)
{
	return words_have(amounts, name) || strncmp(name, "Limit", 5) == 0;
}

static bool is_infinite(const json_t *v)
{
	const char *text = json_string_value(v);
	return text && strcmp(text, "infinity") == 0;
}

static void keep_limit(Reading *at, const char *name, json_t *v)
{
	const json_t *usual = json_object_get(at->defaults, name);
	if (usual ? !json_equal(usual, v) : !is_infinite(v))
		js_set(at->u->limits, name, json_incref(v), &at->failed);
}

static void keep_sandbox(Reading *at, const char *name, json_t *v)
{
	for (size_t i = 0; i < sizeof(sandbox_properties) / sizeof(sandbox_properties[0]); i++) {
		if (strcmp(name, sandbox_properties[i].name) != 0)
			continue;
		json_auto_t *unset = json_loads(sandbox_properties[i].unset, JSON_DECODE_ANY, NULL);
		if (!unset || !json_equal(unset, v))
			js_set(at->u->sandbox, name, json_incref(v), &at->failed);
		return;
	}
}

static int keep(Reading *at, const char *name, json_t *v)
{
	char **text = text_of(at->u, name);

	if (text)
		return keep_text(text, v);
	if (strcmp(name, "ExecStart") == 0)
		return read_commands(v, at->u);
	if (strcmp(name, "Environment") == 0)
		return strv_from(v, &at->u->env);
	if (strcmp(name, "EnvironmentFiles") == 0)
		return read_env_files(v, at->u);
	if (is_amount(name))
		keep_limit(at, name, v);
	else
		keep_sandbox(at, name, v);
	return at->failed ? -ENOMEM : 0;
}

static int read_one(void *ctx, const char *name, sd_bus_message *m)
{
	json_auto_t *v = NULL;
	const char *contents;
	char type;
	/* What has no JSON form is none of ours. */
	int r = sd_bus_message_peek_type(m, &type, &contents);
	if (r < 0 || !contents || strchr(contents, 'h'))
		return r < 0 ? r : 0;
	r = variant_json(m, &v);
	return r < 0 ? r : keep(ctx, name, v);
}

/* --- Defaults -------------------------------------------------------------------------------- */

static int read_default(void *ctx, const char *name, sd_bus_message *m)
{
	bool failed = false;
	json_t *v = NULL;

	/* "DefaultLimitNOFILE" is that of "LimitNOFILE", "DefaultTasksMax" of "TasksMax". */
	if (strncmp(name, "DefaultLimit", 12) != 0 && strcmp(name, "DefaultTasksMax") != 0)
		return 0;
	int r = variant_json(m, &v);
	if (r < 0)
		return r;
	js_set(ctx, name + 7, v, &failed);
	return failed ? -ENOMEM : 0;
}

static int read_defaults(Systemd *s, json_t *ret, Err *err)
{
	_cleanup_(sd_bus_message_unrefp) sd_bus_message *m = NULL;
	int r = properties_get(s, MANAGER_PATH, "read the defaults of", "the manager", &m, err);
	if (r < 0)
		return r;
	r = properties_each(m, read_default, ret);
	return r < 0 ? bus_garbage(r, "GetAll", err) : 0;
}

static int check_loaded(Systemd *s, const char *unit, Err *err)
{
	UnitState st = {0};
	int r = unit_state(s, unit, &st, err);
	if (r < 0)
		return r;
	if (strcmp(st.load, "not-found") == 0)
		r = err_set(err, -ENOENT, "there is no unit %s", unit);
	else if (strcmp(st.load, "masked") == 0)
		r = err_set(err, -EPERM, "the unit %s is masked; systemctl unmask %s", unit, unit);
	else if (strcmp(st.load, "loaded") != 0)
		r = err_set(err, -ENOEXEC,
			    "the unit %s cannot be read (%s); systemd-analyze verify %s says why",
			    unit, st.load, unit);
	unit_state_done(&st);
	return r;
}

int unit_exec(Systemd *s, const char *unit, UnitExec *ret, Err *err)
{
	_cleanup_(sd_bus_message_unrefp) sd_bus_message *m = NULL;
	_cleanup_free_ char *path = NULL;
	json_auto_t *defaults = json_object();
	UnitExec u = {.unit = strdup(unit), .limits = json_object(), .sandbox = json_object()};
	Reading at = {.u = &u, .defaults = defaults};

	int r = u.unit && u.limits && u.sandbox && defaults ? 0 : err_oom(err);
	if (r >= 0)
		r = unit_path(unit, &path, err);
	if (r >= 0)
		r = check_loaded(s, unit, err);
	if (r >= 0)
		r = read_defaults(s, defaults, err);
	if (r >= 0)
		r = properties_get(s, path, "read what is run by", unit, &m, err);
	if (r >= 0 && (r = properties_each(m, read_one, &at)) < 0)
		r = bus_garbage(r, "GetAll", err);
	if (r < 0) {
		unit_exec_done(&u);
		return r;
	}
	*ret = u;
	return 0;
}
