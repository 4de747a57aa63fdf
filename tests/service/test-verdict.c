/* The verdict, as a table of cases: what was there to see, and what it comes to. */
#include "service/verdict.h"

#include <signal.h>

#include "service/cgroup.h"
#include "test.h"

static const char kv[] =
    "INFO Model loading took 5.2 GiB memory and 11.0 seconds\n"
    "ValueError: No available memory for the cache blocks. Try increasing `gpu_memory_utilization` "
    "when initializing the engine.\n"
    "RuntimeError: Engine core initialization failed. See root cause above. Failed core proc(s): "
    "{}\n";
static const char cuda[] =
    "INFO: Application startup complete.\n"
    "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 448.00 MiB. GPU 0 has a total "
    "capacity of 11.76 GiB of which 200.00 MiB is free. Process 4242 has 6.00 GiB memory in use. "
    "Including non-PyTorch memory, this process has 5.30 GiB memory in use. "
    "Of the allocated memory 5.00 GiB is allocated by PyTorch\n";
static const char busy[] = "OSError: [Errno 98] Address already in use\n";
static const char calm[] = "INFO: Application startup complete.\n";
static const char killed_300[] =
    "Out of memory: Killed process 300 (python3) total-vm:9000000kB, anon-rss:8000000kB, "
    "file-rss:0kB, shmem-rss:0kB, UID:1000 pgtables:20000kB oom_score_adj:0\n";
static const char killed_999[] = "Out of memory: Killed process 999 (chrome) total-vm:9000000kB\n";
static const char xid_79[] =
    "NVRM: Xid (PCI:0000:01:00): 79, pid=300, name=python3, GPU has fallen off the bus.\n";
static const char xid_31[] =
    "NVRM: Xid (PCI:0000:01:00): 31, pid=300, name=python3, Ch 00000008, MMU Fault\n";

static const pid_t judge_pids[] = {300, 301};
static const pid_t whisper_pids[] = {4242};

static const InstanceEnd exit_1 = {.status = {.si_code = CLD_EXITED, .si_status = 1},
				   .oom_kills = -1,
				   .words = "it ended with exit status 1 after 12.3 s"};
static const InstanceEnd sigkill = {.status = {.si_code = CLD_KILLED, .si_status = SIGKILL},
				    .oom_kills = -1,
				    .words = "it ended with killed by SIGKILL after 60.0 s"};
static const InstanceEnd sigsegv = {.status = {.si_code = CLD_DUMPED, .si_status = SIGSEGV},
				    .oom_kills = -1,
				    .words = "it ended with killed by SIGSEGV after 60.0 s"};
static const InstanceEnd late = {
    .timed_out = true, .oom_kills = -1, .words = "it was not ready within 60.0 s"};
static const InstanceEnd taken = {
    .port_taken = true, .oom_kills = -1, .words = "port 8000 is taken by nginx"};
static const InstanceEnd no_program = {
    .not_executed = true, .oom_kills = -1, .words = "cannot execute '/nowhere/vllm'"};
static const InstanceEnd refused = {.first_request_failed = true,
				    .oom_kills = -1,
				    .words =
					"its first request failed: it answered with status 500"};
static const InstanceEnd asked = {.asked = true, .oom_kills = 0};
static const InstanceEnd group = {.status = {.si_code = CLD_KILLED, .si_status = SIGKILL},
				  .oom_kills = 2,
				  .unit_result = "oom-kill",
				  .words = "it ended with killed by SIGKILL"};

/* A healthy pair, to which each case does one thing. */
typedef struct Pair {
	ServiceEvidence s[2];
	SamplerReport gpu;
	TrialEvidence e;
} Pair;

static void says(ServiceEvidence *s, const char *text)
{
	s->output = text;
	s->output_len = strlen(text);
}

static void dead(ServiceEvidence *s, const InstanceEnd *end, bool was_ready)
{
	s->running = false;
	s->was_ready = was_ready;
	s->end = end;
}

