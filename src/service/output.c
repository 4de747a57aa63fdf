/* The file only grows at its end, as far as the service can see; what is old is punched out of it,
 * so that no line is lost or torn while it writes. Where the file system cannot do that the file
 * begins anew. */
#include "service/output.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/str.h"

enum {
	BLOCK = 4096
};

static int64_t size_of(const Output *o)
{
	struct stat st;
	return fstat(o->fd, &st) == 0 ? (int64_t)st.st_size : 0;
}

int output_open(Output *o, const char *dir, const char *name, Err *err)
{
	*o = OUTPUT_INIT;
	o->path = str_fmt("%s/%s.log", dir, name);
	if (!o->path)
		return err_oom(err);
	o->fd = open(o->path, O_RDWR | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (o->fd < 0)
		return err_set(err, -errno, "cannot write the output of %s to %s: %s", name,
			       o->path, strerror(errno));
	return 0;
}

void output_trim(Output *o)
{
	int64_t size = o->fd < 0 ? 0 : size_of(o);

	if (size < o->from) /* somebody cut it */
		o->from = 0;
	if (size - o->from <= OUTPUT_TAIL + OUTPUT_SLACK)
		return;
	int64_t keep = (size - OUTPUT_TAIL) / BLOCK * BLOCK;
	if (fallocate(o->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, o->from, keep - o->from) ==
	    0) {
		o->from = keep;
		return;
	}
	(void)output_tail(o, NULL);
	if (ftruncate(o->fd, 0) == 0) {
		o->from = 0;
		o->read_end = 0;
	}
}

static size_t read_at(int fd, char *buf, size_t len, int64_t at)
{
	size_t have = 0;
	while (have < len) {
		ssize_t n = pread(fd, buf + have, len - have, at + (int64_t)have);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			break;
		have += (size_t)n;
	}
	return have;
}

/* A tail that begins within a line loses that line. */
static void drop_torn_line(Output *o)
{
	char *newline = memchr(o->tail, '\n', o->tail_len);
	if (!newline)
		return;
	size_t gone = (size_t)(newline + 1 - o->tail);
	o->tail_len -= gone;
	memmove(o->tail, newline + 1, o->tail_len);
	o->tail[o->tail_len] = '\0';
}

const char *output_tail(Output *o, size_t *ret_len)
{
	int64_t size = o->fd < 0 ? 0 : size_of(o);

	if (size > 0 && size != o->read_end) {
		int64_t at = size > OUTPUT_TAIL ? size - OUTPUT_TAIL : 0;
		if (at < o->from)
			at = o->from;
		char *text = realloc(o->tail, (size_t)(size - at) + 1);
		if (text) {
			o->tail = text;
			o->tail_len = read_at(o->fd, text, (size_t)(size - at), at);
			text[o->tail_len] = '\0';
			o->read_end = size;
			if (at > 0)
				drop_torn_line(o);
		}
	}
	if (ret_len)
		*ret_len = o->tail_len;
	return o->tail ? o->tail : "";
}

void output_close(Output *o)
{
	if (o->fd >= 0 && o->from > 0) {
		size_t len;
		const char *text = output_tail(o, &len);
		int r = file_write(o->path, 0600, text, len, NULL);
		(void)r; /* then it keeps its hole */
	}
	if (o->fd >= 0)
		close(o->fd);
	free(o->path);
	free(o->tail);
	*o = OUTPUT_INIT;
}
