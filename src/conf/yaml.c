/* From text to a tree. The parser hands us events one by one, so nothing here recurses, and the
 * limits are checked before memory is spent. */
#include <string.h>
#include <yaml.h>

#include "base/file.h"
#include "conf/internal.h"

enum {
	ANCHORS_MAX = 1000
};

typedef struct Anchor {
	char *name;
	ConfNode *node;
} Anchor;

typedef struct Builder {
	ConfDoc *doc;
	Diags *d;
	ConfNode *open[CONF_DEPTH_MAX]; /* the collections around the next node */
	size_t depth;
	size_t total; /* nodes, aliases followed */
	size_t documents;
	Anchor *anchors;
	size_t n_anchors;
} Builder;

static void builder_done(Builder *b)
{
	for (size_t i = 0; i < b->n_anchors; i++)
		free(b->anchors[i].name);
	free(b->anchors);
}

static void fault_at(Builder *b, const yaml_mark_t *at, const char *accept, const char *what)
{
	diags_add(b->d, DIAG_ERROR, b->doc->name, (unsigned)at->line + 1, (unsigned)at->column + 1,
		  accept, "%s", what);
}

static int refuse(Builder *b, const yaml_mark_t *at, const char *accept, const char *what)
{
	fault_at(b, at, accept, what);
	return -EBADMSG;
}

/* --- Nodes ----------------------------------------------------------------------------------- */

static int count(Builder *b, const yaml_mark_t *at, size_t more)
{
	b->total += more;
	if (b->total <= CONF_NODES_MAX)
		return 0;
	_cleanup_free_ char *limit = str_fmt("at most %d", CONF_NODES_MAX);
	return refuse(b, at, limit, "too many values in one file, counting what aliases repeat");
}

static int new_node(Builder *b, ConfKind kind, const yaml_mark_t *at, ConfNode **ret)
{
	int r = count(b, at, 1);
	if (r < 0)
		return r;
	ConfNode *n = calloc(1, sizeof(*n));
	if (!n)
		return -ENOMEM;
	*n = (ConfNode){
	    .doc = b->doc,
	    .line = (unsigned)at->line + 1,
	    .column = (unsigned)at->column + 1,
	    .kind = kind,
	    .weight = 1,
	    .height = 1,
	    .allocated = b->doc->allocated,
	};
	b->doc->allocated = n;
	*ret = n;
	return 0;
}

/* Arrays grow at 0, 1, 2, 4, ... items. */
static int push(ConfNode ***items, size_t *n, ConfNode *x)
{
	if ((*n & (*n - 1)) == 0) {
		ConfNode **grown = reallocarray(*items, *n ? 2 * *n : 1, sizeof(*grown));
		if (!grown)
			return -ENOMEM;
		*items = grown;
	}
	(*items)[(*n)++] = x;
	return 0;
}

static ConfNode *parent(const Builder *b)
{
	return b->depth > 0 ? b->open[b->depth - 1] : NULL;
}

static bool wants_key(const Builder *b)
{
	const ConfNode *p = parent(b);
	return p && p->kind == CONF_MAP && p->n_keys == p->n;
}

static int attach_key(Builder *b, ConfNode *key, const yaml_mark_t *at)
{
	if (key->plain && strcmp(key->text, "<<") == 0)
		return refuse(b, at, "give the whole value by an alias, or repeat the keys",
			      "merge keys ('<<') are not supported");
	ConfNode *map = b->open[b->depth - 1];
	map->weight++;
	return push(&map->keys, &map->n_keys, key);
}

static int attach(Builder *b, ConfNode *n)
{
	ConfNode *p = parent(b);
	if (!p) {
		b->doc->root = n;
		return 0;
	}
	p->weight += n->weight;
	if (p->height <= n->height)
		p->height = n->height + 1;
	return push(&p->items, &p->n, n);
}

/* --- Anchors and tags ------------------------------------------------------------------------ */

static Anchor *find_anchor(Builder *b, const char *name)
{
	for (size_t i = 0; i < b->n_anchors; i++)
		if (strcmp(b->anchors[i].name, name) == 0)
			return &b->anchors[i];
	return NULL;
}

