/* Reads a vLLM start-up log line by line for the few texts that carry numbers or decide how the
 * start ended. A log may hold several starts (a unit that restarts): the last one counts, so a line
 * that begins a start forgets what was read before. Within a start the first failure is the cause,
 * later ones are its consequences. */
#include "server/vllm_log.h"

#include <ctype.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"

#define GIB 1073741824.0

/* A piece of the text; not terminated. */
typedef struct Span {
	const char *s;
	size_t len;
} Span;

enum {
	NUMBER_MAX = 32,
	VALUE_MAX = 512,  /* of a setting */
	LINE_KEPT = 1024, /* of a line that decides */
	BLOCK_SIZE = 16,  /* tokens; the server's default */
	BLOCK_SIZE_MAX = 65536,
};
#define COUNT_MAX INT64_C(1000000000000000)

/* --- Pieces of a line ------------------------------------------------------------------------ */

/* What follows `what`; a NULL span when it is not there. */
static Span after(Span in, const char *what)
{
	size_t n = strlen(what);
	const char *at = in.s && in.len >= n ? memmem(in.s, in.len, what, n) : NULL;

	return at ? (Span){at + n, in.len - (size_t)(at + n - in.s)} : (Span){0};
}

static bool has(Span in, const char *what)
{
	return after(in, what).s != NULL;
}

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

/* A number without sign at the start, after spaces: digits, "," between digits left out, one point.
 * NAN: none, or absurdly long. */
static double number(Span in)
{
	char buf[NUMBER_MAX];
	size_t n = 0, i = 0;
	bool point = false;

	while (i < in.len && in.s[i] == ' ')
		i++;
	for (; i < in.len; i++) {
		bool digit_next = i + 1 < in.len && is_digit(in.s[i + 1]);
		if (in.s[i] == ',' && n > 0 && !point && digit_next)
			continue;
		if (in.s[i] == '.' && n > 0 && !point && digit_next)
			point = true;
		else if (!is_digit(in.s[i]))
			break;
		if (n == sizeof(buf) - 1)
			return (double)NAN;
		buf[n++] = in.s[i];
	}
	buf[n] = '\0';
	return n > 0 ? strtod(buf, NULL) : (double)NAN;
}

/* A count; 0: none, or more than anything that exists. */
static int64_t count(Span in)
{
	double v = number(in);

	return v >= 1 && v <= (double)COUNT_MAX ? (int64_t)v : 0;
}

/* Numbers that no log of a real GPU has are taken as not said. */
static double gib(Span in)
{
	double v = number(in);

	return v >= 0 && v <= 1e6 ? v : (double)NAN;
}

static void keep_count(int64_t v, int64_t *to)
{
	if (v > 0)
		*to = v;
}

static void keep(double v, double *to)
{
	if (!isnan(v))
		*to = v;
}

/* --- Settings that the server repeats -------------------------------------------------------- */

static bool is_word(char c)
{
	return isalnum((unsigned char)c) || c == '_';
}

/* The value of name='text', name=1 or 'name': 1 in a line; quotes taken off. */
static bool setting(Span line, const char *name, Span *ret)
{
	for (Span rest = after(line, name); rest.s; rest = after(rest, name)) {
		const char *before = rest.s - strlen(name);
		if (before > line.s && is_word(before[-1]))
			continue;
		size_t i = 0;
		if (i < rest.len && (rest.s[i] == '\'' || rest.s[i] == '"'))
			i++;
		if (i >= rest.len || (rest.s[i] != '=' && rest.s[i] != ':'))
			continue;
		for (i++; i < rest.len && rest.s[i] == ' ';)
			i++;
		char quote =
		    i < rest.len && (rest.s[i] == '\'' || rest.s[i] == '"') ? rest.s[i] : 0;
		size_t from = quote ? ++i : i;
		while (i < rest.len && (quote ? rest.s[i] != quote : !strchr(",)}] ", rest.s[i])))
			i++;
		if (i == from || i - from > VALUE_MAX)
			continue;
		*ret = (Span){rest.s + from, i - from};
		return true;
	}
	return false;
}

static bool is_text(Span s, const char *text)
{
	return s.len == strlen(text) && memcmp(s.s, text, s.len) == 0;
}

