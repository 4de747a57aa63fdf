#include "twin/card.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/str.h"

static char *usual_path(const Box *box)
{
	const char *dir = getenv("XDG_RUNTIME_DIR");
	return str_fmt("%s/dream-twin-%u-%s.gpu", dir && *dir ? dir : "/tmp", (unsigned)getuid(),
		       box->name);
}

int card_open(const Box *box, const char *path, SharedGpu **ret, char **ret_path)
{
	const GpuSpec *g = &box->gpu;
	SharedGpu *gpu = NULL;
	*ret_path = path ? strdup(path) : usual_path(box);
	int r = *ret_path ? shared_open(*ret_path, true, &gpu) : -ENOMEM;
	if (r < 0)
		return r;
	r = shared_describe(gpu, g->uuid, g->model, g->total_bytes, g->switch_cost);
	if (r < 0)
		shared_close(gpu);
	else
		*ret = gpu;
	return r;
}
