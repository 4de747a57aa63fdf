/* What the program writes when it starts, read by those who read the real server's log. */
#include <fcntl.h>
#include <math.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "server/vllm_log.h"
#include "test.h"

enum {
	LOG_MAX = 1 << 16,
};

typedef struct Start {
	char log[LOG_MAX];
	size_t len;
	int code;
	VllmLog read;
} Start;

_Noreturn static void become(int out, const char *gpu, const char *share, const char *length)
{
	if (dup2(out, 1) < 0 || dup2(out, 2) < 0)
		_exit(126);
	setenv("TWIN_GPU", gpu, 1);
	setenv("TWIN_BOX", BOXES "/rtx3060.yaml", 1);
	setenv("TWIN_SPEED", "500", 1);
	execl(DREAM_PROGRAM, "dream", "twin", "vllm", "serve", "Qwen2.5-7B-Instruct-AWQ",
	      "--gpu-memory-utilization", share, "--max-model-len", length, "--host", "127.0.0.1",
	      "--port", "0", (char *)NULL);
	_exit(127);
}

/* To its end, or until it serves. */
static Start *start(const char *share, const char *length)
{
	Start *s = calloc(1, sizeof(*s));
	char gpu[] = "/tmp/dream-start-XXXXXX";
	int ends[2], status, fd = mkstemp(gpu);
	ssize_t n;
	CHECK(s && fd >= 0);
	close(fd);
	CHECK_OK(pipe(ends));
	pid_t pid = fork();
	CHECK(pid >= 0);
	if (pid == 0)
		become(ends[1], gpu, share, length);
	close(ends[1]);
	while (s->len < LOG_MAX - 1 &&
	       (n = read(ends[0], s->log + s->len, LOG_MAX - 1 - s->len)) > 0) {
		s->len += (size_t)n;
		if (strstr(s->log, "Application startup complete."))
			kill(pid, SIGTERM);
	}
	close(ends[0]);
	CHECK(waitpid(pid, &status, 0) == pid);
	unlink(gpu);
	s->code = WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
	CHECK_OK(vllm_log_parse(s->log, s->len, &s->read, NULL));
	return s;
}

static void done(Start *s)
{
	vllm_log_done(&s->read);
	free(s);
}

TEST(a_start_that_works_gives_all_its_numbers)
{
	Start *s = start("0.5", "2048");
	CHECK_INT(s->code, 0);
	CHECK_INT(s->read.end, VLLM_LOG_STARTED);
	CHECK_INT(s->read.start.kv_tokens, 6976);
	CHECK_NEAR(s->read.start.kv_gib, 0.37, 1e-9);
	CHECK_NEAR(s->read.start.concurrency, 3.41, 1e-9);
	CHECK_NEAR(s->read.start.share, 0.5, 1e-9);
	CHECK_INT(s->read.start.key.max_model_len, 2048);
	CHECK_STR(s->read.start.key.version, "0.11.0");
	CHECK_STR(s->read.start.key.model, "Qwen2.5-7B-Instruct-AWQ");
	CHECK(s->read.start.key.enforce_eager);
	CHECK_NEAR(s->read.weights_gib, 5.1875, 0.001);
	done(s);
}

TEST(a_share_without_cache_is_read_as_such)
{
	Start *s = start("0.4", "2048");
	CHECK_INT(s->code, 1);
	CHECK_INT(s->read.end, VLLM_LOG_NO_KV);
	CHECK(s->read.start.no_kv);
	done(s);
}

TEST(a_length_that_does_not_fit_is_read_with_its_amounts)
{
	Start *s = start("0.5", "16k");
	CHECK_INT(s->code, 1);
	CHECK_INT(s->read.end, VLLM_LOG_KV_TOO_SMALL);
	CHECK_INT(s->read.start.key.max_model_len, 16000);
	CHECK_NEAR(s->read.start.kv_gib, 0.37, 1e-9);
	done(s);
}

TEST(a_share_above_the_card_leaves_no_room_for_itself)
{
	/* The context is on the card already when the free memory is looked at. */
	Start *s = start("1", "2048");
	CHECK_INT(s->code, 1);
	CHECK_INT(s->read.end, VLLM_LOG_FREE_TOO_LITTLE);
	CHECK_NEAR(s->read.device_gib, 11.76, 0.011);
	CHECK(s->read.free_gib < s->read.device_gib);
	done(s);
}
