/* The mapping for people, at 80 columns. */
#include <stdio.h>
#include <string.h>

#include "base/json.h"
#include "discover/compose.h"
#include "discover/tune.h"
#include "discover/words.h"

enum {
	WIDTH = 79,
};

/* A line that begins at `indent`; what does not fit goes on in the next ones, two further in. */
static void add_line(size_t indent, const char *text, Str *out)
{
	char first[16], next[16];
	(void)snprintf(first, sizeof(first), "%*s", (int)indent, "");
	(void)snprintf(next, sizeof(next), "%*s", (int)indent + 2, "");
	words_fill(text, first, next, WIDTH, out);
}

static void gpu_line(const Machine *m, const FoundGpu *g, Str *out)
{
	_cleanup_(str_done) Str line = STR_INIT;
	str_addf(&line, "GPU %d: ", g->info.index);
	str_add_safe(&line, *g->info.name ? g->info.name : "(no name)",
		     strlen(*g->info.name ? g->info.name : "(no name)"), 48);
	if (g->info.cc_major >= 0)
		str_addf(&line, ", compute capability %d.%d", g->info.cc_major, g->info.cc_minor);
	if (*g->gone) {
		str_addf(&line, ", cannot be read: %s", g->gone);
	} else {
		str_add(&line, ", ");
		bytes_text(g->used_bytes, &line);
		str_add(&line, " used of ");
		bytes_text(g->total_bytes, &line);
	}
	if (*m->driver && m->n_gpus == 1)
		str_addf(&line, ", driver %s", m->driver);
	add_line(0, line.s ? line.s : "", out);
	if (!g->processes_known && !*g->gone)
		add_line(
		    2,
		    "The driver does not list processes here, so it cannot be told who holds it.",
		    out);
}

static void where_text(const FoundServer *s, Str *out)
{
	if (*s->unit)
		str_addf(out, ", unit %s%s", s->unit,
			 s->user_unit ? " (of the user's manager)" : "");
	if (*s->container)
		str_addf(out, ", container %s", s->container);
	if (!*s->unit && !*s->container)
		str_add(out, ", started by hand (no unit, no container)");
}

static void port_text(const FoundServer *s, Str *out)
{
	if (s->pid == 0)
		str_addf(out, ", does not run (%s)", *s->active ? s->active : "not started");
	else if (s->listens)
		str_addf(out, ", port %u%s", (unsigned)s->port,
			 s->exposed ? " (reachable from outside)" : "");
	else if (s->port && *s->container)
		str_addf(out, ", port %u in its container", (unsigned)s->port);
	else if (s->port)
		str_addf(out, ", does not listen on port %u", (unsigned)s->port);
	else
		str_add(out, ", port unknown");
}

static bool is_secret_setting(const char *name, const json_t *v)
{
	char *const one[] = {(char *)(uintptr_t)(json_is_string(v) ? json_string_value(v) : ""),
			     NULL};
	size_t out = 0;
	if (names_secret(name, strlen(name)))
		return true;
	char **left = argv_without_secrets(one, &out);
	for (char **p = left; p && *p; p++)
		free(*p);
	free(left);
	return out > 0;
}

static void settings_text(const FoundServer *s, Str *out)
{
	const char *name;
	json_t *v;
	bool first = true;
	json_object_foreach (s->settings, name, v) {
		_cleanup_(str_done) Str text = STR_INIT;
		if (is_secret_setting(name, v))
			continue;
		yaml_value(v, &text);
		str_addf(out, "%s%s ", first ? "" : ", ", name);
		str_add_safe(out, text.s ? text.s : "", text.len, 80);
		first = false;
	}
	if (first)
		str_add(out, "none that we know, so the server's defaults");
}

static int tuned_text(const FoundServer *s, Str *out)
{
	Tune tunes[TUNES_MAX];
	size_t n = 0;
	if (s->refused) {
		str_addf(out, "cannot be tuned: %s", s->refused);
		return 0;
	}
	if (is_container(s)) {
		str_add(out, "cannot be tuned: it was started in a container and not by a systemd "
			     "unit, so its command is not known; a unit with 'docker run' or "
			     "'podman run' would do");
		return 0;
	}
	int r = server_tunes(s, tunes, &n, NULL);
	if (r < 0)
		return r;
	for (size_t i = 0; i < n; i++) {
		str_addf(out, "%s%s: ", i ? ", " : "would be tuned: ", tunes[i].setting);
		for (size_t k = 0; k < json_array_size(tunes[i].values); k++) {
			if (k)
				str_addc(out, ' ');
			yaml_value(json_array_get(tunes[i].values, k), out);
		}
	}
	if (n == 0)
		str_add(out, "nothing to tune was found");
	tunes_done(tunes, n);
	return 0;
}

