/* What must outlive us: the intent (which units were active before we stopped them), and the
 * account of downtime, which everything that costs downtime shares. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "base/file.h"
#include "base/json.h"
#include "base/str.h"
#include "service/quiesce_internal.h"

#ifndef __clang__
/* gcc 12 loses what a struct owns, or what was returned through a pointer, once functions are
 * nested; the tests run under ASan, leaks included. */
#pragma GCC diagnostic ignored "-Wanalyzer-malloc-leak"
#endif

enum {
	FILE_MAX = 1 << 20,
	UNITS_MAX = 100,
	LOCK_WAIT_STEPS = 500, /* of 10 ms */
};

static const int64_t day_us = 24LL * 3600 * 1000000;

/* --- Reading and writing JSON ---------------------------------------------------------------- */

static int read_json(const char *dir, const char *name, json_t **ret, Err *err)
{
	_cleanup_free_ char *path = path_join(dir, name);
	if (!path)
		return err_oom(err);
	_cleanup_free_ char *text = NULL;
	size_t n;
	int r = file_read(path, FILE_MAX, &text, &n, err);
	if (r == -ENOENT)
		return 0;
	if (r >= 0)
		r = js_parse(text, n, FILE_MAX, ret, err);
	return r < 0 ? err_wrap(err, r, "cannot read %s", path) : 1;
}

/* `v` is consumed. */
static int write_json(const char *dir, const char *name, json_t *v, bool failed, Err *err)
{
	_cleanup_(str_done) Str out = STR_INIT;
	_cleanup_free_ char *path = path_join(dir, name);
	js_canonical(failed ? NULL : v, &out);
	json_decref(v);
	str_addc(&out, '\n');
	if (out.failed || !path)
		return err_oom(err);
	return file_write(path, 0644, out.s, out.len, err);
}

/* --- Locks ----------------------------------------------------------------------------------- */

