#pragma once
/* The chain as a file that needs no database: one line a record, canonical JSON with at_us, body,
 * hash, kind, schema and seq. Whoever has the file can check it with a SHA-256 and a JSON library.
 */
#include <jansson.h>
#include <stdint.h>

#include "base/err.h"
#include "base/str.h"
#include "record/chain.h"
#include "record/record.h"

/* Adds the line, newline included. -EBADMSG: the body is not JSON. */
int record_export_line(const Record *r, Str *out, Err *err) _must_check_;
/* Strict: exactly what record_export_line() writes, without the newline. -EBADMSG otherwise. */
int record_from_line(const char *line, size_t len, Record *ret, Err *err) _must_check_;

/* Checks a whole file ("-": standard input) against `spec`. 0: sound; -EBADMSG: not. *ret_text
 * (owned by the caller) says either, and names the line or record. */
int record_verify_export(const char *path, const ChainSpec *spec, char **ret_text,
			 Err *err) _must_check_;
