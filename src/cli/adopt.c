/* dream adopt: a unit takes its tuned values from production's generations from now on. */
#include "cli/adopt.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/json.h"
#include "cli/internal.h"

typedef struct Options {
	OptStrings allow, value, after;
	bool dry_run, yes, undo, list, json;
} Options;

enum {
	WISHES_MAX = 64,
	AFTER_MAX = 32,
};

/* --- What is wished --------------------------------------------------------------------------- */

typedef struct Wishes {
	AdoptWish items[WISHES_MAX];
	size_t n;
	char *after[AFTER_MAX + 1]; /* borrowed */
	size_t n_after;
} Wishes;

static void wishes_done(Wishes *w)
{
	for (size_t i = 0; i < w->n; i++)
		adoptwish_done(&w->items[i]);
	*w = (Wishes){0};
}

/* Of a unit that is adopted already: its targets stay, with the values that they have by now. */
static int take_adopted(const AdoptWorld *world, const Adoption *a, Wishes *w, Err *err)
{
	const json_t *values = json_object_get(world->values, a->unit);
	for (size_t i = 0; i < a->n && w->n < WISHES_MAX; i++) {
		AdoptWish *wish = &w->items[w->n++];
		const char *value = js_str(values, a->targets[i].parameter, NULL);
		*wish = (AdoptWish){.parameter = strdup(a->targets[i].parameter),
				    .target = target_text(&a->targets[i]),
				    .value = value ? strdup(value) : NULL,
				    .tuned = value != NULL};
		if (!wish->parameter || !wish->target || (value && !wish->value) ||
		    allowed_copy(&a->targets[i].allowed, &wish->allowed) < 0)
			return err_oom(err);
	}
	for (char **u = a->after; *u && w->n_after < AFTER_MAX; u++)
		w->after[w->n_after++] = *u;
	return 0;
}

static bool is_there(const Wishes *w, const AdoptWish *wish)
{
	for (size_t i = 0; i < w->n; i++)
		if (w->items[i].tuned && strcmp(w->items[i].target, wish->target) == 0 &&
		    strcmp(w->items[i].parameter, wish->parameter) == 0)
			return true;
	return false;
}

/* A new target of a parameter that has a value has that value. */
static int take_wish(Wishes *w, const char *text, Err *err)
{
	AdoptWish wish = {0};
	int r = adoptwish_parse(text, &wish, err);
	if (r < 0)
		return r;
	if (is_there(w, &wish)) { /* said again, perhaps with another --allow */
		adoptwish_done(&wish);
		return 0;
	}
	for (size_t i = 0; i < w->n && !wish.value; i++)
		if (w->items[i].tuned && strcmp(w->items[i].parameter, wish.parameter) == 0) {
			wish.value = strdup(w->items[i].value);
			wish.tuned = true;
			if (!wish.value || allowed_copy(&w->items[i].allowed, &wish.allowed) < 0) {
				adoptwish_done(&wish);
				return err_oom(err);
			}
		}
	if (w->n == WISHES_MAX) {
		adoptwish_done(&wish);
		return err_set(err, -E2BIG, "a unit has at most %d targets", WISHES_MAX);
	}
	w->items[w->n++] = wish;
	return 0;
}

/* "PARAM=REST": calls set() for every wish of that parameter. */
static int each_of(Wishes *w, const char *option, const char *text,
		   int (*set)(AdoptWish *wish, const char *rest, Err *err), Err *err)
{
	const char *equals = strchr(text, '=');
	size_t len = equals ? (size_t)(equals - text) : 0;
	bool found = false;
	for (size_t i = 0; equals && i < w->n; i++) {
		AdoptWish *wish = &w->items[i];
		if (strlen(wish->parameter) != len || strncmp(wish->parameter, text, len) != 0)
			continue;
		found = true;
		int r = set(wish, equals + 1, err);
		if (r < 0)
			return err_wrap(err, r, "%s %s", option, text);
	}
	if (!equals)
		return err_set(err, -EINVAL, "%s takes PARAM=..., not '%s'", option, text);
	return found ? 0
		     : err_set(err, -EINVAL, "%s %s names a parameter that is not adopted here",
			       option, text);
}

