/* The rules of contention, look by look. */
#include "gpu/contention.h"

#include "test.h"

#define MIB(n) ((int64_t)(n) << 20)

enum {
	STEP_US = 50000,
	GONE = -3,    /* not on the card */
	UNKNOWN = -1, /* there, without bytes */
};

/* What one foreign process holds, in MiB, before and at each look. */
typedef struct Case {
	const char *what;
	int64_t before, looks[12];
	size_t n_looks;
	bool starting;
	unsigned lists;
	bool hidden;
	ContentionKind kind;
	size_t at; /* the look that found it */
} Case;

static const Case cases[] = {
    {"a display server that stays", 80, {80, 80, 80, 80}, 4, false, GPU_GRAPHICS, false, 0, 0},
    {"one that moves within the tolerance",
     1200,
     {1250, 1180, 1264, 1200},
     4,
     true,
     GPU_COMPUTE,
     false,
     0,
     0},
    {"growth beyond the tolerance",
     1200,
     {1200, 1230, 1265},
     3,
     false,
     GPU_COMPUTE,
     false,
     CONTENTION_GREW,
     2},
    {"growth in small steps",
     1200,
     {1220, 1240, 1260, 1280},
     4,
     false,
     GPU_COMPUTE,
     false,
     CONTENTION_GREW,
     3},
    {"back to what it was before is no growth",
     1200,
     {900, 900, 1200},
     3,
     false,
     GPU_COMPUTE,
     false,
     0,
     0},
    {"memory given back under load", 1200, {700, 700}, 2, false, GPU_COMPUTE, false, 0, 0},
    {"memory given back while a service starts",
     1200,
     {1200, 700},
     2,
     true,
     GPU_COMPUTE,
     false,
     CONTENTION_SHRANK,
     1},
    {"an end under load", 1200, {1200, GONE, GONE, GONE}, 4, false, GPU_COMPUTE, false, 0, 0},
    {"an end while a service starts",
     1200,
     {1200, GONE, GONE},
     3,
     true,
     GPU_COMPUTE,
     false,
     CONTENTION_ENDED,
     2},
    {"an end that frees next to nothing", 30, {30, GONE, GONE}, 3, true, GPU_COMPUTE, false, 0, 0},
    {"a list that misses one look",
     1200,
     {1200, GONE, 1200, 1200},
     4,
     true,
     GPU_COMPUTE,
     false,
     0,
     0},
    {"somebody new", GONE, {GONE, 300, 300}, 3, false, GPU_COMPUTE, false, CONTENTION_NEW, 2},
    {"somebody new for one look",
     GONE,
     {GONE, 300, GONE, GONE},
     4,
     false,
     GPU_COMPUTE,
     false,
     0,
     0},
    {"somebody new again and again for one look",
     GONE,
     {300, GONE, GONE, 300, GONE, GONE, 300, GONE, GONE},
     9,
     false,
     GPU_COMPUTE,
     false,
     0,
     0},
    {"somebody new without bytes",
     GONE,
     {UNKNOWN, UNKNOWN},
     2,
     false,
     GPU_COMPUTE,
     false,
     CONTENTION_NEW,
     1},
    {"somebody new with nothing", GONE, {0, 0, 0}, 3, false, GPU_COMPUTE, false, 0, 0},
    {"a window of the desktop", GONE, {12, 12, 40}, 3, false, GPU_GRAPHICS, false, 0, 0},
    {"a game", GONE, {12, 40, 900}, 3, false, GPU_GRAPHICS, false, CONTENTION_NEW, 2},
    {"a process of ours that has just died, listed a little longer",
     GONE,
     {300, 300, 300, GONE},
     4,
     false,
     GPU_COMPUTE,
     true,
     0,
     0},
    {"a number of another namespace that stays",
     GONE,
     {300, 300, 300, 300, 300, 300, 300, 300, 300, 300},
     10,
     false,
     GPU_COMPUTE,
     true,
     CONTENTION_NEW,
     9},
    {"no bytes at first, then some", UNKNOWN, {500, 500}, 2, true, GPU_COMPUTE, false, 0, 0},
    {"bytes that come and go with the driver's mood",
     500,
     {UNKNOWN, 500},
     2,
     true,
     GPU_COMPUTE,
     false,
     0,
     0},
};

