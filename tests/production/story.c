#include "story.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/str.h"

const Step story_whole[] = {
    {STEP_WRITE, 0}, {STEP_ADOPT, 0}, {STEP_WRITE, 1},	{STEP_BEGIN, 0},  {STEP_FLIP, 1},
    {STEP_WRITE, 2}, {STEP_FLIP, 2},  {STEP_SWEEP, 0},	{STEP_COMMIT, 0}, {STEP_SWEEP, 0},
    {STEP_WRITE, 3}, {STEP_WRITE, 3}, {STEP_BEGIN, 0},	{STEP_FLIP, 3},	  {STEP_UNDO, 0},
    {STEP_SWEEP, 0}, {STEP_BEGIN, 0}, {STEP_UNDO, 0},	{STEP_UNDO, 0},	  {STEP_WRITE, 4},
    {STEP_ADOPT, 4}, {STEP_SWEEP, 0}, {STEP_WRITE, 5},	{STEP_BEGIN, 0},  {STEP_FLIP, 5},
    {STEP_FLIP, 4},  {STEP_FLIP, 5},  {STEP_COMMIT, 0}, {STEP_BEGIN, 0},  {STEP_COMMIT, 0},
    {STEP_BEGIN, 0}, {STEP_FLIP, 4},  {STEP_COMMIT, 0}, {STEP_SWEEP, 0},  {STEP_END, 0},
};

const Step story_short[] = {
    {STEP_WRITE, 1}, {STEP_BEGIN, 0}, {STEP_FLIP, 1},  {STEP_COMMIT, 0}, {STEP_BEGIN, 0},
    {STEP_FLIP, 0},  {STEP_UNDO, 0},  {STEP_SWEEP, 0}, {STEP_END, 0},
};

const char *step_name(StepKind k)
{
	static const char *const names[] = {"write",  "adopt", "begin", "flip",
					    "commit", "undo",  "sweep", "end"};
	return names[k];
}

/* --- Generations ------------------------------------------------------------------------------ */

/* From the fifth on there is a second unit; 4 has what 2 has for the first. */
static const char *const values[STORY_GENERATIONS] = {
    "{\"judge.service\": {\"util\": \"0.50\"}}",
    "{\"judge.service\": {\"util\": \"0.55\"}}",
    "{\"judge.service\": {\"util\": \"0.60\"}}",
    "{\"judge.service\": {\"util\": \"0.70\"}}",
    "{\"judge.service\": {\"util\": \"0.60\"}, \"stt.service\": {\"size\": \"small\"}}",
    "{\"judge.service\": {\"util\": \"0.65\"}, \"stt.service\": {\"size\": \"tiny\"}}",
};
static const char *const judge[STORY_GENERATIONS] = {
    "DREAM_UTIL=0.50\n", "DREAM_UTIL=0.55\n", "DREAM_UTIL=0.60\n",
    "DREAM_UTIL=0.70\n", "DREAM_UTIL=0.60\n", "DREAM_UTIL=0.65\n",
};
static const char *const stt[STORY_GENERATIONS] = {
    [4] = "DREAM_SIZE=small\n",
    [5] = "DREAM_SIZE=tiny\n",
};
static const char *const ids[STORY_GENERATIONS] = {
    "1f0e3dad99908345", "a87ff679a2f3e71d", "e4da3b7fbbce2345",
    "c81e728d9d4c2f63", "eccbc87e4b5ce2fe", "8f14e45fceea167a",
};

const char *story_id(int generation)
{
	return ids[generation];
}

/* Several sectors long, so that it can be torn in between. */
#define LINE(n)	 "# line " n " of a file that a unit reads, of which one key is ours\n"
#define LINES(n) LINE(n "0") LINE(n "1") LINE(n "2") LINE(n "3") LINE(n "4") LINE(n "5")
#define BIG(v)	 LINES("1") LINES("2") "UTIL=" v "\n" LINES("3")

static const char *const big[STORY_GENERATIONS] = {
    BIG("0.50"), BIG("0.55"), BIG("0.60"), BIG("0.70"), BIG("0.60"), BIG("0.65"),
};

