#pragma once
/* Texts of this folder: command lines without secrets, scalars of YAML. */
#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/str.h"

/* The command line on one line, made safe, secrets left out, cut. New string; NULL: out of memory.
 */
char *words_for_people(char *const *argv);
/* A copy without flags that carry secrets (and their values); *ret_left_out (may be NULL): how many
 * were left out. NULL: out of memory. */
char **argv_without_secrets(char *const *argv, size_t *ret_left_out);
/* Would what this flag or variable holds be a secret? */
bool names_secret(const char *name, size_t len);
/* A scalar, quoted where it must be. */
void yaml_text(const char *text, Str *out);
void yaml_value(const json_t *v, Str *out);
/* "5.9 GiB", "300 MiB", "?" */
void bytes_text(int64_t bytes, Str *out);
/* The words of a text in lines: the first begins with `first`, the others with `next`. */
void words_fill(const char *text, const char *first, const char *next, size_t width, Str *out);
/* A comment of any length in lines that begin with `indent` blanks and "# ". */
void yaml_comment(size_t indent, Str *out, const char *fmt, ...) _printf_(3, 4);
