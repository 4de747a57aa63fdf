/* vLLM's command line: what the twin understands has effect, what it knows to be a flag of the real
 * one is taken and noted, and the rest is refused in the words of Python's argparse. */
#include <errno.h>
#include <math.h>
#include <string.h>

#include "base/json.h"
#include "twin/vllm.h"

typedef enum Takes {
	TAKES_TEXT,
	TAKES_WHOLE,
	TAKES_NUMBER,
	TAKES_NOTHING, /* --x, --no-x */
	TAKES_MANY,    /* words until the next flag */
} Takes;

typedef struct Flag {
	const char *name;
	Takes takes;
	const char *setting; /* of the engine; NULL: none */
} Flag;

static const Flag flags[] = {
    {"model", TAKES_TEXT, NULL},
    {"served-model-name", TAKES_MANY, NULL},
    {"host", TAKES_TEXT, NULL},
    {"port", TAKES_WHOLE, NULL},
    {"uds", TAKES_TEXT, NULL},
    {"api-key", TAKES_MANY, NULL},
    {"gpu-memory-utilization", TAKES_NUMBER, "gpu_memory_utilization"},
    {"max-model-len", TAKES_WHOLE, "max_model_len"},
    {"max-num-seqs", TAKES_WHOLE, "max_num_seqs"},
    {"max-num-batched-tokens", TAKES_WHOLE, "max_num_batched_tokens"},
    {"enforce-eager", TAKES_NOTHING, "enforce_eager"},
    {"kv-cache-dtype", TAKES_TEXT, "kv_cache_dtype"},
    {"disable-uvicorn-access-log", TAKES_NOTHING, NULL},
    {"disable-log-stats", TAKES_NOTHING, NULL},
    {"enable-force-include-usage", TAKES_NOTHING, NULL},
    {"uvicorn-log-level", TAKES_TEXT, NULL},
    /* Without effect on the simulated box. */
    {"all2all-backend", TAKES_TEXT, NULL},
    {"allow-credentials", TAKES_NOTHING, NULL},
    {"allowed-headers", TAKES_TEXT, NULL},
    {"allowed-local-media-path", TAKES_TEXT, NULL},
    {"allowed-methods", TAKES_TEXT, NULL},
    {"allowed-origins", TAKES_TEXT, NULL},
    {"api-server-count", TAKES_WHOLE, NULL},
    {"async-scheduling", TAKES_NOTHING, NULL},
    {"block-size", TAKES_WHOLE, NULL},
    {"calculate-kv-scales", TAKES_NOTHING, NULL},
    {"chat-template", TAKES_TEXT, NULL},
    {"chat-template-content-format", TAKES_TEXT, NULL},
    {"code-revision", TAKES_TEXT, NULL},
    {"compilation-config", TAKES_TEXT, NULL},
    {"config", TAKES_TEXT, NULL},
    {"config-format", TAKES_TEXT, NULL},
    {"cpu-offload-gb", TAKES_NUMBER, NULL},
    {"cuda-graph-sizes", TAKES_MANY, NULL},
    {"data-parallel-size", TAKES_WHOLE, NULL},
    {"disable-cascade-attn", TAKES_NOTHING, NULL},
    {"disable-custom-all-reduce", TAKES_NOTHING, NULL},
    {"disable-fastapi-docs", TAKES_NOTHING, NULL},
    {"disable-frontend-multiprocessing", TAKES_NOTHING, NULL},
    {"disable-hybrid-kv-cache-manager", TAKES_NOTHING, NULL},
    {"disable-log-requests", TAKES_NOTHING, NULL},
    {"disable-sliding-window", TAKES_NOTHING, NULL},
    {"distributed-executor-backend", TAKES_TEXT, NULL},
    {"download-dir", TAKES_TEXT, NULL},
    {"dtype", TAKES_TEXT, NULL},
    {"enable-auto-tool-choice", TAKES_NOTHING, NULL},
    {"enable-chunked-prefill", TAKES_NOTHING, NULL},
    {"enable-expert-parallel", TAKES_NOTHING, NULL},
    {"enable-lora", TAKES_NOTHING, NULL},
    {"enable-log-outputs", TAKES_NOTHING, NULL},
    {"enable-log-requests", TAKES_NOTHING, NULL},
    {"enable-prefix-caching", TAKES_NOTHING, NULL},
    {"enable-prompt-tokens-details", TAKES_NOTHING, NULL},
    {"enable-request-id-headers", TAKES_NOTHING, NULL},
    {"enable-server-load-tracking", TAKES_NOTHING, NULL},
    {"enable-sleep-mode", TAKES_NOTHING, NULL},
    {"enable-ssl-refresh", TAKES_NOTHING, NULL},
    {"generation-config", TAKES_TEXT, NULL},
    {"guided-decoding-backend", TAKES_TEXT, NULL},
    {"headless", TAKES_NOTHING, NULL},
    {"hf-config-path", TAKES_TEXT, NULL},
    {"hf-overrides", TAKES_TEXT, NULL},
    {"hf-token", TAKES_TEXT, NULL},
    {"kv-transfer-config", TAKES_TEXT, NULL},
    {"limit-mm-per-prompt", TAKES_TEXT, NULL},
    {"load-format", TAKES_TEXT, NULL},
    {"log-config-file", TAKES_TEXT, NULL},
    {"logits-processors", TAKES_MANY, NULL},
    {"logprobs-mode", TAKES_TEXT, NULL},
    {"long-prefill-token-threshold", TAKES_WHOLE, NULL},
    {"lora-modules", TAKES_MANY, NULL},
    {"max-cpu-loras", TAKES_WHOLE, NULL},
    {"max-log-len", TAKES_WHOLE, NULL},
    {"max-logprobs", TAKES_WHOLE, NULL},
    {"max-lora-rank", TAKES_WHOLE, NULL},
    {"max-loras", TAKES_WHOLE, NULL},
    {"max-num-partial-prefills", TAKES_WHOLE, NULL},
    {"max-parallel-loading-workers", TAKES_WHOLE, NULL},
    {"max-seq-len-to-capture", TAKES_WHOLE, NULL},
    {"middleware", TAKES_TEXT, NULL},
    {"mm-processor-kwargs", TAKES_TEXT, NULL},
    {"model-impl", TAKES_TEXT, NULL},
    {"num-gpu-blocks-override", TAKES_WHOLE, NULL},
    {"otlp-traces-endpoint", TAKES_TEXT, NULL},
    {"override-generation-config", TAKES_TEXT, NULL},
    {"pipeline-parallel-size", TAKES_WHOLE, NULL},
    {"prefix-caching-hash-algo", TAKES_TEXT, NULL},
    {"quantization", TAKES_TEXT, NULL},
    {"reasoning-parser", TAKES_TEXT, NULL},
    {"response-role", TAKES_TEXT, NULL},
    {"return-tokens-as-token-ids", TAKES_NOTHING, NULL},
    {"revision", TAKES_TEXT, NULL},
    {"root-path", TAKES_TEXT, NULL},
    {"runner", TAKES_TEXT, NULL},
    {"scheduling-policy", TAKES_TEXT, NULL},
    {"seed", TAKES_WHOLE, NULL},
    {"skip-tokenizer-init", TAKES_NOTHING, NULL},
    {"speculative-config", TAKES_TEXT, NULL},
    {"ssl-ca-certs", TAKES_TEXT, NULL},
    {"ssl-certfile", TAKES_TEXT, NULL},
    {"ssl-keyfile", TAKES_TEXT, NULL},
    {"swap-space", TAKES_NUMBER, NULL},
    {"task", TAKES_TEXT, NULL},
    {"tensor-parallel-size", TAKES_WHOLE, NULL},
    {"tokenizer", TAKES_TEXT, NULL},
    {"tokenizer-mode", TAKES_TEXT, NULL},
    {"tokenizer-revision", TAKES_TEXT, NULL},
    {"tool-call-parser", TAKES_TEXT, NULL},
    {"tool-parser-plugin", TAKES_TEXT, NULL},
    {"trust-remote-code", TAKES_NOTHING, NULL},
    {"use-v2-block-manager", TAKES_NOTHING, NULL},
};

