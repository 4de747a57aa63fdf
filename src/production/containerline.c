/* The options of a container's line. */
#include "production/containerline.h"

#include <string.h>

#include "base/file.h"
#include "base/strings.h"

static bool is_switch(const char *name)
{
	static const char *const switches[] = {"detach",
					       "disable-content-trust",
					       "help",
					       "init",
					       "interactive",
					       "rm",
					       "no-healthcheck",
					       "oom-kill-disable",
					       "privileged",
					       "publish-all",
					       "quiet",
					       "read-only",
					       "sig-proxy",
					       "tty",
					       "use-api-socket",
					       "env-host",
					       "http-proxy",
					       "no-hosts",
					       "no-hostname",
					       "passwd",
					       "replace",
					       "read-only-tmpfs",
					       "rmi",
					       "rootfs",
					       "tls-verify",
					       "debug",
					       "tls",
					       "tlsverify",
					       "unsetenv-all",
					       "remote",
					       NULL};
	return words_have(switches, name);
}

/* Short options that others name: one name for each thing. */
static const char *long_name(char c)
{
	switch (c) {
	case 'd':
		return "detach";
	case 'e':
		return "env";
	case 'h':
		return "hostname";
	case 'i':
		return "interactive";
	case 'p':
		return "publish";
	case 'P':
		return "publish-all";
	case 'q':
		return "quiet";
	case 't':
		return "tty";
	default:
		return NULL;
	}
}

static void set_name(ContainerOption *o, const char *name, size_t len)
{
	if (len >= sizeof(o->name))
		len = sizeof(o->name) - 1;
	memcpy(o->name, name, len);
	o->name[len] = '\0';
	if (strcmp(o->name, "net") == 0)
		set_name(o, "network", 7);
}

/* "-it", "-p8080:80", "-e NAME". Of several switches in one word the first of `detach` counts. */
static void read_short(char *const *argv, ContainerOption *ret)
{
	const char *p = argv[0] + 1;

	ret->words = 1;
	for (; *p; p++) {
		const char *name = long_name(*p);
		if (!name || !is_switch(name)) {
			set_name(ret, name ? name : p, name ? strlen(name) : 1);
			ret->value = p[1] == '=' ? p + 2 : p[1] ? p + 1 : argv[1];
			ret->words = p[1] ? 1 : 2;
			return;
		}
		if (strcmp(ret->name, "detach") != 0)
			set_name(ret, name, strlen(name));
	}
}

void container_option(char *const *argv, ContainerOption *ret)
{
	*ret = (ContainerOption){0};
	if (argv[0][1] != '-') {
		read_short(argv, ret);
		return;
	}
	const char *name = argv[0] + 2, *equals = strchr(name, '=');
	set_name(ret, name, equals ? (size_t)(equals - name) : strlen(name));
	ret->value = equals ? equals + 1 : is_switch(ret->name) ? NULL : argv[1];
	ret->words = equals || is_switch(ret->name) ? 1 : 2;
}

bool container_program(const char *argv0)
{
	static const char *const programs[] = {"docker", "podman", "nerdctl", NULL};
	return words_have(programs, path_base(argv0));
}

bool container_line(char *const *argv, size_t *ret_options, size_t *ret_words)
{
	size_t at = 1;
	if (!argv[0] || !container_program(argv[0]))
		return false;
	while (argv[at] && strcmp(argv[at], "run") != 0)
		at++;
	if (!argv[at])
		return false;
	*ret_options = ++at;
	while (argv[at] && argv[at][0] == '-' && argv[at][1]) {
		ContainerOption o;
		container_option(argv + at, &o);
		for (size_t i = 0; i < o.words && argv[at]; i++)
			at++;
	}
	*ret_words = argv[at] ? at + 1 : at;
	return true;
}
