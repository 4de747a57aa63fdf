/* What a rollout would do is only looked at: the helper is asked once, and the store stays as it
 * is, to the byte. */
#include "base/file.h"
#include "rollout/fate.h"
#include "stand.h"

static const char judge[] = "judge.service", kloros[] = "kloros.service";

static void see(Stand *s)
{
	*s =
	    (Stand){.units = {judge, kloros}, .params = {"vllm_memory_util", "whisper_model_size"}};
	stand_new(s);
	json_auto_t *promotion = signed_promotion(s->box.key);
	CHECK_INT(promotion_store(s->box.store, promotion, NULL), 1);
}

/* The database and its log, as they are on the disk. */
static void add_bytes(const Stand *s, const char *suffix, Str *out)
{
	_cleanup_free_ char *path = str_fmt("%s%s", s->box.path, suffix);
	_cleanup_free_ char *data = NULL;
	size_t len;
	CHECK_OK(file_read(path, 64 << 20, &data, &len, NULL));
	Hash h = hash_of(data, len);
	char hex[HASH_HEX_SIZE];
	hash_hex(&h, hex);
	str_addf(out, "%zu %s ", len, hex);
}

static void look_at(const Stand *s, Str *out)
{
	str_clear(out);
	add_bytes(s, "", out);
	add_bytes(s, "-wal", out);
	CHECK(!out->failed);
}

static int count_one(void *ctx, const Record *r, const json_t *body)
{
	(void)r, (void)body;
	++*(size_t *)ctx;
	return 0;
}

static size_t records(const Stand *s, const char *kind)
{
	size_t n = 0;
	CHECK_OK(store_records(s->box.store, kind, false, 0, count_one, &n, NULL));
	return n;
}

static int preview(Stand *s, Str *text, Err *err)
{
	_cleanup_(str_done) Str before = STR_INIT, after = STR_INIT;
	RolloutWorld w = stand_world(s);
	look_at(s, &before);
	*err = ERR_INIT;
	int r = rollout_preview(&w, "promotion-spica-1", text, err);
	look_at(s, &after);
	CHECK_STR(after.s, before.s);
	return r;
}

TEST(a_preview_says_what_would_be_done_and_writes_nothing)
{
	__attribute__((cleanup(stand_done))) Stand s;
	_cleanup_(str_done) Str text = STR_INIT;
	Err err;
	see(&s);
	first_baseline(&s.box);
	if (preview(&s, &text, &err) < 0)
		test_fail(__FILE__, __LINE__, "%s", err.msg);
	CHECK(strstr(text.s, "vllm_memory_util: 0.50 -> 0.55, in judge.service"));
	CHECK_INT(stand_asked(&s), 1);
}

TEST(a_preview_before_there_is_a_baseline_makes_none)
{
	__attribute__((cleanup(stand_done))) Stand s;
	_cleanup_(str_done) Str text = STR_INIT;
	Err err;
	see(&s);
	if (preview(&s, &text, &err) < 0)
		test_fail(__FILE__, __LINE__, "%s", err.msg);
	CHECK(strstr(text.s, "whisper_model_size: small -> base, in kloros.service"));
	CHECK_INT(records(&s, "baseline"), 0);
}

TEST(a_preview_of_what_is_not_fit_says_why_and_records_no_refusal)
{
	__attribute__((cleanup(stand_done))) Stand s;
	_cleanup_(str_done) Str text = STR_INIT;
	Err err;
	see(&s);
	first_baseline(&s.box);
	s.box.now_us += 400 * DAY_US;
	CHECK_ERR(preview(&s, &text, &err), EPERM);
	CHECK(strstr(err.msg, "not fit for production"));
	CHECK_INT(records(&s, "rollout"), 0);
}

/* The daemon goes on with the store that it lent: one who holds its lock must not stop it. */
TEST(a_preview_leaves_the_stores_patience_as_it_was)
{
	enum {
		BYTE_STORE = 1
	};
	__attribute__((cleanup(stand_done))) Stand s;
	_cleanup_(str_done) Str text = STR_INIT;
	_cleanup_free_ char *path = NULL;
	struct flock held = {
	    .l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = BYTE_STORE, .l_len = 1};
	_cleanup_(baseline_done) Baseline next = {
	    .why = "adopted", .by = "anna", .values = values_text("0.55", "small")};
	Err err;
	see(&s);
	first_baseline(&s.box);
	store_patience(s.box.store, 50000);
	CHECK_OK(preview(&s, &text, &err));
	CHECK(path = str_fmt("%s.lock", s.box.path));
	int fd = open(path, O_RDWR | O_CLOEXEC);
	CHECK(fd >= 0 && fcntl(fd, F_OFD_SETLK, &held) == 0);
	(void)alarm(10);
	CHECK_ERR(baseline_append(s.box.store, s.box.key, &next, &err), EBUSY);
	(void)alarm(0);
	close(fd);
}

/* The other side of it: a rollout that is refused says so in the records, once, and asks once. */
TEST(a_rollout_asks_once_what_runs_and_records_its_refusal_once)
{
	__attribute__((cleanup(stand_done))) Stand s;
	static const RolloutHandler nobody = {0};
	Rollout *r = NULL;
	Err err = ERR_INIT;
	see(&s);
	RolloutWorld w = stand_world(&s);
	CHECK_ERR(rollout_start(&w, "promotion-spica-1", &nobody, NULL, &r, &err), EAGAIN);
	CHECK(strstr(err.msg, "not approved"));
	CHECK_INT(stand_asked(&s), 1);
	CHECK_INT(records(&s, "baseline"), 1);
	s.box.now_us += 400 * DAY_US;
	for (int i = 0; i < 2; i++) {
		CHECK_ERR(rollout_start(&w, "promotion-spica-1", &nobody, NULL, &r, &err), EPERM);
		CHECK_INT(stand_asked(&s), 1);
		CHECK_INT(records(&s, "rollout"), 1);
	}
	CHECK(!r);
}
