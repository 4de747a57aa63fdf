/* What a search space may look like, how it is walked, and what is wrong with broken ones. */
#include "base/json.h"
#include "base/rng.h"
#include "spaces.h"

static const char seed_space[] = "search_space:\n"
				 "  vllm_memory_util: [0.40, 0.45, 0.50, 0.55, 0.60]\n"
				 "  whisper_model_size: [\"tiny\", \"base\", \"small\"]\n";

/* The values of one parameter as canonical text. */
static void levels_are(const char *text, const char *want)
{
	_cleanup_(str_done) Str yaml = STR_INIT, got = STR_INIT;
	str_addf(&yaml, "search_space:\n  x: %s\n", text);
	_cleanup_(space_freep) Space *s = space_of(yaml.s, NULL);
	json_auto_t *list = json_array();
	for (uint32_t l = 0; l < space_levels(s, 0); l++)
		json_array_append_new(list, space_value(s, 0, l));
	js_canonical(list, &got);
	if (strcmp(got.s, want) != 0)
		test_fail(__FILE__, __LINE__, "%s gives %s, want %s", text, got.s, want);
}

TEST(the_seed_documents_space_has_fifteen_points)
{
	_cleanup_(space_freep) Space *s = space_of(seed_space, NULL);
	CHECK_INT(space_dims(s), 2);
	CHECK_STR(space_name(s, 1), "whisper_model_size");
	CHECK_INT(space_dim(s, "vllm_memory_util"), 0);
	CHECK_ERR(space_dim(s, "vllm"), ENOENT);
	CHECK_INT(space_levels(s, 0), 5);
	CHECK_INT((intmax_t)space_count(s), 15);
}

TEST(a_rising_list_of_numbers_is_ordered_and_a_list_of_strings_only_when_it_says_so)
{
	_cleanup_(space_freep) Space *s =
	    space_of("search_space:\n"
		     "  rising: [1, 2, 4]\n"
		     "  falling: [3, 2.5, 1]\n"
		     "  mixed: [2, 1, 3]\n"
		     "  names: [tiny, base]\n"
		     "  sizes: {values: [tiny, base], ordered: true}\n"
		     "  flag: {type: bool}\n"
		     "  range: {min: 1, max: 4}\n"
		     "  loose: {values: [1, 2], ordered: false}\n",
		     NULL);
	static const bool want[] = {true, true, false, false, true, false, true, false};
	for (size_t i = 0; i < 8; i++)
		if (space_ordered(s, i) != want[i])
			test_fail(__FILE__, __LINE__, "%s", space_name(s, i));
}

TEST(lists_keep_their_values_also_nested_ones)
{
	levels_are("[[cpu, memory], [all]]", "[[\"cpu\", \"memory\"], [\"all\"]]");
	levels_are("[tiny, 2, true, \"2\"]", "[\"tiny\", 2, true, \"2\"]");
	levels_are("{type: bool}", "[false, true]");
	levels_are("[0.5]", "[0.5]");
}

TEST(decimal_ranges_have_the_decimals_a_person_writes)
{
	levels_are("{min: 0.40, max: 0.60, step: 0.05}", "[0.4, 0.45, 0.5, 0.55, 0.6]");
	levels_are("{min: 0, max: 0.3, step: 0.1}", "[0.0, 0.1, 0.2, 0.3]");
	levels_are("{min: 1e-3, max: 3e-3, step: 1e-3}", "[0.001, 0.002, 0.003]");
	levels_are("{min: 0, max: 1, points: 4, type: float}", "[0.0, 0.3333, 0.6667, 1.0]");
	levels_are("{min: 0.5, max: 0.9, points: 3}", "[0.5, 0.7, 0.9]");
	levels_are("{min: -0.2, max: 0.1, step: 0.1}", "[-0.2, -0.1, 0.0, 0.1]");
}