/* A name may be used again: later aliases mean the later node. */
static int set_anchor(Builder *b, const yaml_char_t *name, const yaml_mark_t *at, ConfNode *n)
{
	if (!name)
		return 0;
	Anchor *known = find_anchor(b, (const char *)name);
	if (known) {
		known->node = n;
		return 0;
	}
	if (b->n_anchors == ANCHORS_MAX)
		return refuse(b, at, "at most 1000", "too many anchors");
	Anchor *grown = reallocarray(b->anchors, b->n_anchors + 1, sizeof(*grown));
	if (!grown)
		return -ENOMEM;
	b->anchors = grown;
	char *copy = strdup((const char *)name);
	if (!copy)
		return -ENOMEM;
	b->anchors[b->n_anchors++] = (Anchor){.name = copy, .node = n};
	return 0;
}

/* The last word of a core tag ("str" of "tag:yaml.org,2002:str"), NULL for any other. */
static const char *core_tag(const yaml_char_t *tag)
{
	static const char prefix[] = "tag:yaml.org,2002:";
	const char *t = (const char *)tag;
	return strncmp(t, prefix, sizeof(prefix) - 1) == 0 ? t + sizeof(prefix) - 1 : NULL;
}

static int refuse_tag(Builder *b, const yaml_char_t *tag, const yaml_mark_t *at)
{
	_cleanup_(str_done) Str what = STR_INIT;
	str_add(&what, "the tag ");
	conf_quote((const char *)tag, &what);
	str_add(&what, " is not supported");
	return refuse(b, at, "leave it out", what.s ? what.s : "this tag is not supported");
}

static bool is_one_of(const char *word, const char *const *words)
{
	for (; word && *words; words++)
		if (strcmp(word, *words) == 0)
			return true;
	return false;
}

/* --- Events ---------------------------------------------------------------------------------- */

static int on_scalar(Builder *b, const yaml_event_t *e)
{
	static const char *const typed[] = {"null", "bool", "int", "float", NULL};
	const yaml_mark_t *at = &e->start_mark;
	const char *text = (const char *)e->data.scalar.value;
	bool plain = e->data.scalar.plain_implicit;
	if (e->data.scalar.tag) {
		const char *tag = core_tag(e->data.scalar.tag);
		plain = is_one_of(tag, typed);
		if (!plain && (!tag || strcmp(tag, "str") != 0))
			return refuse_tag(b, e->data.scalar.tag, at);
	}
	if (strlen(text) != e->data.scalar.length)
		return refuse(b, at, NULL, "the text contains a NUL character");

	bool key = wants_key(b);
	ConfNode *n = NULL;
	int r = new_node(b, CONF_SCALAR, at, &n);
	if (r < 0)
		return r;
	n->plain = plain;
	n->complete = true;
	n->text = strdup(text);
	if (!n->text)
		return -ENOMEM;
	r = set_anchor(b, e->data.scalar.anchor, at, n);
	if (r < 0)
		return r;
	return key ? attach_key(b, n, at) : attach(b, n);
}

static int on_start(Builder *b, const yaml_event_t *e, ConfKind kind)
{
	const yaml_mark_t *at = &e->start_mark;
	bool map = kind == CONF_MAP;
	const yaml_char_t *anchor =
	    map ? e->data.mapping_start.anchor : e->data.sequence_start.anchor;
	const yaml_char_t *tag = map ? e->data.mapping_start.tag : e->data.sequence_start.tag;
	if (tag) {
		const char *core = core_tag(tag);
		if (!core || strcmp(core, map ? "map" : "seq") != 0)
			return refuse_tag(b, tag, at);
	}
	if (wants_key(b))
		return refuse(b, at, "a key is a word or a quoted text",
			      map ? "a map cannot be a key" : "a list cannot be a key");
	if (b->depth == CONF_DEPTH_MAX)
		return refuse(b, at, "at most 64 levels", "maps and lists are nested too deep");

	ConfNode *n = NULL;
	int r = new_node(b, kind, at, &n);
	if (r < 0)
		return r;
	b->open[b->depth++] = n;
	return set_anchor(b, anchor, at, n);
}

typedef struct KeyPlace {
	const char *key;
	size_t i;
} KeyPlace;

static int by_key(const void *a, const void *b)
{
	const KeyPlace *x = a, *y = b;
	int order = strcmp(x->key, y->key);
	return order != 0 ? order : x->i < y->i ? -1 : 1;
}

static void report_duplicate(Builder *b, const ConfNode *first, const ConfNode *again)
{
	_cleanup_(str_done) Str key = STR_INIT;
	conf_quote(again->text, &key);
	_cleanup_free_ char *accept =
	    str_fmt("it is given first at line %u, column %u", first->line, first->column);
	conf_fault(again, b->d, accept, "duplicate key %s", key.s ? key.s : "");
}

