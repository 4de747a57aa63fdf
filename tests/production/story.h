#pragma once
/* A story of production: steps that are asked for one after another, and what the contract of
 * generation.h says is true before and after each, for tests that interrupt it. What is true is
 * kept here by a few assignments a step, from the words of the header, not from the code. */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/disk.h"
#include "production/generation.h"

enum {
	STORY_GENERATIONS = 6,
	STORY_NONE = -1,
	STORY_FILES_MAX = 4,
	STORY_STEPS_MAX = 64,
};

#define STORY_DIR "/var/production"

typedef enum StepKind {
	STEP_WRITE,
	STEP_ADOPT,
	STEP_BEGIN, /* from what is current */
	STEP_FLIP,
	STEP_COMMIT,
	STEP_UNDO,
	STEP_SWEEP,
	STEP_END,
} StepKind;

typedef struct Step {
	StepKind kind;
	int generation;
} Step;

/* Writes, adopts, changes, commits, undoes and sweeps: every kind of step in every situation. */
extern const Step story_whole[];
/* One change that is committed and one that is undone, after the story's first adoption. */
extern const Step story_short[];

typedef struct Known {
	int current;
	bool open;
	int from, to;
	int good[GOOD_MAX];
	size_t n_good;
	bool written[STORY_GENERATIONS]; /* are there for sure */
} Known;

#define KNOWN_NOTHING ((Known){.current = STORY_NONE, .from = STORY_NONE, .to = STORY_NONE})

Known known_after(const Known *k, const Step *s);
/* What recovery makes of it. */
Known known_recovered(const Known *k);
/* What may be found when a step was cut short: recovered, and each possibility once. */
size_t known_possible(const Known *before, const Known *after, const Step *s, Known ret[3]);

const char *step_name(StepKind k);
const char *story_id(int generation);
/* The files of a generation; the texts belong to the story. */
size_t story_files(int generation, GenerationFile ret[STORY_FILES_MAX]);

int story_do(Production *p, const Step *s, Err *err) _must_check_;

/* Is it as it is known, exactly? NULL, or what is not, in words (static storage). Opens it anew. */
const char *story_check(const Disk *d, const char *dir, const Known *k);
/* Only that every generation that is there is whole, and that those that must be there are. */
const char *story_check_folders(const Disk *d, const char *dir, const Known *k);
