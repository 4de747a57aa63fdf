/* A recorded load as CSV. */
#include "loadgen/trace.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <math.h>
#include <string.h>
#include <sys/stat.h>

#include "base/file.h"
#include "base/str.h"

enum {
	COLUMNS_MAX = 64,
	TOKENS_MAX = 16 << 20,
	SECONDS_MAX = 400 * 86400, /* a trace longer than a year is a mistake of its times */
};

typedef struct Field {
	const char *s;
	size_t len;
} Field;

typedef struct Reader {
	const char *at, *end;
	unsigned line;
	Field fields[COLUMNS_MAX];
	size_t n_fields;
	int time, prompt, output, clip; /* columns; -1: not there */
	bool dates;			/* times are dates, not seconds */
	double first_s;
	size_t cap;
	Str names;
	Trace trace;
	Err *err;
} Reader;

static int bad(Reader *r, const char *what, Field f)
{
	_cleanup_(str_done) Str shown = STR_INIT;
	str_add_safe(&shown, f.s, f.len, 40);
	return err_set(r->err, -EBADMSG, "line %u of the trace: %s: '%s'", r->line, what,
		       shown.s ? shown.s : "");
}

static Field trimmed(Field f)
{
	while (f.len > 0 && (f.s[0] == ' ' || f.s[0] == '\t'))
		f.s++, f.len--;
	while (f.len > 0 && (f.s[f.len - 1] == ' ' || f.s[f.len - 1] == '\t'))
		f.len--;
	if (f.len >= 2 && f.s[0] == '"' && f.s[f.len - 1] == '"')
		f.s++, f.len -= 2;
	return f;
}

/* The next line that is not empty, split at its commas. False: there is none. */
static bool next_line(Reader *r)
{
	while (r->at < r->end) {
		const char *nl = memchr(r->at, '\n', (size_t)(r->end - r->at));
		const char *stop = nl ? nl : r->end;
		const char *p = r->at;
		r->at = nl ? nl + 1 : r->end;
		r->line++;
		if (stop > p && stop[-1] == '\r')
			stop--;
		if (stop == p)
			continue;
		r->n_fields = 0;
		while (r->n_fields < COLUMNS_MAX) {
			const char *comma = memchr(p, ',', (size_t)(stop - p));
			const char *to = comma ? comma : stop;
			r->fields[r->n_fields++] = trimmed((Field){p, (size_t)(to - p)});
			if (!comma)
				return true;
			p = comma + 1;
		}
		return true;
	}
	return false;
}

static int column(const Reader *r, const char *name)
{
	for (size_t i = 0; i < r->n_fields; i++)
		if (r->fields[i].len == strlen(name) &&
		    memcmp(r->fields[i].s, name, r->fields[i].len) == 0)
			return (int)i;
	return -1;
}

static int read_header(Reader *r)
{
	if (!next_line(r))
		return err_set(r->err, -EBADMSG, "the trace is empty");
	r->clip = -1;
	r->time = column(r, "TIMESTAMP");
	r->dates = r->time >= 0;
	if (r->dates) {
		r->prompt = column(r, "ContextTokens");
		r->output = column(r, "GeneratedTokens");
		return 0;
	}
	r->time = column(r, "at_s");
	r->prompt = column(r, "prompt_tokens");
	r->output = column(r, "output_tokens");
	r->clip = column(r, "clip");
	if (r->time < 0)
		return err_set(r->err, -EBADMSG,
			       "the trace has neither a column at_s nor a column TIMESTAMP in its "
			       "first line");
	return 0;
}

/* A plain decimal number, without sign: "12", "0.25", "1e3" is not one. */
static bool number(Field f, double *ret)
{
	double v = 0, scale = 1;
	size_t i = 0, digits = 0;
	for (; i < f.len && f.s[i] >= '0' && f.s[i] <= '9' && digits < 15; i++, digits++)
		v = v * 10 + (f.s[i] - '0');
	if (i < f.len && f.s[i] == '.')
		for (i++; i < f.len && f.s[i] >= '0' && f.s[i] <= '9'; i++, digits++)
			if (scale > 1e-9)
				v += (f.s[i] - '0') * (scale /= 10);
	*ret = v;
	return i == f.len && digits > 0;
}

static bool whole(const char **at, const char *end, int digits, int *ret)
{
	int v = 0;
	for (int i = 0; i < digits; i++, (*at)++) {
		if (*at >= end || **at < '0' || **at > '9')
			return false;
		v = v * 10 + (**at - '0');
	}
	*ret = v;
	return true;
}

static bool skip(const char **at, const char *end, char c)
{
	if (*at >= end || **at != c)
		return false;
	(*at)++;
	return true;
}

/* Days since 1970-01-01 in the Gregorian calendar, counted in years that begin in March so that the
 * day that is not always there comes last. */
static double days_of(int year, int month, int day)
{
	int y = month <= 2 ? year - 1 : year;
	int m = month <= 2 ? month + 9 : month - 3;
	return 365.0 * y + floor(y / 4.0) - floor(y / 100.0) + floor(y / 400.0) +
	       floor((153.0 * m + 2) / 5) + day - 1 - 719468;
}

/* "2023-11-16 18:17:03.9799600", also with a T between and a zone behind, which is not looked at:
 * a trace is of one zone. */
