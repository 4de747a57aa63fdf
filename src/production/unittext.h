#pragma once
/* A unit's own text: what its ExecStart= says, word by word, so that single words can be replaced
 * and everything else stays byte for byte as the administrator wrote it. Pure. */
#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"

enum {
	UNIT_TEXT_MAX = 1 << 20,
	UNIT_FILES_MAX = 64,
};

/* One file of a unit, in the order in which the manager reads them: the unit's own, then its
 * drop-ins by name. */
typedef struct UnitFile {
	char *path, *text;
} UnitFile;

/* --- Settings --------------------------------------------------------------------------------- */

/* Calls fn for every assignment of a file, as the manager's reader sees it: comments and blank
 * lines are left out, continuation lines joined, blanks around the value gone. `section` is "" in
 * front of the first one. A negative result ends it. -EBADMSG: the manager would not take the file.
 */
typedef int UnitSettingFn(void *ctx, const char *section, const char *key, const char *value,
			  Err *err);
int unittext_each(const char *path, const char *text, UnitSettingFn *fn, void *ctx,
		  Err *err) _must_check_;

typedef struct UnitSetting {
	char *value;
	const char *path; /* borrowed: the file that says it */
} UnitSetting;

typedef struct UnitSettings {
	UnitSetting *items;
	size_t n;
} UnitSettings;

/* What the files say of one key together: an empty assignment takes away what was said before. */
int unitsettings_read(const UnitFile *files, size_t n, const char *section, const char *key,
		      UnitSettings *ret, Err *err) _must_check_;
void unitsettings_done(UnitSettings *s);

/* --- Words ------------------------------------------------------------------------------------ */

/* A word as it stands in the text: what it means is kept beside where it stands. */
typedef struct UnitWord {
	size_t at, len; /* in `line` */
	char *value;	/* quotes and escapes resolved; specifiers (%i) and variables are left */
} UnitWord;

void unitword_done(UnitWord *w);
/* The next word of a line from *at on, which moves behind it. 1: a word, 0: there is none,
 * -EBADMSG: a quote that is not closed, -ENOMEM. What is no escape stays as it is, with its
 * backslash. */
int unitword_next(const char *line, size_t *at, UnitWord *ret) _must_check_;

/* --- The command ------------------------------------------------------------------------------ */

/* The one command that ExecStart= comes to after all files are read (an empty assignment resets
 * it). */
typedef struct UnitCommand {
	char *line;	/* continuation lines joined; the prefix included */
	char prefix[8]; /* "@-:+!" in front of the program */
	UnitWord *words;
	size_t n;
	size_t program;	   /* which word is the program's path */
	char *from;	   /* the file that says it */
	bool no_variables; /* ':' stands in front: ${NAME} would not be replaced */
} UnitCommand;

/* -ENOENT: no ExecStart=; -ENOTSUP: several commands; -EBADMSG: a text that cannot be understood.
 */
int unitcommand_read(const UnitFile *files, size_t n, UnitCommand *ret, Err *err) _must_check_;
void unitcommand_done(UnitCommand *c);
/* The line with word `i` replaced by `text` (quoted as needed, except that ${NAME} stays a
 * variable). Words after it move. */
int unitcommand_replace(UnitCommand *c, size_t i, const char *text) _must_check_;
/* A new word in front of word `i` (n: at the end). */
int unitcommand_insert(UnitCommand *c, size_t i, const char *text) _must_check_;

/* SHA-256 in hex of the command's meaning and of the files' other settings that we build on
 * (Environment=, EnvironmentFile=): what changes when the unit is edited by hand, and not when a
 * comment is. Drop-ins whose path is `ours` do not count. */
int unit_fingerprint(const UnitFile *files, size_t n, const char *ours, char ret[65],
		     Err *err) _must_check_;
