/* Readings through the stand-in library, and through libraries as other drivers have them. */
#include "gpu/nvml.h"

#include <unistd.h>

#include "test.h"
#include "twin.h"

static Nvml *open_twin(void)
{
	Nvml *n = NULL;
	Err err = ERR_INIT;
	int r = nvml_open(getenv("TWIN_NVML"), &n, &err);
	if (r < 0)
		printf("# %s\n", err.msg);
	CHECK_OK(r);
	return n;
}

static int open_variant(const char *name, Nvml **ret, Err *err)
{
	char path[512];
	snprintf(path, sizeof(path), "%s/libvariant-%s.so", getenv("VARIANTS"), name);
	return nvml_open(path, ret, err);
}

static Nvml *variant(const char *name)
{
	Nvml *n = NULL;
	CHECK_OK(open_variant(name, &n, NULL));
	return n;
}

static const GpuProcess *process_in(const GpuState *s, pid_t pid)
{
	for (size_t i = 0; i < s->n_processes; i++)
		if (s->processes[i].pid == pid)
			return &s->processes[i];
	return NULL;
}

static int64_t bytes_of(const GpuState *s, pid_t pid)
{
	const GpuProcess *p = process_in(s, pid);
	return p ? p->used_bytes : -2;
}

static unsigned lists_of(const GpuState *s, pid_t pid)
{
	const GpuProcess *p = process_in(s, pid);
	return p ? p->lists : 0;
}

TEST(no_library_is_a_state_of_its_own_with_a_word_on_what_to_do)
{
	Nvml *n = NULL;
	Err err = ERR_INIT;
	CHECK_ERR(nvml_open("/nonexistent/libnvidia-ml.so.1", &n, &err), ENOENT);
	CHECK(strstr(err.msg, "install NVIDIA's driver"));
	CHECK(!n);
}

TEST(another_library_of_that_name_is_refused)
{
	Nvml *n = NULL;
	Err err = ERR_INIT;
	CHECK_ERR(nvml_open("libm.so.6", &n, &err), ELIBBAD);
	CHECK(strstr(err.msg, "is not NVML"));
}

TEST(a_library_without_a_driver_says_so)
{
	Nvml *n = NULL;
	Err err = ERR_INIT;
	unsetenv("TWIN_GPU");
	CHECK_ERR(nvml_open(getenv("TWIN_NVML"), &n, &err), ENODEV);
	CHECK(strstr(err.msg, "no loaded NVIDIA driver"));
}

TEST(an_updated_driver_under_a_running_one_is_explained)
{
	Nvml *n = NULL;
	Err err = ERR_INIT;
	CHECK_ERR(open_variant("mismatch", &n, &err), ELIBBAD);
	CHECK(strstr(err.msg, "Driver/library version mismatch"));
	CHECK(strstr(err.msg, "reboot"));
}

TEST(what_the_card_is)
{
	Twin t = twin_make();
	strcpy(t.gpu->driver, "580.82");
	t.gpu->display = 1;
	t.gpu->sm_max_mhz = 1777;
	t.gpu->power_limit_w = 170;
	Nvml *n = open_twin();
	CHECK_INT(nvml_count(n), 1);
	const GpuInfo *g = nvml_info(n, 0);
	CHECK_STR(g->uuid, TWIN_UUID);
	CHECK_STR(g->name, "Twin of a card");
	CHECK_STR(g->driver, "580.82");
	CHECK_STR(nvml_driver(n), "580.82");
	CHECK_STR(g->cuda, "");
	CHECK_STR(g->pci, "00000000:01:00.0");
	CHECK_INT(g->cc_major, 8);
	CHECK_INT(g->cc_minor, 6);
	CHECK_INT(g->total_bytes, (int64_t)TWIN_TOTAL_MIB << 20);
	CHECK_INT(g->display, 1);
	CHECK_INT(g->mig, -1);
	CHECK_INT(g->sm_max_mhz, 1777);
	CHECK_NEAR(g->power_limit_w, 170, 1e-9);
	nvml_close(n);
	twin_remove(&t);
}

