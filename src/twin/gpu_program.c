/* The rest of the box as a program: its other tenants, a neighbour that grows, and commands that
 * let something happen to the card. */
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "base/json.h"
#include "conf/conf.h"
#include "twin/program.h"
#include "twin/programs.h"
#include "twin/tenant.h"

typedef struct GpuArgs {
	ProgramOptions program;
	bool tenants, quiet; /* the box's; only their memory */
	int64_t grow_bytes;
	double busy;
	/* What happens to the card; -1: not asked. */
	int64_t xid, throttle;
	int present, lists, bytes;
	bool show, graphics;
} GpuArgs;

typedef struct Tenants {
	Program program;
	GpuArgs args;
	Service services[LEDGER_OWNERS_MAX];
	Neighbour neighbours[LEDGER_OWNERS_MAX];
	size_t n;
	int worker; /* of one that was asked to compute */
} Tenants;

static int mistake(const char *fmt, ...) _printf_(1, 2);

static int mistake(const char *fmt, ...)
{
	va_list ap;
	fputs("dream twin gpu: ", stderr);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
	return -EINVAL;
}

static int help(void)
{
	printf("usage: dream twin gpu --box FILE [--tenants] [--grow BYTES] [--busy SHARE]\n"
	       "       dream twin gpu --box FILE --xid N | --throttle WHY | --lost | ...\n\n"
	       "Stays and holds memory until it is stopped:\n"
	       "  --tenants         the box's other services, with their bursts of work\n"
	       "  --quiet           their memory only\n"
	       "  --grow BYTES      holds so much (2GiB)\n"
	       "  --busy SHARE      keeps the card busy for that share of the time\n"
	       "  --graphics        is in the list of graphics processes\n\n"
	       "Happens at once:\n"
	       "  --xid N           the driver reports this error; 79: the card falls off the bus\n"
	       "  --lost, --back    the card is gone, and there again\n"
	       "  --throttle WHY    power, heat, none, or the bits of NVML's reasons\n"
	       "  --hide-processes, --hide-bytes, --hide-nothing\n"
	       "                    what this card's NVML can not say\n"
	       "  --show            prints the card as JSON\n\n%s%s",
	       program_help, faults_help);
	return 0;
}

/* --- Command line ---------------------------------------------------------------------------- */

static int read_throttle(const char *text, int64_t *ret)
{
	static const struct {
		const char *name;
		int64_t bits; /* nvmlClocksThrottleReason... */
	} names[] = {{"none", 0}, {"power", 0x4}, {"heat", 0x20}, {"slowdown", 0x8}};
	char *end = NULL;
	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
		if (strcmp(names[i].name, text) == 0) {
			*ret = names[i].bits;
			return 0;
		}
	}
	errno = 0;
	*ret = strtoll(text, &end, 0);
	return *text && !*end && errno == 0 && *ret >= 0
		   ? 0
		   : mistake("--throttle takes power, heat, none or bits, not '%s'", text);
}

static int read_value(GpuArgs *a, const char *name, const char *value)
{
	char *end = NULL;
	if (strcmp(name, "grow") == 0)
		return conf_parse_bytes(value, &a->grow_bytes) && a->grow_bytes > 0
			   ? 0
			   : mistake("--grow takes an amount such as 2GiB, not '%s'", value);
	if (strcmp(name, "throttle") == 0)
		return read_throttle(value, &a->throttle);
	if (strcmp(name, "busy") == 0) {
		a->busy = strtod(value, &end);
		return *value && !*end && a->busy > 0 && a->busy <= 1
			   ? 0
			   : mistake("--busy takes a share above 0 and at most 1, not '%s'", value);
	}
	errno = 0;
	a->xid = strtoll(value, &end, 10);
	return *value && !*end && errno == 0 && a->xid > 0
		   ? 0
		   : mistake("--xid takes a number, not '%s'", value);
}

