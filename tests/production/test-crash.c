/* Power cuts. A story of production is told on a simulated disk; at each of its calls that can
 * change the disk the power goes, over and over with other consequences, and in the recovery from
 * that it goes again, and once more. Whatever is left must be what the contract says. That the
 * checks would notice is proved by a disk that lies about single syncs.
 *
 * SEED=N repeats a run; DREAM_SOAK=1 makes it a million power cuts. */
#include <errno.h>
#include <fcntl.h>

#include "base/clock.h"
#include "liar.h"
#include "simdisk.h"
#include "story.h"
#include "test.h"

enum {
	LEVELS = 3, /* the first cut, one in the recovery, and one in the recovery from that */
	CUTS_SAMPLE = 30000,
	CUTS_SOAK = 1000000,
	LOG_NEARLY_LONG = 3930, /* the next change ends with a shorter log */
};

typedef struct Cuts {
	Rng rng;
	uint64_t seed, losses, kills, recoveries;
	unsigned rounds; /* power losses at each call of the story */
	bool deep;	 /* also in recoveries */
	/* The step that is cut. */
	const Step *step;
	size_t step_number;
	Known before, after;
	uint64_t calls; /* of this step so far */
	char where[160];
	char problem[900];
} Cuts;

static void found(Cuts *c, const char *how, const char *what)
{
	if (!c->problem[0])
		(void)snprintf(c->problem, sizeof(c->problem), "seed %" PRIu64 ", %s, %s: %s",
			       c->seed, c->where, how, what);
}

/* --- After a cut ------------------------------------------------------------------------------ */

typedef struct Possible {
	Known k[3];
	size_t n;
	const Known *exactly; /* before recovery; NULL: in the middle of a step */
} Possible;

/* Which of them is it? NULL: none, and *ret_bad says why not the last. */
static const Known *match(const Disk *d, const Possible *p, const char **ret_bad)
{
	for (size_t i = 0; i < p->n; i++) {
		*ret_bad = story_check(d, STORY_DIR, &p->k[i]);
		if (!*ret_bad)
			return &p->k[i];
	}
	return NULL;
}

typedef struct Deeper {
	Cuts *c;
	const Possible *possible;
	int level;
} Deeper;

static void survive(Cuts *c, SimDisk *s, const Possible *p, int level, const char *how);

static void cut_recovery(void *ctx, SimDisk *s, const SimCall *call)
{
	Deeper *d = ctx;
	(void)call;
	/* A recovery has ten calls; each cut of each would be a thousand for one. */
	if (d->c->problem[0] || (d->level == LEVELS && rng_below(&d->c->rng, 8) != 0))
		return;
	SimDisk *left = sim_clone(s);
	sim_power_loss(left, &d->c->rng);
	d->c->losses++;
	survive(d->c, left, d->possible, d->level, "cut in recovery");
	sim_free(left);
}

static int open_and_recover(const Disk *d, Err *err)
{
	_cleanup_(production_closep) Production *p = NULL;
	int r = production_open(d, STORY_DIR, &p, err);
	return r < 0 ? r : production_recover(p, err);
}

/* Production goes on from here: one whole change. */
static const char *go_on(const Disk *d, const Known *now)
{
	static char words[600];
	static const Step first[] = {{STEP_WRITE, 0}, {STEP_ADOPT, 0}, {STEP_END, 0}};
	static const Step change[] = {{STEP_WRITE, 5}, {STEP_BEGIN, 0},	 {STEP_FLIP, 5},
				      {STEP_SWEEP, 0}, {STEP_COMMIT, 0}, {STEP_SWEEP, 0},
				      {STEP_END, 0}};
	Known k = *now;
	for (const Step *s = now->current == STORY_NONE ? first : change; s->kind != STEP_END;
	     s++) {
		Err err = ERR_INIT;
		_cleanup_(production_closep) Production *p = NULL;
		int r = production_open(d, STORY_DIR, &p, &err);
		if (r >= 0)
			r = story_do(p, s, &err);
		if (r < 0) {
			(void)snprintf(words, sizeof(words), "production cannot go on with %s: %s",
				       step_name(s->kind), err.msg);
			return words;
		}
		k = known_after(&k, s);
	}
	return story_check(d, STORY_DIR, &k);
}