TEST(memory_and_processes_as_they_are_now)
{
	Twin t = twin_make();
	t.gpu->reserved_bytes = 300 << 20;
	Guest a = guest_start(&t, 5000, false), b = guest_start(&t, 80, true);
	Nvml *n = open_twin();
	GpuState s;
	CHECK_OK(nvml_read(n, 0, &s, NULL));
	CHECK_INT(s.used_bytes, 5080LL << 20);
	CHECK_INT(s.reserved_bytes, 300 << 20);
	CHECK_INT(s.free_bytes, (TWIN_TOTAL_MIB - 5380LL) << 20);
	CHECK(s.processes_known);
	CHECK_INT(s.n_processes, 2);
	CHECK_INT(bytes_of(&s, a.pid), 5000LL << 20);
	CHECK_INT(lists_of(&s, a.pid), GPU_COMPUTE);
	CHECK_INT(lists_of(&s, b.pid), GPU_GRAPHICS);
	CHECK(s.processes[0].visible && s.processes[1].visible);
	guest_end(&a);
	CHECK_OK(nvml_read(n, 0, &s, NULL));
	CHECK_INT(s.n_processes, 1);
	CHECK_INT(s.used_bytes, 80LL << 20);
	guest_end(&b);
	nvml_close(n);
	twin_remove(&t);
}

TEST(what_a_card_does_not_say_is_unavailable_and_not_zero)
{
	Twin t = twin_make();
	Nvml *n = open_twin();
	GpuState s;
	CHECK_OK(nvml_read(n, 0, &s, NULL));
	CHECK_INT(s.sm_mhz, -1);
	CHECK_INT(s.temperature_c, -1);
	CHECK(isnan(s.power_w));
	CHECK(isnan(s.energy_j));
	CHECK(isnan(nvml_info(n, 0)->power_limit_w));
	CHECK_INT(s.throttle, 0);
	nvml_close(n);
	twin_remove(&t);
}

TEST(a_cheap_look_leaves_the_rest_as_it_was)
{
	Twin t = twin_make();
	Nvml *n = open_twin();
	GpuState s;
	CHECK_OK(nvml_read(n, 0, &s, NULL));
	t.gpu->throttle_bits = 0x40;
	CHECK_OK(nvml_look(n, 0, GPU_LOOK_MEMORY, &s, NULL));
	CHECK_INT(s.throttle, 0);
	CHECK_OK(nvml_look(n, 0, GPU_LOOK_LOAD, &s, NULL));
	CHECK_INT(s.throttle, 0x40);
	nvml_close(n);
	twin_remove(&t);
}

TEST(a_card_is_found_by_uuid_by_its_beginning_and_by_index)
{
	Twin t = twin_make();
	Nvml *n = open_twin();
	Err err = ERR_INIT;
	size_t i = 9;
	CHECK_OK(nvml_find(n, TWIN_UUID, &i, NULL));
	CHECK_INT(i, 0);
	CHECK_OK(nvml_find(n, "GPU-3c1f", &i, NULL));
	CHECK_OK(nvml_find(n, "0", &i, NULL));
	CHECK_ERR(nvml_find(n, "1", &i, &err), ENOENT);
	CHECK(strstr(err.msg, TWIN_UUID));
	CHECK_ERR(nvml_find(n, "GPU-4", &i, NULL), ENOENT);
	CHECK_ERR(nvml_find(n, "", &i, NULL), ENOENT);
	nvml_close(n);
	twin_remove(&t);
}

