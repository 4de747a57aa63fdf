/* The kinds of server: their command lines, texts (as the servers wrote them) and pages. */
#include "base/json.h"
#include "server/server.h"
#include "test.h"

static ServerCommand line(const char *text)
{
	ServerCommand c = {.argv = calloc(40, sizeof(char *))};
	char *copy = strdup(text), *rest = copy;

	for (size_t n = 0; rest && n < 39; n++)
		c.argv[n] = strdup(strsep(&rest, " "));
	free(copy);
	return c;
}

static void recognised(const char *text, const char *want)
{
	ServerCommand c = line(text);
	const ServerKind *k = server_recognise(c.argv);

	CHECK_STR(k ? server_kind_name(k) : "none", want);
	servercommand_done(&c);
}

TEST(command_lines_are_recognised)
{
	recognised("/opt/venv/bin/vllm serve Qwen/Qwen2.5-7B --port 8001", "vllm");
	recognised("python3 -m vllm.entrypoints.openai.api_server --model m", "vllm");
	recognised("uv run --with vllm vllm serve m", "vllm");
	recognised("docker run --rm --gpus all vllm/vllm-openai:v0.11.0 --model m", "vllm");
	recognised("vllm bench serve", "none");
	recognised("nice -n 5 /usr/bin/llama-server -m x.gguf", "llamacpp");
	recognised("podman run ghcr.io/ggml-org/llama.cpp:server-cuda -m x", "llamacpp");
	recognised("/usr/local/bin/ollama serve", "ollama");
	recognised("ollama run llama3", "none");
	recognised("docker run -d ollama/ollama", "ollama");
	recognised("whisper-server -m base.bin", "whispercpp");
	recognised("uvicorn --factory speaches.main:create_app", "openai-stt");
	recognised("docker run ghcr.io/speaches-ai/speaches:latest", "openai-stt");
	recognised("/usr/bin/vim /etc/vllm.conf", "none");
	recognised("sleep 5", "none");
}

static void applied(const char *kind, const char *before, const char *settings, const char *after)
{
	ServerCommand c = line(before);
	ServiceSpec spec = {0};
	Str words = STR_INIT;
	Err err = ERR_INIT;
	json_t *o;

	CHECK_OK(js_parse(settings, strlen(settings), 4096, &o, NULL));
	CHECK_OK(server_apply(server_kind(kind), &spec, o, &c, &err));
	for (char **word = c.argv; *word; word++)
		str_addf(&words, "%s%s", word == c.argv ? "" : " ", *word);
	CHECK_STR(words.s, after);
	str_done(&words);
	json_decref(o);
	servercommand_done(&c);
}

TEST(settings_become_flags)
{
	applied("vllm", "vllm serve old --gpu-memory-utilization=0.9",
		"{\"gpu_memory_utilization\": 0.45, \"model\": \"new\", \"enforce_eager\": true}",
		"vllm serve new --gpu-memory-utilization=0.45 --enforce-eager");
	applied("vllm", "vllm serve m", "{\"long_prefill_token_threshold\": 7}",
		"vllm serve m --long-prefill-token-threshold 7");
	applied("llamacpp", "llama-server -m a -c 1 -np 2", "{\"ctx_size\": 4096, \"parallel\": 4}",
		"llama-server -m a -c 4096 -np 4");
	applied("whispercpp", "whisper-server -m a -ng", "{\"no_gpu\": false, \"threads\": 3}",
		"whisper-server -m a --threads 3");
}

TEST(what_is_on_by_default_is_told_to_be_off)
{
	applied("vllm", "vllm serve m --enable-prefix-caching",
		"{\"enable_prefix_caching\": false}", "vllm serve m --no-enable-prefix-caching");
	applied("vllm", "vllm serve m --no-enable-prefix-caching",
		"{\"enable_prefix_caching\": true}", "vllm serve m --enable-prefix-caching");
}

