/* dream daemon: the verb around src/daemon. */
#include "daemon/daemon.h"

#include <string.h>
#include <unistd.h>

#include "cli/internal.h"

typedef struct Options {
	const char *config, *socket, *helper;
	bool user, system;
} Options;

static int run(const void *options, int argc, char **argv)
{
	const Options *o = options;
	_cleanup_free_ char *path = NULL;
	Err err = ERR_INIT;
	if (o->user && o->system)
		return cli_failf(EXIT_USAGE, "it is either --user or --system");
	int r = cli_named_config(o->config, argc, argv, &path);
	if (r)
		return r;
	const DaemonOptions d = {
	    .config = path,
	    .socket = o->socket,
	    .helper = o->helper,
	    .user = o->user || (!o->system && geteuid() != 0),
	};
	r = daemon_run(&d, &err);
	if (r == -EBADMSG)
		return cli_fail(EXIT_USAGE, &err);
	return r < 0 ? cli_fail(EXIT_FAILED, &err) : EXIT_DONE;
}

#define AT(member) offsetof(Options, member)
static const Option rows[] = {
    {"config", 'c', "FILE", OPT_STRING, AT(config), .complete = "file",
     .help = "the configuration (default: ./dream.yaml, ~/.config/dream/dream.yaml, "
	     "/etc/dream/dream.yaml); read again on SIGHUP"},
    {"system", 0, NULL, OPT_FLAG, AT(system),
     .help = "production is the machine's units (default for root)"},
    {"user", 0, NULL, OPT_FLAG, AT(user),
     .help = "production is the units of the user's own manager (default for others)"},
    {"socket", 0, "PATH", OPT_STRING, AT(socket), .complete = "file",
     .help = "where requests are taken (default: /run/dream/control.sock, or "
	     "$XDG_RUNTIME_DIR/dream/control.sock)"},
    {"helper", 0, "PATH", OPT_STRING, AT(helper), .complete = "file",
     .help = "the socket of the privileged helper"},
    {0},
};
#undef AT

const Command cmd_daemon = {
    .name = "daemon",
    .args = "[CONFIG]",
    .summary = "run experiments in their window, roll out what was approved, watch production",
    .about =
	"Runs until it is stopped. In the window of `daemon.run_window` it runs the experiments; "
	"it "
	"approves by itself only what `rollout.approval: auto` allows, and asks people for the "
	"rest; "
	"it rolls out, watches, takes back what hurts, and compares what production runs with what "
	"it should run. 'dream status' shows what it does, 'dream pause' keeps it from beginning "
	"anything new.\n\n"
	"It holds no power of its own: what changes the machine goes through dream-helper. SIGHUP "
	"makes it read the configuration again; a file with mistakes is reported and the old one "
	"stays in effect. SIGTERM ends it within seconds; a rollout that was going on is taken up "
	"when it begins again.",
    .options = rows,
    .options_size = sizeof(Options),
    .max_args = 1,
    .run = run,
};
