/* The state machine as docs/rollout.md draws it, taken from the code by walking through all of it.
 * The page is compared with it; UPDATE_GOLDEN=1 writes it anew. */
#include "base/file.h"
#include "base/str.h"
#include "test.h"
#include "walk.h"

#define PAGE  SOURCE_ROOT "/docs/rollout.md"
#define BEGIN "<!-- The machine, drawn by tests/rollout/test-machine-drawn.c: -->\n"
#define END   "<!-- (End of the machine.) -->\n"

/* Which phase follows on which event in which phase. */
typedef struct Picture {
	bool edge[PHASE_MAX_][EVENT_MAX_][PHASE_MAX_];
} Picture;

static void draw(void *ctx, const Machine *was, MachineEvent e, MachineDo d, const Machine *now)
{
	Picture *p = ctx;
	if (d != DO_NOTHING)
		p->edge[was->phase][e][now->phase] = true;
}

/* Each stage and policy is in one of them. Three parameters are what the rarest step needs. */
static void look_at_all(Picture *p)
{
	for (int policy = INCONCLUSIVE_WAIT; policy <= INCONCLUSIVE_UNDO; policy++)
		for (int all = 0; all < 2; all++) {
			MachineSpec spec = {.n = 3,
					    .isolated = all,
					    .colocated = all,
					    .cold_start = all,
					    .probation = all,
					    .on_inconclusive = (OnInconclusive)policy,
					    .waits = 1};
			walk_showing(&spec, machine_step, draw, p);
		}
	MachineSpec colocated = {.n = 2, .colocated = true, .cold_start = true};
	walk_showing(&colocated, machine_step, draw, p);
}

/* --- Words ------------------------------------------------------------------------------------ */

static void add_word(Str *s, const char *word)
{
	str_addf(s, "%s%s", s->len ? ", " : "", word);
}

/* What is one thing to people is one word. */
static const struct {
	const char *word;
	MachineEvent events[5];
	int n;
} groups[] = {
    {"good", {EVENT_NO_WORSE, EVENT_BETTER}, 2},
    {"hurts", {EVENT_BROKEN, EVENT_WORSE}, 2},
    {"unclear", {EVENT_INCONCLUSIVE, EVENT_NO_DATA, EVENT_ERROR, EVENT_RESTARTED}, 4},
    {"called off", {EVENT_EXPIRED, EVENT_MOVED, EVENT_BUDGET, EVENT_ABORT}, 4},
};

enum {
	N_GROUPS = sizeof(groups) / sizeof(groups[0]),
};

static bool take_group(bool set[EVENT_MAX_], size_t g)
{
	for (int i = 0; i < groups[g].n; i++)
		if (!set[groups[g].events[i]])
			return false;
	for (int i = 0; i < groups[g].n; i++)
		set[groups[g].events[i]] = false;
	return true;
}

static void add_events(Str *s, bool set[EVENT_MAX_])
{
	Str words = STR_INIT;
	for (size_t g = 0; g < N_GROUPS; g++)
		if (take_group(set, g))
			add_word(&words, groups[g].word);
	for (int e = 0; e < EVENT_MAX_; e++)
		if (set[e])
			add_word(&words, machine_event_name((MachineEvent)e));
	str_add(s, words.s ? words.s : "");
	str_done(&words);
}

/* --- Pictures --------------------------------------------------------------------------------- */

static bool is_way_back(int from, int to)
{
	return from == PHASE_UNDO || to == PHASE_UNDO || from == PHASE_ASKED || to == PHASE_ASKED ||
	       from == PHASE_STUCK || to == PHASE_STUCK ||
	       (to == PHASE_ENDED && from < PHASE_APPLY);
}