TEST(a_setting_that_no_place_is_known_for_is_refused_with_the_remedy)
{
	ServerCommand c = line("assistant");
	ServiceSpec spec = {0};
	Err err = ERR_INIT;
	json_t *o = json_pack("{s:s}", "model_size", "small");

	CHECK_ERR(server_apply(server_kind("command"), &spec, o, &c, &err), EINVAL);
	CHECK(strstr(err.msg, "model_size") && strstr(err.msg, "places"));
	spec.places = json_pack("{s:{s:s}}", "model_size", "env", "WHISPER_MODEL");
	CHECK_OK(server_apply(server_kind("command"), &spec, o, &c, &err));
	CHECK_STR(command_env(&c, "WHISPER_MODEL"), "small");
	json_decref(spec.places);
	json_decref(o);
	servercommand_done(&c);
}

TEST(settings_are_applied_without_a_configuration)
{
	ServerCommand c = line("vllm serve m --max-model-len 2048");
	Err err = ERR_INIT;
	json_t *o = json_pack("{s:i}", "max_model_len", 4096);

	CHECK_OK(server_apply(server_kind("vllm"), NULL, o, &c, &err));
	CHECK_STR(c.argv[4], "4096");
	json_decref(o);
	servercommand_done(&c);
}

TEST(what_was_applied_is_read_back)
{
	ServerCommand c = line("vllm serve m --max-model-len 2048 --no-enable-prefix-caching");
	json_t *o = server_settings(server_kind("vllm"), &c);

	CHECK_INT(js_int(o, "max_model_len", 0), 2048);
	CHECK_STR(js_str(o, "model", ""), "m");
	CHECK(json_is_false(json_object_get(o, "enable_prefix_caching")));
	CHECK(!json_object_get(o, "max_num_seqs"));
	json_decref(o);
	servercommand_done(&c);
}

TEST(a_switch_is_read_in_every_spelling_that_the_server_takes)
{
	ServerCommand c = line("vllm serve m --enforce_eager --no_enable_prefix_caching");
	json_t *o = server_settings(server_kind("vllm"), &c);

	CHECK(json_is_true(json_object_get(o, "enforce_eager")));
	CHECK(json_is_false(json_object_get(o, "enable_prefix_caching")));
	CHECK(!json_object_get(o, "enable_chunked_prefill"));
	json_decref(o);
	servercommand_done(&c);
}

TEST(the_flags_of_a_wrapper_are_not_the_servers)
{
	applied("llamacpp", "python3 -c SCRIPT llama-server -m M -c 512", "{\"ctx_size\": 4096}",
		"python3 -c SCRIPT llama-server -m M -c 4096");
	applied("llamacpp", "sh -c EXEC /opt/llama-server -m /models/llama-server",
		"{\"ctx_size\": 4096}",
		"sh -c EXEC /opt/llama-server -m /models/llama-server --ctx-size 4096");
	applied("llamacpp", "chrt -b 0 llama-server -b 1 -m M", "{\"batch_size\": 64}",
		"chrt -b 0 llama-server -b 64 -m M");
	applied("vllm", "numactl --max-model-len 1 vllm serve m --max-model-len 2",
		"{\"max_model_len\": 4096}",
		"numactl --max-model-len 1 vllm serve m --max-model-len 4096");
	applied("vllm", "python3 -m vllm.entrypoints.openai.api_server --model m",
		"{\"max_model_len\": 4096}",
		"python3 -m vllm.entrypoints.openai.api_server --model m --max-model-len 4096");
}

TEST(every_kind_is_told_its_port_and_says_it)
{
	static const char *const kinds[] = {"vllm", "llamacpp", "ollama", "whispercpp",
					    "openai-stt"};

	for (size_t i = 0; i < 5; i++) {
		ServerCommand c = line("server");
		uint16_t port = 0;
		CHECK_OK(server_set_listen(server_kind(kinds[i]), &c, "127.0.0.1", 23456, NULL));
		CHECK_OK(server_listen(server_kind(kinds[i]), &c, &port));
		CHECK_INT(port, 23456);
		servercommand_done(&c);
	}
}

