/* The command line of a unit as its manager would execute it. The rules are those of systemd.exec
 * and systemd.service; what they leave to the moment of execution (variables, environment files)
 * is done here. */
#include "service/derive.h"

#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "base/json.h"
#include "base/proc.h"
#include "base/strings.h"
#include "service/strings.h"

/* --- The environment ------------------------------------------------------------------------- */

typedef struct Files {
	ReadEnvFile *read;
	void *ctx;
} Files;

static int add_env_file(const Files *files, const char *entry, char ***env, Err *err)
{
	bool optional = entry[0] == '-';
	const char *path = entry + optional;

	if (strpbrk(path, "*?["))
		return err_set(err, -ENOTSUP,
			       "EnvironmentFile=%s is a pattern, which is not supported", entry);
	_cleanup_free_ char *text = NULL;
	int r = files->read(files->ctx, path, &text, err);
	if (r < 0)
		return err_wrap(err, r, "cannot read EnvironmentFile=%s", entry);
	if (!text)
		return optional ? 0
				: err_set(err, -ENOENT, "EnvironmentFile=%s is not there", entry);
	return envfile_parse(path, text, strlen(text), env, err);
}

/* A later one counts; files win over Environment=. A name alone takes the variable away again. */
static int build_env(const UnitExec *u, const Files *files, char ***env, Err *err)
{
	for (char **e = u->env; e && *e; e++) {
		const char *equals = strchr(*e, '=');
		if (!equals || !env_name_valid(*e, (size_t)(equals - *e)))
			continue;
		_cleanup_free_ char *name = strndup(*e, (size_t)(equals - *e));
		if (!name || env_set(env, name, equals + 1) < 0)
			return err_oom(err);
	}
	for (char **f = u->env_files; f && *f; f++) {
		int r = add_env_file(files, *f, env, err);
		if (r < 0)
			return r;
	}
	size_t i;
	const json_t *out;
	json_array_foreach (json_object_get(u->sandbox, "UnsetEnvironment"), i, out) {
		const char *name = json_string_value(out);
		const char *equals = name ? strchr(name, '=') : NULL;
		if (!name)
			continue;
		_cleanup_free_ char *bare =
		    strndup(name, equals ? (size_t)(equals - name) : strlen(name));
		if (!bare)
			return err_oom(err);
		const char *now = env_get(*env, bare, strlen(bare));
		/* "NAME=value" takes it away only when it has that value. */
		if (now && (!equals || strcmp(now, equals + 1) == 0) &&
		    env_set(env, bare, NULL) < 0)
			return err_oom(err);
	}
	return 0;
}

/* --- The command line ------------------------------------------------------------------------ */

/* ${NAME} within a word; "$$" is one "$", and any other "$" is itself. */
static int expand_braces(const char *word, char *const *env, char **ret)
{
	Str out = STR_INIT;

	for (const char *p = word; *p;) {
		const char *end = p[0] == '$' && p[1] == '{' ? strchr(p + 2, '}') : NULL;
		if (end) {
			const char *value = env_get(env, p + 2, (size_t)(end - p - 2));
			str_add(&out, value ? value : "");
			p = end + 1;
		} else {
			str_addc(&out, *p);
			p += p[0] == '$' && p[1] == '$' ? 2 : 1;
		}
	}
	int r = str_take(&out, ret);
	str_done(&out);
	return r;
}

static int expand_word(const char *word, char *const *env, char ***argv)
{
	if (word[0] == '$' && word[1] && word[1] != '{' && word[1] != '$') {
		const char *value = env_get(env, word + 1, strlen(word + 1));
		return value ? words_split(value, argv) : 0;
	}
	char *one = NULL;
	int r = expand_braces(word, env, &one);
	return r < 0 ? r : strings_add(argv, one);
}

