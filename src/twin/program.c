#include "twin/program.h"

#include <errno.h>
#include <math.h>
#include <netdb.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/json.h"
#include "twin/card.h"

enum {
	SPEED_MAX = 1000,
};

/* --- Options --------------------------------------------------------------------------------- */

const char program_help[] =
    "Flags of the twin (each also as an environment variable: TWIN_BOX, ...):\n"
    "  --box FILE        the box (boxes/*.yaml)\n"
    "  --gpu FILE        the card that programs share; made when it is not there\n"
    "  --speed N         time runs N times faster than life (default: 1)\n"
    "  --noise-seed N    of the noise (default: another one at each start)\n"
    "  --fault NAME[=X]  what goes wrong; may be given several times:\n";

static int read_speed(const char *text, double *ret, Err *err)
{
	char *end = NULL;
	double v = strtod(text, &end);
	if (!*text || *end || !(v >= 0.01 && v <= SPEED_MAX))
		return err_set(err, -EINVAL, "the speed must be from 0.01 to %d, not '%s'",
			       SPEED_MAX, text);
	*ret = v;
	return 0;
}

static int read_seed(const char *text, ProgramOptions *o, Err *err)
{
	char *end = NULL;
	errno = 0;
	o->seed = strtoull(text, &end, 10);
	if (*text < '0' || *text > '9' || *end || errno != 0)
		return err_set(err, -EINVAL, "the seed must be a whole number, not '%s'", text);
	o->seeded = true;
	return 0;
}

bool program_option_is_flag(const char *name)
{
	return strcmp(name, "lateness") == 0;
}

int program_option(ProgramOptions *o, const char *name, const char *value, Err *err)
{
	static const char *const names[] = {"box", "gpu", "speed", "noise-seed", "fault", NULL};
	int i = 0, r = 0;
	if (strcmp(name, "lateness") == 0) {
		o->lateness = true;
		return 1;
	}
	while (names[i] && strcmp(names[i], name) != 0)
		i++;
	if (!names[i])
		return 0;
	if (!value)
		return err_set(err, -EINVAL, "--%s needs a value", name);
	if (i == 0)
		o->box = value;
	else if (i == 1)
		o->gpu = value;
	else if (i == 2)
		r = read_speed(value, &o->speed, err);
	else if (i == 3)
		r = read_seed(value, o, err);
	else
		r = faults_add(&o->faults, value, err);
	return r < 0 ? r : 1;
}

int program_options(ProgramOptions *ret, Err *err)
{
	static const char *const from[][2] = {{"TWIN_BOX", "box"},
					      {"TWIN_GPU", "gpu"},
					      {"TWIN_SPEED", "speed"},
					      {"TWIN_NOISE_SEED", "noise-seed"},
					      {"TWIN_FAULT", "fault"}};
	*ret = (ProgramOptions){.speed = 1, .faults = FAULTS_NONE};
	for (size_t i = 0; i < sizeof(from) / sizeof(*from); i++) {
		const char *value = getenv(from[i][0]);
		int r = value && *value ? program_option(ret, from[i][1], value, err) : 0;
		if (r < 0)
			return err_wrap(err, r, "%s", from[i][0]);
	}
	return 0;
}

/* --- Open ------------------------------------------------------------------------------------ */

static int complain(const char *text)
{
	fprintf(stderr, "dream twin: %s\n", text);
	return 2;
}

static int open_box(Program *p)
{
	_cleanup_(diags_done) Diags d = DIAGS_INIT;
	Err err = ERR_INIT;
	if (!p->o.box)
		return complain("no box is named; give --box FILE or set TWIN_BOX");
	int r = box_load(p->o.box, &p->box, &d, &err);
	_cleanup_(str_done) Str text = STR_INIT;
	diags_text(&d, &text);
	fputs(text.s ? text.s : "", stderr);
	return r < 0 ? complain(err.msg) : 0;
}

static int open_gpu(Program *p, const char *name)
{
	_cleanup_free_ char *path = NULL;
	int r = card_open(p->box, p->o.gpu, &p->gpu, &path);
	if (r < 0) {
		fprintf(stderr, "dream twin: cannot use the simulated card %s: %s\n",
			path ? path : "", r == -EEXIST ? "it is another box's" : strerror(-r));
		return 2;
	}
	if (name) /* else it does not show until it takes something */
		shared_name(p->gpu, name, false);
	return 0;
}

