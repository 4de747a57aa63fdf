#include "base/strings.h"

#include "test.h"

static void check_list(char *const *list, const char *want)
{
	char text[64] = "";
	for (size_t i = 0; i < strings_count(list); i++)
		snprintf(text + strlen(text), sizeof(text) - strlen(text), "%s%s", i ? " " : "",
			 list[i]);
	CHECK_STR(text, want);
}

TEST(words_are_added_put_between_and_taken_out)
{
	_cleanup_(strings_freep) char **list = NULL;
	CHECK_INT(strings_count(list), 0);
	CHECK_OK(strings_add(&list, strdup("b")));
	CHECK_OK(strings_insert(&list, 0, "a"));
	CHECK_OK(strings_insert(&list, 2, "d"));
	CHECK_OK(strings_insert(&list, 2, "c"));
	check_list(list, "a b c d");
	strings_remove(list, 1);
	strings_remove(list, 2);
	strings_remove(list, 2); /* there is none */
	check_list(list, "a c");
	CHECK_ERR(strings_add(&list, NULL), ENOMEM);
	check_list(list, "a c");
}

TEST(a_copy_is_one_of_its_own)
{
	_cleanup_(strings_freep) char **list = NULL, **copy = NULL, **empty = strings_copy(NULL);
	CHECK(empty);
	CHECK_INT(strings_count(empty), 0);
	CHECK_OK(strings_add(&list, strdup("one")));
	CHECK_OK(strings_add(&list, strdup("two")));
	copy = strings_copy(list);
	strings_remove(list, 0);
	check_list(copy, "one two");
}

TEST(a_word_is_in_a_list_or_not)
{
	static const char *const table[] = {"sudo", "su", "", NULL};
	_cleanup_(strings_freep) char **list = NULL;
	CHECK(!strings_has(NULL, "a"));
	CHECK_OK(strings_add(&list, strdup("a")));
	CHECK(strings_has(list, "a"));
	CHECK(!strings_has(list, ""));
	CHECK(words_have(table, "su"));
	CHECK(words_have(table, ""));
	CHECK(!words_have(table, "s"));
	CHECK(!words_have(table, "sud"));
	CHECK(!words_have(table, "sudoo"));
	CHECK(!words_have(table, NULL));
	CHECK(!words_have(NULL, "su"));
}