static GenerationFile file(const char *name, const char *text)
{
	return (GenerationFile){.name = (char *)(uintptr_t)name, .text = (char *)(uintptr_t)text};
}

size_t story_files(int g, GenerationFile ret[STORY_FILES_MAX])
{
	size_t n = 0;
	ret[n++] = file("values.json", values[g]);
	ret[n++] = file("judge.service.env", judge[g]);
	ret[n++] = file("judge.service.file0", big[g]);
	if (stt[g])
		ret[n++] = file("stt.service.env", stt[g]);
	return n;
}

/* --- What is known ---------------------------------------------------------------------------- */

static void best(Known *k, int g)
{
	int old[GOOD_MAX + 1];
	size_t n = 0;
	old[n++] = g;
	for (size_t i = 0; i < k->n_good; i++)
		if (k->good[i] != g)
			old[n++] = k->good[i];
	k->n_good = n < GOOD_MAX ? n : GOOD_MAX;
	memcpy(k->good, old, k->n_good * sizeof(old[0]));
}

static bool is_good(const Known *k, int g)
{
	for (size_t i = 0; i < k->n_good; i++)
		if (k->good[i] == g)
			return true;
	return false;
}

/* Only what has a value for the second unit stays good once that is adopted. */
static void adopted(Known *k, int g)
{
	Known was = *k;
	k->current = g;
	k->n_good = 0;
	for (size_t i = was.n_good; i-- > 0;)
		if (!stt[g] || stt[was.good[i]])
			best(k, was.good[i]);
	best(k, g);
}

static void closed(Known *k)
{
	k->open = false;
	k->from = k->to = STORY_NONE;
}

static void swept(Known *k)
{
	for (int g = 0; g < STORY_GENERATIONS && !k->open; g++)
		k->written[g] = k->written[g] && (g == k->current || is_good(k, g));
}

Known known_after(const Known *before, const Step *s)
{
	Known k = *before;
	switch (s->kind) {
	case STEP_WRITE:
		k.written[s->generation] = true;
		break;
	case STEP_ADOPT:
		adopted(&k, s->generation);
		break;
	case STEP_BEGIN:
		k.open = true;
		k.from = k.current;
		break;
	case STEP_FLIP:
		k.current = k.to = s->generation;
		break;
	case STEP_COMMIT:
		best(&k, k.current);
		closed(&k);
		break;
	case STEP_UNDO:
		return known_recovered(&k);
	case STEP_SWEEP:
		swept(&k);
		break;
	case STEP_END:
		break;
	}
	return k;
}

Known known_recovered(const Known *before)
{
	Known k = *before;
	if (k.open)
		k.current = k.from;
	closed(&k);
	return k;
}

/* The link and what counts as good are two things when units are adopted: each is the old or the
 * new one. */
size_t known_possible(const Known *before, const Known *after, const Step *s, Known ret[3])
{
	size_t n = 0;
	ret[n++] = known_recovered(before);
	ret[n++] = known_recovered(after);
	if (s->kind == STEP_ADOPT) {
		ret[n] = known_recovered(before);
		ret[n++].current = after->current;
	}
	for (size_t i = 0; i < n; i++)
		for (int g = 0; g < STORY_GENERATIONS; g++)
			ret[i].written[g] = before->written[g] && after->written[g];
	return n;
}

int story_do(Production *p, const Step *s, Err *err)
{
	GenerationFile files[STORY_FILES_MAX];
	bool moved;
	switch (s->kind) {
	case STEP_WRITE:
		return production_write(p, ids[s->generation], files,
					story_files(s->generation, files), err);
	case STEP_ADOPT:
		return production_adopt(p, ids[s->generation], err);
	case STEP_BEGIN:
		return production_begin(p, "a-rollout", production_current(p), 1234567, err);
	case STEP_FLIP:
		return production_flip(p, "a-rollout", ids[s->generation], err);
	case STEP_COMMIT:
		return production_commit(p, "a-rollout", err);
	case STEP_UNDO:
		return production_undo(p, &moved, err);
	case STEP_SWEEP:
		return production_sweep(p, err);
	case STEP_END:
		break;
	}
	return 0;
}

/* --- Checking --------------------------------------------------------------------------------- */

static char problem[700];

