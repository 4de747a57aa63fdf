#include "watch/survivor.h"

#include <stdio.h>
#include <stdlib.h>

#include "gpu/owners.h"
#include "gpu/procid.h"
#include "service/port.h"

static bool is_survivor(pid_t pid, const Owner *unit, const ProcId *main)
{
	ProcStat st;
	return pid > 0 && pid != main->pid && procstat_read(pid, &st) >= 0 && !st.dead &&
	       st.id.start < main->start && owner_has(unit, pid);
}

bool survivor_listens(uint16_t port, const char *cgroup, pid_t main_pid, char *words, size_t size)
{
	const Owner unit = {.name = "", .cgroup = cgroup};
	Listener *list = NULL;
	size_t n = 0;
	ProcStat main;
	bool found = false;
	if (port == 0 || !*cgroup || procstat_read(main_pid, &main) < 0 ||
	    listeners(&list, &n, NULL) < 0)
		return false;
	for (size_t i = 0; i < n && !found; i++) {
		found = list[i].port == port && is_survivor(list[i].pid, &unit, &main.id);
		if (found)
			(void)snprintf(words, size,
				       "process %d of the run before still listens on port %u",
				       (int)list[i].pid, port);
	}
	free(list);
	return found;
}
