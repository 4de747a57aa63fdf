/* What production does and refuses, on a real folder. What interrupts it is in test-crash.c,
 * test-faults.c and test-kill.c. */
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "base/file.h"
#include "base/json.h"
#include "base/str.h"
#include "scratch.h"
#include "story.h"

static Production *open_it(const char *dir)
{
	Err err = ERR_INIT;
	Production *p = NULL;
	int r = production_open(&disk_system, dir, &p, &err);
	if (r < 0)
		printf("# %s\n", err.msg);
	CHECK_OK(r);
	return p;
}

static void do_step(Production *p, StepKind kind, int generation)
{
	Err err = ERR_INIT;
	int r = story_do(p, &(Step){kind, generation}, &err);
	if (r < 0)
		printf("# %s %d: %s\n", step_name(kind), generation, err.msg);
	CHECK_OK(r);
}

static void write_and_adopt(Production *p, int generation)
{
	do_step(p, STEP_WRITE, generation);
	do_step(p, STEP_ADOPT, generation);
}

static char *in(const char *dir, const char *name)
{
	char *path = path_join(dir, name);
	CHECK(path);
	return path;
}

static char *link_of(const char *dir)
{
	char target[100];
	_cleanup_free_ char *path = in(dir, "current");
	ssize_t n = readlink(path, target, sizeof(target) - 1);
	CHECK(n > 0);
	return strndup(target, (size_t)n);
}

static int try_flip(Production *p, const char *id, Err *err)
{
	*err = ERR_INIT;
	return production_flip(p, "a-rollout", id, err);
}

TEST(where_nothing_is_yet_there_is_nothing_and_nothing_is_made)
{
	SCRATCH(dir);
	Err err = ERR_INIT;
	_cleanup_free_ char *state = in(dir, "state");
	_cleanup_(production_closep) Production *p = open_it(state);
	const char *good[GOOD_MAX];
	CHECK_STR(production_current(p), "");
	CHECK(!production_change(p)->open);
	CHECK_INT(production_good(p, good), 0);
	CHECK_INT(production_recover(p, &err), 0);
	CHECK(access(state, F_OK) < 0);
}

TEST(the_link_names_the_generation_relative_to_its_folder)
{
	SCRATCH(dir);
	_cleanup_free_ char *state = in(dir, "a/b/state");
	_cleanup_(production_closep) Production *p = open_it(state);
	write_and_adopt(p, 0);
	_cleanup_free_ char *target = link_of(state);
	_cleanup_free_ char *want = str_fmt("gen/%s", story_id(0));
	CHECK_STR(target, want);
	_cleanup_free_ char *through = in(state, "current/judge.service.env");
	size_t len;
	Err err = ERR_INIT;
	_cleanup_free_ char *text = NULL;
	CHECK_OK(file_read(through, 1000, &text, &len, &err));
	CHECK_STR(text, "DREAM_UTIL=0.50\n");
	CHECK_STR(production_current(p), story_id(0));
}

TEST(a_generation_is_read_back_as_it_was_written)
{
	SCRATCH(dir);
	Err err = ERR_INIT;
	Generation g;
	_cleanup_(production_closep) Production *p = open_it(dir);
	do_step(p, STEP_WRITE, 4);
	CHECK_OK(production_read(p, story_id(4), &g, &err));
	CHECK_STR(g.id, story_id(4));
	CHECK_STR(js_str(json_object_get(g.values, "stt.service"), "size", ""), "small");
	json_decref(g.values);
	CHECK_ERR(production_read(p, story_id(3), &g, &err), ENOENT);
	CHECK_ERR(production_read(p, "../../etc", &g, &err), EINVAL);
}

