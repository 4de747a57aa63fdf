/* One target: where its value stands in the unit, and how it comes from the generation instead. */
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "base/str.h"
#include "base/strings.h"
#include "production/draft.h"

/* --- Names ------------------------------------------------------------------------------------ */

/* Variables that say which code runs. Who may set a value must not be able to choose the program.
 */
static bool is_dangerous(const char *name)
{
	static const char *const names[] = {"PATH",
					    "HOME",
					    "SHELL",
					    "IFS",
					    "ENV",
					    "BASH_ENV",
					    "PS4",
					    "CDPATH",
					    "GCONV_PATH",
					    "GLIBC_TUNABLES",
					    "NODE_OPTIONS",
					    "RUBYOPT",
					    "JAVA_TOOL_OPTIONS",
					    "_JAVA_OPTIONS",
					    "TERMINFO",
					    "LOCPATH",
					    "NLSPATH",
					    "USER",
					    "LOGNAME",
					    "NOTIFY_SOCKET",
					    "MAINPID",
					    "WATCHDOG_USEC",
					    "CREDENTIALS_DIRECTORY",
					    NULL};
	static const char *const prefixes[] = {"LD_",	     "PYTHON",	 "PERL",     "RUBYLIB",
					       "BASH_FUNC",  "DYLD_",	 "SYSTEMD_", "DOCKER_",
					       "CONTAINER_", "OPENSSL_", "GIT_",     NULL};
	if (words_have(names, name))
		return true;
	for (const char *const *p = prefixes; *p; p++)
		if (strncmp(*p, name, strlen(*p)) == 0)
			return true;
	return false;
}

int target_check_variable(const Draft *d, const char *name)
{
	if (!env_name_ok(name))
		return err_set(d->err, -EINVAL, "'%.100s' is not the name of a variable", name);
	if (is_dangerous(name))
		return err_set(d->err, -EPERM,
			       "%s decides which program or library runs, and is no variable for a "
			       "tuned value",
			       name);
	int r = unitenv_unsets(d->in, name, d->err);
	if (r > 0)
		return err_set(d->err, -ENOTSUP,
			       "%s takes %s away by UnsetEnvironment=, which comes last; take it "
			       "out there",
			       d->in->unit, name);
	return r;
}

/* "vllm_memory_util" -> "DREAM_VLLM_MEMORY_UTIL" */
char *target_variable(const char *parameter)
{
	char *name = str_fmt("DREAM_%s", parameter);
	for (char *p = name; p && *p; p++) {
		if (*p >= 'a' && *p <= 'z')
			*p = (char)(*p - 'a' + 'A');
		else if (!(*p >= 'A' && *p <= 'Z') && !(*p >= '0' && *p <= '9'))
			*p = '_';
	}
	return name;
}

/* --- Adding one ------------------------------------------------------------------------------- */

static bool same_text(const char *a, const char *b)
{
	return a == b || (a && b && strcmp(a, b) == 0);
}

/* Of two parameters each has a variable of its own. */
int target_check_new(const Draft *d, const AdoptWish *w, const Found *f)
{
	for (size_t i = 0; i < d->a.n; i++) {
		const AdoptedTarget *t = &d->a.targets[i];
		if (f->variable && same_text(t->variable, f->variable) &&
		    strcmp(t->parameter, w->parameter) != 0)
			return err_set(d->err, -EINVAL,
				       "%s and %s would both be carried by the variable %s; rename "
				       "one of them",
				       t->parameter, w->parameter, f->variable);
	}
	return 0;
}

static char *copied(const char *s)
{
	return s ? strdup(s) : NULL;
}

int target_put(Draft *d, const AdoptWish *w, const Found *f)
{
	int r = target_check_new(d, w, f);
	if (r < 0)
		return r;
	AdoptedTarget *more = reallocarray(d->a.targets, d->a.n + 1, sizeof(*more));
	if (!more)
		return err_oom(d->err);
	d->a.targets = more;
	AdoptedTarget *t = &more[d->a.n++];
	*t = (AdoptedTarget){.kind = f->kind,
			     .parameter = strdup(w->parameter),
			     .name = strdup(f->name),
			     .path = copied(f->path),
			     .variable = copied(f->variable),
			     .original = copied(f->original)};
	if (f->text) {
		Hash h = hash_of(f->text, strlen(f->text));
		t->file_sha256 = malloc(HASH_HEX_SIZE);
		if (t->file_sha256)
			hash_hex(&h, t->file_sha256);
	}
	if (!t->parameter || !t->name || (f->path && !t->path) || (f->variable && !t->variable) ||
	    (f->original && !t->original) || (f->text && !t->file_sha256) ||
	    allowed_copy(&w->allowed, &t->allowed) < 0)
		return err_oom(d->err);
	return 0;
}

/* --- Any -------------------------------------------------------------------------------------- */

int target_add(Draft *d, const AdoptWish *w)
{
	for (const AdoptWish *before = d->in->wishes; before < w; before++)
		if (strcmp(before->target, w->target) == 0)
			return err_set(d->err, -EINVAL, "%s is named twice", w->target);
	if (strncmp(w->target, "--config:", 9) == 0)
		return target_add_config(d, w);
	if (w->target[0] == '-')
		return target_add_flag(d, w);
	if (w->target[0] == '/')
		return target_add_key(d, w);
	return target_add_env(d, w);
}
