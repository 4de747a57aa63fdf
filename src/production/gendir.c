/* Writing, comparing, reading and removing the folders of generations. */
#include "production/gendir.h"

#include <fcntl.h>
#include <string.h>

#include "base/file.h"
#include "base/json.h"
#include "base/str.h"

enum {
	FILES_MAX = 1024,
	NAME_CHARS_MAX = 250,
	FILE_BYTES_MAX = 4 << 20,
	FOLDERS_MAX = 10000,
};

static const char values_name[] = "values.json";

static int no(int r, const char *what, const char *path, Err *err)
{
	return err_set(err, r, "cannot %s %s: %s", what, path, strerror(-r));
}

/* --- Names in a folder ------------------------------------------------------------------------ */

typedef struct Names {
	char **v;
	size_t n, max;
} Names;

static void names_done(Names *s)
{
	for (size_t i = 0; i < s->n; i++)
		free(s->v[i]);
	free(s->v);
	*s = (Names){0};
}

static int take_name(void *arg, const char *name)
{
	Names *s = arg;
	if (s->n == s->max)
		return -E2BIG;
	char **v = reallocarray(s->v, s->n + 1, sizeof(*v));
	if (!v)
		return -ENOMEM;
	s->v = v;
	s->v[s->n] = strdup(name);
	if (!s->v[s->n])
		return -ENOMEM;
	s->n++;
	return 0;
}

/* All first, for folders that are changed while they are read may be read twice or not at all. */
static int list_names(const Disk *d, const char *dir, size_t max, Names *ret, Err *err)
{
	ret->max = max;
	int r = d->list(d->ctx, dir, take_name, ret);
	return r < 0 ? no(r, "read the folder", dir, err) : 0;
}

/* --- Making ----------------------------------------------------------------------------------- */

static int sync_parent(const Disk *d, const char *path, Err *err)
{
	_cleanup_free_ char *parent = path_dir(path);
	return parent ? disk_sync_dir(d, parent, err) : err_oom(err);
}

/* 1: it was made. */
static int make_folder(const Disk *d, const char *path, Err *err)
{
	int r = d->mkdir(d->ctx, path, 0755);
	if (r < 0 && r != -EEXIST)
		return no(r, "make the folder", path, err);
	return r == 0;
}

/* Where one was there already its parent is synced too, for whoever made it may have been killed
 * before that; but it may as well be a folder that we have no business in. */
static int make_above(const Disk *d, const char *path, Err *err)
{
	_cleanup_free_ char *part = strdup(path);
	if (!part)
		return err_oom(err);
	for (char *p = part + 1; *part && *p; p++) {
		if (*p != '/' || p[-1] == '/')
			continue;
		*p = '\0';
		int made = make_folder(d, part, err);
		int r = made < 0 ? made : sync_parent(d, part, made ? err : NULL);
		if (r < 0 && made)
			return r;
		*p = '/';
	}
	return 0;
}

static int make_one(const Disk *d, const char *path, Err *err)
{
	int r = make_folder(d, path, err);
	return r < 0 ? r : sync_parent(d, path, err);
}

int gendir_make_folders(const Disk *d, const char *state_dir, Err *err)
{
	_cleanup_free_ char *gen = path_join(state_dir, "gen");
	if (!gen)
		return err_oom(err);
	int r = make_above(d, state_dir, err);
	if (r >= 0)
		r = make_one(d, state_dir, err);
	return r < 0 ? r : make_one(d, gen, err);
}

int gendir_sync(const Disk *d, const char *state_dir, Err *err)
{
	_cleanup_free_ char *gen = path_join(state_dir, "gen");
	return gen ? disk_sync_dir(d, gen, err) : err_oom(err);
}

/* --- Removing --------------------------------------------------------------------------------- */

/* A folder of plain files. */
static int remove_folder(const Disk *d, const char *dir, Err *err)
{
	_cleanup_(names_done) Names names = {0};
	int r = list_names(d, dir, FILES_MAX, &names, err);
	for (size_t i = 0; r >= 0 && i < names.n; i++) {
		_cleanup_free_ char *path = path_join(dir, names.v[i]);
		if (!path)
			return err_oom(err);
		r = d->unlink(d->ctx, path);
		if (r < 0)
			return no(r, "remove", path, err);
	}
	if (r >= 0) {
		r = d->rmdir(d->ctx, dir);
		if (r < 0)
			return no(r, "remove the folder", dir, err);
	}
	return r;
}

