#pragma once
/* Between alert.c (what is told, and the journal) and alert_hook.c (the programs). */
#include "rollout/alert.h"

typedef struct Hooks Hooks;

int hooks_new(sd_event *loop, const char *const *argv, Hooks **ret, Err *err) _must_check_;
Hooks *hooks_free(Hooks *h);
DEFINE_CLEANUP(Hooks *, hooks_free)
void hooks_limit(Hooks *h, int64_t limit_us);
/* Starts the program, or lets the alert wait. `text` is taken over; NULL is an alert that could not
 * be put into words. */
void hooks_tell(Hooks *h, AlertKind k, char *text);

/* One entry of our own in the journal, about a hook. */
void alert_hook_failed(AlertKind k, const char *words);
