/* The sequence of a trial, from the request to the result. */
#include "worker/worker.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/json.h"
#include "systemd/journal.h"
#include "worker/internal.h"

enum {
	INPUT_MAX = 8 << 20,
	/* What is kept of the trial's time for stopping and reporting: we end it, not our killer.
	 */
	MARGIN_SHARE = 10,
	MARGIN_MAX_US = 30000000,
};

/* --- Set up ---------------------------------------------------------------------------------- */

static int on_signal(sd_event_source *s, const struct signalfd_siginfo *si, void *userdata)
{
	(void)s, (void)si;
	Worker *w = userdata;
	worker_over(w, OUTCOME_MEASURE_FAILED, NULL, "the trial was stopped from outside");
	return 0;
}

static void on_hardware(void *ctx, const char *what)
{
	worker_over(ctx, OUTCOME_HARDWARE_FAULT, NULL, "%s", what);
}

static int make_loop(Worker *w, Err *err)
{
	sigset_t set;
	(void)sigemptyset(&set);
	(void)sigaddset(&set, SIGTERM);
	(void)sigaddset(&set, SIGINT);
	(void)sigprocmask(SIG_BLOCK, &set, NULL);
	int r = sd_event_new(&w->loop);
	if (r >= 0)
		r = sd_event_add_signal(w->loop, NULL, SIGTERM, on_signal, w);
	if (r >= 0)
		r = sd_event_add_signal(w->loop, NULL, SIGINT, on_signal, w);
	if (r < 0)
		return err_set(err, r, "cannot make an event loop: %s", strerror(-r));
	return httploop_new(w->loop, &w->http, err);
}

static bool needs_systemd(const Job *j)
{
	bool needs = j->spec.allocation.as == AS_UNITS || j->spec.allocation.quiesce;
	for (size_t i = 0; i < j->n_services; i++)
		needs |= j->services[i].from_unit && j->services[i].command.n == 0;
	return needs && j->spec.allocation.as != AS_OBSERVE;
}

static int open_systemd(Worker *w, Err *err)
{
	return needs_systemd(&w->job) ? systemd_open(w->loop, false, &w->systemd, err) : 0;
}

/* Without NVML nothing can be proved: a trial that may use a GPU is not begun. */
static int open_gpu(Worker *w, Err *err)
{
	if (w->job.lease_fd < 0)
		return 0;
	int r = lease_adopt(w->job.lease_fd, &w->lease, err);
	bool wanted = false;
	for (size_t i = 0; i < w->job.n_services; i++)
		wanted |= !w->job.services[i].cpu;
	if (r < 0 || !wanted)
		return r;
	r = nvml_open(NULL, &w->nvml, err);
	if (r < 0)
		return err_wrap(
		    err, r,
		    "where the services run cannot be proved (say `cpu: true` for those "
		    "that need no GPU, or `allow_gpu: false` in the budget)");
	return nvml_find(w->nvml, w->job.gpu_uuid ? w->job.gpu_uuid : "0", &w->gpu, err);
}

static int start_sampler(Worker *w, Err *err)
{
	if (!w->nvml)
		return 0;
	SamplerSpec spec = {.nvml = w->nvml, .gpu = w->gpu, .hardware = on_hardware, .ctx = w};
	return sampler_new(w->loop, &spec, &w->sampler, err);
}

static int open_contents(Worker *w, Err *err)
{
	const AllocationSpec *a = &w->job.spec.allocation;
	const Workload *load = w->job.workload;
	_cleanup_free_ char *prompts = a->prompts ? path_join(w->job.base_dir, a->prompts) : NULL;
	_cleanup_free_ char *clips = a->clips ? path_join(w->job.base_dir, a->clips) : NULL;
	if ((a->prompts && !prompts) || (a->clips && !clips))
		return err_oom(err);
	ContentsSpec spec = {.prompts = prompts, .seed = w->job.seed};
	int r = contents_new(&spec, &w->prompts, err);
	if (r < 0 || !load || !load->stt)
		return r;
	spec = (ContentsSpec){.clips = clips, .seed = w->job.seed};
	return contents_new(&spec, &w->clips, err);
}

static int prepare(Worker *w, Err *err)
{
	int r = trialdir_make(&w->dir, err);
	if (r >= 0)
		r = open_systemd(w, err);
	if (r >= 0)
		r = open_gpu(w, err);
	if (r >= 0)
		r = open_contents(w, err);
	if (r >= 0 && journal_cursor(&w->kernel_cursor, NULL) < 0)
		w->kernel_cursor = NULL;
	return r < 0 ? r : parties_prepare(w, err);
}

