/* At boot, before managed units start: what was open when the power went is undone. Needs nothing
 * but the folder: no database, no bus, no adoption. */
#include <stdio.h>
#include <string.h>

#include "helper/server.h"

static int undo_open(Held *h, Err *err)
{
	OpenChange was = *production_change(h->p);
	int r = production_recover(h->p, err);
	if (r > 0)
		fprintf(stderr,
			"<4>the change of production by %s was not finished when the machine went "
			"down; production is back at generation %s\n",
			was.rollout[0] ? was.rollout : "an unknown rollout",
			production_current(h->p));
	return r < 0 ? r : 0;
}

int helper_recover(const ProductionPlaces *places, Err *err)
{
	HELD(h);
	int r = held_open(places, &h, err);
	if (r == -ENOENT)
		return 0;
	/* A managed unit that is restarted asks for recovery again, in the middle of the very
	 * change that it is restarted for. */
	if (h.lock.settled)
		return 0;
	if (r >= 0)
		r = undo_open(&h, err);
	if (r >= 0)
		r = production_settle(&h.lock, err);
	return r;
}
