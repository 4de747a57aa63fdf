/* The chain as a file. */
#include "fixture.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "record/export.h"

typedef struct Exported {
	char path[48];
	Str text;
} Exported;

static void exported_make(Exported *e)
{
	Links l;
	*e = (Exported){0};
	snprintf(e->path, sizeof(e->path), "/tmp/dream-export-XXXXXX");
	int fd = mkstemp(e->path);
	CHECK(fd >= 0);
	close(fd);
	links_make(&l);
	for (size_t i = 0; i < l.n; i++)
		CHECK_OK(record_export_line(&l.r[i], &e->text, NULL));
	links_done(&l);
}

static void exported_done(Exported *e)
{
	unlink(e->path);
	str_done(&e->text);
}

/* What is said of this text in a file. */
static char *judge(const Exported *e, const char *text, size_t len, int want)
{
	static const ChainSpec any = {0};
	char *said = NULL;
	struct stat st;
	/* In its place: each file that is made empty first may wait for the disk. */
	int fd = open(e->path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	CHECK(fd >= 0 && pwrite(fd, text, len, 0) == (ssize_t)len && fstat(fd, &st) == 0);
	CHECK(st.st_size == (off_t)len || ftruncate(fd, (off_t)len) == 0);
	close(fd);
	CHECK_INT(record_verify_export(e->path, &any, &said, NULL), want);
	return said;
}

TEST(a_line_is_canonical_json_and_is_read_back)
{
	Exported e;
	exported_make(&e);
	static const char begin[] = "{\"at_us\": 1000, \"body\": {\"n\": 1}, \"hash\": \"";
	CHECK(strncmp(e.text.s, begin, strlen(begin)) == 0);
	Record r;
	CHECK_OK(record_from_line(e.text.s, strcspn(e.text.s, "\n"), &r, NULL));
	CHECK_INT(r.seq, 1);
	CHECK_INT(r.at_us, 1000);
	CHECK_STR(r.kind, "note");
	CHECK_STR(r.body, "{\"n\": 1}");
	record_done(&r);
	exported_done(&e);
}

TEST(an_untouched_export_is_sound)
{
	Exported e;
	exported_make(&e);
	_cleanup_free_ char *said = judge(&e, e.text.s, e.text.len, 0);
	CHECK_STR(said, "12 records, without a signed head");
	exported_done(&e);
}

TEST(any_flipped_bit_of_an_export_is_found)
{
	Exported e;
	exported_make(&e);
	/* The last line cannot be told from a torn one when its newline is hit: an error too. */
	for (size_t bit = 0; bit < 8 * e.text.len; bit++) {
		e.text.s[bit / 8] = (char)(e.text.s[bit / 8] ^ (1 << bit % 8));
		_cleanup_free_ char *said = judge(&e, e.text.s, e.text.len, -EBADMSG);
		CHECK(said && (strstr(said, "record") || strstr(said, "line ")));
		e.text.s[bit / 8] = (char)(e.text.s[bit / 8] ^ (1 << bit % 8));
	}
	exported_done(&e);
}

TEST(removed_inserted_and_reordered_lines_are_named)
{
	Exported e;
	exported_make(&e);
	char *second = strchr(e.text.s, '\n') + 1, *third = strchr(second, '\n') + 1;
	_cleanup_free_ char *edited = str_fmt("%.*s%s", (int)(second - e.text.s), e.text.s, third);
	_cleanup_free_ char *a = judge(&e, edited, strlen(edited), -EBADMSG);
	CHECK_STR(a, "record 2 is missing");
	_cleanup_free_ char *doubled = str_fmt("%.*s%s", (int)(third - e.text.s), e.text.s, second);
	_cleanup_free_ char *b = judge(&e, doubled, strlen(doubled), -EBADMSG);
	CHECK_STR(b, "record 2 comes after record 2: it was inserted or moved");
	_cleanup_free_ char *turned = str_fmt("%.*s%.*s%s", (int)(third - second), second,
					      (int)(second - e.text.s), e.text.s, third);
	_cleanup_free_ char *c = judge(&e, turned, strlen(turned), -EBADMSG);
	CHECK_STR(c, "record 1 is missing");
	exported_done(&e);
}

TEST(a_file_that_is_no_export_is_refused)
{
	Exported e;
	exported_make(&e);
	static const char *const texts[] = {"\n", "x\n", "{}\n", "[1]\n", "{\"seq\": 1}\n", "{"};
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		_cleanup_free_ char *said = judge(&e, texts[i], strlen(texts[i]), -EBADMSG);
		CHECK(strncmp(said, "line 1: ", 8) == 0);
	}
	_cleanup_free_ char *torn = judge(&e, e.text.s, e.text.len - 5, -EBADMSG);
	CHECK_STR(torn, "line 12: it has no end: the file was cut off");
	char *said = NULL;
	static const ChainSpec any = {0};
	CHECK_ERR(record_verify_export("/nowhere/x", &any, &said, NULL), ENOENT);
	exported_done(&e);
}
