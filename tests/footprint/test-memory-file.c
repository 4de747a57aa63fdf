/* `memory:` as it is written. */
#include "conf/conf.h"
#include "footprint/footprint.h"
#include "test.h"

static void read_memory(const char *text, Footprint *ret, Diags *d)
{
	_cleanup_(conf_freep) ConfDoc *doc = NULL;

	*ret = (Footprint){0};
	CHECK_OK(conf_read_text("m.yaml", text, strlen(text), &doc, d, NULL));
	CHECK_OK(conf_fill(&footprint_table, conf_root(doc), ret, d));
}

static void check_refused(const char *text, const char *why)
{
	_cleanup_(diags_done) Diags d = DIAGS_INIT;
	_cleanup_(str_done) Str out = STR_INIT;
	Footprint fp;

	read_memory(text, &fp, &d);
	diags_text(&d, &out);
	CHECK_INT((intmax_t)d.errors, 1);
	if (!strstr(out.s, why))
		test_fail(__FILE__, __LINE__, "'%s' does not say '%s'", out.s, why);
	conf_done(&footprint_table, &fp);
}

TEST(facts_are_read_with_units_and_defaults)
{
	_cleanup_(diags_done) Diags d = DIAGS_INIT;
	Footprint fp;

	read_memory("total_bytes: 12622168064\n"
		    "context_bytes: 116 MiB\n"
		    "others_bytes: 1.2 GB\n"
		    "vllm:\n"
		    "  - {model: q, max_model_len: 2048, enforce_eager: true,\n"
		    "     non_kv_bytes: 5.505 GiB, token_bytes: 57344}\n"
		    "whisper:\n"
		    "  - {size: tiny, steady_bytes: 400 MB}\n",
		    &fp, &d);
	CHECK_INT((intmax_t)d.errors, 0);
	CHECK_INT(fp.total_bytes, 12622168064);
	CHECK_INT(fp.context_bytes, 116 << 20);
	CHECK_INT(fp.others_bytes, 1200000000);
	CHECK_INT((intmax_t)fp.vllm.n, 1);
	const VllmFact *v = fp.vllm.items;
	CHECK_NEAR((double)v->non_kv_bytes, 5.505 * 1073741824.0, 1);
	CHECK_INT(v->block_size, 16);
	CHECK_STR(v->source, "declared");
	CHECK(v->key.enforce_eager && !v->key.version);
	const WhisperFact *w = fp.whisper.items;
	CHECK_INT(w->load_bytes, 400000000);
	conf_done(&footprint_table, &fp);
}

TEST(numbers_that_cannot_be_are_refused)
{
	check_refused("total_bytes: 0\n", "'total_bytes' is 0");
	check_refused("total_bytes: 9000000000000000\n", "'total_bytes' is 9000000000000000");
	check_refused("{total_bytes: 1 GB, whisper: [{size: a, steady_bytes: 2, load_bytes: 1}]}\n",
		      "smaller than what stays");
	check_refused("{total_bytes: 1 GB, vllm: [{non_kv_bytes: 1 GB, token_bytes: 0}]}\n",
		      "'token_bytes' is 0");
}
