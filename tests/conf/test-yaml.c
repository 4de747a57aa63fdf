#include "base/json.h"
#include "base/rng.h"
#include "read.h"

static const ConfNode *at(const Reading *x, const char *key)
{
	const ConfNode *n = conf_get(conf_root(x->doc), key);
	CHECK(n);
	return n;
}

static void check_json(const char *text, const char *want)
{
	_cleanup_(reading_done) Reading x = read_text(text);
	check_diags(&x.d, "");
	CHECK_OK(x.r);
	json_auto_t *v = conf_to_json(conf_root(x.doc));
	_cleanup_(str_done) Str out = STR_INIT;
	js_canonical(v, &out);
	CHECK_STR(out.s, want);
}

static void check_unreadable_bytes(const char *text, size_t len, const char *want)
{
	_cleanup_(reading_done) Reading x = read_bytes(text, len);
	check_diags(&x.d, want);
	CHECK_ERR(x.r, EBADMSG);
}

static void check_unreadable(const char *text, const char *want)
{
	check_unreadable_bytes(text, strlen(text), want);
}

TEST(maps_keep_the_order_and_the_places_of_the_file)
{
	_cleanup_(reading_done) Reading x = read_text("b: 1\na:\n  - x\n  - {c: d}\n");
	CHECK_OK(x.r);
	const ConfNode *root = conf_root(x.doc), *list = at(&x, "a");
	CHECK_INT(conf_kind(root), CONF_MAP);
	CHECK_INT(conf_len(root), 2);
	CHECK_STR(conf_key(root, 0), "b");
	CHECK_STR(conf_key(root, 1), "a");
	CHECK(!conf_key(root, 2) && !conf_at(root, 2) && !conf_get(root, "c"));
	CHECK_INT(conf_kind(list), CONF_SEQ);
	CHECK_STR(conf_text(conf_at(list, 0)), "x");
	CHECK(!conf_text(list) && !conf_get(list, "x") && !conf_key(list, 0));

	conf_fault(conf_key_node(root, 1), &x.d, NULL, "key");
	conf_fault(conf_at(list, 0), &x.d, NULL, "item");
	conf_warn(conf_get(conf_at(list, 1), "c"), &x.d, "less", "value");
	check_diags(&x.d, "t.yaml:2:1: error: key\n"
			  "t.yaml:3:5: error: item\n"
			  "t.yaml:4:9: warning: value; less\n");
}

TEST(scalars_mean_what_yaml_1_2_says)
{
	check_json("[~, null, NULL, '', \"\", true, True, FALSE, yes, on, off]",
		   "[null, null, null, \"\", \"\", true, true, false, \"yes\", \"on\", \"off\"]");
	check_json("[0, 12, -3, +4, 007, 0x1F, 0o17, 0b1, 1_000, 12:30:00]",
		   "[0, 12, -3, 4, 7, 31, 15, \"0b1\", \"1_000\", \"12:30:00\"]");
	check_json(
	    "[0.5, .5, 5., 1e3, 1E-3, -2.5e+2, 1e, ., -, e5, 0x1p3, infinity]",
	    "[0.5, 0.5, 5.0, 1000.0, 0.001, -250.0, \"1e\", \".\", \"-\", \"e5\", \"0x1p3\", "
	    "\"infinity\"]");
	check_json("[.inf, -.Inf, .nan, 1e999]", "[\".inf\", \"-.Inf\", \".nan\", \"1e999\"]");
	check_json("['12', \"true\", !!str 12, !!int 12, !!float 12]",
		   "[\"12\", \"true\", \"12\", 12, 12]");
	check_json("[9223372036854775807, -9223372036854775808, 9223372036854775808]",
		   "[9223372036854775807, -9223372036854775808, 9.223372036854776e+18]");
}

