#pragma once
/* What the files of this folder share about a unit's texts. Pure. */
#include "base/cleanup.h"
#include "base/strings.h"
#include "production/adoption.h"

/* --- specifier.c ------------------------------------------------------------------------------ */

/* %i, %n, %h, ... of a text, as they are for this unit. -ENOTSUP: one that only the manager knows.
 * `home` NULL: %h is such a one. */
int specifiers_resolve(const char *text, const char *unit, const char *home, char **ret,
		       Err *err) _must_check_;
/* The other way round: the text for a place where specifiers count. */
int specifiers_escape(const char *text, char **ret) _must_check_;

/* --- envtext.c: an env file, line by line ----------------------------------------------------- */

bool env_name_ok(const char *name);
/* The value that a key has in the end: the last one counts. *ret NULL: it is not there. `exported`:
 * lines that begin with "export" count too, as shells and dotenv have them and the manager has not.
 * -ENOTSUP: a text that its readers understand differently. */
int envtext_get(const char *path, const char *text, const char *key, bool exported, char **ret,
		Err *err) _must_check_;
/* The text with that value, every other byte as it was; added at the end where the key is not
 * there. */
int envtext_set(const char *path, const char *text, const char *key, const char *value, char **ret,
		Err *err) _must_check_;

/* --- yamltext.c: a flat YAML file ------------------------------------------------------------- */

/* A key at the top ('_' and '-' are the same). *ret NULL: it is not there. -ENOTSUP: nested, or
 * written in a way that cannot be changed safely. */
int yamltext_get(const char *path, const char *text, const char *key, char **ret,
		 Err *err) _must_check_;
int yamltext_set(const char *path, const char *text, const char *key, const char *value, char **ret,
		 Err *err) _must_check_;

/* --- unitenv.c: the environment that a unit gives its program --------------------------------- */

/* The paths of EnvironmentFile=, specifiers resolved, a leading '-' kept. NULL-terminated. */
int unitenv_files(const AdoptInput *in, char ***ret, Err *err) _must_check_;
/* A variable's value, and the words where it comes from. *ret NULL: it is not set. */
int unitenv_get(const AdoptInput *in, const char *name, char **ret, char **ret_from,
		Err *err) _must_check_;
/* Would UnsetEnvironment= take it away again? 1 or 0. */
int unitenv_unsets(const AdoptInput *in, const char *name, Err *err) _must_check_;

/* --- dropin.c ---------------------------------------------------------------------- */

/* STATE/current/NAME with specifiers escaped. NULL: out of memory. */
char *current_path(const char *state_dir, const char *unit, const char *suffix);
/* `line`: the command as it becomes; NULL: it stays as it is. */
int dropin_text(const AdoptInput *in, const Adoption *a, const char *line, char **ret,
		Err *err) _must_check_;
