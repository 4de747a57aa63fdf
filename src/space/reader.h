#pragma once
/* Points from canonical JSON text, many of them: a store of ten thousand candidates uses few
 * different values, so a member ("beam_size": 4) is parsed once and recognised by its text ever
 * after. Gives exactly what js_parse() and point_from_json() give. */
#include "base/cleanup.h"
#include "base/err.h"
#include "space/space.h"

typedef struct PointReader PointReader;

int point_reader_new(const Space *s, PointReader **ret) _must_check_; /* the space is borrowed */
PointReader *point_reader_free(PointReader *r); /* accepts NULL, returns NULL */
DEFINE_CLEANUP(PointReader *, point_reader_free)

/* -EBADMSG: not JSON; -EINVAL: not a point of the space. */
int point_reader_read(PointReader *r, const char *text, size_t len, Point *ret) _must_check_;
