/* At boot, before managed units start: what was open when the power went is undone. Needs nothing
 * but the folder: no database, no bus, no adoption. */
#include <syslog.h>

#include "helper/server.h"
#include "production/boot.h"

static int undo_open(Production *p, Err *err)
{
	OpenChange was = *production_change(p);
	int r = production_recover(p, err);
	if (r > 0)
		helper_say(LOG_WARNING,
			   "the change of production by %s was not finished when the machine went "
			   "down; production is back at generation %s",
			   was.rollout[0] ? was.rollout : "an unknown rollout",
			   production_current(p));
	return r < 0 ? r : 0;
}

int helper_recover(const ProductionPlaces *places, Err *err)
{
	_cleanup_(production_closep) Production *p = NULL;
	if (boot_settled(places->state_dir))
		return 0;
	int r = server_production(places, &p, err);
	if (r == -ENOENT)
		return 0;
	if (r >= 0)
		r = undo_open(p, err);
	if (r >= 0)
		r = boot_settle(places->state_dir, err);
	return r;
}
