#pragma once
/* A verb's options from its table: parsing and the text of --help. */
#include "base/err.h"
#include "base/str.h"
#include "cli/cli.h"

/* Fills a zeroed struct of cmd->options_size bytes, defaults included; argv[0] is the verb. Returns
 * the index of the first positional argument (they are moved to the end of argv), or -EINVAL with a
 * sentence that names the option and what it accepts. *ret_help: --help was asked for. */
int options_parse(const Command *cmd, int argc, char **argv, void *target, bool *ret_help,
		  Err *err) _must_check_;

/* Rows that several verbs have, each for the member of that name in the verb's struct Options. */
#define OPTION_OF_FILE(member, short, says)                                                \
	{                                                                                  \
		.name = #member, .letter = (short), .metavar = "FILE", .type = OPT_STRING, \
		.offset = offsetof(Options, member), .complete = "file", .help = (says),   \
	}
#define OPTION_CONFIG(says) OPTION_OF_FILE(config, 'c', says)
#define OPTION_CONFIG_FOUND \
	OPTION_CONFIG(      \
	    "the configuration; otherwise ./dream.yaml, then the user's, then the system's")
#define OPTION_CONFIG_OF_STORE OPTION_CONFIG("the configuration that names the store")
#define OPTION_DATABASE \
	OPTION_OF_FILE(database, 'd', "the store itself, instead of the configuration's")
#define OPTION_EXPERIMENT(says)                                                                    \
	{                                                                                          \
		.name = "experiment", .letter = 'e', .metavar = "NAME", .type = OPT_STRING,        \
		.offset = offsetof(Options, experiment), .complete = "experiment", .help = (says), \
	}
#define OPTION_ONE_EXPERIMENT \
	OPTION_EXPERIMENT("which experiment; not needed when only one is enabled")
#define OPTION_SOCKET                                                         \
	{                                                                     \
		.name = "socket", .metavar = "PATH", .type = OPT_STRING,      \
		.offset = offsetof(Options, socket), .complete = "file",      \
		.help = "the daemon's socket, where it is not the usual one", \
	}
#define OPTION_JSON(says)                                          \
	{                                                          \
		.name = "json", .letter = 'j', .type = OPT_FLAG,   \
		.offset = offsetof(Options, json), .help = (says), \
	}

/* "-c, --config FILE": how an option is written, for --help (`mark` NULL) and, with *emphasis* as
 * scdoc has it, for the man page. */
void option_spelling(const Option *o, bool scdoc, Str *out);

/* What `dream VERB --help` prints, at most 80 columns wide. */
void command_help(const Command *cmd, Str *out);

/* Text in lines of at most `width` columns, each after `indent` blanks; the first line goes on at
 * column `at`. Blank lines in the text part paragraphs. */
void text_wrap(const char *text, size_t at, size_t indent, size_t width, Str *out);
