/* What production runs and what is being done to it: the link `current` and the intent log. The
 * order of things in each call is what a power cut at any instant is survived by:
 *
 *   begin   record
 *   flip    record, generations settled, link, its folder settled
 *   commit  link settled (opening the log does it), record
 *   undo    link back, its folder settled, record
 *
 * So whenever the link is not what was committed, the log says that a change is open, and from
 * where. */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "base/intent.h"
#include "base/json.h"
#include "base/str.h"
#include "production/changes.h"
#include "production/gendir.h"

enum {
	COMPACT_BYTES = 4096, /* a log longer than this is written anew when a change ends */
};

struct Production {
	const Disk *disk;
	char *dir, *log_path, *link_path, *link_temporary, *lock_path;
	Changes changes;
	char current[GENERATION_ID_SIZE];
};

/* --- Reading ---------------------------------------------------------------------------------- */

static int replay(void *ctx, const char *data, size_t len, Err *err)
{
	return changes_apply(ctx, data, len, err);
}

/* `ret` is "" where there is none. */
static int read_link(const Production *p, char ret[GENERATION_ID_SIZE], Err *err)
{
	char target[64];
	ret[0] = '\0';
	ssize_t n = p->disk->readlink(p->disk->ctx, p->link_path, target, sizeof(target) - 1);
	if (n == -ENOENT)
		return 0;
	if (n < 0 && n != -EINVAL)
		return err_set(err, (int)n, "cannot read %s: %s", p->link_path, strerror((int)-n));
	target[n < 0 ? 0 : n] = '\0';
	if (strncmp(target, "gen/", 4) != 0 || !generation_id_ok(target + 4))
		return err_set(err, -EBADMSG, "%s is no link to a generation", p->link_path);
	memcpy(ret, target + 4, GENERATION_ID_SIZE);
	return 0;
}

/* With the log that was just read. */
static int take_state(Production *p, const Changes *changes, Err *err)
{
	int r = read_link(p, p->current, err);
	if (r == -EBADMSG && changes->change.open)
		r = 0; /* undoing the change puts a good one there */
	if (r >= 0)
		p->changes = *changes;
	return r;
}

static int look(Production *p, Err *err)
{
	Changes changes = {0};
	Err why = ERR_INIT;
	int r = intent_read(p->disk, p->log_path, replay, &changes, &why);
	if (r < 0 && r != -ENOENT)
		return err_set(err, r, "%s", why.msg);
	return take_state(p, &changes, err);
}

int production_open(const Disk *disk, const char *state_dir, Production **ret, Err *err)
{
	_cleanup_(production_closep) Production *p = calloc(1, sizeof(*p));
	if (!p)
		return err_oom(err);
	p->disk = disk;
	p->dir = strdup(state_dir);
	p->log_path = path_join(state_dir, "intent.log");
	p->link_path = path_join(state_dir, "current");
	p->link_temporary = path_join(state_dir, ".current.new");
	p->lock_path = path_join(state_dir, ".changing");
	if (!p->dir || !p->log_path || !p->link_path || !p->link_temporary || !p->lock_path)
		return err_oom(err);
	int r = look(p, err);
	if (r < 0)
		return r;
	*ret = TAKE_PTR(p);
	return 0;
}

Production *production_close(Production *p)
{
	if (!p)
		return NULL;
	free(p->dir);
	free(p->log_path);
	free(p->link_path);
	free(p->link_temporary);
	free(p->lock_path);
	free(p);
	return NULL;
}

const char *production_current(const Production *p)
{
	return p->current;
}

const OpenChange *production_change(const Production *p)
{
	return &p->changes.change;
}

size_t production_good(const Production *p, const char *ret[GOOD_MAX])
{
	for (size_t i = 0; i < p->changes.n_good; i++)
		ret[i] = p->changes.good[i];
	return p->changes.n_good;
}

static int check_id(const char *id, Err *err)
{
	if (generation_id_ok(id))
		return 0;
	return err_set(err, -EINVAL,
		       "this is not the name of a generation: it would be 16 digits of 0-9a-f");
}

int production_read(Production *p, const char *id, Generation *ret, Err *err)
{
	int r = check_id(id, err);
	*ret = (Generation){0};
	if (r >= 0)
		r = gendir_read(p->disk, p->dir, id, &ret->values, err);
	if (r < 0)
		return r;
	memcpy(ret->id, id, GENERATION_ID_SIZE);
	return 0;
}

