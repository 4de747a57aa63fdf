/* The quick reader against the slow one: the same point or the same refusal, for every text. */
#include "space/reader.h"

#include "base/json.h"
#include "base/rng.h"
#include "spaces.h"

static const char space_text[] =
    "search_space:\n"
    "  a: {min: 0.1, max: 2.0, step: 0.1}\n"
    "  kinds: [[\"cpu\", \"me\\\\mory\"], [\"all\"], \"a, b}\", \"q\\\"\\\\\", \"é\"]\n"
    "  deep: {type: bool}\n"
    "  depth: {min: 1, max: 9, when: {deep: true}}\n";

static int slowly(const Space *s, const char *text, size_t len, Point *ret)
{
	json_auto_t *params = NULL;
	if (js_parse(text, len, 1 << 20, &params, NULL) < 0)
		return -EBADMSG;
	return point_from_json(s, params, ret, NULL);
}

static void agree(const Space *s, PointReader *r, const char *text, size_t len)
{
	Point quick = {0}, slow = {0};
	int want = slowly(s, text, len, &slow);
	int got = point_reader_read(r, text, len, &quick);
	if (got != want || (got == 0 && !point_equal(s, &quick, &slow)))
		test_fail(__FILE__, __LINE__, "'%.*s': %d, want %d", (int)len, text, got, want);
}

TEST(every_point_of_a_space_is_read_the_first_time_and_again)
{
	_cleanup_(space_freep) Space *s = space_of(space_text, NULL);
	_cleanup_(point_reader_freep) PointReader *r = NULL;
	CHECK_OK(point_reader_new(s, &r));
	for (int round = 0; round < 2; round++) {
		Point p;
		for (bool more = space_first(s, &p); more; more = space_next(s, &p)) {
			_cleanup_(str_done) Str text = STR_INIT;
			json_auto_t *params = point_json(s, &p);
			js_canonical(params, &text);
			Point got;
			CHECK_OK(point_reader_read(r, text.s, text.len, &got));
			CHECK(point_equal(s, &p, &got));
		}
	}
}

TEST(a_text_with_anything_wrong_is_refused_as_the_slow_way_refuses_it)
{
	_cleanup_(space_freep) Space *s = space_of(space_text, NULL);
	_cleanup_(point_reader_freep) PointReader *r = NULL;
	CHECK_OK(point_reader_new(s, &r));
	Point p;
	uint64_t seed = 0;
	for (bool more = space_first(s, &p); more; more = space_next(s, &p), seed++) {
		_cleanup_(str_done) Str text = STR_INIT;
		json_auto_t *params = point_json(s, &p);
		js_canonical(params, &text);
		agree(s, r, text.s, text.len);
		/* One byte removed, doubled or replaced, at a place drawn by lot. */
		Rng rng = rng_derive(seed, "reader", 0);
		for (int i = 0; i < 8; i++) {
			static const char bytes[] = "\"{}[], :\\0a";
			_cleanup_(str_done) Str bad = STR_INIT;
			size_t at = rng_below(&rng, text.len), what = rng_below(&rng, 3);
			str_addn(&bad, text.s, at + (what == 1));
			if (what > 0)
				str_addc(&bad, what == 1
						   ? text.s[at]
						   : bytes[rng_below(&rng, sizeof(bytes) - 1)]);
			str_add(&bad, text.s + at + 1);
			agree(s, r, bad.s, bad.len);
		}
	}
}

TEST(members_that_do_not_belong_together_are_refused_although_each_was_seen)
{
	_cleanup_(space_freep) Space *s = space_of(space_text, NULL);
	_cleanup_(point_reader_freep) PointReader *r = NULL;
	CHECK_OK(point_reader_new(s, &r));
	const char *const texts[] = {
	    "{\"a\": 0.1, \"deep\": true, \"depth\": 3, \"kinds\": [\"all\"]}",
	    "{\"a\": 0.1, \"deep\": false, \"kinds\": [\"all\"]}",
	    "{\"a\": 0.1, \"deep\": false, \"depth\": 3, \"kinds\": [\"all\"]}",
	    "{\"a\": 0.1, \"deep\": true, \"kinds\": [\"all\"]}",
	    "{\"a\": 0.1, \"a\": 0.1, \"deep\": false, \"kinds\": [\"all\"]}",
	    "{\"a\": 0.1,, \"deep\": false, \"kinds\": [\"all\"]}",
	    "{\"a\": 0.1, \"deep\": false, \"kinds\": [\"all\"]}}",
	    "{, \"a\": 0.1, \"deep\": false, \"kinds\": [\"all\"]}",
	    "{\"a\": 0.1, \"deep\": false, \"kinds\": [\"all\"], }",
	    "{}",
	    "",
	};
	for (int round = 0; round < 2; round++)
		for (size_t i = 0; i < sizeof(texts) / sizeof(*texts); i++)
			agree(s, r, texts[i], strlen(texts[i]));
}
