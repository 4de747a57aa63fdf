/* What a language model says, judged by a program of the user's. It may take minutes, and meanwhile
 * the trial goes on: users may come back, the card may break, services write. So it is waited for
 * in the loop, and what it writes goes to files of the trial. */
#include <fcntl.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/file.h"
#include "base/proc.h"
#include "worker/internal.h"

enum {
	TEXT_MAX = 4096, /* of its last words */
	WORDS_MAX = 300,
	TIMEOUT_US = 600000000,
};

typedef struct Scorer {
	Proc proc;
	int out, err; /* what it writes */
	siginfo_t status;
	bool done, late;
	sd_event_source *on_end, *on_time;
} Scorer;

static void close_fd(int fd)
{
	if (fd >= 0)
		close(fd);
}

static void scorer_done(Scorer *s)
{
	sd_event_source_disable_unref(s->on_end);
	sd_event_source_disable_unref(s->on_time);
	proc_done(&s->proc);
	close_fd(s->out);
	close_fd(s->err);
}

/* --- Its life -------------------------------------------------------------------------------- */

static int on_end(sd_event_source *source, int fd, uint32_t events, void *userdata)
{
	(void)source, (void)fd, (void)events;
	Scorer *s = userdata;
	s->done = proc_reap(&s->proc, &s->status) != 0;
	return 0;
}

static int on_time(sd_event_source *source, uint64_t at, void *userdata)
{
	(void)source, (void)at;
	Scorer *s = userdata;
	s->late = s->done = true;
	return 0;
}

/* A file of the trial's folder, without a name. */
static int open_file(const Worker *w, int *ret, Err *err)
{
	_cleanup_free_ char *path = str_fmt("%s/score-XXXXXX", w->dir.path);
	if (!path)
		return err_oom(err);
	*ret = mkostemp(path, O_APPEND | O_CLOEXEC);
	if (*ret < 0)
		return err_set(err, -errno, "cannot keep what the quality program writes: %s",
			       strerror(errno));
	(void)unlink(path);
	return 0;
}

static int spawn(const Worker *w, const Party *p, Scorer *s, Err *err)
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
	ProcSpec spec = {.argv = argv,
			 .env = env,
			 .cwd = w->job.base_dir,
			 .stdin_path = "/dev/null",
			 .stdout_fd = s->out,
			 .stderr_fd = s->err};
	return proc_spawn(&spec, &s->proc, err);
}

static int start(const Worker *w, const Party *p, Scorer *s, Err *err)
{
	int r = open_file(w, &s->out, err);
	if (r >= 0)
		r = open_file(w, &s->err, err);
	if (r >= 0)
		r = spawn(w, p, s, err);
	if (r < 0)
		return r;
	r = sd_event_add_io(w->loop, &s->on_end, s->proc.pidfd, EPOLLIN, on_end, s);
	if (r >= 0)
		r = sd_event_add_time_relative(w->loop, &s->on_time, CLOCK_MONOTONIC, TIMEOUT_US,
					       1000, on_time, s);
	return r < 0 ? err_set(err, r, "cannot watch a process: %s", strerror(-r)) : 0;
}

/* --- What it said ---------------------------------------------------------------------------- */

/* The end of a file; `ret` holds TEXT_MAX + 1 bytes. The number of bytes before it. */
static int64_t read_tail(int fd, char *ret)
{
	struct stat st;
	int64_t size = fstat(fd, &st) == 0 ? (int64_t)st.st_size : 0;
	int64_t from = size > TEXT_MAX ? size - TEXT_MAX : 0;
	ssize_t n = pread(fd, ret, TEXT_MAX, from);
	ret[n > 0 ? n : 0] = '\0';
	return from;
}

/* A number, alone on the last line that is not empty. */
static bool read_score(const Scorer *s, double *ret)
{
	char text[TEXT_MAX + 1], *end;
	bool cut = read_tail(s->out, text) > 0;
	size_t len = strlen(text);
	while (len > 0 && strchr(" \t\r\n", text[len - 1]))
		text[--len] = '\0';
	size_t from = len;
	while (from > 0 && text[from - 1] != '\n')
		from--;
	if (len == from || (cut && from == 0))
		return false;
	*ret = strtod(text + from, &end);
	return *end == '\0' && isfinite(*ret) && *ret >= 0 && *ret <= 100;
}

static void fail(Worker *w, const Scorer *s)
{
	char text[TEXT_MAX + 1], how[48];
	_cleanup_(str_done) Str words = STR_INIT;
	(void)read_tail(s->err, text);
	size_t len = strlen(text);
	while (len > 0 && (unsigned char)text[len - 1] <= ' ')
		len--;
	size_t from = len > WORDS_MAX ? len - WORDS_MAX : 0;
	str_add_safe(&words, text + from, len - from, 0);
	proc_describe(&s->status, how);
	worker_over(w, OUTCOME_MEASURE_FAILED, NULL, "the quality program failed (%s)%s%s", how,
		    words.len > 0 ? ": " : "", words.len > 0 ? words.s : "");
}

static int judge(Worker *w, const Scorer *s, Err *err)
{
	double pct;
	if (s->late)
		worker_over(w, OUTCOME_MEASURE_FAILED, NULL,
			    "the quality program did not end within %d s", TIMEOUT_US / 1000000);
	else if (s->status.si_code != CLD_EXITED || s->status.si_status != 0)
		fail(w, s);
	else if (!read_score(s, &pct))
		worker_over(w, OUTCOME_MEASURE_FAILED, NULL,
			    "the quality program's last line is no number from 0 to 100");
	else
		return score_note(w, pct, (double)NAN, (double)NAN, 0, 0, err);
	return 0;
}

int score_program(Worker *w, const Party *p, Err *err)
{
	_cleanup_(scorer_done) Scorer s = {.proc = PROC_INIT, .out = -1, .err = -1};
	Err why = ERR_INIT;
	worker_progress(w, 0.9, "the quality program");
	int r = start(w, p, &s, &why);
	if (err_is_shortage(r))
		return err_set(err, r, "%s", why.msg);
	if (r < 0) {
		worker_over(w, OUTCOME_MEASURE_FAILED, NULL, "the quality program failed: %s",
			    why.msg);
		return 0;
	}
	return worker_wait(w, &s.done) == 0 ? judge(w, &s, err) : 0;
}
