/* What a killed worker leaves that is no child of it. */
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/file.h"
#include "test.h"
#include "worker/internal.h"

static pid_t dead_process(void)
{
	pid_t pid = fork();
	if (pid == 0)
		_exit(0);
	CHECK(pid > 0 && waitpid(pid, NULL, 0) == pid);
	return pid;
}

/* A container program whose list is the file `names`, and which notes what it removes. */
static char *write_docker(const char *dir, const char *names)
{
	Err err = ERR_INIT;
	char *docker = path_join(dir, "docker");
	_cleanup_free_ char *list = path_join(dir, "names");
	_cleanup_free_ char *script = str_fmt("#!/bin/sh\n"
					      "case $1 in\n"
					      "ps) cat %s/names;;\n"
					      "rm) echo \"$@\" >> %s/removed;;\n"
					      "esac\n",
					      dir, dir);
	CHECK_OK(file_write(docker, 0700, script, strlen(script), &err));
	CHECK_OK(file_write(list, 0600, names, strlen(names), &err));
	return docker;
}

static void remove_all(const char *dir)
{
	static const char *const names[] = {"docker", "names", "removed"};
	for (size_t i = 0; i < 3; i++) {
		_cleanup_free_ char *path = path_join(dir, names[i]);
		(void)unlink(path);
	}
	CHECK(rmdir(dir) == 0);
}

TEST(containers_of_dead_workers_are_removed_and_no_others)
{
	char dir[] = "/tmp/dream-test-leftover-XXXXXX";
	size_t len;
	Err err = ERR_INIT;
	pid_t dead = dead_process();
	CHECK(mkdtemp(dir) != NULL);
	_cleanup_free_ char *names =
	    str_fmt("dream-trial-%d-0\ndream-trial-%d-1\nmine-dream-trial-%d-0\n"
		    "dream-trial-%d-0-mine\ndream-trial-x\ndatabase\n",
		    (int)dead, (int)getpid(), (int)dead, (int)dead);
	_cleanup_free_ char *docker = write_docker(dir, names);
	_cleanup_free_ char *path = path_join(dir, "removed"), *removed = NULL;
	_cleanup_free_ char *wanted = str_fmt("rm -f dream-trial-%d-0\n", (int)dead);
	CHECK_INT(leftover_containers(docker), 1);
	CHECK_OK(file_read(path, 4096, &removed, &len, &err));
	CHECK_STR(removed, wanted);
	remove_all(dir);
}

TEST(a_container_program_that_does_not_work_is_no_fault_here)
{
	CHECK_INT(leftover_containers("/nowhere/docker"), 0);
}
