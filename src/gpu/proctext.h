#pragma once
/* A process in words, from text that the process itself could choose. Pure, for the functions of
 * owners.h. */
#include <stddef.h>

/* The path that says most in the text of /proc/PID/cgroup; "" when none does. New string; NULL: out
 * of memory. */
char *path_of_cgroups(const char *text);
/* "judge.service" for "/system.slice/judge.service/x". New string; NULL: out of memory. */
char *home_of_cgroup(const char *cgroup);
/* `cmdline` as /proc has it: arguments with a NUL after each. New string; NULL: out of memory. */
char *words_of_cmdline(const char *cmdline, size_t len);
