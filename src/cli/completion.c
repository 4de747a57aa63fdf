/* Shell completion, generated from the tables of the verbs. Names of experiments come from the
 * configuration that the command line names, at the time of completion. */
#include <stdio.h>
#include <string.h>

#include "cli/internal.h"
#include "cli/options.h"

/* What may follow an option or a verb, as the shells see it. */
typedef enum Kind {
	KIND_NOTHING,
	KIND_FILE,
	KIND_DIR,
	KIND_EXPERIMENT,
	KIND_WORDS,
} Kind;

static Kind kind_of(const Option *o)
{
	if (!o->complete)
		return KIND_NOTHING;
	if (strcmp(o->complete, "file") == 0)
		return KIND_FILE;
	if (strcmp(o->complete, "dir") == 0)
		return KIND_DIR;
	if (strcmp(o->complete, "experiment") == 0)
		return KIND_EXPERIMENT;
	return KIND_WORDS;
}

/* Of the alternatives in the synopsis of a verb, those that begin with a word of ours: "show ID |
 * import FILE" -> "show import", "[log|diff]" -> "log diff"; "ID", "[CONFIG]": none. */
static void first_words(const Command *c, Str *out)
{
	for (const char *at = c->args; *at; at += *at == '|') {
		at += strspn(at, "[ ");
		size_t n = strspn(at, "abcdefghijklmnopqrstuvwxyz-");
		if (n > 0 && at[n] != '=')
			str_addf(out, "%s%.*s", out->len ? " " : "", (int)n, at);
		at += strcspn(at, "|");
	}
}

static void verb_names(Str *out)
{
	for (size_t i = 0; commands[i]; i++)
		str_addf(out, "%s%s", i ? " " : "", commands[i]->name);
}

/* --- bash ------------------------------------------------------------------------------------ */

static void bash_value(const Option *o, Str *out)
{
	static const char *const reply[] = {
	    [KIND_NOTHING] = "COMPREPLY=()",
	    [KIND_FILE] = "mapfile -t COMPREPLY < <(compgen -f -- \"$cur\")",
	    [KIND_DIR] = "mapfile -t COMPREPLY < <(compgen -d -- \"$cur\")",
	    [KIND_EXPERIMENT] = "COMPREPLY=($(compgen -W \"$(_dream_experiments)\" -- \"$cur\"))",
	};
	if (!o->metavar)
		return;
	str_add(out, "\t\t");
	if (o->letter)
		str_addf(out, "-%c|", o->letter);
	str_addf(out, "--%s) ", o->name);
	if (kind_of(o) == KIND_WORDS)
		str_addf(out, "COMPREPLY=($(compgen -W \"%s\" -- \"$cur\"))", o->complete);
	else
		str_add(out, reply[kind_of(o)]);
	str_add(out, "; return ;;\n");
}

static void bash_verb(const Command *c, Str *out)
{
	str_addf(out, "\t%s)\n\t\tcase $prev in\n", c->name);
	for (const Option *o = c->options; o && o->name; o++)
		bash_value(o, out);
	str_add(out, "\t\tesac\n\t\toptions=\"--help");
	for (const Option *o = c->options; o && o->name; o++)
		str_addf(out, " --%s", o->name);
	_cleanup_(str_done) Str words = STR_INIT;
	first_words(c, &words);
	str_addf(out, "\"\n\t\twords=\"%s\" ;;\n", words.s ? words.s : "");
}

/* bash cuts words at "=", too: "--config=x" comes as three. The configuration may also be the first
 * argument. */
static void bash_helpers(Str *out)
{
	str_add(out, "_dream_experiments() {\n"
		     "\tlocal i config=()\n"
		     "\tfor ((i = 1; i < COMP_CWORD; i++)); do\n"
		     "\t\tcase ${COMP_WORDS[i]} in\n"
		     "\t\t-c|--config)\n"
		     "\t\t\tconfig=(\"${COMP_WORDS[i+1]}\")\n"
		     "\t\t\t[ \"$config\" != = ] || config=(\"${COMP_WORDS[i+2]}\") ;;\n"
		     "\t\t*.yaml|*.yml) config=(\"${COMP_WORDS[i]}\") ;;\n"
		     "\t\tesac\n"
		     "\tdone\n"
		     "\tdream check --list \"${config[@]/#\\~\\//$HOME/}\" 2>/dev/null\n"
		     "}\n");
}

