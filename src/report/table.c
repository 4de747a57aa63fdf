/* Tables for a terminal. Cells are kept as text; widths are settled when the table is printed. */
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "report/report.h"
#include "report/text.h"

enum {
	GAP = 2,	/* spaces between columns */
	SHRINK_MIN = 6, /* a column is not cut below this, however narrow the terminal */
};

struct Table {
	const TableColumn *columns; /* borrowed */
	size_t n_columns;
	char **cells; /* owned, row after row */
	size_t n_cells, cap;
	bool failed;
};

int table_new(const TableColumn *columns, size_t n, Table **ret)
{
	if (n == 0)
		return -EINVAL;
	Table *t = calloc(1, sizeof(*t));
	if (!t)
		return -ENOMEM;
	t->columns = columns;
	t->n_columns = n;
	*ret = t;
	return 0;
}

Table *table_free(Table *t)
{
	if (!t)
		return NULL;
	for (size_t i = 0; i < t->n_cells; i++)
		free(t->cells[i]);
	free(t->cells);
	free(t);
	return NULL;
}

/* One cell is one line: what would break it, or move a terminal's cursor, becomes a space. */
static void flatten(char *text)
{
	for (unsigned char *c = (unsigned char *)text; *c; c++) {
		if (*c < 0x20 || *c == 0x7f)
			*c = ' ';
		else if (*c == 0xc2 && c[1] >= 0x80 && c[1] < 0xa0)
			c[0] = c[1] = ' ';
	}
}

/* Takes `text`, which may be NULL when memory ran out. */
static void add_cell(Table *t, char *text)
{
	if (!text)
		t->failed = true;
	if (!t->failed && t->n_cells == t->cap) {
		size_t cap = t->cap ? 2 * t->cap : 64;
		char **grown = reallocarray(t->cells, cap, sizeof(*grown));
		if (grown) {
			t->cells = grown;
			t->cap = cap;
		}
		t->failed = !grown;
	}
	if (t->failed) {
		free(text);
		return;
	}
	flatten(text);
	t->cells[t->n_cells++] = text;
}

void table_cell(Table *t, const char *fmt, ...)
{
	if (!fmt) {
		table_text(t, NULL);
		return;
	}
	_cleanup_(str_done) Str text = STR_INIT;
	char *taken = NULL;
	va_list ap;
	va_start(ap, fmt);
	str_addv(&text, fmt, ap);
	va_end(ap);
	add_cell(t, str_take(&text, &taken) < 0 ? NULL : taken);
}

void table_text(Table *t, const char *text)
{
	add_cell(t, strdup(text ? text : "-"));
}

static size_t rows_of(const Table *t)
{
	return (t->n_cells + t->n_columns - 1) / t->n_columns;
}

/* --- Printing -------------------------------------------------------------------------------- */

size_t text_width(const char *text)
{
	size_t n = 0;
	for (; *text; text++)
		n += ((unsigned char)*text & 0xc0) != 0x80;
	return n;
}

size_t text_bytes(const char *text, size_t width)
{
	size_t i = 0;
	for (; text[i]; i++)
		if (((unsigned char)text[i] & 0xc0) != 0x80 && width-- == 0)
			break;
	return i;
}

static void natural_widths(const Table *t, size_t *widths)
{
	for (size_t c = 0; c < t->n_columns; c++)
		widths[c] = text_width(t->columns[c].title);
	for (size_t i = 0; i < t->n_cells; i++) {
		size_t width = text_width(t->cells[i]), *have = &widths[i % t->n_columns];
		if (width > *have)
			*have = width;
	}
}

/* A column of width 0 is left out. */
static size_t total_width(const Table *t, const size_t *widths)
{
	size_t total = 0;
	for (size_t c = 0; c < t->n_columns; c++)
		if (widths[c] > 0)
			total += widths[c] + (total > 0 ? GAP : 0);
	return total;
}

static void drop(const Table *t, size_t *widths, size_t width)
{
	for (size_t c = t->n_columns; c-- > 0 && total_width(t, widths) > width;)
		if (t->columns[c].fit == COLUMN_DROP)
			widths[c] = 0;
}

/* Takes from the widest column that may give, until the table fits or none may. */
static void shrink(const Table *t, size_t *widths, size_t width)
{
	while (total_width(t, widths) > width) {
		size_t widest = t->n_columns;
		for (size_t c = 0; c < t->n_columns; c++)
			if (t->columns[c].fit == COLUMN_CUT && widths[c] > SHRINK_MIN &&
			    (widest == t->n_columns || widths[c] > widths[widest]))
				widest = c;
		if (widest == t->n_columns)
			return;
		widths[widest]--;
	}
}

static void pad(Str *out, size_t n)
{
	while (n-- > 0)
		str_addc(out, ' ');
}

static void print_cell(const Table *t, size_t c, const char *text, size_t width, Str *out)
{
	size_t have = text_width(text);
	bool last = c + 1 == t->n_columns;
	if (width == 0)
		return;
	if (have > width) {
		str_addn(out, text, text_bytes(text, width - 1));
		str_add(out, "…");
	} else {
		if (t->columns[c].align == ALIGN_RIGHT)
			pad(out, width - have);
		str_add(out, text);
		if (t->columns[c].align == ALIGN_LEFT && !last)
			pad(out, width - have);
	}
	if (!last)
		pad(out, GAP);
}

static void end_line(Str *out)
{
	while (!out->failed && out->len > 0 && out->s[out->len - 1] == ' ')
		out->s[--out->len] = '\0';
	str_addc(out, '\n');
}

static void print_rule(const Table *t, const size_t *widths, Str *out)
{
	for (size_t n = total_width(t, widths); n > 0; n--)
		str_add(out, "─");
	str_addc(out, '\n');
}

int table_print(const Table *t, size_t width, Str *out, Err *err)
{
	_cleanup_free_ size_t *widths = calloc(t->n_columns, sizeof(*widths));
	if (t->failed || !widths)
		return err_oom(err);
	natural_widths(t, widths);
	if (width > 0) {
		drop(t, widths, width);
		shrink(t, widths, width);
	}

	for (size_t c = 0; c < t->n_columns; c++)
		print_cell(t, c, t->columns[c].title, widths[c], out);
	end_line(out);
	print_rule(t, widths, out);
	for (size_t row = 0; row < rows_of(t); row++) {
		for (size_t c = 0; c < t->n_columns; c++) {
			size_t i = row * t->n_columns + c;
			print_cell(t, c, i < t->n_cells ? t->cells[i] : "", widths[c], out);
		}
		end_line(out);
	}
	return out->failed ? err_oom(err) : 0;
}
