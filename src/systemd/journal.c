#include "systemd/journal.h"

#include <poll.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <systemd/sd-id128.h>
#include <systemd/sd-journal.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/str.h"

enum {
	ENTRIES_MAX = 1000000, /* looked at in one reading */
	MESSAGE_MAX = 64 << 10,
};

/* --- May it be read? ------------------------------------------------------------------------- */

static int refused(Err *err)
{
	return err_set(err, -EACCES,
		       "user %u may not read the system's journal; add it to the group "
		       "systemd-journal (usermod -aG systemd-journal NAME, then log in again), or "
		       "run as a member of adm or root",
		       (unsigned)geteuid());
}

/* The journal's main file, where it is kept on disk or in memory; 0 it can be read, or -errno. */
static int look_in(const char *place)
{
	char id[SD_ID128_STRING_MAX];
	sd_id128_t machine;
	if (sd_id128_get_machine(&machine) < 0)
		return -ENOENT;
	_cleanup_free_ char *path =
	    str_fmt("%s/log/journal/%s/system.journal", place, sd_id128_to_string(machine, id));
	if (!path)
		return -ENOMEM;
	return access(path, R_OK) == 0 ? 0 : -errno;
}

int journal_access(Err *err)
{
	int run = look_in("/run"), var = look_in("/var");

	if (run == 0 || var == 0)
		return 0;
	if (run == -EACCES || var == -EACCES)
		return refused(err);
	return err_set(err, -ENOENT,
		       "there is no systemd journal on this machine (neither in /run/log/journal "
		       "nor in /var/log/journal)");
}

static int open_journal(sd_journal **ret, Err *err)
{
	int r = journal_access(err);
	if (r < 0)
		return r;
	r = sd_journal_open(ret, SD_JOURNAL_LOCAL_ONLY);
	if (r < 0)
		return err_set(err, r, "cannot open the journal: %s", strerror(-r));
	(void)sd_journal_set_data_threshold(*ret, MESSAGE_MAX);
	return 0;
}

static int broken(int r, Err *err)
{
	return err_set(err, r, "cannot read the journal: %s", strerror(-r));
}

int journal_cursor(char **ret, Err *err)
{
	_cleanup_(sd_journal_closep) sd_journal *j = NULL;
	int r = open_journal(&j, err);
	if (r < 0)
		return r;
	r = sd_journal_seek_tail(j);
	if (r >= 0)
		r = sd_journal_previous(j);
	if (r > 0)
		return (r = sd_journal_get_cursor(j, ret)) < 0 ? broken(r, err) : 0;
	if (r < 0)
		return broken(r, err);
	*ret = strdup(""); /* nothing was written yet: everything comes after it */
	return *ret ? 0 : err_oom(err);
}

/* --- The journal daemon ---------------------------------------------------------------------- */

/* What a program wrote before it ended may still be on its way. The daemon answers this when it has
 * written everything that had reached it. */
int journal_sync(int64_t timeout_us)
{
	static const char call[] = "{\"method\":\"io.systemd.Journal.Synchronize\"}";
	const struct sockaddr_un at = {.sun_family = AF_UNIX,
				       .sun_path = "/run/systemd/journal/io.systemd.journal"};
	int64_t until = clock_mono_us(&clock_system) + timeout_us, left;
	char answer[256];
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), r = 0;
	if (fd < 0)
		return -errno;
	if (connect(fd, (const struct sockaddr *)&at, sizeof(at)) < 0 ||
	    send(fd, call, sizeof(call), MSG_NOSIGNAL) != sizeof(call))
		r = -errno;
	while (r == 0 && (left = until - clock_mono_us(&clock_system)) > 0) {
		struct pollfd p = {.fd = fd, .events = POLLIN};
		if (poll(&p, 1, (int)(left / 1000) + 1) <= 0)
			continue;
		ssize_t n = read(fd, answer, sizeof(answer));
		r = n <= 0 ? -EIO : answer[n - 1] == '\0';
	}
	close(fd);
	return r > 0 ? 0 : r == 0 ? -ETIMEDOUT : r;
}

/* --- Reading --------------------------------------------------------------------------------- */

static int match(sd_journal *j, const char *field, const char *value)
{
	_cleanup_free_ char *text = str_fmt("%s=%s", field, value);
	return text ? sd_journal_add_match(j, text, 0) : -ENOMEM;
}

/* What the unit's processes wrote, and what the manager says about the unit. */
static int match_unit(sd_journal *j, const char *unit, const char *invocation)
{
	int r = 0;
	if (unit && !invocation) {
		r = match(j, "_SYSTEMD_UNIT", unit);
		if (r >= 0)
			r = sd_journal_add_disjunction(j);
		if (r >= 0)
			r = match(j, "_SYSTEMD_USER_UNIT", unit);
		if (r >= 0)
			r = sd_journal_add_disjunction(j);
		if (r >= 0)
			r = match(j, "_PID", "1");
		if (r >= 0)
			r = match(j, "UNIT", unit);
		return r;
	}
	if (invocation) {
		r = match(j, "_SYSTEMD_INVOCATION_ID", invocation);
		if (r >= 0)
			r = sd_journal_add_disjunction(j);
		if (r >= 0)
			r = match(j, "INVOCATION_ID", invocation);
		if (r >= 0)
			r = sd_journal_add_disjunction(j);
		if (r >= 0)
			r = match(j, "USER_INVOCATION_ID", invocation);
	}
	return r;
}

