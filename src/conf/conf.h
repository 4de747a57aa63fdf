#pragma once
/* How a file of ours is described, read and documented. A struct of the program is described once,
 * by a table of fields; the same table reads it from YAML, reports every mistake at its place, and
 * prints the JSON Schema that editors use. Each folder keeps the tables of its own structs. */
#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/cleanup.h"
#include "base/diag.h"
#include "base/err.h"

/* --- The file, as a tree with places --------------------------------------------------------- */

typedef struct ConfDoc ConfDoc;	  /* owns its nodes */
typedef struct ConfNode ConfNode; /* a place in a file; lives as long as its document */

typedef enum ConfKind {
	CONF_SCALAR,
	CONF_SEQ,
	CONF_MAP,
} ConfKind;

enum {
	CONF_FILE_MAX = 4 << 20, /* bytes */
	CONF_NODES_MAX = 200000, /* after aliases are followed */
	CONF_DEPTH_MAX = 64,
};

/* Text that is not YAML, several documents, or a limit is a diagnostic in `d` and -EBADMSG; a file
 * that cannot be read is -errno with `err`. A duplicate key is a diagnostic only: the document is
 * returned (the first one counts), so that its other mistakes are found in the same go; the caller
 * looks at d->errors. An empty text is a document of one null scalar. Anchors and aliases are
 * followed, merge keys ("<<") are refused. Path "-" is standard input. */
int conf_read_file(const char *path, ConfDoc **ret, Diags *d, Err *err) _must_check_;
int conf_read_text(const char *name, const char *text, size_t len, ConfDoc **ret, Diags *d,
		   Err *err) _must_check_;
ConfDoc *conf_free(ConfDoc *doc); /* accepts NULL, returns NULL */
DEFINE_CLEANUP(ConfDoc *, conf_free)

const ConfNode *conf_root(const ConfDoc *doc);

ConfKind conf_kind(const ConfNode *n);
size_t conf_len(const ConfNode *n);				/* items of a list or map, else 0 */
const ConfNode *conf_at(const ConfNode *n, size_t i);		/* item, or value of the i-th key */
const char *conf_key(const ConfNode *map, size_t i);		/* in the order of the file */
const ConfNode *conf_key_node(const ConfNode *map, size_t i);	/* the place of the key itself */
const ConfNode *conf_get(const ConfNode *map, const char *key); /* NULL when absent or no map */
const char *conf_text(const ConfNode *scalar);			/* the scalar's text, else NULL */
bool conf_is_null(const ConfNode *n);				/* ~, null or empty, unquoted */

/* Typed reading of a scalar (YAML 1.2 core: true/false, 0.5, 12, 1e-3, .inf is refused; quotes make
 * a string). False: not of that type; nothing is reported. */
bool conf_as_bool(const ConfNode *n, bool *ret);
bool conf_as_int(const ConfNode *n, int64_t *ret);
bool conf_as_number(const ConfNode *n, double *ret); /* integers too; finite */
/* The whole subtree as JSON; NULL when out of memory. */
json_t *conf_to_json(const ConfNode *n);

/* Reports a mistake at a place. `accept` may be NULL. */
void conf_fault(const ConfNode *at, Diags *d, const char *accept, const char *fmt, ...)
    _printf_(4, 5);
void conf_warn(const ConfNode *at, Diags *d, const char *accept, const char *fmt, ...)
    _printf_(4, 5);

/* --- Tables ---------------------------------------------------------------------------------- */

