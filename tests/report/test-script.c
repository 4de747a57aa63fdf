/* What gnuplot is told: golden for one small picture, and safe for hostile text. */
#include <errno.h>

#include "report/script.h"
#include "test.h"

TEST(kinds_have_names_that_read_back)
{
	for (PlotKind k = 0; k < PLOT_MAX_; k++) {
		PlotKind back = PLOT_MAX_;
		CHECK(plot_kind_from_name(plot_kind_name(k), &back));
		CHECK_INT(back, k);
	}
	PlotKind kind;
	CHECK(!plot_kind_from_name("histogram", &kind));
}

static void check_text(const char *text, size_t width, bool percent, const char *want)
{
	_cleanup_(str_done) Str out = STR_INIT;
	script_text(&out, text, width, percent);
	CHECK_STR(out.s, want);
}

TEST(text_cannot_leave_its_quotes)
{
	check_text("plain", 20, false, "'plain'");
	check_text("it's", 20, false, "'it''s'");
	check_text("'; system 'rm", 20, false, "'''; system ''rm'");
	check_text("a\nb\r\tc\x7f", 20, false, "'a b  c '");
	check_text("\xff\xc3 z\xc3", 20, false, "'   z '");
	check_text("100 %", 20, true, "'100 %%'");
	check_text("100 %", 20, false, "'100 %'");
}

TEST(long_text_is_cut_between_characters)
{
	check_text("größer", 6, false, "'größer'");
	check_text("größer", 5, false, "'größ…'");
	check_text("''''", 3, false, "'''''…'");
}

static const PlotTrial trials[] = {
    {.generation = 0, .number = 1, .fitness = 0.5, .feasible = true, .x = 300, .y = 8},
    {.generation = 0,
     .number = 2,
     .outcome = OUTCOME_INFEASIBLE,
     .x = (double)NAN,
     .y = (double)NAN},
    {.generation = 1, .number = 3, .outcome = OUTCOME_OOM, .x = (double)NAN, .y = (double)NAN},
    {.generation = 1, .number = 4, .fitness = 0.7, .feasible = true, .x = 100, .y = 8},
    {.generation = 1, .number = 5, .fitness = 0.6, .feasible = true, .x = 200, .y = 16},
};

static const char five_trials[] =
    "set encoding utf8\n"
    "set terminal svg size 1000,620 dynamic font 'DejaVu Sans,sans-serif,13' linewidth 1.2 "
    "background '#ffffff'\n"
    "set border 3 lc rgb '#777777'\n"
    "set tics nomirror out textcolor rgb '#222222'\n"
    "set lmargin at screen 0.0850\n"
    "set rmargin at screen 0.8600\n"
    "set bmargin at screen 0.1650\n"
    "set tmargin at screen 0.8700\n"
    "set label 1 'spica' at screen 0.0160,0.9581 left noenhanced font ',19' textcolor rgb "
    "'#222222'\n"
    "set xrange [0.5:5.5]\n"
    "set xtics 1,1,5\n"
    "set yrange [0.4612576419:0.732]\n"
    "set ytics 0.5,0.05,0.7\n"
    "set format y '%.2f'\n"
    "set grid ytics lc rgb '#dddddd' lw 0.5 lt 1\n"
    "unset key\n"
    "set arrow 1 from graph 0, first 0.484 to graph 1, first 0.484 nohead lc rgb '#777777' lw 0.5 "
    "dt 3\n"
    "set xlabel 'trial' offset 0,0.4 textcolor rgb '#222222'\n"
    "set ylabel 'fitness' textcolor rgb '#222222'\n"
    "set label 'generation 0' at 1.5,graph 0.97 center noenhanced textcolor rgb '#777777'\n"
    "set object rect from 2.5,graph 0 to 5.5,graph 1 behind fs solid noborder fc rgb '#f1f1f1'\n"
    "set label 'generation 1' at 4,graph 0.97 center noenhanced textcolor rgb '#777777'\n"
    "$ok << EOD\n"
    "1 0.5\n"
    "4 0.7\n"
    "5 0.6\n"
    "EOD\n"
    "$refused << EOD\n"
    "2 0.4783144105\n"
    "EOD\n"
    "$failed << EOD\n"
    "3 0.4669432314\n"
    "EOD\n"
    "$best << EOD\n"
    "1 0.5\n"
    "4 0.7\n"
    "5.5 0.7\n"
    "EOD\n"
    "set label 'best 0.700' at graph 1.015, first 0.7 left noenhanced textcolor rgb '#007a5a'\n"
    "set label 'baseline 0.550' at graph 1.015, first 0.55 left noenhanced textcolor rgb "
    "'#222222'\n"
    "set arrow 100 from screen 0.1810,0.0290 to screen 0.2090,0.0290 nohead lw 2 dt (9,6) lc rgb "
    "'#222222'\n"
    "set label 100 'baseline' at screen 0.2150,0.0290 left noenhanced textcolor rgb '#222222'\n"
    "set arrow 101 from screen 0.2978,0.0290 to screen 0.3258,0.0290 nohead lw 2 dt 1 lc rgb "
    "'#007a5a'\n"
    "set label 101 'best so far' at screen 0.3318,0.0290 left noenhanced textcolor rgb '#222222'\n"
    "set label 112 '' at screen 0.4594,0.0290 point pt 7 ps 0.75 lc rgb '#0072b2'\n"
    "set label 102 'measured' at screen 0.4714,0.0290 left noenhanced textcolor rgb '#222222'\n"
    "set label 113 '' at screen 0.5762,0.0290 point pt 1 ps 0.8 lc rgb '#777777'\n"
    "set label 103 'refused unstarted' at screen 0.5882,0.0290 left noenhanced textcolor rgb "
    "'#222222'\n"
    "set label 114 '' at screen 0.7614,0.0290 point pt 2 ps 0.9 lc rgb '#d55e00'\n"
    "set label 104 'failed' at screen 0.7734,0.0290 left noenhanced textcolor rgb '#222222'\n"
    "plot 0.55 with lines lc rgb '#222222' lw 1.5 dt (9,6), $best with steps lc rgb '#007a5a' lw "
    "2, $ok with points pt 7 ps 0.75 lc rgb '#0072b2', $refused with points pt 1 ps 0.8 lc rgb "
    "'#777777', $failed with points pt 2 ps 0.9 lc rgb '#d55e00'\n";

