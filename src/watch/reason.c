#include "watch/reason.h"

#include <stdio.h>
#include <string.h>

#include "base/str.h"
#include "server/oom.h"
#include "server/server.h"
#include "systemd/journal.h"

enum {
	LAST_WORDS_MAX = 128 << 10,
	LINE_CHARS = 150,
	SYNC_US = 150000, /* what a process wrote last may still be on its way to the journal */
};

static void keep_line(Reason *r, const char *line, size_t len)
{
	_cleanup_(str_done) Str out = STR_INIT;
	str_add_safe(&out, line, len, LINE_CHARS);
	(void)snprintf(r->line, sizeof(r->line), "%s", out.len ? out.s : "");
}

void reason_of(const char *kind, const char *text, size_t len, Reason *ret)
{
	const ServerKind *k = server_kind(kind);
	ServerWords words = {0};
	OomHit hit;
	size_t n = 0;
	*ret = (Reason){0};
	if (oom_find(text, len, &hit, 1, &n) >= 0 && n > 0) {
		ret->oom = true;
		keep_line(ret, text + hit.line_at, hit.line_len);
		return;
	}
	if (!k || server_words(k, text, len, &words, NULL) < 0)
		return;
	if (words.failed && words.line)
		keep_line(ret, words.line, strlen(words.line));
	server_words_done(&words);
}

void reason_read(const char *kind, const char *invocation, Reason *ret)
{
	_cleanup_free_ char *text = NULL;
	size_t len = 0;
	*ret = (Reason){0};
	if (!*invocation)
		return;
	(void)journal_sync(SYNC_US);
	if (journal_read(NULL, invocation, NULL, LAST_WORDS_MAX, &text, &len, NULL) >= 0)
		reason_of(kind, text, len, ret);
}
