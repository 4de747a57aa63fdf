/* The defaults of tables, as nodes. */
#include <string.h>

#include "conf/internal.h"

/* Everything that makes YAML out of a text; without it the text is one plain scalar. */
static bool is_plain(const char *text)
{
	return text[0] != '\0' && !strchr("-?:,[]{}#&*!|>'\"%@` ", text[0]) &&
	       !strpbrk(text, ":#\n\t");
}

const ConfNode *conf_default_node(const char *text, ConfNode *scratch, ConfDoc **doc, int *ret_code)
{
	if (!is_plain(text)) {
		_cleanup_(diags_done) Diags d = DIAGS_INIT;
		*ret_code = conf_read_text("default", text, strlen(text), doc, &d, NULL);
		return *ret_code < 0 ? NULL : conf_root(*doc);
	}
	*scratch = (ConfNode){
	    .kind = CONF_SCALAR,
	    .plain = true,
	    /* A node's text is its own and never written to; this one is not freed either. */
	    .text = (char *)(uintptr_t)text,
	    .weight = 1,
	    .height = 1,
	    .complete = true,
	};
	return scratch;
}
