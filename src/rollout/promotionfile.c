/* Promotions from outside: as text, as files. */
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/json.h"
#include "conf/conf.h"
#include "rollout/grammar.h"
#include "rollout/validate.h"

/* --- Text ------------------------------------------------------------------------------------ */

/* The deepest place on the path that the file has. */
static const ConfNode *node_at(const ConfNode *n, const GrammarPath *path)
{
	for (size_t i = 0; i < path->n; i++) {
		const char *key = path->step[i].key;
		const ConfNode *next = key ? conf_get(n, key) : conf_at(n, path->step[i].index);
		if (!next)
			break;
		n = next;
	}
	return n;
}

static int fault_at(const Diags *d, const char *name, Err *err)
{
	const Diag *first = &d->items[0];
	return err_set(err, -EBADMSG, "%s, line %u, column %u: %s", name, first->line,
		       first->column, first->what);
}

static int read_yaml(const char *name, const char *text, size_t len, json_t **ret, Err *err)
{
	_cleanup_(conf_freep) ConfDoc *doc = NULL;
	_cleanup_(diags_done) Diags d = DIAGS_INIT;
	GrammarPath path = {.n = 0};
	Err why = ERR_INIT;
	int r = conf_read_text(name, text, len, &doc, &d, err);
	if (r == -ENOMEM)
		return r;
	if (d.errors > 0 && d.n > 0)
		return fault_at(&d, name, err);
	if (r < 0)
		return r;
	json_auto_t *v = conf_to_json(conf_root(doc));
	if (!v)
		return err_oom(err);
	r = promotion_grammar(v, &path, &why);
	if (r < 0) {
		conf_fault(node_at(conf_root(doc), &path), &d, NULL, "%s", why.msg);
		return d.n > 0 ? fault_at(&d, name, err) : err_oom(err);
	}
	*ret = json_incref(v);
	return 0;
}

static int read_json(const char *name, const char *text, size_t len, json_t **ret, Err *err)
{
	json_auto_t *v = NULL;
	int r = js_parse(text, len, PROMOTION_BYTES_MAX, &v, err);
	if (r == 0)
		r = promotion_grammar(v, NULL, err);
	if (r < 0)
		return err_wrap(err, r, "%s", name);
	*ret = json_incref(v);
	return 0;
}

/* JSON is read as JSON: YAML would take it too, but not every escape means the same there. */
static bool is_json(const char *text, size_t len)
{
	while (len > 0 && strchr(" \t\r\n", *text)) {
		if (!*text)
			return false;
		text++;
		len--;
	}
	return len > 0 && *text == '{';
}

int promotion_read_text(const char *name, const char *text, size_t len, json_t **ret, Err *err)
{
	if (len > PROMOTION_BYTES_MAX)
		return err_set(err, -EFBIG, "%s is %zu bytes long; a promotion has at most %d",
			       name, len, PROMOTION_BYTES_MAX);
	return is_json(text, len) ? read_json(name, text, len, ret, err)
				  : read_yaml(name, text, len, ret, err);
}

/* --- Files ----------------------------------------------------------------------------------- */

static void close_fd(const int *fd)
{
	if (*fd >= 0)
		close(*fd);
}

static int check_file(int fd, const char *path, Err *err)
{
	struct stat st;
	if (fstat(fd, &st) < 0)
		return err_set(err, -errno, "cannot look at %s: %s", path, strerror(errno));
	if (!S_ISREG(st.st_mode))
		return err_set(err, -EBADMSG, "%s is not a regular file", path);
	if (st.st_size > PROMOTION_BYTES_MAX)
		return err_set(err, -EFBIG, "%s is %lld bytes long; a promotion has at most %d",
			       path, (long long)st.st_size, PROMOTION_BYTES_MAX);
	return 0;
}

/* The file may grow while it is read, so the end is looked for, not believed. */
static int read_all(int fd, const char *path, char *buf, size_t cap, size_t *ret_len, Err *err)
{
	size_t len = 0;
	while (len < cap) {
		ssize_t n = read(fd, buf + len, cap - len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_set(err, -errno, "cannot read %s: %s", path, strerror(errno));
		if (n == 0)
			break;
		len += (size_t)n;
	}
	*ret_len = len;
	return 0;
}

int promotion_read_file(const char *path, json_t **ret, Err *err)
{
	_cleanup_(close_fd) int fd =
	    open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	if (fd < 0 && errno == ELOOP)
		return err_set(err, -ELOOP,
			       "%s is a link, and links are not followed: name the file itself",
			       path);
	if (fd < 0)
		return err_set(err, -errno, "cannot open %s: %s", path, strerror(errno));
	int r = check_file(fd, path, err);
	if (r < 0)
		return r;
	size_t len = 0;
	_cleanup_free_ char *text = malloc(PROMOTION_BYTES_MAX + 1);
	if (!text)
		return err_oom(err);
	r = read_all(fd, path, text, PROMOTION_BYTES_MAX + 1, &len, err);
	return r < 0 ? r : promotion_read_text(path, text, len, ret, err);
}
