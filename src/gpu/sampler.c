#include "gpu/sampler.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "gpu/sampler_internal.h"

enum {
	/* Every so many looks: NVML's other readings are slower, and change less. */
	LOAD_EVERY = 4,
	POWER_EVERY = 20,
	ACTIVITY_EVERY = 10,
	ACCURACY_US = 1000,
};

/* --- Whose a process is ---------------------------------------------------------------------- */

/* Its place in s->seen; n_seen: nowhere. */
static size_t place_of(const Sampler *s, pid_t pid)
{
	size_t i = 0;
	while (i < s->n_seen && s->seen[i].pid != pid)
		i++;
	return i;
}

const char *sampler_who(const Sampler *s, pid_t pid)
{
	size_t i = place_of(s, pid);
	return i < s->n_seen && s->seen[i].who ? s->seen[i].who : "";
}

static int owner_of(const Sampler *s, pid_t pid)
{
	for (size_t i = 0; i < s->n_owned; i++) {
		const Owned *w = &s->owned[i];
		/* The number of a leader that is gone may be somebody else's by now. */
		bool leads = w->leader.pid > 0 && procid_runs(&w->leader);
		Owner o = {
		    .name = w->name, .cgroup = w->cgroup, .leader = leads ? w->leader.pid : 0};
		if (owner_has(&o, pid))
			return (int)i;
	}
	return SAMPLER_FOREIGN;
}

static Seen *new_seen(Sampler *s, pid_t pid)
{
	size_t i = 0;
	/* One that has gone gives its place, when all are taken. */
	if (s->n_seen < GPU_PROCESSES_MAX)
		i = s->n_seen++;
	else
		while (i < GPU_PROCESSES_MAX - 1 && s->seen[i].look == s->looks)
			i++;
	free(s->seen[i].who);
	s->seen[i] = (Seen){.pid = pid, .owner = SAMPLER_FOREIGN};
	return &s->seen[i];
}

static char *describe(pid_t pid)
{
	_cleanup_free_ char *home = NULL;
	if (process_home(pid, &home) < 0)
		return NULL;
	_cleanup_free_ char *words = NULL;
	if (process_words(pid, &words) < 0)
		return NULL;
	/* The program is enough beside the unit. */
	if (*home && *words)
		return str_fmt("%.60s: %.60s", home, words);
	return str_fmt("%.100s", *home ? home : words);
}

/* Looked up when it comes, and again while it is new or a service was added; not at each look: that
 * is what costs. A number that was away for a look may have become another process. */
static int whose(Sampler *s, const GpuProcess *p)
{
	size_t at = place_of(s, p->pid);
	Seen *seen = at < s->n_seen ? &s->seen[at] : NULL;
	bool again = seen && seen->look < s->looks - 1 && p->visible;
	if (!seen)
		seen = new_seen(s, p->pid);
	if (again) {
		free(seen->who);
		*seen = (Seen){.pid = p->pid, .owner = SAMPLER_FOREIGN};
	}
	seen->look = s->looks;
	seen->looks++;
	bool settled = seen->looks > s->contention.rules.confirm_looks && !s->ask_again;
	if (seen->owner != SAMPLER_FOREIGN || settled || !p->visible)
		return seen->owner;
	seen->owner = owner_of(s, p->pid);
	if (seen->owner != SAMPLER_FOREIGN)
		contention_forget(&s->contention, p->pid);
	else if (!seen->who)
		seen->who = describe(p->pid);
	return seen->owner;
}

/* --- A look ---------------------------------------------------------------------------------- */

static void add_bytes(Owned *w, int64_t bytes)
{
	if (bytes < 0 || w->now_bytes < 0)
		w->now_bytes = -1;
	else
		w->now_bytes += bytes;
}

static void note_peaks(Sampler *s, int64_t listed)
{
	for (size_t i = 0; i < s->n_owned; i++) {
		Owned *w = &s->owned[i];
		if (w->now_bytes > w->peak_bytes)
			w->peak_bytes = w->now_bytes;
		else if (w->now_bytes < 0 && w->peak_bytes == 0)
			w->peak_bytes = -1;
	}
	if (s->state.used_bytes - listed > s->unattributed_peak_bytes)
		s->unattributed_peak_bytes = s->state.used_bytes - listed;
}

/* Sorts the processes of the look: ours are summed, the others are returned in `foreign`. */
static size_t attribute(Sampler *s, GpuProcess *foreign)
{
	size_t n = 0;
	int64_t listed = 0;
	for (size_t i = 0; i < s->n_owned; i++)
		s->owned[i].now_bytes = 0;
	for (size_t i = 0; i < s->state.n_processes; i++) {
		const GpuProcess *p = &s->state.processes[i];
		int owner = whose(s, p);
		s->bytes_known &= p->used_bytes >= 0;
		listed += p->used_bytes > 0 ? p->used_bytes : 0;
		if (owner == SAMPLER_FOREIGN)
			foreign[n++] = *p;
		else
			add_bytes(&s->owned[owner], p->used_bytes);
	}
	s->ask_again = false;
	note_peaks(s, listed);
	return n;
}

