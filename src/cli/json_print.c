/* JSON for people and programs: indented, members in the order they were put in, and numbers in the
 * shortest form that reads back the same (jansson would print 0.45 as 0.45000000000000001). */
#include "base/json.h"
#include "cli/internal.h"

static void line(Str *out, int depth)
{
	str_addc(out, '\n');
	for (int i = 0; i < depth; i++)
		str_add(out, "  ");
}

static bool is_flat(const json_t *v)
{
	size_t i;
	json_t *item;
	if (!json_is_array(v))
		return false;
	json_array_foreach (v, i, item) {
		if (json_is_object(item) || json_is_array(item))
			return false;
	}
	return true;
}

static void print(json_t *v, int depth, Str *out);

static void print_array(json_t *v, int depth, Str *out)
{
	size_t i;
	json_t *item;
	bool flat = is_flat(v);
	str_addc(out, '[');
	json_array_foreach (v, i, item) {
		if (i > 0)
			str_add(out, flat ? ", " : ",");
		if (!flat)
			line(out, depth + 1);
		print(item, depth + 1, out);
	}
	if (!flat)
		line(out, depth);
	str_addc(out, ']');
}

static void print_object(json_t *v, int depth, Str *out)
{
	const char *key;
	json_t *member;
	bool first = true;
	str_addc(out, '{');
	json_object_foreach (v, key, member) {
		json_auto_t *name = js_text(key);
		if (!first)
			str_addc(out, ',');
		line(out, depth + 1);
		js_canonical(name, out);
		str_add(out, ": ");
		print(member, depth + 1, out);
		first = false;
	}
	if (!first)
		line(out, depth);
	str_addc(out, '}');
}

static void print(json_t *v, int depth, Str *out)
{
	if (json_is_object(v))
		print_object(v, depth, out);
	else if (json_is_array(v))
		print_array(v, depth, out);
	else
		js_canonical(v, out);
}

void json_pretty(json_t *v, Str *out)
{
	print(v, 0, out);
}

int cli_print_json(json_t *v)
{
	json_auto_t *owned = v;
	_cleanup_(str_done) Str out = STR_INIT;
	if (owned)
		print(owned, 0, &out);
	str_addc(&out, '\n');
	return cli_print(!owned || out.failed ? NULL : out.s);
}
