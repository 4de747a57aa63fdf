/* `apply:` parameter -> one target or a list of targets. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "config/draft.h"

static void target_check(const ConfNode *n, void *target, Diags *d)
{
	const ApplyTarget *t = target;
	int ways = (t->flag != NULL) + (t->env != NULL) + (t->file != NULL || t->key != NULL);

	if (ways != 1)
		conf_fault(n, d, "flag, env, or file with key",
			   ways == 0 ? "the target does not say how the value gets there"
				     : "the target says more than one way");
	else if (!t->file != !t->key)
		conf_fault(n, d, "file and key together", "an environment file needs a %s",
			   t->file ? "key" : "file");
	else if (t->flag && t->flag[0] != '-')
		conf_fault(conf_get(n, "flag"), d, "for example --gpu-memory-utilization",
			   "'%.60s' is not a command-line flag", t->flag);
}

#define AT(member) offsetof(ApplyTarget, member)
static const ConfField target_fields[] = {
    {"unit", CONF_T_STRING, AT(unit), .help = "The systemd unit that is restarted",
     .required = true},
    {"flag", CONF_T_STRING, AT(flag), .help = "A flag of the unit's command line"},
    {"env", CONF_T_STRING, AT(env), .help = "An environment variable of the unit"},
    {"file", CONF_T_STRING, AT(file), .help = "An environment file that the unit reads"},
    {"key", CONF_T_STRING, AT(key), .help = "The key in that file"},
    {0},
};
#undef AT

static const ConfTable target_table = {
    .name = "apply target",
    .help = "One place where production sets a parameter",
    .size = sizeof(ApplyTarget),
    .fields = target_fields,
    .check = target_check,
};

/* Room for the targets first; each one is then part of what is freed. */
static int read_targets(const ConfNode *n, ApplyConfig *a, Diags *d)
{
	bool list = conf_kind(n) == CONF_SEQ;
	size_t count = list ? conf_len(n) : 1;

	if (count == 0)
		conf_fault(n, d, "a target, or a list of targets", "%s has no target", a->name);
	ApplyTarget *targets = calloc(count + !count, sizeof(*targets));
	if (!targets)
		return -ENOMEM;
	a->targets.items = targets;
	for (size_t i = 0; i < count; i++) {
		a->targets.n = i + 1;
		int r = conf_fill(&target_table, list ? conf_at(n, i) : n, &targets[i], d);
		if (r < 0)
			return r;
	}
	return 0;
}

static int apply_read(const ConfNode *n, void *member, Diags *d)
{
	ConfList *l = member;

	if (conf_is_null(n))
		return 0;
	if (conf_kind(n) != CONF_MAP) {
		conf_fault(n, d, "a map from parameter to target", "apply is not a map");
		return 0;
	}
	ApplyConfig *items = calloc(conf_len(n) + 1, sizeof(*items));
	if (!items)
		return -ENOMEM;
	l->items = items;
	for (size_t i = 0; i < conf_len(n); i++) {
		char *name = strdup(conf_key(n, i));
		if (!name)
			return -ENOMEM;
		items[i].name = name;
		l->n = i + 1;
		int r = read_targets(conf_at(n, i), &items[i], d);
		if (r < 0)
			return r;
	}
	return 0;
}

static void apply_done(void *member)
{
	ConfList *l = member;
	ApplyConfig *items = l->items;

	for (size_t i = 0; i < l->n; i++) {
		ApplyTarget *targets = items[i].targets.items;
		for (size_t k = 0; k < items[i].targets.n; k++)
			conf_done(&target_table, &targets[k]);
		free(targets);
		free(items[i].name);
	}
	free(items);
	*l = (ConfList){0};
}

static json_t *apply_schema(void)
{
	bool failed = false;
	json_t *one = conf_schema(&target_table), *o = json_object(), *either = json_object();
	json_t *list = json_object();

	js_set(list, "type", json_string("array"), &failed);
	js_set(list, "minItems", json_integer(1), &failed);
	js_set(list, "items", json_incref(one), &failed);
	js_set(either, "anyOf", json_pack("[o, o]", one, list), &failed);
	js_set(o, "type", json_pack("[s, s]", "object", "null"), &failed);
	js_set(o, "additionalProperties", either, &failed);
	if (!failed)
		return o;
	json_decref(o);
	return NULL;
}

const ConfCustom apply_custom = {.read = apply_read, .done = apply_done, .schema = apply_schema};
