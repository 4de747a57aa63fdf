/* Every mistake in a search space is found at its place and says what would be accepted. */
#include "spaces.h"

static void mistake(const char *yaml, const char *want)
{
	_cleanup_(str_done) Str got = STR_INIT;
	_cleanup_(space_freep) Space *s = space_of(yaml, &got);
	if (s || !got.s || !strstr(got.s, want))
		test_fail(__FILE__, __LINE__, "%s\ngives %s\nwant  %s", yaml,
			  got.s ? got.s : "nothing", want);
}

static void param(const char *text, const char *want)
{
	_cleanup_(str_done) Str y = STR_INIT;
	str_addf(&y, "search_space:\n  x: %s\n", text);
	mistake(y.s, want);
}

TEST(broken_lists)
{
	param("0.5", "t.yaml:2:6: error: x has no levels; a list of values");
	param("", "x has no levels");
	param("[]", "t.yaml:2:6: error: x has no list of values; a list such as");
	param("[0.4, 0.45, 0.40]", "t.yaml:2:18: error: x has the value 0.4 twice");
	param("[1, 2, 1.0]", "t.yaml:2:13: error: x has the value 1.0 twice");
	param("[a, b, a]", "x has the value \"a\" twice; each value once");
	param("[[a, b], [a, b]]", "x has the value [\"a\", \"b\"] twice");
	param("[1, ~]", "t.yaml:2:10: error: x has an empty value");
	param("{values: 3}", "t.yaml:2:15: error: x has no list of values");
	param("{values: [1, 2], min: 1}", "values and min exclude each other");
	param("{values: [1, 2], ordered: maybe}", "ordered is not a truth value; true or false");
	param("{value: [1, 2]}", "t.yaml:2:7: error: x has the unknown key value; values");
	param("{}", "x has neither values nor a range");
	param("{type: integer}", "x has neither values nor a range");
	param("{type: bool, min: 1}", "a range cannot have this type");
	param("{type: bool, ordered: true}", "a parameter of type bool has no ordered");
}

TEST(broken_ranges)
{
	param("{min: 0.4}", "the range of x has no max");
	param("{max: 4}", "the range of x has no min");
	param("{min: low, max: 4}", "t.yaml:2:12: error: min is not a number");
	param("{min: 0.4, max: .inf, step: 1}", "max is not a number");
	param("{min: 5, max: 4}", "min 5 is above max 4");
	param("{min: 0.4, max: 0.6}", "needs a step or a number of points; step: 0.05");
	param("{min: 0.40, max: 0.60, step: 0.07}",
	      "steps of 0.07 from 0.4 do not reach 0.6; max: 0.54 or max: 0.61");
	param("{min: 0.4, max: 0.6, step: 0}", "step is not above 0");
	param("{min: 0.4, max: 0.6, step: -0.1}", "step is not above 0");
	param("{min: 0.4, max: 0.6, step: 0.1, points: 3}", "both step and points");
	param("{min: 0.4, max: 0.6, points: 1}", "points is not a number of levels");
	param("{min: 1, max: 3, points: 9}", "9 points, but only 3 integers from 1 to 3");
	param("{min: 0, max: 8, log: true}", "a logarithmic range cannot start at 0");
	param("{min: 1, max: 8, log: true, step: 2}", "a logarithmic range has no constant step");
	param("{min: 1, max: 8, log: 3}", "log is not a truth value");
	param("{min: 1, max: 8.5, type: int}", "has a bound or step that is not whole");
	param("{min: 10000000000000000.0, max: 10000000000000004.0, step: 0.5}",
	      "have no steps as small as 0.5; a larger step");
	param("{min: 1, max: 1000000}", "the range has 1000000 levels, at most 100000");
	param("{min: 1, max: 9223372036854775807}", "the range is too far out");
}

