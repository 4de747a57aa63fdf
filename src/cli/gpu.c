/* dream gpu: the cards, who uses them, and who has them leased. */
#include <math.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/json.h"
#include "cli/internal.h"
#include "gpu/lease.h"
#include "gpu/leasename.h"
#include "gpu/nvml.h"
#include "gpu/owners.h"

typedef struct Options {
	bool watch, json;
} Options;

enum {
	PERIOD_US = 2000000,
	PERIOD_MIN_US = 100000,
	WIDTH = 80,
};

/* One card at one moment. */
typedef struct Card {
	const GpuInfo *info;
	GpuState state;
	char gone[160]; /* why there are no readings; "" */
	char *holder;	/* of its lease; NULL */
} Card;

/* A process on it, in words. */
typedef struct User {
	char *home, *words; /* owned */
} User;

static void user_done(User *u)
{
	free(u->home);
	free(u->words);
}

static int user_of(const GpuProcess *p, User *ret)
{
	if (process_home(p->pid, &ret->home) < 0 || process_words(p->pid, &ret->words) < 0)
		return -ENOMEM;
	if (p->visible)
		return 0;
	free(ret->words);
	ret->words = strdup("(not visible here: another PID namespace, or just ended)");
	return ret->words ? 0 : -ENOMEM;
}

static const char *kind_of(const GpuProcess *p)
{
	bool compute = p->lists & (GPU_COMPUTE | GPU_MPS), graphics = p->lists & GPU_GRAPHICS;
	if (compute && graphics)
		return "both";
	return compute ? (p->lists & GPU_MPS ? "MPS" : "compute") : "graphics";
}

/* --- Text ------------------------------------------------------------------------------------ */

static void add_mib(Str *out, const char *what, int64_t bytes)
{
	if (bytes >= 0)
		str_addf(out, "%.0f MiB%s", (double)bytes / 1048576.0, what);
	else
		str_addf(out, "?%s", what);
}

static void title_text(const GpuInfo *g, Str *out)
{
	str_addf(out, "GPU %d  ", g->index);
	str_add_safe(out, *g->name ? g->name : "(no name)",
		     strlen(*g->name ? g->name : "(no name)"), 48);
	if (g->cc_major >= 0)
		str_addf(out, "  compute capability %d.%d", g->cc_major, g->cc_minor);
	str_add(out, "\n  ");
	str_add_safe(out, g->uuid, strlen(g->uuid), 0);
	if (*g->pci)
		str_addf(out, "  PCI %.20s", g->pci);
	str_add(out, "\n");
}

static void driver_text(const GpuInfo *g, Str *out)
{
	static const char *const modes[] = {"", ", exclusive to a thread", ", compute prohibited",
					    ", exclusive to a process"};
	str_addf(out, "  driver   %s", *g->driver ? g->driver : "unknown");
	if (*g->cuda)
		str_addf(out, ", CUDA up to %s", g->cuda);
	if (g->persistence >= 0)
		str_addf(out, ", persistence %s", g->persistence ? "on" : "off");
	if (g->display == 1)
		str_add(out, ", shows a display");
	if (g->mig == 1)
		str_add(out, ", MIG on");
	if (g->compute_mode > 0 && g->compute_mode < 4)
		str_add(out, modes[g->compute_mode]);
	str_add(out, "\n");
}

static void memory_text(const GpuState *s, Str *out)
{
	str_add(out, "  memory   ");
	if (s->total_bytes < 0) {
		str_add(out, "not available\n");
		return;
	}
	add_mib(out, " used, ", s->used_bytes);
	if (s->reserved_bytes >= 0)
		add_mib(out, " reserved, ", s->reserved_bytes);
	add_mib(out, " free of ", s->free_bytes);
	add_mib(out, "\n", s->total_bytes);
}

/* A line of parts that each end in ", ": without the last of these, or not at all when there is no
 * part. `at`: where the line began, `empty`: where its parts did. */
static void end_parts(Str *out, size_t at, size_t empty)
{
	if (out->failed || out->len == at)
		return;
	bool none = out->len == empty;
	out->len = none ? at : out->len - 2;
	out->s[out->len] = '\0';
	if (!none)
		str_addc(out, '\n');
}

static void load_text(const GpuInfo *g, const GpuState *s, Str *out)
{
	size_t at = out->len;
	str_add(out, "  load     ");
	size_t empty = out->len;
	if (s->gpu_pct >= 0)
		str_addf(out, "%d %% of the time, ", s->gpu_pct);
	if (s->sm_mhz >= 0 && g->sm_max_mhz > 0)
		str_addf(out, "%d of %d MHz, ", s->sm_mhz, g->sm_max_mhz);
	else if (s->sm_mhz >= 0)
		str_addf(out, "%d MHz, ", s->sm_mhz);
	if (s->memory_mhz >= 0)
		str_addf(out, "memory %d MHz, ", s->memory_mhz);
	end_parts(out, at, empty);
}

