/* `docker run` and `podman run`, as units have them. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/str.h"
#include "production/containerline.h"
#include "service/derive.h"
#include "service/strings.h"

static int not_supported(Err *err, const char *what)
{
	return err_set(err, -ENOTSUP, "%s", what);
}

/* Over what stands between the program and "run". */
static int find_run(char *const *argv, size_t *ret_at, Err *err)
{
	size_t i = 1;

	while (argv[i] && argv[i][0] == '-') {
		ContainerOption o;
		container_option(&argv[i], &o);
		if (strcmp(o.name, "host") == 0 || strcmp(o.name, "H") == 0 ||
		    strcmp(o.name, "context") == 0 || strcmp(o.name, "remote") == 0 ||
		    strcmp(o.name, "c") == 0)
			return not_supported(err, "a container on another host or in another "
						  "context cannot be watched");
		i += o.words == 2 && !argv[i + 1] ? 1 : o.words;
	}
	if (argv[i] && strcmp(argv[i], "container") == 0)
		i++;
	if (!argv[i])
		return not_supported(err, "the container program is given nothing to do");
	if (strcmp(argv[i], "compose") == 0)
		return not_supported(err, "services of a compose file are not supported: write the "
					  "server's own 'docker run' under 'command:'");
	if (strcmp(argv[i], "run") != 0)
		return err_set(err, -ENOTSUP,
			       "'%s %s' starts a container whose settings are elsewhere; write the "
			       "server's own '%s run' under 'command:'",
			       path_base(argv[0]), argv[i], path_base(argv[0]));
	*ret_at = i + 1;
	return 0;
}

static bool is_on(const ContainerOption *o)
{
	return !o->value || strcmp(o->value, "false") != 0;
}

static int check_option(const ContainerOption *o, Err *err)
{
	if (strcmp(o->name, "detach") == 0 && is_on(o))
		return not_supported(err, "a container in the background (-d) cannot be watched; "
					  "run it in the foreground");
	if (strcmp(o->name, "rootfs") == 0)
		return not_supported(err, "a container from a folder (--rootfs) is not supported");
	if (strcmp(o->name, "link") == 0 || strcmp(o->name, "pod") == 0)
		return err_set(err, -ENOTSUP,
			       "a container that is tied to others (--%s) is not supported",
			       o->name);
	if (strcmp(o->name, "network") == 0 && o->value && strcmp(o->value, "host") != 0 &&
	    strcmp(o->value, "bridge") != 0 && strcmp(o->value, "default") != 0)
		return err_set(
		    err, -ENOTSUP,
		    "a container on a network of its own (--network %s) is not supported: "
		    "a trial runs on the host's",
		    o->value);
	return 0;
}

int container_split(char *const *argv, size_t *ret_image_at, Err *err)
{
	size_t i = 0;

	if (!argv || !argv[0] || !container_program(argv[0])) {
		static const char *const composes[] = {"docker-compose", "podman-compose", NULL};
		if (argv && argv[0] && words_have(composes, path_base(argv[0])))
			return not_supported(err, "services of a compose file are not supported: "
						  "write the server's own 'docker run' under "
						  "'command:'");
		return err_set(err, -ENOENT, "not a container");
	}
	int r = find_run(argv, &i, err);
	while (r >= 0 && argv[i] && argv[i][0] == '-') {
		ContainerOption o;
		if (strcmp(argv[i], "--") == 0) {
			i++;
			break;
		}
		container_option(&argv[i], &o);
		if (o.words == 2 && !o.value)
			return err_set(err, -ENOTSUP, "the line ends after %s", argv[i]);
		r = check_option(&o, err);
		i += o.words;
	}
	if (r < 0)
		return r;
	/* Behind "--" a dash may come, but no image begins with one. */
	if (!argv[i] || argv[i][0] == '-')
		return not_supported(err, "the line names no image");
	*ret_image_at = i;
	return 0;
}

/* --- In two parts ---------------------------------------------------------------------------- */

void container_done(ContainerRun *run)
{
	strings_free(run->front);
	strings_free(run->env);
	*run = (ContainerRun){0};
}

/* What a trial decides by itself, or what has no meaning on the host's network. */
static bool is_dropped(const char *name)
{
	static const char *const dropped[] = {"name",
					      "rm",
					      "restart",
					      "tty",
					      "interactive",
					      "detach",
					      "publish",
					      "publish-all",
					      "network",
					      "hostname",
					      "ip",
					      "ip6",
					      "expose",
					      "mac-address",
					      "network-alias",
					      "cidfile",
					      "link-local-ip",
					      "replace",
					      "pidfile",
					      "conmon-pidfile",
					      "sdnotify",
					      NULL};
	return words_have(dropped, name);
}

/* "-e NAME=value"; "-e NAME" takes the value of the container program's own variable. */
static int take_variable(const char *word, char *const *own, char ***env)
{
	const char *equals = strchr(word, '=');
	_cleanup_free_ char *name = strndup(word, equals ? (size_t)(equals - word) : strlen(word));
	if (!name)
		return -ENOMEM;
	const char *value = equals ? equals + 1 : env_get(own, name, strlen(name));
	return value ? env_set(env, name, value) : 0;
}

