/* What is not beyond doubt is quoted: a word that some reader could take for a boolean, a number
 * or a date never stands alone. */
#include "record/yaml.h"

#include <inttypes.h>
#include <string.h>
#include <strings.h>

#include "base/json.h"

enum {
	KEY_MAX = 128, /* a longer key is written in the explicit form: readers limit simple ones */
};

static void add_value(const json_t *v, unsigned indent, unsigned depth, Str *out);

static void add_indent(unsigned indent, Str *out)
{
	for (unsigned i = 0; i < indent; i++)
		str_add(out, "  ");
}

/* Begins with a letter, goes on with harmless characters, is no word with a meaning. */
static bool is_plain(const char *s, size_t len)
{
	static const char *const words[] = {"y",     "yes", "n",   "no",   "true",
					    "false", "on",  "off", "null", NULL};
	static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
	static const char harmless[] =
	    "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-./()%+ ";

	if (len == 0 || !strchr(letters, s[0]) || strspn(s, harmless) != len || s[len - 1] == ' ')
		return false;
	for (size_t i = 0; words[i]; i++)
		if (strcasecmp(s, words[i]) == 0)
			return false;
	return true;
}

/* One code point of valid UTF-8. */
static uint32_t next_point(const unsigned char **p, const unsigned char *end)
{
	uint32_t c = *(*p)++;
	int more = c >= 0xf0 ? 3 : c >= 0xe0 ? 2 : c >= 0xc0 ? 1 : 0;
	if (more)
		c &= 0x3fu >> more;
	for (; more > 0 && *p < end; more--)
		c = c << 6 | (*(*p)++ & 0x3fu);
	return c;
}

/* What every reader takes as it is, between double quotes. */
static bool is_printable(uint32_t c)
{
	if (c < 0xa0)
		return c >= 0x20 && c < 0x7f;
	return c != 0x2028 && c != 0x2029 && c != 0xfeff && (c & 0xfffe) != 0xfffe;
}

static void add_quoted(const char *s, size_t len, Str *out)
{
	const unsigned char *p = (const unsigned char *)s, *end = p + len;
	str_addc(out, '"');
	while (p < end) {
		const unsigned char *from = p;
		uint32_t c = next_point(&p, end);
		if (c == '"' || c == '\\')
			str_addf(out, "\\%c", (char)c);
		else if (c == '\n')
			str_add(out, "\\n");
		else if (c == '\t')
			str_add(out, "\\t");
		else if (is_printable(c))
			str_addn(out, (const char *)from, (size_t)(p - from));
		else if (c < 0x10000)
			str_addf(out, "\\u%04" PRIX32, c);
		else
			str_addf(out, "\\U%08" PRIX32, c);
	}
	str_addc(out, '"');
}

static void add_string(const char *s, size_t len, Str *out)
{
	if (is_plain(s, len))
		str_addn(out, s, len);
	else
		add_quoted(s, len, out);
}

/* YAML 1.1 takes 1e-05 for a word: its numbers with an exponent need the point. */
static void add_real(double v, Str *out)
{
	char text[40];
	js_double(v, text);
	const char *e = strchr(text, 'e');
	if (!e || strchr(text, '.')) {
		str_add(out, text);
		return;
	}
	str_addn(out, text, (size_t)(e - text));
	str_add(out, ".0");
	str_add(out, e);
}

/* What is neither text nor a number with a point is written as in JSON, as are an empty object and
 * an empty array. */
static void add_scalar(const json_t *v, Str *out)
{
	if (json_is_string(v))
		add_string(json_string_value(v), json_string_length(v), out);
	else if (json_is_real(v))
		add_real(json_real_value(v), out);
	else
		js_canonical(v, out);
}

static bool is_block(const json_t *v)
{
	return json_object_size(v) > 0 || json_array_size(v) > 0;
}

/* What follows "key:" or "-": on the same line, or as an indented block below. */
static void add_after(const json_t *v, unsigned indent, unsigned depth, Str *out)
{
	if (is_block(v)) {
		str_addc(out, '\n');
		add_value(v, indent, depth + 1, out);
		return;
	}
	str_addc(out, ' ');
	add_scalar(v, out);
	str_addc(out, '\n');
}

static void add_member(const char *key, const json_t *v, unsigned indent, unsigned depth, Str *out)
{
	add_indent(indent, out);
	if (strlen(key) > KEY_MAX) {
		str_add(out, "? ");
		add_string(key, strlen(key), out);
		str_addc(out, '\n');
		add_indent(indent, out);
	} else {
		add_string(key, strlen(key), out);
	}
	str_addc(out, ':');
	add_after(v, indent + 1, depth, out);
}

static void add_value(const json_t *v, unsigned indent, unsigned depth, Str *out)
{
	if (depth > JS_DEPTH_MAX) {
		out->failed = true;
		return;
	}
	for (size_t i = 0; i < json_array_size(v); i++) {
		add_indent(indent, out);
		str_addc(out, '-');
		add_after(json_array_get(v, i), indent + 1, depth, out);
	}
	const char *key;
	const json_t *member;
	json_object_foreach ((json_t *)(uintptr_t)v, key, member)
		add_member(key, member, indent, depth, out);
}

static bool is_first(const char *key, const char *const *first)
{
	for (; first && *first; first++)
		if (strcmp(key, *first) == 0)
			return true;
	return false;
}

void yaml_add(const json_t *v, const char *const *first, Str *out)
{
	if (!json_is_object(v) || !is_block(v)) {
		if (is_block(v)) {
			add_value(v, 0, 1, out);
		} else {
			add_scalar(v, out);
			str_addc(out, '\n');
		}
		return;
	}
	for (const char *const *k = first; k && *k; k++) {
		const json_t *member = json_object_get(v, *k);
		if (member)
			add_member(*k, member, 0, 1, out);
	}
	const char *key;
	const json_t *member;
	json_object_foreach ((json_t *)(uintptr_t)v, key, member)
		if (!is_first(key, first))
			add_member(key, member, 0, 1, out);
}
