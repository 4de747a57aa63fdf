#include "watch/metrics.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "server/prometheus.h"

/* How each kind of server calls what is read here; NULL: it has none. */
static const struct PageNames {
	const char *kind, *e2e, *ttft, *token_s, *tokens;
} names[] = {
    {"vllm", "vllm:e2e_request_latency_seconds", "vllm:time_to_first_token_seconds", NULL, NULL},
    {"llamacpp", NULL, NULL, "llamacpp:tokens_predicted_seconds_total",
     "llamacpp:tokens_predicted_total"},
};

static const struct PageNames *names_of(const ServerKind *k)
{
	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++)
		if (strcmp(names[i].kind, server_kind_name(k)) == 0)
			return &names[i];
	return NULL;
}

/* --- Reading --------------------------------------------------------------------------------- */

/* What is left of the sample's name behind `base`; NULL: it is another one. */
static const char *part_of(const Sample *s, const char *base, size_t *ret_len)
{
	size_t n = base ? strlen(base) : 0;
	if (n == 0 || s->name_len < n || memcmp(s->name, base, n) != 0)
		return NULL;
	*ret_len = s->name_len - n;
	return s->name + n;
}

static bool is_part(const char *part, size_t len, const char *what)
{
	return len == strlen(what) && memcmp(part, what, len) == 0;
}

/* The bound in `le="0.5"`. */
static bool read_bound(const Sample *s, double *ret)
{
	static const char key[] = "le=\"";
	char text[40], *stop;
	if (!s->labels)
		return false;
	const char *end = s->labels + s->labels_len;
	const char *at = memmem(s->labels, s->labels_len, key, 4);
	/* "handle=" ends in the same letters. */
	while (at && at > s->labels && at[-1] != ',' && at[-1] != ' ')
		at = memmem(at + 1, (size_t)(end - at - 1), key, 4);
	if (!at)
		return false;
	at += 4;
	const char *quote = memchr(at, '"', (size_t)(end - at));
	if (!quote || quote == at || (size_t)(quote - at) >= sizeof(text))
		return false;
	memcpy(text, at, (size_t)(quote - at));
	text[quote - at] = '\0';
	*ret = strtod(text, &stop);
	return *stop == '\0' && !isnan(*ret);
}

static void add_bucket(PageHistogram *h, double bound, double below)
{
	size_t at = 0;
	while (at < h->n && h->bounds[at] < bound)
		at++;
	if (at < h->n && h->bounds[at] == bound) {
		h->below[at] += below;
		return;
	}
	if (h->n == PAGE_BUCKETS_MAX)
		return;
	memmove(h->bounds + at + 1, h->bounds + at, (h->n - at) * sizeof(*h->bounds));
	memmove(h->below + at + 1, h->below + at, (h->n - at) * sizeof(*h->below));
	h->bounds[at] = bound;
	h->below[at] = below;
	h->n++;
}

static void read_histogram(PageHistogram *h, const char *base, const Sample *s)
{
	size_t len = 0;
	double bound;
	const char *part = part_of(s, base, &len);
	if (!part || !isfinite(s->value) || s->value < 0)
		return;
	if (is_part(part, len, "_bucket") && read_bound(s, &bound))
		add_bucket(h, bound, s->value);
	else if (is_part(part, len, "_sum"))
		h->sum += s->value;
	else if (is_part(part, len, "_count")) {
		h->count += s->value;
		h->there = true;
	}
}

static void read_counter(double *at, const char *name, const Sample *s)
{
	size_t len = 0;
	const char *part = part_of(s, name, &len);
	if (part && len == 0 && isfinite(s->value))
		*at = isfinite(*at) ? *at + s->value : s->value;
}

int serverpage_read(const ServerKind *k, const char *text, size_t len, ServerPage *ret)
{
	const struct PageNames *n = names_of(k);
	json_auto_t *o = NULL;
	Sample s;
	*ret = (ServerPage){.token_s = (double)NAN, .tokens = (double)NAN};
	int r = server_metrics(k, text, len, &o, NULL);
	if (r < 0)
		return r;
	ret->running = js_num(o, "running", (double)NAN);
	ret->waiting = js_num(o, "waiting", (double)NAN);
	ret->preemptions = js_num(o, "preemptions", (double)NAN);
	for (size_t at = 0; n && prometheus_next(text, len, &at, &s);) {
		read_histogram(&ret->e2e, n->e2e, &s);
		read_histogram(&ret->ttft, n->ttft, &s);
		read_counter(&ret->token_s, n->token_s, &s);
		read_counter(&ret->tokens, n->tokens, &s);
	}
	bool any =
	    ret->e2e.there || ret->ttft.there || isfinite(ret->tokens) || json_object_size(o) > 0;
	return any ? 0 : -EBADMSG;
}

