/* From start-up logs to a fact. The server's own numbers are exact to one block of the KV cache: a
 * start that ended with N blocks says that the cache is at least N and less than N + 1 blocks
 * large. So every start gives an interval for what is taken before the cache, two starts at
 * different shares give one for the bytes of a token, and what the numbers do not bear out is said
 * instead of averaged away. */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "footprint/arith.h"
#include "footprint/footprint.h"

/* "0.37 GiB" is rounded to two decimals. */
#define KV_ROUNDING_BYTES (0.005 * GIB)
/* Starts of one configuration differ by a few MiB; more than this and they are not of one. */
#define DISAGREEMENT_BYTES_MAX (INT64_C(128) << 20)

typedef struct Range {
	double lo, hi;
} Range;

static bool says_tokens(const VllmStart *s)
{
	return s->kv_tokens > 0;
}

static bool says_kv(const VllmStart *s)
{
	return s->kv_gib > 0; /* false for NAN */
}

static bool says_share(const VllmStart *s)
{
	return s->share > 0 && s->share <= 1;
}

static int64_t block_of(const VllmStart *s)
{
	return s->block_size > 0 ? s->block_size : 16;
}

static int check_start(const VllmStart *s, size_t i, Err *err)
{
	if (!says_share(s))
		return err_set(err, -ENODATA,
			       "start %zu does not say its gpu_memory_utilization: name it", i + 1);
	if (s->kv_tokens < 0 || s->kv_tokens > INT64_C(1) << 50 || s->block_size < 0 ||
	    s->block_size > 65536 || s->kv_gib > 1e6)
		return err_set(err, -EINVAL, "the numbers of start %zu are not believable", i + 1);
	return 0;
}

static int same_key(const VllmStart *starts, size_t n, Err *err)
{
	for (size_t i = 1; i < n; i++) {
		unsigned bits = vllm_key_differences(&starts[0].key, &starts[i].key);
		for (VllmKeyPart p = 0; p < KEY_PARTS_; p++)
			if (bits & 1u << p)
				return err_set(err, -EINVAL,
					       "the starts are of different configurations: %s "
					       "differs; calibrate each by itself",
					       vllm_key_part_name(p));
		if (block_of(&starts[0]) != block_of(&starts[i]))
			return err_set(err, -EINVAL,
				       "the starts are of different configurations: the block size "
				       "differs; calibrate each by itself");
	}
	return 0;
}

/* --- Bytes of a token ------------------------------------------------------------------------ */

/* From the slope between two starts. */
static Range slope_range(const VllmStart *a, const VllmStart *b, double total)
{
	double bytes = fabs(a->share - b->share) * total;
	double tokens = fabs((double)(a->kv_tokens - b->kv_tokens));
	double block = (double)block_of(a);

	if (tokens <= block)
		return (Range){0, (double)INFINITY};
	return (Range){bytes / (tokens + block), bytes / (tokens - block)};
}

/* From one start's own two numbers. */
static Range ratio_range(const VllmStart *s)
{
	double kv = s->kv_gib * GIB;

	return (Range){(kv - KV_ROUNDING_BYTES) / (double)(s->kv_tokens + block_of(s)),
		       (kv + KV_ROUNDING_BYTES) / (double)s->kv_tokens};
}

static void narrow(Range *r, Range by)
{
	r->lo = fmax(r->lo, by.lo);
	r->hi = fmin(r->hi, by.hi);
}

/* A token takes 2 x layers x kv heads x head size x bytes: a number with many factors of two. Of
 * the whole numbers in the range the one with most of them; there is exactly one. */
static int64_t roundest(Range r)
{
	int64_t lo = (int64_t)ceil(r.lo), hi = (int64_t)floor(r.hi), best = 0;

	for (int64_t step = 1; step <= hi; step *= 2) {
		int64_t at = div_up(lo, step) * step;
		if (at > hi)
			break;
		best = at;
	}
	return best;
}

static int derive_token_bytes(const VllmStart *starts, size_t n, double total, int64_t *ret,
			      Err *err)
{
	Range range = {0, (double)INFINITY};
	bool two = false;

	for (size_t i = 0; i < n; i++) {
		if (!says_tokens(&starts[i]))
			continue;
		if (says_kv(&starts[i]))
			narrow(&range, ratio_range(&starts[i]));
		for (size_t j = 0; j < i; j++) {
			if (!says_tokens(&starts[j]) || starts[i].share == starts[j].share)
				continue;
			narrow(&range, slope_range(&starts[i], &starts[j], total));
			two = true;
		}
	}
	if (!two)
		return err_set(
		    err, -ENODATA,
		    "one start does not say how many bytes a token takes: give "
		    "token_bytes (2 x layers x kv heads x head size x bytes of the cache "
		    "type) or a second start at another gpu_memory_utilization");
	int64_t bytes = range.hi < 1e12 ? roundest(range) : 0;
	if (bytes <= 0)
		return err_set(err, -EINVAL,
			       "the starts contradict each other: no number of bytes a token fits "
			       "their cache sizes; something else differed between them");
	*ret = bytes;
	return 0;
}

