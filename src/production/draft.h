#pragma once
/* An adoption while it is planned. Inside this folder. */
#include "production/internal.h"

typedef struct Draft {
	const AdoptInput *in;
	UnitCommand cmd;
	bool changed;	/* the command is another than the unit's own */
	char **argv;	/* the words' values, borrowed; NULL-terminated */
	size_t skip;	/* "@program name": argv[i] is words[i + skip], for i > 0 */
	bool container; /* `docker run`: of argv, where its options begin, where one can be put in,
			   where the image is */
	size_t options_at, insert_at, image_at;
	char **env_files; /* unitenv_files() */
	Adoption a;
	Err *err;
} Draft;

/* Looks at the command anew, after it was changed too. */
int draft_look(Draft *d) _must_check_;
size_t draft_word(const Draft *d, size_t argv_index); /* its index in cmd.words */

/* What a target becomes, until it is one of the adoption. */
typedef struct Found {
	TargetKind kind;
	const char *name, *path, *variable, *original;
	const char *text; /* of `path`, where the generation carries a copy; NULL */
} Found;

/* Where a flag is among the program's own arguments; of argv. `joined`: "--flag=value". */
typedef struct FlagAt {
	size_t at, n;
	bool joined;
} FlagAt;

/* --- target.c --------------------------------------------------------------------------------- */

/* May a tuned value be in a variable of this name? */
int target_check_variable(const Draft *d, const char *name) _must_check_;
/* "vllm_memory_util" -> "DREAM_VLLM_MEMORY_UTIL"; NULL: out of memory. */
char *target_variable(const char *parameter);
int target_check_new(const Draft *d, const AdoptWish *w, const Found *f) _must_check_;
int target_put(Draft *d, const AdoptWish *w, const Found *f) _must_check_;
/* One wish becomes a target of d->a. */
int target_add(Draft *d, const AdoptWish *w) _must_check_;

/* --- target_flag.c ---------------------------------------------------------------------------- */

int target_add_flag(Draft *d, const AdoptWish *w) _must_check_;
void target_flag(const Draft *d, const char *flag, FlagAt *ret); /* n 0: it is not there */
/* Its value as it stands there; -ENOTSUP when it has none, or stands there twice. */
int target_flag_value(const Draft *d, const FlagAt *at, const char *flag,
		      const char **ret) _must_check_;
/* What a word with variables and specifiers comes to. */
int target_resolve(const Draft *d, const char *raw, char **ret) _must_check_;
int target_replace_word(Draft *d, size_t argv_index, const char *text) _must_check_;
int target_insert_word(Draft *d, size_t argv_index, const char *text) _must_check_;
/* Are variables filled in at all? */
int target_check_expansion(const Draft *d) _must_check_;

/* --- target_env.c ----------------------------------------------------------------------------- */

int target_add_env(Draft *d, const AdoptWish *w) _must_check_;
/* Does the program get its manager's environment? */
int target_check_inherited(const Draft *d, const char *name) _must_check_;
bool target_is_container_file(const Draft *d, const char *path);

/* --- target_file.c ---------------------------------------------------------------------------- */

int target_add_key(Draft *d, const AdoptWish *w) _must_check_;
int target_add_config(Draft *d, const AdoptWish *w) _must_check_;