/* --- One at a time ---------------------------------------------------------------------------- */

/* While it lasts no other process changes anything. */
typedef struct Turn {
	Production *p;
	int lock_fd;
	Intent *log;
} Turn;

static void turn_end(Turn *t)
{
	t->log = intent_close(t->log);
	if (t->lock_fd >= 0)
		(void)t->p->disk->close(t->p->disk->ctx, t->lock_fd);
	t->lock_fd = -1;
}

/* The lock is a file that nobody else may open: who can open a file can keep its lock. */
static int turn_lock(Production *p, Turn *t, Err *err)
{
	*t = (Turn){.p = p, .lock_fd = -1};
	int fd = p->disk->open(p->disk->ctx, p->lock_path, O_RDWR | O_CREAT | O_NOFOLLOW, 0600);
	if (fd < 0)
		return err_set(err, fd, "cannot change production in %s: %s", p->dir,
			       strerror(-fd));
	t->lock_fd = fd;
	int r = p->disk->lock(p->disk->ctx, fd);
	if (r == -EBUSY)
		return err_set(err, r, "another process is changing production in %s", p->dir);
	if (r < 0)
		return err_set(err, r, "cannot lock %s: %s", p->lock_path, strerror(-r));
	return 0;
}

/* What the log and the link say now; both are on the disk when this returns, for opening the log
 * settles the folder that has the link too. */
static int turn_begin(Production *p, Turn *t, Err *err)
{
	Changes changes = {0};
	int r = turn_lock(p, t, err);
	if (r >= 0)
		r = intent_open(p->disk, p->log_path, replay, &changes, &t->log, err);
	return r < 0 ? r : take_state(p, &changes, err);
}

/* Appends it and takes it in. `r` is what making the text came to. */
static int append(Turn *t, int r, const Str *record, Err *err)
{
	if (r < 0)
		return err_oom(err);
	r = intent_append(t->log, record->s, record->len, err);
	return r < 0 ? r : changes_apply(&t->p->changes, record->s, record->len, err);
}

/* A shorter log that says the same; where that fails, the long one does. */
static void compact(Turn *t)
{
	_cleanup_(str_done) Str record = STR_INIT;
	if (intent_bytes(t->log) <= COMPACT_BYTES || t->p->changes.change.open)
		return;
	if (record_good(&t->p->changes, &record) < 0)
		return;
	const void *data = record.s;
	(void)!intent_replace(t->log, &data, &record.len, 1, NULL);
}

/* The link in one rename. */
static int point_link(Production *p, const char *id, Err *err)
{
	const Disk *d = p->disk;
	char target[4 + GENERATION_ID_SIZE];
	(void)snprintf(target, sizeof(target), "gen/%s", id);
	int r = gendir_sync(d, p->dir, err);
	if (r < 0)
		return r;
	r = d->unlink(d->ctx, p->link_temporary); /* of a call that did not finish */
	if (r >= 0 || r == -ENOENT)
		r = d->symlink(d->ctx, target, p->link_temporary);
	if (r >= 0) {
		r = d->rename(d->ctx, p->link_temporary, p->link_path);
		if (r < 0)
			(void)d->unlink(d->ctx, p->link_temporary);
	}
	if (r < 0)
		return err_set(err, r, "cannot point %s to %s: %s", p->link_path, target,
			       strerror(-r));
	memcpy(p->current, id, GENERATION_ID_SIZE);
	return disk_sync_dir(d, p->dir, err);
}

/* --- A change --------------------------------------------------------------------------------- */

static int needs_change(const Production *p, const char *rollout, Err *err)
{
	const OpenChange *c = &p->changes.change;
	if (!c->open)
		return err_set(err, -EPERM, "no change of production is open");
	if (strcmp(c->rollout, rollout) != 0)
		return err_set(err, -EPERM, "the change that is open is that of %s", c->rollout);
	return 0;
}

static int needs_none(const Production *p, Err *err)
{
	const OpenChange *c = &p->changes.change;
	if (c->open)
		return err_set(err, -EBUSY, "a change of production is open already: that of %s",
			       c->rollout);
	return 0;
}

