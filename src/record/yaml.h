#pragma once
/* JSON values as block-style YAML that YAML 1.1 and 1.2 readers understand alike. */
#include <jansson.h>

#include "base/str.h"

/* Members in the order that `first` (NULL-terminated, may be NULL) gives for the outermost object,
 * then in their own order. A value nested too deep marks `out` failed. */
void yaml_add(const json_t *v, const char *const *first, Str *out);
