/* A unit's text as the manager reads it. What systemd makes of these lines was seen with version
 * 252; tests/adopt asks a real one for the same. */
#include "production/unittext.h"

#include "base/rng.h"
#include "base/str.h"
#include "test.h"

#define UNIT "/etc/systemd/system/judge.service"

static UnitCommand command(const char *text)
{
	char path[] = UNIT;
	_cleanup_free_ char *copy = strdup(text);
	const UnitFile file = {path, copy};
	UnitCommand c = {0};
	Err err = ERR_INIT;
	int r = unitcommand_read(&file, 1, &c, &err);
	if (r < 0)
		printf("# %s\n", err.msg);
	CHECK_OK(r);
	return c;
}

static int command_error(const char *text)
{
	char path[] = UNIT;
	_cleanup_free_ char *copy = strdup(text);
	const UnitFile file = {path, copy};
	UnitCommand c = {0};
	Err err = ERR_INIT;
	int r = unitcommand_read(&file, 1, &c, &err);
	if (r >= 0)
		unitcommand_done(&c);
	else
		CHECK(err.msg[0]);
	return r;
}

/* The words, each in angle brackets. */
static void check_words(const char *line, const char *want)
{
	_cleanup_free_ char *text = str_fmt("[Service]\nExecStart=%s\n", line);
	_cleanup_(unitcommand_done) UnitCommand c = command(text);
	_cleanup_(str_done) Str got = STR_INIT;
	for (size_t i = 0; i < c.n; i++)
		str_addf(&got, "<%s>", c.words[i].value);
	CHECK_STR(got.s, want);
}

TEST(words_are_parted_as_systemd_parts_them)
{
	check_words("/bin/x a  b\tc", "</bin/x><a><b><c>");
	check_words("/bin/x \"a b\" 'c d'", "</bin/x><a b><c d>");
	check_words("/bin/x --name=\"a b\"c", "</bin/x><--name=a bc>");
	check_words("/bin/x 'it''s' \"\"", "</bin/x><its><>");
	check_words("/bin/x a\\x20b \\u00e4 \\101 \\s.", "</bin/x><a b><\xc3\xa4><A>< .>");
	check_words("/bin/x \\\"q\\\" \"in \\\"side\\\"\" 'a\\'b'",
		    "</bin/x><\"q\"><in \"side\"><a'b>");
	check_words("/bin/x \\d+ \\q", "</bin/x><\\d+><\\q>");
	check_words("/bin/x %i 100%% ${A} $B $$C", "</bin/x><%i><100%%><${A}><$B><$$C>");
	check_words("/bin/x \\; a;b ;", "</bin/x><;><a;b>");
	check_words("\"/opt/my program/x\" y", "</opt/my program/x><y>");
}

TEST(prefixes_of_the_program_are_taken_apart)
{
	_cleanup_(unitcommand_done) UnitCommand c =
	    command("[Service]\nExecStart=-@/bin/x name a\n");
	CHECK_STR(c.prefix, "-@");
	CHECK_STR(c.words[0].value, "/bin/x");
	CHECK(!c.no_variables);
	_cleanup_(unitcommand_done) UnitCommand d = command("[Service]\nExecStart=:+/bin/x $A\n");
	CHECK_STR(d.prefix, ":+");
	CHECK(d.no_variables);
}

TEST(lines_that_go_on_are_joined_and_comments_in_between_are_left_out)
{
	_cleanup_(unitcommand_done) UnitCommand c = command("# ExecStart=/bin/wrong\n"
							    "[Service]\n"
							    "ExecStart = /bin/x \\\n"
							    "    --one 1 \\\n"
							    "# not --this 9 \\\n"
							    "  ; nor --that\n"
							    "\t--two \"2 \\\n"
							    "   3\"   \n"
							    "Type=exec\n");
	_cleanup_(str_done) Str got = STR_INIT;
	for (size_t i = 0; i < c.n; i++)
		str_addf(&got, "<%s>", c.words[i].value);
	CHECK_STR(got.s, "</bin/x><--one><1><--two><2  3>");
	CHECK_STR(c.from, UNIT);
}

TEST(a_backslash_that_is_escaped_does_not_continue_the_line)
{
	_cleanup_(unitcommand_done) UnitCommand c =
	    command("[Service]\nExecStart=/bin/x a\\\\\nType=exec\n");
	CHECK_INT(c.n, 2);
	CHECK_STR(c.words[1].value, "a\\");
}

TEST(a_backslash_at_the_end_of_the_file_ends_the_line_too)
{
	_cleanup_(unitcommand_done) UnitCommand c = command("[Service]\nExecStart=/bin/x a \\");
	CHECK_INT(c.n, 2);
}

TEST(windows_line_ends_and_a_byte_order_mark_are_no_part_of_it)
{
	_cleanup_(unitcommand_done) UnitCommand c =
	    command("\xef\xbb\xbf[Service]\r\nExecStart=/bin/x a\r\nType=exec\r\n");
	CHECK_INT(c.n, 2);
	CHECK_STR(c.line, "/bin/x a");
}