/* The message of the entry, with a newline; zero bytes as spaces. */
static int add_message(sd_journal *j, Str *out)
{
	const void *data;
	size_t n;
	int r = sd_journal_get_data(j, "MESSAGE", &data, &n);
	if (r == -ENOENT || (r >= 0 && n < 8))
		return 0;
	if (r < 0)
		return r == -EBADMSG || r == -ENODATA ? 0 : r; /* one that a crash left torn */
	size_t at = out->len;
	str_addn(out, (const char *)data + 8, n - 8);
	for (; at < out->len; at++)
		if (out->s[at] == '\0')
			out->s[at] = ' ';
	str_addc(out, '\n');
	return 0;
}

/* Keeps the newest `max` bytes, from the beginning of a line. */
static void trim(Str *out, size_t max)
{
	if (out->failed || out->len <= max)
		return;
	const char *from = out->s + (out->len - max);
	if (from[-1] != '\n') {
		const char *end = memchr(from, '\n', max);
		from = end && end[1] ? end + 1 : from;
	}
	out->len = out->len - (size_t)(from - out->s);
	memmove(out->s, from, out->len + 1);
}

static int read_forward(sd_journal *j, const char *cursor, size_t max, Str *out)
{
	int r = sd_journal_seek_cursor(j, cursor);
	if (r >= 0)
		r = sd_journal_next(j);
	/* The cursor's own entry is not after it; but it may be gone, or not match. */
	if (r > 0 && sd_journal_test_cursor(j, cursor) > 0)
		r = sd_journal_next(j);
	for (int n = 0; r > 0 && n < ENTRIES_MAX; n++) {
		r = add_message(j, out);
		if (r < 0)
			return r;
		if (out->len > 4 * max + MESSAGE_MAX)
			trim(out, max);
		r = sd_journal_next(j);
	}
	return r;
}

/* Without a place to begin, only the end is looked for: the journal may be years long. The
 * entries come newest first and each is put down backwards, to turn the whole at the end. */
static int read_backward(sd_journal *j, size_t max, Str *out)
{
	Str one = STR_INIT;
	int r = sd_journal_seek_tail(j);

	for (int n = 0; r >= 0 && n < ENTRIES_MAX && out->len <= max; n++) {
		r = sd_journal_previous(j);
		if (r <= 0)
			break;
		str_clear(&one);
		r = add_message(j, &one);
		for (size_t i = one.failed ? 0 : one.len; i > 0; i--)
			str_addc(out, one.s[i - 1]);
		if (one.failed)
			r = -ENOMEM;
	}
	str_done(&one);
	for (size_t i = 0, k = out->len; !out->failed && i + 1 < k; i++) {
		char c = out->s[i];
		out->s[i] = out->s[--k];
		out->s[k] = c;
	}
	return r;
}

static int read_matched(sd_journal *j, const char *cursor, size_t max, char **ret, size_t *ret_len,
			Err *err)
{
	_cleanup_(str_done) Str out = STR_INIT;
	/* Everything comes after the end of an empty journal. */
	bool since = cursor && *cursor;

	int r = since ? read_forward(j, cursor, max, &out) : read_backward(j, max, &out);
	if (r == -EINVAL && since)
		return err_set(err, r, "'%.80s' is no place in the journal", cursor);
	if (r < 0)
		return broken(r, err);
	trim(&out, max);
	size_t len = out.len;
	if (str_take(&out, ret) < 0)
		return err_oom(err);
	*ret_len = len;
	return 0;
}

int journal_read(const char *unit, const char *invocation, const char *cursor, size_t max,
		 char **ret, size_t *ret_len, Err *err)
{
	_cleanup_(sd_journal_closep) sd_journal *j = NULL;
	if (!unit && !invocation)
		return err_set(err, -EINVAL, "neither a unit nor an invocation was given to read");
	int r = open_journal(&j, err);
	if (r < 0)
		return r;
	r = match_unit(j, unit, invocation);
	if (r < 0)
		return err_set(err, r, "cannot look for %s in the journal: %s",
			       invocation ? invocation : unit, strerror(-r));
	return read_matched(j, cursor, max, ret, ret_len, err);
}

int journal_read_kernel(const char *cursor, size_t max, char **ret, size_t *ret_len, Err *err)
{
	_cleanup_(sd_journal_closep) sd_journal *j = NULL;
	int r = open_journal(&j, err);
	if (r < 0)
		return r;
	r = match(j, "_TRANSPORT", "kernel");
	return r < 0 ? broken(r, err) : read_matched(j, cursor, max, ret, ret_len, err);
}

/* --- Entries of our own ----------------------------------------------------------------------- */

void journal_send(char *const *fields, size_t n)
{
	struct iovec iov[JOURNAL_FIELDS_MAX];
	if (n > JOURNAL_FIELDS_MAX)
		n = JOURNAL_FIELDS_MAX;
	for (size_t i = 0; i < n; i++)
		iov[i] = (struct iovec){fields[i], strlen(fields[i])};
	(void)sd_journal_sendv(iov, (int)n);
}
