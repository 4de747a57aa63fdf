/* Every file of tests/golden/config/ is broken in some way, and NAME.err beside it holds exactly
 * what is said about it. `DREAM_GOLDEN_UPDATE=1` rewrites them: read the difference before it is
 * committed. */
#include <dirent.h>
#include <unistd.h>

#include "base/file.h"
#include "config/config.h"
#include "test.h"

static int is_yaml(const struct dirent *e)
{
	size_t n = strlen(e->d_name);

	return n > 5 && strcmp(e->d_name + n - 5, ".yaml") == 0;
}

static void said_about(const char *file, Str *out, size_t *ret_errors)
{
	_cleanup_(diags_done) Diags d = DIAGS_INIT;
	_cleanup_(config_freep) Plan *p = NULL;
	Err err = ERR_INIT;
	int r = config_load(file, DIAG_ERROR, &p, &d, &err);

	if (r != -EBADMSG || p)
		test_fail(__FILE__, __LINE__, "%s: %d (%s), want EBADMSG and no plan", file, r,
			  err.msg);
	diags_text(&d, out);
	*ret_errors = d.errors;
}

static void check_file(const char *file)
{
	_cleanup_(str_done) Str out = STR_INIT;
	_cleanup_free_ char *want = NULL, *path = str_fmt("%.*s.err", (int)strlen(file) - 5, file);
	size_t errors, len;

	said_about(file, &out, &errors);
	if (errors == 0)
		test_fail(__FILE__, __LINE__, "%s: no mistake was found", file);
	if (getenv("DREAM_GOLDEN_UPDATE")) {
		CHECK_OK(file_write(path, 0644, out.s, out.len, NULL));
		return;
	}
	CHECK_OK(file_read(path, 1 << 20, &want, &len, NULL));
	if (strcmp(want, out.s) != 0)
		test_fail(__FILE__, __LINE__, "%s: want\n%sbut it is\n%s", path, want, out.s);
}

TEST(every_broken_configuration_gets_exactly_its_messages)
{
	struct dirent **files;
	int n;

	CHECK_OK(chdir(SOURCE_ROOT "/tests/golden/config"));
	n = scandir(".", &files, is_yaml, alphasort);
	CHECK(n >= 60);
	for (int i = 0; i < n; i++) {
		check_file(files[i]->d_name);
		free(files[i]);
	}
	free(files);
}