TEST(the_port_of_ollama_is_read_as_it_reads_it)
{
	static const struct {
		const char *host;
		uint16_t port;
	} cases[] = {
	    {"127.0.0.1:11500", 11500},
	    {"0.0.0.0", 11434},
	    {":8080", 8080},
	    {"box.lan", 11434},
	    {"[::1]:8080", 8080},
	    {"[::1]", 11434},
	    {"::1", 11434},
	    {"http://box:8081", 8081},
	    {"http://box:8081/", 8081},
	    {"http://box", 80},
	    {"https://box/ollama:9", 443},
	    {"", 11434},
	    {"127.0.0.1:99999", 11434},
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		ServerCommand c = line("ollama serve");
		uint16_t port = 0;
		CHECK_OK(command_set_env(&c, "OLLAMA_HOST", cases[i].host));
		CHECK_OK(server_listen(server_kind("ollama"), &c, &port));
		if (port != cases[i].port)
			test_fail(__FILE__, __LINE__, "'%s': %u", cases[i].host, (unsigned)port);
		servercommand_done(&c);
	}
}

TEST(the_variables_of_llama_server_count_where_there_is_no_flag)
{
	const ServerKind *k = server_kind("llamacpp");
	ServerCommand c = line("llama-server -c 512");
	uint16_t port = 0;
	char *model = NULL;
	Err err = ERR_INIT;

	CHECK_OK(command_set_env(&c, "LLAMA_ARG_PORT", "8090"));
	CHECK_OK(command_set_env(&c, "LLAMA_ARG_MODEL", "/srv/m.gguf"));
	CHECK_OK(command_set_env(&c, "LLAMA_ARG_CTX_SIZE", "9999"));
	CHECK_OK(command_set_env(&c, "LLAMA_ARG_N_PARALLEL", "3"));
	CHECK_OK(server_listen(k, &c, &port));
	CHECK_INT(port, 8090);
	CHECK_OK(server_model(k, &c, &model, &err));
	CHECK_STR(model, "/srv/m.gguf");
	json_t *o = server_settings(k, &c);
	CHECK_INT(js_int(o, "ctx_size", 0), 512);
	CHECK_INT(js_int(o, "parallel", 0), 3);
	CHECK(server_wants_gpu(k, &c));
	CHECK_OK(command_set_env(&c, "LLAMA_ARG_N_GPU_LAYERS", "0"));
	CHECK(!server_wants_gpu(k, &c));
	CHECK_OK(server_set_listen(k, &c, "127.0.0.1", 23456, &err));
	CHECK_OK(server_listen(k, &c, &port));
	CHECK_INT(port, 23456);
	json_decref(o);
	free(model);
	servercommand_done(&c);
}

TEST(a_server_told_to_use_the_cpu_wants_no_gpu)
{
	ServerCommand c = line("llama-server -m a -ngl 0");

	CHECK(!server_wants_gpu(server_kind("llamacpp"), &c));
	servercommand_done(&c);
	c = line("vllm serve m");
	CHECK(server_wants_gpu(server_kind("vllm"), &c));
	CHECK_OK(command_set_env(&c, "CUDA_VISIBLE_DEVICES", ""));
	CHECK(!server_wants_gpu(server_kind("vllm"), &c));
	servercommand_done(&c);
}

/* --- Texts ----------------------------------------------------------------------------------- */

static void says(const char *kind, const char *text, const char *cause, const char *line_has)
{
	ServerWords w;

	CHECK_OK(server_words(server_kind(kind), text, strlen(text), &w, NULL));
	if (!cause) {
		CHECK(!w.failed && !w.line);
	} else {
		CHECK(w.failed);
		CHECK_STR(w.cause, cause);
		CHECK(w.line && strstr(w.line, line_has));
	}
	server_words_done(&w);
}

