/* Prompts and clips: everything that is sent, read before anything is measured. */
#include "loadgen/contents.h"

#include <dirent.h>
#include <errno.h>
#include <string.h>

#include "base/file.h"
#include "base/json.h"
#include "base/rng.h"
#include "loadgen/wav.h"
#include "loadgen/words.h"

enum {
	PROMPTS_BYTES_MAX = 64 << 20,
	PROMPTS_MAX = 1 << 20,
	CLIPS_MAX = 100000,
	CLIP_BYTES_MAX = 64 << 20,
	CLIPS_BYTES_MAX = 512 << 20, /* all together: they are kept in memory */
	TEXT_MAX = 1 << 20,
	FRESH_WORDS = 8,	 /* put before a prompt that comes again */
	SOUND_SAMPLES = 1 << 15, /* about two seconds, which every made up clip repeats */
	SOUND_RATE = 16000,
	SOUND_LOUDEST = 512, /* of 32,767: -36 dB, a quiet room */
	WAV_HEAD_BYTES = 44,
};

typedef struct Prompt {
	char *escaped; /* owned */
	int64_t words;
} Prompt;

typedef struct Clip {
	char *name, *text; /* owned; text NULL: not known */
	char *file;	   /* owned */
	size_t len;
	int64_t length_us;
} Clip;

/* How many were given out: the one thing that changes, and what makes each prompt another one even
 * when a later run uses the same contents. */
typedef struct Given {
	uint64_t prompts, clips;
} Given;

struct Contents {
	Prompt *prompts; /* owned */
	size_t n_prompts;
	Clip *clips; /* owned, by name */
	size_t n_clips;
	unsigned char *sound; /* owned; of clips that are made up */
	bool repeat;
	uint64_t seed;
	Given *given; /* owned */
};

/* --- Prompts --------------------------------------------------------------------------------- */

static void escape(const char *s, size_t len, Str *out)
{
	for (size_t i = 0; i < len; i++) {
		unsigned char b = (unsigned char)s[i];
		if (b == '"' || b == '\\') {
			str_addc(out, '\\');
			str_addc(out, (char)b);
		} else if (b < 0x20 || b == 0x7f) {
			str_addf(out, "\\u%04x", b);
		} else {
			str_addc(out, (char)b);
		}
	}
}

static int64_t count_words(const char *s)
{
	int64_t n = 0;
	for (bool in = false; *s; s++) {
		bool blank = strchr(" \t\r\n", *s) != NULL;
		n += !blank && !in;
		in = !blank;
	}
	return n;
}

static int add_prompt(Contents *c, const char *text, Err *err)
{
	if (c->n_prompts >= PROMPTS_MAX)
		return err_set(err, -EFBIG, "it has more than %d prompts", PROMPTS_MAX);
	if ((c->n_prompts & (c->n_prompts + 1)) == 0) {
		Prompt *more = realloc(c->prompts, 2 * (c->n_prompts + 1) * sizeof(*more));
		if (!more)
			return err_oom(err);
		c->prompts = more;
	}
	_cleanup_(str_done) Str out = STR_INIT;
	Prompt *p = &c->prompts[c->n_prompts];
	escape(text, strlen(text), &out);
	p->words = count_words(text);
	if (str_take(&out, &p->escaped) < 0)
		return err_oom(err);
	c->n_prompts++;
	return 0;
}

/* A plain line, or an object with "prompt" (or "text"). */
static int read_line(Contents *c, const char *line, size_t len, Err *err)
{
	if (!utf8_valid(line, len) || memchr(line, '\0', len))
		return err_set(err, -EBADMSG, "it is not UTF-8");
	if (line[0] != '{') {
		_cleanup_free_ char *text = strndup(line, len);
		return text ? add_prompt(c, text, err) : err_oom(err);
	}
	json_auto_t *o = NULL;
	int r = js_parse(line, len, PROMPTS_BYTES_MAX, &o, err);
	if (r < 0)
		return r;
	const char *text = js_str(o, "prompt", js_str(o, "text", NULL));
	if (!text || !*text)
		return err_set(err, -EBADMSG, "the object has no text \"prompt\"");
	return add_prompt(c, text, err);
}

static int read_prompts(Contents *c, const char *path, Err *err)
{
	_cleanup_free_ char *text = NULL;
	size_t len = 0;
	int r = file_read(path, PROMPTS_BYTES_MAX, &text, &len, err);
	unsigned number = 0;
	for (char *at = text, *next; r == 0 && at < text + len; at = next) {
		char *nl = memchr(at, '\n', (size_t)(text + len - at));
		char *stop = nl ? nl : text + len;
		next = stop + 1;
		number++;
		if (stop > at && stop[-1] == '\r')
			stop--;
		if (stop == at)
			continue;
		Err why = ERR_INIT;
		r = read_line(c, at, (size_t)(stop - at), &why);
		if (r < 0)
			return err_set(err, r, "cannot use line %u of '%s': %s", number, path,
				       why.msg);
	}
	if (r == 0 && c->n_prompts == 0)
		return err_set(err, -EBADMSG, "there is no prompt in '%s'", path);
	return r;
}

