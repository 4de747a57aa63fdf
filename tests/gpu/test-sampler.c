/* The sampler on a loop, with a simulated GPU and real processes on it. */
#include "gpu/sampler.h"

#include <sys/resource.h>
#include <unistd.h>

#include "base/json.h"
#include "test.h"
#include "twin.h"

enum {
	PERIOD_US = 5000, /* ten times as often as in earnest, so as not to take long */
};

typedef struct Bench {
	Twin twin;
	Nvml *nvml;
	sd_event *loop;
	Sampler *sampler;
	int told;
	char what[200];
} Bench;

static void on_hardware(void *ctx, const char *what)
{
	Bench *b = ctx;
	b->told++;
	snprintf(b->what, sizeof(b->what), "%s", what);
}

static void bench_start(Bench *b, int64_t tolerance_bytes)
{
	Err err = ERR_INIT;
	CHECK_OK(nvml_open(getenv("TWIN_NVML"), &b->nvml, &err));
	CHECK_OK(sd_event_new(&b->loop));
	SamplerSpec spec = {.nvml = b->nvml,
			    .tolerance_bytes = tolerance_bytes,
			    .period_us = PERIOD_US,
			    .hardware = on_hardware,
			    .ctx = b};
	CHECK_OK(sampler_new(b->loop, &spec, &b->sampler, &err));
}

static void bench_end(Bench *b)
{
	sampler_free(b->sampler);
	sd_event_unref(b->loop);
	nvml_close(b->nvml);
	twin_remove(&b->twin);
}

/* Until so many more looks were taken. */
static SamplerReport run_looks(Bench *b, int64_t looks)
{
	SamplerReport r;
	sampler_report(b->sampler, &r);
	int64_t until = r.looks + looks;
	for (int i = 0; i < 10000 && r.looks < until && !r.hardware; i++) {
		CHECK_OK(sd_event_run(b->loop, 100000));
		sampler_report(b->sampler, &r);
	}
	CHECK(r.looks >= until || r.hardware);
	return r;
}

/* Until something is found, at most so many looks. */
static SamplerReport run_until_contended(Bench *b, int64_t looks)
{
	SamplerReport r = run_looks(b, 1);
	while (!r.contended && looks-- > 0)
		r = run_looks(b, 1);
	return r;
}

static int add(Bench *b, const char *name, const Guest *g)
{
	Owner o = {.name = name, .leader = g->pid};
	int handle = sampler_add(b->sampler, &o);
	CHECK_OK(handle);
	return handle;
}

TEST(peaks_are_kept_by_service)
{
	Bench b = {.twin = twin_make()};
	bench_start(&b, 0);
	Guest llm = guest_start(&b.twin, 1000, false), stt = guest_start(&b.twin, 200, false);
	int l = add(&b, "judge", &llm), s = add(&b, "stt", &stt);
	run_looks(&b, 3);
	guest_take(&llm, 4000);
	run_looks(&b, 3);
	guest_take(&llm, -3000);
	SamplerReport r = run_looks(&b, 3);
	CHECK_INT(r.peak_bytes[l], 5000LL << 20);
	CHECK_INT(r.now_bytes[l], 2000LL << 20);
	CHECK_INT(r.peak_bytes[s], 200LL << 20);
	CHECK_INT(r.used_peak_bytes, 5200LL << 20);
	CHECK_INT(r.total_bytes, (int64_t)TWIN_TOTAL_MIB << 20);
	CHECK(!r.contended);
	guest_end(&llm);
	guest_end(&stt);
	bench_end(&b);
}

TEST(a_tenant_that_stays_as_it_is_is_tolerated)
{
	Bench b = {.twin = twin_make()};
	Guest old = guest_start(&b.twin, 1200, false);
	bench_start(&b, 0);
	Guest llm = guest_start(&b.twin, 1000, false);
	add(&b, "judge", &llm);
	SamplerReport r = run_looks(&b, 12);
	CHECK(!r.contended);
	CHECK_STR(r.contention, "");
	guest_end(&llm);
	guest_end(&old);
	bench_end(&b);
}

TEST(a_tenant_that_grows_is_contention_with_who_and_how_much)
{
	Bench b = {.twin = twin_make()};
	char pid[32];
	Guest old = guest_start(&b.twin, 1200, false);
	bench_start(&b, 0);
	guest_take(&old, 100);
	SamplerReport r = run_until_contended(&b, 20);
	CHECK(r.contended);
	printf("# %s\n", r.contention);
	snprintf(pid, sizeof(pid), "process %d (", (int)old.pid);
	CHECK(strstr(r.contention, pid));
	CHECK(strstr(r.contention, "test-sampler"));
	CHECK(strstr(r.contention, "grew from 1200 MiB to 1300 MiB"));
	guest_end(&old);
	bench_end(&b);
}

TEST(the_tolerance_is_what_was_asked_for)
{
	Bench b = {.twin = twin_make()};
	Guest old = guest_start(&b.twin, 1200, false);
	bench_start(&b, 200LL << 20);
	guest_take(&old, 100);
	CHECK(!run_looks(&b, 6).contended);
	guest_take(&old, 101);
	CHECK(run_until_contended(&b, 20).contended);
	guest_end(&old);
	bench_end(&b);
}

