/* The pieces an answer is read with: events, lines, JSON, recordings. */
#include <errno.h>
#include <jansson.h>
#include <string.h>

#include "base/rng.h"
#include "loadgen/ndjson.h"
#include "loadgen/scan.h"
#include "loadgen/sse.h"
#include "loadgen/wav.h"
#include "loadgen/words.h"
#include "test.h"

/* --- Events ---------------------------------------------------------------------------------- */

/* Events, each in brackets; an error with a "!". */
static int note(void *ctx, const char *data, size_t len, bool error)
{
	Str *out = ctx;
	str_add(out, error ? "![" : "[");
	str_addn(out, data, len);
	str_addc(out, ']');
	return 0;
}

static char *events(const char *text, size_t len, size_t step, bool end)
{
	Sse s = SSE_INIT;
	Str out = STR_INIT;
	char *ret;
	for (size_t at = 0; at < len; at += step) {
		/* A copy that ends where the read ends, so that looking further is found out. */
		size_t n = len - at < step ? len - at : step;
		char *piece = malloc(n);
		CHECK(piece);
		memcpy(piece, text + at, n);
		CHECK_OK(sse_feed(&s, piece, n, note, &out));
		free(piece);
	}
	if (end)
		CHECK_OK(sse_end(&s, note, &out));
	sse_done(&s);
	CHECK_OK(str_take(&out, &ret));
	return ret;
}

static const struct {
	const char *text, *want;
} event_rows[] = {
    {"data: a\n\ndata: b\n\n", "[a][b]"},
    {"data:a\n\n", "[a]"},
    {"data:  a\n\n", "[ a]"}, /* one blank goes */
    {"data: a\r\n\r\ndata: b\r\n\r\n", "[a][b]"},
    {"data: a\r\rdata: b\r\r", "[a][b]"},
    {"data: a\r\n\ndata: b\n\r\n", "[a][b]"},
    {"data: one\ndata: two\ndata\n\n", "[one\ntwo\n]"},
    {": a comment\n:\ndata: x\n: another\n\n", "[x]"},
    {"id: 7\nretry: 10\nevent: message\ndata: x\n\n", "[x]"},
    {"event: error\ndata: bad\n\ndata: x\n\n", "![bad][x]"},
    {"error: {\"code\":500}\n\n", "![{\"code\":500}]"},
    {"\n\n\ndata: x\n\n\n\n", "[x]"},
    {"\xef\xbb\xbf"
     "data: x\n\n",
     "[x]"},
    {"database: x\n\ndat: y\n\n", ""},
    {"data: \xc3\xa4\xe2\x82\xac\n\n", "[\xc3\xa4\xe2\x82\xac]"},
    {"data: [DONE]\n\n", "[[DONE]]"},
    {"data:\n\n", "[]"},
    {"data: x\n", ""}, /* no empty line yet */
};

TEST(events_are_the_same_however_the_reads_cut_them)
{
	for (size_t i = 0; i < sizeof(event_rows) / sizeof(*event_rows); i++) {
		size_t len = strlen(event_rows[i].text);
		for (size_t step = 1; step <= len; step++) {
			char *got = events(event_rows[i].text, len, step, false);
			if (strcmp(got, event_rows[i].want) != 0)
				test_fail(__FILE__, __LINE__, "row %zu in steps of %zu: %s", i,
					  step, got);
			free(got);
		}
	}
}

TEST(an_event_without_its_empty_line_comes_at_the_end)
{
	static const char *const rows[] = {"data: [DONE]\n", "data: [DONE]", "data: [DONE]\r"};
	for (size_t i = 0; i < 3; i++) {
		char *got = events(rows[i], strlen(rows[i]), 5, true);
		CHECK_STR(got, "[[DONE]]");
		free(got);
	}
}

static int refuse(void *ctx, const char *data, size_t len, bool error)
{
	(void)ctx, (void)data, (void)len, (void)error;
	return -ECANCELED;
}