int64_t contents_prompt(const Contents *c, int64_t tokens, Str *out)
{
	uint64_t number = c->repeat ? 0 : c->given->prompts;
	if (c->n_prompts == 0) {
		int64_t words = words_of_tokens(tokens);
		c->given->prompts++;
		words_add(out, c->seed, number, words);
		return words;
	}
	const Prompt *p = &c->prompts[c->given->prompts % c->n_prompts];
	bool again = c->given->prompts++ >= c->n_prompts;
	int64_t fresh = again && !c->repeat ? FRESH_WORDS : 0;
	if (fresh > 0) {
		words_add(out, c->seed, number, fresh);
		str_add(out, ". ");
	}
	str_add(out, p->escaped);
	return p->words + fresh;
}

/* --- Clips ----------------------------------------------------------------------------------- */

static bool is_wav(const char *name)
{
	size_t n = strlen(name);
	return n > 4 && name[0] != '.' && strcasecmp(name + n - 4, ".wav") == 0;
}

/* What is said, from the .txt beside it. */
static int read_text(const char *wav_path, char **ret, Err *err)
{
	_cleanup_free_ char *path = strdup(wav_path);
	if (!path)
		return err_oom(err);
	memcpy(path + strlen(path) - 3, "txt", 3);
	size_t len = 0;
	_cleanup_free_ char *text = NULL;
	Err why = ERR_INIT;
	int r = file_read(path, TEXT_MAX, &text, &len, &why);
	if (r == -ENOENT)
		return 0;
	if (r < 0)
		return err_set(err, r, "%s", why.msg);
	if (!utf8_valid(text, len) || strlen(text) != len)
		return err_set(err, -EBADMSG, "cannot use '%s': it is not UTF-8", path);
	while (len > 0 && strchr(" \t\r\n", text[len - 1]))
		text[--len] = '\0';
	*ret = TAKE_PTR(text);
	return 0;
}

static void clip_done(Clip *c)
{
	free(c->name);
	free(c->text);
	free(c->file);
}

static int read_clip(const char *dir, const char *name, Clip *c, Err *err)
{
	_cleanup_free_ char *path = path_join(dir, name);
	Wav wav;
	Err why = ERR_INIT;
	if (!path || !(c->name = strdup(name)))
		return err_oom(err);
	int r = file_read(path, CLIP_BYTES_MAX, &c->file, &c->len, err);
	if (r < 0)
		return r;
	r = wav_parse(c->file, c->len, &wav, &why);
	if (r < 0)
		return err_set(err, r, "cannot use the clip '%s': %s", path, why.msg);
	c->length_us = wav.length_us;
	return read_text(path, &c->text, err);
}

static int add_clip(Contents *c, const char *dir, const char *name, size_t *bytes, Err *err)
{
	Clip *more = realloc(c->clips, (c->n_clips + 1) * sizeof(*more));
	if (!more)
		return err_oom(err);
	c->clips = more;
	Clip *clip = &more[c->n_clips];
	*clip = (Clip){0};
	int r = read_clip(dir, name, clip, err);
	*bytes += clip->len;
	if (r == 0 && *bytes > CLIPS_BYTES_MAX)
		r = err_set(err, -EFBIG, "the clips in '%s' have more than %d MiB", dir,
			    CLIPS_BYTES_MAX >> 20);
	if (r < 0)
		clip_done(clip);
	else
		c->n_clips++;
	return r;
}

static int only_wav(const struct dirent *e)
{
	return is_wav(e->d_name);
}

static int by_name(const struct dirent **a, const struct dirent **b)
{
	return strcmp((*a)->d_name, (*b)->d_name);
}

static int read_clips(Contents *c, const char *dir, Err *err)
{
	struct dirent **list = NULL;
	size_t bytes = 0;
	int r = 0, n = scandir(dir, &list, only_wav, by_name);
	if (n < 0)
		return err_set(err, -errno, "cannot read the folder of clips '%s': %m", dir);
	if (n == 0)
		r = err_set(err, -ENOENT, "there is no .wav file in '%s'", dir);
	if (n > CLIPS_MAX)
		r = err_set(err, -EFBIG, "there are more than %d clips in '%s'", CLIPS_MAX, dir);
	for (int i = 0; i < n; i++) {
		if (r == 0)
			r = add_clip(c, dir, list[i]->d_name, &bytes, err);
		free(list[i]);
	}
	free(list);
	return r;
}

