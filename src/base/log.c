#include "base/log.h"

#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/json.h"
#include "base/str.h"

struct Log {
	int fd; /* -1: nothing is written */
	char *path;
	bool json;
	bool complained;
	const Clock *clock; /* borrowed */
};

static const char *const level_names[] = {
    [LOG_DEBUG_] = "debug",
    [LOG_INFO_] = "info",
    [LOG_WARN_] = "warning",
    [LOG_ERROR_] = "error",
};

int log_open(const LogSpec *spec, Log **ret, Err *err)
{
	_cleanup_(log_closep) Log *l = calloc(1, sizeof(*l));
	if (!l)
		return err_oom(err);
	*l = (Log){
	    .fd = -1,
	    .json = spec->json,
	    .clock = spec->clock ? spec->clock : &clock_system,
	};
	if (spec->path) {
		l->path = strdup(spec->path);
		if (!l->path)
			return err_oom(err);
		l->fd = open(l->path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY, 0644);
		if (l->fd < 0)
			return err_set(err, -errno, "cannot open the log '%s': %m", l->path);
		file_give(l->fd, l->path);
	}
	*ret = TAKE_PTR(l);
	return 0;
}

Log *log_close(Log *l)
{
	if (!l)
		return NULL;
	if (l->fd >= 0)
		(void)close(l->fd);
	free(l->path);
	free(l);
	return NULL;
}

/* "2026-11-20T12:30:05Z info trial 12: ok": whole seconds are enough for people. */
static void human_line(LogLevel level, const char *at, const char *message, Str *out)
{
	str_addf(out, "%.*sZ %s ", (int)strcspn(at, "."), at, level_names[level]);
	str_add_safe(out, message, strlen(message), 0);
	str_addc(out, '\n');
}

static void json_line(LogLevel level, const char *at, const char *event, json_t *fields,
		      const char *message, Str *out)
{
	bool failed = false;
	json_auto_t *o = json_object();
	if (!o || (fields && json_object_update(o, fields) < 0))
		failed = true;
	js_set(o, "schema", json_string("dream.log/v1"), &failed);
	js_set(o, "at", json_string(at), &failed);
	js_set(o, "level", json_string(level_names[level]), &failed);
	js_set(o, "event", json_string(event), &failed);
	js_set(o, "message", js_text(message), &failed);
	if (failed) {
		out->failed = true;
		return;
	}
	js_canonical(o, out);
	str_addc(out, '\n');
}

static void complain(Log *l, const char *why)
{
	if (!l->complained)
		(void)fprintf(stderr, "cannot write the log '%s': %s; going on without it\n",
			      l->path, why);
	l->complained = true;
}

/* One write per line, so that several processes can append to one file. */
static void put(Log *l, const Str *line)
{
	if (line->failed) {
		complain(l, strerror(ENOMEM));
		return;
	}
	ssize_t n;
	do
		n = write(l->fd, line->s, line->len);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		complain(l, strerror(errno));
	else if ((size_t)n < line->len)
		complain(l, "the line was cut short");
}

void log_event(Log *l, LogLevel level, const char *event, json_t *fields, const char *fmt, ...)
{
	json_auto_t *owned = fields;
	if (!l || l->fd < 0)
		return;
	_cleanup_(str_done) Str message = STR_INIT;
	va_list ap;
	va_start(ap, fmt);
	str_addv(&message, fmt, ap);
	va_end(ap);

	char at[32];
	time_rfc3339(clock_now_us(l->clock), at);
	_cleanup_(str_done) Str line = STR_INIT;
	const char *text = message.s ? message.s : "";
	if (l->json)
		json_line(level, at, event, owned, text, &line);
	else
		human_line(level, at, text, &line);
	put(l, &line);
}
