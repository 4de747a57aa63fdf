#pragma once
/* What people see of promotions and of the baseline, as the documents that --json prints: made of
 * the store by whoever may read it, the command line or the daemon for those who ask it. */
#include <jansson.h>

#include "rollout/fate.h"
#include "rollout/validate.h"

typedef struct ViewSource {
	Store *store;		    /* NULL: nothing is recorded yet */
	const char *pinned_key_hex; /* whose records count; NULL: anybody's */
	int64_t now_us;
	size_t most_bytes; /* of a list; what is older is left out then, and that is said. 0: all */
} ViewSource;

/* dream.promotions/v1, of one experiment or (NULL) of all. */
int promotions_view(const ViewSource *s, const char *experiment, json_t **ret,
		    Err *err) _must_check_;
/* dream.baseline_log/v1 */
int baseline_log_view(const ViewSource *s, json_t **ret, Err *err) _must_check_;
/* dream.promotion_view/v1 of in->promotion; in->baseline is looked up here. `own_key_hex`: "" when
 * it is not known. `unseen`: why it is not known what is adopted; "" when it is. */
int promotion_view(const ViewSource *s, const ValidateInput *in, const char *own_key_hex,
		   const char *unseen, json_t **ret, Err *err) _must_check_;
