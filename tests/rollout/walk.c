#include "walk.h"

#include "test.h"

enum {
	DEPTH = 12,
	NO_STATE = -1,
};

/* Compared as bytes, so there must be none between its members. */
typedef struct State {
	Machine m;
	Trace t;
} State;
_Static_assert(sizeof(Machine) == (sizeof(MachineResult) + 12 * sizeof(uint32_t) +
				   (3 + ROLLOUT_PARAMS_MAX) * sizeof(uint32_t) + 8),
	       "Machine has a hole");

typedef struct Space {
	const MachineSpec *spec;
	StepFn *step;
	SeenFn *seen; /* may be NULL */
	void *seen_ctx;
	State *states;
	int32_t *next;	 /* [state][event]; NO_STATE: it changes nothing */
	bool *touches;	 /* [state][event]: production is changed */
	int32_t *parent; /* on the shortest way */
	uint8_t *by, *level;
	size_t n, cap;
	int32_t *table; /* of hashes */
	size_t table_size;
} Space;

static void *grown(void *p, size_t n, size_t size)
{
	void *r = realloc(p, n * size);
	CHECK(r != NULL);
	return r;
}

static void space_done(Space *s)
{
	free(s->states);
	free(s->next);
	free(s->touches);
	free(s->parent);
	free(s->by);
	free(s->level);
	free(s->table);
}

static void space_grow(Space *s)
{
	s->cap = s->cap ? s->cap * 2 : 1024;
	s->states = grown(s->states, s->cap, sizeof(State));
	s->next = grown(s->next, s->cap * EVENT_MAX_, sizeof(int32_t));
	s->touches = grown(s->touches, s->cap * EVENT_MAX_, sizeof(bool));
	s->parent = grown(s->parent, s->cap, sizeof(int32_t));
	s->by = grown(s->by, s->cap, 1);
	s->level = grown(s->level, s->cap, 1);
}

static uint64_t hash(const State *st)
{
	uint64_t h = UINT64_C(0xcbf29ce484222325), w;
	const char *at = (const char *)st;
	_Static_assert(sizeof(State) % sizeof(uint32_t) == 0, "State is not whole words");
	for (size_t i = 0; i < sizeof(State); i += sizeof(uint32_t)) {
		uint32_t v;
		memcpy(&v, at + i, sizeof(v));
		w = h ^ v;
		h = w * UINT64_C(0x9e3779b97f4a7c15);
		h ^= h >> 29;
	}
	return h;
}

static size_t place(const Space *s, const State *st)
{
	size_t i = hash(st) & (s->table_size - 1);
	while (s->table[i] != NO_STATE && memcmp(&s->states[s->table[i]], st, sizeof(*st)) != 0)
		i = (i + 1) & (s->table_size - 1);
	return i;
}

static void rehash(Space *s)
{
	s->table_size = s->table_size ? s->table_size * 2 : 4096;
	s->table = grown(s->table, s->table_size, sizeof(int32_t));
	memset(s->table, 0xff, s->table_size * sizeof(int32_t));
	for (size_t i = 0; i < s->n; i++)
		s->table[place(s, &s->states[i])] = (int32_t)i;
}

static int32_t intern(Space *s, const State *st, int32_t parent, int by)
{
	if (s->n * 2 >= s->table_size)
		rehash(s);
	size_t at = place(s, st);
	if (s->table[at] != NO_STATE)
		return s->table[at];
	if (s->n == s->cap)
		space_grow(s);
	s->states[s->n] = *st;
	s->parent[s->n] = parent;
	s->by[s->n] = (uint8_t)by;
	int level = parent == NO_STATE ? 0 : s->level[parent] + 1;
	s->level[s->n] = (uint8_t)(level < UINT8_MAX ? level : UINT8_MAX);
	s->table[at] = (int32_t)s->n;
	return (int32_t)s->n++;
}

/* A machine that was written down and read back is the same one. */
static const char *round_trip(const Machine *m)
{
	Machine back;
	Err err = ERR_INIT;
	json_auto_t *o = machine_json(m);
	if (!o || machine_from_json(o, &back, &err) < 0)
		return "it cannot be written down and read back";
	return memcmp(&back, m, sizeof(back)) == 0 ? NULL : "it is not what was written down";
}

