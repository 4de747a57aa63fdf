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

/* A word as it stands in the text: what it means is kept beside where it stands. */
typedef struct UnitWord {
	size_t at, len; /* in `line` */
	char *value;	/* quotes and escapes resolved; specifiers (%i) and variables are left */
} UnitWord;

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