static int take_front(const ServerCommand *c, size_t image_at, ContainerRun *run, char ***inner)
{
	int r = 0;
	size_t i = 0;

	for (; r >= 0 && c->argv[i] && strcmp(c->argv[i], "run") != 0; i++)
		r = strings_add(&run->front, strdup(c->argv[i]));
	if (r >= 0)
		r = strings_add(&run->front, strdup(c->argv[i++]));
	while (r >= 0 && i < image_at) {
		ContainerOption o;
		container_option(&c->argv[i], &o);
		if (strcmp(c->argv[i], "--") == 0) {
			i++;
			continue;
		}
		if (strcmp(o.name, "env") == 0)
			r = take_variable(o.value, c->env, inner);
		for (size_t k = 0; r >= 0 && k < o.words; k++)
			if (strcmp(o.name, "env") != 0 && !is_dropped(o.name))
				r = strings_add(&run->front, strdup(c->argv[i + k]));
		i += o.words;
	}
	return r;
}

int container_open(ServerCommand *c, ContainerRun *ret, Err *err)
{
	_cleanup_(container_done) ContainerRun run = {0};
	_cleanup_(strings_freep) char **inner = calloc(1, sizeof(*inner)), **rest = NULL;
	size_t image_at = 0;

	int r = container_split(c->argv, &image_at, err);
	if (r < 0)
		return r == -ENOENT ? 0 : r;
	if (!inner || take_front(c, image_at, &run, &inner) < 0)
		return err_oom(err);
	rest = strings_copy(&c->argv[image_at]);
	if (!rest)
		return err_oom(err);
	run.podman = strcmp(path_base(c->argv[0]), "podman") == 0;
	run.env = c->env;
	c->env = TAKE_PTR(inner);
	strings_free(c->argv);
	c->argv = TAKE_PTR(rest);
	*ret = run;
	run = (ContainerRun){0};
	return 1;
}

/* This GPU and no other, in the way the line asks for GPUs. */
static int set_gpu(ContainerRun *run, const char *uuid, char ***inner)
{
	size_t run_at = 1;
	int r = 0;
	bool asked = false;

	while (run->front[run_at - 1] && strcmp(run->front[run_at - 1], "run") != 0)
		run_at++;
	for (size_t i = run_at; run->front[i];) {
		ContainerOption o;
		container_option(&run->front[i], &o);
		bool by_gpus = strcmp(o.name, "gpus") == 0;
		bool by_device = strcmp(o.name, "device") == 0 && o.value &&
				 strncmp(o.value, "nvidia.com/gpu=", 15) == 0;
		if (!by_gpus && !by_device) {
			i += o.words;
			continue;
		}
		for (size_t k = 0; k < o.words; k++)
			strings_remove(run->front, i);
		asked = asked || by_gpus || by_device;
	}
	const char *key = "NVIDIA_VISIBLE_DEVICES";
	if (env_get(*inner, key, strlen(key)))
		r = env_set(inner, key, uuid);
	if (r < 0 || !asked)
		return r;
	_cleanup_free_ char *option = run->podman ? str_fmt("--device=nvidia.com/gpu=%s", uuid)
						  : str_fmt("--gpus=device=%s", uuid);
	return option ? strings_add(&run->front, TAKE_PTR(option)) : -ENOMEM;
}

/* "-e NAME" hands a variable of the container program on, so that its value is on no command line.
 * Variables that the program itself reads keep their value for it. */
static bool is_its_own(const char *name)
{
	static const char *const own[] = {"PATH", "HOME", "USER", "TMPDIR", NULL};
	return words_have(own, name) || strncmp(name, "DOCKER_", 7) == 0 ||
	       strncmp(name, "CONTAINER", 9) == 0 || strncmp(name, "XDG_", 4) == 0 ||
	       strncmp(name, "LD_", 3) == 0 || strncmp(name, "DBUS_", 5) == 0;
}

static int add_variables(ContainerRun *run, char *const *inner)
{
	int r = 0;
	for (; r >= 0 && inner && *inner; inner++) {
		size_t len = strcspn(*inner, "=");
		_cleanup_free_ char *name = strndup(*inner, len);
		if (!name)
			return -ENOMEM;
		bool own = is_its_own(name);
		if (!own)
			r = env_set(&run->env, name, *inner + len + 1);
		if (r >= 0)
			r = strings_add(&run->front, str_fmt("--env=%s", own ? *inner : name));
	}
	return r;
}

static int join(ContainerRun *run, const char *name, const char *uuid, ServerCommand *c)
{
	int r = uuid ? set_gpu(run, uuid, &c->env) : 0;
	if (r >= 0)
		r = strings_add(&run->front, str_fmt("--name=%s", name));
	if (r >= 0)
		r = strings_add(&run->front, strdup("--rm"));
	if (r >= 0)
		r = strings_add(&run->front, strdup("--network=host"));
	if (r >= 0)
		r = add_variables(run, c->env);
	for (char **word = c->argv; r >= 0 && *word; word++)
		r = strings_add(&run->front, strdup(*word));
	return r;
}

int container_close(ContainerRun *run, const char *name, const char *gpu_uuid, ServerCommand *c,
		    Err *err)
{
	if (join(run, name, gpu_uuid, c) < 0)
		return err_oom(err);
	strings_free(c->argv);
	strings_free(c->env);
	c->argv = TAKE_PTR(run->front);
	c->env = TAKE_PTR(run->env);
	container_done(run);
	return 0;
}
