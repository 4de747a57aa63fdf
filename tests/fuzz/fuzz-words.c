/* What a speech server heard, of any bytes: its words and a reference's (a line each), and how they
 * differ. */
#include <errno.h>
#include <string.h>

#include "fuzz.h"
#include "loadgen/wer.h"

enum {
	SAMPLE_MAX = 4096
};

/* 0: it is text. Single blanks, none at the ends, and the same again from the plain rules. */
static int words_of(Normaliser n, const char *text, size_t len, Str *out)
{
	int r = normalise(n, text, len, out);
	MUST(r == 0 || r == -EBADMSG);
	if (r < 0)
		return r;
	str_add(out, "");
	MUST(strlen(out->s) == out->len && !strstr(out->s, "  "));
	MUST(out->len == 0 || (out->s[0] != ' ' && out->s[out->len - 1] != ' '));
	for (const char *p = out->s; *p; p++)
		MUST(!strchr("\t\r\n", *p) && !(*p >= 'A' && *p <= 'Z'));
	if (n == NORMALISE_PLAIN) {
		_cleanup_(str_done) Str again = STR_INIT;
		MUST(normalise(n, out->s, out->len, &again) == 0);
		str_add(&again, "");
		MUST(strcmp(again.s, out->s) == 0);
	}
	return 0;
}

static long errors_of(const WordErrors *e)
{
	return e->substitutions + e->deletions + e->insertions;
}

static void compare(const char *reference, const char *heard)
{
	WordErrors there, back, none;
	MUST(word_errors(reference, heard, &there) == 0);
	MUST(word_errors(heard, reference, &back) == 0);
	MUST(word_errors(reference, reference, &none) == 0);
	MUST(there.hits + there.substitutions + there.deletions == there.words);
	MUST(there.hits + there.substitutions + there.insertions == back.words);
	MUST(errors_of(&there) == errors_of(&back));
	MUST(errors_of(&none) == 0 && none.hits == there.words);
	MUST(errors_of(&there) > 0 || strcmp(reference, heard) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *text = (const char *)data, *end = size ? memchr(text, '\n', size) : NULL;
	size_t len = end ? (size_t)(end - text) : size, rest = end ? size - len - 1 : 0;
	if (size > SAMPLE_MAX)
		return 0;
	for (int n = NORMALISE_ENGLISH; n <= NORMALISE_PLAIN; n++) {
		_cleanup_(str_done) Str reference = STR_INIT, heard = STR_INIT;
		if (words_of((Normaliser)n, text, len, &reference) == 0 &&
		    words_of((Normaliser)n, text + size - rest, rest, &heard) == 0)
			compare(reference.s, heard.s);
	}
	return 0;
}