static void power_text(const GpuInfo *g, const GpuState *s, Str *out)
{
	size_t at = out->len;
	str_add(out, "  power    ");
	size_t empty = out->len;
	if (isfinite(s->power_w))
		str_addf(out, "%.0f W, ", s->power_w);
	if (isfinite(g->power_limit_w))
		str_addf(out, "limit %.0f W, ", g->power_limit_w);
	if (s->temperature_c >= 0)
		str_addf(out, "%d C, ", s->temperature_c);
	end_parts(out, at, empty);
}

static void throttle_text(const GpuState *s, Str *out)
{
	char words[128];
	gpu_throttle_words(s->throttle, words, sizeof(words));
	if (*words)
		str_addf(out, "  slowed   %s\n", words);
}

static void lease_text(const char *holder, Str *out)
{
	_cleanup_(str_done) Str words = STR_INIT;
	str_add(out, "  lease    ");
	if (!holder) {
		str_add(out, "nobody has it\n");
		return;
	}
	str_add_safe(&words, holder, strlen(holder), 300);
	text_wrap(words.s ? words.s : "", 11, 11, WIDTH, out);
}

static int users_text(const GpuState *s, Str *out)
{
	static const TableColumn columns[] = {{"pid", ALIGN_RIGHT, COLUMN_KEEP},
					      {"MiB", ALIGN_RIGHT, COLUMN_KEEP},
					      {"list", ALIGN_LEFT, COLUMN_KEEP},
					      {"where", ALIGN_LEFT, COLUMN_CUT},
					      {"command", ALIGN_LEFT, COLUMN_CUT}};
	_cleanup_(table_freep) Table *t = NULL;
	Err err = ERR_INIT;
	if (!s->processes_known || s->n_processes == 0) {
		str_addf(out, "  %s\n",
			 s->processes_known ? "no process uses it"
					    : "this driver does not list processes here");
		return 0;
	}
	if (table_new(columns, sizeof(columns) / sizeof(*columns), &t) < 0)
		return -ENOMEM;
	for (size_t i = 0; i < s->n_processes; i++) {
		const GpuProcess *p = &s->processes[i];
		_cleanup_(user_done) User u = {0};
		if (user_of(p, &u) < 0)
			return -ENOMEM;
		table_cell(t, "%d", (int)p->pid);
		if (p->used_bytes >= 0)
			table_cell(t, "%.0f", (double)p->used_bytes / 1048576.0);
		else
			table_text(t, "?");
		table_text(t, kind_of(p));
		table_text(t, *u.home ? u.home : "-");
		table_text(t, u.words);
	}
	size_t width = cli_width();
	return table_print(t, width > WIDTH ? width : WIDTH, out, &err);
}

static int card_text(const Card *c, Str *out)
{
	title_text(c->info, out);
	if (*c->gone) {
		str_addf(out, "  %s\n", c->gone);
		return 0;
	}
	driver_text(c->info, out);
	memory_text(&c->state, out);
	load_text(c->info, &c->state, out);
	power_text(c->info, &c->state, out);
	throttle_text(&c->state, out);
	lease_text(c->holder, out);
	return users_text(&c->state, out);
}

/* One line a look, for a log. */
static void line_text(const Card *c, Str *out)
{
	char when[32];
	time_rfc3339(clock_now_us(&clock_system), when);
	str_addf(out, "%.19sZ GPU %d: ", when, c->info->index);
	if (*c->gone) {
		str_addf(out, "%s\n", c->gone);
		return;
	}
	add_mib(out, " used, ", c->state.used_bytes);
	add_mib(out, " free", c->state.free_bytes);
	if (c->state.gpu_pct >= 0)
		str_addf(out, ", %d %% load", c->state.gpu_pct);
	if (c->state.processes_known)
		str_addf(out, ", %zu process%s", c->state.n_processes,
			 c->state.n_processes == 1 ? "" : "es");
	char words[128];
	gpu_throttle_words(c->state.throttle, words, sizeof(words));
	if (*words)
		str_addf(out, ", slowed: %s", words);
	str_add(out, c->holder ? ", leased\n" : "\n");
}

/* --- JSON ------------------------------------------------------------------------------------ */

static json_t *known(int64_t v)
{
	return v >= 0 ? json_integer((json_int_t)v) : json_null();
}

static json_t *flag(int v)
{
	return v >= 0 ? json_boolean(v) : json_null();
}

static json_t *text_or_null(const char *s)
{
	return s && *s ? js_text(s) : json_null();
}

