#pragma once
/* The server that clients are measured against: a process of its own on a processor of its own,
 * bare epoll, so that it is never what limits them. It answers a completion at once, or streams a
 * token on every connection every 20 ms, all at the same moment, as a model server does that
 * decodes in batches. The text of each token is the time at which it was sent (CLOCK_MONOTONIC,
 * microseconds), so that a client's time stamps can be judged. The twin's servers are no substitute
 * here: they cost more for an answer than the clients do, and their tokens do not say when they
 * left. */
#include <stdint.h>
#include <sys/types.h>

enum {
	RESPONDER_PERIOD_US = 20000,
	RESPONDER_TOKENS = 50, /* of each stream */
};

/* The request that clients send, to be the same work for all of them. */
#define RESPONDER_BODY(stream) \
	"{\"model\":\"m\",\"prompt\":\"hello\",\"max_tokens\":50,\"stream\":" stream "}"

/* Returns its port. */
uint16_t responder_start(int cpu, pid_t *ret);
void responder_stop(pid_t pid);

/* What both sides need. */
void pin(int cpu);
int64_t now_us(void);
_Noreturn void fail(const char *what, const char *why);
