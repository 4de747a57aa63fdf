/* Two metrics against each other: the front with its line, what it beats behind it, and how many
 * trials have no place in the picture. */
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>

#include "report/script.h"
#include "report/text.h"

static const ScriptFrame frame = {
    .width = 1000, .height = 620, .left = 0.09, .right = 0.96, .bottom = 0.18, .top = 0.86};

typedef struct Cloud {
	size_t *front; /* indices into the trials, best x first */
	size_t *beaten, *broken;
	size_t n_front, n_beaten, n_broken, n_failed, n_refused, n_void, n_missing;
	double x_lo, x_hi, y_lo, y_hi;
} Cloud;

static void cloud_done(Cloud *c)
{
	free(c->front);
	free(c->beaten);
	free(c->broken);
}

/* Best x first; among equal ones best y first. */
static int by_x(const void *a, const void *b, void *userdata)
{
	const PlotSpec *s = userdata;
	const PlotTrial *p = &s->trials[*(const size_t *)a], *q = &s->trials[*(const size_t *)b];
	double dx = s->x_maximize ? q->x - p->x : p->x - q->x;
	double dy = s->y_maximize ? q->y - p->y : p->y - q->y;
	return dx < 0 ? -1 : dx > 0 ? 1 : dy < 0 ? -1 : dy > 0;
}

/* Walking from the best x on, a point is beaten unless its y is better than every y so far; equal
 * points share their fate. */
static void split_front(const PlotSpec *s, Cloud *c)
{
	size_t n = c->n_front;
	qsort_r(c->front, n, sizeof(*c->front), by_x, (void *)(uintptr_t)s);
	c->n_front = 0;
	for (size_t i = 0; i < n; i++) {
		const PlotTrial *t = &s->trials[c->front[i]];
		const PlotTrial *last = c->n_front ? &s->trials[c->front[c->n_front - 1]] : NULL;
		bool better = !last || (s->y_maximize ? t->y > last->y : t->y < last->y);
		bool same = last && t->x == last->x && t->y == last->y;
		if (better || same)
			c->front[c->n_front++] = c->front[i];
		else
			c->beaten[c->n_beaten++] = c->front[i];
	}
}

static void sort_in(const PlotSpec *s, size_t i, Cloud *c)
{
	const PlotTrial *t = &s->trials[i];
	Mark m = mark_of(t);
	if (m == MARK_FAILED || m == MARK_REFUSED || m == MARK_VOID) {
		c->n_failed += m == MARK_FAILED;
		c->n_refused += m == MARK_REFUSED;
		c->n_void += m == MARK_VOID;
		return;
	}
	if (!isfinite(t->x) || !isfinite(t->y)) {
		c->n_missing++;
		return;
	}
	if (m == MARK_OK)
		c->front[c->n_front++] = i;
	else
		c->broken[c->n_broken++] = i;
	c->x_lo = fmin(c->x_lo, t->x);
	c->x_hi = fmax(c->x_hi, t->x);
	c->y_lo = fmin(c->y_lo, t->y);
	c->y_hi = fmax(c->y_hi, t->y);
}

static int cloud_init(const PlotSpec *s, Cloud *c)
{
	*c = (Cloud){.x_lo = (double)INFINITY,
		     .x_hi = -(double)INFINITY,
		     .y_lo = (double)INFINITY,
		     .y_hi = -(double)INFINITY};
	c->front = calloc(s->n_trials, sizeof(*c->front));
	c->beaten = calloc(s->n_trials, sizeof(*c->beaten));
	c->broken = calloc(s->n_trials, sizeof(*c->broken));
	if (!c->front || !c->beaten || !c->broken)
		return -ENOMEM;
	for (size_t i = 0; i < s->n_trials; i++)
		sort_in(s, i, c);
	split_front(s, c);
	return 0;
}

static void count_text(Str *out, size_t n, const char *what, const char **separator)
{
	if (n == 0)
		return;
	str_addf(out, "%s%zu %s", *separator, n, what);
	*separator = ", ";
}

/* The subtitle, and what the picture leaves out. */
static void subtitle_text(const PlotSpec *s, const Cloud *c, Str *out)
{
	size_t out_of_sight = c->n_failed + c->n_refused + c->n_void + c->n_missing;
	const char *separator = ": ";
	if (s->subtitle && s->subtitle[0])
		str_addf(out, "%s%s", s->subtitle, out_of_sight ? "; " : "");
	if (out_of_sight == 0)
		return;
	str_addf(out, "%zu of %zu trials not shown", out_of_sight, s->n_trials);
	count_text(out, c->n_failed, "failed", &separator);
	count_text(out, c->n_refused, "refused unstarted", &separator);
	count_text(out, c->n_void, "void", &separator);
	count_text(out, c->n_missing, "without both numbers", &separator);
}

static void add_range(Str *out, const char *axis, double lo, double hi)
{
	double span = hi > lo ? hi - lo : fmax(fabs(hi) * 0.2, 1e-3);
	double from = lo - 0.10 * span, to = hi + 0.10 * span;
	str_addf(out, "set %srange [%.10g:%.10g]\n", axis, from, to);
	script_tics(out, axis, from, to, 8);
}

