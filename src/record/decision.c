#include "record/decision.h"

#include <string.h>

#include "base/json.h"
#include "base/str.h"
#include "record/signed.h"

int signed_digest(const json_t *v, Hash *ret, Err *err)
{
	json_auto_t *body = js_copy(v);
	if (!body)
		return err_oom(err);
	json_object_del(body, "signature");
	_cleanup_(str_done) Str text = STR_INIT;
	js_canonical(body, &text);
	if (text.failed)
		return err_oom(err);
	*ret = hash_of(text.s, text.len);
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

int signed_make(const json_t *body, const SignKey *key, json_t **ret, Err *err)
{
	Hash digest;
	int r = signed_digest(body, &digest, err);
	if (r < 0)
		return r;
	json_auto_t *v = js_copy(body);
	if (!v)
		return err_oom(err);
	bool failed = false;
	js_set(v, "signature", signature_of(&digest, key), &failed);
	if (failed)
		return err_oom(err);
	*ret = TAKE_PTR(v);
	return 0;
}

int signed_verify(const json_t *v, const char *what, const char *pinned_key_hex, Err *err)
{
	const json_t *signature = json_object_get(v, "signature");
	if (!json_is_object(signature))
		return err_set(err, -EBADMSG, "%s is not signed", what);
	Hash digest;
	int r = signed_digest(v, &digest, err);
	if (r < 0)
		return r;
	char hex[HASH_HEX_SIZE];
	hash_hex(&digest, hex);
	const char *key = js_str(signature, "key", "");
	if (strcmp(js_str(signature, "digest", ""), hex) != 0)
		return err_set(err, -EBADMSG,
			       "%s was changed after it was signed: its content does not match "
			       "the signed digest",
			       what);
	if (!sign_verify(key, &digest, js_str(signature, "value", "")))
		return err_set(err, -EBADMSG, "the signature of %s is not good", what);
	if (pinned_key_hex && strcmp(key, pinned_key_hex) != 0)
		return err_set(err, -EBADMSG,
			       "%s is signed with the key %.64s, not with the pinned key %.64s",
			       what, key, pinned_key_hex);
	return 0;
}

/* Which decision it is, is part of what is signed: an approval can never stand in for a baseline.
 */
static int check_schema(const json_t *v, Err *err)
{
	if (json_is_object(v) && *js_str(v, "schema", ""))
		return 0;
	return err_set(err, -EBADMSG, "this is no decision: it has no schema");
}

int decision_sign(const json_t *body, const SignKey *key, json_t **ret, Err *err)
{
	int r = check_schema(body, err);
	return r < 0 ? r : signed_make(body, key, ret, err);
}

int decision_verify(const json_t *decision, const char *pinned_key_hex, Err *err)
{
	int r = check_schema(decision, err);
	return r < 0 ? r : signed_verify(decision, "the decision", pinned_key_hex, err);
}

int decision_digest(const json_t *decision, char ret[HASH_HEX_SIZE], Err *err)
{
	Hash digest;
	int r = json_is_object(decision) ? signed_digest(decision, &digest, err)
					 : err_set(err, -EBADMSG, "this is no decision");
	if (r == 0)
		hash_hex(&digest, ret);
	return r;
}
