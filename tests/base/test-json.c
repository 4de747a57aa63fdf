#include "base/json.h"

#include "base/rng.h"
#include "test.h"

static json_t *parse(const char *text)
{
	json_t *v = NULL;
	Err err = ERR_INIT;
	int r = js_parse(text, strlen(text), 1 << 20, &v, &err);
	if (r < 0)
		test_fail(__FILE__, __LINE__, "%s: %s", text, err.msg);
	return v;
}

static void check_canonical(const char *text, const char *want)
{
	json_auto_t *v = parse(text);
	_cleanup_(str_done) Str out = STR_INIT;
	js_canonical(v, &out);
	CHECK_STR(out.s, want);
}

TEST(canonical_text_is_sorted_and_spaced_as_python_does_it)
{
	check_canonical("{\"b\":1,\"a\":[true,false,null,{}],\"C\":[]}",
			"{\"C\": [], \"a\": [true, false, null, {}], \"b\": 1}");
	check_canonical("\"\\u00e4\\ud83d\\ude00\\u007f \\/ \\\\ \\\" \\n\\t\\r\\b\\f\\u0001\"",
			"\"\\u00e4\\ud83d\\ude00\\u007f / \\\\ \\\" \\n\\t\\r\\b\\f\\u0001\"");
	check_canonical("-9223372036854775808", "-9223372036854775808");
}

TEST(keys_sort_by_code_point)
{
	/* U+FFFD sorts before U+1F600, though its UTF-16 does not. */
	check_canonical("{\"\\ud83d\\ude00\":1,\"\\ufffd\":2,\"z\":3,\"\":4}",
			"{\"\": 4, \"z\": 3, \"\\ufffd\": 2, \"\\ud83d\\ude00\": 1}");
}

static void check_double(double v, const char *want)
{
	char text[32];
	js_double(v, text);
	CHECK_STR(text, want);
}

TEST(doubles_are_the_shortest_that_read_back_in_pythons_notation)
{
	check_double(0.45, "0.45");
	check_double(5, "5.0");
	check_double(0, "0.0");
	check_double(-0.0, "-0.0");
	check_double(1e-5, "1e-05");
	check_double(0.0001, "0.0001");
	check_double(1e16, "1e+16");
	check_double(1e15, "1000000000000000.0");
	check_double(123456789012345.6, "123456789012345.6");
	check_double(9007199254740993.0, "9007199254740992.0");
	check_double(0.1 + 0.2, "0.30000000000000004");
	check_double(1.7976931348623157e308, "1.7976931348623157e+308");
	check_double(2.2250738585072014e-308, "2.2250738585072014e-308");
	check_double(5e-324, "5e-324");
	check_double(-1.5e300, "-1.5e+300");
	check_double(100, "100.0");
	/* A power of two whose nearest decimal of 16 digits does not read back, but the next does.
	 */
	check_double(0x1p-44, "5.684341886080802e-14");
}

TEST(every_double_reads_back)
{
	for (uint64_t seed = 0; seed < 20000; seed++) {
		Rng r = rng_derive(seed, "double", 0);
		union {
			uint64_t bits;
			double v;
		} x = {.bits = rng_u64(&r)};
		if (!isfinite(x.v))
			continue;
		char text[32] = "";
		js_double(x.v, text);
		if (strtod(text, NULL) != x.v)
			test_fail(__FILE__, __LINE__, "seed %" PRIu64 ": %a became %s", seed, x.v,
				  text);
	}
}

static void check_refused(const char *text, size_t len, const char *why)
{
	json_t *v = NULL;
	Err err = ERR_INIT;
	int r = js_parse(text, len, 1 << 20, &v, &err);
	if (r != -EBADMSG || v || !strstr(err.msg, why))
		test_fail(__FILE__, __LINE__, "'%s' gave %d, %s", text, r, err.msg);
}

TEST(what_is_not_one_strict_value_is_refused_with_its_place)
{
	static const struct {
		const char *text, *why;
	} bad[] = {
	    {"", "end of file"},
	    {"[1,]", "line 1, column 4"},
	    {"{\"a\": 1, \"a\": 2}", "duplicate object key"},
	    {"1 2", "end of file expected"},
	    {"{} x", "end of file expected"},
	    {"NaN", "invalid token"},
	    {"Infinity", "invalid token"},
	    {"[1e999]", "real number overflow"},
	    {"\"\\u0000\"", "\\u0000 is not allowed"},
	    {"\"\\ud800\"", "line 1"},
	    {"'a'", "invalid token"},
	    {"{a: 1}", "line 1, column 2"},
	    {"\xef\xbb\xbf{}", "line 1"},
	    {"\"\xff\"", "unable to decode byte 0xff"},
	    {"[\n1,\n2", "line 3"},
	    {"99999999999999999999", "too big integer"},
	    {"01", "line 1"},
	    {"// no\n1", "line 1"},
	};
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		check_refused(bad[i].text, strlen(bad[i].text), bad[i].why);
	check_refused("1\0", 2, "NUL byte");
	check_refused("\"a\0b\"", 5, "NUL byte");
}

