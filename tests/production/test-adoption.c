/* Which units can be adopted, what the drop-in says then, and what is refused with which advice. */
#include "planned.h"

/* --- Flags ------------------------------------------------------------------------------------ */

TEST(a_flag_in_two_words_becomes_a_variable)
{
	const Case c = {.files =
			    UNIT("ExecStart=/usr/bin/vllm serve  'm x' --gpu-memory-utilization "
				 "0.50 --port 8000\n"),
			.wishes = {"vllm_memory_util=--gpu-memory-utilization"}};
	PLANNED(p, &c);
	CHECK_STR(service_part(&p), ENV_LINE
		  "ExecStart=\nExecStart=/usr/bin/vllm serve  'm x' --gpu-memory-utilization "
		  "${DREAM_VLLM_MEMORY_UTIL} --port 8000\n");
	CHECK_STR(value_of(&p, "vllm_memory_util"), "0.50");
	CHECK_INT(p.a.n, 1);
	CHECK_STR(p.a.targets[0].variable, "DREAM_VLLM_MEMORY_UTIL");
	CHECK_STR(p.a.targets[0].original, "0.50");
	CHECK_STR(p.a.command,
		  "/usr/bin/vllm serve  'm x' --gpu-memory-utilization 0.50 --port 8000");
}

TEST(a_flag_in_one_word_stays_in_one_and_underscores_are_dashes)
{
	const Case c = {.files = UNIT("ExecStart=-/bin/x \"--gpu_memory_utilization=0.5\" -a\n"),
			.wishes = {"util=--gpu-memory-utilization"}};
	PLANNED(p, &c);
	CHECK_STR(service_part(&p), ENV_LINE "ExecStart=\nExecStart=-/bin/x "
					     "--gpu_memory_utilization=${DREAM_UTIL} -a\n");
}

TEST(a_short_flag_is_one_of_its_own)
{
	const Case c = {.files = UNIT("ExecStart=/bin/llama-server -ngl 99 -np 4\n"),
			.wishes = {"layers=-ngl"}};
	PLANNED(p, &c);
	CHECK_STR(service_part(&p),
		  ENV_LINE "ExecStart=\nExecStart=/bin/llama-server -ngl ${DREAM_LAYERS} -np 4\n");
}

TEST(two_flags_of_two_parameters_and_two_of_one)
{
	const Case c = {.files = UNIT("ExecStart=/bin/x --a 1 --b 2 --c 1\n"),
			.wishes = {"p=--a", "q=--b", "p=--c"}};
	PLANNED(p, &c);
	CHECK_STR(service_part(&p), ENV_LINE "ExecStart=\nExecStart=/bin/x --a ${DREAM_P} --b "
					     "${DREAM_Q} --c ${DREAM_P}\n");
	CHECK_INT(p.a.n, 3);
}

TEST(a_flag_that_is_a_variable_already_has_that_variables_value)
{
	const Case c = {.files =
			    UNIT("EnvironmentFile=-/etc/%p.env\nExecStart=/bin/x --a ${UTIL}\n"),
			.reads = {{"/etc/judge.env", "UTIL='0.45'\n"}},
			.wishes = {"p=--a"}};
	PLANNED(p, &c);
	CHECK_STR(service_part(&p), ENV_LINE "ExecStart=\nExecStart=/bin/x --a ${DREAM_P}\n");
	CHECK_STR(value_of(&p, "p"), "0.45");
}

TEST(a_flag_that_is_not_there_is_added_with_the_value_that_is_given)
{
	Case c = {.files = UNIT("ExecStart=/bin/x --a 1\n"), .wishes = {"p=--b"}, .value = "0.9"};
	PLANNED(p, &c);
	CHECK_STR(service_part(&p), ENV_LINE "ExecStart=\nExecStart=/bin/x --a 1 --b ${DREAM_P}\n");
	CHECK_STR(value_of(&p, "p"), "0.9");
	CHECK(p.a.targets[0].original == NULL);
	c.value = NULL;
	PLANNED(without, &c);
	CHECK_INT(without.r, -EINVAL);
	CHECK(strstr(without.err.msg, "--value p=VALUE"));
}