TEST(a_file_is_as_private_as_it_is_asked_for_whatever_the_umask)
{
	SCRATCH(dir);
	Err err = ERR_INIT;
	struct stat st;
	GenerationFile files[STORY_FILES_MAX];
	size_t n = story_files(0, files);
	_cleanup_(production_closep) Production *p = open_it(dir);
	files[2].mode = 0600;
	mode_t mask = umask(077);
	CHECK_OK(production_write(p, story_id(0), files, n, &err));
	(void)umask(mask);
	_cleanup_free_ char *secret = str_fmt("%s/gen/%s/%s", dir, story_id(0), files[2].name);
	_cleanup_free_ char *open = str_fmt("%s/gen/%s/%s", dir, story_id(0), files[1].name);
	CHECK_OK(stat(secret, &st));
	CHECK_INT(st.st_mode & 0777, 0600);
	CHECK_OK(stat(open, &st));
	CHECK_INT(st.st_mode & 0777, 0644);
	_cleanup_free_ char *folder = str_fmt("%s/gen/%s", dir, story_id(0));
	CHECK_OK(stat(folder, &st));
	CHECK_INT(st.st_mode & 0777, 0755);
}

TEST(the_same_generation_again_is_success_and_another_under_its_name_is_not)
{
	SCRATCH(dir);
	Err err = ERR_INIT;
	GenerationFile files[STORY_FILES_MAX];
	size_t n = story_files(1, files);
	_cleanup_(production_closep) Production *p = open_it(dir);
	do_step(p, STEP_WRITE, 1);
	do_step(p, STEP_WRITE, 1);
	CHECK_ERR(production_write(p, story_id(1), files, n - 1, &err), EEXIST);
	char other[] = "other.service.env";
	char *was = files[1].name;
	files[1].name = other;
	CHECK_ERR(production_write(p, story_id(1), files, n, &err), EEXIST);
	files[1].name = was;
	n = story_files(2, files);
	CHECK_ERR(production_write(p, story_id(1), files, n, &err), EEXIST);
	CHECK(!story_check_folders(&disk_system, dir, &(Known){.current = 1, .from = -1}));
}

TEST(no_name_from_outside_becomes_a_path)
{
	static const char *const bad[] = {
	    "",
	    "..",
	    "../../../../etc",
	    "1f0e3dad9990834",
	    "1f0e3dad999083455",
	    "1F0E3DAD99908345",
	    "1f0e3dad9990834/",
	    "/f0e3dad99908345",
	    "1f0e3dad9990834\n",
	    ".new-1f0e3dad999",
	};
	SCRATCH(dir);
	Err err = ERR_INIT;
	GenerationFile files[STORY_FILES_MAX];
	size_t n = story_files(0, files);
	_cleanup_(production_closep) Production *p = open_it(dir);
	write_and_adopt(p, 0);
	do_step(p, STEP_BEGIN, 0);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		CHECK_ERR(try_flip(p, bad[i], &err), EINVAL);
		CHECK_ERR(production_write(p, bad[i], files, n, &err), EINVAL);
		CHECK_ERR(production_adopt(p, bad[i], &err), EINVAL);
		CHECK_ERR(production_begin(p, "r", bad[i], 0, &err), EINVAL);
	}
	static const char *const names[] = {"", ".", "..", "../x", "a/b", "/etc/passwd", ".hidden"};
	char name[20];
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		(void)snprintf(name, sizeof(name), "%s", names[i]);
		files[1].name = name;
		CHECK_ERR(production_write(p, story_id(1), files, n, &err), EINVAL);
	}
	CHECK_ERR(production_write(p, story_id(1), files + 2, 1, &err), EINVAL); /* no values */
}

