/* The intent log on a real folder: what is torn off its end is cut, what is damaged elsewhere is
 * told, and a failed write is the end until it is opened again. What power cuts do to it is asked
 * in tests/production. */
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "base/cleanup.h"
#include "base/crc32c.h"
#include "base/file.h"
#include "base/intent.h"
#include "base/rng.h"
#include "base/str.h"
#include "scratch.h"

/* What a log says, each record followed by a newline. */
static int collect(void *ctx, const char *data, size_t len, Err *err)
{
	(void)err;
	str_addn(ctx, data, len);
	str_addc(ctx, '\n');
	return 0;
}

static int refuse_b(void *ctx, const char *data, size_t len, Err *err)
{
	(void)ctx;
	if (len == 1 && data[0] == 'b')
		return err_set(err, -EPERM, "not this one");
	return 0;
}

static char *log_path(const char *dir)
{
	char *path = path_join(dir, "intent.log");
	CHECK(path);
	return path;
}

static Intent *open_log(const char *path, Str *ret)
{
	Err err = ERR_INIT;
	Intent *i = NULL;
	str_clear(ret);
	str_add(ret, "");
	CHECK_OK(intent_open(&disk_system, path, collect, ret, &i, &err));
	return i;
}

static void append_text(Intent *i, const char *text)
{
	Err err = ERR_INIT;
	CHECK_OK(intent_append(i, text, strlen(text), &err));
}

/* A log of these letters, each a record of its own. */
static void make_log(const char *path, const char *letters)
{
	_cleanup_(str_done) Str says = STR_INIT;
	Intent *i = open_log(path, &says);
	for (; *letters; letters++)
		append_text(i, (char[2]){*letters, '\0'});
	intent_close(i);
}

static void expect_log(const char *path, const char *want)
{
	_cleanup_(str_done) Str says = STR_INIT;
	Intent *i = open_log(path, &says);
	CHECK_STR(says.s ? says.s : "", want);
	intent_close(i);
}

static char *slurp(const char *path, size_t *ret_len)
{
	Err err = ERR_INIT;
	char *data = NULL;
	CHECK_OK(file_read(path, INTENT_LOG_MAX, &data, ret_len, &err));
	return data;
}

static size_t length_of(const char *path)
{
	struct stat st;
	CHECK_OK(stat(path, &st));
	return (size_t)st.st_size;
}

static void put_file(const char *path, const void *data, size_t len)
{
	Err err = ERR_INIT;
	CHECK_OK(file_write(path, 0644, data, len, &err));
}

static int try_open(const char *path, Err *err)
{
	_cleanup_(str_done) Str says = STR_INIT;
	Intent *i = NULL;
	int r = intent_open(&disk_system, path, collect, &says, &i, err);
	intent_close(i);
	return r;
}

TEST(the_checksum_is_the_one_of_the_standard)
{
	/* RFC 3720, B.4: 32 bytes of zeros, of ones, 0 to 31; and the check value of the catalogue
	 * of CRC algorithms. */
	Crc32c c;
	uint8_t b[32];
	crc32c_init(&c);
	CHECK(crc32c_add(&c, 0, "123456789", 9) == 0xe3069283);
	memset(b, 0, sizeof(b));
	CHECK(crc32c_add(&c, 0, b, 32) == 0x8a9136aa);
	memset(b, 0xff, sizeof(b));
	CHECK(crc32c_add(&c, 0, b, 32) == 0x62a8ab43);
	for (uint8_t i = 0; i < 32; i++)
		b[i] = i;
	CHECK(crc32c_add(&c, 0, b, 32) == 0x46dd794e);
	CHECK(crc32c_add(&c, crc32c_add(&c, 0, b, 7), b + 7, 25) == 0x46dd794e);
}

TEST(records_come_back_in_order_after_it_is_closed)
{
	SCRATCH(dir);
	_cleanup_free_ char *path = log_path(dir);
	_cleanup_(str_done) Str says = STR_INIT;
	Intent *i = open_log(path, &says);
	CHECK_STR(says.s, "");
	append_text(i, "one");
	append_text(i, "");
	append_text(i, "three");
	intent_close(i);
	i = open_log(path, &says);
	CHECK_STR(says.s, "one\n\nthree\n");
	append_text(i, "four");
	intent_close(i);
	expect_log(path, "one\n\nthree\nfour\n");
}

