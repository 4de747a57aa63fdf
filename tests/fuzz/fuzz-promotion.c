/* A promotion from outside: what is taken keeps the grammar, is printed as YAML and read back to
 * the same signed value; what is not has a sentence. */
#include <string.h>

#include "base/json.h"
#include "fuzz.h"
#include "record/decision.h"
#include "record/promotion.h"
#include "rollout/grammar.h"
#include "rollout/validate.h"

static void check(const json_t *v)
{
	char before[HASH_HEX_SIZE], after[HASH_HEX_SIZE];
	_cleanup_free_ char *yaml = NULL;
	json_auto_t *back = NULL;
	MUST(promotion_grammar(v, NULL, NULL) == 0);
	MUST(strpbrk(js_str(v, "id", "/"), "/ \n") == NULL);
	MUST(promotion_yaml(v, &yaml, NULL) == 0);
	if (strlen(yaml) > PROMOTION_BYTES_MAX)
		return;
	MUST(promotion_read_text("back", yaml, strlen(yaml), &back, NULL) == 0);
	MUST(decision_digest(v, before, NULL) == 0 && decision_digest(back, after, NULL) == 0);
	MUST(strcmp(before, after) == 0);
	/* Nothing that a fuzzer writes is signed by anybody who is trusted here. */
	ValidateInput in = {.promotion = v, .now_us = 1, .max_age_us = 1, .others_bytes = -1};
	Validation checked;
	MUST(promotion_validate(&in, &checked, NULL) == 0);
	MUST(!checked.ok);
	validation_done(&checked);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	json_auto_t *v = NULL;
	Err err = ERR_INIT;
	int r = promotion_read_text("fuzz", (const char *)data, size, &v, &err);
	MUST(r == 0 || (r < 0 && *err.msg));
	if (r == 0)
		check(v);
	return 0;
}
