#pragma once
/* What was measured and decided: one append-only, hash-chained table of records in SQLite; every
 * other table is a projection of it that can be rebuilt. Several processes may share one store.
 * When a call that appends returns 0, the record is on the disk. */
#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/hash.h"
#include "record/record.h"
#include "record/sign.h"
#include "trial/trial.h"

typedef struct Store Store;

typedef enum StoreMode {
	STORE_READ,  /* must exist */
	STORE_WRITE, /* created, migrated to the current version */
} StoreMode;

int store_open(const char *path, StoreMode mode, const Clock *clock, Store **ret,
	       Err *err) _must_check_;
Store *store_close(Store *s); /* accepts NULL, returns NULL */
/* How long a write waits for whoever writes, and again for a program that does not know our lock
 * and keeps the store to itself (a backup, sqlite3 in a terminal); -EBUSY after that. 0: for our
 * own kind as long as it takes, for others 5 s. */
void store_patience(Store *s, int64_t us);
DEFINE_CLEANUP(Store *, store_close)

/* A trial as the store keeps it. On reading every pointer belongs to the value. */
typedef struct StoreTrial {
	int64_t seq; /* of its record; 0 before it is stored */
	int64_t at_us;
	char *experiment;
	int64_t epoch;	   /* from 1 */
	int64_t evolution; /* from 1: one Search */
	int64_t ask; /* number within the evolution; -1: outside the search (confirmation, eval) */
	char *purpose; /* "search", "confirm", "eval" */
	int64_t generation;
	char *origin;	/* SearchOrigin, or "baseline"/"candidate"/"ablation" in a confirmation */
	char *spica_id; /* "spica-gpu-1a2b3c4d" */
	json_t *params;
	char config_hash[17];
	int64_t parents[2]; /* seq of the parents' trials; 0: none */
	json_t *mutations;  /* {param: [from, to]}, or NULL */
	Stage stage;
	char *evaluator;
	char *workload;
	bool all_services;
	json_t *confirm; /* {block, pair, role} of a confirmation, or NULL */
	double fitness, fitness_se;
	bool feasible;
	Measurement m;
} StoreTrial;

void store_trial_done(StoreTrial *t);

/* A trial for programs outside, as dream.trial/v1: the members of its record, with seq, at and
 * schema. A new object; NULL when out of memory. */
json_t *store_trial_json(const StoreTrial *t);

/* Appends trials in one durable commit; fills in each seq, and at_us where it is 0. */
int store_add_trials(Store *s, StoreTrial *const *trials, size_t n, Err *err) _must_check_;

/* Appends any other record ("epoch", "evolution", "winner", "promotion", "note") in one durable
 * commit. `body` is borrowed. */
int store_add(Store *s, const char *kind, const char *schema, const json_t *body, int64_t *ret_seq,
	      Err *err) _must_check_;

/* Appends what `make` gives, in one transaction with its look around: nobody else writes between
 * what it reads and the append, so of several processes that decide the same thing at once one
 * decides first and the others see it. It may read the store, but not append. It returns 0 and the
 * body; anything else leaves the store as it was and is returned. `at_us` is the record's time. */
typedef int StoreMakeFn(void *userdata, int64_t at_us, json_t **ret, Err *err);
int store_add_if(Store *s, const char *kind, const char *schema, StoreMakeFn *make, void *userdata,
		 int64_t *ret_seq, Err *err) _must_check_;

/* Rows in order of seq. The callback returns 0 to go on, anything else ends the walk and is
 * returned. What it is given is valid during the call. It may read the store again, but not append
 * to it. */
typedef struct TrialQuery {
	const char *experiment; /* NULL: all */
	const char *purpose;	/* NULL: all */
	int64_t epoch;		/* 0: all */
	int64_t evolution;	/* 0: all */
	bool best_first;	/* by fitness, feasible ok trials only */
	int64_t limit;		/* 0: none */
} TrialQuery;

typedef int StoreTrialFn(void *userdata, const StoreTrial *t);
int store_trials(Store *s, const TrialQuery *q, StoreTrialFn *fn, void *userdata,
		 Err *err) _must_check_;
/* The little that replaying a search needs, of every search trial of an experiment, oldest first:
 * ten thousand in a few milliseconds, without reading bodies. */
typedef struct StoreTold {
	int64_t seq, at_us, epoch, evolution, ask;
	const char *params; /* canonical JSON */
	Outcome outcome;
	double fitness, fitness_se;
} StoreTold;

typedef int StoreToldFn(void *userdata, const StoreTold *t);
int store_told(Store *s, const char *experiment, StoreToldFn *fn, void *userdata,
	       Err *err) _must_check_;

/* One trial by seq or spica_id (the first of several). -ENOENT. */
int store_trial(Store *s, const char *id, StoreTrial *ret, Err *err) _must_check_;

typedef int StoreRecordFn(void *userdata, const Record *r, const json_t *body);
/* Records of a kind (NULL: every kind), oldest first, or newest first when `newest`. limit 0: all.
 */
int store_records(Store *s, const char *kind, bool newest, int64_t limit, StoreRecordFn *fn,
		  void *userdata, Err *err) _must_check_;

/* The hash of one record. 1: it is there; 0: it is not. */
int store_record_hash(Store *s, int64_t seq, Hash *ret, Err *err) _must_check_;
/* The newest record's seq and hash; seq 0 for an empty store. */
int store_head(Store *s, int64_t *ret_seq, Hash *ret, Err *err) _must_check_;
/* Appends a "head" record that signs the chain so far: {seq, hash, key, signature}. */
int store_sign_head(Store *s, const SignKey *key, Err *err) _must_check_;

/* Writes the whole chain to a file ("-": standard output), one line a record, in the form of
 * record/export.h; record_verify_export() checks such a file without the store. */
int store_export(Store *s, const char *path, Err *err) _must_check_;

/* A trial from the body of its record: hostile input. -EBADMSG with what is wrong. seq and at_us
 * are the record's and stay 0. */
int store_trial_from_body(const char *body, size_t len, StoreTrial *ret, Err *err) _must_check_;

/* Walks the whole chain: every hash, every signed head (against pinned_key_hex if not NULL), no
 * gap, every projection equal to what the records say. `head_seq`/`head` (NULL: none) is one kept
 * elsewhere: the chain must contain it. 0: sound; -EBADMSG: not. *ret_text (owned by the caller)
 * says either in one sentence, and names the record that is wrong and how. */
int store_verify(Store *s, const char *pinned_key_hex, int64_t head_seq, const Hash *head,
		 char **ret_text, Err *err) _must_check_;

/* Drops and rebuilds every projection from the records. */
int store_rebuild(Store *s, Err *err) _must_check_;

/* One runner an experiment: a kernel lock beside the store that dies with its holder. 1: taken, 0:
 * *ret_holder (owned by the caller) says who has it. */
typedef struct StoreClaim StoreClaim;
int store_claim(const char *store_path, const char *experiment, StoreClaim **ret, char **ret_holder,
		Err *err) _must_check_;
StoreClaim *store_claim_release(StoreClaim *c); /* accepts NULL, returns NULL */
DEFINE_CLEANUP(StoreClaim *, store_claim_release)