TEST(a_beginning_that_two_cards_share_names_none)
{
	Twin a = twin_make(), b = twin_make();
	char both[256];
	Err err = ERR_INIT;
	size_t i;
	strcpy(b.gpu->uuid, "GPU-3c1f0d2e-0000-4000-8000-0000000000bb");
	snprintf(both, sizeof(both), "%s:%s", a.path, b.path);
	setenv("TWIN_GPU", both, 1);
	Nvml *n = open_twin();
	CHECK_INT(nvml_count(n), 2);
	CHECK_ERR(nvml_find(n, "GPU-3c1f0d2e", &i, &err), ENOENT);
	CHECK(strstr(err.msg, "more than one"));
	CHECK_OK(nvml_find(n, "GPU-3c1f0d2e-0000-4000-8000-00", &i, NULL));
	CHECK_INT(i, 1);
	nvml_close(n);
	twin_remove(&a);
	twin_remove(&b);
}

TEST(a_card_that_fell_off_the_bus_is_gone)
{
	Twin t = twin_make();
	Nvml *n = open_twin();
	GpuState s;
	Err err = ERR_INIT;
	CHECK_OK(nvml_read(n, 0, &s, NULL));
	t.gpu->present = 0;
	CHECK_ERR(nvml_read(n, 0, &s, &err), ENODEV);
	CHECK(strstr(err.msg, TWIN_UUID));
	nvml_close(n);
	twin_remove(&t);
}

TEST(a_card_that_was_lost_before_does_not_hide_the_others)
{
	Twin a = twin_make(), b = twin_make();
	char both[256];
	strcpy(b.gpu->uuid, "GPU-b");
	snprintf(both, sizeof(both), "%s:%s", a.path, b.path);
	setenv("TWIN_GPU", both, 1);
	a.gpu->present = 0;
	Nvml *n = open_twin();
	CHECK_INT(nvml_count(n), 1);
	CHECK_STR(nvml_info(n, 0)->uuid, "GPU-b");
	CHECK_INT(nvml_info(n, 0)->index, 1);
	CHECK(strstr(nvml_missing(n), "a GPU 0 that cannot be used"));
	nvml_close(n);
	twin_remove(&a);
	twin_remove(&b);
}

TEST(xids_are_told_once_in_order_and_only_from_now_on)
{
	Twin t = twin_make();
	uint64_t xid[8];
	shared_xid(t.gpu, 62);
	Nvml *n = open_twin();
	CHECK(nvml_has_xid(n));
	CHECK_INT(nvml_xids(n, 0, xid, 8), 0);
	shared_xid(t.gpu, 31);
	shared_xid(t.gpu, 48);
	shared_xid(t.gpu, 13);
	CHECK_INT(nvml_xids(n, 0, xid, 2), 2);
	CHECK_INT(xid[0], 31);
	CHECK_INT(xid[1], 48);
	CHECK_INT(nvml_xids(n, 0, xid, 8), 1);
	CHECK_INT(xid[0], 13);
	CHECK_INT(nvml_xids(n, 0, xid, 8), 0);
	nvml_close(n);
	twin_remove(&t);
}

TEST(an_xid_of_a_card_is_not_told_by_its_neighbour)
{
	Twin a = twin_make(), b = twin_make();
	char both[256];
	uint64_t xid[4];
	strcpy(b.gpu->uuid, "GPU-b");
	snprintf(both, sizeof(both), "%s:%s", a.path, b.path);
	setenv("TWIN_GPU", both, 1);
	Nvml *n = open_twin();
	shared_xid(b.gpu, 79);
	CHECK_INT(nvml_xids(n, 0, xid, 4), 0);
	CHECK_INT(nvml_xids(n, 1, xid, 4), 1);
	CHECK_INT(xid[0], 79);
	nvml_close(n);
	twin_remove(&a);
	twin_remove(&b);
}

