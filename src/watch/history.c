/* Two files: the one that is written, and the one before it. When the newer has its days, or its
 * bytes, it takes the other's place. */
#include "watch/history.h"

#include <fcntl.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/str.h"
#include "watch/historyfile.h"

enum {
	FILE_BYTES_MAX = HISTORY_BYTES_MAX / 2,
};

#define DAYS_US	 (HISTORY_DAYS * INT64_C(86400000000))
#define EVERY_US INT64_C(60000000) /* what a power cut may take */

struct History {
	char *path, *older;
	const Clock *clock;
	int fd;
	int64_t size, first_us; /* of the file that is written; first_us 0: it is empty */
	int64_t synced_us;	/* monotonic */
	HistoryName *names;
	size_t n_names;
};

/* --- The file that is written ---------------------------------------------------------------- */

static void take_name(History *h, const HistoryRecord *r)
{
	if (r->is_name && r->id >= h->n_names) {
		memset(h->names + h->n_names, 0, (r->id - h->n_names) * sizeof(*h->names));
		h->n_names = (size_t)r->id + 1;
	}
	if (r->is_name)
		h->names[r->id] = r->name;
}

static int read_whole(const char *path, char **ret, size_t *ret_len, Err *err)
{
	int r = file_read(path, FILE_BYTES_MAX + HISTORY_RECORD_MAX, ret, ret_len, err);
	if (r != -ENOENT)
		return r;
	*ret = NULL;
	*ret_len = 0;
	return 0;
}

/* What an earlier run of ours left: which names it gave, and how old it is. */
static int take_over(History *h, Err *err)
{
	_cleanup_free_ char *text = NULL;
	size_t len = 0, at = 0;
	HistoryRecord rec;
	int r = read_whole(h->path, &text, &len, err);
	if (r < 0)
		return r;
	while (history_next((const uint8_t *)text, len, &at, &rec)) {
		take_name(h, &rec);
		if (!rec.is_name && h->first_us == 0)
			h->first_us = rec.sample.at_us;
	}
	h->size = (int64_t)len;
	return 0;
}

static int open_file(History *h, Err *err)
{
	h->fd = open(h->path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0640);
	if (h->fd < 0)
		return err_set(err, -errno, "cannot open the history '%s': %m", h->path);
	file_give(h->fd, h->path);
	return 0;
}

History *history_close(History *h)
{
	if (!h)
		return NULL;
	if (h->fd >= 0) {
		(void)fdatasync(h->fd);
		close(h->fd);
	}
	free(h->path);
	free(h->older);
	free(h->names);
	free(h);
	return NULL;
}

int history_open(const char *path, const Clock *clock, History **ret, Err *err)
{
	_cleanup_(history_closep) History *h = calloc(1, sizeof(*h));
	if (!h)
		return err_oom(err);
	*h = (History){.clock = clock, .fd = -1, .synced_us = clock_mono_us(clock)};
	h->path = strdup(path);
	h->older = str_fmt("%s.1", path);
	h->names = calloc(HISTORY_NAMES_MAX, sizeof(*h->names));
	if (!h->path || !h->older || !h->names)
		return err_oom(err);
	int r = take_over(h, err);
	if (r == -EFBIG) /* not ours, or a clock that ran wild: it has had its time */
		r = rename(h->path, h->older) < 0
			? err_set(err, -errno, "cannot put '%s' aside: %m", h->path)
			: 0;
	if (r >= 0)
		r = open_file(h, err);
	if (r < 0)
		return r;
	*ret = TAKE_PTR(h);
	return 0;
}

static int rotate(History *h, Err *err)
{
	if (rename(h->path, h->older) < 0)
		return err_set(err, -errno, "cannot put the history '%s' aside: %m", h->path);
	close(h->fd);
	h->fd = -1;
	h->size = h->first_us = 0;
	h->n_names = 0;
	return open_file(h, err);
}

/* --- Adding ---------------------------------------------------------------------------------- */

/* Its number in this file; *ret_new: which it does not know yet. -EXFULL: no number is left. */
static int find_name(const History *h, const HistoryName *name, bool *ret_new)
{
	*ret_new = false;
	for (size_t i = 0; i < h->n_names; i++)
		if (historyname_equal(&h->names[i], name))
			return (int)i;
	*ret_new = true;
	return h->n_names < HISTORY_NAMES_MAX ? (int)h->n_names : -EXFULL;
}

static int write_record(History *h, const HistoryRecord *rec, Err *err)
{
	uint8_t bytes[HISTORY_RECORD_MAX];
	size_t n = history_put(rec, bytes);
	int r = write_all(h->fd, bytes, n);
	if (r < 0) /* half a record may be there: the reader passes over it */
		return err_set(err, r, "cannot write the history '%s': %s", h->path, strerror(-r));
	h->size += (int64_t)n;
	return 0;
}

