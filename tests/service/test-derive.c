#include "service/derive.h"

#include <errno.h>

#include "service/strings.h"
#include "test.h"

/* --- Environment files ----------------------------------------------------------------------- */

static char **parsed(const char *text)
{
	char **env = NULL;
	Err err = ERR_INIT;
	CHECK_OK(envfile_parse("/etc/default/judge", text, strlen(text), &env, &err));
	return env;
}

typedef struct FileCase {
	const char *text, *name, *value; /* value NULL: not set */
} FileCase;

TEST(environment_files_are_read_as_the_manager_reads_them)
{
	static const FileCase cases[] = {
	    {"A=1\n", "A", "1"},
	    {"A=1", "A", "1"},
	    {"  A = 1  \n", "A", "1"},
	    {"# A=2\n; A=3\nA=1\n", "A", "1"},
	    {"A=one two  three \n", "A", "one two  three"},
	    {"A=\"one two \" \n", "A", "one two "},
	    {"A='one \\two'\n", "A", "one \\two"},
	    {"A='one\ntwo'\n", "A", "one\ntwo"},
	    {"A=\"a\\\"b\\$c\\d\"\n", "A", "a\"b$c\\d"},
	    {"A=\"one\\\ntwo\"\n", "A", "onetwo"},
	    {"A=one\\\n two\nB=3\n", "A", "one two"},
	    {"A=one\\\n two\nB=3\n", "B", "3"},
	    {"A=a\\ b\\\\c\n", "A", "a b\\c"},
	    {"A=\"x\"'y'z\n", "A", "xyz"},
	    {"A=x\"y\"\n", "A", "x\"y\""},
	    {"A=\n", "A", ""},
	    {"A=\"\"\n", "A", ""},
	    {"A=1\nA=2\n", "A", "2"},
	    {"A=a=b\n", "A", "a=b"},
	    {"A=a # no comment\n", "A", "a # no comment"},
	    {"A=${HOME}\n", "A", "${HOME}"},
	    {"garbage\nA=1\n", "A", "1"},
	    {"1A=1\n", "1A", NULL},
	    {"A-B=1\n", "A-B", NULL},
	    {"export A=1\n", "A", NULL},
	    {"A=1\r\nB=2\r\n", "A", "1"},
	    {"A=1\r\nB=2\r\n", "B", "2"},
	    {"A=\"never closed\nB=1\n", "B", NULL},
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		const FileCase *c = &cases[i];
		char **env = parsed(c->text);
		const char *value = env_get(env, c->name, strlen(c->name));
		if (c->value)
			CHECK_STR(value, c->value);
		else
			CHECK(value == NULL);
		strings_free(env);
	}
}

TEST(an_environment_that_is_written_is_read_again)
{
	static char plain[] = "A=1", quotes[] = "B=\"q\" 'x' \\d \\", shell[] = "C=$HOME `id` # no",
		    lines[] = "D=one\n two\\\n\tthree ", empty[] = "E=", utf8[] = "F=\xc3\xa4=b",
		    no_name[] = "2=x", control[] = "G=\033[1m", not_utf8[] = "H=\xff",
		    function[] = "f()=x";
	char *const env[] = {plain,   quotes,  shell,	 lines,	   empty, utf8,
			     no_name, control, not_utf8, function, NULL};
	_cleanup_free_ char *text = envfile_text(env);
	char **back = parsed(text);
	CHECK_INT(strings_count(back), 6);
	for (size_t i = 0; i < 6; i++)
		CHECK_STR(env_get(back, env[i], 1), env[i] + 2);
	strings_free(back);
}

TEST(environment_files_that_cannot_be_trusted_are_refused)
{
	char **env = NULL;
	Err err = ERR_INIT;
	CHECK_ERR(envfile_parse("/e", "A=\xff\n", 4, &env, &err), EBADMSG);
	CHECK(strstr(err.msg, "/e:1: the value of A is not UTF-8") != NULL);
	CHECK_ERR(envfile_parse("/e", "A=1\0B=2", 7, &env, &err), EBADMSG);
	CHECK_ERR(envfile_parse("/e", "# x\\\nA=1\n", 9, &env, &err), EINVAL);
	strings_free(env);
}

/* --- Units ----------------------------------------------------------------------------------- */

typedef struct Disk {
	const char *path, *text;
} Disk;

