/* The texts are the server's own, from several of its versions. */
#include "footprint/footprint.h"
#include "server/vllm_log.h"
#include "test.h"

static void parse(const char *text, VllmLog *ret)
{
	CHECK_OK(vllm_log_parse(text, strlen(text), ret, NULL));
}

/* A start of version 0.11.0 at 0.50, with the prefixes that its processes write. */
static const char start_050[] =
    "(APIServer pid=4711) INFO 10-28 21:14:02 [api_server.py:1839] vLLM API server version 0.11.0\n"
    "(APIServer pid=4711) INFO 10-28 21:14:02 [utils.py:233] non-default args: {'port': 8001, "
    "'model': 'Qwen2.5-7B-Instruct-AWQ', 'max_model_len': 2048, 'enforce_eager': True, "
    "'gpu_memory_utilization': 0.5, 'served_model_name': ['judge']}\n"
    "(APIServer pid=4711) INFO 10-28 21:14:02 [scheduler.py:205] Chunked prefill is enabled with "
    "max_num_batched_tokens=2048.\n"
    "(EngineCore_DP0 pid=4800) INFO 10-28 21:14:31 [gpu_model_runner.py:2653] Model loading took "
    "5.2035 GiB and 11.203 seconds\n"
    "(EngineCore_DP0 pid=4800) INFO 10-28 21:14:36 [gpu_worker.py:298] Available KV cache memory: "
    "0.37 GiB\n"
    "(EngineCore_DP0 pid=4800) INFO 10-28 21:14:36 [kv_cache_utils.py:1087] GPU KV cache size: "
    "6,976 tokens\n"
    "(EngineCore_DP0 pid=4800) INFO 10-28 21:14:36 [kv_cache_utils.py:1091] Maximum concurrency "
    "for 2,048 tokens per request: 3.41x\n"
    "(EngineCore_DP0 pid=4800) INFO 10-28 21:14:38 [core.py:210] init engine (profile, create kv "
    "cache, warmup model) took 6.68 seconds\n"
    "(APIServer pid=4711) INFO:     Application startup complete.\n";

TEST(a_good_start_gives_all_its_numbers)
{
	VllmLog l;

	parse(start_050, &l);
	CHECK_INT(l.end, VLLM_LOG_STARTED);
	CHECK_STR(l.start.key.version, "0.11.0");
	CHECK_STR(l.start.key.model, "Qwen2.5-7B-Instruct-AWQ");
	CHECK_INT(l.start.key.max_model_len, 2048);
	CHECK_INT(l.start.key.max_num_batched_tokens, 2048);
	CHECK_INT(l.start.key.max_num_seqs, 0);
	CHECK(l.start.key.enforce_eager);
	CHECK_NEAR(l.start.share, 0.5, 0);
	CHECK_NEAR(l.start.kv_gib, 0.37, 0);
	CHECK_INT(l.start.kv_tokens, 6976);
	CHECK_NEAR(l.start.concurrency, 3.41, 0);
	CHECK_INT(l.start.block_size, 16);
	CHECK_NEAR(l.weights_gib, 5.2035, 0);
	CHECK(!l.start.no_kv);
	CHECK(isnan(l.device_gib));
	vllm_log_done(&l);
}

TEST(the_log_of_050_alone_is_enough_to_refuse_040)
{
	VllmLog l;
	VllmFact f;

	parse(start_050, &l);
	CHECK_OK(footprint_calibrate(&l.start, 1, 12622168064, 57344, "log", &f, NULL));
	double left = 0.40 * 12622168064.0 - (double)f.non_kv_bytes;
	CHECK_NEAR(left / 1073741824.0, -0.803, 0.001);
	vllm_fact_done(&f);
	vllm_log_done(&l);
}

TEST(the_incident_is_recognised_by_its_first_cause)
{
	VllmLog l;

	parse("ERROR [core.py:708] ValueError: No available memory for the cache blocks. Try "
	      "increasing `gpu_memory_utilization` when initializing the engine.\n"
	      "RuntimeError: Engine core initialization failed. See root cause above. Failed core "
	      "proc(s): {}\n",
	      &l);
	CHECK_INT(l.end, VLLM_LOG_NO_KV);
	CHECK(l.start.no_kv);
	CHECK(strstr(l.line, "No available memory"));
	vllm_log_done(&l);
}

