/* What was seen, put together; what is worth tuning; how it is written. All without a machine. */
#include "test.h"

#include "base/json.h"
#include "discover/compose.h"
#include "discover/machine.h"
#include "discover/tune.h"
#include "discover/words.h"
#include "service/strings.h"

static char **copy_of(const char *const *list)
{
	return strings_copy((char *const *)(uintptr_t)list);
}

#define ARGV(...) copy_of((const char *const[]){__VA_ARGS__, NULL})

static FoundGpu gpus[2];

static Machine machine(size_t n_gpus)
{
	for (size_t i = 0; i < n_gpus; i++)
		gpus[i] = (FoundGpu){.info = {.uuid = "GPU-1",
					      .name = "A card",
					      .index = (int)i,
					      .cc_major = 8,
					      .cc_minor = 6},
				     .total_bytes = 12LL << 30,
				     .used_bytes = 1 << 30,
				     .processes_known = true};
	FoundGpu *own = calloc(n_gpus + 1, sizeof(*own));
	memcpy(own, gpus, n_gpus * sizeof(*own));
	return (Machine){.gpus = own, .n_gpus = n_gpus, .root = true};
}

static SeenProcess *add_process(Sightings *s, pid_t pid, pid_t parent, const char *unit,
				char **argv)
{
	s->processes = reallocarray(s->processes, s->n_processes + 1, sizeof(*s->processes));
	s->processes[s->n_processes] = (SeenProcess){.pid = pid,
						     .parent = parent,
						     .argv = argv,
						     .unit = strdup(unit),
						     .home = strdup(unit),
						     .cwd = strdup("/srv")};
	return &s->processes[s->n_processes++];
}

static SeenUnit *add_unit(Sightings *s, const char *name, const char *active, pid_t main_pid,
			  char **argv)
{
	s->units = reallocarray(s->units, s->n_units + 1, sizeof(*s->units));
	SeenUnit *u = &s->units[s->n_units++];
	*u = (SeenUnit){.name = strdup(name),
			.argv = argv,
			.env = ARGV(NULL),
			.env_files = ARGV(NULL),
			.wd = strdup(""),
			.main_pid = main_pid};
	snprintf(u->active, sizeof(u->active), "%s", active);
	return u;
}

static void add_use(Sightings *s, size_t gpu, pid_t pid, int64_t mib)
{
	s->uses = reallocarray(s->uses, s->n_uses + 1, sizeof(*s->uses));
	s->uses[s->n_uses++] =
	    (SeenUse){.gpu = gpu, .pid = pid, .bytes = mib << 20, .visible = true};
}

static void add_listener(Sightings *s, uint16_t port, bool loopback, pid_t pid)
{
	s->listeners = reallocarray(s->listeners, s->n_listeners + 1, sizeof(*s->listeners));
	s->listeners[s->n_listeners++] = (Listener){.port = port, .loopback = loopback, .pid = pid};
}

static char **vllm_argv(void)
{
	return ARGV("/opt/venv/bin/vllm", "serve", "qwen", "--gpu-memory-utilization", "0.5",
		    "--port", "8001", "--api-key", "sk-sesame");
}

TEST(bytes_of_a_worker_below_a_server_are_the_servers)
{
	_cleanup_(sightings_done) Sightings s = {0};
	_cleanup_(machine_done) Machine m = machine(1);
	add_process(&s, 100, 1, "judge.service", vllm_argv());
	add_process(&s, 101, 100, "judge.service", ARGV("VLLM::EngineCore"));
	add_process(&s, 200, 1, "other.service", ARGV("/usr/bin/blender"));
	add_unit(&s, "judge.service", "active", 100, vllm_argv());
	add_use(&s, 0, 101, 6000);
	add_use(&s, 0, 200, 300);
	add_listener(&s, 8001, false, 101);
	CHECK_OK(machine_match(&s, &m, NULL));
	CHECK_INT(m.n_servers, 1);
	CHECK_STR(m.servers[0].name, "judge");
	CHECK_STR(m.servers[0].unit, "judge.service");
	CHECK_INT(m.servers[0].gpu_bytes, 6000LL << 20);
	CHECK_INT(m.servers[0].port, 8001);
	CHECK(m.servers[0].listens && m.servers[0].exposed);
	CHECK_INT(m.n_tenants, 1);
	CHECK_INT(m.tenants[0].pid, 200);
}