__attribute__((format(printf, 1, 2))) static const char *wrong(const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	(void)vsnprintf(problem, sizeof(problem), fmt, ap);
	va_end(ap);
	return problem;
}

static int count_name(void *arg, const char *name)
{
	(void)name;
	(*(size_t *)arg)++;
	return 0;
}

static const char *check_folder(const Disk *d, const char *gen, int g)
{
	GenerationFile files[STORY_FILES_MAX];
	size_t n = story_files(g, files), names = 0;
	char path[512];
	(void)snprintf(path, sizeof(path), "%s/%s", gen, ids[g]);
	int r = d->list(d->ctx, path, count_name, &names);
	if (r < 0 || names != n)
		return wrong("generation %d has %zu files instead of %zu (%d)", g, names, n, r);
	for (size_t i = 0; i < n; i++) {
		Err err = ERR_INIT;
		size_t len = 0;
		(void)snprintf(path, sizeof(path), "%s/%s/%s", gen, ids[g], files[i].name);
		_cleanup_free_ char *text = NULL;
		r = disk_read_file(d, path, 1 << 20, &text, &len, &err);
		if (r < 0)
			return wrong("generation %d: %s", g, err.msg);
		if (len != strlen(files[i].text) || memcmp(text, files[i].text, len) != 0)
			return wrong("%s of generation %d is not what was written", files[i].name,
				     g);
	}
	return NULL;
}

static int note_generation(void *arg, const char *name)
{
	bool *there = arg;
	for (int g = 0; g < STORY_GENERATIONS; g++)
		if (strcmp(name, ids[g]) == 0) {
			there[g] = true;
			return 0;
		}
	/* Unfinished ones have other names. */
	return name[0] == '.' ? 0 : -EBADMSG;
}

const char *story_check_folders(const Disk *d, const char *dir, const Known *k)
{
	bool there[STORY_GENERATIONS] = {0};
	char gen[256];
	(void)snprintf(gen, sizeof(gen), "%s/gen", dir);
	int r = d->list(d->ctx, gen, note_generation, there);
	if (r < 0 && r != -ENOENT)
		return wrong("the generations: %s", strerror(-r));
	for (int g = 0; g < STORY_GENERATIONS; g++) {
		const char *bad = there[g] ? check_folder(d, gen, g) : NULL;
		bool needed =
		    k->written[g] || k->current == g || is_good(k, g) || (k->open && k->from == g);
		if (bad)
			return bad;
		if (needed && !there[g])
			return wrong("generation %d is gone", g);
	}
	return NULL;
}

static const char *id_or_none(int g)
{
	return g == STORY_NONE ? "" : ids[g];
}

static const char *check_state(const Production *p, const Known *k)
{
	const OpenChange *c = production_change(p);
	const char *good[GOOD_MAX];
	size_t n = production_good(p, good);
	if (strcmp(production_current(p), id_or_none(k->current)) != 0)
		return wrong("current is \"%s\", not generation %d", production_current(p),
			     k->current);
	if (c->open != k->open)
		return wrong("a change is %sopen", c->open ? "" : "not ");
	if (k->open &&
	    (strcmp(c->from, id_or_none(k->from)) != 0 || strcmp(c->to, id_or_none(k->to)) != 0 ||
	     c->began_at_us != 1234567 || strcmp(c->rollout, "a-rollout") != 0))
		return wrong("the change that is open is from %s to \"%s\", not from %d to %d",
			     c->from, c->to, k->from, k->to);
	if (n != k->n_good)
		return wrong("%zu generations are good, not %zu", n, k->n_good);
	for (size_t i = 0; i < n; i++)
		if (strcmp(good[i], ids[k->good[i]]) != 0)
			return wrong("%s is good where %d should be", good[i], k->good[i]);
	return NULL;
}

const char *story_check(const Disk *d, const char *dir, const Known *k)
{
	Err err = ERR_INIT;
	_cleanup_(production_closep) Production *p = NULL;
	int r = production_open(d, dir, &p, &err);
	if (r < 0)
		return wrong("it cannot be opened: %s", err.msg);
	const char *bad = check_state(p, k);
	return bad ? bad : story_check_folders(d, dir, k);
}
