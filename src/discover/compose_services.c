/* The services of dream.yaml as they run today, and what is known of their memory. */
#include <math.h>
#include <string.h>

#include "base/json.h"
#include "discover/compose_internal.h"
#include "discover/words.h"
#include "service/strings.h"

static bool is_kind(const FoundServer *s, const char *kind)
{
	return strcmp(server_kind_name(s->kind), kind) == 0;
}

/* --- The services ---------------------------------------------------------------------------- */

static bool is_tuned(const Part *part, const char *setting)
{
	for (size_t i = 0; i < part->n; i++)
		if (strcmp(part->tunes[i].setting, setting) == 0)
			return true;
	return false;
}

/* What the memory model must know of a vLLM server; a trial takes the rest from its command. */
static const char *const vllm_settings[] = {"model",
					    "max_model_len",
					    "max_num_seqs",
					    "max_num_batched_tokens",
					    "kv_cache_dtype",
					    "enforce_eager",
					    NULL};

static void settings_yaml(const Part *part, size_t indent, const char *head, Str *out)
{
	bool any = false;
	for (size_t i = 0; vllm_settings[i]; i++) {
		const json_t *v = json_object_get(part->s->settings, vllm_settings[i]);
		if (!v || is_tuned(part, vllm_settings[i]))
			continue;
		if (!any && head)
			str_addf(out, "%*s%s\n", (int)indent - 2, "", head);
		any = true;
		str_addf(out, "%*s%s: ", (int)indent, "", vllm_settings[i]);
		yaml_value(v, out);
		str_addc(out, '\n');
	}
}

static int command_yaml(const FoundServer *s, Str *out)
{
	size_t left_out = 0;
	char **argv = argv_without_secrets(s->command.argv, &left_out);
	if (!argv)
		return -ENOMEM;
	yaml_comment(8, out,
		     "The command of process %d. A unit would be better (from_unit: NAME.service): "
		     "then its user, limits and environment hold for trials, too.%s",
		     (int)s->pid, left_out ? " Arguments that carry secrets were left out." : "");
	str_add(out, "        command: [");
	for (size_t i = 0; argv[i]; i++) {
		str_add(out, i ? ", " : "");
		yaml_text(argv[i], out);
	}
	str_add(out, "]\n");
	(void)strings_free(argv);
	if (s->command.cwd && *s->command.cwd) {
		str_add(out, "        cwd: ");
		yaml_text(s->command.cwd, out);
		str_addc(out, '\n');
	}
	return 0;
}

static void params_yaml(const Part *part, Str *out)
{
	if (part->n == 0)
		return;
	str_add(out, "        params:                    # parameter of the search: setting of the "
		     "server\n");
	for (size_t i = 0; i < part->n; i++)
		str_addf(out, "          %s: %s\n", part->tunes[i].param, part->tunes[i].setting);
	bool first = true;
	for (size_t i = 0; i < part->n; i++) {
		const char *value;
		json_t *text;
		if (!part->tunes[i].texts)
			continue;
		str_addf(out, "%s          %s:\n", first ? "        values:\n" : "",
			 part->tunes[i].setting);
		first = false;
		json_object_foreach (part->tunes[i].texts, value, text) {
			str_add(out, "            ");
			yaml_text(value, out);
			str_add(out, ": ");
			yaml_value(text, out);
			str_addc(out, '\n');
		}
	}
}

/* It holds at least this much when it is ready, whatever the candidate: three quarters of what it
 * holds today, less where its share of the memory itself is tuned. */
static void least_bytes_yaml(const Part *part, Str *out)
{
	const FoundServer *s = part->s;
	double least = (double)s->gpu_bytes * 0.75;
	if (s->gpu_bytes < 64 << 20 || is_tuned(part, "model"))
		return;
	if (s->start_known && is_tuned(part, "gpu_memory_utilization"))
		least = ((double)s->gpu_bytes - s->start.kv_gib * (1 << 30)) * 0.75;
	else if (is_tuned(part, "gpu_memory_utilization"))
		least = (double)s->gpu_bytes * 0.5;
	str_addf(out, "        gpu_bytes: %.0f MiB        # at least, or it is not on the GPU\n",
		 least / (1 << 20));
}

