/* The hash of a record, and what is said of a chain that somebody meddled with. */
#include "fixture.h"

#include "base/json.h"
#include "key.h"

static const ChainSpec any = {0};

TEST(the_hash_is_what_a_few_lines_of_python_compute)
{
	/* prev = bytes(32)
	 * for r in ([1, 1000, "note", "dream.note/v1", {"n": 1, "x": 0.45}],
	 *           [2, 2000, "a\"b\u00e9", "dream.note/v1", {}]):
	 *     prev = hashlib.sha256(prev + json.dumps(r, sort_keys=True).encode()).digest() */
	Record a, b;
	Hash zero = {0};
	char hex[HASH_HEX_SIZE];
	link_record(&a, 1, "note", strdup("{\"n\": 1, \"x\": 0.45}"), &zero);
	hash_hex(&a.hash, hex);
	CHECK_STR(hex, "2150c3760cc0135a58ab96c9306c604cf643e410c81622206bf18e81e638309f");
	link_record(&b, 2, "a\"b\xc3\xa9", strdup("{}"), &a.hash);
	hash_hex(&b.hash, hex);
	CHECK_STR(hex, "2079ac718e5ed6a3ba433214b635aea5e0aaade6b4453dc4335a6d5fcf23130b");
	record_done(&a);
	record_done(&b);
}

TEST(an_untouched_chain_is_sound)
{
	Links l;
	links_make(&l);
	CHECK_VERDICT(&l, any, 0, "12 records, without a signed head");
	links_done(&l);
	Links none = {0};
	CHECK_VERDICT(&none, any, 0, "no records");
}

TEST(a_changed_record_is_named)
{
	Links l;
	links_make(&l);
	l.r[4].body[6] = '9'; /* {"n": 5} */
	CHECK_VERDICT(&l, any, -EBADMSG,
		      "record 5 was changed: its content does not match its hash");
	links_done(&l);
	links_make(&l);
	l.r[4].at_us++;
	CHECK_VERDICT(&l, any, -EBADMSG,
		      "record 5 was changed: its content does not match its hash");
	links_done(&l);
	links_make(&l);
	l.r[4].hash.b[31] ^= 1;
	CHECK_VERDICT(&l, any, -EBADMSG,
		      "record 5 was changed: its hash does not match its content");
	links_done(&l);
	links_make(&l);
	l.r[11].kind[0] = 'm';
	CHECK_VERDICT(&l, any, -EBADMSG,
		      "record 12 was changed: its content does not match its hash");
	links_done(&l);
}

static void drop(Links *l, size_t at)
{
	record_done(&l->r[at]);
	l->n--;
	memmove(&l->r[at], &l->r[at + 1], (l->n - at) * sizeof(Record));
}

TEST(a_removed_record_is_named)
{
	Links l;
	links_make(&l);
	drop(&l, 6);
	CHECK_VERDICT(&l, any, -EBADMSG, "record 7 is missing");
	drop(&l, 6);
	CHECK_VERDICT(&l, any, -EBADMSG, "records 7 to 8 are missing");
	links_done(&l);
	links_make(&l);
	drop(&l, 0);
	CHECK_VERDICT(&l, any, -EBADMSG, "record 1 is missing");
	links_done(&l);
}

TEST(a_removed_record_is_noticed_when_the_rest_is_numbered_anew)
{
	Links l;
	links_make(&l);
	drop(&l, 6);
	for (size_t i = 6; i < l.n; i++)
		l.r[i].seq--;
	CHECK_VERDICT(&l, any, -EBADMSG,
		      "record 7 does not follow record 6: 1 record was removed before it, and "
		      "the rest numbered anew");
	links_done(&l);
}

static void insert(Links *l, size_t at, Record r)
{
	memmove(&l->r[at + 1], &l->r[at], (l->n - at) * sizeof(Record));
	l->r[at] = r;
	l->n++;
}

TEST(an_inserted_record_is_noticed)
{
	Links l;
	Record forged;
	links_make(&l);
	link_record(&forged, 5, "note", strdup("{\"forged\": true}"), &l.r[3].hash);
	insert(&l, 4, forged); /* a second record 5, and a good one by itself */
	CHECK_VERDICT(&l, any, -EBADMSG, "record 5 comes after record 5: it was inserted or moved");
	for (size_t i = 5; i < l.n; i++)
		l.r[i].seq++;
	CHECK_VERDICT(&l, any, -EBADMSG,
		      "record 6 does not follow record 5: 1 record was inserted before it, and "
		      "the rest numbered anew");
	links_done(&l);
}

static void exchange(Links *l, size_t a, size_t b)
{
	Record r = l->r[a];
	l->r[a] = l->r[b];
	l->r[b] = r;
	l->r[a].seq = (int64_t)a + 1;
	l->r[b].seq = (int64_t)b + 1;
}

TEST(exchanged_records_are_named)
{
	Links l;
	links_make(&l);
	exchange(&l, 2, 8);
	CHECK_VERDICT(&l, any, -EBADMSG,
		      "record 3 is out of place: it was written as record 9, so records were "
		      "reordered");
	links_done(&l);
	links_make(&l);
	exchange(&l, 2, 3);
	CHECK_VERDICT(&l, any, -EBADMSG,
		      "record 3 is out of place: it was written as record 4, so records were "
		      "reordered");
	links_done(&l);
}