TEST(typed_reading_says_no_instead_of_guessing)
{
	_cleanup_(reading_done) Reading x = read_text("{n: 12, q: '12', f: 0.5, t: true, l: [1]}");
	int64_t i = -1;
	double v = -1;
	bool b = false;
	CHECK(conf_as_int(at(&x, "n"), &i) && i == 12);
	CHECK(conf_as_number(at(&x, "n"), &v) && v == 12);
	CHECK(conf_as_number(at(&x, "f"), &v) && v == 0.5);
	CHECK(conf_as_bool(at(&x, "t"), &b) && b);
	CHECK(!conf_as_int(at(&x, "q"), &i) && !conf_as_int(at(&x, "f"), &i));
	CHECK(!conf_as_number(at(&x, "q"), &v) && !conf_as_number(at(&x, "t"), &v));
	CHECK(!conf_as_bool(at(&x, "n"), &b) && !conf_as_bool(at(&x, "l"), &b));
	CHECK(!conf_as_int(at(&x, "l"), &i) && !conf_is_null(at(&x, "l")));
	CHECK_INT(i, 12);
}

TEST(a_text_without_content_is_a_null)
{
	static const char *const texts[] = {"", "\n\n", "# only a comment\n", "---\n",
					    "\xef\xbb\xbf"};
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		_cleanup_(reading_done) Reading x = read_text(texts[i]);
		CHECK_OK(x.r);
		CHECK(conf_is_null(conf_root(x.doc)));
		CHECK_INT(x.d.n, 0);
	}
}

TEST(line_ends_and_a_byte_order_mark_do_not_matter)
{
	check_json("\xef\xbb\xbf"
		   "a: 1\r\nb: |\r\n  x\r\n  y\r\n",
		   "{\"a\": 1, \"b\": \"x\\ny\\n\"}");
}

TEST(duplicate_keys_are_all_reported_and_the_first_one_counts)
{
	_cleanup_(reading_done) Reading x =
	    read_text("a: 1\nb: {c: 1, 'c': 2}\na: 2\n\"\\x61\": 3\n");
	CHECK_OK(x.r);
	CHECK_INT(x.d.errors, 3);
	CHECK_STR(conf_text(at(&x, "a")), "1");
	check_diags(
	    &x.d, "t.yaml:2:11: error: duplicate key 'c'; it is given first at line 2, column 5\n"
		  "t.yaml:3:1: error: duplicate key 'a'; it is given first at line 1, column 1\n"
		  "t.yaml:4:1: error: duplicate key 'a'; it is given first at line 1, column 1\n");
}

TEST(aliases_repeat_what_their_anchor_names)
{
	check_json("a: &x {k: [1, 2]}\nb: *x\nc: [*x, &x 3, *x]\n",
		   "{\"a\": {\"k\": [1, 2]}, \"b\": {\"k\": [1, 2]}, "
		   "\"c\": [{\"k\": [1, 2]}, 3, 3]}");
}

TEST(what_is_not_yaml_is_shown_at_its_place)
{
	check_unreadable("mode: a: b\n",
			 "t.yaml:1:8: error: not YAML: mapping values are not allowed in this "
			 "context; check the indentation, and quote a text that contains ': '\n");
	check_unreadable("a:\n\tb: 1\n",
			 "t.yaml:2:1: error: not YAML: found character that cannot start any "
			 "token; indent with spaces, YAML allows no tabs there\n");
	check_unreadable("a: @x\n",
			 "t.yaml:1:4: error: not YAML: found character that cannot start any "
			 "token; quote a text that starts with this character\n");
	check_unreadable("a: [1,\nb: 2\n",
			 "t.yaml:3:1: error: not YAML: did not find expected ',' or ']' while "
			 "parsing a flow sequence that starts at line 1; a '[' is not closed\n");
	check_unreadable("a: {b: 1\nc: 2\n",
			 "t.yaml:2:2: error: not YAML: did not find expected ',' or '}' while "
			 "parsing a flow mapping that starts at line 1; a '{' is not closed\n");
	check_unreadable("a: 'open\n\n",
			 "t.yaml:3:1: error: not YAML: found unexpected end of stream while "
			 "scanning a quoted scalar that starts at line 1; a quote or bracket is "
			 "not closed\n");
	check_unreadable("a: 1\n- b\n",
			 "t.yaml:2:1: error: not YAML: did not find expected key while parsing a "
			 "block mapping that starts at line 1; check the indentation of this line "
			 "and those above\n");
	check_unreadable("a: \"\\q\"\n", "t.yaml:1:5: error: not YAML: found unknown escape "
					 "character while parsing a quoted scalar\n");
}