static void healthy(Pair *p)
{
	*p = (Pair){0};
	p->s[0] = (ServiceEvidence){.name = "judge",
				    .kind = server_kind("vllm"),
				    .was_ready = true,
				    .running = true,
				    .pids = judge_pids,
				    .n_pids = 2,
				    .requests = 100,
				    .placement = {.placement = PLACED, .used_bytes = 1 << 30},
				    .wants_gpu = true,
				    .account_gpu_bytes = -1,
				    .account_all_bytes = -1};
	p->s[1] = p->s[0];
	p->s[1].name = "whisper";
	p->s[1].kind = server_kind("whispercpp");
	p->s[1].pids = whisper_pids;
	p->s[1].n_pids = 1;
	says(&p->s[0], calm);
	says(&p->s[1], "whisper server listening at http://127.0.0.1:8081\n");
	p->e = (TrialEvidence){.services = p->s, .n = 2, .gpu = &p->gpu};
}

static void kernel(Pair *p, const char *text)
{
	p->e.kernel = text;
	p->e.kernel_len = strlen(text);
}

/* --- The cases ------------------------------------------------------------------------------- */

static void nothing(Pair *p)
{
	(void)p;
}
static void kv_at_start(Pair *p)
{
	says(&p->s[0], kv);
	dead(&p->s[0], &exit_1, false);
}
static void cuda_under_load(Pair *p)
{
	says(&p->s[0], cuda);
}
static void cuda_and_death(Pair *p)
{
	says(&p->s[0], cuda);
	dead(&p->s[0], &exit_1, true);
	p->s[0].failed_requests = 50;
}
static void cuda_at_start(Pair *p)
{
	says(&p->s[0], cuda);
	dead(&p->s[0], &exit_1, false);
}
static void host_by_kernel(Pair *p)
{
	dead(&p->s[0], &sigkill, true);
	kernel(p, killed_300);
}
static void host_by_all(Pair *p)
{
	dead(&p->s[0], &group, true);
	kernel(p, killed_300);
}
static void host_of_somebody_else(Pair *p)
{
	kernel(p, killed_999);
}
static void hardware_by_kernel(Pair *p)
{
	says(&p->s[0], cuda);
	dead(&p->s[0], &sigsegv, true);
	kernel(p, xid_79);
}
static void hardware_by_nvml(Pair *p)
{
	p->gpu.hardware = true;
	(void)snprintf(p->gpu.hardware_words, sizeof(p->gpu.hardware_words), "Xid 48");
}
static void xid_of_the_program(Pair *p)
{
	dead(&p->s[0], &sigsegv, true);
	kernel(p, xid_31);
}
static void contended(Pair *p)
{
	says(&p->s[0], cuda);
	p->gpu.contended = true;
	(void)snprintf(p->gpu.contention, sizeof(p->gpu.contention), "blender took 2.0 GiB");
}
static void starts_late(Pair *p)
{
	dead(&p->s[0], &late, false);
}
static void port_is_taken_before(Pair *p)
{
	dead(&p->s[0], &taken, false);
}
static void port_said_by_itself(Pair *p)
{
	says(&p->s[0], busy);
	dead(&p->s[0], &exit_1, false);
}
static void program_missing(Pair *p)
{
	dead(&p->s[0], &no_program, false);
}
static void first_refused(Pair *p)
{
	dead(&p->s[0], &refused, false);
}
static void dies_at_start(Pair *p)
{
	dead(&p->s[0], &exit_1, false);
	says(&p->s[0], "Segmentation something odd\n");
}
static void stopped_by_us(Pair *p)
{
	dead(&p->s[0], &asked, true);
	dead(&p->s[1], &asked, false);
}
static void on_the_cpu(Pair *p)
{
	p->s[1].placement =
	    (PlacementProof){.placement = PLACED_NOT, .reason = "whisper holds nothing on the GPU"};
}
static void cpu_as_it_should(Pair *p)
{
	on_the_cpu(p);
	p->s[1].wants_gpu = false;
}
static void partly_on_the_cpu(Pair *p)
{
	p->s[0].account_gpu_bytes = (int64_t)3 << 30;
	p->s[0].account_all_bytes = (int64_t)5 << 30;
}
static void cannot_be_told(Pair *p)
{
	p->s[0].placement = (PlacementProof){.placement = PLACED_NO_LIST};
	p->s[1].placement = (PlacementProof){.placement = PLACED_UNKNOWN};
}
static void crashes(Pair *p)
{
	dead(&p->s[0], &sigsegv, true);
	p->s[0].failed_requests = 40;
}
static void crashes_on_the_cpu(Pair *p)
{
	crashes(p);
	on_the_cpu(p);
}
static void hangs(Pair *p)
{
	p->s[1].failed_requests = 60;
	(void)snprintf(p->s[1].client_words, sizeof(p->s[1].client_words), "timeout");
}
static void fails_seldom(Pair *p)
{
	p->s[1].failed_requests = 2;
}
static void refuses_most(Pair *p)
{
	p->s[1].refused_requests = 70;
}

