#include "conf/builder.h"

#include <string.h>

#include "base/strings.h"

enum {
	ANCHORS_MAX = 1000
};

int builder_refuse(Builder *b, const yaml_mark_t *at, const char *accept, const char *what)
{
	diags_add(b->d, DIAG_ERROR, b->doc->name, (unsigned)at->line + 1, (unsigned)at->column + 1,
		  accept, "%s", what);
	return -EBADMSG;
}

/* --- Nodes ----------------------------------------------------------------------------------- */

static int count(Builder *b, const yaml_mark_t *at, size_t more)
{
	b->total += more;
	if (b->total <= CONF_NODES_MAX)
		return 0;
	_cleanup_free_ char *limit = str_fmt("at most %d", CONF_NODES_MAX);
	return builder_refuse(b, at, limit,
			      "too many values in one file, counting what aliases repeat");
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
	    .next = b->doc->nodes,
	};
	b->doc->nodes = n;
	*ret = n;
	return 0;
}

static bool wants_key(const Builder *b)
{
	const ConfNode *p = b->inner;
	return p && p->kind == CONF_MAP && (b->n_pending - p->first) % 2 == 0;
}

/* Into the collection around, where keys and values take turns. The array grows at 0, 1, 2, 4, ...
 * nodes. */
static int attach(Builder *b, ConfNode *n)
{
	if (!b->inner) {
		b->doc->root = n;
		return 0;
	}
	if ((b->n_pending & (b->n_pending - 1)) == 0) {
		size_t cap = b->n_pending ? 2 * b->n_pending : 1;
		ConfNode **grown = reallocarray(b->pending, cap, sizeof(ConfNode *));
		if (!grown)
			return -ENOMEM;
		b->pending = grown;
	}
	b->pending[b->n_pending++] = n;
	return 0;
}

static int attach_key(Builder *b, ConfNode *key, const yaml_mark_t *at)
{
	if (key->plain && strcmp(key->text, "<<") == 0)
		return builder_refuse(b, at, "give the whole value by an alias, or repeat the keys",
				      "merge keys ('<<') are not supported");
	return attach(b, key);
}

/* The collection takes what is pending for it. */
static int take_content(Builder *b, ConfNode *n)
{
	size_t count = b->n_pending - n->first;
	bool map = n->kind == CONF_MAP;
	ConfNode **content = calloc(count + 1, sizeof(ConfNode *));
	if (!content)
		return -ENOMEM;
	n->items = content;
	n->n = map ? count / 2 : count;
	n->keys = map ? content + n->n : NULL;
	for (size_t i = 0; i < count; i++) {
		ConfNode *x = b->pending[n->first + i];
		content[!map ? i : i % 2 == 0 ? n->n + i / 2 : i / 2] = x;
		n->weight += x->weight;
		if (n->height <= x->height)
			n->height = x->height + 1;
	}
	b->n_pending = n->first;
	return 0;
}

/* --- Anchors and tags ------------------------------------------------------------------------ */

struct Anchor {
	Anchor *next;
	char *name;
	ConfNode *node;
};

void builder_done(Builder *b)
{
	for (Anchor *a = b->anchors, *next; a; a = next) {
		next = a->next;
		free(a->name);
		free(a);
	}
	free(b->pending);
}

/* A name may be used again: aliases mean the node that had it last. */
static const Anchor *find_anchor(const Builder *b, const char *name)
{
	const Anchor *a = b->anchors;
	while (a && strcmp(a->name, name) != 0)
		a = a->next;
	return a;
}

static int set_anchor(Builder *b, const yaml_char_t *name, const yaml_mark_t *at, ConfNode *n)
{
	if (!name)
		return 0;
	if (b->n_anchors == ANCHORS_MAX)
		return builder_refuse(b, at, "at most 1000", "too many anchors");
	Anchor *a = calloc(1, sizeof(*a));
	if (!a)
		return -ENOMEM;
	*a = (Anchor){.next = b->anchors, .name = strdup((const char *)name), .node = n};
	b->anchors = a;
	b->n_anchors++;
	return a->name ? 0 : -ENOMEM;
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
	return builder_refuse(b, at, "leave it out", what.s ? what.s : "this tag is not supported");
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
		plain = words_have(typed, tag);
		if (!plain && (!tag || strcmp(tag, "str") != 0))
			return refuse_tag(b, e->data.scalar.tag, at);
	}
	if (strlen(text) != e->data.scalar.length)
		return builder_refuse(b, at, NULL, "the text contains a NUL character");

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
		return builder_refuse(b, at, "a key is a word or a quoted text",
				      map ? "a map cannot be a key" : "a list cannot be a key");
	if (b->depth == CONF_DEPTH_MAX)
		return builder_refuse(b, at, "at most 64 levels",
				      "maps and lists are nested too deep");

	ConfNode *n = NULL;
	int r = new_node(b, kind, at, &n);
	if (r < 0)
		return r;
	n->around = b->inner;
	n->first = b->n_pending;
	b->inner = n;
	b->depth++;
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
	ConfNode *n = b->inner;
	b->inner = n->around;
	b->depth--;
	n->complete = true;
	int r = take_content(b, n);
	if (r == 0 && n->kind == CONF_MAP)
		r = find_duplicates(b, n);
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
		return builder_refuse(b, at, NULL, what.s ? what.s : "unknown anchor");
	}
	if (!a->node->complete)
		return builder_refuse(b, at, NULL,
				      "an alias cannot stand inside of what it repeats");
	if (wants_key(b))
		return builder_refuse(b, at, "write the key out", "an alias cannot be a key");
	if (b->depth + a->node->height > CONF_DEPTH_MAX)
		return builder_refuse(b, at, "at most 64 levels",
				      "maps and lists are nested too deep");
	int r = count(b, at, a->node->weight);
	return r < 0 ? r : attach(b, a->node);
}

int builder_event(Builder *b, const yaml_event_t *e)
{
	switch (e->type) {
	case YAML_DOCUMENT_START_EVENT:
		if (b->documents++ > 0)
			return builder_refuse(b, &e->start_mark, "one file holds one document",
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

int builder_empty(Builder *b)
{
	ConfNode *n = NULL;
	int r = new_node(b, CONF_SCALAR, &(yaml_mark_t){0}, &n);
	if (r < 0)
		return r;
	n->plain = true;
	n->text = strdup("");
	b->doc->root = n;
	return n->text ? 0 : -ENOMEM;
}
