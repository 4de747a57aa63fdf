#pragma once
/* Under which name a GPU is leased, so that all who mean one card meet at one lock. */
#include "base/err.h"

/* `configured`: a UUID, a unique beginning of one, NVML's index, or NULL for the only GPU there is;
 * *ret is its UUID. Where there is no NVML, what was configured, or "default"; a whole UUID of a
 * card that is not here stays what it is. -ENOENT: there is no such card (or more than one that is
 * meant). -ENOTUNIQ: there are several and none was named; the message lists them. New string.
 * `library`: as for nvml_open(). */
int gpu_lease_name(const char *library, const char *configured, char **ret, Err *err) _must_check_;

/* Who holds the lease now, in words ("process 12, since ..., for ..."), for display: it may change
 * at any moment. *ret NULL: nobody, or nobody who can be seen. New string; -ENOMEM. */
int lease_holder(const char *dir, const char *gpu_uuid, char **ret) _must_check_;
