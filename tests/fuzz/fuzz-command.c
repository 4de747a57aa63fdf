/* A command line of anybody (a word a line), and behind an empty line its environment: as a unit's,
 * as a container's, as a server's. What is put into a server's command is read back from it, and a
 * container's line that was taken apart and put together again runs the same image with the same
 * words. */
#include <string.h>

#include "base/json.h"
#include "fuzz.h"
#include "server/server.h"
#include "service/derive.h"
#include "service/strings.h"

enum {
	WORDS_MAX = 64,
	SAMPLE_MAX = 4096,
};

static bool settings_have(const ServerKind *k, const ServerCommand *c, const char *name,
			  const json_t *value)
{
	json_auto_t *o = server_settings(k, c);
	MUST(o);
	return json_equal(json_object_get(o, name), value);
}

static void check_setting(const ServerKind *k, const ServerCommand *from, const char *name,
			  json_t *value)
{
	_cleanup_(servercommand_done) ServerCommand c = {0};
	json_auto_t *settings = json_pack("{s:o}", name, value);
	Err err = ERR_INIT;
	MUST(settings && servercommand_copy(from, &c) == 0);
	MUST(server_apply(k, NULL, settings, &c, &err) == 0);
	MUST(settings_have(k, &c, name, value));
}

static void check_listen(const ServerKind *k, const ServerCommand *from)
{
	_cleanup_(servercommand_done) ServerCommand c = {0};
	uint16_t port = 0;
	Err err = ERR_INIT;
	MUST(server_listen(k, from, &port) < 0 || port > 0);
	MUST(servercommand_copy(from, &c) == 0);
	int r = server_set_listen(k, &c, "127.0.0.1", 4711, &err);
	MUST(r == 0 || err.msg[0]);
	MUST(r < 0 || (server_listen(k, &c, &port) == 0 && port == 4711));
}

/* No flag that is left without its value, at the end or before "--": such a server does not run. */
static bool is_whole(char *const *argv)
{
	for (; *argv; argv++)
		if (argv[0][0] == '-' && (!argv[1] || strcmp(argv[1], "--") == 0))
			return false;
	return true;
}

static void check_server(const ServerKind *k, const ServerCommand *c)
{
	_cleanup_free_ char *model = NULL, *path = NULL, *body = NULL;
	json_auto_t *o = server_settings(k, c), *ask = server_ask(k, o), *parsed = NULL;
	Err err = ERR_INIT;
	MUST(o && ask && server_model(k, c, &model, &err) == 0);
	(void)server_wants_gpu(k, c);
	if (server_load_request(k, c, o, &path, &body))
		MUST(path && body && js_parse(body, strlen(body), 1 << 20, &parsed, &err) == 0);
	if (!is_whole(c->argv))
		return;
	check_listen(k, c);
	if (strcmp(server_kind_name(k), "vllm") == 0) {
		check_setting(k, c, "gpu_memory_utilization", json_real(0.45));
		check_setting(k, c, "max_num_seqs", json_integer(17));
		check_setting(k, c, "enforce_eager", json_true());
	} else if (strcmp(server_kind_name(k), "llamacpp") == 0) {
		check_setting(k, c, "ctx_size", json_integer(4096));
	}
}

static void check_container(const ServerCommand *from)
{
	_cleanup_(servercommand_done) ServerCommand c = {0};
	ContainerRun run = {0};
	size_t before = 0, after = 0;
	Err err = ERR_INIT;
	MUST(servercommand_copy(from, &c) == 0);
	int r = container_open(&c, &run, &err);
	MUST(r >= 0 || err.msg[0]);
	MUST((r > 0) == (container_split(from->argv, &before, &err) == 0));
	if (r <= 0)
		return;
	MUST(container_close(&run, "dream-trial-1", "GPU-1", &c, &err) == 0);
	MUST(container_split(c.argv, &after, &err) == 0);
	for (; from->argv[before]; before++, after++)
		MUST(c.argv[after] && strcmp(from->argv[before], c.argv[after]) == 0);
	MUST(!c.argv[after]);
}

static int no_file(void *ctx, const char *path, char **ret, Err *err)
{
	(void)ctx;
	(void)path;
	(void)err;
	*ret = NULL;
	return 0;
}

static void check_unit(const ServerCommand *from)
{
	_cleanup_(servercommand_done) ServerCommand c = {0};
	char unit[] = "u.service", none[] = "";
	UnitExec u = {.unit = unit,
		      .fragment = none,
		      .argv = from->argv,
		      .n_commands = 1,
		      .env = from->env,
		      .user = none,
		      .group = none,
		      .cwd = none,
		      .root_dir = none,
		      .type = none};
	Err err = ERR_INIT;
	int r = command_from_unit(&u, no_file, NULL, &c, &err);
	MUST(r == 0 || err.msg[0]);
	MUST(r < 0 || (c.argv && c.argv[0]));
}

static void read_words(char *text, ServerCommand *c)
{
	bool env = false;
	for (size_t n = 0; text && n < WORDS_MAX; n++) {
		char *word = strsep(&text, "\n");
		const char *equals = strchr(word, '=');
		if (!*word && !env)
			env = true;
		else if (!env)
			MUST(strings_add(&c->argv, strdup(word)) == 0);
		else if (equals && env_name_valid(word, (size_t)(equals - word)))
			MUST(strings_add(&c->env, strdup(word)) == 0);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_(servercommand_done) ServerCommand c = {0};
	if (size > SAMPLE_MAX)
		return 0;
	_cleanup_free_ char *text = strndup((const char *)data, size);
	c.argv = strings_copy(NULL);
	c.env = strings_copy(NULL);
	MUST(text && c.argv && c.env);
	read_words(text, &c);
	if (!c.argv[0])
		return 0;
	const ServerKind *k = server_recognise(c.argv);
	if (k)
		check_server(k, &c);
	check_container(&c);
	check_unit(&c);
	return 0;
}