typedef enum ConfType {
	CONF_T_BOOL,	 /* bool */
	CONF_T_INT,	 /* int64_t, within [min, max] when min < max */
	CONF_T_NUMBER,	 /* double, within [min, max] when min < max */
	CONF_T_STRING,	 /* char *, owned, the text of any scalar; NULL when absent */
	CONF_T_ENUM,	 /* int: the index in `choices` (NULL-terminated) */
	CONF_T_DURATION, /* int64_t microseconds: "90 s", "5 min", "2h", "1 h 30 min", "250ms"; a
			    bare number is seconds. min and max are seconds */
	CONF_T_BYTES,	 /* int64_t bytes: "5.5 GiB", "512 MiB", "1.2GB"; a bare number is bytes.
			    min and max are bytes */
	CONF_T_STRINGS,	 /* ConfStrings: a list of strings, or one string for a list of one */
	CONF_T_JSON,	 /* json_t *, owned: anything */
	CONF_T_OBJECT,	 /* a struct in place, described by `table` */
	CONF_T_OPTIONAL, /* a pointer to a struct described by `table`; NULL when absent */
	CONF_T_LIST,	 /* ConfList of structs described by `table`, from a YAML list */
	CONF_T_NAMED,	 /* ConfList of the same, from a map: the key goes into the struct's first
			    field, which must be a CONF_T_STRING called "name" */
	CONF_T_CUSTOM,	 /* `custom` does it */
} ConfType;

typedef struct ConfStrings {
	char **items; /* owned, n of them */
	size_t n;
} ConfStrings;

typedef struct ConfList {
	void *items; /* n structs, one after another; cast to the item's type */
	size_t n;
} ConfList;

typedef struct ConfTable ConfTable;

typedef struct ConfCustom {
	/* Fills *member from the node; mistakes go to d. Negative errno only for faults (out of
	 * memory). The node may be that of a default and must not be kept. */
	int (*read)(const ConfNode *n, void *member, Diags *d);
	void (*done)(void *member); /* may be NULL */
	json_t *(*schema)(void);    /* a new JSON Schema object */
} ConfCustom;

/* A key whose value is null ("key:", "key: ~") is like an absent one, except for CONF_T_JSON and
 * CONF_T_CUSTOM, which see it. */
typedef struct ConfField {
	const char *name;
	ConfType type;
	size_t offset;
	const char *help; /* a sentence without full stop; goes into the schema and dream.yaml(5) */
	bool required;
	const char *otherwise; /* the default, as YAML text; NULL: zero bytes */
	double min, max;
	const char *const *choices;
	const ConfTable *table;
	const ConfCustom *custom;
} ConfField;

struct ConfTable {
	const char *name; /* "budget": what the thing is called in messages and in the schema */
	const char *help;
	size_t size;
	const ConfField *fields; /* ends with a field whose name is NULL */
	/* After all fields were read without a mistake: checks between fields. May be NULL. */
	void (*check)(const ConfNode *n, void *target, Diags *d);
	/* true: keys that no field has are allowed (kept nowhere). Otherwise they are mistakes,
	 * with the nearest known key in the message. */
	bool open;
};

/* Fills a zeroed struct of table->size bytes, defaults included. Mistakes go to `d`, and the rest
 * is read all the same; the caller looks at d->errors. Negative errno only for faults. Whatever
 * happens, the struct can be given to conf_done(). */
int conf_fill(const ConfTable *table, const ConfNode *n, void *target, Diags *d) _must_check_;
/* Every default, as if from an empty map; required fields stay zero. */
int conf_defaults(const ConfTable *table, void *target) _must_check_;
void conf_done(const ConfTable *table,
	       void *target); /* frees what the fields own, zeroes the struct */

/* The struct as JSON that the same table reads back (JSON is YAML), for handing it to another
 * process of ours. What is as by default is left out, so that a table that allows a key only beside
 * another one takes it. NULL when out of memory, or for a CONF_T_CUSTOM, which knows no way back.
 */
json_t *conf_dump(const ConfTable *table, const void *target);

/* A JSON Schema (draft 2020-12) object for the struct; NULL when out of memory. */
json_t *conf_schema(const ConfTable *table);

/* "5.5 GiB", "250 ms": the same readers for command lines. False: not such a text. */
bool conf_parse_bytes(const char *text, int64_t *ret);
bool conf_parse_duration(const char *text, int64_t *ret_us);

/* The one of `names` (NULL-terminated) that was probably meant, or NULL. */
const char *conf_nearest(const char *word, const char *const *names);
