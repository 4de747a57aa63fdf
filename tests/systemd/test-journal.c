/* What is read of a real journal. */
#include "systemd/journal.h"

#include "manager.h"

static char sh[] = "/bin/sh", dash_c[] = "-c";

/* A unit that ended well is forgotten with its invocation, so each waits until that was read. */
static UnitState run_script(const Bench *b, const char *unit, const char *script)
{
	char text[200];
	int fds[2];
	/* It stays until it was heard: what the journal hears of a process that is gone belongs to
	 * no run of a unit. */
	snprintf(text, sizeof(text), "read x; %s; journalctl --sync", script);
	CHECK_INT(pipe2(fds, O_CLOEXEC), 0);
	TransientSpec spec = {.unit = unit,
			      .description = "a test",
			      .argv = (char *const[]){sh, dash_c, text, NULL},
			      .input_fd = fds[0],
			      .log_fd = -1};
	CHECK_STR(run_transient(b, &spec).result, "done");
	UnitState u = state_of(b, unit);
	CHECK_INT(strlen(u.invocation), 32);
	close(fds[0]);
	close(fds[1]);
	UnitState end = wait_state(b, unit, "inactive");
	unit_state_done(&end);
	free(TAKE_PTR(u.cgroup));
	CHECK_OK(journal_sync(30000000));
	return u;
}

static char *cursor(void)
{
	char *at = NULL;
	Err err = ERR_INIT;
	CHECK_OK(journal_cursor(&at, &err));
	return at;
}

static char *of_unit(const char *unit, const char *invocation, const char *since, size_t max)
{
	char *text = NULL;
	size_t n = 0;
	Err err = ERR_INIT;
	int r = journal_read(unit, invocation, since, max, &text, &n, &err);
	if (r < 0)
		printf("# %s\n", err.msg);
	CHECK_OK(r);
	CHECK_INT(strlen(text), n);
	return text;
}

TEST(what_one_run_of_a_unit_wrote_is_told_from_another)
{
	BENCH(b);
	char one[] = "echo first words; echo more >&2", two[] = "echo second words";
	UnitState a = run_script(&b, "t-words.service", one);
	UnitState z = run_script(&b, "t-words.service", two);
	CHECK(strcmp(a.invocation, z.invocation) != 0);

	_cleanup_free_ char *first = of_unit(NULL, a.invocation, NULL, 1 << 16);
	CHECK(strstr(first, "first words\nmore\n") && !strstr(first, "second"));
	_cleanup_free_ char *second = of_unit(NULL, z.invocation, NULL, 1 << 16);
	CHECK(strstr(second, "second words\n") && !strstr(second, "first words"));
	_cleanup_free_ char *both = of_unit("t-words.service", NULL, NULL, 1 << 16);
	CHECK(strstr(both, "first words\n") && strstr(both, "second words\n"));
	CHECK(strstr(both, "first words\n") < strstr(both, "second words\n"));
}

TEST(what_the_manager_says_of_a_unit_belongs_to_it)
{
	BENCH(b);
	char script[] = "kill -9 $$";
	TransientSpec spec = {.unit = "t-shot.service",
			      .argv = (char *const[]){sh, dash_c, script, NULL},
			      .log_fd = -1};
	run_transient(&b, &spec);
	UnitState u = wait_state(&b, "t-shot.service", "failed");
	CHECK_OK(journal_sync(30000000));
	_cleanup_free_ char *text = of_unit(NULL, u.invocation, NULL, 1 << 16);
	CHECK(strstr(text, "Main process exited, code=killed, status=9/KILL"));
	unit_state_done(&u);
}

TEST(after_a_cursor_only_what_is_new)
{
	BENCH(b);
	char one[] = "echo old words", two[] = "echo new words";
	run_script(&b, "t-since.service", one);
	_cleanup_free_ char *since = cursor();
	_cleanup_free_ char *nothing = of_unit("t-since.service", NULL, since, 1 << 16);
	CHECK_STR(nothing, "");
	run_script(&b, "t-since.service", two);
	_cleanup_free_ char *text = of_unit("t-since.service", NULL, since, 1 << 16);
	CHECK(strstr(text, "new words\n") && !strstr(text, "old words"));
}

TEST(of_much_the_newest_whole_lines_are_kept)
{
	BENCH(b);
	char script[] = "seq -f 'line %05g' 1 3000";
	_cleanup_free_ char *since = cursor();
	UnitState u = run_script(&b, "t-much.service", script);
	_cleanup_free_ char *end = of_unit(NULL, u.invocation, NULL, 1000);
	_cleanup_free_ char *same = of_unit(NULL, u.invocation, since, 1000);
	CHECK_STR(end, same);
	CHECK(strlen(end) <= 1000 && strlen(end) > 900);
	CHECK(strstr(end, "line 03000\n"));
	_cleanup_free_ char *all = of_unit(NULL, u.invocation, since, 1 << 20);
	CHECK(strstr(all, "line 00001\nline 00002\n") && strstr(all, "line 03000\n"));
	/* From the beginning of a line. */
	const char *at = strstr(all, end);
	CHECK(at && at[-1] == '\n' && strcmp(at, end) == 0);
}

TEST(a_message_with_bytes_that_are_no_text_does_not_end_it)
{
	BENCH(b);
	char script[] = "printf 'a\\001\\377b\\n'; echo after";
	UnitState u = run_script(&b, "t-bytes.service", script);
	_cleanup_free_ char *text = of_unit(NULL, u.invocation, NULL, 1 << 16);
	if (!strstr(text, "a\001\377b\nafter\n"))
		CHECK_STR(text, "a\001\377b\nafter\n");
}

TEST(kernel_messages_since_a_cursor_are_read_alone)
{
	BENCH(b);
	char script[] = "echo not the kernel";
	_cleanup_free_ char *since = cursor();
	run_script(&b, "t-kernel.service", script);
	char *text = NULL;
	size_t n = 1;
	Err err = ERR_INIT;
	CHECK_OK(journal_read_kernel(since, 1 << 16, &text, &n, &err));
	CHECK(!strstr(text, "not the kernel"));
	free(text);
}

TEST(what_is_no_cursor_is_refused)
{
	char *text;
	size_t n;
	Err err = ERR_INIT;
	CHECK_ERR(journal_read("t.service", NULL, "s=nonsense", 100, &text, &n, &err), EINVAL);
	CHECK_ERR(journal_read(NULL, NULL, NULL, 100, &text, &n, &err), EINVAL);
}

static int read_as_dream(void)
{
	char *at;
	Err err = ERR_INIT;
	CHECK_ERR(journal_cursor(&at, &err), EACCES);
	CHECK(strstr(err.msg, "systemd-journal") && strstr(err.msg, "adm"));
	CHECK_ERR(journal_access(&err), EACCES);
	return 0;
}

TEST(who_may_not_read_it_is_told_how_to_be_allowed)
{
	Err err = ERR_INIT;
	CHECK_OK(journal_access(&err));
	CHECK_INT(as_dream(read_as_dream), 0);
}
