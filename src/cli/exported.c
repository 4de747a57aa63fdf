/* Checks of exported files against the store or their own signature. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/json.h"
#include "cli/internal.h"
#include "cli/lineage.h"
#include "record/promotion.h"

DEFINE_CLEANUP(FILE *, fclose)

int export_kind(const char *path, ExportKind *ret, Err *err)
{
	char start[4096];
	_cleanup_(fclosep) FILE *f = fopen(path, "re");
	if (!f)
		return err_set(err, -errno, "cannot read %s: %s", path, strerror(errno));
	size_t n = fread(start, 1, sizeof(start) - 1, f);
	start[n] = '\0';
	if (ferror(f))
		return err_set(err, -EIO, "cannot read %s", path);
	*ret = EXPORT_CHAIN;
	if (strncmp(start, "{\"at_us\": ", 10) == 0)
		return 0;
	if (start[0] == '{')
		*ret = EXPORT_TRIALS;
	else if (n > 0)
		*ret = EXPORT_PROMOTION;
	return 0;
}

/* The first member that one of the two has otherwise than the other; NULL: none. */
static const char *differing(json_t *line, json_t *stored)
{
	const char *key;
	json_t *value;
	json_object_foreach (line, key, value)
		if (!json_equal(value, json_object_get(stored, key)))
			return key;
	json_object_foreach (stored, key, value)
		if (!json_object_get(line, key))
			return key;
	return NULL;
}

static int compare_trial(json_t *line, json_t *stored, int64_t n, Err *err)
{
	/* Evidence stays in the store. */
	(void)json_object_del(json_object_get(stored, "measurement"), "evidence");
	const char *key = differing(line, stored);
	if (!key)
		return 0;
	return err_set(err, -EBADMSG,
		       "line %" PRId64 " (record %" PRId64 "): %s is not what the store says", n,
		       js_int(line, "seq", 0), key);
}

static int check_trial(Store *store, const char *line, size_t len, int64_t n, Err *err)
{
	json_auto_t *v = NULL, *stored = NULL;
	_cleanup_(str_done) Str canonical = STR_INIT;
	StoreTrial t = {0};
	Err why = ERR_INIT;
	char seq[32];
	if (js_parse(line, len, RECORD_BODY_MAX, &v, &why) < 0)
		return err_set(err, -EBADMSG, "line %" PRId64 " is not valid JSON: %s", n, why.msg);
	js_canonical(v, &canonical);
	if (canonical.failed)
		return err_oom(err);
	if (canonical.len != len || memcmp(canonical.s, line, len) != 0)
		return err_set(err, -EBADMSG, "line %" PRId64 " is not as it was exported", n);
	snprintf(seq, sizeof(seq), "%" PRId64, js_int(v, "seq", 0));
	int r = store_trial(store, seq, &t, &why);
	if (r == -ENOENT)
		return err_set(err, -EBADMSG, "line %" PRId64 ": the store has no trial %s", n,
			       seq);
	if (r < 0)
		return err_set(err, r, "%s", why.msg);
	stored = store_trial_json(&t);
	store_trial_done(&t);
	return stored ? compare_trial(v, stored, n, err) : err_oom(err);
}

int trials_check(Store *store, const char *text, size_t len, Err *err)
{
	int64_t n = 0;
	for (size_t at = 0; at < len;) {
		const char *newline = memchr(text + at, '\n', len - at);
		if (!newline)
			return err_set(err, -EBADMSG, "the file ends within line %" PRId64, n + 1);
		size_t size = (size_t)(newline - text) - at;
		int r = check_trial(store, text + at, size, ++n, err);
		if (r < 0)
			return r;
		at += size + 1;
	}
	return 0;
}

int promotion_check(const char *name, const char *text, size_t len, const char *pinned_key_hex,
		    Err *err)
{
	_cleanup_(conf_freep) ConfDoc *doc = NULL;
	_cleanup_(diags_done) Diags d = DIAGS_INIT;
	_cleanup_free_ char *again = NULL;
	int r = conf_read_text(name, text, len, &doc, &d, err);
	if (d.errors > 0) /* a key that is there twice is a mistake only there */
		return err_set(err, -EBADMSG, "line %u: %s", d.items[0].line, d.items[0].what);
	if (r < 0)
		return r;
	json_auto_t *v = conf_to_json(conf_root(doc));
	if (!v)
		return err_oom(err);
	if (strcmp(js_str(v, "schema", ""), PROMOTION_SCHEMA) != 0)
		return err_set(
		    err, -EBADMSG,
		    "it is neither an export of the chain, nor an epoch's metrics.jsonl, "
		    "nor a promotion");
	r = promotion_verify(v, pinned_key_hex, err);
	if (r < 0)
		return r;
	r = promotion_yaml(v, &again, err);
	if (r < 0)
		return r;
	if (strlen(again) != len || memcmp(again, text, len) != 0)
		return err_set(err, -EBADMSG,
			       "the values are the signed ones, but the text is not as it was "
			       "exported");
	return 0;
}
