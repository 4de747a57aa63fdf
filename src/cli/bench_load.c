/* From the options of `dream bench` to a load and a server. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/json.h"
#include "cli/bench.h"
#include "cli/internal.h"

enum {
	TOKEN_BYTES_MAX = 64 << 10,
	EXTRA_BYTES_MAX = 1 << 20,
	REQUESTS_OTHERWISE = 200,
	REQUESTS_MAX = 1000000,
	/* As many are made room for when only the duration is known. */
	CLOSED_REQUESTS_MAX = 500000,
};

static const char *read_number(const char *text, double *ret)
{
	char *end = NULL;
	*ret = strtod(text, &end);
	return end == text || !isfinite(*ret) ? NULL : end;
}

static int number(const char *option, const char *text, double min, double max, double *ret)
{
	const char *end = read_number(text, ret);
	if (end && *end == '\0' && *ret >= min && *ret <= max)
		return 0;
	return cli_failf(EXIT_USAGE, "--%s takes a number from %g to %g, not '%s'", option, min,
			 max, text);
}

/* --- Arrivals -------------------------------------------------------------------------------- */

static int ramp(const BenchOptions *o, Stream *s)
{
	const char *end = read_number(o->ramp, &s->rate);
	end = end && strncmp(end, "..", 2) == 0 ? read_number(end + 2, &s->rate_to) : NULL;
	if (end && *end == '\0' && s->rate >= 1e-3 && s->rate_to >= 1e-3 && s->rate <= 1e6 &&
	    s->rate_to <= 1e6)
		return 0;
	return cli_failf(EXIT_USAGE,
			 "--ramp takes two rates, as in 1..20 (requests a second), not '%s'",
			 o->ramp);
}

/* One way of arriving: users, a rate, a ramp or a trace. */
static int check_arrivals(const BenchOptions *o)
{
	int ways = (o->users > 0) + (o->rate != NULL) + (o->ramp != NULL) + (o->replay != NULL);
	int shapes = o->poisson + o->constant + (o->gamma != NULL);
	if (ways > 1)
		return cli_failf(EXIT_USAGE,
				 "--users, --rate, --ramp and --replay exclude each other");
	if (shapes > 1)
		return cli_failf(EXIT_USAGE,
				 "--poisson, --constant and --gamma exclude each other");
	if (shapes > 0 && !o->rate && o->capacity <= 0)
		return cli_failf(EXIT_USAGE,
				 "--poisson, --constant and --gamma say how requests come at a "
				 "rate; add --rate R");
	if (o->think_us > 0 && (o->rate || o->ramp || o->replay))
		return cli_failf(EXIT_USAGE,
				 "--think is the pause of users; requests at a rate or of a trace "
				 "do not wait for answers");
	if (o->speed && !o->replay)
		return cli_failf(EXIT_USAGE, "--speed belongs to --replay");
	return 0;
}

static int arrivals(const BenchOptions *o, Stream *s)
{
	int r = check_arrivals(o);
	if (r)
		return r;
	s->arrivals = ARRIVALS_CLOSED;
	s->users = o->users > 0 ? o->users : 1;
	s->think_us = o->think_us;
	s->cv = 1;
	if (o->replay) {
		s->arrivals = ARRIVALS_REPLAY;
		s->trace = strdup(o->replay);
		s->speed = 1;
		if (!s->trace)
			return cli_oom();
		return o->speed ? number("speed", o->speed, 1e-3, 1e3, &s->speed) : 0;
	}
	if (o->ramp) {
		s->arrivals = ARRIVALS_RAMP;
		return ramp(o, s);
	}
	if (!o->rate)
		return 0;
	s->arrivals = o->constant ? ARRIVALS_CONSTANT
		      : o->gamma  ? ARRIVALS_GAMMA
				  : ARRIVALS_POISSON;
	r = number("rate", o->rate, 1e-3, 1e6, &s->rate);
	if (r == 0 && o->gamma)
		r = number("gamma", o->gamma, 0.05, 20, &s->cv);
	return r;
}

/* "128": all the same; "128:0.5": half are shorter, spread by a lognormal of that sigma. */
static int lengths(const char *option, const char *text, Lengths *ret)
{
	*ret = (Lengths){.min = 1, .max = 1000000};
	const char *end = read_number(text, &ret->median);
	if (end && *end == ':')
		end = read_number(end + 1, &ret->sigma);
	if (end && *end == '\0' && ret->median >= 1 && ret->median <= 1e6 && ret->sigma >= 0 &&
	    ret->sigma <= 3)
		return 0;
	return cli_failf(EXIT_USAGE,
			 "--%s takes a number, or a median and the sigma of a lognormal "
			 "as in 200:0.5, not '%s'",
			 option, text);
}

