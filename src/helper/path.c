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
	_cleanup_free_ char *prefix = str_fmt("%.*s../libexec/dream-helper", (int)n, self);
	_cleanup_free_ char *installed = str_fmt("%s", INSTALLED);
	if (!beside || !prefix || !installed)
		return err_oom(err);
	char **const places[] = {&beside, &prefix, &installed};
	for (size_t i = 0; i < sizeof(places) / sizeof(*places); i++) {
		if (access(*places[i], X_OK) < 0)
			continue;
		*ret = TAKE_PTR(*places[i]);
		return 0;
	}
	return err_set(err, -ENOENT, "there is no dream-helper, neither %s nor %s nor %s", beside,
		       prefix, installed);
}