TEST(somebody_new_is_contention)
{
	Bench b = {.twin = twin_make()};
	bench_start(&b, 0);
	Guest intruder = guest_start(&b.twin, 300, false);
	SamplerReport r = run_until_contended(&b, 20);
	CHECK(strstr(r.contention, "came on the GPU"));
	guest_end(&intruder);
	bench_end(&b);
}

TEST(a_service_of_ours_that_was_stopped_may_go_and_another_may_come)
{
	Bench b = {.twin = twin_make()};
	bench_start(&b, 0);
	Guest first = guest_start(&b.twin, 3000, false);
	int a = add(&b, "judge", &first);
	run_looks(&b, 4);
	sampler_gone(b.sampler, a);
	guest_end(&first);
	Guest second = guest_start(&b.twin, 2000, false);
	int c = add(&b, "judge again", &second);
	SamplerReport r = run_looks(&b, 6);
	CHECK(!r.contended);
	CHECK_INT(r.peak_bytes[a], 3000LL << 20);
	CHECK_INT(r.now_bytes[a], 0);
	CHECK_INT(r.peak_bytes[c], 2000LL << 20);
	guest_end(&second);
	bench_end(&b);
}

/* As with a container: who was asked for it is not who runs in it. */
TEST(a_service_whose_processes_are_known_late_is_no_contention)
{
	Bench b = {.twin = twin_make()};
	bench_start(&b, 0);
	Guest client = guest_start(&b.twin, 0, false), server = guest_start(&b.twin, 3000, false);
	int handle = add(&b, "judge", &client);
	SamplerReport r = run_until_contended(&b, 20);
	CHECK(r.contended);
	CHECK_OK(sampler_own(b.sampler, handle, &(Owner){.name = "judge", .leader = server.pid}));
	r = run_looks(&b, 3);
	CHECK(!r.contended);
	CHECK_STR(r.contention, "");
	CHECK_INT(r.peak_bytes[handle], 3000LL << 20);
	Guest other = guest_start(&b.twin, 200, false);
	r = run_until_contended(&b, 20);
	CHECK(r.contended && strstr(r.contention, "200 MiB"));
	guest_end(&other);
	guest_end(&server);
	guest_end(&client);
	bench_end(&b);
}

TEST(a_neighbour_that_leaves_disturbs_a_start_but_not_a_load)
{
	for (int ready = 0; ready < 2; ready++) {
		Bench b = {.twin = twin_make()};
		Guest old = guest_start(&b.twin, 1200, false);
		bench_start(&b, 0);
		Guest llm = guest_start(&b.twin, 1000, false);
		int l = add(&b, "judge", &llm);
		if (ready)
			sampler_ready(b.sampler, l);
		run_looks(&b, 3);
		guest_end(&old);
		SamplerReport r = run_looks(&b, 8);
		CHECK_INT(r.contended, !ready);
		if (!ready)
			CHECK(strstr(r.contention, "while a service was starting"));
		guest_end(&llm);
		bench_end(&b);
	}
}

TEST(a_tenant_that_computes_is_contention_and_ours_is_not)
{
	Bench b = {.twin = twin_make()};
	Guest old = guest_start(&b.twin, 1200, false);
	bench_start(&b, 0);
	Guest llm = guest_start(&b.twin, 1000, false);
	add(&b, "judge", &llm);
	guest_busy(&llm, .9);
	SamplerReport r = run_looks(&b, 150);
	CHECK(!r.contended);
	guest_busy(&old, .5);
	r = run_until_contended(&b, 1000);
	printf("# %s\n", r.contention);
	CHECK(strstr(r.contention, "computed on the GPU"));
	guest_end(&llm);
	guest_end(&old);
	bench_end(&b);
}

TEST(a_service_without_bytes_has_an_unknown_peak)
{
	Bench b = {.twin = twin_make()};
	b.twin.gpu->bytes_available = 0;
	bench_start(&b, 0);
	Guest llm = guest_start(&b.twin, 1000, false);
	int l = add(&b, "judge", &llm);
	SamplerReport r = run_looks(&b, 3);
	CHECK_INT(r.peak_bytes[l], -1);
	CHECK_INT(r.now_bytes[l], -1);
	CHECK_INT(r.used_peak_bytes, 1000LL << 20);
	guest_end(&llm);
	bench_end(&b);
}

TEST(a_hardware_xid_is_told_at_once_and_an_application_s_is_only_noted)
{
	Bench b = {.twin = twin_make()};
	bench_start(&b, 0);
	shared_xid(b.twin.gpu, 31);
	SamplerReport r = run_looks(&b, 8);
	CHECK(!r.hardware);
	CHECK_INT(b.told, 0);
	shared_xid(b.twin.gpu, 48);
	for (int i = 0; i < 20 && !b.told; i++)
		r = run_looks(&b, 1);
	CHECK_INT(b.told, 1);
	CHECK(strstr(b.what, "Xid 48"));
	json_auto_t *o = sampler_json(b.sampler);
	json_t *xids = json_object_get(o, "xids");
	CHECK_INT(json_array_size(xids), 2);
	CHECK(!js_bool(json_array_get(xids, 0), "hardware", true));
	CHECK(js_bool(json_array_get(xids, 1), "hardware", false));
	bench_end(&b);
}

