#pragma once
/* The parts of a Watch, shared by its files. */
#include "base/rng.h"
#include "gpu/nvml.h"
#include "systemd/follow.h"
#include "watch/asker.h"
#include "watch/metrics.h"
#include "watch/probe.h"
#include "watch/units.h"
#include "watch/watch.h"

enum {
	WATCH_TICK_US = 1000000,
	OOM_SAME_US =
	    10000000, /* a traceback that comes in pieces, and the end after it, are one */
};

typedef struct Watched {
	Watch *watch;
	const WatchedService *spec; /* its part of the caller's list */
	bool expected;		    /* its unit is being restarted by us: nothing is told */
	bool changed;		    /* that began or ended, and was not heeded yet */

	/* Samples: samples.c */
	Asker asker;
	bool open; /* `asker` and `probe` are made */
	Probe *probe;
	sd_event_source *timer;
	Rng rng;
	int64_t due_us, sent_at_us; /* the next probe (monotonic); when this one was sent */
	int64_t missed;		    /* probes without an answer, in a row */
	bool told_unhealthy;	    /* of these */
	bool answers;		    /* the last probe was answered */
	HttpCall *page_call;
	bool no_page;
	ServerPage page; /* the last one; page_us 0: none */
	int64_t page_us;
	int64_t own; /* requests of our own since then */
	double load;
	double preemptions; /* since the page before; NAN */

	/* The unit: look.c */
	UnitWatch *unit;
	sd_event_source *look;
	UnitSeen seen;
	char *cgroup;

	/* The journal: words.c */
	Str lines;	    /* not judged yet */
	int64_t since_us;   /* realtime: lines from before are ours */
	int64_t oom_us;	    /* monotonic: when it last said that memory ran out */
	bool ending;	    /* what it says now is a part of its end, which is about to be told */
	char oom_line[200]; /* found meanwhile */

	/* The GPU: placement.c */
	int off_gpu; /* looks in a row that did not find it there */
	bool told_cpu;
	sd_event_source *relook;
} Watched;

struct Watch {
	sd_event *loop;
	Systemd *systemd;
	HttpLoop *http;
	WatchSpec spec;
	WatchHandler handler;
	void *ctx;
	sd_event_source *tick, *change;
	Watched *services;
	size_t n;
	Follow *follow;
	const char **units;
	Nvml *nvml;
	size_t gpu;
	GpuState *state;
	char blind[600];
	char unasked[240]; /* why nobody can be asked now; "" */
};

/* Tells, unless the unit's events are expected. */
void watched_tell(Watched *d, HardEvent e, const char *words);
void watch_is_blind(Watch *w, const char *what, const Err *err);

/* samples.c */
int samples_open(Watched *d, Err *err) _must_check_;
void samples_begin(Watched *d, int64_t after_us);
void samples_stop(Watched *d);
/* It was told that its unit ended: who is missing is counted from here. */
void samples_excuse(Watched *d);
void samples_close(Watched *d);

/* look.c */
int look_open(Watched *d, Err *err) _must_check_;
void look_anew(Watched *d);
void look_tick(Watched *d);
void look_close(Watched *d);

/* words.c */
int words_open(Watch *w, Err *err) _must_check_;
void words_close(Watch *w);

/* What its journal says by now, after it ended: the line that tells that its memory ran out, which
 * is not told by itself; "": there is none. */
const char *words_last_oom(Watched *d);
/* Was it told of its memory a moment ago? */
bool words_told_oom(const Watched *d);

/* placement.c */
void placement_open(Watch *w);
void placement_tick(Watch *w);
/* The service has just answered. */
void placement_look(Watched *d);
void placement_forget(Watched *d);
void placement_close(Watch *w);