static void add_axis_label(Str *out, const char *axis, const char *label, bool maximize)
{
	_cleanup_(str_done) Str text = STR_INIT;
	size_t fits = text_bytes(label ? label : axis, 48);
	str_addn(&text, label ? label : axis, fits);
	str_addf(&text, "%s (%s is better)", label && label[fits] ? "…" : "",
		 maximize ? "more" : "less");
	str_addf(out, "set %slabel ", axis);
	script_text(out, text.s ? text.s : "", 80, false);
	str_addf(out, " %s noenhanced textcolor rgb '" COLOR_INK "'\n",
		 axis[0] == 'x' ? "offset 0,0.4" : "");
}

static bool add_points(Str *out, const PlotSpec *s, const char *name, const size_t *index, size_t n)
{
	if (n == 0)
		return false;
	str_addf(out, "$%s << EOD\n", name);
	for (size_t i = 0; i < n; i++)
		str_addf(out, "%.10g %.10g\n", s->trials[index[i]].x, s->trials[index[i]].y);
	str_add(out, "EOD\n");
	return true;
}

/* The front's trials by number, on the side where nothing lies; those too near to the last one
 * named stay unnamed. */
static void add_names(const PlotSpec *s, const Cloud *c, Str *out)
{
	double x_span = fmax(c->x_hi - c->x_lo, 1e-12), y_span = fmax(c->y_hi - c->y_lo, 1e-12);
	const PlotTrial *last = NULL;
	for (size_t i = 0; i < c->n_front; i++) {
		const PlotTrial *t = &s->trials[c->front[i]];
		if (last && fabs(t->x - last->x) / x_span < 0.05 &&
		    fabs(t->y - last->y) / y_span < 0.06)
			continue;
		last = t;
		str_addf(out,
			 "set label '#%" PRId64 "' at %.10g,%.10g %s offset %s,%s front noenhanced "
			 "textcolor rgb '" COLOR_GREEN "'\n",
			 t->number, t->x, t->y, s->x_maximize ? "left" : "right",
			 s->x_maximize ? "0.6" : "-0.6", s->y_maximize ? "0.6" : "-0.6");
	}
}

static void add_axes(const PlotSpec *s, const Cloud *c, Str *out)
{
	add_range(out, "x", c->x_lo, c->x_hi);
	add_range(out, "y", c->y_lo, c->y_hi);
	add_axis_label(out, "x", s->x_label, s->x_maximize);
	add_axis_label(out, "y", s->y_label, s->y_maximize);
	str_add(out, "set grid lc rgb '#dddddd' lw 0.5 lt 1\nunset key\n");
	add_names(s, c, out);
}

static void add_legend(const Cloud *c, Str *out)
{
	LegendItem items[LEGEND_MAX];
	size_t n = 0;
	if (c->n_front)
		items[n++] =
		    (LegendItem){"front: no trial is better in both", MARK_OK, COLOR_GREEN, false};
	if (c->n_beaten)
		items[n++] = (LegendItem){.label = "beaten by the front", .mark = MARK_OK};
	if (c->n_broken)
		items[n++] =
		    (LegendItem){.label = mark_label(MARK_CONSTRAINT), .mark = MARK_CONSTRAINT};
	script_legend(&frame, items, n, out);
}

static int draw(const PlotSpec *s, const Cloud *c, PlotFormat format, Str *out, Err *err)
{
	_cleanup_(str_done) Str subtitle = STR_INIT;
	subtitle_text(s, c, &subtitle);
	PlotSpec titled = *s;
	titled.subtitle = subtitle.s;
	script_begin(&titled, format, &frame, out);
	add_axes(s, c, out);
	add_legend(c, out);
	bool front = add_points(out, s, "front", c->front, c->n_front);
	bool beaten = add_points(out, s, "beaten", c->beaten, c->n_beaten);
	bool broken = add_points(out, s, "broken", c->broken, c->n_broken);

	double scale = script_point_scale(s->n_trials);
	const char *before = "plot ";
	if (beaten) {
		str_addf(out, "%s$beaten ", before);
		script_points(out, MARK_OK, scale);
		before = ", ";
	}
	if (broken) {
		str_addf(out, "%s$broken ", before);
		script_points(out, MARK_CONSTRAINT, scale);
		before = ", ";
	}
	if (front)
		str_addf(out,
			 "%s$front with steps lc rgb '" COLOR_GREEN "' lw 1.5, $front with points "
			 "pt 7 ps 1.1 lc rgb '" COLOR_GREEN "'",
			 before);
	str_add(out, "\n");
	return out->failed || subtitle.failed ? err_oom(err) : 0;
}

int pareto_script(const PlotSpec *spec, PlotFormat format, Str *out, Err *err)
{
	_cleanup_(cloud_done) Cloud c = {0};
	if (cloud_init(spec, &c) < 0)
		return err_oom(err);
	if (c.n_front + c.n_broken == 0)
		return err_set(err, -ENODATA,
			       "there is nothing to draw: in none of the %zu trials were both "
			       "metrics measured",
			       spec->n_trials);
	return draw(spec, &c, format, out, err);
}