TEST(an_instance_of_a_template_keeps_its_specifiers)
{
	const Case c = {.unit = "llm@gpu0.service",
			.files = {{"/etc/systemd/system/llm@.service",
				   "[Service]\nEnvironmentFile=/etc/llm/%i.env\n"
				   "ExecStart=/bin/x --name %i --a 0.5 100%%\n"}},
			.reads = {{"/etc/llm/gpu0.env", ""}},
			.wishes = {"p=--a"}};
	PLANNED(p, &c);
	CHECK_STR(service_part(&p),
		  "EnvironmentFile=" STATE "/current/llm@gpu0.service.env\n"
		  "ExecStart=\nExecStart=/bin/x --name %i --a ${DREAM_P} 100%%\n");
}

TEST(an_escaped_instance_name_is_escaped_for_the_pattern_that_the_path_is)
{
	const Case c = {.unit = "llm@a\\x2db.service",
			.files = {{"/u", "[Service]\nExecStart=/bin/x --a 1\n"}},
			.wishes = {"p=--a"}};
	PLANNED(p, &c);
	CHECK_STR(service_part(&p), "EnvironmentFile=" STATE "/current/llm@a\\\\x2db.service.env\n"
				    "ExecStart=\nExecStart=/bin/x --a ${DREAM_P}\n");
}

TEST(the_last_word_of_all_files_counts_and_other_drop_ins_stay)
{
	const Case c = {.files = {{"/u", "[Service]\nExecStart=/bin/x --a 1\n"},
				  {"/u.d/override.conf", "[Service]\nExecStart=\nExecStart=/bin/y "
							 "--a 2\n"}},
			.wishes = {"p=--a"}};
	PLANNED(p, &c);
	CHECK_STR(service_part(&p), ENV_LINE "ExecStart=\nExecStart=/bin/y --a ${DREAM_P}\n");
	CHECK_STR(value_of(&p, "p"), "2");
}

/* --- Variables and files ---------------------------------------------------------------------- */

TEST(a_variable_of_the_unit_is_set_by_the_data_file)
{
	const Case c = {.files = UNIT("Environment=\"A=1\" ASR_SIZE=small\nExecStart=/bin/x $A\n"),
			.wishes = {"size=ASR_SIZE"}};
	PLANNED(p, &c);
	CHECK_STR(service_part(&p), ENV_LINE);
	CHECK_STR(p.a.targets[0].variable, "ASR_SIZE");
	CHECK_STR(value_of(&p, "size"), "small");
}

TEST(of_several_places_that_set_a_variable_the_last_counts)
{
	const Case c = {.files =
			    UNIT("Environment=S=a\nEnvironmentFile=/one\nEnvironmentFile=-/two\n"
				 "EnvironmentFile=-/gone\nExecStart=/bin/x\n"),
			.reads = {{"/one", "S=b\nS=c\n"}, {"/two", "# S=z\nS=\"d\"\nexport S=e\n"}},
			.wishes = {"size=S"}};
	PLANNED(p, &c);
	CHECK_OK(p.r);
	CHECK_STR(value_of(&p, "size"), "d");
}

TEST(a_key_of_an_environment_file_is_overridden_without_a_copy)
{
	const Case c = {.files = UNIT("EnvironmentFile=-/opt/.env\nExecStart=/bin/x\n"),
			.reads = {{"/opt/.env", "TOKEN=secret\nSIZE=small\n"}},
			.wishes = {"size=/opt/.env:SIZE"}};
	PLANNED(p, &c);
	CHECK_STR(service_part(&p), ENV_LINE);
	CHECK_STR(p.a.targets[0].variable, "SIZE");
	CHECK(p.a.targets[0].file_sha256 == NULL);
}

