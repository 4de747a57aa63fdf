#include "base/str.h"

#include "test.h"

TEST(text_grows_piece_by_piece)
{
	_cleanup_(str_done) Str b = STR_INIT;
	str_add(&b, "trial ");
	str_addf(&b, "%d: %s", 12, "ok");
	str_addc(&b, ',');
	str_addn(&b, " fitness and more", 8);
	CHECK_STR(b.s, "trial 12: ok, fitness");
	CHECK_INT(b.len, strlen("trial 12: ok, fitness"));
}

TEST(taking_an_empty_string_gives_an_empty_text)
{
	Str b = STR_INIT;
	_cleanup_free_ char *text = NULL;
	CHECK_OK(str_take(&b, &text));
	CHECK_STR(text, "");
	CHECK(!b.s && b.len == 0);
}

TEST(a_failed_append_is_remembered_until_the_end)
{
	Str b = STR_INIT;
	str_add(&b, "before");
	str_addn(&b, "x", SIZE_MAX / 2);
	str_add(&b, "after");
	CHECK_STR(b.s, "before");
	char *text = NULL;
	CHECK_ERR(str_take(&b, &text), ENOMEM);
	CHECK(!text && !b.s);
}

TEST(clearing_keeps_the_memory)
{
	_cleanup_(str_done) Str b = STR_INIT;
	str_add(&b, "something long enough to have been allocated");
	size_t cap = b.cap;
	str_clear(&b);
	CHECK_STR(b.s, "");
	CHECK_INT(b.cap, cap);
	str_add(&b, "again");
	CHECK_STR(b.s, "again");
}

TEST(a_hundred_thousand_appends_lose_nothing)
{
	_cleanup_(str_done) Str b = STR_INIT;
	for (int i = 0; i < 100000; i++)
		str_addc(&b, (char)('a' + i % 26));
	CHECK_INT(b.len, 100000);
	for (size_t i = 0; i < b.len; i++)
		CHECK(b.s[i] == (char)('a' + i % 26));
	CHECK(b.s[b.len] == '\0');
}

TEST(a_formatted_copy_has_any_length)
{
	_cleanup_free_ char *text = str_fmt("%05000d", 7);
	CHECK_INT(strlen(text), 5000);
	CHECK(text[4999] == '7' && text[0] == '0');
}

static void check_safe(const char *text, size_t max, const char *want)
{
	_cleanup_(str_done) Str b = STR_INIT;
	str_add_safe(&b, text, strlen(text), max);
	CHECK_STR(b.s ? b.s : "", want);
}

TEST(text_of_others_cannot_act_on_a_terminal)
{
	check_safe("plain text, \xc3\xa4 and \xe2\x82\xac", 0,
		   "plain text, \xc3\xa4 and \xe2\x82\xac");
	check_safe("\x1b[31mred", 0, "\\x1b[31mred");
	check_safe("two\nlines\tand\r", 0, "two\\nlines\\tand\\r");
	check_safe("C1: \xc2\x9b", 0, "C1: \\x9b");
	check_safe("override: \xe2\x80\xae", 0, "override: \\u202e");
	check_safe("not UTF-8: \xff\xc3", 0, "not UTF-8: \\xff\\xc3");
	check_safe("DEL\x7f", 0, "DEL\\x7f");
}

TEST(text_of_others_is_cut_between_characters)
{
	check_safe("abcdef", 6, "abcdef");
	check_safe("abcdefg", 6, "abcdef...");
	check_safe("\xc3\xa4\xc3\xb6\xc3\xbc", 2, "\xc3\xa4\xc3\xb6...");
}

static size_t length_of(const char *s)
{
	uint32_t cp;
	return utf8_next(s, strlen(s), &cp);
}

TEST(utf8_takes_exactly_what_the_standard_allows)
{
	uint32_t cp = 0;
	CHECK_INT(utf8_next("\xf0\x9f\x98\x80!", 5, &cp), 4);
	CHECK_INT(cp, 0x1f600);
	CHECK_INT(length_of("A"), 1);
	CHECK_INT(length_of("\xc2\x80"), 2);
	CHECK_INT(length_of("\xed\x9f\xbf"), 3);
	CHECK_INT(length_of("\xf4\x8f\xbf\xbf"), 4);
	/* Overlong forms, surrogates, past the end, cut short, continuation first. */
	CHECK_INT(length_of("\xc0\x80"), 0);
	CHECK_INT(length_of("\xc1\xbf"), 0);
	CHECK_INT(length_of("\xe0\x9f\xbf"), 0);
	CHECK_INT(length_of("\xf0\x8f\xbf\xbf"), 0);
	CHECK_INT(length_of("\xed\xa0\x80"), 0);
	CHECK_INT(length_of("\xf4\x90\x80\x80"), 0);
	CHECK_INT(length_of("\xe2\x82"), 0);
	CHECK_INT(length_of("\x80"), 0);
	CHECK_INT(utf8_next("", 0, &cp), 0);
}

TEST(a_text_is_utf8_when_all_of_it_is)
{
	CHECK(utf8_valid("", 0));
	CHECK(utf8_valid("a\xc2\x80\xf0\x9f\x98\x80z", 8));
	CHECK(utf8_valid("a\0b", 3));
	CHECK(!utf8_valid("abc\x80", 4));
	CHECK(!utf8_valid("\xff"
			  "abc",
			  4));
	CHECK(!utf8_valid("ab\xe2\x82\xac", 4)); /* its last byte is not of the text */
	CHECK(utf8_valid("ab\xe2\x82\xac", 2));
}

TEST(utf8_reads_back_every_code_point)
{
	for (uint32_t want = 0x80; want <= 0x10ffff; want++) {
		char s[5] = {0};
		if (want < 0x800) {
			s[0] = (char)(0xc0 | want >> 6);
			s[1] = (char)(0x80 | (want & 63));
		} else if (want < 0x10000) {
			s[0] = (char)(0xe0 | want >> 12);
			s[1] = (char)(0x80 | (want >> 6 & 63));
			s[2] = (char)(0x80 | (want & 63));
		} else {
			s[0] = (char)(0xf0 | want >> 18);
			s[1] = (char)(0x80 | (want >> 12 & 63));
			s[2] = (char)(0x80 | (want >> 6 & 63));
			s[3] = (char)(0x80 | (want & 63));
		}
		uint32_t cp = 0;
		bool surrogate = want >= 0xd800 && want < 0xe000;
		size_t n = utf8_next(s, strlen(s), &cp);
		CHECK(surrogate ? n == 0 : n == strlen(s) && cp == want);
	}
}