static int begin(Turn *t, const char *rollout, const char *from, int64_t at_us, Err *err)
{
	_cleanup_(str_done) Str record = STR_INIT;
	Production *p = t->p;
	int r = needs_none(p, err);
	if (r < 0)
		return r;
	if (strcmp(p->current, from) != 0)
		return err_set(err, -ESTALE,
			       "production is not at generation %s any more, but at %s", from,
			       p->current[0] ? p->current : "none");
	r = gendir_check(p->disk, p->dir, from, err);
	return r < 0 ? r : append(t, record_begin(rollout, from, at_us, &record), &record, err);
}

int production_begin(Production *p, const char *rollout, const char *from, int64_t at_us, Err *err)
{
	Turn t;
	int r = check_id(from, err);
	if (r < 0)
		return r;
	if (!rollout_name_ok(rollout))
		return err_set(err, -EINVAL,
			       "this is no name of a rollout: 1 to 63 plain characters");
	r = turn_begin(p, &t, err);
	if (r >= 0)
		r = begin(&t, rollout, from, at_us, err);
	turn_end(&t);
	return r;
}

static int flip(Turn *t, const char *rollout, const char *to, Err *err)
{
	_cleanup_(str_done) Str record = STR_INIT;
	json_auto_t *values = NULL;
	int r = needs_change(t->p, rollout, err);
	if (r >= 0)
		r = gendir_read(t->p->disk, t->p->dir, to, &values, err);
	if (r >= 0)
		r = append(t, record_flip(to, &record), &record, err);
	return r < 0 ? r : point_link(t->p, to, err);
}

int production_flip(Production *p, const char *rollout, const char *to, Err *err)
{
	Turn t;
	int r = check_id(to, err);
	if (r < 0)
		return r;
	r = turn_begin(p, &t, err);
	if (r >= 0)
		r = flip(&t, rollout, to, err);
	turn_end(&t);
	return r;
}

static int commit(Turn *t, const char *rollout, Err *err)
{
	_cleanup_(str_done) Str record = STR_INIT;
	Production *p = t->p;
	int r = needs_change(p, rollout, err);
	if (r < 0)
		return r;
	const OpenChange *c = &p->changes.change;
	if (strcmp(p->current, c->to[0] ? c->to : c->from) != 0)
		return err_set(
		    err, -ESTALE, "cannot keep what is current: it is %s, not %s as %s wanted",
		    p->current[0] ? p->current : "nothing", c->to[0] ? c->to : c->from, c->rollout);
	r = append(t, record_commit(p->current, &record), &record, err);
	if (r >= 0)
		compact(t);
	return r;
}

int production_commit(Production *p, const char *rollout, Err *err)
{
	Turn t;
	int r = turn_begin(p, &t, err);
	if (r >= 0)
		r = commit(&t, rollout, err);
	turn_end(&t);
	return r;
}

/* 1: a change was open, and is undone. */
static int undo(Turn *t, bool *ret_moved, Err *err)
{
	_cleanup_(str_done) Str record = STR_INIT;
	Production *p = t->p;
	const OpenChange *c = &p->changes.change;
	*ret_moved = false;
	if (!c->open)
		return 0;
	if (strcmp(p->current, c->from) != 0) {
		int r = gendir_check(p->disk, p->dir, c->from, err);
		if (r >= 0)
			r = point_link(p, c->from, err);
		if (r < 0)
			return err_wrap(err, r, "cannot go back to generation %s", c->from);
		*ret_moved = true;
	}
	int r = append(t, record_undo(&record), &record, err);
	if (r < 0)
		return r;
	compact(t);
	return 1;
}

int production_undo(Production *p, bool *ret_moved, Err *err)
{
	Turn t;
	*ret_moved = false;
	int r = turn_begin(p, &t, err);
	if (r >= 0)
		r = undo(&t, ret_moved, err);
	turn_end(&t);
	return r < 0 ? r : 0;
}

/* Where there is no log nothing was ever changed, and nothing need be made. */
static int check_log(const Production *p, Err *err)
{
	int fd = p->disk->open(p->disk->ctx, p->log_path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK, 0);
	if (fd == -ENOENT)
		return 0;
	if (fd < 0)
		return err_set(err, fd, "cannot read %s: %s", p->log_path, strerror(-fd));
	(void)p->disk->close(p->disk->ctx, fd);
	return 1;
}

