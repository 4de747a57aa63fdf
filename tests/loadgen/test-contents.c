/* Prompts from files, and clips from folders. */
#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "loadgen/contents.h"
#include "loadgen/wav.h"
#include "test.h"

typedef struct Folder {
	char dir[64];
	char *paths[16];
	size_t n;
} Folder;

static void folder_begin(Folder *f)
{
	*f = (Folder){.dir = "/tmp/dream-contents-XXXXXX"};
	CHECK(mkdtemp(f->dir));
}

static const char *folder_add(Folder *f, const char *name, const void *data, size_t len)
{
	char *path = path_join(f->dir, name);
	CHECK(path && f->n < 16);
	CHECK_OK(file_write(path, 0644, data, len, NULL));
	f->paths[f->n++] = path;
	return path;
}

static void folder_done(Folder *f)
{
	for (size_t i = 0; i < f->n; i++) {
		CHECK_INT(unlink(f->paths[i]), 0);
		free(f->paths[i]);
	}
	CHECK_INT(rmdir(f->dir), 0);
}

static const char *add_text(Folder *f, const char *name, const char *text)
{
	return folder_add(f, name, text, strlen(text));
}

/* So many milliseconds of 16 kHz. */
static const char *add_wav(Folder *f, const char *name, uint32_t ms)
{
	unsigned char wav[44 + 64000] =
	    "RIFF\0\0\0\0WAVEfmt \x10\0\0\0\1\0\1\0\x80\x3e\0\0\0\x7d\0\0"
	    "\2\0\x10\0data";
	uint32_t len = ms * 32;
	CHECK(len <= 64000);
	for (int i = 0; i < 4; i++)
		wav[40 + i] = (unsigned char)(len >> 8 * i);
	return folder_add(f, name, wav, 44 + len);
}

static char *next(const Contents *c, int64_t *ret_words)
{
	Str out = STR_INIT;
	char *ret;
	*ret_words = contents_prompt(c, 10, &out);
	CHECK_OK(str_take(&out, &ret));
	return ret;
}

TEST(prompts_come_from_a_file_in_turn_and_never_twice_the_same)
{
	Folder f;
	folder_begin(&f);
	const char *path = add_text(&f, "prompts.txt",
				    "say \"hello\" \\ \xc3\xa4\r\n\n"
				    "{\"prompt\":\"two\\nlines\",\"id\":3}\n{\"text\":\"three\"}");
	static const char *const want[] = {"say \\\"hello\\\" \\\\ \xc3\xa4", "two\\u000alines",
					   "three"};
	Contents *c = NULL;
	CHECK_OK(contents_new(&(ContentsSpec){.prompts = path}, &c, NULL));
	int64_t words;
	for (int i = 0; i < 3; i++) {
		char *p = next(c, &words);
		CHECK_STR(p, want[i]);
		CHECK_INT(words, i == 0 ? 4 : i == 1 ? 2 : 1);
		free(p);
	}
	char *fourth = next(c, &words);
	size_t len = strlen(fourth), tail = strlen(want[0]);
	CHECK(len > tail + 20 && strcmp(fourth + len - tail, want[0]) == 0);
	CHECK_INT(words, 4 + 8);
	free(fourth);
	contents_free(c);

	CHECK_OK(contents_new(&(ContentsSpec){.prompts = path, .repeat = true}, &c, NULL));
	for (int i = 0; i < 6; i++) {
		char *p = next(c, &words);
		CHECK_STR(p, want[i % 3]);
		free(p);
	}
	contents_free(c);
	folder_done(&f);
}

TEST(a_bad_file_of_prompts_is_refused_with_its_line)
{
	static const struct {
		const char *text, *says;
	} rows[] = {
	    {"", "no prompt in"},
	    {"\n\n", "no prompt in"},
	    {"ok\n{\"prompt\":\n", "line 2 of"},
	    {"{\"prompt\":\"\"}\n", "no text \"prompt\""},
	    {"{\"prompt\":7}\n", "no text \"prompt\""},
	    {"ok\nok\n\xff\xfe\n", "line 3 of"},
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		Folder f;
		Err err = ERR_INIT;
		Contents *c = NULL;
		folder_begin(&f);
		const char *path = add_text(&f, "p", rows[i].text);
		CHECK_ERR(contents_new(&(ContentsSpec){.prompts = path}, &c, &err), EBADMSG);
		CHECK(!c);
		if (!strstr(err.msg, rows[i].says))
			test_fail(__FILE__, __LINE__, "row %zu: %s", i, err.msg);
		folder_done(&f);
	}
	Contents *c = NULL;
	CHECK_ERR(contents_new(&(ContentsSpec){.prompts = "/none"}, &c, NULL), ENOENT);
}

