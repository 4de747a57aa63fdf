#pragma once
/* A trial's command from the production unit: its ExecStart, environment, user, working directory
 * and limits, as the manager would execute them. */
#include "server/command.h"
#include "systemd/bus.h"

/* Pure: `read_file` gives the text of an environment file, or the beginning of the program when it
 * is a script (*ret NULL: it is not there, or is no text). Variables are expanded as systemd does
 * it. Refused with a clear word: several commands, shell scripts whose server we cannot see,
 * containers other than `docker run`/`podman run` in the foreground, RootDirectory=, what needs
 * another root. */
typedef int ReadEnvFile(void *ctx, const char *path, char **ret, Err *err);
int command_from_unit(const UnitExec *u, ReadEnvFile *read_file, void *ctx, ServerCommand *ret,
		      Err *err) _must_check_;
/* EnvironmentFile= as systemd reads it (quotes, comments, continuation lines): appended to `env`.
 * Pure. */
int envfile_parse(const char *path, const char *text, size_t len, char ***env,
		  Err *err) _must_check_;
/* The other way round: a text that gives exactly these variables. What the manager would not take
 * from such a file (a name or a value that no unit can have) is left out. NULL: out of memory.
 * Pure.
 */
char *envfile_text(char *const *env);
/* "docker run" and "podman run": where the container's own command begins, and the image. -ENOENT:
 * it is none. -ENOTSUP: a container that a trial cannot be made of, with the sentence why. */
int container_split(char *const *argv, size_t *ret_image_at, Err *err) _must_check_;

/* A container's command in two parts, so that settings, variables and the port reach the server
 * inside and not the container program: */
typedef struct ContainerRun {
	char **front; /* owned: "docker run ..." up to the image, without names and variables */
	char **env;   /* owned: of the container program itself */
	bool podman;
} ContainerRun;

/* Leaves in `c` what runs inside: argv[0] is the image, env what the line gives it. 0: it is no
 * container, and nothing was done; 1: it was. */
int container_open(ServerCommand *c, ContainerRun *ret, Err *err) _must_check_;
/* Puts the whole line together again: named `name`, removed when it ends, on the host's network,
 * with this GPU alone (NULL: as it was). Secrets stay off the command line where that is possible.
 */
int container_close(ContainerRun *run, const char *name, const char *gpu_uuid, ServerCommand *c,
		    Err *err) _must_check_;
void container_done(ContainerRun *run);
