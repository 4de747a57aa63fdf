/* A set of questions of others, and an answer of any model: the answer is what stands behind the
 * first NUL. What a rule calls right stays so when it is asked again, and an answer that is one of
 * those that were wanted is right. */
#include <errno.h>
#include <string.h>

#include "fuzz.h"
#include "loadgen/quality.h"
#include "loadgen/wer.h"

static bool has_words(const char *text)
{
	_cleanup_(str_done) Str out = STR_INIT;
	return normalise(NORMALISE_ENGLISH, text, strlen(text), &out) == 0 && out.len > 0;
}

static void check_item(const QualityItem *item, const char *answer)
{
	bool right = true, again = false, wanted = false;
	MUST(item->prompt && *item->prompt && item->n_answers > 0);
	MUST(item->rule >= 0 && item->rule < QUALITY_RULE_MAX_);
	MUST(quality_right(item, answer, &right) == 0);
	MUST(quality_right(item, answer, &again) == 0 && again == right);
	MUST(quality_right(item, NULL, &again) == 0 && !again);
	MUST(quality_right(item, item->answers[0], &wanted) == 0);
	MUST(wanted || (item->rule != QUALITY_CHOICE && !has_words(item->answers[0])));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const uint8_t *nul = size ? memchr(data, '\0', size) : NULL;
	size_t len = nul ? (size_t)(nul - data) : size;
	QualitySet set;
	Err err = ERR_INIT;
	if (size > 16384)
		return 0;
	int r = quality_parse((const char *)data, len, &set, &err);
	MUST(r == 0 || (r == -EBADMSG && err.msg[0]));
	if (r < 0)
		return 0;
	_cleanup_free_ char *answer =
	    strndup((const char *)data + (nul ? len + 1 : len), nul ? size - len - 1 : 0);
	MUST(answer && set.n > 0);
	for (size_t i = 0; i < set.n; i++)
		check_item(&set.items[i], answer);
	quality_done(&set);
	return 0;
}