static int read_disk(void *ctx, const char *path, char **ret, Err *err)
{
	(void)err;
	for (const Disk *d = ctx; d && d->path; d++)
		if (strcmp(d->path, path) == 0) {
			*ret = strdup(d->text);
			return *ret ? 0 : -ENOMEM;
		}
	*ret = NULL;
	return 0;
}

static char unit_name[] = "judge.service";

static UnitExec unit_of(char **argv)
{
	return (UnitExec){.unit = unit_name, .argv = argv, .n_commands = 1};
}

static void check_argv(char *const *argv, const char *const *want)
{
	for (; *want; want++, argv++)
		CHECK_STR(*argv, *want);
	CHECK(*argv == NULL);
}

#define WORDS(...) ((const char *const[]){__VA_ARGS__, NULL})
#define LINE(...)  ((char *[]){__VA_ARGS__, NULL})

TEST(variables_are_expanded_as_the_manager_does_it)
{
	char a[] = "/usr/bin/vllm", b[] = "${MODEL}", c[] = "$ARGS", d[] = "x-${N}-$N-$$N",
	     e[] = "$NONE", f[] = "${NONE}", g[] = "$$HOME", h[] = "$", i[] = "${open";
	char e1[] = "MODEL=Qwen 7B", e2[] = "ARGS=--a 'b c'  --d=\"e f\"", e3[] = "N=5";
	UnitExec u = unit_of(LINE(a, b, c, d, e, f, g, h, i));
	ServerCommand got = {0};
	Err err = ERR_INIT;
	u.env = LINE(e1, e2, e3);
	CHECK_OK(command_from_unit(&u, read_disk, NULL, &got, &err));
	check_argv(got.argv, WORDS("/usr/bin/vllm", "Qwen 7B", "--a", "b c", "--d=e f", "x-5-$N-$N",
				   "", "$HOME", "$", "${open"));
	CHECK_STR(got.cwd, "/");
	CHECK_STR(got.from, "judge.service");
	CHECK(got.user == NULL);
	servercommand_done(&got);
}

TEST(files_win_over_environment_and_later_files_over_earlier_and_unset_over_all)
{
	char a[] = "/bin/x", e1[] = "A=unit", e2[] = "B=unit", e3[] = "C=unit";
	char f1[] = "/one", f2[] = "-/two", f3[] = "-/missing";
	Disk disk[] = {{"/one", "A=one\nB=one\n"}, {"/two", "B=two\n"}, {0}};
	UnitExec u = unit_of(LINE(a));
	ServerCommand got = {0};
	Err err = ERR_INIT;
	u.env = LINE(e1, e2, e3);
	u.env_files = LINE(f1, f2, f3);
	u.sandbox = json_pack("{s:[s,s]}", "UnsetEnvironment", "C", "A=other");
	CHECK_OK(command_from_unit(&u, read_disk, disk, &got, &err));
	CHECK_STR(command_env(&got, "A"), "one");
	CHECK_STR(command_env(&got, "B"), "two");
	CHECK(command_env(&got, "C") == NULL);
	servercommand_done(&got);
	json_decref(u.sandbox);
}

TEST(a_file_that_must_be_there_and_is_not_is_said)
{
	char a[] = "/bin/x", f[] = "/etc/judge.env";
	UnitExec u = unit_of(LINE(a));
	ServerCommand got = {0};
	Err err = ERR_INIT;
	u.env_files = LINE(f);
	CHECK_ERR(command_from_unit(&u, read_disk, NULL, &got, &err), ENOENT);
	CHECK_STR(err.msg, "cannot take the command of judge.service: "
			   "EnvironmentFile=/etc/judge.env is not there");
}

TEST(user_group_folder_and_limits_come_along)
{
	char a[] = "/bin/x", user[] = "vllm", group[] = "gpu", cwd[] = "!/srv/models";
	UnitExec u = unit_of(LINE(a));
	ServerCommand got = {0};
	Err err = ERR_INIT;
	u.user = user;
	u.group = group;
	u.cwd = cwd;
	u.limits = json_pack("{s:I}", "LimitNOFILE", (json_int_t)65536);
	CHECK_OK(command_from_unit(&u, read_disk, NULL, &got, &err));
	CHECK_STR(got.user, "vllm");
	CHECK_STR(got.group, "gpu");
	CHECK_STR(got.cwd, "/srv/models");
	CHECK_INT(json_integer_value(json_object_get(got.limits, "LimitNOFILE")), 65536);
	servercommand_done(&got);
	json_decref(u.limits);
}

