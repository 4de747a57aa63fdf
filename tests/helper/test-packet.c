/* Requests and answers as text: what is let through, and what is not. */
#include "base/json.h"
#include "helper/packet.h"
#include "helper/wire.h"
#include "test.h"

static const Member none[] = {{0}};
static const Member unit[] = {{"unit", MEMBER_UNIT}, {0}};
static const Member units[] = {{"units", MEMBER_UNITS}, {0}};
static const Member values[] = {{"values", MEMBER_VALUES}, {0}};
static const Member flip[] = {{"rollout", MEMBER_ROLLOUT}, {"to", MEMBER_GENERATION}, {0}};
static const VerbForm forms[] = {
    {"status", none}, {"restart", unit}, {"cold", units}, {"prepare", values}, {"flip", flip}};

static int ask(const char *text, size_t len, char *ret_words)
{
	json_auto_t *o = NULL;
	Err err = ERR_INIT;
	size_t which = 99;
	int r = packet_request(text, len, forms, 5, &which, &o, &err);
	CHECK((r == 0) == (o != NULL) && (r == 0) == (which < 5));
	CHECK((r < 0) == (err.msg[0] != '\0'));
	if (ret_words)
		snprintf(ret_words, sizeof(err.msg), "%s", err.msg);
	return r;
}

static int asked(const char *text)
{
	return ask(text, strlen(text), NULL);
}

TEST(a_request_with_exactly_its_members_is_taken)
{
	CHECK_OK(asked("{\"do\": \"status\"}"));
	CHECK_OK(asked("{\"do\": \"restart\", \"unit\": \"judge.service\"}"));
	CHECK_OK(asked("{\"unit\": \"llm@gpu-0.service\", \"do\": \"restart\"}"));
	CHECK_OK(asked("{\"do\": \"cold\", \"units\": [\"a.service\", \"b.service\"]}"));
	CHECK_OK(asked("{\"do\": \"prepare\", \"values\": {\"util\": \"0.5\"}}"));
	CHECK_OK(asked("{\"do\": \"flip\", \"rollout\": \"r-1\", \"to\": \"0123456789abcdef\"}"));
}

TEST(a_member_too_many_or_too_few_is_refused)
{
	char words[480];
	const char *text = "{\"do\": \"status\", \"path\": \"/etc/shadow\"}";
	CHECK_ERR(ask(text, strlen(text), words), EINVAL);
	CHECK(strstr(words, "\"path\""));
	CHECK_ERR(asked("{\"do\": \"restart\"}"), EINVAL);
	CHECK_ERR(asked("{\"do\": \"flip\", \"rollout\": \"r\"}"), EINVAL);
	CHECK_ERR(asked("{\"do\": \"shell\"}"), EINVAL);
	CHECK_ERR(asked("{\"unit\": \"a.service\"}"), EINVAL);
}

TEST(what_is_no_object_or_no_json_is_refused)
{
	static const char *const texts[] = {
	    "", "null", "[]", "\"status\"", "{", "{\"do\": 1}", "{\"do\": [\"status\"]}", "status"};
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		CHECK(asked(texts[i]) < 0);
	CHECK_ERR(asked("{\"do\": \"status\", \"do\": \"undo\"}"), EBADMSG);
	CHECK_ERR(ask("{\"do\": \"status\"}\0", 17, NULL), EBADMSG);
}

TEST(a_unit_is_a_name_and_never_a_path)
{
	static const char *const bad[] = {"\"/etc/systemd/system/x.service\"",
					  "\"../x.service\"",
					  "\"a/b.service\"",
					  "\"x.service\\n\"",
					  "\".service\"",
					  "\"x\"",
					  "\"x.socket\"",
					  "\"x.service \"",
					  "\"x service.service\"",
					  "\"\"",
					  "7",
					  "null",
					  "[\"x.service\"]",
					  "\"x.service\\u0000\"",
					  "\"x$.service\"",
					  "\"%i.service\""};
	char text[400];
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		snprintf(text, sizeof(text), "{\"do\": \"restart\", \"unit\": %s}", bad[i]);
		CHECK(asked(text) < 0);
	}
	memset(text, 'a', sizeof(text));
	memcpy(text, "{\"do\": \"restart\", \"unit\": \"", 27);
	snprintf(text + 27 + 250, sizeof(text) - 277, ".service\"}");
	CHECK_ERR(asked(text), EINVAL);
}

TEST(a_generation_is_sixteen_hex_digits)
{
	static const char *const bad[] = {
	    "../0123456789abc", "0123456789ABCDEF", "0123456789abcde", "0123456789abcdef0", "",
	    "0123456789abcde/"};
	char text[200];
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		snprintf(text, sizeof(text),
			 "{\"do\": \"flip\", \"rollout\": \"r\", \"to\": \"%s\"}", bad[i]);
		CHECK_ERR(asked(text), EINVAL);
	}
}