static void one_at(Sightings *s, Machine *m, const char *const *hosts, size_t n)
{
	add_process(s, 100, 1, "", vllm_argv());
	for (size_t i = 0; i < n; i++) {
		add_listener(s, 8001, strcmp(hosts[i], "127.0.0.1") == 0, 100);
		snprintf(s->listeners[i].host, sizeof(s->listeners[i].host), "%s", hosts[i]);
	}
	add_use(s, 0, 100, 6000);
	CHECK_OK(machine_match(s, m, NULL));
	CHECK_INT(m->n_servers, 1);
}

TEST(a_server_is_asked_where_it_listens)
{
	static const struct {
		const char *hosts[2], *url;
	} cases[] = {
	    {{"192.168.1.5", NULL}, "url: \"http://192.168.1.5:8001\""},
	    {{"fd00::5", NULL}, "url: \"http://[fd00::5]:8001\""},
	    {{"192.168.1.5", "127.0.0.1"}, "url: \"http://127.0.0.1:8001\""},
	    {{NULL}, "url: \"http://127.0.0.1:8001\""},
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		_cleanup_(sightings_done) Sightings s = {0};
		_cleanup_(machine_done) Machine m = machine(1);
		_cleanup_(str_done) Str yaml = STR_INIT;
		one_at(&s, &m, cases[i].hosts, !!cases[i].hosts[0] + !!cases[i].hosts[1]);
		CHECK_OK(compose_config(&m, "test", &yaml, NULL));
		if (!strstr(yaml.s, cases[i].url))
			test_fail(__FILE__, __LINE__, "no %s", cases[i].url);
	}
}

static void in_container(Sightings *s, Machine *m)
{
	SeenProcess *p = add_process(s, 100, 1, "", vllm_argv());
	free(p->home);
	p->home = strdup("docker 3f2a91c04b7d");
	add_process(s, 60, 1, "docker.service",
		    ARGV("/usr/bin/docker-proxy", "-proto", "tcp", "-host-port", "8001"));
	add_process(s, 70, 1, "web.service", ARGV("/usr/sbin/nginx"));
	CHECK_OK(machine_match(s, m, NULL));
	CHECK_INT(m->n_servers, 1);
	CHECK_INT(m->servers[0].port, 8001);
}

TEST(a_port_that_leads_into_a_container_is_the_servers)
{
	_cleanup_(sightings_done) Sightings s = {0};
	_cleanup_(machine_done) Machine m = machine(1);
	add_listener(&s, 8001, false, 60);
	in_container(&s, &m);
	CHECK(m.servers[0].listens && m.servers[0].exposed);
}

TEST(a_port_of_somebody_else_is_not_the_containers)
{
	_cleanup_(sightings_done) Sightings s = {0};
	_cleanup_(machine_done) Machine m = machine(1);
	_cleanup_(str_done) Str text = STR_INIT;
	add_listener(&s, 8001, false, 70);
	in_container(&s, &m);
	CHECK(!m.servers[0].listens && !m.servers[0].exposed);
	CHECK_OK(mapping_text(&m, &text));
	CHECK(strstr(text.s, "port 8001 in its") && !strstr(text.s, "does not listen"));
}

TEST(a_worker_that_looks_like_a_server_is_no_second_one)
{
	_cleanup_(sightings_done) Sightings s = {0};
	_cleanup_(machine_done) Machine m = machine(1);
	add_process(&s, 100, 1, "", vllm_argv());
	add_process(&s, 101, 100, "", vllm_argv());
	CHECK_OK(machine_match(&s, &m, NULL));
	CHECK_INT(m.n_servers, 1);
	CHECK_INT(m.servers[0].pid, 100);
}