/* The clock ends it, not their number. */
static bool is_timed(const Stream *s)
{
	return s->arrivals == ARRIVALS_CLOSED || s->arrivals == ARRIVALS_REPLAY;
}

int64_t bench_requests_max(const Stream *s)
{
	return is_timed(s) ? CLOSED_REQUESTS_MAX : REQUESTS_MAX;
}

static int64_t requests_of(const BenchOptions *o, const Stream *s)
{
	if (o->requests > 0)
		return o->requests;
	if (o->duration_us <= 0)
		return REQUESTS_OTHERWISE;
	double rate = s->arrivals == ARRIVALS_RAMP ? (s->rate + s->rate_to) / 2 : s->rate;
	double most = (double)bench_requests_max(s);
	if (is_timed(s))
		return (int64_t)most;
	double n = ceil(rate * (double)o->duration_us / 1e6) - (double)o->warmup;
	return (int64_t)fmin(fmax(n, 1), most);
}

/* What cannot be seen cannot be promised. */
static int check_limits(const Bench *b)
{
	const BenchOptions *o = b->o;
	if ((o->ttft_limit_us > 0 || o->tpot_limit_us > 0) && (b->kind != BENCH_LLM || o->whole))
		return cli_failf(EXIT_USAGE,
				 "--ttft-limit and --tpot-limit are about the tokens of a stream: "
				 "they belong to 'dream bench llm' without --no-stream");
	if (o->capacity > 0 && !stream_has_limits(&b->load))
		return cli_failf(EXIT_USAGE, "--capacity needs a limit that requests must meet: "
					     "--limit, --ttft-limit or --tpot-limit");
	return 0;
}

int bench_load(Bench *b)
{
	const BenchOptions *o = b->o;
	Stream *s = &b->load;
	double pct;
	int r = arrivals(o, s);
	if (r == 0)
		r = lengths("prompt-tokens", o->prompt_tokens, &s->prompt);
	if (r == 0)
		r = lengths("output-tokens", o->output_tokens, &s->output);
	if (r == 0)
		r = lengths("clip-ms", o->clip_ms, &s->clip_ms);
	if (s->clip_ms.median <= MADE_CLIP_MS_MAX)
		s->clip_ms.max = MADE_CLIP_MS_MAX;
	if (r == 0)
		r = number("share", o->share, 50, 100, &pct);
	if (r)
		return r;
	if (o->requests > 0 && o->duration_us > 0)
		return cli_failf(EXIT_USAGE, "--requests and --duration exclude each other");
	b->share = pct / 100;
	s->requests = requests_of(o, s);
	s->warmup = o->warmup;
	s->limit_us = o->limit_us;
	s->ttft_limit_us = o->ttft_limit_us;
	s->tpot_limit_us = o->tpot_limit_us;
	r = check_limits(b);
	if (r)
		return r;
	if (o->capacity > 0 &&
	    (o->users > 0 || o->ramp || o->replay || o->requests > 0 || o->duration_us > 0))
		return cli_failf(EXIT_USAGE,
				 "--capacity chooses users and requests itself; with --rate, "
				 "--poisson or --gamma it searches a rate");
	return 0;
}

/* --- The server ------------------------------------------------------------------------------ */

static int protocol_of(const Bench *b, Protocol *ret)
{
	static const Protocol otherwise[] = {PROTOCOL_OPENAI_CHAT, PROTOCOL_OPENAI_STT,
					     PROTOCOL_HTTP};
	static const char *const accepted[] = {
	    "openai-chat, openai-completions, ollama-chat and ollama-generate",
	    "openai-stt and whispercpp",
	    "http",
	};
	*ret = otherwise[b->kind];
	if (b->o->protocol && !protocol_from_name(b->o->protocol, ret))
		return cli_failf(EXIT_USAGE, "there is no protocol '%s'", b->o->protocol);
	BenchKind kind = protocol_is_stt(*ret)	 ? BENCH_STT
			 : *ret == PROTOCOL_HTTP ? BENCH_HTTP
						 : BENCH_LLM;
	return kind == b->kind ? 0
			       : cli_failf(EXIT_USAGE,
					   "--protocol %s does not fit; here it is one "
					   "of %s",
					   b->o->protocol, accepted[b->kind]);
}

