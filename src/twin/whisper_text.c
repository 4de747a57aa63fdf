/* What a clip is heard as, and in which form the answer has it. */
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "base/file.h"
#include "base/hash.h"
#include "base/json.h"
#include "base/rng.h"
#include "twin/whisper.h"

enum {
	TRANSCRIPT_MAX = 1 << 20,
	NAME_MAX_BYTES = 200,
};

static const char *const words[] = {
    "so",   "this", "is",   "what", "they", "said", "about", "the",   "house", "and",
    "then", "we",   "went", "to",   "see",  "it",   "again", "where", "some",  "people",
    "live", "by",   "a",    "long", "road", "near", "water", "that",  "never", "ends",
};

static const char *other_word(Rng *rng)
{
	return words[rng_below(rng, sizeof(words) / sizeof(*words))];
}

/* 2.5 words a second. */
static void babble(Rng *rng, int64_t ms, Str *out)
{
	for (int64_t i = 0; i < ms * 5 / 2000; i++) {
		str_add(out, i ? " " : "");
		str_add(out, other_word(rng));
	}
}

/* Each word is heard wrong with the model's probability: another one, none, or one too many. */
static void mishear(Rng *rng, const char *text, double share, Str *out)
{
	while (*text) {
		text += strspn(text, " \t\r\n");
		size_t len = strcspn(text, " \t\r\n");
		if (len == 0)
			break;
		bool wrong = rng_unit(rng) < share;
		uint64_t how = wrong ? rng_below(rng, 3) : 3;
		if (how != 1) {
			str_add(out, out->len ? " " : "");
			if (how == 0)
				str_add(out, other_word(rng));
			else
				str_addn(out, text, len);
		}
		if (how == 2) {
			str_addc(out, ' ');
			str_add(out, other_word(rng));
		}
		text += len;
	}
}

/* The file name without its folder and ending, when it can be a name in our folder. */
static bool plain_name(const Part *clip, char *ret)
{
	size_t from = 0, to = clip->file_name_len;
	for (size_t i = 0; i < to; i++)
		if (clip->file_name[i] == '/' || clip->file_name[i] == '\\')
			from = i + 1;
	size_t dot = to;
	for (size_t i = from; i < to; i++)
		if (clip->file_name[i] == '.')
			dot = i;
	if (dot == from || dot - from > NAME_MAX_BYTES ||
	    memchr(clip->file_name + from, '\0', dot - from))
		return false;
	memcpy(ret, clip->file_name + from, dot - from);
	ret[dot - from] = '\0';
	return true;
}

/* By what is in the clip, else by its file's name. NULL: nobody knows. */
static char *transcript_of(const Whisper *w, const Part *clip, const char *digest)
{
	char name[NAME_MAX_BYTES + 1] = "";
	const char *names[] = {digest, plain_name(clip, name) ? name : NULL};
	for (size_t i = 0; i < 2 && w->args.transcripts; i++) {
		size_t len;
		char *text = NULL;
		if (!names[i])
			continue;
		_cleanup_free_ char *path = str_fmt("%s/%s.txt", w->args.transcripts, names[i]);
		if (path && file_read(path, TRANSCRIPT_MAX, &text, &len, NULL) == 0)
			return text;
	}
	return NULL;
}

char *whisper_hears(const Whisper *w, const Part *clip, int64_t ms)
{
	_cleanup_(str_done) Str out = STR_INIT;
	char digest[HASH_HEX_SIZE], *ret = NULL;
	uint64_t seed;
	Hash hash = hash_of(clip->data, clip->len);
	hash_hex(&hash, digest);
	memcpy(&seed, hash.b, sizeof(seed));
	/* The same clip and model give the same errors. */
	Rng rng = rng_derive(seed, w->size, (uint64_t)w->stt.service->set.whisper.beams);
	_cleanup_free_ char *said = transcript_of(w, clip, digest);
	if (said)
		mishear(&rng, said, stt_wer_pct(&w->stt) / 100, &out);
	else
		babble(&rng, ms, &out);
	return str_take(&out, &ret) < 0 ? NULL : ret;
}

/* --- Forms ----------------------------------------------------------------------------------- */

const char *whisper_type(Answer a)
{
	switch (a) {
	case ANSWER_JSON:
	case ANSWER_VERBOSE:
		return "application/json";
	case ANSWER_SRT:
		return "application/x-subrip";
	case ANSWER_VTT:
		return "text/vtt";
	case ANSWER_TEXT:
		break;
	}
	return "text/plain; charset=utf-8";
}

static void add_time(int64_t ms, char comma, Str *out)
{
	str_addf(out, "%02" PRId64 ":%02" PRId64 ":%02" PRId64 "%c%03" PRId64, ms / 3600000,
		 ms / 60000 % 60, ms / 1000 % 60, comma, ms % 1000);
}

static void add_span(const Clip *c, char comma, Str *out)
{
	add_time(0, comma, out);
	str_add(out, " --> ");
	add_time(c->ms, comma, out);
	str_addf(out, "\n %s\n\n", c->text);
}

static json_t *verbose(const Clip *c)
{
	double s = (double)c->ms / 1000;
	return json_pack("{s:s, s:s, s:f, s:s, s:[{s:i, s:f, s:f, s:s}]}", "task", "transcribe",
			 "language", "english", "duration", s, "text", c->text, "segments", "id", 0,
			 "start", 0.0, "end", s, "text", c->text);
}

void whisper_format(const Clip *c, Str *out)
{
	bool is_verbose = c->answer == ANSWER_VERBOSE;
	if (c->answer == ANSWER_SRT) {
		str_add(out, "1\n");
		add_span(c, ',', out);
	} else if (c->answer == ANSWER_VTT) {
		str_add(out, "WEBVTT\n\n");
		add_span(c, '.', out);
	} else if (c->answer == ANSWER_TEXT) {
		str_addf(out, " %s\n", c->text);
	} else {
		json_auto_t *body = is_verbose ? verbose(c) : json_pack("{s:s}", "text", c->text);
		char *text = body ? json_dumps(body, JSON_COMPACT) : NULL;
		str_add(out, text ? text : "");
		out->failed |= !text;
		free(text);
	}
}
