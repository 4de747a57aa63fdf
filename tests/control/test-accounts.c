/* Who may decide, by the accounts and groups of the machine. In a sandbox: /etc/passwd and
 * /etc/group are copies there. The asking processes take the accounts' rights. */
#include <grp.h>
#include <pwd.h>

#include "bench.h"

static void append(const char *path, const char *line)
{
	int fd = open(path, O_WRONLY | O_APPEND | O_CLOEXEC);
	CHECK(fd >= 0);
	CHECK_INT(write(fd, line, strlen(line)), strlen(line));
	close(fd);
}

/* The whole file anew, in place: it is bind-mounted. */
static void replace_line(const char *path, const char *begin, const char *line)
{
	static char text[65536];
	int fd = open(path, O_RDWR | O_CLOEXEC);
	CHECK(fd >= 0);
	ssize_t n = read(fd, text, sizeof(text) - 1);
	CHECK(n > 0);
	text[n] = '\0';
	char *at = strstr(text, begin);
	CHECK(at);
	_cleanup_free_ char *rest = strdup(strchr(at, '\n') + 1);
	*at = '\0';
	_cleanup_free_ char *all = str_fmt("%s%s%s", text, line, rest);
	CHECK_OK(ftruncate(fd, 0));
	CHECK_INT(pwrite(fd, all, strlen(all), 0), strlen(all));
	close(fd);
}

/* What the account is answered: 0, or the errno. Like a login of long ago: the process has no other
 * group than the account's first, whatever the files say now. */
static int ask_as(const Bench *b, const char *account, const char *verb)
{
	const struct passwd *pw = getpwnam(account);
	CHECK(pw);
	pid_t pid = fork();
	CHECK(pid >= 0);
	if (pid == 0) {
		json_auto_t *v = NULL;
		Err err = ERR_INIT;
		if (setgroups(0, NULL) < 0 || setresgid(pw->pw_gid, pw->pw_gid, pw->pw_gid) < 0 ||
		    setresuid(pw->pw_uid, pw->pw_uid, pw->pw_uid) < 0)
			_exit(255);
		_exit(-control_ask(b->path, json_pack("{s:s}", "do", verb), &v, &err));
	}
	return bench_end_of(b, pid);
}

static void bench_with(Bench *b, const char *approvers)
{
	bench_open(b, approvers, 0);
	/* Whether a stranger gets as far as this is the file's mode; here everybody does. */
	CHECK_OK(chmod(b->path, 0666));
}

TEST(the_group_has_the_socket_and_others_do_not_reach_it)
{
	__attribute__((cleanup(bench_done))) Bench b = {0};
	struct stat st;
	append("/etc/group", "approvers0:x:4440:\n");
	bench_open(&b, "approvers0", 0);
	CHECK_OK(stat(b.path, &st));
	CHECK_INT(st.st_gid, 4440);
	CHECK_INT(st.st_mode & 07777, 0660);
	CHECK_INT(ask_as(&b, "dream-trial", "echo"), EACCES);
}

TEST(strangers_may_look_and_not_decide)
{
	__attribute__((cleanup(bench_done))) Bench b = {0};
	bench_with(&b, NULL);
	CHECK_INT(ask_as(&b, "dream-trial", "echo"), 0);
	CHECK_INT(ask_as(&b, "dream-trial", "decide"), EPERM);
	CHECK_INT(b.decided, 0);
	CHECK_INT(ask_as(&b, "root", "decide"), 0);
	CHECK_INT(b.decided, 1);
}

TEST(joining_and_leaving_the_group_counts_at_once)
{
	__attribute__((cleanup(bench_done))) Bench b = {0};
	append("/etc/group", "approvers1:x:4441:\n");
	bench_with(&b, "approvers1");
	CHECK_INT(ask_as(&b, "dream-trial", "decide"), EPERM);
	replace_line("/etc/group", "approvers1:", "approvers1:x:4441:dream-trial\n");
	CHECK_INT(ask_as(&b, "dream-trial", "decide"), 0);
	CHECK_INT(ask_as(&b, "dream", "decide"), EPERM);
	replace_line("/etc/group", "approvers1:", "approvers1:x:4441:dream\n");
	CHECK_INT(ask_as(&b, "dream-trial", "decide"), EPERM);
	CHECK_INT(ask_as(&b, "dream", "decide"), 0);
	CHECK_INT(b.decided, 2);
}

TEST(a_group_that_does_not_exist_is_nobodys)
{
	__attribute__((cleanup(bench_done))) Bench b = {0};
	bench_with(&b, "approvers-nowhere");
	CHECK_INT(ask_as(&b, "dream", "decide"), EPERM);
	CHECK_INT(ask_as(&b, "root", "decide"), 0);
}

TEST(the_group_can_be_another_one_from_now_on)
{
	__attribute__((cleanup(bench_done))) Bench b = {0};
	Err err = ERR_INIT;
	append("/etc/group", "approvers2:x:4442:dream\n");
	bench_with(&b, NULL);
	CHECK_INT(ask_as(&b, "dream", "decide"), EPERM);
	CHECK_OK(control_approvers(b.c, "approvers2", &err));
	CHECK_INT(ask_as(&b, "dream", "decide"), 0);
	CHECK_OK(control_approvers(b.c, NULL, &err));
	CHECK_INT(ask_as(&b, "dream", "decide"), EPERM);
}

TEST(one_account_does_not_keep_the_others_out)
{
	__attribute__((cleanup(bench_done))) Bench b = {0};
	int go[2], status;
	char byte;
	bench_with(&b, NULL);
	const struct passwd *pw = getpwnam("dream-trial");
	CHECK(pw && pipe(go) == 0);
	pid_t pid = fork();
	CHECK(pid >= 0);
	if (pid == 0) {
		close(go[1]);
		if (setgroups(0, NULL) < 0 || setresuid(pw->pw_uid, pw->pw_uid, pw->pw_uid) < 0)
			_exit(255);
		for (int i = 0; i < CONTROL_CLIENTS_MAX; i++)
			(void)connect_to(b.path);
		(void)!read(go[0], &byte, 1);
		_exit(0);
	}
	close(go[0]);
	while (b.c->n_clients < CONTROL_CLIENTS_MAX / 2)
		CHECK_OK(sd_event_run(b.loop, 100000));
	for (int i = 0; i < 100; i++)
		CHECK_OK(sd_event_run(b.loop, 1000));
	CHECK_INT(b.c->n_clients, CONTROL_CLIENTS_MAX / 2);
	CHECK_INT(ask_as(&b, "dream", "echo"), 0);
	close(go[1]);
	CHECK(waitpid(pid, &status, 0) == pid && WIFEXITED(status));
}