TEST(only_the_section_service_counts)
{
	CHECK_ERR(command_error("[Unit]\nExecStart=/bin/x\n[X-Dream]\nExecStart=/bin/y\n"), ENOENT);
	CHECK_ERR(command_error("ExecStart=/bin/x\n"), ENOENT);
	CHECK_ERR(command_error("[Service]\nexecstart=/bin/x\n"), ENOENT);
}

TEST(an_empty_assignment_takes_away_what_was_said_before)
{
	char a[] = "/u", b[] = "/u.d/10.conf", c[] = "/u.d/20.conf";
	char ta[] = "[Service]\nExecStart=/bin/one\n", tb[] = "[Service]\nExecStart=\n",
	     tc[] = "[Service]\nExecStart=/bin/three x\n";
	const UnitFile files[] = {{a, ta}, {b, tb}, {c, tc}};
	_cleanup_(unitcommand_done) UnitCommand got = {0};
	Err err = ERR_INIT;
	UnitCommand none = {0};
	CHECK_OK(unitcommand_read(files, 3, &got, &err));
	CHECK_STR(got.line, "/bin/three x");
	CHECK_STR(got.from, c);
	CHECK_ERR(unitcommand_read(files, 2, &none, &err), ENOENT);
}

TEST(several_commands_are_not_one)
{
	CHECK_ERR(command_error("[Service]\nExecStart=/bin/a\nExecStart=/bin/b\n"), ENOTSUP);
	CHECK_ERR(command_error("[Service]\nExecStart=/bin/a ; /bin/b\n"), ENOTSUP);
}

TEST(what_the_manager_would_not_take_is_refused)
{
	CHECK_ERR(command_error("[Service]\nExecStart=/bin/x \"open\n"), EBADMSG);
	CHECK_ERR(command_error("[Service\nExecStart=/bin/x\n"), EBADMSG);
	CHECK_ERR(command_error("[Service]\nExecStart=-@\n"), EBADMSG);
}

TEST(a_word_is_replaced_and_the_rest_stays_byte_for_byte)
{
	_cleanup_(unitcommand_done) UnitCommand c =
	    command("[Service]\nExecStart=/bin/x   --a  'p q'   --util 0.5  --z \"1\"\n");
	CHECK_OK(unitcommand_replace(&c, 4, "${DREAM_UTIL}"));
	CHECK_STR(c.line, "/bin/x   --a  'p q'   --util ${DREAM_UTIL}  --z \"1\"");
	CHECK_STR(c.words[4].value, "${DREAM_UTIL}");
	CHECK_OK(unitcommand_replace(&c, 6, "two words\t\"and\" \\ a tab"));
	CHECK_STR(c.line, "/bin/x   --a  'p q'   --util ${DREAM_UTIL}  --z "
			  "\"two words\\x09\\\"and\\\" \\\\ a tab\"");
	CHECK_OK(unitcommand_insert(&c, 3, "--more"));
	CHECK_STR(c.words[3].value, "--more");
	CHECK_STR(c.words[4].value, "--util");
	CHECK(strncmp(c.line + c.words[5].at, "${DREAM_UTIL}", c.words[5].len) == 0);
	CHECK_OK(unitcommand_insert(&c, c.n, ";"));
	CHECK_STR(c.words[c.n - 1].value, ";");
	CHECK(strncmp(c.line + c.words[c.n - 1].at, "\";\"", 3) == 0);
}

TEST(the_program_keeps_its_prefix_when_it_is_replaced)
{
	_cleanup_(unitcommand_done) UnitCommand c = command("[Service]\nExecStart=-/bin/x a\n");
	CHECK_OK(unitcommand_replace(&c, 0, "/bin/y"));
	CHECK_STR(c.line, "-/bin/y a");
}

TEST(a_word_at_the_end_stands_in_front_of_a_lone_semicolon)
{
	_cleanup_(unitcommand_done) UnitCommand c = command("[Service]\nExecStart=/bin/x a ;\n");
	CHECK_OK(unitcommand_insert(&c, c.n, "b"));
	CHECK_STR(c.line, "/bin/x a b ;");
}

/* A line of random words, written in a random way, reads as these words; after one is replaced it
 * reads as these words but for that one. */