static int service_yaml(const Part *part, Str *out)
{
	const FoundServer *s = part->s;
	str_addf(out, "      %s:\n        kind: %s\n", s->name, server_kind_name(s->kind));
	if (s->start_known && s->start.key.version) {
		str_add(out, "        version: ");
		yaml_text(s->start.key.version, out);
		str_addc(out, '\n');
	}
	if (*s->unit) {
		str_add(out, "        from_unit: ");
		yaml_text(s->unit, out);
		str_add(out, "\n        unit: ");
		yaml_text(s->unit, out);
		str_addc(out, '\n');
	} else if (command_yaml(s, out) < 0) {
		return -ENOMEM;
	}
	if (s->port)
		str_addf(out,
			 strchr(s->host, ':') ? "        url: \"http://[%s]:%u\"\n"
					      : "        url: \"http://%s:%u\"\n",
			 *s->host ? s->host : "127.0.0.1", (unsigned)s->port);
	if (!server_wants_gpu(s->kind, &s->command))
		str_add(out, "        cpu: true                  # its command says so\n");
	if (is_kind(s, "vllm"))
		settings_yaml(part, 10, "settings:", out);
	if (is_kind(s, "ollama") && s->model) {
		str_add(out, "        settings:\n          model: ");
		yaml_text(s->model, out);
		str_addc(out, '\n');
	} else if (is_kind(s, "ollama")) {
		str_add(out, "        # settings: {model: NAME}   # it has none loaded; trials "
			     "need one\n");
	}
	params_yaml(part, out);
	least_bytes_yaml(part, out);
	return 0;
}

int compose_services(const Parts *p, Str *out)
{
	str_addc(out, '\n');
	yaml_comment(4, out,
		     "In the order in which they start: one after another, each ready before the "
		     "next.");
	str_add(out, "    services:\n");
	for (size_t i = 0; i < p->n; i++)
		if (service_yaml(&p->list[i], out) < 0)
			return -ENOMEM;
	for (size_t i = 0; i < p->m->n_servers; i++) {
		const FoundServer *s = &p->m->servers[i];
		if (part_belongs(p->m, p->gpu, s))
			continue;
		yaml_comment(6, out, "%s (%s) is not among them: %s.", s->name,
			     server_kind_name(s->kind),
			     s->refused	       ? s->refused
			     : is_container(s) ? "it runs in a container that no unit starts"
					       : "it holds no memory of this GPU");
	}
	for (size_t i = 0; i < p->m->n_tenants; i++) {
		const FoundTenant *t = &p->m->tenants[i];
		_cleanup_(str_done) Str bytes = STR_INIT;
		bytes_text(t->bytes, &bytes);
		if (t->gpu == p->gpu)
			yaml_comment(6, out, "A neighbour that stays as it is: %s%s%s (%s).",
				     *t->home ? t->home : "", *t->home ? ": " : "", t->words,
				     bytes.s ? bytes.s : "?");
	}
	return 0;
}

/* --- The memory model ------------------------------------------------------------------------ */

/* KV bytes of one token from a log that rounds to 0.01 GiB. They are layers x heads x head size x
 * 4 at 16 bits, for usual models a multiple of 2,048: where just one such number is possible it is
 * taken. */
static double token_bytes(const VllmStart *st, bool *ret_exact)
{
	double raw = st->kv_gib * (1 << 30) / (double)st->kv_tokens;
	double off = 0.005 * (1 << 30) / (double)st->kv_tokens;
	double low = ceil((raw - off) / 2048), high = floor((raw + off) / 2048);
	*ret_exact = low == high;
	return *ret_exact ? low * 2048 : round(raw);
}

static int64_t others_bytes(const Parts *p)
{
	int64_t sum = 0;
	for (size_t i = 0; i < p->m->n_tenants; i++)
		if (p->m->tenants[i].gpu == p->gpu && p->m->tenants[i].bytes > 0)
			sum += p->m->tenants[i].bytes;
	return sum;
}

static double share_of(const FoundServer *s)
{
	return isfinite(s->start.share) && s->start.share > 0
		   ? s->start.share
		   : js_num(s->settings, "gpu_memory_utilization", 0.9);
}

static double non_kv_bytes(const FoundServer *s, double total)
{
	bool exact;
	return share_of(s) * total - token_bytes(&s->start, &exact) * (double)s->start.kv_tokens;
}

