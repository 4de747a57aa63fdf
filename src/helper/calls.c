/* One request after another: what is asked for, whose turn it is, and what came of it. Whatever
 * restarts units is alone: two that start together on one GPU size themselves by each other's
 * moment. */
#include <stdlib.h>
#include <string.h>
#include <syslog.h>

#include "base/json.h"
#include "base/str.h"
#include "helper/server_internal.h"

static const Verb *const verbs[] = {&verb_status,  &verb_prepare, &verb_begin,	  &verb_flip,
				    &verb_restart, &verb_cold,	  &verb_readback, &verb_commit,
				    &verb_undo,	   &verb_cancel};

enum {
	VERBS = sizeof(verbs) / sizeof(verbs[0])
};

int call_parse(const char *text, size_t len, const Verb **ret_verb, json_t **ret_request, Err *err)
{
	VerbForm forms[VERBS];
	size_t which;
	for (size_t i = 0; i < VERBS; i++)
		forms[i] = verbs[i]->form;
	int r = packet_request(text, len, forms, VERBS, &which, ret_request, err);
	if (r >= 0)
		*ret_verb = verbs[which];
	return r;
}

/* --- What verbs ask --------------------------------------------------------------------------- */

Server *call_server(const Call *c)
{
	return c->s;
}

const json_t *call_request(const Call *c)
{
	return c->request;
}

const char *call_text(const Call *c, const char *member)
{
	return js_str(c->request, member, "");
}

void *call_data(const Call *c)
{
	return c->data;
}

void call_set_data(Call *c, void *data)
{
	c->data = data;
}

/* --- The end ---------------------------------------------------------------------------------- */

/* What was asked of us and what came of it, for the journal. */
static void note(const Call *c, const Err *why)
{
	if (c->s->spec.quiet || !c->verb->changes)
		return;
	_cleanup_(str_done) Str line = STR_INIT;
	_cleanup_free_ char *request = json_dumps(c->request, JSON_COMPACT | JSON_SORT_KEYS);
	str_add_safe(&line, request ? request : "", request ? strlen(request) : 0, 400);
	if (!line.failed)
		helper_say(why ? LOG_WARNING : LOG_INFO, "user %d asked %s: %s", (int)c->uid,
			   line.s ? line.s : "", why ? why->msg : "done");
}

static void call_free(Call *c)
{
	for (Call **at = &c->s->waiting; *at; at = &(*at)->next)
		if (*at == c) {
			*at = c->next;
			break;
		}
	if (c->s->alone == c)
		c->s->alone = NULL;
	if (c->client)
		c->client->call = NULL;
	json_decref(c->request);
	free(c);
}

void call_end(Call *c, json_t *members, const Err *why)
{
	Client *client = c->client;
	Server *s = c->s;

	note(c, why);
	if (why && why->code == -ENOTCONN)
		s->lost_bus = true;
	call_free(c);
	if (client)
		client_answer(client, members, why);
	json_decref(members);
	server_settle(s);
}

/* --- Turns ------------------------------------------------------------------------------------ */

void call_run(Call *c)
{
	json_t *members = NULL;
	Err why = ERR_INIT;

	c->running = true;
	if (c->verb->alone)
		c->s->alone = c;
	int r = c->verb->run(c, &members, &why);
	if (r <= 0)
		call_end(c, members, r < 0 ? &why : NULL);
}

static void call_wait(Call *c)
{
	Call **at = &c->s->waiting;
	while (*at)
		at = &(*at)->next;
	*at = c;
}

/* Whoever left before its turn wants nothing any more. */
Call *call_next(Server *s)
{
	while (s->waiting && !s->alone) {
		Call *c = s->waiting;
		s->waiting = TAKE_PTR(c->next);
		if (c->client)
			return c;
		call_free(c);
	}
	return NULL;
}

void call_give_up(Call *c)
{
	Err why = ERR_INIT;
	if (c->running && c->verb->cancel) {
		c->verb->cancel(c);
	} else if (!c->running) {
		err_set(&why, -ECANCELED, "it was given up before its turn came");
		call_end(c, NULL, &why);
	}
}

/* A restart that nobody waits for any more (the daemon was restarted, too) does not hold up the
 * next one of the same units: systemd replaces its job. */
static void give_up_for(const Call *c)
{
	Call *old = c->s->alone;
	if (c->verb->cancel && old && !old->client && old->verb == c->verb &&
	    json_equal(old->request, c->request))
		call_give_up(old);
}

int call_new(Client *client, const Verb *verb, json_t *request)
{
	Call *c = calloc(1, sizeof(*c));
	if (!c)
		return -ENOMEM;
	*c = (Call){
	    .s = client->s, .client = client, .verb = verb, .request = request, .uid = client->uid};
	client->call = c;
	client_listen(client);
	give_up_for(c);
	if (verb->alone && c->s->alone)
		call_wait(c);
	else
		call_run(c);
	return 0;
}

/* --- cancel ----------------------------------------------------------------------------------- */

/* What the same client has at work was given up when this was read; left are those who left. */
static int run_cancel(Call *c, json_t **ret, Err *err)
{
	Call *at = c->s->alone;
	(void)ret, (void)err;
	if (at && !at->client)
		call_give_up(at);
	return 0;
}

static const Member no_members[] = {{0}};
const Verb verb_cancel = {.form = {"cancel", no_members}, .run = run_cancel};
