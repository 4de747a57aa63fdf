#pragma once
/* A Whisper server on the simulated box: what its files share. */
#include "base/str.h"
#include "twin/program.h"
#include "twin/stt.h"

typedef struct WhisperArgs {
	ProgramOptions program;
	const char *model; /* a size, or a file whose name has it */
	const char *host, *path, *prefix, *transcripts;
	int64_t port, beams;
	bool cpu;  /* asked for */
	bool file; /* whisper.cpp's way: -m FILE */
} WhisperArgs;

/* As vllm_args(). */
int whisper_args(int argc, char **argv, WhisperArgs *ret);

typedef enum Answer {
	ANSWER_JSON,
	ANSWER_TEXT,
	ANSWER_VERBOSE,
	ANSWER_SRT,
	ANSWER_VTT,
} Answer;

typedef struct Whisper Whisper;

/* One clip, until it is answered. */
typedef struct Clip {
	struct Clip *before, *after;
	Incoming *rq; /* NULL: the client went away */
	Answer answer;
	int64_t ms;
	char *text; /* owned: what will be said to have been heard */
} Clip;

struct Whisper {
	Program program;
	WhisperArgs args;
	Stt stt;
	char size[32]; /* the model */
	Clip *clips;
	int64_t numbers;
	bool dead, stopping;
	sd_event_source *grace;
};

/* --- whisper_api.c --- */
void whisper_serve(void *ctx, Incoming *rq);
void whisper_closed(void *ctx, Incoming *rq);
void whisper_hear(void *ctx, const Request *rq);
/* Ends all requests, with 500 or without a word. */
void whisper_drop_all(Whisper *w, bool with_500);
void whisper_idle(Whisper *w);

/* --- whisper_text.c --- */
/* What this model hears in a clip: the transcript that lies beside it with word errors at the
 * model's rate, else words of no meaning, as many as fit in its length. NULL: out of memory. */
char *whisper_hears(const Whisper *w, const Part *clip, int64_t ms);
void whisper_format(const Clip *c, Str *out);
const char *whisper_type(Answer a);
