/* A file of prompts of anybody: what is sent of it is the inside of a JSON string, whatever stands
 * in the file. */
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/json.h"
#include "fuzz.h"
#include "loadgen/contents.h"

/* A file with these bytes, without a disk. */
static int file_of(const uint8_t *data, size_t size, char *path, size_t path_size)
{
	int fd = memfd_create("prompts", MFD_CLOEXEC);
	MUST(fd >= 0 && write(fd, data, size) == (ssize_t)size);
	(void)snprintf(path, path_size, "/proc/self/fd/%d", fd);
	return fd;
}

static void check_prompt(const Contents *c)
{
	_cleanup_(str_done) Str out = STR_INIT, quoted = STR_INIT;
	json_auto_t *v = NULL;
	Err err = ERR_INIT;
	MUST(contents_prompt(c, 4, &out) >= 0);
	str_addf(&quoted, "[\"%s\"]", out.s ? out.s : "");
	MUST(!out.failed && !quoted.failed);
	MUST(js_parse(quoted.s, quoted.len, quoted.len, &v, &err) == 0);
	MUST(json_array_size(v) == 1);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	Contents *c = NULL;
	Err err = ERR_INIT;
	char path[40];
	if (size > 16384)
		return 0;
	int fd = file_of(data, size, path, sizeof(path));
	const ContentsSpec spec = {.prompts = path, .clips = NULL, .seed = 1};
	int r = contents_new(&spec, &c, &err);
	MUST(r == 0 || (r == -EBADMSG && err.msg[0]));
	for (int i = 0; r == 0 && i < 5; i++)
		check_prompt(c);
	contents_free(c);
	(void)close(fd);
	return 0;
}