TEST(which_xids_are_the_hardware_s)
{
	static const uint64_t application[] = {13, 31, 43, 45, 68, 109},
			      hardware[] = {46, 48, 63, 64, 74, 79, 94, 95, 119, 999};
	for (size_t i = 0; i < sizeof(application) / sizeof(*application); i++)
		CHECK(!xid_is_hardware(application[i]));
	for (size_t i = 0; i < sizeof(hardware) / sizeof(*hardware); i++)
		CHECK(xid_is_hardware(hardware[i]));
}

TEST(what_slows_a_card_down_in_words)
{
	static const struct {
		int64_t bits;
		const char *words;
	} cases[] = {
	    {-1, ""},
	    {0, ""},
	    {0x1, ""}, /* idle */
	    {0x2, ""}, /* the clocks that somebody chose */
	    {0x100, ""},
	    {0x4, "power cap"},
	    {0x20, "thermal"},
	    {0x8, "hardware slowdown"},
	    {0x48, "thermal (hardware)"},
	    {0x88, "power brake"},
	    {0x24, "thermal, power cap"},
	    {0x1 | 0x10, "sync boost"},
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		char words[128];
		gpu_throttle_words(cases[i].bits, words, sizeof(words));
		CHECK_STR(words, cases[i].words);
		CHECK_INT(gpu_throttled(cases[i].bits), *cases[i].words != '\0');
	}
}

TEST(throttle_words_never_leave_their_room)
{
	char words[8];
	gpu_throttle_words(0xff, words, sizeof(words));
	CHECK(strlen(words) < sizeof(words));
}

static size_t wait_for_activity(Nvml *n, GpuActivity *ret, size_t max)
{
	/* A window of the stand-in is a sixth of a second. */
	for (int i = 0; i < 100; i++) {
		int k = nvml_activity(n, 0, ret, max);
		CHECK_OK(k);
		if (k > 0)
			return (size_t)k;
		usleep(20000);
	}
	return 0;
}

TEST(who_computes_is_told_by_samples)
{
	Twin t = twin_make();
	Guest busy = guest_start(&t, 100, false), idle = guest_start(&t, 100, false);
	Nvml *n = open_twin();
	GpuActivity a[16];
	GpuState s;
	guest_busy(&busy, .5);
	(void)wait_for_activity(n, a, 16); /* in this window it began */
	uint64_t before = a[0].at_us;
	size_t k = wait_for_activity(n, a, 16);
	CHECK_INT(k, 2);
	for (size_t i = 0; i < k; i++) {
		CHECK(a[i].at_us > before);
		CHECK_NEAR(a[i].sm_pct, a[i].pid == busy.pid ? 50 : 0, 2);
	}
	CHECK_OK(nvml_read(n, 0, &s, NULL));
	CHECK_NEAR(s.gpu_pct, 50, 2);
	guest_end(&busy);
	guest_end(&idle);
	nvml_close(n);
	twin_remove(&t);
}

/* --- Other drivers --------------------------------------------------------------------------- */

TEST(an_old_driver_with_short_entries_and_without_anything_else)
{
	Nvml *n = variant("old");
	GpuState s;
	uint64_t xid;
	GpuActivity a;
	CHECK_INT(nvml_count(n), 1);
	CHECK_STR(nvml_info(n, 0)->name, "");
	CHECK_INT(nvml_info(n, 0)->cc_major, -1);
	CHECK_OK(nvml_read(n, 0, &s, NULL));
	CHECK_INT(s.used_bytes, 3LL << 30);
	CHECK_INT(s.reserved_bytes, -1);
	CHECK_INT(s.n_processes, 3);
	CHECK_INT(bytes_of(&s, 1001), 1LL << 30);
	CHECK_INT(bytes_of(&s, 1002), 2LL << 30);
	CHECK_INT(bytes_of(&s, 1003), 3LL << 30);
	CHECK_INT(s.gpu_pct, -1);
	CHECK_INT(s.throttle, -1);
	CHECK(!nvml_has_xid(n));
	CHECK_INT(nvml_xids(n, 0, &xid, 1), 0);
	CHECK_ERR(nvml_activity(n, 0, &a, 1), EOPNOTSUPP);
	nvml_close(n);
}

