#include "discover/tune.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/json.h"
#include "service/strings.h"

/* How values are laid around the present one. */
typedef enum Around {
	AROUND_SHARE,	 /* 0.05 apart */
	AROUND_DOUBLING, /* half, same, double */
	AROUND_UP,	 /* same, double, four times */
	AROUND_MODELS,	 /* the other sizes of the model */
	AROUND_PRECISION,
} Around;

typedef struct Knob {
	const char *kind, *setting;
	Around around;
	const char *otherwise; /* what the server does when nothing is said; NULL: not tuned then */
} Knob;

/* The defaults are the servers' own, from their documentation. */
static const Knob knobs[] = {
    {"vllm", "gpu_memory_utilization", AROUND_SHARE, "0.9"},
    {"vllm", "max_num_seqs", AROUND_DOUBLING, NULL},
    {"vllm", "max_num_batched_tokens", AROUND_DOUBLING, NULL},
    {"llamacpp", "parallel", AROUND_DOUBLING, NULL},
    {"llamacpp", "ubatch_size", AROUND_DOUBLING, "512"},
    {"ollama", "num_parallel", AROUND_UP, "1"},
    {"whispercpp", "model", AROUND_MODELS, NULL},
    {"whispercpp", "beam_size", AROUND_DOUBLING, NULL},
    {"whispercpp", "threads", AROUND_DOUBLING, "4"},
    {"openai-stt", "compute_type", AROUND_PRECISION, NULL},
    {"openai-stt", "num_workers", AROUND_UP, "1"},
};

void tunes_done(Tune *t, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		free(t[i].param);
		free(t[i].unit);
		free(t[i].flag);
		free(t[i].env);
		free(t[i].file);
		json_decref(t[i].values);
		json_decref(t[i].present);
		json_decref(t[i].texts);
		t[i] = (Tune){0};
	}
}

bool server_is_tunable(const FoundServer *s)
{
	/* A process may call itself anything, also nothing. */
	return !s->refused && !is_container(s) && (*s->unit || s->pid > 0) && s->command.argv &&
	       s->command.argv[0] && *s->command.argv[0];
}

/* --- Values ---------------------------------------------------------------------------------- */

static bool add(Tune *t, json_t *v)
{
	return v && json_array_append_new(t->values, v) == 0;
}

/* In hundredths, so that the file has the numbers that a person would write. */
static int around_share(Tune *t)
{
	double now = json_number_value(t->present);
	if (!(now > 0 && now <= 1))
		return -EINVAL;
	long middle = lround(now * 100);
	bool good = true;
	for (long h = middle - 10; h <= middle + 10 && good; h += 5) {
		if (h == middle)
			good = add(t, json_incref(t->present));
		else if (h >= 10 && h <= 95)
			good = add(t, json_real((double)h / 100));
	}
	return good ? 0 : -ENOMEM;
}

static int around_number(Tune *t, bool up)
{
	json_int_t now = json_integer_value(t->present);
	if (!json_is_integer(t->present) || now < 1 || now > 1 << 24)
		return -EINVAL;
	bool good = true;
	if (!up && now > 1)
		good = add(t, json_integer(now / 2));
	good = good && add(t, json_incref(t->present)) && add(t, json_integer(now * 2));
	if (up || now == 1)
		good = good && add(t, json_integer(now * 4));
	return good ? 0 : -ENOMEM;
}

static const char *const sizes[] = {"tiny", "base", "small", "medium", "large", NULL};
enum {
	NO_SIZE = 5,
};

static size_t size_rank(const char *name)
{
	size_t i = 0;
	while (sizes[i] && strncmp(name, sizes[i], strlen(sizes[i])) != 0)
		i++;
	return i;
}

