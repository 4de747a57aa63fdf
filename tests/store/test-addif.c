/* A look and an append that nobody can come between. */
#include "fixture.h"

#include <sys/wait.h>

typedef struct Make {
	Store *s;
	int result; /* what it returns */
	int64_t at_us, seen;
	bool called;
} Make;

static int count(void *userdata, const Record *r, const json_t *body)
{
	Make *m = userdata;
	(void)r;
	(void)body;
	m->seen++;
	return 0;
}

static int make(void *userdata, int64_t at_us, json_t **ret, Err *err)
{
	Make *m = userdata;
	m->called = true;
	m->at_us = at_us;
	m->seen = 0;
	int r = store_records(m->s, "note", false, 0, count, m, err);
	if (r < 0)
		return r;
	if (m->result != 0)
		return err_set(err, m->result, "it was decided otherwise");
	*ret = json_pack("{s:I}", "before", (json_int_t)m->seen);
	return *ret ? 0 : err_oom(err);
}

static int last_body(void *userdata, const Record *r, const json_t *body)
{
	int64_t *ret = userdata;
	ret[0] = js_int(body, "before", -1);
	ret[1] = r->at_us;
	return 1;
}

TEST(what_it_sees_is_what_was_there)
{
	Fixture f;
	fixture_new(&f);
	for (int64_t i = 0; i < 3; i++) {
		Make m = {.s = f.store};
		int64_t seq = 0, body[2] = {-1, 0};
		CHECK_OK(store_add_if(f.store, "note", "dream.note/v1", make, &m, &seq, NULL));
		CHECK_INT(seq, i + 1);
		CHECK_INT(m.seen, i);
		CHECK_INT(store_records(f.store, "note", true, 1, last_body, body, NULL), 1);
		CHECK_INT(body[0], i);
		CHECK_INT(body[1], m.at_us);
	}
	fixture_done(&f);
}

TEST(whoever_decides_otherwise_leaves_the_store_as_it_was)
{
	static const int results[] = {-EALREADY, -EIO, -ENOMEM, 1, 7};
	Fixture f;
	fixture_new(&f);
	for (size_t i = 0; i < sizeof(results) / sizeof(*results); i++) {
		Make m = {.s = f.store, .result = results[i]}, after = {.s = f.store};
		int64_t seq = 99;
		CHECK_INT(store_add_if(f.store, "note", "dream.note/v1", make, &m, &seq, NULL),
			  results[i]);
		CHECK_INT(seq, 99);
		/* The lock is free, the transaction over. */
		CHECK_OK(store_add_if(f.store, "note", "dream.note/v1", make, &after, &seq, NULL));
		CHECK_INT(seq, (int64_t)i + 1);
	}
	char *text = NULL;
	CHECK_OK(store_verify(f.store, NULL, 0, NULL, &text, NULL));
	free(text);
	fixture_done(&f);
}

TEST(trials_and_heads_keep_their_own_way)
{
	Fixture f;
	fixture_new(&f);
	Make m = {.s = f.store};
	CHECK_ERR(store_add_if(f.store, "trial", "x", make, &m, NULL, NULL), EINVAL);
	CHECK_ERR(store_add_if(f.store, "head", "x", make, &m, NULL, NULL), EINVAL);
	CHECK(!m.called);
	fixture_done(&f);
}

TEST(processes_take_turns)
{
	enum {
		PROCESSES = 4,
		EACH = 25
	};
	Fixture f;
	fixture_new(&f);
	for (int p = 0; p < PROCESSES; p++) {
		pid_t pid = fork();
		CHECK(pid >= 0);
		if (pid > 0)
			continue;
		Store *s = NULL;
		if (store_open(f.path, STORE_WRITE, &f.clock, &s, NULL) < 0)
			_exit(1);
		for (int i = 0; i < EACH; i++) {
			Make m = {.s = s};
			int64_t seq = 0;
			/* Nobody wrote between what it saw and its own record. */
			if (store_add_if(s, "note", "dream.note/v1", make, &m, &seq, NULL) < 0 ||
			    seq != m.seen + 1)
				_exit(1);
		}
		_exit(0);
	}
	for (int p = 0; p < PROCESSES; p++) {
		int status;
		CHECK(wait(&status) > 0);
		CHECK_INT(status, 0);
	}
	fixture_done(&f);
}

typedef struct Held {
	Store *other;
	int result;
	int64_t took_us;
} Held;

static int write_meanwhile(void *userdata, int64_t at_us, json_t **ret, Err *err)
{
	Held *h = userdata;
	json_auto_t *note = json_pack("{s:i}", "before", 7);
	int64_t began_us = clock_mono_us(&clock_system);
	(void)at_us, (void)err;
	h->result = store_add(h->other, "note", "dream.note/v1", note, NULL, NULL);
	h->took_us = clock_mono_us(&clock_system) - began_us;
	*ret = json_pack("{s:i}", "before", 1);
	return *ret ? 0 : -ENOMEM;
}

TEST(whoever_has_patience_with_a_writer_gives_up_when_that_is_over)
{
	Fixture f;
	fixture_new(&f);
	Held h = {0};
	int64_t seq = 0;
	json_auto_t *note = json_pack("{s:i}", "before", 8);
	CHECK_OK(store_open(f.path, STORE_WRITE, &f.clock, &h.other, NULL));
	store_patience(h.other, 50000);
	CHECK_OK(store_add_if(f.store, "note", "dream.note/v1", write_meanwhile, &h, &seq, NULL));
	CHECK_INT(seq, 1);
	CHECK_INT(h.result, -EBUSY);
	CHECK(h.took_us >= 50000 && h.took_us < 10000000);
	/* It left neither the doorway nor the store locked. */
	CHECK_OK(store_add(h.other, "note", "dream.note/v1", note, &seq, NULL));
	CHECK_INT(seq, 2);
	CHECK_OK(store_add(f.store, "note", "dream.note/v1", note, &seq, NULL));
	CHECK_INT(seq, 3);
	store_close(h.other);
	fixture_done(&f);
}

TEST(the_hash_of_a_record_is_found_by_its_number)
{
	Fixture f;
	Hash hash, head;
	int64_t seq;
	fixture_new(&f);
	Make m = {.s = f.store};
	CHECK_INT(store_record_hash(f.store, 1, &hash, NULL), 0);
	CHECK_OK(store_add_if(f.store, "note", "dream.note/v1", make, &m, NULL, NULL));
	CHECK_OK(store_head(f.store, &seq, &head, NULL));
	CHECK_INT(store_record_hash(f.store, 1, &hash, NULL), 1);
	CHECK(hash_equal(&hash, &head));
	CHECK_INT(store_record_hash(f.store, 2, &hash, NULL), 0);
	CHECK_INT(store_record_hash(f.store, -1, &hash, NULL), 0);
	fixture_done(&f);
}
