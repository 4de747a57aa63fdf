#include "twin/ledger.h"

#include <string.h>

bool ledger_take(Ledger *l, size_t owner, int64_t bytes)
{
	if (bytes < 0 || bytes > l->total_bytes - l->used_bytes)
		return false;
	l->used_bytes += bytes;
	l->held[owner] += bytes;
	if (owner >= l->n_owners)
		l->n_owners = owner + 1;
	if (l->used_bytes > l->peak_bytes) {
		l->peak_bytes = l->used_bytes;
		memcpy(l->at_peak, l->held, sizeof(l->held));
	}
	return true;
}

void ledger_give(Ledger *l, size_t owner, int64_t bytes)
{
	if (bytes > l->held[owner])
		bytes = l->held[owner];
	l->used_bytes -= bytes;
	l->held[owner] -= bytes;
}

int64_t ledger_free_bytes(const Ledger *l)
{
	return l->total_bytes - l->used_bytes;
}