/* Keeps a text that is plain printable; anything else is not a setting. -ENOMEM. */
static int keep_text(Span line, const char *name, char **to)
{
	Span v;

	if (!setting(line, name, &v) || is_text(v, "None"))
		return 0;
	for (size_t i = 0; i < v.len; i++)
		if ((unsigned char)v.s[i] < 0x20 || (unsigned char)v.s[i] > 0x7e)
			return 0;
	char *copy = strndup(v.s, v.len);
	if (!copy)
		return -ENOMEM;
	free(*to);
	*to = copy;
	return 0;
}

static void keep_setting(Span line, const char *name, int64_t *to)
{
	Span v;

	if (setting(line, name, &v))
		keep_count(count(v), to);
}

static int read_settings(Span line, VllmStart *s)
{
	Span v;
	int r = keep_text(line, "model", &s->key.model);

	if (r == 0)
		r = keep_text(line, "kv_cache_dtype", &s->key.kv_cache_dtype);
	keep_setting(line, "max_seq_len", &s->key.max_model_len);
	keep_setting(line, "max_model_len", &s->key.max_model_len);
	keep_setting(line, "max_num_seqs", &s->key.max_num_seqs);
	keep_setting(line, "max_num_batched_tokens", &s->key.max_num_batched_tokens);
	if (setting(line, "block_size", &v) && count(v) <= BLOCK_SIZE_MAX)
		keep_count(count(v), &s->block_size);
	if (setting(line, "enforce_eager", &v))
		s->key.enforce_eager = is_text(v, "True");
	if (setting(line, "gpu_memory_utilization", &v)) {
		double share = number(v);
		if (share > 0 && share <= 1)
			s->share = share;
	}
	return r;
}

static int read_version(Span line, VllmStart *s)
{
	static const char *const before[] = {"API server version ", "LLM engine (v",
					     "vLLM version "};

	for (size_t i = 0; i < sizeof(before) / sizeof(before[0]); i++) {
		Span v = after(line, before[i]);
		size_t n = 0;
		while (n < v.len && n < 64 && (is_word(v.s[n]) || strchr(".+-", v.s[n])))
			n++;
		if (n == 0 || !is_digit(v.s[0]))
			continue;
		char *copy = strndup(v.s, n);
		if (!copy)
			return -ENOMEM;
		free(s->key.version);
		s->key.version = copy;
		return 0;
	}
	return 0;
}

/* --- Numbers --------------------------------------------------------------------------------- */

static void read_cache(Span line, VllmStart *s)
{
	keep(gib(after(line, "Available KV cache memory: ")), &s->kv_gib);
	keep(gib(after(line, "reserved for KV Cache is ")), &s->kv_gib);
	keep_count(count(after(line, "GPU KV cache size: ")), &s->kv_tokens);
	/* The older wording counts blocks. */
	int64_t blocks = count(after(line, "# GPU blocks: "));
	if (blocks <= COUNT_MAX / BLOCK_SIZE_MAX)
		keep_count(blocks * (s->block_size > 0 ? s->block_size : BLOCK_SIZE),
			   &s->kv_tokens);
	Span c = after(line, "Maximum concurrency for ");
	if (c.s) {
		keep_count(count(c), &s->key.max_model_len);
		keep(gib(after(c, "per request: ")), &s->concurrency);
	}
}

static void read_weights(Span line, VllmLog *l)
{
	static const char *const before[] = {"Model loading took ", "weights took ",
					     "model weights take "};

	for (size_t i = 0; i < sizeof(before) / sizeof(before[0]); i++)
		keep(gib(after(line, before[i])), &l->weights_gib);
}

static void read_device(double device_gib, VllmLog *l)
{
	if (!(device_gib > 0))
		return;
	l->device_gib = device_gib;
	l->start.total_bytes = (int64_t)llround(device_gib * GIB);
}

/* "Free memory on device [cuda:0 ](F/T GiB) on startup is less than desired GPU memory utilization
 * (u, R GiB)" */
static void read_free(Span line, VllmLog *l)
{
	Span at = after(after(line, "Free memory on device"), "(");

	keep(gib(at), &l->free_gib);
	read_device(gib(after(at, "/")), l);
	double share = number(after(line, "desired GPU memory utilization ("));
	if (share > 0 && share <= 1)
		l->start.share = share;
}

/* "... max seq len (N), (X GiB KV cache is needed, which is larger than the available KV cache
 * memory (Y GiB)" and the older "The model's max seq len (N) is larger than the maximum number of
 * tokens that can be stored in KV cache (M)" */
static void read_too_small(Span line, VllmStart *s)
{
	keep_count(count(after(line, "max seq len (")), &s->key.max_model_len);
	keep(gib(after(line, "available KV cache memory (")), &s->kv_gib);
	keep_count(count(after(line, "can be stored in KV cache (")), &s->kv_tokens);
}

