#pragma once
/* The first real request to a service: small, of the protocol that will be measured, and its answer
 * must be one. Pure but for the clip that it reads. */
#include "loadgen/traffic.h"

typedef struct FirstRequest {
	const char *path; /* static */
	char *type;	  /* owned */
	char *body;	  /* owned; NULL: none */
	size_t body_len;
} FirstRequest;

typedef struct FirstRequestSpec {
	Protocol protocol;
	const char *model; /* NULL or "": none is named */
	const json_t *ask; /* members of every LLM request; NULL */
	const char *clip;  /* a WAV file; NULL: a second of silence */
} FirstRequestSpec;

int firstrequest_make(const FirstRequestSpec *spec, FirstRequest *ret, Err *err) _must_check_;
void firstrequest_done(FirstRequest *f);
/* 0, or -EBADMSG with what the server answered instead. */
int firstrequest_check(Protocol p, int status, const char *body, size_t len, Err *err) _must_check_;
