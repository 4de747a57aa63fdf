/* The first real request of each protocol, and the file that holds a service's output. */
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/json.h"
#include "base/str.h"
#include "service/firstrequest.h"
#include "service/output.h"
#include "test.h"

/* --- The first request ----------------------------------------------------------------------- */

static json_t *body_of(Protocol p, const json_t *ask, const char **ret_path)
{
	FirstRequestSpec spec = {.protocol = p, .model = "m", .ask = ask};
	FirstRequest f = {0};
	json_t *o = NULL;
	Err err = ERR_INIT;
	CHECK_OK(firstrequest_make(&spec, &f, &err));
	CHECK_STR(f.type, "application/json");
	CHECK_OK(js_parse(f.body, f.body_len, 1 << 16, &o, &err));
	*ret_path = f.path;
	firstrequest_done(&f);
	return o;
}

TEST(each_llm_protocol_is_asked_in_its_own_words)
{
	const char *path;
	json_t *ask = json_pack("{s:b,s:i}", "ignore_eos", 1, "max_tokens", 5);
	json_t *o = body_of(PROTOCOL_OPENAI_COMPLETIONS, ask, &path);
	CHECK_STR(path, "/v1/completions");
	CHECK_STR(js_str(o, "model", ""), "m");
	CHECK(js_bool(o, "ignore_eos", false));
	CHECK(*js_str(o, "prompt", ""));
	CHECK(json_is_false(json_object_get(o, "stream")));
	json_decref(o);
	json_decref(ask);
	o = body_of(PROTOCOL_OPENAI_CHAT, NULL, &path);
	CHECK_STR(path, "/v1/chat/completions");
	CHECK_INT(json_array_size(json_object_get(o, "messages")), 1);
	json_decref(o);
	o = body_of(PROTOCOL_OLLAMA_GENERATE, NULL, &path);
	CHECK_STR(path, "/api/generate");
	CHECK(js_int(json_object_get(o, "options"), "num_predict", 0) > 0);
	json_decref(o);
	o = body_of(PROTOCOL_OLLAMA_CHAT, NULL, &path);
	CHECK_STR(path, "/api/chat");
	json_decref(o);
}

static uint32_t u32(const char *p)
{
	const unsigned char *u = (const unsigned char *)p;
	return (uint32_t)u[0] | (uint32_t)u[1] << 8 | (uint32_t)u[2] << 16 | (uint32_t)u[3] << 24;
}

TEST(speech_gets_a_second_of_silence_as_a_file)
{
	FirstRequestSpec spec = {.protocol = PROTOCOL_OPENAI_STT, .model = "small"};
	FirstRequest f = {0};
	Err err = ERR_INIT;
	CHECK_OK(firstrequest_make(&spec, &f, &err));
	CHECK_STR(f.path, "/v1/audio/transcriptions");
	CHECK(strncmp(f.type, "multipart/form-data; boundary=", 30) == 0);
	CHECK(strncmp(f.body + 2, f.type + 30, strlen(f.type + 30)) == 0);
	CHECK(memmem(f.body, f.body_len, "name=\"model\"\r\n\r\nsmall\r\n", 23) != NULL);
	const char *wav = memmem(f.body, f.body_len, "RIFF", 4);
	CHECK(wav != NULL);
	CHECK_INT(memcmp(wav + 8, "WAVEfmt ", 8), 0);
	CHECK_INT(u32(wav + 4), 36 + u32(wav + 40));
	CHECK_INT(u32(wav + 28), u32(wav + 40)); /* bytes a second, and bytes in all */
	const char *end = wav + 44 + u32(wav + 40);
	CHECK_INT(memcmp(end, "\r\n--", 4), 0);
	CHECK_INT(memcmp(f.body + f.body_len - 4, "--\r\n", 4), 0);
	firstrequest_done(&f);
}

TEST(a_clip_that_is_not_there_is_said)
{
	FirstRequestSpec spec = {.protocol = PROTOCOL_WHISPERCPP, .clip = "/nowhere/a.wav"};
	FirstRequest f = {0};
	Err err = ERR_INIT;
	CHECK_ERR(firstrequest_make(&spec, &f, &err), ENOENT);
	CHECK(strstr(err.msg, "/nowhere/a.wav") != NULL);
}

typedef struct Answer {
	Protocol protocol;
	int status;
	const char *body, *wrong; /* NULL: it is a good one */
} Answer;

