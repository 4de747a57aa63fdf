/* What the daemon keeps beside the store: who paused it, what people were told. */
#include "daemon/files.h"

#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/json.h"
#include "base/str.h"
#include "test.h"

typedef struct Dir {
	char path[64];
} Dir;

static void dir_done(Dir *d)
{
	static const char *const names[] = {"pause.json", "recent.json", "x.json"};
	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
		_cleanup_free_ char *path = path_join(d->path, names[i]);
		(void)unlink(path);
	}
	CHECK_OK(rmdir(d->path));
}

#define DIR_(d)                                                                 \
	__attribute__((cleanup(dir_done))) Dir d = {"/tmp/dream-files-XXXXXX"}; \
	CHECK(mkdtemp(d.path))

static void put(const Dir *d, const char *name, const char *text)
{
	Err err = ERR_INIT;
	_cleanup_free_ char *path = path_join(d->path, name);
	CHECK_OK(file_write(path, 0644, text, strlen(text), &err));
}

TEST(nobody_paused_what_nobody_paused)
{
	DIR_(d);
	Pause p = {.on = true};
	pause_read(d.path, &p);
	CHECK(!p.on);
	json_auto_t *o = pause_json(&p);
	CHECK(json_is_null(o));
}

TEST(a_pause_says_who_when_and_why_until_it_ends)
{
	DIR_(d);
	Err err = ERR_INIT;
	Pause p = {.on = true, .uid = 1003, .at_us = 42, .by = "anna", .why = "exam week \"A\""}, q;
	const Pause none = {0};
	CHECK_OK(pause_write(d.path, &p, &err));
	pause_read(d.path, &q);
	CHECK(q.on);
	CHECK_INT(q.uid, 1003);
	CHECK_INT(q.at_us, 42);
	CHECK_STR(q.by, "anna");
	CHECK_STR(q.why, "exam week \"A\"");
	CHECK_OK(pause_write(d.path, &none, &err));
	pause_read(d.path, &q);
	CHECK(!q.on);
	CHECK_OK(pause_write(d.path, &none, &err));
}

TEST(a_pause_that_cannot_be_understood_is_a_pause)
{
	static const char *const texts[] = {
	    "", "{", "[]", "null", "{\"by\": 7, \"at_us\": \"x\"}", "\x80\xff"};
	for (size_t i = 0; i < sizeof(texts) / sizeof(*texts); i++) {
		DIR_(d);
		Pause p = {0};
		put(&d, "pause.json", texts[i]);
		pause_read(d.path, &p);
		CHECK(p.on);
		CHECK(*p.by);
	}
}

TEST(a_long_reason_in_a_foreign_file_is_cut)
{
	DIR_(d);
	Pause p;
	_cleanup_(str_done) Str text = STR_INIT;
	str_add(&text, "{\"by\": \"");
	for (int i = 0; i < 1000; i++)
		str_addc(&text, 'b');
	str_add(&text, "\", \"why\": \"");
	for (int i = 0; i < 1000; i++)
		str_addc(&text, 'w');
	str_add(&text, "\"}");
	put(&d, "pause.json", text.s);
	pause_read(d.path, &p);
	CHECK(p.on);
	CHECK_INT(strlen(p.by), sizeof(p.by) - 1);
	CHECK_INT(strlen(p.why), sizeof(p.why) - 1);
}

TEST(of_what_people_were_told_the_newest_is_kept)
{
	DIR_(d);
	Err err = ERR_INIT;
	for (int i = 0; i < RECENT_MAX + 5; i++) {
		char words[32];
		snprintf(words, sizeof(words), "number %d\n", i);
		CHECK_OK(recent_add(d.path, i, "drift", words, &err));
	}
	json_auto_t *list = recent_read(d.path);
	CHECK_INT(json_array_size(list), RECENT_MAX);
	const json_t *last = json_array_get(list, RECENT_MAX - 1);
	CHECK_INT(js_int(json_array_get(list, 0), "at_us", -1), 5);
	CHECK_INT(js_int(last, "at_us", -1), RECENT_MAX + 4);
	CHECK_STR(js_str(last, "kind", ""), "drift");
	CHECK_STR(js_str(last, "words", ""), "number 20\\n");
}

TEST(a_damaged_list_is_begun_anew)
{
	DIR_(d);
	Err err = ERR_INIT;
	put(&d, "recent.json", "{\"alerts\": 7}");
	json_auto_t *none = recent_read(d.path);
	CHECK(json_is_array(none) && json_array_size(none) == 0);
	put(&d, "recent.json", "nonsense");
	CHECK_OK(recent_add(d.path, 1, "stuck", "look now", &err));
	json_auto_t *list = recent_read(d.path);
	CHECK_INT(json_array_size(list), 1);
}

TEST(a_file_that_is_too_large_is_not_read)
{
	DIR_(d);
	Err err = ERR_INIT;
	json_t *o = NULL;
	_cleanup_(str_done) Str text = STR_INIT;
	str_add(&text, "{\"x\": \"");
	for (int i = 0; i < 70000; i++)
		str_addc(&text, 'x');
	str_add(&text, "\"}");
	put(&d, "x.json", text.s);
	CHECK_ERR(statefile_read(d.path, "x.json", &o, &err), EFBIG);
	CHECK(!o);
}
