/* The program itself on a socket pair, as it is started in user mode and by root in the foreground:
 * production is changed, taken back and recovered without any systemd. */
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/json.h"
#include "base/proc.h"
#include "helper/wire.h"
#include "production/generation.h"
#include "scratch.h"
#include "test.h"

enum {
	LONG_US = 120 * 1000000
};

typedef struct Bench {
	char root[40];
	ProductionPlaces places;
	sd_event *loop;
	Helper *h;
} Bench;

/* --- A unit that is adopted --------------------------------------------------------------------
 */

static int no_file(void *ctx, const char *path, char **ret, Err *err)
{
	(void)ctx;
	(void)path;
	(void)err;
	*ret = NULL;
	return 0;
}

static void write_adoption(Bench *b, Adoption *a, json_t **ret_values)
{
	_cleanup_free_ char *dropin = adoption_dropin_path(&b->places, "judge.service");
	_cleanup_free_ char *text = NULL;
	char path[] = "/etc/systemd/system/judge.service",
	     unit[] = "[Service]\nExecStart=/srv/judge --util 0.50\n";
	const UnitFile file = {path, unit};
	AdoptWish wish = {0};
	Err err = ERR_INIT;
	CHECK_OK(adoptwish_parse("util=--util", &wish, &err));
	CHECK_OK(allowed_parse("0.3..0.9", &wish.allowed, &err));
	const AdoptInput in = {.unit = "judge.service",
			       .files = &file,
			       .n_files = 1,
			       .state_dir = b->places.state_dir,
			       .dropin = dropin,
			       .user = b->places.user,
			       .home = "/root",
			       .read_file = no_file,
			       .wishes = &wish,
			       .n = 1,
			       .after = (char *[]){NULL}};
	CHECK_OK(adoption_plan(&in, a, &text, ret_values, &err));
	CHECK_OK(adoption_write(&b->places, a, text, &err));
	adoptwish_done(&wish);
}

static void adopt(Bench *b)
{
	_cleanup_(production_closep) Production *p = NULL;
	Adoption a = {0};
	json_t *mine = NULL;
	char id[GENERATION_ID_SIZE];
	GenerationFile *files = NULL;
	size_t n = 0;
	Err err = ERR_INIT;
	write_adoption(b, &a, &mine);
	json_auto_t *values = json_pack("{s:o}", "judge.service", mine);
	CHECK_OK(generation_render(&a, 1, values, no_file, NULL, id, &files, &n, &err));
	CHECK_OK(production_open(&disk_system, b->places.state_dir, &p, &err));
	CHECK_OK(production_write(p, id, files, n, &err));
	CHECK_OK(production_adopt(p, id, &err));
	generationfiles_free(files, n);
	adoption_done(&a);
}

/* --- The bench -------------------------------------------------------------------------------- */

static void run(const char *const *argv, int expect)
{
	_cleanup_free_ char *out = NULL;
	size_t n;
	Err err = ERR_INIT;
	const ProcSpec spec = {.argv = argv, .stdin_path = "/dev/null", .stderr_fd = -1};
	CHECK_INT(proc_run(&spec, NULL, 0, 1 << 16, LONG_US, &out, &n, &err), expect);
}

static void bench_done(Bench *b)
{
	helper_close(b->h);
	sd_event_unref(b->loop);
	run((const char *const[]){"rm", "-rf", b->root, NULL}, 0);
	productionplaces_done(&b->places);
}

static void bench_connect(Bench *b)
{
	Err err = ERR_INIT;
	int r = helper_connect(b->loop, &(HelperAddress){.program = DREAM_HELPER}, &b->h, &err);
	if (r < 0)
		printf("# %s\n", err.msg);
	CHECK_OK(r);
}

static void bench_new(Bench *b)
{
	Err err = ERR_INIT;
	snprintf(b->root, sizeof(b->root), "%s/dream-helper-XXXXXX", scratch_root());
	CHECK(mkdtemp(b->root));
	CHECK(chmod(b->root, 0755) == 0);
	CHECK(setenv("DREAM_PRODUCTION_ROOT", b->root, 1) == 0);
	CHECK(setenv("HOME", "/home", 1) == 0 && unsetenv("XDG_CONFIG_HOME") == 0 &&
	      unsetenv("XDG_STATE_HOME") == 0);
	CHECK_OK(productionplaces_here(&b->places, &err));
	CHECK_OK(sd_event_new(&b->loop));
}

