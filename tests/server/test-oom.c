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

/* split: -1: it is of no split. */
static Score read_corpus(const char *file, int split)
{
	char path[512], *text;
	size_t len;
	Score s = {0};

	snprintf(path, sizeof(path), "%s/%s", getenv("CORPUS") ? getenv("CORPUS") : ".", file);
	CHECK_OK(file_read(path, 1 << 20, &text, &len, NULL));
	for (char *at = strstr(text, "== "); at;) {
		char name[128], kind[16];
		CHECK(sscanf(at, "== %127s | %15s |", name, kind) == 2);
		if (split >= 0)
			CHECK_INT(is_held_out(name), split);
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
	Score s = read_corpus("two-thirds.txt", 0);

	CHECK(s.positives >= 40 && s.negatives >= 40);
	check_score(s);
}

TEST(every_text_that_was_set_aside)
{
	Score s = read_corpus("held-out.txt", 1);

	CHECK(s.positives >= 20 && s.negatives >= 15);
	check_score(s);
}

/* Collected when the wordings were there, by searches that had not been made before. */
TEST(every_text_that_came_afterwards)
{
	Score s = read_corpus("afterwards.txt", -1);

	CHECK(s.positives >= 8 && s.negatives >= 7);
	check_score(s);
}

/* --- What is read beside the kind ------------------------------------------------------------ */

static size_t find(const char *text, OomHit *hits)
{
	size_t n;

	CHECK_OK(oom_find(text, strlen(text), hits, HITS, &n));
	return n;
}

TEST(a_traceback_and_its_echo_are_one_event)
{
	OomHit h[HITS];

	CHECK_INT(
	    find("ERROR torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 20.00 MiB.\n"
		 "Traceback (most recent call last):\n  File \"x.py\", line 1\n"
		 "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 20.00 MiB.\n"
		 "c10::Error INTERNAL ASSERT FAILED\n",
		 h),
	    1);
	CHECK_INT(h[0].wanted_bytes, 20 * 1048576);
	CHECK_INT(h[0].line_at, 0);
	CHECK_INT(find("CUDA out of memory. Tried to allocate 20.00 MiB.\n"
		       "CUDA out of memory. Tried to allocate 2.00 GiB.\n",
		       h),
		  2);
}

TEST(the_neighbour_is_named)
{
	OomHit h[HITS];

	CHECK_INT(
	    find("CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity of "
		 "11.76 GiB of which 512.00 MiB is free. Process 4711 has 6.00 GiB memory in "
		 "use. Process 815 has 1.50 GiB memory in use. Including non-PyTorch memory, "
		 "this process has 3.76 GiB memory in use. Of the allocated memory 3.00 GiB is "
		 "allocated by PyTorch\n",
		 h),
	    1);
	CHECK_INT(h[0].free_bytes, 512 * 1048576);
	CHECK_INT(h[0].neighbours_pid, 4711);
	CHECK_INT(h[0].neighbours_bytes, INT64_C(6) << 30);
}

TEST(a_process_that_holds_what_pytorch_holds_is_itself)
{
	OomHit h[HITS];

	CHECK_INT(
	    find("CUDA out of memory. Tried to allocate 518.00 MiB. GPU 0 has a total capacty of "
		 "21.67 GiB of which 4.06 MiB is free. Process 2417585 has 21.65 GiB memory in "
		 "use. Of the allocated memory 21.32 GiB is allocated by PyTorch\n",
		 h),
	    1);
	CHECK_INT(h[0].neighbours_pid, 0);
}

TEST(the_cache_that_is_too_small_says_by_how_much)
{
	OomHit h[HITS];

	CHECK_INT(
	    find("ValueError: To serve at least one request with the models's max seq len "
		 "(131072), (16.00 GiB KV cache is needed, which is larger than the available KV "
		 "cache memory (0.50 GiB).\n",
		 h),
	    1);
	CHECK_INT(h[0].kind, OOM_KV);
	CHECK_INT(h[0].wanted_bytes, INT64_C(16) << 30);
	CHECK_INT(h[0].free_bytes, INT64_C(1) << 29);
}

TEST(a_retry_takes_back_what_was_just_said_and_only_that)
{
	OomHit h[HITS];

	CHECK_INT(
	    find(
		"alloc_buffer: allocating 50.00 MiB on device 1: cudaMalloc failed: out of memory\n"
		"compute buffer allocation failed, retrying without pipeline parallelism\n"
		"alloc_buffer: allocating 40.00 MiB on device 1: cudaMalloc failed: out of memory\n"
		"graph_reserve: failed to allocate compute buffers\n",
		h),
	    1);
	CHECK_INT(h[0].wanted_bytes, 40 * 1048576);
}

TEST(words_that_only_contain_the_letters_are_nothing)
{
	OomHit h[HITS];

	CHECK_INT(
	    find("loading bloom-560m\nzoom level 5\nroom for 12 more\nOOMScoreAdjust=-500\n", h),
	    0);
}

TEST(the_kernel_kills_one_process_once)
{
	static const char text[] =
	    "[1] kswapd0 invoked oom-killer: gfp_mask=0xcc0(GFP_KERNEL), order=0\n"
	    "[1] oom-kill:constraint=CONSTRAINT_NONE,task=plymouthd,pid=265,uid=0\n"
	    "[1] Out of memory: Killed process 265 (plymouthd) total-vm:115232kB\n"
	    "[2] Memory cgroup out of memory: Killed process 300 (vllm) total-vm:1kB\n"
	    "[3] NVRM: Xid (PCI:0000:01:00): 79, GPU has fallen off the bus.\n"
	    "[3] NVRM: GPU 0000:01:00.0: GPU has fallen off the bus.\n"
	    "[4] NVRM: Xid (PCI:0000:01:00): 31, pid=7, MMU Fault\n"
	    "[5] NVRM: nvCheckOkFailedNoLog: Check failed: Out of memory [NV_ERR_NO_MEMORY]\n"
	    "[6] kworker: page allocation failure: order:4\n";
	KernelHit h[HITS];
	size_t n;

	CHECK_OK(kernel_find(text, strlen(text), h, HITS, &n));
	CHECK_INT(n, 4);
	CHECK(h[0].oom && h[0].pid == 265);
	CHECK(h[1].oom && h[1].pid == 300);
	CHECK_INT(h[2].xid, 79);
	CHECK_INT(h[3].xid, 31);
}

TEST(more_events_than_there_is_room_for_are_still_counted)
{
	OomHit h[1];
	size_t n;
	static const char text[] = "Tried to allocate 1.00 GiB CUDA out of memory\n"
				   "Tried to allocate 5.00 GiB CUDA out of memory\n";

	CHECK_OK(oom_find(text, strlen(text), h, 1, &n));
	CHECK_INT(n, 2);
	CHECK_OK(oom_find("", 0, h, 1, &n));
	CHECK_INT(n, 0);
}