TEST(what_yaml_allows_and_we_do_not_is_refused_in_words)
{
	check_unreadable("a: 1\n---\nb: 2\n", "t.yaml:2:1: error: a second document starts here; "
					      "one file holds one document\n");
	check_unreadable("a: &x {b: 1}\nc:\n  <<: *x\n",
			 "t.yaml:3:3: error: merge keys ('<<') are not supported; give the whole "
			 "value by an alias, or repeat the keys\n");
	check_unreadable(
	    "a: !!python/object/apply:os.system [x]\n",
	    "t.yaml:1:4: error: the tag 'tag:yaml.org,2002:python/object/apply:os.system' "
	    "is not supported; leave it out\n");
	check_unreadable("? [a, b]\n: c\n", "t.yaml:1:3: error: a list cannot be a key; a key is a "
					    "word or a quoted text\n");
	check_unreadable("{a: 1}: c\n", "t.yaml:1:1: error: a map cannot be a key; a key is a word "
					"or a quoted text\n");
	check_unreadable("a: &x b\n*x : c\n",
			 "t.yaml:2:1: error: an alias cannot be a key; write the key out\n");
	check_unreadable("a: *x\n", "t.yaml:1:4: error: no anchor above is called 'x'\n");
	check_unreadable("a: &x [*x]\n", "t.yaml:1:8: error: an alias cannot stand inside of what "
					 "it repeats\n");
	check_unreadable("a: \"x\\0y\"\n",
			 "t.yaml:1:4: error: the text contains a NUL character\n");
}

TEST(bytes_that_are_no_text_are_shown_at_their_place)
{
	check_unreadable("a: 1\nb: \xc3\xa4\xff\n", "t.yaml:2:5: error: a byte that is not UTF-8 "
						    "text; save it as UTF-8\n");
	check_unreadable("\xff\xfe"
			 "a",
			 "t.yaml:1:1: error: the file is UTF-16 text; save it as UTF-8\n");
	check_unreadable("a: \x1b[31m\n", "t.yaml:1:4: error: the control character U+001B; write "
					  "it as an escape in double quotes\n");
	check_unreadable_bytes("a: 1\n\0", 6,
			       "t.yaml:2:1: error: the control character U+0000; write it as an "
			       "escape in double quotes\n");
}

TEST(nesting_is_bounded_through_aliases_too)
{
	_cleanup_(str_done) Str deep = STR_INIT, ok = STR_INIT;
	for (int i = 0; i < CONF_DEPTH_MAX; i++)
		str_addc(&ok, '[');
	for (int i = 0; i < CONF_DEPTH_MAX; i++)
		str_addc(&ok, ']');
	_cleanup_(reading_done) Reading x = read_text(ok.s);
	CHECK_OK(x.r);
	str_addf(&deep, "[%s]", ok.s);
	check_unreadable(deep.s, "t.yaml:1:65: error: maps and lists are nested too deep; at most "
				 "64 levels\n");
	check_unreadable(
	    "a: &a [[[[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]]]]\n"
	    "b: &b [[[[[[[[[[[[[[[[[[[[*a]]]]]]]]]]]]]]]]]]]]\n"
	    "c: &c [[[[[[[[[[[[[[[[[[[[*b]]]]]]]]]]]]]]]]]]]]\n"
	    "d: [[[*c]]]\n",
	    "t.yaml:4:7: error: maps and lists are nested too deep; at most 64 levels\n");
}

TEST(a_billion_laughs_are_refused)
{
	_cleanup_(str_done) Str text = STR_INIT;
	str_add(&text, "a: &a [x,x,x,x,x,x,x,x,x,x]\n");
	for (char c = 'b'; c <= 'i'; c++) {
		str_addf(&text, "%c: &%c [", c, c);
		for (int i = 0; i < 10; i++)
			str_addf(&text, "%s*%c", i ? "," : "", c - 1);
		str_add(&text, "]\n");
	}
	_cleanup_(reading_done) Reading x = read_text(text.s);
	CHECK_ERR(x.r, EBADMSG);
	CHECK_INT(x.d.n, 1);
	CHECK_STR(x.d.items[0].what, "too many values in one file, counting what aliases repeat");
	CHECK_STR(x.d.items[0].accept, "at most 200000");
}

