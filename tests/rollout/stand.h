#pragma once
/* What a rollout works with, but for systemd: a store, a plan, adopted units, and a helper that is
 * a process of the test's own. It answers as production would that does all that it is told; its
 * k-th answer can be held back until the test has done something meanwhile. */
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "base/clock.h"
#include "fixture.h"
#include "helper/packet.h"
#include "rollout/rollout.h"

#define GENERATION_1 "0123456789abcdef"
#define GENERATION_2 "1111111111111111"

enum {
	STAND_UNITS = 2,
};

typedef struct Stand {
	Box box;
	char socket[96], state[96], adopted[96], units_dir[96];
	char edited[96]; /* while there is such a file the units are not what was adopted */
	Plan *plan;
	sd_event *loop;
	Helper *helper;
	ProductionPlaces places;
	const char *units[STAND_UNITS], *params[STAND_UNITS]; /* one parameter each */
	bool change_open;				      /* at the beginning */
	const char *unknown; /* a parameter that prepare refuses; NULL: none */
	const char *broken;  /* a generation with which no unit starts; NULL: none */
	int hold_at;	     /* which question is not answered at once; 0: none */
	int told, go;	     /* a byte comes when one is held; a byte lets it go */
	int asked;	     /* a pipe with one byte for every "status" */
	pid_t pid;
} Stand;

/* --- The helper ------------------------------------------------------------------------------- */

typedef struct Played {
	const Stand *s;
	const char *current, *from;
	bool open, fresh[STAND_UNITS];
	int n, told, go, asked;
} Played;

static const char *value_now(const Played *p, size_t unit)
{
	bool first = strcmp(p->current, GENERATION_1) == 0;
	return unit == 0 ? (first ? "0.50" : "0.55") : (first ? "small" : "base");
}

static json_t *status_of(const Played *p)
{
	json_t *values = json_object(), *units = json_object();
	for (size_t i = 0; i < STAND_UNITS; i++) {
		json_object_set_new(values, p->s->units[i],
				    json_pack("{s:s}", p->s->params[i], value_now(p, i)));
		json_object_set_new(
		    units, p->s->units[i],
		    json_pack("{s:s}", "drift",
			      access(p->s->edited, F_OK) == 0 ? "it was edited" : ""));
	}
	json_t *change = p->open ? json_pack("{s:s, s:s, s:s, s:i}", "rollout", "other", "from",
					     GENERATION_1, "to", "", "began_at_us", 1)
				 : json_null();
	return json_pack("{s:s, s:o, s:o, s:[s], s:o}", "current", p->current, "values", values,
			 "change", change, "good", GENERATION_1, "units", units);
}

static size_t unit_number(const Played *p, const json_t *o)
{
	return strcmp(js_str(o, "unit", ""), p->s->units[0]) == 0 ? 0 : 1;
}

static json_t *readback_of(const Played *p, size_t i)
{
	json_t *same = json_boolean(p->fresh[i]);
	return json_pack("{s:{s:i, s:b, s:s, s:[{s:s, s:o}]}, s:{s:s, s:s, s:i}}", "readback",
			 "pid", 77, "same", p->fresh[i], "words", "", "values", "parameter",
			 p->s->params[i], "same", same, "state", "active", "active", "invocation",
			 "0123", "restarts", 0);
}

static json_t *restarted(Played *p, size_t i)
{
	bool broken = p->s->broken && strcmp(p->current, p->s->broken) == 0;
	p->fresh[i] = !broken;
	return json_pack("{s:s, s:s, s:{s:s}, s:i}", "result", broken ? "failed" : "done", "words",
			 broken ? "it broke" : "", "state", "invocation", "0123", "took_us", 1);
}

static json_t *started_together(Played *p, const json_t *units)
{
	json_t *results = json_object(), *name;
	size_t k;
	json_array_foreach (units, k, name) {
		size_t i = strcmp(json_string_value(name), p->s->units[0]) == 0 ? 0 : 1;
		json_object_set_new(results, p->s->units[i], restarted(p, i));
	}
	return json_pack("{s:o}", "results", results);
}

