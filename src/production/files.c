/* Adoptions on the disk, and the files of units. What is read here decides what root will do, so a
 * file that somebody else could have written is refused. */
#include <dirent.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/file.h"
#include "base/json.h"
#include "production/adoptionjson.h"
#include "production/internal.h"

enum {
	ADOPTIONS_MAX = 256,
	COPIED_FILE_MAX = 1 << 20,
};

static void close_fd(int *fd)
{
	if (*fd >= 0)
		(void)close(*fd);
}

static int no(int r, const char *what, const char *path, Err *err)
{
	return err_set(err, r, "cannot %s %s: %s", what, path, strerror(-r));
}

/* --- Units ------------------------------------------------------------------------------------ */

void unitfiles_free(UnitFile *files, size_t n)
{
	for (size_t i = 0; files && i < n; i++) {
		free(files[i].path);
		free(files[i].text);
	}
	free(files);
}

static int read_unit_file(const char *path, UnitFile *ret, Err *err)
{
	size_t len = 0;
	int r = file_read(path, UNIT_TEXT_MAX, &ret->text, &len, err);
	if (r < 0)
		return r;
	ret->path = strdup(path);
	if (!ret->path)
		return err_oom(err);
	return strlen(ret->text) == len
		   ? 0
		   : err_set(err, -EBADMSG, "%s holds a NUL byte and is no text", path);
}

int unitfiles_read(char *const *paths, UnitFile **ret, size_t *ret_n, Err *err)
{
	size_t n = 0;
	int r = 0;
	while (paths && paths[n])
		n++;
	if (n > UNIT_FILES_MAX)
		return err_set(err, -E2BIG, "the unit has more than %d files", UNIT_FILES_MAX);
	UnitFile *files = calloc(n + 1, sizeof(*files));
	if (!files)
		return err_oom(err);
	for (size_t i = 0; r >= 0 && i < n; i++)
		r = read_unit_file(paths[i], &files[i], err);
	if (r < 0) {
		unitfiles_free(files, n);
		return r;
	}
	*ret = files;
	*ret_n = n;
	return 0;
}

/* --- Files that units read -------------------------------------------------------------------- */

/* Of an open file, which is closed. */
static int take_text(int opened, const char *path, char **ret, Err *err)
{
	_cleanup_(close_fd) int fd = opened;
	struct stat st;
	size_t len;
	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
		return err_set(err, -EINVAL, "%s is no regular file", path);
	_cleanup_free_ char *same = str_fmt("/proc/self/fd/%d", fd);
	if (!same)
		return err_oom(err);
	_cleanup_free_ char *text = NULL;
	int r = file_read(same, COPIED_FILE_MAX, &text, &len, err);
	if (r < 0)
		return r;
	if (strlen(text) != len)
		return err_set(err, -EBADMSG, "%s holds a NUL byte and is no text", path);
	*ret = TAKE_PTR(text);
	return 0;
}

int adoption_read_file(void *ctx, const char *path, char **ret, Err *err)
{
	const struct open_how how = {.flags = O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY,
				     .resolve = RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS};
	int fd = (int)syscall(SYS_openat2, AT_FDCWD, path, &how, sizeof(how));

	(void)ctx;
	*ret = NULL;
	if (fd >= 0)
		return take_text(fd, path, ret, err);
	if (errno == ENOENT)
		return 0;
	if (errno == ELOOP)
		return err_set(err, -ELOOP,
			       "there is a symbolic link in the path %s; name the file itself",
			       path);
	return no(-errno, "read", path, err);
}

int unit_read_file(void *ctx, const char *path, char **ret, Err *err)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);

	(void)ctx;
	*ret = NULL;
	if (fd >= 0)
		return take_text(fd, path, ret, err);
	return errno == ENOENT ? 0 : no(-errno, "read", path, err);
}

/* --- Reading adoptions ------------------------------------------------------------------------ */

/* Ours or root's, and nobody else may write it. */
static int check_safe(int fd, const char *path, Err *err)
{
	struct stat st;
	if (fstat(fd, &st) < 0)
		return no(-errno, "look at", path, err);
	if ((st.st_uid != 0 && st.st_uid != geteuid()) || (st.st_mode & (S_IWGRP | S_IWOTH)))
		return err_set(err, -EPERM,
			       "%s is not safe: it must belong to %s, and nobody else may write it",
			       path, geteuid() == 0 ? "root" : "you or root");
	return S_ISREG(st.st_mode) || S_ISDIR(st.st_mode)
		   ? 0
		   : err_set(err, -EINVAL, "%s is no file", path);
}

