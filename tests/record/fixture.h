#pragma once
/* A small chain in memory, and a directory for files. */
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "record/chain.h"
#include "test.h"

enum {
	LINKS = 12
};

typedef struct Links {
	Record r[LINKS + 1];
	size_t n;
} Links;

__attribute__((unused)) static void link_record(Record *r, int64_t seq, const char *kind,
						char *body, const Hash *prev)
{
	*r = (Record){.seq = seq,
		      .at_us = 1000 * seq,
		      .kind = strdup(kind),
		      .schema = strdup("dream.note/v1"),
		      .body = body};
	CHECK_OK(record_hash(r, prev, &r->hash));
}

__attribute__((unused)) static void links_make(Links *l)
{
	Hash prev = {0};
	*l = (Links){.n = LINKS};
	for (int i = 0; i < LINKS; i++) {
		link_record(&l->r[i], i + 1, "note", str_fmt("{\"n\": %d}", i + 1), &prev);
		prev = l->r[i].hash;
	}
}

__attribute__((unused)) static void links_done(Links *l)
{
	for (size_t i = 0; i < l->n; i++)
		record_done(&l->r[i]);
}

/* What the chain says of these records; the text is the caller's. */
__attribute__((unused)) static char *verdict(const Links *l, const ChainSpec *spec, int want)
{
	_cleanup_(chain_freep) Chain *c = NULL;
	char *text = NULL;
	int r = 0;
	CHECK_OK(chain_new(spec, &c, NULL));
	for (size_t i = 0; i < l->n && r == 0; i++)
		CHECK_OK(r = chain_feed(c, &l->r[i], NULL));
	CHECK_INT(chain_finish(c, &text, NULL), want);
	return text;
}

#define CHECK_VERDICT(l, spec, want, words)                                \
	do {                                                               \
		_cleanup_free_ char *said = verdict((l), &(spec), (want)); \
		CHECK_STR(said, (words));                                  \
	} while (0)
