/* The words of diagnostics. */
#include <stdarg.h>
#include <string.h>

#include "conf/internal.h"

static void report(const ConfNode *at, Diags *d, DiagLevel level, const char *accept,
		   const char *fmt, va_list ap) _printf_(5, 0);

static void report(const ConfNode *at, Diags *d, DiagLevel level, const char *accept,
		   const char *fmt, va_list ap)
{
	_cleanup_(str_done) Str what = STR_INIT;
	str_addv(&what, fmt, ap);
	diags_add(d, level, at && at->doc ? at->doc->name : NULL, at ? at->line : 0,
		  at ? at->column : 0, accept, "%s",
		  what.failed ? "out of memory"
		  : what.s    ? what.s
			      : "");
}

void conf_fault(const ConfNode *at, Diags *d, const char *accept, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	report(at, d, DIAG_ERROR, accept, fmt, ap);
	va_end(ap);
}

void conf_warn(const ConfNode *at, Diags *d, const char *accept, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	report(at, d, DIAG_WARNING, accept, fmt, ap);
	va_end(ap);
}

void conf_quote(const char *text, Str *out)
{
	str_addc(out, '\'');
	str_add_safe(out, text, strlen(text), CONF_QUOTE_MAX);
	str_addc(out, '\'');
}

void conf_found(const ConfNode *n, Str *out)
{
	bool truth;
	double number;
	if (n->kind == CONF_MAP) {
		str_add(out, "a map");
	} else if (n->kind == CONF_SEQ) {
		str_add(out, "a list");
	} else if (conf_is_null(n)) {
		str_add(out, "empty");
	} else if (conf_as_bool(n, &truth) || conf_as_number(n, &number)) {
		str_add_safe(out, n->text, strlen(n->text), CONF_QUOTE_MAX);
	} else {
		str_add(out, n->plain ? "the text " : "the quoted text ");
		conf_quote(n->text, out);
	}
}

void conf_join(const char *const *names, Str *out)
{
	for (size_t i = 0; names[i]; i++)
		str_addf(out, "%s%s", i > 0 ? ", " : "", names[i]);
}

/* Bounds past this stand for "any", so that a table can bound one side only. */
static const double any = 1e15;

static void add_range(const ConfField *f, const char *unit, Str *out)
{
	if (!(f->min < f->max))
		return;
	bool below = f->min > -any, above = f->max < any;
	if (below && above)
		str_addf(out, " from %.15g to %.15g%s", f->min, f->max, unit);
	else if (below)
		str_addf(out, " of at least %.15g%s", f->min, unit);
	else if (above)
		str_addf(out, " of at most %.15g%s", f->max, unit);
}

void conf_expected(const ConfField *f, Str *out)
{
	switch (f->type) {
	case CONF_T_BOOL:
		str_add(out, "true or false");
		break;
	case CONF_T_INT:
		str_add(out, "a whole number");
		add_range(f, "", out);
		break;
	case CONF_T_NUMBER:
		str_add(out, "a number");
		add_range(f, "", out);
		break;
	case CONF_T_STRING:
		str_add(out, "a text");
		break;
	case CONF_T_ENUM:
		str_add(out, "one of ");
		conf_join(f->choices, out);
		break;
	case CONF_T_DURATION:
		str_add(out, "a duration");
		add_range(f, " s", out);
		str_add(out, ", like 90 s, 5 min or 250 ms");
		break;
	case CONF_T_BYTES:
		str_add(out, "an amount of memory");
		add_range(f, " bytes", out);
		str_add(out, ", like 5.5 GiB or 512 MiB");
		break;
	case CONF_T_STRINGS:
		str_add(out, "a list of texts");
		break;
	case CONF_T_LIST:
		str_add(out, "a list of maps");
		break;
	case CONF_T_NAMED:
		str_add(out, "a map of names to maps");
		break;
	case CONF_T_OBJECT:
	case CONF_T_OPTIONAL:
		str_add(out, "a map");
		break;
	case CONF_T_JSON:
	case CONF_T_CUSTOM:
		str_add(out, "a value");
		break;
	}
}
