/* Pictures through the real gnuplot, and what happens without it. */
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "base/file.h"
#include "base/rng.h"
#include "base/str.h"
#include "report/report.h"
#include "test.h"

enum {
	TRIALS = 60
};

static const char *const levels_a[] = {"0.4", "0.5", "0.6"};
static const char *const levels_b[] = {"tiny", "a rather long 'level' name", "100 %g"};
static const char *const *const level_names[] = {levels_a, levels_b};
static const char *const names[] = {"vllm_memory_util", "b"};
static const uint32_t n_levels[] = {3, 3};

static void fill(PlotTrial *trials, double (*levels)[2])
{
	Rng rng = rng_derive(1, "plot", 0);
	for (size_t i = 0; i < TRIALS; i++) {
		levels[i][0] = (double)rng_below(&rng, 3);
		levels[i][1] = (double)rng_below(&rng, 3);
		trials[i] = (PlotTrial){
		    .generation = (uint32_t)i / 10,
		    .number = (int64_t)i + 1,
		    .outcome = i % 7 == 3 ? (Outcome)(rng_below(&rng, OUTCOME_MAX_)) : OUTCOME_OK,
		    .fitness = rng_unit(&rng),
		    .feasible = i % 5 != 0,
		    .x = 100 * rng_unit(&rng),
		    .y = i % 11 == 0 ? (double)NAN : rng_unit(&rng),
		    .levels = levels[i],
		};
	}
}

static PlotSpec spec_of(PlotKind kind, const PlotTrial *trials)
{
	return (PlotSpec){.kind = kind,
			  .title = "a title",
			  .subtitle = "and more",
			  .trials = trials,
			  .n_trials = TRIALS,
			  .baseline = 0.5,
			  .x_label = "llm_latency_ms",
			  .y_label = "wer_pct",
			  .param_names = names,
			  .level_names = level_names,
			  .n_levels = n_levels,
			  .n_params = 2};
}

/* A folder that is gone at the end of the test. */
typedef struct Folder {
	char path[64], file[4][96];
} Folder;

static void folder_init(Folder *f)
{
	snprintf(f->path, sizeof(f->path), "/tmp/dream-plot-XXXXXX");
	CHECK(mkdtemp(f->path));
	static const char *const files[] = {"a.svg", "b.svg", "a.png", "a.pdf"};
	for (size_t i = 0; i < 4; i++)
		snprintf(f->file[i], sizeof(f->file[i]), "%s/%s", f->path, files[i]);
}

static void folder_done(Folder *f)
{
	for (size_t i = 0; i < 4; i++)
		unlink(f->file[i]);
	CHECK_INT(rmdir(f->path), 0); /* nothing else was left there */
}

static bool have_gnuplot(void)
{
	const char *path = getenv("PATH");
	for (const char *at = path; at && *at;) {
		char file[512];
		size_t len = strcspn(at, ":");
		snprintf(file, sizeof(file), "%.*s/gnuplot", (int)len, at);
		if (access(file, X_OK) == 0)
			return true;
		at += len + (at[len] == ':');
	}
	return false;
}

static void check_begins(const char *path, const char *magic)
{
	_cleanup_free_ char *data = NULL;
	size_t len;
	CHECK_OK(file_read(path, 16 << 20, &data, &len, NULL));
	CHECK(len > 1000);
	CHECK(strstr(data, magic) && strstr(data, magic) - data < 64);
}

TEST(every_kind_is_drawn_in_every_format)
{
	if (!have_gnuplot())
		SKIP("gnuplot is not installed");
	PlotTrial trials[TRIALS];
	double levels[TRIALS][2];
	Folder f;
	fill(trials, levels);
	folder_init(&f);
	for (PlotKind k = 0; k < PLOT_MAX_; k++) {
		PlotSpec s = spec_of(k, trials);
		Err err = ERR_INIT;
		for (size_t i = 0; i < 4; i++)
			if (plot_write(&s, f.file[i], &err) < 0)
				test_fail(__FILE__, __LINE__, "%s: %s", plot_kind_name(k), err.msg);
		check_begins(f.file[0], "<svg");
		check_begins(f.file[2], "PNG");
		check_begins(f.file[3], "%PDF");
	}
	folder_done(&f);
}

