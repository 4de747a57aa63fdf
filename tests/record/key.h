#pragma once
/* A key of its own for a test, of which no file is left. */
#include "base/file.h"
#include "record/sign.h"
#include "scratch.h"

static inline SignKey *make_key(void)
{
	SCRATCH(dir);
	_cleanup_free_ char *path = path_join(dir, "key");
	SignKey *key = NULL;
	CHECK_OK(sign_key_load(path, &key, NULL));
	CHECK_INT(scratch_count(dir), 1); /* the key and nothing beside it */
	return key;
}