static const char *const short_flags[][2] = {
    {"-q", "quantization"},
    {"-tp", "tensor-parallel-size"},
    {"-pp", "pipeline-parallel-size"},
    {"-dp", "data-parallel-size"},
    {"-O", "compilation-config"},
};

static int mistake(const char *fmt, ...) _printf_(1, 2);

static int mistake(const char *fmt, ...)
{
	va_list ap;
	fputs("usage: vllm serve [model_tag] [options]\nvllm serve: error: ", stderr);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
	return -EINVAL;
}

/* Underscores are as good as dashes. */
static void canonical(const char *arg, char *ret, size_t size)
{
	size_t n = 0;
	for (; arg[n] && arg[n] != '=' && n + 1 < size; n++)
		ret[n] = arg[n] == '_' ? '-' : arg[n];
	ret[n] = '\0';
}

static const Flag *find(const char *name)
{
	for (size_t i = 0; i < sizeof(flags) / sizeof(*flags); i++)
		if (strcmp(flags[i].name, name) == 0)
			return &flags[i];
	return NULL;
}

/* "2048", and for lengths "4k" (thousands) and "4K" (1,024s). */
static bool whole(const char *text, bool human, int64_t *ret)
{
	char *end = NULL;
	errno = 0;
	double v = strtod(text, &end);
	if (end == text || errno != 0 || !(v >= -1 && v <= 1e12))
		return false;
	if (human && *end == 'k')
		v *= 1000, end++;
	else if (human && *end == 'K')
		v *= 1024, end++;
	*ret = (int64_t)v;
	return *end == '\0' && v == floor(v);
}