TEST(clips_come_in_turn_with_what_is_said_in_them)
{
	Folder f;
	Contents *c = NULL;
	Err err = ERR_INIT;
	size_t i;
	folder_begin(&f);
	add_wav(&f, "b.WAV", 500);
	add_wav(&f, "a.wav", 1000);
	add_wav(&f, ".hidden.wav", 100);
	add_text(&f, "a.txt", "  What is said.\n\n");
	add_text(&f, "notes.md", "not a clip");
	if (contents_new(&(ContentsSpec){.clips = f.dir}, &c, &err) < 0)
		test_fail(__FILE__, __LINE__, "%s", err.msg);
	CHECK_INT(contents_clips(c), 2);
	CHECK_STR(contents_clip_name(c, 0), "a.wav");
	CHECK_STR(contents_clip_text(c, 0), "  What is said.");
	CHECK(!contents_clip_text(c, 1));
	CHECK_INT(contents_clip_us(c, 0), 1000000);
	CHECK_INT(contents_clip_us(c, 1), 500000);
	for (size_t k = 0; k < 5; k++) {
		CHECK_OK(contents_clip(c, NULL, &i));
		CHECK_INT(i, k % 2);
	}
	CHECK_OK(contents_clip(c, "b.WAV", &i));
	CHECK_INT(i, 1);
	CHECK_ERR(contents_clip(c, "c.wav", &i), ENOENT);
	contents_free(c);
	folder_done(&f);
}

TEST(a_folder_without_good_clips_is_refused)
{
	Folder f;
	Contents *c = NULL;
	Err err = ERR_INIT;
	folder_begin(&f);
	CHECK_ERR(contents_new(&(ContentsSpec){.clips = f.dir}, &c, &err), ENOENT);
	CHECK(strstr(err.msg, "there is no .wav file"));
	add_wav(&f, "good.wav", 10);
	add_text(&f, "later.wav", "RIFF____WAVEnope");
	CHECK_ERR(contents_new(&(ContentsSpec){.clips = f.dir}, &c, &err), EBADMSG);
	CHECK(strstr(err.msg, "later.wav"));
	folder_done(&f);
	CHECK_ERR(contents_new(&(ContentsSpec){.clips = "/none"}, &c, &err), ENOENT);
}

TEST(without_a_folder_clips_are_made_up_by_length)
{
	static const int64_t lengths_ms[] = {1, 500, 3000, 30000};
	Contents *c = NULL, *again = NULL, *other = NULL;
	Err err = ERR_INIT;
	Wav wav;
	CHECK_OK(contents_new(&(ContentsSpec){.seed = 7}, &c, &err));
	CHECK_OK(contents_new(&(ContentsSpec){.seed = 7}, &again, &err));
	CHECK_OK(contents_new(&(ContentsSpec){.seed = 8}, &other, &err));
	CHECK_INT(contents_clips(c), 0);
	for (size_t i = 0; i < 4; i++) {
		_cleanup_(str_done) Str a = STR_INIT, b = STR_INIT, d = STR_INIT, e = STR_INIT;
		size_t number = contents_next_made(c);
		CHECK_INT(number, i);
		contents_made_file(c, number, lengths_ms[i], &a);
		contents_made_file(again, number, lengths_ms[i], &b);
		contents_made_file(c, number + 1, lengths_ms[i], &d);
		contents_made_file(other, number, lengths_ms[i], &e);
		CHECK_OK(wav_parse(a.s, a.len, &wav, &err));
		CHECK_INT(wav.length_us, lengths_ms[i] * 1000);
		CHECK_INT(wav.rate, 16000);
		CHECK_INT(wav.channels, 1);
		CHECK_INT(wav.pcm_len, 32 * lengths_ms[i]);
		CHECK_INT(a.len, b.len);
		CHECK(memcmp(a.s, b.s, a.len) == 0);
		CHECK(memcmp(a.s, d.s, a.len) != 0);
		CHECK(memcmp(a.s, e.s, a.len) != 0);
	}
	contents_free(c);
	contents_free(again);
	contents_free(other);
}

TEST(clips_that_are_made_up_are_quiet_but_not_silent_and_never_endless)
{
	Contents *c = NULL;
	_cleanup_(str_done) Str out = STR_INIT;
	Wav wav;
	CHECK_OK(contents_new(&(ContentsSpec){.seed = 1}, &c, NULL));
	contents_made_file(c, 0, 2000, &out);
	CHECK_OK(wav_parse(out.s, out.len, &wav, NULL));
	int loudest = 0;
	for (size_t i = 0; i < wav.pcm_len; i += 2) {
		int sample =
		    (int16_t)((unsigned char)wav.pcm[i] | (unsigned char)wav.pcm[i + 1] << 8);
		loudest = abs(sample) > loudest ? abs(sample) : loudest;
	}
	CHECK(loudest > 100);
	CHECK(loudest < 1000);
	str_clear(&out);
	contents_made_file(c, 1, INT64_MAX, &out);
	CHECK_INT(out.len, 44 + 32 * (size_t)MADE_CLIP_MS_MAX);
	contents_free(c);
}