/* What is left of the disk is looked at, recovered, and looked at again. */
static void survive(Cuts *c, SimDisk *s, const Possible *p, int level, const char *how)
{
	Err err = ERR_INIT;
	Disk d = sim_disk(s);
	Deeper deeper = {.c = c, .possible = p, .level = level + 1};
	const char *bad = p->exactly ? story_check(&d, STORY_DIR, p->exactly) : NULL;
	if (bad) {
		found(c, how, bad);
		return;
	}
	/* A cut in recovery leaves what was there before or what recovery makes of it. */
	Possible then = *p;
	then.exactly = NULL;
	deeper.possible = &then;
	if (c->deep && level < LEVELS)
		sim_hook(s, cut_recovery, &deeper);
	int r = open_and_recover(&d, &err);
	sim_hook(s, NULL, NULL);
	c->recoveries++;
	if (c->problem[0])
		return;
	if (r < 0) {
		found(c, how, err.msg);
		return;
	}
	const Known *now = match(&d, p, &bad);
	if (!now)
		found(c, how, bad);
	else if (p->exactly && r != p->exactly->open)
		found(c, how,
		      r ? "recovery undid a change that was not open"
			: "recovery did not see the open change");
	else if (open_and_recover(&d, &err) != 0)
		found(c, how, "a second recovery found something to do");
	else if (sim_open_files(s) != 0)
		found(c, how, "files were left open");
	else if ((bad = story_check(&d, STORY_DIR, now)))
		found(c, how, bad);
	if (c->problem[0])
		return;
	/* What recovery said stays so. */
	sim_power_loss(s, &c->rng);
	c->losses++;
	bad = story_check(&d, STORY_DIR, now);
	if (!bad && level == 1 && rng_below(&c->rng, 4) == 0)
		bad = go_on(&d, now);
	if (bad)
		found(c, "cut after recovery", bad);
}

/* --- Cutting the story ------------------------------------------------------------------------ */

/* The process is killed and another asks for the same step again, in the same boot; what it was
 * told then must survive a power cut. */
static void ask_again(Cuts *c, SimDisk *s, const Disk *d)
{
	Err err = ERR_INIT;
	_cleanup_(production_closep) Production *p = NULL;
	int r = production_open(d, STORY_DIR, &p, &err);
	if (r >= 0)
		r = story_do(p, c->step, &err);
	/* It was done before it was killed: there is no change any more, or there is one. */
	if (r == -EPERM && c->step->kind == STEP_COMMIT)
		r = 0;
	if (r == -EBUSY && c->step->kind == STEP_BEGIN)
		r = 0;
	const char *bad = r < 0 ? err.msg : story_check(d, STORY_DIR, &c->after);
	if (bad) {
		found(c, "killed, and asked again", bad);
		return;
	}
	sim_power_loss(s, &c->rng);
	c->losses++;
	Disk honest = sim_disk(s);
	bad = story_check(&honest, STORY_DIR, &c->after);
	if (bad)
		found(c, "killed, asked again, then cut", bad);
}

static Possible possible_now(const Cuts *c)
{
	Possible p = {.exactly = c->calls == 0 ? &c->before : NULL};
	p.n = known_possible(&c->before, &c->after, c->step, p.k);
	if (p.exactly)
		p.n = 1; /* nothing of the step was done */
	return p;
}

