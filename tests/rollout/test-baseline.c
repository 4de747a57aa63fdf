/* Versions of the baseline: their order, their signatures, and whether production runs them. */
#include "fixture.h"

static Baseline version(const char *util, const char *size, const char *why)
{
	Baseline b = {.generation = "fedcba9876543210",
		      .by = "anna",
		      .reason = "because",
		      .promotion = "promotion-spica-1",
		      .values = values_text(util, size)};
	snprintf(b.why, sizeof(b.why), "%s", why);
	return b;
}

TEST(an_empty_store_has_no_baseline)
{
	Box box;
	Baseline b = {.version = 7};
	box_new(&box);
	CHECK_OK(baseline_current(box.store, box.public, &b, NULL));
	CHECK_INT(b.version, 0);
	CHECK_ERR(baseline_version(box.store, NULL, 1, &b, NULL), ENOENT);
	box_done(&box);
}

TEST(a_version_comes_back_as_it_was_appended)
{
	Box box;
	Err err = ERR_INIT;
	box_new(&box);
	_cleanup_(baseline_done) Baseline b = version("0.50", "small", "adopted"), back = {0};
	CHECK_OK(baseline_append(box.store, box.key, &b, &err));
	CHECK_INT(b.version, 1);
	CHECK_INT(b.at_us, NOW_US);
	CHECK_OK(baseline_current(box.store, box.public, &back, &err));
	CHECK_INT(back.version, 1);
	CHECK_INT(back.at_us, NOW_US);
	CHECK_STR(back.generation, "fedcba9876543210");
	CHECK_STR(back.why, "adopted");
	CHECK_STR(back.by, "anna");
	CHECK_STR(back.reason, "because");
	CHECK_STR(back.promotion, "promotion-spica-1");
	CHECK_STR(back.digest, b.digest);
	CHECK_INT(strlen(back.digest), 64);
	CHECK(json_equal(back.values, b.values));
	CHECK_STR(js_str(back.params, "vllm_memory_util", ""), "0.50");
	CHECK_STR(js_str(back.params, "whisper_model_size", ""), "small");
	box_done(&box);
}

static int64_t walked[8];
static size_t n_walked;

static int keep(void *ctx, const Baseline *b)
{
	(void)ctx;
	walked[n_walked++] = b->of_version;
	return 0;
}

TEST(a_rollback_is_a_new_version)
{
	Box box;
	box_new(&box);
	_cleanup_(baseline_done) Baseline one = version("0.50", "small", "adopted");
	_cleanup_(baseline_done) Baseline two = version("0.55", "small", "rollout");
	_cleanup_(baseline_done) Baseline back = version("0.50", "small", "rollback"), is = {0};
	back.of_version = 1;
	CHECK_OK(baseline_append(box.store, box.key, &one, NULL));
	CHECK_OK(baseline_append(box.store, box.key, &two, NULL));
	CHECK_OK(baseline_append(box.store, box.key, &back, NULL));
	CHECK_OK(baseline_current(box.store, box.public, &is, NULL));
	CHECK_INT(is.version, 3);
	CHECK_INT(is.of_version, 1);
	baseline_done(&is);
	CHECK_OK(baseline_version(box.store, box.public, 2, &is, NULL));
	CHECK_STR(js_str(is.params, "vllm_memory_util", ""), "0.55");
	n_walked = 0;
	CHECK_OK(baseline_walk(box.store, box.public, keep, NULL, NULL));
	CHECK_INT(n_walked, 3);
	CHECK_INT(walked[0], 0);
	CHECK_INT(walked[2], 1);
	box_done(&box);
}

static int give(void *userdata, int64_t at_us, json_t **ret, Err *err)
{
	(void)at_us;
	(void)err;
	*ret = json_incref(userdata);
	return 0;
}

static void put(Box *box, const char *kind, json_t *body)
{
	CHECK_OK(store_add_if(box->store, kind, BASELINE_SCHEMA, give, body, NULL, NULL));
}