/* By sorting: a map of a hundred thousand keys must not take their square. */
static int find_duplicates(Builder *b, const ConfNode *map)
{
	if (map->n < 2)
		return 0;
	_cleanup_free_ KeyPlace *places = calloc(map->n, sizeof(*places));
	if (!places)
		return -ENOMEM;
	for (size_t i = 0; i < map->n; i++)
		places[i] = (KeyPlace){.key = map->keys[i]->text, .i = i};
	qsort(places, map->n, sizeof(*places), by_key);
	size_t first = 0;
	for (size_t i = 1; i < map->n; i++) {
		if (strcmp(places[i].key, places[first].key) == 0)
			report_duplicate(b, map->keys[places[first].i], map->keys[places[i].i]);
		else
			first = i;
	}
	return 0;
}

static int on_end(Builder *b)
{
	ConfNode *n = b->open[--b->depth];
	n->complete = true;
	int r = n->kind == CONF_MAP ? find_duplicates(b, n) : 0;
	return r < 0 ? r : attach(b, n);
}

static int on_alias(Builder *b, const yaml_event_t *e)
{
	const yaml_mark_t *at = &e->start_mark;
	const Anchor *a = find_anchor(b, (const char *)e->data.alias.anchor);
	if (!a) {
		_cleanup_(str_done) Str what = STR_INIT;
		str_add(&what, "no anchor above is called ");
		conf_quote((const char *)e->data.alias.anchor, &what);
		return refuse(b, at, NULL, what.s ? what.s : "unknown anchor");
	}
	if (!a->node->complete)
		return refuse(b, at, NULL, "an alias cannot stand inside of what it repeats");
	if (wants_key(b))
		return refuse(b, at, "write the key out", "an alias cannot be a key");
	if (b->depth + a->node->height > CONF_DEPTH_MAX)
		return refuse(b, at, "at most 64 levels", "maps and lists are nested too deep");
	int r = count(b, at, a->node->weight);
	return r < 0 ? r : attach(b, a->node);
}

static int on_event(Builder *b, const yaml_event_t *e)
{
	switch (e->type) {
	case YAML_DOCUMENT_START_EVENT:
		if (b->documents++ > 0)
			return refuse(b, &e->start_mark, "one file holds one document",
				      "a second document starts here");
		return 0;
	case YAML_ALIAS_EVENT:
		return on_alias(b, e);
	case YAML_SCALAR_EVENT:
		return on_scalar(b, e);
	case YAML_SEQUENCE_START_EVENT:
		return on_start(b, e, CONF_SEQ);
	case YAML_MAPPING_START_EVENT:
		return on_start(b, e, CONF_MAP);
	case YAML_SEQUENCE_END_EVENT:
	case YAML_MAPPING_END_EVENT:
		return on_end(b);
	case YAML_NO_EVENT:
	case YAML_STREAM_START_EVENT:
	case YAML_STREAM_END_EVENT:
	case YAML_DOCUMENT_END_EVENT:
		break;
	}
	return 0;
}

/* --- The text -------------------------------------------------------------------------------- */

/* What people run into most often, in their words. */
static const char *hint(const char *problem, char at)
{
	static const char *const hints[][2] = {
	    {"mapping values are not allowed",
	     "check the indentation, and quote a text that contains ': '"},
	    {"found unexpected end of stream", "a quote or bracket is not closed"},
	    {"did not find expected ',' or ']'", "a '[' is not closed"},
	    {"did not find expected ',' or '}'", "a '{' is not closed"},
	    {"could not find expected ':'", "a key needs ': ' and its value"},
	    {"did not find expected key", "check the indentation of this line and those above"},
	    {"did not find expected '-' indicator",
	     "check the indentation of this line and those above"},
	};
	if (at == '\t')
		return "indent with spaces, YAML allows no tabs there";
	if (at == '@' || at == '`' || at == '%')
		return "quote a text that starts with this character";
	for (size_t i = 0; i < sizeof(hints) / sizeof(hints[0]); i++)
		if (strncmp(problem, hints[i][0], strlen(hints[i][0])) == 0)
			return hints[i][1];
	return NULL;
}