static int open_dir(const ProductionPlaces *p, int *ret, Err *err)
{
	int fd = open(p->adopted_dir, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return errno == ENOENT ? -ENOENT : no(-errno, "open", p->adopted_dir, err);
	int r = check_safe(fd, p->adopted_dir, err);
	if (r < 0) {
		close(fd);
		return r;
	}
	*ret = fd;
	return 0;
}

static int read_text(int dir, const char *name, const char *path, char **ret, size_t *ret_len,
		     Err *err)
{
	_cleanup_(close_fd) int fd =
	    openat(dir, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	if (fd < 0)
		return errno == ENOENT ? -ENOENT : no(-errno, "open", path, err);
	int r = check_safe(fd, path, err);
	if (r < 0)
		return r;
	_cleanup_free_ char *same = str_fmt("/proc/self/fd/%d", fd);
	return same ? file_read(same, ADOPTION_FILE_MAX, ret, ret_len, err) : err_oom(err);
}

/* The file's name is the unit's, and its drop-in is where ours are: nothing in the file can have
 * another path written or removed. */
static int check_names(const ProductionPlaces *p, const Adoption *a, const char *unit,
		       const char *path, Err *err)
{
	_cleanup_free_ char *dropin = adoption_dropin_path(p, unit);
	if (!dropin)
		return err_oom(err);
	if (strcmp(a->unit, unit) != 0 || strcmp(a->dropin, dropin) != 0)
		return err_set(err, -EBADMSG,
			       "%s is the adoption of another unit (%s), or of "
			       "another machine's",
			       path, a->unit);
	return 0;
}

static int load(const ProductionPlaces *p, int dir, const char *unit, Adoption *ret, Err *err)
{
	_cleanup_free_ char *name = str_fmt("%s.json", unit);
	_cleanup_free_ char *path = name ? path_join(p->adopted_dir, name) : NULL;
	size_t len = 0;
	Adoption a = {0};

	if (!path)
		return err_oom(err);
	_cleanup_free_ char *text = NULL;
	int r = read_text(dir, name, path, &text, &len, err);
	if (r >= 0)
		r = adoption_from_json(path, text, len, &a, err);
	if (r >= 0)
		r = check_names(p, &a, unit, path, err);
	if (r < 0) {
		adoption_done(&a);
		return r;
	}
	*ret = a;
	return 0;
}

int adoption_load(const ProductionPlaces *p, const char *unit, Adoption *ret, Err *err)
{
	_cleanup_(close_fd) int dir = -1;
	if (!*unit || *unit == '.' || strchr(unit, '/'))
		return err_set(err, -EINVAL, "'%.100s' is not the name of a unit", unit);
	int r = open_dir(p, &dir, err);
	if (r >= 0)
		r = load(p, dir, unit, ret, err);
	return r == -ENOENT ? err_set(err, r, "%s is not adopted", unit) : r;
}

static int by_text(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* The units' names, in order. */
static int list_units(int dir, const char *path, char ***ret, Err *err)
{
	int fd = fcntl(dir, F_DUPFD_CLOEXEC, 3);
	DIR *d = fd < 0 ? NULL : fdopendir(fd);
	size_t n = 0;
	int r = 0;

	if (!d) {
		if (fd >= 0)
			close(fd);
		return no(-errno, "read the folder", path, err);
	}
	for (struct dirent *e = readdir(d); r >= 0 && e; e = readdir(d)) {
		size_t len = strlen(e->d_name);
		if (e->d_name[0] == '.' || len <= 5 || strcmp(e->d_name + len - 5, ".json") != 0)
			continue;
		r = strings_add(ret, strndup(e->d_name, len - 5));
		if (r < 0)
			r = err_oom(err);
		else if (++n > ADOPTIONS_MAX)
			r = err_set(err, -E2BIG, "%s has more than %d units", path, ADOPTIONS_MAX);
	}
	closedir(d);
	if (r >= 0 && n > 1)
		qsort(*ret, n, sizeof(**ret), by_text);
	return r;
}

int adoption_load_all(const ProductionPlaces *p, Adoption **ret, size_t *ret_n, Err *err)
{
	_cleanup_(close_fd) int dir = -1;
	_cleanup_(strings_freep) char **units = NULL;
	size_t n = 0;
	int r = open_dir(p, &dir, err);

	*ret = NULL;
	*ret_n = 0;
	if (r < 0)
		return r == -ENOENT ? 0 : r;
	r = list_units(dir, p->adopted_dir, &units, err);
	if (r < 0 || !units)
		return r;
	Adoption *list = calloc(ADOPTIONS_MAX, sizeof(*list));
	if (!list)
		return err_oom(err);
	for (char **u = units; r >= 0 && *u; u++) {
		r = load(p, dir, *u, &list[n], err);
		n += r >= 0;
		if (r == -ENOENT) /* given back meanwhile */
			r = 0;
	}
	if (r < 0) {
		adoption_free_all(list, n);
		return r;
	}
	*ret = list;
	*ret_n = n;
	return 0;
}

/* --- Writing and removing --------------------------------------------------------------------- */

/* A folder and its name in the one above are on the disk. */
static int make_dir(const char *path, Err *err)
{
	int r = dir_make(path, 0755, err);
	return r < 0 ? r : dir_sync_of(path, err);
}

/* What file_write() was writing when it was killed: ".NAME.PID-N~" beside it. */
static bool is_leftover(const char *entry, const char *name)
{
	size_t len = strlen(name), n = strlen(entry);
	return n > len + 3 && entry[0] == '.' && strncmp(entry + 1, name, len) == 0 &&
	       entry[len + 1] == '.' && entry[n - 1] == '~' &&
	       strspn(entry + len + 2, "0123456789-") == n - len - 3;
}

/* Best effort: nobody reads such a file. */
static void sweep(const char *path)
{
	_cleanup_free_ char *dir = path_dir(path);
	const char *slash = strrchr(path, '/');
	DIR *d = dir && slash ? opendir(dir) : NULL;
	if (!d)
		return;
	for (struct dirent *e = readdir(d); e; e = readdir(d))
		if (is_leftover(e->d_name, slash + 1))
			(void)unlinkat(dirfd(d), e->d_name, 0);
	closedir(d);
}

static int write_json(const ProductionPlaces *p, const Adoption *a, Err *err)
{
	_cleanup_(str_done) Str text = STR_INIT;
	_cleanup_free_ char *path = str_fmt("%s/%s.json", p->adopted_dir, a->unit);
	json_auto_t *o = adoption_json(a);
	_cleanup_free_ char *json =
	    o ? json_dumps(o, JSON_INDENT(2) | JSON_REAL_PRECISION(17)) : NULL;
	if (!path || !json)
		return err_oom(err);
	sweep(path);
	str_addf(&text, "%s\n", json);
	return text.failed ? err_oom(err) : file_write(path, 0644, text.s, text.len, err);
}

int adoption_write(const ProductionPlaces *p, const Adoption *a, const char *dropin_text, Err *err)
{
	_cleanup_free_ char *dir = path_dir(a->dropin);
	if (!dir)
		return err_oom(err);
	int r = make_dir(p->adopted_dir, err);
	if (r >= 0)
		r = write_json(p, a, err);
	if (r >= 0)
		r = make_dir(dir, err);
	sweep(a->dropin);
	return r < 0 ? r : file_write(a->dropin, 0644, dropin_text, strlen(dropin_text), err);
}

static int remove_one(const char *path, Err *err)
{
	if (unlink(path) < 0 && errno != ENOENT)
		return no(-errno, "remove", path, err);
	int r = dir_sync_of(path, err);
	return r == -ENOENT ? 0 : r;
}

/* The drop-in first: what is left by a power cut in between is a unit as it was found, with a note
 * about it that a second --undo takes away. */
int adoption_remove(const ProductionPlaces *p, const Adoption *a, Err *err)
{
	_cleanup_free_ char *dir = path_dir(a->dropin);
	_cleanup_free_ char *path = str_fmt("%s/%s.json", p->adopted_dir, a->unit);
	if (!dir || !path)
		return err_oom(err);
	sweep(a->dropin);
	sweep(path);
	int r = remove_one(a->dropin, err);
	if (r < 0)
		return r;
	if (rmdir(dir) < 0 && errno != ENOTEMPTY && errno != EEXIST && errno != ENOENT)
		return no(-errno, "remove the folder", dir, err);
	r = dir_sync_of(dir, err);
	return r < 0 && r != -ENOENT ? r : remove_one(path, err);
}