#define COPY(n, path)                                                             \
	"LoadCredential=dream.file" #n ":" STATE "/current/judge.service.file" #n \
	"\nBindReadOnlyPaths=%d/dream.file" #n ":" path "\n"

TEST(a_key_that_the_program_reads_itself_comes_from_a_copy)
{
	const Case c = {.files = UNIT("ExecStart=/bin/x\n"),
			.reads = {{"/opt/.env", "export SIZE='small'\nTOKEN=secret\n"}},
			.wishes = {"size=/opt/.env:SIZE"}};
	PLANNED(p, &c);
	CHECK_STR(service_part(&p), COPY(0, "/opt/.env"));
	CHECK(p.a.targets[0].variable == NULL);
	CHECK(p.a.targets[0].file_sha256 != NULL);
	CHECK_STR(value_of(&p, "size"), "small");
}

TEST(a_variable_and_the_same_key_of_a_file_are_both_set)
{
	const Case c = {.files = UNIT("EnvironmentFile=/opt/.env\nExecStart=/bin/x\n"),
			.reads = {{"/opt/.env", "SIZE=small\n"}},
			.wishes = {"size=SIZE", "size=/opt/.env:SIZE"}};
	PLANNED(p, &c);
	CHECK_STR(service_part(&p), ENV_LINE COPY(0, "/opt/.env"));
	CHECK_STR(p.a.targets[0].variable, "SIZE");
	CHECK(p.a.targets[1].file_sha256 != NULL);
}

TEST(a_key_of_the_config_file_comes_from_a_copy)
{
	const Case c = {
	    .files = UNIT("ExecStart=/bin/vllm serve --config /etc/vllm.yaml\n"),
	    .reads = {{"/etc/vllm.yaml", "model: m\ngpu_memory_utilization: 0.5 # half\n"},
		      {"/opt/.env", "N=1\n"}},
	    .wishes = {"util=--config:gpu-memory-utilization", "n=/opt/.env:N"}};
	PLANNED(p, &c);
	CHECK_STR(service_part(&p), COPY(0, "/etc/vllm.yaml") COPY(1, "/opt/.env"));
	CHECK_STR(value_of(&p, "util"), "0.5");
	CHECK_STR(p.a.targets[0].path, "/etc/vllm.yaml");
	CHECK_INT(target_copy_number(&p.a, 0), 0);
	CHECK_INT(target_copy_number(&p.a, 1), 1);
}

TEST(in_a_users_manager_the_flag_names_the_copy)
{
	const Case c = {.files = UNIT("ExecStart=/bin/vllm serve --config=/etc/vllm.yaml -x\n"),
			.reads = {{"/etc/vllm.yaml", "a: 1\nb: 2\n"}},
			.wishes = {"p=--config:a", "q=--config:b"},
			.user = true};
	PLANNED(p, &c);
	CHECK_STR(service_part(&p), "ExecStart=\nExecStart=/bin/vllm serve --config=" STATE
				    "/current/judge.service.file0 -x\n");
	CHECK_INT(p.a.n, 2);
	CHECK_STR(p.a.targets[1].path, "/etc/vllm.yaml");
	CHECK_STR(value_of(&p, "q"), "2");
}

/* --- Containers ------------------------------------------------------------------------------- */

TEST(a_containers_flag_is_looked_for_behind_the_image)
{
	const Case c = {.files =
			    UNIT("ExecStart=/usr/bin/docker run --rm --gpus all -m 8g -p 80:80 "
				 "vllm/vllm-openai:v0 --model q -m 0.5\n"),
			.wishes = {"p=-m"}};
	PLANNED(p, &c);
	CHECK_STR(service_part(&p), ENV_LINE
		  "ExecStart=\nExecStart=/usr/bin/docker run --rm --gpus all -m 8g -p 80:80 "
		  "vllm/vllm-openai:v0 --model q -m ${DREAM_P}\n");
}

