/* The records of the intent log: {"do": "begin", ...} and so on, in canonical JSON. */
#include <stdio.h>
#include <string.h>

#include "base/json.h"
#include "production/changes.h"

bool generation_id_ok(const char *id)
{
	size_t n = strspn(id, "0123456789abcdef");
	return n == GENERATION_ID_SIZE - 1 && !id[n];
}

bool rollout_name_ok(const char *name)
{
	size_t n = 0;
	while (name[n] > ' ' && name[n] < 0x7f)
		n++;
	return n > 0 && !name[n] && n < sizeof(((OpenChange *)NULL)->rollout);
}

void changes_good(Changes *c, const char *id)
{
	char newest[GENERATION_ID_SIZE];
	size_t at = 0;
	(void)snprintf(newest, sizeof(newest), "%s", id); /* it may be one of the list */
	while (at < c->n_good && strcmp(c->good[at], newest) != 0)
		at++;
	if (at == GOOD_MAX)
		at--;
	if (at == c->n_good)
		c->n_good++;
	memmove(c->good[1], c->good[0], at * sizeof(c->good[0]));
	memcpy(c->good[0], newest, sizeof(newest));
}

/* --- Reading ---------------------------------------------------------------------------------- */

/* False: there is no such member, or it is no id. */
static bool get_id(const json_t *o, const char *key, char ret[GENERATION_ID_SIZE])
{
	const char *id = js_str(o, key, "");
	if (!generation_id_ok(id))
		return false;
	memcpy(ret, id, GENERATION_ID_SIZE);
	return true;
}

static bool apply_begin(Changes *c, const json_t *o)
{
	OpenChange *g = &c->change;
	const char *rollout = js_str(o, "rollout", "");
	if (g->open || !rollout_name_ok(rollout) || !get_id(o, "from", g->from))
		return false;
	(void)snprintf(g->rollout, sizeof(g->rollout), "%s", rollout);
	g->to[0] = '\0';
	g->began_at_us = js_int(o, "at_us", 0);
	g->open = true;
	return true;
}

static bool apply_flip(Changes *c, const json_t *o)
{
	return c->change.open && get_id(o, "to", c->change.to);
}

static bool apply_commit(Changes *c, const json_t *o)
{
	char id[GENERATION_ID_SIZE];
	if (!c->change.open || !get_id(o, "id", id))
		return false;
	changes_good(c, id);
	c->change = (OpenChange){0};
	return true;
}

static bool apply_undo(Changes *c, const json_t *o)
{
	(void)o;
	bool was_open = c->change.open;
	c->change = (OpenChange){0};
	return was_open;
}

static bool apply_good(Changes *c, const json_t *o)
{
	const json_t *list = json_object_get(o, "good");
	size_t n = json_array_size(list);
	if (!json_is_array(list) || n > GOOD_MAX || c->change.open)
		return false;
	c->n_good = 0;
	for (size_t i = n; i-- > 0;) {
		const char *id = json_string_value(json_array_get(list, i));
		if (!id || !generation_id_ok(id))
			return false;
		changes_good(c, id);
	}
	return true;
}

static const struct {
	const char *name;
	bool (*apply)(Changes *c, const json_t *o);
} kinds[] = {
    {"begin", apply_begin}, {"flip", apply_flip}, {"commit", apply_commit},
    {"undo", apply_undo},   {"good", apply_good},
};

int changes_apply(Changes *c, const char *data, size_t len, Err *err)
{
	json_auto_t *o = NULL;
	int r = js_parse(data, len, 64 << 10, &o, NULL);
	if (r == -ENOMEM)
		return err_oom(err);
	const char *what = r < 0 ? "" : js_str(o, "do", "");
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
		if (strcmp(kinds[i].name, what) == 0 && kinds[i].apply(c, o))
			return 0;
	return err_set(err, -EBADMSG,
		       "the intent log has a record \"%.20s\" that cannot be understood where it "
		       "stands",
		       what);
}

/* --- Writing ---------------------------------------------------------------------------------- */

/* Consumes the object; NULL: memory ran out before. */
static int as_text(json_t *o, Str *out)
{
	str_clear(out);
	js_canonical(o, out);
	json_decref(o);
	return out->failed ? -ENOMEM : 0;
}

int record_begin(const char *rollout, const char *from, int64_t at_us, Str *out)
{
	return as_text(json_pack("{s:s, s:s, s:s, s:I}", "do", "begin", "rollout", rollout, "from",
				 from, "at_us", (json_int_t)at_us),
		       out);
}

int record_flip(const char *to, Str *out)
{
	return as_text(json_pack("{s:s, s:s}", "do", "flip", "to", to), out);
}

int record_commit(const char *id, Str *out)
{
	return as_text(json_pack("{s:s, s:s}", "do", "commit", "id", id), out);
}

int record_undo(Str *out)
{
	return as_text(json_pack("{s:s}", "do", "undo"), out);
}

int record_good(const Changes *c, Str *out)
{
	json_t *list = json_array();
	bool failed = !list;
	for (size_t i = 0; i < c->n_good && !failed; i++)
		failed = json_array_append_new(list, json_string(c->good[i])) < 0;
	if (failed) {
		json_decref(list);
		return -ENOMEM;
	}
	return as_text(json_pack("{s:s, s:o}", "do", "good", "good", list), out);
}