static int server_lines(const FoundServer *s, Str *out)
{
	_cleanup_(str_done) Str head = STR_INIT, set = STR_INIT, tuned = STR_INIT;
	str_addf(&head, "%s: ", s->name);
	if (s->gpu_bytes >= 0) {
		bytes_text(s->gpu_bytes, &head);
		str_add(&head, ", ");
	} else if (s->gpu != SIZE_MAX) {
		str_add(&head, "(bytes unknown), ");
	}
	str_addf(&head, "%s", server_kind_name(s->kind));
	if (s->pid)
		str_addf(&head, ", process %d", (int)s->pid);
	where_text(s, &head);
	port_text(s, &head);
	str_add(&set, "with ");
	settings_text(s, &set);
	if (tuned_text(s, &tuned) < 0 || head.failed || set.failed || tuned.failed)
		return -ENOMEM;
	add_line(2, head.s, out);
	add_line(4, set.s, out);
	add_line(4, tuned.s, out);
	return 0;
}

static void tenant_line(const FoundTenant *t, Str *out)
{
	_cleanup_(str_done) Str line = STR_INIT;
	str_add(&line, "neighbour: ");
	bytes_text(t->bytes, &line);
	str_addf(&line, ", process %d", (int)t->pid);
	if (*t->home)
		str_addf(&line, ", %s", t->home);
	str_addf(&line, ", %s", t->words);
	add_line(2, line.s ? line.s : "", out);
}

int mapping_text(const Machine *m, Str *out)
{
	bool any = false;
	for (size_t g = 0; g < m->n_gpus; g++) {
		size_t before = m->n_servers + m->n_tenants;
		gpu_line(m, &m->gpus[g], out);
		for (size_t i = 0; i < m->n_servers; i++)
			if (m->servers[i].gpu == g) {
				if (server_lines(&m->servers[i], out) < 0)
					return -ENOMEM;
				before--;
			}
		for (size_t i = 0; i < m->n_tenants; i++)
			if (m->tenants[i].gpu == g) {
				tenant_line(&m->tenants[i], out);
				before--;
			}
		if (before == m->n_servers + m->n_tenants && m->gpus[g].processes_known)
			add_line(2, "nobody uses it", out);
	}
	for (size_t i = 0; i < m->n_servers; i++) {
		if (m->servers[i].gpu != SIZE_MAX)
			continue;
		if (!any)
			str_add(out, "Model servers that hold no GPU memory that can be seen:\n");
		any = true;
		if (server_lines(&m->servers[i], out) < 0)
			return -ENOMEM;
	}
	return out->failed ? -ENOMEM : 0;
}

void nothing_text(const Machine *m, Str *out)
{
	_cleanup_(str_done) Str line = STR_INIT;
	if (m->nvml < 0)
		str_addf(&line, "No GPU: %s.", m->nvml_why);
	else if (m->n_gpus == 0)
		str_addf(&line, "No GPU: NVML runs and has none%s%s.", *m->nvml_why ? "; " : "",
			 m->nvml_why);
	else
		str_addf(&line, "%zu GPU%s, and no model server on it that can be tuned.",
			 m->n_gpus, m->n_gpus == 1 ? "" : "s");
	add_line(0, line.s ? line.s : "", out);
	str_clear(&line);
	str_addf(&line,
		 "Servers: looked at %zu processes and %zu service units for vllm, llama-server, "
		 "ollama, whisper-server and OpenAI-style speech-to-text servers, and found %zu.",
		 m->n_processes, m->n_units, m->n_servers);
	if (m->systemd < 0)
		str_addf(&line, " Units could not be seen (%s).", m->systemd_why);
	if (!m->root && m->n_hidden > 0)
		str_addf(&line,
			 " The command lines of %zu processes may not be read by this user; root "
			 "sees them.",
			 m->n_hidden);
	add_line(0, line.s ? line.s : "", out);
}
