/* A multipart body of anybody: a line with its content type, then the body. Parts lie in the body,
 * one after the other. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "fuzz.h"
#include "http/server.h"

enum {
	PARTS_MAX = 5
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *body = memchr(data, '\n', size);
	char type[256];
	Part parts[PARTS_MAX];
	size_t n = 0;
	if (!body || (size_t)(body - (const char *)data) >= sizeof(type))
		return 0;
	memcpy(type, data, (size_t)(body - (const char *)data));
	type[body - (const char *)data] = '\0';
	body++;
	const char *end = (const char *)data + size, *last = body;

	int r = multipart_parse(type, body, (size_t)(end - body), parts, PARTS_MAX, &n);
	MUST(r == 0 || r == -EBADMSG || r == -E2BIG);
	MUST(r == 0 || n == 0);
	for (size_t i = 0; i < n; i++) {
		const Part *p = &parts[i];
		MUST(p->data >= last && p->data + p->len <= end);
		MUST(!p->name || (p->name >= last && p->name + p->name_len <= p->data));
		MUST(!p->file_name ||
		     (p->file_name >= last && p->file_name + p->file_name_len <= p->data));
		last = p->data + p->len;
	}
	return 0;
}