TEST(no_level_of_a_fine_range_shows_rounding)
{
	_cleanup_(space_freep) Space *s =
	    space_of("search_space: {u: {min: 0.001, max: 9.999, step: 0.001}}", NULL);
	CHECK_INT(space_levels(s, 0), 9999);
	for (uint32_t l = 0; l < 9999; l++) {
		json_auto_t *v = space_value(s, 0, l);
		char text[32], want[32];
		js_double(json_real_value(v), text);
		snprintf(want, sizeof(want), "%u.%03u", (l + 1) / 1000, (l + 1) % 1000);
		CHECK_NEAR(json_real_value(v), strtod(want, NULL), 0);
		CHECK(strlen(text) <= 5);
	}
}

TEST(integer_ranges_step_by_one_and_log_ranges_double)
{
	levels_are("{min: 1, max: 4}", "[1, 2, 3, 4]");
	levels_are("{min: 512, max: 2048, step: 512}", "[512, 1024, 1536, 2048]");
	levels_are("{min: 1, max: 16, log: true}", "[1, 2, 4, 8, 16]");
	levels_are("{min: 3, max: 20, log: true}", "[3, 6, 12, 20]");
	levels_are("{min: 1, max: 1000, log: true, points: 4}", "[1, 10, 100, 1000]");
	levels_are("{min: 1, max: 4, log: true, points: 4}", "[1, 2, 3, 4]");
	levels_are("{min: 0.001, max: 0.1, log: true, points: 3}", "[0.001, 0.01, 0.1]");
	levels_are("{min: 0, max: 100, points: 3}", "[0, 50, 100]");
	levels_are("{min: 7, max: 7}", "[7]");
}

static const char conditional[] = "search_space:\n"
				  "  draft_tokens: {values: [2, 4], when: {speculative: true}}\n"
				  "  speculative: {type: bool}\n"
				  "  method: {values: [ngram, eagle], when: {speculative: true}}\n"
				  "  ngram_max: {min: 1, max: 3, when: {method: [ngram]}}\n"
				  "  seqs: [8, 16]\n";

/* Every point of a space, by brute force over all levels, each once in canonical form. */
static size_t count_by_force(const Space *s, Point *all, size_t max)
{
	uint64_t n = 0, product = 1;
	for (size_t d = 0; d < space_dims(s); d++)
		product *= space_levels(s, d);
	for (uint64_t i = 0; i < product; i++) {
		Point p = {0};
		uint64_t rest = i;
		for (size_t d = 0; d < space_dims(s); d++) {
			p.level[d] = (uint32_t)(rest % space_levels(s, d));
			rest /= space_levels(s, d);
		}
		space_canonical(s, &p);
		size_t j = 0;
		while (j < n && !point_equal(s, &all[j], &p))
			j++;
		if (j == n && n < max)
			all[n++] = p;
	}
	return n;
}

TEST(conditions_are_counted_and_walked_without_duplicates)
{
	static Point all[256], walked[256];
	_cleanup_(space_freep) Space *s = space_of(conditional, NULL);
	size_t n = count_by_force(s, all, 256), got = 0;
	CHECK_INT((intmax_t)n,
		  2 + 2 * (1 + 3) * 2); /* off, or tokens x (eagle, ngram x 3) x seqs */
	CHECK_INT((intmax_t)space_count(s), (intmax_t)n);
	Point p;
	for (bool more = space_first(s, &p); more; more = space_next(s, &p)) {
		Point canonical = p;
		space_canonical(s, &canonical);
		CHECK(point_equal(s, &p, &canonical));
		for (size_t i = 0; i < got; i++)
			CHECK(!point_equal(s, &walked[i], &p));
		CHECK(got < n);
		walked[got++] = p;
	}
	CHECK_INT((intmax_t)got, (intmax_t)n);
}

TEST(the_walk_goes_in_order_of_declaration_with_the_last_parameter_fastest)
{
	_cleanup_(space_freep) Space *s = space_of(seed_space, NULL);
	Point p;
	uint32_t i = 0;
	for (bool more = space_first(s, &p); more; more = space_next(s, &p), i++) {
		CHECK_INT(p.level[0], i / 3);
		CHECK_INT(p.level[1], i % 3);
	}
	CHECK_INT(i, 15);
}

