/* One panel a parameter: which of its levels goes with which fitness. */
#include <math.h>
#include <stdlib.h>

#include "report/script.h"
#include "report/text.h"
#include "stats/stats.h"

enum {
	WIDTH = 1000,
	HEAD = 78,	/* title and subtitle */
	FOOT = 44,	/* the key */
	PANEL_TOP = 26, /* the parameter's name */
	LABEL_CHARS = 14,
	CHAR_WIDTH = 8,	 /* roughly, in points */
	MEDIAN_FROM = 3, /* trials at a level, for its median to be drawn */
};

/* All in points. */
typedef struct Grid {
	size_t columns;
	double panel_width, plot_height;
	double top[SPACE_DIMS_MAX]; /* of each row of panels, from the top of the picture */
	unsigned height;	    /* of the whole */
	int small_font;
} Grid;

/* How a panel's levels are labelled. */
typedef struct Labels {
	bool rotate;
	uint32_t every;
} Labels;

/* What one level has of the panel's width. */
static double slot_width(const PlotSpec *s, size_t param, double panel_width)
{
	return (panel_width - 84) / fmax(s->n_levels[param], 1);
}

static Labels labels_of(const PlotSpec *s, size_t param, double panel_width)
{
	size_t widest = 1;
	for (uint32_t l = 0; l < s->n_levels[param]; l++) {
		size_t width = text_width(s->level_names[param][l]);
		widest = width > widest ? width : widest;
	}
	double slot = slot_width(s, param, panel_width);
	Labels labels = {.every = 1};
	if ((double)(widest * CHAR_WIDTH) <= slot)
		return labels;
	/* Few characters: leave some out; words: turn them. */
	if (widest <= 6) {
		labels.every = (uint32_t)ceil((double)((widest + 1) * CHAR_WIDTH) / slot);
		return labels;
	}
	labels.rotate = true;
	labels.every = (uint32_t)fmax(1, ceil(18 / slot));
	return labels;
}

static Grid grid_of(const PlotSpec *s)
{
	size_t n = s->n_params;
	Grid g = {.columns = n <= 3 ? n : n == 4 ? 2 : n <= 9 ? 3 : 4};
	g.panel_width = (double)WIDTH / (double)g.columns;
	g.plot_height = n <= g.columns ? 360 : 220;
	double at = HEAD;
	for (size_t i = 0, row = 0; i < n; row++) {
		double labels = 36;
		g.top[row] = at;
		for (size_t end = i + g.columns; i < end && i < n; i++)
			if (labels_of(s, i, g.panel_width).rotate)
				labels = 96;
		at += PANEL_TOP + g.plot_height + labels;
	}
	g.height = (unsigned)(at + FOOT);
	return g;
}

static double level_of(const PlotSpec *s, size_t param, size_t i)
{
	const double *levels = s->trials[i].levels;
	return levels ? levels[param] : (double)NAN;
}

static void add_level_tics(const PlotSpec *s, size_t param, const Grid *g, Str *out)
{
	Labels labels = labels_of(s, param, g->panel_width);
	str_addf(out, "set xtics noenhanced %s (",
		 labels.rotate ? "rotate by 40 right" : "norotate center");
	for (uint32_t l = 0; l < s->n_levels[param]; l += labels.every) {
		str_add(out, l ? ", " : "");
		script_text(out, s->level_names[param][l], LABEL_CHARS, true);
		str_addf(out, " %u", l);
	}
	str_add(out, ")\n");
}

/* The trials of a level and a mark stand on each other, so their number stands beside. */
static bool add_counted(const PlotSpec *s, size_t param, Mark m, const FitnessAxis *a, Str *out)
{
	bool any = false;
	for (uint32_t l = 0; l < s->n_levels[param]; l++) {
		size_t n = 0;
		for (size_t i = 0; i < s->n_trials; i++)
			n += mark_of(&s->trials[i]) == m && level_of(s, param, i) == l;
		if (n == 0)
			continue;
		if (!any)
			str_addf(out, "%s << EOD\n", mark_block(m));
		any = true;
		str_addf(out, "%u %.10g %zu\n", l, a->row[m], n);
	}
	if (any)
		str_add(out, "EOD\n");
	return any;
}

static bool add_measured(const PlotSpec *s, size_t param, Str *out)
{
	bool any = false;
	for (size_t i = 0; i < s->n_trials; i++) {
		double level = level_of(s, param, i);
		if (mark_of(&s->trials[i]) != MARK_OK || isnan(level))
			continue;
		if (!any)
			str_addf(out, "%s << EOD\n", mark_block(MARK_OK));
		any = true;
		str_addf(out, "%g %.10g\n", level, s->trials[i].fitness);
	}
	if (any)
		str_add(out, "EOD\n");
	return any;
}

/* $median: level - width, median, length, 0 for every level with enough trials. */
static int add_medians(const PlotSpec *s, size_t param, Str *out, bool *ret_any)
{
	_cleanup_free_ double *at = calloc(s->n_trials, sizeof(*at));
	if (!at)
		return -ENOMEM;
	*ret_any = false;
	for (uint32_t l = 0; l < s->n_levels[param]; l++) {
		size_t n = 0;
		for (size_t i = 0; i < s->n_trials; i++)
			if (level_of(s, param, i) == l && mark_of(&s->trials[i]) == MARK_OK)
				at[n++] = s->trials[i].fitness;
		if (n < MEDIAN_FROM)
			continue;
		stats_sort(at, n);
		if (!*ret_any)
			str_add(out, "$median << EOD\n");
		*ret_any = true;
		str_addf(out, "%g %.10g 0.7 0\n", l - 0.35, stats_median(at, n));
	}
	if (*ret_any)
		str_add(out, "EOD\n");
	return 0;
}

