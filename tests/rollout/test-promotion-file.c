/* Promotions from outside: whatever a file holds, either a promotion comes out of it or a sentence
 * that says where it is none. */
#include <fcntl.h>
#include <sys/stat.h>

#include "base/file.h"
#include "base/rng.h"
#include "fixture.h"
#include "rollout/grammar.h"
#include "rollout/validate.h"

static void refuse(const char *what, const char *text, size_t len, const char *words)
{
	json_t *v = NULL;
	Err err = ERR_INIT;
	int r = promotion_read_text("given", text, len, &v, &err);
	if (r != -EBADMSG && r != -EFBIG)
		test_fail(__FILE__, __LINE__, "%s: %d, %s", what, r, err.msg);
	CHECK(!v);
	if (!strstr(err.msg, words))
		test_fail(__FILE__, __LINE__, "%s: \"%s\" lacks \"%s\"", what, err.msg, words);
}

static char *json_text(const json_t *v)
{
	Str text = STR_INIT;
	char *ret = NULL;
	js_canonical(v, &text);
	CHECK_OK(str_take(&text, &ret));
	return ret;
}

/* --- What is one ------------------------------------------------------------------------------ */

static void check_round_trip(Box *box, json_t *body)
{
	json_auto_t *p = NULL, *as_yaml = NULL, *as_json = NULL;
	Err err = ERR_INIT;
	CHECK_OK(promotion_sign(body, box->key, &p, NULL));
	_cleanup_free_ char *yaml = NULL;
	CHECK_OK(promotion_yaml(p, &yaml, NULL));
	_cleanup_free_ char *json = json_text(p);
	if (promotion_read_text("p.yaml", yaml, strlen(yaml), &as_yaml, &err) < 0 ||
	    promotion_read_text("p.json", json, strlen(json), &as_json, &err) < 0)
		test_fail(__FILE__, __LINE__, "%s in\n%s", err.msg, yaml);
	CHECK_OK(promotion_verify(as_yaml, box->public, &err));
	CHECK_OK(promotion_verify(as_json, box->public, &err));
	_cleanup_free_ char *back = json_text(as_yaml);
	CHECK_STR(back, json);
}

TEST(an_export_of_ours_reads_back_to_the_signed_value)
{
	Box box;
	box_new(&box);
	json_auto_t *body = promotion_body();
	check_round_trip(&box, body);
	box_done(&box);
}

/* The digest is over the text of numbers, so each must survive YAML to the last bit. */
TEST(any_number_survives_the_trip_through_yaml)
{
	Box box;
	Rng rng = rng_derive(20251124, "numbers", 0);
	static const double hard[] = {0.1,
				      1e-5,
				      1e16,
				      1e-300,
				      1.7976931348623157e308,
				      5e-324,
				      -0.0,
				      123456789012345680.0,
				      0.30000000000000004,
				      5.0,
				      1e22,
				      -1e-7};
	box_new(&box);
	for (size_t i = 0; i < 400; i++) {
		json_auto_t *body = promotion_body();
		uint64_t bits = rng_u64(&rng);
		double v;
		memcpy(&v, &bits, sizeof(v));
		if (i < sizeof(hard) / sizeof(*hard))
			v = hard[i];
		if (!isfinite(v))
			continue;
		json_t *gain = json_object_get(body, "fitness_gain");
		CHECK_INT(json_object_set_new(gain, "mean", json_real(v)), 0);
		check_round_trip(&box, body);
	}
	box_done(&box);
}

/* Words that some reader of YAML takes for something else, as values of a parameter. */
TEST(any_word_survives_the_trip_through_yaml)
{
	static const char *const words[] = {"no",	  "0.5",   "null",
					    "~",	  "1e3",   "0x10",
					    "2025-01-01", "a: b",  "- x",
					    "#c",	  "",	   " x ",
					    "'",	  "\"",	   "*a",
					    "&a",	  "!!int", "<<",
					    "@x",	  "\\n",   "é",
					    "true",	  "{",	   "[a]",
					    "|",	  "%x",	   "\xf0\x9f\x98\x80",
					    "12:30",	  "0o7",   ".nan",
					    "1_000",	  "y"};
	Box box;
	box_new(&box);
	for (size_t i = 0; i < sizeof(words) / sizeof(*words); i++) {
		json_auto_t *body = promotion_body();
		json_t *params = json_object_get(json_object_get(body, "winner"), "params");
		CHECK_INT(json_object_set_new(params, "whisper_model_size", json_string(words[i])),
			  0);
		check_round_trip(&box, body);
	}
	box_done(&box);
}

/* --- What is none ----------------------------------------------------------------------------- */