TEST(a_cache_too_small_for_one_request_carries_measurements)
{
	VllmLog l;

	parse("ValueError: To serve at least one request with the models's max seq len (32768), "
	      "(1.75 GiB KV cache is needed, which is larger than the available KV cache memory "
	      "(0.37 GiB). Based on the available memory, the estimated maximum model length is "
	      "6976.\n",
	      &l);
	CHECK_INT(l.end, VLLM_LOG_KV_TOO_SMALL);
	CHECK_INT(l.start.key.max_model_len, 32768);
	CHECK_NEAR(l.start.kv_gib, 0.37, 0);
	vllm_log_done(&l);
	parse("ValueError: The model's max seq len (4096) is larger than the maximum number of "
	      "tokens that can be stored in KV cache (3,664). Try increasing "
	      "`gpu_memory_utilization` or decreasing `max_model_len`\n",
	      &l);
	CHECK_INT(l.end, VLLM_LOG_KV_TOO_SMALL);
	CHECK_INT(l.start.key.max_model_len, 4096);
	CHECK_INT(l.start.kv_tokens, 3664);
	vllm_log_done(&l);
}

TEST(a_refusal_for_want_of_free_memory_gives_the_device)
{
	static const char *const devices[] = {"", " cuda:0"};

	for (size_t i = 0; i < 2; i++) {
		char text[300];
		VllmLog l;
		snprintf(
		    text, sizeof(text),
		    "ValueError: Free memory on device%s (9.45/11.76 GiB) on startup is less "
		    "than desired GPU memory utilization (0.9, 10.58 GiB). Decrease GPU memory "
		    "utilization or reduce GPU memory used by other processes.\n",
		    devices[i]);
		parse(text, &l);
		CHECK_INT(l.end, VLLM_LOG_FREE_TOO_LITTLE);
		CHECK_NEAR(l.free_gib, 9.45, 0);
		CHECK_NEAR(l.device_gib, 11.76, 0);
		CHECK_NEAR(l.start.share, 0.9, 0);
		CHECK_NEAR((double)l.start.total_bytes, 12622168064.0, 0.005 * 1073741824.0);
		vllm_log_done(&l);
	}
}

TEST(older_wordings_are_read_too)
{
	VllmLog l;

	parse("INFO 05-01 10:00:00 api_server.py:100] vLLM API server version 0.6.4.post1\n"
	      "INFO 05-01 10:00:00 api_server.py:101] args: Namespace(host=None, "
	      "gpu_memory_utilization=0.85, max_model_len=8192, max_num_seqs=64, block_size=32, "
	      "enforce_eager=False, model='meta/llama', kv_cache_dtype='fp8')\n"
	      "INFO 05-01 10:00:09 model_runner.py:1077] Loading model weights took 14.9888 GB\n"
	      "INFO 05-01 10:00:11 worker.py:232] the current vLLM instance can use "
	      "total_gpu_memory (23.64GiB) x gpu_memory_utilization (0.85) = 20.10GiB\n"
	      "INFO 05-01 10:00:11 worker.py:232] model weights take 14.99GiB; non_torch_memory "
	      "takes 0.09GiB; PyTorch activation peak memory takes 1.20GiB; the rest of the memory "
	      "reserved for KV Cache is 3.82GiB.\n"
	      "INFO 05-01 10:00:12 gpu_executor.py:122] # GPU blocks: 1956, # CPU blocks: 2048\n"
	      "INFO 05-01 10:00:12 gpu_executor.py:126] Maximum concurrency for 8192 tokens per "
	      "request: 7.64x\n"
	      "INFO:     Uvicorn running on http://0.0.0.0:8000 (Press CTRL+C to quit)\n",
	      &l);
	CHECK_INT(l.end, VLLM_LOG_STARTED);
	CHECK_STR(l.start.key.version, "0.6.4.post1");
	CHECK_STR(l.start.key.model, "meta/llama");
	CHECK_STR(l.start.key.kv_cache_dtype, "fp8");
	CHECK_INT(l.start.key.max_num_seqs, 64);
	CHECK(!l.start.key.enforce_eager);
	CHECK_NEAR(l.start.share, 0.85, 0);
	CHECK_NEAR(l.start.kv_gib, 3.82, 0);
	CHECK_INT(l.start.kv_tokens, 1956 * 32);
	CHECK_NEAR(l.weights_gib, 14.99, 0);
	CHECK_NEAR(l.device_gib, 23.64, 0);
	vllm_log_done(&l);
}