/* "/srv/ggml-small.en.bin" -> "small.en". NULL: it is not named so. */
static char *size_of_file(const char *path)
{
	const char *base = path_base(path);
	size_t n = strlen(base);
	if (strncmp(base, "ggml-", 5) != 0 || n < 10 || strcmp(base + n - 4, ".bin") != 0)
		return NULL;
	return strndup(base + 5, n - 9);
}

/* Small before large, then by name: the order in which they cost more and hear better. */
static int by_size(const void *a, const void *b)
{
	const char *x = path_base(*(char *const *)a) + 5, *y = path_base(*(char *const *)b) + 5;
	size_t rx = size_rank(x), ry = size_rank(y);
	return rx != ry ? (rx > ry) - (rx < ry) : strcmp(x, y);
}

static int around_files(const FoundServer *s, Tune *t, const char *now)
{
	size_t n = strings_count(s->models);
	bool failed = false;
	if (n < 2)
		return -EINVAL;
	_cleanup_(strings_freep) char **files = strings_copy(s->models);
	t->texts = json_object();
	if (!files || !t->texts)
		return -ENOMEM;
	qsort(files, n, sizeof(*files), by_size);
	for (size_t i = 0; i < n; i++) {
		_cleanup_free_ char *size = size_of_file(files[i]);
		if (!size)
			continue;
		if (!add(t, js_text(size)))
			return -ENOMEM;
		js_set(t->texts, size, js_text(files[i]), &failed);
	}
	_cleanup_free_ char *present = size_of_file(now);
	if (failed || !present)
		return failed ? -ENOMEM : -EINVAL;
	json_decref(t->present);
	t->present = js_text(present);
	return t->present ? 0 : -ENOMEM;
}

/* Files of other sizes beside its own, or a size by name. */
static int around_models(const FoundServer *s, Tune *t)
{
	const char *now = json_string_value(t->present);
	t->ordered = true;
	if (!now)
		return -EINVAL;
	if (strchr(now, '/'))
		return around_files(s, t, now);
	size_t rank = size_rank(now);
	if (rank == NO_SIZE || strcmp(now, sizes[rank]) != 0)
		return -EINVAL;
	size_t first = rank > 2 ? rank - 2 : 0, last = rank < 2 ? 2 : rank;
	for (size_t i = first; i <= last; i++)
		if (!add(t, js_text(sizes[i])))
			return -ENOMEM;
	return 0;
}

static int around_precision(Tune *t)
{
	static const char *const others[] = {"float16", "int8_float16"};
	const char *now = json_string_value(t->present);
	if (!now || !add(t, json_incref(t->present)))
		return now ? -ENOMEM : -EINVAL;
	for (size_t i = 0; i < 2; i++)
		if (strcmp(now, others[i]) != 0 && !add(t, js_text(others[i])))
			return -ENOMEM;
	return 0;
}

static int lay_around(const FoundServer *s, const Knob *k, Tune *t)
{
	switch (k->around) {
	case AROUND_SHARE:
		return around_share(t);
	case AROUND_DOUBLING:
	case AROUND_UP:
		return around_number(t, k->around == AROUND_UP);
	case AROUND_MODELS:
		return around_models(s, t);
	case AROUND_PRECISION:
		return around_precision(t);
	}
	return -EINVAL;
}

/* --- Where production sets it ---------------------------------------------------------------- */

static const char mark[] = "dream0mark0";

static bool has_env(char *const *env, const char *name, size_t len)
{
	return env_get(env, name, len) != NULL;
}

/* A variable of the unit: of Environment=, or of its environment file. */
static int target_env(const FoundServer *s, Tune *t, const char *name, size_t len)
{
	t->env = strndup(name, len);
	if (!t->env)
		return -ENOMEM;
	if (has_env(s->unit_env, name, len) || strings_count(s->unit_env_files) != 1)
		return 0;
	const char *file = s->unit_env_files[0];
	t->file = strdup(file + (*file == '-'));
	return t->file ? 0 : -ENOMEM;
}

