/* What anybody who reaches the daemon's socket may ask: its own verbs that look, on a store with a
 * version of the baseline and a promotion. Each line is a request; every answer is a line of JSON
 * within bounds, and none of them writes. The socket itself is fuzz-control.c. */
#include <dirent.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/json.h"
#include "control/internal.h"
#include "daemon/internal.h"
#include "fuzz.h"
#include "rollout/fate.h"

typedef struct World {
	Daemon d;
	DaemonOptions options;
	Control *control;
	ControlVerb looking[32];
	int64_t seq;
} World;

static void keep_something(Daemon *d)
{
	static const char promotion[] =
	    "{\"schema\": \"dream.promotion/v1\", \"id\": \"promotion-1\", \"state\": "
	    "\"proposed\", \"created_at\": \"2026-11-20T12:00:00Z\", \"experiment\": "
	    "\"spica_gpu_allocation\", \"baseline\": {\"params\": {\"vllm_memory_util\": 0.5}}, "
	    "\"winner\": {\"params\": {\"vllm_memory_util\": 0.55}}, \"changes\": "
	    "[{\"parameter\": \"vllm_memory_util\", \"from\": 0.5, \"to\": 0.55}]}";
	json_auto_t *p = NULL;
	Err err = ERR_INIT;
	Baseline b = {.generation = "0123456789abcdef",
		      .why = "adopted",
		      .by = "anna",
		      .values = json_pack("{s:{s:s}}", "judge.service", "vllm_memory_util", "0.5")};
	MUST(baseline_append(d->store, d->key, &b, &err) == 0);
	baseline_done(&b);
	MUST(js_parse(promotion, strlen(promotion), sizeof(promotion), &p, &err) == 0);
	MUST(promotion_store(d->store, p, &err) >= 0);
}

/* As daemon_open() does it, but for what reaches out: no helper, no manager, no timers. */
static void open_daemon(World *w)
{
	char dir[] = "/tmp/dream-fuzz-XXXXXX";
	Daemon *d = &w->d;
	Diags diags = DIAGS_INIT;
	Err err = ERR_INIT;
	_cleanup_free_ char *key = NULL;
	MUST(mkdtemp(dir));
	w->options = (DaemonOptions){.helper = "/nonexistent/helper", .user = true};
	*d = (Daemon){.o = &w->options, .clock = &clock_system, .lock_fd = -1};
	d->rolling.turn_fd = -1;
	d->state_dir = str_fmt("%s", dir);
	d->store_path = str_fmt("%s/dream.db", dir);
	d->config = str_fmt("%s", SOURCE_ROOT "/examples/rtx3060.yaml");
	d->places.adopted_dir = d->places.state_dir = d->places.unit_dir = str_fmt("%s", dir);
	key = str_fmt("%s/dream.key", dir);
	MUST(sd_event_new(&d->loop) >= 0);
	MUST(config_load(d->config, DIAG_WARNING, &d->plan, &diags, &err) >= 0);
	diags_done(&diags);
	MUST(sign_key_load(key, &d->key, &err) == 0);
	sign_public_hex(d->key, d->key_hex);
	MUST(store_open(d->store_path, STORE_WRITE, d->clock, &d->store, &err) == 0);
	keep_something(d);
}

static int64_t newest(const World *w)
{
	int64_t seq = 0;
	Hash h;
	MUST(store_head(w->d.store, &seq, &h, NULL) == 0);
	return seq;
}

static World *world(void);

static void take_away(void)
{
	Daemon *d = &world()->d;
	d->store = store_close(d->store);
	DIR *dir = opendir(d->state_dir);
	for (const struct dirent *e; dir && (e = readdir(dir));)
		(void)unlinkat(dirfd(dir), e->d_name, 0);
	if (dir)
		(void)closedir(dir);
	(void)rmdir(d->state_dir);
}

/* Made once: a store for each input would be all that is measured. */
static World *world(void)
{
	static World w;
	if (w.control)
		return &w;
	size_t n = 0;
	Err err = ERR_INIT;
	open_daemon(&w);
	for (const ControlVerb *v = daemon_verbs; v->name; v++)
		if (!v->decides)
			w.looking[n++] = *v;
	const ControlSpec spec = {.verbs = w.looking, .ctx = &w.d};
	MUST(control_bare(w.d.loop, &spec, &w.control, &err) == 0);
	w.seq = newest(&w);
	MUST(atexit(take_away) == 0);
	return &w;
}

static void ask(World *w, const char *line, size_t len)
{
	_cleanup_(str_done) Str out = STR_INIT;
	json_auto_t *answer = NULL;
	const struct ucred anybody = {.uid = 65534, .gid = 65534, .pid = 1};
	bool follow = false;
	Err err = ERR_INIT;
	MUST(control_answer(w->control, &anybody, line, len, &follow, &out) == 0);
	MUST(out.len > 1 && out.len <= CONTROL_ANSWER_MAX && out.s[out.len - 1] == '\n');
	MUST(js_parse(out.s, out.len - 1, CONTROL_ANSWER_MAX, &answer, &err) == 0);
	const json_t *ok = json_object_get(answer, "ok");
	MUST(json_is_boolean(ok));
	MUST(json_is_true(ok) || (*js_str(answer, "error", "") && *js_str(answer, "message", "")));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	World *w = world();
	for (size_t at = 0; at < size;) {
		const uint8_t *end = memchr(data + at, '\n', size - at);
		size_t len = (end ? (size_t)(end - data) : size) - at;
		if (len <= CONTROL_LINE_MAX)
			ask(w, (const char *)data + at, len);
		at += len + 1;
	}
	MUST(newest(w) == w->seq);
	return 0;
}