#define BENCH(name)                                            \
	__attribute__((cleanup(bench_done))) Bench name = {0}; \
	bench_new(&name)

static json_t *ask(Bench *b, json_t *request)
{
	json_t *reply = NULL;
	Err err = ERR_INIT;
	int r = helper_ask(b->h, request, LONG_US, &reply, &err);
	if (r < 0)
		printf("# %s\n", err.msg);
	CHECK_OK(r);
	return reply;
}

static int refused(Bench *b, json_t *request)
{
	json_t *reply = NULL;
	Err err = ERR_INIT;
	int r = helper_ask(b->h, request, LONG_US, &reply, &err);
	CHECK(r < 0 && !reply && err.msg[0]);
	return r;
}

static void current(Bench *b, char ret[GENERATION_ID_SIZE])
{
	json_auto_t *s = ask(b, json_pack("{s:s}", "do", "status"));
	snprintf(ret, GENERATION_ID_SIZE, "%s", js_str(s, "current", ""));
}

static void prepare(Bench *b, const char *value, char ret[GENERATION_ID_SIZE])
{
	json_auto_t *s =
	    ask(b, json_pack("{s:s, s:{s:s}}", "do", "prepare", "values", "util", value));
	snprintf(ret, GENERATION_ID_SIZE, "%s", js_str(s, "generation", ""));
}

static void begin_and_flip(Bench *b, const char *from, const char *to)
{
	json_decref(
	    ask(b, json_pack("{s:s, s:s, s:s}", "do", "begin", "rollout", "r", "from", from)));
	json_decref(ask(b, json_pack("{s:s, s:s, s:s}", "do", "flip", "rollout", "r", "to", to)));
}

/* --- Cases ------------------------------------------------------------------------------------ */

TEST(a_change_is_committed_or_taken_back)
{
	BENCH(b);
	char old[GENERATION_ID_SIZE], new[GENERATION_ID_SIZE], now[GENERATION_ID_SIZE];
	adopt(&b);
	bench_connect(&b);
	current(&b, old);
	prepare(&b, "0.6", new);
	begin_and_flip(&b, old, new);
	json_auto_t *undone = ask(&b, json_pack("{s:s}", "do", "undo"));
	CHECK(js_bool(undone, "moved", false));
	CHECK_STR(js_str(undone, "current", ""), old);

	begin_and_flip(&b, old, new);
	json_decref(ask(&b, json_pack("{s:s, s:s}", "do", "commit", "rollout", "r")));
	current(&b, now);
	CHECK_STR(now, new);
	CHECK_INT(
	    refused(&b, json_pack("{s:s, s:{s:s}}", "do", "prepare", "values", "util", "0.95")),
	    -EPERM);
	CHECK_INT(refused(&b, json_pack("{s:s, s:s}", "do", "restart", "unit", "other.service")),
		  -EPERM);
}

TEST(status_says_what_is_in_the_middle)
{
	BENCH(b);
	char old[GENERATION_ID_SIZE], new[GENERATION_ID_SIZE];
	adopt(&b);
	bench_connect(&b);
	current(&b, old);
	prepare(&b, "0.6", new);
	begin_and_flip(&b, old, new);
	json_auto_t *s = ask(&b, json_pack("{s:s}", "do", "status"));
	const json_t *change = json_object_get(s, "change");
	CHECK_STR(js_str(change, "rollout", ""), "r");
	CHECK_STR(js_str(change, "from", ""), old);
	CHECK_STR(js_str(change, "to", ""), new);
	CHECK(js_int(change, "began_at_us", 0) > 0);
	const json_t *values = json_object_get(json_object_get(s, "values"), "judge.service");
	CHECK_STR(js_str(values, "util", ""), "0.6");
	const json_t *unit = json_object_get(json_object_get(s, "units"), "judge.service");
	CHECK_INT(json_array_size(json_object_get(unit, "targets")), 1);
}

