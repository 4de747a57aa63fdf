/* What every picture has in common: the terminal, safe text, marks and scales. */
#include <math.h>
#include <string.h>

#include "report/script.h"
#include "report/text.h"

/* Distinct by shape and by brightness, so that they are told apart without colour; the colours are
 * Okabe and Ito's. */
static const struct {
	const char *label, *color;
	int shape; /* gnuplot's pointtype */
	double size;
} marks[MARK_MAX_] = {
    [MARK_OK] = {"measured", COLOR_BLUE, 7, 0.75},
    [MARK_CONSTRAINT] = {"breaks a constraint", "#e69f00", 13, 0.9},
    [MARK_REFUSED] = {"refused unstarted", COLOR_GREY, 1, 0.8},
    [MARK_FAILED] = {"failed", COLOR_RED, 2, 0.9},
    [MARK_VOID] = {"void", COLOR_GREY, 6, 0.8},
};

Mark mark_of(const PlotTrial *t)
{
	if (t->outcome == OUTCOME_OK)
		return t->feasible ? MARK_OK : MARK_CONSTRAINT;
	if (t->outcome == OUTCOME_INFEASIBLE || t->outcome == OUTCOME_OUT_OF_BOUNDS)
		return MARK_REFUSED;
	return outcome_is_void(t->outcome) ? MARK_VOID : MARK_FAILED;
}

const char *mark_label(Mark m)
{
	return marks[m].label;
}

void script_points(Str *out, Mark m, double scale)
{
	str_addf(out, "with points pt %d ps %.3g lc rgb '%s'", marks[m].shape,
		 marks[m].size * scale, marks[m].color);
}

double script_point_scale(size_t n)
{
	double scale = n > 60 ? sqrt(60.0 / (double)n) : 1;
	return scale > 0.45 ? scale : 0.45;
}

/* Length of a valid UTF-8 sequence at the start of `s`, 0 for anything else. */
static size_t utf8_length(const unsigned char *s)
{
	size_t len = s[0] < 0x80   ? 1
		     : s[0] < 0xc2 ? 0
		     : s[0] < 0xe0 ? 2
		     : s[0] < 0xf0 ? 3
		     : s[0] < 0xf5 ? 4
				   : 0;
	for (size_t i = 1; i < len; i++)
		if ((s[i] & 0xc0) != 0x80)
			return 0;
	return len;
}

void script_text(Str *out, const char *text, size_t width, bool percent)
{
	size_t have = text_width(text);
	const unsigned char *s = (const unsigned char *)text;
	str_addc(out, '\'');
	for (size_t n = 0; *s && n < (have > width ? width - 1 : width); n++) {
		size_t len = utf8_length(s);
		if (len <= 1) /* a quote is doubled, what is no text becomes a space */
			str_addf(out, "%s%c",
				 *s == '\''		? "'"
				 : *s == '%' && percent ? "%"
							: "",
				 len == 0 || *s < 0x20 || *s == 0x7f ? ' ' : *s);
		else
			str_addn(out, (const char *)s, len);
		s += len ? len : 1;
	}
	str_add(out, have > width ? "…'" : "'");
}

static void set_terminal(PlotFormat format, const ScriptFrame *f, Str *out)
{
	switch (format) {
	case PLOT_SVG:
		str_addf(out,
			 "set terminal svg size %u,%u dynamic font 'DejaVu Sans,sans-serif,13' "
			 "linewidth 1.2 background '#ffffff'\n",
			 f->width, f->height);
		break;
	case PLOT_PNG: /* twice the size, for sharp text */
		str_addf(out,
			 "set terminal pngcairo size %u,%u font 'DejaVu Sans,10' fontscale 2 "
			 "linewidth 2 pointscale 2 background '#ffffff'\n",
			 2 * f->width, 2 * f->height);
		break;
	case PLOT_PDF:
		str_addf(out,
			 "set terminal pdfcairo size %.2fin,%.2fin font 'DejaVu Sans,10' fontscale "
			 "0.72 linewidth 2 "
			 "background '#ffffff'\n",
			 f->width / 96.0, f->height / 96.0);
		break;
	}
}

void script_begin(const PlotSpec *spec, PlotFormat format, const ScriptFrame *f, Str *out)
{
	const char *title = format == PLOT_SVG ? ",19" : ",14";
	str_add(out, "set encoding utf8\n");
	set_terminal(format, f, out);
	str_addf(out,
		 "set border 3 lc rgb '" COLOR_GREY "'\n"
		 "set tics nomirror out textcolor rgb '" COLOR_INK "'\n"
		 "set lmargin at screen %.4f\nset rmargin at screen %.4f\n"
		 "set bmargin at screen %.4f\nset tmargin at screen %.4f\n",
		 f->left, f->right, f->bottom, f->top);
	double title_y = 1 - 26.0 / f->height, subtitle_y = 1 - 51.0 / f->height;
	str_addf(out, "set label 1 ");
	script_text(out, spec->title ? spec->title : "", 80, false);
	str_addf(out,
		 " at screen %.4f,%.4f left noenhanced font '%s' textcolor rgb '" COLOR_INK "'\n",
		 16.0 / f->width, title_y, title);
	if (!spec->subtitle || !spec->subtitle[0])
		return;
	str_add(out, "set label 2 ");
	script_text(out, spec->subtitle, 120, false);
	str_addf(out, " at screen %.4f,%.4f left noenhanced textcolor rgb '" COLOR_GREY "'\n",
		 16.0 / f->width, subtitle_y);
}