static int build_argv(const UnitExec *u, char *const *env, char ***argv, Err *err)
{
	int r = strings_add(argv, strdup(u->argv[0])); /* the program is never a variable */
	for (size_t i = 1; r >= 0 && u->argv[i]; i++)
		r = expand_word(u->argv[i], env, argv);
	return r < 0 ? err_oom(err) : 0;
}

/* --- Wrappers -------------------------------------------------------------------------------- */

/* "sh -c 'exec vllm serve x'": a script of one plain command is that command. Anything that a shell
 * would have to interpret is not looked into. */
static int unwrap_shell(const UnitExec *u, char ***argv, Err *err)
{
	char **a = *argv;
	bool is_c = a[1] && (strcmp(a[1], "-c") == 0 || strcmp(a[1], "-ec") == 0 ||
			     strcmp(a[1], "-lc") == 0);
	_cleanup_(strings_freep) char **words = NULL;

	if (!is_c || !a[2] || a[3] || strpbrk(a[2], ";&|<>()`$\\*?[]{}~#!\n="))
		return err_set(err, -ENOTSUP,
			       "%s starts its server through a shell (%s), where its command line "
			       "cannot be changed safely; write the server's own command under "
			       "'command:'",
			       u->unit, path_base(a[0]));
	if (words_split(a[2], &words) < 0)
		return err_oom(err);
	if (words && words[0] && strcmp(words[0], "exec") == 0)
		strings_remove(words, 0);
	if (!words || !words[0])
		return err_set(err, -ENOTSUP, "%s runs a shell without a command", u->unit);
	strings_free(*argv);
	*argv = TAKE_PTR(words);
	return 0;
}

static bool interpreter_is_shell(const char *text)
{
	char line[128];

	if (strncmp(text, "#!", 2) != 0)
		return false;
	text += 2 + strspn(text + 2, " \t");
	size_t len = strcspn(text, "\r\n");
	if (len >= sizeof(line))
		len = sizeof(line) - 1;
	memcpy(line, text, len);
	line[len] = '\0';
	size_t first = strcspn(line, " \t");
	bool via_env = first >= 4 && strncmp(line + first - 4, "/env", 4) == 0;
	char *program = via_env ? line + first + strspn(line + first, " \t") : line;
	program[strcspn(program, " \t")] = '\0';
	return program_is_shell(program);
}

/* A script that hands its arguments on cannot be told from one that does not. */
static int check_script(const UnitExec *u, const Files *files, const char *program, Err *err)
{
	_cleanup_free_ char *text = NULL;
	Err ignored = ERR_INIT;

	if (files->read(files->ctx, program, &text, &ignored) < 0 || !text ||
	    !interpreter_is_shell(text))
		return 0;
	return err_set(err, -ENOTSUP,
		       "%s starts its server through the shell script %s, whose server cannot be "
		       "seen; write the server's own command under 'command:'",
		       u->unit, program);
}

static int check_program(const UnitExec *u, const Files *files, char ***argv, Err *err)
{
	static const char *const other_user[] = {"sudo", "su", "runuser", "doas", "pkexec", NULL};
	static const char *const detaching[] = {
	    "screen", "tmux", "nohup", "setsid", "daemonize", "start-stop-daemon", NULL};
	static const char *const other_root[] = {"chroot", "systemd-nspawn", "unshare", "bwrap",
						 NULL};
	const char *name = path_base((*argv)[0]);
	size_t image_at;

	if (program_is_shell((*argv)[0]))
		return unwrap_shell(u, argv, err);
	if (words_have(other_user, name))
		return err_set(err, -ENOTSUP,
			       "%s starts its server as another user through %s; use User= in the "
			       "unit, or write the server's own command under 'command:'",
			       u->unit, name);
	if (words_have(detaching, name))
		return err_set(err, -ENOTSUP,
			       "%s starts its server in the background through %s, where it cannot "
			       "be watched",
			       u->unit, name);
	if (words_have(other_root, name))
		return err_set(err, -ENOTSUP,
			       "%s runs its server in another root through %s, which is not "
			       "supported",
			       u->unit, name);
	int r = container_split(*argv, &image_at, err);
	if (r < 0 && r != -ENOENT)
		return err_wrap(err, r, "%s", u->unit);
	return r == 0 ? 0 : check_script(u, files, (*argv)[0], err);
}

