/* A machine as a JSON object, so that a rollout goes on after a crash where it was. What is read
 * back may have been damaged or edited: every member must be there and within its range. */
#include <stddef.h>
#include <string.h>

#include "base/json.h"
#include "rollout/machine.h"

#define MACHINE_SCHEMA "dream.machine/v1"

typedef enum FieldKind {
	FIELD_MASK,
	FIELD_COUNT,
	FIELD_BOOL,
	FIELD_WORD, /* an enumeration, by name */
} FieldKind;

typedef const char *NameFn(unsigned int value);

typedef struct Field {
	const char *key;
	FieldKind kind;
	size_t at;
	unsigned int limit; /* values are below it */
	NameFn *name;
} Field;

static const char *phase_word(unsigned int v)
{
	return machine_phase_name((MachinePhase)v);
}

static const char *event_word(unsigned int v)
{
	return machine_event_name((MachineEvent)v);
}

static const char *result_word(unsigned int v)
{
	return machine_result_name((MachineResult)v);
}

#define MASK(m)                                                                      \
	{                                                                            \
#m, FIELD_MASK, offsetof(Machine, m), 1U << ROLLOUT_PARAMS_MAX, NULL \
	}
#define COUNT(m, n)                                            \
	{                                                      \
#m, FIELD_COUNT, offsetof(Machine, m), n, NULL \
	}
#define FLAG(m)                                               \
	{                                                     \
#m, FIELD_BOOL, offsetof(Machine, m), 2, NULL \
	}
#define WORD(m, n, f)                                      \
	{                                                  \
#m, FIELD_WORD, offsetof(Machine, m), n, f \
	}

enum {
	WAITS_LIMIT = 1 << 20,
};

static const Field fields[] = {
    WORD(phase, PHASE_MAX_, phase_word),
    MASK(target),
    MASK(running),
    MASK(kept),
    MASK(dropped),
    MASK(confirmed),
    COUNT(next, ROLLOUT_PARAMS_MAX),
    COUNT(waits, WAITS_LIMIT),
    COUNT(undo_tries, ROLLOUT_TRIES + 1),
    WORD(result, RESULT_STUCK + 1, result_word),
    WORD(last, EVENT_MAX_, event_word),
    WORD(cause, EVENT_MAX_, event_word),
    WORD(asked_from, PHASE_MAX_, phase_word),
    MASK(untried),
    MASK(passed),
    MASK(whole_bad),
    FLAG(confirmed_any),
    FLAG(cold_ok),
    FLAG(running_known),
    FLAG(cold),
    FLAG(touched),
    FLAG(searching),
    FLAG(resume),
    FLAG(commit_asked),
};

enum {
	N_FIELDS = sizeof(fields) / sizeof(fields[0]),
};

/* Enumerations and counts are all four bytes wide; flags one. */
_Static_assert(sizeof(MachinePhase) == sizeof(uint32_t) &&
		   sizeof(MachineEvent) == sizeof(uint32_t) &&
		   sizeof(MachineResult) == sizeof(uint32_t),
	       "an enumeration is not what the table takes it for");

static uint32_t get(const Machine *m, const Field *f)
{
	const char *at = (const char *)m + f->at;
	if (f->kind == FIELD_BOOL)
		return *(const bool *)at;
	uint32_t v;
	memcpy(&v, at, sizeof(v));
	return v;
}

static void put(Machine *m, const Field *f, uint32_t v)
{
	char *at = (char *)m + f->at;
	if (f->kind == FIELD_BOOL)
		*(bool *)at = v != 0;
	else
		memcpy(at, &v, sizeof(v));
}

static json_t *field_json(const Machine *m, const Field *f)
{
	uint32_t v = get(m, f);
	switch (f->kind) {
	case FIELD_BOOL:
		return json_boolean(v);
	case FIELD_WORD:
		return json_string(f->name(v));
	case FIELD_MASK:
	case FIELD_COUNT:
		break;
	}
	return json_integer(v);
}

json_t *machine_json(const Machine *m)
{
	bool failed = false;
	json_t *o = json_object(), *bad = json_array();
	for (size_t i = 0; i < ROLLOUT_PARAMS_MAX; i++)
		failed |= json_array_append_new(bad, json_integer(m->bad[i])) < 0;
	js_set(o, "schema", json_string(MACHINE_SCHEMA), &failed);
	js_set(o, "bad", bad, &failed);
	for (size_t i = 0; i < N_FIELDS; i++)
		js_set(o, fields[i].key, field_json(m, &fields[i]), &failed);
	if (!failed)
		return o;
	json_decref(o);
	return NULL;
}

/* A value of a field, or -1. */
static int64_t field_value(const json_t *v, const Field *f)
{
	if (f->kind == FIELD_BOOL)
		return json_is_boolean(v) ? json_is_true(v) : -1;
	if (f->kind != FIELD_WORD) {
		json_int_t n = json_is_integer(v) ? json_integer_value(v) : -1;
		return n < (json_int_t)f->limit ? n : -1;
	}
	const char *word = json_string_value(v);
	for (unsigned int i = 0; word && i < f->limit; i++)
		if (strcmp(word, f->name(i)) == 0)
			return i;
	return -1;
}

static int read_bad(const json_t *o, Machine *m, Err *err)
{
	static const Field entry = {"bad", FIELD_MASK, 0, 1U << ROLLOUT_PARAMS_MAX, NULL};
	const json_t *bad = json_object_get(o, "bad");
	if (!json_is_array(bad) || json_array_size(bad) != ROLLOUT_PARAMS_MAX)
		return err_set(err, -EBADMSG, "a machine's \"bad\" must be %d sets",
			       ROLLOUT_PARAMS_MAX);
	for (size_t i = 0; i < ROLLOUT_PARAMS_MAX; i++) {
		int64_t v = field_value(json_array_get(bad, i), &entry);
		if (v < 0)
			return err_set(err, -EBADMSG, "a machine's \"bad\"[%zu] is no set", i);
		m->bad[i] = (ParamMask)v;
	}
	return 0;
}

/* What no machine can be: then somebody else wrote it. */
static int check_whole(const Machine *m, Err *err)
{
	if (m->kept & m->dropped)
		return err_set(err, -EBADMSG, "a machine has a parameter both kept and dropped");
	if (m->phase == PHASE_COMMIT && (!m->confirmed_any || m->confirmed != m->kept))
		return err_set(err, -EBADMSG, "a machine commits what was not confirmed");
	return 0;
}

int machine_from_json(const json_t *o, Machine *ret, Err *err)
{
	Machine m;
	machine_init(&m);
	const char *schema = json_string_value(json_object_get(o, "schema"));
	if (!schema || strcmp(schema, MACHINE_SCHEMA) != 0)
		return err_set(err, -EBADMSG, "this is no machine: \"schema\" is not %s",
			       MACHINE_SCHEMA);
	for (size_t i = 0; i < N_FIELDS; i++) {
		int64_t v = field_value(json_object_get(o, fields[i].key), &fields[i]);
		if (v < 0)
			return err_set(err, -EBADMSG,
				       "a machine's \"%s\" is missing or not what it can be",
				       fields[i].key);
		put(&m, &fields[i], (uint32_t)v);
	}
	int r = read_bad(o, &m, err);
	if (r == 0)
		r = check_whole(&m, err);
	if (r == 0)
		*ret = m;
	return r;
}