/* --- What is taken before the cache ---------------------------------------------------------- */

static int check_ratio(const VllmStart *s, int64_t token_bytes, Err *err)
{
	Range r = ratio_range(s);

	if (!says_tokens(s) || !says_kv(s) ||
	    ((double)token_bytes >= r.lo && (double)token_bytes <= r.hi))
		return 0;
	return err_set(err, -EINVAL,
		       "%.2f GiB for %lld tokens is %.0f to %.0f bytes a token, not the %lld that "
		       "were given",
		       s->kv_gib, (long long)s->kv_tokens, r.lo, r.hi, (long long)token_bytes);
}

/* The size of the cache at that start: the whole blocks that it counted, or what it printed. */
static bool cache_bytes(const VllmStart *s, int64_t token_bytes, int64_t *ret)
{
	if (says_tokens(s))
		*ret = s->kv_tokens / block_of(s) * block_of(s) * token_bytes;
	else if (says_kv(s))
		*ret = llround(s->kv_gib * GIB);
	else
		return false;
	return true;
}

/* The starts' intervals for non_kv: (share - blocks - 1 block, share - blocks]. The upper end is
 * taken: with it each start is predicted exactly. */
static int derive_non_kv(const VllmStart *starts, size_t n, int64_t total, int64_t token_bytes,
			 int64_t *ret, Err *err)
{
	int64_t lo = 0, hi = INT64_MAX;

	for (size_t i = 0; i < n; i++) {
		int64_t cache, slack = block_of(&starts[i]) * token_bytes;
		int r = check_ratio(&starts[i], token_bytes, err);
		if (r >= 0 && starts[i].kv_tokens > (INT64_C(1) << 50) / token_bytes)
			r = err_set(err, -EINVAL, "the numbers of start %zu are not believable",
				    i + 1);
		if (r < 0)
			return r;
		if (!cache_bytes(&starts[i], token_bytes, &cache))
			continue;
		int64_t taken = share_bytes(starts[i].share, total) - cache;
		lo = taken - slack > lo ? taken - slack : lo;
		hi = taken < hi ? taken : hi;
	}
	if (hi == INT64_MAX)
		return err_set(err, -ENODATA,
			       "no start says how large its KV cache was: a log of a start that "
			       "succeeded is needed");
	if (lo - hi > DISAGREEMENT_BYTES_MAX || hi <= 0)
		return err_set(
		    err, -EINVAL,
		    "the starts contradict each other by %lld MiB in what is taken before "
		    "the KV cache; something else differed between them, or the total "
		    "memory or the bytes of a token are wrong",
		    (long long)((lo - hi) >> 20));
	*ret = hi;
	return 0;
}

/* A start that died for want of cache says that nothing was left of its share. */
static int check_failures(const VllmStart *starts, size_t n, int64_t total, const VllmFact *f,
			  Err *err)
{
	for (size_t i = 0; i < n; i++) {
		int64_t kv = share_bytes(starts[i].share, total) - f->non_kv_bytes;
		if (starts[i].no_kv && kv > f->block_size * f->token_bytes + DISAGREEMENT_BYTES_MAX)
			return err_set(err, -EINVAL,
				       "the starts contradict each other: at %.3f there was no KV "
				       "cache, but the others leave %.2f GiB for it",
				       starts[i].share, (double)kv / GIB);
	}
	return 0;
}

int footprint_calibrate(const VllmStart *starts, size_t n, int64_t total_bytes, int64_t token_bytes,
			const char *source, VllmFact *ret, Err *err)
{
	_cleanup_(vllm_fact_done) VllmFact f = {0};
	int r;

	if (n == 0)
		return err_set(err, -ENODATA, "there is no start to calibrate from");
	for (size_t i = 0; i < n; i++) {
		if ((r = check_start(&starts[i], i, err)) < 0)
			return r;
		if (total_bytes == 0)
			total_bytes = starts[i].total_bytes;
	}
	if (total_bytes <= 0 || total_bytes > INT64_C(1) << 50)
		return err_set(err, -ENODATA,
			       "the total memory of the GPU is not known: give total_bytes as CUDA "
			       "reports it");
	if (token_bytes < 0 || token_bytes > INT64_C(1) << 30)
		return err_set(err, -EINVAL, "token_bytes must be between 1 byte and 1 GiB");
	if ((r = same_key(starts, n, err)) < 0)
		return r;
	if (token_bytes == 0 &&
	    (r = derive_token_bytes(starts, n, (double)total_bytes, &token_bytes, err)) < 0)
		return r;

	f.token_bytes = token_bytes;
	f.block_size = block_of(&starts[0]);
	if ((r = derive_non_kv(starts, n, total_bytes, token_bytes, &f.non_kv_bytes, err)) < 0 ||
	    (r = check_failures(starts, n, total_bytes, &f, err)) < 0)
		return r;
	f.source = strdup(source ? source : "start-up log");
	if (vllm_key_copy(&starts[0].key, &f.key) < 0 || !f.source)
		return err_oom(err);
	*ret = f;
	f = (VllmFact){0};
	return 0;
}