TEST(whatever_the_words_are_replacing_one_changes_no_other)
{
	static const char alphabet[] = "abc $%\"'\\;#\t=-{}\xc3\xa4";
	uint64_t seed = 20260101;
	Rng rng = rng_derive(seed, "words", 0);
	for (int round = 0; round < 3000; round++) {
		_cleanup_(unitcommand_done) UnitCommand c =
		    command("[Service]\nExecStart=/bin/x\n");
		char words[6][12];
		size_t n = 1 + rng_below(&rng, 5);
		for (size_t i = 0; i < n; i++) {
			size_t len = rng_below(&rng, 9);
			for (size_t k = 0; k < len; k++)
				words[i][k] = alphabet[rng_below(&rng, sizeof(alphabet) - 3)];
			words[i][len] = '\0';
			CHECK_OK(unitcommand_insert(&c, c.n, words[i]));
		}
		size_t at = rng_below(&rng, n);
		snprintf(words[at], sizeof(words[at]), "${NEW}");
		CHECK_OK(unitcommand_replace(&c, at + 1, "${NEW}"));
		_cleanup_free_ char *text = str_fmt("[Service]\nExecStart=%s\n", c.line);
		_cleanup_(unitcommand_done) UnitCommand again = command(text);
		if (again.n != n + 1)
			printf("# round %d: %s\n", round, c.line);
		CHECK_INT(again.n, n + 1);
		for (size_t i = 0; i < n; i++)
			CHECK_STR(again.words[i + 1].value, words[i]);
	}
}

/* --- The fingerprint -------------------------------------------------------------------------- */

static void print_of(const char *text, char ret[65])
{
	char path[] = UNIT;
	_cleanup_free_ char *copy = strdup(text);
	const UnitFile file = {path, copy};
	Err err = ERR_INIT;
	CHECK_OK(unit_fingerprint(&file, 1, NULL, ret, &err));
}

static bool same_print(const char *a, const char *b)
{
	char x[65], y[65];
	print_of(a, x);
	print_of(b, y);
	return strcmp(x, y) == 0;
}

TEST(the_fingerprint_knows_meaning_from_layout)
{
	const char *unit = "[Service]\nEnvironment=A=1\nExecStart=/bin/x a b\n";
	CHECK(same_print(unit, "# hello\n[Unit]\nDescription=new\n[Service]\nEnvironment=\"A=1\"\n"
			       "ExecStart=/bin/x \\\n  a \\\n  b\n"));
	CHECK(!same_print(unit, "[Service]\nEnvironment=A=1\nExecStart=/bin/x a c\n"));
	CHECK(!same_print(unit, "[Service]\nEnvironment=A=1\nExecStart=/bin/x \"a b\"\n"));
	CHECK(!same_print(unit, "[Service]\nEnvironment=A=2\nExecStart=/bin/x a b\n"));
	CHECK(!same_print(unit, "[Service]\nEnvironment=A=1\nEnvironmentFile=/e\n"
				"ExecStart=/bin/x a b\n"));
	CHECK(!same_print(unit, "[Service]\nEnvironment=A=1\nExecStart=-/bin/x a b\n"));
	/* Also of what could not be adopted: a unit may become that later. */
	CHECK(
	    !same_print(unit, "[Service]\nEnvironment=A=1\nExecStart=/bin/x a b\nExecStart=/y\n"));
	CHECK(!same_print(unit, "[Service]\nEnvironment=A=1\nExecStart=/bin/x \"a b\n"));
}

TEST(our_own_drop_in_is_no_part_of_the_fingerprint)
{
	char u[] = UNIT, ours[] = UNIT ".d/zz-dream.conf", theirs[] = UNIT ".d/override.conf";
	char text[] = "[Service]\nExecStart=/bin/x\n",
	     more[] = "[Service]\nExecStart=\nExecStart=/y\n";
	const UnitFile alone[] = {{u, text}}, with[] = {{u, text}, {ours, more}},
		       other[] = {{u, text}, {theirs, more}};
	char a[65], b[65], c[65];
	Err err = ERR_INIT;
	CHECK_OK(unit_fingerprint(alone, 1, ours, a, &err));
	CHECK_OK(unit_fingerprint(with, 2, ours, b, &err));
	CHECK_OK(unit_fingerprint(other, 2, ours, c, &err));
	CHECK_STR(a, b);
	CHECK(strcmp(a, c) != 0);
}

TEST(sizes_are_bounded)
{
	size_t n = (size_t)UNIT_TEXT_MAX + 10;
	_cleanup_free_ char *text = malloc(n + 1);
	char path[] = UNIT;
	UnitFile files[UNIT_FILES_MAX + 1];
	UnitCommand c = {0};
	Err err = ERR_INIT;
	CHECK(text != NULL);
	memset(text, 'a', n);
	text[n] = '\0';
	for (size_t i = 0; i <= UNIT_FILES_MAX; i++)
		files[i] = (UnitFile){path, text};
	CHECK_ERR(unitcommand_read(files, 1, &c, &err), EFBIG);
	text[0] = '\0';
	CHECK_ERR(unitcommand_read(files, UNIT_FILES_MAX + 1, &c, &err), E2BIG);
}

/* A megabyte of continued lines must not take a minute. */
TEST(many_continued_lines_are_read_in_one_go)
{
	_cleanup_(str_done) Str text = STR_INIT;
	str_add(&text, "[Service]\nExecStart=/bin/x \\\n");
	while (text.len < UNIT_TEXT_MAX - 10)
		str_add(&text, "a\\\n");
	str_add(&text, "a\n");
	_cleanup_(unitcommand_done) UnitCommand c = command(text.s);
	CHECK(c.n > 300000);
}
