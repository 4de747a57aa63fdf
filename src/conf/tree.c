/* Looking at the tree: places, keys, and what a scalar's text means (YAML 1.2 core schema). */
#include <math.h>
#include <string.h>

#include "conf/internal.h"

ConfDoc *conf_free(ConfDoc *doc)
{
	if (!doc)
		return NULL;
	for (ConfNode *n = doc->nodes, *next; n; n = next) {
		next = n->next;
		free(n->text);
		free(n->items);
		free(n);
	}
	free(doc->name);
	free(doc);
	return NULL;
}

const ConfNode *conf_root(const ConfDoc *doc)
{
	return doc->root;
}

ConfKind conf_kind(const ConfNode *n)
{
	return n->kind;
}

size_t conf_len(const ConfNode *n)
{
	return n->n;
}

const ConfNode *conf_at(const ConfNode *n, size_t i)
{
	return i < n->n ? n->items[i] : NULL;
}

const ConfNode *conf_key_node(const ConfNode *map, size_t i)
{
	return map->kind == CONF_MAP && i < map->n ? map->keys[i] : NULL;
}

const char *conf_key(const ConfNode *map, size_t i)
{
	const ConfNode *key = conf_key_node(map, i);
	return key ? key->text : NULL;
}

const ConfNode *conf_get(const ConfNode *map, const char *key)
{
	if (!map || map->kind != CONF_MAP)
		return NULL;
	for (size_t i = 0; i < map->n; i++)
		if (strcmp(map->keys[i]->text, key) == 0)
			return map->items[i];
	return NULL;
}

const char *conf_text(const ConfNode *scalar)
{
	return scalar->text;
}

static bool is_any(const char *text, const char *const *words)
{
	for (; *words; words++)
		if (strcmp(text, *words) == 0)
			return true;
	return false;
}

bool conf_is_null(const ConfNode *n)
{
	static const char *const words[] = {"", "~", "null", "Null", "NULL", NULL};
	return n->kind == CONF_SCALAR && n->plain && is_any(n->text, words);
}

bool conf_as_bool(const ConfNode *n, bool *ret)
{
	static const char *const yes[] = {"true", "True", "TRUE", NULL};
	static const char *const no[] = {"false", "False", "FALSE", NULL};
	if (n->kind != CONF_SCALAR || !n->plain)
		return false;
	bool is_true = is_any(n->text, yes);
	if (!is_true && !is_any(n->text, no))
		return false;
	*ret = is_true;
	return true;
}

static int digit_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return 99;
}

static bool magnitude(const char *s, unsigned base, uint64_t *ret)
{
	uint64_t v = 0;
	if (*s == '\0')
		return false;
	for (; *s; s++) {
		unsigned digit = (unsigned)digit_value(*s);
		if (digit >= base || __builtin_mul_overflow(v, (uint64_t)base, &v) ||
		    __builtin_add_overflow(v, (uint64_t)digit, &v))
			return false;
	}
	*ret = v;
	return true;
}

bool conf_as_int(const ConfNode *n, int64_t *ret)
{
	if (n->kind != CONF_SCALAR || !n->plain)
		return false;
	const char *s = n->text;
	bool negative = *s == '-';
	bool based = s[0] == '0' && (s[1] == 'x' || s[1] == 'o');
	unsigned base = !based ? 10 : s[1] == 'x' ? 16 : 8;
	s += based ? 2 : *s == '-' || *s == '+';

	uint64_t v;
	if (!magnitude(s, base, &v) || v > (uint64_t)INT64_MAX + negative)
		return false;
	*ret = (int64_t)(negative ? -v : v);
	return true;
}

static const char *skip_digits(const char *s)
{
	while (*s >= '0' && *s <= '9')
		s++;
	return s;
}

/* [-+]? ( "." [0-9]+ | [0-9]+ ( "." [0-9]* )? ) ( [eE] [-+]? [0-9]+ )?
 * strtod() alone would also take "infinity", "0x1p3" and blanks in front. */
static bool looks_decimal(const char *s)
{
	s += *s == '-' || *s == '+';
	const char *whole = skip_digits(s);
	bool any = whole > s;
	s = whole;
	if (*s == '.') {
		const char *fraction = skip_digits(s + 1);
		any = any || fraction > s + 1;
		s = fraction;
	}
	if (!any)
		return false;
	if (*s == 'e' || *s == 'E') {
		s++;
		s += *s == '-' || *s == '+';
		const char *exponent = skip_digits(s);
		if (exponent == s)
			return false;
		s = exponent;
	}
	return *s == '\0';
}

bool conf_as_number(const ConfNode *n, double *ret)
{
	int64_t whole;
	if (conf_as_int(n, &whole)) {
		*ret = (double)whole;
		return true;
	}
	if (n->kind != CONF_SCALAR || !n->plain || !looks_decimal(n->text))
		return false;
	double v = strtod(n->text, NULL);
	if (!isfinite(v))
		return false;
	*ret = v;
	return true;
}

static json_t *scalar_to_json(const ConfNode *n)
{
	bool truth;
	int64_t whole;
	double number;
	if (conf_is_null(n))
		return json_null();
	if (conf_as_bool(n, &truth))
		return json_boolean(truth);
	if (conf_as_int(n, &whole))
		return json_integer(whole);
	if (conf_as_number(n, &number))
		return json_real(number);
	return json_string(n->text);
}

/* Recursion is bounded by CONF_DEPTH_MAX, the size by CONF_NODES_MAX. */
json_t *conf_to_json(const ConfNode *n)
{
	if (n->kind == CONF_SCALAR)
		return scalar_to_json(n);
	json_auto_t *v = n->kind == CONF_MAP ? json_object() : json_array();
	if (!v)
		return NULL;
	for (size_t i = 0; i < n->n; i++) {
		json_t *item = conf_to_json(n->items[i]);
		int r = n->kind == CONF_MAP ? json_object_set_new(v, n->keys[i]->text, item)
					    : json_array_append_new(v, item);
		if (r < 0)
			return NULL;
	}
	return json_incref(v);
}
