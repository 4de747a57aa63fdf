/* dream trial-exec: what dream-trial@.service runs. */
#include "cli/internal.h"
#include "systemd/trialfile.h"

static int run(const void *options, int argc, char **argv)
{
	Err err = ERR_INIT;
	(void)options, (void)argc;
	int r = trialfile_run(argv[0], &err);
	return r < 0 ? cli_fail(EXIT_FAILED, &err) : EXIT_DONE;
}

static const Option rows[] = {{0}};

const Command cmd_trial_exec = {
    .name = "trial-exec",
    .args = "FILE",
    .summary = "become the command of a trial that the daemon wrote down",
    .about = "Started by dream-trial@.service, as the user that trials run as, with a file of "
	     "/run/dream/trials. Refuses to be root, and files that others than the daemon could "
	     "have written. Returns only when the command cannot be executed.",
    .options = rows,
    .min_args = 1,
    .max_args = 1,
    .run = run,
};