TEST(two_servers_by_hand_have_two_names)
{
	_cleanup_(sightings_done) Sightings s = {0};
	_cleanup_(machine_done) Machine m = machine(1);
	add_process(&s, 100, 1, "", vllm_argv());
	add_process(&s, 300, 1, "", vllm_argv());
	CHECK_OK(machine_match(&s, &m, NULL));
	CHECK_INT(m.n_servers, 2);
	CHECK_STR(m.servers[0].name, "vllm");
	CHECK_STR(m.servers[1].name, "vllm_2");
}

TEST(of_two_of_a_kind_the_one_on_the_gpu_has_the_plain_name)
{
	_cleanup_(sightings_done) Sightings s = {0};
	_cleanup_(machine_done) Machine m = machine(1);
	add_process(&s, 100, 1, "", vllm_argv());
	add_process(&s, 300, 1, "", vllm_argv());
	add_use(&s, 0, 300, 6000);
	CHECK_OK(machine_match(&s, &m, NULL));
	CHECK_STR(m.servers[0].name, "vllm_2");
	CHECK_STR(m.servers[1].name, "vllm");
}

TEST(what_is_started_by_hand_over_ssh_is_not_sshds)
{
	_cleanup_(sightings_done) Sightings s = {0};
	_cleanup_(machine_done) Machine m = machine(1);
	add_process(&s, 10, 1, "ssh.service", ARGV("/usr/sbin/sshd", "-D"));
	add_process(&s, 100, 10, "ssh.service", vllm_argv());
	add_unit(&s, "ssh.service", "active", 10, ARGV("/usr/sbin/sshd", "-D"));
	CHECK_OK(machine_match(&s, &m, NULL));
	CHECK_INT(m.n_servers, 1);
	CHECK_STR(m.servers[0].unit, "");
}

TEST(a_unit_that_would_run_a_server_and_failed_is_found)
{
	_cleanup_(sightings_done) Sightings s = {0};
	_cleanup_(machine_done) Machine m = machine(1);
	add_unit(&s, "judge.service", "failed", 0, vllm_argv());
	add_unit(&s, "cron.service", "active", 5, ARGV("/usr/sbin/cron", "-f"));
	CHECK_OK(machine_match(&s, &m, NULL));
	CHECK_INT(m.n_servers, 1);
	CHECK_INT(m.servers[0].pid, 0);
	CHECK_STR(m.servers[0].active, "failed");
	CHECK(machine_can_tune(&m));
}

TEST(a_loop_of_parents_ends)
{
	_cleanup_(sightings_done) Sightings s = {0};
	_cleanup_(machine_done) Machine m = machine(1);
	add_process(&s, 100, 101, "", ARGV("a"));
	add_process(&s, 101, 100, "", ARGV("b"));
	add_use(&s, 0, 100, 1);
	CHECK_OK(machine_match(&s, &m, NULL));
	CHECK_INT(m.n_tenants, 1);
}

/* --- Tuning ---------------------------------------------------------------------------------- */

static void values_are(const Tune *t, const char *want)
{
	_cleanup_(str_done) Str got = STR_INIT;
	js_canonical(t->values, &got);
	CHECK_STR(got.s, want);
}

static FoundServer *only_server(Sightings *s, Machine *m, char **argv)
{
	add_process(s, 100, 1, "", argv);
	CHECK_OK(machine_match(s, m, NULL));
	CHECK_INT(m->n_servers, 1);
	return &m->servers[0];
}

TEST(the_share_is_tuned_around_what_it_is_within_reason)
{
	static const struct {
		const char *now, *values;
	} rows[] = {
	    {"0.5", "[0.4, 0.45, 0.5, 0.55, 0.6]"},
	    {"0.9", "[0.8, 0.85, 0.9, 0.95]"},
	    {"0.12", "[0.12, 0.17, 0.22]"},
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		_cleanup_(sightings_done) Sightings s = {0};
		_cleanup_(machine_done) Machine m = machine(1);
		Tune t[TUNES_MAX];
		size_t n = 0;
		FoundServer *f = only_server(
		    &s, &m, ARGV("vllm", "serve", "q", "--gpu-memory-utilization", rows[i].now));
		CHECK_OK(server_tunes(f, t, &n, NULL));
		CHECK_INT(n, 1);
		values_are(&t[0], rows[i].values);
		CHECK(!t[0].assumed);
		tunes_done(t, n);
	}
}