TEST(a_change_is_one_at_a_time_and_by_name)
{
	SCRATCH(dir);
	Err err = ERR_INIT;
	_cleanup_(production_closep) Production *p = open_it(dir);
	write_and_adopt(p, 0);
	do_step(p, STEP_WRITE, 1);
	CHECK_ERR(try_flip(p, story_id(1), &err), EPERM);
	CHECK_ERR(production_commit(p, "a-rollout", &err), EPERM);
	CHECK_ERR(production_begin(p, "a-rollout", story_id(1), 0, &err), ESTALE);
	CHECK_ERR(production_begin(p, "", story_id(0), 0, &err), EINVAL);
	CHECK_ERR(production_begin(p, "two words", story_id(0), 0, &err), EINVAL);
	CHECK_ERR(production_begin(p,
				   "a-name-of-sixty-four-characters-which-is-one-more-than-"
				   "there-can-be",
				   story_id(0), 0, &err),
		  EINVAL);
	do_step(p, STEP_BEGIN, 0);
	CHECK_ERR(production_begin(p, "another", story_id(0), 0, &err), EBUSY);
	CHECK(strstr(err.msg, "a-rollout"));
	CHECK_ERR(production_adopt(p, story_id(1), &err), EBUSY);
	CHECK_ERR(production_flip(p, "another", story_id(1), &err), EPERM);
	CHECK_ERR(production_commit(p, "another", &err), EPERM);
	CHECK_ERR(try_flip(p, story_id(2), &err), ENOENT);
	CHECK_STR(production_current(p), story_id(0));
	do_step(p, STEP_FLIP, 1);
	CHECK_STR(production_current(p), story_id(1));
	CHECK_STR(production_change(p)->to, story_id(1));
	CHECK_STR(production_change(p)->from, story_id(0));
	CHECK_STR(production_change(p)->rollout, "a-rollout");
}

TEST(undo_says_whether_it_moved_anything_and_may_be_asked_for_again)
{
	SCRATCH(dir);
	Err err = ERR_INIT;
	bool moved;
	_cleanup_(production_closep) Production *p = open_it(dir);
	write_and_adopt(p, 0);
	do_step(p, STEP_WRITE, 1);
	do_step(p, STEP_BEGIN, 0);
	CHECK_OK(production_undo(p, &moved, &err));
	CHECK(!moved);
	do_step(p, STEP_BEGIN, 0);
	do_step(p, STEP_FLIP, 1);
	CHECK_OK(production_undo(p, &moved, &err));
	CHECK(moved);
	CHECK_STR(production_current(p), story_id(0));
	CHECK_OK(production_undo(p, &moved, &err));
	CHECK(!moved);
	CHECK(!production_change(p)->open);
}

TEST(recovery_undoes_what_is_open_once)
{
	SCRATCH(dir);
	Err err = ERR_INIT;
	Production *p = open_it(dir);
	write_and_adopt(p, 0);
	do_step(p, STEP_WRITE, 1);
	do_step(p, STEP_BEGIN, 0);
	do_step(p, STEP_FLIP, 1);
	production_close(p);
	p = open_it(dir);
	CHECK(production_change(p)->open);
	CHECK_INT(production_recover(p, &err), 1);
	CHECK_INT(production_recover(p, &err), 0);
	CHECK_STR(production_current(p), story_id(0));
	production_close(p);
}

TEST(what_another_process_did_is_seen_when_something_is_asked_for)
{
	SCRATCH(dir);
	Err err = ERR_INIT;
	_cleanup_(production_closep) Production *a = open_it(dir), *b = open_it(dir);
	write_and_adopt(a, 0);
	do_step(a, STEP_WRITE, 1);
	do_step(a, STEP_BEGIN, 0);
	CHECK_ERR(production_begin(b, "another", story_id(0), 0, &err), EBUSY);
	do_step(a, STEP_FLIP, 1);
	do_step(a, STEP_COMMIT, 0);
	CHECK_ERR(production_begin(b, "another", story_id(0), 0, &err), ESTALE);
	CHECK_OK(production_begin(b, "another", story_id(1), 0, &err));
	CHECK_ERR(production_begin(a, "a-rollout", story_id(1), 0, &err), EBUSY);
}