static void flipped(Played *p, const char *to)
{
	p->current = strcmp(to, GENERATION_2) == 0 ? GENERATION_2 : GENERATION_1;
	memset(p->fresh, 0, sizeof(p->fresh));
}

/* What a wish for values becomes: the first of them says which generation has them. */
static const char *prepared(const Played *p, const json_t *o)
{
	const char *v = js_str(json_object_get(o, "values"), p->s->params[0], "");
	return strcmp(v, "0.50") == 0 ? GENERATION_1 : GENERATION_2;
}

/* NULL: it is refused. */
static json_t *played(Played *p, const json_t *o)
{
	const char *what = js_str(o, "do", "");
	if (strcmp(what, "status") == 0) {
		(void)!write(p->asked, "s", 1);
		return status_of(p);
	}
	if (strcmp(what, "prepare") == 0)
		return p->s->unknown && json_object_get(json_object_get(o, "values"), p->s->unknown)
			   ? NULL
			   : json_pack("{s:s}", "generation", prepared(p, o));
	if (strcmp(what, "readback") == 0)
		return readback_of(p, unit_number(p, o));
	if (strcmp(what, "restart") == 0)
		return restarted(p, unit_number(p, o));
	if (strcmp(what, "cold") == 0)
		return started_together(p, json_object_get(o, "units"));
	if (strcmp(what, "begin") == 0) {
		p->open = true;
		p->from = p->current;
	}
	if (strcmp(what, "flip") == 0)
		flipped(p, js_str(o, "to", ""));
	if (strcmp(what, "commit") == 0)
		p->open = false;
	if (strcmp(what, "undo") != 0)
		return json_object();
	if (p->open)
		flipped(p, p->from);
	p->open = false;
	return json_pack("{s:b, s:s}", "moved", true, "current", p->current);
}

static void play(Played *p, int fd)
{
	static char buf[HELPER_PACKET_MAX];
	ssize_t n;
	char byte;
	while ((n = recv(fd, buf, sizeof(buf), 0)) > 0) {
		json_auto_t *o = NULL, *members = NULL;
		_cleanup_free_ char *text = NULL;
		if (js_parse(buf, (size_t)n, sizeof(buf), &o, NULL) < 0)
			break;
		members = played(p, o);
		if (++p->n == p->s->hold_at) {
			(void)!write(p->told, "h", 1);
			(void)!read(p->go, &byte, 1);
		}
		const Err refused = {.code = -EPERM, .msg = "that is not allowed"};
		int r = members ? packet_reply(members, &text) : packet_refusal(&refused, &text);
		if (r < 0 || send(fd, text, strlen(text), 0) < 0)
			break;
	}
	close(fd);
}

static void start_helper(Stand *s)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	int told[2], go[2], asked[2];
	CHECK(pipe2(told, O_CLOEXEC) == 0 && pipe2(go, O_CLOEXEC) == 0);
	CHECK(pipe2(asked, O_CLOEXEC | O_NONBLOCK) == 0);
	strcpy(a.sun_path, s->socket);
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	CHECK(fd >= 0 && bind(fd, (struct sockaddr *)&a, sizeof(a)) == 0 && listen(fd, 8) == 0);
	s->pid = fork();
	CHECK(s->pid >= 0);
	if (s->pid == 0) {
		(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
		close(go[1]);
		Played p = {.s = s,
			    .current = s->change_open ? GENERATION_2 : GENERATION_1,
			    .from = GENERATION_1,
			    .open = s->change_open,
			    .told = told[1],
			    .go = go[0],
			    .asked = asked[1]};
		for (int c; (c = accept(fd, NULL, NULL)) >= 0;)
			play(&p, c);
		_exit(0);
	}
	close(fd);
	close(told[1]);
	close(go[0]);
	close(asked[1]);
	s->told = told[0];
	s->go = go[1];
	s->asked = asked[0];
}

/* --- The rest --------------------------------------------------------------------------------- */

