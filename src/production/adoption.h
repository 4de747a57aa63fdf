#pragma once
/* A unit is adopted once: one static drop-in, owned by whoever owns the unit, makes it read its
 * tuned values from the current generation (see generation.h). The unit's own file and the
 * administrator's drop-ins are never touched. What is adopted, and which values are allowed, is
 * written down in a file a unit, which is also the policy that the privileged part checks against.
 */
#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/cleanup.h"
#include "base/err.h"
#include "base/str.h"
#include "production/unittext.h"

#define ADOPTION_SCHEMA "dream.adoption/v1"

/* Where production is kept. System mode: /etc/dream/adopted, /var/lib/dream-production,
 * /etc/systemd/system. User mode: the same under $XDG_CONFIG_HOME, $XDG_STATE_HOME and
 * ~/.config/systemd/user. */
typedef struct ProductionPlaces {
	char *adopted_dir; /* a JSON file a unit */
	char *state_dir;   /* generations, the link `current`, the intent log */
	char *unit_dir;	   /* drop-ins go below it */
	bool user;	   /* the user's own manager */
} ProductionPlaces;

int productionplaces_system(ProductionPlaces *ret, Err *err) _must_check_;
int productionplaces_user(ProductionPlaces *ret, Err *err) _must_check_;
/* As root the system's, else the user's; $DREAM_PRODUCTION_ROOT is put in front of every path
 * (tests, images). */
int productionplaces_here(ProductionPlaces *ret, Err *err) _must_check_;
void productionplaces_done(ProductionPlaces *p);

typedef enum TargetKind {
	TARGET_FLAG,   /* a flag's value in ExecStart=, also behind `docker run ... IMAGE` */
	TARGET_ENV,    /* a variable; of the container where the unit is `docker run` */
	TARGET_KEY,    /* NAME=value in an env file: /path/.env:NAME */
	TARGET_CONFIG, /* a key of the YAML file that --config names (vLLM):
			  --config:gpu_memory_utilization */
} TargetKind;

const char *target_kind_name(TargetKind k); /* "flag", "env", "key", "config" */

/* Which values a parameter may have here. What is not said is not asked, but the text is always
 * short and plain (letters, digits, "._:/@+-"), so that no value can be anything but a value. */
typedef struct Allowed {
	bool has_range;
	double min, max;
	char **words; /* NULL-terminated; NULL: any */
} Allowed;

bool value_is_plain(const char *text);
/* 0; -EPERM with the sentence what is allowed. */
int allowed_check(const Allowed *a, const char *parameter, const char *value,
		  Err *err) _must_check_;

typedef struct AdoptedTarget {
	char *parameter;
	TargetKind kind;
	char *name;	/* "--gpu-memory-utilization", "ASR_WHISPER_SIZE", the key */
	char *path;	/* TARGET_KEY, TARGET_CONFIG: the file as the unit names it; else NULL */
	char *variable; /* in the generation's data file: "DREAM_VLLM_MEMORY_UTIL"; NULL: a copy of
			   `path` carries the value */
	char *original; /* its value when the unit was adopted; NULL: it was not set */
	Allowed allowed;
	char *file_sha256; /* of `path` when adopted, where the generation carries a copy; NULL */
} AdoptedTarget;

typedef struct Adoption {
	char *unit;	   /* "judge.service", "llm@gpu0.service" */
	char *fingerprint; /* unit_fingerprint() when adopted */
	char *command;	   /* ExecStart= when adopted, for people */
	char *dropin;	   /* the path of ours */
	char **after;	   /* units that must be ready first where it starts; NULL-terminated */
	AdoptedTarget *targets;
	size_t n;
} Adoption;

void adoption_done(Adoption *a);

/* --- Planning: pure --------------------------------------------------------------------------- */

/* "vllm_memory_util=--gpu-memory-utilization", "size=ASR_SIZE", "size=/path/.env:ASR_SIZE",
 * "util=--config:gpu_memory_utilization". */