TEST(a_containers_variable_is_set_on_its_line)
{
	const char *const lines[][2] = {
	    {"podman run -e S=small image", "podman run -e S=${DREAM_P} image"},
	    {"podman run -eS=small image a", "podman run -eS=${DREAM_P} image a"},
	    {"podman run --env=S=small -it image", "podman run --env=S=${DREAM_P} -it image"},
	    {"podman run --env \"S=small\" image", "podman run --env S=${DREAM_P} image"},
	    {"podman run -it --env-file /e image a", "podman run -it --env-file /e -e "
						     "S=${DREAM_P} image a"},
	    {"podman run --env-file=/e -- image a", "podman run --env-file=/e -e S=${DREAM_P} -- "
						    "image a"},
	};
	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
		_cleanup_free_ char *text =
		    str_fmt("[Service]\nExecStart=/usr/bin/%s\n", lines[i][0]);
		_cleanup_free_ char *want =
		    str_fmt(ENV_LINE "ExecStart=\nExecStart=/usr/bin/%s\n", lines[i][1]);
		const Case c = {
		    .files = {{"/u", text}}, .reads = {{"/e", "S=small\n"}}, .wishes = {"p=S"}};
		PLANNED(p, &c);
		CHECK_STR(service_part(&p), want);
		CHECK_STR(value_of(&p, "p"), "small");
		CHECK_STR(p.a.targets[0].variable, "DREAM_P");
	}
}

TEST(a_variable_that_the_container_program_hands_on_is_set_for_it)
{
	const Case c = {.files =
			    UNIT("Environment=S=small\nExecStart=/usr/bin/docker run -e S i\n"),
			.wishes = {"p=S"}};
	PLANNED(p, &c);
	CHECK_STR(service_part(&p), ENV_LINE);
	CHECK_STR(p.a.targets[0].variable, "S");
	CHECK_STR(value_of(&p, "p"), "small");
}

/* --- Order ------------------------------------------------------------------------------------ */

TEST(units_that_must_be_ready_first_are_named)
{
	const Case c = {.files = UNIT("ExecStart=/bin/x --a 1\n"),
			.wishes = {"p=--a"},
			.after = {(char[]){"voice.service"}, (char[]){"net.target"}}};
	PLANNED(p, &c);
	CHECK_OK(p.r);
	CHECK(strstr(p.dropin, "[Unit]\nWants=dream-recover.service\nAfter=dream-recover.service\n"
			       "After=voice.service net.target\n\n[Service]\n"));
	CHECK_STR(p.a.after[1], "net.target");
}

/* --- What is refused -------------------------------------------------------------------------- */

static void refused(const Case *c, int code, const char *words)
{
	PLANNED(p, c);
	if (p.r != code || !strstr(p.err.msg, words))
		printf("# %s: %d %s\n", c->files[0].text, p.r, p.err.msg);
	CHECK_INT(p.r, code);
	CHECK(strstr(p.err.msg, words));
}

static void refused_unit(const char *service, const char *wish, int code, const char *words)
{
	_cleanup_free_ char *text = str_fmt("[Service]\n%s\n", service);
	const Case c = {.files = {{"/etc/systemd/system/judge.service", text}},
			.reads = {{"/e", "A=1\nB='over\nlines'\n"},
				  {"/c.yaml", "a: {b: 1}\nflag: x\nmany: |\n  text\n"},
				  {"/list.yaml", "- a\n"}},
			.wishes = {wish}};
	refused(&c, code, words);
}

