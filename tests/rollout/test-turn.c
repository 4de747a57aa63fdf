/* One at a time changes production. */
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/str.h"
#include "rollout/turn.h"
#include "test.h"

static char *folder(void)
{
	char template[] = "/tmp/dream-turn-XXXXXX";
	CHECK(mkdtemp(template));
	return str_fmt("%s", template);
}

static void done(const char *dir)
{
	_cleanup_free_ char *path = str_fmt("%s/rollout.lock", dir);
	(void)unlink(path);
	CHECK_INT(rmdir(dir), 0);
}

TEST(the_second_is_told_who_is_in_the_way)
{
	_cleanup_free_ char *dir = folder();
	int first = -1, second = -1;
	Err err = ERR_INIT;
	CHECK_OK(turn_take(dir, &first, NULL));
	CHECK_ERR(turn_take(dir, &second, &err), EBUSY);
	CHECK_INT(second, -1);
	CHECK(strstr(err.msg, "somebody else is changing production"));
	first = turn_end(first);
	CHECK_INT(first, -1);
	CHECK_OK(turn_take(dir, &second, NULL));
	CHECK_INT(turn_end(second), -1);
	CHECK_INT(turn_end(-1), -1);
	done(dir);
}

TEST(the_turn_of_whoever_dies_is_over)
{
	_cleanup_free_ char *dir = folder();
	int held = -1, status = 0, taken[2];
	char byte = 0;
	CHECK_INT(pipe(taken), 0);
	pid_t child = fork();
	CHECK(child >= 0);
	if (child == 0) {
		int fd;
		byte = turn_take(dir, &fd, NULL) == 0;
		(void)!write(taken[1], &byte, 1);
		for (;;)
			pause();
	}
	CHECK_INT(read(taken[0], &byte, 1), 1);
	CHECK_INT(byte, 1);
	CHECK_ERR(turn_take(dir, &held, NULL), EBUSY);
	CHECK_INT(kill(child, SIGKILL), 0);
	CHECK_INT(waitpid(child, &status, 0), child);
	CHECK_OK(turn_take(dir, &held, NULL));
	turn_end(held);
	close(taken[0]);
	close(taken[1]);
	done(dir);
}

TEST(a_link_in_its_place_is_not_followed)
{
	_cleanup_free_ char *dir = folder();
	_cleanup_free_ char *path = str_fmt("%s/rollout.lock", dir);
	_cleanup_free_ char *elsewhere = str_fmt("%s-elsewhere", dir);
	int fd = -1;
	CHECK_INT(symlink(elsewhere, path), 0);
	CHECK_ERR(turn_take(dir, &fd, NULL), ELOOP);
	CHECK_INT(access(elsewhere, F_OK), -1);
	done(dir);
}
