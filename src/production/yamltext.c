/* The file that a server's --config names, as text: a flat map of the long flags' names. It is
 * changed by the line, so that comments and order stay, and read by a YAML reader before and after:
 * exactly one key may have another value then. */
#include <string.h>

#include "base/json.h"
#include "base/str.h"
#include "conf/conf.h"
#include "production/internal.h"

/* A key's value as it stands in the text, inside its quotes. */
typedef struct Spot {
	size_t at, len, found;
} Spot;

static bool same_key(const char *a, size_t len, const char *key)
{
	if (strlen(key) != len)
		return false;
	for (size_t i = 0; i < len; i++)
		if ((a[i] == '_' ? '-' : a[i]) != (key[i] == '_' ? '-' : key[i]))
			return false;
	return true;
}

/* At the first byte of a value: a plain scalar goes to " #" or the end of the line. */
static void measure(const char *text, size_t at, Spot *s)
{
	size_t len = strcspn(text + at, "\r\n");
	const char *v = text + at;

	if (*v == '"' || *v == '\'') {
		const char *close = memchr(v + 1, *v, len - 1);
		s->at = at + 1;
		s->len = close ? (size_t)(close - v - 1) : len;
		return;
	}
	for (size_t i = 1; i < len; i++)
		if (v[i] == '#' && (v[i - 1] == ' ' || v[i - 1] == '\t'))
			len = i;
	while (len > 0 && (v[len - 1] == ' ' || v[len - 1] == '\t'))
		len--;
	s->at = at;
	s->len = *v == '#' ? 0 : len;
}

static Spot find(const char *text, const char *key)
{
	Spot s = {0};
	for (size_t i = 0; text[i];) {
		size_t name = strcspn(text + i, ": \t\r\n#\"'");
		size_t colon = i + name + strspn(text + i + name, " \t");
		if (name > 0 && text[colon] == ':' && same_key(text + i, name, key)) {
			measure(text, colon + 1 + strspn(text + colon + 1, " \t"), &s);
			s.found++;
		}
		i += strcspn(text + i, "\n");
		i += text[i] == '\n';
	}
	return s;
}

static int read_map(const char *path, const char *text, json_t **ret, Err *err)
{
	_cleanup_(diags_done) Diags d = DIAGS_INIT;
	_cleanup_(conf_freep) ConfDoc *doc = NULL;
	int r = conf_read_text(path, text, strlen(text), &doc, &d, err);

	if (r < 0 && r != -EBADMSG)
		return r;
	if (d.errors > 0 || r < 0)
		return err_set(err, -EBADMSG, "%s is not understood: line %u: %s", path,
			       d.n > 0 ? d.items[0].line : 0, d.n > 0 ? d.items[0].what : "");
	if (conf_kind(conf_root(doc)) != CONF_MAP)
		return err_set(err, -ENOTSUP, "%s is no list of settings", path);
	*ret = conf_to_json(conf_root(doc));
	return *ret ? 0 : err_oom(err);
}

/* The key as the file spells it; NULL: it is not at the top. */
static const char *spelled(json_t *map, const char *key)
{
	const char *name;
	json_t *v;
	json_object_foreach (map, name, v)
		if (same_key(name, strlen(name), key))
			return name;
	return NULL;
}

static int odd(const char *path, const char *key, Err *err)
{
	return err_set(err, -ENOTSUP,
		       "%s has %s in a way that cannot be changed safely; write it as one line of "
		       "its own at the left, '%s: value'",
		       path, key, key);
}

static int value_of(const char *path, const char *text, const char *key, Spot *ret_spot,
		    const char **ret_name, json_t **ret_map, Err *err)
{
	json_auto_t *map = NULL;
	int r = read_map(path, text, &map, err);
	if (r < 0)
		return r;
	*ret_name = spelled(map, key);
	*ret_spot = find(text, key);
	if (*ret_name ? ret_spot->found != 1 || json_is_object(json_object_get(map, *ret_name)) ||
			    json_is_array(json_object_get(map, *ret_name))
		      : ret_spot->found != 0)
		return odd(path, key, err);
	*ret_map = TAKE_PTR(map);
	return 0;
}

/* The file must say now what it said before, but for this key. */
static int verify(const char *path, const char *text, json_t *before, const char *name,
		  const char *value, Err *err)
{
	json_auto_t *after = NULL;
	_cleanup_(diags_done) Diags d = DIAGS_INIT;
	_cleanup_(conf_freep) ConfDoc *doc = NULL;
	int r = conf_read_text(path, text, strlen(text), &doc, &d, err);
	if (r < 0 && r != -EBADMSG)
		return r;
	const ConfNode *node = r >= 0 ? conf_get(conf_root(doc), name) : NULL;
	const char *said = node ? conf_text(node) : NULL;
	if (d.errors > 0 || !said || strcmp(said, value) != 0)
		return odd(path, name, err);
	after = conf_to_json(conf_root(doc));
	if (!after)
		return err_oom(err);
	json_object_del(after, name);
	json_object_del(before, name);
	return json_equal(after, before) ? 0 : odd(path, name, err);
}

int yamltext_get(const char *path, const char *text, const char *key, char **ret, Err *err)
{
	json_auto_t *map = NULL;
	const char *name;
	Spot s;
	int r = value_of(path, text, key, &s, &name, &map, err);
	if (r < 0 || !name) {
		*ret = NULL;
		return r;
	}
	_cleanup_free_ char *value = strndup(text + s.at, s.len), *kept = strdup(name);
	if (!value || !kept)
		return err_oom(err);
	r = verify(path, text, map, kept, value, err);
	if (r < 0)
		return r;
	*ret = TAKE_PTR(value);
	return 0;
}

int yamltext_set(const char *path, const char *text, const char *key, const char *value, char **ret,
		 Err *err)
{
	_cleanup_(str_done) Str out = STR_INIT;
	json_auto_t *map = NULL;
	const char *name;
	Spot s;
	_cleanup_free_ char *before = NULL; /* what is replaced is what the file says */
	int r = yamltext_get(path, text, key, &before, err);
	if (r >= 0)
		r = value_of(path, text, key, &s, &name, &map, err);
	if (r < 0)
		return r;
	size_t len = strlen(text);
	if (name)
		str_addf(&out, "%.*s%s%s", (int)s.at, text, value, text + s.at + s.len);
	else
		str_addf(&out, "%s%s%s: %s\n", text, len > 0 && text[len - 1] != '\n' ? "\n" : "",
			 key, value);
	if (out.failed)
		return err_oom(err);
	/* verify() takes the member away, and the name with it. */
	_cleanup_free_ char *kept = strdup(name ? name : key);
	if (!kept)
		return err_oom(err);
	r = verify(path, out.s, map, kept, value, err);
	if (r < 0)
		return r;
	return str_take(&out, ret) < 0 ? err_oom(err) : 0;
}
