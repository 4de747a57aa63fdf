/* Tables as people see them, and numbers as people read them. */
#include "report/report.h"
#include "test.h"

static const TableColumn columns[] = {
    {"id", ALIGN_RIGHT, COLUMN_KEEP},
    {"candidate", ALIGN_LEFT, COLUMN_CUT},
    {"fitness", ALIGN_RIGHT, COLUMN_KEEP},
    {"reason", ALIGN_LEFT, COLUMN_CUT},
};

static void check_table(const Table *t, size_t width, const char *want)
{
	_cleanup_(str_done) Str out = STR_INIT;
	CHECK_OK(table_print(t, width, &out, NULL));
	CHECK_STR(out.s, want);
}

static Table *sample(void)
{
	Table *t = NULL;
	CHECK_OK(table_new(columns, 4, &t));
	table_cell(t, "%d", 7);
	table_text(t, "vllm_memory_util=0.5 whisper_model_size=small");
	table_cell(t, "%.3f", 0.654);
	table_text(t, NULL);
	table_cell(t, "%d", 12);
	table_text(t, "größe=0.4");
	table_text(t, "0");
	table_text(t, "no room for blocks");
	return t;
}

TEST(columns_are_as_wide_as_their_content)
{
	_cleanup_(table_freep) Table *t = sample();
	check_table(
	    t, 0,
	    "id  candidate                                      fitness  reason\n"
	    "──────────────────────────────────────────────────────────────────────────────\n"
	    " 7  vllm_memory_util=0.5 whisper_model_size=small    0.654  -\n"
	    "12  größe=0.4                                            0  no room for blocks\n");
}

TEST(a_narrow_terminal_cuts_the_widest_columns_that_may_shrink)
{
	_cleanup_(table_freep) Table *t = sample();
	check_table(t, 44,
		    "id  candidate       fitness  reason\n"
		    "────────────────────────────────────────────\n"
		    " 7  vllm_memory_u…    0.654  -\n"
		    "12  größe=0.4             0  no room for bl…\n");
}

TEST(columns_that_may_go_are_left_out_from_the_right_before_any_is_cut)
{
	static const TableColumn some[] = {
	    {"id", ALIGN_RIGHT, COLUMN_KEEP},
	    {"at", ALIGN_LEFT, COLUMN_DROP},
	    {"changes", ALIGN_LEFT, COLUMN_CUT},
	    {"state", ALIGN_LEFT, COLUMN_DROP},
	};
	_cleanup_(table_freep) Table *t = NULL;
	CHECK_OK(table_new(some, 4, &t));
	table_text(t, "1");
	table_text(t, "noon");
	table_text(t, "small -> base");
	table_text(t, "proposed");
	check_table(t, 33,
		    "id  at    changes        state\n"
		    "─────────────────────────────────\n"
		    " 1  noon  small -> base  proposed\n");
	check_table(t, 32,
		    "id  at    changes\n"
		    "───────────────────────\n"
		    " 1  noon  small -> base\n");
	check_table(t, 12,
		    "id  changes\n"
		    "────────────\n"
		    " 1  small -…\n");
}

TEST(columns_never_shrink_to_nothing)
{
	_cleanup_(table_freep) Table *t = sample();
	check_table(t, 10,
		    "id  candi…  fitness  reason\n"
		    "───────────────────────────\n"
		    " 7  vllm_…    0.654  -\n"
		    "12  größe…        0  no ro…\n");
}

TEST(an_empty_table_is_its_head)
{
	_cleanup_(table_freep) Table *t = NULL;
	CHECK_OK(table_new(columns, 2, &t));
	check_table(t, 80, "id  candidate\n─────────────\n");
}

TEST(cells_cannot_break_lines_or_move_the_cursor)
{
	_cleanup_(table_freep) Table *t = NULL;
	CHECK_OK(table_new(columns, 2, &t));
	table_text(t, "1");
	table_text(t, "a\nb\x1b[2Jc\xc2\x9bz");
	check_table(t, 0, "id  candidate\n───────────────\n 1  a b [2Jc  z\n");
}

TEST(every_line_is_as_wide_as_asked_at_most)
{
	_cleanup_(table_freep) Table *t = sample();
	for (size_t width = 27; width < 90; width++) {
		_cleanup_(str_done) Str out = STR_INIT;
		CHECK_OK(table_print(t, width, &out, NULL));
		size_t have = 0;
		for (const char *c = out.s; *c; c++) {
			have = *c == '\n' ? 0 : have + (((unsigned char)*c & 0xc0) != 0x80);
			if (have > width)
				test_fail(__FILE__, __LINE__, "width %zu: %s", width, out.s);
		}
	}
}

TEST(many_rows_are_kept)
{
	_cleanup_(table_freep) Table *t = NULL;
	CHECK_OK(table_new(columns, 2, &t));
	for (int i = 0; i < 10000; i++)
		table_cell(t, "%d", i);
	_cleanup_(str_done) Str out = STR_INIT;
	CHECK_OK(table_print(t, 0, &out, NULL));
	CHECK(strstr(out.s, "\n9998  9999\n"));
}

TEST(a_table_without_columns_is_refused)
{
	Table *t = NULL;
	CHECK_ERR(table_new(columns, 0, &t), EINVAL);
}

TEST(numbers_show_about_three_digits_and_their_unit)
{
	static const struct {
		double v;
		const char *unit, *want;
	} cases[] = {
	    {0.7123, "", "0.712"},
	    {44, "ms", "44.0 ms"},
	    {300, "ms", "300 ms"},
	    {9.994, "ms", "9.99 ms"},
	    {9.996, "ms", "10.0 ms"},
	    {99.96, "ms", "100 ms"},
	    {5, "requests", "5 requests"},
	    {5, "", "5"},
	    {3.41, "requests", "3.41 requests"},
	    {6976, "tokens", "6,976 tokens"},
	    {-1234567, "", "-1.23e+06"},
	    {-123456, "", "-123,456"},
	    {0, "ms", "0.000 ms"},
	    {0, NULL, "0"},
	    {1e-7, "s", "1e-07 s"},
	    {1e300, "a_unit_of_15_ch", "1e+300 a_unit_of_15_c"},
	    {(double)NAN, "ms", "-"},
	    {(double)INFINITY, "ms", "-"},
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char text[32];
		report_number(cases[i].v, cases[i].unit, text);
		CHECK_STR(text, cases[i].want);
	}
}

TEST(intervals_show_signs_and_equal_digits)
{
	char text[64];
	report_interval(0.041, 0.0119, 0.07, text);
	CHECK_STR(text, "+0.041 [+0.012, +0.070]");
	report_interval(-100.4, -120.6, -80, text);
	CHECK_STR(text, "-100 [-121, -80]");
	report_interval(0.5, (double)NAN, (double)NAN, text);
	CHECK_STR(text, "+0.500");
	report_interval((double)NAN, 0, 1, text);
	CHECK_STR(text, "-");
	report_interval(-1.5e300, -1e308, 1e308, text);
	CHECK_STR(text, "-1.5e+300 [-1e+308, +1e+308]");
}