TEST(what_was_committed_is_good_newest_first_and_each_once)
{
	SCRATCH(dir);
	const char *good[GOOD_MAX];
	static const int order[] = {1, 2, 1, 3, 0, 2};
	_cleanup_(production_closep) Production *p = open_it(dir);
	write_and_adopt(p, 0);
	for (size_t i = 0; i < sizeof(order) / sizeof(order[0]); i++) {
		do_step(p, STEP_WRITE, order[i]);
		do_step(p, STEP_BEGIN, 0);
		do_step(p, STEP_FLIP, order[i]);
		do_step(p, STEP_COMMIT, 0);
	}
	CHECK_INT(production_good(p, good), 4);
	CHECK_STR(good[0], story_id(2));
	CHECK_STR(good[1], story_id(0));
	CHECK_STR(good[2], story_id(3));
	CHECK_STR(good[3], story_id(1));
}

TEST(no_more_than_so_many_are_remembered_and_the_others_are_swept)
{
	SCRATCH(dir);
	Err err = ERR_INIT;
	const char *good[GOOD_MAX];
	GenerationFile files[STORY_FILES_MAX];
	size_t n = story_files(0, files);
	_cleanup_(production_closep) Production *p = open_it(dir);
	write_and_adopt(p, 0);
	for (int i = 0; i < 11; i++) {
		char id[GENERATION_ID_SIZE];
		(void)snprintf(id, sizeof(id), "%016x", i);
		CHECK_OK(production_write(p, id, files, n, &err));
		CHECK_OK(production_begin(p, "r", production_current(p), 0, &err));
		CHECK_OK(production_flip(p, "r", id, &err));
		CHECK_OK(production_commit(p, "r", &err));
	}
	CHECK_INT(production_good(p, good), GOOD_MAX);
	CHECK_STR(good[0], "000000000000000a");
	CHECK_STR(good[7], "0000000000000003");
	CHECK_OK(production_sweep(p, &err));
	_cleanup_free_ char *kept = in(dir, "gen/0000000000000003");
	_cleanup_free_ char *gone = in(dir, "gen/0000000000000002");
	CHECK(access(kept, F_OK) == 0);
	CHECK(access(gone, F_OK) < 0);
}

TEST(adopting_changes_no_value_that_is_in_effect)
{
	SCRATCH(dir);
	Err err = ERR_INIT;
	const char *good[GOOD_MAX];
	_cleanup_(production_closep) Production *p = open_it(dir);
	write_and_adopt(p, 2);
	do_step(p, STEP_WRITE, 3);
	CHECK_ERR(production_adopt(p, story_id(3), &err), EPERM);
	CHECK(strstr(err.msg, "util of judge.service"));
	/* One more unit, and the old values: from before nothing is good any more. */
	write_and_adopt(p, 4);
	CHECK_INT(production_good(p, good), 1);
	CHECK_STR(good[0], story_id(4));
	/* The unit is given back: what has more than is needed is still good. */
	write_and_adopt(p, 2);
	CHECK_INT(production_good(p, good), 2);
	CHECK_STR(good[0], story_id(2));
	CHECK_STR(good[1], story_id(4));
}

TEST(while_a_change_is_open_no_generation_is_swept)
{
	SCRATCH(dir);
	_cleanup_(production_closep) Production *p = open_it(dir);
	write_and_adopt(p, 0);
	do_step(p, STEP_BEGIN, 0);
	do_step(p, STEP_WRITE, 1);
	do_step(p, STEP_SWEEP, 0);
	do_step(p, STEP_FLIP, 1);
	do_step(p, STEP_UNDO, 0);
	do_step(p, STEP_SWEEP, 0);
	_cleanup_free_ char *gone = str_fmt("%s/gen/%s", dir, story_id(1));
	CHECK(access(gone, F_OK) < 0);
}

