#include "service/cgroup.h"

#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/str.h"

enum {
	EVENTS_MAX = 4096
};

int64_t cgroup_oom_kills_of(const char *text, size_t len)
{
	static const char key[] = "oom_kill ";
	const char *end = text + len;

	for (const char *line = text; line < end;) {
		const char *next = memchr(line, '\n', (size_t)(end - line));
		size_t n = (size_t)((next ? next : end) - line);
		if (n > sizeof(key) - 1 && memcmp(line, key, sizeof(key) - 1) == 0) {
			int64_t value = 0;
			for (const char *p = line + sizeof(key) - 1; p < line + n; p++) {
				if (*p < '0' || *p > '9' || value > INT64_MAX / 10 - 1)
					return -1;
				value = value * 10 + (*p - '0');
			}
			return value;
		}
		line = next ? next + 1 : end;
	}
	return -1;
}

int64_t cgroup_oom_kills(const char *cgroup)
{
	static const char *const places[][2] = {
	    {"/sys/fs/cgroup", "memory.events"},
	    {"/sys/fs/cgroup/memory", "memory.oom_control"},
	};

	if (!cgroup || cgroup[0] != '/' || strstr(cgroup, "/../"))
		return -1;
	for (size_t i = 0; i < 2; i++) {
		_cleanup_free_ char *path = str_fmt("%s%s/%s", places[i][0], cgroup, places[i][1]);
		char *text = NULL;
		size_t len = 0;
		if (!path || file_read(path, EVENTS_MAX, &text, &len, NULL) < 0)
			continue;
		int64_t kills = cgroup_oom_kills_of(text, len);
		free(text);
		if (kills >= 0)
			return kills;
	}
	return -1;
}
