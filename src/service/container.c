/* `docker run` and `podman run`, as units have them. */
#include <errno.h>

#include "service/derive.h"

int container_split(char *const *argv, size_t *ret_image_at, Err *err)
{
	(void)argv;
	*ret_image_at = 0;
	return err_set(err, -ENOENT, "not a container");
}