TEST(the_last_start_of_a_log_counts)
{
	char text[4096];
	VllmLog l;

	snprintf(text, sizeof(text),
		 "vLLM API server version 0.10.0\n"
		 "non-default args: {'gpu_memory_utilization': 0.4, 'max_num_seqs': 7}\n"
		 "ValueError: No available memory for the cache blocks.\n%s",
		 start_050);
	parse(text, &l);
	CHECK_INT(l.end, VLLM_LOG_STARTED);
	CHECK_NEAR(l.start.share, 0.5, 0);
	CHECK_INT(l.start.key.max_num_seqs, 0);
	CHECK(!l.start.no_kv);
	vllm_log_done(&l);
}

TEST(running_out_of_memory_after_the_start_is_not_a_start)
{
	VllmLog l;

	parse(
	    "INFO:     Application startup complete.\n"
	    "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 20.00 MiB. GPU 0 has a "
	    "total capacity of 11.76 GiB of which 12.00 MiB is free.\n"
	    "ValueError: No available memory for the cache blocks.\n",
	    &l);
	CHECK_INT(l.end, VLLM_LOG_OOM);
	CHECK_NEAR(l.device_gib, 11.76, 0);
	CHECK(!l.start.no_kv);
	vllm_log_done(&l);
}

TEST(what_is_not_said_stays_unknown)
{
	VllmLog l;

	parse("", &l);
	CHECK_INT(l.end, VLLM_LOG_UNKNOWN);
	CHECK(isnan(l.start.share) && isnan(l.start.kv_gib) && isnan(l.weights_gib));
	CHECK_INT(l.start.kv_tokens, 0);
	CHECK(!l.line && !l.start.key.model);
	vllm_log_done(&l);
}

TEST(nonsense_numbers_are_not_taken)
{
	VllmLog l;

	parse(
	    "Available KV cache memory: -1 GiB\n"
	    "Available KV cache memory: 99999999999999999999999999999999999999999 GiB\n"
	    "GPU KV cache size: 999,999,999,999,999,999,999 tokens\n"
	    "GPU KV cache size: many tokens\n"
	    "# GPU blocks: 1000000000000000, # CPU blocks: 1\n"
	    "Maximum concurrency for \n"
	    "non-default args: {'gpu_memory_utilization': 7, 'max_model_len': None, 'model': None, "
	    "'block_size': 0, 'max_num_seqs'\n"
	    "Free memory on device (/ GiB) less than desired GPU memory utilization (\n",
	    &l);
	CHECK(isnan(l.start.share) && isnan(l.start.kv_gib) && isnan(l.free_gib));
	CHECK_INT(l.start.kv_tokens, 0);
	CHECK_INT(l.start.key.max_model_len, 0);
	CHECK(!l.start.key.model);
	CHECK_INT(l.start.block_size, 16);
	vllm_log_done(&l);
}

TEST(any_bytes_are_survived_and_the_kept_line_is_printable)
{
	uint64_t x = 88172645463325252u;

	for (unsigned seed = 0; seed < 300; seed++) {
		char text[sizeof(start_050)];
		VllmLog l;
		memcpy(text, start_050, sizeof(text));
		for (int i = 0; i < 40; i++) {
			x ^= x << 13, x ^= x >> 7, x ^= x << 17;
			text[x % sizeof(text)] = (char)(x >> 32);
		}
		CHECK_OK(vllm_log_parse(text, sizeof(text), &l, NULL));
		for (const char *p = l.line; p && *p; p++)
			CHECK((unsigned char)*p >= 0x20 && *p != 0x7f);
		vllm_log_done(&l);
	}
}

TEST(every_prefix_of_a_log_is_survived)
{
	for (size_t n = 0; n < sizeof(start_050); n++) {
		VllmLog l;
		char *exact = malloc(n + !n); /* so that a sanitizer sees one byte too far */
		memcpy(exact, start_050, n);
		CHECK_OK(vllm_log_parse(exact, n, &l, NULL));
		vllm_log_done(&l);
		free(exact);
	}
}

TEST(a_log_that_is_too_long_is_refused_and_the_longest_is_read)
{
	size_t n = (size_t)VLLM_LOG_MAX;
	char *text = malloc(n + 1);
	VllmLog l;
	Err err = ERR_INIT;

	memset(text, 'm', n + 1);
	memcpy(text + n - sizeof(start_050), start_050, sizeof(start_050));
	CHECK_OK(vllm_log_parse(text, n, &l, NULL));
	CHECK_INT(l.start.kv_tokens, 6976);
	vllm_log_done(&l);
	CHECK_ERR(vllm_log_parse(text, n + 1, &l, &err), EFBIG);
	CHECK(strstr(err.msg, "16 MiB"));
	free(text);
}
