#include "systemd/follow.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <systemd/sd-journal.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/str.h"
#include "systemd/journal.h"

enum {
	TURN_US = 200000, /* from one look to the next */
	TURN_ENTRIES = 2000,
	LINE_MAX_ = 16 << 10,
};

struct Follow {
	sd_journal *j;
	sd_event_source *io, *timer;
	const char *const *units;
	size_t n;
	bool user;
	bool more; /* the last turn did not come to the end */
	FollowHandler h;
	void *ctx;
};

Follow *follow_stop(Follow *f)
{
	if (!f)
		return NULL;
	sd_event_source_disable_unref(f->io);
	sd_event_source_disable_unref(f->timer);
	sd_journal_close(f->j);
	free(f);
	return NULL;
}

/* --- Which entries --------------------------------------------------------------------------- */

static int match(sd_journal *j, const char *field, const char *value)
{
	_cleanup_free_ char *text = str_fmt("%s=%s", field, value);
	return text ? sd_journal_add_match(j, text, 0) : -ENOMEM;
}

/* Only fields that the journal itself vouches for: whatever else a program may write about a unit
 * counts only from the manager's own process. */
static int match_unit(const Follow *f, const char *unit)
{
	char uid[24];
	(void)snprintf(uid, sizeof(uid), "%u", (unsigned)geteuid());
	int r = match(f->j, f->user ? "_SYSTEMD_USER_UNIT" : "_SYSTEMD_UNIT", unit);
	if (r >= 0 && f->user)
		r = match(f->j, "_UID", uid);
	if (r >= 0)
		r = sd_journal_add_disjunction(f->j);
	if (r >= 0 && !f->user)
		r = match(f->j, "_PID", "1");
	if (r >= 0 && !f->user)
		r = match(f->j, "UNIT", unit);
	return r >= 0 && !f->user ? sd_journal_add_disjunction(f->j) : r;
}

static bool field_is(sd_journal *j, const char *field, const char *value)
{
	const void *data;
	size_t n, skip = strlen(field) + 1;
	return sd_journal_get_data(j, field, &data, &n) >= 0 && n == skip + strlen(value) &&
	       memcmp((const char *)data + skip, value, n - skip) == 0;
}

static bool is_of(const Follow *f, const char *unit)
{
	if (f->user)
		return field_is(f->j, "_SYSTEMD_USER_UNIT", unit);
	return field_is(f->j, "_SYSTEMD_UNIT", unit) ||
	       (field_is(f->j, "_PID", "1") && field_is(f->j, "UNIT", unit));
}

/* --- Reading --------------------------------------------------------------------------------- */

static void tell(Follow *f)
{
	const void *data;
	size_t n;
	uint64_t at = 0;
	/* An entry that a crash left torn is none. */
	if (sd_journal_get_data(f->j, "MESSAGE", &data, &n) < 0 || n < 8 ||
	    sd_journal_get_realtime_usec(f->j, &at) < 0)
		return;
	/* What follows reuses the journal's memory. */
	char text[LINE_MAX_];
	size_t len = n - 8 < sizeof(text) ? n - 8 : sizeof(text);
	memcpy(text, (const char *)data + 8, len);
	for (size_t i = 0; i < f->n; i++)
		if (f->units[i] && is_of(f, f->units[i]))
			f->h.line(f->ctx, i, (int64_t)at, text, len);
}

static int on_turn(sd_event_source *s, uint64_t at, void *ctx);

/* After a turn the journal is left alone for a while, however fast it grows. */
static void pause_for(Follow *f, uint64_t us)
{
	uint64_t at = (uint64_t)clock_mono_us(&clock_system) + us;
	if (sd_event_source_set_time(f->timer, at) >= 0)
		(void)sd_event_source_set_enabled(f->timer, SD_EVENT_ONESHOT);
}

void follow_turn(Follow *f)
{
	int n = 0, r = sd_journal_process(f->j);
	for (; n < TURN_ENTRIES && (r = sd_journal_next(f->j)) > 0; n++)
		tell(f);
	f->more = n == TURN_ENTRIES;
	if (n > 0)
		f->h.rest(f->ctx);
	pause_for(f, TURN_US);
}

static int on_io(sd_event_source *s, int fd, uint32_t events, void *ctx)
{
	(void)fd, (void)events;
	(void)sd_event_source_set_enabled(s, SD_EVENT_OFF);
	follow_turn(ctx);
	return 0;
}

/* The pause is over. What was written in it has made the descriptor ready; where files do not tell
 * (a network's), looking is all there is. */
static int on_turn(sd_event_source *s, uint64_t at, void *ctx)
{
	Follow *f = ctx;
	(void)s, (void)at;
	(void)sd_event_source_set_enabled(f->io, SD_EVENT_ON);
	if (f->more || sd_journal_reliable_fd(f->j) == 0)
		follow_turn(f);
	return 0;
}

/* --- Beginning ------------------------------------------------------------------------------- */

/* Behind the newest entry of all: the end of those that match is no place where there are none. */
static int seek(Follow *f, Err *err)
{
	_cleanup_free_ char *cursor = NULL;
	int r = journal_cursor(&cursor, err);
	if (r < 0)
		return r;
	if (!*cursor)
		return sd_journal_seek_head(f->j);
	r = sd_journal_seek_cursor(f->j, cursor);
	if (r < 0)
		return r;
	/* Its own entry is not after it, but it may not match. */
	r = sd_journal_next(f->j);
	if (r > 0 && sd_journal_test_cursor(f->j, cursor) == 0)
		r = sd_journal_previous(f->j);
	return r;
}

static int begin(Follow *f, sd_event *loop, Err *err)
{
	int r = sd_journal_open(&f->j, SD_JOURNAL_LOCAL_ONLY);
	if (r < 0)
		return r;
	(void)sd_journal_set_data_threshold(f->j, LINE_MAX_);
	for (size_t i = 0; i < f->n && r >= 0; i++)
		if (f->units[i])
			r = match_unit(f, f->units[i]);
	if (r >= 0)
		r = seek(f, err);
	int fd = r >= 0 ? sd_journal_get_fd(f->j) : r;
	int events = fd >= 0 ? sd_journal_get_events(f->j) : fd;
	if (events < 0)
		return events;
	r = sd_event_add_io(loop, &f->io, fd, (uint32_t)events, on_io, f);
	if (r >= 0)
		r = sd_event_add_time_relative(loop, &f->timer, CLOCK_MONOTONIC, 0, 20000, on_turn,
					       f);
	return r;
}

int follow_start(sd_event *loop, const char *const *units, size_t n, bool user,
		 const FollowHandler *h, void *ctx, Follow **ret, Err *err)
{
	int r = journal_access(err);
	if (r < 0)
		return r;
	_cleanup_(follow_stopp) Follow *f = calloc(1, sizeof(*f));
	if (!f)
		return err_oom(err);
	*f = (Follow){.units = units, .n = n, .user = user, .h = *h, .ctx = ctx};
	r = begin(f, loop, err);
	if (r < 0)
		return err_set(err, r, "cannot follow the journal: %s", strerror(-r));
	*ret = TAKE_PTR(f);
	return 0;
}
