/* What a language model says, as a score: prompts with fixed answers, or a program of the user's.
 * Numbers that are faster because the answers are worse must not win. */
#include <math.h>
#include <string.h>

#include "base/json.h"
#include "base/proc.h"
#include "worker/internal.h"

enum {
	SCORE_TEXT_MAX = 4096,
	SCORE_TIMEOUT_MAX_US = 600000000,
};

static int note_score(Worker *w, double pct, double lo, double hi, double se, int64_t n, Err *err)
{
	Metric m = {.value = pct, .se = se, .lo = lo, .hi = hi, .n = n};
	(void)snprintf(m.name, sizeof(m.name), "llm_quality_pct");
	(void)snprintf(m.unit, sizeof(m.unit), "%%");
	return measurement_set(&w->m, &m, err);
}

/* --- A program ------------------------------------------------------------------------------- */

/* A number, alone on the last line that is not empty. */
static bool read_score(const char *text, double *ret)
{
	size_t len = strlen(text);
	while (len > 0 && strchr(" \t\r\n", text[len - 1]))
		len--;
	size_t from = len;
	while (from > 0 && text[from - 1] != '\n')
		from--;
	char line[64], *end;
	if (len == from || len - from >= sizeof(line))
		return false;
	memcpy(line, text + from, len - from);
	line[len - from] = '\0';
	*ret = strtod(line, &end);
	return *end == '\0' && isfinite(*ret) && *ret >= 0 && *ret <= 100;
}

static int run_program(Worker *w, const Party *p, char **ret, Err *err)
{
	const ConfStrings *c = &w->job.spec.allocation.quality;
	_cleanup_free_ const char **argv = calloc(c->n + 1, sizeof(*argv));
	_cleanup_free_ char *url = p->port
				       ? str_fmt("LLM_URL=http://127.0.0.1:%u", (unsigned)p->port)
				       : str_fmt("LLM_URL=%s", p->url ? p->url : "");
	_cleanup_free_ char *model = str_fmt("LLM_MODEL=%s", p->model ? p->model : "");
	if (!argv || !url || !model)
		return err_oom(err);
	for (size_t i = 0; i < c->n; i++)
		argv[i] = c->items[i];
	const char *const env[] = {url, model, NULL};
	int64_t timeout = worker_left_us(w);
	if (timeout > SCORE_TIMEOUT_MAX_US)
		timeout = SCORE_TIMEOUT_MAX_US;
	ProcSpec spec = {.argv = argv,
			 .env = env,
			 .cwd = w->job.base_dir,
			 .stdin_path = "/dev/null",
			 .stderr_fd = -1};
	size_t len = 0;
	return proc_run(&spec, NULL, 0, SCORE_TEXT_MAX, timeout, ret, &len, err);
}

static int ask_program(Worker *w, const Party *p, Err *err)
{
	_cleanup_free_ char *text = NULL;
	Err why = ERR_INIT;
	double pct;
	int r = run_program(w, p, &text, &why);
	if (err_is_shortage(r))
		return err_set(err, r, "%s", why.msg);
	if (r < 0)
		worker_over(w, OUTCOME_MEASURE_FAILED, NULL, "the quality program failed: %s",
			    why.msg);
	else if (!read_score(text, &pct))
		worker_over(w, OUTCOME_MEASURE_FAILED, NULL,
			    "the quality program's last line is no number from 0 to 100");
	else
		return note_score(w, pct, (double)NAN, (double)NAN, 0, 0, err);
	return 0;
}

int answers_judge(Worker *w, Party *p, Err *err)
{
	if (measurement_get(&w->m, "llm_quality_pct"))
		return 0;
	if (w->job.spec.allocation.quality.n > 0)
		return ask_program(w, p, err);
	return 0;
}
