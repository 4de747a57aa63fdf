#include "base/file.h"

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "scratch.h"

static void check_content(const char *path, const char *want)
{
	_cleanup_free_ char *text = NULL;
	size_t len = 0;
	CHECK_OK(file_read(path, 1 << 20, &text, &len, NULL));
	CHECK_STR(text, want);
	CHECK_INT(len, strlen(want));
}

TEST(what_is_written_reads_back)
{
	SCRATCH(dir);
	_cleanup_free_ char *path = path_join(dir, "a.json");
	CHECK_OK(file_write(path, 0640, "one", 3, NULL));
	check_content(path, "one");
	CHECK_OK(file_write(path, 0600, "", 0, NULL));
	check_content(path, "");
	struct stat st;
	CHECK_OK(stat(path, &st));
	CHECK_INT(st.st_mode & 0777, 0600);
	CHECK_INT(scratch_count(dir), 1);
}

TEST(a_file_longer_than_the_limit_is_refused)
{
	SCRATCH(dir);
	_cleanup_free_ char *path = path_join(dir, "a"), *text = NULL;
	size_t len = 99;
	Err err = ERR_INIT;
	CHECK_OK(file_write(path, 0644, "12345", 5, NULL));
	CHECK_OK(file_read(path, 5, &text, &len, NULL));
	CHECK_INT(len, 5);
	char *untouched = NULL;
	CHECK_ERR(file_read(path, 4, &untouched, &len, &err), EFBIG);
	CHECK(strstr(err.msg, "longer than 4 bytes") && !untouched);
}

TEST(a_file_without_a_size_is_bounded_too)
{
	char *text = NULL;
	size_t len = 0;
	CHECK_ERR(file_read("/dev/zero", 100000, &text, &len, NULL), EFBIG);
	_cleanup_free_ char *status = NULL;
	CHECK_OK(file_read("/proc/self/status", 1 << 20, &status, &len, NULL));
	CHECK(len > 0 && strlen(status) == len);
}

TEST(a_pipe_is_read_to_its_end)
{
	int fd[2];
	CHECK_OK(pipe(fd));
	CHECK_INT(write(fd[1], "through a pipe", 14), 14);
	CHECK_OK(close(fd[1]));
	char path[32];
	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd[0]);
	check_content(path, "through a pipe");
	CHECK_OK(close(fd[0]));
}

TEST(a_dash_is_standard_input)
{
	SCRATCH(dir);
	_cleanup_free_ char *path = path_join(dir, "in"), *text = NULL;
	CHECK_OK(file_write(path, 0644, "typed", 5, NULL));
	int saved = dup(STDIN_FILENO), fd = open(path, O_RDONLY | O_CLOEXEC);
	CHECK(saved >= 0 && fd >= 0 && dup2(fd, STDIN_FILENO) == STDIN_FILENO);
	size_t len = 0;
	CHECK_OK(file_read("-", 100, &text, &len, NULL));
	CHECK_STR(text, "typed");
	CHECK(dup2(saved, STDIN_FILENO) == STDIN_FILENO);
	(void)close(saved);
	(void)close(fd);
}

TEST(what_is_no_file_is_refused_in_words)
{
	SCRATCH(dir);
	char *text = NULL;
	size_t len = 0;
	Err err = ERR_INIT;
	CHECK_ERR(file_read(dir, 100, &text, &len, &err), EISDIR);
	CHECK(strstr(err.msg, "it is a directory"));
	CHECK_ERR(file_read("/nonexistent/x", 100, &text, &len, &err), ENOENT);
	CHECK_STR(err.msg, "cannot read '/nonexistent/x': No such file or directory");

	struct sockaddr_un at = {.sun_family = AF_UNIX};
	(void)snprintf(at.sun_path, sizeof(at.sun_path), "%.90s/s", dir);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	CHECK_OK(bind(fd, (const struct sockaddr *)&at, sizeof(at)));
	CHECK(file_read(at.sun_path, 100, &text, &len, &err) < 0);
	(void)close(fd);
	CHECK(!text);
}

/* In a child, because the limit holds for the whole process. Writes past 4096 bytes fail. */
static int write_under_limit(const char *path)
{
	pid_t pid = fork();
	CHECK(pid >= 0);
	if (pid == 0) {
		struct rlimit limit = {4096, 4096};
		(void)setrlimit(RLIMIT_FSIZE, &limit);
		(void)signal(SIGXFSZ, SIG_IGN);
		static char big[100000];
		_exit(file_write(path, 0644, big, sizeof(big), NULL) == -EFBIG ? 0 : 1);
	}
	int status = 0;
	CHECK_INT(waitpid(pid, &status, 0), pid);
	return status;
}

TEST(a_write_that_fails_leaves_the_old_file_and_nothing_else)
{
	SCRATCH(dir);
	_cleanup_free_ char *path = path_join(dir, "a");
	CHECK_OK(file_write(path, 0644, "old", 3, NULL));
	CHECK_INT(write_under_limit(path), 0);
	check_content(path, "old");
	CHECK_INT(scratch_count(dir), 1);
}