static int first_body(void *userdata, const Record *r, const json_t *body)
{
	json_t **ret = userdata;
	(void)r;
	*ret = js_deep_copy(body);
	return 1;
}

TEST(an_old_version_put_there_again_is_found)
{
	Box box;
	Err err = ERR_INIT;
	box_new(&box);
	json_auto_t *old = NULL;
	_cleanup_(baseline_done) Baseline one = version("0.60", "small", "adopted");
	_cleanup_(baseline_done) Baseline two = version("0.50", "small", "rollout"), is = {0};
	CHECK_OK(baseline_append(box.store, box.key, &one, NULL));
	CHECK_INT(store_records(box.store, "baseline", false, 0, first_body, &old, NULL), 1);
	CHECK_OK(baseline_append(box.store, box.key, &two, NULL));
	put(&box, "baseline", old); /* its signature is good */
	CHECK_ERR(baseline_current(box.store, box.public, &is, &err), EBADMSG);
	CHECK(strstr(err.msg, "record 3 is version 1"));
	CHECK_ERR(baseline_append(box.store, box.key, &one, NULL), EBADMSG);
	box_done(&box);
}

TEST(a_version_that_was_changed_or_signed_by_another_is_refused)
{
	Box box;
	Err err = ERR_INIT;
	box_new(&box);
	_cleanup_(sign_key_freep) SignKey *other = box_other_key(&box);
	_cleanup_(baseline_done) Baseline one = version("0.60", "small", "adopted"), is = {0};
	CHECK_OK(baseline_append(box.store, other, &one, NULL));
	CHECK_OK(baseline_current(box.store, NULL, &is, NULL));
	baseline_done(&is);
	CHECK_ERR(baseline_current(box.store, box.public, &is, &err), EBADMSG);
	CHECK(strstr(err.msg, "not with the pinned key"));

	/* The same body, another value, the old signature. */
	json_auto_t *body = NULL;
	CHECK_INT(store_records(box.store, "baseline", false, 0, first_body, &body, NULL), 1);
	json_object_set_new(body, "version", json_integer(2));
	put(&box, "baseline", body);
	CHECK_ERR(baseline_current(box.store, NULL, &is, &err), EBADMSG);
	CHECK(strstr(err.msg, "changed after it was signed"));
	box_done(&box);
}

TEST(records_that_are_no_baseline_are_refused)
{
	static const char *const bodies[] = {
	    "{}",
	    "[]",
	    "{\"schema\": \"dream.approval/v1\", \"version\": 1}",
	    "{\"schema\": \"dream.baseline/v1\", \"version\": 1}",
	    "{\"schema\": \"dream.baseline/v1\", \"version\": -1, \"at_us\": 0, \"params\": {}}",
	    "{\"schema\": \"dream.baseline/v1\", \"version\": 1, \"at_us\": 1, \"generation\": "
	    "\"\","
	    " \"params\": {\"a\": 1}, \"values\": {}, \"why\": \"\", \"promotion\": \"\", \"by\": "
	    "\"\","
	    " \"reason\": \"\", \"of_version\": 0}",
	    "{\"schema\": \"dream.baseline/v1\", \"version\": 1, \"at_us\": 1, \"params\": {},"
	    " \"generation\": \"0123456789abcdef0\", \"values\": {}, \"why\": \"\", \"promotion\": "
	    "\"\","
	    " \"by\": \"\", \"reason\": \"\", \"of_version\": 0}",
	};
	for (size_t i = 0; i < sizeof(bodies) / sizeof(*bodies); i++) {
		Box box;
		Baseline is;
		box_new(&box);
		json_auto_t *body = parse(bodies[i]);
		put(&box, "baseline", body);
		CHECK_ERR(baseline_current(box.store, NULL, &is, NULL), EBADMSG);
		CHECK_INT(is.version, 0);
		box_done(&box);
	}
}

/* --- The first one ---------------------------------------------------------------------------- */