/* 1, 2 or 5 times a power of ten. */
static double nice_step(double range, unsigned about)
{
	double raw = range / about, power = pow(10, floor(log10(raw)));
	double share = raw / power;
	return power * (share <= 1 ? 1 : share <= 2 ? 2 : share <= 5 ? 5 : 10);
}

void script_tics(Str *out, const char *axis, double lo, double hi, unsigned about)
{
	double step = nice_step(hi - lo, about);
	int decimals = (int)fmax(0, ceil(-log10(step) - 1e-9));
	str_addf(out, "set %stics %.10g,%.10g,%.10g\n", axis, ceil(lo / step - 1e-9) * step, step,
		 floor(hi / step + 1e-9) * step);
	if (decimals <= 3 && fabs(hi) < 1e6)
		str_addf(out, "set format %s '%%.%df'\n", axis, decimals);
	else
		str_addf(out, "set format %s '%%g'\n", axis);
}

/* Text is about this wide, in points a character. */
static const double char_width = 7.6;

void script_legend(const ScriptFrame *f, const LegendItem *items, size_t n, Str *out)
{
	const double sample = 34, gap = 22;
	double total = -gap, y = 18.0 / f->height;
	for (size_t i = 0; i < n; i++)
		total += sample + gap + char_width * (double)text_width(items[i].label);
	double x = (f->width - total) / 2;
	for (size_t i = 0; i < n; i++) {
		const LegendItem *item = &items[i];
		bool line = item->mark == MARK_MAX_;
		if (line)
			str_addf(out,
				 "set arrow %zu from screen %.4f,%.4f to screen %.4f,%.4f nohead "
				 "lw 2 dt %s lc rgb '%s'\n",
				 LEGEND_TAG + i, x / f->width, y, (x + sample - 6) / f->width, y,
				 item->dashed ? DASHED : "1", item->color);
		else
			str_addf(out,
				 "set label %zu '' at screen %.4f,%.4f point pt %d ps %g lc rgb "
				 "'%s'\n",
				 LEGEND_TAG + LEGEND_MAX + i, (x + sample - 12) / f->width, y,
				 marks[item->mark].shape, marks[item->mark].size,
				 item->color ? item->color : marks[item->mark].color);
		str_addf(out,
			 "set label %zu '%s' at screen %.4f,%.4f left noenhanced textcolor rgb "
			 "'" COLOR_INK "'\n",
			 LEGEND_TAG + i, item->label, (x + sample) / f->width, y);
		x += sample + gap + char_width * (double)text_width(item->label);
	}
}

const char *mark_block(Mark m)
{
	static const char *const names[MARK_MAX_] = {"$ok", "$constraint", "$refused", "$failed",
						     "$void"};
	return names[m];
}

FitnessAxis fitness_axis(const PlotSpec *spec, double row_share)
{
	double lo = spec->baseline, hi = spec->baseline;
	FitnessAxis a = {0};
	for (size_t i = 0; i < spec->n_trials; i++) {
		const PlotTrial *t = &spec->trials[i];
		a.count[mark_of(t)]++;
		if (mark_of(t) != MARK_OK)
			continue;
		lo = fmin(lo, t->fitness); /* NAN gives way */
		hi = fmax(hi, t->fitness);
	}
	if (!isfinite(lo) || !isfinite(hi))
		lo = 0, hi = 1;
	double span = fmax(hi - lo, 0.02), rows = 0;
	for (Mark m = MARK_OK + 1; m < MARK_MAX_; m++)
		rows += a.count[m] > 0;
	a.high = hi + 0.16 * span;
	a.floor = a.low = lo - 0.08 * span;
	double row_height = row_share * (a.high - a.floor) / (1 - rows * row_share);
	for (Mark m = MARK_OK + 1; m < MARK_MAX_; m++) {
		if (a.count[m] == 0)
			continue;
		a.low -= row_height;
		a.row[m] = a.low + row_height / 2;
	}
	return a;
}

void script_fitness_axis(const FitnessAxis *a, unsigned tics, Str *out)
{
	str_addf(out, "set yrange [%.10g:%.10g]\n", a->low, a->high);
	script_tics(out, "y", a->floor, a->high, tics);
	str_add(out, "set grid ytics lc rgb '#dddddd' lw 0.5 lt 1\nunset key\n");
	if (a->low < a->floor)
		str_addf(out,
			 "set arrow 1 from graph 0, first %.10g to graph 1, first %.10g nohead lc "
			 "rgb '" COLOR_GREY "' lw 0.5 dt 3\n",
			 a->floor, a->floor);
}

int plot_script(const PlotSpec *spec, PlotFormat format, Str *out, Err *err)
{
	if (spec->n_trials == 0)
		return err_set(err, -ENODATA, "there is nothing to draw: no trial yet");
	switch (spec->kind) {
	case PLOT_FITNESS_EVOLUTION:
		return evolution_script(spec, format, out, err);
	case PLOT_PARETO:
		return pareto_script(spec, format, out, err);
	case PLOT_TRIALS:
		return trials_script(spec, format, out, err);
	case PLOT_MAX_:
		break;
	}
	return err_set(err, -EINVAL, "there is no such kind of plot");
}
