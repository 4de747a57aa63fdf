#pragma once
/* An adoption as JSON. */
#include <jansson.h>

#include "production/adoption.h"

enum {
	ADOPTION_FILE_MAX = 256 << 10,
};

json_t *adoption_json(const Adoption *a); /* NULL: out of memory */
/* Strict: nothing that the writer would not have made. -EBADMSG names the file. */
int adoption_from_json(const char *path, const char *text, size_t len, Adoption *ret,
		       Err *err) _must_check_;
