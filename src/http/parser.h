#pragma once
/* Reads an HTTP/1.x answer from bytes as they come, cut anywhere. Pure: bytes in, pieces out, one
 * at a time, so that whoever handles a piece may throw the whole thing away. Nothing of a body is
 * kept or copied; of a head only a line that was cut in two. */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/str.h"

enum {
	PARSER_HEAD_MAX = 64 * 1024, /* bytes of head, of all 1xx heads before it, of trailers, of
					one chunk's extension */
	PARSER_TYPE_MAX = 128,	     /* of a content type; a longer one is cut */
};

typedef enum ParserPiece {
	PARSER_MORE,	/* all bytes are read and the answer goes on */
	PARSER_INTERIM, /* a 1xx answer ended: the real one follows */
	PARSER_HEAD,	/* status, type, length are known */
	PARSER_DATA,	/* bytes of the body */
	PARSER_END,	/* the answer is whole; bytes that are left do not belong to it */
	PARSER_BAD,	/* no HTTP, or beyond a limit: `why` says which */
} ParserPiece;

typedef enum ParserState {
	PARSE_STATUS,
	PARSE_HEADER,
	PARSE_BODY, /* decide how it is delimited */
	PARSE_LENGTH,
	PARSE_UNTIL_CLOSE,
	PARSE_CHUNK_FIRST,
	PARSE_CHUNK_SIZE,
	PARSE_CHUNK_EXTENSION,
	PARSE_CHUNK_DATA,
	PARSE_CHUNK_CR,
	PARSE_CHUNK_LF,
	PARSE_TRAILER,
	PARSE_DONE,
	PARSE_FAILED,
} ParserState;

typedef struct Parser {
	ParserState state;
	bool no_body; /* the request was HEAD */
	bool keep;    /* the connection may be used again after the end */
	bool chunked, has_length;
	int minor; /* of the version */
	int status;
	uint64_t left;	   /* of the body or the chunk */
	size_t head_bytes; /* counted against PARSER_HEAD_MAX */
	Str line;	   /* the beginning of a line that was cut */
	char type[PARSER_TYPE_MAX];
	const char *why; /* PARSER_BAD in words; a constant */
} Parser;

void parser_start(Parser *p, bool no_body); /* for the next answer; keeps memory */
void parser_done(Parser *p);

/* Takes from *at, *n what it needs. PARSER_DATA: *ret_data, *ret_len are a part of the input. After
 * PARSER_END and PARSER_BAD it is not called any more. */
ParserPiece parser_next(Parser *p, const char **at, size_t *n, const char **ret_data,
			size_t *ret_len);
/* The peer closed: was that the end of the answer? */
bool parser_closed(Parser *p);