static void bash_script(Str *out)
{
	str_add(out, "# bash completion for dream; made by 'dream completion bash'\n");
	bash_helpers(out);
	str_add(out, "_dream() {\n"
		     "\tlocal cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]}\n"
		     "\tlocal options= words=\n"
		     "\tif [ \"$cur\" = = ]; then\n"
		     "\t\tcur=\n"
		     "\telif [ \"$prev\" = = ]; then\n"
		     "\t\tprev=${COMP_WORDS[COMP_CWORD-2]}\n"
		     "\tfi\n"
		     "\tif [ \"$COMP_CWORD\" = 1 ]; then\n"
		     "\t\tCOMPREPLY=($(compgen -W \"");
	verb_names(out);
	str_add(out, " help --help --version\" -- \"$cur\"))\n"
		     "\t\treturn\n"
		     "\tfi\n"
		     "\tcase ${COMP_WORDS[1]} in\n");
	for (size_t i = 0; commands[i]; i++)
		bash_verb(commands[i], out);
	str_add(out, "\thelp) words=\"");
	verb_names(out);
	str_add(out,
		"\" ;;\n"
		"\tesac\n"
		"\tcase $cur in\n"
		"\t-*) COMPREPLY=($(compgen -W \"$options\" -- \"$cur\")) ;;\n"
		"\t*) mapfile -t COMPREPLY < <(compgen -W \"$words\" -- \"$cur\"; compgen -f -- "
		"\"$cur\") ;;\n"
		"\tesac\n"
		"}\n"
		"complete -o filenames -F _dream dream\n");
}

/* --- zsh ------------------------------------------------------------------------------------- */

/* Inside a single-quoted specification of _arguments: quotes, brackets and colons are its own. */
static void zsh_text(const char *text, Str *out)
{
	for (; *text; text++) {
		if (*text == '\'')
			str_add(out, "'\\''");
		else if (strchr("[]:\\", *text))
			str_addf(out, "\\%c", *text);
		else
			str_addc(out, *text);
	}
}

static void zsh_option(const Option *o, Str *out)
{
	bool many = o->type == OPT_STRINGS;
	str_add(out, " \\\n\t\t\t");
	if (o->letter && !many)
		str_addf(out, "'(-%c --%s)'{-%c,--%s}'[", o->letter, o->name, o->letter, o->name);
	else if (o->letter)
		str_addf(out, "'*'{-%c,--%s}'[", o->letter, o->name);
	else
		str_addf(out, "'%s--%s[", many ? "*" : "", o->name);
	zsh_text(o->help, out);
	str_addc(out, ']');
	if (o->metavar) {
		str_addf(out, ":%s:", o->metavar);
		switch (kind_of(o)) {
		case KIND_NOTHING:
			break;
		case KIND_FILE:
			str_add(out, "_files");
			break;
		case KIND_DIR:
			str_add(out, "_files -/");
			break;
		case KIND_EXPERIMENT:
			str_add(out, "_dream_experiments");
			break;
		case KIND_WORDS:
			str_addf(out, "(%s)", o->complete);
			break;
		}
	}
	str_addc(out, '\'');
}

static void zsh_verb(const Command *c, Str *out)
{
	str_addf(out, "\t\t%s)\n\t\t\t_arguments", c->name);
	for (const Option *o = c->options; o && o->name; o++)
		zsh_option(o, out);
	str_add(out, " \\\n\t\t\t'(-h --help)'{-h,--help}'[show help]'");
	_cleanup_(str_done) Str words = STR_INIT;
	first_words(c, &words);
	if (words.len)
		str_addf(out, " \\\n\t\t\t'1:what:(%s)' '*:file:_files' ;;\n", words.s);
	else
		str_add(out, " \\\n\t\t\t'*:file:_files' ;;\n");
}

