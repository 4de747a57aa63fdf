/* The corpus, excerpt by excerpt, and what is read beside the kind. */
#include <sodium.h>

#include "base/file.h"
#include "server/oom.h"
#include "test.h"

enum {
	HITS = 16
};

typedef struct Score {
	size_t positives, found, negatives, false_alarms, wrong_kind;
} Score;

static OomKind kind_of(const char *word)
{
	return !strcmp(word, "gpu")    ? OOM_GPU
	       : !strcmp(word, "kv")   ? OOM_KV
	       : !strcmp(word, "host") ? OOM_HOST
				       : OOM_NONE;
}

static void judge(const char *name, OomKind want, const char *body, size_t len, Score *s)
{
	OomHit hits[HITS];
	size_t n;

	CHECK_OK(oom_find(body, len, hits, HITS, &n));
	if (want == OOM_NONE) {
		s->negatives++;
		s->false_alarms += n > 0;
		if (n > 0)
			printf("# false alarm (%s): %s\n", hits[0].rule, name);
		return;
	}
	s->positives++;
	s->found += n > 0;
	s->wrong_kind += n > 0 && hits[0].kind != want;
	if (n == 0 || hits[0].kind != want)
		printf("# %s: %s\n", n == 0 ? "missed" : "another kind", name);
	else if (n != 1)
		printf("# counted %zu times: %s\n", n, name);
}

static bool is_held_out(const char *name)
{
	unsigned char h[crypto_hash_sha256_BYTES];

	crypto_hash_sha256(h, (const unsigned char *)name, strlen(name));
	uint32_t first = (uint32_t)h[0] << 24 | (uint32_t)h[1] << 16 | (uint32_t)h[2] << 8 | h[3];
	return first % 3 == 0;
}

static Score read_corpus(const char *file, bool held_out)
{
	char path[512], *text;
	size_t len;
	Score s = {0};

	snprintf(path, sizeof(path), "%s/%s", getenv("CORPUS") ? getenv("CORPUS") : ".", file);
	CHECK_OK(file_read(path, 1 << 20, &text, &len, NULL));
	for (char *at = strstr(text, "== "); at;) {
		char name[128], kind[16];
		CHECK(sscanf(at, "== %127s | %15s |", name, kind) == 2);
		CHECK_INT(is_held_out(name), held_out);
		char *body = strchr(at, '\n') + 1;
		char *next = strstr(body, "\n== ");
		size_t n = next ? (size_t)(next - body) + 1 : strlen(body);
		CHECK(memchr(at, '#', (size_t)(body - at)) || strstr(at, "| run here"));
		judge(name, kind_of(kind), body, n, &s);
		at = next ? next + 1 : NULL;
	}
	free(text);
	printf("# %s: %zu of %zu found, %zu of another kind, %zu false alarms in %zu\n", file,
	       s.found, s.positives, s.wrong_kind, s.false_alarms, s.negatives);
	return s;
}

static void check_score(Score s)
{
	CHECK_INT(s.found, s.positives);
	CHECK_INT(s.wrong_kind, 0);
	CHECK_INT(s.false_alarms, 0);
}

TEST(every_text_that_the_wordings_were_written_from)
{
	Score s = read_corpus("two-thirds.txt", false);

	CHECK(s.positives >= 40 && s.negatives >= 40);
	check_score(s);
}

TEST(every_text_that_was_set_aside)
{
	Score s = read_corpus("held-out.txt", true);

	CHECK(s.positives >= 20 && s.negatives >= 15);
	check_score(s);
}
