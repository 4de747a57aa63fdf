/* Where the trial needs the GPU that production holds: production is stopped for it and put back.
 */
#include <string.h>

#include "base/file.h"
#include "worker/internal.h"

typedef struct Room {
	Worker *w;
	bool ready, restored;
	Err err;
} Room;

static void on_ready(void *ctx)
{
	Room *r = ctx;
	r->ready = true;
}

/* Users come first: the trial says nothing about the candidate and is tried again another time. */
static void on_give_up(void *ctx, const char *why)
{
	Room *r = ctx;
	worker_over(r->w, OUTCOME_CONTENDED, "quiesce", "production needs the GPU back: %s", why);
}

static void on_restored(void *ctx, const Err *err)
{
	Room *r = ctx;
	r->restored = true;
	if (err)
		r->err = *err;
}

/* An earlier run that was killed comes first: what it left holds the GPU, or production is down. */
static int clear_leftovers(Worker *w, const char *dir, Err *err)
{
	Err why = ERR_INIT;
	int r = leftover_clear(w->loop, w->systemd, dir, &why);
	if (r == -EBUSY) {
		worker_over(w, OUTCOME_CONTENDED, "quiesce", "an earlier run is not over: %s",
			    why.msg);
		return 0;
	}
	if (r < 0)
		return err_set(err, r, "what an earlier run left cannot be put right: %s", why.msg);
	if (r > 0)
		worker_progress(w, 0, "what an earlier run had left was put right");
	return 0;
}

/* The trial's time has to do for starting production again: whoever kills us when it is over would
 * take the result away. */
static void keep_time(Worker *w)
{
	int64_t keep = quiesce_restore_us(w->quiesce), half = worker_left_us(w) / 2;
	w->deadline_us -= keep < half ? keep : half;
}

static const QuiesceHandler handler = {
    .ready = on_ready, .give_up = on_give_up, .restored = on_restored};

int room_make(Worker *w, Err *err)
{
	const QuiesceSpec *q = w->job.spec.allocation.quiesce;
	_cleanup_free_ char *dir = NULL;
	int r = 0;
	if (w->job.spec.allocation.as == AS_OBSERVE)
		return 0;
	if (q && !w->systemd)
		return err_set(
		    err, -ENOTCONN,
		    "production must make room for the trial, and systemd cannot be asked");
	if (q)
		r = worker_state_dir(&w->job.spec.allocation, w->job.base_dir, &dir, err);
	if (r >= 0 && dir)
		r = dir_make(dir, 0700, err);
	if (r >= 0 && w->systemd && (w->lease || q))
		r = clear_leftovers(w, dir, err);
	if (r < 0 || !q || w->over)
		return r;
	Room *room = calloc(1, sizeof(*room));
	if (!room)
		return err_oom(err);
	room->w = w;
	w->room = room;
	worker_progress(w, 0, "production makes room");
	r = quiesce_begin(w->loop, w->systemd, w->http, q, dir, &handler, room, &w->quiesce, err);
	if (r == -EBUSY) {
		worker_over(w, OUTCOME_CONTENDED, "quiesce", "%s", err->msg);
		return 0;
	}
	if (r < 0)
		return r;
	if (worker_wait(w, &room->ready) == 0)
		keep_time(w);
	return 0;
}

/* Even when the trial is over, and however long it takes: nothing matters more. */
int room_give_back(Worker *w, Err *err)
{
	Room *room = w->room;
	int r = 0;
	if (w->quiesce) {
		quiesce_restore(w->quiesce);
		while (r >= 0 && !room->restored)
			r = sd_event_run(w->loop, UINT64_MAX);
		w->quiesce = quiesce_free(w->quiesce);
		if (r >= 0 && room->err.code < 0)
			r = err_set(err, room->err.code, "%s", room->err.msg);
	}
	free(room);
	w->room = NULL;
	return r < 0 ? r : 0;
}
