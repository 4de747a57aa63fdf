/* The intent log and power cuts, without anything above it: what was acknowledged is there, in
 * order; what was being written is there or is not; nothing else is. */
#include <errno.h>

#include "base/intent.h"
#include "base/str.h"
#include "liar.h"
#include "simdisk.h"
#include "test.h"

enum {
	TEXTS_MAX = 64,
	ROUNDS = 60,
};

#define LOG_DIR	 "/log"
#define LOG_PATH LOG_DIR "/intent.log"

/* What a log says: numbers of records. The record of a number is a text that only it has. */
typedef struct Says {
	int v[TEXTS_MAX];
	size_t n;
} Says;

typedef struct Story {
	Rng rng;
	Says before, after; /* the step that is done */
	bool quiet;	    /* nothing was done of the step */
	uint64_t losses;
	char problem[600];
} Story;

/* From a few bytes to several sectors. */
static char *text_of(int number)
{
	_cleanup_(str_done) Str b = STR_INIT;
	char *text = NULL;
	int lines = number % 5 == 4 ? 70 : number % 3;
	str_addf(&b, "record %d", number);
	for (int i = 0; i < lines; i++)
		str_addf(&b, ", line %d of it", i + number);
	CHECK_OK(str_take(&b, &text));
	return text;
}

static int collect(void *ctx, const char *data, size_t len, Err *err)
{
	Says *s = ctx;
	int number;
	if (s->n == TEXTS_MAX || sscanf(data, "record %d", &number) != 1)
		return err_set(err, -EBADMSG, "this is no record");
	_cleanup_free_ char *text = text_of(number);
	if (strlen(text) != len || memcmp(text, data, len) != 0)
		return err_set(err, -EBADMSG, "record %d is not what was written", number);
	s->v[s->n++] = number;
	return 0;
}

static bool same(const Says *a, const Says *b)
{
	return a->n == b->n && memcmp(a->v, b->v, a->n * sizeof(a->v[0])) == 0;
}

static void found(Story *t, const char *what)
{
	if (!t->problem[0])
		(void)snprintf(t->problem, sizeof(t->problem), "after %zu records: %s", t->before.n,
			       what);
}

static void cut_opening(void *ctx, SimDisk *s, const SimCall *call);

/* Opens what is left; it may be cut once more meanwhile. */
static void look(Story *t, SimDisk *s, bool deeper)
{
	Err err = ERR_INIT;
	Disk d = sim_disk(s);
	Says now = {0}, again = {0};
	Intent *i = NULL;
	if (deeper)
		sim_hook(s, cut_opening, t);
	int r = intent_open(&d, LOG_PATH, collect, &now, &i, &err);
	intent_close(i);
	sim_hook(s, NULL, NULL);
	if (r < 0)
		found(t, err.msg);
	else if (!same(&now, &t->before) && (t->quiet || !same(&now, &t->after)))
		found(t, "it is neither what it was nor what it became");
	sim_power_loss(s, &t->rng);
	t->losses++;
	if (intent_read(&d, LOG_PATH, collect, &again, &err) < 0 || !same(&now, &again))
		found(t, "another power cut changed what it said");
}

static void cut_opening(void *ctx, SimDisk *s, const SimCall *call)
{
	Story *t = ctx;
	(void)call;
	SimDisk *left = sim_clone(s);
	bool quiet = t->quiet;
	sim_power_loss(left, &t->rng);
	t->losses++;
	look(t, left, false);
	t->quiet = quiet;
	sim_free(left);
}

static void cut_here(void *ctx, SimDisk *s, const SimCall *call)
{
	Story *t = ctx;
	(void)call;
	if (sim_user(s) && !((Liar *)sim_user(s))->lied) {
		t->quiet = false;
		return;
	}
	for (int i = 0; i < ROUNDS && !t->problem[0]; i++) {
		SimDisk *left = sim_clone(s);
		if (i > 0) { /* once it is only killed */
			sim_power_loss(left, &t->rng);
			t->losses++;
		}
		look(t, left, true);
		sim_free(left);
	}
	t->quiet = false;
}

static void step_begin(Story *t, SimDisk *s, const Says *after)
{
	t->after = *after;
	t->quiet = true;
	sim_hook(s, cut_here, t);
}

static void step_end(Story *t, SimDisk *s)
{
	sim_hook(s, NULL, NULL);
	t->before = t->after;
}

static void open_step(Story *t, SimDisk *s, const Disk *d, Intent **i)
{
	Err err = ERR_INIT;
	Says said = {0}, after = t->before;
	step_begin(t, s, &after);
	CHECK_OK(intent_open(d, LOG_PATH, collect, &said, i, &err));
	CHECK(same(&said, &after));
	step_end(t, s);
}

static void append_step(Story *t, SimDisk *s, Intent *i, int number)
{
	Err err = ERR_INIT;
	Says after = t->before;
	_cleanup_free_ char *text = text_of(number);
	after.v[after.n++] = number;
	step_begin(t, s, &after);
	CHECK_OK(intent_append(i, text, strlen(text), &err));
	step_end(t, s);
}

static void replace_step(Story *t, SimDisk *s, Intent *i, int number)
{
	Err err = ERR_INIT;
	Says after = {.v = {number}, .n = 1};
	_cleanup_free_ char *text = text_of(number);
	const void *data = text;
	size_t len = strlen(text);
	step_begin(t, s, &after);
	CHECK_OK(intent_replace(i, &data, &len, 1, &err));
	step_end(t, s);
}

static void tell(Story *t, SimDisk *s, const Disk *d)
{
	Intent *i = NULL;
	int number = 0;
	Err err = ERR_INIT;
	CHECK_OK(d->mkdir(d->ctx, LOG_DIR, 0755));
	CHECK_OK(disk_sync_dir(d, "/", &err));
	t->quiet = true;
	for (int round = 0; round < 3; round++) {
		open_step(t, s, d, &i);
		for (int k = 0; k < 6; k++)
			append_step(t, s, i, number++);
		replace_step(t, s, i, number++);
		for (int k = 0; k < 3; k++)
			append_step(t, s, i, number++);
		i = intent_close(i);
	}
	open_step(t, s, d, &i); /* what the last step did is cut here */
	intent_close(i);
}

TEST(what_was_acknowledged_survives_every_power_cut)
{
	Story t = {.rng = rng_derive(1, "log", 0)};
	SimDisk *s = sim_new();
	Disk d = sim_disk(s);
	tell(&t, s, &d);
	CHECK_INT(sim_open_files(s), 0);
	sim_free(s);
	printf("# %" PRIu64 " power cuts; %s\n", t.losses, t.problem);
	CHECK(!t.problem[0]);
	CHECK(t.losses > 10000);
}

TEST(no_sync_of_the_log_can_be_left_out_unnoticed)
{
	unsigned lies = 0, caught = 0;
	Liar l = {.lied = true};
	for (uint64_t n = 1; l.lied; n++) {
		Story t = {.rng = rng_derive(1, "log lies", n)};
		SimDisk *s = sim_new();
		Disk d = liar_disk(&l, s, n);
		tell(&t, s, &d);
		sim_free(s);
		lies += l.lied;
		caught += l.lied && t.problem[0];
		if (l.lied && !t.problem[0])
			printf("# not noticed: sync %" PRIu64 " of %s\n", n, l.about);
	}
	printf("# %u syncs left out in turn, %u noticed\n", lies, caught);
	CHECK(lies > 30);
	CHECK_INT(caught, lies);
}
