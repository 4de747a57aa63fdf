/* A store that somebody meddled with: through SQL, behind the back of the program, or bit by bit.
 */
#include "fixture.h"

#include <sqlite3.h>

#include "base/file.h"
#include "record/export.h"

enum {
	SEARCH_TRIALS = 30,
	FLIPS = 2000
};

/* 30 trials, a winner and a signed head, closed properly; *ret_head is the last record's hash. */
static void filled(Fixture *f, int64_t *ret_seq, Hash *ret_head, char public[PUBLIC_KEY_HEX_SIZE])
{
	char path[128];
	_cleanup_(sign_key_freep) SignKey *key = NULL;
	fixture_new(f);
	snprintf(path, sizeof(path), "%s/key", f->dir);
	CHECK_OK(sign_key_load(path, &key, NULL));
	sign_public_hex(key, public);
	add_trials(f->store, "gpu", 0, SEARCH_TRIALS);
	json_auto_t *winner = json_pack("{s: s, s: f}", "spica_id", "spica-gpu-1", "fitness", 0.7);
	CHECK_OK(store_add(f->store, "winner", "dream.winner/v1", winner, NULL, NULL));
	CHECK_OK(store_sign_head(f->store, key, NULL));
	CHECK_OK(store_head(f->store, ret_seq, ret_head, NULL));
	CHECK_INT(*ret_seq, SEARCH_TRIALS + 2);
	f->store = store_close(f->store);
}

static void meddle(const Fixture *f, const char *sql)
{
	sqlite3 *db = NULL;
	char *why = NULL;
	CHECK_INT(sqlite3_open(f->path, &db), SQLITE_OK);
	if (sqlite3_exec(db, sql, NULL, NULL, &why) != SQLITE_OK)
		test_fail(__FILE__, __LINE__, "%s: %s", sql, why);
	CHECK_INT(sqlite3_close(db), SQLITE_OK);
}

/* -EBADMSG also when it cannot even be opened. The text is the caller's. */
static int judge(const Fixture *f, const char *pinned, int64_t seq, const Hash *head,
		 char **ret_text)
{
	Store *s = NULL;
	Err err = ERR_INIT;
	*ret_text = NULL;
	int r = store_open(f->path, STORE_READ, &f->clock, &s, &err);
	if (r < 0) {
		*ret_text = strdup(err.msg);
		return -EBADMSG;
	}
	r = store_verify(s, pinned, seq, head, ret_text, &err);
	store_close(s);
	if (r != 0 && r != -EBADMSG)
		test_fail(__FILE__, __LINE__, "verify: %d %s", r, err.msg);
	return r;
}

static void check_meddled(const char *sql, const char *words)
{
	Fixture f;
	int64_t seq;
	Hash head;
	char public[PUBLIC_KEY_HEX_SIZE], *said;
	filled(&f, &seq, &head, public);
	meddle(&f, sql);
	int r = judge(&f, NULL, 0, NULL, &said);
	if (r != -EBADMSG || !said || !strstr(said, words))
		test_fail(__FILE__, __LINE__, "after \"%s\": %d, %s; want: %s", sql, r,
			  said ? said : "(nothing)", words);
	free(said);
	fixture_done(&f);
}

TEST(an_untouched_store_is_sound_and_says_how_far_it_is_signed)
{
	Fixture f;
	int64_t seq;
	Hash head;
	char public[PUBLIC_KEY_HEX_SIZE], *said;
	filled(&f, &seq, &head, public);
	CHECK_INT(judge(&f, public, seq, &head, &said), 0);
	CHECK_STR(said, "32 records, signed up to record 31");
	free(said);
	fixture_done(&f);
}

TEST(an_edited_record_is_named)
{
	check_meddled("UPDATE record SET body = replace(body, '\"epoch\": 1', '\"epoch\": 2')"
		      " WHERE seq = 17",
		      "record 17 was changed: its content does not match its hash");
	check_meddled("UPDATE record SET at_us = at_us + 1 WHERE seq = 1",
		      "record 1 was changed: its content does not match its hash");
	check_meddled("UPDATE record SET kind = 'loser' WHERE seq = 31",
		      "record 31 was changed: its content does not match its hash");
	check_meddled("UPDATE record SET hash = zeroblob(32) WHERE seq = 9",
		      "record 9 was changed: its hash does not match its content");
	check_meddled("UPDATE record SET hash = x'00' WHERE seq = 9",
		      "record 9 was changed: a column has the wrong type");
	check_meddled("UPDATE record SET body = body || char(0) || 'x' WHERE seq = 9",
		      "record 9 was changed");
}