/* --- The trial ------------------------------------------------------------------------------- */

static int measure(Worker *w, Err *err)
{
	int r = start_sampler(w, err);
	if (r >= 0 && !w->over)
		r = w->job.spec.allocation.as == AS_OBSERVE ? parties_observe(w, err)
							    : parties_start(w, err);
	if (r >= 0 && !w->over)
		r = measure_all(w, err);
	parties_note(w);
	return r;
}

/* Whatever happened before, this is done: services stopped, production back. */
static int clear_up(Worker *w, Err *err)
{
	Err later = ERR_INIT;
	int r = parties_stop(w, err);
	if (r >= 0)
		r = worker_gpu_left(w, err);
	int back = room_give_back(w, r < 0 ? &later : err);
	return r < 0 ? r : back;
}

static void report_fault(Worker *w, const Err *err)
{
	w->over = false; /* whatever it was about to be called */
	worker_over(w, OUTCOME_MEASURE_FAILED, NULL, "%s", err->msg);
}

static void report_leftover(Worker *w, const Err *err)
{
	if (w->m.outcome == OUTCOME_HARDWARE_FAULT)
		return; /* that says it all */
	Outcome o = err->code == -EBUSY ? OUTCOME_HARDWARE_FAULT : OUTCOME_MEASURE_FAILED;
	(void)measurement_fail(&w->m, o, NULL, "after the trial: %s", err->msg);
}

static int run_trial(Worker *w, Err *err)
{
	Err after = ERR_INIT;
	int r = prepare(w, err);
	if (r >= 0 && !w->over)
		r = room_make(w, err);
	if (r >= 0 && !w->over)
		r = measure(w, err);
	if (r >= 0)
		r = worker_conclude(w, err);
	if (r < 0)
		report_fault(w, err);
	if (clear_up(w, &after) < 0) /* and this is worse */
		report_leftover(w, &after);
	return r;
}

/* --- All of it ------------------------------------------------------------------------------- */

static void worker_done(Worker *w)
{
	for (size_t i = 0; i < w->n_parties; i++)
		party_done(&w->parties[i]);
	(void)sampler_free(w->sampler);
	(void)nvml_close(w->nvml);
	(void)contents_free(w->prompts);
	(void)contents_free(w->clips);
	(void)httploop_free(w->http);
	(void)systemd_close(w->systemd);
	sd_event_unref(w->loop);
	lease_forget(w->lease);
	trialdir_remove(&w->dir);
	job_done(&w->job);
	measurement_done(&w->m);
	json_decref(w->evidence);
	free(w->kernel_cursor);
}

/* A service that hangs takes all of its time to stop. */
static int64_t margin_of(const Job *j)
{
	int64_t margin = j->timeout_us / MARGIN_SHARE;
	for (size_t i = 0; i < j->n_services && margin < MARGIN_MAX_US; i++)
		margin += j->services[i].stop_timeout_us;
	if (margin > MARGIN_MAX_US)
		margin = MARGIN_MAX_US;
	return margin < j->timeout_us / 3 ? margin : j->timeout_us / 3;
}

static int set_up(Worker *w, int in, Err *err)
{
	_cleanup_free_ char *text = NULL;
	size_t len = 0;
	char path[32];
	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", in);
	int r = file_read(in == 0 ? "-" : path, INPUT_MAX, &text, &len, err);
	if (r >= 0)
		r = job_read(text, len, &w->job, err);
	if (r < 0)
		return r;
	w->deadline_us = w->began_us + w->job.timeout_us - margin_of(&w->job);
	w->evidence = json_object();
	return w->evidence ? make_loop(w, err) : err_oom(err);
}

int worker_main(int in, int out)
{
	Err err = ERR_INIT;
	Worker w = {.out = out,
		    .m = MEASUREMENT_INIT,
		    .job = {.lease_fd = -1},
		    .dir = TRIALDIR_NONE,
		    .began_us = clock_mono_us(&clock_system)};
	int r = set_up(&w, in, &err);
	if (r < 0)
		report_fault(&w, &err);
	else
		r = run_trial(&w, &err);
	int written = worker_report(&w);
	if (r < 0)
		fprintf(stderr, "dream worker: %s\n", err.msg);
	worker_done(&w);
	return written < 0 ? 1 : 0;
}