static int sync_now_and_then(History *h, Err *err)
{
	int64_t now = clock_mono_us(h->clock);
	if (now - h->synced_us < EVERY_US)
		return 0;
	h->synced_us = now;
	if (fdatasync(h->fd) < 0)
		return err_set(err, -errno, "cannot write the history '%s': %m", h->path);
	return 0;
}

static bool is_full(const History *h, int64_t at_us)
{
	return h->size > FILE_BYTES_MAX - 2 * HISTORY_RECORD_MAX ||
	       (h->first_us > 0 && at_us - h->first_us > DAYS_US);
}

int history_add(History *h, const char *generation, const WatchSample *s, Err *err)
{
	HistoryRecord rec = {.is_name = true};
	bool is_new;
	if (!historyname_make(generation, s->service, s->metric, &rec.name))
		return err_set(err, -EINVAL, "a name is too long for the history: %.80s %.80s",
			       s->service, s->metric);
	/* Only what the reader takes is written. */
	if (s->s.failed == isfinite(s->s.value))
		return err_set(err, -EINVAL, "a sample of %s has no value", s->service);
	int r = h->fd < 0 ? open_file(h, err) : 0;
	int id = find_name(h, &rec.name, &is_new);
	if (r >= 0 && (id < 0 || is_full(h, s->s.at_us))) {
		r = rotate(h, err);
		id = find_name(h, &rec.name, &is_new);
	}
	rec.id = (uint16_t)id;
	if (r >= 0 && is_new) {
		r = write_record(h, &rec, err);
		if (r >= 0)
			take_name(h, &rec);
	}
	rec.is_name = false;
	rec.sample = s->s;
	if (r >= 0)
		r = write_record(h, &rec, err);
	if (r < 0)
		return r;
	if (h->first_us == 0)
		h->first_us = s->s.at_us;
	return sync_now_and_then(h, err);
}

/* --- Reading --------------------------------------------------------------------------------- */

typedef struct Wanted {
	const char *generation, *service, *metric;
	int64_t since_us;
	JudgeSample *list;
	size_t n, cap;
} Wanted;

static bool is_wanted(const Wanted *w, const HistoryName *n)
{
	return strcmp(n->service, w->service) == 0 && strcmp(n->metric, w->metric) == 0 &&
	       (!w->generation || strcmp(n->generation, w->generation) == 0);
}

static int take(Wanted *w, const JudgeSample *s)
{
	if (w->n == w->cap) {
		size_t cap = w->cap ? 2 * w->cap : 1024;
		JudgeSample *more = reallocarray(w->list, cap, sizeof(*more));
		if (!more)
			return -ENOMEM;
		w->list = more;
		w->cap = cap;
	}
	w->list[w->n++] = *s;
	return 0;
}

static int scan(Wanted *w, const char *text, size_t len)
{
	_cleanup_free_ bool *wanted = calloc(HISTORY_NAMES_MAX, sizeof(*wanted));
	HistoryRecord rec;
	int r = wanted ? 0 : -ENOMEM;
	for (size_t at = 0; r >= 0 && history_next((const uint8_t *)text, len, &at, &rec);) {
		if (rec.is_name)
			wanted[rec.id] = is_wanted(w, &rec.name);
		else if (wanted[rec.id] && rec.sample.at_us >= w->since_us)
			r = take(w, &rec.sample);
	}
	return r;
}

static int read_file(Wanted *w, const char *path, Err *err)
{
	_cleanup_free_ char *text = NULL;
	size_t len = 0;
	int r = read_whole(path, &text, &len, err);
	if (r < 0)
		return r;
	return text && scan(w, text, len) < 0 ? err_oom(err) : 0;
}

static int by_time(const void *a, const void *b)
{
	const JudgeSample *x = a, *y = b;
	return (x->at_us > y->at_us) - (x->at_us < y->at_us);
}

int history_read(const History *h, const char *generation, const char *service, const char *metric,
		 int64_t since_us, JudgeSample **ret, size_t *ret_n, Err *err)
{
	Wanted w = {
	    .generation = generation, .service = service, .metric = metric, .since_us = since_us};
	int r = read_file(&w, h->older, err);
	if (r >= 0)
		r = read_file(&w, h->path, err);
	if (r < 0) {
		free(w.list);
		return r;
	}
	/* A clock that was set back wrote them in another order. */
	if (w.n > 1)
		qsort(w.list, w.n, sizeof(*w.list), by_time);
	*ret = w.list;
	*ret_n = w.n;
	return 0;
}
