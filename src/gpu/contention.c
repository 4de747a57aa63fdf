#include "gpu/contention.h"

#include <stdio.h>
#include <string.h>

const ContentionRules contention_rules = {
    .tolerance_bytes = 64 << 20,
    .active_pct = 10,
    .active_samples = 3,
    .confirm_looks = 2,
    .hidden_looks = 10,
};

static Tenant *find(Contention *c, pid_t pid)
{
	for (size_t i = 0; i < c->n_tenants; i++)
		if (c->tenants[i].pid == pid)
			return &c->tenants[i];
	return NULL;
}

/* The place of one who is gone and never counted may be used again. */
static Tenant *place(Contention *c)
{
	for (size_t i = 0; i < c->n_tenants; i++)
		if (!c->tenants[i].present && !c->tenants[i].before && !c->tenants[i].found)
			return &c->tenants[i];
	if (c->n_tenants < GPU_PROCESSES_MAX)
		return &c->tenants[c->n_tenants++];
	c->overflow = true;
	return NULL;
}

static Tenant *enter(Contention *c, const GpuProcess *p, bool before)
{
	Tenant *t = place(c);
	if (t)
		*t = (Tenant){.pid = p->pid,
			      .before = before,
			      .before_bytes = before ? p->used_bytes : 0,
			      .now_bytes = p->used_bytes,
			      .peak_bytes = p->used_bytes};
	return t;
}

static void note(Tenant *t, const GpuProcess *p)
{
	t->present = true;
	t->missing = 0;
	t->looks++;
	t->lists |= p->lists;
	t->visible = p->visible;
	t->now_bytes = p->used_bytes;
	if (p->used_bytes > t->peak_bytes)
		t->peak_bytes = p->used_bytes;
	/* A driver that did not say it at first. */
	if (t->before && t->before_bytes < 0)
		t->before_bytes = p->used_bytes;
}

static bool found(Contention *c, Tenant *t, ContentionKind kind, int64_t to_bytes, int64_t at_us)
{
	if (t->found)
		return false;
	t->found = true;
	t->finding = (ContentionFinding){
	    .kind = kind,
	    .pid = t->pid,
	    .visible = t->visible,
	    .from_bytes = t->before_bytes,
	    .to_bytes = to_bytes,
	    .sm_pct = t->peak_sm_pct,
	    .at_us = at_us,
	};
	if (c->n_findings++ == 0)
		c->first = t->finding;
	return true;
}

/* --- The rules ------------------------------------------------------------------------------- */

static bool is_intruder(const Contention *c, const Tenant *t)
{
	int looks = t->visible ? c->rules.confirm_looks : c->rules.hidden_looks;
	bool window = t->lists == GPU_GRAPHICS && t->now_bytes >= 0 &&
		      t->now_bytes <= c->rules.tolerance_bytes;
	return !t->before && t->looks >= looks && t->now_bytes != 0 && !window;
}

static bool judge(Contention *c, Tenant *t, bool starting, int64_t at_us)
{
	bool known = t->now_bytes >= 0 && t->before_bytes >= 0;
	if (is_intruder(c, t))
		return found(c, t, CONTENTION_NEW, t->now_bytes, at_us);
	if (!t->before || !known)
		return false;
	if (t->now_bytes - t->before_bytes > c->rules.tolerance_bytes)
		return found(c, t, CONTENTION_GREW, t->now_bytes, at_us);
	if (starting && t->before_bytes - t->now_bytes > c->rules.tolerance_bytes)
		return found(c, t, CONTENTION_SHRANK, t->now_bytes, at_us);
	return false;
}

static bool judge_absent(Contention *c, Tenant *t, bool starting, int64_t at_us)
{
	if (!t->present || ++t->missing < c->rules.confirm_looks)
		return false;
	t->present = false;
	t->looks = 0;
	bool little = t->now_bytes >= 0 && t->now_bytes <= c->rules.tolerance_bytes;
	return starting && t->before && !little &&
	       found(c, t, CONTENTION_ENDED, t->now_bytes, at_us);
}

static bool is_in(const GpuProcess *list, size_t n, pid_t pid)
{
	for (size_t i = 0; i < n; i++)
		if (list[i].pid == pid)
			return true;
	return false;
}

