/* dream init: what is on this machine, and a configuration for it. */
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "cli/internal.h"
#include "discover/compose.h"
#include "discover/look.h"

typedef struct Options {
	const char *output;
	bool force;
} Options;

enum {
	STEP_WIDTH = 26, /* of a command with words beside it */
};

#define BOX_NAME "dream-box.yaml"

static bool is_there(const char *path)
{
	return access(path, F_OK) == 0 || errno != ENOENT;
}

static int refuse(const char *path)
{
	return cli_failf(EXIT_USAGE,
			 "%s is there already and stays as it is; --force writes over it, and "
			 "--output FILE writes elsewhere",
			 path);
}

/* The folder of the configuration and the box's name in it. */
static char *box_path(const char *output)
{
	_cleanup_free_ char *dir = path_dir(output);
	return dir ? path_join(dir, BOX_NAME) : NULL;
}

static int write_file(const char *path, const char *text, size_t len)
{
	_cleanup_free_ char *dir = path_dir(path);
	Err err = ERR_INIT;
	if (!dir)
		return cli_oom();
	int r = dir_make(dir, 0755, &err);
	if (r == 0)
		r = file_write(path, 0644, text, len, &err);
	return r < 0 ? cli_fail(EXIT_FAILED, &err) : 0;
}

/* Beside the command where there is room, else below it. */
static void step_text(const char *verb, const char *with, const char *more, const char *words,
		      Str *out)
{
	str_addf(out, "  dream %s%s%s", verb, with, more);
	size_t len = 8 + strlen(verb) + strlen(with) + strlen(more);
	if (len < STEP_WIDTH)
		str_addf(out, "%*s%s\n", (int)(STEP_WIDTH - len), "", words);
	else
		str_addf(out, "\n      %s\n", words);
}

/* "dream check" finds ./dream.yaml by itself. */
static void next_text(const char *output, bool simulated, Str *out)
{
	_cleanup_free_ char *option =
	    strcmp(output, "dream.yaml") == 0 ? strdup("") : str_fmt(" --config %s", output);
	const char *with = option ? option : "";
	str_addf(out, "\nWrote %s. Nothing else was changed. Next:\n", output);
	if (simulated) {
		step_text("predict", with, "", "which candidates can start, and why not", out);
		step_text("run", with, "", "the whole experiment on the simulated box", out);
		return;
	}
	step_text("check", with, "", "is it right?", out);
	step_text("run", with, " --dry-run", "what would happen, and how long it takes", out);
	step_text("doctor", with, "", "is the machine fit for it?", out);
}

static int write_real(const Options *o, const Machine *m)
{
	_cleanup_(str_done) Str yaml = STR_INIT, text = STR_INIT;
	Err err = ERR_INIT;
	if (mapping_text(m, &text) < 0)
		return cli_oom();
	if (compose_config(m, "dream " DREAM_VERSION, &yaml, &err) < 0)
		return cli_fail(EXIT_FAILED, &err);
	int r = write_file(o->output, yaml.s, yaml.len);
	if (r)
		return r;
	next_text(o->output, false, &text);
	return cli_print(text.failed ? NULL : text.s);
}

static int write_simulated(const Options *o, const Machine *m)
{
	_cleanup_(str_done) Str yaml = STR_INIT, text = STR_INIT;
	_cleanup_free_ char *box = box_path(o->output);
	Err err = ERR_INIT;
	if (!box)
		return cli_oom();
	if (!o->force && is_there(box))
		return refuse(box);
	if (mapping_text(m, &text) < 0)
		return cli_oom();
	nothing_text(m, &text);
	str_add(&text, "\nSo the configuration is one for a SIMULATED box: it tunes nothing "
		       "real, and\nshows how everything works. 'dream doctor' says what is "
		       "missing here.\n");
	if (compose_simulated(m, "dream " DREAM_VERSION, BOX_NAME, &yaml, &err) < 0)
		return cli_fail(EXIT_FAILED, &err);
	int r = write_file(box, simulated_box(), strlen(simulated_box()));
	if (r == 0)
		r = write_file(o->output, yaml.s, yaml.len);
	if (r)
		return r;
	str_addf(&text, "\nThe simulated box is described in %s.", box);
	next_text(o->output, true, &text);
	return cli_print(text.failed ? NULL : text.s);
}

static int run(const void *options, int argc, char **argv)
{
	const Options *o = options;
	const LookOptions look = {0};
	_cleanup_(machine_done) Machine m = {0};
	Err err = ERR_INIT;
	(void)argc, (void)argv;
	if (!o->force && is_there(o->output))
		return refuse(o->output);
	if (machine_look(&look, &m, &err) < 0)
		return cli_fail(EXIT_FAILED, &err);
	return machine_can_tune(&m) ? write_real(o, &m) : write_simulated(o, &m);
}

static const Option rows[] = {
    {"output", 'o', "FILE", OPT_STRING, offsetof(Options, output), .otherwise = "dream.yaml",
     .complete = "file", .help = "where the configuration is written (default: ./dream.yaml)"},
    {"force", 'f', NULL, OPT_FLAG, offsetof(Options, force),
     .help = "write over a file that is there"},
    {0},
};

const Command cmd_init = {
    .name = "init",
    .args = "",
    .summary = "look at this machine and write a configuration for it",
    .about =
	"Finds the GPUs, who holds them, and the model servers: vLLM, llama.cpp, Ollama, "
	"whisper.cpp and OpenAI-style speech-to-text, with their units, containers, ports and "
	"parameters. Shows what it found and writes a commented dream.yaml with values around "
	"those of today. It starts, stops and changes nothing else, and prints no secrets.\n\n"
	"Root sees most: other users' processes and the units' logs. Where no GPU or no server "
	"is found it says what it looked at, and writes a configuration for a simulated box "
	"instead.",
    .options = rows,
    .options_size = sizeof(Options),
    .max_args = 0,
    .run = run,
};
