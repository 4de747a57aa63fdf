/* Reading and changing a command line without running it through a shell. */
#include "server/command.h"

#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/str.h"
#include "base/strings.h"

void servercommand_done(ServerCommand *c)
{
	strings_free(c->argv);
	strings_free(c->env);
	free(c->cwd);
	free(c->user);
	free(c->group);
	free(c->from);
	json_decref(c->limits);
	*c = (ServerCommand){0};
}

static int text_copy(const char *from, char **to)
{
	*to = from ? strdup(from) : NULL;
	return from && !*to ? -ENOMEM : 0;
}

int servercommand_copy(const ServerCommand *from, ServerCommand *ret)
{
	_cleanup_(servercommand_done) ServerCommand c = {0};

	c.argv = strings_copy(from->argv);
	c.env = strings_copy(from->env);
	if (!c.argv || !c.env || text_copy(from->cwd, &c.cwd) < 0 ||
	    text_copy(from->user, &c.user) < 0 || text_copy(from->group, &c.group) < 0 ||
	    text_copy(from->from, &c.from) < 0)
		return -ENOMEM;
	c.limits = from->limits ? js_deep_copy(from->limits) : NULL;
	if (from->limits && !c.limits)
		return -ENOMEM;
	c.program = from->program;
	*ret = c;
	c = (ServerCommand){0};
	return 0;
}

size_t command_word(const ServerCommand *c, const char *word)
{
	for (size_t i = c->program; c->argv && c->argv[i]; i++)
		if (i > c->program && strcmp(c->argv[i], word) == 0)
			return i;
	return 0;
}

/* --- Flags ----------------------------------------------------------------------------------- */

typedef struct Found {
	size_t at;
	char *joined; /* the value in "--flag=value"; NULL: the next word, if any, is the value */
} Found;

/* "-", "_" are the same in a long flag: vLLM takes both. */
static bool same_flag(const char *word, const char *name, size_t len)
{
	if (strncmp(name, "--", 2) != 0)
		return strncmp(word, name, len) == 0;
	for (size_t i = 0; i < len; i++)
		if (word[i] != name[i] && !(i > 1 && word[i] == '_' && name[i] == '-'))
			return false;
	return true;
}

static bool is_flag(char *word, const char *const *names, Found *ret)
{
	for (; *names; names++) {
		size_t n = strlen(*names);
		if (strlen(word) < n || !same_flag(word, *names, n))
			continue;
		if (word[n] != '\0' && !(word[n] == '=' && strncmp(*names, "--", 2) == 0))
			continue;
		ret->joined = word[n] == '=' ? word + n + 1 : NULL;
		return true;
	}
	return false;
}

/* The first at or after `from`; false: none before the end or "--". What is the value of one of
 * these flags is never taken for a flag. */
static bool find_flag(const ServerCommand *c, size_t from, const char *const *names, Found *ret)
{
	for (size_t i = from > c->program ? from : c->program + 1; c->argv && c->argv[i]; i++) {
		if (strcmp(c->argv[i], "--") == 0)
			return false;
		ret->at = i;
		if (is_flag(c->argv[i], names, ret))
			return true;
	}
	return false;
}

const char *command_flag(const ServerCommand *c, const char *const *names)
{
	const char *value = NULL;
	Found f;

	for (size_t i = 1; find_flag(c, i, names, &f); i = f.at + 1) {
		const char *v = f.joined ? f.joined : c->argv[f.at + 1];
		if (v)
			value = v;
		if (!f.joined && v)
			f.at++;
	}
	return value;
}

bool command_switch(const ServerCommand *c, const char *const *names)
{
	Found f;

	return find_flag(c, 1, names, &f);
}

static int replace(char **word, char *with)
{
	if (!with)
		return -ENOMEM;
	free(*word);
	*word = with;
	return 0;
}

/* In place, whichever way it is written. */
static int write_value(ServerCommand *c, const Found *f, const char *value)
{
	char **word = &c->argv[f->at];

	if (f->joined)
		return replace(word, str_fmt("%.*s%s", (int)(f->joined - *word), *word, value));
	if (c->argv[f->at + 1])
		return replace(&c->argv[f->at + 1], strdup(value));
	return strings_insert(&c->argv, f->at + 1, value);
}

static size_t end_of_flags(const ServerCommand *c)
{
	size_t i = c->program;

	while (c->argv && c->argv[i] && (i == c->program || strcmp(c->argv[i], "--") != 0))
		i++;
	return i;
}

static int add_flag(ServerCommand *c, const char *name, const char *value)
{
	size_t at = end_of_flags(c);
	int r = strings_insert(&c->argv, at, name);

	return r == 0 && value ? strings_insert(&c->argv, at + 1, value) : r;
}

int command_set_flag(ServerCommand *c, const char *const *names, const char *value)
{
	bool there = false;
	Found f;

	for (size_t i = 1; find_flag(c, i, names, &f);) {
		there = true;
		if (!value) {
			if (!f.joined && c->argv[f.at + 1])
				strings_remove(c->argv, f.at + 1);
			strings_remove(c->argv, f.at);
			i = f.at;
			continue;
		}
		int r = write_value(c, &f, value);
		if (r < 0)
			return r;
		i = f.at + (f.joined ? 1 : 2);
	}
	return value && !there ? add_flag(c, names[0], value) : 0;
}

int command_set_switch(ServerCommand *c, const char *const *names, bool on)
{
	bool there = false;
	Found f;

	for (size_t i = 1; find_flag(c, i, names, &f); i = f.at) {
		if (on) {
			there = true;
			break;
		}
		strings_remove(c->argv, f.at);
	}
	return on && !there ? add_flag(c, names[0], NULL) : 0;
}

/* --- Environment ----------------------------------------------------------------------------- */

/* The last one of that name, as execve()'s readers differ; SIZE_MAX: none. */
static size_t find_env(const ServerCommand *c, const char *name, size_t before)
{
	size_t n = strlen(name);

	for (size_t i = before; i-- > 0;)
		if (strncmp(c->env[i], name, n) == 0 && c->env[i][n] == '=')
			return i;
	return SIZE_MAX;
}

const char *command_env(const ServerCommand *c, const char *name)
{
	size_t i = find_env(c, name, strings_count(c->env));

	return i == SIZE_MAX ? NULL : c->env[i] + strlen(name) + 1;
}

int command_set_env(ServerCommand *c, const char *name, const char *value)
{
	char *text = value ? str_fmt("%s=%s", name, value) : NULL;

	if (value && !text)
		return -ENOMEM;
	for (size_t i = strings_count(c->env); (i = find_env(c, name, i)) != SIZE_MAX;)
		strings_remove(c->env, i);
	if (!text)
		return 0;
	if (!c->env && !(c->env = calloc(1, sizeof(*c->env)))) {
		free(text);
		return -ENOMEM;
	}
	return strings_add(&c->env, text);
}
