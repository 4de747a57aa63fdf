#include "gpu/proctext.h"

#include <ctype.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/str.h"
#include "gpu/owners.h"
#include "gpu/procid.h"

enum {
	CMDLINE_MAX = 4096,
	WORDS_MAX = 200,
	ID_DIGITS = 12, /* of a container, as its own tools show it */
};

/* --- Its cgroup --------------------------------------------------------------------------------
 */

/* One line is "ID:CONTROLLERS:PATH". How much its hierarchy says about who started a process: the
 * unified one and systemd's own name units, the others only sometimes. 0: nothing. */
static int line_rank(const char *line, size_t len, const char **ret_path, size_t *ret_len)
{
	const char *first = memchr(line, ':', len);
	const char *second =
	    first ? memchr(first + 1, ':', len - (size_t)(first + 1 - line)) : NULL;
	if (!second || second + 1 >= line + len || second[1] != '/')
		return 0;
	*ret_path = second + 1;
	*ret_len = len - (size_t)(second + 1 - line);
	size_t controllers = (size_t)(second - first - 1);
	/* The root says nothing; a hierarchy that nobody uses keeps everything there. */
	if (*ret_len == 1)
		return 1;
	if (controllers == 0)
		return 4;
	if (controllers == strlen("name=systemd") &&
	    memcmp(first + 1, "name=systemd", controllers) == 0)
		return 3;
	return 2;
}

char *path_of_cgroups(const char *text)
{
	const char *best = "", *path = NULL;
	size_t best_len = 0, len = 0;
	int best_rank = 0;
	for (const char *line = text; *line;) {
		size_t n = strcspn(line, "\n");
		int rank = line_rank(line, n, &path, &len);
		if (rank > best_rank) {
			best_rank = rank;
			best = path;
			best_len = len;
		}
		line += n + (line[n] == '\n');
	}
	return strndup(best, best_len);
}

/* --- Where it runs --------------------------------------------------------------------------- */

static size_t hex_digits(const char *s, size_t len)
{
	size_t n = 0;
	while (n < len && isxdigit((unsigned char)s[n]))
		n++;
	return n;
}

static bool begins(const char *s, size_t len, const char *with)
{
	size_t n = strlen(with);
	return len >= n && memcmp(s, with, n) == 0;
}

static bool ends(const char *s, size_t len, const char *with)
{
	size_t n = strlen(with);
	return len > n && memcmp(s + len - n, with, n) == 0;
}

/* How runtimes name the cgroup of a container: a word, and 64 digits. */
static const struct {
	const char *prefix, *words;
} runtimes[] = {
    {"docker-", "docker"},	  {"libpod-", "podman"},     {"cri-containerd-", "container"},
    {"crio-", "container"},	  {"nerdctl-", "container"}, {"lxc.payload.", "lxc"},
    {"machine-lxc", "container"},
};

static char *container_of(const char *part, size_t len, const char *parent, size_t parent_len)
{
	for (size_t i = 0; i < sizeof(runtimes) / sizeof(*runtimes); i++) {
		size_t n = strlen(runtimes[i].prefix);
		if (!begins(part, len, runtimes[i].prefix))
			continue;
		if (strcmp(runtimes[i].words, "lxc") == 0)
			return str_fmt("lxc %.*s", (int)(len - n), part + n);
		if (hex_digits(part + n, len - n) >= ID_DIGITS)
			return str_fmt("%s %.*s", runtimes[i].words, ID_DIGITS, part + n);
	}
	/* Without systemd: "/docker/ID", "/libpod_parent/...", "/kubepods/.../ID". */
	if (len != 64 || hex_digits(part, len) != 64)
		return NULL;
	return str_fmt("%s %.*s", begins(parent, parent_len, "docker") ? "docker" : "container",
		       ID_DIGITS, part);
}

static char *unit_of(const char *part, size_t len)
{
	if (begins(part, len, "session-") && ends(part, len, ".scope"))
		return strdup("user session");
	/* The manager of a user is where its units are, not one of them. */
	if (begins(part, len, "user@") && ends(part, len, ".service"))
		return strdup("user session");
	if (ends(part, len, ".service") || (ends(part, len, ".scope") && part[0] != '.'))
		return strndup(part, len);
	return NULL;
}

/* The innermost part that says something wins: a container inside a unit, a unit of a user. */
char *home_of_cgroup(const char *cgroup)
{
	char *home = strdup("");
	const char *parent = "";
	size_t parent_len = 0;
	for (const char *part = cgroup; home && *part;) {
		part += strspn(part, "/");
		size_t len = strcspn(part, "/");
		char *found = container_of(part, len, parent, parent_len);
		if (!found)
			found = unit_of(part, len);
		if (found) {
			free(home);
			home = found;
		}
		parent = part;
		parent_len = len;
		part += len;
	}
	return home;
}

