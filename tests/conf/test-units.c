#include "conf/conf.h"
#include "test.h"

static void check_bytes(const char *text, int64_t want)
{
	int64_t v = -1;
	if (conf_parse_bytes(text, &v) != (want >= 0) || v != want)
		test_fail(__FILE__, __LINE__, "'%s' gave %" PRId64 ", want %" PRId64, text, v,
			  want);
}

TEST(memory_is_written_with_binary_and_decimal_units)
{
	check_bytes("0", 0);
	check_bytes("12622168064", INT64_C(12622168064));
	check_bytes("12 B", 12);
	check_bytes("512 MiB", 512 << 20);
	check_bytes("512MiB", 512 << 20);
	check_bytes("5.5 GiB", INT64_C(5905580032));
	check_bytes("1.2GB", 1200000000);
	check_bytes("1 kB", 1000);
	check_bytes("1 KB", 1000);
	check_bytes("1 KiB", 1024);
	check_bytes("2 TiB", INT64_C(2) << 40);
	check_bytes("2 TB", INT64_C(2000000000000));
	check_bytes("  .5 KiB  ", 512);
}

TEST(what_is_not_an_amount_of_memory_is_refused)
{
	static const char *const bad[] = {
	    "",
	    " ",
	    "GiB",
	    "-1 GiB",
	    "+1",
	    "1 G",
	    "1 gib",
	    "1 mib",
	    "1e9",
	    "0x10",
	    "1.2.3",
	    ".",
	    "inf",
	    "nan",
	    "1 GiB extra",
	    "1 2",
	    "1,5 GB",
	    "99999999999999999999",
	    "8388608 TiB",
	    "1\tGiB",
	    "1111111111111111111111111111111111111111111111111111",
	};
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		check_bytes(bad[i], -1);
}

static void check_duration(const char *text, int64_t want)
{
	int64_t v = -1;
	if (conf_parse_duration(text, &v) != (want >= 0) || v != want)
		test_fail(__FILE__, __LINE__, "'%s' gave %" PRId64 ", want %" PRId64, text, v,
			  want);
}

TEST(durations_are_written_with_units_and_bare_numbers_are_seconds)
{
	check_duration("90", 90000000);
	check_duration("0.25", 250000);
	check_duration("90 s", 90000000);
	check_duration("250ms", 250000);
	check_duration("7 us", 7);
	check_duration("5 min", 300000000);
	check_duration("2h", INT64_C(7200000000));
	check_duration("1 day", INT64_C(86400000000));
	check_duration("1 h 30 min", INT64_C(5400000000));
	check_duration("1h30m5s", INT64_C(5405000000));
	check_duration("0.1 s", 100000);
	check_duration("1.5 hours", INT64_C(5400000000));
	check_duration("0", 0);
}

TEST(what_is_not_a_duration_is_refused)
{
	static const char *const bad[] = {
	    "",	     "s",    "-5 s",	"5 parsecs", "1 h 30",
	    "5 S",   "5 mi", "1e3 s",	"inf",	     "9999999999999 d",
	    "5 s x", "..",   "5 s, 3 s"};
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		check_duration(bad[i], -1);
}