TEST(preparing_the_same_again_is_the_same_generation_and_the_folder_has_an_end)
{
	BENCH(b);
	char first[GENERATION_ID_SIZE], again[GENERATION_ID_SIZE], value[16];
	size_t n = 0;
	adopt(&b);
	bench_connect(&b);
	prepare(&b, "0.6", first);
	prepare(&b, "0.6", again);
	CHECK_STR(first, again);
	for (int i = 0; i < 100; i++) {
		snprintf(value, sizeof(value), "0.4%03d", i);
		prepare(&b, value, again);
	}
	_cleanup_free_ char *dir = str_fmt("%s/gen", b.places.state_dir);
	_cleanup_free_ char *out = NULL;
	Err err = ERR_INIT;
	const ProcSpec spec = {.argv = (const char *const[]){"ls", dir, NULL},
			       .stdin_path = "/dev/null",
			       .stderr_fd = 2};
	CHECK_OK(proc_run(&spec, NULL, 0, 1 << 16, LONG_US, &out, &n, &err));
	CHECK(n < 66 * GENERATION_ID_SIZE);
}

TEST(where_nothing_is_adopted_that_is_said)
{
	BENCH(b);
	bench_connect(&b);
	json_auto_t *s = ask(&b, json_pack("{s:s}", "do", "status"));
	CHECK_STR(js_str(s, "current", "?"), "");
	CHECK_INT(json_object_size(json_object_get(s, "units")), 0);
	CHECK_INT(refused(&b, json_pack("{s:s}", "do", "undo")), -ENOENT);
	run((const char *const[]){DREAM_HELPER, "--recover", NULL}, 0);
}

TEST(a_folder_of_generations_that_an_adopted_unit_needs_is_missed)
{
	BENCH(b);
	adopt(&b);
	run((const char *const[]){"rm", "-r", b.places.state_dir, NULL}, 0);
	bench_connect(&b);
	CHECK_INT(refused(&b, json_pack("{s:s}", "do", "status")), -ENOENT);
}

TEST(recovery_takes_back_what_was_open_in_another_boot_and_leaves_this_one_alone)
{
	BENCH(b);
	char old[GENERATION_ID_SIZE], new[GENERATION_ID_SIZE], now[GENERATION_ID_SIZE];
	Err err = ERR_INIT;
	adopt(&b);
	bench_connect(&b);
	current(&b, old);
	prepare(&b, "0.6", new);
	begin_and_flip(&b, old, new);
	run((const char *const[]){DREAM_HELPER, "--recover", NULL}, 0);
	current(&b, now);
	CHECK_STR(now, new);
	_cleanup_free_ char *boot = str_fmt("%s/.boot", b.places.state_dir);
	CHECK_OK(file_write(boot, 0600, "another", 7, &err));
	run((const char *const[]){DREAM_HELPER, "--recover", NULL}, 0);
	current(&b, now);
	CHECK_STR(now, old);
	CHECK_INT(refused(&b, json_pack("{s:s, s:s}", "do", "commit", "rollout", "r")), -EPERM);
}

TEST(a_folder_that_others_can_write_is_not_believed)
{
	BENCH(b);
	adopt(&b);
	bench_connect(&b);
	CHECK(chmod(b.places.state_dir, 0777) == 0);
	CHECK_INT(refused(&b, json_pack("{s:s}", "do", "status")), -EPERM);
	CHECK(chmod(b.places.state_dir, 0755) == 0);
	json_decref(ask(&b, json_pack("{s:s}", "do", "status")));
}

TEST(what_it_is_not_started_for_is_refused_with_the_usage)
{
	run((const char *const[]){DREAM_HELPER, "--fd", NULL}, -EIO);
	run((const char *const[]){DREAM_HELPER, "--fd", "0", NULL}, -EIO);
	run((const char *const[]){DREAM_HELPER, "--fd", "99", NULL}, -EIO);
	run((const char *const[]){DREAM_HELPER, "--shell", NULL}, -EIO);
	run((const char *const[]){DREAM_HELPER, NULL}, -EIO);
	run((const char *const[]){DREAM_HELPER, "--help", NULL}, 0);
}
