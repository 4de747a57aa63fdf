#include "base/beside.h"

#include "test.h"

TEST(a_descriptor_is_a_number_behind_the_standard_three)
{
	static const char *const wrong[] = {"",	   " ",	 "x",	    "3x",
					    "0x3", "3 ", "2",	    "0",
					    "-1",  "-4", "1000001", "99999999999999999999"};
	int fd = -7;
	CHECK_OK(fd_from_text("3", &fd));
	CHECK_INT(fd, 3);
	CHECK_OK(fd_from_text("1000000", &fd));
	CHECK_INT(fd, 1000000);
	for (size_t i = 0; i < sizeof(wrong) / sizeof(*wrong); i++) {
		if (fd_from_text(wrong[i], &fd) != -EINVAL)
			test_fail(__FILE__, __LINE__, "'%s' was taken", wrong[i]);
		CHECK_INT(fd, 1000000);
	}
}

TEST(an_account_is_found_or_there_is_none)
{
	uid_t uid = 4711;
	Err err = ERR_INIT;
	CHECK_INT(user_find("nobody-of-this-name", &uid, &err), 0);
	CHECK_INT(uid, 4711);
	CHECK_INT(user_find("root", &uid, &err), 1);
	CHECK_INT(uid, 0);
}