/* The unit's own line may say ${UTIL} where the running server has a number. */
static const char *variable_of(const FoundServer *s, const char *flag, size_t *ret_len)
{
	size_t n = strlen(flag);
	for (char **a = s->unit_argv; a && *a; a++) {
		const char *value = strcmp(*a, flag) == 0			  ? a[1]
				    : strncmp(*a, flag, n) == 0 && (*a)[n] == '=' ? *a + n + 1
										  : NULL;
		if (!value || value[0] != '$')
			continue;
		const char *name = value + 1 + (value[1] == '{');
		*ret_len =
		    strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_0123456789");
		return *ret_len ? name : NULL;
	}
	return NULL;
}

/* Which flag or variable it is shows when it is set: whatever then has the mark. */
static int find_target(const FoundServer *s, Tune *t)
{
	_cleanup_(servercommand_done) ServerCommand c = {0};
	json_auto_t *set = json_object();
	const ServiceSpec plain = {0};
	bool failed = !set;
	t->unit = strdup(s->unit);
	js_set(set, t->setting, js_text(mark), &failed);
	if (failed || !t->unit || servercommand_copy(&s->command, &c) < 0)
		return -ENOMEM;
	if (!*s->unit || server_apply(s->kind, &plain, set, &c, NULL) < 0)
		return 0;
	for (size_t i = 1; c.argv[i]; i++) {
		size_t name = strcspn(c.argv[i], "=");
		bool joined = c.argv[i][name] && strcmp(c.argv[i] + name + 1, mark) == 0;
		if (!joined && strcmp(c.argv[i], mark) != 0)
			continue;
		t->flag = joined ? strndup(c.argv[i], name) : strdup(c.argv[i - 1]);
		if (!t->flag)
			return -ENOMEM;
		size_t len = 0;
		const char *variable = variable_of(s, t->flag, &len);
		if (variable) {
			free(TAKE_PTR(t->flag));
			return target_env(s, t, variable, len);
		}
		return 0;
	}
	for (char **e = c.env; e && *e; e++) {
		size_t name = strcspn(*e, "=");
		if ((*e)[name] && strcmp(*e + name + 1, mark) == 0)
			return target_env(s, t, *e, name);
	}
	return 0;
}

/* --- All of a server's ----------------------------------------------------------------------- */

static json_t *default_value(const char *text)
{
	json_error_t e;
	return text ? json_loads(text, JSON_DECODE_ANY, &e) : NULL;
}

/* -EINVAL: not this one. */
static int make_tune(const FoundServer *s, const Knob *k, Tune *t)
{
	json_t *said = json_object_get(s->settings, k->setting);
	*t = (Tune){.setting = k->setting, .assumed = !said};
	t->present = said ? json_incref(said) : default_value(k->otherwise);
	if (!t->present)
		return -EINVAL;
	t->values = json_array();
	t->param = str_fmt("%s_%s", s->name, k->setting);
	if (!t->values || !t->param)
		return -ENOMEM;
	int r = lay_around(s, k, t);
	return r < 0 ? r : find_target(s, t);
}

int server_tunes(const FoundServer *s, Tune *ret, size_t *ret_n, Err *err)
{
	size_t n = 0;
	for (size_t i = 0; i < sizeof(knobs) / sizeof(*knobs); i++) {
		if (strcmp(knobs[i].kind, server_kind_name(s->kind)) != 0 || n == TUNES_MAX ||
		    !server_is_tunable(s))
			continue;
		/* An assumed value is only worth it where there is nothing better. */
		if (n > 0 && !json_object_get(s->settings, knobs[i].setting))
			continue;
		int r = make_tune(s, &knobs[i], &ret[n]);
		if (r == 0) {
			n++;
			continue;
		}
		tunes_done(&ret[n], 1);
		if (r != -EINVAL) {
			tunes_done(ret, n);
			return err_oom(err);
		}
	}
	*ret_n = n;
	return 0;
}
