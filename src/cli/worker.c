/* dream worker: one trial on real services; started by the evaluator `gpu_allocation`, not by
 * people. */
#include "worker/worker.h"
#include "cli/cli.h"

static int run(const void *options, int argc, char **argv)
{
	(void)options, (void)argc, (void)argv;
	return worker_main(0, 1);
}

static const Option rows[] = {{0}};

const Command cmd_worker = {
    .name = "worker",
    .args = "",
    .summary = "measure one candidate on real services, for an evaluator",
    .about = "Started by `dream run` and `dream eval` for experiments whose evaluator is "
	     "gpu_allocation. Reads one request "
	     "of the evaluator protocol from standard input, starts the candidate's services, "
	     "loads them, stops them, and "
	     "writes progress and one result to standard output.",
    .options = rows,
    .max_args = 0,
    .run = run,
};
