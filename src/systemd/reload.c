/* The manager reads its files anew; and which name of a unit is its own. */
#include <string.h>

#include "base/str.h"
#include "systemd/internal.h"

enum {
	RELOAD_TIMEOUT_US = 120 * 1000000, /* generators run, and units are read one by one */
};

int systemd_reload(Systemd *s, Err *err)
{
	_cleanup_(sd_bus_message_unrefp) sd_bus_message *m = NULL;
	sd_bus_error e = SD_BUS_ERROR_NULL;
	int r = sd_bus_message_new_method_call(s->bus, &m, MANAGER, MANAGER_PATH, MANAGER_IFACE,
					       "Reload");
	if (r >= 0)
		r = sd_bus_call(s->bus, m, RELOAD_TIMEOUT_US, &e, NULL);
	if (r < 0)
		r = bus_error(s, r, &e, "have systemd read its files anew", "", err);
	sd_bus_error_free(&e);
	return r < 0 ? r : 0;
}

int unit_own_name(Systemd *s, const char *unit, char **ret, Err *err)
{
	_cleanup_free_ char *path = NULL;
	sd_bus_error e = SD_BUS_ERROR_NULL;
	int r = unit_path(unit, &path, err);
	if (r < 0)
		return r;
	r = sd_bus_get_property_string(s->bus, MANAGER, path, "org.freedesktop.systemd1.Unit", "Id",
				       &e, ret);
	if (r < 0)
		r = bus_error(s, r, &e, "read the name of", unit, err);
	sd_bus_error_free(&e);
	return r < 0 ? r : 0;
}