/* As a program that has no handler. What it held is given back by the next who counts. */
static void die_of(int sig)
{
	sigset_t set;
	sigemptyset(&set);
	sigaddset(&set, sig);
	sigprocmask(SIG_UNBLOCK, &set, NULL);
	signal(sig, SIG_DFL);
	raise(sig);
}

static int on_signal(sd_event_source *s, const struct signalfd_siginfo *si, void *userdata)
{
	(void)s;
	Program *p = userdata;
	if (!p->ready)
		die_of((int)si->ssi_signo);
	else if (p->ending)
		program_end(p, 0);
	else
		p->kind->stop(p);
	return 0;
}

static void on_halt(void *ctx, int r)
{
	Program *p = ctx;
	if (r < 0) {
		fprintf(stderr, "dream twin: %s\n", strerror(-r));
		program_end(p, 1);
	} else if (!p->ready) {
		program_end(p, 1);
	} else if (!p->ending) {
		p->kind->died(p);
	}
}

static void on_lost(void *ctx)
{
	Program *p = ctx;
	if (p->host.failed)
		return;
	service_say(&p->service, "torch.AcceleratorError: CUDA error: unspecified launch failure");
	if (host_fail(&p->host, OUTCOME_HARDWARE_FAULT, NULL, "the card fell off the bus") == 0)
		(void)wall_go_on(&p->wall);
}

static int open_loop(Program *p)
{
	sigset_t set;
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigprocmask(SIG_BLOCK, &set, NULL);
	int r = sd_event_new(&p->loop);
	if (r >= 0)
		r = sd_event_add_signal(p->loop, &p->sources[0], SIGTERM, on_signal, p);
	if (r >= 0)
		r = sd_event_add_signal(p->loop, &p->sources[1], SIGINT, on_signal, p);
	if (r >= 0)
		r = wall_init(&p->wall, p->loop);
	return r;
}

static void open_sim(Program *p)
{
	Sim *s = &p->host.sim;
	double drift_at = (double)clock_now_us(p->clock) * p->o.speed;
	uint64_t seed =
	    p->o.seeded ? p->o.seed : (uint64_t)clock_now_us(p->clock) ^ (uint64_t)getpid() << 48;
	p->host.box = p->box;
	p->host.m = &p->m;
	s->gpu.total_bytes = p->box->gpu.total_bytes;
	s->gpu.shared = p->gpu;
	s->switch_cost = p->box->gpu.switch_cost;
	/* All programs of a box have the same weather. */
	s->noise = noise_start(&p->box->noise, seed, (int64_t)drift_at);
	p->wall = (Wall){.sim = s,
			 .shared = p->gpu,
			 .clock = p->clock,
			 .speed = p->o.speed,
			 .halted = on_halt,
			 .lost = on_lost,
			 .ctx = p};
}

int program_open(Program *p, const ProgramOptions *o, const ProgramKind *kind, const char *gpu_name)
{
	*p = (Program){.o = *o, .kind = kind, .clock = &clock_system, .m = MEASUREMENT_INIT};
	setvbuf(stdout, NULL, _IOLBF, 0);
	signal(SIGPIPE, SIG_IGN);
	int r = open_box(p);
	if (r == 0)
		r = open_gpu(p, gpu_name);
	if (r != 0)
		return r;
	open_sim(p);
	r = open_loop(p);
	if (r < 0) {
		fprintf(stderr, "dream twin: cannot start: %s\n", strerror(-r));
		return 1;
	}
	return 0;
}

void program_close(Program *p)
{
	wall_done(&p->wall);
	httpserver_free(p->server);
	for (size_t i = 0; i < 2; i++)
		sd_event_source_disable_unref(p->sources[i]);
	sd_event_unref(p->loop);
	events_done(&p->host.sim.events);
	measurement_done(&p->m);
	shared_close(p->gpu);
	box_free(p->box);
}

/* --- Start ----------------------------------------------------------------------------------- */

_Noreturn void program_crash(void)
{
	struct rlimit none = {0, 0};
	setrlimit(RLIMIT_CORE, &none);
	signal(SIGSEGV, SIG_DFL);
	raise(SIGSEGV);
	_exit(128 + SIGSEGV);
}