TEST(a_card_that_falls_off_the_bus_says_why_and_ends_the_looks)
{
	Bench b = {.twin = twin_make()};
	bench_start(&b, 0);
	shared_xid(b.twin.gpu, 79); /* the card is gone with it */
	SamplerReport r;
	for (int i = 0; i < 20 && !b.told; i++)
		r = run_looks(&b, 1);
	sampler_report(b.sampler, &r);
	CHECK(r.hardware);
	CHECK_INT(b.told, 1);
	CHECK(strstr(b.what, "Xid 79"));
	int64_t looks = r.looks;
	for (int i = 0; i < 5; i++)
		CHECK_OK(sd_event_run(b.loop, 20000));
	sampler_report(b.sampler, &r);
	CHECK_INT(r.looks, looks);
	bench_end(&b);
}

TEST(a_card_that_goes_without_a_word_is_gone_all_the_same)
{
	Bench b = {.twin = twin_make()};
	bench_start(&b, 0);
	b.twin.gpu->present = 0;
	SamplerReport r = run_looks(&b, 1);
	CHECK(r.hardware);
	CHECK_INT(b.told, 1);
	CHECK(strstr(b.what, "is gone"));
	bench_end(&b);
}

TEST(throttling_is_a_share_of_the_looks)
{
	Bench b = {.twin = twin_make()};
	bench_start(&b, 0);
	run_looks(&b, 8);
	b.twin.gpu->throttle_bits = 0x40;
	SamplerReport r = run_looks(&b, 16);
	CHECK(r.throttled_share > .3 && r.throttled_share < .9);
	CHECK_INT(r.throttle_bits, 0x40);
	bench_end(&b);
}

TEST(the_evidence_has_what_the_report_has)
{
	Bench b = {.twin = twin_make()};
	Guest old = guest_start(&b.twin, 700, true);
	bench_start(&b, 0);
	Guest llm = guest_start(&b.twin, 1000, false);
	add(&b, "judge", &llm);
	run_looks(&b, 4);
	json_auto_t *o = sampler_json(b.sampler);
	CHECK(o);
	CHECK_STR(js_str(o, "gpu", ""), TWIN_UUID);
	json_t *s = json_array_get(json_object_get(o, "services"), 0);
	CHECK_STR(js_str(s, "service", ""), "judge");
	CHECK_INT(js_int(s, "peak_bytes", -1), 1000LL << 20);
	json_t *tenants = json_object_get(o, "tenants");
	CHECK_INT(json_array_size(tenants), 1);
	json_t *t = json_array_get(tenants, 0);
	CHECK_INT(js_int(t, "pid", -1), old.pid);
	CHECK_INT(js_int(t, "before_bytes", -1), 700LL << 20);
	CHECK(js_bool(t, "before", false) && js_bool(t, "after", false));
	CHECK(json_is_null(json_object_get(o, "contention")));
	CHECK(json_is_null(json_object_get(o, "hardware")));
	guest_end(&llm);
	guest_end(&old);
	bench_end(&b);
}

TEST(more_services_than_there_is_room_for_are_refused)
{
	Bench b = {.twin = twin_make()};
	bench_start(&b, 0);
	Owner o = {.name = "x"};
	for (int i = 0; i < SAMPLER_OWNERS_MAX; i++)
		CHECK_INT(sampler_add(b.sampler, &o), i);
	CHECK_ERR(sampler_add(b.sampler, &o), E2BIG);
	sampler_gone(b.sampler, 99);
	sampler_ready(b.sampler, -1);
	bench_end(&b);
}

static int64_t cpu_us(void)
{
	struct rusage u;
	CHECK_INT(getrusage(RUSAGE_SELF, &u), 0);
	return (int64_t)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) * 1000000 + u.ru_utime.tv_usec +
	       u.ru_stime.tv_usec;
}

/* The looks take a small share of a core, with the stand-in library, which reads /proc itself. */
TEST(watching_is_cheap)
{
	Bench b = {.twin = twin_make()};
	Guest g[4];
	for (int i = 0; i < 4; i++)
		g[i] = guest_start(&b.twin, 300, false);
	bench_start(&b, 0);
	run_looks(&b, 2);
	int64_t before = cpu_us();
	run_looks(&b, 40);
	double a_look_us = (double)(cpu_us() - before) / 40;
	printf("# %.0f us of CPU a look, one every %d us\n", a_look_us, (int)PERIOD_US);
	CHECK(a_look_us < 1500); /* more would show that something is read at every look */
	for (int i = 0; i < 4; i++)
		guest_end(&g[i]);
	bench_end(&b);
}