static void adopt(Stand *s, size_t i)
{
	AdoptedTarget t = {.parameter = strdup(s->params[i]),
			   .kind = TARGET_ENV,
			   .name = strdup("VALUE"),
			   .variable = str_fmt("DREAM_%zu", i)};
	Adoption a = {.unit = strdup(s->units[i]),
		      .fingerprint = strdup("0123456789abcdef0123456789abcdef"
					    "0123456789abcdef0123456789abcdef"),
		      .command = strdup("/bin/true"),
		      .dropin = adoption_dropin_path(&s->places, s->units[i]),
		      .targets = &t,
		      .n = 1};
	Err err = ERR_INIT;
	if (adoption_write(&s->places, &a, "[Service]\n", &err) < 0)
		test_fail(__FILE__, __LINE__, "%s", err.msg);
	free(a.unit), free(a.fingerprint), free(a.command), free(a.dropin);
	free(t.parameter), free(t.name), free(t.variable);
}

/* `units` and `params` are set; the others may be. */
__attribute__((unused)) static void stand_new(Stand *s)
{
	_cleanup_(diags_done) Diags d = DIAGS_INIT;
	Err err = ERR_INIT;
	box_new(&s->box);
	s->box.now_us = NOW_US + 1200 * INT64_C(1000000); /* the promotion is of 12:00 */
	snprintf(s->socket, sizeof(s->socket), "%s/helper", s->box.dir);
	snprintf(s->state, sizeof(s->state), "%s/production", s->box.dir);
	snprintf(s->adopted, sizeof(s->adopted), "%s/adopted", s->box.dir);
	snprintf(s->units_dir, sizeof(s->units_dir), "%s/units", s->box.dir);
	snprintf(s->edited, sizeof(s->edited), "%s/edited", s->box.dir);
	s->places = (ProductionPlaces){
	    .adopted_dir = s->adopted, .state_dir = s->state, .unit_dir = s->units_dir};
	CHECK_OK(
	    config_load(SOURCE_ROOT "/examples/rtx3060.yaml", DIAG_WARNING, &s->plan, &d, NULL));
	for (size_t i = 0; i < STAND_UNITS; i++)
		adopt(s, i);
	start_helper(s);
	CHECK_OK(sd_event_new(&s->loop));
	CHECK_OK(helper_connect(s->loop, &(HelperAddress){.socket = s->socket}, &s->helper, &err));
}

/* One service is watched, and does not answer: the simulated Whisper cannot be asked from here. */
__attribute__((unused)) static void stand_asks_one(const Stand *s)
{
	const Experiment *x = &s->plan->experiments[0];
	ServiceSpec *services = x->services.items;
	for (size_t i = 0; i < x->services.n; i++) {
		if (strcmp(services[i].kind, "vllm") != 0)
			free(TAKE_PTR(services[i].unit));
		else if (!services[i].url)
			CHECK(services[i].url = str_fmt("http://127.0.0.1:1"));
	}
}

/* One whose running is all that can be seen of it is watched. */
__attribute__((unused)) static void stand_asks_nobody(const Stand *s)
{
	const Experiment *x = &s->plan->experiments[0];
	ServiceSpec *services = x->services.items;
	stand_asks_one(s);
	for (size_t i = 0; i < x->services.n; i++) {
		free(services[i].kind);
		free(TAKE_PTR(services[i].url));
		CHECK(services[i].kind = str_fmt("command"));
	}
}

/* One is watched, and answers whoever asks there for anything. */
__attribute__((unused)) static void stand_answers(const Stand *s, uint16_t port)
{
	const Experiment *x = &s->plan->experiments[0];
	ServiceSpec *services = x->services.items;
	stand_asks_nobody(s);
	for (size_t i = 0; i < x->services.n; i++)
		if (services[i].unit)
			CHECK(services[i].url = str_fmt("http://127.0.0.1:%u", port));
}

__attribute__((unused)) static void stand_done(Stand *s)
{
	helper_close(s->helper);
	sd_event_unref(s->loop);
	kill(s->pid, SIGKILL);
	waitpid(s->pid, NULL, 0);
	close(s->told), close(s->go), close(s->asked);
	config_free(s->plan);
	box_done(&s->box);
}

