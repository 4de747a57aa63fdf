/* The files of a generation, from adoptions and values. */
#include "base/file.h"
#include "base/json.h"
#include "production/generation.h"
#include "test.h"

typedef struct File {
	const char *path, *text;
} File;

static int read_file(void *ctx, const char *path, char **ret, Err *err)
{
	(void)err;
	*ret = NULL;
	for (const File *f = ctx; f->path; f++)
		if (strcmp(f->path, path) == 0) {
			*ret = strdup(f->text);
			return *ret ? 0 : -ENOMEM;
		}
	return 0;
}

#define T(p, k, n, ...)                                                               \
	{                                                                             \
		.parameter = (char[]){p}, .kind = k, .name = (char[]){n}, __VA_ARGS__ \
	}
#define VAR(v)               \
	.variable = (char[]) \
	{                    \
		v            \
	}
#define COPY(f)                                      \
	.path = (char[]){f}, .file_sha256 = (char[]) \
	{                                            \
		"x"                                  \
	}

typedef struct Rendered {
	GenerationFile *files;
	size_t n;
	char id[GENERATION_ID_SIZE];
	int r;
	Err err;
} Rendered;

static void rendered_done(Rendered *x)
{
	generationfiles_free(x->files, x->n);
}

#define RENDERED(x, ...) __attribute__((cleanup(rendered_done))) Rendered x = render(__VA_ARGS__)

static Rendered render(const Adoption *units, size_t n, const char *values, const File *files)
{
	static const File none[] = {{0}};
	Rendered x = {.err = ERR_INIT};
	json_auto_t *v = json_loads(values, 0, NULL);
	CHECK(v != NULL);
	x.r = generation_render(units, n, v, read_file, (void *)(uintptr_t)(files ? files : none),
				x.id, &x.files, &x.n, &x.err);
	if (x.r < 0)
		CHECK(x.err.msg[0]);
	return x;
}

static const GenerationFile *file(const Rendered *x, const char *name)
{
	if (x->r < 0)
		printf("# %s\n", x->err.msg);
	CHECK_OK(x->r);
	for (size_t i = 0; i < x->n; i++)
		if (strcmp(x->files[i].name, name) == 0)
			return &x->files[i];
	printf("# there is no %s\n", name);
	CHECK(false);
	return NULL;
}

static AdoptedTarget judge_targets[] = {
    T("util", TARGET_FLAG, "--util", VAR("DREAM_UTIL"), .allowed = {true, 0.1, 0.9, NULL}),
    T("util", TARGET_ENV, "UTIL", VAR("UTIL")),
    T("util", TARGET_FLAG, "-u", VAR("DREAM_UTIL")),
    T("size", TARGET_KEY, "SIZE", COPY("/a.env")),
    T("util", TARGET_CONFIG, "gpu-util", COPY("/c.yaml")),
    T("size", TARGET_KEY, "OLD_SIZE", COPY("/a.env")),
};
static AdoptedTarget voice_targets[] = {T("size", TARGET_ENV, "S", VAR("S"))};
static char judge_name[] = "judge.service", voice_name[] = "voice@a\\x2db.service";
static const Adoption both[] = {{.unit = judge_name, .targets = judge_targets, .n = 6},
				{.unit = voice_name, .targets = voice_targets, .n = 1}};
static const File texts[] = {{"/a.env", "# x\nSIZE='small' \nTOKEN=1\nSIZE=base"},
			     {"/c.yaml", "a: 1\ngpu_util: 0.5  # half\n"},
			     {0}};

#define VALUES                                                     \
	"{\"judge.service\":{\"util\":\"0.4\",\"size\":\"tiny\"}," \
	"\"voice@a\\\\x2db.service\":{\"size\":\"tiny\"}}"

TEST(every_unit_gets_its_data_file_and_its_copies)
{
	RENDERED(x, both, 2, VALUES, texts);
	CHECK_STR(file(&x, "judge.service.env")->text, "DREAM_UTIL=0.4\nUTIL=0.4\n");
	CHECK_STR(file(&x, "voice@a\\x2db.service.env")->text, "S=tiny\n");
	CHECK_STR(file(&x, "judge.service.file0")->text,
		  "# x\nSIZE='tiny' \nTOKEN=1\nSIZE=tiny\nOLD_SIZE=tiny\n");
	CHECK_STR(file(&x, "judge.service.file1")->text, "a: 1\ngpu_util: 0.4  # half\n");
	CHECK_STR(file(&x, "values.json")->text,
		  "{\"judge.service\": {\"size\": \"tiny\", \"util\": \"0.4\"}, "
		  "\"voice@a\\\\x2db.service\": {\"size\": \"tiny\"}}\n");
	CHECK_INT(x.n, 5);
}