void contention_begin(Contention *c, const ContentionRules *rules, const GpuProcess *foreign,
		      size_t n)
{
	*c = (Contention){.rules = *rules};
	for (size_t i = 0; i < n; i++) {
		Tenant *t = enter(c, &foreign[i], true);
		if (t)
			note(t, &foreign[i]);
	}
}

bool contention_look(Contention *c, int64_t at_us, bool starting, const GpuProcess *foreign,
		     size_t n)
{
	bool news = false;
	for (size_t i = 0; i < n; i++) {
		Tenant *t = find(c, foreign[i].pid);
		if (!t)
			t = enter(c, &foreign[i], false);
		if (!t)
			continue;
		note(t, &foreign[i]);
		news |= judge(c, t, starting, at_us);
	}
	for (size_t i = 0; i < c->n_tenants; i++)
		if (c->tenants[i].present && !is_in(foreign, n, c->tenants[i].pid))
			news |= judge_absent(c, &c->tenants[i], starting, at_us);
	return news;
}

bool contention_activity(Contention *c, int64_t at_us, const GpuActivity *samples, size_t n)
{
	bool news = false;
	for (size_t i = 0; i < n; i++) {
		Tenant *t = find(c, samples[i].pid);
		/* One sample is one, however often it is told. */
		if (!t || samples[i].at_us <= t->sample_us)
			continue;
		t->sample_us = samples[i].at_us;
		if (samples[i].sm_pct > t->peak_sm_pct)
			t->peak_sm_pct = samples[i].sm_pct;
		t->active += samples[i].sm_pct >= c->rules.active_pct;
		if (t->active >= c->rules.active_samples)
			news |= found(c, t, CONTENTION_ACTIVE, t->now_bytes, at_us);
	}
	return news;
}

void contention_forget(Contention *c, pid_t pid)
{
	Tenant *t = find(c, pid);
	if (!t)
		return;
	*t = c->tenants[--c->n_tenants];
	c->n_findings = 0;
	c->first = (ContentionFinding){0};
	for (size_t i = 0; i < c->n_tenants; i++) {
		const Tenant *other = &c->tenants[i];
		if (!other->found)
			continue;
		if (c->n_findings++ == 0 || other->finding.at_us < c->first.at_us)
			c->first = other->finding;
	}
}

/* --- Words ----------------------------------------------------------------------------------- */

static void amount(int64_t bytes, char *ret, size_t size)
{
	if (bytes < 0)
		snprintf(ret, size, "an unknown amount");
	else
		snprintf(ret, size, "%.0f MiB", (double)bytes / 1048576.0);
}

void contention_words(const ContentionFinding *f, const char *who, int64_t since_us, char *ret,
		      size_t size)
{
	char from[32], to[32], name[160], when[48];
	const char *nobody = "not visible here: it counts in another PID namespace";
	amount(f->from_bytes, from, sizeof(from));
	amount(f->to_bytes, to, sizeof(to));
	if (!*who && !f->visible)
		who = nobody;
	snprintf(name, sizeof(name), *who ? "process %d (%.120s)" : "process %d", (int)f->pid, who);
	snprintf(when, sizeof(when), "%.1f s after the start", (double)(f->at_us - since_us) / 1e6);
	switch (f->kind) {
	case CONTENTION_NONE:
		ret[0] = '\0';
		return;
	case CONTENTION_NEW:
		snprintf(ret, size, "%s came on the GPU %s and holds %s", name, when, to);
		return;
	case CONTENTION_GREW:
		snprintf(ret, size, "%s grew from %s to %s of GPU memory %s", name, from, to, when);
		return;
	case CONTENTION_SHRANK:
		snprintf(ret, size,
			 "%s gave GPU memory back (%s to %s) %s, while a service was starting and "
			 "measuring what is free",
			 name, from, to, when);
		return;
	case CONTENTION_ENDED:
		snprintf(ret, size,
			 "%s ended and gave %s of GPU memory back %s, while a service was starting "
			 "and measuring what is free",
			 name, to, when);
		return;
	case CONTENTION_ACTIVE:
		snprintf(ret, size, "%s computed on the GPU (up to %d %% of it) %s", name,
			 f->sm_pct, when);
		return;
	}
}
