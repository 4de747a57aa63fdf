/* Table-driven options on top of getopt_long. A mistake is one sentence: the option, what was given
 * and what would be accepted. */
#include "cli/options.h"

#include <getopt.h>
#include <inttypes.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "conf/conf.h"

enum {
	OPTIONS_MAX = 48,	  /* of one verb */
	LONG_ONLY = CHAR_MAX + 1, /* getopt's value of the i-th option is LONG_ONLY + i */
	HELP = LONG_ONLY + OPTIONS_MAX,
};

static size_t count_options(const Command *cmd)
{
	size_t n = 0;
	while (cmd->options && cmd->options[n].name && n < OPTIONS_MAX)
		n++;
	return n;
}

static int parse_int(const Option *o, const char *text, int64_t *ret, Err *err)
{
	char *end = NULL;
	errno = 0;
	long long v = strtoll(text, &end, 10);
	bool bounded = o->min < o->max;
	if (*text && *end == '\0' && errno == 0 &&
	    (!bounded || ((double)v >= o->min && (double)v <= o->max))) {
		*ret = v;
		return 0;
	}
	if (bounded)
		return err_set(err, -EINVAL,
			       "--%s takes a whole number from %.0f to %.0f, not '%s'", o->name,
			       o->min, o->max, text);
	return err_set(err, -EINVAL, "--%s takes a whole number, not '%s'", o->name, text);
}

/* As in the configuration: seeds are in records, and no JSON reader rounds one up to here. */
static const unsigned long long SEED_MAX = 1ULL << 53;

static int parse_seed(const Option *o, const char *text, OptSeed *ret, Err *err)
{
	char *end = NULL;
	errno = 0;
	unsigned long long v = strtoull(text, &end, 10);
	if (*text < '0' || *text > '9' || *end != '\0' || errno != 0 || v > SEED_MAX)
		return err_set(err, -EINVAL, "--%s takes a whole number from 0 to %llu, not '%s'",
			       o->name, SEED_MAX, text);
	*ret = (OptSeed){.given = true, .value = v};
	return 0;
}

static int parse_duration(const Option *o, const char *text, int64_t *ret, Err *err)
{
	if (conf_parse_duration(text, ret) && *ret >= 0)
		return 0;
	return err_set(err, -EINVAL,
		       "--%s takes a duration such as 90, 90s, 5min or 2h (a bare number is "
		       "seconds), not '%s'",
		       o->name, text);
}

/* `complete` with several words is the list of what is accepted. */
static bool is_choice(const Option *o)
{
	return o->complete && strchr(o->complete, ' ');
}

static bool choice_has(const char *words, const char *word)
{
	size_t len = strlen(word);
	for (const char *at = words; *at;) {
		size_t n = strcspn(at, " ");
		if (n == len && memcmp(at, word, n) == 0)
			return true;
		at += n + (at[n] == ' ');
	}
	return false;
}

static int parse_string(const Option *o, const char *text, const char **ret, Err *err)
{
	if (is_choice(o) && !choice_has(o->complete, text))
		return err_set(err, -EINVAL, "--%s takes one of: %s; not '%s'", o->name,
			       o->complete, text);
	*ret = text;
	return 0;
}

static int set_option(const Option *o, const char *text, void *target, Err *err)
{
	void *member = (char *)target + o->offset;
	switch (o->type) {
	case OPT_FLAG:
		*(bool *)member = true;
		return 0;
	case OPT_STRING:
		return parse_string(o, text, member, err);
	case OPT_STRINGS: {
		OptStrings *list = member;
		if (list->n == OPT_STRINGS_MAX)
			return err_set(err, -EINVAL, "--%s can be given %d times at most", o->name,
				       OPT_STRINGS_MAX);
		return parse_string(o, text, &list->items[list->n++], err);
	}
	case OPT_INT:
		return parse_int(o, text, member, err);
	case OPT_SEED:
		return parse_seed(o, text, member, err);
	case OPT_DURATION:
		return parse_duration(o, text, member, err);
	}
	return err_set(err, -EINVAL, "--%s is of no known type", o->name);
}

/* What getopt_long wants to know, built from the table. */
typedef struct Getopt {
	struct option longs[OPTIONS_MAX + 2];
	char shorts[2 * OPTIONS_MAX + 4];
} Getopt;

