/* What is told, and the journal. */
#include "rollout/alert.h"

#include <ctype.h>
#include <limits.h>
#include <string.h>
#include <strings.h>
#include <syslog.h>
#include <unistd.h>

#include "base/json.h"
#include "base/str.h"
#include "rollout/alert_internal.h"
#include "systemd/journal.h"

enum {
	FIELD_NAME_MAX = 64, /* the journal's own limit */
	FIELD_TEXT_MAX = 2048,
	MESSAGE_MAX = 1024,
	OWN_FIELDS = 5,
};

struct Alerts {
	const Clock *clock;
	Hooks *hooks; /* NULL: none */
};

typedef struct AlertRow {
	const char *message_id;
	int priority;
} AlertRow;

static const AlertRow rows[ALERT_MAX_] = {
    [ALERT_ROLLOUT_STARTED] = {"d361adec55354947ae1b0a2621134891", LOG_NOTICE},
    [ALERT_ROLLED_BACK] = {"b118097558974546a992a0ef950caf55", LOG_WARNING},
    [ALERT_COMMITTED] = {"985e6f2a57f54128ab6af25bb4a6a38f", LOG_NOTICE},
    [ALERT_ASKED] = {"767e8c8522924f96bc2b53600f1d58f5", LOG_WARNING},
    [ALERT_STUCK] = {"6e94cbcf57654ab4b786bcc2f038100f", LOG_CRIT},
    [ALERT_DRIFT] = {"f370e10b55cb40c09dd41fc7a666ba31", LOG_WARNING},
    [ALERT_RECOVERED] = {"43b92c1fa715493284964744fbeb8a11", LOG_WARNING},
    [ALERT_REFUSED] = {"54ac541918ac41398b8f383fa5a11a39", LOG_NOTICE},
};

const char alert_hook_message_id[] = "037fe2cfb9254e208dfbeefcc9dfcdcd";

const char *alert_message_id(AlertKind k)
{
	return rows[k].message_id;
}

int alert_priority(AlertKind k)
{
	return rows[k].priority;
}

int alerts_new(sd_event *loop, const char *const *hook, const Clock *clock, Alerts **ret, Err *err)
{
	_cleanup_(alerts_freep) Alerts *a = calloc(1, sizeof(*a));
	if (!a)
		return err_oom(err);
	a->clock = clock;
	if (hook && hook[0]) {
		int r = hooks_new(loop, hook, &a->hooks, err);
		if (r < 0)
			return r;
	}
	*ret = TAKE_PTR(a);
	return 0;
}

Alerts *alerts_free(Alerts *a)
{
	if (!a)
		return NULL;
	hooks_free(a->hooks);
	free(a);
	return NULL;
}

void alerts_hook_limit(Alerts *a, int64_t limit_us)
{
	if (a->hooks)
		hooks_limit(a->hooks, limit_us);
}

/* --- The journal ------------------------------------------------------------------------------ */

/* A set of "NAME=value", each sent as it is, whatever its value holds. One that there is no memory
 * for is left out: the others are still worth saying. */
typedef struct Entry {
	char *text[ALERT_FIELDS_MAX + OWN_FIELDS];
	size_t n;
} Entry;

static void entry_done(Entry *e)
{
	for (size_t i = 0; i < e->n; i++)
		free(e->text[i]);
}

static void entry_take(Entry *e, char *text)
{
	if (text)
		e->text[e->n++] = text;
}

/* One line that is fit for a terminal. */
static char *message(const char *words)
{
	_cleanup_(str_done) Str s = STR_INIT;
	str_add(&s, "MESSAGE=");
	str_add_safe(&s, words, strlen(words), MESSAGE_MAX);
	char *text;
	return str_take(&s, &text) < 0 ? NULL : text;
}

/* A field is called by what it is ("unit"), or as it stands in the journal ("DREAM_UNIT"). */
static const char *plain_name(const char *key)
{
	return strncasecmp(key, "dream_", 6) == 0 ? key + 6 : key;
}

/* Never one of the journal's names that mean something to others. */
static void add_name(Str *s, const char *key)
{
	str_add(s, "DREAM_");
	for (key = plain_name(key); *key && s->len < FIELD_NAME_MAX; key++) {
		unsigned char c = (unsigned char)*key;
		str_addc(s, c < 128 && isalnum(c) ? (char)toupper(c) : '_');
	}
	str_addc(s, '=');
}

