/* Looks at each line for the wordings below, then puts together what belongs to one failure: the
 * lines after it that repeat its size, its process or nothing new. */
#include "server/oom.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "server/text.h"

enum {
	ECHO_LINES = 200, /* how far a failure that names the same size or process is the same */
	NEXT_LINES = 40,  /* how far one that names none is */
	RETRY_LINES = 12,
};

typedef struct Rule {
	const char *name;
	OomKind kind;
	const char *a, *b; /* both, in lower case; b NULL: a alone */
} Rule;

/* The first that fits counts. */
static const Rule rules[] = {
    {"vllm no blocks", OOM_KV, "no available memory for the cache blocks", NULL},
    {"vllm one request", OOM_KV, "to serve at least one request with the model", NULL},
    {"vllm one request", OOM_KV,
     "larger than the maximum number of tokens that can be stored in kv", NULL},
    {"vllm free memory", OOM_GPU, "free memory on device", "less than desired"},
    {"sglang pool", OOM_KV, "not enough memory. please try to increase", NULL},
    {"tgi warm-up", OOM_GPU, "not enough memory to handle", NULL},
    {"torch", OOM_GPU, "cuda out of memory", NULL},
    {"torch", OOM_GPU, "hip out of memory", NULL},
    {"torch", OOM_GPU, "xpu out of memory", NULL},
    {"torch", OOM_GPU, "torch.outofmemoryerror", NULL},
    {"torch", OOM_GPU, "torch.cuda.outofmemoryerror", NULL},
    {"ctranslate2", OOM_GPU, "cuda failed with error out of memory", NULL},
    {"cuda", OOM_GPU, "cuda error: out of memory", NULL},
    {"cuda", OOM_GPU, "cuda driver error: out of memory", NULL},
    {"cuda", OOM_GPU, "cuda: out of memory", NULL},
    {"cuda", OOM_GPU, "cuda runtime error (2)", NULL},
    {"cuda", OOM_GPU, "== cudasuccess", "out of memory"},
    {"cuda", OOM_GPU, "cudamalloc", "out of memory"},
    {"cuda", OOM_GPU, "cudamalloc failed", NULL},
    {"hip", OOM_GPU, "hipmalloc failed", NULL},
    {"hip", OOM_GPU, "hip error: out of memory", NULL},
    {"nccl", OOM_GPU, "cuda failure", "'out of memory'"},
    {"cuda", OOM_GPU, "cuda runtime error", "out of memory"},
    {"cublas", OOM_GPU, "cublas_status_alloc_failed", NULL},
    {"cudnn", OOM_GPU, "cudnn_status_alloc_failed", NULL},
    {"cuda driver", OOM_GPU, "from device: cuda_error_out_of_memory", NULL},
    {"cuda driver", OOM_GPU, "results in cuda_error_out_of_memory", NULL},
    {"hip driver", OOM_GPU, "from device: hip_error_outofmemory", NULL},
    {"tensorflow", OOM_GPU, "oom when allocating tensor", NULL},
    {"xla", OOM_GPU, "resource_exhausted: out of memory", NULL},
    {"xla", OOM_GPU, "resource_exhausted: failed to allocate", NULL},
    {"xla", OOM_GPU, "resource exhausted: out of memory", NULL},
    {"onnxruntime", OOM_GPU, "bfc_arena", "failed to allocate memory for requested buffer"},
    {"vulkan", OOM_GPU, "erroroutofdevicememory", NULL},
    {"vulkan", OOM_GPU, "vk_error_out_of_device_memory", NULL},
    {"vulkan", OOM_GPU, "ggml_vulkan: device memory allocation of size", "failed"},
    {"ggml", OOM_HOST, "failed to allocate cpu", "buffer"},
    {"ggml", OOM_HOST, "unable to allocate cpu buffer", NULL},
    {"ggml", OOM_HOST, "cpu_buffer_type_alloc_buffer: failed", NULL},
    {"ggml", OOM_HOST, "ggml_aligned_malloc: insufficient memory", NULL},
    {"ggml", OOM_HOST, "\"failed to allocate buffer\"", NULL},
    {"ggml", OOM_GPU, "failed to allocate ", " buffer of size"},
    {"ggml", OOM_GPU, "unable to allocate ", "buffer"},
    {"ggml", OOM_GPU, "failed to allocate buffer for kv cache", NULL},
    {"ggml", OOM_GPU, "failed to allocate compute", "buffer"},
    {"ollama", OOM_HOST, "model requires more system memory", "than is available"},
    {"torch cpu", OOM_HOST, "defaultcpuallocator: can't allocate memory", NULL},
    {"torch cpu", OOM_HOST, "defaultcpuallocator: not enough memory", NULL},
    {"c++", OOM_HOST, "std::bad_alloc", NULL},
    {"mkl", OOM_HOST, "mkl_malloc: failed to allocate memory", NULL},
    {"kernel", OOM_HOST, "out of memory: kill", NULL},
    {"kernel", OOM_HOST, "memory cgroup out of memory", NULL},
    {"kernel", OOM_HOST, "oom-kill:constraint=", NULL},
    {"kernel", OOM_HOST, "invoked oom-killer", NULL},
    {"systemd", OOM_HOST, "killed by the oom killer", NULL},
    {"systemd", OOM_HOST, "result 'oom-kill'", NULL},
    {"systemd-oomd", OOM_HOST, "systemd-oomd[", "killed /"},
    {"systemd-oomd", OOM_HOST, "oomd attempting to kill", NULL},
    {"earlyoom", OOM_HOST, "low memory! at or below", NULL},
    {"earlyoom", OOM_HOST, "low memory! mem avail", NULL},
    {"container", OOM_HOST, "\"oomkilled\": true", NULL},
    {"container", OOM_HOST, "\"oomkilled\":true", NULL},
    {"container", OOM_HOST, "oomkilled:true", NULL},
    {"container", OOM_HOST, "reason: ", "oomkilled"},
    /* The words that CUDA and HIP have for their error, behind a colon: any program's. */
    {"malloc", OOM_HOST, ": out of memory, malloc failed", NULL},
    {"go", OOM_HOST, "runtime: out of memory", NULL},
    {"a runtime's own words", OOM_GPU, ": out of memory", NULL},
};

