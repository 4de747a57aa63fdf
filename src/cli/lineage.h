#pragma once
/* The parts of `dream lineage` that are more than a call of the store. */
#include "cli/cli.h"

enum {
	EXPORT_MAX = 256 << 20 /* bytes of an epoch's trials or a promotion */
};

/* ancestry.c: the tree of a trial's or candidate's parents, or dream.lineage/v1. Returns an
 * ExitCode. */
int ancestry_show(Store *store, const char *id, bool json);

/* exported.c: files that the program wrote. */
typedef enum ExportKind {
	EXPORT_CHAIN,  /* dream lineage export */
	EXPORT_TRIALS, /* metrics.jsonl of an epoch */
	EXPORT_PROMOTION,
} ExportKind;

/* What a file seems to be, by how it begins. */
int export_kind(const char *path, ExportKind *ret, Err *err) _must_check_;
/* Every line must say what the store says of its trial. -EBADMSG with a sentence that names the
 * line. */
int trials_check(Store *store, const char *text, size_t len, Err *err) _must_check_;
/* The signature must fit the content. */
int promotion_check(const char *name, const char *text, size_t len, const char *pinned_key_hex,
		    Err *err) _must_check_;
