#include "watch/historyfile.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum {
	MARK_0 = 0xd7,
	MARK_1 = 0x4e,
	HEAD = 8, /* mark, kind, length of the rest, checksum of kind, length and rest */
	KIND_NAME = 1,
	KIND_SAMPLE = 2,
	SAMPLE_LEN = 2 + 1 + 8 + 8 + 4,
	FLAG_FAILED = 1,
};

/* CRC-32, four bits at a time. */
static uint32_t checksum(uint32_t sum, const uint8_t *data, size_t len)
{
	static const uint32_t table[16] = {0x00000000, 0x1db71064, 0x3b6e20c8, 0x26d930ac,
					   0x76dc4190, 0x6b6b51f4, 0x4db26158, 0x5005713c,
					   0xedb88320, 0xf00f9344, 0xd6d6a3e8, 0xcb61b38c,
					   0x9b64c2b0, 0x86d3d2d4, 0xa00ae278, 0xbdbdf21c};
	sum = ~sum;
	for (size_t i = 0; i < len; i++) {
		sum = table[(sum ^ data[i]) & 15] ^ (sum >> 4);
		sum = table[(sum ^ (uint32_t)(data[i] >> 4)) & 15] ^ (sum >> 4);
	}
	return ~sum;
}

/* --- Numbers, the lowest byte first ---------------------------------------------------------- */

static uint8_t *put(uint8_t *at, uint64_t v, size_t n)
{
	for (size_t i = 0; i < n; i++)
		*at++ = (uint8_t)(v >> (8 * i));
	return at;
}

static uint64_t get(const uint8_t *at, size_t n)
{
	uint64_t v = 0;
	for (size_t i = 0; i < n; i++)
		v |= (uint64_t)at[i] << (8 * i);
	return v;
}

static uint64_t bits_of(double v)
{
	uint64_t bits;
	memcpy(&bits, &v, sizeof(bits));
	return bits;
}

static double double_of(uint64_t bits)
{
	double v;
	memcpy(&v, &bits, sizeof(v));
	return v;
}

static uint32_t bits_of_float(float v)
{
	uint32_t bits;
	memcpy(&bits, &v, sizeof(bits));
	return bits;
}

static float float_of(uint32_t bits)
{
	float v;
	memcpy(&v, &bits, sizeof(v));
	return v;
}

/* --- Names ----------------------------------------------------------------------------------- */

static bool copy_name(char ret[HISTORY_NAME_MAX + 1], const char *name)
{
	size_t n = strlen(name);
	if (n > HISTORY_NAME_MAX)
		return false;
	memset(ret, 0, HISTORY_NAME_MAX + 1);
	memcpy(ret, name, n);
	return true;
}

bool historyname_make(const char *generation, const char *service, const char *metric,
		      HistoryName *ret)
{
	return copy_name(ret->generation, generation) && copy_name(ret->service, service) &&
	       copy_name(ret->metric, metric);
}

bool historyname_equal(const HistoryName *a, const HistoryName *b)
{
	return memcmp(a, b, sizeof(*a)) == 0;
}

static uint8_t *put_name(uint8_t *at, const char *name)
{
	size_t n = strlen(name);
	*at++ = (uint8_t)n;
	memcpy(at, name, n);
	return at + n;
}

static bool get_name(const uint8_t **at, const uint8_t *end, char ret[HISTORY_NAME_MAX + 1])
{
	size_t n = *at < end ? *(*at)++ : HISTORY_NAME_MAX + 1;
	if (n > HISTORY_NAME_MAX || (size_t)(end - *at) < n || memchr(*at, '\0', n))
		return false;
	memset(ret, 0, HISTORY_NAME_MAX + 1);
	memcpy(ret, *at, n);
	*at += n;
	return true;
}

/* --- Writing --------------------------------------------------------------------------------- */

size_t history_put(const HistoryRecord *r, uint8_t *ret)
{
	uint8_t *at = put(ret + HEAD, r->id, 2);
	if (r->is_name) {
		at = put_name(at, r->name.generation);
		at = put_name(at, r->name.service);
		at = put_name(at, r->name.metric);
	} else {
		at = put(at, r->sample.failed ? FLAG_FAILED : 0, 1);
		at = put(at, (uint64_t)r->sample.at_us, 8);
		at = put(at, bits_of(r->sample.value), 8);
		at = put(at, bits_of_float((float)r->sample.load), 4);
	}
	size_t n = (size_t)(at - ret);
	ret[0] = MARK_0;
	ret[1] = MARK_1;
	ret[2] = r->is_name ? KIND_NAME : KIND_SAMPLE;
	ret[3] = (uint8_t)(n - HEAD);
	(void)put(ret + 4, checksum(checksum(0, ret + 2, 2), ret + HEAD, n - HEAD), 4);
	return n;
}

/* --- Reading --------------------------------------------------------------------------------- */

static bool read_name(const uint8_t *at, size_t len, HistoryRecord *ret)
{
	const uint8_t *end = at + len;
	if (len < 2)
		return false;
	ret->is_name = true;
	ret->id = (uint16_t)get(at, 2);
	at += 2;
	return ret->id < HISTORY_NAMES_MAX && get_name(&at, end, ret->name.generation) &&
	       get_name(&at, end, ret->name.service) && get_name(&at, end, ret->name.metric) &&
	       at == end;
}

static bool read_sample(const uint8_t *at, size_t len, HistoryRecord *ret)
{
	if (len != SAMPLE_LEN)
		return false;
	ret->is_name = false;
	ret->id = (uint16_t)get(at, 2);
	ret->sample = (JudgeSample){
	    .at_us = (int64_t)get(at + 3, 8),
	    .value = double_of(get(at + 11, 8)),
	    .load = (double)float_of((uint32_t)get(at + 19, 4)),
	    .failed = (at[2] & FLAG_FAILED) != 0,
	};
	/* A value is a number, or there was no answer. */
	return ret->id < HISTORY_NAMES_MAX && isfinite(ret->sample.value) != ret->sample.failed;
}

static bool read_record(const uint8_t *at, size_t left, size_t *ret_len, HistoryRecord *ret)
{
	if (left < HEAD || at[0] != MARK_0 || at[1] != MARK_1)
		return false;
	size_t len = at[3];
	if (len > left - HEAD ||
	    checksum(checksum(0, at + 2, 2), at + HEAD, len) != (uint32_t)get(at + 4, 4))
		return false;
	*ret_len = HEAD + len;
	if (at[2] == KIND_NAME)
		return read_name(at + HEAD, len, ret);
	return at[2] == KIND_SAMPLE && read_sample(at + HEAD, len, ret);
}

bool history_next(const uint8_t *data, size_t len, size_t *at, HistoryRecord *ret)
{
	size_t n;
	while (*at < len) {
		const uint8_t *mark = memchr(data + *at, MARK_0, len - *at);
		if (!mark)
			break;
		*at = (size_t)(mark - data);
		if (read_record(mark, len - *at, &n, ret)) {
			*at += n;
			return true;
		}
		++*at;
	}
	*at = len;
	return false;
}