/* Under its id it goes at once and for good, and only then to pieces. */
static int remove_generation(const Disk *d, const char *gen, const char *id, Err *err)
{
	_cleanup_free_ char *path = path_join(gen, id);
	_cleanup_free_ char *old = str_fmt("%s/.old-%s", gen, id);
	if (!path || !old)
		return err_oom(err);
	int r = d->rename(d->ctx, path, old);
	if (r < 0)
		return no(r, "remove", path, err);
	r = disk_sync_dir(d, gen, err);
	return r < 0 ? r : remove_folder(d, old, err);
}

static bool is_leftover(const char *name)
{
	return (strncmp(name, ".new-", 5) == 0 || strncmp(name, ".old-", 5) == 0) &&
	       generation_id_ok(name + 5);
}

static int sweep_one(const Disk *d, const char *gen, const char *name,
		     bool (*keep)(void *ctx, const char *id), void *ctx, Err *err)
{
	if (generation_id_ok(name) && !keep(ctx, name))
		return remove_generation(d, gen, name, err);
	if (!is_leftover(name))
		return 0;
	_cleanup_free_ char *path = path_join(gen, name);
	return path ? remove_folder(d, path, err) : err_oom(err);
}

int gendir_sweep(const Disk *d, const char *state_dir, bool (*keep)(void *ctx, const char *id),
		 void *ctx, Err *err)
{
	_cleanup_(names_done) Names names = {0};
	_cleanup_free_ char *gen = path_join(state_dir, "gen");
	if (!gen)
		return err_oom(err);
	/* Leftovers first: what a rename below needs as a name may be one. And what is called one
	 * now may have its id again after a power cut, until the folder is synced. */
	int r = disk_sync_dir(d, gen, err);
	if (r >= 0)
		r = list_names(d, gen, FOLDERS_MAX, &names, err);
	for (size_t i = 0; r >= 0 && i < names.n; i++)
		if (is_leftover(names.v[i]))
			r = sweep_one(d, gen, names.v[i], keep, ctx, err);
	for (size_t i = 0; r >= 0 && i < names.n; i++)
		if (!is_leftover(names.v[i]))
			r = sweep_one(d, gen, names.v[i], keep, ctx, err);
	return r;
}

/* --- Reading ---------------------------------------------------------------------------------- */

int gendir_check(const Disk *d, const char *state_dir, const char *id, Err *err)
{
	_cleanup_free_ char *path = str_fmt("%s/gen/%s", state_dir, id);
	if (!path)
		return err_oom(err);
	int fd = d->open(d->ctx, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);
	if (fd == -ENOENT)
		return err_set(err, fd, "there is no generation %s", id);
	if (fd < 0)
		return no(fd, "open", path, err);
	(void)d->close(d->ctx, fd);
	return 0;
}

/* {unit: {parameter: text}} and nothing else. */
static bool are_values(json_t *v)
{
	const char *name;
	json_t *unit, *value;
	bool ok = json_is_object(v);
	json_object_foreach (v, name, unit) {
		const char *parameter;
		ok = ok && json_is_object(unit);
		json_object_foreach (unit, parameter, value) {
			ok = ok && json_is_string(value);
		}
	}
	return ok;
}

int gendir_read(const Disk *d, const char *state_dir, const char *id, json_t **ret_values, Err *err)
{
	size_t len;
	Err why = ERR_INIT;
	int r = gendir_check(d, state_dir, id, err);
	if (r < 0)
		return r;
	_cleanup_free_ char *path = str_fmt("%s/gen/%s/%s", state_dir, id, values_name);
	if (!path)
		return err_oom(err);
	_cleanup_free_ char *text = NULL;
	r = disk_read_file(d, path, FILE_BYTES_MAX, &text, &len, &why);
	if (r == -ENOENT)
		r = -EBADMSG; /* the folder is there, so it is no generation that we wrote */
	json_auto_t *values = NULL;
	if (r >= 0)
		r = js_parse(text, len, FILE_BYTES_MAX, &values, &why);
	if (r >= 0 && !are_values(values))
		r = err_set(&why, -EBADMSG, "%s are no values of units", path);
	if (r < 0)
		return err_set(err, r, "cannot read generation %s: %.400s", id, why.msg);
	*ret_values = TAKE_PTR(values);
	return 0;
}

