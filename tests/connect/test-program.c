/* dream-connect as it is, and who waits for its answer. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "bed.h"
#include "connect/connect.h"
#include "test.h"

typedef struct Program {
	Bed bed;
	pid_t pid;
} Program;

static void program_start(Program *p)
{
	bed_start(&p->bed);
	CHECK_OK(setenv(CONNECT_VARIABLE, p->bed.path, 1));
	p->pid = fork();
	if (p->pid == 0) {
		if (p->bed.listener == 3 ? fcntl(3, F_SETFD, 0) < 0 : dup2(p->bed.listener, 3) < 0)
			_exit(9);
		execl(DREAM_CONNECT_PROGRAM, "dream-connect", "--fd", "3", (char *)NULL);
		_exit(9);
	}
	CHECK(p->pid > 0);
}

static void program_stop(Program *p)
{
	int status = -1;
	CHECK_OK(kill(p->pid, SIGTERM));
	CHECK_INT(waitpid(p->pid, &status, 0), p->pid);
	CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
	CHECK_OK(unsetenv(CONNECT_VARIABLE));
	bed_stop(&p->bed);
}

static bool is_listed(const char *text, uint16_t port)
{
	char hex[8];
	snprintf(hex, sizeof(hex), ":%04X ", (unsigned)port);
	return strstr(text, hex) != NULL;
}

static void look(void)
{
	Err err = ERR_INIT;
	uint16_t port, free_port;
	size_t len = 0;
	_cleanup_free_ char *text = NULL;
	int tcp = bed_port("127.0.0.1", &port);
	int brief = bed_port("127.0.0.1", &free_port);
	CHECK(tcp >= 0 && brief >= 0);
	close(brief);
	CHECK_INT(connect_port_free(port, &err), 0);
	CHECK_INT(connect_port_free(free_port, &err), 1);
	CHECK_OK(connect_tables(&text, &len, &err));
	CHECK_INT(strlen(text), len);
	CHECK(is_listed(text, port));
	CHECK(!is_listed(text, free_port));
	close(tcp);
}

TEST(ports_and_tables_are_told)
{
	Program p;
	program_start(&p);
	look();
	program_stop(&p);
}

TEST(and_seen_by_ourselves_where_nobody_has_to_be_asked)
{
	CHECK_OK(unsetenv(CONNECT_VARIABLE));
	look();
	CHECK_OK(setenv(CONNECT_VARIABLE, "", 1)); /* as of a unit that took it back */
	look();
}

TEST(what_cannot_be_asked_says_what_to_do)
{
	Err err = ERR_INIT;
	char *text = NULL;
	size_t len;
	CHECK_OK(setenv(CONNECT_VARIABLE, "/nonexistent/socket", 1));
	CHECK_ERR(connect_port_free(80, &err), ENOENT);
	CHECK(strstr(err.msg, "dream-connect.socket"));
	CHECK_ERR(connect_tables(&text, &len, &err), ENOENT);
	CHECK(strstr(err.msg, "dream-connect.socket"));
	char path[300];
	memset(path, 'a', sizeof(path) - 1);
	path[sizeof(path) - 1] = '\0';
	CHECK_OK(setenv(CONNECT_VARIABLE, path, 1));
	CHECK_ERR(connect_port_free(80, &err), ENAMETOOLONG);
	CHECK_OK(unsetenv(CONNECT_VARIABLE));
}

/* Its socket is there and nobody answers: what waits, waits for seconds and not for ever. */
TEST(one_that_hangs_is_given_up)
{
	Bed bed;
	Err err = ERR_INIT;
	bed_start(&bed);
	CHECK_OK(setenv(CONNECT_VARIABLE, bed.path, 1));
	CHECK_ERR(connect_port_free(80, &err), ETIMEDOUT);
	CHECK(strstr(err.msg, "dream-connect.service"));
	CHECK_OK(unsetenv(CONNECT_VARIABLE));
	bed_stop(&bed);
}

static int exit_of(const char *const *argv)
{
	int status = -1;
	pid_t pid = fork();
	if (pid == 0) {
		if (!freopen("/dev/null", "w", stderr) || !freopen("/dev/null", "w", stdout))
			_exit(9);
		execv(DREAM_CONNECT_PROGRAM, (char *const *)(uintptr_t)argv);
		_exit(9);
	}
	CHECK_INT(waitpid(pid, &status, 0), pid);
	CHECK(WIFEXITED(status));
	return WEXITSTATUS(status);
}

TEST(it_starts_only_with_a_socket_to_listen_at)
{
	CHECK_INT(exit_of((const char *const[]){"dream-connect", "--help", NULL}), 0);
	CHECK_INT(exit_of((const char *const[]){"dream-connect", NULL}), 1);
	CHECK_INT(exit_of((const char *const[]){"dream-connect", "--fd", NULL}), 2);
	CHECK_INT(exit_of((const char *const[]){"dream-connect", "--fd", "1", NULL}), 2);
	CHECK_INT(exit_of((const char *const[]){"dream-connect", "--fd", "3x", NULL}), 2);
	CHECK_INT(exit_of((const char *const[]){"dream-connect", "--fd", "999", NULL}), 1);
	CHECK_INT(exit_of((const char *const[]){"dream-connect", "--listen", "80", NULL}), 2);
}
