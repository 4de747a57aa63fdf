#include "watch/units.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "base/proc.h"

/* --- What a state is ------------------------------------------------------------------------- */

static bool waits_for_restart(const UnitState *u)
{
	return strcmp(u->active, "activating") == 0 && strncmp(u->sub, "auto-restart", 12) == 0;
}

static bool is_up(const UnitState *u)
{
	return strcmp(u->active, "active") == 0 || strcmp(u->active, "reloading") == 0;
}

static bool is_starting(const UnitState *u)
{
	return strcmp(u->active, "activating") == 0 && !waits_for_restart(u);
}

static bool is_down(const UnitState *u)
{
	return strcmp(u->active, "failed") == 0 || strcmp(u->active, "inactive") == 0 ||
	       waits_for_restart(u);
}

static bool is_other(const UnitSeen *s, const UnitState *u)
{
	return u->invocation[0] && strcmp(u->invocation, s->invocation) != 0;
}

void unit_exit_words(const UnitState *u, char *ret)
{
	siginfo_t si = {.si_code = u->exit_code};
	si.si_status = u->exit_status;
	*ret = '\0';
	if (u->exit_code != 0)
		proc_describe(&si, ret);
}

/* --- What happened --------------------------------------------------------------------------- */

static void keep(UnitSeen *s, const UnitState *u, int64_t oom_kills)
{
	(void)snprintf(s->invocation, sizeof(s->invocation), "%s", u->invocation);
	s->main_pid = u->main_pid;
	s->restarts = u->restarts;
	s->oom_kills = oom_kills;
}

void unitseen_take(UnitSeen *s, const UnitState *u, int64_t oom_kills)
{
	keep(s, u, oom_kills);
	s->phase = is_starting(u) ? UNIT_STARTING : UNIT_UP;
}

/* A group counts anew with each run of its unit. */
static bool was_killed_for_memory(const UnitSeen *s, const UnitState *now, int64_t oom_kills)
{
	int64_t before = is_other(s, now) ? 0 : s->oom_kills;
	return oom_kills > 0 && before >= 0 && oom_kills > before;
}

/* Where the result is no more than how the process ended, that is said instead. */
static bool says_the_exit(const UnitState *u)
{
	return strcmp(u->result, "exit-code") == 0 || strcmp(u->result, "signal") == 0 ||
	       strcmp(u->result, "core-dump") == 0;
}

static HardEvent ended(UnitSeen *s, const char *unit, const UnitState *now, bool oom, char *words,
		       size_t size)
{
	bool again = waits_for_restart(now);
	UnitPhase was = s->phase;
	char how[48];
	s->phase = again ? UNIT_WAITING : UNIT_DOWN;
	/* The same end is told once; that systemd gives up after it is another event. */
	if (was == s->phase && !is_other(s, now))
		return HARD_NONE;
	unit_exit_words(now, how);
	(void)snprintf(words, size, "%s %s: %s%s", unit,
		       strcmp(now->active, "failed") == 0 ? "failed" : "has ended",
		       says_the_exit(now) && *how ? how : unit_result_words(now->result),
		       again ? "; systemd starts it again" : "");
	if (oom || strcmp(now->result, "oom-kill") == 0)
		return HARD_OOM;
	if (was == UNIT_STARTING)
		return HARD_START_FAILED;
	return again ? HARD_RESTARTED : HARD_DIED;
}

/* It runs, or is on its way to. */
static HardEvent runs(UnitSeen *s, const char *unit, const UnitState *now, char *words, size_t size)
{
	UnitPhase was = s->phase;
	int64_t more = now->restarts - s->restarts;
	s->phase = is_starting(now) ? UNIT_STARTING : UNIT_UP;
	/* What ended and was told has come back: one restart belongs to that. */
	if (was == UNIT_WAITING || was == UNIT_DOWN)
		more--;
	if (more > 0) {
		(void)snprintf(words, size, "systemd restarted %s %lld time%s by itself", unit,
			       (long long)more, more == 1 ? "" : "s");
		return HARD_RESTARTED;
	}
	if (was == UNIT_WAITING || was == UNIT_DOWN)
		return HARD_NONE;
	if (is_other(s, now)) {
		(void)snprintf(words, size, "%s was restarted by somebody else", unit);
		return HARD_RESTARTED;
	}
	if (was == UNIT_UP && now->main_pid > 0 && s->main_pid > 0 &&
	    now->main_pid != s->main_pid) {
		(void)snprintf(words, size,
			       "the main process of %s is another one: %d instead of %d", unit,
			       (int)now->main_pid, (int)s->main_pid);
		return HARD_RESTARTED;
	}
	return HARD_NONE;
}

HardEvent unitseen_look(UnitSeen *s, const char *unit, const UnitState *now, int64_t oom_kills,
			char *words, size_t size)
{
	HardEvent e = HARD_NONE;
	bool oom = was_killed_for_memory(s, now, oom_kills);
	*words = '\0';
	if (is_down(now))
		e = ended(s, unit, now, oom, words, size);
	else if (is_up(now) || is_starting(now))
		e = runs(s, unit, now, words, size);
	else
		return HARD_NONE; /* it is being stopped, or the manager is not there to ask */
	if (oom && e != HARD_OOM) {
		(void)snprintf(words, size,
			       "the kernel killed a process of %s because its memory ran out",
			       unit);
		e = HARD_OOM;
	}
	keep(s, now, oom_kills);
	return e;
}