/* --- Writing ---------------------------------------------------------------------------------- */

static bool is_name(const char *s)
{
	size_t n = strlen(s);
	return n > 0 && n <= NAME_CHARS_MAX && s[0] != '.' && !strchr(s, '/');
}

static int check_files(const char *id, const GenerationFile *files, size_t n, Err *err)
{
	bool values = false;
	for (size_t i = 0; i < n; i++) {
		if (!is_name(files[i].name))
			return err_set(err, -EINVAL,
				       "generation %s cannot have a file with such a name", id);
		if (strlen(files[i].text) > FILE_BYTES_MAX)
			return err_set(err, -EFBIG, "%s of generation %s is too long",
				       files[i].name, id);
		values = values || strcmp(files[i].name, values_name) == 0;
	}
	if (!values || n > FILES_MAX)
		return err_set(err, -EINVAL, "generation %s has no %s, or too many files", id,
			       values_name);
	return 0;
}

static const GenerationFile *find_file(const GenerationFile *files, size_t n, const char *name)
{
	for (size_t i = 0; i < n; i++)
		if (strcmp(files[i].name, name) == 0)
			return &files[i];
	return NULL;
}

/* 1: the folder has these files, with this content, and nothing else. */
static int has_files(const Disk *d, const char *dir, const GenerationFile *files, size_t n,
		     Err *err)
{
	_cleanup_(names_done) Names names = {0};
	int r = list_names(d, dir, FILES_MAX, &names, err);
	if (r < 0)
		return r;
	bool same = names.n == n;
	for (size_t i = 0; same && i < names.n; i++) {
		const GenerationFile *f = find_file(files, n, names.v[i]);
		_cleanup_free_ char *path = path_join(dir, names.v[i]);
		_cleanup_free_ char *text = NULL;
		size_t len = 0;
		if (!path)
			return err_oom(err);
		if (!f)
			return 0;
		r = disk_read_file(d, path, FILE_BYTES_MAX, &text, &len, err);
		if (r < 0)
			return r;
		same = len == strlen(f->text) && memcmp(text, f->text, len) == 0;
	}
	return same;
}

static int fill(const Disk *d, const char *dir, const GenerationFile *files, size_t n, Err *err)
{
	int r = d->mkdir(d->ctx, dir, 0755);
	if (r < 0)
		return no(r, "make the folder", dir, err);
	for (size_t i = 0; i < n; i++) {
		_cleanup_free_ char *path = path_join(dir, files[i].name);
		if (!path)
			return err_oom(err);
		r = disk_write_new(d, path, files[i].mode ? files[i].mode : 0644, files[i].text,
				   strlen(files[i].text), err);
		if (r < 0)
			return r;
	}
	return disk_sync_dir(d, dir, err);
}

static int write_new(const Disk *d, const char *state_dir, const char *path, const char *id,
		     const GenerationFile *files, size_t n, Err *err)
{
	_cleanup_free_ char *fresh = str_fmt("%s/gen/.new-%s", state_dir, id);
	if (!fresh)
		return err_oom(err);
	int r = remove_folder(d, fresh, NULL); /* of a call that did not finish */
	if (r < 0 && r != -ENOENT)
		return no(r, "remove", fresh, err);
	r = fill(d, fresh, files, n, err);
	if (r >= 0) {
		r = d->rename(d->ctx, fresh, path);
		if (r < 0)
			(void)no(r, "write", path, err);
	}
	if (r < 0)
		(void)!remove_folder(d, fresh, NULL);
	return r;
}

int gendir_write(const Disk *d, const char *state_dir, const char *id, const GenerationFile *files,
		 size_t n, Err *err)
{
	_cleanup_free_ char *path = str_fmt("%s/gen/%s", state_dir, id);
	if (!path)
		return err_oom(err);
	int r = check_files(id, files, n, err);
	if (r < 0)
		return r;
	r = gendir_check(d, state_dir, id, NULL);
	if (r == -ENOENT)
		r = write_new(d, state_dir, path, id, files, n, err);
	else if (r < 0)
		r = no(r, "open", path, err);
	else {
		r = has_files(d, path, files, n, err);
		if (r == 0)
			r = err_set(err, -EEXIST,
				    "generation %s is there already, with another content", id);
	}
	return r < 0 ? r : gendir_sync(d, state_dir, err);
}
