#pragma once
/* Another service of the box: memory it holds, and bursts of work at random times. */
#include "twin/host.h"

typedef struct Neighbour {
	Host *host;
	Service *service;
	const Tenant *tenant;
	int worker, timer;
	Rng rng;
	bool bursting;
} Neighbour;

/* Takes its memory, with or without ever working. */
int neighbour_start(Neighbour *n, bool works);
/* Begins its bursts anew, after the simulation was cleared. */
int neighbour_begin(Neighbour *n);