static int crash_due(Sim *s, void *owner, uint32_t mark)
{
	(void)s;
	(void)owner;
	(void)mark;
	program_crash();
}

static int become_ready(Program *p)
{
	Sim *s = &p->host.sim;
	int r = p->kind->ready(p);
	if (r != 0) {
		program_end(p, r);
		return 0;
	}
	p->ready = true;
	p->ready_us = s->now_us;
	if (p->o.faults.crash_at_us < 0)
		return 0;
	return sim_timer(s, p->crash_timer, s->now_us + p->o.faults.crash_at_us, 0);
}

/* The faults of a start. 1: it goes on, *more_us later. */
static int strike(Program *p, int64_t *more_us)
{
	const Faults *f = &p->o.faults;
	if (f->crash_start)
		program_crash();
	if (f->exits) {
		program_end(p, (int)f->exit_code);
		return 0;
	}
	*more_us += f->slow_start_us;
	return !f->hang_start;
}

/* How fast this box is today, also while it starts. */
static int64_t start_time(const Program *p, int64_t us)
{
	return (int64_t)((double)us / p->host.sim.noise.trial);
}

static int stage_due(Sim *s, void *owner, uint32_t mark)
{
	(void)mark;
	Program *p = owner;
	int64_t us = 0;
	if (p->stage == p->kind->n_stages)
		return become_ready(p);
	int r = p->kind->stage(p, p->stage++, &us);
	if (r <= 0 || p->host.failed) {
		sim_halt(s);
		return r < 0 ? r : 0;
	}
	us = start_time(p, us);
	if (p->stage == p->kind->slow_stage && strike(p, &us) == 0)
		return 0;
	return sim_timer(s, p->stage_timer, s->now_us + us, 0);
}

int program_run(Program *p)
{
	Sim *s = &p->host.sim;
	int r = sim_begin(s);
	if (r == 0)
		r = p->stage_timer = sim_add_timer(s, stage_due, p);
	if (r >= 0)
		r = p->crash_timer = sim_add_timer(s, crash_due, p);
	if (r >= 0)
		r = sim_timer(s, p->stage_timer, s->now_us, 0);
	if (r >= 0)
		r = wall_go_on(&p->wall);
	if (r >= 0)
		r = sd_event_loop(p->loop);
	if (r < 0)
		fprintf(stderr, "dream twin: %s\n", strerror(-r));
	const Wall *w = &p->wall;
	if (p->o.lateness && w->events > 0)
		fprintf(stderr,
			"dream twin: %lld events, %.1f us late on average, %lld us at most\n",
			(long long)w->events, (double)w->late_us / (double)w->events,
			(long long)w->latest_us);
	return r < 0 ? 1 : r;
}

void program_end(Program *p, int exit_code)
{
	p->ending = true;
	sd_event_exit(p->loop, exit_code);
}

/* --- HTTP ------------------------------------------------------------------------------------ */

int program_can_listen(const char *host, uint16_t port)
{
	struct addrinfo want = {.ai_flags = AI_PASSIVE | AI_NUMERICSERV,
				.ai_socktype = SOCK_STREAM},
			*found = NULL;
	char service[8];
	int one = 1, r = 0;
	snprintf(service, sizeof(service), "%u", port);
	if (getaddrinfo(host, service, &want, &found) != 0 || !found)
		return -EADDRNOTAVAIL;
	int fd = socket(found->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) < 0 ||
	    bind(fd, found->ai_addr, found->ai_addrlen) < 0)
		r = -errno;
	if (fd >= 0)
		close(fd);
	freeaddrinfo(found);
	return r;
}

int program_listen(Program *p, const HttpServerSpec *spec, Err *err)
{
	if (spec->socket)
		(void)unlink(spec->socket); /* as uvicorn does */
	return httpserver_new(p->loop, spec, &p->server, err);
}

void program_answer(Incoming *rq, int status, json_t *body)
{
	char *text = body ? json_dumps(body, JSON_COMPACT) : NULL;
	json_decref(body);
	if (text)
		(void)incoming_answer(rq, status, "application/json", text, strlen(text));
	else
		incoming_abort(rq);
	free(text);
}
