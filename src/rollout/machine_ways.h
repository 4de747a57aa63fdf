#pragma once
/* Between machine.c (what an event means in a phase) and machine_ways.c (where it goes from there):
 * each way brings the machine into its next phase and says what that asks for. */
#include "rollout/machine.h"

ParamMask way_all_params(const MachineSpec *spec);

/* Into a phase. No verdict outlives the one in which it was found. */
MachineDo way_enter(Machine *m, MachinePhase phase, ParamMask target);
MachineDo way_apply(Machine *m, ParamMask target);
MachineDo way_cold_start(Machine *m);
MachineDo way_undo(Machine *m, bool resume);
MachineDo way_end(Machine *m, MachineResult result);
/* Gives the whole of it up. */
MachineDo way_fall_back(Machine *m, MachineEvent e);
/* It is not known how it went: by policy the same again, a question, or back. */
MachineDo way_uncertain(const MachineSpec *spec, Machine *m, MachineEvent e);

/* Drops a parameter, with the set on which it failed as evidence. */
void way_drop(Machine *m, uint32_t i, ParamMask set);

/* Trials, before production is touched. */
MachineDo way_begin(const MachineSpec *spec, Machine *m);
MachineDo way_next_isolated(const MachineSpec *spec, Machine *m);
MachineDo way_isolated_failed(const MachineSpec *spec, Machine *m);
MachineDo way_colocated_passed(const MachineSpec *spec, Machine *m);
MachineDo way_colocated_failed(const MachineSpec *spec, Machine *m);

/* Production: the next parameter, or the end. `hurt`: what runs is broken and must go at once. */
MachineDo way_go_on(const MachineSpec *spec, Machine *m, bool hurt);
/* What runs (or was to run) hurts: as a hard event, or as the judge says. */
MachineDo way_hurts(const MachineSpec *spec, Machine *m, MachineEvent e);
MachineDo way_good_verdict(const MachineSpec *spec, Machine *m);
/* Would a good verdict end it? Then no restart is needed any more, and no budget. */
bool way_ends_here(const MachineSpec *spec, const Machine *m);