static int set_allowed(AdoptWish *wish, const char *rest, Err *err)
{
	Allowed a = {0};
	int r = allowed_parse(rest, &a, err);
	if (r < 0)
		return r;
	allowed_done(&wish->allowed);
	wish->allowed = a;
	return 0;
}

static int set_value(AdoptWish *wish, const char *rest, Err *err)
{
	if (wish->tuned)
		return err_set(err, -EINVAL, "it has the value %s by now, which a rollout changes",
			       wish->value);
	if (!value_is_plain(rest))
		return err_set(err, -EINVAL, "'%.100s' is not a plain value", rest);
	free(wish->value);
	wish->value = strdup(rest);
	return wish->value ? 0 : err_oom(err);
}

static int take_wishes(const AdoptWorld *world, const Adoption *before, const Options *o, int argc,
		       char **argv, Wishes *w, Err *err)
{
	int r = before ? take_adopted(world, before, w, err) : 0;
	for (int i = 0; r >= 0 && i < argc; i++)
		r = take_wish(w, argv[i], err);
	for (size_t i = 0; r >= 0 && i < o->value.n; i++)
		r = each_of(w, "--value", o->value.items[i], set_value, err);
	for (size_t i = 0; r >= 0 && i < o->allow.n; i++)
		r = each_of(w, "--allow", o->allow.items[i], set_allowed, err);
	for (size_t i = 0; r >= 0 && i < o->after.n && w->n_after < AFTER_MAX; i++)
		w->after[w->n_after++] = (char *)(uintptr_t)o->after.items[i];
	return r;
}

/* --- The order of starting -------------------------------------------------------------------- */

static const Adoption *adoption_of(const AdoptWorld *w, const Adoption *planned, const char *unit)
{
	return strcmp(planned->unit, unit) == 0 ? planned : adoptworld_find(w, unit);
}

static bool leads_to(const AdoptWorld *w, const Adoption *planned, const char *from, const char *to,
		     size_t depth)
{
	const Adoption *a = adoption_of(w, planned, from);
	for (char **u = a ? a->after : NULL; u && *u && depth <= w->n_adopted + 1; u++)
		if (strcmp(*u, to) == 0 || leads_to(w, planned, *u, to, depth + 1))
			return true;
	return false;
}

/* systemd would break a circle by leaving one of the units out. */
static int check_order(const AdoptWorld *w, const Adoption *a, Err *err)
{
	for (char **u = a->after; *u; u++)
		if (leads_to(w, a, *u, a->unit, 0))
			return err_set(err, -ELOOP,
				       "%s starts after %s already, so it cannot start before it",
				       *u, a->unit);
	return 0;
}

/* What After= waits for is the manager's word that a unit has started, which for most types is said
 * long before a model is loaded. */
static int add_order_notes(const AdoptWorld *w, const Adoption *a, Str *notes, Err *err)
{
	for (char **u = a->after; *u; u++) {
		UnitExec x = {0};
		int r = unit_exec(w->systemd, *u, &x, err);
		if (r < 0)
			return err_wrap(err, r, "--after %s", *u);
		bool waits =
		    x.type && (strcmp(x.type, "notify") == 0 || strcmp(x.type, "forking") == 0 ||
			       strcmp(x.type, "oneshot") == 0 || strcmp(x.type, "dbus") == 0);
		if (!waits)
			str_addf(
			    notes,
			    "Note: %s counts as started when its program runs (Type=%s), not "
			    "when it answers.\nAn ExecStartPost= in it that waits for the first "
			    "answer makes the order one of readiness.\n",
			    *u, x.type ? x.type : "simple");
		unit_exec_done(&x);
	}
	return notes->failed ? err_oom(err) : 0;
}