/* One event in one state; the rule that it breaks, or NULL. */
static const char *expand(Space *s, int32_t at, MachineEvent e)
{
	State then = s->states[at];
	MachineDo d = s->step(s->spec, &then.m, e);
	const char *broken = trace_step(s->spec, &then.t, e, d, then.m.target, then.m.result);
	if (broken)
		return broken;
	const Machine whole = then.m;
	if (s->seen)
		s->seen(s->seen_ctx, &s->states[at].m, e, d, &whole);
	/* For people alone: nothing that is done depends on them. */
	then.m.last = then.m.cause = EVENT_START;
	size_t cell = (size_t)at * EVENT_MAX_ + e, before = s->n;
	int32_t next = intern(s, &then, at, (int)e);
	s->next[cell] = next == at && d == DO_NOTHING ? NO_STATE : next;
	s->touches[cell] =
	    d == DO_APPLY || d == DO_UNDO || d == DO_COLD || (d == DO_COLOCATED && then.m.touched);
	return s->n > before ? round_trip(&whole) : NULL;
}

static void tell_story(const Space *s, int32_t at, MachineEvent e, Walk *w)
{
	const char *names[64];
	size_t n = 0, len = 0;
	names[n++] = machine_event_name(e);
	for (; s->parent[at] != NO_STATE && n < 64; at = s->parent[at])
		names[n++] = machine_event_name((MachineEvent)s->by[at]);
	while (n-- > 0 && len < sizeof(w->story))
		len += (size_t)snprintf(w->story + len, sizeof(w->story) - len, "%s%s", names[n],
					n ? ", " : "");
}

/* Everything that can be reached. */
static bool explore(Space *s, Walk *w)
{
	State first;
	memset(&first, 0, sizeof(first));
	machine_init(&first.m);
	trace_init(&first.t);
	intern(s, &first, NO_STATE, 0);
	for (size_t i = 0; i < s->n; i++) {
		for (int e = 0; e < EVENT_MAX_ && !w->broken; e++) {
			w->broken = expand(s, (int32_t)i, (MachineEvent)e);
			if (w->broken)
				tell_story(s, (int32_t)i, (MachineEvent)e, w);
		}
		if (w->broken)
			return false;
		w->depth = s->level[i];
	}
	w->states = s->n;
	for (size_t i = 0; i < s->n * EVENT_MAX_; i++)
		w->steps += s->next[i] != NO_STATE;
	return true;
}

/* How many orders of events there are that each change something. */
static void count_orders(const Space *s, Walk *w)
{
	double *now = grown(NULL, s->n, sizeof(double)), *then = grown(NULL, s->n, sizeof(double));
	for (size_t i = 0; i < s->n; i++)
		now[i] = 1;
	for (int d = 0; d < DEPTH; d++) {
		for (size_t i = 0; i < s->n; i++) {
			then[i] = 0;
			for (int e = 0; e < EVENT_MAX_; e++) {
				int32_t to = s->next[i * EVENT_MAX_ + (size_t)e];
				then[i] += to == NO_STATE ? 0 : now[to];
			}
			if (then[i] == 0)
				then[i] = 1; /* it ended before */
		}
		double *swap = now;
		now = then;
		then = swap;
	}
	w->orders = now[0];
	free(now);
	free(then);
}

/* --- Circles and ways out --------------------------------------------------------------------- */

/* Strongly connected components by Tarjan's algorithm, without recursion. They are numbered so that
 * every step between two of them leads to a smaller number. */
typedef struct Circles {
	int32_t *of, *low, *index, *stack, *call;
	uint8_t *edge;
	int32_t n, count, depth;
} Circles;

/* A person may try a stuck undo as often as it pleases, and an undo in which we are restarted is
 * begun again, from the same state, as often as that happens: those are no circles of the machine.
 */
static bool is_from_outside(const Space *s, size_t i, int e)
{
	MachinePhase phase = s->states[i].m.phase;
	if (e == EVENT_RESTARTED && phase == PHASE_UNDO)
		return s->next[i * EVENT_MAX_ + (size_t)e] == (int32_t)i;
	return e == EVENT_ABORT && phase == PHASE_STUCK;
}

static int32_t edge_to(const Space *s, size_t i, int e)
{
	return is_from_outside(s, i, e) ? NO_STATE : s->next[i * EVENT_MAX_ + (size_t)e];
}

static void close_circle(Circles *c, int32_t v)
{
	int32_t member;
	do {
		member = c->stack[--c->depth];
		c->of[member] = c->n;
	} while (member != v);
	c->n++;
}

