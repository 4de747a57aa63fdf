/* What processes, units and cgroups of others say of themselves: put together, told to a terminal,
 * and written as a configuration that can be read, of which nothing is another line of it.
 *
 * An input is lines of fields with a tab between; the letter that a line begins with says what it
 * is, the digit behind it which process (line) it belongs to. */
#include <math.h>
#include <string.h>

#include "config/config.h"
#include "discover/compose.h"
#include "discover/machine.h"
#include "discover/symptoms.h"
#include "fuzz.h"
#include "gpu/proctext.h"
#include "server/vllm_log.h"
#include "service/strings.h"
#include "systemd/bus.h"

enum {
	FIELDS_MAX = 40,
	LINES_MAX = 40,
	FIRST_PID = 100,
};

typedef struct Line {
	char *field[FIELDS_MAX + 1]; /* [0]: what stands behind letter and digit */
	size_t n;
	char letter;
	int number;
} Line;

static void split(char *text, Line *l)
{
	*l = (Line){.letter = text[0], .number = text[0] && text[1] ? text[1] - '0' : 0};
	if (!text[0] || !text[1])
		return;
	for (char *rest = text + 2; rest && l->n < FIELDS_MAX;)
		l->field[l->n++] = strsep(&rest, "\t");
}

static const char *field(const Line *l, size_t i)
{
	return i < l->n ? l->field[i] : "";
}

static char **words(const Line *l, size_t from)
{
	return strings_copy((char *const *)l->field + (from < l->n ? from : l->n));
}

/* "P1cgroup<tab>cwd<tab>argv...": a child of the first process. */
static void add_process(Sightings *s, const Line *l)
{
	_cleanup_free_ char *cgroups = str_fmt("0::%s", field(l, 0));
	_cleanup_free_ char *path = path_of_cgroups(cgroups), *home = home_of_cgroup(path);
	_cleanup_(str_done) Str safe = STR_INIT;
	s->processes = reallocarray(s->processes, s->n_processes + 1, sizeof(*s->processes));
	MUST(s->processes && home);
	SeenProcess *p = &s->processes[s->n_processes];
	*p = (SeenProcess){.pid = FIRST_PID + (pid_t)s->n_processes,
			   .parent = FIRST_PID + l->number,
			   .argv = words(l, 2),
			   .env = words(l, l->n),
			   .cwd = strdup(field(l, 1))};
	s->n_processes++;
	str_add_safe(&safe, home, strlen(home), 80); /* as process_home() does */
	MUST(str_take(&safe, &p->home) >= 0);
	MUST(unit_of_cgroup(cgroups, &p->unit, &p->user_unit) >= 0);
}

/* The manager has no others. */
static bool is_unit_name(const char *name)
{
	size_t n = strlen(name);
	return n > 8 && n < 200 && strcmp(name + n - 8, ".service") == 0 && name[0] != '.' &&
	       strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
			    "0123456789:-_.\\@") == n;
}

/* "U1name<tab>active<tab>NAME=value<tab>argv...": the first process is its own. */
static void add_unit(Sightings *s, const Line *l)
{
	s->units = reallocarray(s->units, s->n_units + 1, sizeof(*s->units));
	MUST(s->units);
	SeenUnit *u = &s->units[s->n_units++];
	char *env[] = {l->n > 2 ? l->field[2] : NULL, NULL};
	*u = (SeenUnit){.name = strdup(field(l, 0)),
			.argv = words(l, 3),
			.env = strings_copy(env),
			.env_files = words(l, l->n),
			.wd = strdup("/srv"),
			.main_pid = FIRST_PID + l->number,
			.command = {.argv = words(l, 3), .env = strings_copy(env)}};
	const char *active = field(l, 1);
	(void)snprintf(u->active, sizeof(u->active), "%s", *active == 'a' ? "active" : "inactive");
	if (strcmp(active, "refused") == 0)
		u->refused = strdup("it is started by a shell script");
}

