/* The part of dream(1) that the tables know: each verb with its options, in scdoc's notation. The
 * build puts it into man/dream.1.scd. */
#include <string.h>

#include "cli/internal.h"
#include "cli/options.h"

/* Underscores, stars and backslashes mean something to scdoc. */
static void plain(const char *text, Str *out)
{
	for (; *text; text++) {
		if (strchr("_*\\<>", *text))
			str_addc(out, '\\');
		str_addc(out, *text);
	}
}

/* scdoc wants a blank line between paragraphs and takes a line break as a blank. */
static void man_option(const Option *o, Str *out)
{
	option_spelling(o, true, out);
	str_add(out, "\n\t");
	plain(o->help, out);
	if (o->otherwise && o->metavar && !strstr(o->help, "(default")) {
		str_add(out, " (default: ");
		plain(o->otherwise, out);
		str_addc(out, ')');
	}
	str_add(out, ".\n\n");
}

static void man_command(const Command *c, Str *out)
{
	str_addf(out, "## dream %s", c->name);
	if (*c->args) {
		str_addc(out, ' ');
		plain(c->args, out);
	}
	str_add(out, "\n\n");
	plain(c->about, out);
	str_add(out, "\n\n");
	for (const Option *o = c->options; o && o->name; o++)
		man_option(o, out);
}

static int run(const void *options, int argc, char **argv)
{
	_cleanup_(str_done) Str text = STR_INIT;
	(void)options;
	(void)argc;
	(void)argv;
	for (size_t i = 0; commands[i]; i++)
		man_command(commands[i], &text);
	man_command(&cmd_completion, &text);
	return cli_print(text.s);
}

const Command cmd_man = {
    .name = "man",
    .args = "",
    .summary = "print the generated part of dream(1)",
    .about = "Prints the verbs and their options in scdoc's notation, for the build.",
    .run = run,
};