int contents_clip(const Contents *c, const char *name, size_t *ret)
{
	if (c->n_clips == 0)
		return -ENOENT;
	if (!name) {
		*ret = c->given->clips++ % c->n_clips;
		return 0;
	}
	for (size_t i = 0; i < c->n_clips; i++) {
		if (strcmp(c->clips[i].name, name) == 0) {
			*ret = i;
			return 0;
		}
	}
	return -ENOENT;
}

size_t contents_clips(const Contents *c)
{
	return c->n_clips;
}

const char *contents_clip_name(const Contents *c, size_t i)
{
	return c->clips[i].name;
}

const char *contents_clip_text(const Contents *c, size_t i)
{
	return c->clips[i].text;
}

int64_t contents_clip_us(const Contents *c, size_t i)
{
	return c->clips[i].length_us;
}

const char *contents_clip_file(const Contents *c, size_t i, size_t *ret_len)
{
	*ret_len = c->clips[i].len;
	return c->clips[i].file;
}

/* --- Clips that are made up ------------------------------------------------------------------ */

static int make_sound(Contents *c, Err *err)
{
	Rng rng = rng_derive(c->seed, "made up sound", 0);
	c->sound = malloc(2 * (size_t)SOUND_SAMPLES);
	if (!c->sound)
		return err_oom(err);
	for (size_t i = 0; i < SOUND_SAMPLES; i++) {
		int sample = (int)rng_below(&rng, 2 * SOUND_LOUDEST + 1) - SOUND_LOUDEST;
		c->sound[2 * i] = (unsigned char)((unsigned)sample & 0xff);
		c->sound[2 * i + 1] = (unsigned char)((unsigned)sample >> 8 & 0xff);
	}
	return 0;
}

static void put_u32(unsigned char *at, size_t v)
{
	for (int i = 0; i < 4; i++)
		at[i] = (unsigned char)(v >> 8 * i & 0xff);
}

static void add_wav_head(Str *out, size_t sound_bytes)
{
	unsigned char head[WAV_HEAD_BYTES] = "RIFF....WAVEfmt \x10\0\0\0\x01\0\x01";
	memcpy(head + 36, "data", 4);
	put_u32(head + 4, WAV_HEAD_BYTES - 8 + sound_bytes);
	put_u32(head + 24, SOUND_RATE);
	put_u32(head + 28, 2 * SOUND_RATE);
	head[32] = 2; /* bytes a frame */
	head[34] = 16;
	put_u32(head + 40, sound_bytes);
	str_addn(out, (const char *)head, sizeof(head));
}

size_t contents_next_made(const Contents *c)
{
	return c->given->clips++;
}

/* Each begins elsewhere in the sound, so that no two are alike; copies cost less than noise. */
void contents_made_file(const Contents *c, size_t number, int64_t ms, Str *out)
{
	Rng rng = rng_derive(c->seed, "made up clip", number);
	size_t at = rng_below(&rng, SOUND_SAMPLES);
	int64_t kept = ms < 1 ? 1 : ms > MADE_CLIP_MS_MAX ? MADE_CLIP_MS_MAX : ms;
	size_t left = (size_t)kept * (SOUND_RATE / 1000);
	add_wav_head(out, 2 * left);
	while (left > 0) {
		size_t n = SOUND_SAMPLES - at < left ? SOUND_SAMPLES - at : left;
		str_addn(out, (const char *)c->sound + 2 * at, 2 * n);
		left -= n;
		at = 0;
	}
}

/* --- All of it ------------------------------------------------------------------------------- */

int contents_new(const ContentsSpec *spec, Contents **ret, Err *err)
{
	_cleanup_(contents_freep) Contents *c = calloc(1, sizeof(*c));
	if (!c || !(c->given = calloc(1, sizeof(*c->given))))
		return err_oom(err);
	c->repeat = spec->repeat;
	c->seed = spec->seed;
	int r = spec->prompts ? read_prompts(c, spec->prompts, err) : 0;
	if (r == 0 && spec->clips)
		r = read_clips(c, spec->clips, err);
	if (r == 0 && !spec->clips)
		r = make_sound(c, err);
	if (r < 0)
		return r;
	*ret = TAKE_PTR(c);
	return 0;
}

Contents *contents_free(Contents *c)
{
	if (!c)
		return NULL;
	for (size_t i = 0; i < c->n_prompts; i++)
		free(c->prompts[i].escaped);
	for (size_t i = 0; i < c->n_clips; i++)
		clip_done(&c->clips[i]);
	free(c->prompts);
	free(c->clips);
	free(c->sound);
	free(c->given);
	free(c);
	return NULL;
}
