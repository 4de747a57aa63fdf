#include "base/log.h"

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/file.h"
#include "base/json.h"
#include "scratch.h"

static int64_t fixed(void *ctx)
{
	return *(const int64_t *)ctx;
}

static char *read_back(const char *path)
{
	char *text = NULL;
	size_t len = 0;
	CHECK_OK(file_read(path, 1 << 20, &text, &len, NULL));
	return text;
}

static char *log_once(bool json, const char *event, json_t *fields, const char *message)
{
	SCRATCH(dir);
	_cleanup_free_ char *path = path_join(dir, "runner.log");
	int64_t now = INT64_C(951868799500000);
	Clock clock = {.realtime_us = fixed, .monotonic_us = fixed, .ctx = &now};
	_cleanup_(log_closep) Log *l = NULL;
	CHECK_OK(log_open(&(LogSpec){.path = path, .json = json, .clock = &clock}, &l, NULL));
	log_event(l, LOG_WARN_, event, fields, "%s", message);
	return read_back(path);
}

TEST(a_human_line_has_time_level_and_message)
{
	_cleanup_free_ char *line =
	    log_once(false, "trial.done", json_pack("{si}", "trial", 12), "trial 12:\x1b ok");
	CHECK_STR(line, "2000-02-29T23:59:59Z warning trial 12:\\x1b ok\n");
}

TEST(a_json_line_has_the_fields_beside_its_own)
{
	_cleanup_free_ char *line =
	    log_once(true, "trial.done", json_pack("{sisi}", "trial", 12, "level", 9), "a\nb");
	CHECK_STR(line, "{\"at\": \"2000-02-29T23:59:59.500000Z\", \"event\": \"trial.done\", "
			"\"level\": \"warning\", \"message\": \"a\\nb\", "
			"\"schema\": \"dream.log/v1\", \"trial\": 12}\n");
}

TEST(a_log_is_appended_to)
{
	SCRATCH(dir);
	_cleanup_free_ char *path = path_join(dir, "log");
	for (int i = 0; i < 3; i++) {
		_cleanup_(log_closep) Log *l = NULL;
		CHECK_OK(log_open(&(LogSpec){.path = path}, &l, NULL));
		log_event(l, LOG_INFO_, "x", NULL, "line %d", i);
	}
	_cleanup_free_ char *text = read_back(path);
	int lines = 0;
	for (const char *p = text; *p; p++)
		lines += *p == '\n';
	CHECK_INT(lines, 3);
}

TEST(no_log_and_a_log_without_a_file_swallow_events)
{
	log_event(NULL, LOG_INFO_, "x", json_object(), "nobody hears");
	_cleanup_(log_closep) Log *l = NULL;
	CHECK_OK(log_open(&(LogSpec){.path = NULL}, &l, NULL));
	log_event(l, LOG_INFO_, "x", json_object(), "nobody hears");
}

TEST(a_log_that_cannot_be_opened_is_an_error)
{
	Log *l = NULL;
	Err err = ERR_INIT;
	CHECK_ERR(log_open(&(LogSpec){.path = "/nonexistent/log"}, &l, &err), ENOENT);
	CHECK_STR(err.msg, "cannot open the log '/nonexistent/log': No such file or directory");
}

TEST(a_log_that_cannot_be_written_complains_once_and_goes_on)
{
	SCRATCH(dir);
	_cleanup_free_ char *path = path_join(dir, "stderr");
	pid_t pid = fork();
	CHECK(pid >= 0);
	if (pid == 0) {
		int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
		Log *l = NULL;
		if (dup2(fd, STDERR_FILENO) < 0 ||
		    log_open(&(LogSpec){.path = "/dev/full"}, &l, NULL) < 0)
			_exit(1);
		for (int i = 0; i < 5; i++)
			log_event(l, LOG_INFO_, "x", NULL, "line %d", i);
		_exit(0);
	}
	int status = 0;
	CHECK_INT(waitpid(pid, &status, 0), pid);
	CHECK_INT(status, 0);
	_cleanup_free_ char *text = read_back(path);
	CHECK_STR(text, "cannot write the log '/dev/full': No space left on device; going on "
			"without it\n");
}
