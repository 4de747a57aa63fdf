#pragma once
/* The text that makes gnuplot draw. Pure: values in, script out. Everything goes to gnuplot's
 * standard input, and text of users only inside single quotes, where gnuplot expands nothing. */
#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"
#include "base/str.h"
#include "report/report.h"

typedef enum PlotFormat {
	PLOT_SVG,
	PLOT_PNG,
	PLOT_PDF,
} PlotFormat;

/* The whole script. -ENODATA with a sentence when there is nothing to draw. */
int plot_script(const PlotSpec *spec, PlotFormat format, Str *out, Err *err) _must_check_;

/* --- What the kinds share -------------------------------------------------------------------- */

/* How a trial is marked. The first two were measured in full. */
typedef enum Mark {
	MARK_OK,
	MARK_CONSTRAINT, /* measured, but it breaks a constraint */
	MARK_REFUSED,	 /* predicted infeasible or out of bounds: never started */
	MARK_FAILED,
	MARK_VOID,
	MARK_MAX_,
} Mark;

Mark mark_of(const PlotTrial *t);
const char *mark_label(Mark m);

#define COLOR_BLUE  "#0072b2"
#define COLOR_RED   "#d55e00"
#define COLOR_GREEN "#007a5a"
#define COLOR_GREY  "#777777"
#define COLOR_INK   "#222222"
#define DASHED	    "(9,6)"

/* Terminal, fonts, colours, title and subtitle for a picture of width x height points; the plot
 * lies between the given margins, in shares of the picture. */
typedef struct ScriptFrame {
	unsigned width, height;
	double left, right, bottom, top;
} ScriptFrame;

void script_begin(const PlotSpec *spec, PlotFormat format, const ScriptFrame *f, Str *out);
/* One line, safe, at most `width` characters, in single quotes. `percent`: where gnuplot would take
 * % for a format (labels of tics). */
void script_text(Str *out, const char *text, size_t width, bool percent);
/* The tics of an axis from lo to hi, `about` so many. */
void script_tics(Str *out, const char *axis, double lo, double hi, unsigned about);
/* "with points" and the looks of a mark; `scale` 1 is for a few dozens. */
void script_points(Str *out, Mark m, double scale);
/* How large points should be so that n of them do not blot out each other. */
double script_point_scale(size_t n);

/* One line of explanations at the foot of the picture. */
typedef struct LegendItem {
	const char *label;
	Mark mark;	   /* MARK_MAX_: a line */
	const char *color; /* of a line, or instead of the mark's own */
	bool dashed;
} LegendItem;

/* Labels and arrows are numbered from LEGEND_TAG on. */
enum {
	LEGEND_TAG = 100,
	LEGEND_MAX = 10
};
void script_legend(const ScriptFrame *f, const LegendItem *items, size_t n, Str *out);

/* The range of fitness drawn, and the strip below it, one row a mark, for trials without one. */
typedef struct FitnessAxis {
	double low, high;	 /* of the axis, strip and headroom included */
	double floor;		 /* where the strip ends and fitness begins */
	double row[MARK_MAX_];	 /* the height at which a mark stands; of MARK_OK: unused */
	size_t count[MARK_MAX_]; /* trials */
} FitnessAxis;

/* A row of the strip takes `row_share` of the axis. */
FitnessAxis fitness_axis(const PlotSpec *spec, double row_share);
/* The range, the tics, the grid and the line above the strip. */
void script_fitness_axis(const FitnessAxis *a, unsigned tics, Str *out);
/* The name of a mark's data block. */
const char *mark_block(Mark m);

int evolution_script(const PlotSpec *spec, PlotFormat format, Str *out, Err *err) _must_check_;
int pareto_script(const PlotSpec *spec, PlotFormat format, Str *out, Err *err) _must_check_;
int trials_script(const PlotSpec *spec, PlotFormat format, Str *out, Err *err) _must_check_;
