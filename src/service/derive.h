#pragma once
/* A trial's command from the production unit: its ExecStart, environment, user, working directory
 * and limits, as the manager would execute them. */
#include "server/command.h"
#include "systemd/bus.h"

/* Pure: `read_file` gives the text of an environment file (NULL return: it is not there). Variables
 * are expanded as systemd does it. Refused with a clear word: several commands, shell scripts whose
 * server we cannot see, containers other than `docker run`/`podman run` in the foreground,
 * RootDirectory=, what needs another root. */
typedef int ReadEnvFile(void *ctx, const char *path, char **ret, Err *err);
int command_from_unit(const UnitExec *u, ReadEnvFile *read_file, void *ctx, ServerCommand *ret,
		      Err *err) _must_check_;
/* EnvironmentFile= as systemd reads it (quotes, comments, continuation lines): appended to `env`.
 * Pure. */
int envfile_parse(const char *path, const char *text, size_t len, char ***env,
		  Err *err) _must_check_;
/* "docker run" and "podman run": where the container's own command begins, and the image. -ENOENT:
 * it is none. */
int container_split(char *const *argv, size_t *ret_image_at, Err *err);
