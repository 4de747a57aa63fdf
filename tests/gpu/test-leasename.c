/* All who mean one card meet at one lock, and others can see who has it. */
#include "gpu/leasename.h"

#include <fcntl.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "gpu/lease.h"
#include "test.h"
#include "twin.h"

static char *name_of(const char *configured, int expected)
{
	Err err = ERR_INIT;
	char *name = NULL;
	int r = gpu_lease_name(getenv("TWIN_NVML"), configured, &name, &err);
	if (r < 0)
		printf("# %s\n", err.msg);
	CHECK_INT(r, expected);
	return name;
}

TEST(without_nvml_the_name_is_what_was_said)
{
	unsetenv("TWIN_GPU");
	_cleanup_free_ char *a = name_of(NULL, 0), *b = name_of("GPU-abc", 0), *c = name_of("", 0);
	CHECK_STR(a, "default");
	CHECK_STR(b, "GPU-abc");
	CHECK_STR(c, "default");
}

TEST(nothing_an_index_a_beginning_and_the_uuid_are_one_name)
{
	Twin t = twin_make();
	static const char *const said[] = {NULL, "", "0", "GPU-3c1f", TWIN_UUID};
	for (size_t i = 0; i < sizeof(said) / sizeof(*said); i++) {
		_cleanup_free_ char *name = name_of(said[i], 0);
		CHECK_STR(name, TWIN_UUID);
	}
	twin_remove(&t);
}

TEST(a_card_that_is_not_here_is_refused_unless_it_is_named_whole)
{
	Twin t = twin_make();
	(void)name_of("1", -ENOENT);
	(void)name_of("GPU-ffff", -ENOENT);
	_cleanup_free_ char *other = name_of("GPU-00000000-1111-2222-3333-444444444444", 0);
	CHECK_STR(other, "GPU-00000000-1111-2222-3333-444444444444");
	twin_remove(&t);
}

TEST(of_several_cards_one_must_be_named)
{
	Twin a = twin_make(), b = twin_make();
	char both[256];
	strcpy(b.gpu->uuid, "GPU-b");
	snprintf(both, sizeof(both), "%s:%s", a.path, b.path);
	setenv("TWIN_GPU", both, 1);
	(void)name_of(NULL, -ENOTUNIQ);
	_cleanup_free_ char *second = name_of("1", 0);
	CHECK_STR(second, "GPU-b");
	twin_remove(&a);
	twin_remove(&b);
}

TEST(who_holds_a_lease_is_seen_and_nobody_afterwards)
{
	char dir[] = "/tmp/test-leasename-XXXXXX", pid[32], file[128];
	Lease *l = NULL;
	Err err = ERR_INIT;
	CHECK(mkdtemp(dir));
	_cleanup_free_ char *none = NULL, *holder = NULL, *after = NULL, *bad = NULL;
	CHECK_OK(lease_holder(dir, TWIN_UUID, &none));
	CHECK(!none);
	CHECK_INT(lease_take(dir, TWIN_UUID, "the test", &l, NULL, &err), 1);
	CHECK_OK(lease_holder(dir, TWIN_UUID, &holder));
	printf("# %s\n", holder);
	snprintf(pid, sizeof(pid), "process %d, since 20", (int)getpid());
	CHECK(holder && strncmp(holder, pid, strlen(pid)) == 0);
	CHECK(strstr(holder, "for the test"));
	lease_release(l);
	CHECK_OK(lease_holder(dir, TWIN_UUID, &after));
	CHECK(!after);
	CHECK_OK(lease_holder(dir, "../../etc/passwd", &bad));
	CHECK(!bad);
	snprintf(file, sizeof(file), "%s/gpu-%s.lock", dir, TWIN_UUID);
	unlink(file);
	CHECK_INT(rmdir(dir), 0);
}
