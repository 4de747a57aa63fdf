/* Adoptions on the disk: read back as they were written, and believed only where nobody else could
 * have written them. */
#include <sys/stat.h>
#include <unistd.h>

#include "planned.h"
#include "scratch.h"

/* --- On the disk ------------------------------------------------------------------------------ */

typedef struct Disk_ {
	char dir[64];
	ProductionPlaces p;
} Here;

static Here here(void)
{
	Here h = {.dir = "/tmp/dream-adoption-XXXXXX"};
	CHECK(mkdtemp(h.dir) != NULL);
	h.p.adopted_dir = str_fmt("%s/etc/dream/adopted", h.dir);
	h.p.state_dir = str_fmt("%s/state", h.dir);
	h.p.unit_dir = str_fmt("%s/units", h.dir);
	return h;
}

static void here_done(Here *h)
{
	(void)scratch_clear(h->dir);
	productionplaces_done(&h->p);
}

#define HERE(h) __attribute__((cleanup(here_done))) Here h = here()

/* As if it had been planned for these places. */
static void put_here(const Here *h, Planned *p)
{
	free(p->a.dropin);
	p->a.dropin = adoption_dropin_path(&h->p, p->a.unit);
}

static void check_same(const Adoption *a, const Adoption *b)
{
	CHECK_STR(a->unit, b->unit);
	CHECK_STR(a->fingerprint, b->fingerprint);
	CHECK_STR(a->command, b->command);
	CHECK_INT(a->n, b->n);
	for (size_t i = 0; i < a->n; i++) {
		const AdoptedTarget *x = &a->targets[i], *y = &b->targets[i];
		CHECK_INT(x->kind, y->kind);
		CHECK_STR(x->parameter, y->parameter);
		CHECK_STR(x->name, y->name);
		CHECK(!x->path == !y->path && (!x->path || strcmp(x->path, y->path) == 0));
		CHECK(!x->variable == !y->variable &&
		      (!x->variable || strcmp(x->variable, y->variable) == 0));
		CHECK(!x->file_sha256 == !y->file_sha256);
		CHECK(x->allowed.has_range == y->allowed.has_range);
		CHECK_NEAR(x->allowed.max, y->allowed.max, 0);
	}
}

TEST(an_adoption_is_read_back_as_it_was_written_and_removed_without_a_trace)
{
	HERE(h);
	const Case c = {.files = UNIT("ExecStart=/bin/x --a 0.45\n"),
			.reads = {{"/f", "K=1\n"}},
			.wishes = {"p=--a", "r=/f:K"},
			.after = {(char[]){"v.service"}}};
	PLANNED(p, &c);
	Adoption back = {0}, *all = NULL;
	size_t n = 0;
	Err err = ERR_INIT;
	CHECK_OK(p.r);
	put_here(&h, &p);
	p.a.targets[0].allowed = (Allowed){true, 0.1, 0.7, NULL};
	CHECK_ERR(adoption_load(&h.p, "judge.service", &back, &err), ENOENT);
	CHECK_OK(adoption_load_all(&h.p, &all, &n, &err));
	CHECK_INT(n, 0);
	CHECK_OK(adoption_write(&h.p, &p.a, p.dropin, &err));
	CHECK_OK(adoption_load(&h.p, "judge.service", &back, &err));
	check_same(&back, &p.a);
	CHECK_STR(back.after[0], "v.service");
	adoption_done(&back);
	CHECK_OK(adoption_load_all(&h.p, &all, &n, &err));
	CHECK_INT(n, 1);
	adoption_free_all(all, n);

	_cleanup_free_ char *text = NULL;
	size_t len;
	CHECK_OK(file_read(p.a.dropin, 4096, &text, &len, &err));
	CHECK_STR(text, p.dropin);
	CHECK_OK(adoption_remove(&h.p, &p.a, &err));
	_cleanup_free_ char *dir = path_dir(p.a.dropin);
	CHECK(access(dir, F_OK) < 0);
	CHECK_ERR(adoption_load(&h.p, "judge.service", &back, &err), ENOENT);
	CHECK_OK(adoption_remove(&h.p, &p.a, &err)); /* a second time, after a power cut */
}

TEST(other_drop_ins_keep_their_folder)
{
	HERE(h);
	const Case c = {.files = UNIT("ExecStart=/bin/x --a 0.45\n"), .wishes = {"p=--a"}};
	PLANNED(p, &c);
	Err err = ERR_INIT;
	put_here(&h, &p);
	CHECK_OK(adoption_write(&h.p, &p.a, p.dropin, &err));
	_cleanup_free_ char *other = str_fmt("%s/units/judge.service.d/override.conf", h.dir);
	CHECK_OK(file_write(other, 0644, "[Service]\n", 10, &err));
	CHECK_OK(adoption_remove(&h.p, &p.a, &err));
	CHECK_OK(access(other, F_OK));
	CHECK(access(p.a.dropin, F_OK) < 0);
}

static void check_refused(const Here *h, const char *text, int code)
{
	_cleanup_free_ char *path = str_fmt("%s/judge.service.json", h->p.adopted_dir);
	Adoption a = {0}, *all = NULL;
	size_t n = 0;
	Err err = ERR_INIT, all_err = ERR_INIT;
	CHECK_OK(file_write(path, 0644, text, strlen(text), &err));
	int r = adoption_load(&h->p, "judge.service", &a, &err);
	if (r != code)
		printf("# %d for %s\n", r, text);
	CHECK_INT(r, code);
	CHECK(strstr(err.msg, "judge.service"));
	CHECK_INT(adoption_load_all(&h->p, &all, &n, &all_err), code);
}