/* A token in a file or a variable, never in the list of processes. */
static int read_token(Bench *b)
{
	Err err = ERR_INIT;
	size_t len;
	if (b->o->token_file && b->o->token_env)
		return cli_failf(EXIT_USAGE, "--token-file and --token-env exclude each other");
	if (b->o->token_env) {
		const char *value = getenv(b->o->token_env);
		if (!value || !*value)
			return cli_failf(EXIT_USAGE, "the environment variable %s is not set",
					 b->o->token_env);
		b->token = strdup(value);
		return b->token ? 0 : cli_oom();
	}
	if (!b->o->token_file)
		return 0;
	if (file_read(b->o->token_file, TOKEN_BYTES_MAX, &b->token, &len, &err) < 0)
		return cli_fail(EXIT_USAGE, &err);
	b->token[strcspn(b->token, "\r\n")] = '\0';
	return *b->token ? 0 : cli_failf(EXIT_USAGE, "%s is empty", b->o->token_file);
}

static int read_extra(Bench *b)
{
	Err err = ERR_INIT;
	const char *text = b->o->extra;
	if (!text)
		return 0;
	int r = js_parse(text, strlen(text), EXTRA_BYTES_MAX, &b->extra, &err);
	if (r >= 0 && !json_is_object(b->extra))
		r = err_set(&err, -EBADMSG, "it is no object");
	if (r < 0) {
		err_wrap(&err, r, "--extra takes a JSON object, as in '{\"ignore_eos\": true}'");
		return cli_fail(EXIT_USAGE, &err);
	}
	return 0;
}

static bool ends_in(const char *s, const char *end)
{
	size_t n = strlen(s), m = strlen(end);
	return n >= m && strcmp(s + n - m, end) == 0;
}

/* People paste whole endpoints and bases that end in /v1; both work. What is left of the URL's path
 * stands before the protocol's own. */
static int choose_path(Bench *b)
{
	static const char *const endpoints[] = {"/completions", "/api/chat", "/api/generate",
						"/transcriptions", "/inference"};
	char *base = b->target.base;
	bool whole = b->kind == BENCH_HTTP && *base;
	for (size_t i = 0; i < sizeof(endpoints) / sizeof(*endpoints); i++)
		whole = whole || ends_in(base, endpoints[i]);
	if (b->o->path || whole) {
		b->path = strdup(b->o->path ? b->o->path : base);
		if (whole)
			*base = '\0';
		return b->path ? 0 : cli_oom();
	}
	if (ends_in(base, "/v1"))
		base[strlen(base) - 3] = '\0';
	return 0;
}

static int open_client(Bench *b)
{
	Err err = ERR_INIT;
	if (httptarget_parse(b->url, &b->target, &err) < 0)
		return cli_fail(EXIT_USAGE, &err);
	int r = choose_path(b);
	if (r)
		return r;
	HttpClientSpec spec = {.target = &b->target,
			       .token = b->token,
			       .ca_file = b->o->ca_file,
			       .insecure = b->o->insecure,
			       .close_each = b->o->new_connections};
	r = httploop_new(b->event, &b->http, &err);
	if (r >= 0)
		r = httpclient_new(b->http, &spec, &b->client, &err);
	return r < 0 ? cli_fail(EXIT_FAILED, &err) : 0;
}

static int open_contents(Bench *b)
{
	Err err = ERR_INIT;
	if (b->kind != BENCH_STT && b->o->clips)
		return cli_failf(EXIT_USAGE, "--clips belongs to 'dream bench stt'");
	if (b->kind != BENCH_LLM && b->o->prompts)
		return cli_failf(EXIT_USAGE, "--prompts belongs to 'dream bench llm'");
	if (b->kind == BENCH_HTTP)
		return 0;
	ContentsSpec spec = {.prompts = b->o->prompts,
			     .clips = b->o->clips,
			     .repeat = b->o->repeat,
			     .seed = b->o->seed.given ? b->o->seed.value : 1};
	return contents_new(&spec, &b->contents, &err) < 0 ? cli_fail(EXIT_USAGE, &err) : 0;
}

int bench_open(Bench *b)
{
	static const char *const names[] = {"llm", "stt", "http"};
	Protocol protocol = PROTOCOL_HTTP;
	int r = protocol_of(b, &protocol);
	if (r == 0)
		r = read_token(b);
	if (r == 0)
		r = read_extra(b);
	if (r == 0)
		r = open_contents(b);
	if (r == 0)
		r = open_client(b);
	if (r)
		return r;
	b->normaliser = normaliser_for(b->o->language ? b->o->language : "en");
	b->stream = (TrafficStream){
	    .name = names[b->kind],
	    .client = b->client,
	    .protocol = protocol,
	    .path = b->path,
	    .model = b->o->model,
	    .language = b->o->language,
	    .streaming = b->kind == BENCH_LLM && !b->o->whole,
	    .extra = b->extra,
	    .load = &b->load,
	    .contents = b->contents,
	    .seed = b->o->seed.given ? b->o->seed.value : 1,
	    .timeout_us = b->o->timeout_us,
	    .misses_max = -1,
	    .keep_text = b->kind == BENCH_STT,
	};
	return 0;
}
