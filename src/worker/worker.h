#pragma once
/* One trial on real services, in a process of its own: what `gpu_allocation` starts as `dream
 * worker`. It reads a request of the evaluator protocol, starts the candidate's services one after
 * another, proves where they run, loads them alone and together, searches the capacity, stops
 * everything, proves that nothing is left, and writes one result. Whatever goes wrong on the way
 * becomes an outcome with its evidence. */

/* `in` is read to its end; progress and the result go to `out`, a line each. The exit status. */
int worker_main(int in, int out);
