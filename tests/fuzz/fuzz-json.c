/* JSON of others: what is accepted has one canonical text, in ASCII, that reads back as the same
 * value. */
#include <string.h>

#include "base/json.h"
#include "fuzz.h"

static void check_ascii(const Str *text)
{
	for (size_t i = 0; i < text->len; i++)
		MUST(text->s[i] >= 0x20 && text->s[i] < 0x7f);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	json_auto_t *v = NULL, *back = NULL;
	Err err = ERR_INIT;
	int r = js_parse((const char *)data, size, 1 << 20, &v, &err);
	MUST((r == 0) == (v != NULL));
	if (r < 0) {
		MUST(err.msg[0] != '\0' && !strchr(err.msg, '\n') && !strchr(err.msg, 0x1b));
		return 0;
	}

	_cleanup_(str_done) Str text = STR_INIT, again = STR_INIT;
	js_canonical(v, &text);
	MUST(!text.failed);
	check_ascii(&text);
	/* Escapes can make it longer than the input was. */
	MUST(js_parse(text.s, text.len, text.len, &back, &err) == 0);
	MUST(json_equal(v, back));
	js_canonical(back, &again);
	MUST(strcmp(text.s, again.s) == 0);
	return 0;
}
