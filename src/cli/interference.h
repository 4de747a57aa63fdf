#pragma once
/* How much services slow each other down: each measured alone and beside the others. */
#include "config/config.h"
#include "store/store.h"

/* Of one trial (`id`), or of all that ended ok: of `experiment` (NULL: of every one). Returns an
 * ExitCode. */
int interference_show(Store *store, const char *id, const char *experiment, bool json);
