/* The history of production's figures: what is read is what was written, whatever happened to the
 * file. */
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/rng.h"
#include "base/str.h"
#include "test.h"
#include "watch/history.h"
#include "watch/historyfile.h"

#define MINUTE INT64_C(60000000)
#define DAY    (1440 * MINUTE)
#define BEGAN  INT64_C(1790000000000000)

typedef struct Rig {
	char dir[64], *path, *older;
	int64_t now_us;
	Clock clock;
	History *h;
} Rig;

static int64_t rig_now(void *ctx)
{
	return ((Rig *)ctx)->now_us;
}

/* No minute passes while it writes: the disk is not waited for. */
static int64_t rig_mono(void *ctx)
{
	(void)ctx;
	return 0;
}

static void rig_open(Rig *r)
{
	Err err = ERR_INIT;
	r->h = history_close(r->h);
	int e = history_open(r->path, &r->clock, &r->h, &err);
	if (e < 0)
		printf("# %s\n", err.msg);
	CHECK_OK(e);
}

static void rig_new(Rig *r)
{
	*r = (Rig){.dir = "/tmp/dream-history-XXXXXX", .now_us = BEGAN};
	r->clock = (Clock){.realtime_us = rig_now, .monotonic_us = rig_mono, .ctx = r};
	CHECK(mkdtemp(r->dir));
	r->path = path_join(r->dir, "history");
	r->older = path_join(r->dir, "history.1");
	CHECK(r->path && r->older);
	rig_open(r);
}

static void rig_done(Rig *r)
{
	history_close(r->h);
	unlink(r->path);
	unlink(r->older);
	rmdir(r->dir);
	free(r->path);
	free(r->older);
}

static int try_add(Rig *r, const char *generation, const char *service, const char *metric,
		   double value)
{
	Err err = ERR_INIT;
	const WatchSample s = {
	    .service = service,
	    .metric = metric,
	    .s = {.at_us = r->now_us, .value = value, .load = 0.5, .failed = isnan(value)}};
	return history_add(r->h, generation, &s, &err);
}

static void add(Rig *r, const char *generation, double value)
{
	CHECK_OK(try_add(r, generation, "judge", "latency_ms", value));
	r->now_us += MINUTE;
}

static size_t read_all(const Rig *r, const char *generation, int64_t since_us, JudgeSample **ret)
{
	size_t n = 0;
	Err err = ERR_INIT;
	CHECK_OK(history_read(r->h, generation, "judge", "latency_ms", since_us, ret, &n, &err));
	for (size_t i = 1; i < n; i++)
		CHECK((*ret)[i - 1].at_us <= (*ret)[i].at_us);
	return n;
}

static size_t count(const Rig *r, const char *generation, int64_t since_us)
{
	JudgeSample *list = NULL;
	size_t n = read_all(r, generation, since_us, &list);
	free(list);
	return n;
}

static int64_t size_of(const char *path)
{
	struct stat st;
	return stat(path, &st) < 0 ? -1 : (int64_t)st.st_size;
}

TEST(samples_come_back_as_they_were)
{
	Rig r;
	JudgeSample *list = NULL;
	rig_new(&r);
	add(&r, "g1", 34.25);
	add(&r, "g1", (double)NAN);
	CHECK_OK(try_add(&r, "g1", "voice", "latency_ms", 1));
	CHECK_OK(try_add(&r, "g1", "judge", "ttft_ms", 2));
	add(&r, "g2", 35.5);
	CHECK_INT(read_all(&r, NULL, 0, &list), 3);
	CHECK_NEAR(list[0].value, 34.25, 0);
	CHECK_NEAR(list[0].load, 0.5, 0);
	CHECK(!list[0].failed);
	CHECK(list[1].failed && isnan(list[1].value));
	CHECK(list[1].at_us == BEGAN + MINUTE);
	CHECK_NEAR(list[2].value, 35.5, 0);
	free(list);
	CHECK_INT(count(&r, "g1", 0), 2);
	CHECK_INT(count(&r, "g2", 0), 1);
	CHECK_INT(count(&r, "g3", 0), 0);
	CHECK_INT(count(&r, NULL, BEGAN + MINUTE), 2);
	rig_done(&r);
}

TEST(a_restart_of_ours_goes_on_where_it_was)
{
	Rig r;
	rig_new(&r);
	for (int i = 0; i < 10; i++) {
		add(&r, i % 2 ? "g1" : "g2", i);
		rig_open(&r);
	}
	CHECK_INT(count(&r, NULL, 0), 10);
	CHECK_INT(count(&r, "g1", 0), 5);
	rig_done(&r);
}

