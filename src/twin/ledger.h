#pragma once
/* The simulated GPU's memory: who holds how much. An allocation that does not fit fails, as on the
 * real card; the sum never exceeds the total. */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "twin/shared.h"

enum {
	LEDGER_OWNERS_MAX = 64,
};

typedef struct Ledger {
	int64_t total_bytes, used_bytes, peak_bytes;
	int64_t held[LEDGER_OWNERS_MAX];    /* by owner */
	int64_t at_peak[LEDGER_OWNERS_MAX]; /* what each held when the sum was highest */
	size_t n_owners;
	/* The card that other programs use too: what does not fit there does not fit. NULL: the
	 * ledger is the whole card. Borrowed. */
	SharedGpu *shared;
} Ledger;

/* False: it does not fit, and nothing changed. */
bool ledger_take(Ledger *l, size_t owner, int64_t bytes);
void ledger_give(Ledger *l, size_t owner, int64_t bytes);
int64_t ledger_free_bytes(const Ledger *l); /* of the card, whoever holds the rest */
