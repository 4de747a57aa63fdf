#pragma once
/* One trial on real services, in a process of its own: what `gpu_allocation` starts as `dream
 * worker`. It reads a request of the evaluator protocol, starts the candidate's services one after
 * another, proves where they run, loads them alone and together, searches the capacity, stops
 * everything, proves that nothing is left, and writes one result. Whatever goes wrong on the way
 * becomes an outcome with its evidence. */

#include "eval/eval.h"

/* `in` is read to its end; progress and the result go to `out`, a line each. The exit status. */
int worker_main(int in, int out);

/* What must outlive the machine's start: the intent and the account of downtime. New string. */
int worker_state_dir(const AllocationSpec *a, const char *base_dir, char **ret,
		     Err *err) _must_check_;
/* What a killed run left, dealt with before anything else is: its units are stopped, and the
 * production units that it had stopped are started again. Only where trials stop production. 1:
 * there was something; 0: nothing. -EBUSY: that run still lives. */
int worker_recover(const AllocationSpec *a, const char *base_dir, Err *err) _must_check_;
