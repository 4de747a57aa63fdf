#pragma once
/* What failed, in words. A function that can fail returns a negative errno; if the caller passed an
 * Err, the message is set where the fault is found and may be wrapped on the way out. The message
 * reads as one sentence without a full stop: what was attempted, on what, why not, what to do. */
#include <errno.h>
#include <stdbool.h>
#include <stddef.h>

typedef struct Err {
	int code;
	char msg[480];
} Err;

#define ERR_INIT	    ((Err){0})
#define _must_check_	    __attribute__((warn_unused_result))
#define _printf_(fmt, args) __attribute__((format(printf, fmt, args)))

/* Both return `code`, so that a failing line can be `return err_set(err, -ENOENT, "...")`. `e` may
 * be NULL. err_wrap() puts its words in front of the message that is already there, or of what
 * the code means: "words: message". */
int err_set(Err *e, int code, const char *fmt, ...) _printf_(3, 4);
int err_wrap(Err *e, int code, const char *fmt, ...) _printf_(3, 4);

/* The one sentence for a failed allocation. */
int err_oom(Err *e);

/* Is it the machine that failed (memory, descriptors, processes, the disk), whatever it was asked?
 * Then a file that could not be read is no mistake of whoever wrote it. */
bool err_is_shortage(int code);