TEST(a_reader_changes_nothing_and_needs_no_log)
{
	SCRATCH(dir);
	Err err = ERR_INIT;
	size_t before;
	_cleanup_free_ char *path = log_path(dir);
	_cleanup_(str_done) Str says = STR_INIT;
	CHECK_ERR(intent_read(&disk_system, path, collect, &says, &err), ENOENT);
	CHECK(access(path, F_OK) < 0);
	make_log(path, "ab");
	_cleanup_free_ char *data = slurp(path, &before);
	put_file(path, data, before - 1); /* torn: it stays so */
	CHECK_OK(intent_read(&disk_system, path, collect, &says, &err));
	CHECK_STR(says.s, "a\n");
	CHECK_INT(length_of(path), before - 1);
}

TEST(a_file_that_ends_anywhere_in_its_last_record_loses_that_record_alone)
{
	SCRATCH(dir);
	size_t two, three;
	_cleanup_free_ char *path = log_path(dir);
	make_log(path, "ab");
	two = length_of(path);
	make_log(path, "c"); /* goes on */
	_cleanup_free_ char *data = slurp(path, &three);
	for (size_t len = two; len < three; len++) {
		put_file(path, data, len);
		expect_log(path, "a\nb\n");
		make_log(path, "d"); /* what is cut off is no stumbling block later */
		expect_log(path, "a\nb\nd\n");
	}
}

TEST(whatever_a_torn_last_record_contains_those_before_it_are_there)
{
	SCRATCH(dir);
	size_t two, len;
	Rng rng = rng_derive(1, "torn", 0);
	char big[3000];
	_cleanup_free_ char *path = log_path(dir);
	_cleanup_(str_done) Str says = STR_INIT;
	make_log(path, "ab");
	two = length_of(path);
	memset(big, 'x', sizeof(big) - 1);
	big[sizeof(big) - 1] = '\0';
	Intent *i = open_log(path, &says);
	append_text(i, big);
	intent_close(i);
	_cleanup_free_ char *data = slurp(path, &len);
	for (int round = 0; round < 300; round++) {
		_cleanup_free_ char *torn = malloc(len);
		memcpy(torn, data, len);
		/* At least a byte of what was written is not there. */
		size_t from = two + rng_below(&rng, len - two);
		size_t n = 1 + rng_below(&rng, len - from);
		for (size_t k = from; k < from + n; k++)
			torn[k] = round % 2 ? (char)rng_u64(&rng) : '\0';
		torn[from] = (char)~data[from];
		put_file(path, torn, len);
		expect_log(path, "a\nb\n");
	}
}

TEST(one_changed_byte_before_the_last_record_is_told_with_its_place)
{
	SCRATCH(dir);
	size_t len, last;
	_cleanup_free_ char *path = log_path(dir);
	make_log(path, "abc");
	last = length_of(path);
	make_log(path, "d");
	_cleanup_free_ char *data = slurp(path, &len);
	for (size_t at = 0; at < last; at++) {
		Err err = ERR_INIT;
		data[at] = (char)~data[at];
		put_file(path, data, len);
		CHECK_ERR(try_open(path, &err), EBADMSG);
		CHECK(strstr(err.msg, path));
		CHECK(at < 28 || strstr(err.msg, at < 28 + 21	? "at byte 28"
						 : at < 28 + 42 ? "at byte 49"
								: "at byte 70"));
		data[at] = (char)~data[at];
		CHECK_INT(length_of(path), len); /* nothing was cut */
	}
	put_file(path, data, len);
	expect_log(path, "a\nb\nc\nd\n");
}

TEST(a_record_in_the_place_of_another_is_damage)
{
	SCRATCH(dir);
	Err err = ERR_INIT;
	size_t len, one = 20 + 1;
	_cleanup_free_ char *path = log_path(dir);
	make_log(path, "abc");
	_cleanup_free_ char *data = slurp(path, &len);
	memcpy(data + len - one, data + len - 2 * one, one); /* the second one twice */
	put_file(path, data, len);
	CHECK_ERR(try_open(path, &err), EBADMSG);
	CHECK(strstr(err.msg, "record 3"));
}

TEST(a_file_that_is_longer_than_a_log_can_be_is_not_read)
{
	SCRATCH(dir);
	Err err = ERR_INIT;
	_cleanup_free_ char *path = log_path(dir);
	make_log(path, "a");
	CHECK_OK(truncate(path, INTENT_LOG_MAX + 1));
	CHECK_ERR(try_open(path, &err), EFBIG);
	CHECK_INT(length_of(path), INTENT_LOG_MAX + 1);
}

