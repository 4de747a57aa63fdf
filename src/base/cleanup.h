#pragma once
#include <stdlib.h>

#define _cleanup_(f)   __attribute__((cleanup(f)))
#define _cleanup_free_ _cleanup_(freep)

/* Hand a pointer on: yields its value and leaves NULL behind, so cleanup does nothing. */
#define TAKE_PTR(p)                                \
	({                                         \
		__typeof__(p) *take_at = &(p);     \
		__typeof__(p) take_val = *take_at; \
		*take_at = NULL;                   \
		take_val;                          \
	})

#define DEFINE_CLEANUP(type, func)          \
	static inline void func##p(type *p) \
	{                                   \
		if (*p)                     \
			func(*p);           \
	}

static inline void freep(void *p)
{
	free(*(void **)p);
}
