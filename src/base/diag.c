#include "base/diag.h"

#include <stdarg.h>
#include <string.h>

static char *safe_copy(const char *text)
{
	if (!text)
		return NULL;
	Str b = STR_INIT;
	char *copy = NULL;
	str_add_safe(&b, text, strlen(text), 0);
	return str_take(&b, &copy) < 0 ? NULL : copy;
}

static void diag_done(Diag *x)
{
	free(x->file);
	free(x->what);
	free(x->accept);
}

static bool store(Diags *d, const Diag *x)
{
	if (d->n >= DIAGS_MAX)
		return false;
	/* Grows at 0, 1, 2, 4, ... items. */
	if ((d->n & (d->n - 1)) == 0) {
		size_t cap = d->n ? 2 * d->n : 1;
		Diag *items = reallocarray(d->items, cap, sizeof(*items));
		if (!items)
			return false;
		d->items = items;
	}
	d->items[d->n++] = *x;
	return true;
}

void diags_add(Diags *d, DiagLevel level, const char *file, unsigned line, unsigned column,
	       const char *accept, const char *fmt, ...)
{
	Str what = STR_INIT;
	va_list ap;
	va_start(ap, fmt);
	str_addv(&what, fmt, ap);
	va_end(ap);

	d->errors += level == DIAG_ERROR;
	Diag x = {
	    .level = level,
	    .line = line,
	    .column = column,
	    .file = safe_copy(file),
	    .what = what.failed ? NULL : safe_copy(what.s ? what.s : ""),
	    .accept = safe_copy(accept),
	};
	str_done(&what);
	bool whole = x.what && (x.file || !file) && (x.accept || !accept);
	if (!whole || !store(d, &x)) {
		d->truncated = true;
		diag_done(&x);
	}
}

static int compare(const Diag *a, const Diag *b)
{
	int by_file = strcmp(a->file ? a->file : "", b->file ? b->file : "");
	if (by_file != 0)
		return by_file;
	if (a->line != b->line)
		return a->line < b->line ? -1 : 1;
	if (a->column != b->column)
		return a->column < b->column ? -1 : 1;
	return 0;
}

/* Insertion keeps equal ones in order, and there are at most DIAGS_MAX. */
void diags_sort(Diags *d)
{
	for (size_t i = 1; i < d->n; i++) {
		Diag x = d->items[i];
		size_t at = i;
		for (; at > 0 && compare(&x, &d->items[at - 1]) < 0; at--)
			d->items[at] = d->items[at - 1];
		d->items[at] = x;
	}
}

static void add_place(const Diag *x, Str *out)
{
	if (x->file)
		str_addf(out, "%s:", x->file);
	if (x->line > 0)
		str_addf(out, "%u:", x->line);
	if (x->line > 0 && x->column > 0)
		str_addf(out, "%u:", x->column);
	if (x->file || x->line > 0)
		str_addc(out, ' ');
}

void diags_text(const Diags *d, Str *out)
{
	size_t errors = 0;
	for (size_t i = 0; i < d->n; i++) {
		const Diag *x = &d->items[i];
		errors += x->level == DIAG_ERROR;
		add_place(x, out);
		str_addf(out, "%s: %s", x->level == DIAG_ERROR ? "error" : "warning", x->what);
		if (x->accept)
			str_addf(out, "; %s", x->accept);
		str_addc(out, '\n');
	}
	if (d->truncated && d->errors > errors)
		str_addf(out, "error: %zu more mistakes are not shown\n", d->errors - errors);
}

void diags_done(Diags *d)
{
	for (size_t i = 0; i < d->n; i++)
		diag_done(&d->items[i]);
	free(d->items);
	*d = DIAGS_INIT;
}