__attribute__((unused)) static void stand_edit(const Stand *s)
{
	int fd = open(s->edited, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	CHECK(fd >= 0 && close(fd) == 0);
}

__attribute__((unused)) static RolloutWorld stand_world(const Stand *s)
{
	return (RolloutWorld){.loop = s->loop,
			      .clock = &s->box.clock,
			      .helper = s->helper,
			      .store = s->box.store,
			      .key = s->box.key,
			      .plan = s->plan,
			      .places = &s->places,
			      .state_dir = s->box.dir,
			      .store_dir = s->box.dir};
}

/* Units that no service of the plan runs in: they are restarted and read back, and not asked. */
__attribute__((unused)) static void stand_plain(Stand *s, int hold_at, bool open)
{
	*s = (Stand){.units = {"front.service", "back.service"},
		     .params = {"front_mode", "back_mode"},
		     .hold_at = hold_at,
		     .change_open = open};
	stand_new(s);
}

__attribute__((unused)) static void stand_version(Stand *s, const char *generation,
						  const char *front, const char *back)
{
	_cleanup_(baseline_done)
	    Baseline b = {.why = "adopted",
			  .by = "anna",
			  .values = json_pack("{s:{s:s}, s:{s:s}}", s->units[0], s->params[0],
					      front, s->units[1], s->params[1], back)};
	snprintf(b.generation, sizeof(b.generation), "%s", generation);
	CHECK_OK(baseline_append(s->box.store, s->box.key, &b, NULL));
}

/* What a rollout told while it went on. */
typedef struct Heard {
	int told, done;
	MachineResult result;
	int code;
	bool caught_up;
} Heard;

static void heard_event(void *ctx, const RolloutEvent *e)
{
	Heard *h = ctx;
	h->told++;
	h->caught_up |= strstr(e->text, "is recorded now") != NULL;
}

static void heard_done(void *ctx, const Machine *m, const Err *err)
{
	Heard *h = ctx;
	h->done++;
	h->result = m->result;
	h->code = err ? err->code : 0;
}

/* Production is at version 2, and goes back to version 1. */
__attribute__((unused)) static void stand_go_back(Stand *s, Heard *h, Rollout **ret)
{
	static const RolloutHandler handler = {.event = heard_event, .done = heard_done};
	static const Approver anna = {.name = "anna"};
	RolloutWorld w = stand_world(s);
	Err err = ERR_INIT;
	stand_version(s, GENERATION_2, "0.55", "base");
	stand_version(s, GENERATION_1, "0.50", "small");
	if (rollout_back(&w, 1, &anna, &handler, h, ret, &err) < 0)
		test_fail(__FILE__, __LINE__, "%s", err.msg);
}

__attribute__((unused)) static void stand_take_up(Stand *s, Heard *h, Rollout **ret)
{
	static const RolloutHandler handler = {.event = heard_event, .done = heard_done};
	RolloutWorld w = stand_world(s);
	Err err = ERR_INIT;
	if (rollout_resume(&w, &handler, h, ret, &err) < 0)
		test_fail(__FILE__, __LINE__, "%s", err.msg);
}

static bool stand_holds(const Stand *s);

/* Until it is over, or the answer that was to be held back is. */
__attribute__((unused)) static bool stand_run(Stand *s, const Heard *h)
{
	int64_t until = clock_mono_us(&clock_system) + INT64_C(20000000);
	while (h->done == 0) {
		if (stand_holds(s))
			return true;
		CHECK(clock_mono_us(&clock_system) < until);
		CHECK_OK(sd_event_run(s->loop, 1000));
	}
	return false;
}

__attribute__((unused)) static void stand_let_go(const Stand *s)
{
	CHECK(write(s->go, "g", 1) == 1);
}

/* How often it was asked for the status since the last time. */
__attribute__((unused)) static int stand_asked(const Stand *s)
{
	char bytes[256];
	ssize_t n = read(s->asked, bytes, sizeof(bytes));
	return n > 0 ? (int)n : 0;
}

/* True: the answer that was to be held back is. */
__attribute__((unused)) static bool stand_holds(const Stand *s)
{
	struct pollfd p = {.fd = s->told, .events = POLLIN};
	char byte;
	return poll(&p, 1, 0) > 0 && read(s->told, &byte, 1) == 1;
}
