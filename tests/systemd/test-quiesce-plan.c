/* When production may be stopped, and what says that it is used: tables and texts. */
#include <arpa/inet.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "base/file.h"
#include "scratch.h"
#include "service/quiesce_internal.h"
#include "test.h"

static const int64_t min_us = 60000000;

TEST(windows_are_read_or_refused)
{
	static const struct {
		const char *text;
		int from, to; /* -1: refused */
	} cases[] = {
	    {"03:00-07:00", 180, 420}, {"22:30-04:00", 1350, 240}, {"00:00-24:00", 0, 1440},
	    {"3:00-7:00", 180, 420},   {"03:00-03:00", -1, -1},	   {"24:00-07:00", -1, -1},
	    {"03:60-07:00", -1, -1},   {"03:00-24:01", -1, -1},	   {"03:00", -1, -1},
	    {"03:00-07:00x", -1, -1},  {" 03:00-07:00", -1, -1},   {"", -1, -1},
	    {"-3:00-07:00", -1, -1},   {"03:00-07:00:00", -1, -1},
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		int from = -1, to = -1;
		bool ok = quiesce_window_parse(cases[i].text, &from, &to);
		if (ok != (cases[i].from >= 0) || from != cases[i].from || to != cases[i].to)
			test_fail(__FILE__, __LINE__, "'%s': %d %d", cases[i].text, from, to);
	}
}

static int64_t left(const char *window, int at_min, int offset_min)
{
	char text[32];
	snprintf(text, sizeof(text), "%s", window);
	const QuiesceSpec q = {.window = text};
	/* A day like any other: 2026-11-20 00:00 UTC. */
	return quiesce_window_left_us(&q, 1795132800000000 + at_min * min_us, offset_min) / min_us;
}

TEST(a_window_is_local_time_and_its_end_is_outside)
{
	CHECK_INT(left("03:00-07:00", 179, 0), 0);
	CHECK_INT(left("03:00-07:00", 180, 0), 240);
	CHECK_INT(left("03:00-07:00", 419, 0), 1);
	CHECK_INT(left("03:00-07:00", 420, 0), 0);
	CHECK_INT(left("03:00-07:00", 120, 60), 240);
	CHECK_INT(left("03:00-07:00", 8 * 60, -5 * 60), 240);
	CHECK_INT(left("22:00-04:00", 23 * 60, 0), 300);
	CHECK_INT(left("22:00-04:00", 60, 0), 180);
	CHECK_INT(left("22:00-04:00", 240, 0), 0);
	CHECK_INT(left("22:00-04:00", 12 * 60, 0), 0);
	CHECK_INT(left("00:00-24:00", 0, 0), 1440);
}

TEST(a_window_of_the_whole_day_does_not_close_at_midnight)
{
	CHECK_INT(left("00:00-24:00", 23 * 60 + 50, 0), 1440);
	CHECK_INT(left("00:00-24:00", 23 * 60 + 50, 120), 1440);
}

/* Of the window, at that moment, in minutes of real time, in central Europe. */
static int64_t really_left(const char *window, int64_t now_s)
{
	char text[32];
	snprintf(text, sizeof(text), "%s", window);
	const QuiesceSpec q = {.window = text};
	int64_t now_us = now_s * 1000000;
	return quiesce_window_left_us(&q, quiesce_window_clock_us(&q, now_us),
				      quiesce_utc_offset_min(now_us)) /
	       min_us;
}

TEST(a_window_closes_sooner_when_the_clocks_are_put_forward)
{
	/* 2026-03-29 01:30, half an hour before it is three; 2026-10-25 02:30 for the first time.
	 */
	const int64_t spring = 1774744200, autumn = 1792888200;
	CHECK(setenv("TZ", "CET-1CEST,M3.5.0,M10.5.0/3", 1) == 0);
	tzset();
	CHECK_INT(really_left("01:00-05:00", spring - 86400), 210);
	CHECK_INT(really_left("01:00-05:00", spring), 150);
	CHECK_INT(really_left("23:00-05:00", spring - 7200), 270);
	CHECK_INT(really_left("01:00-02:00", spring), 30);
	CHECK_INT(really_left("01:00-02:30", spring), 0);
	CHECK_INT(really_left("03:00-05:00", spring + 1800), 120);
	CHECK_INT(really_left("01:00-05:00", autumn), 150);
	CHECK(unsetenv("TZ") == 0);
	tzset();
}