TEST(a_million_points_are_counted_at_once_and_walked_one_by_one)
{
	_cleanup_(space_freep) Space *s =
	    space_of("search_space:\n"
		     "  a: {min: 1, max: 100}\n  b: {min: 1, max: 100}\n"
		     "  mode: [x, y]\n  c: {min: 1, max: 199, when: {mode: x}}\n",
		     NULL);
	uint64_t n = 0, last = 0;
	CHECK_INT((intmax_t)space_count(s), 100 * 100 * 200);
	Point p;
	for (bool more = space_first(s, &p); more; more = space_next(s, &p), n++) {
		uint64_t c = p.level[3] == SPACE_INACTIVE ? 0 : p.level[3];
		uint64_t rank =
		    ((p.level[0] * UINT64_C(100) + p.level[1]) * 2 + p.level[2]) * 200 + c;
		CHECK(n == 0 || rank > last);
		last = rank;
	}
	CHECK_INT((intmax_t)n, 2000000);
}

TEST(a_count_beyond_64_bits_saturates)
{
	_cleanup_(str_done) Str y = STR_INIT;
	str_add(&y, "search_space:\n");
	for (int i = 0; i < 32; i++)
		str_addf(&y, "  p%d: {min: 1, max: 1000}\n", i);
	_cleanup_(space_freep) Space *s = space_of(y.s, NULL);
	CHECK(space_count(s) == UINT64_MAX);
}

TEST(json_of_a_point_leads_back_to_it)
{
	static const char *const texts[] = {
	    seed_space, conditional,
	    "search_space:\n  m: [[cpu, memory], [all]]\n  u: {min: 0.1, max: 0.9, step: 0.01}\n"
	    "  t: [1, a, true]\n  d: [9, 5, 1]\n"};
	for (size_t t = 0; t < 3; t++) {
		_cleanup_(space_freep) Space *s = space_of(texts[t], NULL);
		Point p, back;
		for (bool more = space_first(s, &p); more; more = space_next(s, &p)) {
			_cleanup_(str_done) Str text = STR_INIT;
			Err err = ERR_INIT;
			json_auto_t *v = point_json(s, &p), *again = NULL;
			js_canonical(v, &text);
			CHECK_OK(js_parse(text.s, text.len, 4096, &again, &err));
			CHECK_OK(point_from_json(s, again, &back, &err));
			CHECK(point_equal(s, &p, &back));
			CHECK(point_key(s, &p) == point_key(s, &back));
		}
	}
}

static void refused(const Space *s, const char *params, const char *want)
{
	Err err = ERR_INIT;
	Point p = {.level = {7}};
	json_auto_t *v = json_loads(params, 0, NULL);
	CHECK(v);
	CHECK_ERR(point_from_json(s, v, &p, &err), EINVAL);
	CHECK_STR(err.msg, want);
	CHECK_INT(p.level[0], 7);
}

TEST(a_candidate_that_is_not_in_the_space_is_refused_with_what_would_be_accepted)
{
	_cleanup_(space_freep) Space *s = space_of(seed_space, NULL);
	refused(s, "{\"vllm_memory_util\": 0.42, \"whisper_model_size\": \"tiny\"}",
		"vllm_memory_util cannot be 0.42; accepted: 0.4, 0.45, 0.5, 0.55, 0.6");
	refused(s, "{\"vllm_memory_util\": 0.5, \"whisper_model_size\": 3}",
		"whisper_model_size cannot be 3; accepted: tiny, base, small");
	refused(s, "{\"vllm_memory_util\": 0.5}", "whisper_model_size is missing");
	refused(s, "{\"vllm_memory_util\": 0.5, \"whisper_model_size\": \"tiny\", \"x\": 1}",
		"no parameter is called x; there are: vllm_memory_util, whisper_model_size");
	refused(s, "[1]", "a candidate is a map from parameter to value");
	_cleanup_(space_freep) Space *c = space_of(conditional, NULL);
	refused(c, "{\"speculative\": false, \"seqs\": 8, \"draft_tokens\": 2}",
		"draft_tokens does not apply while speculative is false; leave it out");
	refused(c, "{\"speculative\": true, \"seqs\": 8, \"method\": \"eagle\"}",
		"draft_tokens is missing, and needed while speculative is true");
	refused(c, "{\"speculative\": false, \"seqs\": 8, \"ngram_max\": 2}",
		"ngram_max does not apply without method; leave it out");
}