static size_t process_of(const Case *c, int64_t mib, GpuProcess *ret)
{
	if (mib == GONE)
		return 0;
	*ret = (GpuProcess){.pid = 4711,
			    .lists = c->lists,
			    .used_bytes = mib < 0 ? -1 : MIB(mib),
			    .visible = !c->hidden};
	return 1;
}

TEST(each_case_is_judged_at_the_look_that_shows_it)
{
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		const Case *c = &cases[i];
		Contention *x = calloc(1, sizeof(*x));
		GpuProcess p;
		printf("# %s\n", c->what);
		CHECK(x);
		contention_begin(x, &contention_rules, &p, process_of(c, c->before, &p));
		for (size_t k = 0; k < c->n_looks; k++) {
			bool news = contention_look(x, (int64_t)k * STEP_US, c->starting, &p,
						    process_of(c, c->looks[k], &p));
			CHECK_INT(news, c->kind != CONTENTION_NONE && k == c->at);
		}
		CHECK_INT(x->first.kind, c->kind);
		CHECK_INT(x->n_findings, c->kind != CONTENTION_NONE);
		if (c->kind != CONTENTION_NONE)
			CHECK_INT(x->first.at_us, (int64_t)c->at * STEP_US);
		free(x);
	}
}

/* --- Activity -------------------------------------------------------------------------------- */

static Contention *with_tenant(void)
{
	Contention *c = calloc(1, sizeof(*c));
	GpuProcess p = {.pid = 7, .lists = GPU_COMPUTE, .used_bytes = MIB(500), .visible = true};
	CHECK(c);
	contention_begin(c, &contention_rules, &p, 1);
	return c;
}

TEST(work_in_several_samples_is_activity)
{
	Contention *c = with_tenant();
	for (uint64_t k = 1; k <= 3; k++) {
		GpuActivity a = {7, 40 + (int)k, k * 100};
		CHECK_INT(contention_activity(c, (int64_t)k, &a, 1), k == 3);
	}
	CHECK_INT(c->first.kind, CONTENTION_ACTIVE);
	CHECK_INT(c->first.sm_pct, 43);
	free(c);
}

TEST(one_sample_told_again_is_still_one)
{
	Contention *c = with_tenant();
	GpuActivity a = {7, 90, 100};
	for (int k = 0; k < 10; k++)
		CHECK(!contention_activity(c, k, &a, 1));
	free(c);
}

TEST(an_idle_tenant_that_blinks_is_idle)
{
	Contention *c = with_tenant();
	for (uint64_t k = 1; k <= 100; k++) {
		GpuActivity a = {7, k < 3 ? 50 : 9, k * 100};
		CHECK(!contention_activity(c, (int64_t)k, &a, 1));
	}
	free(c);
}

TEST(samples_of_nobody_we_know_are_nobody_s)
{
	Contention *c = with_tenant();
	for (uint64_t k = 1; k <= 10; k++) {
		GpuActivity a = {8, 90, k * 100};
		CHECK(!contention_activity(c, (int64_t)k, &a, 1));
	}
	free(c);
}

/* --- Several --------------------------------------------------------------------------------- */

TEST(one_who_proves_to_be_ours_is_forgotten)
{
	Contention *c = with_tenant();
	GpuProcess p[2] = {{7, GPU_COMPUTE, MIB(500), true}, {8, GPU_COMPUTE, MIB(900), true}};
	CHECK(!contention_look(c, 1, true, p, 2));
	contention_forget(c, 8);
	for (int k = 2; k < 6; k++)
		CHECK(!contention_look(c, k, true, p, 1));
	free(c);
}