TEST(what_cannot_be_read_back_is_not_written)
{
	Rig r;
	char name[100];
	rig_new(&r);
	memset(name, 'x', sizeof(name) - 1);
	name[sizeof(name) - 1] = '\0';
	CHECK_ERR(try_add(&r, "g", name, "latency_ms", 1), EINVAL);
	CHECK_ERR(try_add(&r, "g", "judge", "latency_ms", (double)INFINITY), EINVAL);
	CHECK_INT(size_of(r.path), 0);
	rig_done(&r);
}

/* Eight days of three services with two figures each, a sample a minute. */
TEST(eight_days_are_kept_and_the_oldest_go)
{
	static const char *const services[] = {"judge", "voice", "embed"};
	Rig r;
	rig_new(&r);
	for (int i = 0; i < 20 * 1440; i++) {
		for (size_t k = 0; k < 3; k++) {
			CHECK_OK(try_add(&r, "0123456789abcdef", services[k], "latency_ms", 34.5));
			CHECK_OK(try_add(&r, "0123456789abcdef", services[k], "ttft_ms", 12.5));
		}
		r.now_us += MINUTE;
	}
	int64_t bytes = size_of(r.path) + size_of(r.older);
	printf("# %.1f MiB after 20 days\n", (double)bytes / 1048576);
	CHECK(bytes < 6 << 20);
	CHECK_INT(count(&r, NULL, r.now_us - HISTORY_DAYS * DAY), HISTORY_DAYS * 1440);
	CHECK(count(&r, NULL, 0) <= 2 * HISTORY_DAYS * 1440 + 2);
	rig_done(&r);
}

TEST(more_than_fits_never_grows_past_the_limit)
{
	Rig r;
	rig_new(&r);
	for (int i = 0; i < 5000; i++) {
		char name[32];
		snprintf(name, sizeof(name), "generation-%d", i);
		add(&r, name, i);
	}
	/* Names of files that are gone are given again. */
	size_t n = count(&r, NULL, 0);
	CHECK(n >= HISTORY_NAMES_MAX && n <= 2 * HISTORY_NAMES_MAX);
	CHECK_INT(count(&r, "generation-4999", 0), 1);
	rig_done(&r);
}

static char *bytes_of(const char *path, size_t *ret_len)
{
	char *text = NULL;
	CHECK_OK(file_read(path, 64 << 20, &text, ret_len, NULL));
	return text;
}

static void put_bytes(const char *path, const char *data, size_t len)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	CHECK(fd >= 0);
	CHECK_OK(write_all(fd, data, len));
	close(fd);
}

TEST(a_torn_end_costs_one_sample_and_the_next_is_read)
{
	Rig r;
	size_t len = 0;
	rig_new(&r);
	for (int i = 0; i < 5; i++)
		add(&r, "g", i);
	_cleanup_free_ char *whole = bytes_of(r.path, &len);
	for (size_t cut = 1; cut <= 31; cut++) {
		put_bytes(r.path, whole, len - cut);
		rig_open(&r);
		CHECK_INT(count(&r, NULL, 0), 4);
		add(&r, "g", 9);
		add(&r, "g", 9);
		CHECK_INT(count(&r, NULL, 0), 6);
	}
	rig_done(&r);
}

TEST(any_damage_costs_no_more_than_what_it_hit)
{
	const uint64_t seed = 0x4157;
	Rng rng = rng_derive(seed, "damage", 0);
	Rig r;
	size_t len = 0;
	printf("# seed %#" PRIx64 "\n", seed);
	rig_new(&r);
	for (int i = 0; i < 100; i++)
		add(&r, "g", i);
	_cleanup_free_ char *whole = bytes_of(r.path, &len);
	/* The first record is the name, without which the rest says nothing. */
	size_t name = len - 100 * 31;
	for (int round = 0; round < 80; round++) {
		_cleanup_free_ char *bad = malloc(len);
		CHECK(bad);
		memcpy(bad, whole, len);
		for (int k = 0; k < 3; k++)
			bad[name + rng_below(&rng, len - name)] ^= (char)(1 + rng_below(&rng, 255));
		put_bytes(r.path, bad, len);
		rig_open(&r);
		JudgeSample *list = NULL;
		size_t n = read_all(&r, NULL, 0, &list);
		CHECK(n >= 97 && n < 100);
		for (size_t i = 0; i < n; i++) {
			int64_t minute = (list[i].at_us - BEGAN) / MINUTE;
			CHECK_NEAR(list[i].value, (double)minute, 0);
		}
		free(list);
	}
	rig_done(&r);
}

TEST(a_history_that_is_a_link_is_not_followed)
{
	Rig r;
	History *h = NULL;
	Err err = ERR_INIT;
	rig_new(&r);
	r.h = history_close(r.h);
	unlink(r.path);
	CHECK_INT(symlink(r.older, r.path), 0);
	put_bytes(r.older, "", 0);
	CHECK(history_open(r.path, &r.clock, &h, &err) < 0);
	CHECK(strstr(err.msg, "cannot open the history"));
	rig_done(&r);
}
