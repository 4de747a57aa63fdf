#include "footprint/arith.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void add_count(Str *out, int64_t n)
{
	char digits[24];
	int len = snprintf(digits, sizeof(digits), "%llu",
			   n < 0 ? 0 - (unsigned long long)n : (unsigned long long)n);

	if (n < 0)
		str_addc(out, '-');
	for (int i = 0; i < len; i++) {
		if (i > 0 && (len - i) % 3 == 0)
			str_addc(out, ',');
		str_addc(out, digits[i]);
	}
}

void add_share(Str *out, double share)
{
	int decimals = 2;

	for (double at = share * 100; decimals < 6 && fabs(at - round(at)) > 1e-6; at *= 10)
		decimals++;
	str_addf(out, "%.*f", decimals, share);
}

void add_gib(Str *out, int64_t bytes)
{
	str_addf(out, "%.3f GiB", (double)bytes / GIB);
}

static const char *text_of(const VllmKey *k, VllmKeyPart p)
{
	if (p == KEY_KV_CACHE_DTYPE)
		return k->kv_cache_dtype ? k->kv_cache_dtype : "auto";
	return p == KEY_MODEL ? k->model : p == KEY_VERSION ? k->version : NULL;
}

static int64_t number_of(const VllmKey *k, VllmKeyPart p)
{
	if (p == KEY_MAX_MODEL_LEN)
		return k->max_model_len;
	return p == KEY_MAX_NUM_SEQS ? k->max_num_seqs : k->max_num_batched_tokens;
}

static bool is_text(VllmKeyPart p)
{
	return p == KEY_MODEL || p == KEY_VERSION || p == KEY_KV_CACHE_DTYPE;
}

static bool same_part(const VllmKey *a, const VllmKey *b, VllmKeyPart p)
{
	if (p == KEY_ENFORCE_EAGER)
		return a->enforce_eager == b->enforce_eager;
	if (!is_text(p))
		return number_of(a, p) == number_of(b, p);

	const char *x = text_of(a, p), *y = text_of(b, p);
	return x && y ? strcmp(x, y) == 0 : x == y;
}

const char *vllm_key_part_name(VllmKeyPart p)
{
	static const char *const names[KEY_PARTS_] = {
	    [KEY_MODEL] = "model",
	    [KEY_VERSION] = "version",
	    [KEY_KV_CACHE_DTYPE] = "kv_cache_dtype",
	    [KEY_MAX_MODEL_LEN] = "max_model_len",
	    [KEY_MAX_NUM_SEQS] = "max_num_seqs",
	    [KEY_MAX_NUM_BATCHED_TOKENS] = "max_num_batched_tokens",
	    [KEY_ENFORCE_EAGER] = "enforce_eager",
	};
	return names[p];
}

void add_key_part(Str *out, const VllmKey *k, VllmKeyPart p)
{
	if (p == KEY_ENFORCE_EAGER)
		str_add(out, k->enforce_eager ? "true" : "false");
	else if (is_text(p) && text_of(k, p))
		str_add(out, text_of(k, p));
	else if (!is_text(p) && number_of(k, p) != 0)
		str_addf(out, "%lld", (long long)number_of(k, p));
	else
		str_add(out, "not said");
}

unsigned vllm_key_differences(const VllmKey *a, const VllmKey *b)
{
	unsigned bits = 0;

	for (VllmKeyPart p = 0; p < KEY_PARTS_; p++)
		if (!same_part(a, b, p))
			bits |= 1u << p;
	return bits;
}