TEST(the_evolution_of_five_trials)
{
	PlotSpec s = {.kind = PLOT_FITNESS_EVOLUTION,
		      .title = "spica",
		      .trials = trials,
		      .n_trials = 5,
		      .baseline = 0.55};
	_cleanup_(str_done) Str out = STR_INIT;
	CHECK_OK(plot_script(&s, PLOT_SVG, &out, NULL));
	CHECK_STR(out.s, five_trials);
}

/* By hand: less x and more y are better, so trial 4 (100, 8) and trial 5 (200, 16) are the front
 * and trial 1 (300, 8) is beaten. */
TEST(the_front_is_marked_and_the_rest_counted)
{
	PlotSpec s = {.kind = PLOT_PARETO,
		      .title = "spica",
		      .trials = trials,
		      .n_trials = 5,
		      .baseline = (double)NAN,
		      .x_label = "stt_latency_ms",
		      .y_label = "capacity",
		      .y_maximize = true};
	_cleanup_(str_done) Str out = STR_INIT;
	CHECK_OK(plot_script(&s, PLOT_SVG, &out, NULL));
	CHECK(strstr(out.s, "$front << EOD\n100 8\n200 16\nEOD\n"));
	CHECK(strstr(out.s, "$beaten << EOD\n300 8\nEOD\n"));
	CHECK(strstr(out.s, "'2 of 5 trials not shown: 1 failed, 1 refused unstarted'"));
	CHECK(strstr(out.s, "'stt_latency_ms (less is better)'"));
	CHECK(strstr(out.s, "'capacity (more is better)'"));
}

TEST(equal_points_share_the_front)
{
	PlotTrial same[3] = {trials[3], trials[3], trials[0]};
	PlotSpec s = {.kind = PLOT_PARETO, .title = "t", .trials = same, .n_trials = 3};
	_cleanup_(str_done) Str out = STR_INIT;
	CHECK_OK(plot_script(&s, PLOT_SVG, &out, NULL));
	CHECK(strstr(out.s, "$front << EOD\n100 8\n100 8\nEOD\n"));
}

TEST(trials_at_one_level_are_counted_where_they_failed)
{
	static const double at[] = {1, 1, 1, 0};
	PlotTrial t[6];
	for (size_t i = 0; i < 6; i++)
		t[i] = (PlotTrial){.outcome = i < 3 ? OUTCOME_CRASHED : OUTCOME_OK,
				   .fitness = 0.5 + 0.1 * (double)i,
				   .feasible = true,
				   .levels = i < 3 ? &at[i] : &at[3]};
	PlotSpec s = {.kind = PLOT_TRIALS,
		      .title = "t",
		      .trials = t,
		      .n_trials = 6,
		      .baseline = (double)NAN,
		      .param_names = (const char *const[]){"size"},
		      .level_names = (const char *const *const[]){(const char *const[]){"a", "b"}},
		      .n_levels = (const uint32_t[]){2},
		      .n_params = 1};
	_cleanup_(str_done) Str out = STR_INIT;
	CHECK_OK(plot_script(&s, PLOT_SVG, &out, NULL));
	CHECK(strstr(out.s, "$ok << EOD\n0 0.8\n0 0.9\n0 1\nEOD\n"));
	CHECK(strstr(out.s, "$median << EOD\n-0.35 0.9 0.7 0\nEOD\n"));
	const char *failed = strstr(out.s, "$failed << EOD\n1 ");
	CHECK(failed && strstr(failed, " 3\nEOD\n"));
	CHECK(strstr(out.s, "set xtics noenhanced norotate center ('a' 0, 'b' 1)"));
}

TEST(there_must_be_something_to_draw)
{
	PlotSpec s = {.title = "t", .trials = trials, .baseline = (double)NAN};
	_cleanup_(str_done) Str out = STR_INIT;
	Err err = ERR_INIT;
	CHECK_ERR(plot_script(&s, PLOT_SVG, &out, &err), ENODATA);
	s.n_trials = 5;
	s.kind = PLOT_TRIALS;
	CHECK_ERR(plot_script(&s, PLOT_SVG, &out, &err), ENODATA);
	s.kind = PLOT_PARETO;
	s.trials = &trials[1];
	s.n_trials = 2;
	CHECK_ERR(plot_script(&s, PLOT_SVG, &out, &err), ENODATA);
	CHECK(strstr(err.msg, "in none of the 2 trials"));
}