/* --- What a trial cannot be made of ---------------------------------------------------------- */

typedef struct Refusal {
	char *argv[8];
	const char *says;
} Refusal;

TEST(wrappers_are_refused_with_a_clear_word)
{
	static char sh[] = "/bin/sh", c[] = "-c", script[] = "source /v/activate && vllm serve x",
		    sudo[] = "/usr/bin/sudo", u_[] = "-u", who[] = "vllm", vllm[] = "vllm",
		    start[] = "/opt/start-vllm", tmux[] = "/usr/bin/tmux",
		    chroot_[] = "/usr/sbin/chroot", docker[] = "/usr/bin/docker",
		    compose[] = "compose", up[] = "up", run[] = "run", d[] = "-d",
		    image[] = "vllm/vllm-openai", start_[] = "start", net[] = "--network",
		    mine[] = "ai-net", it[] = "-itd", old[] = "docker-compose";
	Disk disk[] = {{"/opt/start-vllm", "#!/usr/bin/env bash\nexec vllm\n"}, {0}};
	const Refusal cases[] = {
	    {{sh, c, script}, "through a shell"},
	    {{sh, start}, "through a shell"},
	    {{sudo, u_, who, vllm}, "as another user"},
	    {{start}, "through the shell script /opt/start-vllm"},
	    {{tmux, vllm}, "in the background"},
	    {{chroot_, vllm}, "in another root"},
	    {{docker, compose, up}, "compose file"},
	    {{old, up}, "compose file"},
	    {{docker, run, d, image}, "in the background (-d)"},
	    {{docker, run, it, image}, "in the background (-d)"},
	    {{docker, run, net, mine, image}, "--network ai-net"},
	    {{docker, start_, vllm}, "whose settings are elsewhere"},
	    {{docker, run, net}, "ends after --network"},
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		UnitExec u = {.unit = unit_name, .n_commands = 1};
		ServerCommand got = {0};
		Err err = ERR_INIT;
		char *argv[8];
		memcpy(argv, cases[i].argv, sizeof(argv));
		u.argv = argv;
		CHECK_ERR(command_from_unit(&u, read_disk, disk, &got, &err), ENOTSUP);
		if (!strstr(err.msg, cases[i].says))
			CHECK_STR(err.msg, cases[i].says);
		CHECK(strstr(err.msg, "judge.service") != NULL);
	}
}

TEST(units_that_are_not_one_server_are_refused)
{
	char a[] = "/bin/x", forking[] = "forking", root[] = "/srv/root";
	ServerCommand got = {0};
	Err err = ERR_INIT;
	UnitExec u = unit_of(LINE(a));
	u.n_commands = 2;
	CHECK_ERR(command_from_unit(&u, read_disk, NULL, &got, &err), ENOTSUP);
	u = unit_of(LINE(a));
	u.type = forking;
	CHECK_ERR(command_from_unit(&u, read_disk, NULL, &got, &err), ENOTSUP);
	u = unit_of(LINE(a));
	u.root_dir = root;
	CHECK_ERR(command_from_unit(&u, read_disk, NULL, &got, &err), ENOTSUP);
	CHECK(strstr(err.msg, "RootDirectory=/srv/root") != NULL);
	u = unit_of(NULL);
	CHECK_ERR(command_from_unit(&u, read_disk, NULL, &got, &err), ENOTSUP);
}

TEST(a_shell_with_one_plain_command_is_that_command)
{
	char sh[] = "/bin/bash", c[] = "-c",
	     line[] = "exec /v/bin/vllm serve 'my model' --port 8000";
	UnitExec u = unit_of(LINE(sh, c, line));
	ServerCommand got = {0};
	Err err = ERR_INIT;
	CHECK_OK(command_from_unit(&u, read_disk, NULL, &got, &err));
	check_argv(got.argv, WORDS("/v/bin/vllm", "serve", "my model", "--port", "8000"));
	servercommand_done(&got);
}

TEST(a_python_script_is_no_wrapper)
{
	char a[] = "/v/bin/vllm", b[] = "serve";
	Disk disk[] = {{"/v/bin/vllm", "#!/v/bin/python3\nimport sys\n"}, {0}};
	UnitExec u = unit_of(LINE(a, b));
	ServerCommand got = {0};
	Err err = ERR_INIT;
	CHECK_OK(command_from_unit(&u, read_disk, disk, &got, &err));
	servercommand_done(&got);
}

/* --- Containers ------------------------------------------------------------------------------ */