typedef struct Case {
	const char *name;
	void (*does)(Pair *p);
	Outcome outcome;
	const char *cause, *reason; /* a part of it */
	int n_events;
	const char *event; /* of the first: its service */
	int count;
} Case;

static const Case cases[] = {
    {"nothing", nothing, OUTCOME_OK, "", NULL, 0, NULL, 0},
    {"kv", kv_at_start, OUTCOME_START_FAILED, "kv_cache", "no room for the KV cache", 1, "judge",
     1},
    {"cuda", cuda_under_load, OUTCOME_OOM, "gpu", "judge ran out of GPU memory", 1, "judge", 1},
    {"cuda and death", cuda_and_death, OUTCOME_OOM, "gpu",
     "beside whisper (process 4242), which held 6.00 GiB", 1, "judge", 1},
    {"cuda at start", cuda_at_start, OUTCOME_START_FAILED, "oom", "GPU memory at its start", 1,
     "judge", 1},
    {"host by kernel", host_by_kernel, OUTCOME_OOM, "host", "host's memory", 1, "judge", 1},
    {"host by all", host_by_all, OUTCOME_OOM, "host", "(2 times)", 1, "judge", 2},
    {"host of another", host_of_somebody_else, OUTCOME_OK, "", NULL, 0, NULL, 0},
    {"hardware by kernel", hardware_by_kernel, OUTCOME_HARDWARE_FAULT, "", "Xid 79", 1, "judge", 1},
    {"hardware by nvml", hardware_by_nvml, OUTCOME_HARDWARE_FAULT, "", "not to blame", 0, NULL, 0},
    {"application xid", xid_of_the_program, OUTCOME_CRASHED, "", "judge died while it served", 0,
     NULL, 0},
    {"contended", contended, OUTCOME_CONTENDED, "", "blender took 2.0 GiB", 1, "judge", 1},
    {"late", starts_late, OUTCOME_START_FAILED, "timeout", "not ready within 60.0 s", 0, NULL, 0},
    {"port before", port_is_taken_before, OUTCOME_START_FAILED, "port", "nginx", 0, NULL, 0},
    {"port said", port_said_by_itself, OUTCOME_START_FAILED, "port", "already in use", 0, NULL, 0},
    {"no program", program_missing, OUTCOME_START_FAILED, "exec", "/nowhere/vllm", 0, NULL, 0},
    {"first request", first_refused, OUTCOME_START_FAILED, "first_request", "status 500", 0, NULL,
     0},
    {"dies at start", dies_at_start, OUTCOME_START_FAILED, "exit",
     "it said: Segmentation something odd", 0, NULL, 0},
    {"stopped by us", stopped_by_us, OUTCOME_OK, "", NULL, 0, NULL, 0},
    {"cpu", on_the_cpu, OUTCOME_CPU_FALLBACK, "", "whisper does not run on the GPU", 0, NULL, 0},
    {"cpu is meant", cpu_as_it_should, OUTCOME_OK, "", NULL, 0, NULL, 0},
    {"partly cpu", partly_on_the_cpu, OUTCOME_CPU_FALLBACK, "partial", "3.00 of its 5.00 GiB", 0,
     NULL, 0},
    {"no proof", cannot_be_told, OUTCOME_OK, "", NULL, 0, NULL, 0},
    {"crash", crashes, OUTCOME_CRASHED, "", "SIGSEGV", 0, NULL, 0},
    {"cpu before crash", crashes_on_the_cpu, OUTCOME_CPU_FALLBACK, "", "whisper", 0, NULL, 0},
    {"hang", hangs, OUTCOME_UNHEALTHY, "", "of 100 requests 60 failed", 0, NULL, 0},
    {"seldom", fails_seldom, OUTCOME_OK, "", NULL, 0, NULL, 0},
    {"refuses", refuses_most, OUTCOME_UNHEALTHY, "", "70 were refused", 0, NULL, 0},
};

static void check_events(const Case *c, const json_t *evidence)
{
	const json_t *events = json_object_get(evidence, "oom_events");
	CHECK_INT(json_array_size(events), c->n_events);
	if (c->n_events == 0)
		return;
	const json_t *first = json_array_get(events, 0);
	CHECK_STR(json_string_value(json_object_get(first, "service")), c->event);
	CHECK_INT(json_integer_value(json_object_get(first, "count")), c->count);
	CHECK(json_array_size(json_object_get(first, "proof")) > 0);
}

