/* One request, one answer: which verb, whether it is allowed, and what came of it. */
#include <string.h>

#include "base/json.h"
#include "control/internal.h"

static void put_json(const json_t *o, Str *out)
{
	_cleanup_free_ char *text = o ? json_dumps(o, JSON_COMPACT) : NULL;
	if (!text) {
		out->failed = true;
		return;
	}
	str_add(out, text);
	str_addc(out, '\n');
}

void control_refusal(int code, const char *message, Str *out)
{
	bool failed = false;
	const char *name = strerrorname_np(-code);
	json_auto_t *o = json_object();
	js_set(o, "ok", json_false(), &failed);
	js_set(o, "error", js_text(name ? name : "EIO"), &failed);
	js_set(o, "message", js_text(*message ? message : strerror(-code)), &failed);
	put_json(failed ? NULL : o, out);
}

static const ControlVerb *find_verb(const Control *c, const char *name)
{
	for (const ControlVerb *v = c->verbs; v->name; v++)
		if (strcmp(v->name, name) == 0)
			return v;
	return NULL;
}

static int accepted(json_t *members, Str *out)
{
	json_auto_t *o = members ? members : json_object();
	bool failed = false;
	size_t before = out->len;
	js_set(o, "ok", json_true(), &failed);
	put_json(failed ? NULL : o, out);
	if (out->failed)
		return -ENOMEM;
	if (out->len - before <= CONTROL_ANSWER_MAX)
		return 0;
	str_clear(out);
	control_refusal(-EMSGSIZE, "the answer is too long", out);
	return 0;
}

static int may_ask(const Control *c, const ControlVerb *v, const ControlPeer *peer, Err *err)
{
	if (!v->decides || peer->approver)
		return 0;
	if (!c->approvers)
		return err_set(
		    err, -EPERM,
		    "only root and the daemon's own user may do this: 'daemon.approvers' "
		    "of the configuration names no group");
	return err_set(err, -EPERM,
		       "%s may not do this: only members of the group %s may, root, and the "
		       "daemon's own user",
		       peer->name, c->approvers);
}

static int perform(Control *c, const ControlVerb *v, const struct ucred *who, const json_t *request,
		   json_t **ret, Err *err)
{
	ControlPeer peer;
	peer_look(who, c->approvers, &peer);
	int r = may_ask(c, v, &peer, err);
	return r < 0 ? r : v->run(c->ctx, &peer, request, ret, err);
}

int control_answer(Control *c, const struct ucred *peer, const char *line, size_t len,
		   bool *ret_follow, Str *out)
{
	json_auto_t *request = NULL, *members = NULL;
	Err err = ERR_INIT;
	*ret_follow = false;
	int r = js_parse(line, len, CONTROL_LINE_MAX, &request, &err);
	const char *name = js_str(request, "do", NULL);
	const ControlVerb *verb = name ? find_verb(c, name) : NULL;
	if (r < 0)
		r = err_wrap(&err, r, "this is no request");
	else if (!name)
		r = err_set(&err, -EINVAL,
			    "a request is an object with a member \"do\" that names a verb");
	else if (strcmp(name, "follow") == 0)
		*ret_follow = true;
	else if (!verb)
		r = err_set(&err, -EOPNOTSUPP, "the daemon has no such verb");
	else
		r = perform(c, verb, peer, request, &members, &err);
	if (r < 0)
		control_refusal(r, err.msg, out);
	else
		r = accepted(TAKE_PTR(members), out);
	return out->failed ? -ENOMEM : 0;
}
