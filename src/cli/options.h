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

/* "-c, --config FILE": how an option is written, for --help (`mark` NULL) and, with *emphasis* as
 * scdoc has it, for the man page. */
void option_spelling(const Option *o, bool scdoc, Str *out);

/* What `dream VERB --help` prints, at most 80 columns wide. */
void command_help(const Command *cmd, Str *out);

/* Text in lines of at most `width` columns, each after `indent` blanks; the first line goes on at
 * column `at`. Blank lines in the text part paragraphs. */
void text_wrap(const char *text, size_t at, size_t indent, size_t width, Str *out);