/* A page may say so much that no number holds it. */
static double finite_or_nan(double v)
{
	return isfinite(v) ? v : (double)NAN;
}

double serverpage_load(const ServerPage *p)
{
	return finite_or_nan(p->running + (isfinite(p->waiting) ? p->waiting : 0));
}

/* --- Between two ----------------------------------------------------------------------------- */

static bool same_bounds(const PageHistogram *a, const PageHistogram *b)
{
	return a->n == b->n && memcmp(a->bounds, b->bounds, a->n * sizeof(*a->bounds)) == 0;
}

static bool went_back(const PageHistogram *before, const PageHistogram *after)
{
	if (!before->there || after->count < before->count || after->sum < before->sum ||
	    !same_bounds(before, after))
		return true;
	for (size_t i = 0; i < after->n; i++)
		if (after->below[i] < before->below[i])
			return true;
	return false;
}

/* What came between; all of `after` where the server has begun to count anew. */
static PageHistogram difference(const PageHistogram *before, const PageHistogram *after, bool anew)
{
	PageHistogram d = *after;
	if (anew)
		return d;
	d.count -= before->count;
	d.sum -= before->sum;
	for (size_t i = 0; i < d.n; i++)
		d.below[i] -= before->below[i];
	return d;
}

static double mean_ms(const PageHistogram *d)
{
	return d->there && d->count >= 1 ? d->sum / d->count * 1000 : (double)NAN;
}

/* By a line through the bucket, as everybody reads such histograms. Beyond the last bound nothing
 * is known but that bound. */
static double quantile_ms(const PageHistogram *d, double q)
{
	double want = q * d->count, from = 0, under = 0;
	if (!d->there || d->count < PAGE_TAIL_MIN)
		return (double)NAN;
	for (size_t i = 0; i < d->n; i++) {
		double in = d->below[i] - under;
		if (d->below[i] >= want && in > 0) {
			if (isinf(d->bounds[i]))
				return from * 1000;
			return (from + (d->bounds[i] - from) * (want - under) / in) * 1000;
		}
		from = d->bounds[i];
		under = d->below[i];
	}
	return (double)NAN;
}

static double counted(double before, double after, bool anew)
{
	return anew ? after : after - before;
}

static double rate(const PageHistogram *d, int64_t dt_us, int64_t own)
{
	if (!d->there || dt_us <= 0)
		return (double)NAN;
	return fmax(0, d->count - (double)own) / ((double)dt_us / 1000000);
}

void serverpage_between(const ServerPage *before, const ServerPage *after, int64_t dt_us,
			int64_t own, PageFigures *ret)
{
	/* One counter that went back tells of all: they are one process's. */
	bool anew = (after->e2e.there && went_back(&before->e2e, &after->e2e)) ||
		    (after->ttft.there && went_back(&before->ttft, &after->ttft)) ||
		    after->tokens < before->tokens || after->token_s < before->token_s ||
		    after->preemptions < before->preemptions;
	PageHistogram e2e = difference(&before->e2e, &after->e2e, anew);
	PageHistogram ttft = difference(&before->ttft, &after->ttft, anew);
	double tokens = counted(before->tokens, after->tokens, anew);
	double token_s = counted(before->token_s, after->token_s, anew);
	double token_ms = tokens >= 1 ? token_s / tokens * 1000 : (double)NAN;
	double preemptions = counted(before->preemptions, after->preemptions, anew);
	*ret = (PageFigures){
	    .latency_ms = finite_or_nan(mean_ms(&e2e)),
	    .latency_p95_ms = finite_or_nan(quantile_ms(&e2e, 0.95)),
	    .ttft_ms = finite_or_nan(mean_ms(&ttft)),
	    .ttft_p95_ms = finite_or_nan(quantile_ms(&ttft, 0.95)),
	    .token_ms = finite_or_nan(token_ms),
	    .per_second = finite_or_nan(rate(&e2e, dt_us, own)),
	    .preemptions = finite_or_nan(preemptions),
	    .began_anew = anew,
	};
}
