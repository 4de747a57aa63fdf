/* A file with the kernel's id of the boot in which production was last taken care of. */
#include "production/boot.h"

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "base/str.h"

enum {
	BOOT_ID_CHARS = 36,
};

#define BOOT_ID_PATH "/proc/sys/kernel/random/boot_id"

/* Of the file, its first characters. */
static int read_id(const char *path, char ret[BOOT_ID_CHARS + 1])
{
	int fd = open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	ssize_t n = read(fd, ret, BOOT_ID_CHARS);
	close(fd);
	ret[BOOT_ID_CHARS] = '\0';
	return n == BOOT_ID_CHARS ? 0 : -ENODATA;
}

bool boot_settled(const char *state_dir)
{
	_cleanup_free_ char *path = str_fmt("%s/.boot", state_dir);
	char now[BOOT_ID_CHARS + 1], then[BOOT_ID_CHARS + 1];
	return path && read_id(BOOT_ID_PATH, now) >= 0 && read_id(path, then) >= 0 &&
	       strcmp(now, then) == 0;
}

int boot_settle(const char *state_dir, Err *err)
{
	char now[BOOT_ID_CHARS + 1];
	if (boot_settled(state_dir))
		return 0;
	int r = read_id(BOOT_ID_PATH, now);
	if (r < 0)
		return err_set(err, r, "cannot read %s: %s", BOOT_ID_PATH, strerror(-r));
	_cleanup_free_ char *path = str_fmt("%s/.boot", state_dir);
	return path ? file_write(path, 0600, now, BOOT_ID_CHARS, err) : err_oom(err);
}