/* --- The plan --------------------------------------------------------------------------------- */

typedef struct Adopting {
	const AdoptWorld *w;
	const char *unit;
	const Adoption *before; /* NULL: it is new */
	UnitTexts texts;
	Wishes wishes;
	Adoption a;
	char *dropin, *dropin_before;
	json_t *values; /* of this unit */
	Str notes;
} Adopting;

static void adopting_done(Adopting *at)
{
	unittexts_done(&at->texts);
	wishes_done(&at->wishes);
	adoption_done(&at->a);
	free(at->dropin);
	free(at->dropin_before);
	json_decref(at->values);
	str_done(&at->notes);
}

/* Is it there, by its own name, as its files say? */
static int check_unit(const AdoptWorld *w, const char *unit, Err *err)
{
	_cleanup_free_ char *own = NULL;
	UnitExec x = {0};
	UnitState state = {0};
	int r = unit_exec(w->systemd, unit, &x, err);
	unit_exec_done(&x);
	if (strstr(unit, "@."))
		return err_set(err, -EINVAL,
			       "%s is a template, of which nothing runs; adopt its instances by "
			       "their own names, as in %.*sNAME%s",
			       unit, (int)(strstr(unit, "@.") - unit) + 1, unit,
			       strrchr(unit, '.'));
	if (r == -ENOENT && w->places.user)
		return err_set(
		    err, r, "there is no unit %s among your own; the system's are adopted as root",
		    unit);
	if (r >= 0)
		r = unit_own_name(w->systemd, unit, &own, err);
	if (r >= 0)
		r = unit_state(w->systemd, unit, &state, err);
	if (r < 0)
		return r;
	bool stale = state.needs_reload;
	unit_state_done(&state);
	if (strcmp(own, unit) != 0)
		return err_set(err, -EINVAL, "%s is another name of %s; adopt that", unit, own);
	if (stale)
		return err_set(err, -ESTALE,
			       "the files of %s were edited and systemd has not read them since; "
			       "'systemctl %sdaemon-reload' first",
			       unit, w->places.user ? "--user " : "");
	return 0;
}

static int read_dropin(Adopting *at, const char *path, Err *err)
{
	size_t len;
	int r = file_read(path, UNIT_TEXT_MAX, &at->dropin_before, &len, err);
	if (r == -ENOENT)
		return 0;
	if (r >= 0 && !at->before)
		return err_set(err, -EEXIST,
			       "%s is there, but %s is not adopted; take the file away first", path,
			       at->unit);
	return r;
}

static int plan(Adopting *at, Err *err)
{
	_cleanup_free_ char *ours = adoption_dropin_path(&at->w->places, at->unit);
	if (!ours)
		return err_oom(err);
	int r = check_unit(at->w, at->unit, err);
	if (r >= 0)
		r = unittexts_read(at->w, at->unit, ours, &at->texts, err);
	if (r >= 0 && at->texts.transient)
		r = err_set(err, -ENOTSUP,
			    "%s was made by a program (systemd-run) and has no file of its own; "
			    "write a unit file for it",
			    at->unit);
	if (r >= 0)
		r = read_dropin(at, ours, err);
	if (r < 0)
		return r;
	const AdoptInput in = {.unit = at->unit,
			       .files = at->texts.files,
			       .n_files = at->texts.n,
			       .state_dir = at->w->places.state_dir,
			       .dropin = ours,
			       .user = at->w->places.user,
			       .home = at->w->places.user ? getenv("HOME") : "/root",
			       .read_file = unit_read_file,
			       .wishes = at->wishes.items,
			       .n = at->wishes.n,
			       .after = at->wishes.after};
	r = adoption_plan(&in, &at->a, &at->dropin, &at->values, err);
	if (r >= 0)
		r = check_order(at->w, &at->a, err);
	return r < 0 ? r : add_order_notes(at->w, &at->a, &at->notes, err);
}