TEST(a_text_that_is_too_long_is_told_apart)
{
	json_t *v = NULL;
	Err err = ERR_INIT;
	CHECK_ERR(js_parse("[1, 2]", 6, 5, &v, &err), EFBIG);
	CHECK_STR(err.msg, "the JSON text has 6 bytes, more than 5");
}

static void nested(size_t depth, Str *out)
{
	for (size_t i = 0; i < depth; i++)
		str_add(out, i % 2 ? "{\"a\": " : "[");
	str_add(out, "\"[[[{{{\\\"[\"");
	for (size_t i = depth; i > 0; i--)
		str_addc(out, (i - 1) % 2 ? '}' : ']');
}

TEST(nesting_is_bounded_and_brackets_in_strings_do_not_count)
{
	_cleanup_(str_done) Str ok = STR_INIT, deep = STR_INIT, bomb = STR_INIT;
	nested(JS_DEPTH_MAX, &ok);
	json_auto_t *v = parse(ok.s);
	CHECK(json_is_array(v));
	nested(JS_DEPTH_MAX + 1, &deep);
	check_refused(deep.s, deep.len, "nested deeper than 64 levels");
	for (int i = 0; i < 500000; i++)
		str_addc(&bomb, '[');
	check_refused(bomb.s, bomb.len, "nested deeper than 64 levels");
}

static json_t *random_value(Rng *r, int depth)
{
	static const char *const texts[] = {"",	      "a",  "\xc3\xa4", "\xf0\x9f\x98\x80",
					    "\"\\\n", "z z"};
	uint64_t kind = rng_below(r, depth > 0 ? 7 : 5);
	json_t *v;
	switch (kind) {
	case 0:
		return json_integer((json_int_t)rng_u64(r));
	case 1:
		return json_real(rng_normal(r) * pow(10, (double)rng_below(r, 60) - 30));
	case 2:
		return json_string(texts[rng_below(r, 6)]);
	case 3:
		return json_boolean(rng_below(r, 2));
	case 4:
		return json_null();
	case 5:
		v = json_array();
		for (uint64_t n = rng_below(r, 5); n > 0; n--)
			CHECK_OK(json_array_append_new(v, random_value(r, depth - 1)));
		return v;
	default:
		v = json_object();
		for (uint64_t n = rng_below(r, 5); n > 0; n--)
			CHECK_OK(json_object_set_new(v, texts[rng_below(r, 6)],
						     random_value(r, depth - 1)));
		return v;
	}
}

TEST(canonical_text_reads_back_as_the_same_value)
{
	for (uint64_t seed = 0; seed < 3000; seed++) {
		Rng r = rng_derive(seed, "json", 0);
		json_auto_t *v = random_value(&r, 5);
		_cleanup_(str_done) Str text = STR_INIT;
		js_canonical(v, &text);
		json_auto_t *back = parse(text.s);
		if (!json_equal(v, back))
			test_fail(__FILE__, __LINE__, "seed %" PRIu64 ": %s", seed, text.s);
	}
}

TEST(builders_remember_a_failure)
{
	bool failed = false;
	json_auto_t *o = json_object();
	js_set(o, "a", json_integer(1), &failed);
	js_set(NULL, "a", json_integer(1), &failed);
	CHECK(!failed);
	js_set(o, "b", NULL, &failed);
	CHECK(failed);
	Str out = STR_INIT;
	js_canonical(NULL, &out);
	CHECK(out.failed);
}

TEST(numbers_that_are_none_become_null_and_bytes_that_are_no_text_are_replaced)
{
	json_auto_t *nan = js_number((double)NAN), *inf = js_number((double)INFINITY),
		    *half = js_number(0.5);
	CHECK(json_is_null(nan) && json_is_null(inf));
	CHECK_NEAR(json_real_value(half), 0.5, 0);
	json_auto_t *t = js_text("a\xff"
				 "b\xe2\x82");
	CHECK_STR(json_string_value(t), "a\xef\xbf\xbd"
					"b\xef\xbf\xbd\xef\xbf\xbd");
}

TEST(members_of_another_type_read_as_absent)
{
	json_auto_t *o = parse("{\"s\": \"x\", \"i\": 7, \"r\": 0.5, \"b\": true}");
	CHECK_STR(js_str(o, "s", "-"), "x");
	CHECK_STR(js_str(o, "i", "-"), "-");
	CHECK_INT(js_int(o, "i", -1), 7);
	CHECK_INT(js_int(o, "r", -1), -1);
	CHECK_NEAR(js_num(o, "i", -1), 7, 0);
	CHECK_NEAR(js_num(o, "r", -1), 0.5, 0);
	CHECK_NEAR(js_num(o, "s", -1), -1, 0);
	CHECK(js_bool(o, "b", false) && js_bool(o, "i", true) && !js_bool(o, "none", false));
	CHECK_INT(js_int(NULL, "i", -1), -1);
}
