/* Stands in for libFuzzer: every file named, and every file in a folder named, is given to the
 * target once, in the order of their names. */
#include <dirent.h>
#include <string.h>
#include <sys/stat.h>

#include "fuzz.h"

static long replayed;

/* A buffer of exactly the file's size, so that a sanitizer sees the first byte read past it. */
static void replay_file(const char *path, size_t size)
{
	FILE *f = fopen(path, "re");
	uint8_t *data = malloc(size ? size : 1);
	if (!f || !data || fread(data, 1, size, f) != size) {
		perror(path);
		exit(1);
	}
	(void)fclose(f);
	fprintf(stderr, "%s\n", path);
	(void)LLVMFuzzerTestOneInput(data, size);
	free(data);
	replayed++;
}

static void replay(const char *path);

static void replay_folder(const char *path)
{
	struct dirent **names = NULL;
	int n = scandir(path, &names, NULL, alphasort);
	if (n < 0) {
		perror(path);
		exit(1);
	}
	for (int i = 0; i < n; i++) {
		char *inner = NULL;
		if (names[i]->d_name[0] != '.') {
			if (asprintf(&inner, "%s/%s", path, names[i]->d_name) < 0)
				exit(1);
			replay(inner);
			free(inner);
		}
		free(names[i]);
	}
	free(names);
}

static void replay(const char *path)
{
	struct stat st;
	if (stat(path, &st) < 0) {
		perror(path);
		exit(1);
	}
	if (S_ISDIR(st.st_mode))
		replay_folder(path);
	else
		replay_file(path, (size_t)st.st_size);
}

int main(int argc, char **argv)
{
	for (int i = 1; i < argc; i++)
		replay(argv[i]);
	printf("%ld inputs\n", replayed);
	return replayed > 0 ? 0 : 1;
}
