/* Fitness against trial: generations as bands, every trial a point, the best so far as steps, the
 * baseline as a dashed line. */
#include <math.h>

#include "report/script.h"

static const ScriptFrame frame = {
    .width = 1000, .height = 620, .left = 0.085, .right = 0.86, .bottom = 0.165, .top = 0.87};

/* Every second run of trials of one generation gets a band; each gets its number, as far as there
 * is room. */
static void add_bands(const PlotSpec *spec, Str *out)
{
	size_t n = spec->n_trials, bands = 0;
	double last_label = -(double)INFINITY;
	bool numbers_only = false;
	for (size_t i = 0, end; i < n; i = end, bands++) {
		uint32_t generation = spec->trials[i].generation;
		for (end = i + 1; end < n && spec->trials[end].generation == generation;)
			end++;
		double left = (double)i + 0.5, right = (double)end + 0.5;
		double middle = (left + right) / 2, wide = (right - left) / (double)n;
		if (bands % 2 == 1)
			str_addf(out,
				 "set object rect from %g,graph 0 to %g,graph 1 behind fs solid "
				 "noborder fc rgb '#f1f1f1'\n",
				 left, right);
		bool whole = wide >= 0.12;
		numbers_only |= !whole;
		if (!whole && (middle - last_label) / (double)n < 0.035)
			continue;
		last_label = middle;
		str_addf(out,
			 "set label '%s%u' at %g,graph 0.97 center noenhanced textcolor rgb "
			 "'" COLOR_GREY "'\n",
			 whole ? "generation " : "", generation, middle);
	}
	if (numbers_only)
		str_add(out, "set label 'generation' at graph 1.015, graph 0.97 left noenhanced "
			     "textcolor rgb '" COLOR_GREY "'\n");
}

/* Names the lines at their right end; the two labels keep apart. */
static void add_line_labels(const PlotSpec *spec, const FitnessAxis *r, double best, Str *out)
{
	double base_at = spec->baseline, best_at = best, apart = 0.055 * (r->high - r->low);
	bool both = isfinite(best_at) && isfinite(base_at);
	if (both && fabs(best_at - base_at) < apart) {
		double middle = (best_at + base_at) / 2, up = best_at >= base_at ? 1 : -1;
		best_at = middle + up * apart / 2;
		base_at = middle - up * apart / 2;
	}
	if (isfinite(best_at))
		str_addf(out,
			 "set label 'best %.3f' at graph 1.015, first %.10g left noenhanced "
			 "textcolor rgb '" COLOR_GREEN "'\n",
			 best, best_at);
	if (isfinite(base_at))
		str_addf(out,
			 "set label 'baseline %.3f' at graph 1.015, first %.10g left noenhanced "
			 "textcolor rgb '" COLOR_INK "'\n",
			 spec->baseline, base_at);
}

/* The best so far as corners of its steps, to the right edge. NAN: nothing was measured. */
static double add_best(const PlotSpec *spec, Str *out)
{
	double best = (double)NAN;
	for (size_t i = 0; i < spec->n_trials; i++) {
		const PlotTrial *t = &spec->trials[i];
		if (mark_of(t) != MARK_OK || !isfinite(t->fitness) || best >= t->fitness)
			continue;
		if (isnan(best))
			str_add(out, "$best << EOD\n");
		best = t->fitness;
		str_addf(out, "%zu %.10g\n", i + 1, best);
	}
	if (isfinite(best))
		str_addf(out, "%g %.10g\nEOD\n", (double)spec->n_trials + 0.5, best);
	return best;
}

static void add_axes(const PlotSpec *spec, const FitnessAxis *a, Str *out)
{
	double n = (double)spec->n_trials;
	str_addf(out, "set xrange [0.5:%g]\n", n + 0.5);
	if (n <= 12)
		str_addf(out, "set xtics 1,1,%g\n", n);
	else
		script_tics(out, "x", 1, n, 10);
	script_fitness_axis(a, 6, out);
	str_add(out, "set xlabel 'trial' offset 0,0.4 textcolor rgb '" COLOR_INK "'\n"
		     "set ylabel 'fitness' textcolor rgb '" COLOR_INK "'\n");
}

static void add_points(const PlotSpec *spec, const FitnessAxis *a, Mark m, Str *out)
{
	str_addf(out, "%s << EOD\n", mark_block(m));
	for (size_t i = 0; i < spec->n_trials; i++) {
		const PlotTrial *t = &spec->trials[i];
		if (mark_of(t) == m)
			str_addf(out, "%zu %.10g\n", i + 1, m == MARK_OK ? t->fitness : a->row[m]);
	}
	str_add(out, "EOD\n");
}

static void add_legend(const FitnessAxis *a, bool baseline, bool best, Str *out)
{
	LegendItem items[LEGEND_MAX];
	size_t n = 0;
	if (baseline)
		items[n++] = (LegendItem){"baseline", MARK_MAX_, COLOR_INK, true};
	if (best)
		items[n++] = (LegendItem){"best so far", MARK_MAX_, COLOR_GREEN, false};
	for (Mark m = 0; m < MARK_MAX_; m++)
		if (a->count[m] > 0)
			items[n++] = (LegendItem){.label = mark_label(m), .mark = m};
	script_legend(&frame, items, n, out);
}

int evolution_script(const PlotSpec *spec, PlotFormat format, Str *out, Err *err)
{
	FitnessAxis a = fitness_axis(spec, 0.042);
	script_begin(spec, format, &frame, out);
	add_axes(spec, &a, out);
	add_bands(spec, out);
	for (Mark m = 0; m < MARK_MAX_; m++)
		if (a.count[m] > 0)
			add_points(spec, &a, m, out);
	double best = add_best(spec, out);
	add_line_labels(spec, &a, best, out);
	add_legend(&a, isfinite(spec->baseline), isfinite(best), out);

	const char *before = "plot ";
	if (isfinite(spec->baseline)) {
		str_addf(out, "%s%.10g with lines lc rgb '" COLOR_INK "' lw 1.5 dt " DASHED, before,
			 spec->baseline);
		before = ", ";
	}
	if (isfinite(best)) {
		str_addf(out, "%s$best with steps lc rgb '" COLOR_GREEN "' lw 2", before);
		before = ", ";
	}
	for (Mark m = 0; m < MARK_MAX_; m++) {
		if (a.count[m] == 0)
			continue;
		str_addf(out, "%s%s ", before, mark_block(m));
		script_points(out, m, script_point_scale(spec->n_trials));
		before = ", ";
	}
	str_add(out, "\n");
	return out->failed ? err_oom(err) : 0;
}