int production_recover(Production *p, Err *err)
{
	Turn t;
	bool moved;
	int r = check_log(p, err);
	if (r <= 0)
		return r;
	r = turn_begin(p, &t, err);
	if (r >= 0)
		r = undo(&t, &moved, err);
	turn_end(&t);
	return r;
}

/* --- Outside of changes ----------------------------------------------------------------------- */

int production_write(Production *p, const char *id, const GenerationFile *files, size_t n, Err *err)
{
	Turn t;
	int r = check_id(id, err);
	if (r >= 0)
		r = gendir_make_folders(p->disk, p->dir, err);
	if (r < 0)
		return r;
	r = turn_lock(p, &t, err);
	if (r >= 0)
		r = gendir_write(p->disk, p->dir, id, files, n, err);
	turn_end(&t);
	return r;
}

/* Every parameter that both have has the same value. */
static int check_stays(json_t *before, json_t *after, Err *err)
{
	const char *unit;
	json_t *old;
	json_object_foreach (before, unit, old) {
		const char *parameter;
		json_t *was, *now = json_object_get(after, unit);
		json_object_foreach (old, parameter, was) {
			json_t *is = json_object_get(now, parameter);
			if (is && !json_equal(was, is))
				return err_set(err, -EPERM,
					       "adopting changes no values, but %s of %s would "
					       "become \"%.60s\" instead of \"%.60s\"",
					       parameter, unit, json_string_value(is),
					       json_string_value(was));
		}
	}
	return 0;
}

/* Has `values` something for everything that `all` has? */
static bool covers(json_t *values, json_t *all)
{
	const char *unit;
	json_t *u;
	json_object_foreach (all, unit, u) {
		const char *parameter;
		json_t *value, *mine = json_object_get(values, unit);
		json_object_foreach (u, parameter, value) {
			if (!json_object_get(mine, parameter))
				return false;
		}
	}
	return true;
}

/* Generations from before lack what was adopted since: a unit could not start with them. */
static int still_good(Production *p, const char *id, json_t *values, Changes *ret, Err *err)
{
	*ret = (Changes){0};
	for (size_t i = p->changes.n_good; i-- > 0;) {
		json_auto_t *old = NULL;
		int r = gendir_read(p->disk, p->dir, p->changes.good[i], &old, err);
		if (r < 0 && err_is_shortage(r))
			return r;
		if (r >= 0 && covers(old, values))
			changes_good(ret, p->changes.good[i]);
	}
	changes_good(ret, id);
	return 0;
}

static int adopt(Turn *t, const char *id, Err *err)
{
	_cleanup_(str_done) Str record = STR_INIT;
	json_auto_t *before = NULL, *after = NULL;
	Production *p = t->p;
	Changes good;
	int r = needs_none(p, err);
	if (r >= 0)
		r = gendir_read(p->disk, p->dir, id, &after, err);
	if (r >= 0 && p->current[0])
		r = gendir_read(p->disk, p->dir, p->current, &before, err);
	if (r >= 0 && before)
		r = check_stays(before, after, err);
	if (r >= 0)
		r = still_good(p, id, after, &good, err);
	if (r >= 0 && strcmp(p->current, id) != 0)
		r = point_link(p, id, err);
	if (r >= 0)
		r = append(t, record_good(&good, &record), &record, err);
	if (r >= 0)
		compact(t);
	return r;
}

int production_adopt(Production *p, const char *id, Err *err)
{
	Turn t;
	int r = check_id(id, err);
	if (r < 0)
		return r;
	r = turn_begin(p, &t, err);
	if (r >= 0)
		r = adopt(&t, id, err);
	turn_end(&t);
	return r;
}

static bool is_kept(void *ctx, const char *id)
{
	const Production *p = ctx;
	const OpenChange *c = &p->changes.change;
	if (c->open || strcmp(p->current, id) == 0)
		return true;
	for (size_t i = 0; i < p->changes.n_good; i++)
		if (strcmp(p->changes.good[i], id) == 0)
			return true;
	return false;
}

int production_sweep(Production *p, Err *err)
{
	Turn t;
	int r = turn_begin(p, &t, err);
	if (r >= 0)
		r = gendir_sweep(p->disk, p->dir, is_kept, p, err);
	turn_end(&t);
	return r;
}