static void zsh_script(Str *out)
{
	str_add(out,
		"#compdef dream\n"
		"# zsh completion for dream; made by 'dream completion zsh'\n"
		"_dream_experiments() {\n"
		"\tlocal config=${opt_args[-c]:-${opt_args[--config]:-${words[(r)*.y(a|)ml]}}}\n"
		"\tcompadd -- ${(f)\"$(dream check --list ${config:+$config} 2>/dev/null)\"}\n"
		"}\n"
		"_dream() {\n"
		"\tlocal curcontext=$curcontext state line\n"
		"\ttypeset -A opt_args\n"
		"\t_arguments -C '(-h --help)'{-h,--help}'[show help]' '--version[show the "
		"version]' \\\n"
		"\t\t'1:verb:->verb' '*::argument:->argument'\n"
		"\tcase $state in\n"
		"\tverb)\n"
		"\t\tlocal -a verbs\n"
		"\t\tverbs=(\n");
	for (size_t i = 0; commands[i]; i++) {
		str_addf(out, "\t\t\t'%s:", commands[i]->name);
		zsh_text(commands[i]->summary, out);
		str_add(out, "'\n");
	}
	str_add(out, "\t\t)\n"
		     "\t\t_describe verb verbs ;;\n"
		     "\targument)\n"
		     "\t\tcase $line[1] in\n");
	for (size_t i = 0; commands[i]; i++)
		zsh_verb(commands[i], out);
	str_add(out, "\t\tesac ;;\n"
		     "\tesac\n"
		     "}\n"
		     "compdef _dream dream\n");
}

/* --- fish ------------------------------------------------------------------------------------ */

static void fish_text(const char *text, Str *out)
{
	for (; *text; text++) {
		if (strchr("'\\", *text))
			str_addc(out, '\\');
		str_addc(out, *text);
	}
}

static void fish_option(const Command *c, const Option *o, Str *out)
{
	str_addf(out, "complete -c dream -n '__fish_seen_subcommand_from %s' -l %s", c->name,
		 o->name);
	if (o->letter)
		str_addf(out, " -s %c", o->letter);
	if (o->metavar) {
		static const char *const how[] = {
		    [KIND_NOTHING] = " -x",
		    [KIND_FILE] = " -r -F",
		    [KIND_DIR] = " -x -a '(__fish_complete_directories)'",
		    [KIND_EXPERIMENT] = " -x -a '(__dream_experiments)'",
		};
		if (kind_of(o) == KIND_WORDS)
			str_addf(out, " -x -a '%s'", o->complete);
		else
			str_add(out, how[kind_of(o)]);
	}
	str_add(out, " -d '");
	fish_text(o->help, out);
	str_add(out, "'\n");
}

static void fish_script(Str *out)
{
	str_add(out, "# fish completion for dream; made by 'dream completion fish'\n"
		     "function __dream_experiments\n"
		     "\tset -l words (commandline -opc)\n"
		     "\tset -l config\n"
		     "\tfor i in (seq (count $words))\n"
		     "\t\tswitch $words[$i]\n"
		     "\t\t\tcase -c --config\n"
		     "\t\t\t\tset config $words[(math $i + 1)]\n"
		     "\t\t\tcase '--config=*'\n"
		     "\t\t\t\tset config (string replace -- --config= '' $words[$i])\n"
		     "\t\t\tcase '*.yaml' '*.yml'\n"
		     "\t\t\t\tset config $words[$i]\n"
		     "\t\tend\n"
		     "\tend\n"
		     "\tdream check --list $config 2>/dev/null\n"
		     "end\n");
	for (size_t i = 0; commands[i]; i++) {
		const Command *c = commands[i];
		_cleanup_(str_done) Str words = STR_INIT;
		str_addf(out, "complete -c dream -f -n __fish_use_subcommand -a %s -d '", c->name);
		fish_text(c->summary, out);
		str_add(out, "'\n");
		first_words(c, &words);
		if (words.len)
			str_addf(out,
				 "complete -c dream -n '__fish_seen_subcommand_from %s' -a '%s'\n",
				 c->name, words.s);
		for (const Option *o = c->options; o && o->name; o++)
			fish_option(c, o, out);
	}
}

static int run(const void *options, int argc, char **argv)
{
	static const struct {
		const char *shell;
		void (*script)(Str *out);
	} shells[] = {{"bash", bash_script}, {"zsh", zsh_script}, {"fish", fish_script}};
	_cleanup_(str_done) Str text = STR_INIT;
	(void)options;
	(void)argc;
	for (size_t i = 0; i < sizeof(shells) / sizeof(*shells); i++)
		if (strcmp(shells[i].shell, argv[0]) == 0)
			shells[i].script(&text);
	if (!text.len)
		return cli_failf(EXIT_USAGE, "it knows bash, zsh and fish, not '%s'", argv[0]);
	return cli_print(text.s);
}

const Command cmd_completion = {
    .name = "completion",
    .args = "bash|zsh|fish",
    .summary = "print a completion script for a shell",
    .about = "Prints a completion script. For bash: dream completion bash > "
	     "~/.local/share/bash-completion/completions/dream",
    .min_args = 1,
    .max_args = 1,
    .run = run,
};
