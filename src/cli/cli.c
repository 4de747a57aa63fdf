/* Which verb runs, and what `dream` says about itself. Nothing is opened or read before the verb is
 * known, so that `dream --version` costs no more than starting a process. */
#include "cli/cli.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cli/internal.h"
#include "cli/options.h"
#include "conf/conf.h"

const Command *const commands[] = {
    &cmd_init,	   &cmd_doctor,	  &cmd_check,  &cmd_run,     &cmd_eval,	      &cmd_predict,
    &cmd_trials,   &cmd_show,	  &cmd_plot,   &cmd_lineage, &cmd_promotions, &cmd_promotion,
    &cmd_approve,  &cmd_reject,	  &cmd_adopt,  &cmd_rollout, &cmd_rollback,   &cmd_ab,
    &cmd_baseline, &cmd_feedback, &cmd_status, &cmd_daemon,  &cmd_pause,      &cmd_resume,
    &cmd_bench,	   &cmd_gpu,	  &cmd_twin,   NULL,
};

/* Verbs for the build and the shell, not listed by --help. */
static const Command *const hidden[] = {&cmd_completion, &cmd_man, &cmd_worker, &cmd_trial_exec,
					NULL};

static void program_help(Str *out)
{
	text_wrap(
	    "Usage: dream VERB [OPTIONS] [ARGUMENTS]\n\n"
	    "Finds a better configuration for the model services of a GPU box by measuring "
	    "candidates, confirms it against what runs now, and proposes it with the evidence.",
	    0, 0, 80, out);
	str_add(out, "\nVerbs:\n");
	for (size_t i = 0; commands[i]; i++) {
		str_addf(out, "  %-12s", commands[i]->name);
		text_wrap(commands[i]->summary, 14, 14, 80, out);
	}
	str_add(out, "\n'dream VERB --help' explains a verb, dream(1) and dream.yaml(5) the "
		     "rest.\n");
}

static const Command *find_in(const Command *const *list, const char *name)
{
	for (size_t i = 0; list[i]; i++)
		if (strcmp(list[i]->name, name) == 0)
			return list[i];
	return NULL;
}

static const Command *find_command(const char *name)
{
	const Command *c = find_in(commands, name);
	return c ? c : find_in(hidden, name);
}

static int unknown_verb(const char *name)
{
	const char *names[64] = {0};
	for (size_t i = 0; commands[i] && i + 1 < 64; i++)
		names[i] = commands[i]->name;
	const char *meant = conf_nearest(name, names);
	if (meant)
		return cli_failf(EXIT_USAGE, "there is no verb '%s'; did you mean '%s'?", name,
				 meant);
	return cli_failf(EXIT_USAGE, "there is no verb '%s'; 'dream --help' lists them", name);
}

static int print_help(const Command *c)
{
	_cleanup_(str_done) Str text = STR_INIT;
	if (c)
		command_help(c, &text);
	else
		program_help(&text);
	return cli_print(text.s);
}

static int run_command(const Command *c, int argc, char **argv)
{
	_cleanup_free_ void *options = calloc(1, c->options_size ? c->options_size : 1);
	bool help = false;
	Err err = ERR_INIT;
	int code;
	cli_set_verb(c->name);
	if (c->program && c->program(argc, argv, &code))
		return code;
	if (!options)
		return cli_failf(EXIT_FAILED, "out of memory");
	int first = options_parse(c, argc, argv, options, &help, &err);
	if (help)
		return print_help(c);
	if (first < 0)
		return cli_fail(EXIT_USAGE, &err);
	return c->run(options, argc - first, argv + first);
}

static int help_verb(int argc, char **argv)
{
	if (argc < 2)
		return print_help(NULL);
	const Command *c = find_command(argv[1]);
	return c ? print_help(c) : unknown_verb(argv[1]);
}

static int is(const char *arg, const char *name, const char *letter)
{
	return strcmp(arg, name) == 0 || strcmp(arg, letter) == 0;
}

/* A standard stream that was closed would be the number of the next file or socket that is opened,
 * and what is meant for people would be written there. So something is put in its place that cannot
 * be written (read, where it is the input): that fails as before. */
static bool hold_standard_streams(void)
{
	for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
		if (fcntl(fd, F_GETFD) < 0 &&
		    open("/dev/null", fd == STDIN_FILENO ? O_WRONLY : O_RDONLY) != fd)
			return false;
	return true;
}

int cli_main(int argc, char **argv)
{
	if (!hold_standard_streams())
		return EXIT_FAILED;
	/* A reader that has seen enough is an error of write(), not a death in the middle of it. */
	signal(SIGPIPE, SIG_IGN);
	if (argc < 2) {
		_cleanup_(str_done) Str text = STR_INIT;
		program_help(&text);
		fputs(text.s ? text.s : "", stderr);
		return EXIT_USAGE;
	}
	if (is(argv[1], "--version", "-V"))
		return cli_print("dream " DREAM_VERSION "\n");
	if (is(argv[1], "--help", "-h"))
		return print_help(NULL);
	if (strcmp(argv[1], "help") == 0)
		return help_verb(argc - 1, argv + 1);
	if (argv[1][0] == '-')
		return cli_failf(EXIT_USAGE,
				 "there is no option %s before the verb; only --help and --version "
				 "stand alone",
				 argv[1]);
	const Command *c = find_command(argv[1]);
	return c ? run_command(c, argc - 1, argv + 1) : unknown_verb(argv[1]);
}
