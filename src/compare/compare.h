#pragma once
/* Two configurations against each other: what to measure in which order, and what came of it. Pure:
 * the caller measures. Pairs are randomised and interleaved, each member a fresh start, over every
 * workload; each changed parameter is also measured alone against the baseline. */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/cleanup.h"
#include "base/err.h"
#include "space/space.h"
#include "trial/winner.h"

enum {
	COMPARE_ARMS_MAX = SPACE_DIMS_MAX + 2
};

typedef enum CompareRole {
	ROLE_BASELINE,
	ROLE_CANDIDATE,
	ROLE_ABLATION, /* the baseline with one changed parameter */
} CompareRole;

const char *compare_role_name(CompareRole r);

typedef struct CompareArm {
	CompareRole role;
	size_t dim; /* ablation: the parameter */
	Point point;
} CompareArm;

typedef struct CompareSpec {
	const Space *space; /* borrowed */
	Point baseline, candidate;
	size_t n_workloads;
	const char *const *workload_names; /* borrowed, for sentences; NULL: numbers do */
	uint32_t pairs;			   /* per workload */
	uint32_t min_pairs;
	double confidence;
	bool ablation; /* only when more than one parameter changed; else the whole is the effect */
	bool exact;    /* as in WinnerEvidence */
	uint64_t seed;
} CompareSpec;

/* The i-th measurement: blocks one after another, in each block every arm once, in an order drawn
 * by lot. */
typedef struct CompareStep {
	uint32_t block; /* pair number, over all workloads */
	size_t workload;
	size_t arm;
} CompareStep;

typedef struct Compare Compare;

/* -EINVAL: nothing differs, nothing to measure, or too much. An ablation arm that the space does
 * not allow (a forbidden combination, a condition that does not hold) is left out. */
int compare_new(const CompareSpec *spec, Compare **ret, Err *err) _must_check_;
Compare *compare_free(Compare *c); /* accepts NULL, returns NULL */
DEFINE_CLEANUP(Compare *, compare_free)

/* What is known of one changed parameter by itself. */
typedef enum CompareAlone {
	ALONE_MEASURED,
	ALONE_OFF,	   /* `ablation` is off */
	ALONE_NOT_ALLOWED, /* the space forbids the baseline with this one change */
	ALONE_NOTHING,	   /* without the other changes this parameter is not in use */
} CompareAlone;

/* *ret_arm: the arm that shows it, which is the candidate's own where this change brings all the
 * others with it; else untouched. */
CompareAlone compare_alone(const Compare *c, size_t dim, size_t *ret_arm);

size_t compare_arms(const Compare *c);
const CompareArm *compare_arm(const Compare *c, size_t i);
size_t compare_steps(const Compare *c);
CompareStep compare_step(const Compare *c, size_t i);
/* Takes a copy of the measurement of step i, in any order. One that turned out void may be told
 * again, after a retry; -EEXIST for any other second time, -EINVAL for no such step. */
int compare_tell(Compare *c, size_t i, const Measurement *m) _must_check_;
/* Nothing more to learn: the candidate failed by itself, broke a constraint or left an objective
 * unmeasured in two blocks, so it was no accident; more pairs cannot make a winner of it. */
bool compare_hopeless(const Compare *c, const Goals *goals);

/* The mean of any metric of an arm over all blocks, with its interval; n 0: never measured. For
 * what the verdict does not speak of, as constraints. */
int compare_metric(const Compare *c, size_t arm, const char *metric, Interval *ret) _must_check_;

/* The verdict on the whole, from the pairs told so far: candidate and baseline of the same block,
 * over all workloads together. -ENOMEM, -EINVAL. */
int compare_judge(const Compare *c, const Goals *goals, WinnerReport *ret) _must_check_;
/* The effect of one changed parameter alone: arm i (ablation, or the candidate when only one
 * changed). */
int compare_effect(const Compare *c, size_t arm, const Goals *goals,
		   WinnerReport *ret) _must_check_;
