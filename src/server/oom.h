#pragma once
/* Does a text say that memory ran out, whose, and how often? From the wording of many projects; a
 * corpus of real excerpts is the test. Pure. */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

typedef enum OomKind {
	OOM_NONE,
	OOM_GPU,  /* an allocation on the GPU failed */
	OOM_KV,	  /* the KV cache does not fit into the share */
	OOM_HOST, /* the kernel or a cgroup killed for memory */
} OomKind;

typedef struct OomHit {
	OomKind kind;
	size_t line_at, line_len;	  /* in the text */
	int64_t wanted_bytes, free_bytes; /* -1: not said */
	int64_t neighbours_pid; /* another process that the text names as holding memory; 0 */
	int64_t neighbours_bytes;
	const char *rule; /* which wording it was */
} OomHit;

/* Events, not lines: a traceback that repeats one failed allocation counts once. Up to `max`;
 * *ret_n may be more. */
int oom_find(const char *text, size_t len, OomHit *ret, size_t max, size_t *ret_n) _must_check_;
/* Of kernel messages: "Out of memory: Killed process 123", "Memory cgroup out of memory", "NVRM:
 * Xid (PCI:...): 79". */
typedef struct KernelHit {
	bool oom;
	int64_t pid;  /* who was killed */
	uint64_t xid; /* 0: none */
	size_t line_at, line_len;
} KernelHit;
int kernel_find(const char *text, size_t len, KernelHit *ret, size_t max,
		size_t *ret_n) _must_check_;
