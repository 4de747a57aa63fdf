/* What a process may write into /proc: its cgroup's name and its command line, into one safe line.
 * The first byte says which. */
#include <string.h>

#include "fuzz.h"
#include "gpu/leaseinfo.h"
#include "gpu/proctext.h"

static void cgroup(const char *text)
{
	char *path = path_of_cgroups(text);
	MUST(path && (*path == '\0' || *path == '/'));
	MUST(strlen(path) <= strlen(text));
	MUST(!strchr(path, '\n'));
	char *home = home_of_cgroup(path);
	MUST(home && strlen(home) <= strlen(path) + strlen("container "));
	free(home);
	free(path);
}

static void cmdline(const char *text, size_t len)
{
	char *words = words_of_cmdline(text, len);
	MUST(words);
	for (const char *p = words; *p; p++)
		MUST((unsigned char)*p >= 0x20 && *p != 0x7f);
	free(words);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	LeaseInfo info;
	char *text = malloc(size + 1);
	if (!text)
		return 0;
	memcpy(text, data, size);
	text[size] = '\0';
	if (size > 0 && text[0] == 'c')
		cgroup(text + 1);
	else if (size > 0 && text[0] == 'w')
		cmdline(text + 1, size - 1);
	else if (leaseinfo_parse(text, size, &info) == 0)
		MUST(info.n_children <= LEASE_CHILDREN_MAX && info.leader.pid > 1);
	free(text);
	return 0;
}