static char *safe_and_free(char *text)
{
	_cleanup_free_ char *raw = text;
	_cleanup_(str_done) Str b = STR_INIT;
	char *ret = NULL;
	if (raw)
		str_add_safe(&b, raw, strlen(raw), 80);
	return raw && str_take(&b, &ret) >= 0 ? ret : NULL;
}

int process_home(pid_t pid, char **ret)
{
	_cleanup_free_ char *cgroup = NULL;
	if (process_cgroup(pid, &cgroup) < 0)
		return -ENOMEM;
	char *home = safe_and_free(home_of_cgroup(cgroup));
	if (!home)
		return -ENOMEM;
	*ret = home;
	return 0;
}

/* --- Its command line ------------------------------------------------------------------------ */

static bool contains(const char *s, size_t len, const char *word)
{
	size_t n = strlen(word);
	for (size_t i = 0; i + n <= len; i++)
		if (strncasecmp(s + i, word, n) == 0)
			return true;
	return false;
}

/* Does the name of an option or variable promise something secret? Tokens are what models count,
 * so "--max-tokens" is none. */
bool words_name_is_secret(const char *name, size_t len)
{
	static const char *const words[] = {"secret", "passw", "passphrase", "api-key", "api_key",
					    "apikey", "auth",  "credential", "bearer",	"private",
					    "cookie", "-key",  "_key"};
	for (size_t i = 0; i < sizeof(words) / sizeof(*words); i++)
		if (contains(name, len, words[i]))
			return true;
	return contains(name, len, "token") && !contains(name, len, "tokens") &&
	       !contains(name, len, "tokenizer");
}

/* Or the value by itself: the beginnings that services give to their keys, and a password in a URL.
 */
bool words_value_is_secret(const char *v)
{
	static const char *const begin[] = {"hf_",	   "sk-",   "ghp_", "gho_",
					    "github_pat_", "nvapi", "xox",  "Bearer ",
					    "Basic ",	   "eyJ",   "AKIA", "glpat-"};
	for (size_t i = 0; i < sizeof(begin) / sizeof(*begin); i++)
		if (strncmp(v, begin[i], strlen(begin[i])) == 0)
			return true;
	const char *at = strstr(v, "://");
	return (at && memchr(at, '@', strcspn(at + 3, "/?") + 3)) ||
	       contains(v, strlen(v), "bearer ") || contains(v, strlen(v), "authorization:");
}

/* One argument; *hide: the one before asked for its value, which is left out. */
static void add_argument(Str *out, const char *arg, bool *hide)
{
	size_t name = strcspn(arg, "=");
	bool option = arg[0] == '-';
	bool was_hidden = *hide;
	*hide = false;
	if (out->len)
		str_addc(out, ' ');
	if (was_hidden && !option) {
		str_add(out, "...");
		return;
	}
	/* A script of a shell: anything may stand in it. */
	bool script = strchr(arg, ' ') && words_name_is_secret(arg, strlen(arg));
	if (script || words_value_is_secret(arg)) {
		str_add(out, "...");
		return;
	}
	if (arg[name] == '=' &&
	    (words_name_is_secret(arg, name) || words_value_is_secret(arg + name + 1))) {
		str_add_safe(out, arg, name, 60);
		str_add(out, "=...");
		return;
	}
	str_add_safe(out, arg, strlen(arg), 120);
	*hide = option && arg[name] != '=' && words_name_is_secret(arg, name);
}

char *words_of_cmdline(const char *cmdline, size_t len)
{
	_cleanup_(str_done) Str b = STR_INIT;
	char *ret = NULL;
	bool hide = false;
	for (size_t i = 0; i < len && b.len < WORDS_MAX;) {
		_cleanup_free_ char *arg = strndup(cmdline + i, len - i);
		if (!arg)
			return NULL;
		i += strlen(arg) + 1;
		if (*arg)
			add_argument(&b, arg, &hide);
	}
	if (b.failed)
		return NULL;
	_cleanup_(str_done) Str cut = STR_INIT;
	if (b.s)
		str_add_safe(&cut, b.s, b.len, WORDS_MAX);
	return str_take(&cut, &ret) < 0 ? NULL : ret;
}

int process_words(pid_t pid, char **ret)
{
	char path[64], text[CMDLINE_MAX];
	snprintf(path, sizeof(path), "/proc/%d/cmdline", (int)pid);
	ssize_t n = procfile_read(path, text, sizeof(text));
	char *words = words_of_cmdline(text, n > 0 ? (size_t)n : 0);
	if (words && !*words) {
		/* A kernel thread or a process that hides: its name is all there is. */
		free(words);
		snprintf(path, sizeof(path), "/proc/%d/comm", (int)pid);
		n = procfile_read(path, text, sizeof(text));
		text[n > 0 ? strcspn(text, "\n") : 0] = '\0';
		words = safe_and_free(strdup(text));
	}
	if (!words)
		return -ENOMEM;
	*ret = words;
	return 0;
}