TEST(what_was_found_about_one_of_ours_is_taken_back)
{
	Contention *c = with_tenant();
	GpuProcess p[3] = {{8, GPU_COMPUTE, MIB(900), true},
			   {7, GPU_COMPUTE, MIB(500), true},
			   {9, GPU_COMPUTE, MIB(300), true}};
	for (int k = 1; k < 4; k++)
		contention_look(c, k, true, p, 2);
	CHECK_INT(c->first.pid, 8);
	for (int k = 4; k < 7; k++)
		contention_look(c, k, true, p, 3);
	CHECK_INT(c->n_findings, 2);
	contention_forget(c, 8);
	CHECK_INT(c->n_findings, 1);
	CHECK_INT(c->first.pid, 9);
	CHECK_INT(c->first.to_bytes, MIB(300));
	contention_forget(c, 9);
	CHECK_INT(c->n_findings, 0);
	CHECK_INT(c->first.kind, CONTENTION_NONE);
	for (int k = 7; k < 12; k++)
		CHECK(!contention_look(c, k, true, p + 1, 1));
	free(c);
}

TEST(the_first_finding_is_kept_and_the_others_counted)
{
	Contention *c = with_tenant();
	GpuProcess p[2] = {{7, GPU_COMPUTE, MIB(700), true}, {8, GPU_COMPUTE, MIB(900), true}};
	for (int k = 1; k < 9; k++)
		contention_look(c, k, false, p, 2);
	CHECK_INT(c->n_findings, 2);
	CHECK_INT(c->first.pid, 7);
	CHECK_INT(c->first.kind, CONTENTION_GREW);
	CHECK_INT(c->first.from_bytes, MIB(500));
	CHECK_INT(c->first.to_bytes, MIB(700));
	free(c);
}

TEST(passers_by_never_fill_the_room)
{
	Contention *c = with_tenant();
	for (int k = 0; k < 3 * GPU_PROCESSES_MAX; k++) {
		GpuProcess p[2] = {{7, GPU_COMPUTE, MIB(500), true},
				   {1000 + k / 3, GPU_COMPUTE, MIB(10), true}};
		contention_look(c, k, false, p, k % 3 == 0 ? 2 : 1);
	}
	CHECK_INT(c->n_findings, 0);
	CHECK(!c->overflow);
	CHECK(c->n_tenants < 8);
	free(c);
}

TEST(findings_in_words)
{
	static const struct {
		ContentionFinding f;
		const char *who, *words;
	} said[] = {
	    {{CONTENTION_NEW, 12, true, 0, MIB(500), 0, 13500000},
	     "ollama.service: ollama serve",
	     "process 12 (ollama.service: ollama serve) came on the GPU 12.5 s after the start and "
	     "holds 500 MiB"},
	    {{CONTENTION_GREW, 12, true, MIB(100), MIB(300), 0, 1000000},
	     "",
	     "process 12 grew from 100 MiB to 300 MiB of GPU memory 0.0 s after the start"},
	    {{CONTENTION_ACTIVE, 12, true, 0, 0, 44, 2000000},
	     "x",
	     "process 12 (x) computed on the GPU (up to 44 % of it) 1.0 s after the start"},
	    {{CONTENTION_NEW, 12, false, 0, -1, 0, 1000000},
	     "",
	     "process 12 (not visible here: it counts in another PID namespace) came on the GPU "
	     "0.0 s after the start and holds an unknown amount"},
	    {{CONTENTION_NONE, 0, false, 0, 0, 0, 0}, "", ""},
	};
	for (size_t i = 0; i < sizeof(said) / sizeof(*said); i++) {
		char words[320];
		contention_words(&said[i].f, said[i].who, 1000000, words, sizeof(words));
		CHECK_STR(words, said[i].words);
	}
}
