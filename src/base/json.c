#include "base/json.h"

#include <errno.h>
#include <math.h>
#include <string.h>

/* --- Reading --------------------------------------------------------------------------------- */

/* jansson stops at its own depth of 2048. Ours is checked on the text, before anything recurses.
 * Brackets in strings do not count; on text that is not JSON jansson finds the fault afterwards. */
static bool too_deep(const char *text, size_t len)
{
	size_t depth = 0;
	bool quoted = false;
	for (size_t i = 0; i < len; i++) {
		char c = text[i];
		if (quoted && c == '\\')
			i++;
		else if (c == '"')
			quoted = !quoted;
		else if (!quoted && (c == '[' || c == '{') && ++depth > JS_DEPTH_MAX)
			return true;
		else if (!quoted && (c == ']' || c == '}') && depth > 0)
			depth--;
	}
	return false;
}

int js_parse(const char *text, size_t len, size_t max_len, json_t **ret, Err *err)
{
	if (len > max_len)
		return err_set(err, -EFBIG, "the JSON text has %zu bytes, more than %zu", len,
			       max_len);
	if (memchr(text, '\0', len))
		return err_set(err, -EBADMSG, "not JSON: it contains a NUL byte");
	if (too_deep(text, len))
		return err_set(err, -EBADMSG, "the JSON value is nested deeper than %d levels",
			       JS_DEPTH_MAX);

	json_error_t why;
	errno = 0;
	json_t *v = json_loadb(text, len, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &why);
	/* Where it wants memory it may speak of a token that is not valid; malloc() says the truth.
	 */
	if (!v && (json_error_code(&why) == json_error_out_of_memory || errno == ENOMEM))
		return err_oom(err);
	if (!v)
		return err_set(err, -EBADMSG, "not JSON at line %d, column %d: %s", why.line,
			       why.column, why.text);
	*ret = v;
	return 0;
}

/* --- Numbers --------------------------------------------------------------------------------- */

typedef struct Decimal {
	char digits[18]; /* without trailing zeros, at least one */
	int n;
	int exp10; /* of the first digit: 12.5 has 1 */
	bool negative;
} Decimal;

static void trim_zeros(Decimal *d)
{
	while (d->n > 1 && d->digits[d->n - 1] == '0')
		d->n--;
}

/* The next larger number with as many digits. */
static void step_up(Decimal *d)
{
	int i = d->n - 1;
	while (i >= 0 && d->digits[i] == '9')
		d->digits[i--] = '0';
	if (i >= 0) {
		d->digits[i]++;
		return;
	}
	d->digits[0] = '1';
	d->exp10++;
}

static bool reads_back(const Decimal *d, double v)
{
	char text[40];
	(void)snprintf(text, sizeof(text), "%s%c.%.*se%d", d->negative ? "-" : "", d->digits[0],
		       d->n - 1, d->digits + 1, d->exp10);
	return strtod(text, NULL) == v;
}

static Decimal nearest_with(double v, int precision)
{
	char text[40];
	(void)snprintf(text, sizeof(text), "%.*e", precision - 1, fabs(v));
	Decimal d = {.n = precision, .negative = signbit(v)};
	d.digits[0] = text[0];
	if (precision > 1)
		memcpy(d.digits + 1, text + 2, (size_t)precision - 1);
	d.exp10 = (int)strtol(strchr(text, 'e') + 1, NULL, 10);
	return d;
}

/* The fewest digits that read back as v, and of those the nearest to v. A normal number that has 15
 * or fewer shows them, padded with zeros, when printed with 15. At a power of two the gap below is
 * half the gap above, so the nearest decimal may fail where the one above it reads back. */
static Decimal shortest(double v)
{
	for (int precision = fabs(v) < 0x1p-1022 ? 1 : 15; precision < 17; precision++) {
		Decimal d = nearest_with(v, precision);
		if (!reads_back(&d, v))
			step_up(&d);
		if (reads_back(&d, v)) {
			trim_zeros(&d);
			return d;
		}
	}
	Decimal d = nearest_with(v, 17);
	trim_zeros(&d);
	return d;
}

void js_double(double v, char *ret)
{
	if (!isfinite(v) || v == 0) {
		const char *text = !isfinite(v) ? "null" : signbit(v) ? "-0.0" : "0.0";
		(void)snprintf(ret, 32, "%s", text);
		return;
	}
	Decimal d = shortest(v);
	const char *sign = d.negative ? "-" : "";
	if (d.exp10 < -4 || d.exp10 >= 16) {
		(void)snprintf(ret, 32, "%s%c%s%.*se%+03d", sign, d.digits[0], d.n > 1 ? "." : "",
			       d.n - 1, d.digits + 1, d.exp10);
	} else if (d.exp10 < 0) {
		(void)snprintf(ret, 32, "%s0.%.*s%.*s", sign, -d.exp10 - 1, "000", d.n, d.digits);
	} else if (d.n <= d.exp10 + 1) {
		(void)snprintf(ret, 32, "%s%.*s%.*s.0", sign, d.n, d.digits, d.exp10 + 1 - d.n,
			       "000000000000000");
	} else {
		(void)snprintf(ret, 32, "%s%.*s.%.*s", sign, d.exp10 + 1, d.digits,
			       d.n - d.exp10 - 1, d.digits + d.exp10 + 1);
	}
}

/* --- Canonical text -------------------------------------------------------------------------- */

