/* What a process of production shows of itself: its command line, its environment and its files,
 * each up to a line with "%%" alone; the words of the first two are lines. It is judged, and what
 * is said of it is fit for a terminal; a value is only found where something was said. */
#include <math.h>
#include <string.h>

#include "base/json.h"
#include "fuzz.h"
#include "production/readback.h"

enum {
	SAMPLE_MAX = 16384
};

static char parameter[] = "share", flag[] = "--gpu-memory-utilization", variable[] = "SHARE",
	    key[] = "gpu_memory_utilization", path[] = "/etc/llm.env", config[] = "/etc/llm.yaml",
	    unit[] = "llm.service", some_text[] = "x";

static AdoptedTarget targets[] = {
    {.parameter = parameter, .kind = TARGET_FLAG, .name = flag, .variable = some_text},
    {.parameter = parameter, .kind = TARGET_ENV, .name = variable, .variable = some_text},
    {.parameter = parameter, .kind = TARGET_KEY, .name = variable, .path = path},
    {.parameter = parameter, .kind = TARGET_CONFIG, .name = key, .path = config},
};

enum {
	N_TARGETS = sizeof(targets) / sizeof(targets[0])
};

/* Cuts *rest before the mark's line; "" when there is nothing left. */
static char *part(char **rest)
{
	static char nothing[] = "";
	char *text = *rest ? *rest : nothing, *end = strstr(text, "%%\n");
	*rest = end ? end + 3 : NULL;
	if (end)
		*end = '\0';
	return text;
}

static size_t nuls_for_newlines(char *text)
{
	size_t len = strlen(text);
	for (size_t i = 0; i < len; i++)
		if (text[i] == '\n')
			text[i] = '\0';
	return len;
}

static void check(const Readback *r)
{
	bool all = true;
	MUST(r->n == N_TARGETS);
	for (size_t i = 0; i < r->n; i++) {
		const ReadValue *v = &r->values[i];
		MUST(v->where && strcmp(v->expected, "0.5") == 0);
		MUST(!v->same || (v->found && strtod(v->found, NULL) == 0.5));
		MUST(!v->found || strlen(v->found) <= 256);
		all &= v->same;
	}
	MUST(r->same == all);
	MUST(r->same == (r->words[0] == '\0'));
	for (const char *p = r->words; *p; p++)
		MUST((unsigned char)*p >= 0x20 && *p != 0x7f);
	json_auto_t *o = readback_json(r);
	MUST(o);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size > SAMPLE_MAX)
		return 0;
	_cleanup_free_ char *text = strndup((const char *)data, size);
	MUST(text);
	char *rest = text, *cmdline = part(&rest), *environ_ = part(&rest);
	char *env_file = part(&rest), *yaml = part(&rest);
	char *files[] = {NULL, NULL, env_file, yaml};
	json_auto_t *values = json_pack("{s:{s:s}}", unit, parameter, "0.5");
	const Adoption a = {.unit = unit, .targets = targets, .n = N_TARGETS};
	const Generation g = {.id = "0123456789abcdef", .values = values};
	ProcessSight sight = {.pid = 4711, .started_at_us = 20, .files = files};
	Readback r;
	Err err = ERR_INIT;
	sight.cmdline = cmdline;
	sight.environ = environ_;
	sight.cmdline_len = nuls_for_newlines(cmdline);
	sight.environ_len = nuls_for_newlines(environ_);
	int code = readback_judge(&a, &g, &sight, 10, &r, &err);
	MUST(code == 0 || err.msg[0]);
	if (code == 0) {
		check(&r);
		readback_done(&r);
	}
	return 0;
}
