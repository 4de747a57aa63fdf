/* A file that says what is adopted, as if anybody had written it, and what a person writes of
 * targets and allowed values. What is taken is written down as the same, and holds what those rely
 * on who render a generation from it. The first byte says which. */
#include <errno.h>
#include <math.h>
#include <string.h>

#include "base/json.h"
#include "fuzz.h"
#include "production/adoptionjson.h"
#include "production/generation.h"

static int no_file(void *ctx, const char *path, char **ret, Err *err)
{
	(void)ctx;
	(void)path;
	(void)err;
	*ret = NULL;
	return 0;
}

/* Values that are allowed and plain are rendered, or it is said why not. */
static void render(const Adoption *a)
{
	json_auto_t *all = json_object(), *values = json_object();
	GenerationFile *files = NULL;
	char id[GENERATION_ID_SIZE];
	size_t n = 0;
	Err err = ERR_INIT;
	for (size_t i = 0; i < a->n; i++) {
		const Allowed *may = &a->targets[i].allowed;
		char text[40];
		(void)snprintf(text, sizeof(text), "%g", may->has_range ? may->min : 0.5);
		const char *value = may->words ? may->words[0] : text;
		MUST(json_object_set_new(values, a->targets[i].parameter, js_text(value)) == 0);
	}
	MUST(json_object_set(all, a->unit, values) == 0);
	int r = generation_render(a, 1, all, no_file, NULL, id, &files, &n, &err);
	MUST(r == 0 || err.msg[0]);
	if (r < 0)
		return;
	MUST(generation_id_ok(id) && n > 0);
	for (size_t i = 0; i < n; i++)
		MUST(files[i].name && *files[i].name && !strchr(files[i].name, '/'));
	generationfiles_free(files, n);
}

static void file(const char *text, size_t len)
{
	Adoption a, back;
	Err err = ERR_INIT;
	int r = adoption_from_json("/a.json", text, len, &a, &err);
	MUST(r == 0 || err.msg[0]);
	if (r < 0)
		return;
	json_auto_t *o = adoption_json(&a);
	_cleanup_(str_done) Str out = STR_INIT;
	MUST(o && a.n > 0);
	js_canonical(o, &out);
	MUST(!out.failed);
	MUST(adoption_from_json("/a.json", out.s, out.len, &back, &err) == 0);
	json_auto_t *again = adoption_json(&back);
	MUST(json_equal(o, again));
	for (size_t i = 0; i < a.n; i++) {
		_cleanup_free_ char *said = target_text(&a.targets[i]);
		MUST(said && *said);
	}
	/* Who reads the file sees to it that it is called after its unit. */
	if (!strchr(a.unit, '/'))
		render(&a);
	adoption_done(&a);
	adoption_done(&back);
}

static void wish(const char *text)
{
	AdoptWish w = {0};
	Err err = ERR_INIT;
	int r = adoptwish_parse(text, &w, &err);
	MUST(r == 0 || err.msg[0]);
	if (r == 0)
		MUST(*w.parameter && *w.target);
	adoptwish_done(&w);
}

static void allowed(const char *text)
{
	Allowed a = {0}, copy = {0};
	Err err = ERR_INIT;
	int r = allowed_parse(text, &a, &err);
	MUST(r == 0 || err.msg[0]);
	if (r < 0)
		return;
	MUST(a.has_range ? isfinite(a.min) && isfinite(a.max) && a.min <= a.max
			 : a.words && a.words[0]);
	MUST(allowed_copy(&a, &copy) == 0);
	for (char **w = copy.words; w && *w; w++)
		MUST(allowed_check(&a, "p", *w, &err) == (value_is_plain(*w) ? 0 : -EPERM));
	MUST(allowed_check(&a, "p", "a b", &err) == -EPERM);
	allowed_done(&a);
	allowed_done(&copy);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size == 0 || size > 65536)
		return 0;
	_cleanup_free_ char *text = strndup((const char *)data + 1, size - 1);
	MUST(text);
	if (data[0] == '{')
		file((const char *)data, size);
	else if (data[0] == '=')
		wish(text);
	else
		allowed(text);
	return 0;
}