TEST(a_value_is_short_plain_text)
{
	static const char *const bad[] = {"{\"p\": \"a b\"}",
					  "{\"p\": \"a\\nLD_PRELOAD=/x.so\"}",
					  "{\"p\": \"\"}",
					  "{\"p\": 0.5}",
					  "{\"p\": \"$(id)\"}",
					  "{\"p\": \"--flag\"}",
					  "{\"p q\": \"1\"}",
					  "{\"\": \"1\"}",
					  "{}",
					  "[]",
					  "{\"p\": null}",
					  "{\"p\": \"\\u202e\"}",
					  "{\"p\": {\"q\": \"1\"}}",
					  "{\"../p\": \"1\"}",
					  "{\"p=LD_PRELOAD\": \"1\"}"};
	char text[200];
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		snprintf(text, sizeof(text), "{\"do\": \"prepare\", \"values\": %s}", bad[i]);
		CHECK_ERR(asked(text), EINVAL);
	}
}

TEST(a_list_of_units_has_an_end_and_none_twice)
{
	_cleanup_(str_done) Str s = STR_INIT;
	CHECK_ERR(asked("{\"do\": \"cold\", \"units\": []}"), EINVAL);
	CHECK_ERR(asked("{\"do\": \"cold\", \"units\": \"a.service\"}"), EINVAL);
	CHECK_ERR(asked("{\"do\": \"cold\", \"units\": [\"a.service\", \"a.service\"]}"), EINVAL);
	CHECK_ERR(asked("{\"do\": \"cold\", \"units\": [\"a.service\", 1]}"), EINVAL);
	for (int n = PACKET_UNITS_MAX; n <= PACKET_UNITS_MAX + 1; n++) {
		str_clear(&s);
		str_add(&s, "{\"do\": \"cold\", \"units\": [");
		for (int i = 0; i < n; i++)
			str_addf(&s, "%s\"u%d.service\"", i ? "," : "", i);
		str_add(&s, "]}");
		CHECK_INT(asked(s.s), n <= PACKET_UNITS_MAX ? 0 : -EINVAL);
	}
}

TEST(a_request_that_is_too_long_is_refused_unread)
{
	size_t n = HELPER_PACKET_MAX + 1;
	_cleanup_free_ char *text = malloc(n);
	CHECK(text);
	memset(text, ' ', n);
	CHECK_ERR(ask(text, n, NULL), EFBIG);
}

TEST(an_answer_comes_back_as_it_was_sent)
{
	json_auto_t *o = json_pack("{s:s, s:i}", "result", "done", "took_us", 5), *back = NULL;
	_cleanup_free_ char *text = NULL;
	Err err = ERR_INIT;
	CHECK_OK(packet_reply(o, &text));
	CHECK_OK(packet_answer(text, strlen(text), &back, &err));
	CHECK_STR(js_str(back, "result", NULL), "done");
	CHECK_INT(js_int(back, "took_us", 0), 5);
	CHECK(!json_object_get(o, "ok")); /* the caller's object stays as it was */
}

TEST(a_refusal_comes_back_as_its_errno_and_its_words)
{
	static const int codes[] = {EPERM, ENOENT, ESTALE, EBUSY, EINVAL, ETIMEDOUT, EIO, EMSGSIZE};
	for (size_t i = 0; i < sizeof(codes) / sizeof(codes[0]); i++) {
		_cleanup_free_ char *text = NULL;
		json_t *o = NULL;
		Err why = ERR_INIT, err = ERR_INIT;
		(void)err_set(&why, -codes[i], "not \"this\"");
		CHECK_OK(packet_refusal(&why, &text));
		CHECK_INT(packet_answer(text, strlen(text), &o, &err), -codes[i]);
		CHECK_STR(err.msg, "not \"this\"");
		CHECK(!o);
	}
	CHECK_INT(errno_of_name("EWHATEVER"), -EIO);
	CHECK_STR(errno_name(0), "EIO");
	CHECK_STR(errno_name(-99999), "EIO");
}

TEST(an_answer_that_is_none_is_told_apart_from_a_refusal)
{
	static const char *const bad[] = {
	    "", "{}", "[]", "{\"ok\": 1}", "{\"ok\": \"true\"}", "nonsense"};
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		json_t *o = NULL;
		Err err = ERR_INIT;
		CHECK_ERR(packet_answer(bad[i], strlen(bad[i]), &o, &err), EBADMSG);
	}
}

TEST(an_answer_that_would_be_too_long_says_so)
{
	json_auto_t *o = json_object();
	json_t *back = NULL;
	_cleanup_free_ char *big = calloc(1, HELPER_PACKET_MAX + 1);
	_cleanup_free_ char *text = NULL;
	Err err = ERR_INIT;
	CHECK(big);
	memset(big, 'x', HELPER_PACKET_MAX);
	json_object_set_new(o, "units", json_string(big));
	CHECK_OK(packet_reply(o, &text));
	CHECK_ERR(packet_answer(text, strlen(text), &back, &err), EMSGSIZE);
}
