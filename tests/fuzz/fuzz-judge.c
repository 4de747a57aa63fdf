/* Samples as a history may hold them, with any numbers, judged as if they were to be believed: the
 * first half is the baseline. The judge says what it counted and what not, in words. */
#include <math.h>
#include <string.h>

#include "fuzz.h"
#include "watch/judge.h"

enum {
	SAMPLES_MAX = 2048,
	RECORD_SIZE = 21,
};

/* A byte of flags, then 8 bytes of time, 8 of value and 4 of load. The flags say whether the time
 * is any, or a step from the one before, and whether there was no answer. */
static size_t read_samples(const uint8_t *data, size_t size, JudgeSample *ret)
{
	size_t n = 0;
	int64_t last_us = 1;
	for (; size >= RECORD_SIZE && n < SAMPLES_MAX; data += RECORD_SIZE, size -= RECORD_SIZE) {
		JudgeSample s = {.failed = data[0] & 1};
		float load;
		memcpy(&s.at_us, data + 1, sizeof(s.at_us));
		memcpy(&s.value, data + 9, sizeof(s.value));
		memcpy(&load, data + 17, sizeof(load));
		s.load = (double)load;
		if (!(data[0] & 2))
			s.at_us = last_us + (s.at_us & 0xffffff);
		/* More is not kept, and not read from a history. */
		if (s.failed)
			s.value = (double)NAN;
		else if (!isfinite(s.value))
			continue;
		if (!(data[0] & 2))
			last_us = s.at_us;
		ret[n++] = s;
	}
	return n;
}

static void check(const Judge *j, size_t n)
{
	JudgeReport r;
	judge_report(j, &r);
	MUST(r.verdict == judge_verdict(j));
	MUST(r.n + r.n_unlike + r.n_unfit <= n && r.n_failed <= r.n);
	MUST(r.words[0] && !isnan(r.evidence) && strlen(r.words) < sizeof(r.words));
	MUST(isnan(r.baseline) || r.baseline > 0);
	MUST(isnan(r.lo) || isnan(r.hi) || r.lo <= r.hi);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static JudgeSample samples[SAMPLES_MAX];
	const JudgeSpec spec = {.alpha = 0.01,
				.margin = 0.05,
				.tail_q = 0.95,
				.load_ratio = 2,
				.min_baseline = 4,
				.min_samples = 4};
	Judge *j = NULL;
	Err err = ERR_INIT;
	size_t n = read_samples(data, size, samples), before = n / 2;
	MUST(judge_new(&spec, samples, before, &j, &err) == 0);
	for (size_t i = before; i < n; i++)
		MUST(judge_add(j, &samples[i]) == 0);
	check(j, n - before);
	judge_free(j);
	return 0;
}