TEST(candidate_ids_are_those_of_the_design)
{
	char id[CONFIG_HASH_SIZE];
	_cleanup_(space_freep) Space *s = space_of(seed_space, NULL);
	Point p = {.level = {2, 2}};
	json_auto_t *v = point_json(s, &p);
	config_hash(v, id);
	CHECK_STR(id, "f47ecf886cf6beaa");
	_cleanup_(str_done) Str text = STR_INIT;
	point_text(s, &p, &text);
	CHECK_STR(text.s, "vllm_memory_util=0.5 whisper_model_size=small");
}

TEST(bounds_and_forbidden_combinations_refuse_points_with_a_reason)
{
	_cleanup_(space_freep) Space *s = space_of(
	    "search_space:\n"
	    "  u: {min: 0.2, max: 0.8, step: 0.1}\n  size: [tiny, base, small]\n"
	    "  m: [[cpu, memory], [all]]\n"
	    "bounds:\n  u: {min: 0.3, max: 0.7}\n"
	    "forbid:\n  - {u: [0.6, 0.7], size: small}\n  - {m: [cpu, memory], size: [tiny]}\n",
	    NULL);
	static const struct {
		Point p;
		const char *why; /* NULL: allowed */
	} cases[] = {
	    {{{0, 0, 1}}, "u 0.2 is outside its hard bounds 0.3 to 0.7"},
	    {{{6, 0, 1}}, "u 0.8 is outside its hard bounds 0.3 to 0.7"},
	    {{{1, 0, 1}}, NULL},
	    {{{4, 2, 1}}, "the combination u 0.6, size small is forbidden"},
	    {{{3, 2, 1}}, NULL},
	    {{{1, 0, 0}}, "the combination m [\"cpu\", \"memory\"], size tiny is forbidden"},
	    {{{4, 1, 1}}, NULL},
	    {{{2, 0, 0}}, "the combination m [\"cpu\", \"memory\"], size tiny is forbidden"},
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		_cleanup_(str_done) Str why = STR_INIT;
		CHECK(space_allows(s, &cases[i].p, &why) == !cases[i].why);
		CHECK(space_allows(s, &cases[i].p, NULL) == !cases[i].why);
		if (cases[i].why)
			CHECK_STR(why.s, cases[i].why);
	}
	CHECK(!space_level_allowed(s, 0, 0) && space_level_allowed(s, 0, 1));
	CHECK_INT((intmax_t)space_count(s), 7 * 3 * 2);
}

/* A rule about a parameter that does not apply cannot match. */
TEST(a_forbidden_combination_does_not_match_an_inactive_parameter)
{
	_cleanup_(space_freep) Space *s =
	    space_of("search_space:\n  on: {type: bool}\n  k: {values: [1, 2], when: {on: true}}\n"
		     "forbid: [{k: 1}]\nbounds: {k: {max: 1}}\n",
		     NULL);
	Point off = {.level = {0, SPACE_INACTIVE}}, one = {.level = {1, 0}},
	      two = {.level = {1, 1}};
	_cleanup_(str_done) Str why = STR_INIT;
	CHECK(space_allows(s, &off, NULL));
	CHECK(!space_allows(s, &one, NULL));
	CHECK(!space_allows(s, &two, &why));
	CHECK_STR(why.s, "k 2 is above its hard bound 1");
}

TEST(making_a_point_canonical_is_idempotent_and_stays_in_the_space)
{
	_cleanup_(space_freep) Space *s = space_of(conditional, NULL);
	for (uint64_t seed = 0; seed < 2000; seed++) {
		Rng r = rng_derive(seed, "canonical", 0);
		Point p;
		for (size_t d = 0; d < SPACE_DIMS_MAX; d++)
			p.level[d] = rng_below(&r, 4) ? (uint32_t)rng_below(&r, 4) : SPACE_INACTIVE;
		space_canonical(s, &p);
		Point again = p;
		space_canonical(s, &again);
		json_auto_t *v = point_json(s, &p);
		Point back;
		if (!point_equal(s, &p, &again) || point_from_json(s, v, &back, NULL) < 0 ||
		    !point_equal(s, &p, &back))
			test_fail(__FILE__, __LINE__, "seed %" PRIu64, seed);
	}
}