TEST(a_lock_is_waited_for_while_another_process_has_it)
{
	SCRATCH(dir);
	int fds[2], status;
	char byte;
	_cleanup_free_ char *path = log_path(dir);
	int fd = disk_system.open(NULL, path, O_RDWR | O_CREAT, 0600);
	CHECK_OK(fd);
	CHECK_OK(pipe(fds));
	pid_t pid = fork();
	CHECK(pid >= 0);
	if (pid == 0) {
		int own = disk_system.open(NULL, path, O_RDWR, 0);
		if (disk_system.lock(NULL, own) < 0 || write(fds[1], "", 1) != 1)
			_exit(1);
		(void)poll(NULL, 0, 40); /* long enough to be found holding it */
		_exit(0);
	}
	CHECK_INT(read(fds[0], &byte, 1), 1);
	CHECK_OK(disk_system.lock(NULL, fd));
	CHECK_INT(waitpid(pid, &status, 0), pid);
	CHECK_INT(status, 0);
	CHECK_OK(disk_system.close(NULL, fd));
}

TEST(more_garbage_than_a_record_can_be_is_damage)
{
	SCRATCH(dir);
	Err err = ERR_INIT;
	size_t len;
	enum {
		GARBAGE = INTENT_RECORD_MAX + 100
	};
	_cleanup_free_ char *path = log_path(dir);
	make_log(path, "ab");
	_cleanup_free_ char *data = slurp(path, &len);
	_cleanup_free_ char *all = calloc(1, len + GARBAGE);
	memcpy(all, data, len);
	put_file(path, all, len + GARBAGE);
	CHECK_ERR(try_open(path, &err), EBADMSG);
	put_file(path, all, len + INTENT_RECORD_MAX);
	expect_log(path, "a\nb\n");
}

TEST(records_of_an_older_file_of_that_name_are_no_records)
{
	SCRATCH(dir);
	Err err = ERR_INIT;
	size_t old_len, len;
	_cleanup_free_ char *path = log_path(dir);
	_cleanup_(str_done) Str says = STR_INIT;
	make_log(path, "abcd");
	_cleanup_free_ char *old = slurp(path, &old_len);
	Intent *i = open_log(path, &says);
	const void *data[] = {"A", "B"};
	CHECK_OK(intent_replace(i, data, (size_t[]){1, 1}, 2, &err));
	intent_close(i);
	/* As if the next record's block were the old file's. */
	_cleanup_free_ char *now = slurp(path, &len);
	_cleanup_free_ char *both = malloc(old_len);
	memcpy(both, old, old_len);
	memcpy(both, now, len);
	put_file(path, both, old_len);
	expect_log(path, "A\nB\n");
}

TEST(what_is_no_log_is_left_alone)
{
	SCRATCH(dir);
	Err err = ERR_INIT;
	_cleanup_free_ char *path = log_path(dir);
	put_file(path, "", 0);
	CHECK_ERR(try_open(path, &err), EBADMSG);
	put_file(path, "hello, this is somebody's diary", 31);
	CHECK_ERR(try_open(path, &err), EBADMSG);
	size_t len;
	_cleanup_free_ char *data = slurp(path, &len);
	CHECK_STR(data, "hello, this is somebody's diary");
	CHECK_OK(unlink(path));
	CHECK_OK(symlink("elsewhere", path));
	CHECK_ERR(try_open(path, &err), ELOOP);
	CHECK_OK(unlink(path));
	CHECK_OK(mkfifo(path, 0600));
	CHECK_ERR(try_open(path, &err), EBADMSG); /* and does not wait for a writer */
}

TEST(a_replaced_log_has_the_new_records_alone_and_goes_on)
{
	SCRATCH(dir);
	Err err = ERR_INIT;
	_cleanup_free_ char *path = log_path(dir);
	_cleanup_(str_done) Str says = STR_INIT;
	make_log(path, "abcdefgh");
	Intent *i = open_log(path, &says);
	size_t before = intent_bytes(i);
	const void *data[] = {"short"};
	size_t len = 5;
	CHECK_OK(intent_replace(i, data, &len, 1, &err));
	CHECK(intent_bytes(i) < before);
	append_text(i, "more");
	intent_close(i);
	expect_log(path, "short\nmore\n");
	/* What a replacement that was cut short left is no hindrance. */
	_cleanup_free_ char *left = str_fmt("%s.new", path);
	put_file(left, "half", 4);
	i = open_log(path, &says);
	CHECK_OK(intent_replace(i, data, &len, 1, &err));
	intent_close(i);
	expect_log(path, "short\n");
	CHECK(access(left, F_OK) < 0);
}

