#pragma once
/* Values in, bytes out: tables for a terminal and plots through gnuplot. */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/cleanup.h"
#include "base/err.h"
#include "base/str.h"
#include "space/space.h"
#include "trial/trial.h"

/* --- Tables ---------------------------------------------------------------------------------- */

typedef enum Align {
	ALIGN_LEFT,
	ALIGN_RIGHT,
} Align;

/* What happens to a column when the table is wider than asked: first the rightmost COLUMN_DROP
 * columns are left out, then COLUMN_CUT ones lose their ends to an ellipsis. */
typedef enum ColumnFit {
	COLUMN_KEEP,
	COLUMN_CUT,
	COLUMN_DROP,
} ColumnFit;

typedef struct TableColumn {
	const char *title;
	Align align;
	ColumnFit fit;
} TableColumn;

typedef struct Table Table;

/* Columns are borrowed. Cells are copied. Widths count characters, not bytes (UTF-8). */
int table_new(const TableColumn *columns, size_t n, Table **ret) _must_check_;
Table *table_free(Table *t); /* accepts NULL, returns NULL */
DEFINE_CLEANUP(Table *, table_free)
/* Sticky failure: out of memory is reported by table_print(). */
void table_cell(Table *t, const char *fmt, ...)
    _printf_(2, 3); /* fills the row from the left; a full row starts the next */
void table_text(Table *t, const char *text); /* the same with plain text; NULL prints as "-" */
/* width 0: as wide as needed. */
int table_print(const Table *t, size_t width, Str *out, Err *err) _must_check_;

/* "0.712", "44.0 ms", "-" for NAN: numbers for people. `ret` holds at least 32 bytes. */
void report_number(double v, const char *unit, char *ret);
/* "+0.041 [+0.012, +0.070]" */
void report_interval(double mean, double lo, double hi, char *ret /* 64 bytes */);

/* --- Plots ----------------------------------------------------------------------------------- */

typedef enum PlotKind {
	PLOT_FITNESS_EVOLUTION, /* fitness against trial, by generation, with best so far and the
				   baseline */
	PLOT_PARETO,		/* two objectives, the front marked */
	PLOT_TRIALS,		/* each parameter against fitness */
	PLOT_MAX_,
} PlotKind;

const char *plot_kind_name(PlotKind k); /* "fitness-evolution" */
bool plot_kind_from_name(const char *name, PlotKind *ret);

typedef struct PlotTrial {
	uint32_t generation;
	int64_t number; /* what it is called: the number of its record */
	Outcome outcome;
	double fitness;
	bool feasible;
	double x, y;	      /* pareto: the two metrics; NAN: not measured */
	const double *levels; /* trials: one level index a parameter; NAN: inactive */
} PlotTrial;

typedef struct PlotSpec {
	PlotKind kind;
	const char *title;
	const char *subtitle; /* may be NULL */
	const PlotTrial *trials;
	size_t n_trials;
	double baseline;		       /* fitness of the baseline; NAN: none */
	const char *x_label, *y_label;	       /* pareto: metric and unit */
	bool x_maximize, y_maximize;	       /* pareto: which way is better */
	const char *const *param_names;	       /* trials */
	const char *const *const *level_names; /* trials: [param][level] */
	const uint32_t *n_levels;
	size_t n_params;
} PlotSpec;

/* By the ending of `path`: .svg, .png, .pdf (-EINVAL otherwise). -ENOENT with the package's name
 * when there is no gnuplot; -ENODATA when there is nothing to draw. The file is written whole. */
int plot_write(const PlotSpec *spec, const char *path, Err *err) _must_check_;
