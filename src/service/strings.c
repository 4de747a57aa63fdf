#include "service/strings.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/str.h"

/* --- Environments ---------------------------------------------------------------------------- */

bool env_name_valid(const char *name, size_t len)
{
	if (len == 0 || (name[0] >= '0' && name[0] <= '9'))
		return false;
	for (size_t i = 0; i < len; i++) {
		char c = name[i];
		if (!((c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ||
		      c == '_'))
			return false;
	}
	return true;
}

static size_t env_find(char *const *env, const char *name, size_t len)
{
	size_t i = 0;
	while (env && env[i] && !(strncmp(env[i], name, len) == 0 && env[i][len] == '='))
		i++;
	return i;
}

const char *env_get(char *const *env, const char *name, size_t name_len)
{
	size_t i = env_find(env, name, name_len);
	return env && env[i] ? env[i] + name_len + 1 : NULL;
}

int env_set(char ***env, const char *name, const char *value)
{
	size_t i = env_find(*env, name, strlen(name));
	bool there = *env && (*env)[i];

	if (!value) {
		if (there)
			strings_remove(*env, i);
		return 0;
	}
	char *entry = str_fmt("%s=%s", name, value);
	if (!there)
		return strings_add(env, entry);
	if (!entry)
		return -ENOMEM;
	free((*env)[i]);
	(*env)[i] = entry;
	return 0;
}

int env_find_program(char *const *env, const char *name, char **ret)
{
	const char *path = env_get(env, "PATH", 4);

	if (strchr(name, '/') || !path) {
		*ret = strdup(name);
		return *ret ? 0 : -ENOMEM;
	}
	while (*path) {
		size_t len = strcspn(path, ":");
		_cleanup_free_ char *full = str_fmt("%.*s/%s", (int)len, path, name);
		if (!full)
			return -ENOMEM;
		if (*full == '/' && access(full, X_OK) == 0) {
			*ret = TAKE_PTR(full);
			return 0;
		}
		path += len + (path[len] == ':');
	}
	return -ENOENT;
}

/* --- Words ----------------------------------------------------------------------------------- */

static const char *split_one(const char *p, Str *word)
{
	char quote = '\0';

	for (; *p && (quote || !strchr(" \t\r\n", *p)); p++) {
		if (quote && *p == quote)
			quote = '\0';
		else if (!quote && (*p == '"' || *p == '\''))
			quote = *p;
		else if (*p == '\\' && p[1])
			str_addc(word, *++p);
		else
			str_addc(word, *p);
	}
	return p;
}

int words_split(const char *text, char ***out)
{
	for (const char *p = text;;) {
		p += strspn(p, " \t\r\n");
		if (!*p)
			return 0;
		Str word = STR_INIT;
		char *s = NULL;
		p = split_one(p, &word);
		int r = str_take(&word, &s);
		str_done(&word);
		if (r >= 0)
			r = strings_add(out, s);
		if (r < 0)
			return r;
	}
}