static bool is_starting(const Sampler *s)
{
	for (size_t i = 0; i < s->n_owned; i++)
		if (!s->owned[i].ready && !s->owned[i].gone)
			return true;
	return false;
}

static void note_contention(Sampler *s)
{
	const ContentionFinding *f = &s->contention.first;
	if (f->kind == CONTENTION_NONE)
		s->contention_words[0] = '\0';
	if (f->kind == CONTENTION_NONE || (s->contention_words[0] && s->worded_us == f->at_us))
		return;
	s->worded_us = f->at_us;
	contention_words(f, sampler_who(s, f->pid), s->begin_us, s->contention_words,
			 sizeof(s->contention_words));
}

/* The samples of those that are not ours. */
static void look_at_activity(Sampler *s)
{
	GpuActivity samples[GPU_PROCESSES_MAX];
	int n = nvml_activity(s->spec.nvml, s->spec.gpu, samples, GPU_PROCESSES_MAX);
	size_t foreign = 0;
	if (n < 0)
		return;
	s->activity_known = true;
	for (int i = 0; i < n; i++) {
		size_t at = place_of(s, samples[i].pid);
		if (at == s->n_seen || s->seen[at].owner == SAMPLER_FOREIGN)
			samples[foreign++] = samples[i];
	}
	contention_activity(&s->contention, s->state.at_us, samples, foreign);
}

static void hardware(Sampler *s, const char *what)
{
	if (s->hardware_words[0])
		return;
	snprintf(s->hardware_words, sizeof(s->hardware_words), "%.159s", what);
	if (s->spec.hardware)
		s->spec.hardware(s->spec.ctx, s->hardware_words);
}

static void look_for_xids(Sampler *s)
{
	uint64_t xids[SAMPLER_XIDS_MAX];
	int n = nvml_xids(s->spec.nvml, s->spec.gpu, xids, SAMPLER_XIDS_MAX);
	for (int i = 0; i < n; i++) {
		char words[96];
		if (s->n_xids < SAMPLER_XIDS_MAX)
			s->xids[s->n_xids++] = (SeenXid){xids[i], s->state.at_us};
		snprintf(words, sizeof(words),
			 "the driver reported Xid %llu, a fault of the hardware or driver",
			 (unsigned long long)xids[i]);
		if (xid_is_hardware(xids[i]))
			hardware(s, words);
	}
}

static void note_throttle(Sampler *s)
{
	s->load_looks++;
	if (!gpu_throttled(s->state.throttle))
		return;
	s->throttled++;
	s->throttle_bits |= s->state.throttle;
}

static int look(Sampler *s, bool everything, Err *err)
{
	GpuProcess foreign[GPU_PROCESSES_MAX];
	bool load = everything || s->looks % LOAD_EVERY == 0;
	unsigned what = GPU_LOOK_MEMORY | (load ? GPU_LOOK_LOAD : 0U) |
			(everything || s->looks % POWER_EVERY == 0 ? GPU_LOOK_POWER : 0U);

	if (load)
		look_for_xids(s);
	int r = nvml_look(s->spec.nvml, s->spec.gpu, what, &s->state, err);
	if (r < 0)
		return r;
	s->looks++;
	if (load)
		note_throttle(s);
	if (s->state.used_bytes > s->used_peak_bytes)
		s->used_peak_bytes = s->state.used_bytes;
	/* A look that could not see everybody says nothing about who is gone. */
	if (!s->state.processes_known)
		return 0;
	size_t n = attribute(s, foreign);
	if (!s->begun) {
		ContentionRules rules = s->contention.rules;
		contention_begin(&s->contention, &rules, foreign, n);
		s->begun = true;
	} else {
		contention_look(&s->contention, s->state.at_us, is_starting(s), foreign, n);
	}
	if (s->looks % ACTIVITY_EVERY == 1)
		look_at_activity(s);
	note_contention(s);
	return 0;
}

static int on_timer(sd_event_source *source, uint64_t due_us, void *ctx)
{
	Sampler *s = ctx;
	Err err = ERR_INIT;
	uint64_t now = due_us, period_us = (uint64_t)s->spec.period_us;

	(void)sd_event_now(sd_event_source_get_event(source), CLOCK_MONOTONIC, &now);
	if (now > due_us + period_us)
		s->missed++;
	int r = look(s, false, &err);
	if (r < 0) {
		look_for_xids(s); /* a card that is gone may have said why */
		hardware(s, err.msg);
		return sd_event_source_set_enabled(source, SD_EVENT_OFF);
	}
	uint64_t next = due_us + period_us;
	/* What was missed is not made up for in a burst. */
	if (next < now)
		next = now + period_us;
	r = sd_event_source_set_time(source, next);
	return r < 0 ? r : sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
}

