/* dream.yaml from what was found. Every value has its reason in a comment, so that the file can be
 * judged before anything is started. */
#include "discover/compose.h"

#include <math.h>
#include <string.h>

#include "base/json.h"
#include "discover/example_box.h"
#include "discover/example_config.h"
#include "discover/tune.h"
#include "discover/words.h"
#include "service/strings.h"

typedef struct Part {
	const FoundServer *s;
	Tune tunes[TUNES_MAX];
	size_t n;
} Part;

typedef struct Parts {
	const Machine *m;
	Part *list;
	size_t n, n_tuned;
	bool llm, stt, units;
	size_t gpu; /* the one that is tuned */
} Parts;

static void parts_done(Parts *p)
{
	for (size_t i = 0; i < p->n; i++)
		tunes_done(p->list[i].tunes, p->list[i].n);
	free(p->list);
}

/* The GPU of the first server that can be tuned and is on one, else the first. */
static size_t main_gpu(const Machine *m)
{
	for (size_t i = 0; i < m->n_servers; i++)
		if (m->servers[i].gpu != SIZE_MAX && server_is_tunable(&m->servers[i]))
			return m->servers[i].gpu;
	return 0;
}

/* A server of another GPU, or of none, is not what is tuned here, unless nobody is on the GPU at
 * all: then those that are stopped are. */
static bool belongs(const Machine *m, size_t gpu, const FoundServer *s)
{
	bool any = false;
	for (size_t i = 0; i < m->n_servers; i++)
		any |= m->servers[i].gpu != SIZE_MAX && server_is_tunable(&m->servers[i]);
	if (!server_is_tunable(s))
		return false;
	return any ? s->gpu == gpu : *s->unit || !m->gpus[gpu].processes_known;
}

static int gather(const Machine *m, Parts *p, Err *err)
{
	*p = (Parts){.m = m, .gpu = main_gpu(m)};
	p->list = calloc(m->n_servers + 1, sizeof(*p->list));
	if (!p->list)
		return err_oom(err);
	for (size_t i = 0; i < m->n_servers; i++) {
		const FoundServer *s = &m->servers[i];
		Part *part = &p->list[p->n];
		if (!belongs(m, p->gpu, s))
			continue;
		*part = (Part){.s = s};
		p->n++;
		int r = server_tunes(s, part->tunes, &part->n, err);
		if (r < 0)
			return r;
		p->n_tuned += part->n;
		p->llm |= server_role(s->kind) == ROLE_LLM;
		p->stt |= server_role(s->kind) == ROLE_STT;
		p->units |= *s->unit && !s->user_unit;
	}
	return 0;
}

static bool is_kind(const FoundServer *s, const char *kind)
{
	return strcmp(server_kind_name(s->kind), kind) == 0;
}

/* --- The space ------------------------------------------------------------------------------- */

