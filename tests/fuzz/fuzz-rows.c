/* What a store or an exported chain holds, written by others: the first byte says which. What is
 * accepted as a line of a chain is exactly what would be written again; a trial that is accepted
 * has all its parts. */
#include <string.h>

#include "base/json.h"
#include "fuzz.h"
#include "record/export.h"
#include "store/store.h"

static void check_line(const char *text, size_t len)
{
	_cleanup_(record_done) Record r = {0};
	_cleanup_(str_done) Str again = STR_INIT;
	Err err = ERR_INIT;
	Hash zero = {0}, hash;
	if (record_from_line(text, len, &r, &err) < 0) {
		MUST(err.msg[0] != '\0' && !r.body);
		return;
	}
	MUST(record_export_line(&r, &again, &err) == 0);
	MUST(again.len == len + 1 && memcmp(again.s, text, len) == 0);
	MUST(record_hash(&r, &zero, &hash) == 0);

	ChainSpec any = {0};
	_cleanup_(chain_freep) Chain *chain = NULL;
	_cleanup_free_ char *said = NULL;
	MUST(chain_new(&any, &chain, &err) == 0);
	/* As the first record with its right hash, so that a signed head is looked into. */
	r.seq = 1;
	MUST(record_hash(&r, &zero, &r.hash) == 0);
	for (int i = 0; i < 3; i++)
		MUST(chain_feed(chain, &r, &err) >= 0);
	MUST(chain_finish(chain, &said, &err) == -EBADMSG && said);
}

static void check_trial(const char *text, size_t len)
{
	StoreTrial t;
	Err err = ERR_INIT;
	if (store_trial_from_body(text, len, &t, &err) < 0) {
		MUST(err.msg[0] != '\0');
		return;
	}
	MUST(t.experiment && t.purpose && t.spica_id && json_is_object(t.params));
	MUST(t.parents[0] >= 0 && t.parents[1] >= 0 && t.ask >= -1);
	MUST(strlen(t.config_hash) < sizeof(t.config_hash));
	MUST(t.stage < STAGE_MAX_ && t.m.outcome < OUTCOME_MAX_);
	store_trial_done(&t);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size == 0)
		return 0;
	if (data[0] == 'L')
		check_line((const char *)data + 1, size - 1);
	else
		check_trial((const char *)data + 1, size - 1);
	return 0;
}