static ServerCommand command_of(const char *const *argv, const char *const *env)
{
	ServerCommand c = {0};
	CHECK_OK(strings_add(&c.env, strdup("PATH=/usr/bin")));
	for (; *argv; argv++)
		CHECK_OK(strings_add(&c.argv, strdup(*argv)));
	for (; env && *env; env++)
		CHECK_OK(strings_add(&c.env, strdup(*env)));
	return c;
}

TEST(the_image_is_found_behind_options_with_and_without_values)
{
	ServerCommand c =
	    command_of(WORDS("/usr/bin/docker", "--log-level", "warn", "container", "run", "--rm",
			     "-it", "-p", "8000:8000", "-p8001:8001", "--gpus", "all", "--ipc=host",
			     "--init", "-v", "/m:/m", "-e", "A=1", "--name", "judge",
			     "vllm/vllm-openai:v0.11.0", "--model", "q", "-p", "x"),
		       NULL);
	size_t at = 0;
	Err err = ERR_INIT;
	CHECK_OK(container_split(c.argv, &at, &err));
	CHECK_STR(c.argv[at], "vllm/vllm-openai:v0.11.0");
	servercommand_done(&c);
	c = command_of(WORDS("/usr/bin/vllm", "run", "x"), NULL);
	CHECK_ERR(container_split(c.argv, &at, &err), ENOENT);
	servercommand_done(&c);
}

TEST(a_trials_container_has_its_own_name_gpu_and_the_hosts_network)
{
	ServerCommand c =
	    command_of(WORDS("/usr/bin/docker", "run", "--rm", "--name", "judge", "-p", "8000:8000",
			     "--gpus", "all", "--restart=always", "-it", "-e", "HF_TOKEN", "-e",
			     "A=1", "--ipc=host", "-e", "HOME=/root", "image", "--model", "q"),
		       WORDS("HF_TOKEN=secret"));
	ContainerRun run = {0};
	Err err = ERR_INIT;
	CHECK_INT(container_open(&c, &run, &err), 1);
	check_argv(c.argv, WORDS("image", "--model", "q"));
	CHECK_STR(command_env(&c, "HF_TOKEN"), "secret");
	CHECK_STR(command_env(&c, "A"), "1");
	CHECK(command_env(&c, "PATH") == NULL);
	CHECK_OK(env_set(&c.env, "A", "2"));
	CHECK_OK(strings_add(&c.argv, strdup("--port=20001")));
	CHECK_OK(container_close(&run, "dream-trial-7", "GPU-1234", &c, &err));
	check_argv(c.argv,
		   WORDS("/usr/bin/docker", "run", "--ipc=host", "--gpus=device=GPU-1234",
			 "--name=dream-trial-7", "--rm", "--network=host", "--env=HF_TOKEN",
			 "--env=A", "--env=HOME=/root", "image", "--model", "q", "--port=20001"));
	CHECK_STR(command_env(&c, "A"), "2");
	CHECK_STR(command_env(&c, "PATH"), "/usr/bin");
	CHECK(command_env(&c, "HOME") == NULL);
	servercommand_done(&c);
}

TEST(podman_and_the_nvidia_runtime_get_the_gpu_their_own_way)
{
	ServerCommand c = command_of(WORDS("podman", "run", "--device", "nvidia.com/gpu=all", "-e",
					   "NVIDIA_VISIBLE_DEVICES=all", "image"),
				     NULL);
	ContainerRun run = {0};
	Err err = ERR_INIT;
	CHECK_INT(container_open(&c, &run, &err), 1);
	CHECK_OK(container_close(&run, "t", "GPU-1", &c, &err));
	check_argv(c.argv,
		   WORDS("podman", "run", "--device=nvidia.com/gpu=GPU-1", "--name=t", "--rm",
			 "--network=host", "--env=NVIDIA_VISIBLE_DEVICES", "image"));
	CHECK_STR(command_env(&c, "NVIDIA_VISIBLE_DEVICES"), "GPU-1");
	servercommand_done(&c);
}

TEST(what_is_no_container_is_left_alone)
{
	ServerCommand c = command_of(WORDS("/usr/bin/vllm", "serve"), NULL);
	ContainerRun run = {0};
	Err err = ERR_INIT;
	CHECK_INT(container_open(&c, &run, &err), 0);
	check_argv(c.argv, WORDS("/usr/bin/vllm", "serve"));
	servercommand_done(&c);
}