TEST(what_is_no_promotion_is_refused_with_its_place)
{
	static const struct {
		const char *text, *words;
	} cases[] = {
	    {"", "the whole must have members"},
	    {"null", "the whole"},
	    {"[]", "the whole"},
	    {"{}", "has no schema"},
	    {"{", "line 1"},
	    {"schema: dream.promotion/v1\n", "given, line 1, column 1: the whole has no id"},
	    {"schema: dream.promotion/v2\n", "line 1, column 9: schema must be dream.promotion/v1"},
	    {"schema: dream.promotion/v1\nid: a/b\n", "line 2, column 5: id must be a name"},
	    {"schema: dream.promotion/v1\nid: ../../etc/passwd\n", "id must be a name"},
	    {"schema: dream.promotion/v1\nid: .hidden\n", "id must be a name"},
	    {"schema: dream.promotion/v1\nid: [a]\n", "id must be a name"},
	    {"schema: dream.promotion/v1\nexec: rm\n", "line 2, column 7: exec is not known here"},
	    {"schema: dream.promotion/v1\nschema: dream.promotion/v1\n", "line 2"},
	    {"{\"schema\": \"dream.promotion/v1\", \"schema\": 1}", "duplicate"},
	    {"{\"schema\": \"dream.promotion/v1\"} x", "given"},
	    {"{\"schema\": NaN}", "given"},
	    {"{\"schema\": 1e999}", "given"},
	    {"a: &a [*a]\n", "given"},
	    {"\xff\xfe", "given"},
	    {"a: \x01", "given"},
	    {"<<: {a: 1}\n", "given"},
	    {"--- a\n--- b\n", "given"},
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++)
		refuse(cases[i].text, cases[i].text, strlen(cases[i].text), cases[i].words);
}

/* One member of a good promotion is replaced by something else. */
TEST(every_member_has_its_type_and_its_limits)
{
	static const struct {
		const char *in, *member, *json, *words;
	} cases[] = {
	    {"", "id", "\"a/b\"", "id must be a name"},
	    {"", "id", "\"0123456789012345678901234567890123456789012345678901234567890123\"",
	     "63"},
	    {"", "id", "\"a\\u001bb\"", "id must be a name"},
	    {"", "experiment", "\"..\"", "experiment must be a name"},
	    {"", "created_at", "7", "created_at must be a text"},
	    {"", "created_at", "\"12345678901234567890123456789012345678901\"", "41 bytes"},
	    {"", "context", "\"a\\nb\"", "control character"},
	    {"", "epoch", "-1", "epoch must be a whole number"},
	    {"", "epoch", "1.5", "epoch must be a whole number"},
	    {"", "seed_mark", "1", "seed_mark must be true or false"},
	    {"", "changes", "{}", "changes must be a list"},
	    {"", "changes", "[3]", "changes[0] must have members"},
	    {"", "stages_passed", "[\"a b\"]", "stages_passed[0] must be a name"},
	    {"", "stages_passed", "null", "must be a list"},
	    {"", "workloads", "[1]", "workloads[0] must be a text"},
	    {"", "winner", "[]", "winner must have members"},
	    {"", "surprise", "1", "surprise is not known here"},
	    {"", "sur\x7fprise", "1", "is not known here"},
	    {"winner", "params", "{\"a b\": 1}",
	     "winner.params.a b is not the name of a parameter"},
	    {"winner", "params", "{\"../x\": 1}", "is not the name of a parameter"},
	    {"winner", "params", "{\"x\": [1]}", "winner.params.x must be a number, a text"},
	    {"winner", "params", "{\"x\": {}}", "winner.params.x must be a number, a text"},
	    {"winner", "params", "{\"x\": \"a\\u0000b\"}", "given"},
	    {"winner", "config_hash", "\"0123456789ABCDEF\"", "16 digits"},
	    {"winner", "config_hash", "\"0123\"", "16 digits"},
	    {"winner", "fitness", "{\"mean\": \"0.5\", \"lo\": 0, \"hi\": 0, \"n\": 0}",
	     "winner.fitness.mean must be a number"},
	    {"winner", "fitness", "{\"mean\": 1}", "winner.fitness has no lo"},
	    {"winner", "metrics", "{\"a b\": {}}", "is not the name of a metric"},
	    {"lineage", "hash", "\"x\"", "64 digits"},
	    {"lineage", "seq", "\"1\"", "lineage.seq must be a whole number"},
	    {"lineage", "confirming_trials", "[1, \"2\"]", "lineage.confirming_trials[1]"},
	    {"signature", "value", "\"00\"", "128 digits"},
	    {"signature", "more", "\"00\"", "signature.more is not known"},
	};
	Box box;
	box_new(&box);
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		json_auto_t *p = signed_promotion(box.key);
		json_t *at = *cases[i].in ? json_object_get(p, cases[i].in) : p;
		_cleanup_(str_done) Str out = STR_INIT;
		json_object_set_new(at, cases[i].member, json_string("@HERE@"));
		_cleanup_free_ char *text = json_text(p);
		char *here = strstr(text, "\"@HERE@\"");
		CHECK(here);
		str_addn(&out, text, (size_t)(here - text));
		str_add(&out, cases[i].json);
		str_add(&out, here + 8);
		refuse(cases[i].json, out.s, out.len, cases[i].words);
	}
	box_done(&box);
}

