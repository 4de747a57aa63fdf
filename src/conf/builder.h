#pragma once
/* From the parser's events to nodes. Nothing here recurses, and the limits are checked before
 * memory is spent. */
#include <yaml.h>

#include "conf/internal.h"

typedef struct Anchor Anchor;

typedef struct Builder {
	ConfDoc *doc;
	Diags *d;
	ConfNode *inner;    /* the collection that the next node goes into; NULL: none */
	size_t depth;	    /* how many collections are around the next node */
	ConfNode **pending; /* owned: what the open collections hold so far, the outermost first */
	size_t n_pending;
	size_t total; /* nodes, aliases followed */
	size_t documents;
	Anchor *anchors; /* owned, the newest first */
	size_t n_anchors;
} Builder;

/* Negative: -EBADMSG with a diagnostic, or -ENOMEM. */
int builder_event(Builder *b, const yaml_event_t *e);
/* The root of a text that has none: a null. */
int builder_empty(Builder *b);
void builder_done(Builder *b);

/* Adds the diagnostic and returns -EBADMSG. `accept` may be NULL. */
int builder_refuse(Builder *b, const yaml_mark_t *at, const char *accept, const char *what);
