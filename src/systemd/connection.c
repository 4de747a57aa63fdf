/* The connection to a manager: how it is reached, that it may be lost, and what its errors mean. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/str.h"
#include "base/strings.h"
#include "systemd/internal.h"

enum {
	CALL_TIMEOUT_US = 20 * 1000000, /* the manager reloads for seconds on a large machine */
};

bool systemd_is_user(const Systemd *s)
{
	return s->user;
}

sd_event *systemd_loop(const Systemd *s)
{
	return s->loop;
}

/* --- Errors ---------------------------------------------------------------------------------- */

static const struct {
	const char *name;
	int code;
} error_codes[] = {
    {MANAGER ".NoSuchUnit", -ENOENT},
    {MANAGER ".UnitMasked", -EPERM},
    {MANAGER ".LoadFailed", -ENOEXEC},
    {MANAGER ".BadUnitSetting", -ENOEXEC},
    {MANAGER ".UnitExists", -EEXIST},
    {MANAGER ".TransactionIsDestructive", -EBUSY},
    {MANAGER ".OnlyByDependency", -EPERM},
    {SD_BUS_ERROR_ACCESS_DENIED, -EACCES},
    {SD_BUS_ERROR_INTERACTIVE_AUTHORIZATION_REQUIRED, -EACCES},
    {SD_BUS_ERROR_SERVICE_UNKNOWN, -ENOTCONN},
    {SD_BUS_ERROR_NAME_HAS_NO_OWNER, -ENOTCONN},
    {SD_BUS_ERROR_DISCONNECTED, -ENOTCONN},
    {SD_BUS_ERROR_NO_REPLY, -ETIMEDOUT},
    {SD_BUS_ERROR_TIMEOUT, -ETIMEDOUT},
    {SD_BUS_ERROR_INVALID_ARGS, -EINVAL},
};

static int code_of(int r, const sd_bus_error *e)
{
	for (size_t i = 0; e && e->name && i < sizeof(error_codes) / sizeof(error_codes[0]); i++)
		if (strcmp(e->name, error_codes[i].name) == 0)
			return error_codes[i].code;
	if (e && e->name && sd_bus_error_get_errno(e) > 0)
		r = -sd_bus_error_get_errno(e);
	return r == -ECONNRESET || r == -ENOTCONN || r == -EPIPE || r == -ESHUTDOWN ? -ENOTCONN : r;
}

int bus_error(Systemd *s, int r, const sd_bus_error *e, const char *what, const char *unit,
	      Err *err)
{
	const char *blank = *unit ? " " : "";
	const char *said = e && e->message ? e->message : strerror(-r);

	r = code_of(r, e);
	if (r == -EACCES)
		return err_set(err, r,
			       "cannot %s%s%s: user %u may not do that; run as root, or let a "
			       "polkit rule allow org.freedesktop.systemd1.manage-units for this "
			       "user and unit",
			       what, blank, unit, (unsigned)geteuid());
	if (r == -ENOTCONN)
		return err_set(err, r, "cannot %s%s%s: the connection to the %s is lost", what,
			       blank, unit, s && s->user ? "user's systemd" : "systemd");
	if (r == -ETIMEDOUT)
		return err_set(err, r, "cannot %s%s%s: systemd does not answer", what, blank, unit);
	return err_set(err, r, "cannot %s%s%s: %s", what, blank, unit, said);
}

int bus_garbage(int r, const char *what, Err *err)
{
	if (r == -ENOMEM)
		return err_oom(err);
	return err_set(err, r < 0 ? r : -EBADMSG, "systemd's answer to '%s' is not understood: %s",
		       what, strerror(r < 0 ? -r : EBADMSG));
}

/* --- Names ----------------------------------------------------------------------------------- */

static bool has_type(const char *unit)
{
	static const char *const types[] = {".service", ".socket", ".target", ".slice",	 ".scope",
					    ".mount",	".timer",  ".path",   ".device", NULL};
	const char *dot = strrchr(unit, '.');
	return dot && dot > unit && words_have(types, dot);
}

