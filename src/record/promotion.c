#include "record/promotion.h"

#include <string.h>

#include "base/json.h"
#include "base/str.h"
#include "record/signed.h"
#include "record/yaml.h"

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

int promotion_add_id(json_t *body)
{
	_cleanup_(str_done) Str text = STR_INIT;
	char hex[HASH_HEX_SIZE];
	js_canonical(body, &text);
	Hash h = hash_of(text.s ? text.s : "", text.len);
	hash_hex(&h, hex);
	_cleanup_free_ char *id =
	    str_fmt("promotion-%.40s-%.8s", js_str(body, "experiment", ""), hex);
	bool failed = text.failed;
	js_set(body, "id", id ? js_text(id) : NULL, &failed);
	return failed ? -ENOMEM : 0;
}

int promotion_sign(const json_t *body, const SignKey *key, json_t **ret, Err *err)
{
	int r = check_schema(body, err);
	if (r < 0)
		return err_wrap(err, r, "cannot sign a promotion");
	return signed_make(body, key, ret, err);
}

int promotion_verify(const json_t *promotion, const char *pinned_key_hex, Err *err)
{
	int r = check_schema(promotion, err);
	return r < 0 ? r : signed_verify(promotion, "the promotion", pinned_key_hex, err);
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