static int lock_file(const char *dir, const char *name, int steps, Err *err)
{
	const struct timespec step = {.tv_nsec = 10000000};
	_cleanup_free_ char *path = NULL;
	int r = dir_make(dir, 0755, err);
	if (r < 0)
		return r;
	path = path_join(dir, name);
	if (!path)
		return err_oom(err);
	int fd = open(path, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return err_set(err, -errno, "cannot open %s: %s", path, strerror(errno));
	file_give(fd, path);
	while (flock(fd, LOCK_EX | LOCK_NB) < 0) {
		int e = errno;
		if ((e == EWOULDBLOCK || e == EINTR) && steps-- > 0) {
			nanosleep(&step, NULL);
			continue;
		}
		close(fd);
		return err_set(err, e == EWOULDBLOCK ? -EBUSY : -e, "cannot lock %s: %s", path,
			       e == EWOULDBLOCK ? "another process has it" : strerror(e));
	}
	return fd;
}

int quiesce_lock(const char *dir, Err *err)
{
	return lock_file(dir, "quiesce.lock", 0, err);
}

char *quiesce_inhibit_path(const char *dir)
{
	return path_join(dir, "inhibit");
}

/* --- The intent ------------------------------------------------------------------------------ */

static const char intent_name[] = "quiesce.json";

void quiesceintent_done(QuiesceIntent *i)
{
	for (size_t k = 0; i->units && k < i->n; k++)
		free(i->units[k]);
	free(i->units);
	free(i->invocations);
	*i = (QuiesceIntent){0};
}

int quiesceintent_write(const char *dir, const QuiesceIntent *i, Err *err)
{
	bool failed = false;
	json_t *o = json_object(), *units = json_array();

	for (size_t k = 0; k < i->n; k++) {
		json_t *u = json_object();
		js_set(u, "unit", js_text(i->units[k]), &failed);
		js_set(u, "invocation", js_text(i->invocations[k]), &failed);
		if (json_array_append_new(units, u) < 0)
			failed = true;
	}
	js_set(o, "schema", js_text("dream.quiesce/v1"), &failed);
	js_set(o, "began_at_us", json_integer(i->began_at_us), &failed);
	js_set(o, "guard", js_text(i->guard), &failed);
	js_set(o, "user", json_boolean(i->user), &failed);
	js_set(o, "units", units, &failed);
	int r = write_json(dir, intent_name, o, failed, err);
	return r < 0 ? err_wrap(err, r, "cannot note which units are stopped") : 0;
}

static bool intent_fill(const json_t *o, QuiesceIntent *i)
{
	const json_t *units = json_object_get(o, "units");
	size_t n = json_array_size(units);

	if (strcmp(js_str(o, "schema", ""), "dream.quiesce/v1") != 0 || n == 0 || n > UNITS_MAX)
		return false;
	snprintf(i->guard, sizeof(i->guard), "%s", js_str(o, "guard", ""));
	i->user = js_bool(o, "user", false);
	i->began_at_us = js_int(o, "began_at_us", 0);
	i->units = calloc(n, sizeof(*i->units));
	i->invocations = calloc(n, sizeof(*i->invocations));
	for (size_t k = 0; i->units && i->invocations && k < n; k++) {
		const json_t *u = json_array_get(units, k);
		const char *name = js_str(u, "unit", NULL);
		if (!name || !(i->units[i->n++] = strdup(name)))
			return false;
		snprintf(i->invocations[k], sizeof(*i->invocations), "%s",
			 js_str(u, "invocation", ""));
	}
	return i->n == n && i->guard[0] && i->began_at_us > 0;
}

int quiesceintent_read(const char *dir, QuiesceIntent *ret, Err *err)
{
	json_auto_t *o = NULL;
	QuiesceIntent i = {0};
	int r = read_json(dir, intent_name, &o, err);
	if (r == 0)
		return 0;
	if (r > 0 && intent_fill(o, &i)) {
		*ret = i;
		return 1;
	}
	quiesceintent_done(&i);
	if (r > 0)
		err_set(err, -EBADMSG, "it is not what we write there");
	return err_wrap(err, r > 0 ? -EBADMSG : r,
			"the note of which production units were stopped (%s/%s) cannot be read; "
			"start them by hand, then remove it",
			dir, intent_name);
}

int quiesceintent_remove(const char *dir, Err *err)
{
	_cleanup_free_ char *path = path_join(dir, intent_name);
	if (!path)
		return err_oom(err);
	if (unlink(path) < 0 && errno != ENOENT)
		return err_set(err, -errno, "cannot remove %s: %s", path, strerror(errno));
	return dir_sync_of(path, err);
}

/* --- The account ----------------------------------------------------------------------------- */

static const char account_name[] = "downtime.json";

static int account_read(const char *dir, json_t **ret, Err *err)
{
	json_auto_t *o = NULL;
	int r = read_json(dir, account_name, &o, err);
	if (r < 0)
		return r;
	json_t *list = r > 0 ? json_object_get(o, "downtime") : NULL;
	if (r > 0 && !json_is_array(list))
		return err_set(
		    err, -EBADMSG,
		    "the account of downtime %s/%s is not what we write there; remove it "
		    "to begin a new one",
		    dir, account_name);
	*ret = list ? json_incref(list) : json_array();
	return *ret ? 0 : err_oom(err);
}

/* Of [began, ended], what lies in the last 24 hours. A clock that was set back makes downtime lie
 * in the future: it counts whole. */
static int64_t within_day(int64_t began_us, int64_t ended_us, int64_t now_us)
{
	int64_t from = began_us > now_us - day_us ? began_us : now_us - day_us;
	return ended_us > from ? ended_us - from : 0;
}

int quiesce_spent(const char *state_dir, const Clock *clock, int64_t *ret_us, Err *err)
{
	json_auto_t *list = NULL;
	QuiesceIntent i = {0};
	int64_t now = clock_now_us(clock), sum = 0;
	const json_t *e;
	size_t k;

	int r = account_read(state_dir, &list, err);
	if (r < 0)
		return r;
	json_array_foreach (list, k, e)
		sum += within_day(js_int(e, "began_at_us", 0), js_int(e, "ended_at_us", 0), now);
	r = quiesceintent_read(state_dir, &i, err);
	if (r < 0)
		return r;
	if (r > 0 && now > i.began_at_us) /* it is going on */
		sum += within_day(i.began_at_us, now, now);
	quiesceintent_done(&i);
	*ret_us = sum;
	return 0;
}

static json_t *account_entry(int64_t began_us, int64_t ended_us, const char *why, bool *failed)
{
	json_t *e = json_object();
	js_set(e, "began_at_us", json_integer(began_us), failed);
	js_set(e, "ended_at_us", json_integer(ended_us), failed);
	js_set(e, "why", js_text(why), failed);
	return e;
}

static int account_add(const char *dir, int64_t began_us, int64_t ended_us, const char *why,
		       Err *err)
{
	json_auto_t *old = NULL;
	bool failed = false;
	const json_t *e;
	size_t k;
	int r = account_read(dir, &old, err);
	if (r < 0)
		return r;
	json_t *o = json_object(), *list = json_array();
	json_array_foreach (old, k, e) /* a week, for who looks and for clocks that were wrong */
		if (js_int(e, "ended_at_us", 0) > ended_us - 7 * day_us &&
		    json_array_append_new(list, json_deep_copy(e)) < 0)
			failed = true;
	if (json_array_append_new(list, account_entry(began_us, ended_us, why, &failed)) < 0)
		failed = true;
	js_set(o, "schema", js_text("dream.downtime/v1"), &failed);
	js_set(o, "downtime", list, &failed);
	return write_json(dir, account_name, o, failed, err);
}

int downtime_add(const char *state_dir, int64_t began_at_us, int64_t ended_at_us, const char *why,
		 Err *err)
{
	if (ended_at_us <= began_at_us)
		return 0;
	int fd = lock_file(state_dir, "downtime.lock", LOCK_WAIT_STEPS, err);
	if (fd < 0)
		return fd;
	int r = account_add(state_dir, began_at_us, ended_at_us, why, err);
	close(fd);
	return r < 0 ? err_wrap(err, r, "cannot account for downtime") : 0;
}