static int syntax_fault(Builder *b, const yaml_parser_t *p, const char *text, size_t len)
{
	if (p->error == YAML_MEMORY_ERROR)
		return -ENOMEM;
	const char *problem = p->problem ? p->problem : "it cannot be read";
	_cleanup_(str_done) Str what = STR_INIT;
	str_addf(&what, "not YAML: %s", problem);
	if (p->context && strcmp(p->context, "while scanning for the next token") != 0)
		str_addf(&what, " %s", p->context);
	if (p->context && p->context_mark.line != p->problem_mark.line)
		str_addf(&what, " that starts at line %zu", p->context_mark.line + 1);
	/* The mark counts characters, the text is in bytes: walk. */
	size_t at = 0, chars = 0;
	uint32_t cp = 0;
	while (chars < p->problem_mark.index && at < len) {
		at += utf8_next(text + at, len - at, &cp);
		chars++;
	}
	return refuse(b, &p->problem_mark, hint(problem, at < len ? text[at] : '\0'),
		      what.s ? what.s : problem);
}

static int parse(Builder *b, const char *text, size_t len)
{
	_cleanup_(yaml_parser_delete) yaml_parser_t p;
	if (!yaml_parser_initialize(&p))
		return -ENOMEM;
	yaml_parser_set_encoding(&p, YAML_UTF8_ENCODING);
	yaml_parser_set_input_string(&p, (const unsigned char *)text, len);
	for (;;) {
		_cleanup_(yaml_event_delete) yaml_event_t e;
		if (!yaml_parser_parse(&p, &e))
			return syntax_fault(b, &p, text, len);
		int r = on_event(b, &e);
		if (r < 0 || e.type == YAML_STREAM_END_EVENT)
			return r;
	}
}

static bool is_control(uint32_t cp)
{
	return (cp < 0x20 && cp != '\t' && cp != '\n' && cp != '\r') ||
	       (cp >= 0x7f && cp < 0xa0 && cp != 0x85) || (cp & 0xfffe) == 0xfffe;
}

/* The parser would notice too, but say less and not where. */
static int check_bytes(Builder *b, const char *text, size_t len)
{
	if (len >= 2 && (memcmp(text, "\xff\xfe", 2) == 0 || memcmp(text, "\xfe\xff", 2) == 0))
		return refuse(b, &(yaml_mark_t){0}, "save it as UTF-8", "the file is UTF-16 text");
	yaml_mark_t at = {0};
	for (size_t i = 0; i < len;) {
		uint32_t cp = 0;
		size_t n = utf8_next(text + i, len - i, &cp);
		if (n == 0)
			return refuse(b, &at, "save it as UTF-8", "a byte that is not UTF-8 text");
		if (is_control(cp)) {
			_cleanup_free_ char *what = str_fmt("the control character U+%04X", cp);
			return refuse(b, &at, "write it as an escape in double quotes",
				      what ? what : "a control character");
		}
		at.column++;
		if (cp == '\n')
			at = (yaml_mark_t){.line = at.line + 1};
		i += n;
	}
	return 0;
}

static int read_text(Builder *b, const char *text, size_t len)
{
	if (len > CONF_FILE_MAX)
		return refuse(b, &(yaml_mark_t){0}, "at most 4 MiB", "the file is too long");
	if (len >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0) {
		text += 3;
		len -= 3;
	}
	int r = check_bytes(b, text, len);
	if (r < 0)
		return r;
	r = parse(b, text, len);
	if (r < 0 || b->doc->root)
		return r;

	/* Nothing but comments: the same as a single null. */
	ConfNode *empty = NULL;
	r = new_node(b, CONF_SCALAR, &(yaml_mark_t){0}, &empty);
	if (r < 0)
		return r;
	empty->plain = true;
	empty->text = strdup("");
	b->doc->root = empty;
	return empty->text ? 0 : -ENOMEM;
}

int conf_read_text(const char *name, const char *text, size_t len, ConfDoc **ret, Diags *d,
		   Err *err)
{
	_cleanup_(conf_freep) ConfDoc *doc = calloc(1, sizeof(*doc));
	if (!doc)
		return err_oom(err);
	doc->name = strdup(name);
	if (!doc->name)
		return err_oom(err);
	_cleanup_(builder_done) Builder b = {.doc = doc, .d = d};
	int r = read_text(&b, text, len);
	if (r == -ENOMEM)
		return err_oom(err);
	if (r < 0)
		return err_set(err, r, "'%s' is not a file that can be read as YAML", name);
	*ret = TAKE_PTR(doc);
	return 0;
}

int conf_read_file(const char *path, ConfDoc **ret, Diags *d, Err *err)
{
	_cleanup_free_ char *text = NULL;
	size_t len = 0;
	int r = file_read(path, CONF_FILE_MAX, &text, &len, err);
	if (r < 0)
		return r;
	return conf_read_text(strcmp(path, "-") == 0 ? "<stdin>" : path, text, len, ret, d, err);
}