TEST(llama_server_0_7_0_says_why_it_does_not_start)
{
	says("llamacpp",
	     "0.00.053.045 E gguf_init_from_file: failed to open GGUF file '/tmp/micro.gguf' (No "
	     "such "
	     "file or directory)\n"
	     "0.00.053.175 E common_fit_params: encountered an error while trying to fit params to "
	     "free device memory: failed to load model\n"
	     "0.00.053.423 E srv  llama_server: exiting due to model loading error\n",
	     "model", "failed to open GGUF file");
	says(
	    "llamacpp",
	    "0.00.016.111 E llama_model_load: error loading model: tensor 'token_embd.weight' data "
	    "is not within the file bounds, model is corrupted or incomplete\n",
	    "model", "corrupted");
	says("llamacpp",
	     "0.00.013.669 E srv         start: couldn't bind HTTP server socket, hostname: "
	     "127.0.0.1, port: 18999\n"
	     "0.00.013.757 E srv  llama_server: exiting due to HTTP server error\n",
	     "port", "18999");
	says("llamacpp", "error: invalid argument: --nonsense\n", "arguments", "--nonsense");
	says("llamacpp", "error while handling argument \"-c\": stoi\n", "arguments", "stoi");
	says(
	    "llamacpp",
	    "0.00.174.858 E ggml_aligned_malloc: insufficient memory (attempted to allocate 976.75 "
	    "MB)\n"
	    "0.00.179.573 E llama_init_from_model: failed to initialize the context: failed to "
	    "allocate buffer for kv cache\n"
	    "0.00.179.590 E srv    load_model: failed to create_context with model "
	    "'/tmp/micro.gguf'\n"
	    "0.00.181.719 E srv  llama_server: exiting due to model loading error\n",
	    "oom", "976.75");
	says("llamacpp",
	     "0.00.015.512 I srv    load_model: loading model '/tmp/micro.gguf'\n"
	     "0.00.031.113 I srv  llama_server: model loaded\n"
	     "0.00.031.143 I srv  llama_server: listening on http://127.0.0.1:18998\n",
	     NULL, NULL);
}

TEST(memory_that_ran_out_is_the_cause_and_not_the_model)
{
	says("llamacpp",
	     "ggml_backend_cuda_buffer_type_alloc_buffer: allocating 144817.04 MiB on device 0: "
	     "cudaMalloc failed: out of memory\n"
	     "alloc_tensor_range: failed to allocate CUDA0 buffer of size 151851674624\n"
	     "llama_model_load: error loading model: unable to allocate CUDA0 buffer\n",
	     "oom", "144817.04");
	says("ollama",
	     "Error: llama runner process has terminated: error loading model: unable to allocate "
	     "CUDA0 buffer\n",
	     "oom", "CUDA0");
	says("openai-stt", "RuntimeError: CUDA failed with error out of memory\n", "oom", "CUDA");
}

TEST(whisper_server_1_9_5_says_why_it_does_not_start)
{
	says("whispercpp",
	     "whisper_init_from_file_with_params_no_state: failed to open '/tmp/none.bin'\n"
	     "error: failed to initialize whisper context\n",
	     "model", "");
	says("whispercpp", "whisper_model_load: invalid model data (bad magic)\n", "model",
	     "magic");
	says(
	    "whispercpp",
	    "whisper_model_load: WARN no tensors loaded from model file - assuming empty model for "
	    "testing\nwhisper server listening at http://127.0.0.1:18995\n",
	    "model", "no tensors");
	says("whispercpp", "couldn't bind to server socket: hostname=127.0.0.1 port=18999\n",
	     "port", "18999");
	says("whispercpp", "error: unknown argument: --nonsense\n", "arguments", "--nonsense");
	says("whispercpp",
	     "terminate called after throwing an instance of 'std::bad_alloc'\n"
	     "  what():  std::bad_alloc\n",
	     "oom", "bad_alloc");
}

