#pragma once
/* One answer as it comes in: which bytes are tokens, when the first and the last came, how many
 * there were, whether the server says that something went wrong, and whether it came to its end.
 * Everything in it is hostile and bounded; nothing is allocated for a token. */
#include "loadgen/ndjson.h"
#include "loadgen/scan.h"
#include "loadgen/sse.h"
#include "loadgen/traffic.h"

enum {
	ANSWER_BODY_MAX = 16 << 20,  /* of one that comes whole */
	ANSWER_TEXT_MAX = 1 << 20,   /* of the text that is kept */
	ANSWER_CHUNKS_MAX = 2 << 20, /* more tokens than may be asked for */
	ANSWER_WHY_MAX = 200,
};

typedef enum AnswerForm {
	ANSWER_WHOLE,	/* one JSON value */
	ANSWER_EVENTS,	/* server-sent events */
	ANSWER_LINES,	/* NDJSON */
	ANSWER_REFUSAL, /* no success: the beginning of its body may say why */
	ANSWER_BYTES,	/* plain HTTP: whatever it is */
} AnswerForm;

typedef struct Answer {
	Protocol protocol;
	bool streaming, keep_text;
	AnswerForm form;
	int status;
	ExchangeFailure failed;
	char why[ANSWER_WHY_MAX]; /* what the server said, fit for a terminal */
	int64_t at_us;		  /* of the bytes at hand */
	int64_t first_us, last_us;
	int64_t seen_us; /* the first event that is about the answer, with or without text */
	int64_t load_us, prompt_us, output_us;
	int32_t chunks, tokens_in, tokens_out;
	bool ended;	   /* its end mark came */
	bool content;	   /* there was text */
	uint32_t *gaps_us; /* owned; the memory is kept from answer to answer */
	size_t n_gaps, cap_gaps;
	Sse sse;
	Ndjson lines;
	Str body, text;
	bool no_memory;
} Answer;

void answer_begin(Answer *a, Protocol protocol, bool streaming, bool keep_text);
void answer_head(Answer *a, int status, const char *content_type);
void answer_data(Answer *a, const char *p, size_t n, int64_t at_us);
/* All of it is there, or the connection failed. Sets `failed` and `why`. */
void answer_end(Answer *a, const HttpEnd *end);
void answer_done(Answer *a);