TEST(each_case_has_its_verdict)
{
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		const Case *c = &cases[i];
		Pair p;
		Measurement m = {.outcome = OUTCOME_OK};
		json_t *evidence = NULL;
		Err err = ERR_INIT;
		printf("# %s\n", c->name);
		healthy(&p);
		c->does(&p);
		CHECK_OK(trial_verdict(&p.e, &m, &evidence, &err));
		CHECK_STR(outcome_name(m.outcome), outcome_name(c->outcome));
		CHECK_STR(m.cause, c->cause);
		if (c->reason && (!m.reason || !strstr(m.reason, c->reason)))
			CHECK_STR(m.reason, c->reason);
		check_events(c, evidence);
		json_decref(evidence);
		measurement_done(&m);
	}
}

TEST(every_source_of_one_event_is_kept_as_its_proof)
{
	Pair p;
	Measurement m = {.outcome = OUTCOME_OK};
	json_t *evidence = NULL;
	Err err = ERR_INIT;
	healthy(&p);
	host_by_all(&p);
	CHECK_OK(trial_verdict(&p.e, &m, &evidence, &err));
	const json_t *proof =
	    json_object_get(json_array_get(json_object_get(evidence, "oom_events"), 0), "proof");
	CHECK_INT(json_array_size(proof), 3);
	const char *want[] = {"systemd", "cgroup", "kernel"};
	for (size_t i = 0; i < 3; i++)
		CHECK_STR(json_string_value(json_object_get(json_array_get(proof, i), "source")),
			  want[i]);
	json_decref(evidence);
	measurement_done(&m);
}

TEST(application_xids_are_in_the_evidence_and_no_hardware_fault)
{
	Pair p;
	Measurement m = {.outcome = OUTCOME_OK};
	json_t *evidence = NULL;
	Err err = ERR_INIT;
	healthy(&p);
	xid_of_the_program(&p);
	CHECK_OK(trial_verdict(&p.e, &m, &evidence, &err));
	const json_t *xid = json_array_get(json_object_get(evidence, "xids"), 0);
	CHECK_INT(json_integer_value(json_object_get(xid, "xid")), 31);
	CHECK(json_is_false(json_object_get(xid, "hardware")));
	json_decref(evidence);
	measurement_done(&m);
}

TEST(what_a_service_wrote_is_made_safe_in_the_evidence)
{
	Pair p;
	Measurement m = {.outcome = OUTCOME_OK};
	json_t *evidence = NULL;
	Err err = ERR_INIT;
	healthy(&p);
	dead(&p.s[0], &sigsegv, true);
	says(&p.s[0], "last \x1b[31mwords\xff\n");
	CHECK_OK(trial_verdict(&p.e, &m, &evidence, &err));
	CHECK(m.reason && !strchr(m.reason, '\x1b') && strstr(m.reason, "words"));
	json_decref(evidence);
	measurement_done(&m);
}

/* --- memory.events --------------------------------------------------------------------------- */

static int64_t kills(const char *text)
{
	return cgroup_oom_kills_of(text, strlen(text));
}

TEST(the_kernels_counters_of_a_control_group_are_read)
{
	/* memory.events in the form that version 6 of the kernel documents, before and after a
	 * kill. */
	CHECK_INT(kills("low 0\nhigh 0\nmax 0\noom 0\noom_kill 0\noom_group_kill 0\n"), 0);
	CHECK_INT(kills("low 0\nhigh 0\nmax 1322\noom 4\noom_kill 3\noom_group_kill 0\n"), 3);
	/* As version 4.19 does, without the last; and memory.oom_control of the older hierarchy. */
	CHECK_INT(kills("low 0\nhigh 12\nmax 7\noom 1\noom_kill 1\n"), 1);
	CHECK_INT(kills("oom_kill_disable 0\nunder_oom 0\noom_kill 2\n"), 2);
	CHECK_INT(kills("low 0\nhigh 0\nmax 0\noom 0\n"), -1);
	CHECK_INT(kills(""), -1);
	CHECK_INT(kills("oom_kill -1\n"), -1);
	CHECK_INT(kills("oom_kill 99999999999999999999999\n"), -1);
	CHECK_INT(kills("oom_group_kill 5\n"), -1);
}