TEST(downtime_needs_a_window_and_a_budget)
{
	char window[] = "03:00-07:00";
	const int64_t four = 1795132800000000 + 240 * min_us;
	QuiesceSpec q = {.window = window, .budget_us = 30 * min_us};
	Err err = ERR_INIT;
	CHECK_OK(quiesce_may(&q, four, 0, 0, 30 * min_us, &err));
	CHECK_OK(quiesce_may(&q, four, 0, 10 * min_us, 20 * min_us, &err));
	CHECK_ERR(quiesce_may(&q, four, 0, 10 * min_us, 20 * min_us + 1, &err), EBUSY);
	CHECK(strstr(err.msg, "20 m"));
	CHECK_ERR(quiesce_may(&q, four, 0, 31 * min_us, 0, &err), EBUSY);
	CHECK_ERR(quiesce_may(&q, four + 170 * min_us, 0, 0, 11 * min_us, &err), EBUSY);
	CHECK(strstr(err.msg, "closes"));
	CHECK_ERR(quiesce_may(&q, four + 240 * min_us, 0, 0, 1, &err), EBUSY);
	q.window = NULL;
	CHECK_ERR(quiesce_may(&q, four, 0, 0, 1, &err), EBUSY);
}

/* --- Who uses it ----------------------------------------------------------------------------- */

static IdleLook look_at(const char *text)
{
	IdleLook look = {0};
	CHECK_OK(idle_read_metrics(text, strlen(text), &look));
	return look;
}

TEST(a_page_without_a_figure_that_is_known_proves_nothing)
{
	static const char *const pages[] = {"",
					    "\n\n",
					    "process_cpu_seconds_total 3\n",
					    "# vllm:num_requests_running 0\n",
					    "vllm:num_requests_running\n",
					    "vllm:num_requests_running{a=\"b\" 0\n",
					    "vllm:num_requests_running_max 0\n",
					    "<html>404</html>"};
	IdleLook look;
	for (size_t i = 0; i < sizeof(pages) / sizeof(pages[0]); i++)
		CHECK_ERR(idle_read_metrics(pages[i], strlen(pages[i]), &look), ENODATA);
}

TEST(a_gauge_above_zero_is_use_of_any_engine_and_model)
{
	CHECK(!look_at("vllm:num_requests_running{model_name=\"a } b\"} 0.0\n").busy);
	CHECK(look_at("vllm:num_requests_running 0\nvllm:num_requests_waiting 3\n").busy);
	CHECK(look_at("vllm:num_requests_running{e=\"0\"} 0\n"
		      "vllm:num_requests_running{e=\"1\"} 1 1700000000\n")
		  .busy);
	CHECK(look_at("llamacpp:requests_processing 1").busy);
	CHECK(look_at("vllm:num_requests_running NaN\n").busy);
}

TEST(a_counter_shows_what_came_and_went_between_two_looks)
{
	const char *before = "vllm:num_requests_running 0\n"
			     "vllm:request_success_total{r=\"stop\"} 7\n"
			     "vllm:request_success_total{r=\"length\"} 2\n";
	CHECK_NEAR(look_at(before).activity, 9, 0);
	CHECK(!look_at(before).busy);
}