/* --- The unit -------------------------------------------------------------------------------- */

static int check_unit(const UnitExec *u, Err *err)
{
	static const char *const roots[] = {
	    "RootImage",       "RootDirectory",	       "MountImages",
	    "ExtensionImages", "ExtensionDirectories", NULL};

	if (u->n_commands == 0 || !u->argv || !u->argv[0])
		return err_set(err, -ENOTSUP, "%s has no ExecStart=", u->unit);
	if (u->n_commands > 1)
		return err_set(
		    err, -ENOTSUP,
		    "%s has %zu commands in ExecStart=, and a trial needs the one that is "
		    "the server",
		    u->unit, u->n_commands);
	if (u->type && strcmp(u->type, "forking") == 0)
		return err_set(
		    err, -ENOTSUP,
		    "%s goes into the background by itself (Type=forking), where a trial "
		    "cannot watch it",
		    u->unit);
	if (u->root_dir && *u->root_dir && strcmp(u->root_dir, "/") != 0)
		return err_set(err, -ENOTSUP,
			       "%s runs in another root (RootDirectory=%s), which is not supported",
			       u->unit, u->root_dir);
	for (const char *const *r = roots; *r; r++)
		if (json_object_get(u->sandbox, *r))
			return err_set(err, -ENOTSUP,
				       "%s runs in another root (%s=), which is not supported",
				       u->unit, *r);
	if (json_is_true(json_object_get(u->sandbox, "DynamicUser")))
		return err_set(
		    err, -ENOTSUP,
		    "%s runs as a user that exists only while it does (DynamicUser=yes), "
		    "which is not supported",
		    u->unit);
	return 0;
}

static char *copied(const char *s)
{
	return s && *s ? strdup(s) : NULL;
}

/* "~" is the home of its user; a leading "-" or "!" means that it may be missing. Without one a
 * system service runs in "/", and one of a user's manager in that user's home. */
static char *working_folder(const UnitExec *u)
{
	const char *cwd = u->cwd ? u->cwd : "";
	if (*cwd == '-' || *cwd == '!')
		cwd++;
	if (*cwd)
		return strdup(cwd);
	bool of_user = u->fragment && (strstr(u->fragment, "/systemd/user/") != NULL);
	return strdup(of_user ? "~" : "/");
}

int command_from_unit(const UnitExec *u, ReadEnvFile *read_file, void *ctx, ServerCommand *ret,
		      Err *err)
{
	const Files files = {.read = read_file, .ctx = ctx};
	_cleanup_(servercommand_done) ServerCommand c = {0};

	int r = check_unit(u, err);
	if (r < 0)
		return r;
	c.env = calloc(1, sizeof(*c.env));
	c.argv = calloc(1, sizeof(*c.argv));
	if (!c.env || !c.argv)
		return err_oom(err);
	r = build_env(u, &files, &c.env, err);
	if (r >= 0)
		r = build_argv(u, c.env, &c.argv, err);
	if (r < 0)
		return err_wrap(err, r, "cannot take the command of %s", u->unit);
	r = check_program(u, &files, &c.argv, err);
	if (r < 0)
		return r;
	c.cwd = working_folder(u);
	c.user = copied(u->user);
	c.group = copied(u->group);
	c.from = strdup(u->unit);
	c.limits = u->limits ? js_deep_copy(u->limits) : NULL;
	if (!c.cwd || !c.from || (u->limits && !c.limits) || (u->user && *u->user && !c.user) ||
	    (u->group && *u->group && !c.group))
		return err_oom(err);
	*ret = c;
	c = (ServerCommand){0};
	return 0;
}
