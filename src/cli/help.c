/* Text of --help: the table of options, wrapped to 80 columns. */
#include <string.h>

#include "cli/options.h"

enum {
	HELP_WIDTH = 80,
	HELP_COLUMN = 30, /* where the descriptions of options begin */
};

static void pad(Str *out, size_t n)
{
	for (size_t i = 0; i < n; i++)
		str_addc(out, ' ');
}

/* Columns that the bytes of UTF-8 text take. */
static size_t columns(const char *text, size_t len)
{
	size_t n = 0;
	for (size_t i = 0; i < len; i++)
		n += ((unsigned char)text[i] & 0xc0) != 0x80;
	return n;
}

void text_wrap(const char *text, size_t at, size_t indent, size_t width, Str *out)
{
	bool first = true; /* word of its line */
	while (*text) {
		if (*text == '\n') {
			size_t breaks = strspn(text, "\n");
			if (breaks > 1) {
				str_add(out, "\n\n");
				pad(out, indent);
				at = indent;
				first = true;
			}
			text += breaks;
			continue;
		}
		size_t len = strcspn(text, " \n");
		size_t wide = columns(text, len);
		if (len && !first && at + 1 + wide > width) {
			str_addc(out, '\n');
			pad(out, indent);
			at = indent;
			first = true;
		}
		if (len && !first) {
			str_addc(out, ' ');
			at++;
		}
		str_addn(out, text, len);
		at += wide;
		first = first && len == 0;
		text += len + (text[len] == ' ');
	}
	str_addc(out, '\n');
}

void option_spelling(const Option *o, bool scdoc, Str *out)
{
	const char *bold = scdoc ? "*" : "", *under = scdoc ? "_" : "";
	if (o->letter)
		str_addf(out, "%s-%c%s, ", bold, o->letter, bold);
	str_addf(out, "%s--%s%s", bold, o->name, bold);
	if (o->metavar)
		str_addf(out, " %s%s%s", under, o->metavar, under);
}

static void help_option(const Option *o, Str *out)
{
	size_t start = out->len;
	str_add(out, o->letter ? "  " : "      ");
	option_spelling(o, false, out);
	size_t used = out->len - start;
	if (used + 2 > HELP_COLUMN) {
		str_addc(out, '\n');
		used = 0;
	}
	pad(out, HELP_COLUMN - used);
	_cleanup_(str_done) Str text = STR_INIT;
	str_add(&text, o->help);
	if (o->otherwise && o->metavar && !strstr(o->help, "(default"))
		str_addf(&text, " (default: %s)", o->otherwise);
	text_wrap(text.s ? text.s : "", HELP_COLUMN, HELP_COLUMN, HELP_WIDTH, out);
}

void command_help(const Command *cmd, Str *out)
{
	static const Option help = {.name = "help", .letter = 'h', .help = "show this text"};
	str_addf(out, "Usage: dream %s [OPTIONS]%s%s\n\n", cmd->name, *cmd->args ? " " : "",
		 cmd->args);
	text_wrap(cmd->about, 0, 0, HELP_WIDTH, out);
	str_add(out, "\nOptions:\n");
	for (const Option *o = cmd->options; o && o->name; o++)
		help_option(o, out);
	help_option(&help, out);
}
