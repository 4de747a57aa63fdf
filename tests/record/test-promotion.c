/* Signing a promotion, and its YAML, read back by another parser than the one that wrote it. */
#include "test.h"

#include "base/json.h"
#include "base/rng.h"
#include "conf/conf.h"
#include "key.h"
#include "record/promotion.h"
#include "record/yaml.h"

static json_t *body_new(void)
{
	return json_pack("{s:s, s:{s:f}, s:s, s:s, s:[{s:s, s:f, s:f}], s:b}", "schema",
			 PROMOTION_SCHEMA, "winner", "vllm_memory_util", 0.5, "id", "p-1",
			 "experiment", "spica_gpu_allocation", "changes", "parameter",
			 "vllm_memory_util", "from", 0.6, "to", 5.0, "final", 1);
}

static json_t *from_yaml(const char *text)
{
	ConfDoc *doc = NULL;
	Diags d = DIAGS_INIT;
	Err err = ERR_INIT;
	if (conf_read_text("promotion.yaml", text, strlen(text), &doc, &d, &err) < 0)
		test_fail(__FILE__, __LINE__, "%s%s in:\n%s", err.msg, d.n ? d.items[0].what : "",
			  text);
	json_t *v = conf_to_json(conf_root(doc));
	CHECK(v);
	conf_free(doc);
	diags_done(&d);
	return v;
}

TEST(a_signed_promotion_is_accepted_also_after_a_trip_through_yaml)
{
	_cleanup_(sign_key_freep) SignKey *key = make_key();
	char public[PUBLIC_KEY_HEX_SIZE];
	sign_public_hex(key, public);
	json_auto_t *body = body_new();
	json_t *promotion = NULL;
	CHECK_OK(promotion_sign(body, key, &promotion, NULL));
	CHECK(!json_object_get(body, "signature"));
	CHECK_OK(promotion_verify(promotion, NULL, NULL));
	CHECK_OK(promotion_verify(promotion, public, NULL));

	_cleanup_free_ char *text = NULL;
	CHECK_OK(promotion_yaml(promotion, &text, NULL));
	json_auto_t *back = from_yaml(text);
	CHECK_OK(promotion_verify(back, public, NULL));
	json_decref(promotion);
}

TEST(any_change_to_a_promotion_is_found)
{
	_cleanup_(sign_key_freep) SignKey *key = make_key();
	json_auto_t *body = body_new();
	json_t *promotion = NULL;
	Err err = ERR_INIT;
	CHECK_OK(promotion_sign(body, key, &promotion, NULL));
	json_object_set_new(json_object_get(promotion, "winner"), "vllm_memory_util",
			    json_real(0.55));
	CHECK_ERR(promotion_verify(promotion, NULL, &err), EBADMSG);
	CHECK(strstr(err.msg, "changed after it was signed"));
	json_object_set_new(json_object_get(promotion, "winner"), "vllm_memory_util",
			    json_real(0.5));
	CHECK_OK(promotion_verify(promotion, NULL, NULL));
	json_object_set_new(promotion, "extra", json_null());
	CHECK_ERR(promotion_verify(promotion, NULL, NULL), EBADMSG);
	json_decref(promotion);
}

TEST(a_promotion_signed_by_somebody_else_is_refused_when_a_key_is_pinned)
{
	_cleanup_(sign_key_freep) SignKey *key = make_key();
	_cleanup_(sign_key_freep) SignKey *other = make_key();
	char public[PUBLIC_KEY_HEX_SIZE];
	sign_public_hex(key, public);
	json_auto_t *body = body_new();
	json_t *promotion = NULL;
	Err err = ERR_INIT;
	CHECK_OK(promotion_sign(body, other, &promotion, NULL));
	CHECK_OK(promotion_verify(promotion, NULL, NULL));
	CHECK_ERR(promotion_verify(promotion, public, &err), EBADMSG);
	CHECK(strstr(err.msg, "not with the pinned key"));
	json_decref(promotion);
}

TEST(what_is_no_signed_promotion_is_refused)
{
	static const char *const texts[] = {
	    "1",
	    "[]",
	    "{}",
	    "{\"schema\": 1}",
	    "{\"schema\": \"dream.head/v1\", \"signature\": {}}",
	    "{\"schema\": \"dream.promotion/v1\"}",
	    "{\"schema\": \"dream.promotion/v1\", \"signature\": 1}",
	    "{\"schema\": \"dream.promotion/v1\", \"signature\": {}}",
	    "{\"schema\": \"dream.promotion/v1\", \"signature\": {\"key\": 1, \"value\": []}}"};
	_cleanup_(sign_key_freep) SignKey *key = make_key();
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		json_auto_t *v = NULL;
		CHECK_OK(js_parse(texts[i], strlen(texts[i]), 1000, &v, NULL));
		CHECK_ERR(promotion_verify(v, NULL, NULL), EBADMSG);
	}
	json_auto_t *head = json_pack("{s:s}", "schema", "dream.head/v1");
	json_t *promotion = NULL;
	CHECK_ERR(promotion_sign(head, key, &promotion, NULL), EBADMSG);
}