static bool date(Field f, double *ret)
{
	const char *at = f.s, *end = f.s + f.len;
	int year, month, day, hour, minute, second;
	if (!whole(&at, end, 4, &year) || !skip(&at, end, '-') || !whole(&at, end, 2, &month) ||
	    !skip(&at, end, '-') || !whole(&at, end, 2, &day) ||
	    (!skip(&at, end, ' ') && !skip(&at, end, 'T')) || !whole(&at, end, 2, &hour) ||
	    !skip(&at, end, ':') || !whole(&at, end, 2, &minute) || !skip(&at, end, ':') ||
	    !whole(&at, end, 2, &second))
		return false;
	if (month < 1 || month > 12 || day < 1 || day > 31 || hour > 23 || minute > 59 ||
	    second > 60)
		return false;
	double fraction = 0, scale = 1;
	if (skip(&at, end, '.'))
		for (; at < end && *at >= '0' && *at <= '9'; at++)
			if (scale > 1e-9)
				fraction += (*at - '0') * (scale /= 10);
	*ret = days_of(year, month, day) * 86400 + hour * 3600 + minute * 60 + second + fraction;
	return true;
}

static int tokens(Reader *r, int at, int32_t *ret)
{
	*ret = -1;
	if (at < 0 || (size_t)at >= r->n_fields || r->fields[at].len == 0)
		return 0;
	double v;
	if (!number(r->fields[at], &v) || v > TOKENS_MAX || v != floor(v))
		return bad(r, "this is no number of tokens", r->fields[at]);
	*ret = (int32_t)v;
	return 0;
}

static int read_time(Reader *r, int64_t *ret_us)
{
	Field f = (size_t)r->time < r->n_fields ? r->fields[r->time] : (Field){"", 0};
	double s;
	if (!(r->dates ? date(f, &s) : number(f, &s)))
		return bad(r, r->dates ? "this is no date and time" : "this is no time in seconds",
			   f);
	if (r->trace.n == 0)
		r->first_s = s;
	int64_t before = r->trace.n > 0 ? r->trace.rows[r->trace.n - 1].at_us : 0;
	if (fabs(s - r->first_s) > SECONDS_MAX)
		return bad(r, "this is more than a year from the first", f);
	*ret_us = (int64_t)llround((s - r->first_s) * 1e6);
	if (*ret_us < before)
		return bad(r, "this goes back in time; sort the trace first", f);
	return 0;
}

static int add_row(Reader *r, const TraceRow *row)
{
	if (r->trace.n >= TRACE_ROWS_MAX)
		return err_set(r->err, -EFBIG, "the trace has more than %d rows", TRACE_ROWS_MAX);
	if (r->trace.n == r->cap) {
		size_t cap = r->cap ? 2 * r->cap : 256;
		TraceRow *more = realloc(r->trace.rows, cap * sizeof(*more));
		if (!more)
			return err_oom(r->err);
		r->trace.rows = more;
		r->cap = cap;
	}
	r->trace.rows[r->trace.n++] = *row;
	return 0;
}

static int read_row(Reader *r)
{
	TraceRow row = {0};
	int e = read_time(r, &row.at_us);
	if (e == 0)
		e = tokens(r, r->prompt, &row.prompt);
	if (e == 0)
		e = tokens(r, r->output, &row.output);
	if (e < 0)
		return e;
	if (r->clip >= 0 && (size_t)r->clip < r->n_fields && r->fields[r->clip].len > 0) {
		Field f = r->fields[r->clip];
		if (f.len > NAME_MAX || memchr(f.s, '/', f.len) || memchr(f.s, '\0', f.len))
			return bad(r, "a clip is the name of a file in the folder of the clips", f);
		row.clip_at = (uint32_t)r->names.len;
		str_addn(&r->names, f.s, f.len);
		str_addc(&r->names, '\0');
	}
	return add_row(r, &row);
}

static int read_rows(Reader *r)
{
	int e = read_header(r);
	while (e == 0 && next_line(r))
		e = read_row(r);
	if (e == 0 && r->trace.n == 0)
		e = err_set(r->err, -EBADMSG, "the trace has no rows");
	return e;
}

int trace_parse(const char *text, size_t len, Trace *ret, Err *err)
{
	static const char bom[] = "\xef\xbb\xbf";
	Reader r = {.at = text, .end = text + len, .err = err, .names = STR_INIT};
	if (len >= 3 && memcmp(text, bom, 3) == 0)
		r.at += 3;
	str_addc(&r.names, '\0'); /* place 0: no clip */
	int e = read_rows(&r);
	r.trace.names_len = r.names.len;
	if (e == 0 && str_take(&r.names, &r.trace.names) < 0)
		e = err_oom(err);
	if (e < 0) {
		str_done(&r.names);
		trace_done(&r.trace);
		return e;
	}
	*ret = r.trace;
	return 0;
}

int trace_read(const char *path, Trace *ret, Err *err)
{
	struct stat st;
	if (stat(path, &st) < 0)
		return err_set(err, -errno, "cannot read the trace '%s': %m", path);
	if (!S_ISREG(st.st_mode))
		return err_set(err, -EINVAL, "cannot read the trace '%s': it is no regular file",
			       path);
	_cleanup_free_ char *text = NULL;
	size_t len = 0;
	int r = file_read(path, TRACE_BYTES_MAX, &text, &len, err);
	if (r < 0)
		return r;
	Err why = ERR_INIT;
	r = trace_parse(text, len, ret, &why);
	return r < 0 ? err_set(err, r, "cannot use '%s': %s", path, why.msg) : 0;
}

void trace_done(Trace *t)
{
	free(t->rows);
	free(t->names);
	*t = (Trace){0};
}

const char *trace_clip(const Trace *t, const TraceRow *row)
{
	return row->clip_at > 0 && row->clip_at < t->names_len ? t->names + row->clip_at : NULL;
}
