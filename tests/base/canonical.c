/* Every line of standard input is a JSON value; each comes out as canonical text on a line. */
#include <stdio.h>

#include "base/json.h"

int main(void)
{
	_cleanup_free_ char *line = NULL;
	size_t cap = 0;
	ssize_t len;
	while ((len = getline(&line, &cap, stdin)) > 0) {
		json_auto_t *v = NULL;
		Err err = ERR_INIT;
		if (js_parse(line, (size_t)len, 1 << 24, &v, &err) < 0) {
			puts(err.msg);
			continue;
		}
		_cleanup_(str_done) Str out = STR_INIT;
		js_canonical(v, &out);
		puts(out.s);
	}
	return 0;
}
