#include "twin/ledger.h"

#include <string.h>

bool ledger_take(Ledger *l, size_t owner, int64_t bytes)
{
	if (bytes < 0 || bytes > l->total_bytes - l->used_bytes)
		return false;
	if (l->shared && shared_take(l->shared, bytes) < 0)
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
	if (l->shared)
		(void)shared_take(l->shared, -bytes);
	l->used_bytes -= bytes;
	l->held[owner] -= bytes;
}

int64_t ledger_free_bytes(const Ledger *l)
{
	int64_t used = l->shared ? shared_used_bytes(l->shared) : l->used_bytes;
	return l->total_bytes - used;
}