static void place_panel(const PlotSpec *s, size_t i, const Grid *g, Str *out)
{
	double column = (double)(i % g->columns);
	double left = column * g->panel_width + 70, right = (column + 1) * g->panel_width - 14;
	double top = g->top[i / g->columns] + PANEL_TOP, bottom = top + g->plot_height;
	str_addf(out,
		 "set lmargin at screen %.4f\nset rmargin at screen %.4f\n"
		 "set tmargin at screen %.4f\nset bmargin at screen %.4f\n",
		 left / WIDTH, right / WIDTH, 1 - top / g->height, 1 - bottom / g->height);
	str_add(out, "set label 3 ");
	script_text(out, s->param_names[i], (size_t)(g->panel_width - 84) / CHAR_WIDTH, false);
	str_addf(out, " at screen %.4f,%.4f left noenhanced textcolor rgb '" COLOR_INK "'\n",
		 left / WIDTH, 1 - (top - 12) / g->height);
	str_addf(out, "set ylabel '%s' offset 0.5,0 textcolor rgb '" COLOR_INK "'\n",
		 i % g->columns == 0 ? "fitness" : "");
	str_addf(out, "set xrange [-0.6:%g]\n", fmax(s->n_levels[i], 1) - 0.4);
}

static int add_panel(const PlotSpec *s, size_t param, const Grid *g, const FitnessAxis *a, Str *out)
{
	double scale = script_point_scale(s->n_trials);
	bool medians, here[MARK_MAX_];
	bool room_for_counts = slot_width(s, param, g->panel_width) >= 28;
	place_panel(s, param, g, out);
	add_level_tics(s, param, g, out);
	if (add_medians(s, param, out, &medians) < 0)
		return -ENOMEM;
	here[MARK_OK] = add_measured(s, param, out);
	for (Mark m = MARK_OK + 1; m < MARK_MAX_; m++)
		here[m] = add_counted(s, param, m, a, out);

	/* The line of a baseline that does not exist is NaN, which draws nothing. */
	if (isfinite(s->baseline))
		str_addf(out, "plot %.10g with lines lc rgb '" COLOR_INK "' lw 1.5 dt " DASHED,
			 s->baseline);
	else
		str_add(out, "plot NaN");
	for (Mark m = 0; m < MARK_MAX_; m++) {
		if (!here[m])
			continue;
		str_addf(out, ", %s ", mark_block(m));
		script_points(out, m, m == MARK_OK ? scale : 1);
		if (m != MARK_OK && room_for_counts)
			str_addf(out,
				 ", %s using 1:2:($3 > 1 ? sprintf('%%d', $3) : '') with labels "
				 "left offset 1,0 font ',%d' textcolor rgb '" COLOR_GREY "'",
				 mark_block(m), g->small_font);
	}
	if (medians)
		str_add(out, ", $median using 1:2:3:4 with vectors nohead lw 2 lc rgb '" COLOR_GREEN
			     "'");
	str_add(out, "\n");
	return 0;
}

static size_t add_legend(const PlotSpec *s, const ScriptFrame *f, const FitnessAxis *a, Str *out)
{
	LegendItem items[LEGEND_MAX];
	size_t n = 0;
	if (isfinite(s->baseline))
		items[n++] = (LegendItem){"baseline", MARK_MAX_, COLOR_INK, true};
	items[n++] = (LegendItem){"median of a value", MARK_MAX_, COLOR_GREEN, false};
	for (Mark m = 0; m < MARK_MAX_; m++)
		if (a->count[m] > 0)
			items[n++] = (LegendItem){.label = mark_label(m), .mark = m};
	script_legend(f, items, n, out);
	return n;
}

int trials_script(const PlotSpec *spec, PlotFormat format, Str *out, Err *err)
{
	if (spec->n_params == 0 || spec->n_params > SPACE_DIMS_MAX)
		return err_set(err, -ENODATA,
			       "there is nothing to draw: no parameters, or too many");
	Grid g = grid_of(spec);
	g.small_font = format == PLOT_SVG ? 11 : 8;
	FitnessAxis a = fitness_axis(spec, 14 / g.plot_height);
	ScriptFrame frame = {.width = WIDTH, .height = g.height, .right = 1, .top = 1};

	script_begin(spec, format, &frame, out);
	script_fitness_axis(&a, g.plot_height > 300 ? 6 : 5, out);
	size_t legend = add_legend(spec, &frame, &a, out);
	str_add(out, "set multiplot\n");
	for (size_t i = 0; i < spec->n_params; i++) {
		if (add_panel(spec, i, &g, &a, out) < 0)
			return err_oom(err);
		/* What belongs to the whole picture was drawn with the first panel. */
		str_add(out, i == 0 ? "unset label\n" : "");
		for (size_t k = 0; i == 0 && k < legend; k++) /* none there: no harm */
			str_addf(out, "unset arrow %zu\n", LEGEND_TAG + k);
	}
	str_add(out, "unset multiplot\n");
	return out->failed ? err_oom(err) : 0;
}
