/* Lets a strategy play against a measured table that another program holds: reads one JSON line
 * {"space": [{"name", "values", "kind": "ord" | "cat"}], "budget": N, "seed": S}, then, for each
 * measurement, prints {"ask": {...}} and reads {"value": number or null (failed)}, the smaller the
 * better.
 *
 *   bench-search-tables STRATEGY [CANDIDATES-A-GENERATION [SURVIVORS]] */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "search/search.h"

enum {
	LINE_MAX_BYTES = 1 << 20,
};

/* JSON is YAML, so the space goes the way of every configuration. */
static Space *read_space(const json_t *list)
{
	json_auto_t *space = json_object();
	_cleanup_(str_done) Str text = STR_INIT;
	size_t i;
	json_t *param;
	bool failed = false;
	json_array_foreach (list, i, param) {
		json_t *p = json_object();
		js_set(p, "values", json_deep_copy(json_object_get(param, "values")), &failed);
		js_set(p, "ordered", json_boolean(strcmp(js_str(param, "kind", ""), "ord") == 0),
		       &failed);
		js_set(space, js_str(param, "name", ""), p, &failed);
	}
	js_canonical(space, &text);
	Diags d = DIAGS_INIT;
	Err err = ERR_INIT;
	_cleanup_(conf_freep) ConfDoc *doc = NULL;
	Space *s = NULL;
	int e = failed || text.failed ? -ENOMEM
				      : conf_read_text("space", text.s, text.len, &doc, &d, &err);
	if (e >= 0)
		e = space_read(conf_root(doc), NULL, NULL, &s, &d);
	if (e < 0)
		fprintf(stderr, "cannot read the space: %s\n", d.n ? d.items[0].what : err.msg);
	diags_done(&d);
	return s;
}

static json_t *read_line(char *line)
{
	return fgets(line, LINE_MAX_BYTES, stdin) ? json_loads(line, 0, NULL) : NULL;
}

static int print_ask(const Space *s, const Point *p)
{
	json_auto_t *params = point_json(s, p);
	_cleanup_(str_done) Str text = STR_INIT;
	js_canonical(params, &text);
	if (text.failed)
		return -ENOMEM;
	printf("{\"ask\": %s}\n", text.s);
	return fflush(stdout);
}

static int play(Search *search, const Space *space, char *line)
{
	SearchAsk a;
	Err err = ERR_INIT;
	while (search_ask(search, &a, &err) == 1) {
		if (print_ask(space, &a.point) != 0)
			return 1;
		json_auto_t *answer = read_line(line);
		if (!answer)
			return 0;
		const json_t *value = json_object_get(answer, "value");
		SearchTell t = {.number = a.number, .outcome = OUTCOME_CRASHED};
		if (json_is_number(value)) {
			t.outcome = OUTCOME_OK;
			t.fitness = -json_number_value(value);
		}
		if (search_tell(search, &t, &err) < 0)
			return 1;
	}
	return 0;
}

int main(int argc, char **argv)
{
	if (argc < 2) {
		fprintf(stderr, "usage: %s STRATEGY [CANDIDATES [SURVIVORS]]\n", argv[0]);
		return 2;
	}
	_cleanup_free_ char *line = malloc(LINE_MAX_BYTES);
	json_auto_t *head = line ? read_line(line) : NULL;
	_cleanup_(space_freep) Space *space =
	    head ? read_space(json_object_get(head, "space")) : NULL;
	if (!space)
		return 1;
	SearchSpec spec = {.strategy = argv[1],
			   .space = space,
			   .seed = (uint64_t)js_int(head, "seed", 0),
			   .max_candidates = argc > 2 ? (uint32_t)strtoul(argv[2], NULL, 10) : 10,
			   .max_generations = (uint32_t)js_int(head, "budget", 100) + 1,
			   .tournament_size = 4,
			   .survivors = argc > 3 ? (uint32_t)strtoul(argv[3], NULL, 10) : 2,
			   .elitism = 1,
			   .fresh_inject = 1};
	_cleanup_(search_freep) Search *search = NULL;
	Err err = ERR_INIT;
	if (search_new(&spec, &search, &err) < 0) {
		fprintf(stderr, "%s\n", err.msg);
		return 1;
	}
	return play(search, space, line);
}