TEST(an_endless_event_is_refused)
{
	static const char *const lines[] = {"data: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\n",
					    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"};
	for (size_t k = 0; k < 2; k++) {
		Sse s = SSE_INIT;
		Str out = STR_INIT;
		int r = 0;
		for (int i = 0; i < 100000 && r == 0; i++)
			r = sse_feed(&s, lines[k], strlen(lines[k]), note, &out);
		CHECK_ERR(r, EFBIG);
		CHECK(s.line.cap <= 2 * SSE_EVENT_MAX + 100 &&
		      s.data.cap <= 2 * SSE_EVENT_MAX + 100);
		sse_done(&s);
		str_done(&out);
	}
	Sse s = SSE_INIT;
	CHECK_ERR(sse_feed(&s, "data: x\n\n", 9, refuse, NULL), ECANCELED);
	sse_done(&s);
}

/* --- Lines ----------------------------------------------------------------------------------- */

static int note_line(void *ctx, const char *line, size_t len)
{
	return note(ctx, line, len, false);
}

TEST(lines_are_the_same_however_the_reads_cut_them)
{
	static const char text[] = "{\"a\":1}\n\n  \r\n{\"b\":\"\xe2\x82\xac\"}\r\n{\"c\":3}";
	size_t len = strlen(text);
	for (size_t step = 1; step <= len; step++) {
		Ndjson n = NDJSON_INIT;
		Str out = STR_INIT;
		for (size_t at = 0; at < len; at += step)
			CHECK_OK(ndjson_feed(&n, text + at, len - at < step ? len - at : step,
					     note_line, &out));
		CHECK_STR(out.s, "[{\"a\":1}][{\"b\":\"\xe2\x82\xac\"}]");
		CHECK_OK(ndjson_end(&n, note_line, &out));
		CHECK_STR(out.s, "[{\"a\":1}][{\"b\":\"\xe2\x82\xac\"}][{\"c\":3}]");
		ndjson_done(&n);
		str_done(&out);
	}
}

TEST(an_endless_line_is_refused)
{
	Ndjson n = NDJSON_INIT;
	Str out = STR_INIT;
	int r = 0;
	for (int i = 0; i < 100000 && r == 0; i++)
		r = ndjson_feed(&n, "aaaaaaaaaaaaaaaaaaaaaaaaa", 25, note_line, &out);
	CHECK_ERR(r, EFBIG);
	ndjson_done(&n);
	str_done(&out);
}

/* --- JSON ------------------------------------------------------------------------------------ */

TEST(json_is_taken_and_refused_as_its_grammar_says)
{
	static const struct {
		const char *text;
		bool good;
	} rows[] = {
	    {"{}", true},
	    {" [ ] ", true},
	    {"{\"a\":[1,-2.5e+3,true,false,null,\"x\\u00e4\\n\"],\"b\":{}}", true},
	    {"\"x\"", true},
	    {"0", true},
	    {"-0.5E1", true},
	    {"", false},
	    {"{", false},
	    {"{}}", false},
	    {"{} x", false},
	    {"[1,]", false},
	    {"[,1]", false},
	    {"{\"a\":1,}", false},
	    {"{\"a\"}", false},
	    {"{a:1}", false},
	    {"{\"a\":1 \"b\":2}", false},
	    {"[1 2]", false},
	    {"[1}", false},
	    {"01", false},
	    {"1.", false},
	    {".5", false},
	    {"+1", false},
	    {"-", false},
	    {"1e", false},
	    {"tru", false},
	    {"nul", false},
	    {"\"a", false},
	    {"\"\\x\"", false},
	    {"\"\\u12g4\"", false},
	    {"\"\\", false},
	    {"\"a\nb\"", false},
	    {"NaN", false},
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		ScanValue v;
		if (scan_whole(rows[i].text, strlen(rows[i].text), &v) != rows[i].good)
			test_fail(__FILE__, __LINE__, "row %zu: %s", i, rows[i].text);
	}
}

TEST(json_that_is_too_deep_is_refused)
{
	char text[2 * SCAN_DEPTH_MAX + 3];
	ScanValue v;
	memset(text, '[', SCAN_DEPTH_MAX);
	memset(text + SCAN_DEPTH_MAX, ']', SCAN_DEPTH_MAX);
	CHECK(scan_whole(text, 2 * SCAN_DEPTH_MAX, &v));
	memset(text, '[', SCAN_DEPTH_MAX + 1);
	memset(text + SCAN_DEPTH_MAX + 1, ']', SCAN_DEPTH_MAX + 1);
	CHECK(!scan_whole(text, 2 * SCAN_DEPTH_MAX + 2, &v));
}

TEST(members_are_found_and_numbers_read)
{
	static const char text[] = "{\"x\":{\"n\":9},\"n\":-12,\"f\":1e3,\"s\":\"7\",\"n\":5,"
				   "\"big\":1e300, \"list\" : [ 1 , \"two\" ] }";
	ScanValue o, v, key;
	int64_t n;
	CHECK(scan_whole(text, strlen(text), &o));
	CHECK(scan_get(&o, "n", &v) && scan_int(&v, &n));
	CHECK_INT(n, -12);
	CHECK(scan_get(&o, "f", &v) && scan_int(&v, &n));
	CHECK_INT(n, 1000);
	CHECK(scan_get(&o, "s", &v) && !scan_int(&v, &n) && scan_is(&v, "7"));
	CHECK(scan_get(&o, "big", &v) && !scan_int(&v, &n));
	CHECK(!scan_get(&o, "none", &v));
	CHECK(scan_get(&o, "list", &v));
	ScanIter i = scan_iter(&v);
	CHECK(scan_next(&i, &key, &v) && v.kind == SCAN_NUMBER);
	CHECK(scan_next(&i, &key, &v) && scan_is(&v, "two"));
	CHECK(!scan_next(&i, &key, &v));
}

/* Against another reader of JSON. */
TEST(texts_have_their_escapes_resolved)
{
	static const char *const rows[] = {
	    "\"plain\"",
	    "\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"",
	    "\"\\u00e4\\u20ac\\ud83d\\ude00x\"",
	    "\"\xc3\xa4\xf0\x9f\x98\x80\"",
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		ScanValue v;
		Str out = STR_INIT;
		json_t *want = json_loads(rows[i], JSON_DECODE_ANY, NULL);
		CHECK(want && scan_whole(rows[i], strlen(rows[i]), &v));
		scan_text(&v, &out);
		CHECK_STR(out.s, json_string_value(want));
		str_done(&out);
		json_decref(want);
	}
	ScanValue v;
	Str out = STR_INIT;
	static const char half[] = "\"a\\ud83dx\\ude00\\ud83d\"";
	CHECK(scan_whole(half, strlen(half), &v));
	scan_text(&v, &out);
	CHECK_STR(out.s, "a\xef\xbf\xbdx\xef\xbf\xbd\xef\xbf\xbd");
	str_done(&out);
}

/* --- Recordings ------------------------------------------------------------------------------ */

static void put(Str *b, uint32_t v, int bytes)
{
	for (int i = 0; i < bytes; i++)
		str_addc(b, (char)(v >> 8 * i & 0xff));
}

static Str recording(uint32_t format, uint32_t channels, uint32_t rate, uint32_t bits,
		     uint32_t says_bytes, size_t bytes)
{
	Str b = STR_INIT;
	str_add(&b, "RIFF");
	put(&b, (uint32_t)(36 + bytes), 4);
	str_add(&b, "WAVELIST");
	put(&b, 3, 4);
	str_addn(&b, "abc", 4); /* odd: a byte of padding follows */
	str_add(&b, "fmt ");
	put(&b, 16, 4);
	put(&b, format, 2);
	put(&b, channels, 2);
	put(&b, rate, 4);
	put(&b, rate * channels * bits / 8, 4);
	put(&b, channels * bits / 8, 2);
	put(&b, bits, 2);
	str_add(&b, "data");
	put(&b, says_bytes, 4);
	for (size_t i = 0; i < bytes; i++)
		str_addc(&b, (char)i);
	return b;
}

TEST(a_recording_has_its_length)
{
	Wav w;
	Err err = ERR_INIT;
	Str b = recording(1, 2, 16000, 16, 64000, 64000);
	CHECK_OK(wav_parse(b.s, b.len, &w, &err));
	CHECK_INT(w.length_us, 1000000);
	CHECK_INT(w.rate, 16000);
	CHECK_INT(w.channels, 2);
	CHECK_INT(w.pcm_len, 64000);
	str_done(&b);
	b = recording(1, 1, 8000, 16, 0xffffffff, 4001); /* through a pipe */
	CHECK_OK(wav_parse(b.s, b.len, &w, &err));
	CHECK_INT(w.length_us, 250000);
	CHECK_INT(w.pcm_len, 4000);
	str_done(&b);
}

TEST(what_is_no_recording_is_refused_with_the_reason)
{
	const struct {
		Str b;
		const char *says;
	} rows[] = {
	    {recording(3, 1, 16000, 32, 400, 400), "it is not PCM with 16 bits"},
	    {recording(1, 1, 16000, 8, 400, 400), "it is not PCM with 16 bits"},
	    {recording(1, 6, 16000, 16, 400, 400), "6 channels"},
	    {recording(1, 0, 16000, 16, 400, 400), "0 channels"},
	    {recording(1, 1, 100, 16, 400, 400), "100 samples a second"},
	    {recording(1, 1, 0, 16, 400, 400), "0 samples a second"},
	    {recording(1, 1, 16000, 16, 401, 400), "cut short: 400 of 401"},
	    {recording(1, 1, 16000, 16, 0, 0), "no sound"},
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		Wav w;
		Err err = ERR_INIT;
		CHECK_ERR(wav_parse(rows[i].b.s, rows[i].b.len, &w, &err), EBADMSG);
		if (!strstr(err.msg, rows[i].says))
			test_fail(__FILE__, __LINE__, "row %zu: %s", i, err.msg);
		free(rows[i].b.s);
	}
}

TEST(no_cut_of_a_recording_is_read_beyond_its_end)
{
	Str b = recording(1, 1, 16000, 16, 400, 400);
	for (size_t n = 0; n < b.len; n++) {
		Wav w;
		Err err = ERR_INIT;
		char *cut = malloc(n + 1);
		CHECK(cut);
		memcpy(cut, b.s, n);
		CHECK_ERR(wav_parse(cut, n, &w, &err), EBADMSG);
		free(cut);
	}
	str_done(&b);
}

/* --- Words ----------------------------------------------------------------------------------- */

static size_t first_words(const char *s, int words)
{
	const char *at = s;
	for (int i = 0; i < words; i++) {
		at += strcspn(at, " ");
		at += *at == ' ';
	}
	return (size_t)(at - s);
}

static int by_text(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* The beginnings of `n` made-up prompts, so many words each, differ. */
static void check_beginnings(size_t n, int words)
{
	char **list = calloc(n, sizeof(*list));
	CHECK(list);
	for (size_t i = 0; i < n; i++) {
		Str b = STR_INIT;
		words_add(&b, 11, i, 20);
		CHECK_INT(strcspn(b.s, "\"\\\n"), b.len);
		list[i] = strndup(b.s, first_words(b.s, words));
		CHECK(list[i]);
		str_done(&b);
	}
	qsort(list, n, sizeof(*list), by_text);
	for (size_t i = 0; i + 1 < n; i++)
		if (strcmp(list[i], list[i + 1]) == 0)
			test_fail(__FILE__, __LINE__, "two of %zu begin with %s", n, list[i]);
	for (size_t i = 0; i < n; i++)
		free(list[i]);
	free(list);
}

TEST(prompts_differ_from_their_first_words_on)
{
	check_beginnings(256, 1);
	check_beginnings(65536, 2);
}

TEST(prompts_have_the_words_that_were_asked_and_repeat_by_seed)
{
	static const int64_t counts[] = {1, 2, 8, 9, 77, 1000};
	for (size_t i = 0; i < 6; i++) {
		Str a = STR_INIT, b = STR_INIT, c = STR_INIT;
		words_add(&a, 5, 123, counts[i]);
		words_add(&b, 5, 123, counts[i]);
		words_add(&c, 6, 123, counts[i]);
		CHECK_STR(a.s, b.s);
		int64_t words = 1;
		for (const char *p = a.s; *p; p++)
			words += *p == ' ';
		CHECK_INT(words, counts[i]);
		if (counts[i] > 2)
			CHECK(strcmp(a.s, c.s) != 0);
		str_done(&a);
		str_done(&b);
		str_done(&c);
	}
	CHECK_INT(words_of_tokens(1300), 1300);
	CHECK_INT(words_of_tokens(0), 1);
}