/* --- Beginning and end ----------------------------------------------------------------------- */

int sampler_new(sd_event *loop, const SamplerSpec *spec, Sampler **ret, Err *err)
{
	_cleanup_(sampler_freep) Sampler *s = calloc(1, sizeof(*s));
	if (!s)
		return err_oom(err);
	s->spec = *spec;
	if (s->spec.period_us <= 0)
		s->spec.period_us = SAMPLER_PERIOD_US;
	s->bytes_known = true;
	s->contention.rules = contention_rules;
	if (spec->tolerance_bytes > 0)
		s->contention.rules.tolerance_bytes = spec->tolerance_bytes;
	int r = look(s, true, err);
	if (r < 0)
		return r;
	s->begin_us = s->state.at_us;
	r = sd_event_add_time_relative(loop, &s->timer, CLOCK_MONOTONIC,
				       (uint64_t)s->spec.period_us, ACCURACY_US, on_timer, s);
	if (r < 0)
		return err_set(err, r, "cannot set the timer that watches the GPU: %s",
			       strerror(-r));
	*ret = TAKE_PTR(s);
	return 0;
}

Sampler *sampler_free(Sampler *s)
{
	if (!s)
		return NULL;
	sd_event_source_disable_unref(s->timer);
	for (size_t i = 0; i < s->n_owned; i++) {
		free(s->owned[i].name);
		free(s->owned[i].cgroup);
	}
	for (size_t i = 0; i < s->n_seen; i++)
		free(s->seen[i].who);
	free(s);
	return NULL;
}

/* --- Services -------------------------------------------------------------------------------- */

int sampler_add(Sampler *s, const Owner *o)
{
	ProcStat st = {0};
	if (s->n_owned == SAMPLER_OWNERS_MAX)
		return -E2BIG;
	_cleanup_free_ char *name = strdup(o->name ? o->name : "");
	_cleanup_free_ char *cgroup = o->cgroup ? strdup(o->cgroup) : NULL;
	if (!name || (o->cgroup && !cgroup))
		return -ENOMEM;
	if (o->leader > 0)
		(void)procstat_read(o->leader, &st);
	s->owned[s->n_owned] = (Owned){
	    .name = TAKE_PTR(name),
	    .cgroup = TAKE_PTR(cgroup),
	    .leader = st.id,
	};
	s->ask_again = true;
	return (int)s->n_owned++;
}

static Owned *owned_of(Sampler *s, int handle)
{
	return handle >= 0 && (size_t)handle < s->n_owned ? &s->owned[handle] : NULL;
}

int sampler_own(Sampler *s, int handle, const Owner *o)
{
	Owned *w = owned_of(s, handle);
	ProcStat st = {0};
	char *cgroup = o->cgroup ? strdup(o->cgroup) : NULL;
	if (!w || (o->cgroup && !cgroup)) {
		free(cgroup);
		return w ? -ENOMEM : 0;
	}
	if (o->leader > 0)
		(void)procstat_read(o->leader, &st);
	free(w->cgroup);
	w->cgroup = cgroup;
	w->leader = st.id;
	s->ask_again = true;
	return 0;
}

void sampler_ready(Sampler *s, int handle)
{
	Owned *w = owned_of(s, handle);
	if (w)
		w->ready = true;
}

void sampler_gone(Sampler *s, int handle)
{
	Owned *w = owned_of(s, handle);
	if (w)
		w->gone = true;
}

/* --- What it saw ----------------------------------------------------------------------------- */

const GpuState *sampler_state(const Sampler *s)
{
	return &s->state;
}

void sampler_report(const Sampler *s, SamplerReport *ret)
{
	*ret = (SamplerReport){
	    .looks = s->looks,
	    .missed = s->missed,
	    .used_peak_bytes = s->used_peak_bytes,
	    .total_bytes = s->state.total_bytes,
	    .contended = s->contention_words[0] != '\0',
	    .hardware = s->hardware_words[0] != '\0',
	    .throttled_share = s->load_looks ? (double)s->throttled / (double)s->load_looks : 0,
	    .throttle_bits = s->throttle_bits,
	};
	memcpy(ret->contention, s->contention_words, sizeof(ret->contention));
	memcpy(ret->hardware_words, s->hardware_words, sizeof(ret->hardware_words));
	for (size_t i = 0; i < s->n_owned; i++) {
		ret->peak_bytes[i] = s->owned[i].peak_bytes;
		ret->now_bytes[i] = s->owned[i].now_bytes;
	}
}