TEST(what_a_command_does_not_say_is_the_servers_default_and_said_so)
{
	_cleanup_(sightings_done) Sightings s = {0};
	_cleanup_(machine_done) Machine m = machine(1);
	Tune t[TUNES_MAX];
	size_t n = 0;
	CHECK_OK(server_tunes(only_server(&s, &m, ARGV("vllm", "serve", "q")), t, &n, NULL));
	CHECK_INT(n, 1);
	CHECK(t[0].assumed);
	CHECK_NEAR(json_number_value(t[0].present), 0.9, 1e-9);
	tunes_done(t, n);
}

TEST(a_value_that_is_no_number_is_not_tuned)
{
	_cleanup_(sightings_done) Sightings s = {0};
	_cleanup_(machine_done) Machine m = machine(1);
	Tune t[TUNES_MAX];
	size_t n = 7;
	CHECK_OK(server_tunes(
	    only_server(&s, &m, ARGV("vllm", "serve", "q", "--gpu-memory-utilization", "lots")), t,
	    &n, NULL));
	CHECK_INT(n, 0);
}

TEST(the_target_is_the_flag_or_the_variable_that_the_unit_has)
{
	static const struct {
		const char *line, *env, *env_file, *flag, *want_env, *want_file;
	} rows[] = {
	    {"0.5", NULL, NULL, "--gpu-memory-utilization", NULL, NULL},
	    {"${UTIL}", "UTIL=0.5", NULL, NULL, "UTIL", NULL},
	    {"${UTIL}", NULL, "/etc/judge.env", NULL, "UTIL", "/etc/judge.env"},
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		_cleanup_(sightings_done) Sightings s = {0};
		_cleanup_(machine_done) Machine m = machine(1);
		Tune t[TUNES_MAX];
		size_t n = 0;
		add_process(&s, 100, 1, "judge.service",
			    ARGV("/bin/vllm", "serve", "q", "--gpu-memory-utilization", "0.5"));
		SeenUnit *u = add_unit(
		    &s, "judge.service", "active", 100,
		    ARGV("/bin/vllm", "serve", "q", "--gpu-memory-utilization", rows[i].line));
		if (rows[i].env)
			CHECK_OK(strings_add(&u->env, strdup(rows[i].env)));
		if (rows[i].env_file)
			CHECK_OK(strings_add(&u->env_files, strdup(rows[i].env_file)));
		CHECK_OK(machine_match(&s, &m, NULL));
		CHECK_OK(server_tunes(&m.servers[0], t, &n, NULL));
		CHECK_INT(n, 1);
		CHECK_STR(t[0].unit, "judge.service");
		CHECK_STR(t[0].flag ? t[0].flag : "none", rows[i].flag ? rows[i].flag : "none");
		CHECK_STR(t[0].env ? t[0].env : "none",
			  rows[i].want_env ? rows[i].want_env : "none");
		CHECK_STR(t[0].file ? t[0].file : "none",
			  rows[i].want_file ? rows[i].want_file : "none");
		tunes_done(t, n);
	}
}

TEST(models_beside_the_one_of_whisper_cpp_are_tried_small_to_large)
{
	_cleanup_(sightings_done) Sightings s = {0};
	_cleanup_(machine_done) Machine m = machine(1);
	Tune t[TUNES_MAX];
	size_t n = 0;
	FoundServer *f =
	    only_server(&s, &m, ARGV("whisper-server", "--model", "/srv/ggml-small.bin"));
	f->models = ARGV("/srv/ggml-small.bin", "/srv/ggml-large-v3.bin", "/srv/ggml-tiny.bin");
	CHECK_OK(server_tunes(f, t, &n, NULL));
	CHECK(n >= 1);
	values_are(&t[0], "[\"tiny\", \"small\", \"large-v3\"]");
	CHECK_STR(json_string_value(t[0].present), "small");
	CHECK_STR(js_str(t[0].texts, "tiny", ""), "/srv/ggml-tiny.bin");
	tunes_done(t, n);
}