TEST(removed_inserted_and_reordered_records_are_named)
{
	check_meddled("DELETE FROM record WHERE seq = 18", "record 18 is missing");
	check_meddled("DELETE FROM record WHERE seq < 3", "records 1 to 2 are missing");
	check_meddled("INSERT INTO record SELECT 0, at_us, kind, schema, body, hash FROM record"
		      " WHERE seq = 5",
		      "record 0 comes after record 0");
	check_meddled("UPDATE record SET seq = -seq WHERE seq IN (5, 9);"
		      "UPDATE record SET seq = 14 + seq WHERE seq < 0",
		      "record 5 is out of place: it was written as record 9, so records were "
		      "reordered");
	check_meddled("DELETE FROM record WHERE seq = 18;"
		      "UPDATE record SET seq = seq - 1000 WHERE seq > 18;"
		      "UPDATE record SET seq = seq + 999 WHERE seq < 0",
		      "record 18 does not follow record 17: 1 record was removed before it");
	check_meddled("UPDATE record SET seq = -seq - 1 WHERE seq > 17;"
		      "UPDATE record SET seq = -seq WHERE seq < 0;"
		      "INSERT INTO record SELECT 18, at_us, kind, schema, body, hash FROM record"
		      " WHERE seq = 3",
		      "record 18 ");
}

TEST(a_projection_that_lies_is_found)
{
	check_meddled("UPDATE trial SET fitness = 0.99 WHERE seq = 12",
		      "the table of trials differs from record 12: its fitness was changed");
	check_meddled("UPDATE trial SET params = '{}' WHERE seq = 12",
		      "the table of trials differs from record 12: its params was changed");
	check_meddled("UPDATE trial SET outcome = 'oom' WHERE seq = 30",
		      "the table of trials differs from record 30: its outcome was changed");
	check_meddled("DELETE FROM trial WHERE seq = 30",
		      "record 30 is a trial that the table of trials does not list");
	check_meddled("INSERT INTO trial SELECT 31, at_us, experiment, purpose, epoch, evolution,"
		      " ask, generation, spica_id, outcome, feasible, fitness, fitness_se, params"
		      " FROM trial WHERE seq = 1",
		      "lists trial 31, of which there is no record");
	check_meddled("CREATE TABLE t AS SELECT seq, experiment FROM trial WHERE seq IN (1, 2);"
		      "UPDATE trial SET ask = 1 - ask WHERE seq IN (1, 2); DROP TABLE t",
		      "the table of trials differs from record 1: its ask was changed");
}

TEST(every_column_of_the_projection_is_compared)
{
	static const char *const columns[] = {"at_us",	    "epoch",	"evolution", "ask",
					      "generation", "feasible", "fitness",   "fitness_se"};
	static const char *const texts[] = {"experiment", "purpose", "spica_id", "outcome",
					    "params"};
	char sql[128], words[128];
	for (size_t i = 0; i < sizeof(columns) / sizeof(columns[0]); i++) {
		snprintf(sql, sizeof(sql), "UPDATE trial SET %s = %s + 1 WHERE seq = 7", columns[i],
			 columns[i]);
		snprintf(words, sizeof(words), "record 7: its %s was changed", columns[i]);
		check_meddled(sql, words);
	}
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		snprintf(sql, sizeof(sql), "UPDATE trial SET %s = %s || ' ' WHERE seq = 7",
			 texts[i], texts[i]);
		snprintf(words, sizeof(words), "record 7: its %s was changed", texts[i]);
		check_meddled(sql, words);
	}
}

TEST(tables_that_were_added_to_are_found)
{
	check_meddled("CREATE TRIGGER t AFTER INSERT ON record BEGIN DELETE FROM trial; END",
		      "the tables of the store are not those that this program makes");
	check_meddled("ALTER TABLE trial RENAME TO old; CREATE VIEW trial AS SELECT * FROM old",
		      "");
	check_meddled("DROP INDEX trial_best", "the tables of the store are not those");
}

TEST(a_cut_off_end_or_an_old_copy_is_found_with_a_head_only)
{
	Fixture f;
	int64_t seq;
	Hash head;
	char public[PUBLIC_KEY_HEX_SIZE], *said;
	filled(&f, &seq, &head, public);
	meddle(&f, "DELETE FROM record WHERE seq > 20; DELETE FROM trial WHERE seq > 20");
	CHECK_INT(judge(&f, NULL, 0, NULL, &said), 0);
	free(said);
	CHECK_INT(judge(&f, NULL, seq, &head, &said), -EBADMSG);
	CHECK_STR(said, "the chain ends at record 20, but the head kept elsewhere is record 32: "
			"the end was cut off, or an old copy was put back");
	free(said);
	fixture_done(&f);
}

