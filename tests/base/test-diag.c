#include "base/diag.h"

#include "test.h"

static void check_text(const Diags *d, const char *want)
{
	_cleanup_(str_done) Str text = STR_INIT;
	diags_text(d, &text);
	CHECK_STR(text.s ? text.s : "", want);
}

TEST(a_mistake_is_one_line_with_its_place_and_what_would_be_accepted)
{
	_cleanup_(diags_done) Diags d = DIAGS_INIT;
	diags_add(&d, DIAG_ERROR, "dream.yaml", 12, 5, "did you mean 'wallclock_sec'?",
		  "unknown key '%s' in budget", "wallclok_sec");
	diags_add(&d, DIAG_WARNING, "dream.yaml", 0, 0, NULL, "no baseline");
	diags_add(&d, DIAG_ERROR, NULL, 0, 0, NULL, "no place at all");
	check_text(&d, "dream.yaml:12:5: error: unknown key 'wallclok_sec' in budget; "
		       "did you mean 'wallclock_sec'?\n"
		       "dream.yaml: warning: no baseline\n"
		       "error: no place at all\n");
	CHECK_INT(d.errors, 2);
}

TEST(sorting_is_by_place_and_keeps_equals_in_order)
{
	_cleanup_(diags_done) Diags d = DIAGS_INIT;
	diags_add(&d, DIAG_ERROR, "b", 1, 1, NULL, "5");
	diags_add(&d, DIAG_ERROR, "a", 2, 1, NULL, "3");
	diags_add(&d, DIAG_ERROR, "a", 1, 9, NULL, "1");
	diags_add(&d, DIAG_ERROR, "a", 1, 9, NULL, "2");
	diags_add(&d, DIAG_ERROR, "a", 10, 1, NULL, "4");
	diags_sort(&d);
	for (size_t i = 0; i < d.n; i++)
		CHECK_INT(atoi(d.items[i].what), (int)i + 1);
}

TEST(mistakes_past_the_limit_are_counted_and_mentioned)
{
	_cleanup_(diags_done) Diags d = DIAGS_INIT;
	for (int i = 0; i < DIAGS_MAX + 7; i++)
		diags_add(&d, DIAG_ERROR, "a", 1, 1, NULL, "x");
	CHECK_INT(d.n, DIAGS_MAX);
	CHECK_INT(d.errors, DIAGS_MAX + 7);
	CHECK(d.truncated);
	_cleanup_(str_done) Str text = STR_INIT;
	diags_text(&d, &text);
	CHECK(strstr(text.s, "error: 7 more mistakes are not shown\n"));
}

TEST(hostile_text_is_escaped_wherever_it_comes_in)
{
	_cleanup_(diags_done) Diags d = DIAGS_INIT;
	diags_add(&d, DIAG_ERROR, "a\nb", 1, 1, "c\x1b", "%s", "d\xff\n");
	check_text(&d, "a\\nb:1:1: error: d\\xff\\n; c\\x1b\n");
}
