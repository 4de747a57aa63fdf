#include <errno.h>
#include <string.h>

#include "loadgen/quality.h"
#include "test.h"

static int parse(const char *text, QualitySet *s, Err *err)
{
	return quality_parse(text, strlen(text), s, err);
}

TEST(a_set_is_read_with_its_defaults)
{
	QualitySet s = {0};
	CHECK_OK(
	    parse("{\"prompt\": \"2 + 2?\", \"answer\": \"4\"}\n\n"
		  "{\"prompt\": \"B or C?\", \"answer\": [\"b\", \"C\"], \"rule\": \"choice\"}\r\n"
		  "{\"prompt\": \"x\", \"answer\": \"y\", \"rule\": \"exact\"}",
		  &s, NULL));
	CHECK_INT((long)s.n, 3);
	CHECK_INT(s.items[0].rule, QUALITY_CONTAINS);
	CHECK_INT((long)s.items[1].n_answers, 2);
	CHECK_INT(s.items[2].rule, QUALITY_EXACT);
	quality_done(&s);
}

TEST(mistakes_are_named_by_their_line)
{
	static const struct {
		const char *text, *says;
	} rows[] = {
	    {"", "no prompt in it"},
	    {"\n{\"answer\": \"4\"}", "line 2: there is no 'prompt'"},
	    {"{\"prompt\": \"x\"}", "line 1: 'answer'"},
	    {"{\"prompt\": \"x\", \"answer\": []}", "line 1: 'answer'"},
	    {"{\"prompt\": \"x\", \"answer\": 4}", "line 1: 'answer'"},
	    {"{\"prompt\": \"x\", \"answer\": \"4\", \"rule\": \"regex\"}", "line 1: 'rule'"},
	    {"{\"prompt\": \"x\", \"answer\": \"four\", \"rule\": \"choice\"}", "one letter"},
	    {"{\"prompt\": \"x\", \"answer\": \"4\"}\n{", "line 2"},
	    {"[1]", "line 1"},
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		QualitySet s = {0};
		Err err = ERR_INIT;
		CHECK_ERR(parse(rows[i].text, &s, &err), EBADMSG);
		if (!strstr(err.msg, rows[i].says))
			test_fail(__FILE__, __LINE__, "row %zu: %s", i, err.msg);
	}
}

TEST(answers_are_marked_as_a_person_would)
{
	static const struct {
		const char *rule, *expected, *answer;
		bool right;
	} rows[] = {
	    {"exact", "Paris", "paris.", true},
	    {"exact", "Paris", "It is Paris.", false},
	    {"contains", "Paris", "It is **Paris**, of course.", true},
	    {"contains", "12", "There are twelve.", true},
	    {"contains", "12", "There are 120.", false},
	    {"contains", "New York", "new york city", true},
	    {"contains", "$5", "It costs five dollars.", true},
	    {"contains", "...", "anything", false},
	    {"exact", "...", "", false},
	    {"choice", "B", "B", true},
	    {"choice", "b", "(B) because ...", true},
	    {"choice", "B", "b", true},
	    {"choice", "B", "The answer is B.", true},
	    {"choice", "B", "A careful look shows: the answer is (B), not C.", true},
	    {"choice", "B", "C is wrong. Answer: B", true},
	    {"choice", "B", "Answer: C", false},
	    {"choice", "A", "A", true},
	    {"choice", "B", "I think it is B", true},
	    {"choice", "B", "", false},
	    {"choice", "B", "Because", false},
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		char text[256];
		QualitySet s = {0};
		bool right;
		snprintf(text, sizeof(text),
			 "{\"prompt\": \"?\", \"answer\": \"%s\", \"rule\": \"%s\"}",
			 rows[i].expected, rows[i].rule);
		CHECK_OK(parse(text, &s, NULL));
		CHECK_OK(quality_right(&s.items[0], rows[i].answer, &right));
		if (right != rows[i].right)
			test_fail(__FILE__, __LINE__, "row %zu: '%s'", i, rows[i].answer);
		CHECK_OK(quality_right(&s.items[0], NULL, &right));
		CHECK(!right);
		CHECK_OK(quality_right(&s.items[0], "\xff\xfe", &right));
		CHECK(!right);
		quality_done(&s);
	}
}

TEST(a_score_has_an_interval_also_when_all_is_right)
{
	bool right[50];
	memset(right, 1, sizeof(right));
	QualityScore s = quality_score(right, 50);
	CHECK_NEAR(s.pct, 100, 0);
	CHECK(s.lo > 90 && s.lo < 95 && s.hi == 100);
	CHECK(isnan(quality_score(NULL, 0).pct));
}

/* How many of 400 candidates are taken for not worse; both answer `n` prompts, the candidate wrong
 * in `lost` percent of those that the baseline has right. */
static int kept(int lost_pct, int gained_pct)
{
	enum {
		N = 300
	};
	bool a[N], b[N];
	int n = 0;
	for (int r = 0; r < 400; r++) {
		Rng rng = rng_derive(9, "quality", (uint64_t)r);
		QualityComparison c;
		for (int i = 0; i < N; i++) {
			a[i] = rng_unit(&rng) < 0.8;
			double change = (a[i] ? lost_pct : gained_pct) / 100.0;
			b[i] = rng_unit(&rng) < change ? !a[i] : a[i];
		}
		CHECK_OK(quality_compare(a, b, N, 5, 0.95, &c));
		CHECK(c.lower_pct < c.difference_pct + 0.7);
		n += c.not_worse;
	}
	return n;
}

TEST(a_model_that_answers_as_well_is_kept_and_one_that_does_not_is_refused)
{
	CHECK(kept(2, 8) >= 380); /* changes some answers, on balance none */
	CHECK(kept(15, 0) <= 4);  /* 12 points worse */
	CHECK(kept(60, 0) == 0);
	QualityComparison c;
	bool one = true;
	CHECK_ERR(quality_compare(&one, &one, 1, 5, 0.95, &c), ENODATA);
	CHECK_ERR(quality_compare(&one, &one, 1, 5, 1, &c), EINVAL);
}