static void add_edge(const Picture *p, int from, int to, Str *s)
{
	bool set[EVENT_MAX_], any = false;
	for (int e = 0; e < EVENT_MAX_; e++)
		any |= set[e] = p->edge[from][e][to];
	if (!any || from == PHASE_ENDED)
		return;
	str_addf(s, "    %s --> %s: ", machine_phase_name((MachinePhase)from),
		 machine_phase_name((MachinePhase)to));
	add_events(s, set);
	str_addc(s, '\n');
}

static void add_picture(const Picture *p, bool back, Str *s)
{
	str_add(s, "```mermaid\nstateDiagram-v2\n");
	if (!back)
		str_add(s, "    [*] --> ready\n");
	for (int from = 0; from < PHASE_MAX_; from++)
		for (int to = 0; to < PHASE_MAX_; to++)
			if (is_way_back(from, to) == back)
				add_edge(p, from, to, s);
	str_add(s, "    ended --> [*]\n```\n");
}

/* --- The table -------------------------------------------------------------------------------- */

static bool same_outcome(const Picture *p, int phase, int a, int b)
{
	return memcmp(p->edge[phase][a], p->edge[phase][b], PHASE_MAX_) == 0;
}

static bool any_outcome(const Picture *p, int phase, int e)
{
	return memchr(p->edge[phase][e], true, PHASE_MAX_) != NULL;
}

static void add_row(const Picture *p, int phase, int first, Str *s)
{
	bool set[EVENT_MAX_];
	for (int e = 0; e < EVENT_MAX_; e++)
		set[e] = same_outcome(p, phase, first, e);
	str_addf(s, "| %s | ", machine_phase_name((MachinePhase)phase));
	add_events(s, set);
	Str to = STR_INIT;
	for (int next = 0; next < PHASE_MAX_; next++)
		if (p->edge[phase][first][next])
			add_word(&to, machine_phase_name((MachinePhase)next));
	str_addf(s, " | %s |\n", to.s);
	str_done(&to);
}

static void add_table(const Picture *p, Str *s)
{
	str_add(s, "| in | on | follows |\n|---|---|---|\n");
	for (int phase = 0; phase < PHASE_MAX_; phase++)
		for (int e = 0; e < EVENT_MAX_; e++) {
			bool shown = !any_outcome(p, phase, e);
			for (int before = 0; before < e && !shown; before++)
				shown = same_outcome(p, phase, before, e);
			if (!shown)
				add_row(p, phase, e, s);
		}
}

static char *drawn(void)
{
	static Picture p;
	look_at_all(&p);
	Str s = STR_INIT;
	str_add(&s, "The way forward:\n\n");
	add_picture(&p, false, &s);
	str_add(&s, "\nThe ways back:\n\n");
	add_picture(&p, true, &s);
	str_add(&s, "\nEvery step there is; what is not listed changes nothing:\n\n");
	add_table(&p, &s);
	char *text;
	CHECK_OK(str_take(&s, &text));
	return text;
}

/* --- The page --------------------------------------------------------------------------------- */

static void write_anew(const char *page, const char *from, const char *to, const char *text)
{
	_cleanup_free_ char *whole = str_fmt("%.*s%s%s", (int)(from - page), page, text, to);
	CHECK(whole != NULL);
	CHECK_OK(file_write(PAGE, 0644, whole, strlen(whole), NULL));
}

TEST(the_page_draws_the_machine_as_it_is)
{
	_cleanup_free_ char *page = NULL;
	size_t n;
	CHECK_OK(file_read(PAGE, 1 << 20, &page, &n, NULL));
	const char *from = strstr(page, BEGIN), *to = strstr(page, END);
	CHECK(from && to && from < to);
	from += strlen(BEGIN);
	_cleanup_free_ char *text = drawn();
	const char *update = getenv("UPDATE_GOLDEN");
	if (update && *update)
		write_anew(page, from, to, text);
	else if ((size_t)(to - from) != strlen(text) || memcmp(from, text, strlen(text)) != 0)
		test_fail(__FILE__, __LINE__,
			  "docs/rollout.md draws another machine; UPDATE_GOLDEN=1 draws it anew");
}
