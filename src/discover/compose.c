/* dream.yaml from what was found. Every value has its reason in a comment, so that the file can be
 * judged before anything is started. */
#include "discover/compose.h"

#include <string.h>

#include "base/json.h"
#include "discover/compose_internal.h"
#include "discover/example_box.h"
#include "discover/example_config.h"
#include "discover/words.h"

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
bool part_belongs(const Machine *m, size_t gpu, const FoundServer *s)
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
		if (!part_belongs(m, p->gpu, s))
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
		p->running |= s->pid > 0 && s->gpu == p->gpu;
	}
	return 0;
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
		if (p->running)
			yaml_comment(6, out,
				     "The servers that run now hold the GPU, and trials start "
				     "their own beside them. "
				     "Stop them before 'dream run' where both do not fit; those "
				     "that are units of the "
				     "system can be stopped and put back by a trial (quiesce).");
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
		     "#   dream run\nversion: 1\n\nrun:\n  seed: 1\n\nexperiments:\n"
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
	if (compose_services(&p, out) < 0)
		return err_oom(err);
	evaluator_yaml(&p, out);
	compose_memory(&p, out);
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
		     "Written by 'dream init' (%s). SIMULATED: without a GPU and a model server "
		     "there is nothing to tune on this machine, so this tunes a simulated box, an "
		     "RTX 3060 with an LLM server and Whisper. Its results say nothing about any "
		     "real machine.",
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