TEST(copies_are_for_nobody_else_to_read)
{
	RENDERED(x, both, 2, VALUES, texts);
	CHECK_INT(file(&x, "judge.service.file0")->mode, 0600);
	CHECK_INT(file(&x, "judge.service.file1")->mode, 0600);
	CHECK_INT(file(&x, "judge.service.env")->mode, 0);
}

TEST(the_same_content_has_the_same_id_and_another_has_another)
{
	static const File other[] = {
	    {"/a.env", "SIZE=small\nTOKEN=2\n"}, {"/c.yaml", "a: 1\ngpu_util: 0.5  # half\n"}, {0}};
	RENDERED(a, both, 2, VALUES, texts);
	RENDERED(b, both, 2, VALUES, texts);
	RENDERED(c, both, 2,
		 "{\"judge.service\":{\"util\":\"0.5\",\"size\":\"tiny\"},"
		 "\"voice@a\\\\x2db.service\":{\"size\":\"tiny\"}}",
		 texts);
	RENDERED(d, both, 2, VALUES, other);
	CHECK_OK(a.r | b.r | c.r | d.r);
	CHECK_STR(a.id, b.id);
	CHECK_INT(strlen(a.id), 16);
	CHECK_INT(strspn(a.id, "0123456789abcdef"), 16);
	CHECK(strcmp(a.id, c.id) != 0);
	CHECK(strcmp(a.id, d.id) != 0);
}

TEST(values_that_are_not_allowed_are_refused)
{
	static const char *const bad[] = {
	    "0.95",    "0.05",	"nan",	"small", "",	  "0.4 --port 1", "0.4\\nX=1", "-0.4",
	    "0.4;",    "$(id)", "`id`", "0.4#",	 "'0.4'", "\\\"0.4\\\"",  "0.4\\\\",   "0x1p-1 ",
	    "\\u00e4", "0.4=1", "%i",	"*"};
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		_cleanup_free_ char *values =
		    str_fmt("{\"judge.service\":{\"util\":\"%s\",\"size\":\"tiny\"},"
			    "\"voice@a\\\\x2db.service\":{\"size\":\"tiny\"}}",
			    bad[i]);
		RENDERED(x, both, 2, values, texts);
		if (x.r != -EPERM)
			printf("# %s: %d\n", bad[i], x.r);
		CHECK_INT(x.r, -EPERM);
	}
}

TEST(values_must_be_those_of_the_adopted_units_and_no_more)
{
	static const char *const bad[] = {
	    "{}",
	    "{\"judge.service\":{\"util\":\"0.4\",\"size\":\"tiny\"}}",
	    "{\"judge.service\":{\"util\":\"0.4\"},\"voice@a\\\\x2db.service\":{\"size\":\"tiny\"}"
	    "}",
	    "{\"judge.service\":{\"util\":0.4,\"size\":\"tiny\"},"
	    "\"voice@a\\\\x2db.service\":{\"size\":\"tiny\"}}",
	    "{\"judge.service\":{\"util\":\"0.4\",\"size\":\"tiny\",\"x\":\"1\"},"
	    "\"voice@a\\\\x2db.service\":{\"size\":\"tiny\"}}",
	    "{\"judge.service\":{\"util\":\"0.4\",\"size\":\"tiny\"},"
	    "\"voice@a\\\\x2db.service\":{\"size\":\"tiny\"},\"other.service\":{}}",
	    "{\"judge.service\":[],\"voice@a\\\\x2db.service\":{\"size\":\"tiny\"}}",
	};
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		RENDERED(x, both, 2, bad[i], texts);
		CHECK_INT(x.r, -EINVAL);
	}
}

TEST(no_units_are_a_generation_too)
{
	RENDERED(x, NULL, 0, "{}", NULL);
	CHECK_STR(file(&x, "values.json")->text, "{}\n");
	CHECK_INT(x.n, 1);
}

TEST(a_file_that_is_gone_or_cannot_be_changed_is_an_error)
{
	static const File gone[] = {{"/c.yaml", "gpu_util: 1\n"}, {0}},
			  odd[] = {{"/a.env", "SIZE='a\nb'\n"}, {"/c.yaml", "gpu_util: 1\n"}, {0}},
			  nested[] = {{"/a.env", ""}, {"/c.yaml", "gpu_util:\n  x: 1\n"}, {0}};
	RENDERED(a, both, 2, VALUES, gone);
	CHECK_INT(a.r, -ENOENT);
	RENDERED(b, both, 2, VALUES, odd);
	CHECK_INT(b.r, -ENOTSUP);
	RENDERED(c, both, 2, VALUES, nested);
	CHECK_INT(c.r, -ENOTSUP);
}