TEST(only_an_answer_with_a_result_is_one)
{
	static const Answer answers[] = {
	    {PROTOCOL_OPENAI_COMPLETIONS, 200, "{\"choices\":[{\"text\":\"\"}]}", NULL},
	    {PROTOCOL_OPENAI_COMPLETIONS, 200, "{\"choices\":[]}", "holds no result"},
	    {PROTOCOL_OPENAI_COMPLETIONS, 404, "{\"error\":\"no model m\"}",
	     "status 404: {\"error\":\"no model m\"}"},
	    {PROTOCOL_OPENAI_CHAT, 200, "{\"choices\":[{}],\"error\":\"x\"}", "holds no result"},
	    {PROTOCOL_OPENAI_CHAT, 200, "<html>", "no JSON: <html>"},
	    {PROTOCOL_OPENAI_CHAT, 200, "", "no JSON"},
	    {PROTOCOL_OLLAMA_CHAT, 200, "{\"message\":{\"content\":\"hi\"},\"done\":true}", NULL},
	    {PROTOCOL_OLLAMA_GENERATE, 200, "{\"response\":\"hi\"}", NULL},
	    {PROTOCOL_OLLAMA_GENERATE, 200, "{\"done\":true}", "holds no result"},
	    {PROTOCOL_WHISPERCPP, 200, "{\"text\":\"\"}", NULL},
	    {PROTOCOL_WHISPERCPP, 200, "{\"error\":\"failed to process audio\"}",
	     "failed to process"},
	    {PROTOCOL_OPENAI_STT, 200, "{\"text\":\" you\"}", NULL},
	    {PROTOCOL_OPENAI_STT, 500, "", "status 500"},
	    {PROTOCOL_HTTP, 204, "", NULL},
	    {PROTOCOL_HTTP, 302, "", "status 302"},
	};
	for (size_t i = 0; i < sizeof(answers) / sizeof(*answers); i++) {
		const Answer *a = &answers[i];
		Err err = ERR_INIT;
		int r = firstrequest_check(a->protocol, a->status, a->body, strlen(a->body), &err);
		CHECK_INT(r, a->wrong ? -EBADMSG : 0);
		if (a->wrong && !strstr(err.msg, a->wrong))
			CHECK_STR(err.msg, a->wrong);
	}
}

/* --- The output ------------------------------------------------------------------------------ */

typedef struct Scratch {
	char dir[40];
	Output o;
} Scratch;

static void scratch_open(Scratch *s)
{
	Err err = ERR_INIT;
	*s = (Scratch){.dir = "/tmp/dream-test-output-XXXXXX"};
	CHECK(mkdtemp(s->dir) != NULL);
	CHECK_OK(output_open(&s->o, s->dir, "judge", &err));
}

static void scratch_done(Scratch *s)
{
	_cleanup_free_ char *log = str_fmt("%s/judge.log", s->dir);
	output_close(&s->o);
	unlink(log);
	CHECK_INT(rmdir(s->dir), 0);
}

/* Lines of 64 bytes that say which they are. */
static void print_lines(Scratch *s, int from, int n)
{
	for (int i = from; i < from + n; i++) {
		char line[80];
		(void)snprintf(line, sizeof(line), "%-63d\n", i);
		CHECK_INT(write(s->o.fd, line, 64), 64);
	}
}

TEST(output_is_read_as_it_grows)
{
	Scratch s;
	size_t len;
	scratch_open(&s);
	CHECK_STR(output_tail(&s.o, &len), "");
	CHECK_INT(len, 0);
	print_lines(&s, 0, 2);
	CHECK(strncmp(output_tail(&s.o, &len), "0 ", 2) == 0);
	CHECK_INT(len, 128);
	print_lines(&s, 2, 1);
	(void)output_tail(&s.o, &len);
	CHECK_INT(len, 192);
	scratch_done(&s);
}

TEST(only_the_newest_output_is_kept_and_its_lines_are_whole)
{
	enum {
		LINES = 3 * (OUTPUT_TAIL + OUTPUT_SLACK) / 64
	};
	Scratch s;
	struct stat st;
	size_t len;
	char last[80];
	scratch_open(&s);
	for (int i = 0; i < LINES; i += 1024) {
		print_lines(&s, i, 1024);
		output_trim(&s.o);
		CHECK_INT(fstat(s.o.fd, &st), 0);
		CHECK((int64_t)st.st_blocks * 512 <= OUTPUT_TAIL + OUTPUT_SLACK + (1 << 18));
	}
	const char *tail = output_tail(&s.o, &len);
	CHECK(len > OUTPUT_TAIL - 8192 && len <= OUTPUT_TAIL);
	CHECK_INT(len % 64, 0);
	(void)snprintf(last, sizeof(last), "%-63d\n", LINES - 1);
	CHECK_INT(memcmp(tail + len - 64, last, 64), 0);
	CHECK(memchr(tail, '\0', len) == NULL);
	_cleanup_free_ char *log = str_fmt("%s/judge.log", s.dir);
	output_close(&s.o); /* what is left is the tail, without a hole */
	CHECK_INT(stat(log, &st), 0);
	CHECK_INT(st.st_size, len);
	scratch_done(&s);
}

TEST(a_log_that_is_a_link_is_not_followed)
{
	Scratch s = {.dir = "/tmp/dream-test-output-XXXXXX", .o = OUTPUT_INIT};
	Err err = ERR_INIT;
	CHECK(mkdtemp(s.dir) != NULL);
	_cleanup_free_ char *log = str_fmt("%s/judge.log", s.dir);
	CHECK_INT(symlink("/tmp/dream-test-victim", log), 0);
	CHECK_ERR(output_open(&s.o, s.dir, "judge", &err), ELOOP);
	scratch_done(&s);
}