TEST(a_file_past_its_limits_is_refused)
{
	_cleanup_(str_done) Str text = STR_INIT;
	for (int i = 0; i < CONF_NODES_MAX; i++)
		str_add(&text, "- 1\n");
	_cleanup_(reading_done) Reading many = read_text(text.s);
	CHECK_ERR(many.r, EBADMSG);
	str_clear(&text);
	while (text.len <= CONF_FILE_MAX)
		str_add(&text, "# a comment that goes on and on, for kilobytes and kilobytes\n");
	_cleanup_(reading_done) Reading text_too_long = read_text(text.s);
	CHECK_ERR(text_too_long.r, EBADMSG);
	check_diags(&text_too_long.d, "t.yaml:1:1: error: the file is too long; at most 4 MiB\n");
}

TEST(a_hundred_thousand_keys_take_no_quadratic_time)
{
	/* Comparing each with each would take minutes under a sanitizer. */
	_cleanup_(str_done) Str text = STR_INIT;
	for (int i = 0; i < 99000; i++)
		str_addf(&text, "key%d: 1\n", i);
	str_add(&text, "key7: 2\n");
	_cleanup_(reading_done) Reading x = read_text(text.s);
	CHECK_OK(x.r);
	CHECK_INT(x.d.errors, 1);
}

TEST(a_file_that_cannot_be_read_is_an_error_without_diagnostics)
{
	_cleanup_(diags_done) Diags d = DIAGS_INIT;
	ConfDoc *doc = NULL;
	Err err = ERR_INIT;
	CHECK_ERR(conf_read_file("/nonexistent.yaml", &doc, &d, &err), ENOENT);
	CHECK_STR(err.msg, "cannot read '/nonexistent.yaml': No such file or directory");
	CHECK_ERR(conf_read_file("/", &doc, &d, &err), EISDIR);
	CHECK(!doc && d.n == 0);
}

static json_t *random_value(Rng *r, int depth)
{
	static const char *const texts[] = {
	    "",	   "a", "true", "null",	  "12",	      "0.5", " x ", "a: b", "# c", "\xc3\xa4",
	    "- x", "[", "'",	"\"\\\"", "a\nb\n\n", "*x",  "<<x", "!t",   "@",   "%",
	};
	uint64_t kind = rng_below(r, depth > 0 ? 7 : 5);
	json_t *v = kind == 5 ? json_array() : json_object();
	switch (kind) {
	case 0:
		json_decref(v);
		return json_integer((json_int_t)rng_u64(r));
	case 1:
		json_decref(v);
		return json_real(rng_normal(r) * pow(10, (double)rng_below(r, 40) - 20));
	case 2:
		json_decref(v);
		return json_string(texts[rng_below(r, 20)]);
	case 3:
		json_decref(v);
		return json_boolean(rng_below(r, 2));
	case 4:
		json_decref(v);
		return json_null();
	default:
		for (uint64_t n = rng_below(r, 5); n > 0; n--) {
			json_t *inner = random_value(r, depth - 1);
			CHECK_OK(kind == 5
				     ? json_array_append_new(v, inner)
				     : json_object_set_new(v, texts[rng_below(r, 20)], inner));
		}
		return v;
	}
}

TEST(json_is_yaml_and_reads_back_as_the_same_value)
{
	for (uint64_t seed = 0; seed < 2000; seed++) {
		Rng r = rng_derive(seed, "yaml", 0);
		json_auto_t *v = random_value(&r, 4);
		_cleanup_free_ char *text = json_dumps(v, JSON_ENCODE_ANY | JSON_INDENT(seed % 3));
		CHECK(text);
		_cleanup_(reading_done) Reading x = read_text(text);
		json_auto_t *back = x.doc ? conf_to_json(conf_root(x.doc)) : NULL;
		if (!json_equal(v, back))
			test_fail(__FILE__, __LINE__, "seed %" PRIu64 ": %s", seed, text);
	}
}