TEST(what_cannot_be_adopted_is_refused_with_what_to_do)
{
	refused_unit("ExecStart=/bin/sh -c 'vllm serve --a 1'", "p=--a", -ENOTSUP, "shell script");
	refused_unit("ExecStart=/usr/bin/env bash -lc 'x --a 1'", "p=--a", -ENOTSUP,
		     "shell script");
	refused_unit("ExecStart=/bin/a --a 1 ; /bin/b", "p=--a", -ENOTSUP, "ExecStartPre=");
	refused_unit("ExecStart=:/bin/a --a 1", "p=--a", -ENOTSUP, "take the ':' out");
	refused_unit("ExecStart=/bin/a --a", "p=--a", -ENOTSUP, "no value");
	refused_unit("ExecStart=/bin/a --a --b 1", "p=--a", -ENOTSUP, "no value");
	refused_unit("ExecStart=/bin/a --a 1 --a 2", "p=--a", -ENOTSUP, "2 times");
	refused_unit("ExecStart=/bin/a -x -- y", "p=--a", -ENOTSUP, "'--'");
	refused_unit("Environment=\"ARGS=--a 1\"\nExecStart=/bin/a $ARGS", "p=--a", -ENOTSUP,
		     "inside the variable ARGS");
	refused_unit("ExecStart=/bin/a --a ${X}", "p=--a", -ENOTSUP, "set nowhere");
	refused_unit("ExecStart=/bin/a --a pre${X}", "p=--a", -ENOTSUP, "write the value out");
	refused_unit("ExecStart=/bin/a --a %t", "p=--a", -ENOTSUP, "write it out");
	refused_unit("ExecStart=/bin/a --a 'two words'", "p=--a", -EPERM, "plain text");
	refused_unit("ExecStart=/bin/a --a -1", "p=--a", -EPERM, "plain text");
	refused_unit("Environment=A=1\nUnsetEnvironment=A\nExecStart=/bin/a", "p=A", -ENOTSUP,
		     "UnsetEnvironment=");
	refused_unit("ExecStart=/usr/bin/sudo -u x a", "p=A", -ENOTSUP, "User=");
	refused_unit("ExecStart=/usr/bin/env A=1 /bin/a", "p=A", -ENOTSUP, "command line");
	refused_unit("ExecStart=/bin/a", "p=LD_PRELOAD", -EPERM, "which program or library");
	refused_unit("ExecStart=/bin/a", "p=PYTHONPATH", -EPERM, "which program or library");
	refused_unit("ExecStart=/bin/a", "p=/e:PATH", -EPERM, "which program or library");
	refused_unit("EnvironmentFile=/etc/*.env\nExecStart=/bin/a", "p=A", -ENOTSUP, "pattern");
	refused_unit("EnvironmentFile=/gone\nExecStart=/bin/a", "p=A", -ENOENT, "not there");
	refused_unit("ExecStart=/bin/a", "p=/gone:A", -ENOENT, "there is no /gone");
	refused_unit("ExecStart=/bin/a", "p=/e:B", -ENOTSUP, "put it right");
	refused_unit("ExecStart=/bin/a", "p=/odd path:A", -EINVAL, "plain path");
	refused_unit("RootDirectory=/r\nExecStart=/bin/a", "p=/e:A", -ENOTSUP, "another root");
	refused_unit("ExecStart=/bin/a", "p=--config:a", -ENOTSUP, "no --config");
	refused_unit("ExecStart=/bin/a --config c.yaml", "p=--config:a", -ENOTSUP, "absolute path");
	refused_unit("ExecStart=/bin/a --config /c.yaml", "p=--config:a", -ENOTSUP, "safely");
	refused_unit("ExecStart=/bin/a --config /c.yaml", "p=--config:b", -EINVAL, "--value");
	refused_unit("ExecStart=/bin/a --config /c.yaml", "p=--config:many", -ENOTSUP, "safely");
	refused_unit("ExecStart=/bin/a --config /c.yaml", "p=--config:a.b", -ENOTSUP, "nested");
	refused_unit("ExecStart=/bin/a --config /list.yaml", "p=--config:a", -ENOTSUP, "no list");
	refused_unit("ExecStart=/bin/a --config /c.yaml --flag 1", "p=--config:flag", -ENOTSUP,
		     "on the command line as well");
	refused_unit("ExecStart=/usr/bin/docker start x", "p=--a", -ENOTSUP, "'run'");
	refused_unit("ExecStart=/usr/bin/docker run -d image --a 1", "p=--a", -ENOTSUP,
		     "take -d out");
	refused_unit("ExecStart=/usr/bin/docker run --rm", "p=--a", -ENOTSUP, "no image");
	refused_unit("ExecStart=/usr/bin/docker run image", "p=/e:A", -ENOTSUP, "--env-file");
	refused_unit("ExecStart=/usr/bin/docker run image --config /c.yaml", "p=--config:a",
		     -ENOTSUP, "inside the container");
	refused_unit("ExecStart=/usr/bin/docker-compose up", "p=--a", -ENOTSUP, "compose");
	refused_unit("Type=exec", "p=--a", -ENOENT, "no ExecStart=");
}