TEST(vllm_says_why_it_does_not_start)
{
	says("vllm",
	     "(EngineCore_DP0 pid=7) ERROR [core.py:708] ValueError: No available memory for the "
	     "cache blocks. Try increasing `gpu_memory_utilization` when initializing the engine.\n"
	     "RuntimeError: Engine core initialization failed. See root cause above. Failed core "
	     "proc(s): {}\n",
	     "kv_cache", "No available memory");
	says("vllm",
	     "ValueError: Free memory on device (67.24/79.25 GiB) on startup is less than desired "
	     "GPU memory utilization (0.9, 71.33 GiB).\n",
	     "oom", "67.24");
	says("vllm", "OSError: [Errno 98] Address already in use\n", "port", "Errno 98");
	says("vllm", "api_server.py: error: unrecognized arguments: --nonsense\n", "arguments",
	     "--nonsense");
	says("vllm",
	     "INFO CUDA graphs can take additional 1~3 GiB memory per GPU. If you are running out "
	     "of memory, consider decreasing `gpu_memory_utilization` or enforcing eager mode.\n",
	     NULL, NULL);
}

static void on_cpu(const char *kind, const char *text, bool want)
{
	ServerWords w;

	CHECK_OK(server_words(server_kind(kind), text, strlen(text), &w, NULL));
	CHECK_INT(w.cpu, want);
	CHECK_INT(w.cpu_line != NULL, want);
	server_words_done(&w);
}

TEST(a_fall_back_to_the_cpu_is_noticed)
{
	on_cpu("llamacpp", "warning: no usable GPU found, --gpu-layers option will be ignored\n",
	       true);
	on_cpu("llamacpp", "load_tensors: offloaded 0/29 layers to GPU\n", true);
	on_cpu("llamacpp", "load_tensors: offloaded 10/29 layers to GPU\n", false);
	on_cpu("whispercpp", "whisper_backend_init_gpu: no GPU found\n", true);
	on_cpu("openai-stt", "UserWarning: FP16 is not supported on CPU; using FP32 instead\n",
	       true);
	on_cpu("ollama",
	       "level=INFO source=types.go:50 msg=\"inference compute\" id=cpu library=cpu\n",
	       true);
	on_cpu("ollama",
	       "level=INFO source=types.go:50 msg=\"inference compute\" id=GPU-1 library=cuda\n",
	       false);
}

TEST(numbers_are_taken_and_those_of_several_devices_added)
{
	static const char text[] = "llama_kv_cache:      CUDA0 KV buffer size =  1024.00 MiB\n"
				   "llama_kv_cache:      CUDA1 KV buffer size =   512.00 MiB\n"
				   "load_tensors: offloaded 29/29 layers to GPU\n";
	ServerWords w;

	CHECK_OK(server_words(server_kind("llamacpp"), text, strlen(text), &w, NULL));
	CHECK_NEAR(js_num(w.facts, "kv_gib", 0), 1.5, 1e-9);
	CHECK_NEAR(js_num(w.facts, "layers_on_gpu", 0), 29, 0);
	server_words_done(&w);
}

/* --- Pages ----------------------------------------------------------------------------------- */

static json_t *metrics(const char *kind, const char *text)
{
	json_t *o;

	CHECK_OK(server_metrics(server_kind(kind), text, strlen(text), &o, NULL));
	return o;
}

