/* Signed decisions: nothing in one can be changed, and one kind never stands in for another. */
#include "test.h"

#include "base/json.h"
#include "key.h"
#include "record/decision.h"
#include "record/promotion.h"

static json_t *approval(void)
{
	return json_pack("{s:s, s:s, s:I, s:{s:s}}", "schema", APPROVAL_SCHEMA, "promotion", "p-1",
			 "baseline_version", (json_int_t)3, "by", "name", "anna");
}

TEST(a_signed_decision_is_accepted_and_its_digest_is_that_of_the_body)
{
	_cleanup_(sign_key_freep) SignKey *key = make_key();
	char public[PUBLIC_KEY_HEX_SIZE], of_body[HASH_HEX_SIZE], of_signed[HASH_HEX_SIZE];
	json_auto_t *body = approval(), *decision = NULL;
	sign_public_hex(key, public);
	CHECK_OK(decision_sign(body, key, &decision, NULL));
	CHECK(!json_object_get(body, "signature"));
	CHECK_OK(decision_verify(decision, NULL, NULL));
	CHECK_OK(decision_verify(decision, public, NULL));
	CHECK_OK(decision_digest(body, of_body, NULL));
	CHECK_OK(decision_digest(decision, of_signed, NULL));
	CHECK_STR(of_signed, of_body);
	CHECK_STR(js_str(json_object_get(decision, "signature"), "digest", ""), of_body);
}

TEST(a_decision_is_signed_anew_when_it_was_signed_before)
{
	_cleanup_(sign_key_freep) SignKey *key = make_key(), *other = make_key();
	char public[PUBLIC_KEY_HEX_SIZE];
	json_auto_t *body = approval(), *first = NULL, *second = NULL;
	sign_public_hex(other, public);
	CHECK_OK(decision_sign(body, key, &first, NULL));
	CHECK_OK(decision_sign(first, other, &second, NULL));
	CHECK_ERR(decision_verify(first, public, NULL), EBADMSG);
	CHECK_OK(decision_verify(second, public, NULL));
}

/* Every member, at every depth: changed, taken away, added. */
TEST(any_change_to_a_decision_is_found)
{
	_cleanup_(sign_key_freep) SignKey *key = make_key();
	json_auto_t *body = approval(), *decision = NULL;
	Err err = ERR_INIT;
	CHECK_OK(decision_sign(body, key, &decision, NULL));
	const char *name;
	json_t *v;
	json_object_foreach (body, name, v) {
		json_auto_t *changed = js_deep_copy(decision), *less = js_deep_copy(decision);
		json_object_set_new(changed, name, json_string("another"));
		CHECK_ERR(decision_verify(changed, NULL, &err), EBADMSG);
		CHECK_INT(json_object_del(less, name), 0);
		CHECK_ERR(decision_verify(less, NULL, NULL), EBADMSG);
	}
	json_auto_t *more = js_deep_copy(decision), *deep = js_deep_copy(decision);
	json_object_set_new(more, "extra", json_null());
	CHECK_ERR(decision_verify(more, NULL, NULL), EBADMSG);
	json_object_set_new(json_object_get(deep, "by"), "name", json_string("ben"));
	CHECK_ERR(decision_verify(deep, NULL, &err), EBADMSG);
	CHECK(strstr(err.msg, "changed after it was signed"));
	CHECK_OK(decision_verify(decision, NULL, NULL));
}

TEST(one_kind_of_decision_never_stands_in_for_another)
{
	static const char *const schemas[] = {BASELINE_SCHEMA, ROLLOUT_SCHEMA, FEEDBACK_SCHEMA,
					      PROMOTION_SCHEMA};
	_cleanup_(sign_key_freep) SignKey *key = make_key();
	json_auto_t *body = approval(), *decision = NULL;
	CHECK_OK(decision_sign(body, key, &decision, NULL));
	for (size_t i = 0; i < sizeof(schemas) / sizeof(*schemas); i++) {
		json_object_set_new(decision, "schema", json_string(schemas[i]));
		CHECK_ERR(decision_verify(decision, NULL, NULL), EBADMSG);
		CHECK_ERR(promotion_verify(decision, NULL, NULL), EBADMSG);
	}
}

TEST(what_is_no_decision_is_refused)
{
	static const char *const texts[] = {
	    "[]",
	    "{}",
	    "{\"schema\": 1}",
	    "{\"schema\": \"\"}",
	    "{\"schema\": \"dream.approval/v1\"}",
	    "{\"schema\": \"dream.approval/v1\", \"signature\": []}",
	    "{\"schema\": \"dream.approval/v1\", \"signature\": {\"key\": 1, \"digest\": {}}}"};
	_cleanup_(sign_key_freep) SignKey *key = make_key();
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		json_auto_t *v = NULL, *out = NULL;
		CHECK_OK(js_parse(texts[i], strlen(texts[i]), 1000, &v, NULL));
		CHECK_ERR(decision_verify(v, NULL, NULL), EBADMSG);
		if (i < 4)
			CHECK_ERR(decision_sign(v, key, &out, NULL), EBADMSG);
	}
}

TEST(an_id_is_short_plain_and_of_the_content)
{
	json_auto_t *a = json_pack("{s:s, s:i}", "experiment", "spica_gpu_allocation", "x", 1);
	json_auto_t *b = json_pack("{s:s, s:i}", "experiment", "spica_gpu_allocation", "x", 2);
	char name[80];
	memset(name, 'e', 64);
	name[64] = '\0';
	json_auto_t *c = json_pack("{s:s}", "experiment", name);
	CHECK_OK(promotion_add_id(a));
	CHECK_OK(promotion_add_id(b));
	CHECK_OK(promotion_add_id(c));
	CHECK(strncmp(js_str(a, "id", ""), "promotion-spica_gpu_allocation-", 31) == 0);
	CHECK(strcmp(js_str(a, "id", ""), js_str(b, "id", "")) != 0);
	CHECK(strlen(js_str(c, "id", "")) <= PROMOTION_ID_MAX);
}
