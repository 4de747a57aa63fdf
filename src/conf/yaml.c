/* From text to a tree: what is no text is refused with its place, and what the parser cannot read
 * is explained. */
#include <string.h>
#include <yaml.h>

#include "base/file.h"
#include "conf/builder.h"

/* What people run into most often, in their words. */
static const char *hint(const char *problem, char at)
{
	static const char *const hints[][2] = {
	    {"mapping values are not allowed",
	     "check the indentation, and quote a text that contains ': '"},
	    {"found unexpected end of stream", "a quote or bracket is not closed"},
	    {"did not find expected ',' or ']'", "a '[' is not closed"},
	    {"did not find expected ',' or '}'", "a '{' is not closed"},
	    {"could not find expected ':'", "a key needs ': ' and its value"},
	    {"did not find expected key", "check the indentation of this line and those above"},
	    {"did not find expected '-' indicator",
	     "check the indentation of this line and those above"},
	};
	if (at == '\t')
		return "indent with spaces, YAML allows no tabs there";
	if (at == '@' || at == '`' || at == '%')
		return "quote a text that starts with this character";
	for (size_t i = 0; i < sizeof(hints) / sizeof(hints[0]); i++)
		if (strncmp(problem, hints[i][0], strlen(hints[i][0])) == 0)
			return hints[i][1];
	return NULL;
}

static int syntax_fault(Builder *b, const yaml_parser_t *p, const char *text, size_t len)
{
	if (p->error == YAML_MEMORY_ERROR)
		return -ENOMEM;
	const char *problem = p->problem ? p->problem : "it cannot be read";
	_cleanup_(str_done) Str what = STR_INIT;
	str_addf(&what, "not YAML: %s", problem);
	if (p->context && strcmp(p->context, "while scanning for the next token") != 0)
		str_addf(&what, " %s", p->context);
	if (p->context && p->context_mark.line != p->problem_mark.line)
		str_addf(&what, " that starts at line %zu", p->context_mark.line + 1);
	/* The mark counts characters, the text is in bytes: walk. */
	size_t at = 0, chars = 0;
	uint32_t cp = 0;
	while (chars < p->problem_mark.index && at < len) {
		at += utf8_next(text + at, len - at, &cp);
		chars++;
	}
	return builder_refuse(b, &p->problem_mark, hint(problem, at < len ? text[at] : '\0'),
			      what.s ? what.s : problem);
}

static int parse(Builder *b, const char *text, size_t len)
{
	_cleanup_(yaml_parser_delete) yaml_parser_t p;
	if (!yaml_parser_initialize(&p))
		return -ENOMEM;
	yaml_parser_set_encoding(&p, YAML_UTF8_ENCODING);
	yaml_parser_set_input_string(&p, (const unsigned char *)text, len);
	for (;;) {
		_cleanup_(yaml_event_delete) yaml_event_t e;
		if (!yaml_parser_parse(&p, &e))
			return syntax_fault(b, &p, text, len);
		int r = builder_event(b, &e);
		if (r < 0 || e.type == YAML_STREAM_END_EVENT)
			return r;
	}
}

static bool is_control(uint32_t cp)
{
	return (cp < 0x20 && cp != '\t' && cp != '\n' && cp != '\r') ||
	       (cp >= 0x7f && cp < 0xa0 && cp != 0x85) || (cp & 0xfffe) == 0xfffe;
}

/* The parser would notice too, but say less and not where. */
static int check_bytes(Builder *b, const char *text, size_t len)
{
	if (len >= 2 && (memcmp(text, "\xff\xfe", 2) == 0 || memcmp(text, "\xfe\xff", 2) == 0))
		return builder_refuse(b, &(yaml_mark_t){0}, "save it as UTF-8",
				      "the file is UTF-16 text");
	yaml_mark_t at = {0};
	for (size_t i = 0; i < len;) {
		uint32_t cp = 0;
		size_t n = utf8_next(text + i, len - i, &cp);
		if (n == 0)
			return builder_refuse(b, &at, "save it as UTF-8",
					      "a byte that is not UTF-8 text");
		if (is_control(cp)) {
			_cleanup_free_ char *what = str_fmt("the control character U+%04X", cp);
			return builder_refuse(b, &at, "write it as an escape in double quotes",
					      what ? what : "a control character");
		}
		at.column++;
		if (cp == '\n')
			at = (yaml_mark_t){.line = at.line + 1};
		i += n;
	}
	return 0;
}

static int read_text(Builder *b, const char *text, size_t len)
{
	if (len > CONF_FILE_MAX)
		return builder_refuse(b, &(yaml_mark_t){0}, "at most 4 MiB",
				      "the file is too long");
	if (len >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0) {
		text += 3;
		len -= 3;
	}
	int r = check_bytes(b, text, len);
	if (r < 0)
		return r;
	r = parse(b, text, len);
	/* Nothing but comments is the same as a single null. */
	return r < 0 || b->doc->root ? r : builder_empty(b);
}

int conf_read_text(const char *name, const char *text, size_t len, ConfDoc **ret, Diags *d,
		   Err *err)
{
	_cleanup_(conf_freep) ConfDoc *doc = calloc(1, sizeof(*doc));
	if (!doc)
		return err_oom(err);
	doc->name = strdup(name);
	if (!doc->name)
		return err_oom(err);
	_cleanup_(builder_done) Builder b = {.doc = doc, .d = d};
	int r = read_text(&b, text, len);
	if (r == -ENOMEM)
		return err_oom(err);
	if (r < 0)
		return err_set(err, r, "'%s' is not a file that can be read as YAML", name);
	*ret = TAKE_PTR(doc);
	return 0;
}

int conf_read_file(const char *path, ConfDoc **ret, Diags *d, Err *err)
{
	_cleanup_free_ char *text = NULL;
	size_t len = 0;
	int r = file_read(path, CONF_FILE_MAX, &text, &len, err);
	if (r < 0)
		return r;
	return conf_read_text(strcmp(path, "-") == 0 ? "<stdin>" : path, text, len, ret, d, err);
}
