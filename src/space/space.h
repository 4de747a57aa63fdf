#pragma once
/* What may be tried: named parameters, each with a finite, ordered list of levels, conditions
 * between them, hard bounds and forbidden combinations. A candidate is a Point: one level a
 * parameter. */
#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/cleanup.h"
#include "base/err.h"
#include "base/hash.h"
#include "base/str.h"
#include "conf/conf.h"

typedef struct Space Space;

enum {
	SPACE_DIMS_MAX = 32,
	SPACE_LEVELS_MAX = 100000, /* of one parameter */
	CONFIG_HASH_SIZE = 17,	   /* 16 hex digits and a NUL */
};

#define SPACE_INACTIVE UINT32_MAX /* the level of a parameter whose `when:` does not hold */

/* Only the first space_dims() levels mean something; the others are zero. Always canonical: a
 * parameter is SPACE_INACTIVE exactly when its condition does not hold. So two points are the same
 * candidate if and only if their levels are equal. */
typedef struct Point {
	uint32_t level[SPACE_DIMS_MAX];
} Point;

/* Reads `search_space:` (the user's names -> a list of values, or a map: values / min, max, step or
 * points, log / type: bool; ordered; when), `bounds` (name -> {min, max}; may be NULL) and `forbid`
 * (a list of maps name -> value or list of values; may be NULL). -EBADMSG when d got mistakes. */
int space_read(const ConfNode *search_space, const ConfNode *bounds, const ConfNode *forbid,
	       Space **ret, Diags *d) _must_check_;
json_t *space_schema(void); /* of `search_space:` */
json_t *space_bounds_schema(void);
json_t *space_forbid_schema(void);
Space *space_free(Space *s); /* accepts NULL, returns NULL */
DEFINE_CLEANUP(Space *, space_free)

size_t space_dims(const Space *s);
const char *space_name(const Space *s, size_t dim);
int space_dim(const Space *s, const char *name); /* -ENOENT */
uint32_t space_levels(const Space *s, size_t dim);
/* Do neighbouring levels lie near each other (numbers, and lists declared ordered)? */
bool space_ordered(const Space *s, size_t dim);
/* The value of a level: a new reference; NULL when out of memory or inactive. */
json_t *space_value(const Space *s, size_t dim, uint32_t level);

/* All distinct points, bounds and forbidden combinations not yet taken away; UINT64_MAX: that many
 * or more. */
uint64_t space_count(const Space *s);

/* In the order of declaration, the last parameter fastest (one that depends on a later one comes
 * after it), every distinct point once, also those that space_allows() refuses, without holding
 * them. space_first() starts; false: there is none, or no more. */
bool space_first(const Space *s, Point *p);
bool space_next(const Space *s, Point *p);

/* Sets inactive levels where conditions do not hold, and level 0 where a condition newly holds. */
void space_canonical(const Space *s, Point *p);
/* Within hard bounds and not forbidden? Otherwise the reason is appended to `why` (may be NULL). */
bool space_allows(const Space *s, const Point *p, Str *why);
/* Is the level inside the parameter's own hard bound? */
bool space_level_allowed(const Space *s, size_t dim, uint32_t level);

bool point_equal(const Space *s, const Point *a, const Point *b);
uint64_t point_key(const Space *s, const Point *p); /* for hash tables: equal points, equal keys */

/* The candidate as JSON, {"vllm_memory_util": 0.5, ...}, inactive parameters left out. New
 * reference. */
json_t *point_json(const Space *s, const Point *p);
/* The point with these values. -EINVAL with a sentence that names the parameter and what it
 * accepts. */
int point_from_json(const Space *s, const json_t *params, Point *ret, Err *err) _must_check_;
/* "vllm_memory_util=0.5 whisper_model_size=small" */
void point_text(const Space *s, const Point *p, Str *out);

/* The first 16 hex digits of SHA-256 over the parameters as canonical JSON: the id of a candidate.
 * "" when out of memory. */
void config_hash(const json_t *params, char ret[CONFIG_HASH_SIZE]);
