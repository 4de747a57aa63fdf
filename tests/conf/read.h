#pragma once
/* Reading a text in a test: "t.yaml" is its name in the diagnostics. */
#include "conf/conf.h"
#include "test.h"

typedef struct Reading {
	ConfDoc *doc; /* NULL when there is none */
	Diags d;
	int r;
} Reading;

static inline void reading_done(Reading *x)
{
	x->doc = conf_free(x->doc);
	diags_done(&x->d);
}

static inline Reading read_bytes(const char *text, size_t len)
{
	Reading x = {.d = DIAGS_INIT};
	Err err = ERR_INIT;
	x.r = conf_read_text("t.yaml", text, len, &x.doc, &x.d, &err);
	CHECK((x.r == 0) == (x.doc != NULL));
	return x;
}

static inline Reading read_text(const char *text)
{
	return read_bytes(text, strlen(text));
}

static inline void check_diags(Diags *d, const char *want)
{
	_cleanup_(str_done) Str text = STR_INIT;
	diags_sort(d);
	diags_text(d, &text);
	CHECK_STR(text.s ? text.s : "", want);
}