static json_t *lists_json(unsigned lists, bool *failed)
{
	static const struct {
		unsigned bit;
		const char *name;
	} names[] = {{GPU_COMPUTE, "compute"}, {GPU_GRAPHICS, "graphics"}, {GPU_MPS, "mps"}};
	json_t *a = json_array();
	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++)
		if (lists & names[i].bit)
			*failed |= json_array_append_new(a, json_string(names[i].name)) < 0;
	return a;
}

static json_t *users_json(const GpuState *s, bool *failed)
{
	if (!s->processes_known)
		return json_null();
	json_t *a = json_array();
	for (size_t i = 0; a && i < s->n_processes; i++) {
		const GpuProcess *p = &s->processes[i];
		_cleanup_(user_done) User u = {0};
		json_t *o = json_object();
		*failed |= user_of(p, &u) < 0;
		js_set(o, "pid", json_integer(p->pid), failed);
		js_set(o, "where", text_or_null(u.home), failed);
		js_set(o, "lists", lists_json(p->lists, failed), failed);
		js_set(o, "used_bytes", known(p->used_bytes), failed);
		js_set(o, "visible", json_boolean(p->visible), failed);
		js_set(o, "command", p->visible ? text_or_null(u.words) : json_null(), failed);
		*failed |= json_array_append_new(a, o) < 0;
	}
	return a;
}

static void state_json(json_t *o, const GpuState *s, bool *failed)
{
	char words[128];
	gpu_throttle_words(s->throttle, words, sizeof(words));
	js_set(o, "used_bytes", known(s->used_bytes), failed);
	js_set(o, "reserved_bytes", known(s->reserved_bytes), failed);
	js_set(o, "free_bytes", known(s->free_bytes), failed);
	js_set(o, "gpu_pct", known(s->gpu_pct), failed);
	js_set(o, "memory_pct", known(s->memory_pct), failed);
	js_set(o, "sm_mhz", known(s->sm_mhz), failed);
	js_set(o, "memory_mhz", known(s->memory_mhz), failed);
	js_set(o, "temperature_c", known(s->temperature_c), failed);
	js_set(o, "power_w", js_number(s->power_w), failed);
	js_set(o, "energy_j", js_number(s->energy_j), failed);
	js_set(o, "throttle", s->throttle >= 0 ? js_text(words) : json_null(), failed);
	js_set(o, "processes", users_json(s, failed), failed);
}

static json_t *card_json(const Card *c, bool *failed)
{
	const GpuInfo *g = c->info;
	char cc[24] = "";
	json_t *o = json_object();
	if (g->cc_major >= 0)
		snprintf(cc, sizeof(cc), "%d.%d", g->cc_major, g->cc_minor);
	js_set(o, "index", json_integer(g->index), failed);
	js_set(o, "uuid", text_or_null(g->uuid), failed);
	js_set(o, "name", text_or_null(g->name), failed);
	js_set(o, "pci", text_or_null(g->pci), failed);
	js_set(o, "compute_capability", text_or_null(cc), failed);
	js_set(o, "driver", text_or_null(g->driver), failed);
	js_set(o, "cuda", text_or_null(g->cuda), failed);
	js_set(o, "persistence", flag(g->persistence), failed);
	js_set(o, "display", flag(g->display), failed);
	js_set(o, "mig", flag(g->mig), failed);
	js_set(o, "compute_mode", known(g->compute_mode), failed);
	js_set(o, "sm_max_mhz", known(g->sm_max_mhz), failed);
	js_set(o, "power_limit_w", js_number(g->power_limit_w), failed);
	js_set(o, "total_bytes", known(g->total_bytes), failed);
	js_set(o, "lease", text_or_null(c->holder), failed);
	js_set(o, "fault", text_or_null(c->gone), failed);
	if (!*c->gone)
		state_json(o, &c->state, failed);
	return o;
}

static json_t *all_json(const Card *cards, size_t n)
{
	bool failed = false;
	char when[32];
	json_t *o = json_object(), *list = json_array();
	time_rfc3339(clock_now_us(&clock_system), when);
	for (size_t i = 0; i < n; i++)
		failed |= json_array_append_new(list, card_json(&cards[i], &failed)) < 0;
	js_set(o, "schema", json_string("dream.gpu/v1"), &failed);
	js_set(o, "at", json_string(when), &failed);
	js_set(o, "devices", list, &failed);
	if (o && failed) {
		json_decref(o);
		return NULL;
	}
	return o;
}

/* --- A look ---------------------------------------------------------------------------------- */

