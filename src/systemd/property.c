/* Properties as they come over the bus, and any of them as JSON. */
#include <math.h>
#include <string.h>

#include "base/json.h"
#include "systemd/internal.h"

int properties_get(Systemd *s, const char *path, const char *what, const char *unit,
		   sd_bus_message **ret, Err *err)
{
	sd_bus_error e = SD_BUS_ERROR_NULL;
	int r = sd_bus_call_method(s->bus, MANAGER, path, PROPERTIES, "GetAll", &e, ret, "s", "");
	if (r < 0)
		r = bus_error(s, r, &e, what, unit, err);
	sd_bus_error_free(&e);
	return r < 0 ? r : 0;
}

static int each_one(sd_bus_message *m, PropertyRead *each, void *ctx)
{
	const char *name;
	int r = sd_bus_message_read(m, "s", &name);
	if (r < 0)
		return r;
	r = each(ctx, name, m);
	if (r < 0)
		return r;
	/* What `each` left is skipped; when it read the variant there is nothing to skip. */
	if (sd_bus_message_at_end(m, 0) == 0)
		r = sd_bus_message_skip(m, "v");
	return r < 0 ? r : sd_bus_message_exit_container(m);
}

int properties_each(sd_bus_message *m, PropertyRead *each, void *ctx)
{
	int r = sd_bus_message_enter_container(m, 'a', "{sv}");
	if (r < 0)
		return r;
	while ((r = sd_bus_message_enter_container(m, 'e', "sv")) > 0) {
		r = each_one(m, each, ctx);
		if (r < 0)
			return r;
	}
	return r < 0 ? r : sd_bus_message_exit_container(m);
}

/* --- As JSON --------------------------------------------------------------------------------- */

static int value_json(sd_bus_message *m, int depth, json_t **ret);

static json_t *basic_json(char type, const void *v)
{
	switch (type) {
	case 'y':
		return json_integer(*(const uint8_t *)v);
	case 'b':
		return json_boolean(*(const int *)v);
	case 'n':
		return json_integer(*(const int16_t *)v);
	case 'q':
		return json_integer(*(const uint16_t *)v);
	case 'i':
		return json_integer(*(const int32_t *)v);
	case 'u':
		return json_integer(*(const uint32_t *)v);
	case 'x':
		return json_integer(*(const int64_t *)v);
	case 't': /* systemd's "infinity" is the largest; JSON's integers end before it */
		return *(const uint64_t *)v > INT64_MAX
			   ? json_string("infinity")
			   : json_integer((json_int_t) * (const uint64_t *)v);
	case 'd':
		return js_number(*(const double *)v);
	default:
		return js_text(*(const char *const *)v);
	}
}

static int read_basic(sd_bus_message *m, char type, json_t **ret)
{
	union {
		uint64_t number;
		double real;
		const char *text;
	} v = {0};
	int r = sd_bus_message_read_basic(m, type, &v);
	if (r < 0)
		return r;
	*ret = basic_json(type, &v);
	return *ret ? 0 : -ENOMEM;
}

/* Arrays, structs and dictionary entries are lists here. */
static int read_list(sd_bus_message *m, char type, const char *contents, int depth, json_t **ret)
{
	json_auto_t *list = json_array();
	if (!list)
		return -ENOMEM;
	int r = sd_bus_message_enter_container(m, type, contents);
	while (r >= 0 && (r = sd_bus_message_at_end(m, 0)) == 0) {
		json_t *item = NULL;
		if (json_array_size(list) >= STRINGS_MAX)
			return -E2BIG;
		r = value_json(m, depth + 1, &item);
		if (r >= 0 && json_array_append_new(list, item) < 0)
			r = -ENOMEM;
	}
	if (r < 0)
		return r;
	*ret = TAKE_PTR(list);
	return sd_bus_message_exit_container(m);
}

static int value_json(sd_bus_message *m, int depth, json_t **ret)
{
	const char *contents;
	char type;
	int r = sd_bus_message_peek_type(m, &type, &contents);
	if (r <= 0)
		return r < 0 ? r : -EBADMSG;
	if (depth > 8)
		return -E2BIG;
	if (strchr("ybnqiuxtdsog", type))
		return read_basic(m, type, ret);
	if (type == 'v') {
		r = sd_bus_message_enter_container(m, 'v', contents);
		if (r >= 0)
			r = value_json(m, depth + 1, ret);
		return r < 0 ? r : sd_bus_message_exit_container(m);
	}
	if (!strchr("are", type))
		return -EOPNOTSUPP;
	return read_list(m, type, contents, depth, ret);
}

int variant_json(sd_bus_message *m, json_t **ret)
{
	return value_json(m, 0, ret);
}
