#pragma once
/* What the files of this folder share: the connection, and how an error of the bus is said. */
#include <systemd/sd-bus.h>

#include "systemd/bus.h"

#define MANAGER	      "org.freedesktop.systemd1"
#define MANAGER_PATH  "/org/freedesktop/systemd1"
#define MANAGER_IFACE "org.freedesktop.systemd1.Manager"
#define PROPERTIES    "org.freedesktop.DBus.Properties"

enum {
	UNIT_NAME_MAX_ = 255,
	STRINGS_MAX = 10000, /* elements of one list that a manager may send */
};

struct Systemd {
	sd_event *loop;
	sd_bus *bus;
	sd_bus_slot *removed, *owner, *lost;
	UnitJob *jobs;
	UnitWatch *watches;
	bool user, gone;
};

/* Says an error of the bus in words: `what` and the unit it was about ("" for none). */
int bus_error(Systemd *s, int r, const sd_bus_error *e, const char *what, const char *unit,
	      Err *err);
/* The same for an answer that is not what it should be. */
int bus_garbage(int r, const char *what, Err *err);
int unit_name_check(const char *unit, Err *err) _must_check_;
/* The unit's object path; also loads it when it is asked for a property. New string. */
int unit_path(const char *unit, char **ret, Err *err) _must_check_;

/* Calls `each` for every property of an a{sv}, with the message at the variant; a negative result
 * ends it. What `each` does not read is skipped. */
typedef int PropertyRead(void *ctx, const char *name, sd_bus_message *m);
int properties_each(sd_bus_message *m, PropertyRead *each, void *ctx) _must_check_;
/* All properties of an object, of all its interfaces, in one call. */
int properties_get(Systemd *s, const char *path, const char *what, const char *unit,
		   sd_bus_message **ret, Err *err) _must_check_;
/* The state from such an answer. */
int unit_state_read(sd_bus_message *m, UnitState *ret) _must_check_;

/* The value in the variant at which the message is, as JSON; NULL: of a type that has no such
 * form, or too large. The variant is consumed. */
int variant_json(sd_bus_message *m, json_t **ret) _must_check_;

/* The manager is gone, or came back after it was executed anew. */
void jobs_lost(Systemd *s);
void jobs_resume(Systemd *s);
void jobs_removed(Systemd *s, const char *path, const char *result);
void watches_lost(Systemd *s);
void watches_resume(Systemd *s);
/* Sends a call whose answer is a job. `m` is not consumed. */
int job_send(Systemd *s, sd_bus_message *m, const char *what, const char *unit, bool starts,
	     JobDone *done, void *ctx, UnitJob **ret, Err *err) _must_check_;