TEST(vllm_metrics_old_and_new)
{
	json_t *o = metrics(
	    "vllm", "# HELP vllm:num_requests_running Number of requests.\n"
		    "# TYPE vllm:num_requests_running gauge\n"
		    "vllm:num_requests_running{engine=\"0\",model_name=\"a}b\\\"c\"} 2.0\n"
		    "vllm:num_requests_running{model_name=\"m\",engine=\"1\"} 3.0\n"
		    "vllm:kv_cache_usage_perc{engine=\"0\"} 2.5e-01\n"
		    "vllm:num_preemptions_total{engine=\"0\"} 1.0\n"
		    "vllm:num_preemptions_created{engine=\"0\"} 1.7e+09\n"
		    "vllm:cache_config_info{cache_dtype=\"auto\",sliding_window=\"None\"} 1.0\n"
		    "vllm:num_requests_waiting{engine=\"0\"} NaN\n"
		    "nonsense\n{} 5\nvllm:prompt_tokens_total{unclosed=\"x 7\n");

	CHECK_NEAR(js_num(o, "running", -1), 5, 0);
	CHECK_NEAR(js_num(o, "kv_used_pct", -1), 25, 1e-9);
	CHECK_NEAR(js_num(o, "preemptions", -1), 1, 0);
	CHECK(!json_object_get(o, "waiting") && !json_object_get(o, "prompt_tokens"));
	json_decref(o);
	o = metrics("vllm", "vllm:gpu_cache_usage_perc 0.5");
	CHECK_NEAR(js_num(o, "kv_used_pct", -1), 50, 1e-9);
	json_decref(o);
}

TEST(llamacpp_metrics)
{
	json_t *o = metrics("llamacpp", "llamacpp:requests_processing 1\n"
					"llamacpp:requests_deferred 4\n"
					"llamacpp:kv_cache_usage_ratio 0.75\n");

	CHECK_NEAR(js_num(o, "running", -1), 1, 0);
	CHECK_NEAR(js_num(o, "waiting", -1), 4, 0);
	CHECK_NEAR(js_num(o, "kv_used_pct", -1), 75, 1e-9);
	json_decref(o);
}

TEST(ollama_loads_a_model_and_keeps_it)
{
	json_t *set = json_pack("{s:s,s:i}", "model", "qwen3:8b", "num_ctx", 4096), *body;
	ServerCommand c = line("ollama serve");
	char *path, *text;

	CHECK(server_load_request(server_kind("ollama"), &c, set, &path, &text));
	CHECK_STR(path, "/api/generate");
	CHECK_OK(js_parse(text, strlen(text), 4096, &body, NULL));
	CHECK_INT(js_int(body, "keep_alive", 0), -1);
	CHECK(!json_object_get(body, "prompt"));
	CHECK_INT(js_int(json_object_get(body, "options"), "num_ctx", 0), 4096);
	CHECK(!server_load_request(server_kind("vllm"), &c, set, &path, &text));
	free(path);
	free(text);
	json_decref(body);
	json_decref(set);
	servercommand_done(&c);
}

TEST(ollama_tells_what_is_not_on_the_gpu)
{
	static const char page[] =
	    "{\"models\":[{\"name\":\"a\",\"size\":1000,\"size_vram\":600}]}";
	int64_t gpu, all;

	CHECK_OK(server_account(server_kind("ollama"), page, strlen(page), &gpu, &all));
	CHECK_INT(gpu, 600);
	CHECK_INT(all, 1000);
	CHECK_ERR(server_account(server_kind("ollama"), "{}", 2, &gpu, &all), ENODATA);
	CHECK_ERR(server_account(server_kind("ollama"), "<html>", 6, &gpu, &all), ENODATA);
}

TEST(health_tells_loading_from_ready)
{
	CHECK_INT(server_health(server_kind("llamacpp"), 503, "", 0), HEALTH_LOADING);
	CHECK_INT(server_health(server_kind("llamacpp"), 200, "", 0), HEALTH_READY);
	CHECK_INT(server_health(server_kind("llamacpp"), 500, "", 0), HEALTH_BROKEN);
	CHECK_INT(server_health(server_kind("openai-stt"), 404, "", 0), HEALTH_READY);
	CHECK_INT(server_health(server_kind("whispercpp"), 503, "", 0), HEALTH_LOADING);
}