TEST(only_established_connections_to_the_ports_count)
{
	static const char table[] =
	    "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid\n"
	    "   0: 00000000:1F40 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000\n"
	    "   1: 0100007F:1F40 0100007F:D431 01 00000000:00000000 00:00000000 00000000  1000\n"
	    "   2: 0100007F:D431 0100007F:1F40 01 00000000:00000000 00:00000000 00000000  1000\n"
	    "   3: 0100007F:1F40 0100007F:D432 06 00000000:00000000 00:00000000 00000000     0\n"
	    "   4: 0100007F:1F41 0100007F:D433 01 00000000:00000000 00:00000000 00000000     0\n";
	static const char table6[] = "   0: 0000000000000000FFFF00000100007F:1F40 "
				     "0000000000000000FFFF00000100007F:D434 01 0\n";
	const uint16_t ports[] = {8000, 9000};
	CHECK_INT(idle_count_connections(table, sizeof(table) - 1, ports, 2), 1);
	CHECK_INT(idle_count_connections(table6, sizeof(table6) - 1, ports, 2), 1);
	CHECK_INT(idle_count_connections("x", 1, ports, 2), 0);
	/* Cut at any byte it is read within its bounds. */
	for (size_t n = 0; n < sizeof(table); n++)
		CHECK(idle_count_connections(table, n, ports, 2) <= 1);
}

/* --- The account ----------------------------------------------------------------------------- */

static int64_t fixed(void *ctx)
{
	return *(const int64_t *)ctx;
}

TEST(the_account_is_of_the_last_day_whoever_caused_it)
{
	SCRATCH(dir);
	int64_t day = 1440 * min_us, now = 1795132800000000, us = -1;
	const Clock clock = {fixed, fixed, &now};
	Err err = ERR_INIT;
	CHECK_OK(quiesce_spent(dir, &clock, &us, &err));
	CHECK_INT(us, 0);
	CHECK_OK(downtime_add(dir, now - 3 * day, now - 3 * day + min_us, "old", &err));
	CHECK_OK(downtime_add(dir, now - day - min_us, now - day + min_us, "half", &err));
	CHECK_OK(downtime_add(dir, now - 10 * min_us, now - 5 * min_us, "rollout", &err));
	CHECK_OK(downtime_add(dir, now - min_us, now - 2 * min_us, "backwards", &err));
	CHECK_OK(quiesce_spent(dir, &clock, &us, &err));
	CHECK_INT(us, 6 * min_us);
	/* A clock that was set back does not make it forgotten. */
	CHECK_OK(downtime_add(dir, now + day, now + day + min_us, "future", &err));
	CHECK_OK(quiesce_spent(dir, &clock, &us, &err));
	CHECK(us >= 7 * min_us);
}

TEST(what_goes_on_now_counts_too)
{
	SCRATCH(dir);
	int64_t now = 1795132800000000, us = -1;
	const Clock clock = {fixed, fixed, &now};
	char unit[] = "a.service", *units[] = {unit}, invocations[1][40] = {"0123"};
	const QuiesceIntent i = {.guard = "dream-guard-1.service",
				 .began_at_us = now - 3 * min_us,
				 .n = 1,
				 .units = units,
				 .invocations = invocations};
	Err err = ERR_INIT;
	CHECK_OK(quiesceintent_write(dir, &i, &err));
	CHECK_OK(quiesce_spent(dir, &clock, &us, &err));
	CHECK_INT(us, 3 * min_us);

	QuiesceIntent back = {0};
	CHECK_INT(quiesceintent_read(dir, &back, &err), 1);
	CHECK_STR(back.units[0], "a.service");
	CHECK_STR(back.invocations[0], "0123");
	CHECK_STR(back.guard, i.guard);
	quiesceintent_done(&back);
	CHECK_OK(quiesceintent_remove(dir, &err));
	CHECK_INT(quiesceintent_read(dir, &back, &err), 0);
}

TEST(an_account_that_cannot_be_read_is_not_an_empty_one)
{
	SCRATCH(dir);
	int64_t us;
	Err err = ERR_INIT;
	char path[300];
	snprintf(path, sizeof(path), "%s/downtime.json", dir);
	CHECK_OK(file_write(path, 0644, "{\"a", 3, &err));
	CHECK(quiesce_spent(dir, &clock_system, &us, &err) < 0);
	CHECK_OK(file_write(path, 0644, "{}", 2, &err));
	CHECK_ERR(quiesce_spent(dir, &clock_system, &us, &err), EBADMSG);
}
