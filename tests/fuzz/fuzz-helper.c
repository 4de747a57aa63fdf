/* Requests to the privileged part, and its answers: what is taken has exactly the form that verbs
 * rely on. The first byte chooses which of the two it is. */
#include <string.h>

#include "base/json.h"
#include "fuzz.h"
#include "helper/packet.h"
#include "helper/wire.h"
#include "production/adoption.h"

static const Member members[][3] = {
    {{0}},
    {{"unit", MEMBER_UNIT}, {0}},
    {{"units", MEMBER_UNITS}, {0}},
    {{"values", MEMBER_VALUES}, {0}},
    {{"rollout", MEMBER_ROLLOUT}, {"from", MEMBER_GENERATION}, {0}},
};
static const VerbForm forms[] = {{"status", members[0]},
				 {"restart", members[1]},
				 {"cold", members[2]},
				 {"prepare", members[3]},
				 {"begin", members[4]}};

static void check_text(const json_t *v)
{
	const char *text = json_string_value(v);
	MUST(text && *text && strlen(text) < 256);
	MUST(!strpbrk(text, "/ \t\r\n\"'$`;|&<>(){}*?~"));
}

static void check_request(size_t which, json_t *o)
{
	const char *key;
	json_t *v;
	MUST(which < 5);
	if (which == 1)
		check_text(json_object_get(o, "unit"));
	for (size_t i = 0; i < json_array_size(json_object_get(o, "units")); i++)
		check_text(json_array_get(json_object_get(o, "units"), i));
	json_object_foreach (json_object_get(o, "values"), key, v) {
		MUST(*key && strlen(key) <= 64 && !strpbrk(key, "/= \n"));
		MUST(value_is_plain(json_string_value(v)));
	}
	if (which == 4) {
		check_text(json_object_get(o, "rollout"));
		MUST(strlen(json_string_value(json_object_get(o, "from"))) == 16);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	json_auto_t *o = NULL;
	Err err = ERR_INIT;
	size_t which = 99;
	int r;

	if (size == 0)
		return 0;
	const char *text = (const char *)data + 1;
	if (data[0] & 1)
		r = packet_answer(text, size - 1, &o, &err);
	else
		r = packet_request(text, size - 1, forms, 5, &which, &o, &err);
	MUST((r == 0) == (o != NULL));
	MUST(r == 0 || err.msg[0] || (data[0] & 1)); /* a helper may refuse without a word */
	if (o && !(data[0] & 1))
		check_request(which, o);
	return 0;
}
