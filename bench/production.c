/* What a change of production costs on this disk, and how long recovery takes when the intent log
 * is as long as it never gets: `bench-production [DIRECTORY]`. */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "row.h"

#include "base/clock.h"
#include "base/intent.h"
#include "base/str.h"
#include "production/changes.h"

enum {
	RECORDS = 10000,
	ROUNDS = 9,
	CHANGES = 40,
};

static const char *const ids[] = {"1f0e3dad99908345", "a87ff679a2f3e71d"};

_Noreturn static void fail(const char *what, const Err *err)
{
	fprintf(stderr, "bench-production: %s: %s\n", what, err ? err->msg : strerror(errno));
	exit(1);
}

static int64_t now_us(void)
{
	return clock_mono_us(&clock_system);
}

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;
	return (x > y) - (x < y);
}

static double median(double *v, size_t n)
{
	qsort(v, n, sizeof(*v), by_value);
	return v[n / 2];
}

static Production *open_it(const char *dir)
{
	Err err = ERR_INIT;
	Production *p = NULL;
	if (production_open(&disk_system, dir, &p, &err) < 0)
		fail(dir, &err);
	return p;
}

/* Two generations, and the first is what production runs. */
static void prepare(const char *dir)
{
	Err err = ERR_INIT;
	Production *p = open_it(dir);
	for (int i = 0; i < 2; i++) {
		char values[80], env[40], names[2][40] = {"values.json", "judge.service.env"};
		(void)snprintf(values, sizeof(values), "{\"judge.service\": {\"util\": \"0.%d0\"}}",
			       4 + i);
		(void)snprintf(env, sizeof(env), "DREAM_UTIL=0.%d0\n", 4 + i);
		const GenerationFile files[] = {{.name = names[0], .text = values},
						{.name = names[1], .text = env}};
		if (production_write(p, ids[i], files, 2, &err) < 0)
			fail("write", &err);
	}
	if (production_adopt(p, ids[0], &err) < 0)
		fail("adopt", &err);
	production_close(p);
}

static int ignore(void *ctx, const char *data, size_t len, Err *err)
{
	(void)ctx;
	(void)data;
	(void)len;
	(void)err;
	return 0;
}

/* Changes begun, flipped and committed, over and over; the last one is open. */
static void long_log(const char *path)
{
	static char *text[RECORDS];
	static size_t len[RECORDS];
	Err err = ERR_INIT;
	Intent *log = NULL;
	for (size_t i = 0; i < RECORDS; i++) {
		size_t last = (RECORDS - i) % 3; /* so that the end is begin, flip */
		Str b = STR_INIT;
		int r = last == 2   ? record_begin("spica_gpu_allocation_20261120_123005", ids[0],
						   1763641805123456, &b)
			: last == 1 ? record_flip(ids[1], &b)
				    : record_commit(ids[0], &b);
		if (i < 2) /* so that a change begins after them */
			r = record_good(&(Changes){.good = {"1f0e3dad99908345"}, .n_good = 1}, &b);
		len[i] = b.len;
		if (r < 0 || str_take(&b, &text[i]) < 0)
			fail("a record", NULL);
	}
	if (intent_open(&disk_system, path, ignore, NULL, &log, &err) < 0 ||
	    intent_replace(log, (const void *const *)text, len, RECORDS, &err) < 0)
		fail("the log", &err);
	intent_close(log);
	for (size_t i = 0; i < RECORDS; i++)
		free(text[i]);
}

static double bare_ms(const char *path)
{
	double took[CHANGES];
	int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	for (int i = 0; i < CHANGES; i++) {
		int64_t began_us = now_us();
		if (write(fd, "0123456789abcdef", 16) != 16 || fsync(fd) < 0)
			fail(path, NULL);
		took[i] = (double)(now_us() - began_us) / 1000;
	}
	(void)close(fd);
	(void)unlink(path);
	return median(took, CHANGES);
}

static void measure_recovery(const char *dir)
{
	char path[300];
	double opened[ROUNDS], recovered[ROUNDS];
	(void)snprintf(path, sizeof(path), "%s/intent.log", dir);
	for (int i = 0; i < ROUNDS; i++) {
		Err err = ERR_INIT;
		(void)unlink(path);
		long_log(path);
		int64_t began_us = now_us();
		Production *p = open_it(dir);
		opened[i] = (double)(now_us() - began_us) / 1000;
		if (!production_change(p)->open || production_recover(p, &err) != 1)
			fail("recover", &err);
		recovered[i] = (double)(now_us() - began_us) / 1000;
		production_close(p);
	}
	row("open an intent log of 10,000 records", median(opened, ROUNDS), "ms", ROW_NO_GOAL, 0);
	row("open it and recover", median(recovered, ROUNDS), "ms", ROW_AT_MOST, 100);
}

static void measure_changes(const char *dir)
{
	double flips[CHANGES], changes[CHANGES];
	Production *p = open_it(dir);
	for (int i = 0; i < CHANGES; i++) {
		Err err = ERR_INIT;
		int64_t began_us = now_us();
		if (production_begin(p, "r", production_current(p), 1, &err) < 0)
			fail("begin", &err);
		int64_t flip_us = now_us();
		if (production_flip(p, "r", ids[(i + 1) % 2], &err) < 0)
			fail("flip", &err);
		flips[i] = (double)(now_us() - flip_us) / 1000;
		if (production_commit(p, "r", &err) < 0)
			fail("commit", &err);
		changes[i] = (double)(now_us() - began_us) / 1000;
	}
	production_close(p);
	row("a durable flip of production", median(flips, CHANGES), "ms", ROW_NO_GOAL, 0);
	row("begin, flip and commit", median(changes, CHANGES), "ms", ROW_NO_GOAL, 0);
}

int main(int argc, char **argv)
{
	char dir[200], path[300];
	(void)snprintf(dir, sizeof(dir), "%s/dream-bench-XXXXXX", argc > 1 ? argv[1] : "/tmp");
	if (!mkdtemp(dir))
		fail(dir, NULL);
	(void)snprintf(path, sizeof(path), "%s/bare", dir);
	row("the disk itself: one append + fsync", bare_ms(path), "ms", ROW_NO_GOAL, 0);
	prepare(dir);
	measure_recovery(dir);
	measure_changes(dir);
	(void)snprintf(path, sizeof(path), "rm -rf '%s'", dir);
	return system(path) == 0 ? 0 : 1;
}