/* --- Doing it --------------------------------------------------------------------------------- */

/* All adoptions with this one in the place of what it was before; borrowed, but the list. */
static Adoption *all_with(const AdoptWorld *w, const Adoption *a, size_t *ret_n)
{
	Adoption *list = calloc(w->n_adopted + 1, sizeof(*list));
	size_t n = 0;
	for (size_t i = 0; list && i < w->n_adopted; i++)
		if (strcmp(w->adopted[i].unit, a->unit) != 0)
			list[n++] = w->adopted[i];
	if (list && a->n > 0)
		list[n++] = *a;
	*ret_n = n;
	return list;
}

/* The values of exactly these units. `of`: those of `unit`; NULL: it is given back. */
static json_t *values_with(const AdoptWorld *w, const char *unit, json_t *of)
{
	json_t *all = json_object();
	bool failed = !all;
	for (size_t i = 0; i < w->n_adopted; i++) {
		const char *name = w->adopted[i].unit;
		json_t *values = json_object_get(w->values, name);
		if (strcmp(name, unit) != 0 && values)
			js_set(all, name, json_incref(values), &failed);
	}
	if (of)
		js_set(all, unit, json_incref(of), &failed);
	if (!failed)
		return all;
	json_decref(all);
	return NULL;
}

static int put_values(const AdoptWorld *w, const Adoption *a, json_t *of, Err *err)
{
	size_t n;
	_cleanup_free_ Adoption *units = all_with(w, a, &n);
	json_auto_t *values = values_with(w, a->unit, of);
	return units && values ? adoptworld_put(w, units, n, values, err) : err_oom(err);
}

/* That the files for copies can be read as they will be, before anything is written. */
static int try_render(const Adopting *at, Err *err)
{
	json_auto_t *values = json_object();
	GenerationFile *files = NULL;
	size_t n = 0;
	char id[GENERATION_ID_SIZE];
	bool failed = !values;
	js_set(values, at->unit, json_incref(at->values), &failed);
	if (failed)
		return err_oom(err);
	int r = generation_render(&at->a, 1, values, adoption_read_file, NULL, id, &files, &n, err);
	generationfiles_free(files, n);
	return r;
}

static int write_all_of_it(const Adopting *at, Err *err)
{
	int r = put_values(at->w, &at->a, at->values, err);
	if (r >= 0)
		r = adoption_write(&at->w->places, &at->a, at->dropin, err);
	return r < 0 ? r : adopt_reload(at->w, at->unit, at->a.dropin, true, err);
}

/* EXIT_DONE: yes. */
static int ask(const Options *o, const char *question)
{
	char line[16];
	if (o->yes)
		return EXIT_DONE;
	if (!isatty(STDIN_FILENO))
		return cli_failf(EXIT_USAGE, "nobody can be asked here; say --yes, or --dry-run to "
					     "see only what would be done");
	printf("\n%s [y/N] ", question);
	(void)fflush(stdout);
	if (fgets(line, sizeof(line), stdin) && (line[0] == 'y' || line[0] == 'Y'))
		return EXIT_DONE;
	return cli_failf(EXIT_FAILED, "nothing was changed");
}

static int print_adopted(const Adopting *at)
{
	_cleanup_(str_done) Str out = STR_INIT;
	str_addf(&out,
		 "\n%s is adopted. It was not restarted and goes on as it is; from its next start "
		 "it\ntakes its values from %s/current,\nwhere they are what they were. "
		 "'dream adopt --undo %s' makes it as it was.\n",
		 at->unit, at->w->places.state_dir, at->unit);
	return out.failed ? cli_oom() : cli_print(out.s);
}

