/* Lines of JSON: the same however the reads cut them; and our quick reader of JSON agrees with the
 * strict one on what it takes. */
#include <string.h>

#include "base/json.h"
#include "fuzz.h"
#include "loadgen/ndjson.h"
#include "loadgen/scan.h"

static void check_same(const json_t *want, const ScanValue *v)
{
	ScanValue key, item;
	if (json_is_string(want)) {
		_cleanup_(str_done) Str text = STR_INIT;
		MUST(v->kind == SCAN_STRING);
		scan_text(v, &text);
		MUST(text.len == json_string_length(want));
		MUST(text.len == 0 || memcmp(text.s, json_string_value(want), text.len) == 0);
	} else if (json_is_object(want)) {
		MUST(v->kind == SCAN_OBJECT);
		size_t n = 0;
		for (ScanIter i = scan_iter(v); scan_next(&i, &key, &item); n++) {
			_cleanup_(str_done) Str name = STR_INIT;
			scan_text(&key, &name);
			const json_t *member = json_object_get(want, name.s ? name.s : "");
			MUST(member);
			check_same(member, &item);
		}
		MUST(n == json_object_size(want));
	} else if (json_is_array(want)) {
		MUST(v->kind == SCAN_ARRAY);
		size_t n = 0;
		for (ScanIter i = scan_iter(v); scan_next(&i, &key, &item); n++)
			check_same(json_array_get(want, n), &item);
		MUST(n == json_array_size(want));
	} else {
		MUST(json_is_number(want) == (v->kind == SCAN_NUMBER));
		MUST(json_is_null(want) == (v->kind == SCAN_NULL));
		MUST(json_is_true(want) == (v->kind == SCAN_TRUE));
	}
}

static int note(void *ctx, const char *line, size_t len)
{
	Str *out = ctx;
	str_addn(out, line, len);
	str_addc(out, '\n');
	ScanValue v;
	json_auto_t *o = NULL;
	bool quick = scan_whole(line, len, &v);
	if (js_parse(line, len, 1 << 20, &o, NULL) == 0) {
		MUST(quick);
		check_same(o, &v);
	}
	return 0;
}

static void feed(const char *p, size_t n, size_t step, Str *out)
{
	Ndjson lines = NDJSON_INIT;
	for (size_t at = 0; at < n; at += step)
		MUST(ndjson_feed(&lines, p + at, n - at < step ? n - at : step, note, out) == 0);
	MUST(ndjson_end(&lines, note, out) == 0);
	ndjson_done(&lines);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_(str_done) Str whole = STR_INIT, cut = STR_INIT;
	if (size == 0 || size > 65536)
		return 0;
	feed((const char *)data, size, size, &whole);
	feed((const char *)data, size, 1 + size % 5, &cut);
	MUST(whole.len == cut.len && (whole.len == 0 || memcmp(whole.s, cut.s, whole.len) == 0));
	return 0;
}
