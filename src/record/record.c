#include "record/record.h"

#include <inttypes.h>
#include <stdbool.h>
#include <string.h>

#include "base/json.h"
#include "base/str.h"

void record_done(Record *r)
{
	free(r->kind);
	free(r->schema);
	free(r->body);
	*r = (Record){0};
}

/* Every kind and schema of ours is such a word; any other text takes the slow way. */
static bool plain(const char *s)
{
	for (; *s; s++)
		if (*s < ' ' || *s > '~' || *s == '"' || *s == '\\')
			return false;
	return true;
}

static void add_string(Str *out, const char *s)
{
	if (plain(s)) {
		str_addc(out, '"');
		str_add(out, s);
		str_addc(out, '"');
		return;
	}
	json_auto_t *v = js_text(s);
	if (v)
		js_canonical(v, out);
	else
		out->failed = true;
}

/* The body is the last member and canonical already, so it is put in as it is: two different
 * records cannot give the same text. */
int record_hash(const Record *r, const Hash *prev, Hash *ret)
{
	_cleanup_(str_done) Str text = STR_INIT;
	str_addf(&text, "[%" PRId64 ", %" PRId64 ", ", r->seq, r->at_us);
	add_string(&text, r->kind);
	str_add(&text, ", ");
	add_string(&text, r->schema);
	str_add(&text, ", ");
	str_add(&text, r->body);
	str_addc(&text, ']');
	if (text.failed)
		return -ENOMEM;
	*ret = hash_link(prev, text.s, text.len);
	return 0;
}
