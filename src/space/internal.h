#pragma once
/* How a space is held. Only the files of this folder see it. */
#include "space/space.h"

typedef struct Dim {
	char *name;
	json_t **values; /* owned, one a level */
	uint32_t n;
	double *numbers; /* the same values; NULL unless every level is a number */
	int direction;	 /* of the numbers: 1 ascending, -1 descending, 0 neither */
	bool ordered;
	bool *within; /* level -> inside the hard bound; NULL: no bound */
	double min, max;
	int parent;  /* the parameter that `when` names, -1 without one */
	bool *holds; /* level of the parent -> this parameter exists */
} Dim;

typedef struct LevelList {
	uint32_t *items;
	size_t n;
} LevelList;

/* One parameter's part of a forbidden combination: it has one of these levels. A point that matches
 * every term from a `first` one to the next is forbidden. */
typedef struct ForbidTerm {
	uint32_t dim;
	bool first;
	size_t from, n; /* in the space's forbid_levels */
} ForbidTerm;

struct Space {
	Dim dims[SPACE_DIMS_MAX];
	uint32_t n;
	uint32_t order[SPACE_DIMS_MAX]; /* a parent before its children, else as declared */
	ForbidTerm *forbid;
	size_t n_forbid;
	LevelList forbid_levels;
};

enum {
	SPACE_FORBID_MAX = 1000,
};

/* Appends a level, taking the reference (also on failure). */
int dim_push(Dim *d, json_t *value) _must_check_;
/* Fills numbers and direction once every level is there. */
int dim_finish(Dim *d) _must_check_;
/* The level with this value, -ENOENT. 1 and 1.0 are the same value. */
int64_t dim_find(const Dim *d, const json_t *value);
/* "0.4, 0.45, 0.5" or, when that is long, "0.4 ... 0.75 (36 levels)". */
void dim_accepts(const Dim *d, Str *out);
void value_text(const json_t *v, Str *out);

/* What follows fills one parameter or rule from the file; mistakes go to `d`. Negative: out of
 * memory. */
int read_levels(const ConfNode *n, Dim *dim, Diags *d) _must_check_;
int read_range(const ConfNode *n, Dim *dim, Diags *d) _must_check_;
int read_conditions(const ConfNode *search_space, Space *s, Diags *d) _must_check_;
int read_bounds(const ConfNode *n, Space *s, Diags *d) _must_check_;
int read_forbid(const ConfNode *n, Space *s, Diags *d) _must_check_;
