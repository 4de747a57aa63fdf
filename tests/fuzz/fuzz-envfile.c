/* Environment files, what a variable is split into, and container lines made of that. */
#include <string.h>

#include "fuzz.h"
#include "service/derive.h"
#include "service/strings.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_(strings_freep) char **env = NULL, **argv = NULL;
	Err err = ERR_INIT;
	size_t image;

	if (envfile_parse("/e", (const char *)data, size, &env, &err) < 0)
		return 0;
	for (char **e = env; e && *e; e++) {
		const char *equals = strchr(*e, '=');
		MUST(equals && env_name_valid(*e, (size_t)(equals - *e)));
		if (words_split(equals + 1, &argv) < 0)
			return 0;
	}
	if (argv && container_split(argv, &image, &err) >= 0)
		MUST(image < strings_count(argv));
	return 0;
}
