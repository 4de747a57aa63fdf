/* Specifiers: what of a unit's text stands for its own name. */
#include <string.h>

#include "base/str.h"
#include "production/internal.h"

/* "\x2d" is '-', '-' is '/': how the manager writes any text as the name of an instance. */
static void add_unescaped(Str *out, const char *s, size_t len)
{
	static const char digits[] = "0123456789abcdef";
	for (size_t i = 0; i < len; i++) {
		const char *high = len - i > 3 && s[i] == '\\' && s[i + 1] == 'x' && s[i + 2]
				       ? strchr(digits, s[i + 2])
				       : NULL;
		const char *low = high && s[i + 3] ? strchr(digits, s[i + 3]) : NULL;
		if (low) {
			str_addc(out, (char)((high - digits) * 16 + (low - digits)));
			i += 3;
		} else {
			str_addc(out, s[i] == '-' ? '/' : s[i]);
		}
	}
}

/* The parts of "prefix@instance.service". */
typedef struct Name {
	const char *unit, *instance;
	size_t len, prefix, bare, instance_len; /* `bare` is without ".service" */
} Name;

static Name parts_of(const char *unit)
{
	const char *dot = strrchr(unit, '.'), *at = strchr(unit, '@');
	size_t len = strlen(unit), bare = dot ? (size_t)(dot - unit) : len;
	if (at && (size_t)(at - unit) > bare)
		at = NULL;
	return (Name){.unit = unit,
		      .instance = at ? at + 1 : "",
		      .len = len,
		      .prefix = at ? (size_t)(at - unit) : bare,
		      .bare = bare,
		      .instance_len = at ? bare - (size_t)(at + 1 - unit) : 0};
}

/* The last part of the prefix, from its '-' on. */
static void last_part(const Name *n, const char **ret, size_t *ret_len)
{
	size_t at = n->prefix;
	while (at > 0 && n->unit[at - 1] != '-')
		at--;
	*ret = n->unit + at;
	*ret_len = n->prefix - at;
}

static bool add_one(Str *out, char c, const Name *n, const char *home)
{
	const char *last;
	size_t len;

	last_part(n, &last, &len);
	switch (c) {
	case '%':
		str_addc(out, '%');
		return true;
	case 'n':
		str_addn(out, n->unit, n->len);
		return true;
	case 'N':
		str_addn(out, n->unit, n->bare);
		return true;
	case 'p':
		str_addn(out, n->unit, n->prefix);
		return true;
	case 'P':
		add_unescaped(out, n->unit, n->prefix);
		return true;
	case 'i':
		str_addn(out, n->instance, n->instance_len);
		return true;
	case 'I':
		add_unescaped(out, n->instance, n->instance_len);
		return true;
	case 'j':
		str_addn(out, last, len);
		return true;
	case 'J':
		add_unescaped(out, last, len);
		return true;
	case 'h':
		str_add(out, home ? home : "");
		return home != NULL;
	default:
		return false;
	}
}

int specifiers_resolve(const char *text, const char *unit, const char *home, char **ret, Err *err)
{
	_cleanup_(str_done) Str out = STR_INIT;
	const Name n = parts_of(unit);

	for (const char *p = text; *p; p++) {
		if (*p != '%') {
			str_addc(&out, *p);
			continue;
		}
		if (!add_one(&out, *++p, &n, home))
			return err_set(err, -ENOTSUP,
				       "what %%%.1s in '%.100s' stands for is known to systemd "
				       "alone; write it out",
				       p, text);
	}
	return str_take(&out, ret) < 0 ? err_oom(err) : 0;
}

int specifiers_escape(const char *text, char **ret)
{
	_cleanup_(str_done) Str out = STR_INIT;
	for (; *text; text++) {
		if (*text == '%')
			str_addc(&out, '%');
		str_addc(&out, *text);
	}
	return str_take(&out, ret);
}
