/* What the verbs share: messages, the configuration, the store, output. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/file.h"
#include "base/json.h"
#include "cli/cli.h"
#include "cli/internal.h"

#define SYSTEM_CONFIG "/etc/dream/dream.yaml"

static const char *verb; /* for messages only */

void cli_set_verb(const char *name)
{
	verb = name;
}

int cli_failf(int exit_code, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	fprintf(stderr, "dream%s%s: ", verb ? " " : "", verb ? verb : "");
	vfprintf(stderr, fmt, ap);
	fputc('\n', stderr);
	va_end(ap);
	return exit_code;
}

int cli_fail(int exit_code, const Err *err)
{
	return cli_failf(exit_code, "%s", *err->msg ? err->msg : strerror(-err->code));
}

static void print_diags(Diags *d, bool warnings)
{
	_cleanup_(str_done) Str text = STR_INIT;
	Diags shown = DIAGS_INIT;
	diags_sort(d);
	if (warnings || d->errors == d->n) {
		diags_text(d, &text);
	} else {
		for (size_t i = 0; i < d->n; i++)
			if (d->items[i].level == DIAG_ERROR)
				diags_add(&shown, DIAG_ERROR, d->items[i].file, d->items[i].line,
					  d->items[i].column, d->items[i].accept, "%s",
					  d->items[i].what);
		diags_text(&shown, &text);
		diags_done(&shown);
	}
	if (text.len)
		fputs(text.s, stderr);
}

static int load(const char *path, DiagLevel missing, bool warnings, Plan **ret)
{
	_cleanup_(diags_done) Diags d = DIAGS_INIT;
	Err err = ERR_INIT;
	int r = config_load(path, missing, ret, &d, &err);
	if (err_is_shortage(r))
		return cli_fail(EXIT_FAILED, &err);
	print_diags(&d, warnings);
	if (r >= 0)
		return 0;
	if (d.errors > 0)
		return cli_failf(EXIT_USAGE, "%s: %zu mistake%s; nothing was done", path, d.errors,
				 d.errors == 1 ? "" : "s");
	return cli_fail(EXIT_USAGE, &err);
}

/* $XDG_CONFIG_HOME, or ~/.config; NULL when neither is known. */
static char *user_config(void)
{
	const char *config = getenv("XDG_CONFIG_HOME"), *home = getenv("HOME");
	if (config && *config)
		return path_join(config, "dream/dream.yaml");
	return home && *home ? path_join(home, ".config/dream/dream.yaml") : NULL;
}

/* The first place that has a configuration, or NULL; `user` is one of them. */
static const char *find_config(const char *user)
{
	const char *const places[] = {"dream.yaml", user, SYSTEM_CONFIG};
	for (size_t i = 0; i < sizeof(places) / sizeof(*places); i++)
		if (places[i] && access(places[i], F_OK) == 0)
			return places[i];
	return NULL;
}

bool cli_has_config(void)
{
	_cleanup_free_ char *user = user_config();
	return find_config(user);
}

int cli_config_path(const char *given, char **ret)
{
	_cleanup_free_ char *user = user_config();
	const char *path = given ? given : find_config(user);
	if (!path)
		return cli_failf(EXIT_USAGE,
				 "there is no configuration: no ./dream.yaml, %s or " SYSTEM_CONFIG
				 "; name one with --config FILE, or let 'dream init' write one",
				 user ? user : "~/.config/dream/dream.yaml");
	*ret = str_fmt("%s", path);
	return *ret ? 0 : cli_oom();
}

int cli_named_config(const char *option, int argc, char **argv, char **ret)
{
	if (option && argc > 0)
		return cli_failf(EXIT_USAGE, "the configuration is named twice: %s and %s", option,
				 argv[0]);
	return cli_config_path(argc > 0 ? argv[0] : option, ret);
}

const char *cli_take_config(const char *given, int *argc, char ***argv)
{
	if (given || *argc == 0 || strchr((*argv)[0], '='))
		return given;
	(*argc)--;
	return *(*argv)++;
}

int cli_plan(const char *path, DiagLevel missing, Plan **ret)
{
	return load(path, missing, true, ret);
}

int cli_open(const char *given, Plan **ret)
{
	_cleanup_free_ char *path = NULL;
	int r = cli_config_path(given, &path);
	return r ? r : load(path, DIAG_WARNING, false, ret);
}