/* --- Text ------------------------------------------------------------------------------------ */

TEST(no_secret_is_in_what_is_shown_or_written)
{
	_cleanup_(sightings_done) Sightings s = {0};
	_cleanup_(machine_done) Machine m = machine(1);
	_cleanup_(str_done) Str map = STR_INIT, yaml = STR_INIT;
	SeenProcess *p =
	    add_process(&s, 100, 1, "",
			ARGV("vllm", "serve", "q", "--api-key", "sesame1", "--hf-token=sesame2",
			     "--x", "hf_sesame3", "--proxy", "http://me:sesame4@host/",
			     "--max-num-batched-tokens", "2048"));
	p->env = ARGV("HF_TOKEN=sesame5", "VLLM_API_KEY=sesame6");
	add_process(&s, 200, 1, "", ARGV("thing", "--password", "sesame7"));
	add_use(&s, 0, 100, 5000);
	add_use(&s, 0, 200, 500);
	CHECK_OK(machine_match(&s, &m, NULL));
	CHECK_OK(mapping_text(&m, &map));
	CHECK_OK(compose_config(&m, "test", &yaml, NULL));
	CHECK(!strstr(map.s, "sesame"));
	CHECK(!strstr(yaml.s, "sesame"));
	CHECK(strstr(yaml.s, "\"--max-num-batched-tokens\", \"2048\"") != NULL);
	CHECK(strstr(yaml.s, "Arguments that carry secrets") != NULL);
}

TEST(texts_of_others_cannot_break_out_of_a_comment_or_a_scalar)
{
	_cleanup_(str_done) Str out = STR_INIT;
	yaml_comment(2, &out, "%s", "a\nb: c");
	CHECK_STR(out.s, "  # a\\nb: c\n");
	str_clear(&out);
	yaml_text("x: [y", &out);
	CHECK_STR(out.s, "\"x: [y\"");
	str_clear(&out);
	/* Past U+FFFF YAML has an escape of its own. */
	yaml_text("/m/\xf0\x9f\x98\x80\xc3\xa9", &out);
	CHECK_STR(out.s, "\"/m/\\U0001f600\\u00e9\"");
	str_clear(&out);
	yaml_text("yes", &out);
	CHECK_STR(out.s, "\"yes\"");
	str_clear(&out);
	yaml_text("/srv/a-b_c.bin", &out);
	CHECK_STR(out.s, "/srv/a-b_c.bin");
}

TEST(the_memory_block_is_what_the_start_up_log_says)
{
	_cleanup_(sightings_done) Sightings s = {0};
	_cleanup_(machine_done) Machine m = machine(1);
	_cleanup_(str_done) Str yaml = STR_INIT;
	add_process(&s, 100, 1, "judge.service", vllm_argv());
	add_unit(&s, "judge.service", "active", 100, vllm_argv());
	add_use(&s, 0, 100, 6134);
	CHECK_OK(machine_match(&s, &m, NULL));
	m.servers[0].start_known = true;
	m.servers[0].start = (VllmStart){
	    .share = 0.5, .total_bytes = 12622168064, .kv_gib = 0.37, .kv_tokens = 6976};
	CHECK_OK(compose_config(&m, "test", &yaml, NULL));
	/* As published for this box: 57,344 bytes a token, and 5.505 GiB for everything else. */
	CHECK(strstr(yaml.s, "token_bytes: 57344 ") != NULL);
	CHECK(strstr(yaml.s, "non_kv_bytes: 5.505 GiB") != NULL);
	CHECK(strstr(yaml.s, "judge_gpu_memory_utilization: {unit: judge.service, flag: "
			     "\"--gpu-memory-utilization\"}") != NULL);
}

TEST(without_anything_to_tune_there_is_no_configuration)
{
	_cleanup_(machine_done) Machine m = machine(1);
	_cleanup_(machine_done) Machine none = machine(0);
	_cleanup_(str_done) Str yaml = STR_INIT;
	CHECK(!machine_can_tune(&m));
	CHECK(!machine_can_tune(&none));
	CHECK_ERR(compose_config(&m, "test", &yaml, NULL), ENODATA);
}
