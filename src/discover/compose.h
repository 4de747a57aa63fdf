#pragma once
/* What was found, for people and as dream.yaml. Pure. */
#include "base/str.h"
#include "discover/machine.h"

/* The mapping: GPU, then who holds it: process, unit or container, kind, port, parameters. */
int mapping_text(const Machine *m, Str *out) _must_check_;
/* Why there is nothing to tune here: what was looked at, what was not found. Lines. */
void nothing_text(const Machine *m, Str *out);
/* Is there a GPU with a server that a trial can be made of and that has something to tune? */
bool machine_can_tune(const Machine *m);
/* A commented configuration for the servers found. `by`: "dream 0.1.0". */
int compose_config(const Machine *m, const char *by, Str *out, Err *err) _must_check_;
/* And one for the simulated box, which `box` (a file name) describes. */
int compose_simulated(const Machine *m, const char *by, const char *box, Str *out,
		      Err *err) _must_check_;
/* The text of that box. */
const char *simulated_box(void);