static void connect(const Space *s, Circles *c, int32_t root)
{
	int32_t calls = 0;
	c->call[calls++] = root;
	while (calls > 0) {
		int32_t v = c->call[calls - 1];
		if (c->edge[v] == 0) {
			c->index[v] = c->low[v] = ++c->count;
			c->stack[c->depth++] = v;
		}
		if (c->edge[v] < EVENT_MAX_) {
			int32_t to = edge_to(s, (size_t)v, c->edge[v]++);
			if (to == NO_STATE)
				continue;
			if (c->index[to] == 0)
				c->call[calls++] = to;
			else if (c->of[to] == NO_STATE && c->index[to] < c->low[v])
				c->low[v] = c->index[to];
			continue;
		}
		calls--;
		if (calls > 0 && c->low[v] < c->low[c->call[calls - 1]])
			c->low[c->call[calls - 1]] = c->low[v];
		if (c->low[v] == c->index[v])
			close_circle(c, v);
	}
}

static Circles find_circles(const Space *s)
{
	Circles c = {0};
	int32_t **all[] = {&c.of, &c.low, &c.index, &c.stack, &c.call};
	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
		*all[i] = grown(NULL, s->n, sizeof(int32_t));
	c.edge = grown(NULL, s->n, 1);
	memset(c.edge, 0, s->n);
	memset(c.index, 0, s->n * sizeof(int32_t));
	memset(c.of, 0xff, s->n * sizeof(int32_t));
	for (size_t i = 0; i < s->n; i++)
		if (c.index[i] == 0)
			connect(s, &c, (int32_t)i);
	return c;
}

static void circles_done(Circles *c)
{
	free(c->of);
	free(c->low);
	free(c->index);
	free(c->stack);
	free(c->call);
	free(c->edge);
}

typedef struct Ways {
	int32_t *worst; /* [component]: changes of production from here on */
	bool *out;	/* [component]: an end can be reached without a person */
} Ways;

static bool is_way_out(const State *st)
{
	return st->m.phase == PHASE_ENDED || st->m.phase == PHASE_STUCK ||
	       st->m.phase == PHASE_ASKED || st->m.phase == PHASE_READY;
}

static const char *follow(const Space *s, const Circles *c, Ways *w, size_t i)
{
	int32_t here = c->of[i];
	if (is_way_out(&s->states[i]))
		w->out[here] = true;
	for (int e = 0; e < EVENT_MAX_; e++) {
		int32_t to = edge_to(s, i, e);
		if (to == NO_STATE)
			continue;
		int32_t there = c->of[to], cost = s->touches[i * EVENT_MAX_ + (size_t)e];
		if (there == here && cost)
			return "production can be changed for ever";
		if (w->worst[there] + cost > w->worst[here])
			w->worst[here] = w->worst[there] + cost;
		if (e != EVENT_CONTINUE && e != EVENT_ABORT && w->out[there])
			w->out[here] = true;
	}
	return NULL;
}

/* States by component, so that those which a component leads to come before it. */
static int32_t *in_order(const Space *s, const Circles *c)
{
	int32_t *start = grown(NULL, (size_t)c->n + 1, sizeof(int32_t));
	int32_t *order = grown(NULL, s->n, sizeof(int32_t));
	memset(start, 0, ((size_t)c->n + 1) * sizeof(int32_t));
	for (size_t i = 0; i < s->n; i++)
		start[c->of[i] + 1]++;
	for (int32_t k = 0; k < c->n; k++)
		start[k + 1] += start[k];
	for (size_t i = 0; i < s->n; i++)
		order[start[c->of[i]]++] = (int32_t)i;
	free(start);
	return order;
}

static void check_ways(const Space *s, Walk *w)
{
	Circles c = find_circles(s);
	Ways ways = {grown(NULL, (size_t)c.n, sizeof(int32_t)), grown(NULL, (size_t)c.n, 1)};
	memset(ways.worst, 0, (size_t)c.n * sizeof(int32_t));
	memset(ways.out, 0, (size_t)c.n);
	int32_t *order = in_order(s, &c);
	size_t i;
	for (i = 0; i < s->n && !w->broken; i++)
		w->broken = follow(s, &c, &ways, (size_t)order[i]);
	for (size_t k = 0; k < s->n && !w->broken; k++)
		if (!ways.out[c.of[k]])
			w->broken = "there is no way out";
	w->restarts = ways.worst[c.of[0]];
	free(order);
	free(ways.worst);
	free(ways.out);
	circles_done(&c);
}

Walk walk_showing(const MachineSpec *spec, StepFn *step, SeenFn *seen, void *ctx)
{
	Walk w = {0};
	__attribute__((cleanup(space_done)))
	Space s = {.spec = spec, .step = step, .seen = seen, .seen_ctx = ctx};
	if (explore(&s, &w)) {
		count_orders(&s, &w);
		check_ways(&s, &w);
	}
	return w;
}

Walk walk(const MachineSpec *spec, StepFn *step)
{
	return walk_showing(spec, step, NULL, NULL);
}