/* --- Texts with one key changed --------------------------------------------------------------- */

static void check_copy(TargetKind kind, const char *key, const char *text, const char *want)
{
	char path[] = "/f", unit[] = "u.service", parameter[] = "p", hash[] = "x";
	_cleanup_free_ char *name = strdup(key);
	AdoptedTarget t = {
	    .parameter = parameter, .kind = kind, .name = name, .path = path, .file_sha256 = hash};
	const Adoption a = {.unit = unit, .targets = &t, .n = 1};
	const File files[] = {{path, text}, {0}};
	RENDERED(x, &a, 1, "{\"u.service\":{\"p\":\"new\"}}", files);
	if (!want) {
		if (x.r >= 0)
			printf("# taken: %s\n", text);
		CHECK(x.r < 0);
		return;
	}
	CHECK_STR(file(&x, "u.service.file0")->text, want);
}

TEST(in_an_env_file_every_other_byte_stays)
{
	static const char *const cases[][2] = {
	    {"K=old\n", "K=new\n"},
	    {"K=old", "K=new"},
	    {"", "K=new\n"},
	    {"A=1", "A=1\nK=new\n"},
	    {"K=\nA=1\n", "K=new\nA=1\n"},
	    {"  export  K = \"old\"  \n# K=comment\n;K=other\nKK=1\nK2=K=3\n",
	     "  export  K = \"new\"  \n# K=comment\n;K=other\nKK=1\nK2=K=3\n"},
	    {"A='x\nK=inside\n'\nK='old'\r\nB=1\r\n", "A='x\nK=inside\n'\nK='new'\r\nB=1\r\n"},
	    {"A=\"x \\\" \nK=inside\"\nK=old\n", "A=\"x \\\" \nK=inside\"\nK=new\n"},
	    {"A=it's\nK=old\nB=isn't\n", "A=it's\nK=new\nB=isn't\n"},
	    {"A=x\\\nK=inside\nK=old\n", "A=x\\\nK=inside\nK=new\n"},
	    {"K=old with blanks # and more\n", "K=new\n"},
	    {"K='a''b'\n", "K=new\n"},
	    {"no assignment\nK=old\n", "no assignment\nK=new\n"},
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		check_copy(TARGET_KEY, "K", cases[i][0], cases[i][1]);
	check_copy(TARGET_KEY, "K", "K='over\nlines'\n", NULL);
	check_copy(TARGET_KEY, "K", "K=over\\\nlines\n", NULL);
	check_copy(TARGET_KEY, "K", "K=old\nA='open\n", NULL);
	check_copy(TARGET_KEY, "K", "# a comment \\\nK=old\n", NULL);
}

TEST(in_a_config_file_every_other_byte_stays)
{
	static const char *const cases[][2] = {
	    {"k: old\n", "k: new\n"},
	    {"k: old", "k: new"},
	    {"a: 1", "a: 1\nk: new\n"},
	    {"# k: c\na:\n  k: nested\nk: old # c\nz: [k, 1]\n",
	     "# k: c\na:\n  k: nested\nk: new # c\nz: [k, 1]\n"},
	    {"k : 'old'\r\nb: 1\r\n", "k : 'new'\r\nb: 1\r\n"},
	    {"k: \"old\"\n", "k: \"new\"\n"},
	    {"k: 0.5\n", "k: new\n"},
	    {"k: old#1\n", "k: new\n"},
	    {"a: {b: 1,\n  k: 2}\nk: old\n", "a: {b: 1,\n  k: 2}\nk: new\n"},
	    {"---\nk: old\n", "---\nk: new\n"},
	};
	static const char *const bad[] = {"k: [1]\n",
					  "k:\n  a: 1\n",
					  "k: |\n  old\n",
					  "k: old\n  more\n",
					  "k: old\nk: old\n",
					  "{k: old}\n",
					  "- k\n",
					  "\"k\": old\n",
					  "k: &x old\n",
					  "k: !!str old\n",
					  "a: 1\n...\n",
					  "k: \"o\\\"d\"\n",
					  "a: |\n k: old\nk: |\n x\n",
					  "\tk: old\n",
					  "a: 1\n---\nb: 1\n",
					  "a: \"x\nk: y\"\n"};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		check_copy(TARGET_CONFIG, "k", cases[i][0], cases[i][1]);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		check_copy(TARGET_CONFIG, "k", bad[i], NULL);
}
