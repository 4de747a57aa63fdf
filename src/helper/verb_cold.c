/* cold: as after a power cut. All are stopped, and when none runs any more all are started in one
 * go. A unit is asked for after those that it is ordered after, so that the manager, which orders
 * only what is waiting to be started, sees what a boot would show it. */
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/strings.h"
#include "helper/server.h"

typedef struct Cold Cold;

typedef struct Item {
	Cold *cold;
	char *unit;
	UnitOrigin origin;
	UnitWork work;
	bool placed; /* in `order` */
} Item;

struct Cold {
	Call *call;
	Item items[PACKET_UNITS_MAX];
	size_t n, at_work;
	size_t order[PACKET_UNITS_MAX];
	bool starting;
};

static Cold *cold_free(Cold *c)
{
	for (size_t i = 0; c && i < c->n; i++) {
		unitwork_forget(&c->items[i].work);
		unit_origin_done(&c->items[i].origin);
		free(c->items[i].unit);
	}
	free(c);
	return NULL;
}

DEFINE_CLEANUP(Cold *, cold_free)

/* --- Order ------------------------------------------------------------------------------------ */

static bool comes_after(const Item *item, const char *unit)
{
	return strings_has(item->origin.after, unit);
}

static bool is_ready(const Cold *c, size_t which)
{
	for (size_t i = 0; i < c->n; i++)
		if (i != which && !c->items[i].placed &&
		    comes_after(&c->items[which], c->items[i].unit))
			return false;
	return true;
}

/* The first that waits for nobody; in a circle, which the manager would break too, the first. */
static void put_in_order(Cold *c)
{
	for (size_t n = 0; n < c->n; n++) {
		size_t pick = c->n;
		for (size_t i = 0; i < c->n; i++)
			if (!c->items[i].placed &&
			    (pick == c->n || (!is_ready(c, pick) && is_ready(c, i))))
				pick = i;
		c->items[pick].placed = true;
		c->order[n] = pick;
	}
}

/* --- Stopping and starting -------------------------------------------------------------------- */

static int report(Cold *c, json_t **ret, Err *err)
{
	json_auto_t *results = json_object(), *members = json_object();
	bool failed = false;
	for (size_t i = 0; i < c->n; i++) {
		json_t *one = NULL;
		int r = unitwork_json(&c->items[i].work, &one, err);
		if (r < 0)
			return r;
		js_set(results, c->items[i].unit, one, &failed);
	}
	js_set(members, "results", TAKE_PTR(results), &failed);
	if (!members || failed)
		return err_oom(err);
	*ret = TAKE_PTR(members);
	return 0;
}

static void finish(Cold *c)
{
	Call *call = c->call;
	json_t *members = NULL;
	Err err = ERR_INIT;
	int r = report(c, &members, &err);
	cold_free(c);
	call_end(call, members, r < 0 ? &err : NULL);
}

/* Whichever cannot even be asked for is left with its error; the others must not stay stopped. */
static void start_all(Cold *c)
{
	c->starting = true;
	for (size_t i = 0; i < c->n; i++) {
		UnitWork *w = &c->items[c->order[i]].work;
		Err err = ERR_INIT;
		if (unitwork_start(w, unit_start, &err) < 0)
			w->err = err;
		else
			c->at_work++;
	}
	if (c->at_work == 0)
		finish(c);
}

static void on_done(void *ctx)
{
	Cold *c = ((Item *)ctx)->cold;
	if (--c->at_work > 0)
		return;
	if (c->starting)
		finish(c);
	else
		start_all(c);
}

static int stop_all(Cold *c, Err *err)
{
	for (size_t i = 0; i < c->n; i++) {
		Item *item = &c->items[i];
		item->work = (UnitWork){
		    .s = call_server(c->call), .unit = item->unit, .done = on_done, .ctx = item};
		int r = unitwork_start(&item->work, unit_stop, err);
		if (r >= 0)
			c->at_work++;
		else if (c->at_work == 0)
			return r;
	}
	return 0;
}

/* What was to be stopped first is not started either: whoever gives it up says what is to run. */
static void cancel(Call *call)
{
	Cold *c = call_data(call);
	for (size_t i = 0; i < c->n; i++)
		if (c->items[i].work.job || !c->starting)
			unitwork_give_up(&c->items[i].work);
	finish(c);
}

/* --- The verb --------------------------------------------------------------------------------- */

static int add_unit(Cold *c, const char *unit, Err *err)
{
	Item *item = &c->items[c->n];
	Adoption a = {0};
	Systemd *systemd;
	int r = adopted(call_server(c->call), unit, &a, err);
	adoption_done(&a);
	if (r >= 0)
		r = server_systemd(call_server(c->call), &systemd, err);
	if (r >= 0)
		r = unit_origin(systemd, unit, &item->origin, err);
	if (r < 0)
		return r;
	c->n++;
	item->cold = c;
	item->unit = strdup(unit);
	return item->unit ? 0 : err_oom(err);
}

static int run(Call *call, json_t **ret, Err *err)
{
	const json_t *units = json_object_get(call_request(call), "units");
	int r = 0;

	(void)ret;
	_cleanup_(cold_freep) Cold *c = calloc(1, sizeof(*c));
	if (!c)
		return err_oom(err);
	c->call = call;
	for (size_t i = 0; r >= 0 && i < json_array_size(units); i++)
		r = add_unit(c, json_string_value(json_array_get(units, i)), err);
	if (r < 0)
		return r;
	put_in_order(c);
	r = stop_all(c, err);
	if (r < 0)
		return r;
	call_set_data(call, TAKE_PTR(c));
	return 1;
}

static const Member members[] = {{"units", MEMBER_UNITS}, {0}};
const Verb verb_cold = {
    .form = {"cold", members}, .alone = true, .changes = true, .run = run, .cancel = cancel};
