/* A container program for tests: `docker run OPTIONS IMAGE WORDS` starts what the image holds as
 * number 1 of a namespace of its own, with the words and the variables (-e) that it was given, and
 * waits. The image "vllm/..." holds a server that stays as it was started; "deaf/..." one that gets
 * none of the words; "script/..." a script that gets them and starts a server without; "none/..."
 * nothing. */
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static pid_t number_1;

static void end(int sig)
{
	(void)sig;
	if (number_1 > 0)
		(void)kill(number_1, SIGKILL);
	_exit(0);
}

static void stay(void)
{
	for (;;)
		pause();
}

static bool begins(const char *text, const char *with)
{
	return strncmp(text, with, strlen(with)) == 0;
}

static void become_number_1(const char *image, char **words)
{
	static char shell[] = "sh", dash_c[] = "-c", server[] = "server",
		    script[] = "\"$0\" & wait";
	static char self[256];
	bool by_script = begins(image, "script/");
	char *argv[64];
	size_t n = 0;
	if (by_script) {
		(void)!readlink("/proc/self/exe", self, sizeof(self) - 1);
		argv[n++] = shell;
		argv[n++] = dash_c;
		argv[n++] = script;
		argv[n++] = self;
	} else {
		argv[n++] = server;
	}
	for (; *words && n < 63 && !begins(image, "deaf/"); words++)
		argv[n++] = *words;
	argv[n] = NULL;
	(void)execv(by_script ? "/bin/sh" : "/proc/self/exe", argv);
	_exit(1);
}

/* The engine: no process of the image is the client's child. */
static void run(const char *image, char **words)
{
	if (fork() != 0)
		return;
	if (unshare(CLONE_NEWPID) < 0)
		_exit(1);
	number_1 = fork();
	if (number_1 == 0)
		become_number_1(image, words);
	(void)waitpid(number_1, NULL, 0);
	_exit(0);
}

int main(int argc, char **argv)
{
	(void)signal(SIGTERM, end);
	if (argc < 2 || strcmp(argv[1], "run") != 0)
		stay();
	int at = 2;
	for (; at < argc && !strchr(argv[at], '/'); at++)
		if (strcmp(argv[at], "-e") == 0 && at + 1 < argc)
			(void)putenv(argv[++at]);
	if (at < argc && !begins(argv[at], "none/"))
		run(argv[at], argv + at + 1);
	stay();
}