/* 1: it was one. */
static int read_switch(GpuArgs *a, const char *name)
{
	if (strcmp(name, "tenants") == 0)
		a->tenants = true;
	else if (strcmp(name, "quiet") == 0)
		a->quiet = true;
	else if (strcmp(name, "graphics") == 0)
		a->graphics = true;
	else if (strcmp(name, "show") == 0)
		a->show = true;
	else if (strcmp(name, "lost") == 0 || strcmp(name, "back") == 0)
		a->present = *name == 'b';
	else if (strcmp(name, "hide-processes") == 0)
		a->lists = 0;
	else if (strcmp(name, "hide-bytes") == 0)
		a->bytes = 0;
	else if (strcmp(name, "hide-nothing") == 0)
		a->lists = a->bytes = 1;
	else
		return 0;
	return 1;
}

static int read_one(GpuArgs *a, int argc, char **argv, int *at)
{
	static const char *const valued[] = {"grow", "throttle", "busy", "xid"};
	const char *arg = argv[(*at)++], *value = *at < argc ? argv[*at] : NULL;
	Err err = ERR_INIT;
	if (strncmp(arg, "--", 2) != 0)
		return mistake("there is no argument '%s'", arg);
	if (read_switch(a, arg + 2))
		return 0;
	int r = program_option(&a->program, arg + 2, value, &err);
	if (r < 0)
		return mistake("%s", err.msg);
	for (size_t i = 0; i < sizeof(valued) / sizeof(*valued) && r == 0; i++) {
		if (strcmp(valued[i], arg + 2) != 0)
			continue;
		if (!value)
			return mistake("%s needs a value", arg);
		r = read_value(a, arg + 2, value) < 0 ? -EINVAL : 1;
	}
	if (r == 0)
		return mistake("there is no option %s; see 'dream twin gpu --help'", arg);
	*at += r > 0 && !program_option_is_flag(arg + 2);
	return r < 0 ? r : 0;
}

static int read_args(int argc, char **argv, GpuArgs *ret)
{
	GpuArgs a = {.xid = -1, .throttle = -1, .present = -1, .lists = -1, .bytes = -1};
	Err err = ERR_INIT;
	int r = program_options(&a.program, &err);
	if (r < 0)
		return mistake("%s", err.msg);
	for (int at = 0; at < argc && r == 0;) {
		if (strcmp(argv[at], "--help") == 0 || strcmp(argv[at], "-h") == 0)
			return help();
		r = read_one(&a, argc, argv, &at);
	}
	*ret = a;
	return r < 0 ? r : 1;
}

/* --- What happens to the card ---------------------------------------------------------------- */

static int show(SharedGpu *g)
{
	SharedProcess list[SHARED_PROCESSES_MAX];
	size_t n = shared_processes(g, list);
	bool failed = false;
	json_t *o = json_object(), *processes = json_array();
	for (size_t i = 0; i < n; i++)
		failed |= json_array_append_new(processes, json_pack("{s:i, s:s, s:I, s:f}", "pid",
								     list[i].pid, "name",
								     list[i].name, "used_bytes",
								     (json_int_t)list[i].used_bytes,
								     "busy", list[i].busy)) < 0;
	js_set(o, "uuid", js_text(g->uuid), &failed);
	js_set(o, "model", js_text(g->model), &failed);
	js_set(o, "total_bytes", json_integer(g->total_bytes), &failed);
	js_set(o, "used_bytes", json_integer(shared_used_bytes(g)), &failed);
	js_set(o, "present", json_boolean(g->present), &failed);
	js_set(o, "throttle_bits", json_integer(g->throttle_bits), &failed);
	js_set(o, "xids", json_integer((json_int_t)g->n_xids), &failed);
	js_set(o, "processes", processes, &failed);
	char *text = failed ? NULL : json_dumps(o, JSON_INDENT(2));
	json_decref(o);
	bool printed = text && puts(text) >= 0;
	free(text);
	return printed ? 0 : 1;
}

