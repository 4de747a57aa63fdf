#pragma once
/* What is sent: the request of a stream, written once with two gaps for the prompt and the number
 * of tokens, so that a request costs a few copies. */
#include "http/client.h"
#include "loadgen/arrivals.h"
#include "loadgen/contents.h"

typedef struct Form {
	const char *method;
	char *path; /* owned */
	const char *type;
	Str head, middle, tail;
	bool prompt; /* a prompt goes between head and middle */
	bool tokens; /* a number of tokens between middle and tail */
	bool clip;   /* a clip's name between head and middle, its file between middle and tail */
} Form;

/* What went into one. */
typedef struct Filled {
	int64_t words, tokens; /* tokens: -1: not asked */
	size_t clip;
	int64_t clip_ms; /* 0: no sound */
} Filled;

int form_new(const TrafficStream *s, Form *ret, Err *err) _must_check_;
void form_done(Form *f);
/* `body` is emptied first. -ENOENT: the clip that the trace names is not there; -ENOMEM. */
int form_fill(const Form *f, const Contents *c, const Size *size, Str *body, Filled *ret);
