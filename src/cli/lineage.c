/* dream lineage: where a candidate comes from, and whether the chain of records is untouched. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/json.h"
#include "cli/internal.h"
#include "cli/lineage.h"
#include "record/export.h"
#include "record/sign.h"

typedef struct Options {
	const char *config, *database, *head;
	bool json;
} Options;

typedef struct Context {
	const Options *options;
	const Plan *plan; /* may be NULL */
	Store *store;	  /* may be NULL */
	const char *argument;
} Context;

static const char *pinned(const Context *c)
{
	return c->plan ? c->plan->run.pinned_key : NULL;
}

static int show(const Context *c)
{
	if (!c->argument)
		return cli_failf(EXIT_USAGE, "show takes the candidate or trial whose ancestry is "
					     "wanted: dream lineage show spica-gpu-1a2b3c4d");
	if (!c->store)
		return cli_nothing_yet(EXIT_FAILED);
	return ancestry_show(c->store, c->argument, c->options->json);
}

static int head(const Context *c)
{
	int64_t seq = 0;
	Hash hash = {0};
	Err err = ERR_INIT;
	char hex[HASH_HEX_SIZE];
	if (!c->store)
		return cli_nothing_yet(EXIT_FAILED);
	if (store_head(c->store, &seq, &hash, &err) < 0)
		return cli_fail(EXIT_FAILED, &err);
	hash_hex(&hash, hex);
	if (c->options->json)
		return cli_print_json(json_pack("{s:s,s:I,s:s}", "schema", "dream.head/v1", "seq",
						(json_int_t)seq, "hash", hex));
	_cleanup_free_ char *line = str_fmt("%" PRId64 ":%s\n", seq, hex);
	return cli_print(line);
}

/* Never made here: it belongs to whoever signs first. */
static int key(const Context *c)
{
	_cleanup_(sign_key_freep) SignKey *k = NULL;
	_cleanup_free_ char *path = NULL;
	char hex[PUBLIC_KEY_HEX_SIZE];
	int r = cli_key_path(c->plan, &path);
	if (r)
		return r;
	if (access(path, F_OK) < 0 && errno == ENOENT)
		return cli_failf(EXIT_FAILED,
				 "there is no key yet: %s is made when something is signed for the "
				 "first time, as by 'dream run'",
				 path);
	r = cli_key(c->plan, &k);
	if (r)
		return r;
	sign_public_hex(k, hex);
	if (c->options->json)
		return cli_print_json(
		    json_pack("{s:s,s:s,s:s}", "schema", "dream.key/v1", "key", hex, "file", path));
	_cleanup_free_ char *line = str_fmt("%s\n", hex);
	return cli_print(line);
}

static int export(const Context *c)
{
	Err err = ERR_INIT;
	int64_t seq = 0;
	Hash hash;
	if (!c->argument)
		return cli_failf(EXIT_USAGE, "export takes the file to write, or - for standard "
					     "output");
	if (!c->store)
		return cli_nothing_yet(EXIT_FAILED);
	if (store_export(c->store, c->argument, &err) < 0 ||
	    store_head(c->store, &seq, &hash, &err) < 0)
		return cli_fail(EXIT_FAILED, &err);
	if (strcmp(c->argument, "-") == 0)
		return EXIT_DONE;
	_cleanup_free_ char *line = str_fmt("the chain is written to %s\n", c->argument);
	return cli_print(line);
}

/* "12:HEX" */
static int parse_head(const char *text, int64_t *ret_seq, Hash *ret)
{
	char *end = NULL;
	errno = 0;
	long long seq = strtoll(text, &end, 10);
	if (errno == 0 && seq > 0 && *end == ':' && hash_from_hex(end + 1, ret)) {
		*ret_seq = seq;
		return 0;
	}
	return cli_failf(EXIT_USAGE,
			 "--head takes SEQ:HASH as 'dream lineage head' prints it, not '%s'", text);
}

static int print_sound(const char *what, const char *why)
{
	_cleanup_free_ char *line = str_fmt("%s: %s\n", what, why);
	return cli_print(line);
}

/* The verdict on `what`, with the sentence that explains it. */
static int verdict(const Context *c, const char *what, bool is_sound, const char *why)
{
	int r = EXIT_DONE;
	if (c->options->json)
		r = cli_print_json(json_pack("{s:s,s:s,s:b,s:s}", "schema", "dream.verify/v1",
					     "what", what, "sound", is_sound, "reason", why));
	else if (is_sound)
		r = print_sound(what, why);
	else
		(void)cli_failf(EXIT_FAILED, "%s: %s", what, why);
	return is_sound ? r : EXIT_FAILED;
}

/* The outcome of a check that says its reason in `text`. */
static int conclude(const Context *c, const char *what, int r, const char *text, const Err *err)
{
	if (r < 0 && !(r == -EBADMSG && text))
		return cli_fail(EXIT_FAILED, err);
	return verdict(c, what, r >= 0, text);
}