static void space_yaml(const Parts *p, Str *out)
{
	yaml_comment(4, out, "What is tried: values around those of today.");
	str_add(out, "    search_space:\n");
	for (size_t i = 0; i < p->n; i++)
		for (size_t k = 0; k < p->list[i].n; k++) {
			const Tune *t = &p->list[i].tunes[k];
			str_addf(out, "      %s: {values: [", t->param);
			for (size_t v = 0; v < json_array_size(t->values); v++) {
				str_add(out, v ? ", " : "");
				yaml_value(json_array_get(t->values, v), out);
			}
			str_addf(out, "]%s}\n", t->ordered ? ", ordered: true" : "");
		}
	str_addc(out, '\n');
	yaml_comment(4, out,
		     "What runs today. It is measured in the same run as the candidates, and only "
		     "what is better than this can win.");
	str_add(out, "    baseline:\n");
	for (size_t i = 0; i < p->n; i++)
		for (size_t k = 0; k < p->list[i].n; k++) {
			const Tune *t = &p->list[i].tunes[k];
			str_addf(out, "      %s: ", t->param);
			yaml_value(t->present, out);
			str_add(out, t->assumed ? "   # not said by the command: the server's "
						  "default\n"
						: "\n");
		}
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
		str_addf(out, "        url: \"http://127.0.0.1:%u\"\n", (unsigned)s->port);
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

static int services_yaml(const Parts *p, Str *out)
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
		if (belongs(p->m, p->gpu, s))
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

/* --- The evaluator --------------------------------------------------------------------------- */

static void evaluator_yaml(const Parts *p, Str *out)
{
	bool units = p->units && p->m->root;
	str_addc(out, '\n');
	yaml_comment(4, out,
		     "Each candidate's services are really started, as %s, on ports of their own.",
		     units ? "units of the system's manager" : "processes of this user");
	str_addf(out, "    evaluator:\n      kind: gpu_allocation\n      as: %s\n",
		 units ? "units" : "processes");
	if (p->stt)
		str_add(out, "      # A folder of .wav files with what is said in a .txt beside "
			     "each; without it word errors are\n      # not measured:\n"
			     "      # clips: recordings\n");
	if (!p->units) {
		str_addc(out, '\n');
		return;
	}
	yaml_comment(
	    6, out,
	    "Production holds the GPU. Where both do not fit, these lines let a trial stop "
	    "it for a while; it is put back whatever happens. Remove the # to allow it.");
	str_add(out, "      # quiesce:\n      #   units: [");
	bool first = true;
	for (size_t i = 0; i < p->n; i++) {
		if (!*p->list[i].s->unit || p->list[i].s->user_unit)
			continue;
		str_add(out, first ? "" : ", ");
		yaml_text(p->list[i].s->unit, out);
		first = false;
	}
	str_add(out, "]\n      #   window: \"03:00-07:00\"   # local time\n"
		     "      #   budget: 30 min           # of downtime in 24 hours\n"
		     "      #   idle: 5 min              # nobody may have asked for this long\n");
	str_addc(out, '\n');
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

static const Part *started_part(const Parts *p)
{
	for (size_t i = 0; i < p->n; i++)
		if (p->list[i].s->start_known)
			return &p->list[i];
	return NULL;
}

static void fact_yaml(const Part *part, double total, Str *out)
{
	const FoundServer *s = part->s;
	const VllmStart *st = &s->start;
	bool exact = false;
	double share = isfinite(st->share) && st->share > 0
			   ? st->share
			   : js_num(s->settings, "gpu_memory_utilization", 0.9);
	double bytes = token_bytes(st, &exact);
	double non_kv = share * total - bytes * (double)st->kv_tokens;
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

static void memory_yaml(const Parts *p, Str *out)
{
	const Part *part = started_part(p);
	const FoundGpu *g = &p->m->gpus[p->gpu];
	bool vllm = false;
	for (size_t i = 0; i < p->n; i++)
		vllm |= is_kind(p->list[i].s, "vllm");
	if (!part && vllm) {
		yaml_comment(4, out,
			     "What fits could be told before anything is started from one start-up "
			     "log of vLLM, which was not found in the journal: see 'dream predict "
			     "--from-log FILE'.");
		str_addc(out, '\n');
	}
	if (!part || g->total_bytes <= 0)
		return;
	bool cuda = part->s->start.total_bytes > 0;
	double total = cuda ? (double)part->s->start.total_bytes : (double)g->total_bytes;
	if (!cuda && g->reserved_bytes > 0)
		total -= (double)g->reserved_bytes;
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

/* --- What counts, and how much --------------------------------------------------------------- */

static void objectives_yaml(const Parts *p, Str *out)
{
	yaml_comment(4, out,
		     "What counts: 1 at best, 0 at worst, weighted. Set worst to what would be too "
		     "slow for your users.");
	str_add(out, "    objectives:\n");
	double llm = p->llm ? (p->stt ? 0.25 : 0.40) : 0;
	if (p->stt)
		str_addf(out,
			 "      stt_latency_ms: {goal: minimize, weight: %.2f, worst: 500, "
			 "tolerance: 0.10}\n",
			 p->llm ? 0.25 : 0.70);
	if (p->llm)
		str_addf(out,
			 "      llm_latency_ms: {goal: minimize, weight: %.2f, worst: 1000, "
			 "tolerance: 0.10}\n"
			 "      concurrent_capacity: {goal: maximize, weight: %.2f, best: 20, "
			 "tolerance: 0.10}\n",
			 llm, p->stt ? 0.20 : 0.30);
	str_add(out, "      oom_events: {goal: minimize, weight: 0.20, worst: 1, tolerance: 0}\n"
		     "      gpu_memory_pct: {goal: target, weight: 0.10, target: 70, width: 50, "
		     "tolerance: 0.40}\n\n");
	if (p->stt)
		str_add(out, "    # With clips: speed is not bought with words that are heard "
			     "wrong.\n    # constraints: {wer_pct: {max: 6}}\n\n");
}

static void safety_yaml(const Parts *p, Str *out)
{
	bool any = false;
	for (size_t i = 0; i < p->n; i++)
		for (size_t k = 0; k < p->list[i].n; k++) {
			const Tune *t = &p->list[i].tunes[k];
			if (strcmp(t->setting, "gpu_memory_utilization") != 0)
				continue;
			if (!any)
				str_add(out, "    safety:\n      oom_zero: true\n      bounds:\n");
			any = true;
			size_t n = json_array_size(t->values);
			str_addf(out, "        %s: {min: ", t->param);
			yaml_value(json_array_get(t->values, 0), out);
			str_add(out, ", max: ");
			yaml_value(json_array_get(t->values, n - 1), out);
			str_add(out, "}\n");
		}
	str_add(out, any ? "\n" : "    safety: {oom_zero: true}\n\n");
}

static void one_load(const Parts *p, bool bursty, Str *out)
{
	const char *arrivals = bursty ? "gamma\n          cv: 3" : "poisson";
	str_addf(out, "      %s:\n", bursty ? "bursty" : "steady");
	if (p->llm)
		str_addf(out,
			 "        capacity_max: 32\n        llm:\n          arrivals: %s\n"
			 "          rate: 0.7                # requests a second\n"
			 "          requests: 60\n"
			 "          prompt_tokens: {median: 100, sigma: 0.4, min: 16, max: 1024}\n"
			 "          output_tokens: {median: 16, sigma: 0.4, min: 4, max: 128}\n"
			 "          limit: 2 s               # slower than this does not count\n",
			 arrivals);
	if (p->stt)
		str_addf(out,
			 "        stt:\n          arrivals: %s\n"
			 "          rate: 0.7\n          requests: 60\n"
			 "          clip_ms: {median: 3000, sigma: 0.3, min: 500, max: 30000}\n"
			 "          limit: 1 s\n",
			 arrivals);
}

static void workloads_yaml(const Parts *p, Str *out)
{
	yaml_comment(4, out,
		     "The load. These numbers are examples: replace them by what your users do "
		     "(rates, lengths, and the time after which an answer is too late), or replay "
		     "a recorded trace. The first is the search's; the confirmation runs both.");
	str_add(out, "    workloads:\n");
	one_load(p, false, out);
	one_load(p, true, out);
	str_addc(out, '\n');
}

static void apply_yaml(const Parts *p, Str *out)
{
	bool any = false;
	for (size_t i = 0; i < p->n; i++)
		for (size_t k = 0; k < p->list[i].n; k++) {
			const Tune *t = &p->list[i].tunes[k];
			if (!*t->unit || (!t->flag && !t->env))
				continue;
			if (!any) {
				str_addc(out, '\n');
				yaml_comment(4, out, "Where production sets each parameter.");
				str_add(out, "    apply:\n");
			}
			any = true;
			str_addf(out, "      %s: {unit: ", t->param);
			yaml_text(t->unit, out);
			str_add(out, t->file ? ", file: " : t->flag ? ", flag: " : ", env: ");
			const char *to = t->file ? t->file : t->flag ? t->flag : t->env;
			/* A flag begins with a dash, which plain text may not. */
			yaml_text(to, out);
			if (t->file) {
				str_add(out, ", key: ");
				yaml_text(t->env, out);
			}
			str_add(out, "}\n");
		}
}

static const char tail[] =
    "    budget:\n"
    "      wallclock_sec: 7200        # of one run; it can be continued\n"
    "      trial_timeout_sec: 900\n"
    "      max_candidates: 10\n"
    "      max_generations: 4\n"
    "      allow_gpu: true\n"
    "\n"
    "    selector: {kind: rzero, tournament_size: 4, survivors: 2, elitism: 1, fresh_inject: 1}\n"
    "    convergence: {patience_gens: 2}\n"
    "    confirm: {pairs: 5, min_pairs: 5, finalists: 1, confidence: 0.95, ablation: true}\n";

static void head_yaml(const Parts *p, const char *by, Str *out)
{
	const FoundGpu *g = &p->m->gpus[p->gpu];
	yaml_comment(0, out,
		     "Written by 'dream init' (%s) from what runs on this machine. Nothing was "
		     "changed. Read it, then:",
		     by);
	str_add(out, "#\n#   dream check            is it right?\n"
		     "#   dream run --dry-run    what would happen, and how long would it take?\n"
		     "#   dream run\nversion: 1\n\nrun:\n  seed: 1\n"
		     "  artifact_root: artifacts/dream\n  logdir: logs/dream\n\nexperiments:\n"
		     "  - name: gpu_allocation\n    description: ");
	yaml_text("How the model services of this machine share its GPU", out);
	str_add(out, "\n    gpu: ");
	yaml_text(g->info.uuid, out);
	str_add(out, "   # ");
	str_add_safe(out, g->info.name, strlen(g->info.name), 60);
	str_add(out, "\n\n");
}

bool machine_can_tune(const Machine *m)
{
	_cleanup_(parts_done) Parts p = {0};
	return m->n_gpus > 0 && gather(m, &p, NULL) >= 0 && p.n_tuned > 0;
}

int compose_config(const Machine *m, const char *by, Str *out, Err *err)
{
	_cleanup_(parts_done) Parts p = {0};
	int r = gather(m, &p, err);
	if (r < 0)
		return r;
	if (p.n_tuned == 0 || p.gpu >= m->n_gpus)
		return err_set(err, -ENODATA, "there is nothing to tune");
	head_yaml(&p, by, out);
	space_yaml(&p, out);
	if (services_yaml(&p, out) < 0)
		return err_oom(err);
	evaluator_yaml(&p, out);
	memory_yaml(&p, out);
	objectives_yaml(&p, out);
	safety_yaml(&p, out);
	workloads_yaml(&p, out);
	str_add(out, tail);
	apply_yaml(&p, out);
	return out->failed ? err_oom(err) : 0;
}

/* --- The simulated box ----------------------------------------------------------------------- */

const char *simulated_box(void)
{
	return example_box;
}

/* Lines that begin with blanks go on with what stands before them: made one. */
static char *paragraph_end(char *text)
{
	char *end = text + strcspn(text, "\n");
	while (*end && end[1] == ' ') {
		*end = ' ';
		end += strcspn(end, "\n");
	}
	return end;
}

/* The example as it is, with another beginning and the box beside it. */
int compose_simulated(const Machine *m, const char *by, const char *box, Str *out, Err *err)
{
	static const char version[] = "version: 1\n", there[] = "../boxes/rtx3060.yaml";
	_cleanup_(str_done) Str why = STR_INIT;
	const char *from = strstr(example_config, version), *at = strstr(example_config, there);
	if (!from || !at || at < from)
		return err_set(err, -EBADMSG,
			       "the example of the simulated box is not as expected");
	nothing_text(m, &why);
	yaml_comment(0, out,
		     "Written by 'dream init' (%s). SIMULATED: nothing was found to tune on this "
		     "machine, so this tunes a simulated box, an RTX 3060 with an LLM server and "
		     "Whisper. Its results say nothing about any real machine.",
		     by);
	str_add(out, "#\n");
	for (char *line = why.s, *end; line && *line; line = end) {
		end = paragraph_end(line);
		bool more = *end;
		*end = '\0';
		yaml_comment(0, out, "%s", line);
		end += more;
	}
	str_add(out, "#\n#   dream predict        which candidates can start at all, and why not\n"
		     "#   dream run            the whole experiment, a few seconds\n");
	str_addn(out, from, (size_t)(at - from));
	yaml_text(box, out);
	str_add(out, at + strlen(there));
	return out->failed || why.failed ? err_oom(err) : 0;
}
