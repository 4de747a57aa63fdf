#include "record/chain.h"

#include <inttypes.h>
#include <stdbool.h>
#include <string.h>

#include "base/json.h"
#include "base/str.h"

enum {
	SHIFT_MAX = 64,		/* records removed or inserted in one place, to be recognised */
	LOOK_AHEAD_MAX = 20000, /* how far a misplaced record's true neighbour is looked for */
};

struct Chain {
	const char *pinned_key; /* borrowed, like `head` */
	const Hash *head;
	int64_t head_seq;

	int64_t seq; /* of the last record that fitted */
	Hash hash;
	int64_t signed_seq;

	/* The first record that did not fit its hash, kept until its neighbours explain why. */
	Record bad; /* owned; seq 0: none */
	Hash bad_computed;
	int64_t looked;

	char *fault; /* owned: the verdict, once known */
};

int chain_new(const ChainSpec *spec, Chain **ret, Err *err)
{
	Chain *c = calloc(1, sizeof(*c));
	if (!c)
		return err_oom(err);
	c->pinned_key = spec->pinned_key_hex;
	c->head = spec->head;
	c->head_seq = spec->head ? spec->head_seq : 0;
	*ret = c;
	return 0;
}

Chain *chain_free(Chain *c)
{
	if (!c)
		return NULL;
	record_done(&c->bad);
	free(c->fault);
	free(c);
	return NULL;
}

static int conclude(Chain *c, char *text)
{
	c->fault = text;
	return text ? 1 : -ENOMEM;
}

/* --- Signed heads ---------------------------------------------------------------------------- */

/* What is signed names its purpose, so that a signature made for something else cannot stand in. */
static int head_digest(int64_t seq, const char *hash_hex_text, Hash *ret)
{
	json_auto_t *o = json_object();
	bool failed = !o;
	js_set(o, "schema", json_string(HEAD_SCHEMA), &failed);
	js_set(o, "seq", json_integer(seq), &failed);
	js_set(o, "hash", json_string(hash_hex_text), &failed);
	_cleanup_(str_done) Str text = STR_INIT;
	if (!failed)
		js_canonical(o, &text);
	if (failed || text.failed)
		return -ENOMEM;
	*ret = hash_of(text.s, text.len);
	return 0;
}

json_t *head_sign(const SignKey *key, int64_t seq, const Hash *hash)
{
	char hex[HASH_HEX_SIZE], public[PUBLIC_KEY_HEX_SIZE], signature[SIGNATURE_HEX_SIZE];
	Hash digest;
	hash_hex(hash, hex);
	if (head_digest(seq, hex, &digest) < 0)
		return NULL;
	sign_public_hex(key, public);
	sign_digest(key, &digest, signature);

	json_t *o = json_object();
	bool failed = !o;
	js_set(o, "seq", json_integer(seq), &failed);
	js_set(o, "hash", json_string(hex), &failed);
	js_set(o, "key", json_string(public), &failed);
	js_set(o, "signature", json_string(signature), &failed);
	if (failed) {
		json_decref(o);
		return NULL;
	}
	return o;
}

/* The head's content fits the chain before it (c->seq, c->hash)? */
static int check_head(Chain *c, const Record *r)
{
	json_auto_t *body = NULL;
	if (js_parse(r->body, strlen(r->body), RECORD_BODY_MAX, &body, NULL) < 0)
		return conclude(
		    c, str_fmt("record %" PRId64 " is a signed head that cannot be read", r->seq));
	char hex[HASH_HEX_SIZE];
	hash_hex(&c->hash, hex);
	const char *key = js_str(body, "key", "");
	if (js_int(body, "seq", -1) != c->seq || strcmp(js_str(body, "hash", ""), hex) != 0)
		return conclude(c, str_fmt("record %" PRId64 " is a signed head for another chain "
					   "than the records before it",
					   r->seq));
	if (c->pinned_key && strcmp(key, c->pinned_key) != 0)
		return conclude(c,
				str_fmt("record %" PRId64 " is a head signed with the key %.64s, "
					"not with the pinned key %.64s",
					r->seq, key, c->pinned_key));
	Hash digest;
	int e = head_digest(c->seq, hex, &digest);
	if (e < 0)
		return e;
	if (!sign_verify(key, &digest, js_str(body, "signature", "")))
		return conclude(c, str_fmt("record %" PRId64 " is a head whose signature is not "
					   "good",
					   r->seq));
	c->signed_seq = c->seq;
	return 0;
}

/* --- Finding out why a record does not fit ---------------------------------------------------- */

/* Does the record carry the hash it would have as number `seq`, following `prev`? */
static int fits_as(const Record *r, int64_t seq, const Hash *prev)
{
	Record as = *r; /* borrows the strings */
	Hash h;
	as.seq = seq;
	int e = record_hash(&as, prev, &h);
	return e < 0 ? e : hash_equal(&h, &r->hash);
}

/* The records after a removed or inserted one fit under their old numbers. */
static int explain_by_shift(Chain *c, const Record *next)
{
	for (int64_t d = 1; d <= SHIFT_MAX; d++) {
		int later = fits_as(next, next->seq + d, &c->bad.hash);
		int earlier = next->seq > d ? fits_as(next, next->seq - d, &c->bad.hash) : 0;
		if (later < 0 || earlier < 0)
			return -ENOMEM;
		if (later || earlier)
			return conclude(c, str_fmt("record %" PRId64 " does not follow record "
						   "%" PRId64 ": %" PRId64 " record%s %s before "
						   "it, and the rest numbered anew",
						   c->bad.seq, c->bad.seq - 1, d,
						   d == 1 ? " was" : "s were",
						   later ? "removed" : "inserted"));
	}
	return 0;
}