/* A line with one of these is no failure, whatever else it says: advice, a note that the program
 * goes on, the driver's own complaint. */
static const char *const harmless[] = {
    "this is not a failure",
    "if you are running out of memory",
    "if out-of-memory error occurs",
    "of pinned memory",
    "nvrm:",
};

static const char retry[] = "retrying without pipeline parallelism";

static const Rule *rule_of(Piece lower)
{
	for (size_t i = 0; i < sizeof(harmless) / sizeof(harmless[0]); i++)
		if (piece_has(lower, harmless[i]))
			return NULL;
	for (size_t i = 0; i < sizeof(rules) / sizeof(rules[0]); i++)
		if (piece_has(lower, rules[i].a) && (!rules[i].b || piece_has(lower, rules[i].b)))
			return &rules[i];
	return NULL;
}

/* --- What a line says beside it -------------------------------------------------------------- */

static int64_t first_bytes(Piece lower, const char *const *before)
{
	int64_t n = -1;

	for (; n < 0 && *before; before++)
		n = piece_bytes(piece_after(lower, *before));
	return n;
}

static int64_t wanted(Piece lower)
{
	static const char *const before[] = {"tried to allocate",
					     "trying to allocate",
					     "attempted to allocate",
					     ": allocating",
					     "out of memory allocating",
					     "buffer of size",
					     "allocation of size",
					     "failed to allocate request for",
					     "failed to allocate ",
					     "more system memory (",
					     "), (",
					     NULL};

	if (piece_has(lower, "less than desired"))
		return piece_bytes(piece_after(
		    piece_after(piece_after(lower, "gpu memory utilization ("), ","), " "));
	return first_bytes(lower, before);
}

