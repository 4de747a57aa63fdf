/* What records come to, and which are refused where they stand. */
#include "production/changes.h"
#include "test.h"

#define A "1f0e3dad99908345"
#define B "a87ff679a2f3e71d"
#define BEGIN                                                                  \
	"{\"at_us\": 7, \"do\": \"begin\", \"from\": \"" A "\", \"rollout\": " \
	"\"r\"}"
#define FLIP   "{\"do\": \"flip\", \"to\": \"" B "\"}"
#define COMMIT "{\"do\": \"commit\", \"id\": \"" B "\"}"
#define UNDO   "{\"do\": \"undo\"}"
#define GOOD   "{\"do\": \"good\", \"good\": [\"" A "\", \"" B "\"]}"

/* Applies them in order; the last one's result. Those before must be right. */
static int apply(Changes *c, const char *const *records, Err *err)
{
	int r = 0;
	*c = (Changes){0};
	for (size_t i = 0; records[i]; i++) {
		CHECK_OK(r);
		r = changes_apply(c, records[i], strlen(records[i]), err);
	}
	return r;
}

#define RECORDS(...) ((const char *const[]){__VA_ARGS__, NULL})

TEST(records_come_to_what_was_done)
{
	Changes c;
	Err err = ERR_INIT;
	CHECK_OK(apply(&c, RECORDS(BEGIN, FLIP), &err));
	CHECK(c.change.open);
	CHECK_STR(c.change.from, A);
	CHECK_STR(c.change.to, B);
	CHECK_INT(c.change.began_at_us, 7);
	CHECK_OK(apply(&c, RECORDS(BEGIN, FLIP, COMMIT), &err));
	CHECK(!c.change.open);
	CHECK_INT(c.n_good, 1);
	CHECK_STR(c.good[0], B);
	CHECK_OK(apply(&c, RECORDS(BEGIN, FLIP, UNDO), &err));
	CHECK(!c.change.open);
	CHECK_INT(c.n_good, 0);
	CHECK_OK(apply(&c, RECORDS(GOOD, BEGIN, FLIP, COMMIT), &err));
	CHECK_INT(c.n_good, 2);
	CHECK_STR(c.good[0], B);
	CHECK_STR(c.good[1], A);
}

TEST(a_record_that_cannot_stand_where_it_stands_is_refused_and_changes_nothing)
{
	static const char *const cases[][4] = {
	    {FLIP},
	    {COMMIT},
	    {UNDO},
	    {BEGIN, BEGIN},
	    {BEGIN, GOOD},
	    {BEGIN, UNDO, UNDO},
	    {BEGIN, COMMIT, FLIP},
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		Changes c;
		Err err = ERR_INIT;
		CHECK_ERR(apply(&c, cases[i], &err), EBADMSG);
		CHECK(err.msg[0]);
		CHECK_INT(c.change.open, i == 3 || i == 4);
	}
}

TEST(what_is_no_record_is_refused)
{
	static const char *const bad[] = {
	    "",
	    "{}",
	    "[]",
	    "null",
	    "{\"do\": 1}",
	    "{\"do\": \"explode\"}",
	    "{\"do\": \"undo\"",
	    "{\"do\": \"begin\", \"from\": \"" A "\"}",
	    "{\"do\": \"begin\", \"rollout\": \"r\"}",
	    "{\"do\": \"begin\", \"from\": \"../../../../etc/\", \"rollout\": \"r\"}",
	    "{\"do\": \"begin\", \"from\": \"" A "\", \"rollout\": \"two words\"}",
	    "{\"do\": \"good\"}",
	    "{\"do\": \"good\", \"good\": {}}",
	    "{\"do\": \"good\", \"good\": [1]}",
	    "{\"do\": \"good\", \"good\": [\"x\"]}",
	    "{\"do\": \"good\", \"good\": [\"" A "\",\"" A "\",\"" A "\",\"" A "\",\"" A "\",\"" A
	    "\",\"" A "\",\"" A "\",\"" A "\"]}",
	};
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		Changes c = {0};
		Err err = ERR_INIT;
		int r = changes_apply(&c, bad[i], strlen(bad[i]), &err);
		if (r != -EBADMSG)
			printf("# %s\n", bad[i]);
		CHECK_ERR(r, EBADMSG);
		CHECK(err.msg[0]);
		CHECK(!c.change.open);
	}
	Changes open = {.change = {.open = true}};
	Err err = ERR_INIT;
	const char *flip = "{\"do\": \"flip\", \"to\": \"gen/../../x\"}";
	CHECK_ERR(changes_apply(&open, flip, strlen(flip), &err), EBADMSG);
	CHECK_STR(open.change.to, "");
	const char *commit = "{\"do\": \"commit\"}";
	CHECK_ERR(changes_apply(&open, commit, strlen(commit), &err), EBADMSG);
	CHECK(open.change.open);
}

TEST(what_is_written_is_what_is_read)
{
	Err err = ERR_INIT;
	Changes c = {0};
	Str b = STR_INIT;
	CHECK_OK(record_begin("spica_20261120", A, 1763641805123456, &b));
	CHECK_OK(changes_apply(&c, b.s, b.len, &err));
	CHECK_STR(c.change.rollout, "spica_20261120");
	CHECK_INT(c.change.began_at_us, 1763641805123456);
	CHECK_OK(record_flip(B, &b));
	CHECK_OK(changes_apply(&c, b.s, b.len, &err));
	CHECK_OK(record_commit(B, &b));
	CHECK_OK(changes_apply(&c, b.s, b.len, &err));
	changes_good(&c, A);
	CHECK_OK(record_good(&c, &b));
	Changes again = {0};
	CHECK_OK(changes_apply(&again, b.s, b.len, &err));
	CHECK_INT(again.n_good, 2);
	CHECK_STR(again.good[0], A);
	CHECK_STR(again.good[1], B);
	str_done(&b);
}
