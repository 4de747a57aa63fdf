#pragma once
/* The parts of Traffic, shared by its files. */
#include "loadgen/answer.h"
#include "loadgen/form.h"

typedef struct Lane Lane;

/* One request on its way. */
typedef struct Active {
	Lane *lane;
	HttpCall *call;	 /* NULL: not on its way */
	size_t exchange; /* its place in the lane's list */
	size_t place;	 /* its own in lane->active */
	bool late;	 /* counted as a miss before it was answered */
	Answer answer;
} Active;

/* Times at which users who were answered send again, in the order of the answers. */
typedef struct Wakes {
	int64_t *at_us; /* a ring of `cap` */
	size_t first, n, cap;
} Wakes;

/* One stream. */
struct Lane {
	Traffic *traffic;
	TrafficStream spec; /* what it points to is borrowed */
	Trace trace;
	Form form;
	Schedule schedule;
	int64_t next_us; /* open loop: the next planned time; INT64_MAX: none */
	Wakes wakes;	 /* closed loop */
	int64_t sent, answered, failed, measured, misses;
	Active **active; /* n_active on their way, then n_idle that wait for a next one */
	size_t n_active, n_idle, cap_active;
	Exchange *exchanges;
	size_t n, cap;
	uint32_t *gaps_us;
	size_t n_gaps, cap_gaps;
	uint32_t *lates_us; /* open loop, measured: how much later than planned we sent */
	size_t n_lates, cap_lates;
	bool stopped_early;
	char first_error[ANSWER_WHY_MAX];
};

/* Over the measured time. */
typedef struct OwnCost {
	bool on;
	int64_t began_us, ended_us, cpu_began_us, cpu_ended_us;
	int64_t lag_max_us;
} OwnCost;

struct Traffic {
	sd_event *loop;
	sd_event_source *timer, *beat, *finish;
	int64_t armed_us; /* when the timer goes off; INT64_MAX: not */
	Lane *lanes;
	size_t n_lanes;
	size_t unfinished; /* lanes whose measured requests are not all answered */
	TrafficHandler handler;
	void *ctx;
	Str body;
	OwnCost own;
	int64_t began_us, beat_us, progress_us;
	bool over; /* nothing is sent any more; the end is on its way or was told */
	bool told;
	Err err; /* why it is over, when that is a fault */
	TrafficResult result;
};

int64_t traffic_now_us(void);

/* lane.c: sending, and what becomes of it. */
int lane_init(Lane *l, Traffic *t, const TrafficStream *s, Err *err) _must_check_;
void lane_done(Lane *l);
int lane_begin(Lane *l, int64_t at_us) _must_check_;
int64_t lane_due_us(const Lane *l);			 /* INT64_MAX: nothing is planned */
int lane_send_due(Lane *l, int64_t now_us) _must_check_; /* a bounded number of them */
void lane_look(Lane *l, int64_t now_us); /* counts those on their way that are late already */
void lane_cancel(Lane *l);
int64_t lane_wanted(const Lane *l);

/* traffic.c */
void traffic_over(Traffic *t, const Err *err);
void traffic_arm(Traffic *t);

/* own.c: what we are to blame for ourselves. */
void own_begin(Traffic *t);
void own_end(Traffic *t);
void own_saw_lag(Traffic *t, int64_t lag_us);
int own_judge(Traffic *t) _must_check_;

/* outcome.c */
int lane_result(Lane *l, StreamResult *ret) _must_check_;