static int64_t unused(Piece lower)
{
	static const char *const before[] = {"of which", "already allocated;", "is available (",
					     "available kv cache memory (", NULL};
	Piece device = piece_after(piece_after(lower, "free memory on device"), "(");
	double v;

	if (device.s) /* "(19.77/22.05 GiB)": the unit stands after the total */
		return piece_number(device, &v) ? (int64_t)(v * (double)(1u << 30)) : -1;
	return first_bytes(lower, before);
}

/* "Process 2417585 has 21.65 GiB memory in use": the largest. PyTorch calls itself "this process"
 * where it can; where it cannot (another PID namespace) the first process that holds what PyTorch
 * holds is taken for itself. */
static void neighbours(Piece lower, OomHit *h)
{
	bool own = piece_has(lower, "this process has");
	int64_t mine = piece_bytes(piece_after(lower, "of the allocated memory"));

	for (Piece p = piece_after(lower, "process "); p.s; p = piece_after(p, "process ")) {
		double pid;
		size_t n = piece_number(p, &pid);
		Piece rest = {p.s + n, p.len - n};
		if (n == 0 || rest.len < 5 || memcmp(rest.s, " has ", 5) != 0 || pid > 4194304)
			continue;
		int64_t bytes = piece_bytes((Piece){rest.s + 5, rest.len - 5});
		if (!own && mine >= 0 && bytes >= mine) {
			own = true;
			continue;
		}
		if (bytes > h->neighbours_bytes) {
			h->neighbours_pid = (int64_t)pid;
			h->neighbours_bytes = bytes;
		}
	}
}

static int64_t killed_pid(Piece lower)
{
	static const char *const before[] = {"killed process ", "kill process ", ",pid=", NULL};
	double pid;

	for (size_t i = 0; before[i]; i++)
		if (piece_number(piece_after(lower, before[i]), &pid) && pid <= 4194304)
			return (int64_t)pid;
	return 0;
}

/* --- Events ---------------------------------------------------------------------------------- */

typedef struct Event {
	OomHit hit;
	int64_t pid; /* killed; 0 */
	size_t line; /* the last one of it, counted */
} Event;

typedef struct Events {
	Event *e;
	size_t n, cap;
} Events;

static int events_add(Events *v, const Event *e)
{
	if (v->n == v->cap) {
		size_t cap = v->cap ? 2 * v->cap : 16;
		Event *bigger = realloc(v->e, cap * sizeof(*bigger));
		if (!bigger)
			return -ENOMEM;
		v->e = bigger;
		v->cap = cap;
	}
	v->e[v->n++] = *e;
	return 0;
}

static bool about_same(int64_t a, int64_t b)
{
	int64_t d = a > b ? a - b : b - a;

	return d <= 1048576 || d / 100 <= (a > b ? a : b) / 10000;
}

static bool same_event(const Event *a, const Event *b)
{
	size_t lines = b->line - a->line;

	if (a->pid && b->pid)
		return a->pid == b->pid && lines <= ECHO_LINES;
	if (a->hit.wanted_bytes >= 0 && b->hit.wanted_bytes >= 0)
		return about_same(a->hit.wanted_bytes, b->hit.wanted_bytes) && lines <= ECHO_LINES;
	return lines <= NEXT_LINES;
}

static void join(Event *to, const Event *from)
{
	to->line = from->line;
	if (!to->pid)
		to->pid = from->pid;
	if (to->hit.wanted_bytes < 0)
		to->hit.wanted_bytes = from->hit.wanted_bytes;
	if (to->hit.free_bytes < 0)
		to->hit.free_bytes = from->hit.free_bytes;
	if (!to->hit.neighbours_pid) {
		to->hit.neighbours_pid = from->hit.neighbours_pid;
		to->hit.neighbours_bytes = from->hit.neighbours_bytes;
	}
}