static int adopt(const AdoptWorld *w, const Options *o, int argc, char **argv)
{
	__attribute__((cleanup(adopting_done)))
	Adopting at = {.w = w, .unit = argv[0], .before = adoptworld_find(w, argv[0])};
	Err err = ERR_INIT;
	int r = take_wishes(w, at.before, o, argc - 1, argv + 1, &at.wishes, &err);
	if (r < 0)
		return cli_fail(err_is_shortage(r) ? EXIT_FAILED : EXIT_USAGE, &err);
	if (at.wishes.n == 0)
		return cli_failf(
		    EXIT_USAGE,
		    "name what of %s is tuned, as in PARAM=--flag; 'dream adopt --help'", argv[0]);
	r = adoptworld_check_idle(w, &err);
	if (r >= 0)
		r = plan(&at, &err);
	if (r >= 0)
		r = try_render(&at, &err);
	if (r < 0)
		return cli_fail(EXIT_FAILED, &err);
	int code = adopt_print_preview(&(AdoptPreview){.a = &at.a,
						       .dropin = at.dropin,
						       .before = at.dropin_before,
						       .values = at.values,
						       .notes = at.notes.s,
						       .texts = &at.texts});
	if (code != EXIT_DONE || o->dry_run)
		return code;
	code = ask(o, "Adopt it?");
	if (code != EXIT_DONE)
		return code;
	return write_all_of_it(&at, &err) < 0 ? cli_fail(EXIT_FAILED, &err) : print_adopted(&at);
}

/* --- Giving it back --------------------------------------------------------------------------- */

/* The drop-in goes first and its values last: a unit that starts in between starts as it was. */
static int give_back(const AdoptWorld *w, const Adoption *a, Err *err)
{
	const Adoption none = {.unit = a->unit};
	int r = adoption_remove(&w->places, a, err);
	if (r >= 0)
		r = adopt_reload(w, a->unit, a->dropin, false, err);
	return r < 0 ? r : put_values(w, &none, NULL, err);
}

/* `edited`: what was, since it was adopted; "". */
static void add_undo(const AdoptWorld *w, const Adoption *a, const char *edited, Str *out)
{
	str_addf(out, "%s will be as it was before it was adopted:\n  %s goes\n", a->unit,
		 a->dropin);
	for (size_t i = 0; i < a->n; i++) {
		const AdoptedTarget *t = &a->targets[i];
		const char *now =
		    js_str(json_object_get(w->values, a->unit), t->parameter, "not known");
		const char *then = t->original ? t->original : "what the program does by itself";
		if (*edited)
			str_addf(out,
				 "  %s: %s now; from the next start on what its own files say by "
				 "then (%s when it was adopted)\n",
				 t->parameter, now, then);
		else
			str_addf(out, "  %s: %s now, %s from the next start on\n", t->parameter,
				 now, then);
	}
	if (*edited)
		str_addf(out, "It was edited since: %s\n", edited);
}

static int undo(const AdoptWorld *w, const Options *o, const char *unit)
{
	const Adoption *a = adoptworld_find(w, unit);
	_cleanup_free_ char *edited = NULL;
	_cleanup_(str_done) Str out = STR_INIT;
	Err err = ERR_INIT;
	if (!a)
		return cli_failf(EXIT_FAILED,
				 "%s is not adopted; 'dream adopt --list' shows what is", unit);
	if (adoptworld_check_idle(w, &err) < 0)
		return cli_fail(EXIT_FAILED, &err);
	if (adopt_drift(w, a, &edited, &err) < 0)
		return cli_fail(EXIT_FAILED, &err);
	add_undo(w, a, edited, &out);
	int code = out.failed ? cli_oom() : cli_print(out.s);
	if (code != EXIT_DONE || o->dry_run)
		return code;
	code = ask(o, "Give it back?");
	if (code != EXIT_DONE)
		return code;
	if (give_back(w, a, &err) < 0)
		return cli_fail(EXIT_FAILED, &err);
	str_clear(&out);
	str_addf(&out, "\n%s is given back. It was not restarted and goes on as it is.\n", unit);
	return out.failed ? cli_oom() : cli_print(out.s);
}

