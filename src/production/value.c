/* Values: which texts may be one at all, and which root allows. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/strings.h"
#include "production/adoption.h"

enum {
	VALUE_CHARS_MAX = 128
};

/* Not isalnum(): what a letter is must not depend on anybody's locale. */
static bool is_plain(char c)
{
	return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') ||
	       (c && strchr("._:/@+-", c));
}

bool value_is_plain(const char *text)
{
	size_t n = 0;
	while (is_plain(text[n]))
		n++;
	return n > 0 && n <= VALUE_CHARS_MAX && !text[n] && text[0] != '-';
}

static bool is_number(const char *text, double *ret)
{
	char *end;
	errno = 0;
	*ret = strtod(text, &end);
	return !errno && end != text && !*end && isfinite(*ret);
}

int allowed_check(const Allowed *a, const char *parameter, const char *value, Err *err)
{
	double v;
	if (!value_is_plain(value))
		return err_set(err, -EPERM,
			       "the value of %s is not plain text: at most %d of letters, digits "
			       "and ._:/@+-, and no '-' in front",
			       parameter, VALUE_CHARS_MAX);
	if (a->words && !strings_has(a->words, value))
		return err_set(err, -EPERM,
			       "%s may not be \"%s\": it is none of the values that were allowed "
			       "when the unit was adopted",
			       parameter, value);
	if (a->has_range && (!is_number(value, &v) || v < a->min || v > a->max))
		return err_set(err, -EPERM,
			       "%s may not be \"%s\": when the unit was adopted %g to %g was "
			       "allowed",
			       parameter, value, a->min, a->max);
	return 0;
}

static const char *const kind_names[] = {
    [TARGET_FLAG] = "flag",
    [TARGET_ENV] = "env",
    [TARGET_KEY] = "key",
    [TARGET_CONFIG] = "config",
};

const char *target_kind_name(TargetKind k)
{
	return kind_names[k];
}