/* It goes on by itself: what was just said is taken back. */
static void forget(Events *v, size_t line)
{
	while (v->n > 0 && line - v->e[v->n - 1].line <= RETRY_LINES)
		v->n--;
}

static int take_line(Events *v, Piece lower, size_t at, size_t line)
{
	const Rule *rule = rule_of(lower);

	if (piece_has(lower, retry))
		forget(v, line);
	if (!rule)
		return 0;
	Event e = {
	    .hit = {.kind = rule->kind,
		    .rule = rule->name,
		    .line_at = at,
		    .line_len = lower.len,
		    .wanted_bytes = wanted(lower),
		    .free_bytes = unused(lower)},
	    .pid = killed_pid(lower),
	    .line = line,
	};
	neighbours(lower, &e.hit);
	/* Several failures may be told of in turns (two workers): look back at a few. */
	for (size_t i = v->n; i > 0 && v->n - i < 8; i--)
		if (same_event(&v->e[i - 1], &e)) {
			join(&v->e[i - 1], &e);
			return 0;
		}
	return events_add(v, &e);
}

static char *lower_copy(const char *text, size_t len)
{
	char *s = malloc(len + 1);

	for (size_t i = 0; s && i < len; i++)
		s[i] = (char)tolower((unsigned char)text[i]);
	return s;
}

int oom_find(const char *text, size_t len, OomHit *ret, size_t max, size_t *ret_n)
{
	_cleanup_free_ char *low = lower_copy(text, len);
	Events v = {0};
	Piece line;
	int r = low ? 0 : -ENOMEM;

	size_t at = 0, n = 0;
	for (size_t from = 0; r == 0 && piece_line((Piece){low, len}, &at, &line); from = at)
		r = take_line(&v, line, from, n++);
	for (size_t i = 0; i < v.n && i < max; i++)
		ret[i] = v.e[i].hit;
	*ret_n = r == 0 ? v.n : 0;
	free(v.e);
	return r;
}

/* --- The kernel's messages ------------------------------------------------------------------- */

static bool kernel_line(Piece lower, KernelHit *h)
{
	Piece xid = piece_after(piece_after(lower, "nvrm: xid ("), "): ");
	double v;

	if (xid.s && piece_number(xid, &v) && v >= 1 && v < 100000)
		h->xid = (uint64_t)v;
	else if (piece_has(lower, "nvrm: ") && piece_has(lower, "fallen off the bus"))
		h->xid = 79; /* newer drivers say it without the number */
	h->oom = piece_has(lower, "out of memory: kill") ||
		 piece_has(lower, "memory cgroup out of memory") ||
		 piece_has(lower, "oom-kill:constraint=");
	h->pid = h->oom ? killed_pid(lower) : 0;
	return h->oom || h->xid;
}

/* "oom-kill:...,pid=7" and "Killed process 7" are one; so are the lines of one fall off the bus. */
static bool is_repeated(const KernelHit *seen, size_t n, const KernelHit *h)
{
	for (size_t i = n; i > 0 && n - i < 8; i--)
		if (h->oom ? seen[i - 1].oom && seen[i - 1].pid == h->pid
			   : h->xid == 79 && seen[i - 1].xid == 79)
			return true;
	return false;
}

int kernel_find(const char *text, size_t len, KernelHit *ret, size_t max, size_t *ret_n)
{
	_cleanup_free_ char *low = lower_copy(text, len);
	Piece line;

	*ret_n = 0;
	if (!low)
		return -ENOMEM;
	size_t at = 0;
	for (size_t from = 0; piece_line((Piece){low, len}, &at, &line); from = at) {
		KernelHit h = {.line_at = from, .line_len = line.len};
		if (!kernel_line(line, &h) || is_repeated(ret, *ret_n < max ? *ret_n : max, &h))
			continue;
		if (*ret_n < max)
			ret[*ret_n] = h;
		(*ret_n)++;
	}
	return 0;
}