static void add_value(Str *s, const json_t *v)
{
	if (!json_is_string(v)) {
		js_canonical(v, s);
		return;
	}
	size_t len = json_string_length(v);
	str_addn(s, json_string_value(v), len < FIELD_TEXT_MAX ? len : FIELD_TEXT_MAX);
}

static char *field(const char *key, const json_t *v)
{
	_cleanup_(str_done) Str s = STR_INIT;
	add_name(&s, key);
	add_value(&s, v);
	char *text;
	return str_take(&s, &text) < 0 ? NULL : text;
}

static void entry_begin(Entry *e, const char *id, int priority, AlertKind k, const char *words)
{
	entry_take(e, message(words));
	entry_take(e, str_fmt("MESSAGE_ID=%s", id));
	entry_take(e, str_fmt("PRIORITY=%d", priority));
	entry_take(e, str_fmt("DREAM_ALERT=%s", alert_name(k)));
	entry_take(e, strdup("SYSLOG_IDENTIFIER=dream"));
}

static void to_journal(AlertKind k, const char *words, const json_t *fields)
{
	__attribute__((cleanup(entry_done))) Entry e = {.n = 0};
	entry_begin(&e, alert_message_id(k), alert_priority(k), k, words);
	size_t left = ALERT_FIELDS_MAX;
	const char *key;
	json_t *v;
	json_object_foreach ((json_t *)(uintptr_t)fields, key, v) {
		if (left-- == 0)
			break;
		entry_take(&e, field(key, v));
	}
	journal_send(e.text, e.n);
}

void alert_hook_failed(AlertKind k, const char *words)
{
	__attribute__((cleanup(entry_done))) Entry e = {.n = 0};
	entry_begin(&e, alert_hook_message_id, LOG_WARNING, k, words);
	journal_send(e.text, e.n);
}

/* --- The hook's input ------------------------------------------------------------------------- */

/* {"DREAM_UNIT": ...} and {"unit": ...} are the same to a hook: the latter. */
static json_t *hook_fields(const json_t *fields)
{
	bool failed = false;
	json_t *o = json_object();
	const char *key;
	json_t *v;
	json_object_foreach ((json_t *)(uintptr_t)fields, key, v) {
		_cleanup_free_ char *name = strdup(plain_name(key));
		for (char *c = name; c && *c; c++)
			*c = (char)tolower((unsigned char)*c);
		js_set(o, name ? name : "", js_deep_copy(v), &failed);
		failed |= !name;
	}
	if (!failed)
		return o;
	json_decref(o);
	return NULL;
}

/* A line of JSON; NULL: out of memory. */
static char *hook_text(const Alerts *a, AlertKind k, const char *words, const json_t *fields)
{
	char at[32], host[HOST_NAME_MAX + 1] = "";
	time_rfc3339(clock_now_us(a->clock), at);
	if (gethostname(host, sizeof(host) - 1) < 0)
		host[0] = '\0';
	bool failed = false;
	json_auto_t *o = json_object();
	js_set(o, "schema", json_string("dream.alert/v1"), &failed);
	js_set(o, "alert", json_string(alert_name(k)), &failed);
	js_set(o, "message_id", json_string(alert_message_id(k)), &failed);
	js_set(o, "priority", json_integer(alert_priority(k)), &failed);
	js_set(o, "at", json_string(at), &failed);
	js_set(o, "host", js_text(host), &failed);
	js_set(o, "message", js_text(words), &failed);
	js_set(o, "fields", hook_fields(fields), &failed);
	_cleanup_(str_done) Str s = STR_INIT;
	js_canonical(failed ? NULL : o, &s);
	str_addc(&s, '\n');
	char *text;
	return str_take(&s, &text) < 0 ? NULL : text;
}

void alert(Alerts *a, AlertKind k, const char *words, const json_t *fields)
{
	if (!a)
		return;
	to_journal(k, words, fields);
	if (!a->hooks)
		return;
	char *text = hook_text(a, k, words, fields);
	if (text && strlen(text) > ALERT_TEXT_MAX) {
		free(text);
		text = hook_text(a, k, words, NULL);
	}
	hooks_tell(a->hooks, k, text);
}