static json_t *value_of(const Flag *f, const char *text, bool negated)
{
	double x;
	int64_t n;
	char *end = NULL;
	switch (f->takes) {
	case TAKES_NOTHING:
		return json_boolean(!negated);
	case TAKES_WHOLE:
		if (whole(text, strstr(f->name, "max-") != NULL, &n))
			return json_integer(n);
		(void)mistake("argument --%s: invalid int value: '%s'", f->name, text);
		return NULL;
	case TAKES_NUMBER:
		x = strtod(text, &end);
		if (*text && !*end && isfinite(x))
			return json_real(x);
		(void)mistake("argument --%s: invalid float value: '%s'", f->name, text);
		return NULL;
	case TAKES_TEXT:
	case TAKES_MANY:
		break;
	}
	return js_text(text);
}

static int set_port(VllmArgs *a, const char *text)
{
	if (whole(text, false, &a->port) && a->port >= 0 && a->port <= 65535)
		return 0;
	return mistake("argument --port: invalid int value: '%s'", text);
}

static int add_word(const char **list, size_t *n, const char *flag, const char *word)
{
	if (*n == VLLM_NAMES_MAX)
		return mistake("argument --%s: at most %d values", flag, VLLM_NAMES_MAX);
	list[(*n)++] = word;
	return 0;
}

/* What the front end itself does with a flag. */
static int apply(VllmArgs *a, const Flag *f, const char *text, bool negated)
{
	const char *name = f->name;
	if (strcmp(name, "model") == 0)
		a->model = text;
	else if (strcmp(name, "host") == 0)
		a->host = text;
	else if (strcmp(name, "uds") == 0)
		a->socket = text;
	else if (strcmp(name, "port") == 0)
		return set_port(a, text);
	else if (strcmp(name, "served-model-name") == 0)
		return add_word(a->names, &a->n_names, name, text);
	else if (strcmp(name, "api-key") == 0)
		return add_word(a->keys, &a->n_keys, name, text);
	else if (strcmp(name, "disable-uvicorn-access-log") == 0)
		a->quiet_access = !negated;
	else if (strcmp(name, "disable-log-stats") == 0)
		a->quiet_stats = !negated;
	else if (strcmp(name, "enable-force-include-usage") == 0)
		a->usage_forced = !negated;
	else if (strcmp(name, "uvicorn-log-level") == 0)
		a->quiet_access = strcmp(text, "info") != 0 && strcmp(text, "debug") != 0 &&
				  strcmp(text, "trace") != 0;
	else if (!f->setting)
		fprintf(stderr, "dream twin: --%s has no effect on the simulated box\n", name);
	return 0;
}

static int keep(VllmArgs *a, const Flag *f, const char *text, bool negated)
{
	char key[64];
	bool failed = false,
	     secret = strcmp(f->name, "api-key") == 0 || strcmp(f->name, "hf-token") == 0;
	json_t *v = value_of(f, text, negated);
	if (!v)
		return -EINVAL;
	int r = apply(a, f, text, negated);
	snprintf(key, sizeof(key), "%s", f->name);
	for (char *c = key; *c; c++)
		*c = *c == '-' ? '_' : *c;
	/* -1: the longest that fits, which the box's default stands for. */
	bool automatic = json_is_integer(v) && json_integer_value(v) == -1;
	if (f->setting && !automatic)
		js_set(a->settings, f->setting, json_incref(v), &failed);
	js_set(a->shown, key, secret ? json_string("***") : json_incref(v), &failed);
	json_decref(v);
	return failed ? -ENOMEM : r;
}