static int verify_store(const Context *c, int64_t head_seq, const Hash *kept)
{
	_cleanup_free_ char *text = NULL;
	Err err = ERR_INIT;
	if (!c->store)
		return cli_nothing_yet(EXIT_FAILED);
	int r = store_verify(c->store, pinned(c), head_seq, head_seq ? kept : NULL, &text, &err);
	return conclude(c, "the store", r, text, &err);
}

static int verify_chain_file(const Context *c, int64_t head_seq, const Hash *kept)
{
	ChainSpec spec = {pinned(c), head_seq, head_seq ? kept : NULL};
	_cleanup_free_ char *text = NULL;
	Err err = ERR_INIT;
	int r = record_verify_export(c->argument, &spec, &text, &err);
	return conclude(c, c->argument, r, text, &err);
}

static int verify_file(const Context *c, int64_t head_seq, const Hash *kept)
{
	_cleanup_free_ char *text = NULL;
	size_t len = 0;
	Err err = ERR_INIT;
	ExportKind kind;
	int r;
	if (export_kind(c->argument, &kind, &err) < 0)
		return cli_fail(EXIT_FAILED, &err);
	if (kind == EXPORT_CHAIN)
		return verify_chain_file(c, head_seq, kept);
	if (file_read(c->argument, EXPORT_MAX, &text, &len, &err) < 0)
		return cli_fail(EXIT_FAILED, &err);
	if (kind == EXPORT_TRIALS && !c->store)
		return cli_nothing_yet(EXIT_FAILED);
	if (kind == EXPORT_TRIALS)
		r = trials_check(c->store, text, len, &err);
	else
		r = promotion_check(c->argument, text, len, pinned(c), &err);
	return conclude(c, c->argument, r,
			r < 0			? err.msg
			: kind == EXPORT_TRIALS ? "every line is what the store holds"
						: "the signature fits the content",
			&err);
}

static int verify(const Context *c)
{
	int64_t head_seq = 0;
	Hash kept = {0};
	int r = c->options->head ? parse_head(c->options->head, &head_seq, &kept) : 0;
	if (r)
		return r;
	return c->argument ? verify_file(c, head_seq, &kept) : verify_store(c, head_seq, &kept);
}

/* The records are the truth: a list of trials that says something else is made again from them. */
static int rebuild(const Context *c)
{
	_cleanup_(store_closep) Store *store = NULL;
	_cleanup_free_ char *path = NULL;
	Err err = ERR_INIT;
	if (!c->store)
		return cli_nothing_yet(EXIT_FAILED);
	int r = c->options->database ? 0 : cli_store_path(c->plan, &path);
	if (r == 0)
		r = cli_open_store(path ? path : c->options->database, STORE_WRITE, &store);
	if (r)
		return r;
	if (store_rebuild(store, &err) < 0)
		return cli_fail(EXIT_FAILED, &err);
	return cli_print("the table of trials is made again from the records\n");
}

static int run(const void *options, int argc, char **argv)
{
	static const struct {
		const char *name;
		int (*run)(const Context *c);
	} parts[] = {{"show", show},	 {"verify", verify},   {"head", head},
		     {"export", export}, {"rebuild", rebuild}, {"key", key}};
	_cleanup_(config_freep) Plan *plan = NULL;
	_cleanup_(store_closep) Store *store = NULL;
	const Options *o = options;
	for (size_t i = 0; i < sizeof(parts) / sizeof(*parts); i++) {
		if (strcmp(argv[0], parts[i].name) != 0)
			continue;
		int r = cli_read(o->config, o->database, &plan, &store);
		Context c = {o, plan, store, argc > 1 ? argv[1] : NULL};
		return r ? r : parts[i].run(&c);
	}
	return cli_failf(EXIT_USAGE,
			 "it takes show, verify, head, export, rebuild or key, not '%s'", argv[0]);
}

static const Option rows[] = {
    OPTION_CONFIG("the configuration that names the store and the pinned key"),
    OPTION_DATABASE,
    {"head", 0, "SEQ:HASH", OPT_STRING, offsetof(Options, head),
     .help = "verify: a head that was kept elsewhere; the chain must contain it"},
    OPTION_JSON("print JSON"),
    {0},
};

const Command cmd_lineage = {
    .name = "lineage",
    .args = "show|verify|head|export|rebuild|key [ID|FILE]",
    .summary = "draw a candidate's ancestry; verify the chain of records",
    .about =
	"show ID draws where a candidate comes from, as a tree. verify checks every record, hash "
	"and signature of the store, or of a file: an export of the chain, a metrics.jsonl of an "
	"epoch, or a promotion. head prints the newest record's number and hash, to be kept "
	"elsewhere: verify --head then also finds a chain that was cut off or replaced by an old "
	"copy. export FILE writes every record as a line of JSON. rebuild makes the table of "
	"trials again from the records, where verify says that it differs from them. key prints "
	"the public part of the key that signs here, to be pinned (run.pinned_key), or trusted on "
	"another machine (daemon.trusted_keys).",
    .options = rows,
    .options_size = sizeof(Options),
    .min_args = 1,
    .max_args = 2,
    .run = run,
};
