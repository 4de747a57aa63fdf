#include "record/promotion.h"

#include <string.h>

#include "base/json.h"
#include "base/str.h"
#include "record/yaml.h"

static int digest_of(const json_t *body, Hash *ret, Err *err)
{
	_cleanup_(str_done) Str text = STR_INIT;
	js_canonical(body, &text);
	if (text.failed)
		return err_oom(err);
	*ret = hash_of(text.s, text.len);
	return 0;
}

/* The schema is part of what is signed, so a signature under anything else never fits. */
static int check_schema(const json_t *body, Err *err)
{
	const char *schema = js_str(body, "schema", NULL);
	if (!json_is_object(body) || !schema)
		return err_set(err, -EBADMSG, "this is no promotion: it has no schema");
	if (strcmp(schema, PROMOTION_SCHEMA) != 0)
		return err_set(err, -EBADMSG, "this is no promotion: its schema is %.64s, not %s",
			       schema, PROMOTION_SCHEMA);
	return 0;
}

static json_t *signature_of(const Hash *digest, const SignKey *key)
{
	char public[PUBLIC_KEY_HEX_SIZE], value[SIGNATURE_HEX_SIZE], hex[HASH_HEX_SIZE];
	sign_public_hex(key, public);
	sign_digest(key, digest, value);
	hash_hex(digest, hex);

	json_t *o = json_object();
	bool failed = !o;
	js_set(o, "key", json_string(public), &failed);
	js_set(o, "digest", json_string(hex), &failed);
	js_set(o, "value", json_string(value), &failed);
	if (failed) {
		json_decref(o);
		return NULL;
	}
	return o;
}

int promotion_sign(const json_t *body, const SignKey *key, json_t **ret, Err *err)
{
	int r = check_schema(body, err);
	if (r < 0)
		return err_wrap(err, r, "cannot sign a promotion");
	json_auto_t *signed_body = js_copy(body);
	if (!signed_body)
		return err_oom(err);
	json_object_del(signed_body, "signature");

	Hash digest;
	r = digest_of(signed_body, &digest, err);
	if (r < 0)
		return r;
	bool failed = false;
	js_set(signed_body, "signature", signature_of(&digest, key), &failed);
	if (failed)
		return err_oom(err);
	*ret = TAKE_PTR(signed_body);
	return 0;
}

int promotion_verify(const json_t *promotion, const char *pinned_key_hex, Err *err)
{
	int r = check_schema(promotion, err);
	if (r < 0)
		return r;
	const json_t *signature = json_object_get(promotion, "signature");
	if (!json_is_object(signature))
		return err_set(err, -EBADMSG, "the promotion is not signed");

	json_auto_t *body = js_copy(promotion);
	if (!body)
		return err_oom(err);
	json_object_del(body, "signature");
	Hash digest;
	r = digest_of(body, &digest, err);
	if (r < 0)
		return r;
	char hex[HASH_HEX_SIZE];
	hash_hex(&digest, hex);
	const char *key = js_str(signature, "key", "");
	if (strcmp(js_str(signature, "digest", ""), hex) != 0)
		return err_set(err, -EBADMSG,
			       "the promotion was changed after it was signed: its content does "
			       "not match the signed digest");
	if (!sign_verify(key, &digest, js_str(signature, "value", "")))
		return err_set(err, -EBADMSG, "the promotion's signature is not good");
	if (pinned_key_hex && strcmp(key, pinned_key_hex) != 0)
		return err_set(err, -EBADMSG,
			       "the promotion is signed with the key %.64s, not with the pinned "
			       "key %.64s",
			       key, pinned_key_hex);
	return 0;
}

int promotion_yaml(const json_t *promotion, char **ret, Err *err)
{
	/* What a reader looks for first, and the signature after everything it covers. */
	static const char *const first[] = {"schema",	  "id",	     "experiment", "state",
					    "created_at", "summary", "changes",	   "winner",
					    "baseline",	  NULL};
	json_auto_t *rest = js_copy(promotion);
	if (!rest)
		return err_oom(err);
	json_t *signature = json_object_get(rest, "signature");
	if (signature) {
		bool failed = false;
		json_incref(signature);
		json_object_del(rest, "signature");
		js_set(rest, "signature", signature, &failed);
		if (failed)
			return err_oom(err);
	}
	_cleanup_(str_done) Str out = STR_INIT;
	yaml_add(rest, first, &out);
	return str_take(&out, ret) < 0 ? err_oom(err) : 0;
}
