/* From a script to a file: gnuplot draws, the file is written whole. */
#include <string.h>
#include <strings.h>

#include "base/file.h"
#include "base/proc.h"
#include "report/script.h"

enum {
	PICTURE_MAX = 256 << 20, /* bytes */
	GNUPLOT_TIMEOUT_US = 120 * 1000 * 1000,
};

static const char *const kind_names[PLOT_MAX_] = {
    [PLOT_FITNESS_EVOLUTION] = "fitness-evolution",
    [PLOT_PARETO] = "pareto",
    [PLOT_TRIALS] = "trials",
};

const char *plot_kind_name(PlotKind k)
{
	return (unsigned)k < PLOT_MAX_ ? kind_names[k] : "unknown";
}

bool plot_kind_from_name(const char *name, PlotKind *ret)
{
	for (PlotKind k = 0; k < PLOT_MAX_; k++)
		if (strcmp(kind_names[k], name) == 0) {
			*ret = k;
			return true;
		}
	return false;
}

static int format_of(const char *path, PlotFormat *ret)
{
	static const char *const endings[] = {
	    [PLOT_SVG] = ".svg", [PLOT_PNG] = ".png", [PLOT_PDF] = ".pdf"};
	size_t len = strlen(path);
	for (PlotFormat f = PLOT_SVG; f <= PLOT_PDF; f++)
		if (len > 4 && strcasecmp(path + len - 4, endings[f]) == 0) {
			*ret = f;
			return 0;
		}
	return -EINVAL;
}

/* The person's own ~/.gnuplot must not change the picture, hence -d. */
static int draw(const Str *script, char **ret, size_t *ret_len, Err *err)
{
	static const char *const argv[] = {"gnuplot", "-d", NULL};
	static const char *const env[] = {"LC_ALL=C.UTF-8", "GNUPLOT_LIB=", NULL};
	ProcSpec spec = {.argv = argv, .env = env, .stderr_fd = -1};
	return proc_run(&spec, script->s, script->len, PICTURE_MAX, GNUPLOT_TIMEOUT_US, ret,
			ret_len, err);
}

int plot_write(const PlotSpec *spec, const char *path, Err *err)
{
	PlotFormat format;
	if (format_of(path, &format) < 0)
		return err_set(err, -EINVAL,
			       "cannot draw '%s': its name must end in .svg, .png or .pdf", path);
	_cleanup_(str_done) Str script = STR_INIT;
	int r = plot_script(spec, format, &script, err);
	if (r < 0)
		return r;
	_cleanup_free_ char *picture = NULL;
	size_t len;
	r = draw(&script, &picture, &len, err);
	if (r == -ENOENT)
		return err_set(err, r,
			       "cannot draw '%s': gnuplot is not installed; apt install "
			       "gnuplot-nox",
			       path);
	if (r < 0)
		return err_wrap(err, r, "cannot draw '%s'", path);
	if (len == 0)
		return err_set(err, -EIO, "cannot draw '%s': gnuplot gave no picture", path);
	return file_write(path, 0644, picture, len, err);
}