int unit_name_check(const char *unit, Err *err)
{
	static const char chars[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
				    "0123456789:-_.\\@";
	size_t n = strlen(unit);

	if (n == 0 || n > UNIT_NAME_MAX_ || strspn(unit, chars) != n)
		return err_set(err, -EINVAL, "'%.100s' is not the name of a systemd unit", unit);
	if (!has_type(unit))
		return err_set(err, -EINVAL,
			       "'%s' is not the whole name of a systemd unit; write '%s.service'?",
			       unit, unit);
	return 0;
}

int unit_path(const char *unit, char **ret, Err *err)
{
	int r = unit_name_check(unit, err);
	if (r < 0)
		return r;
	r = sd_bus_path_encode(MANAGER_PATH "/unit", unit, ret);
	return r < 0 ? err_set(err, r, "cannot name the unit %s: %s", unit, strerror(-r)) : 0;
}

/* --- What the manager says by itself --------------------------------------------------------- */

static int on_job_removed(sd_bus_message *m, void *ctx, sd_bus_error *e)
{
	const char *path, *unit, *result;
	uint32_t id;

	(void)e;
	if (sd_bus_message_read(m, "uoss", &id, &path, &unit, &result) >= 0)
		jobs_removed(ctx, path, result);
	return 0;
}

static void subscribe(Systemd *s)
{
	/* Without it the manager tells nobody about jobs and units. A second time is an error that
	 * says nothing new. */
	(void)sd_bus_call_method_async(s->bus, NULL, MANAGER, MANAGER_PATH, MANAGER_IFACE,
				       "Subscribe", NULL, NULL, "");
}

/* The manager was executed anew (an upgrade of systemd): what happened meanwhile was not told. */
static int on_owner_changed(sd_bus_message *m, void *ctx, sd_bus_error *e)
{
	Systemd *s = ctx;
	const char *name, *old, *new;

	(void)e;
	if (sd_bus_message_read(m, "sss", &name, &old, &new) < 0 || !*new)
		return 0;
	subscribe(s);
	jobs_resume(s);
	watches_resume(s);
	return 0;
}

static int on_lost(sd_bus_message *m, void *ctx, sd_bus_error *e)
{
	Systemd *s = ctx;

	(void)m;
	(void)e;
	s->gone = true;
	jobs_lost(s);
	watches_lost(s);
	return 0;
}

/* --- Opening --------------------------------------------------------------------------------- */

/* The manager's own socket, for where there is no message bus: a rescue shell, a user's manager
 * without a session bus. */
static int open_private(bool user, sd_bus **ret)
{
	const char *runtime = getenv("XDG_RUNTIME_DIR");
	_cleanup_free_ char *address = NULL;
	sd_bus *bus = NULL;

	if (user && (!runtime || *runtime != '/'))
		return -ENOENT;
	address = str_fmt("unix:path=%s/systemd/private", user ? runtime : "/run");
	if (!address)
		return -ENOMEM;
	int r = sd_bus_new(&bus);
	if (r >= 0)
		r = sd_bus_set_address(bus, address);
	if (r >= 0)
		r = sd_bus_start(bus);
	if (r < 0) {
		sd_bus_unref(bus);
		return r;
	}
	*ret = bus;
	return 0;
}

static int open_any(bool user, sd_bus **ret)
{
	int r = user ? sd_bus_open_user(ret) : sd_bus_open_system(ret);
	if (r < 0 && (user || geteuid() == 0) && open_private(user, ret) >= 0)
		return 0;
	return r;
}

static int hear(Systemd *s)
{
	int r = sd_bus_match_signal(s->bus, &s->removed, MANAGER, MANAGER_PATH, MANAGER_IFACE,
				    "JobRemoved", on_job_removed, s);
	if (r >= 0)
		r = sd_bus_match_signal(s->bus, &s->lost, "org.freedesktop.DBus.Local",
					"/org/freedesktop/DBus/Local", "org.freedesktop.DBus.Local",
					"Disconnected", on_lost, s);
	if (r >= 0 && sd_bus_is_bus_client(s->bus) > 0)
		r = sd_bus_add_match(s->bus, &s->owner,
				     "type='signal',sender='org.freedesktop.DBus',"
				     "path='/org/freedesktop/DBus',"
				     "interface='org.freedesktop.DBus',member='NameOwnerChanged',"
				     "arg0='" MANAGER "'",
				     on_owner_changed, s);
	return r;
}

/* A bus without a manager behind it must be told apart now, not at the first job. */
static int check_manager(Systemd *s, Err *err)
{
	sd_bus_error e = SD_BUS_ERROR_NULL;
	char *version = NULL;
	int r = sd_bus_get_property_string(s->bus, MANAGER, MANAGER_PATH, MANAGER_IFACE, "Version",
					   &e, &version);
	free(version);
	if (r < 0)
		r = err_set(err, code_of(r, &e) == -ENOTCONN ? -ENOENT : code_of(r, &e),
			    "no systemd is running here for %s: %s",
			    s->user ? "this user" : "the system",
			    e.message ? e.message : strerror(-r));
	sd_bus_error_free(&e);
	return r < 0 ? r : 0;
}

static int set_up(Systemd *s, Err *err)
{
	(void)sd_bus_set_method_call_timeout(s->bus, CALL_TIMEOUT_US);
	int r = check_manager(s, err);
	if (r < 0)
		return r;
	r = hear(s);
	if (r >= 0)
		r = sd_bus_attach_event(s->bus, s->loop, SD_EVENT_PRIORITY_NORMAL);
	if (r < 0)
		return err_set(err, r, "cannot listen to systemd: %s", strerror(-r));
	subscribe(s);
	return 0;
}

int systemd_open(sd_event *loop, bool user, Systemd **ret, Err *err)
{
	_cleanup_(systemd_closep) Systemd *s = calloc(1, sizeof(*s));
	if (!s)
		return err_oom(err);
	s->loop = sd_event_ref(loop);
	s->user = user;
	int r = open_any(user, &s->bus);
	if (r < 0)
		return err_set(err, r == -ENOMEDIUM ? -ENOENT : r,
			       "cannot reach %s: %s; is systemd running here?",
			       user ? "this user's systemd" : "systemd",
			       r == -ENOMEDIUM ? "XDG_RUNTIME_DIR is not set" : strerror(-r));
	r = set_up(s, err);
	if (r < 0)
		return r;
	*ret = TAKE_PTR(s);
	return 0;
}

Systemd *systemd_close(Systemd *s)
{
	if (!s)
		return NULL;
	s->gone = true;
	while (s->jobs)
		unitjob_forget(s->jobs);
	while (s->watches)
		unitwatch_free(s->watches);
	sd_bus_slot_unref(s->removed);
	sd_bus_slot_unref(s->owner);
	sd_bus_slot_unref(s->lost);
	if (s->bus) {
		sd_bus_detach_event(s->bus);
		sd_bus_flush_close_unref(s->bus);
	}
	sd_event_unref(s->loop);
	free(s);
	return NULL;
}
