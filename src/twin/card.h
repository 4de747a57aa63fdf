#pragma once
/* The card of a box: the file that its programs share, made when it is not there. Also compiled
 * into the stand-in library, which may be the first who looks. */
#include "twin/box.h"
#include "twin/shared.h"

/* `path` NULL: where the programs of one user and box meet when none is named. -EEXIST: the file is
 * another box's card; -errno. *ret_path (owned, may be NULL on -ENOMEM) is where it is or would be.
 */
int card_open(const Box *box, const char *path, SharedGpu **ret, char **ret_path);