static void cut_story(void *ctx, SimDisk *s, const SimCall *call)
{
	Cuts *c = ctx;
	if (c->problem[0])
		return;
	(void)snprintf(c->where, sizeof(c->where), "step %zu (%s), call %" PRIu64 " (%s %.60s)",
		       c->step_number, step_name(c->step->kind), call->number, call->name,
		       call->path);
	Possible p = possible_now(c);
	c->calls++;
	for (unsigned i = 0; i < c->rounds && !c->problem[0]; i++) {
		SimDisk *left = sim_clone(s);
		sim_power_loss(left, &c->rng);
		c->losses++;
		survive(c, left, &p, 1, "cut");
		sim_free(left);
	}
	if (c->problem[0])
		return;
	SimDisk *left = sim_clone(s);
	c->kills++;
	survive(c, left, &p, 1, "killed");
	sim_free(left);
	left = sim_clone(s);
	Disk again = sim_disk(left);
	c->kills++;
	if (!c->problem[0])
		ask_again(c, left, &again);
	sim_free(left);
}

/* Tells a story from `known` on; it is cut by `hook`. */
static void tell(Cuts *c, SimDisk *s, const Disk *d, const Step *story, Known *known, SimHook *hook)
{
	for (size_t i = 0; story[i].kind != STEP_END && !c->problem[0]; i++) {
		Err err = ERR_INIT;
		_cleanup_(production_closep) Production *p = NULL;
		c->step = &story[i];
		c->step_number = i;
		c->before = *known;
		c->after = known_after(known, &story[i]);
		c->calls = 0;
		CHECK_OK(production_open(d, STORY_DIR, &p, &err));
		sim_hook(s, hook, c);
		int r = story_do(p, &story[i], &err);
		sim_hook(s, NULL, NULL);
		if (r < 0)
			found(c, "a step", err.msg);
		*known = c->after;
	}
}

/* One generation adopted, and a log that is long already. */
static SimDisk *long_log(Known *ret)
{
	Err err = ERR_INIT;
	SimDisk *s = sim_new();
	Disk d = sim_disk(s);
	_cleanup_(production_closep) Production *p = NULL;
	static const Step steps[] = {
	    {STEP_WRITE, 0}, {STEP_ADOPT, 0}, {STEP_BEGIN, 0}, {STEP_UNDO, 0}, {STEP_END, 0}};
	size_t len = 0;
	*ret = KNOWN_NOTHING;
	CHECK_OK(d.mkdir(d.ctx, "/var", 0755));
	CHECK_OK(production_open(&d, STORY_DIR, &p, &err));
	for (size_t i = 0; len < LOG_NEARLY_LONG || i < 4; i = i < 3 ? i + 1 : 2) {
		CHECK_OK(story_do(p, &steps[i], &err));
		*ret = known_after(ret, &steps[i]);
		_cleanup_free_ char *log = NULL;
		CHECK(disk_read_file(&d, STORY_DIR "/intent.log", 1 << 20, &log, &len, &err) >= 0 ||
		      i == 0);
		if (i == 3 && len >= LOG_NEARLY_LONG)
			break;
	}
	return s;
}

static uint64_t seed_of_run(void)
{
	const char *seed = getenv("SEED");
	return seed ? strtoull(seed, NULL, 10) : 1;
}

static bool soak(void)
{
	return getenv("DREAM_SOAK") != NULL;
}

static void expect_no_problem(const Cuts *c)
{
	if (c->problem[0])
		printf("# %s\n", c->problem);
	CHECK(!c->problem[0]);
}

/* Both stories, once. */
static void tell_both(Cuts *c)
{
	Known known = KNOWN_NOTHING;
	SimDisk *s = sim_new();
	Disk d = sim_disk(s);
	tell(c, s, &d, story_whole, &known, cut_story);
	sim_free(s);
	if (c->problem[0])
		return;
	s = long_log(&known);
	d = sim_disk(s);
	tell(c, s, &d, story_short, &known, cut_story);
	sim_free(s);
}