TEST(the_second_generation_of_lists_has_long_entries)
{
	Nvml *n = variant("second");
	GpuState s;
	CHECK_OK(nvml_read(n, 0, &s, NULL));
	CHECK(s.processes_known);
	CHECK_INT(s.n_processes, 2);
	CHECK_INT(bytes_of(&s, 1002), 2LL << 30);
	nvml_close(n);
}

TEST(bytes_of_processes_that_wsl_does_not_know_are_unknown)
{
	Nvml *n = variant("wsl");
	GpuState s;
	CHECK_OK(nvml_read(n, 0, &s, NULL));
	CHECK(s.processes_known);
	CHECK_INT(s.n_processes, 2);
	CHECK_INT(bytes_of(&s, 1001), -1);
	CHECK_INT(bytes_of(&s, 1002), -1);
	nvml_close(n);
}

TEST(a_list_that_fails_is_not_an_empty_one)
{
	Nvml *n = variant("half");
	GpuState s;
	CHECK_OK(nvml_read(n, 0, &s, NULL));
	CHECK(!s.processes_known);
	nvml_close(n);
}

TEST(a_library_that_lists_nothing_is_not_one_that_lists_nobody)
{
	Nvml *n = variant("unlisted");
	GpuState s;
	CHECK_OK(nvml_read(n, 0, &s, NULL));
	CHECK(!s.processes_known);
	CHECK_INT(s.n_processes, 0);
	CHECK_INT(s.used_bytes, 3LL << 30);
	nvml_close(n);
}

TEST(instances_of_mig_add_up_and_lists_do_not)
{
	Nvml *n = variant("mig");
	GpuState s;
	GpuActivity a;
	CHECK_INT(nvml_info(n, 0)->mig, 1);
	CHECK_OK(nvml_read(n, 0, &s, NULL));
	CHECK_INT(s.n_processes, 2);
	CHECK_INT(bytes_of(&s, 1001), 3LL << 30);
	CHECK_INT(bytes_of(&s, 1002), 1LL << 30);
	CHECK_INT(lists_of(&s, 1002), GPU_COMPUTE | GPU_GRAPHICS);
	CHECK_ERR(nvml_activity(n, 0, &a, 1), EOPNOTSUPP);
	nvml_close(n);
}

TEST(after_a_reset_the_card_is_found_again_by_its_uuid)
{
	Nvml *n = variant("reset");
	GpuState s;
	for (int i = 0; i < 5; i++) {
		CHECK_OK(nvml_read(n, 0, &s, NULL));
		CHECK_INT(s.used_bytes, 3LL << 30);
	}
	nvml_close(n);
}

TEST(nonsense_from_a_driver_is_unavailable_and_bounded)
{
	Nvml *n = variant("storm");
	GpuState s;
	uint64_t xid[4];
	CHECK_INT(nvml_count(n), GPUS_MAX);
	CHECK_INT(strlen(nvml_info(n, 0)->uuid), GPU_UUID_SIZE - 1);
	CHECK_OK(nvml_read(n, 0, &s, NULL));
	CHECK_INT(s.total_bytes, -1);
	CHECK_INT(s.used_bytes, -1);
	CHECK_INT(s.gpu_pct, -1);
	CHECK_INT(s.memory_pct, -1);
	CHECK_INT(s.temperature_c, -1);
	CHECK(s.n_processes > 0 && s.n_processes <= GPU_PROCESSES_MAX);
	for (size_t i = 0; i < s.n_processes; i++) {
		CHECK(s.processes[i].pid > 0);
		CHECK_INT(s.processes[i].used_bytes, -1);
	}
	CHECK_INT(nvml_xids(n, 0, xid, 4), 4);
	CHECK_INT(xid[3], 999);
	nvml_close(n);
}
