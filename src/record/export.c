#include "record/export.h"

#include <stdio.h>
#include <string.h>

#include "base/json.h"

enum {
	LINE_MAX_LEN = RECORD_BODY_MAX + (64 << 10), /* without the newline */
};

int record_export_line(const Record *r, Str *out, Err *err)
{
	json_t *body = NULL;
	int e = js_parse(r->body, strlen(r->body), RECORD_BODY_MAX, &body, err);
	if (e < 0)
		return err_wrap(err, e, "cannot export record %lld", (long long)r->seq);
	char hex[HASH_HEX_SIZE];
	hash_hex(&r->hash, hex);
	json_auto_t *o = json_object();
	bool failed = !o;
	js_set(o, "seq", json_integer(r->seq), &failed);
	js_set(o, "at_us", json_integer(r->at_us), &failed);
	js_set(o, "kind", js_text(r->kind), &failed);
	js_set(o, "schema", js_text(r->schema), &failed);
	js_set(o, "body", body, &failed);
	js_set(o, "hash", json_string(hex), &failed);
	if (failed)
		return err_oom(err);
	js_canonical(o, out);
	str_addc(out, '\n');
	return out->failed ? err_oom(err) : 0;
}

static int take_members(const json_t *o, Record *r, Err *err)
{
	const json_t *seq = json_object_get(o, "seq"), *at = json_object_get(o, "at_us");
	const json_t *body = json_object_get(o, "body");
	const char *kind = js_str(o, "kind", NULL), *schema = js_str(o, "schema", NULL);
	const char *hex = js_str(o, "hash", NULL);
	if (json_object_size(o) != 6 || !json_is_integer(seq) || !json_is_integer(at) || !body ||
	    !kind || !schema || !hex || !hash_from_hex(hex, &r->hash))
		return err_set(err, -EBADMSG,
			       "it is not a record: that has at_us, body, hash, kind, schema and "
			       "seq");
	_cleanup_(str_done) Str text = STR_INIT;
	js_canonical(body, &text);
	r->seq = json_integer_value(seq);
	r->at_us = json_integer_value(at);
	r->kind = strdup(kind);
	r->schema = strdup(schema);
	int e = str_take(&text, &r->body);
	return e < 0 || !r->kind || !r->schema ? err_oom(err) : 0;
}

int record_from_line(const char *line, size_t len, Record *ret, Err *err)
{
	json_auto_t *o = NULL;
	int e = js_parse(line, len, LINE_MAX_LEN, &o, err);
	if (e < 0)
		return e;
	/* A changed byte that JSON forgives (1e5 for 1E5) is a changed byte all the same. */
	_cleanup_(str_done) Str again = STR_INIT;
	js_canonical(o, &again);
	if (again.failed)
		return err_oom(err);
	if (again.len != len || memcmp(again.s, line, len) != 0)
		return err_set(err, -EBADMSG, "it is not written as this program writes it");
	_cleanup_(record_done) Record r = {0};
	e = take_members(o, &r, err);
	if (e < 0)
		return e;
	*ret = r;
	r = (Record){0};
	return 0;
}

typedef struct Lines {
	FILE *f;
	const char *path;
	char *buf; /* owned, LINE_MAX_LEN + 2 */
	unsigned long long number;
} Lines;

static void lines_done(Lines *l)
{
	if (l->f && l->f != stdin)
		fclose(l->f);
	free(l->buf);
}

/* 1: a line of *ret_len bytes is in buf; 0: the end. */
static int next_line(Lines *l, size_t *ret_len, Err *err)
{
	size_t n = 0;
	int c;
	l->number++;
	while ((c = getc_unlocked(l->f)) != EOF && c != '\n') {
		if (n == LINE_MAX_LEN)
			return err_set(err, -EBADMSG, "it is longer than %d bytes", LINE_MAX_LEN);
		l->buf[n++] = (char)c;
	}
	if (ferror(l->f))
		return err_set(err, -EIO, "cannot read %s", l->path);
	if (c == EOF && n > 0)
		return err_set(err, -EBADMSG, "it has no end: the file was cut off");
	*ret_len = n;
	return c == '\n';
}

/* 1: nothing more to see, or the line is faulty and *ret_text says how. */
static int feed_line(Lines *l, Chain *chain, char **ret_text, Err *err)
{
	_cleanup_(record_done) Record r = {0};
	Err why = ERR_INIT;
	size_t len = 0;
	int e = next_line(l, &len, &why);
	if (e == 0)
		return 1;
	if (e > 0)
		e = record_from_line(l->buf, len, &r, &why);
	if (e == -EBADMSG) {
		*ret_text = str_fmt("line %llu: %s", l->number, why.msg);
		return *ret_text ? err_set(err, e, "%s", *ret_text) : err_oom(err);
	}
	return e < 0 ? err_set(err, e, "%s", why.msg) : chain_feed(chain, &r, err);
}

int record_verify_export(const char *path, const ChainSpec *spec, char **ret_text, Err *err)
{
	_cleanup_(lines_done) Lines l = {.path = path, .buf = malloc(LINE_MAX_LEN + 2)};
	_cleanup_(chain_freep) Chain *chain = NULL;
	if (!l.buf)
		return err_oom(err);
	int r = chain_new(spec, &chain, err);
	if (r < 0)
		return r;
	l.f = strcmp(path, "-") == 0 ? stdin : fopen(path, "re");
	if (!l.f)
		return err_set(err, -errno, "cannot open %s: %s", path, strerror(errno));
	do
		r = feed_line(&l, chain, ret_text, err);
	while (r == 0);
	return r < 0 ? r : chain_finish(chain, ret_text, err);
}