TEST(every_single_bit_of_every_record_counts)
{
	Links l;
	links_make(&l);
	for (size_t i = 0; i < l.n; i++) {
		char *body = l.r[i].body;
		for (size_t bit = 0; bit < 8 * strlen(body); bit++) {
			body[bit / 8] = (char)(body[bit / 8] ^ (1 << bit % 8));
			free(verdict(&l, &any, -EBADMSG));
			body[bit / 8] = (char)(body[bit / 8] ^ (1 << bit % 8));
		}
		for (size_t bit = 0; bit < 8 * HASH_SIZE; bit++) {
			l.r[i].hash.b[bit / 8] ^= (uint8_t)(1 << bit % 8);
			free(verdict(&l, &any, -EBADMSG));
			l.r[i].hash.b[bit / 8] ^= (uint8_t)(1 << bit % 8);
		}
	}
	links_done(&l);
}

TEST(truncation_is_found_against_a_head_kept_elsewhere)
{
	Links l;
	links_make(&l);
	Hash head = l.r[9].hash;
	ChainSpec kept = {.head_seq = 10, .head = &head};
	CHECK_VERDICT(&l, kept, 0, "12 records, without a signed head");
	record_done(&l.r[11]);
	record_done(&l.r[10]);
	record_done(&l.r[9]);
	l.n = 9;
	CHECK_VERDICT(&l, any, 0, "9 records, without a signed head");
	CHECK_VERDICT(&l, kept, -EBADMSG,
		      "the chain ends at record 9, but the head kept elsewhere is record 10: the "
		      "end was cut off, or an old copy was put back");
	links_done(&l);
}

TEST(a_chain_written_anew_is_found_against_a_head_kept_elsewhere)
{
	Links l, forged = {.n = LINKS};
	links_make(&l);
	Hash prev = {0};
	for (int i = 0; i < LINKS; i++) {
		link_record(&forged.r[i], i + 1, "note", str_fmt("{\"n\": %d}", i + 100), &prev);
		prev = forged.r[i].hash;
	}
	ChainSpec kept = {.head_seq = 10, .head = &l.r[9].hash};
	CHECK_VERDICT(&forged, any, 0, "12 records, without a signed head");
	CHECK_VERDICT(&forged, kept, -EBADMSG,
		      "record 10 is not the one whose hash was kept elsewhere: the chain was "
		      "rewritten at or before it");
	links_done(&forged);
	links_done(&l);
}

/* Puts a signed head in the place of record `at` (from 0) and links what follows to it. */
static void sign_at(Links *l, size_t at, const SignKey *key)
{
	_cleanup_(str_done) Str body = STR_INIT;
	json_auto_t *head = head_sign(key, (int64_t)at, &l->r[at - 1].hash);
	CHECK(head);
	js_canonical(head, &body);
	record_done(&l->r[at]);
	link_record(&l->r[at], (int64_t)at + 1, "head", strdup(body.s), &l->r[at - 1].hash);
	for (size_t i = at + 1; i < l->n; i++)
		CHECK_OK(record_hash(&l->r[i], &l->r[i - 1].hash, &l->r[i].hash));
}

TEST(a_signed_head_covers_what_came_before_it)
{
	Links l;
	char public[PUBLIC_KEY_HEX_SIZE], other[PUBLIC_KEY_HEX_SIZE];
	_cleanup_(sign_key_freep) SignKey *key = make_key();
	sign_public_hex(key, public);
	_cleanup_(sign_key_freep) SignKey *stranger = make_key();
	sign_public_hex(stranger, other);
	ChainSpec pinned = {.pinned_key_hex = public};

	links_make(&l);
	_cleanup_free_ char *unsigned_text = verdict(&l, &pinned, -EBADMSG);
	CHECK(strstr(unsigned_text, "none of the 12 records is covered by a signature"));
	sign_at(&l, 8, key);
	CHECK_VERDICT(&l, pinned, 0, "12 records, signed up to record 8");

	/* Whoever rewrites the past without the key cannot make the head fit. */
	l.r[3].body[6] = '9';
	for (size_t i = 3; i < l.n; i++)
		CHECK_OK(record_hash(&l.r[i], &l.r[i - 1].hash, &l.r[i].hash));
	CHECK_VERDICT(&l, any, -EBADMSG,
		      "record 9 is a signed head for another chain than the records before it");
	sign_at(&l, 8, stranger);
	CHECK_VERDICT(&l, any, 0, "12 records, signed up to record 8");
	_cleanup_free_ char *foreign = verdict(&l, &pinned, -EBADMSG);
	CHECK(strstr(foreign, "record 9 is a head signed with the key "));
	links_done(&l);
}

TEST(a_forged_signature_is_found)
{
	Links l;
	char public[PUBLIC_KEY_HEX_SIZE];
	_cleanup_(sign_key_freep) SignKey *key = make_key();
	sign_public_hex(key, public);
	links_make(&l);
	sign_at(&l, 8, key);
	char *digit = strstr(l.r[8].body, "\"signature\": \"") + 20;
	*digit = *digit == '0' ? '1' : '0';
	for (size_t i = 8; i < l.n; i++)
		CHECK_OK(record_hash(&l.r[i], &l.r[i - 1].hash, &l.r[i].hash));
	CHECK_VERDICT(&l, any, -EBADMSG, "record 9 is a head whose signature is not good");
	free(l.r[8].body);
	l.r[8].body = strdup("[1]");
	for (size_t i = 8; i < l.n; i++)
		CHECK_OK(record_hash(&l.r[i], &l.r[i - 1].hash, &l.r[i].hash));
	CHECK_VERDICT(&l, any, -EBADMSG,
		      "record 9 is a signed head for another chain than the records before it");
	links_done(&l);
}