TEST(what_somebody_put_beside_the_generations_stays)
{
	SCRATCH(dir);
	_cleanup_(production_closep) Production *p = open_it(dir);
	write_and_adopt(p, 0);
	_cleanup_free_ char *notes = in(dir, "gen/notes"), *hidden = in(dir, "gen/.new-");
	CHECK_OK(mkdir(notes, 0755));
	CHECK_OK(mkdir(hidden, 0755));
	do_step(p, STEP_SWEEP, 0);
	CHECK(access(notes, F_OK) == 0);
	CHECK(access(hidden, F_OK) == 0);
}

TEST(a_link_that_leads_elsewhere_is_told_and_mended_by_undoing)
{
	SCRATCH(dir);
	Err err = ERR_INIT;
	_cleanup_(production_closep) Production *p = open_it(dir), *q = NULL;
	_cleanup_free_ char *path = in(dir, "current");
	write_and_adopt(p, 0);
	CHECK_OK(unlink(path));
	CHECK_OK(symlink("/etc", path));
	CHECK_ERR(production_open(&disk_system, dir, &q, &err), EBADMSG);
	CHECK(strstr(err.msg, path));
	CHECK_OK(unlink(path));
	_cleanup_free_ char *right = str_fmt("gen/%s", story_id(0));
	CHECK_OK(symlink(right, path));
	do_step(p, STEP_BEGIN, 0);
	CHECK_OK(unlink(path));
	CHECK_OK(symlink("gen/../../etc/passwd", path));
	q = open_it(dir);
	CHECK_STR(production_current(q), "");
	CHECK_ERR(production_commit(q, "a-rollout", &err), ESTALE);
	CHECK_INT(production_recover(q, &err), 1);
	_cleanup_free_ char *target = link_of(dir);
	CHECK_STR(target, right);
}

TEST(what_is_current_by_other_hands_is_not_committed)
{
	SCRATCH(dir);
	Err err = ERR_INIT;
	_cleanup_(production_closep) Production *p = open_it(dir);
	_cleanup_free_ char *path = in(dir, "current");
	write_and_adopt(p, 0);
	do_step(p, STEP_WRITE, 1);
	do_step(p, STEP_BEGIN, 0);
	do_step(p, STEP_FLIP, 1);
	CHECK_OK(unlink(path));
	_cleanup_free_ char *other = str_fmt("gen/%s", story_id(2));
	CHECK_OK(symlink(other, path));
	CHECK_ERR(production_commit(p, "a-rollout", &err), ESTALE);
	CHECK_INT(production_recover(p, &err), 1);
	CHECK_STR(production_current(p), story_id(0));
}

TEST(a_log_that_is_damaged_or_makes_no_sense_is_an_error_that_names_it)
{
	SCRATCH(dir);
	Err err = ERR_INIT;
	size_t len;
	_cleanup_(production_closep) Production *p = open_it(dir), *q = NULL;
	_cleanup_free_ char *path = in(dir, "intent.log");
	write_and_adopt(p, 0);
	do_step(p, STEP_BEGIN, 0);
	do_step(p, STEP_UNDO, 0);
	_cleanup_free_ char *log = NULL;
	CHECK_OK(file_read(path, 1 << 20, &log, &len, &err));
	log[60] ^= 1;
	CHECK_OK(file_write(path, 0644, log, len, &err));
	CHECK_ERR(production_open(&disk_system, dir, &q, &err), EBADMSG);
	CHECK(strstr(err.msg, path));
	CHECK_ERR(production_begin(p, "r", story_id(0), 0, &err), EBADMSG);
	_cleanup_free_ char *target = link_of(dir);
	CHECK(strstr(target, story_id(0))); /* what runs goes on running */
}

