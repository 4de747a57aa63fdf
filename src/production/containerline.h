#pragma once
/* Options of `docker run` and `podman run`, as units have them. Where the image stands on the line
 * can only be told by knowing which options take a value: those that do not are listed, all others
 * do. Pure. */
#include <stdbool.h>
#include <stddef.h>

typedef struct ContainerOption {
	char name[40];	   /* the long name without dashes: "network"; a short one: "m" */
	const char *value; /* inside argv; NULL: none */
	size_t words;	   /* how many of argv it takes */
} ContainerOption;

/* Of the option at argv[0], which begins with '-'. */
void container_option(char *const *argv, ContainerOption *ret);
bool container_program(const char *argv0); /* docker, podman, nerdctl */
/* "docker run [options] IMAGE [words]": where its options begin, and the words behind the image.
 * They are indices into argv. False: it is no such line. */
bool container_line(char *const *argv, size_t *ret_options, size_t *ret_words);