typedef struct AdoptWish {
	char *parameter, *target;
	Allowed allowed;
	char *value; /* what it has now, where the unit does not say it; NULL */
	bool tuned;  /* `value` is from the current generation: the unit's own does not count */
} AdoptWish;

int adoptwish_parse(const char *text, AdoptWish *ret, Err *err) _must_check_;
/* "0.3..0.95" or "tiny,base,small". */
int allowed_parse(const char *text, Allowed *ret, Err *err) _must_check_;
int allowed_copy(const Allowed *a, Allowed *ret) _must_check_;
void allowed_done(Allowed *a);
void adoptwish_done(AdoptWish *w);

/* The text of a file. *ret NULL: it is not there. */
typedef int AdoptReadFile(void *ctx, const char *path, char **ret, Err *err);

/* For the files whose copies go into a generation: no link anywhere in the path, for whoever owns a
 * folder of it could have the privileged side hand out any file; a regular file of at most 1 MiB.
 * `ctx` is not used. */
int adoption_read_file(void *ctx, const char *path, char **ret, Err *err) _must_check_;
/* For files that are only looked at: as their readers do, links are followed. Never waits. */
int unit_read_file(void *ctx, const char *path, char **ret, Err *err) _must_check_;

typedef struct AdoptInput {
	const char *unit;
	const UnitFile *files; /* of the unit, our own drop-in left out */
	size_t n_files;
	const char *state_dir; /* where generations are */
	const char *dropin;    /* where ours will be */
	bool user;
	const char *home;	  /* what %h is; NULL: not known */
	AdoptReadFile *read_file; /* a file that the unit reads */
	void *ctx;
	const AdoptWish *wishes;
	size_t n;
	char *const *after; /* NULL-terminated; NULL */
} AdoptInput;

/* What would be written: the adoption, the drop-in's text, and the value that each parameter has
 * now
 * ({parameter: text}). -ENOTSUP with the reason for what
 * cannot be adopted (a shell script in the middle, several commands, ':' in front of the program, a
 * flag that is not there and takes no default, a file that is not the unit's). */
int adoption_plan(const AdoptInput *in, Adoption *ret, char **ret_dropin, json_t **ret_values,
		  Err *err) _must_check_;
/* What was edited since the unit was adopted, in one sentence; "" for nothing. Of `in` the wishes
 * and `after` are not used. */
int adoption_drift(const Adoption *a, const AdoptInput *in, char **ret, Err *err) _must_check_;
/* Which file of the generation holds the copy for a target: N of "UNIT.fileN". -1: it needs none.
 */
int target_copy_number(const Adoption *a, size_t target);
/* The target as a person writes it: "--flag", "NAME", "/path:NAME", "--config:key". New string;
 * NULL: out of memory. */
char *target_text(const AdoptedTarget *t);

#define ADOPTION_DROPIN "zz-dream.conf"
/* Where ours is for a unit. New string; NULL: out of memory. */
char *adoption_dropin_path(const ProductionPlaces *p, const char *unit);

/* --- Files ------------------------------------------------------------------------------------ */

/* The files of a unit from where the manager reads them (its FragmentPath and DropInPaths). */
int unitfiles_read(char *const *paths, UnitFile **ret, size_t *ret_n, Err *err) _must_check_;
void unitfiles_free(UnitFile *files, size_t n);

int adoption_load(const ProductionPlaces *p, const char *unit, Adoption *ret,
		  Err *err) _must_check_;
/* All of them, by unit name. Strict: a file that others than root (the user) can write, or that
 * cannot be understood, is an error that names it. */
int adoption_load_all(const ProductionPlaces *p, Adoption **ret, size_t *ret_n,
		      Err *err) _must_check_;
void adoption_free_all(Adoption *list, size_t n);
/* First the values, then the adoption, then the drop-in: a power cut leaves a unit that is adopted
 * or is not. */
int adoption_write(const ProductionPlaces *p, const Adoption *a, const char *dropin_text,
		   Err *err) _must_check_;
/* Takes the drop-in and the adoption away, and the drop-in's folder when it is empty then. */
int adoption_remove(const ProductionPlaces *p, const Adoption *a, Err *err) _must_check_;
