/* Alerts as the journal keeps them. */
#include <systemd/sd-journal.h>
#include <unistd.h>

#include "base/str.h"
#include "rollout/alert.h"
#include "systemd/journal.h"
#include "test.h"

enum {
	PATIENCE_US = 20000000,
};

/* The newest entry with this id and, when given, this field. Waits until the journal has it. */
static sd_journal *find_entry(const char *id, const char *match)
{
	sd_journal *j = NULL;
	_cleanup_free_ char *by_id = str_fmt("MESSAGE_ID=%s", id);
	int64_t until = clock_mono_us(&clock_system) + PATIENCE_US;
	for (;;) {
		CHECK_OK(journal_sync(PATIENCE_US));
		CHECK_OK(sd_journal_open(&j, SD_JOURNAL_LOCAL_ONLY));
		CHECK_OK(sd_journal_add_match(j, by_id, 0));
		if (match)
			CHECK_OK(sd_journal_add_match(j, match, 0));
		CHECK_OK(sd_journal_seek_tail(j));
		int n = sd_journal_previous(j);
		CHECK_OK(n);
		if (n > 0)
			return j;
		sd_journal_close(j);
		CHECK(clock_mono_us(&clock_system) < until);
	}
}

static void check_field(sd_journal *j, const char *name, const char *want)
{
	const void *data;
	size_t n, skip = strlen(name) + 1;
	int r = sd_journal_get_data(j, name, &data, &n);
	if (r < 0)
		printf("# no %s\n", name);
	CHECK_OK(r);
	_cleanup_free_ char *value = strndup((const char *)data + skip, n - skip);
	CHECK_STR(value, want);
}

TEST(an_alert_is_an_entry_with_its_id_its_urgency_and_its_fields)
{
	Alerts *a = NULL;
	sd_event *loop = NULL;
	CHECK_OK(sd_event_new(&loop));
	CHECK_OK(alerts_new(loop, NULL, &clock_system, &a, NULL));
	_cleanup_free_ char *rollout = str_fmt("r-%d", (int)getpid());
	json_auto_t *fields = json_pack("{s:s, s:i, s:b, s:f, s:s, s:s}", "DREAM_ROLLOUT", rollout,
					"version", 7, "cold_start", true, "gain", 0.45, "evidence",
					"two\nlines, MESSAGE_ID=no", "odd name-\xc3\xa9", "kept");
	alert(a, ALERT_STUCK, "it does not start\nany \x1b[31mmore", fields);
	_cleanup_free_ char *match = str_fmt("DREAM_ROLLOUT=%s", rollout);
	sd_journal *j = find_entry(alert_message_id(ALERT_STUCK), match);
	check_field(j, "MESSAGE", "it does not start\\nany \\x1b[31mmore");
	check_field(j, "PRIORITY", "2");
	check_field(j, "SYSLOG_IDENTIFIER", "dream");
	check_field(j, "DREAM_ALERT", "stuck");
	check_field(j, "DREAM_VERSION", "7");
	check_field(j, "DREAM_COLD_START", "true");
	check_field(j, "DREAM_GAIN", "0.45");
	check_field(j, "DREAM_EVIDENCE", "two\nlines, MESSAGE_ID=no");
	check_field(j, "DREAM_ODD_NAME___", "kept");
	sd_journal_close(j);
	alerts_free(a);
	sd_event_unref(loop);
}

/* Nobody may set what the journal itself vouches for, or what would make it another entry. */
TEST(a_field_cannot_pass_for_one_of_the_journals_own)
{
	Alerts *a = NULL;
	sd_event *loop = NULL;
	CHECK_OK(sd_event_new(&loop));
	CHECK_OK(alerts_new(loop, NULL, &clock_system, &a, NULL));
	_cleanup_free_ char *rollout = str_fmt("own-%d", (int)getpid());
	json_auto_t *fields =
	    json_pack("{s:s, s:s, s:s, s:s}", "rollout", rollout, "_PID", "1", "message_id",
		      alert_message_id(ALERT_STUCK), "PRIORITY", "0");
	alert(a, ALERT_COMMITTED, "words", fields);
	_cleanup_free_ char *match = str_fmt("DREAM_ROLLOUT=%s", rollout);
	sd_journal *j = find_entry(alert_message_id(ALERT_COMMITTED), match);
	_cleanup_free_ char *pid = str_fmt("%d", (int)getpid());
	check_field(j, "_PID", pid);
	check_field(j, "PRIORITY", "5");
	check_field(j, "DREAM_PRIORITY", "0");
	check_field(j, "DREAM__PID", "1");
	sd_journal_close(j);
	alerts_free(a);
	sd_event_unref(loop);
}

static void hook_fails_with(const char *script, int64_t limit_us, const char *alert_word,
			    AlertKind k, const char *words)
{
	Alerts *a = NULL;
	sd_event *loop = NULL;
	CHECK_OK(sd_event_new(&loop));
	const char *hook[] = {"/bin/sh", "-c", script, NULL};
	CHECK_OK(alerts_new(loop, hook, &clock_system, &a, NULL));
	alerts_hook_limit(a, limit_us);
	alert(a, k, "words", NULL);
	_cleanup_free_ char *match = str_fmt("DREAM_ALERT=%s", alert_word);
	int64_t until = clock_mono_us(&clock_system) + 5 * limit_us;
	while (clock_mono_us(&clock_system) < until && limit_us < PATIENCE_US)
		CHECK_OK(sd_event_run(loop, 10000));
	alerts_free(a);
	sd_event_unref(loop);
	sd_journal *j = find_entry(alert_hook_message_id, match);
	check_field(j, "PRIORITY", "4");
	check_field(j, "MESSAGE", words);
	sd_journal_close(j);
}

TEST(a_hook_that_fails_is_in_the_journal_with_its_last_words)
{
	hook_fails_with("echo 'no route to host' >&2; exit 3", PATIENCE_US, "drift", ALERT_DRIFT,
			"the alert hook /bin/sh ended with exit status 3 (drift): no route to "
			"host");
}

TEST(a_hook_that_hung_is_in_the_journal)
{
	hook_fails_with("sleep 3600", 200000, "asked", ALERT_ASKED,
			"the alert hook /bin/sh did not end within its time and was killed "
			"(asked)");
}