int cli_read(const char *config, const char *database, Plan **ret_plan, Store **ret)
{
	_cleanup_(config_freep) Plan *plan = NULL;
	int r = 0;
	if (config || (!database && cli_has_config()))
		r = cli_open(config, &plan);
	if (r == 0 && database)
		r = cli_open_store(database, STORE_READ, ret);
	else if (r == 0)
		r = cli_store(plan, STORE_READ, ret);
	if (r == 0)
		*ret_plan = TAKE_PTR(plan);
	return r;
}

int cli_store_path(const Plan *plan, char **ret)
{
	_cleanup_free_ char *dir = NULL;
	Err err = ERR_INIT;
	if (plan && plan->run.store) {
		*ret = str_fmt("%s", plan->run.store);
	} else {
		if (config_state_dir(&dir, &err) < 0)
			return cli_fail(EXIT_FAILED, &err);
		*ret = path_join(dir, "dream.db");
	}
	return *ret ? 0 : cli_oom();
}

#define MACHINE_STATE "/var/lib/dream/"

static bool is_absent(const char *path)
{
	return access(path, F_OK) != 0 && errno == ENOENT;
}

int cli_open_store(const char *path, StoreMode mode, Store **ret)
{
	Err err = ERR_INIT;
	*ret = NULL;
	if (mode == STORE_READ && is_absent(path))
		return cli_failf(EXIT_FAILED, "there is no store '%s'", path);
	if (mode == STORE_WRITE) {
		_cleanup_free_ char *dir = path_dir(path);
		if (!dir)
			return cli_oom();
		if (dir_make(dir, 0700, &err) < 0)
			return cli_fail(EXIT_FAILED, &err);
	}
	int r = store_open(path, mode, &clock_system, ret, &err);
	if (r == -EACCES && strncmp(path, MACHINE_STATE, strlen(MACHINE_STATE)) == 0)
		return cli_failf(EXIT_FAILED,
				 "%s; it is the daemon's, and only root may read it beside; "
				 "where the daemon runs, approvers see through it what they "
				 "decide about ('dream status', 'dream promotion show')",
				 err.msg);
	return r < 0 ? cli_fail(EXIT_FAILED, &err) : 0;
}

int cli_store(const Plan *plan, StoreMode mode, Store **ret)
{
	_cleanup_free_ char *path = NULL;
	*ret = NULL;
	int r = cli_store_path(plan, &path);
	if (r == 0 && mode == STORE_READ && is_absent(path))
		return 0;
	return r ? r : cli_open_store(path, mode, ret);
}

int cli_key_path(const Plan *plan, char **ret)
{
	_cleanup_free_ char *store = NULL, *dir = NULL;
	int r = cli_store_path(plan, &store);
	if (r)
		return r;
	if (plan && plan->run.key) {
		*ret = str_fmt("%s", plan->run.key);
	} else {
		dir = path_dir(store);
		*ret = dir ? path_join(dir, "dream.key") : NULL;
	}
	return *ret ? 0 : cli_oom();
}

int cli_key(const Plan *plan, SignKey **ret)
{
	_cleanup_free_ char *path = NULL;
	Err err = ERR_INIT;
	int r = cli_key_path(plan, &path);
	if (r)
		return r;
	r = sign_key_load(path, ret, &err);
	return r < 0 ? cli_fail(EXIT_FAILED, &err) : 0;
}

int cli_nothing_yet(int exit_code)
{
	return cli_failf(exit_code, "nothing has been recorded yet; run 'dream run'");
}

int cli_oom(void)
{
	return cli_failf(EXIT_FAILED, "out of memory");
}

static int unknown_experiment(const Plan *plan, const char *name)
{
	_cleanup_free_ const char **names = calloc(plan->n_experiments + 1, sizeof(*names));
	_cleanup_(str_done) Str list = STR_INIT;
	if (!names)
		return cli_oom();
	for (size_t i = 0; i < plan->n_experiments; i++) {
		names[i] = plan->experiments[i].name;
		str_addf(&list, "%s%s", i ? ", " : "", names[i]);
	}
	if (!name)
		return cli_failf(EXIT_USAGE, "which experiment? Name one with --experiment: %s",
				 list.s ? list.s : "");
	const char *meant = conf_nearest(name, names);
	if (meant)
		return cli_failf(EXIT_USAGE, "%s has no experiment '%s'; did you mean '%s'?",
				 plan->path, name, meant);
	return cli_failf(EXIT_USAGE, "%s has no experiment '%s'; it has: %s", plan->path, name,
			 list.s ? list.s : "none");
}

