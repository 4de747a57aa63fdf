#pragma once
/* What the files of this folder share: the nodes of the tree, and the words of messages. */
#include "base/str.h"
#include "conf/conf.h"

struct ConfNode {
	const ConfDoc *doc;    /* NULL for a default */
	unsigned line, column; /* from 1; 0: nowhere (a default) */
	ConfKind kind;
	bool plain;	  /* a scalar that may be null, a truth value or a number */
	char *text;	  /* owned; NULL unless a scalar */
	ConfNode **items; /* owned array; what it points to is the document's, maybe shared */
	ConfNode **keys;  /* of a map, as many as items; the same array, behind them */
	size_t n;	  /* items */
	size_t weight;	  /* nodes below and including this one, aliases followed */
	unsigned height;  /* 1 for a scalar */
	bool complete;	  /* an alias may point here */
	ConfNode *around; /* while it is read: the collection it stands in, */
	size_t first;	  /* and where its own content starts in Builder.pending */
	ConfNode *next;	  /* of all the document's nodes, to be freed */
};

struct ConfDoc {
	char *name;
	ConfNode *root;
	ConfNode *nodes; /* owned, the newest first */
};

enum {
	CONF_QUOTE_MAX = 60 /* characters of somebody's text that a message repeats */
};

/* 'text', safe and cut. */
void conf_quote(const char *text, Str *out);
/* "the text 'abc'", "12", "a list", "empty": what stands in the file. */
void conf_found(const ConfNode *n, Str *out);
/* "a whole number from 1 to 10": what a field takes. */
void conf_expected(const ConfField *f, Str *out);
/* "a, b, c" */
void conf_join(const char *const *names, Str *out);

/* A table's default as a node. Only texts that could be more than one plain scalar go through the
 * YAML parser, because a list of a hundred thousand structs has as many defaults. `scratch` holds
 * the node, *doc owns it if there was a parse. NULL: out of memory, or not YAML (*ret_code). */
const ConfNode *conf_default_node(const char *text, ConfNode *scratch, ConfDoc **doc,
				  int *ret_code);