TEST(the_same_values_give_the_same_bytes)
{
	if (!have_gnuplot())
		SKIP("gnuplot is not installed");
	PlotTrial trials[TRIALS];
	double levels[TRIALS][2];
	Folder f;
	fill(trials, levels);
	folder_init(&f);
	PlotSpec s = spec_of(PLOT_TRIALS, trials);
	_cleanup_free_ char *a = NULL, *b = NULL;
	size_t len_a, len_b;
	CHECK_OK(plot_write(&s, f.file[0], NULL));
	CHECK_OK(plot_write(&s, f.file[1], NULL));
	CHECK_OK(file_read(f.file[0], 16 << 20, &a, &len_a, NULL));
	CHECK_OK(file_read(f.file[1], 16 << 20, &b, &len_b, NULL));
	CHECK(len_a == len_b && memcmp(a, b, len_a) == 0);
	folder_done(&f);
}

TEST(text_arrives_in_the_picture_as_it_was_given)
{
	if (!have_gnuplot())
		SKIP("gnuplot is not installed");
	PlotTrial trials[TRIALS];
	double levels[TRIALS][2];
	Folder f;
	fill(trials, levels);
	folder_init(&f);
	PlotSpec s = spec_of(PLOT_TRIALS, trials);
	s.title = "it's `date` {/Bold x}_y^2 \\n @m %d é";
	_cleanup_free_ char *svg = NULL;
	size_t len;
	CHECK_OK(plot_write(&s, f.file[0], NULL));
	CHECK_OK(file_read(f.file[0], 16 << 20, &svg, &len, NULL));
	CHECK(strstr(svg, "it's `date` {/Bold x}_y^2 \\n @m %d é"));
	CHECK(strstr(svg, "100 %g")); /* a level's name */
	folder_done(&f);
}

TEST(one_trial_alone_is_drawn)
{
	if (!have_gnuplot())
		SKIP("gnuplot is not installed");
	PlotTrial trials[TRIALS];
	double levels[TRIALS][2];
	Folder f;
	fill(trials, levels);
	folder_init(&f);
	for (Outcome o = 0; o < OUTCOME_MAX_; o++) {
		trials[1].outcome = o;
		PlotSpec s = spec_of(PLOT_FITNESS_EVOLUTION, &trials[1]);
		s.n_trials = 1;
		s.baseline = (double)NAN;
		CHECK_OK(plot_write(&s, f.file[0], NULL));
		s.kind = PLOT_TRIALS;
		CHECK_OK(plot_write(&s, f.file[0], NULL));
	}
	folder_done(&f);
}

TEST(without_gnuplot_the_error_names_the_package)
{
	PlotTrial trials[TRIALS];
	double levels[TRIALS][2];
	Folder f;
	fill(trials, levels);
	folder_init(&f);
	PlotSpec s = spec_of(PLOT_PARETO, trials);
	Err err = ERR_INIT;
	char path[4096];
	snprintf(path, sizeof(path), "%s", getenv("PATH") ? getenv("PATH") : "");
	setenv("PATH", f.path, 1);
	int r = plot_write(&s, f.file[0], &err);
	setenv("PATH", path, 1);
	CHECK_INT(r, -ENOENT);
	CHECK(strstr(err.msg, "gnuplot is not installed; apt install gnuplot-nox"));
	CHECK(access(f.file[0], F_OK) < 0);
	folder_done(&f);
}

TEST(an_ending_nobody_draws_is_refused)
{
	PlotTrial trials[TRIALS];
	double levels[TRIALS][2];
	fill(trials, levels);
	PlotSpec s = spec_of(PLOT_PARETO, trials);
	Err err = ERR_INIT;
	static const char *const paths[] = {"a.jpg", "svg", ".svg", "a.svg.gz", ""};
	for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++)
		CHECK_ERR(plot_write(&s, paths[i], &err), EINVAL);
	CHECK(strstr(err.msg, ".svg, .png or .pdf"));
}