/* True: that was all. */
static bool happen(SharedGpu *g, const GpuArgs *a, int *ret_code)
{
	bool done = a->show;
	if (a->xid >= 0)
		shared_xid(g, (uint64_t)a->xid);
	if (a->throttle >= 0)
		g->throttle_bits = a->throttle;
	if (a->present >= 0)
		g->present = a->present;
	if (a->lists >= 0)
		g->lists_processes = a->lists;
	if (a->bytes >= 0)
		g->bytes_available = a->bytes;
	done |=
	    a->xid >= 0 || a->throttle >= 0 || a->present >= 0 || a->lists >= 0 || a->bytes >= 0;
	if (done)
		shared_tell(g);
	*ret_code = a->show ? show(g) : 0;
	return done;
}

/* --- Tenants --------------------------------------------------------------------------------- */

static void say(void *ctx, const char *text)
{
	fprintf(stderr, "%s: %s\n", (const char *)ctx, text);
}

static int add_tenant(Tenants *t, const Tenant *tenant)
{
	Service *v = &t->services[t->n];
	Neighbour *n = &t->neighbours[t->n];
	*v =
	    (Service){.name = tenant->name, .owner = t->n + 1, .say = say, .say_ctx = tenant->name};
	*n = (Neighbour){.host = &t->program.host, .service = v, .tenant = tenant};
	n->rng = rng_derive(t->program.o.seed, "twin tenant", t->n + 1);
	t->n++;
	return neighbour_start(n, !t->args.quiet);
}

static int stage(Program *p, int number, int64_t *ret_us)
{
	(void)number;
	Tenants *t = (Tenants *)p;
	const ConfList *list = &p->box->tenants;
	int r = 0;
	*ret_us = 0;
	for (size_t i = 0; i < list->n && r == 0 && t->args.tenants && !p->host.failed; i++)
		r = add_tenant(t, (const Tenant *)list->items + i);
	if (r == 0 && t->args.grow_bytes > 0 && !p->host.failed &&
	    !ledger_take(&p->host.sim.gpu, 0, t->args.grow_bytes)) {
		service_says_oom(&p->service, &p->host.sim.gpu, t->args.grow_bytes);
		p->host.failed = true;
	}
	if (r == 0 && t->args.busy > 0) {
		t->worker = sim_add_worker(&p->host.sim, NULL, NULL, t->args.busy);
		r = t->worker < 0 ? t->worker : 0;
	}
	return r < 0 ? r : !p->host.failed;
}

static int ready(Program *p)
{
	Tenants *t = (Tenants *)p;
	for (size_t i = 0; i < t->n; i++)
		if (neighbour_begin(&t->neighbours[i]) < 0)
			return 1;
	if (t->args.busy > 0)
		sim_work(&p->host.sim, t->worker, (double)INFINITY);
	printf("holding %" PRId64 " bytes of %s\n", shared_own_bytes(p->gpu), p->box->gpu.uuid);
	return 0;
}

static void died(Program *p)
{
	program_end(p, 1);
}

static void stop(Program *p)
{
	program_end(p, 0);
}

static const ProgramKind kind = {
    .stage = stage,
    .n_stages = 1,
    .slow_stage = 1,
    .ready = ready,
    .died = died,
    .stop = stop,
};

static int run(Tenants *t)
{
	Program *p = &t->program;
	int r = program_open(p, &t->args.program, &kind, NULL), code = 0;
	if (r != 0)
		return r;
	if (happen(p->gpu, &t->args, &code))
		return code;
	if (!t->args.tenants && t->args.grow_bytes <= 0 && t->args.busy <= 0) {
		(void)mistake("nothing to do; see '%s'", "dream twin gpu --help");
		return 2;
	}
	shared_name(p->gpu, t->args.tenants ? "tenants" : "neighbour", t->args.graphics);
	p->service = (Service){.name = "neighbour", .say = say, .say_ctx = (char[]){"neighbour"}};
	return program_run(p);
}

int twin_gpu(int argc, char **argv)
{
	Tenants *t = calloc(1, sizeof(*t));
	if (!t)
		return 1;
	int r = read_args(argc, argv, &t->args);
	if (r > 0) {
		r = run(t);
		program_close(&t->program);
	} else if (r < 0) {
		r = 2;
	}
	free(t);
	return r;
}