static Getopt getopt_tables(const Command *cmd, size_t n)
{
	Getopt g = {.shorts = ":h"};
	size_t at = 2;
	for (size_t i = 0; i < n; i++) {
		const Option *o = &cmd->options[i];
		bool valued = o->type != OPT_FLAG;
		g.longs[i] = (struct option){o->name, valued ? required_argument : no_argument,
					     NULL, LONG_ONLY + (int)i};
		if (o->letter) {
			g.shorts[at++] = o->letter;
			if (valued)
				g.shorts[at++] = ':';
		}
	}
	g.longs[n] = (struct option){"help", no_argument, NULL, HELP};
	return g;
}

static const Option *find_option(const Command *cmd, size_t n, int value)
{
	if (value >= LONG_ONLY && value < LONG_ONLY + (int)n)
		return &cmd->options[value - LONG_ONLY];
	for (size_t i = 0; i < n; i++)
		if (cmd->options[i].letter && cmd->options[i].letter == value)
			return &cmd->options[i];
	return NULL;
}

static int refuse_long(const Command *cmd, size_t n, const char *word, Err *err)
{
	const char *names[OPTIONS_MAX + 2] = {0};
	char name[64];
	size_t len = strcspn(word, "=");
	for (size_t i = 0; i < n; i++)
		names[i] = cmd->options[i].name;
	names[n] = "help";
	snprintf(name, sizeof(name), "%.*s", (int)(len < sizeof(name) ? len : sizeof(name) - 1),
		 word);
	size_t starts = 0;
	for (size_t i = 0; i <= n; i++)
		starts += strncmp(names[i], name, strlen(name)) == 0;
	if (starts > 1)
		return err_set(err, -EINVAL, "--%s may mean several options; see 'dream %s --help'",
			       name, cmd->name);
	const char *meant = conf_nearest(name, names);
	if (meant)
		return err_set(err, -EINVAL, "there is no option --%s; did you mean --%s?", name,
			       meant);
	return err_set(err, -EINVAL, "there is no option --%s; see 'dream %s --help'", name,
		       cmd->name);
}

static int refuse(const Command *cmd, size_t n, const char *word, Err *err)
{
	const Option *flag = optopt ? find_option(cmd, n, optopt) : NULL;
	if (flag || optopt == HELP)
		return err_set(err, -EINVAL, "--%s takes no value", flag ? flag->name : "help");
	if (word && strncmp(word, "--", 2) == 0)
		return refuse_long(cmd, n, word + 2, err);
	return err_set(err, -EINVAL, "there is no option -%c; see 'dream %s --help'", optopt,
		       cmd->name);
}

static int set_defaults(const Command *cmd, size_t n, void *target, Err *err)
{
	for (size_t i = 0; i < n; i++) {
		const Option *o = &cmd->options[i];
		int r = o->otherwise ? set_option(o, o->otherwise, target, err) : 0;
		if (r < 0)
			return r;
	}
	return 0;
}

static int check_arguments(const Command *cmd, int n, Err *err)
{
	const char *takes = *cmd->args ? cmd->args : "no arguments";
	if (n < cmd->min_args)
		return err_set(err, -EINVAL, "something is missing: it takes %s", takes);
	if (cmd->max_args >= 0 && n > cmd->max_args)
		return err_set(err, -EINVAL, "too many arguments: it takes %s", takes);
	return 0;
}

int options_parse(const Command *cmd, int argc, char **argv, void *target, bool *ret_help, Err *err)
{
	size_t n = count_options(cmd);
	Getopt g = getopt_tables(cmd, n);
	int r = set_defaults(cmd, n, target, err);
	optind = 0; /* glibc: start anew */
	opterr = 0;
	while (r >= 0) {
		int c = getopt_long(argc, argv, g.shorts, g.longs, NULL);
		if (c == -1)
			break;
		if (c == 'h' || c == HELP) {
			*ret_help = true;
			return optind;
		}
		if (c == '?')
			return refuse(cmd, n, argv[optind - 1], err);
		const Option *o = find_option(cmd, n, c == ':' ? optopt : c);
		if (!o)
			return refuse(cmd, n, argv[optind - 1], err);
		if (c == ':')
			return err_set(err, -EINVAL, "--%s needs a value: %s", o->name, o->metavar);
		r = set_option(o, optarg, target, err);
	}
	if (r >= 0)
		r = check_arguments(cmd, argc - optind, err);
	return r < 0 ? r : optind;
}
