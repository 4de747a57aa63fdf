/* Where the privileged program is. */
#include <limits.h>
#include <unistd.h>

#include "base/str.h"
#include "helper/wire.h"

#define INSTALLED "/usr/libexec/dream-helper"

int helper_program(char **ret, Err *err)
{
	char self[PATH_MAX];
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
	if (n < 0)
		return err_set(err, -errno, "cannot see which program this is");
	while (n > 0 && self[n - 1] != '/')
		n--;
	_cleanup_free_ char *beside = str_fmt("%.*sdream-helper", (int)n, self);
	if (!beside)
		return err_oom(err);
	if (access(beside, X_OK) == 0) {
		*ret = TAKE_PTR(beside);
		return 0;
	}
	if (access(INSTALLED, X_OK) < 0)
		return err_set(err, -ENOENT, "there is no dream-helper, neither %s nor %s", beside,
			       INSTALLED);
	*ret = str_fmt("%s", INSTALLED);
	return *ret ? 0 : err_oom(err);
}
