#include "base/err.h"

#include "test.h"

TEST(a_message_is_wrapped_from_the_outside)
{
	Err e = ERR_INIT;
	CHECK_ERR(err_set(&e, -ENOENT, "cannot read '%s'", "x.yaml"), ENOENT);
	CHECK_ERR(err_wrap(&e, -ENOENT, "cannot start trial %d", 3), ENOENT);
	CHECK_STR(e.msg, "cannot start trial 3: cannot read 'x.yaml'");
	CHECK_INT(e.code, -ENOENT);
}

TEST(wrapping_nothing_says_what_the_code_means)
{
	Err e = ERR_INIT, oom = ERR_INIT, none = ERR_INIT;
	CHECK_ERR(err_wrap(&e, -EIO, "cannot write"), EIO);
	CHECK_STR(e.msg, "cannot write: Input/output error");
	CHECK_ERR(err_wrap(&oom, -ENOMEM, "cannot write"), ENOMEM);
	CHECK_STR(oom.msg, "cannot write: out of memory");
	CHECK_INT(err_wrap(&none, 0, "nothing failed"), 0);
	CHECK_STR(none.msg, "nothing failed");
}

TEST(a_shortage_of_the_machine_is_nobodys_mistake)
{
	CHECK(err_is_shortage(-ENOMEM));
	CHECK(err_is_shortage(-EMFILE));
	CHECK(err_is_shortage(-EIO));
	CHECK(!err_is_shortage(-ENOENT));
	CHECK(!err_is_shortage(-EBADMSG));
	CHECK(!err_is_shortage(0));
}

TEST(an_absent_err_is_allowed)
{
	CHECK_ERR(err_set(NULL, -EINVAL, "unheard"), EINVAL);
	CHECK_ERR(err_wrap(NULL, -EINVAL, "unheard"), EINVAL);
	CHECK_ERR(err_oom(NULL), ENOMEM);
}

TEST(a_message_stays_one_line_without_control_characters)
{
	Err e = ERR_INIT;
	(void)err_set(&e, -EIO, "%s", "tail:\n\x1b[2Jend\x07");
	CHECK_STR(e.msg, "tail: ?[2Jend?");
}

TEST(a_long_message_is_cut_between_characters)
{
	for (int pad = 0; pad < 4; pad++) {
		Err e = ERR_INIT;
		char text[1200] = "xxxx";
		for (int i = 0; i < 300; i++)
			memcpy(text + pad + 3 * i, "\xe2\x82\xac", 3);
		(void)err_set(&e, -EIO, "%s", text);
		size_t len = strlen(e.msg);
		CHECK(len < sizeof(e.msg) && len > sizeof(e.msg) - 5);
		CHECK_INT((len - (size_t)pad) % 3, 0);
	}
}

TEST(wrapping_a_long_message_never_overflows)
{
	Err e = ERR_INIT;
	(void)err_set(&e, -EIO, "%0600d", 0);
	for (int i = 0; i < 10; i++)
		(void)err_wrap(&e, -EIO, "%0100d", i);
	CHECK(strlen(e.msg) < sizeof(e.msg));
}