/* --- The verb --------------------------------------------------------------------------------- */

static int check_options(const Options *o, int argc)
{
	bool more = o->allow.n || o->value.n || o->after.n;
	if (o->list && (argc > 0 || o->undo || o->dry_run || more))
		return cli_failf(EXIT_USAGE, "--list stands alone");
	if (o->undo && (argc != 1 || more))
		return cli_failf(EXIT_USAGE, "--undo takes a unit and nothing more");
	if (o->json && !o->list)
		return cli_failf(EXIT_USAGE, "--json goes with --list");
	if (!o->list && argc == 0)
		return cli_failf(EXIT_USAGE, "name a unit, or say --list");
	return EXIT_DONE;
}

static int run(const void *options, int argc, char **argv)
{
	const Options *o = options;
	AdoptWorld w = {0};
	Err err = ERR_INIT;
	int code = check_options(o, argc);
	if (code != EXIT_DONE)
		return code;
	int r = adoptworld_open(&w, true, &err);
	if (r < 0 && o->list && w.loop) /* the list is worth something without a manager, too */
		r = 0;
	if (r < 0 && w.places.user)
		code =
		    cli_failf(EXIT_FAILED, "%s (units of the system are adopted as root)", err.msg);
	else if (r < 0)
		code = cli_fail(EXIT_FAILED, &err);
	else
		code = o->list	 ? adopt_list(&w, o->json)
		       : o->undo ? undo(&w, o, argv[0])
				 : adopt(&w, o, argc, argv);
	adoptworld_done(&w);
	return code;
}

static const Option rows[] = {
    {"allow", 'a', "PARAM=MIN..MAX|A,B,C", OPT_STRINGS, offsetof(Options, allow),
     .help = "values that the parameter may have here; whatever else is refused later, whoever "
	     "asks"},
    {"value", 'v', "PARAM=VALUE", OPT_STRINGS, offsetof(Options, value),
     .help = "what the parameter is now, where the unit does not say it"},
    {"after", 0, "UNIT", OPT_STRINGS, offsetof(Options, after),
     .help = "start this unit after that one"},
    {"dry-run", 'n', NULL, OPT_FLAG, offsetof(Options, dry_run),
     .help = "show what would be done, and do nothing"},
    {"yes", 'y', NULL, OPT_FLAG, offsetof(Options, yes), .help = "do not ask"},
    {"undo", 'u', NULL, OPT_FLAG, offsetof(Options, undo),
     .help = "give the unit back, as it was found"},
    {"list", 'l', NULL, OPT_FLAG, offsetof(Options, list),
     .help = "list what is adopted, and what was edited since"},
    OPTION_JSON("print the list as JSON"),
    {0},
};

const Command cmd_adopt = {
    .name = "adopt",
    .args = "[UNIT [PARAM=TARGET...]]",
    .summary = "let a service take its tuned values from rollouts",
    .about =
	"Once for each service, as root for the system's, as a user for one's own: shows what "
	"would "
	"change, asks, and places one drop-in. From its next start on the service takes the values "
	"of these parameters from the current generation of production, which a rollout changes "
	"and "
	"undoes in one step; adopting itself changes no value and restarts nothing. The unit's own "
	"file and all other drop-ins stay as they are.\n\n"
	"A target is a flag (--gpu-memory-utilization), a variable (ASR_SIZE), a key of an env "
	"file "
	"(/path/.env:ASR_SIZE) or a key of the file that --config names "
	"(--config:gpu_memory_utilization). A parameter may have several. Flags and variables of a "
	"'docker run' are those of the container.\n\n"
	"Adopting a unit again adds targets, or takes over what was edited in its files meanwhile.",
    .options = rows,
    .options_size = sizeof(Options),
    .min_args = 0,
    .max_args = -1,
    .run = run,
};