TEST(a_drop_in_that_is_read_after_ours_is_named)
{
	Case c = {.files = {{"/u", "[Service]\nExecStart=/bin/x --a 1\n"},
			    {"/run/systemd/system/judge.service.d/zzz.conf",
			     "[Service]\nExecStart=\nExecStart=/bin/x --a 2\n"}},
		  .wishes = {"p=--a"}};
	refused(&c, -ENOTSUP, "zzz.conf is read after our drop-in");
	c.files[1].text = "[Service]\nMemoryMax=1G\n";
	PLANNED(harmless, &c);
	CHECK_OK(harmless.r);
	c.files[1].path = "/run/systemd/system/judge.service.d/zz-dream.conf";
	refused(&c, -EEXIST, "rename it");
}

TEST(units_that_are_no_services_of_their_own_are_refused)
{
	Case c = {
	    .unit = "x.socket", .files = UNIT("ExecStart=/bin/x --a 1\n"), .wishes = {"p=--a"}};
	refused(&c, -EINVAL, "no service");
	c.unit = "llm@.service";
	refused(&c, -EINVAL, "llm@NAME.service");
}

TEST(in_a_users_manager_a_file_cannot_be_replaced)
{
	const Case c = {.files = UNIT("ExecStart=/bin/x\n"),
			.reads = {{"/opt/.env", "SIZE=small\n"}},
			.wishes = {"size=/opt/.env:SIZE"},
			.user = true};
	refused(&c, -ENOTSUP, "a user's systemd cannot");
}

TEST(targets_that_disagree_need_a_word)
{
	Case c = {.files = UNIT("Environment=SIZE=tiny\nExecStart=/bin/x\n"),
		  .reads = {{"/opt/.env", "SIZE=small\n"}},
		  .wishes = {"size=SIZE", "size=/opt/.env:SIZE"}};
	refused(&c, -EINVAL, "tiny at SIZE and small at SIZE");
	c.value = "small";
	PLANNED(said, &c);
	CHECK_OK(said.r);
	CHECK_STR(value_of(&said, "size"), "small");
	c.value = "base";
	refused(&c, -EINVAL, "make them the same");
	c.wishes[1] = NULL;
	refused(&c, -EINVAL, "adopting a unit changes no value");
}

TEST(two_wishes_of_one_place_or_one_variable_are_refused)
{
	Case c = {.files = UNIT("ExecStart=/bin/x --a 1 --b 2\n"), .wishes = {"p=--a", "p=--a"}};
	refused(&c, -EINVAL, "named twice");
	c.wishes[0] = "p-q=--a";
	c.wishes[1] = "p_q=--b";
	refused(&c, -EINVAL, "rename one of them");
}

TEST(wishes_that_name_nothing_are_refused)
{
	static const char *const bad[] = {"",	   "p",		  "=--a",    "p=",	"1p=--a",
					  "p=--",  "p=---a",	  "p=-",     "p=a b",	"p=/e",
					  "p=/e:", "p=/e:1A",	  "p=1A",    "p=--a b", "p q=--a",
					  "p=a=b", "p=--config:", "p=--a;b", "p=${A}",	"p=../e:A"};
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		AdoptWish w = {0};
		Err err = ERR_INIT;
		int r = adoptwish_parse(bad[i], &w, &err);
		if (r != -EINVAL)
			printf("# %s\n", bad[i]);
		CHECK_INT(r, -EINVAL);
	}
}