static int look(Nvml *n, Card *cards)
{
	_cleanup_free_ char *dir = NULL;
	if (lease_default_dir(&dir, NULL) < 0)
		return -ENOMEM;
	for (size_t i = 0; i < nvml_count(n); i++) {
		Card *c = &cards[i];
		Err err = ERR_INIT;
		free(c->holder);
		*c = (Card){.info = nvml_info(n, i)};
		if (nvml_read(n, i, &c->state, &err) < 0)
			snprintf(c->gone, sizeof(c->gone), "%.159s", err.msg);
		if (lease_holder(dir, c->info->uuid, &c->holder) < 0)
			return -ENOMEM;
	}
	return 0;
}

static int print_json_line(json_t *v)
{
	_cleanup_(str_done) Str text = STR_INIT;
	json_auto_t *owned = v;
	if (!owned)
		return cli_oom();
	js_canonical(owned, &text);
	str_addc(&text, '\n');
	return cli_print(text.failed ? NULL : text.s);
}

static int print_cards(const Options *o, const Card *cards, size_t n)
{
	_cleanup_(str_done) Str text = STR_INIT;
	bool redraw = o->watch && isatty(STDOUT_FILENO);
	if (o->json)
		return o->watch ? print_json_line(all_json(cards, n))
				: cli_print_json(all_json(cards, n));
	if (redraw)
		str_add(&text, "\033[H\033[J");
	for (size_t i = 0; i < n; i++) {
		if (o->watch && !redraw) {
			line_text(&cards[i], &text);
			continue;
		}
		if (i > 0)
			str_addc(&text, '\n');
		if (card_text(&cards[i], &text) < 0)
			return cli_oom();
	}
	return cli_print(text.failed ? NULL : text.s ? text.s : "");
}

static int show(const Options *o, Nvml *n, Card *cards, int64_t period_us)
{
	for (;;) {
		if (look(n, cards) < 0)
			return cli_oom();
		int r = print_cards(o, cards, nvml_count(n));
		if (r || !o->watch)
			return r;
		poll(NULL, 0, (int)(period_us / 1000));
	}
}

static int read_period(const char *text, int64_t *ret_us)
{
	char *end;
	double seconds = strtod(text, &end);
	if (end == text || *end || !(seconds * 1e6 >= PERIOD_MIN_US && seconds <= 3600))
		return cli_failf(EXIT_USAGE, "'%s' is no number of seconds between 0.1 and 3600",
				 text);
	*ret_us = (int64_t)(seconds * 1e6);
	return 0;
}

static int run(const void *options, int argc, char **argv)
{
	const Options *o = options;
	_cleanup_(nvml_closep) Nvml *n = NULL;
	Err err = ERR_INIT;
	int64_t period_us = PERIOD_US;

	if (argc > 0 && !o->watch)
		return cli_failf(EXIT_USAGE, "a number of seconds goes with --watch");
	int r = argc > 0 ? read_period(argv[0], &period_us) : 0;
	if (r)
		return r;
	if (nvml_open(NULL, &n, &err) < 0)
		return cli_fail(EXIT_FAILED, &err);
	if (nvml_count(n) == 0 && *nvml_missing(n))
		return cli_failf(EXIT_FAILED, "%s; dmesg may show why", nvml_missing(n));
	if (nvml_count(n) == 0)
		return cli_failf(EXIT_FAILED,
				 "NVML runs but has no GPU; lspci shows whether the machine has "
				 "one, and dmesg why the driver does not take it");
	Card *cards = calloc(nvml_count(n), sizeof(*cards));
	if (!cards)
		return cli_oom();
	if (*nvml_missing(n))
		cli_failf(EXIT_DONE, "%s; dmesg may show why", nvml_missing(n));
	r = show(o, n, cards, period_us);
	for (size_t i = 0; i < nvml_count(n); i++)
		free(cards[i].holder);
	free(cards);
	return r;
}

static const Option rows[] = {
    {"watch", 'w', NULL, OPT_FLAG, offsetof(Options, watch),
     .help = "again every 2 seconds, or every SECONDS, until interrupted: redrawn on a terminal, "
	     "otherwise one line a card (with --json one document a line)"},
    OPTION_JSON("print JSON"),
    {0},
};

const Command cmd_gpu = {
    .name = "gpu",
    .args = "[SECONDS]",
    .summary = "show the GPUs, who uses them and who has them leased",
    .about = "Each card by its UUID, with memory, load, clocks, why it is slowed down, the holder "
	     "of its lease, and each process on it: the unit or container it runs in, the bytes it "
	     "holds, its command line without secrets. All of it comes from NVIDIA's NVML; without "
	     "it there is nothing to show.\n\nA load of 100 % says that something was running all "
	     "the time, not that there is no headroom.",
    .options = rows,
    .options_size = sizeof(Options),
    .min_args = 0,
    .max_args = 1,
    .run = run,
};