/* --- Bit by bit ------------------------------------------------------------------------------ */

static int dump_row(void *out, int n, char **values, char **names)
{
	(void)names;
	for (int i = 0; i < n; i++) {
		str_add(out, values[i] ? values[i] : "NULL");
		str_addc(out, '|');
	}
	str_addc(out, '\n');
	return 0;
}

static int dump_trial(void *out, const StoreTrial *t)
{
	str_addf(out, "%" PRId64 " ", t->seq);
	return 0;
}

static int dump_told(void *out, const StoreTold *t)
{
	str_addf(out, "%" PRId64 " %s %d %.17g\n", t->seq, t->params, (int)t->outcome, t->fitness);
	return 0;
}

/* All that a reader can learn: every column of every row, read without the program, and the
 * program's own lists, which go through the indexes. */
static bool dump(const Fixture *f, Str *out)
{
	sqlite3 *db = NULL;
	Store *s = NULL;
	bool ok = sqlite3_open_v2(f->path, &db, SQLITE_OPEN_READONLY, NULL) == SQLITE_OK &&
		  sqlite3_exec(db,
			       "SELECT seq, at_us, quote(kind), quote(schema), quote(body),"
			       " quote(hash) FROM record ORDER BY seq;"
			       "SELECT seq, at_us, quote(experiment), quote(purpose), epoch,"
			       " evolution, ask, generation, quote(spica_id), quote(outcome),"
			       " feasible, quote(fitness), quote(fitness_se), quote(params)"
			       " FROM trial ORDER BY seq",
			       dump_row, out, NULL) == SQLITE_OK;
	sqlite3_close(db);
	TrialQuery best = {.best_first = true, .experiment = "gpu"};
	ok = ok && store_open(f->path, STORE_READ, &f->clock, &s, NULL) == 0 &&
	     store_trials(s, &best, dump_trial, out, NULL) == 0 &&
	     store_told(s, "gpu", dump_told, out, NULL) == 0;
	store_close(s);
	return ok;
}

static void write_file(const char *path, const char *data, size_t len)
{
	FILE *file = fopen(path, "w");
	CHECK(file && fwrite(data, 1, len, file) == len && fclose(file) == 0);
}

TEST(a_flipped_bit_is_found_or_changes_nothing_that_is_read)
{
	Fixture f;
	int64_t seq;
	Hash head;
	char public[PUBLIC_KEY_HEX_SIZE], *data = NULL;
	size_t len, found = 0;
	filled(&f, &seq, &head, public);
	CHECK_OK(file_read(f.path, 1 << 20, &data, &len, NULL));
	_cleanup_(str_done) Str right = STR_INIT;
	CHECK(dump(&f, &right));
	Rng rng = {20261120};
	for (int i = 0; i < FLIPS; i++) {
		/* Half of them among the first pages' headers and the table definitions. */
		size_t bit = rng_below(&rng, 8 * (i % 2 ? len : (size_t)4096));
		_cleanup_free_ char *said = NULL;
		_cleanup_(str_done) Str now = STR_INIT;
		data[bit / 8] = (char)(data[bit / 8] ^ (1 << bit % 8));
		write_file(f.path, data, len);
		data[bit / 8] = (char)(data[bit / 8] ^ (1 << bit % 8));
		if (judge(&f, public, seq, &head, &said) < 0)
			found++;
		else if (!dump(&f, &now) || strcmp(now.s, right.s) != 0)
			test_fail(__FILE__, __LINE__, "bit %zu of byte %zu was not found", bit % 8,
				  bit / 8);
	}
	CHECK(found > FLIPS / 4); /* most of the second half is content */
	free(data);
	fixture_done(&f);
}

/* --- The exported chain ---------------------------------------------------------------------- */

TEST(an_export_is_verified_without_the_store)
{
	Fixture f;
	int64_t seq;
	Hash head;
	char public[PUBLIC_KEY_HEX_SIZE], path[128], *said = NULL;
	filled(&f, &seq, &head, public);
	snprintf(path, sizeof(path), "%s/chain.jsonl", f.dir);
	CHECK_OK(store_open(f.path, STORE_READ, &f.clock, &f.store, NULL));
	CHECK_OK(store_export(f.store, path, NULL));
	ChainSpec spec = {.pinned_key_hex = public, .head_seq = seq, .head = &head};
	CHECK_OK(record_verify_export(path, &spec, &said, NULL));
	CHECK_STR(said, "32 records, signed up to record 31");
	free(said);
	CHECK_ERR(store_export(f.store, "/nowhere/chain.jsonl", NULL), ENOENT);
	fixture_done(&f);
}