/* The record after the bad one tells which of the two, content or hash, was meddled with. */
static int explain_by_next(Chain *c, const Record *next)
{
	int content = fits_as(next, next->seq, &c->bad.hash);
	int hash = fits_as(next, next->seq, &c->bad_computed);
	if (content < 0 || hash < 0)
		return -ENOMEM;
	if (content || hash)
		return conclude(c, str_fmt("record %" PRId64 " was changed: its %s does not match "
					   "its %s",
					   c->bad.seq, content ? "content" : "hash",
					   content ? "hash" : "content"));
	return explain_by_shift(c, next);
}

/* Was `p` what the bad record followed when it was written? */
static int explain_by_place(Chain *c, const Record *p)
{
	for (int shift = 0; shift <= 1 && p->seq < INT64_MAX; shift++) {
		int64_t seq = p->seq + shift;
		int r = seq == c->bad.seq ? 0 : fits_as(&c->bad, seq, &p->hash);
		if (r > 0)
			return conclude(c, str_fmt("record %" PRId64 " is out of place: it was "
						   "written as record %" PRId64
						   ", so records were reordered",
						   c->bad.seq, seq));
		if (r < 0)
			return r;
	}
	return 0;
}

static int explain(Chain *c, const Record *r)
{
	int e = r->seq == c->bad.seq + 1 ? explain_by_next(c, r) : 0;
	if (e == 0)
		e = explain_by_place(c, r);
	if (e == 0 && ++c->looked >= LOOK_AHEAD_MAX)
		return 1; /* chain_finish() has the general words */
	return e;
}

static int keep_bad(Chain *c, const Record *r, const Hash *computed)
{
	c->bad_computed = *computed;
	c->bad = (Record){.seq = r->seq,
			  .at_us = r->at_us,
			  .kind = strdup(r->kind),
			  .schema = strdup(r->schema),
			  .body = strdup(r->body),
			  .hash = r->hash};
	return c->bad.kind && c->bad.schema && c->bad.body ? 0 : -ENOMEM;
}

static int check_number(Chain *c, int64_t seq)
{
	int64_t want = c->seq + 1;
	if (seq == want)
		return 0;
	if (seq == want + 1)
		return conclude(c, str_fmt("record %" PRId64 " is missing", want));
	if (seq > want)
		return conclude(
		    c, str_fmt("records %" PRId64 " to %" PRId64 " are missing", want, seq - 1));
	return conclude(c, str_fmt("record %" PRId64 " comes after record %" PRId64
				   ": it was inserted or moved",
				   seq, c->seq));
}

static int feed(Chain *c, const Record *r)
{
	if (c->bad.seq != 0)
		return explain(c, r);
	int e = check_number(c, r->seq);
	if (e != 0)
		return e;
	Hash computed;
	e = record_hash(r, &c->hash, &computed);
	if (e < 0)
		return e;
	if (!hash_equal(&computed, &r->hash))
		return keep_bad(c, r, &computed);
	if (strcmp(r->kind, "head") == 0 && (e = check_head(c, r)) != 0)
		return e;
	if (c->head && r->seq == c->head_seq && !hash_equal(&r->hash, c->head))
		return conclude(c, str_fmt("record %" PRId64 " is not the one whose hash was kept "
					   "elsewhere: the chain was rewritten at or before it",
					   r->seq));
	c->seq = r->seq;
	c->hash = r->hash;
	return 0;
}

int chain_feed(Chain *c, const Record *r, Err *err)
{
	if (c->fault)
		return 1;
	int e = feed(c, r);
	return e < 0 ? err_oom(err) : e;
}

/* What can only be said when everything was seen. 1: a fault is known; 0: sound. */
static int last_words(Chain *c)
{
	int64_t k = c->bad.seq;
	if (c->fault)
		return 1;
	if (k != 0 && c->looked == 0)
		return conclude(c, str_fmt("record %" PRId64 " was changed: its content does not "
					   "match its hash",
					   k));
	if (k != 0)
		return conclude(c, str_fmt("record %" PRId64 " does not follow record %" PRId64
					   ": it was changed, or records around it were inserted, "
					   "removed or reordered",
					   k, k - 1));
	if (c->head && c->head_seq > c->seq)
		return conclude(c,
				str_fmt("the chain ends at record %" PRId64 ", but the head kept "
					"elsewhere is record %" PRId64 ": the end was cut off, "
					"or an old copy was put back",
					c->seq, c->head_seq));
	if (c->pinned_key && c->signed_seq == 0 && c->seq > 0)
		return conclude(c, str_fmt("none of the %" PRId64 " records is covered by a "
					   "signature of the pinned key %.64s",
					   c->seq, c->pinned_key));
	return 0;
}

static char *sound_words(const Chain *c)
{
	if (c->seq == 0)
		return str_fmt("no records");
	if (c->signed_seq == 0)
		return str_fmt("%" PRId64 " record%s, without a signed head", c->seq,
			       c->seq == 1 ? "" : "s");
	return str_fmt("%" PRId64 " record%s, signed up to record %" PRId64, c->seq,
		       c->seq == 1 ? "" : "s", c->signed_seq);
}

int chain_finish(Chain *c, char **ret_text, Err *err)
{
	int broken = last_words(c);
	char *text = broken > 0 ? strdup(c->fault) : broken == 0 ? sound_words(c) : NULL;
	if (!text)
		return err_oom(err);
	*ret_text = text;
	return broken > 0 ? err_set(err, -EBADMSG, "%s", text) : 0;
}
