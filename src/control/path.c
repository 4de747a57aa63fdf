/* Where the daemon's socket is. */
#include <stdlib.h>
#include <unistd.h>

#include "base/str.h"
#include "control/control.h"

int control_path(bool user, char **ret, Err *err)
{
	const char *runtime = getenv("XDG_RUNTIME_DIR");
	if (!user)
		*ret = str_fmt("/run/dream/control.sock");
	else if (runtime && runtime[0] == '/')
		*ret = str_fmt("%s/dream/control.sock", runtime);
	else
		*ret = str_fmt("/run/user/%u/dream/control.sock", (unsigned)getuid());
	return *ret ? 0 : err_oom(err);
}
