#include "systemd/bus.h"

#include <stdlib.h>

void unit_state_done(UnitState *u)
{
	free(u->cgroup);
	*u = (UnitState){0};
}