static bool is_flag(const char *arg)
{
	return arg[0] == '-' && arg[1] != '\0' && !(arg[1] >= '0' && arg[1] <= '9');
}

/* One flag and what it takes. `*at` stands on it, and then on the next. */
static int read_flag(VllmArgs *a, int argc, char **argv, int *at)
{
	char name[64];
	Err err = ERR_INIT;
	const char *arg = argv[(*at)++], *given = strchr(arg, '=');
	const char *value = given ? given + 1 : *at < argc ? argv[*at] : NULL;
	canonical(arg + (strncmp(arg, "--", 2) == 0 ? 2 : 0), name, sizeof(name));
	for (size_t i = 0; i < sizeof(short_flags) / sizeof(*short_flags); i++)
		if (strcmp(arg, short_flags[i][0]) == 0)
			snprintf(name, sizeof(name), "%s", short_flags[i][1]);
	if (strncmp(arg, "-O", 2) == 0 && arg[2])
		return 0; /* -O3: the compilation level */
	int r = program_option(&a->program, name, value, &err);
	if (r < 0)
		return mistake("%s", err.msg);
	if (r > 0) {
		*at += !given && !program_option_is_flag(name);
		return 0;
	}
	bool negated = strncmp(name, "no-", 3) == 0;
	const Flag *f = find(negated ? name + 3 : name);
	if (!f || (negated && f->takes != TAKES_NOTHING))
		return mistake("unrecognized arguments: %s", arg);
	if (f->takes == TAKES_NOTHING)
		return given ? mistake("argument --%s: ignored explicit argument '%s'", f->name,
				       value)
			     : keep(a, f, "", negated);
	if (!value || (!given && is_flag(value)))
		return mistake("argument --%s: expected one argument", f->name);
	*at += !given;
	r = keep(a, f, value, false);
	while (r == 0 && f->takes == TAKES_MANY && !given && *at < argc && !is_flag(argv[*at]))
		r = keep(a, f, argv[(*at)++], false);
	return r;
}

static int help(void)
{
	printf("usage: dream twin vllm serve MODEL [options]\n"
	       "       dream twin vllm --model MODEL [options]\n\n"
	       "vLLM %s on a simulated box. Takes vLLM's options; these have effect:\n"
	       "  ",
	       VLLM_VERSION);
	for (size_t i = 0; i < 16; i++)
		printf("--%s%s", flags[i].name, i == 15 ? "\n" : i % 4 == 3 ? "\n  " : " ");
	printf("\n%s%s", program_help, faults_help);
	return 0;
}

int vllm_args(int argc, char **argv, VllmArgs *ret)
{
	VllmArgs a = {.host = NULL, .port = 8000};
	Err err = ERR_INIT;
	int at = argc > 0 && strcmp(argv[0], "serve") == 0, r = program_options(&a.program, &err);
	if (r < 0)
		return mistake("%s", err.msg);
	a.settings = json_object();
	a.shown = json_object();
	const char *key = getenv("VLLM_API_KEY");
	if (key && *key)
		a.keys[a.n_keys++] = key;
	r = a.settings && a.shown ? 1 : -ENOMEM;
	while (r > 0 && at < argc) {
		if (strcmp(argv[at], "--help") == 0 || strcmp(argv[at], "-h") == 0)
			r = help();
		else if (strcmp(argv[at], "--version") == 0)
			r = puts(VLLM_VERSION) < 0 ? -EIO : 0;
		else if (is_flag(argv[at]))
			r = read_flag(&a, argc, argv, &at) < 0 ? -EINVAL : 1;
		else if (!a.model)
			a.model = argv[at++];
		else
			r = mistake("unrecognized arguments: %s", argv[at]);
	}
	if (r > 0 && !a.model)
		r = mistake("the following arguments are required: model_tag");
	if (r > 0)
		*ret = a;
	else
		vllm_args_done(&a);
	return r;
}

void vllm_args_done(VllmArgs *a)
{
	json_decref(a->settings);
	json_decref(a->shown);
	a->settings = a->shown = NULL;
}