TEST(a_rename_that_fails_leaves_no_temporary_file)
{
	SCRATCH(dir);
	_cleanup_free_ char *path = path_join(dir, "a"), *in = path_join(path, "b");
	Err err = ERR_INIT;
	CHECK_OK(dir_make(in, 0755, NULL));
	CHECK_ERR(file_write(path, 0644, "x", 1, &err), EISDIR);
	CHECK_INT(scratch_count(dir), 1);
	CHECK(strstr(err.msg, "cannot write '"));
}

TEST(what_a_dead_writer_left_behind_is_stepped_over)
{
	SCRATCH(dir);
	_cleanup_free_ char *path = path_join(dir, "a"), *left = NULL;
	CHECK(asprintf(&left, "%s/.a.%ld-0~", dir, (long)getpid()) > 0);
	CHECK_OK(file_write(left, 0644, "torn", 4, NULL));
	CHECK_OK(file_write(path, 0644, "whole", 5, NULL));
	check_content(path, "whole");
	check_content(left, "torn");
}

TEST(appending_makes_the_file_and_then_adds)
{
	SCRATCH(dir);
	_cleanup_free_ char *path = path_join(dir, "log");
	CHECK_OK(file_append(path, "a\n", 2, NULL));
	CHECK_OK(file_append(path, "b\n", 2, NULL));
	check_content(path, "a\nb\n");
	Err err = ERR_INIT;
	CHECK_ERR(file_append("/dev/full", "x", 1, &err), ENOSPC);
	CHECK_STR(err.msg, "cannot append to '/dev/full': No space left on device");
}

TEST(folders_are_made_with_all_above_them)
{
	SCRATCH(dir);
	_cleanup_free_ char *deep = path_join(dir, "a//b/c/"), *file = path_join(dir, "f"),
			    *below = path_join(file, "g");
	struct stat st;
	CHECK_OK(dir_make(deep, 0700, NULL));
	CHECK_OK(dir_make(deep, 0700, NULL));
	CHECK(stat(deep, &st) == 0 && S_ISDIR(st.st_mode) && (st.st_mode & 0777) == 0700);
	CHECK_OK(file_write(file, 0644, "", 0, NULL));
	CHECK_ERR(dir_make(file, 0700, NULL), ENOTDIR);
	CHECK_ERR(dir_make(below, 0700, NULL), ENOTDIR);
	CHECK_OK(dir_make("/", 0700, NULL));
	CHECK_ERR(dir_make("", 0700, NULL), ENOENT);
}

static void check_join(const char *dir, const char *name, const char *want)
{
	_cleanup_free_ char *path = path_join(dir, name);
	CHECK_STR(path, want);
}

TEST(joining_puts_one_slash_between)
{
	check_join("a", "b", "a/b");
	check_join("a//", "b", "a/b");
	check_join("/", "b", "/b");
	check_join("a", "/b", "/b");
	check_join("", "b", "b");
	check_join(".", "b/c", "./b/c");
}

static void check_dir(const char *path, const char *want)
{
	_cleanup_free_ char *dir = path_dir(path);
	CHECK_STR(dir, want);
}

TEST(the_last_part_of_a_path)
{
	CHECK_STR(path_base("/usr/bin/x"), "x");
	CHECK_STR(path_base("x"), "x");
	CHECK_STR(path_base("./x"), "x");
	CHECK_STR(path_base("a/"), "");
	CHECK_STR(path_base("/"), "");
	CHECK_STR(path_base(""), "");
}

TEST(the_folder_of_a_path)
{
	check_dir("/a/b", "/a");
	check_dir("b", ".");
	check_dir("a/b/", "a");
	check_dir("a//b", "a");
	check_dir("/a", "/");
	check_dir("/", "/");
	check_dir("", ".");
}

static uid_t owner(const char *path)
{
	struct stat st;
	CHECK_INT(lstat(path, &st), 0);
	return st.st_uid;
}

TEST(what_root_makes_in_anothers_folder_is_that_ones)
{
	enum {
		OTHER = 12345
	};
	if (geteuid() != 0)
		SKIP("needs root");
	SCRATCH(dir);
	_cleanup_free_ char *theirs = path_join(dir, "theirs"), *ours = path_join(dir, "ours");
	_cleanup_free_ char *deep = path_join(theirs, "a/b"), *file = path_join(deep, "f");
	_cleanup_free_ char *log = path_join(theirs, "log"), *link = path_join(theirs, "link");
	CHECK_OK(dir_make(theirs, 0755, NULL));
	CHECK_INT(chown(theirs, OTHER, OTHER), 0);
	CHECK_OK(dir_make(deep, 0700, NULL));
	CHECK_OK(file_write(file, 0600, "x", 1, NULL));
	CHECK_OK(file_append(log, "line\n", 5, NULL));
	CHECK_INT(owner(deep), OTHER);
	CHECK_INT(owner(file), OTHER);
	CHECK_INT(owner(log), OTHER);
	/* What is there already, and what a link leads to, stays whose it is. */
	CHECK_OK(file_write(ours, 0600, "", 0, NULL));
	CHECK_INT(symlink(ours, link), 0);
	CHECK_OK(file_append(link, "line\n", 5, NULL));
	CHECK_INT(owner(ours), 0);
	CHECK_INT(chown(log, 0, 0), 0);
	CHECK_OK(file_append(log, "line\n", 5, NULL));
	CHECK_INT(owner(log), 0);
}