TEST(the_first_version_is_what_the_helper_says)
{
	static const struct {
		const char *status;
		int error;
	} cases[] = {
	    {"{\"current\": \"0123456789abcdef\", \"values\": {\"a.service\": {\"p\": \"1\"}},"
	     " \"change\": null}",
	     0},
	    {"{\"current\": \"\", \"values\": null, \"change\": null}", ENODATA},
	    {"{\"current\": \"0123456789abcdef\", \"values\": {}, \"change\": null}", ENODATA},
	    {"{}", ENODATA},
	    {"{\"current\": \"0123456789abcdef\", \"values\": {\"a.service\": {\"p\": \"1\"}},"
	     " \"change\": {\"rollout\": \"r\"}}",
	     EBUSY},
	    {"{\"current\": \"0123456789abcdef\", \"values\": {\"a.service\": {\"p\": 1}}}",
	     EBADMSG},
	    {"{\"current\": \"0123456789abcdef\", \"values\": {\"a.service\": 3}}", EBADMSG},
	    {"{\"current\": \"0123456789abcdef0\", \"values\": {\"a.service\": {\"p\": \"1\"}}}",
	     EBADMSG},
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		json_auto_t *status = parse(cases[i].status);
		_cleanup_(baseline_done) Baseline b = {0};
		Err err = ERR_INIT;
		CHECK_ERR(baseline_from_helper_status(status, &b, &err), cases[i].error);
		CHECK(cases[i].error == 0 || *err.msg);
		if (cases[i].error)
			continue;
		CHECK_INT(b.version, 0);
		CHECK_STR(b.generation, "0123456789abcdef");
		CHECK_STR(js_str(b.params, "p", ""), "1");
		CHECK_STR(b.why, "adopted");
	}
}

TEST(the_first_version_is_made_once)
{
	Box box;
	box_new(&box);
	json_auto_t *none = parse("{\"current\": \"\"}");
	json_auto_t *status = parse("{\"current\": \"0123456789abcdef\", \"values\": "
				    "{\"a.service\": {\"p\": \"1\"}}, \"change\": null}");
	_cleanup_(baseline_done) Baseline b = {0}, again = {0};
	CHECK_INT(baseline_ensure(box.store, box.key, box.public, NULL, "anna", &b, NULL), 0);
	CHECK_INT(baseline_ensure(box.store, box.key, box.public, none, "anna", &b, NULL), 0);
	CHECK_INT(b.version, 0);
	CHECK_INT(baseline_ensure(box.store, box.key, box.public, status, "anna", &b, NULL), 1);
	CHECK_INT(b.version, 1);
	CHECK_INT(baseline_ensure(box.store, box.key, box.public, status, "ben", &again, NULL), 0);
	CHECK_INT(again.version, 1);
	CHECK_STR(again.by, "anna");
	box_done(&box);
}

TEST(processes_that_append_at_once_get_versions_one_after_another)
{
	enum {
		PROCESSES = 6,
		EACH = 5
	};
	Box box;
	box_new(&box);
	for (int p = 0; p < PROCESSES; p++) {
		pid_t pid = fork();
		CHECK(pid >= 0);
		if (pid > 0)
			continue;
		Store *s = NULL;
		int bad = store_open(box.path, STORE_WRITE, &box.clock, &s, NULL) < 0;
		for (int i = 0; i < EACH && !bad; i++) {
			Baseline b = version("0.50", "small", "accepted");
			bad = baseline_append(s, box.key, &b, NULL) < 0;
			baseline_done(&b);
		}
		_exit(bad);
	}
	for (int p = 0; p < PROCESSES; p++) {
		int status;
		CHECK(wait(&status) > 0);
		CHECK_INT(status, 0);
	}
	_cleanup_(baseline_done) Baseline is = {0};
	CHECK_OK(baseline_current(box.store, box.public, &is, NULL));
	CHECK_INT(is.version, PROCESSES * EACH);
	box_done(&box);
}

/* --- Drift ------------------------------------------------------------------------------------ */

