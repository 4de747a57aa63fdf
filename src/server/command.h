#pragma once
/* A command that starts a server: what production runs, with a few values changed. */
#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

typedef struct ServerCommand {
	size_t program; /* which word of argv is the server itself; what stands before it is a
			   wrapper's business, and no flag of it is read or changed */
	char **argv;	/* owned, NULL-terminated; argv[0] is executed */
	char **env; /* owned, NULL-terminated "NAME=value": its whole environment. May hold secrets:
		       never logged */
	char *cwd, *user, *group; /* NULL: ours */
	json_t *limits;		  /* of the production unit, by systemd's names; NULL */
	char *from; /* where it comes from, for people: "judge.service", "dream.yaml" */
} ServerCommand;

void servercommand_done(ServerCommand *c);
int servercommand_copy(const ServerCommand *from, ServerCommand *ret) _must_check_;

/* The value of "--flag value" or "--flag=value"; NULL: not there. `names`: all its spellings,
 * NULL-terminated. The last one on the line counts. */
const char *command_flag(const ServerCommand *c, const char *const *names);
/* Replaces every value of the flag, in the style it is written in; adds `names[0] value` when it is
 * not there. value NULL: takes the flag out. */
int command_set_flag(ServerCommand *c, const char *const *names, const char *value) _must_check_;
/* A flag without a value: there or not. */
bool command_switch(const ServerCommand *c, const char *const *names);
int command_set_switch(ServerCommand *c, const char *const *names, bool on) _must_check_;
/* Where a word stands behind the program; 0: nowhere. */
size_t command_word(const ServerCommand *c, const char *word);
const char *command_env(const ServerCommand *c, const char *name);
int command_set_env(ServerCommand *c, const char *name,
		    const char *value) _must_check_; /* value NULL: takes it out */
