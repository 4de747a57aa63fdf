/* What decides what a gpu_allocation trial is asked: its prompts, its fixed answers, its clips and
 * what is said in them. Edited, old measurements mean something else. */
#include <dirent.h>
#include <string.h>

#include "base/file.h"
#include "eval/internal.h"

enum {
	CONTENT_MAX = 64 << 20, /* of one file */
	CLIPS_MAX = 100000,
};

static int add_file(Hash *all, const char *dir, const char *name, Err *err)
{
	size_t len = 0;
	_cleanup_free_ char *path = path_join(dir, name);
	if (!path)
		return err_oom(err);
	_cleanup_free_ char *text = NULL;
	int r = file_read(path, CONTENT_MAX, &text, &len, err);
	if (r < 0)
		return r;
	*all = hash_link(all, name, strlen(name));
	*all = hash_link(all, text, len);
	return 0;
}

static int is_clip(const struct dirent *e)
{
	size_t n = strlen(e->d_name);
	return n > 4 && e->d_name[0] != '.' &&
	       (strcasecmp(e->d_name + n - 4, ".wav") == 0 ||
		strcasecmp(e->d_name + n - 4, ".txt") == 0);
}

/* In the order of their names, which is the same on every machine. */
static int by_name(const struct dirent **a, const struct dirent **b)
{
	return strcmp((*a)->d_name, (*b)->d_name);
}

static int add_folder(Hash *all, const char *dir, Err *err)
{
	struct dirent **list = NULL;
	int n = scandir(dir, &list, is_clip, by_name), r = 0;
	if (n < 0)
		return err_set(err, -errno, "cannot read the folder of clips %s: %s", dir,
			       strerror(errno));
	if (n > CLIPS_MAX)
		r = err_set(err, -E2BIG, "there are more than %d clips in %s", CLIPS_MAX, dir);
	for (int i = 0; i < n; i++) {
		if (r >= 0)
			r = add_file(all, dir, list[i]->d_name, err);
		free(list[i]);
	}
	free(list);
	return r;
}

int allocation_content(const AllocationSpec *s, const char *base_dir, char ret[HASH_HEX_SIZE],
		       Err *err)
{
	Hash all = {0};
	_cleanup_free_ char *clips = s->clips ? path_join(base_dir, s->clips) : NULL;
	int r = s->clips && !clips ? err_oom(err) : 0;
	if (r >= 0 && s->prompts)
		r = add_file(&all, base_dir, s->prompts, err);
	if (r >= 0 && s->answers)
		r = add_file(&all, base_dir, s->answers, err);
	if (r >= 0 && clips)
		r = add_folder(&all, clips, err);
	if (r >= 0)
		hash_hex(&all, ret);
	return r;
}