TEST(numbers_are_the_same_by_value)
{
	static const struct {
		const char *a, *b;
		bool same;
	} cases[] = {
	    {"0.5", "0.50", true},
	    {"0.5", "5e-1", true},
	    {"1", "1.0", true},
	    {"0.5", "0.51", false},
	    {"small", "small", true},
	    {"small", "Small", false},
	    {"", "", true},
	    {"", "0", false},
	    {"nan", "nan", true},
	    {"nan", "NaN", false},
	    {"0x10", "16", false},
	    {"1 ", "1", false},
	    {"1e999", "2e999", false},
	    {"-0", "0", true},
	    {"+1", "1", true},
	    {"1.2.3", "1.2.3", true},
	    {"1-2", "1-2", true},
	    {"1-2", "1", false},
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++)
		if (baseline_value_same(cases[i].a, cases[i].b) != cases[i].same)
			test_fail(__FILE__, __LINE__, "%s against %s", cases[i].a, cases[i].b);
}

TEST(values_of_the_space_become_texts)
{
	static const struct {
		const char *json, *text;
	} cases[] = {{"0.4", "0.4"},	     {"5.0", "5.0"},	 {"7", "7"},	 {"true", "true"},
		     {"\"small\"", "small"}, {"false", "false"}, {"null", NULL}, {"[1]", NULL}};
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		json_auto_t *list = parse(cases[i].json[0] == '[' ? "[[1]]" : "[0]");
		if (cases[i].json[0] != '[') {
			char text[32];
			snprintf(text, sizeof(text), "[%s]", cases[i].json);
			json_decref(list);
			list = parse(text);
		}
		_cleanup_free_ char *is = baseline_value_text(json_array_get(list, 0));
		CHECK(!is == !cases[i].text);
		if (is)
			CHECK_STR(is, cases[i].text);
	}
}

TEST(drift_names_every_value_that_is_not_as_decided)
{
	static const struct {
		const char *real, *lines[4];
	} cases[] = {
	    {"{\"judge.service\": {\"vllm_memory_util\": \"0.5\"},"
	     " \"kloros.service\": {\"whisper_model_size\": \"small\"}}",
	     {NULL}},
	    {"{\"judge.service\": {\"vllm_memory_util\": \"0.6\"},"
	     " \"kloros.service\": {\"whisper_model_size\": \"tiny\"}}",
	     {"judge.service runs with vllm_memory_util=0.6; the baseline says 0.50",
	      "kloros.service runs with whisper_model_size=tiny; the baseline says small"}},
	    {"{\"judge.service\": {\"vllm_memory_util\": null}, \"kloros.service\": null}",
	     {"judge.service runs without vllm_memory_util; the baseline says 0.50",
	      "kloros.service does not run; the baseline says whisper_model_size=small"}},
	    {"{\"judge.service\": {\"vllm_memory_util\": \"0.50\", \"extra\": \"1\"}}",
	     {"judge.service has the adopted parameter extra, of which the baseline says nothing",
	      "kloros.service is not adopted any more; the baseline says "
	      "whisper_model_size=small"}},
	    {"{\"judge.service\": {\"vllm_memory_util\": \"0.50\"},"
	     " \"kloros.service\": {\"whisper_model_size\": \"small\"},"
	     " \"new.service\": {\"p\": \"\\u001b[31m\"}}",
	     {"new.service has the adopted parameter p, of which the baseline says nothing"}},
	    {"{\"judge.service\": {\"vllm_memory_util\": \"\\u001b[31m\"},"
	     " \"kloros.service\": {\"whisper_model_size\": \"small\"}}",
	     {"judge.service runs with vllm_memory_util=\\x1b[31m; the baseline says 0.50"}},
	};
	_cleanup_(baseline_done) Baseline b = version("0.50", "small", "adopted");
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		json_auto_t *real = parse(cases[i].real);
		json_auto_t *lines = baseline_drift(&b, real);
		size_t n = 0;
		for (; n < 4 && cases[i].lines[n]; n++)
			CHECK_STR(json_string_value(json_array_get(lines, n)), cases[i].lines[n]);
		CHECK_INT(json_array_size(lines), n);
	}
}