static void add_utf16(uint32_t cp, Str *out)
{
	if (cp < 0x10000) {
		str_addf(out, "\\u%04x", cp);
		return;
	}
	cp -= 0x10000;
	str_addf(out, "\\u%04x\\u%04x", 0xd800 + (cp >> 10), 0xdc00 + (cp & 0x3ff));
}

static void add_char(uint32_t cp, Str *out)
{
	static const char names[] = "\"\"\\\\\bb\ff\nn\rr\tt";
	for (const char *p = names; *p; p += 2) {
		if (cp == (unsigned char)p[0]) {
			str_addc(out, '\\');
			str_addc(out, p[1]);
			return;
		}
	}
	if (cp >= 0x20 && cp < 0x7f)
		str_addc(out, (char)cp);
	else
		add_utf16(cp, out);
}

static void add_string(const char *s, size_t len, Str *out)
{
	str_addc(out, '"');
	while (len > 0) {
		uint32_t cp = 0xfffd;
		size_t n = utf8_next(s, len, &cp);
		add_char(cp, out);
		n += n == 0;
		s += n;
		len -= n;
	}
	str_addc(out, '"');
}

static int by_bytes(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* Python sorts keys by code point; the bytes of UTF-8 are in the same order. */
static void add_object(const json_t *v, Str *out)
{
	size_t n = json_object_size(v), at = 0;
	_cleanup_free_ const char **keys = calloc(n + 1, sizeof(*keys));
	if (!keys) {
		out->failed = true;
		return;
	}
	/* jansson iterates only over a json_t that is not const; nothing is changed. */
	json_t *o = (json_t *)(uintptr_t)v;
	for (void *i = json_object_iter(o); i && at < n; i = json_object_iter_next(o, i))
		keys[at++] = json_object_iter_key(i);
	qsort(keys, n, sizeof(*keys), by_bytes);

	str_addc(out, '{');
	for (size_t i = 0; i < n; i++) {
		str_add(out, i > 0 ? ", " : "");
		add_string(keys[i], strlen(keys[i]), out);
		str_add(out, ": ");
		js_canonical(json_object_get(v, keys[i]), out);
	}
	str_addc(out, '}');
}

static void add_array(const json_t *v, Str *out)
{
	str_addc(out, '[');
	for (size_t i = 0; i < json_array_size(v); i++) {
		str_add(out, i > 0 ? ", " : "");
		js_canonical(json_array_get(v, i), out);
	}
	str_addc(out, ']');
}

void js_canonical(const json_t *v, Str *out)
{
	char number[32];
	if (!v) {
		out->failed = true;
		return;
	}
	switch (json_typeof(v)) {
	case JSON_OBJECT:
		add_object(v, out);
		break;
	case JSON_ARRAY:
		add_array(v, out);
		break;
	case JSON_STRING:
		add_string(json_string_value(v), json_string_length(v), out);
		break;
	case JSON_INTEGER:
		str_addf(out, "%" JSON_INTEGER_FORMAT, json_integer_value(v));
		break;
	case JSON_REAL:
		js_double(json_real_value(v), number);
		str_add(out, number);
		break;
	case JSON_TRUE:
		str_add(out, "true");
		break;
	case JSON_FALSE:
		str_add(out, "false");
		break;
	case JSON_NULL:
		str_add(out, "null");
		break;
	}
}

/* --- Building and reading members ------------------------------------------------------------ */

/* What jansson could not add to its copy is missing there; equality finds that without memory. */
static json_t *if_whole(json_t *copy, const json_t *v)
{
	if (!copy || json_equal(copy, v))
		return copy;
	json_decref(copy);
	return NULL;
}

json_t *js_copy(const json_t *v)
{
	return if_whole(json_copy((json_t *)(uintptr_t)v), v);
}

json_t *js_deep_copy(const json_t *v)
{
	return if_whole(json_deep_copy(v), v);
}

void js_set(json_t *o, const char *key, json_t *value, bool *failed)
{
	if (!o) {
		json_decref(value);
		return;
	}
	if (json_object_set_new(o, key, value) < 0)
		*failed = true;
}

json_t *js_number(double v)
{
	return isfinite(v) ? json_real(v) : json_null();
}

json_t *js_text(const char *s)
{
	_cleanup_(str_done) Str b = STR_INIT;
	size_t len = strlen(s);
	while (len > 0) {
		uint32_t cp;
		size_t n = utf8_next(s, len, &cp);
		if (n > 0)
			str_addn(&b, s, n);
		else
			str_add(&b, "\xef\xbf\xbd");
		n += n == 0;
		s += n;
		len -= n;
	}
	return b.failed ? NULL : json_stringn(b.s ? b.s : "", b.len);
}

const char *js_str(const json_t *o, const char *key, const char *otherwise)
{
	const json_t *v = json_object_get(o, key);
	return json_is_string(v) ? json_string_value(v) : otherwise;
}

int64_t js_int(const json_t *o, const char *key, int64_t otherwise)
{
	const json_t *v = json_object_get(o, key);
	return json_is_integer(v) ? json_integer_value(v) : otherwise;
}

double js_num(const json_t *o, const char *key, double otherwise)
{
	const json_t *v = json_object_get(o, key);
	return json_is_number(v) ? json_number_value(v) : otherwise;
}

bool js_bool(const json_t *o, const char *key, bool otherwise)
{
	const json_t *v = json_object_get(o, key);
	return json_is_boolean(v) ? json_is_true(v) : otherwise;
}
