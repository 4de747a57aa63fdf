#include "daemon/files.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/json.h"
#include "base/str.h"

enum {
	FILE_MAX = 64 << 10,
	WORDS_MAX = 400, /* characters of one thing that people were told */
};

int statefile_read(const char *state_dir, const char *name, json_t **ret, Err *err)
{
	_cleanup_free_ char *path = path_join(state_dir, name);
	size_t len = 0;
	Err why = ERR_INIT;
	*ret = NULL;
	if (!path)
		return err_oom(err);
	if (access(path, F_OK) < 0 && errno == ENOENT)
		return 0;
	_cleanup_free_ char *text = NULL;
	int r = file_read(path, FILE_MAX, &text, &len, err);
	if (r < 0)
		return r;
	r = js_parse(text, len, FILE_MAX, ret, &why);
	if (r < 0)
		return err_set(err, r, "%s cannot be understood: %s", path, why.msg);
	if (json_is_object(*ret))
		return 0;
	json_decref(*ret);
	*ret = NULL;
	return err_set(err, -EBADMSG, "%s cannot be understood: it holds no object", path);
}

int statefile_write(const char *state_dir, const char *name, const json_t *o, Err *err)
{
	_cleanup_free_ char *path = path_join(state_dir, name);
	_cleanup_(str_done) Str text = STR_INIT;
	if (!path || !o)
		return err_oom(err);
	js_canonical(o, &text);
	str_addc(&text, '\n');
	if (text.failed)
		return err_oom(err);
	return file_write(path, 0644, text.s, text.len, err);
}

/* --- Pause ------------------------------------------------------------------------------------ */

#define PAUSE_FILE "pause.json"

void pause_read(const char *state_dir, Pause *ret)
{
	json_auto_t *o = NULL;
	Err err = ERR_INIT;
	*ret = (Pause){0};
	int r = statefile_read(state_dir, PAUSE_FILE, &o, &err);
	if (r == 0 && !o)
		return;
	ret->on = true;
	ret->uid = (uid_t)js_int(o, "uid", 0);
	ret->at_us = js_int(o, "at_us", 0);
	(void)snprintf(ret->by, sizeof(ret->by), "%s", r < 0 ? "nobody" : js_str(o, "by", "?"));
	(void)snprintf(ret->why, sizeof(ret->why), "%.239s",
		       r < 0 ? err.msg : js_str(o, "why", ""));
}

json_t *pause_json(const Pause *p)
{
	bool failed = false;
	if (!p->on)
		return json_null();
	json_t *o = json_object();
	js_set(o, "by", js_text(p->by), &failed);
	js_set(o, "why", js_text(p->why), &failed);
	js_set(o, "uid", json_integer(p->uid), &failed);
	js_set(o, "at_us", json_integer(p->at_us), &failed);
	if (!failed)
		return o;
	json_decref(o);
	return NULL;
}

static int take_away(const char *state_dir, const char *name, Err *err)
{
	_cleanup_free_ char *path = path_join(state_dir, name);
	if (!path)
		return err_oom(err);
	if (unlink(path) < 0 && errno != ENOENT)
		return err_set(err, -errno, "cannot remove %s: %m", path);
	return dir_sync_of(path, err);
}

int pause_write(const char *state_dir, const Pause *p, Err *err)
{
	if (!p->on)
		return take_away(state_dir, PAUSE_FILE, err);
	json_auto_t *o = pause_json(p);
	return statefile_write(state_dir, PAUSE_FILE, o, err);
}

/* --- What people were told ----------------------------------------------------------------------
 */

#define RECENT_FILE "recent.json"

json_t *recent_read(const char *state_dir)
{
	json_auto_t *o = NULL;
	Err err = ERR_INIT;
	if (statefile_read(state_dir, RECENT_FILE, &o, &err) < 0)
		return json_array();
	json_t *list = json_object_get(o, "alerts");
	return json_is_array(list) ? json_incref(list) : json_array();
}

static json_t *recent_one(int64_t at_us, const char *kind, const char *words, bool *failed)
{
	_cleanup_(str_done) Str safe = STR_INIT;
	json_t *o = json_object();
	str_add_safe(&safe, words, strlen(words), WORDS_MAX);
	*failed |= safe.failed;
	js_set(o, "at_us", json_integer(at_us), failed);
	js_set(o, "kind", js_text(kind), failed);
	js_set(o, "words", js_text(safe.s ? safe.s : ""), failed);
	return o;
}

int recent_add(const char *state_dir, int64_t at_us, const char *kind, const char *words, Err *err)
{
	bool failed = false;
	json_auto_t *o = json_object(), *list = recent_read(state_dir);
	failed |= !list || json_array_append_new(list, recent_one(at_us, kind, words, &failed)) < 0;
	while (json_array_size(list) > RECENT_MAX)
		failed |= json_array_remove(list, 0) < 0;
	js_set(o, "alerts", json_incref(list), &failed);
	return failed ? err_oom(err) : statefile_write(state_dir, RECENT_FILE, o, err);
}