static char *edited(const char *text, const char *from, const char *to)
{
	const char *at = strstr(text, from);
	CHECK(at != NULL);
	return str_fmt("%.*s%s%s", (int)(at - text), text, to, at + strlen(from));
}

TEST(an_adoption_file_that_we_did_not_write_is_refused)
{
	static const char *const edits[][2] = {
	    {"\"dream.adoption/v1\"", "\"dream.adoption/v2\""},
	    {"\"unit\": \"judge.service\"", "\"unit\": \"other.service\""},
	    {"\"parameter\": \"p\"", "\"parameter\": 1"},
	    {"\"parameter\": \"p\"", "\"parameter\": \"p\", \"command\": \"rm\""},
	    {"\"kind\": \"flag\"", "\"kind\": \"shell\""},
	    {"\"kind\": \"flag\"", "\"kind\": \"key\""},
	    {"\"variable\": \"DREAM_P\"", "\"variable\": null"},
	    {"\"variable\": \"DREAM_P\"", "\"variable\": \"A B\""},
	    {"\"variable\": \"DREAM_P\"", "\"variable\": \"A\\nLD_PRELOAD\""},
	    {"\"allowed\": {", "\"allowed\": {\"min\": 1"},
	    {"\"allowed\": {", "\"allowed\": {\"min\": 2, \"max\": 1"},
	    {"\"allowed\": {", "\"allowed\": {\"words\": []"},
	    {"\"after\": [", "\"after\": [1"},
	    {"/units/judge.service.d/", "/units/../../etc/judge.service.d/"},
	    {"\"fingerprint\": \"", "\"fingerprint\": \"x"},
	    {"\"file_sha256\": null", "\"file_sha256\": \"00\""},
	};
	HERE(h);
	const Case c = {.files = UNIT("ExecStart=/bin/x --a 0.45\n"), .wishes = {"p=--a"}};
	PLANNED(p, &c);
	Err err = ERR_INIT;
	put_here(&h, &p);
	CHECK_OK(adoption_write(&h.p, &p.a, p.dropin, &err));
	_cleanup_free_ char *path = str_fmt("%s/judge.service.json", h.p.adopted_dir);
	_cleanup_free_ char *text = NULL;
	size_t len;
	CHECK_OK(file_read(path, 1 << 16, &text, &len, &err));
	for (size_t i = 0; i < sizeof(edits) / sizeof(edits[0]); i++) {
		_cleanup_free_ char *bad = edited(text, edits[i][0], edits[i][1]);
		check_refused(&h, bad, -EBADMSG);
	}
	check_refused(&h, "", -EBADMSG);
	check_refused(&h, "{}", -EBADMSG);
	text[len / 2] = '\0';
	check_refused(&h, text, -EBADMSG);
}

TEST(an_adoption_that_others_could_have_written_is_refused)
{
	HERE(h);
	const Case c = {.files = UNIT("ExecStart=/bin/x --a 0.45\n"), .wishes = {"p=--a"}};
	PLANNED(p, &c);
	Adoption a = {0};
	Err err = ERR_INIT;
	put_here(&h, &p);
	CHECK_OK(adoption_write(&h.p, &p.a, p.dropin, &err));
	_cleanup_free_ char *path = str_fmt("%s/judge.service.json", h.p.adopted_dir);
	_cleanup_free_ char *link = str_fmt("%s/link.service.json", h.p.adopted_dir);
	CHECK_OK(chmod(path, 0664));
	CHECK_ERR(adoption_load(&h.p, "judge.service", &a, &err), EPERM);
	CHECK_OK(chmod(path, 0644));
	CHECK_OK(chmod(h.p.adopted_dir, 0777));
	CHECK_ERR(adoption_load(&h.p, "judge.service", &a, &err), EPERM);
	CHECK_OK(chmod(h.p.adopted_dir, 0755));
	CHECK_OK(symlink(path, link));
	CHECK_ERR(adoption_load(&h.p, "link.service", &a, &err), ELOOP);
	CHECK_ERR(adoption_load(&h.p, "../judge.service", &a, &err), EINVAL);
}

TEST(files_for_copies_are_read_without_following_links)
{
	HERE(h);
	Err err = ERR_INIT;
	char *text = NULL;
	_cleanup_free_ char *file = str_fmt("%s/env", h.dir), *link = str_fmt("%s/link", h.dir);
	_cleanup_free_ char *sub = str_fmt("%s/sub", h.dir),
			    *through = str_fmt("%s/sub/env", h.dir);
	CHECK_OK(file_write(file, 0600, "A=1\n", 4, &err));
	CHECK_OK(symlink(file, link));
	CHECK_OK(symlink(h.dir, sub));
	CHECK_OK(adoption_read_file(NULL, file, &text, &err));
	CHECK_STR(text, "A=1\n");
	free(text);
	CHECK_ERR(adoption_read_file(NULL, link, &text, &err), ELOOP);
	CHECK_ERR(adoption_read_file(NULL, through, &text, &err), ELOOP);
	CHECK_ERR(adoption_read_file(NULL, h.dir, &text, &err), EINVAL);
	CHECK_ERR(adoption_read_file(NULL, "/dev/null", &text, &err), EINVAL);
	CHECK_OK(unlink(link));
	CHECK_OK(adoption_read_file(NULL, link, &text, &err));
	CHECK(text == NULL);
}
