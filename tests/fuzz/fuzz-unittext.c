/* Unit files, env files and config files: what an administrator's text may be. A replaced word
 * reads as what it was replaced by, and no other word changes; a key that was set reads as its
 * value; a plan either is refused or can be rendered. */
#include <string.h>

#include "fuzz.h"
#include "production/generation.h"
#include "production/internal.h"

#define SAMPLE_MAX 8192

static void check_words(const UnitFile *file)
{
	UnitCommand c = {0}, again = {0};
	Err err = ERR_INIT;
	if (unitcommand_read(file, 1, &c, &err) < 0)
		return;
	size_t n = c.n, last = n - 1;
	MUST(n > 0 && c.program == 0);
	for (size_t i = 0; i < n; i++)
		MUST(c.words[i].at + c.words[i].len <= strlen(c.line));
	if (last > 0 && unitcommand_replace(&c, last, "${A B}\"'\\") >= 0) {
		_cleanup_free_ char *text = str_fmt("[Service]\nExecStart=%s\n", c.line);
		char path[] = "/u";
		const UnitFile next = {path, text};
		MUST(text != NULL);
		MUST(unitcommand_read(&next, 1, &again, &err) >= 0);
		MUST(again.n == n);
		MUST(strcmp(again.words[last].value, "${A B}\"'\\") == 0);
		for (size_t i = 0; i < last; i++)
			MUST(strcmp(again.words[i].value, c.words[i].value) == 0);
		unitcommand_done(&again);
	}
	unitcommand_done(&c);
}

static void check_keys(const char *text)
{
	_cleanup_free_ char *env = NULL, *yaml = NULL, *value = NULL, *same = NULL;
	Err err = ERR_INIT;
	if (envtext_set("/e", text, "K", "new", &env, &err) >= 0) {
		MUST(envtext_get("/e", env, "K", true, &value, &err) >= 0);
		MUST(value && strcmp(value, "new") == 0);
	}
	if (yamltext_set("/y", text, "k", "new", &yaml, &err) >= 0) {
		MUST(yamltext_get("/y", yaml, "k", &same, &err) >= 0);
		MUST(same && strcmp(same, "new") == 0);
	}
}

static int read_file(void *ctx, const char *path, char **ret, Err *err)
{
	(void)path;
	*ret = strdup(ctx);
	return *ret ? 0 : err_oom(err);
}

static void check_plan(const UnitFile *file, char *text)
{
	static const char *const targets[] = {"p=--a", "q=K", "r=/e:K", "s=--config:k"};
	AdoptWish wishes[4] = {0};
	Adoption a = {0};
	_cleanup_free_ char *dropin = NULL;
	json_t *values = NULL;
	GenerationFile *files = NULL;
	size_t n = 0;
	char id[GENERATION_ID_SIZE];
	Err err = ERR_INIT;
	size_t n_wishes = 1 + strlen(text) % 4;

	for (size_t i = 0; i < n_wishes; i++)
		MUST(adoptwish_parse(targets[i], &wishes[i], &err) >= 0);
	const AdoptInput in = {.unit = "u@i.service",
			       .files = file,
			       .n_files = 1,
			       .state_dir = "/s",
			       .dropin = "/u.d/zz-dream.conf",
			       .read_file = read_file,
			       .ctx = text,
			       .wishes = wishes,
			       .n = n_wishes};
	if (adoption_plan(&in, &a, &dropin, &values, &err) >= 0) {
		json_t *all = json_pack("{s:O}", "u@i.service", values);
		int r = generation_render(&a, 1, all, read_file, text, id, &files, &n, &err);
		MUST(r >= 0 || a.n > 1); /* a parameter's second target may be in an odd file */
		MUST(strstr(dropin, "[Service]\n"));
		generationfiles_free(files, n);
		json_decref(all);
		json_decref(values);
		adoption_done(&a);
	} else {
		MUST(err.msg[0]);
	}
	for (size_t i = 0; i < n_wishes; i++)
		adoptwish_done(&wishes[i]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char path[] = "/u", print[65];
	Err err = ERR_INIT;
	if (size > SAMPLE_MAX)
		return 0;
	_cleanup_free_ char *text = strndup((const char *)data, size);
	if (!text)
		return 0;
	const UnitFile file = {path, text};
	check_words(&file);
	check_keys(text);
	check_plan(&file, text);
	(void)!unit_fingerprint(&file, 1, NULL, print, &err);
	return 0;
}