TEST(broken_conditions)
{
	mistake("search_space:\n  a: {values: [1, 2], when: {b: 1}}\n",
		"t.yaml:2:30: error: when names the parameter b, which does not exist; a");
	mistake("search_space:\n  size: [1, 2]\n  a: {values: [1, 2], when: {sise: 1}}\n",
		"the parameter sise, which does not exist; size");
	mistake("search_space:\n  b: [1, 2]\n  a: {values: [1, 2], when: {b: 3}}\n",
		"b never has the value 3; 1, 2");
	mistake("search_space:\n  b: [1, 2]\n  a: {values: [1, 2], when: {b: []}}\n",
		"t.yaml:3:33: error:");
	mistake("search_space:\n  b: [1, 2]\n  a: {values: [1, 2], when: b}\n",
		"when of a is not a condition on one parameter; {other_parameter: value}");
	mistake("search_space:\n  a: {values: [1, 2], when: {a: 1}}\n",
		"the conditions of a lead back to itself");
	mistake("search_space:\n  a: {values: [1, 2], when: {b: 1}}\n"
		"  b: {values: [1, 2], when: {c: 1}}\n  c: {values: [1, 2], when: {a: 1}}\n",
		"t.yaml:2:29: error: the conditions of a lead back to itself");
}

TEST(broken_bounds_and_forbidden_combinations)
{
	static const char space[] = "search_space:\n  u: [0.4, 0.5]\n  size: [tiny, base]\n";
	static const struct {
		const char *text, *want;
	} cases[] = {
	    {"bounds: 3\n", "bounds is not a map"},
	    {"bounds: {w: {min: 1}}\n", "bounds names the parameter w, which does not exist"},
	    {"bounds: {u: 3}\n", "the bound of u has no limits; {min: 0.30, max: 0.70}"},
	    {"bounds: {u: {low: 3}}\n", "a bound has no key low; min, max"},
	    {"bounds: {u: {min: low}}\n", "the bound min is not a number"},
	    {"bounds: {u: {min: 0.6, max: 0.5}}\n", "min 0.6 is above max 0.5"},
	    {"bounds: {u: {min: 0.6}}\n",
	     "t.yaml:4:13: error: the bound of u excludes every value; limits around 0.4, 0.5"},
	    {"bounds: {size: {min: 1}}\n", "size has values that are not numbers"},
	    {"forbid: {u: 0.4}\n", "forbid is not a list of combinations"},
	    {"forbid: [3]\n", "a forbidden combination is not a map"},
	    {"forbid: [{}]\n", "a forbidden combination is not a map"},
	    {"forbid: [{w: 1}]\n", "forbid names the parameter w, which does not exist"},
	    {"forbid: [{u: 0.45}]\n", "t.yaml:4:14: error: u never has the value 0.45; 0.4, 0.5"},
	    {"forbid: [{size: [tiny, huge]}]\n", "size never has the value huge; tiny, base"},
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		_cleanup_(str_done) Str y = STR_INIT;
		str_addf(&y, "%s%s", space, cases[i].text);
		mistake(y.s, cases[i].want);
	}
}

TEST(a_space_needs_a_parameter_and_has_at_most_32)
{
	mistake("search_space: {}\n", "the search space has no parameter");
	mistake("search_space: [1]\n", "the search space has no parameter");
	_cleanup_(str_done) Str y = STR_INIT;
	str_add(&y, "search_space:\n");
	for (int i = 0; i < 33; i++)
		str_addf(&y, "  p%d: [1, 2]\n", i);
	mistake(y.s, "t.yaml:34:3: error: the search space has 33 parameters; at most 32");
}

TEST(all_mistakes_are_reported_at_once)
{
	_cleanup_(str_done) Str got = STR_INIT;
	_cleanup_(space_freep) Space *s =
	    space_of("search_space:\n  a: []\n  b: {min: 3, max: 1}\n"
		     "  c: {values: [1], when: {a: 1}}\n  d: [1, 1]\nforbid: [{q: 1}]\n",
		     &got);
	CHECK(!s);
	size_t lines = 0;
	for (const char *p = got.s; *p; p++)
		lines += *p == '\n';
	CHECK_INT((intmax_t)lines, 4);
}