int cli_experiment(const Plan *plan, const char *name, const Experiment **ret)
{
	const Experiment *enabled = NULL;
	size_t n_enabled = 0;
	*ret = NULL;
	for (size_t i = 0; i < plan->n_experiments; i++) {
		const Experiment *e = &plan->experiments[i];
		if (e->enabled) {
			enabled = e;
			n_enabled++;
		}
	}
	if (name)
		*ret = config_experiment(plan, name);
	else if (plan->n_experiments == 1)
		*ret = &plan->experiments[0];
	else if (n_enabled == 1)
		*ret = enabled;
	return *ret ? 0 : unknown_experiment(plan, name);
}

static int add_param(const char *arg, json_t *params)
{
	_cleanup_free_ char *name = NULL;
	_cleanup_(diags_done) Diags d = DIAGS_INIT;
	_cleanup_(conf_freep) ConfDoc *doc = NULL;
	const char *eq = strchr(arg, '=');
	Err err = ERR_INIT;
	if (!eq || eq == arg || !eq[1])
		return cli_failf(EXIT_USAGE, "'%s' is not PARAM=VALUE, as in vllm_memory_util=0.5",
				 arg);
	name = strndup(arg, (size_t)(eq - arg));
	if (!name)
		return cli_oom();
	if (json_object_get(params, name))
		return cli_failf(EXIT_USAGE, "%s is given twice", name);
	int r = conf_read_text(name, eq + 1, strlen(eq + 1), &doc, &d, &err);
	if (d.errors > 0) /* a key that is there twice is a mistake only there */
		return cli_failf(EXIT_USAGE, "%s: %s", arg, d.items[0].what);
	if (r < 0)
		return cli_fail(err_is_shortage(r) ? EXIT_FAILED : EXIT_USAGE, &err);
	bool failed = false;
	js_set(params, name, conf_to_json(conf_root(doc)), &failed);
	return failed ? cli_oom() : 0;
}

int cli_params(int argc, char **argv, json_t **ret)
{
	json_auto_t *params = json_object();
	int r = params ? 0 : cli_oom();
	for (int i = 0; i < argc && r == 0; i++)
		r = add_param(argv[i], params);
	if (r == 0)
		*ret = TAKE_PTR(params);
	return r;
}

int cli_candidate(const Experiment *x, int argc, char **argv, json_t **ret)
{
	json_auto_t *given = NULL, *params = NULL;
	Point p;
	Err err = ERR_INIT;
	int r = cli_params(argc, argv, &given);
	if (r)
		return r;
	params = x->baseline ? js_deep_copy(x->baseline) : json_object();
	if (!params || json_object_update(params, given) < 0)
		return cli_oom();
	if (point_from_json(x->space, params, &p, &err) < 0)
		return cli_fail(EXIT_USAGE, &err);
	*ret = point_json(x->space, &p);
	return *ret ? 0 : cli_oom();
}

int cli_workload(const Experiment *x, const char *name, const Workload **ret)
{
	const Workload *list = x->workloads.items;
	_cleanup_(str_done) Str names = STR_INIT;
	for (size_t i = 0; i < x->workloads.n; i++) {
		str_addf(&names, "%s%s", i ? ", " : "", list[i].name);
		if (name && strcmp(list[i].name, name) != 0)
			continue;
		*ret = &list[i];
		return 0;
	}
	return cli_failf(EXIT_USAGE, "%s has no workload '%s'; it has: %s", x->name,
			 name ? name : "", names.s ? names.s : "none");
}

int cli_print(const char *text)
{
	if (!text)
		return cli_oom();
	if (fputs(text, stdout) >= 0 && fflush(stdout) == 0)
		return EXIT_DONE;
	if (errno == EPIPE) /* the reader has seen enough */
		return EXIT_FAILED;
	return cli_failf(EXIT_FAILED, "cannot write to standard output: %s", strerror(errno));
}

size_t cli_width(void)
{
	struct winsize w;
	return isatty(STDOUT_FILENO) && ioctl(STDOUT_FILENO, TIOCGWINSZ, &w) == 0 ? w.ws_col : 0;
}

int cli_print_table(const Table *t)
{
	_cleanup_(str_done) Str text = STR_INIT;
	Err err = ERR_INIT;
	if (table_print(t, cli_width(), &text, &err) < 0)
		return cli_fail(EXIT_FAILED, &err);
	return cli_print(text.s ? text.s : "");
}