TEST(the_yaml_reads_well)
{
	json_auto_t *v = NULL;
	const char *json = "{\"signature\": {\"key\": \"00\"}, \"note\": \"yes\", \"empty\": {}, "
			   "\"list\": [1, [2, \"a b\"], {\"x\": 1e-05}], "
			   "\"reason\": \"0.40: no KV cache; 2 µs\", \"experiment\": "
			   "\"spica_gpu_allocation\", \"schema\": \"dream.promotion/v1\"}";
	CHECK_OK(js_parse(json, strlen(json), 1000, &v, NULL));
	_cleanup_free_ char *text = NULL;
	CHECK_OK(promotion_yaml(v, &text, NULL));
	CHECK_STR(text, "schema: dream.promotion/v1\n"
			"experiment: spica_gpu_allocation\n"
			"note: \"yes\"\n"
			"empty: {}\n"
			"list:\n"
			"  - 1\n"
			"  -\n"
			"    - 2\n"
			"    - a b\n"
			"  -\n"
			"    x: 1.0e-05\n"
			"reason: \"0.40: no KV cache; 2 µs\"\n"
			"signature:\n"
			"  key: \"00\"\n");
}

/* Every word that some YAML reader takes for something else than a string. */
TEST(strings_stay_strings)
{
	static const char *const words[] = {"",
					    "y",
					    "Y",
					    "yes",
					    "No",
					    "NO",
					    "on",
					    "Off",
					    "true",
					    "FALSE",
					    "null",
					    "Null",
					    "~",
					    ".inf",
					    "-.INF",
					    ".nan",
					    "1",
					    "-1",
					    "0x1f",
					    "0o17",
					    "017",
					    "1_000",
					    "1e5",
					    "1.5",
					    ".5",
					    "1:30",
					    "2026-11-20",
					    "=",
					    "<<",
					    "- a",
					    "? a",
					    ": a",
					    "a: b",
					    "a #b",
					    "#a",
					    "&a",
					    "*a",
					    "!a",
					    "|",
					    ">",
					    "%a",
					    "@a",
					    "`a",
					    "[a]",
					    "{a}",
					    "a,b",
					    "'a'",
					    "\"a\"",
					    "a\\b",
					    " a",
					    "a ",
					    "a\nb",
					    "a\tb",
					    "a\rb",
					    "---",
					    "...",
					    "a:",
					    "\x01",
					    "\x7f",
					    "\xc2\x85",
					    "\xe2\x80\xa8",
					    "\xef\xbb\xbf",
					    "é",
					    "\xf0\x9f\x98\x80",
					    "\xef\xbf\xbf",
					    "--- a",
					    "a\n",
					    "\n"};
	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		json_auto_t *v = json_object();
		json_object_set_new(v, "value", json_string(words[i]));
		json_object_set_new(v, *words[i] ? words[i] : "k", json_integer(1));
		json_object_set_new(v, "list", json_pack("[s, [s]]", words[i], words[i]));
		_cleanup_(str_done) Str out = STR_INIT;
		yaml_add(v, NULL, &out);
		json_auto_t *back = from_yaml(out.s);
		if (!json_equal(v, back))
			test_fail(__FILE__, __LINE__, "word %zu is not read back from:\n%s", i,
				  out.s);
	}
}

static json_t *random_value(Rng *rng, int depth)
{
	char text[300];
	uint64_t kind = rng_below(rng, depth > 0 ? 9 : 7), n = rng_below(rng, 5);
	json_t *v;
	switch (kind) {
	case 0:
		return json_integer((json_int_t)rng_u64(rng));
	case 1:
		return json_real(rng_normal(rng) * (n == 0 ? 1e-9 : n == 1 ? 1e20 : 1));
	case 2:
		return json_boolean(n < 2);
	case 3:
		return json_null();
	case 4:
	case 5:
	case 6:
		n = rng_below(rng, kind == 6 ? sizeof(text) : 6);
		for (uint64_t i = 0; i < n; i++)
			text[i] = (char)(1 + rng_below(rng, 127));
		return json_stringn(text, n);
	case 7:
		v = json_array();
		for (uint64_t i = 0; i < n; i++)
			json_array_append_new(v, random_value(rng, depth - 1));
		return v;
	default:
		v = json_object();
		for (uint64_t i = 0; i < n; i++) {
			uint64_t len = 1 + rng_below(rng, i == 3 ? sizeof(text) - 1 : 8);
			for (uint64_t k = 0; k < len; k++)
				text[k] = (char)(' ' + rng_below(rng, 95));
			json_object_setn_new(v, text, len, random_value(rng, depth - 1));
		}
		return v;
	}
}

TEST(any_value_is_read_back_as_it_was_written)
{
	for (uint64_t seed = 0; seed < 3000; seed++) {
		Rng rng = {seed};
		json_auto_t *v = json_object();
		json_object_set_new(v, "v", random_value(&rng, 5));
		_cleanup_(str_done) Str out = STR_INIT, a = STR_INIT, b = STR_INIT;
		yaml_add(v, NULL, &out);
		CHECK(!out.failed);
		json_auto_t *back = from_yaml(out.s);
		js_canonical(v, &a);
		js_canonical(back, &b);
		if (strcmp(a.s, b.s) != 0)
			test_fail(__FILE__, __LINE__, "seed %" PRIu64 ":\n%s\n%s\n%s", seed, a.s,
				  b.s, out.s);
	}
}