TEST(what_is_allowed_is_a_range_or_a_list)
{
	Allowed a = {0};
	Err err = ERR_INIT;
	CHECK_OK(allowed_parse("0.3..0.95", &a, &err));
	CHECK_OK(allowed_check(&a, "p", "0.95", &err));
	CHECK_ERR(allowed_check(&a, "p", "0.96", &err), EPERM);
	CHECK_ERR(allowed_check(&a, "p", "small", &err), EPERM);
	CHECK_OK(allowed_parse("-1..2", &a, &err));
	CHECK_OK(allowed_parse("tiny,base,small", &a, &err));
	CHECK_OK(allowed_check(&a, "p", "base", &err));
	CHECK_ERR(allowed_check(&a, "p", "bas", &err), EPERM);
	allowed_done(&a);
	CHECK_ERR(allowed_parse("2..1", &a, &err), EINVAL);
	CHECK_ERR(allowed_parse("a..b", &a, &err), EINVAL);
	CHECK_ERR(allowed_parse("1..nan", &a, &err), EINVAL);
	CHECK_ERR(allowed_parse("", &a, &err), EINVAL);
	CHECK_ERR(allowed_parse("a,,b", &a, &err), EINVAL);
	CHECK_ERR(allowed_parse("a,$b", &a, &err), EINVAL);
}

/* --- Drift ------------------------------------------------------------------------------------ */

static char *drift_of(const Planned *p, const Case *now)
{
	UnitFile files[4];
	char *words = NULL;
	Err err = ERR_INIT;
	size_t n = take_files(now, files);
	const AdoptInput in = {.unit = p->a.unit,
			       .files = files,
			       .n_files = n,
			       .state_dir = STATE,
			       .dropin = p->a.dropin,
			       .read_file = read_file,
			       .ctx = (void *)(uintptr_t)now};
	CHECK_OK(p->r);
	CHECK_OK(adoption_drift(&p->a, &in, &words, &err));
	drop_files(files, n);
	return words;
}

TEST(a_later_edit_is_drift_and_a_comment_is_not)
{
	const Case then = {.files = UNIT("EnvironmentFile=/e\nExecStart=/bin/x --a 1\n"),
			   .reads = {{"/e", "S=small\nT=1\n"}, {"/f", "K=1\n"}},
			   .wishes = {"p=--a", "q=S", "r=/f:K"},
			   .value = NULL};
	PLANNED(p, &then);
	Case now = then;
	_cleanup_free_ char *none = drift_of(&p, &now);
	CHECK_STR(none, "");

	now.files[0].text = "# new\n[Service]\nEnvironmentFile=/e\nExecStart=/bin/x \\\n --a 1\n";
	_cleanup_free_ char *layout = drift_of(&p, &now);
	CHECK_STR(layout, "");

	now.files[0].text = "[Service]\nEnvironmentFile=/e\nExecStart=/bin/x --a 2\n";
	_cleanup_free_ char *line = drift_of(&p, &now);
	CHECK(strstr(line, "ExecStart= or environment was edited"));

	now = then;
	now.reads[0].text = "S=small\nT=2\n";
	_cleanup_free_ char *other = drift_of(&p, &now);
	CHECK_STR(other, "");
	now.reads[0].text = "S=base\nT=1\n";
	_cleanup_free_ char *value = drift_of(&p, &now);
	CHECK_STR(value, "S is base in the unit's own files now (small then)");

	now = then;
	now.reads[1].text = "K=1\nL=2\n";
	_cleanup_free_ char *copy = drift_of(&p, &now);
	CHECK_STR(copy, "/f was edited since");
	now.reads[1] = (File){0};
	_cleanup_free_ char *gone = drift_of(&p, &now);
	CHECK_STR(gone, "/f was taken away since");
}
