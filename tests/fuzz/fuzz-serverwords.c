/* What a server of any kind writes, and the kernel: read for causes, numbers and memory that ran
 * out. */
#include "fuzz.h"
#include "server/oom.h"
#include "server/server.h"

enum {
	HITS = 4
};

static void check_oom(const char *text, size_t len)
{
	OomHit hits[HITS];
	KernelHit kernel[HITS];
	size_t n;

	MUST(oom_find(text, len, hits, HITS, &n) == 0);
	for (size_t i = 0; i < n && i < HITS; i++) {
		MUST(hits[i].kind != OOM_NONE && hits[i].rule);
		MUST(hits[i].line_at <= len && hits[i].line_len <= len - hits[i].line_at);
		MUST(hits[i].wanted_bytes >= -1 && hits[i].free_bytes >= -1);
		MUST(hits[i].neighbours_pid >= 0);
	}
	MUST(kernel_find(text, len, kernel, HITS, &n) == 0);
	for (size_t i = 0; i < n && i < HITS; i++)
		MUST((kernel[i].oom || kernel[i].xid) && kernel[i].pid >= 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *text = (const char *)data;

	check_oom(text, size);
	for (const char *const *k = server_kind_names(); *k; k++) {
		ServerWords w;
		if (server_words(server_kind(*k), text, size, &w, NULL) < 0)
			continue;
		MUST(w.failed == (w.line != NULL));
		MUST(w.cpu == (w.cpu_line != NULL));
		for (const char *p = w.line; p && *p; p++)
			MUST((unsigned char)*p >= 0x20 && *p != 0x7f);
		server_words_done(&w);
	}
	return 0;
}