TEST(a_reader_that_refuses_a_record_ends_the_opening)
{
	SCRATCH(dir);
	Err err = ERR_INIT;
	Intent *i = NULL;
	_cleanup_free_ char *path = log_path(dir);
	make_log(path, "abc");
	CHECK_ERR(intent_open(&disk_system, path, refuse_b, NULL, &i, &err), EPERM);
	CHECK_STR(err.msg, "not this one");
	CHECK(!i);
}

/* A disk on which the call that is asked for fails. */
typedef struct Weak {
	bool write_fails, sync_fails, truncate_fails;
} Weak;

static ssize_t weak_write(void *ctx, int fd, const void *data, size_t len)
{
	const Weak *w = ctx;
	return w->write_fails ? -ENOSPC : disk_system.write(NULL, fd, data, len > 7 ? 7 : len);
}

static int weak_sync(void *ctx, int fd)
{
	const Weak *w = ctx;
	return w->sync_fails ? -EIO : disk_system.sync(NULL, fd);
}

static int weak_truncate(void *ctx, int fd, off_t len)
{
	const Weak *w = ctx;
	return w->truncate_fails ? -EROFS : disk_system.truncate(NULL, fd, len);
}

static Disk weak_disk(Weak *w)
{
	Disk d = disk_system;
	d.write = weak_write;
	d.sync = weak_sync;
	d.truncate = weak_truncate;
	d.ctx = w;
	return d;
}

TEST(after_a_failed_write_it_refuses_until_it_is_opened_again)
{
	SCRATCH(dir);
	_cleanup_free_ char *path = log_path(dir);
	for (int which = 0; which < 4; which++) {
		Err err = ERR_INIT;
		Weak w = {0};
		Disk disk = weak_disk(&w);
		Intent *i = NULL;
		_cleanup_(str_done) Str says = STR_INIT;
		(void)unlink(path);
		CHECK_OK(intent_open(&disk, path, collect, &says, &i, &err));
		append_text(i, "kept"); /* in short writes */
		w.write_fails = which == 0;
		w.sync_fails = which > 0;
		w.truncate_fails = which == 2;
		CHECK_ERR(intent_append(i, "lost", 4, &err), which == 0 ? ENOSPC : EIO);
		CHECK(strstr(err.msg, path));
		w = (Weak){0};
		CHECK_ERR(intent_append(i, "next", 4, &err), EIO);
		intent_close(i);
		/* Where it could not be taken back it may be there. */
		expect_log(path, which == 2 ? "kept\nlost\n" : "kept\n");
		make_log(path, "!");
		expect_log(path, which == 2 ? "kept\nlost\n!\n" : "kept\n!\n");
	}
}

TEST(what_is_too_long_is_refused_without_harm)
{
	SCRATCH(dir);
	Err err = ERR_INIT;
	_cleanup_free_ char *path = log_path(dir);
	_cleanup_free_ char *big = calloc(1, INTENT_RECORD_MAX + 1);
	_cleanup_(str_done) Str says = STR_INIT;
	Intent *i = open_log(path, &says);
	CHECK_ERR(intent_append(i, big, INTENT_RECORD_MAX + 1, &err), EMSGSIZE);
	CHECK_OK(intent_append(i, big, INTENT_RECORD_MAX, &err));
	const void *data = big;
	size_t len = INTENT_RECORD_MAX + 1;
	CHECK_ERR(intent_replace(i, &data, &len, 1, &err), EMSGSIZE);
	append_text(i, "small");
	intent_close(i);
	i = open_log(path, &says);
	CHECK_INT(says.len, INTENT_RECORD_MAX + 1 + 6);
	intent_close(i);
}

TEST(a_log_that_is_full_says_so)
{
	SCRATCH(dir);
	Err err = ERR_INIT;
	_cleanup_free_ char *path = log_path(dir);
	_cleanup_free_ char *big = calloc(1, INTENT_RECORD_MAX);
	_cleanup_(str_done) Str says = STR_INIT;
	Intent *i = open_log(path, &says);
	enum {
		N = INTENT_LOG_MAX / (INTENT_RECORD_MAX + 20)
	};
	_cleanup_free_ const void **data = calloc(N, sizeof(*data));
	_cleanup_free_ size_t *len = calloc(N, sizeof(*len));
	for (size_t k = 0; k < N; k++) {
		data[k] = big;
		len[k] = INTENT_RECORD_MAX;
	}
	CHECK_OK(intent_replace(i, data, len, N, &err));
	CHECK_ERR(intent_append(i, big, INTENT_RECORD_MAX, &err), EFBIG);
	len[0] = 1;
	CHECK_OK(intent_replace(i, data, len, 1, &err));
	CHECK_OK(intent_append(i, big, INTENT_RECORD_MAX, &err));
	intent_close(i);
}