TEST(after_any_power_cut_production_is_the_old_or_the_new_one)
{
	uint64_t wanted = soak() ? CUTS_SOAK : CUTS_SAMPLE, losses = 0, kills = 0, recoveries = 0;
	int64_t began_us = clock_mono_us(&clock_system);
	for (uint64_t seed = seed_of_run(); losses < wanted; seed++) {
		Cuts c = {.seed = seed,
			  .rng = rng_derive(seed, "cuts", 0),
			  .rounds = soak() ? 20 : 2,
			  .deep = true};
		tell_both(&c);
		expect_no_problem(&c);
		losses += c.losses;
		kills += c.kills;
		recoveries += c.recoveries;
	}
	printf("# %" PRIu64 " power cuts (seeds from %" PRIu64 "), %" PRIu64 " kills, %" PRIu64
	       " recoveries, 0 mixed; %.1f s\n",
	       losses, seed_of_run(), kills, recoveries,
	       (double)(clock_mono_us(&clock_system) - began_us) / 1e6);
}

/* --- A disk that lies ------------------------------------------------------------------------- */

static void cut_after_lie(void *ctx, SimDisk *s, const SimCall *call)
{
	const Liar *l = sim_user(s);
	Cuts *c = ctx;
	if (l->lied)
		cut_story(ctx, s, call);
	else
		c->calls++;
}

/* Is it noticed that the n-th sync was none? False: there are not that many. */
static bool lie_in_story(uint64_t n, bool long_one, bool *ret_caught, Liar *l)
{
	Cuts c = {.seed = seed_of_run(), .rng = rng_derive(seed_of_run(), "lies", n), .rounds = 40};
	Known known = KNOWN_NOTHING;
	SimDisk *s = long_one ? long_log(&known) : sim_new();
	Disk d = liar_disk(l, s, n);
	tell(&c, s, &d, long_one ? story_short : story_whole, &known, cut_after_lie);
	sim_free(s);
	*ret_caught = c.problem[0];
	if (l->lied && !c.problem[0])
		printf("# not noticed: sync %" PRIu64 " of %s, of %s\n", n,
		       long_one ? "the short story" : "the story", l->about);
	return l->lied;
}

/* Three syncs of the log are only needed by who goes on with the same open log: of its folder when
 * it comes into being or is replaced, and of the record before a replacement that has it, too.
 * test-log-crash.c proves those. */
TEST(no_other_sync_can_be_left_out_of_any_step_unnoticed)
{
	enum {
		OF_THE_LOG_ALONE = 3
	};
	unsigned lies = 0, caught = 0, of_log = 0;
	for (int which = 0; which < 2; which++) {
		bool was_caught;
		Liar l;
		for (uint64_t n = 1; lie_in_story(n, which, &was_caught, &l); n++) {
			lies++;
			caught += was_caught;
			of_log += !was_caught && (strcmp(l.about, "intent.log") == 0 ||
						  strcmp(l.about, "production") == 0);
		}
	}
	printf("# %u syncs left out in turn, %u noticed\n", lies, caught);
	CHECK(lies > 60);
	CHECK_INT(caught + of_log, lies);
	CHECK(of_log <= OF_THE_LOG_ALONE);
}

/* What is left undone by a process that is killed, the next one does: its syncs are needed, too. */
typedef struct Heir {
	Cuts c; /* first, for tell() */
	unsigned lies, caught;
	char names[32][64]; /* what the noticed lies were about */
	size_t n_names;
} Heir;

static void heir_note(Heir *h, const char *name)
{
	for (size_t i = 0; i < h->n_names; i++)
		if (strcmp(h->names[i], name) == 0)
			return;
	if (h->n_names < 32)
		(void)snprintf(h->names[h->n_names++], sizeof(h->names[0]), "%s", name);
}

static bool heir_noted(const Heir *h, const char *name)
{
	for (size_t i = 0; i < h->n_names; i++)
		if (strcmp(h->names[i], name) == 0)
			return true;
	return false;
}

static void heir_lies(void *ctx, SimDisk *s, const SimCall *call)
{
	Heir *h = ctx;
	(void)call;
	bool lied = true;
	for (uint64_t n = 1; lied; n++) {
		bool caught = false;
		Liar l;
		for (int i = 0; i < 12 && lied && !caught; i++) {
			Cuts c = h->c;
			SimDisk *left = sim_clone(s);
			Disk d = liar_disk(&l, left, n);
			ask_again(&c, left, &d);
			sim_free(left);
			lied = l.lied;
			caught = c.problem[0];
			h->c.rng = c.rng;
		}
		h->lies += lied;
		h->caught += lied && caught;
		if (lied && caught)
			heir_note(h, l.about);
	}
}

