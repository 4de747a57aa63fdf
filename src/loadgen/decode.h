#pragma once
/* The protocols' objects, read into an Answer. */
#include "loadgen/answer.h"

bool protocol_is_ollama(Protocol p);

/* For the decoders. The first failure is kept. `why` may be anything. */
void answer_fails(Answer *a, ExchangeFailure failed, const char *why, size_t len);
void answer_text(Answer *a, const ScanValue *text); /* of the answer; empty ones are none */
void answer_chunk(Answer *a);			    /* a piece with text came */

/* OpenAI's chunk of a stream, or whole answer, of chat and of completions. */
void decode_openai(Answer *a, const ScanValue *object);
/* Ollama's line, or whole answer, of chat and of generate. */
void decode_ollama(Answer *a, const ScanValue *object);
void decode_transcript(Answer *a, const ScanValue *object);
/* An object that says what went wrong, in one of the ways that servers have. */
void decode_error(Answer *a, const ScanValue *object);