static void add_line(Sightings *s, const Line *l)
{
	pid_t pid = FIRST_PID + l->number;
	long number = strtol(field(l, 0), NULL, 10);
	if (l->letter == 'P') {
		add_process(s, l);
	} else if (l->letter == 'U' && is_unit_name(field(l, 0))) {
		add_unit(s, l);
	} else if (l->letter == 'G') {
		s->uses = reallocarray(s->uses, s->n_uses + 1, sizeof(*s->uses));
		MUST(s->uses);
		s->uses[s->n_uses++] =
		    (SeenUse){.pid = pid, .bytes = (number & 0xffffff) << 20, .visible = true};
	} else if (l->letter == 'L') {
		s->listeners =
		    reallocarray(s->listeners, s->n_listeners + 1, sizeof(*s->listeners));
		MUST(s->listeners);
		s->listeners[s->n_listeners++] =
		    (Listener){.port = (uint16_t)number, .loopback = number & 1, .pid = pid};
	}
}

/* The log of the first vLLM server; only such is believed. */
static void take_log(Machine *m, const char *log)
{
	for (size_t i = 0; i < m->n_servers; i++) {
		VllmLog l;
		if (strcmp(server_kind_name(m->servers[i].kind), "vllm") != 0)
			continue;
		if (vllm_log_parse(log, strlen(log), &l, NULL) < 0)
			return;
		if (isfinite(l.start.kv_gib) && l.start.kv_gib > 0 && l.start.kv_tokens > 0) {
			m->servers[i].start = l.start;
			m->servers[i].start_known = true;
			l.start.key = (VllmKey){0};
		}
		vllm_log_done(&l);
		return;
	}
}

static void check_lines(const Str *out)
{
	for (size_t i = 0; i < out->len; i++)
		MUST(out->s[i] == '\n' || ((unsigned char)out->s[i] >= 0x20 && out->s[i] != 0x7f));
}

static void check_config(const Machine *m)
{
	_cleanup_(str_done) Str yaml = STR_INIT;
	_cleanup_(diags_done) Diags d = DIAGS_INIT;
	_cleanup_(config_freep) Plan *plan = NULL;
	Err err = ERR_INIT;
	int r = compose_config(m, "dream", &yaml, &err);
	MUST(r == 0 || err.msg[0]);
	if (r < 0)
		return;
	check_lines(&yaml);
	if (config_load_text("dream.yaml", yaml.s, yaml.len, DIAG_WARNING, &plan, &d, &err) == 0)
		return;
	_cleanup_(str_done) Str said = STR_INIT;
	diags_text(&d, &said);
	fprintf(stderr, "%s%s\n", yaml.s, said.s ? said.s : err.msg);
	MUST(!"what was composed can be read");
}

static void check_doctor(const Machine *m)
{
	const Symptoms s = {.machine = m, .restart = -1};
	DoctorFindings found = {0};
	MUST(diagnose(&s, &found) == 0);
	for (size_t i = 0; i < found.n; i++)
		MUST(found.list[i].check && *found.list[i].what);
	findings_done(&found);
}

static void check_machine(const Machine *m)
{
	_cleanup_(str_done) Str map = STR_INIT, none = STR_INIT;
	MUST(mapping_text(m, &map) == 0);
	check_lines(&map);
	nothing_text(m, &none);
	check_lines(&none);
	check_config(m);
	check_doctor(m);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_(sightings_done) Sightings s = {0};
	_cleanup_(machine_done) Machine m = {.n_gpus = 1, .root = true};
	_cleanup_(str_done) Str log = STR_INIT;
	if (size > 16384)
		return 0;
	_cleanup_free_ char *text = strndup((const char *)data, size);
	m.gpus = calloc(1, sizeof(*m.gpus));
	MUST(text && m.gpus);
	m.gpus[0] = (FoundGpu){.info = {.uuid = "GPU-1", .name = "A card", .cc_major = 8},
			       .total_bytes = 12LL << 30,
			       .used_bytes = 1 << 30,
			       .processes_known = true};
	char *rest = text;
	for (size_t i = 0; rest && i < LINES_MAX; i++) {
		Line l;
		char *line = strsep(&rest, "\n");
		if (line[0] == 'J')
			str_addf(&log, "%s\n", line + 1);
		split(line, &l);
		add_line(&s, &l);
	}
	MUST(machine_match(&s, &m, NULL) == 0);
	if (log.s)
		take_log(&m, log.s);
	check_machine(&m);
	return 0;
}