TEST(whoever_goes_on_after_a_killed_process_syncs_what_it_left)
{
	Heir h = {.c = {.seed = seed_of_run(), .rng = rng_derive(seed_of_run(), "heirs", 0)}};
	Known known = KNOWN_NOTHING;
	SimDisk *s = sim_new();
	Disk d = sim_disk(s);
	tell(&h.c, s, &d, story_whole, &known, heir_lies);
	sim_free(s);
	expect_no_problem(&h.c);
	printf("# %u syncs left out in turn, %u noticed\n", h.lies, h.caught);
	CHECK(heir_noted(&h, "intent.log"));
	CHECK(heir_noted(&h, "production"));
	CHECK(heir_noted(&h, "gen"));
}

TEST(the_simulated_disk_does_what_disks_do)
{
	/* Of one write of two sectors, without a sync, each of these is seen. */
	bool none = false, whole = false, first = false, second = false, longer = false;
	char data[1024];
	memset(data, 'x', sizeof(data));
	for (uint64_t seed = 0; seed < 2000; seed++) {
		Err err = ERR_INIT;
		Rng rng = rng_derive(seed, "disk", 0);
		SimDisk *s = sim_new();
		Disk d = sim_disk(s);
		CHECK_OK(disk_write_new(&d, "/f", 0644, "", 0, &err));
		CHECK_OK(disk_sync_dir(&d, "/", &err));
		int fd = d.open(d.ctx, "/f", O_WRONLY | O_APPEND, 0);
		CHECK_OK(fd);
		CHECK_OK(disk_write_all(&d, fd, data, sizeof(data)));
		sim_power_loss(s, &rng);
		_cleanup_free_ char *text = NULL;
		size_t len;
		CHECK_OK(disk_read_file(&d, "/f", 1 << 20, &text, &len, &err));
		bool a = len >= 512 && memcmp(text, data, 512) == 0;
		bool b = len == 1024 && memcmp(text + 512, data, 512) == 0;
		none = none || len == 0;
		whole = whole || (a && b);
		first = first || (a && !b);
		second = second || (b && !a);
		longer = longer || (len == 1024 && !a && !b);
		sim_free(s);
	}
	CHECK(none && whole && first && second && longer);
}

TEST(a_rename_may_outlive_the_data_of_its_file_unless_that_was_synced)
{
	bool empty = false, old = false, lost = false;
	for (uint64_t seed = 0; seed < 400; seed++) {
		Err err = ERR_INIT;
		Rng rng = rng_derive(seed, "disk", 1);
		bool synced = seed % 2;
		SimDisk *s = sim_new();
		Disk d = sim_disk(s);
		CHECK_OK(disk_write_new(&d, "/f", 0644, "old", 3, &err));
		CHECK_OK(disk_sync_dir(&d, "/", &err));
		int fd = d.open(d.ctx, "/g", O_WRONLY | O_CREAT | O_EXCL, 0644);
		CHECK_OK(disk_write_all(&d, fd, "new", 3));
		if (synced)
			CHECK_OK(d.sync(d.ctx, fd));
		CHECK_OK(d.rename(d.ctx, "/g", "/f"));
		sim_power_loss(s, &rng);
		_cleanup_free_ char *text = NULL;
		size_t len;
		CHECK_OK(disk_read_file(&d, "/f", 1 << 20, &text, &len, &err));
		bool whole = strcmp(text, "old") == 0 || strcmp(text, "new") == 0;
		CHECK(whole || !synced);
		empty = empty || len == 0;
		old = old || strcmp(text, "old") == 0;
		lost = lost || !whole;
		sim_free(s);
	}
	CHECK(empty && old && lost);
}