TEST(every_member_that_must_be_there_is_missed)
{
	static const char *const needed[] = {"schema",	"id",	    "experiment",    "created_at",
					     "winner",	"baseline", "stages_passed", "changes",
					     "lineage", "signature"};
	Box box;
	box_new(&box);
	for (size_t i = 0; i < sizeof(needed) / sizeof(*needed); i++) {
		char words[40];
		json_auto_t *p = signed_promotion(box.key);
		CHECK_INT(json_object_del(p, needed[i]), 0);
		_cleanup_free_ char *text = json_text(p);
		snprintf(words, sizeof(words), "has no %s", needed[i]);
		refuse(needed[i], text, strlen(text), words);
	}
	box_done(&box);
}

TEST(too_much_of_anything_is_refused)
{
	enum {
		DEEP = 200000
	};
	_cleanup_free_ char *deep = malloc(DEEP + 1);
	CHECK(deep);
	memset(deep, '[', DEEP);
	refuse("deep YAML", deep, DEEP, "given");
	memcpy(deep, "{\"id\": ", 7);
	refuse("deep JSON", deep, DEEP, "given");

	Box box;
	box_new(&box);
	json_auto_t *p = signed_promotion(box.key);
	json_t *many = json_array();
	for (int i = 0; i < 33; i++)
		json_array_append(many, json_array_get(json_object_get(p, "changes"), 0));
	json_object_set_new(p, "changes", many);
	_cleanup_free_ char *text = json_text(p);
	refuse("many changes", text, strlen(text), "33 entries; at most 32");

	_cleanup_free_ char *huge = malloc(PROMOTION_BYTES_MAX + 2);
	CHECK(huge);
	memset(huge, ' ', PROMOTION_BYTES_MAX + 1);
	refuse("huge", huge, PROMOTION_BYTES_MAX + 1, "at most 1048576");
	box_done(&box);
}

/* --- Files ------------------------------------------------------------------------------------ */

typedef struct Files {
	Box box;
	char good[96], path[96];
} Files;

static void files_new(Files *f)
{
	box_new(&f->box);
	json_auto_t *p = signed_promotion(f->box.key);
	_cleanup_free_ char *yaml = NULL;
	CHECK_OK(promotion_yaml(p, &yaml, NULL));
	snprintf(f->good, sizeof(f->good), "%s/good.yaml", f->box.dir);
	snprintf(f->path, sizeof(f->path), "%s/other", f->box.dir);
	CHECK_OK(file_write(f->good, 0600, yaml, strlen(yaml), NULL));
}

TEST(a_file_is_read)
{
	Files f;
	Err err = ERR_INIT;
	files_new(&f);
	json_auto_t *v = NULL;
	CHECK_OK(promotion_read_file(f.good, &v, &err));
	CHECK_OK(promotion_verify(v, f.box.public, &err));
	box_done(&f.box);
}

TEST(what_is_no_plain_file_is_not_opened)
{
	Files f;
	Err err = ERR_INIT;
	json_t *v = NULL;
	files_new(&f);
	CHECK_INT(symlink(f.good, f.path), 0);
	CHECK_ERR(promotion_read_file(f.path, &v, &err), ELOOP);
	CHECK(strstr(err.msg, "links are not followed"));
	CHECK_INT(unlink(f.path), 0);
	CHECK_INT(mkfifo(f.path, 0600), 0); /* must not wait for a writer */
	CHECK_ERR(promotion_read_file(f.path, &v, &err), EBADMSG);
	CHECK_ERR(promotion_read_file(f.box.dir, &v, &err), EBADMSG);
	CHECK_ERR(promotion_read_file("/dev/zero", &v, &err), EBADMSG);
	CHECK_ERR(promotion_read_file("/nonexistent/file", &v, &err), ENOENT);
	CHECK(!v);
	box_done(&f.box);
}

TEST(a_file_that_is_too_long_is_not_read)
{
	Files f;
	Err err = ERR_INIT;
	json_t *v = NULL;
	files_new(&f);
	int fd = open(f.path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	CHECK(fd >= 0);
	CHECK_INT(ftruncate(fd, (off_t)1 << 40), 0); /* sparse */
	close(fd);
	CHECK_ERR(promotion_read_file(f.path, &v, &err), EFBIG);
	box_done(&f.box);
}