/* As CUDA counts it, where the log says so. */
static double total_of(const Parts *p, const FoundServer *s)
{
	const FoundGpu *g = &p->m->gpus[p->gpu];
	if (s->start.total_bytes > 0)
		return (double)s->start.total_bytes;
	return (double)g->total_bytes - (g->reserved_bytes > 0 ? (double)g->reserved_bytes : 0);
}

/* What a fact holds for, as the configuration can say it: "32k" is a length to vLLM alone. */
static bool is_key(const FoundServer *s)
{
	for (size_t i = 0; vllm_settings[i]; i++) {
		const json_t *v = json_object_get(s->settings, vllm_settings[i]);
		bool number = strncmp(vllm_settings[i], "max_", 4) == 0;
		bool flag = strcmp(vllm_settings[i], "enforce_eager") == 0;
		if (!v || (flag && json_is_boolean(v)))
			continue;
		if (number ? json_integer_value(v) < 1 || json_integer_value(v) > 1000000000
			   : !json_is_string(v))
			return false;
	}
	return true;
}

/* A log may be of another card, or say anything. */
static bool is_fact(const Parts *p, const FoundServer *s)
{
	bool exact;
	double total = total_of(p, s), token = token_bytes(&s->start, &exact);
	double rest = non_kv_bytes(s, total);
	return is_key(s) && token >= 1 && token <= 1 << 30 && rest >= 1 << 20 && rest <= total &&
	       total <= 1e15;
}

static const Part *started_part(const Parts *p)
{
	for (size_t i = 0; i < p->n; i++)
		if (p->list[i].s->start_known && is_fact(p, p->list[i].s))
			return &p->list[i];
	return NULL;
}

static void fact_yaml(const Part *part, double total, Str *out)
{
	const FoundServer *s = part->s;
	const VllmStart *st = &s->start;
	bool exact = false;
	double share = share_of(s), bytes = token_bytes(st, &exact);
	double non_kv = non_kv_bytes(s, total);
	str_add(out, "      vllm:\n        -");
	if (st->key.version) {
		str_add(out, " version: ");
		yaml_text(st->key.version, out);
		str_add(out, "\n         ");
	}
	str_addf(out, " non_kv_bytes: %.3f GiB   # %g of the memory, less the KV cache of today\n",
		 non_kv / (1 << 30), share);
	settings_yaml(part, 10, NULL, out);
	for (size_t i = 0; i < part->n; i++) {
		const Tune *t = &part->tunes[i];
		if (strncmp(t->setting, "max_num", 7) != 0)
			continue;
		str_addf(out, "          %s: ", t->setting);
		yaml_value(t->present, out);
		str_addc(out, '\n');
	}
	str_addf(out, "          token_bytes: %.0f%s\n", bytes,
		 exact ? "   # the one multiple of 2,048 that fits the log's rounded figures"
		       : "   # from rounded figures: within a few per cent");
	_cleanup_free_ char *source = str_fmt("start-up log of %s at %g", s->unit, share);
	str_add(out, "          source: ");
	yaml_text(source ? source : "start-up log", out);
	str_addc(out, '\n');
}

void compose_memory(const Parts *p, Str *out)
{
	const Part *part = started_part(p);
	const FoundGpu *g = &p->m->gpus[p->gpu];
	bool vllm = false;
	for (size_t i = 0; i < p->n; i++)
		vllm |= is_kind(p->list[i].s, "vllm");
	if (!part && vllm) {
		yaml_comment(4, out,
			     "What fits could be told before anything is started from one start-up "
			     "log of vLLM, and none that tells it was found in the journal: see "
			     "'dream predict --from-log FILE'.");
		str_addc(out, '\n');
	}
	if (!part || g->total_bytes <= 0)
		return;
	bool cuda = part->s->start.total_bytes > 0;
	double total = total_of(p, part->s);
	yaml_comment(4, out,
		     "What fits, from the start-up log of %s: candidates that cannot start cost no "
		     "trial. The total is %s.",
		     part->s->unit,
		     cuda ? "what the log says" : "NVML's, less what the driver keeps");
	str_addf(out,
		 "    memory:\n      total_bytes: %.0f\n      context_bytes: 300 MiB      # of "
		 "each process, assumed\n      others_bytes: %.0f MiB         # the neighbours of "
		 "today\n      reserve_bytes: 256 MiB\n",
		 total, (double)others_bytes(p) / (1 << 20));
	fact_yaml(part, total, out);
	str_addc(out, '\n');
}