TEST(generations_that_are_gone_or_damaged_are_not_flipped_to)
{
	SCRATCH(dir);
	Err err = ERR_INIT;
	_cleanup_(production_closep) Production *p = open_it(dir);
	write_and_adopt(p, 0);
	do_step(p, STEP_WRITE, 1);
	_cleanup_free_ char *values = str_fmt("%s/gen/%s/values.json", dir, story_id(1));
	do_step(p, STEP_BEGIN, 0);
	CHECK_OK(file_write(values, 0644, "{\"a\": [1]}", 10, &err));
	CHECK_ERR(try_flip(p, story_id(1), &err), EBADMSG);
	CHECK_OK(unlink(values));
	CHECK_ERR(try_flip(p, story_id(1), &err), EBADMSG);
	CHECK_OK(symlink("/etc/passwd", values));
	CHECK_ERR(try_flip(p, story_id(1), &err), ELOOP);
	CHECK_STR(production_current(p), story_id(0));
	CHECK_STR(production_change(p)->to, "");
}

static int lock_is_held(void *ctx, int fd)
{
	(void)ctx;
	(void)fd;
	return -EBUSY;
}

TEST(whoever_holds_the_lock_too_long_is_told_of)
{
	SCRATCH(dir);
	Err err = ERR_INIT;
	Disk disk = disk_system;
	_cleanup_(production_closep) Production *p = open_it(dir), *q = NULL;
	write_and_adopt(p, 0);
	disk.lock = lock_is_held;
	CHECK_OK(production_open(&disk, dir, &q, &err)); /* reading needs none */
	CHECK_ERR(production_begin(q, "r", story_id(0), 0, &err), EBUSY);
	CHECK(strstr(err.msg, "another process"));
}

/* Changes as fast as it can; what another is doing is no error. */
static void change_often(const char *dir, int generation)
{
	char name[20];
	(void)snprintf(name, sizeof(name), "r%d", generation);
	for (int i = 0; i < 16; i++) {
		Err err = ERR_INIT;
		bool moved;
		Production *p = NULL;
		if (production_open(&disk_system, dir, &p, &err) < 0)
			_exit(1);
		int r = production_begin(p, name, production_current(p), 0, &err);
		if (r >= 0)
			r = production_flip(p, name, story_id(generation), &err);
		if (r >= 0)
			r = i % 2 ? production_commit(p, name, &err)
				  : production_undo(p, &moved, &err);
		production_close(p);
		if (r < 0 && r != -EBUSY && r != -ESTALE)
			_exit(2);
	}
	_exit(0);
}

TEST(processes_that_change_production_at_once_take_turns)
{
	SCRATCH(dir);
	Production *p = open_it(dir);
	write_and_adopt(p, 0);
	for (int g = 1; g < 4; g++)
		do_step(p, STEP_WRITE, g);
	production_close(p);
	for (int g = 1; g < 4; g++) {
		pid_t pid = fork();
		CHECK(pid >= 0);
		if (pid == 0)
			change_often(dir, g);
	}
	for (int g = 1; g < 4; g++) {
		int status;
		CHECK(wait(&status) > 0);
		CHECK_INT(status, 0);
	}
	/* Each change ended, by whoever began it. */
	p = open_it(dir);
	const char *good[GOOD_MAX];
	CHECK(!production_change(p)->open);
	CHECK(production_good(p, good) > 1);
	CHECK_STR(production_current(p), good[0]);
	production_close(p);
}

TEST(the_log_stays_short_however_many_changes_there_were)
{
	SCRATCH(dir);
	struct stat st;
	_cleanup_free_ char *path = in(dir, "intent.log");
	_cleanup_(production_closep) Production *p = open_it(dir);
	const char *good[GOOD_MAX];
	write_and_adopt(p, 0);
	do_step(p, STEP_WRITE, 1);
	for (int i = 0; i < 40; i++) {
		do_step(p, STEP_BEGIN, 0);
		do_step(p, STEP_FLIP, i % 2);
		do_step(p, i % 3 ? STEP_COMMIT : STEP_UNDO, 0);
		CHECK_OK(stat(path, &st));
		CHECK(st.st_size < 5000);
	}
	production_close(TAKE_PTR(p));
	p = open_it(dir);
	CHECK_INT(production_good(p, good), 2);
}
