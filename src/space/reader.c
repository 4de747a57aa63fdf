#include "space/reader.h"

#include <string.h>

#include "base/json.h"

enum {
	SLOTS = 4096, /* remembered members, a power of two; three quarters are used at most */
	TEXT_MAX = 1 << 20,
};

typedef struct Member {
	char *text; /* as in the source: "name": value; NULL: a free slot */
	size_t len;
	uint32_t dim, level;
} Member;

struct PointReader {
	const Space *space;
	Member slots[SLOTS];
	size_t used;
};

int point_reader_new(const Space *s, PointReader **ret)
{
	PointReader *r = calloc(1, sizeof(*r));
	if (!r)
		return -ENOMEM;
	r->space = s;
	*ret = r;
	return 0;
}

PointReader *point_reader_free(PointReader *r)
{
	for (size_t i = 0; r && i < SLOTS; i++)
		free(r->slots[i].text);
	free(r);
	return NULL;
}

/* Eight bytes at a time, the last ones filled up with zeros: a text is hashed for every member of
 * every stored trial. */
static uint64_t text_hash(const char *text, size_t len)
{
	uint64_t h = UINT64_C(0xcbf29ce484222325) ^ len;
	for (size_t i = 0; i < len; i += sizeof(uint64_t)) {
		uint64_t word = 0;
		memcpy(&word, text + i, len - i < sizeof(word) ? len - i : sizeof(word));
		h = (h ^ word) * UINT64_C(0x9e3779b97f4a7c15);
		h ^= h >> 32;
	}
	return h;
}

/* The slot with this text, or the free one where it belongs. */
static Member *slot_of(PointReader *r, const char *text, size_t len)
{
	for (size_t i = text_hash(text, len) & (SLOTS - 1);; i = (i + 1) & (SLOTS - 1)) {
		Member *m = &r->slots[i];
		if (!m->text || (m->len == len && memcmp(m->text, text, len) == 0))
			return m;
	}
}

/* The characters at which a member may end, or what follows means something else. */
static const bool special[256] = {
    ['"'] = true, ['\\'] = true, [','] = true, ['['] = true,
    [']'] = true, ['{'] = true,	 ['}'] = true,
};

/* The length of the member at `text`: up to the comma or brace that ends it, outside strings and
 * lists. */
static size_t member_length(const char *text, const char *end)
{
	size_t depth = 0;
	bool quoted = false;
	const char *c = text;
	for (;; c++) {
		while (c < end && !special[(unsigned char)*c])
			c++;
		if (c >= end)
			break;
		if (quoted) {
			quoted = *c != '"';
			c += *c == '\\'; /* and what it escapes */
			continue;
		}
		quoted = *c == '"';
		if (depth == 0 && (*c == ',' || *c == '}'))
			break;
		depth += *c == '[' || *c == '{';
		depth -= *c == ']' || *c == '}';
	}
	return (size_t)((c < end ? c : end) - text);
}

typedef struct Walk {
	const char *begin, *at, *end;
} Walk;

/* The next member of an object written canonically: "{" or ", " before each. False: there is none.
 */
static bool next_member(Walk *w, const char **ret, size_t *ret_len)
{
	size_t before = w->at == w->begin ? 1 : 2;
	if ((size_t)(w->end - w->at) <= before ||
	    memcmp(w->at, before == 1 ? "{" : ", ", before) != 0 || w->at[before] != '"')
		return false;
	*ret = w->at + before;
	*ret_len = member_length(*ret, w->end);
	w->at = *ret + *ret_len;
	return true;
}

/* Only members seen before, each parameter once, and exactly those that are active together. */
static bool read_known(PointReader *r, const char *text, size_t len, Point *ret)
{
	Point p = {0};
	for (size_t d = 0; d < space_dims(r->space); d++)
		p.level[d] = SPACE_INACTIVE;
	Walk w = {text, text, text + len};
	const char *member;
	size_t member_len;
	while (next_member(&w, &member, &member_len)) {
		const Member *m = slot_of(r, member, member_len);
		if (!m->text || p.level[m->dim] != SPACE_INACTIVE)
			return false;
		p.level[m->dim] = m->level;
	}
	if (w.end - w.at != 1 || *w.at != '}')
		return false;
	Point canonical = p;
	space_canonical(r->space, &canonical);
	*ret = p;
	return point_equal(r->space, &p, &canonical);
}

/* The parameter whose name, quoted, begins the member; -ENOENT for names that need escapes. */
static int dim_of_member(const PointReader *r, const char *member, size_t len)
{
	for (size_t d = 0; d < space_dims(r->space); d++) {
		const char *name = space_name(r->space, d);
		size_t n = strlen(name);
		if (len > n + 2 && memcmp(member + 1, name, n) == 0 && member[n + 1] == '"')
			return (int)d;
	}
	return -ENOENT;
}

/* Remembers the members of a text that was parsed as `p`. Forgetting some is no mistake. */
static void learn(PointReader *r, const char *text, size_t len, const Point *p)
{
	Walk w = {text, text, text + len};
	const char *member;
	size_t member_len;
	while (next_member(&w, &member, &member_len)) {
		int dim = dim_of_member(r, member, member_len);
		Member *m = slot_of(r, member, member_len);
		if (dim < 0 || m->text || r->used >= SLOTS / 4 * 3)
			continue;
		m->text = strndup(member, member_len);
		if (!m->text)
			return;
		m->len = member_len;
		m->dim = (uint32_t)dim;
		m->level = p->level[dim];
		r->used++;
	}
}

int point_reader_read(PointReader *r, const char *text, size_t len, Point *ret)
{
	if (read_known(r, text, len, ret))
		return 0;
	json_auto_t *params = NULL;
	if (js_parse(text, len, TEXT_MAX, &params, NULL) < 0)
		return -EBADMSG;
	int e = point_from_json(r->space, params, ret, NULL);
	if (e == 0)
		learn(r, text, len, ret);
	return e;
}