/* --- How it ended ---------------------------------------------------------------------------- */

static VllmLogEnd failure_of(Span line)
{
	if (has(line, "No available memory for the cache blocks"))
		return VLLM_LOG_NO_KV;
	if (has(line, "To serve at least one request with the model") ||
	    has(line, "is larger than the maximum number of tokens that can be stored in KV cache"))
		return VLLM_LOG_KV_TOO_SMALL;
	if (has(line, "Free memory on device") && has(line, "less than desired"))
		return VLLM_LOG_FREE_TOO_LITTLE;
	if (has(line, "CUDA out of memory"))
		return VLLM_LOG_OOM;
	return VLLM_LOG_UNKNOWN;
}

static bool is_ready(Span line)
{
	return has(line, "Application startup complete") || has(line, "init engine (profile") ||
	       has(line, "Uvicorn running on");
}

/* The line for people: bounded, and no byte that a terminal would act on. */
static int keep_line(Span line, char **to)
{
	size_t n = line.len < LINE_KEPT ? line.len : LINE_KEPT;
	char *copy = malloc(n + 1);

	if (!copy)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++)
		copy[i] = (unsigned char)line.s[i] < 0x20 || line.s[i] == 0x7f ? ' ' : line.s[i];
	copy[n] = '\0';
	free(*to);
	*to = copy;
	return 0;
}

static int read_end(Span line, VllmLog *l)
{
	VllmLogEnd end = failure_of(line);

	if (end == VLLM_LOG_UNKNOWN && l->end == VLLM_LOG_UNKNOWN && is_ready(line))
		end = VLLM_LOG_STARTED;
	if (end == VLLM_LOG_UNKNOWN || (l->end != VLLM_LOG_UNKNOWN && l->end != VLLM_LOG_STARTED))
		return 0;
	l->end = end;
	l->start.no_kv = end == VLLM_LOG_NO_KV;
	if (end == VLLM_LOG_FREE_TOO_LITTLE)
		read_free(line, l);
	if (end == VLLM_LOG_KV_TOO_SMALL)
		read_too_small(line, &l->start);
	if (end == VLLM_LOG_OOM)
		read_device(gib(after(line, "total capacity of ")), l);
	return keep_line(line, &l->line);
}

/* --- The whole ------------------------------------------------------------------------------- */

static VllmLog nothing(void)
{
	return (VllmLog){
	    .start = {.share = (double)NAN, .kv_gib = (double)NAN, .concurrency = (double)NAN},
	    .weights_gib = (double)NAN,
	    .free_gib = (double)NAN,
	    .device_gib = (double)NAN,
	};
}

static bool repeats_settings(Span line)
{
	return has(line, "non-default args") || has(line, "args: Namespace(") ||
	       has(line, "LLM engine (v") || has(line, "max_num_batched_tokens=");
}

static int read_line(Span line, VllmLog *l)
{
	int r = 0;

	if (has(line, "API server version ")) {
		vllm_log_done(l);
		*l = nothing();
	}
	if (repeats_settings(line))
		r = read_settings(line, &l->start);
	if (r == 0)
		r = read_version(line, &l->start);
	read_cache(line, &l->start);
	read_weights(line, l);
	read_device(gib(after(line, "total_gpu_memory (")), l);
	return r == 0 ? read_end(line, l) : r;
}

int vllm_log_parse(const char *text, size_t len, VllmLog *ret, Err *err)
{
	_cleanup_(vllm_log_done) VllmLog l = nothing();

	if (len > VLLM_LOG_MAX)
		return err_set(err, -EFBIG,
			       "the log has %zu bytes, more than %d MiB: give only the part of the "
			       "last start",
			       len, VLLM_LOG_MAX >> 20);
	for (size_t at = 0; at < len;) {
		const char *end = memchr(text + at, '\n', len - at);
		size_t n = end ? (size_t)(end - text) - at : len - at;
		if (read_line((Span){text + at, n}, &l) < 0)
			return err_oom(err);
		at += n + 1;
	}
	if (l.start.block_size == 0)
		l.start.block_size = BLOCK_SIZE;
	*ret = l;
	l = (VllmLog){0};
	return 0;
}

void vllm_log_done(VllmLog *l)
{
	vllm_key_done(&l->start.key);
	free(l->line);
	*l = (VllmLog){0};
}
