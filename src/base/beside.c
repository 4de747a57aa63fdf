#include "base/beside.h"

#include <pwd.h>
#include <stdlib.h>
#include <string.h>

enum {
	FD_MIN = 3,
	FD_MAX = 1000000,
};

int fd_from_text(const char *text, int *ret)
{
	char *end;
	errno = 0;
	long fd = strtol(text, &end, 10);
	if (errno || *end || end == text || fd < FD_MIN || fd > FD_MAX)
		return -EINVAL;
	*ret = (int)fd;
	return 0;
}

int user_find(const char *name, uid_t *ret, Err *err)
{
	errno = 0;
	const struct passwd *pw = getpwnam(name);
	if (!pw && errno && errno != ENOENT)
		return err_set(err, -errno, "cannot look up the user %s: %s", name,
			       strerror(errno));
	if (pw)
		*ret = pw->pw_uid;
	return pw != NULL;
}
