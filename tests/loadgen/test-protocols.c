/* What is sent in each protocol, and what every kind of answer is understood as. */
#include <jansson.h>
#include <unistd.h>

#include "base/file.h"
#include "stand.h"

typedef struct Canned {
	Stand stand;
	int status;
	const char *type, *body;
	size_t cut; /* bytes at a time; 0: in one piece with its length */
	bool abort; /* in the end the connection is closed */
	char *heard, *heard_type, *heard_path, *heard_method;
	size_t heard_len;
} Canned;

static void serve(void *ctx, Incoming *rq)
{
	Canned *c = ctx;
	size_t len = strlen(c->body);
	const char *type = incoming_header(rq, "Content-Type");
	const char *body = incoming_body(rq, &c->heard_len);
	free(c->heard);
	free(c->heard_type);
	free(c->heard_path);
	free(c->heard_method);
	c->heard = malloc(c->heard_len + 1);
	CHECK(c->heard);
	memcpy(c->heard, body, c->heard_len);
	c->heard[c->heard_len] = '\0';
	c->heard_type = strdup(type ? type : "");
	c->heard_path = strdup(incoming_path(rq));
	c->heard_method = strdup(incoming_method(rq));
	if (c->cut == 0 && !c->abort) {
		CHECK_OK(incoming_answer(rq, c->status, c->type, c->body, len));
		return;
	}
	CHECK_OK(incoming_stream(rq, c->status, c->type));
	size_t step = c->cut ? c->cut : len;
	for (size_t at = 0; at < len; at += step)
		CHECK_OK(incoming_write(rq, c->body + at, len - at < step ? len - at : step));
	if (c->abort)
		incoming_abort(rq);
	else
		incoming_end(rq);
}

static void canned_begin(Canned *c)
{
	*c = (Canned){.status = 200, .type = "application/json", .body = "{}"};
	stand_serve(&c->stand, serve, NULL, c);
	stand_contents(&c->stand, &(ContentsSpec){.seed = 7});
}

static void canned_done(Canned *c)
{
	stand_done(&c->stand);
	free(c->heard);
	free(c->heard_type);
	free(c->heard_path);
	free(c->heard_method);
}

static const Stream one = {
    .arrivals = ARRIVALS_CLOSED,
    .users = 1,
    .requests = 1,
    .prompt = {.median = 26, .min = 26, .max = 26},
    .output = {.median = 5, .min = 5, .max = 5},
};

static TrafficStream asks(Canned *c, Protocol p, bool streaming)
{
	return (TrafficStream){.name = "llm",
			       .client = c->stand.client,
			       .protocol = p,
			       .model = "m",
			       .streaming = streaming,
			       .load = &one,
			       .contents = c->stand.contents,
			       .misses_max = -1,
			       .keep_text = true};
}

static const Exchange *exchange(Canned *c, const TrafficStream *s)
{
	stand_run(&c->stand, s, 1);
	CHECK_INT(c->stand.result.n_streams, 1);
	CHECK_INT(c->stand.result.streams[0].n, 1);
	return &c->stand.result.streams[0].exchanges[0];
}

/* --- Answers --------------------------------------------------------------------------------- */

#define EVENTS "text/event-stream"
#define LINES  "application/x-ndjson"
#define JSON   "application/json"
#define CHAT_CHUNK(delta, finish)                                                               \
	"data: {\"id\":\"c\",\"object\":\"chat.completion.chunk\",\"model\":\"m\",\"choices\":" \
	"[{\"index\":0,\"delta\":" delta ",\"finish_reason\":" finish "}]}\n\n"
#define TEXT_CHUNK(text, finish) \
	"data: {\"choices\":[{\"index\":0,\"text\":" text ",\"finish_reason\":" finish "}]}\n\n"
#define USAGE(in, out)                                            \
	"data: {\"choices\":[],\"usage\":{\"prompt_tokens\":" #in \
	",\"total_tokens\":9,\"completion_tokens\":" #out "}}\n\n"
#define DONE "data: [DONE]\n\n"

static const struct Row {
	Protocol protocol;
	bool streaming;
	int status;
	const char *type, *body;
	ExchangeFailure failed;
	const char *text, *says;
	int chunks, in, out;
} rows[] = {
    /* A whole stream: the role alone is no token, the usage comes in a chunk without choices. */
    {PROTOCOL_OPENAI_CHAT, true, 200, EVENTS,
     CHAT_CHUNK("{\"role\":\"assistant\",\"content\":\"\"}", "null") CHAT_CHUNK(
	 "{\"content\":\"Hel\"}", "null") CHAT_CHUNK("{\"content\":\"lo \\u20ac\"}", "null")
	 CHAT_CHUNK("{}", "\"stop\"") USAGE(11, 3) DONE,
     EXCHANGE_OK, "Hello \xe2\x82\xac", "", 2, 11, 3},
    /* A chunk with no token and one with three. */
    {PROTOCOL_OPENAI_CHAT, true, 200, EVENTS,
     CHAT_CHUNK("{\"content\":null}", "null") CHAT_CHUNK("{\"content\":\"\"}", "null")
	 CHAT_CHUNK("{\"content\":\"one two three\"}", "\"length\"") USAGE(4, 3) DONE,
     EXCHANGE_OK, "one two three", "", 1, 4, 3},
    /* What a model thinks comes first and is a token. */
    {PROTOCOL_OPENAI_CHAT, true, 200, EVENTS,
     CHAT_CHUNK("{\"reasoning_content\":\"hm\"}", "null")
	 CHAT_CHUNK("{\"content\":\"yes\"}", "\"stop\"") DONE,
     EXCHANGE_OK, "yes", "", 2, -1, -1},
    {PROTOCOL_OPENAI_CHAT, true, 200, EVENTS,
     CHAT_CHUNK("{\"tool_calls\":[{\"id\":\"1\"}]}", "\"tool_calls\"") DONE, EXCHANGE_OK, "", "", 1,
     -1, -1},
    {PROTOCOL_OPENAI_COMPLETIONS, true, 200, EVENTS,
     TEXT_CHUNK("\" a\"", "null") TEXT_CHUNK("\" b\"", "\"length\"") USAGE(7, 2) DONE, EXCHANGE_OK,
     " a b", "", 2, 7, 2},
    /* UTF-8 as it is, lines that end in CR LF, comments between. */
    {PROTOCOL_OPENAI_COMPLETIONS, true, 200, EVENTS,
     ": hello\r\n\r\ndata: {\"choices\":[{\"text\":\"\xe2\x82\xac\xf0\x9f\x98\x80\"}]}\r\n\r\n"
     ": ping\r\n\r\ndata: [DONE]\r\n\r\n",
     EXCHANGE_OK, "\xe2\x82\xac\xf0\x9f\x98\x80", "", 1, -1, -1},
    /* Ended by its reason, though the mark of the stream is missing. */
    {PROTOCOL_OPENAI_COMPLETIONS, true, 200, EVENTS, TEXT_CHUNK("\"a\"", "\"stop\""), EXCHANGE_OK,
     "a", "", 1, -1, -1},
    /* Tokens without text are tokens. */
    {PROTOCOL_OPENAI_COMPLETIONS, true, 200, EVENTS,
     TEXT_CHUNK("\"\"", "\"length\"") USAGE(3, 5) DONE, EXCHANGE_OK, "", "", 0, 3, 5},
    {PROTOCOL_OPENAI_COMPLETIONS, true, 200, EVENTS, TEXT_CHUNK("\"a\"", "null"), EXCHANGE_HALF,
     NULL, "without its end mark", 1, -1, -1},
    /* A reason that is no text yet is none. */
    {PROTOCOL_OPENAI_COMPLETIONS, true, 200, EVENTS, TEXT_CHUNK("\"a\"", "\"\""), EXCHANGE_HALF,
     NULL, "without its end mark", 1, -1, -1},
    /* Servers that send an account with each chunk, of nothing or of what is there so far. */
    {PROTOCOL_OPENAI_COMPLETIONS, true, 200, EVENTS,
     TEXT_CHUNK("\"a\"", "null") USAGE(0, 0) TEXT_CHUNK("\"b\"", "\"stop\"") USAGE(0, 0) DONE,
     EXCHANGE_OK, "ab", "", 2, -1, -1},
    {PROTOCOL_OPENAI_COMPLETIONS, true, 200, EVENTS,
     TEXT_CHUNK("\"a\"", "null") USAGE(3, 1) TEXT_CHUNK("\"b\"", "\"stop\"") USAGE(3, 2)
	 USAGE(null, null) DONE,
     EXCHANGE_OK, "ab", "", 2, 3, 2},
    {PROTOCOL_OPENAI_COMPLETIONS, false, 200, JSON,
     "{\"choices\":[{\"text\":\"w\"}],\"usage\":{\"prompt_tokens\":0,\"completion_tokens\":0},"
     "\"timings\":{\"prompt_n\":2,\"predicted_n\":6}}",
     EXCHANGE_OK, "w", "", 0, 2, 6},
    {PROTOCOL_OPENAI_COMPLETIONS, true, 200, EVENTS, "", EXCHANGE_HALF, NULL, "end mark", 0, -1,
     -1},
    {PROTOCOL_OPENAI_COMPLETIONS, true, 200, EVENTS,
     TEXT_CHUNK("\"\"", "\"stop\"") USAGE(3, 0) DONE, EXCHANGE_EMPTY, NULL, "nothing was generated",
     0, 3, 0},
    {PROTOCOL_OPENAI_COMPLETIONS, true, 200, EVENTS, DONE, EXCHANGE_EMPTY, NULL, "", 0, -1, -1},
    {PROTOCOL_OPENAI_COMPLETIONS, true, 200, EVENTS, "data: {\"choices\": oops\n\n" DONE,
     EXCHANGE_GARBAGE, NULL, "no JSON object", 0, -1, -1},
    {PROTOCOL_OPENAI_COMPLETIONS, true, 200, EVENTS, "data: {\"hello\":1}\n\n" DONE,
     EXCHANGE_GARBAGE, NULL, "no choices", 0, -1, -1},
    /* An error in the stream, and one instead of it, both with status 200. */
    {PROTOCOL_OPENAI_CHAT, true, 200, EVENTS,
     CHAT_CHUNK(
	 "{\"content\":\"a\"}",
	 "null") "data: {\"error\":{\"message\":\"CUDA out of memory\",\"code\":500}}\n\n" DONE,
     EXCHANGE_SAYS_ERROR, NULL, "CUDA out of memory", 1, -1, -1},
    {PROTOCOL_OPENAI_CHAT, true, 200, EVENTS, "error: {\"code\":500,\"message\":\"slot\"}\n\n",
     EXCHANGE_SAYS_ERROR, NULL, "slot", 0, -1, -1},
    {PROTOCOL_OPENAI_CHAT, true, 200, JSON, "{\"object\":\"error\",\"message\":\"too long\"}",
     EXCHANGE_SAYS_ERROR, NULL, "too long", 0, -1, -1},
    /* A server that does not stream though it was asked to. */
    {PROTOCOL_OPENAI_CHAT, true, 200, JSON,
     "{\"choices\":[{\"message\":{\"content\":\"all\"},\"finish_reason\":\"stop\"}],"
     "\"usage\":{\"prompt_tokens\":2,\"completion_tokens\":4}}",
     EXCHANGE_OK, "all", "", 0, 2, 4},
    {PROTOCOL_OPENAI_CHAT, false, 200, JSON,
     "{\"choices\":[{\"message\":{\"content\":\"whole\"},\"finish_reason\":\"stop\"}],"
     "\"usage\":{\"prompt_tokens\":2,\"completion_tokens\":4}}",
     EXCHANGE_OK, "whole", "", 0, 2, 4},
    {PROTOCOL_OPENAI_COMPLETIONS, false, 200, JSON,
     "{\"choices\":[{\"text\":\"w\"}],\"timings\":{\"predicted_n\":6,\"predicted_ms\":1.5}}",
     EXCHANGE_OK, "w", "", 0, -1, 6},
    {PROTOCOL_OPENAI_COMPLETIONS, false, 200, JSON, "{\"choices\":[]}", EXCHANGE_EMPTY, NULL, "", 0,
     -1, -1},
    {PROTOCOL_OPENAI_COMPLETIONS, false, 200, "text/html", "<html>", EXCHANGE_GARBAGE, NULL,
     "no JSON object", 0, -1, -1},
    {PROTOCOL_OPENAI_COMPLETIONS, false, 200, JSON, "", EXCHANGE_GARBAGE, NULL, "", 0, -1, -1},
    /* Refused, wrong, in words that a terminal can show. */
    {PROTOCOL_OPENAI_COMPLETIONS, true, 503, JSON, "{\"error\":{\"message\":\"Loading model\"}}",
     EXCHANGE_REFUSED, NULL, "status 503: Loading model", 0, -1, -1},
    {PROTOCOL_OPENAI_COMPLETIONS, false, 429, "text/plain", "slow\x1b[31m down", EXCHANGE_REFUSED,
     NULL, "status 429: slow\\x1b[31m down", 0, -1, -1},
    {PROTOCOL_OPENAI_COMPLETIONS, false, 404, JSON, "{\"detail\":\"Not Found\"}", EXCHANGE_STATUS,
     NULL, "status 404: Not Found", 0, -1, -1},
    {PROTOCOL_OPENAI_COMPLETIONS, true, 500, JSON, "", EXCHANGE_STATUS, NULL, "status 500", 0, -1,
     -1},
    /* Ollama. */
    {PROTOCOL_OLLAMA_CHAT, true, 200, LINES,
     "{\"model\":\"m\",\"message\":{\"role\":\"assistant\",\"content\":\"a\"},\"done\":false}\n"
     "{\"model\":\"m\",\"message\":{\"role\":\"assistant\",\"content\":\"b\"},\"done\":false}\n"
     "{\"message\":{\"content\":\"\"},\"done\":true,\"done_reason\":\"stop\",\"total_duration\":9,"
     "\"load_duration\":2500000,\"prompt_eval_count\":31,\"prompt_eval_duration\":4000000,"
     "\"eval_count\":2,\"eval_duration\":8000000}\n",
     EXCHANGE_OK, "ab", "", 2, 31, 2},
    {PROTOCOL_OLLAMA_GENERATE, true, 200, LINES,
     "{\"response\":\"\",\"thinking\":\"hm\",\"done\":false}\n"
     "{\"response\":\"x\",\"done\":false}\n{\"response\":\"\",\"done\":true,\"eval_count\":9}",
     EXCHANGE_OK, "x", "", 2, -1, 9},
    {PROTOCOL_OLLAMA_GENERATE, true, 200, LINES,
     "{\"response\":\"x\",\"done\":false}\n{\"error\":\"llama runner process has terminated\"}\n",
     EXCHANGE_SAYS_ERROR, NULL, "llama runner process has terminated", 1, -1, -1},
    {PROTOCOL_OLLAMA_GENERATE, true, 200, LINES, "{\"response\":\"x\",\"done\":false}\n{\"resp",
     EXCHANGE_HALF, NULL, "end mark", 1, -1, -1},
    {PROTOCOL_OLLAMA_CHAT, true, 503, JSON,
     "{\"error\":\"server busy, please try again.  maximum pending requests exceeded\"}",
     EXCHANGE_REFUSED, NULL, "maximum pending requests exceeded", 0, -1, -1},
    {PROTOCOL_OLLAMA_CHAT, false, 200, JSON,
     "{\"message\":{\"content\":\"all\"},\"done\":true,\"eval_count\":3,\"prompt_eval_count\":1}",
     EXCHANGE_OK, "all", "", 0, 1, 3},
    {PROTOCOL_OLLAMA_CHAT, true, 200, LINES, "[1]\n", EXCHANGE_GARBAGE, NULL, "no JSON object", 0,
     -1, -1},
    /* Plain HTTP: the status is all there is. */
    {PROTOCOL_HTTP, false, 200, "text/html", "<html>", EXCHANGE_OK, "", "", 0, -1, -1},
    {PROTOCOL_HTTP, false, 502, "text/html", "<html>", EXCHANGE_STATUS, NULL, "status 502: <html>",
     0, -1, -1},
};

static void check_row(size_t i, size_t cut, const Exchange *e, const StreamResult *r)
{
	const struct Row *w = &rows[i];
	if (e->failed != w->failed || !strstr(r->first_error, w->says))
		test_fail(__FILE__, __LINE__, "row %zu in steps of %zu: %s: %s", i, cut,
			  exchange_failure_name(e->failed), r->first_error);
	if (e->chunks != w->chunks || e->tokens_in != w->in || e->tokens_out != w->out)
		test_fail(__FILE__, __LINE__, "row %zu in steps of %zu: %d chunks, %d in, %d out",
			  i, cut, e->chunks, e->tokens_in, e->tokens_out);
	CHECK_INT(e->status, w->status);
	if (w->failed == EXCHANGE_OK)
		CHECK_STR(e->text, w->text);
	else
		CHECK(!e->text);
	CHECK(e->planned_us > 0 && e->sent_us >= e->planned_us && e->end_us >= e->sent_us);
	CHECK_INT(e->n_gaps, w->chunks > 1 ? w->chunks - 1 : 0);
	if (w->chunks > 0 || (w->out > 0 && strcmp(w->type, EVENTS) == 0))
		CHECK(e->first_us >= e->sent_us && e->last_us >= e->first_us &&
		      e->end_us >= e->last_us);
	else if (w->protocol != PROTOCOL_HTTP)
		CHECK_INT(e->first_us, 0);
}

TEST(answers_are_understood_however_they_are_cut)
{
	static const size_t cuts[] = {0, 1, 7, 4096};
	Canned c;
	canned_begin(&c);
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		for (size_t k = 0; k < sizeof(cuts) / sizeof(*cuts); k++) {
			c.status = rows[i].status;
			c.type = rows[i].type;
			c.body = rows[i].body;
			c.cut = cuts[k];
			TrafficStream s = asks(&c, rows[i].protocol, rows[i].streaming);
			const Exchange *e = exchange(&c, &s);
			check_row(i, cuts[k], e, &c.stand.result.streams[0]);
		}
	}
	canned_done(&c);
}

TEST(durations_of_ollama_are_nanoseconds)
{
	Canned c;
	canned_begin(&c);
	c.type = LINES;
	c.body = "{\"response\":\"x\",\"done\":true,\"load_duration\":2500000,"
		 "\"prompt_eval_duration\":4000999,\"eval_duration\":61000000000}\n";
	TrafficStream s = asks(&c, PROTOCOL_OLLAMA_GENERATE, true);
	const Exchange *e = exchange(&c, &s);
	CHECK_INT(e->server_load_us, 2500);
	CHECK_INT(e->server_prompt_us, 4000);
	CHECK_INT(e->server_output_us, 61000000);
	canned_done(&c);
}

TEST(a_connection_closed_in_the_middle_is_a_fault_of_the_transport)
{
	Canned c;
	canned_begin(&c);
	c.type = EVENTS;
	c.body = TEXT_CHUNK("\"a\"", "null") TEXT_CHUNK("\"b\"", "null");
	c.abort = true;
	TrafficStream s = asks(&c, PROTOCOL_OPENAI_COMPLETIONS, true);
	const Exchange *e = exchange(&c, &s);
	CHECK_INT(e->failed, EXCHANGE_TRANSPORT);
	CHECK_INT(e->fault, HTTP_TRUNCATED);
	CHECK_INT(e->chunks, 2);
	CHECK(e->first_us > 0);
	canned_done(&c);
}

TEST(who_gets_no_connection_measures_no_server)
{
	Canned c;
	CHECK_OK(setenv("DREAM_CONNECT", "/nonexistent/socket", 1));
	canned_begin(&c);
	CHECK_OK(unsetenv("DREAM_CONNECT"));
	TrafficStream s = asks(&c, PROTOCOL_OPENAI_CHAT, false);
	s.timeout_us = 60000;
	CHECK_INT(exchange(&c, &s)->fault, HTTP_BROKER);
	CHECK(strstr(c.stand.result.streams[0].first_error, "dream-connect"));
	CHECK(c.stand.result.limited_by_client);
	CHECK(strstr(c.stand.result.limited_why, "dream-connect"));
	canned_done(&c);
}

TEST(an_answer_without_end_is_bounded)
{
	Canned c;
	canned_begin(&c);
	size_t len = (1 << 20) + 100;
	char *body = malloc(len + 1);
	CHECK(body);
	memset(body, 'a', len);
	memcpy(body, "data: ", 6);
	body[len] = '\0';
	c.type = EVENTS;
	c.body = body;
	TrafficStream s = asks(&c, PROTOCOL_OPENAI_COMPLETIONS, true);
	const Exchange *e = exchange(&c, &s);
	CHECK_INT(e->failed, EXCHANGE_GARBAGE);
	canned_done(&c);
	free(body);
}

/* --- Requests -------------------------------------------------------------------------------- */

static json_t *heard_json(Canned *c)
{
	json_t *o = json_loads(c->heard, JSON_REJECT_DUPLICATES, NULL);
	if (!o)
		test_fail(__FILE__, __LINE__, "no JSON was sent: %s", c->heard);
	CHECK_STR(c->heard_method, "POST");
	CHECK_STR(c->heard_type, "application/json");
	return o;
}

static int words_in(const char *s)
{
	int n = 1;
	for (; *s; s++)
		n += *s == ' ';
	return n;
}

/* What was sent is `want` with the prompt in the place of "P". */
static void check_request(Protocol p, bool streaming, const char *extra, const char *path,
			  const char *want)
{
	Canned c;
	canned_begin(&c);
	json_t *more = extra ? json_loads(extra, 0, NULL) : NULL;
	TrafficStream s = asks(&c, p, streaming);
	s.extra = more;
	const Exchange *e = exchange(&c, &s);
	json_t *sent = heard_json(&c);
	json_t *wanted = json_loads(want, 0, NULL);
	CHECK(wanted);
	const char *prompt = NULL;
	json_t *messages = json_object_get(sent, "messages");
	json_t *message = json_array_get(messages, 0);
	prompt = json_string_value(messages ? json_object_get(message, "content")
					    : json_object_get(sent, "prompt"));
	CHECK(prompt);
	if (strcmp(prompt, "mine") != 0) {
		CHECK_INT(words_in(prompt), 26); /* a token each */
		CHECK_INT(e->prompt_words, 26);
		json_object_set_new(messages ? message : sent, messages ? "content" : "prompt",
				    json_string("P"));
	}
	if (!json_equal(sent, wanted))
		test_fail(__FILE__, __LINE__, "sent %s", c.heard);
	CHECK_STR(c.heard_path, path);
	json_decref(sent);
	json_decref(wanted);
	json_decref(more);
	canned_done(&c);
}

TEST(requests_are_what_each_protocol_asks_for)
{
	check_request(PROTOCOL_OPENAI_COMPLETIONS, true, NULL, "/v1/completions",
		      "{\"model\":\"m\",\"prompt\":\"P\",\"max_tokens\":5,\"stream\":true,"
		      "\"stream_options\":{\"include_usage\":true}}");
	check_request(PROTOCOL_OPENAI_COMPLETIONS, false, "{\"ignore_eos\":true,\"temperature\":0}",
		      "/v1/completions",
		      "{\"model\":\"m\",\"prompt\":\"P\",\"max_tokens\":5,\"stream\":false,"
		      "\"ignore_eos\":true,\"temperature\":0}");
	check_request(
	    PROTOCOL_OPENAI_CHAT, true, "{\"max_tokens\":1,\"model\":\"n\"}",
	    "/v1/chat/completions",
	    "{\"model\":\"n\",\"messages\":[{\"role\":\"user\",\"content\":\"P\"}],"
	    "\"max_tokens\":1,\"stream\":true,\"stream_options\":{\"include_usage\":true}}");
	check_request(PROTOCOL_OPENAI_COMPLETIONS, false, "{\"prompt\":\"mine\"}",
		      "/v1/completions",
		      "{\"model\":\"m\",\"prompt\":\"mine\",\"max_tokens\":5,\"stream\":false}");
	check_request(PROTOCOL_OLLAMA_CHAT, true, NULL, "/api/chat",
		      "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"P\"}],"
		      "\"stream\":true,\"options\":{\"num_predict\":5}}");
	check_request(PROTOCOL_OLLAMA_GENERATE, false,
		      "{\"options\":{\"seed\":3,\"num_ctx\":512},\"keep_alive\":-1}",
		      "/api/generate",
		      "{\"model\":\"m\",\"prompt\":\"P\",\"stream\":false,\"keep_alive\":-1,"
		      "\"options\":{\"seed\":3,\"num_ctx\":512,\"num_predict\":5}}");
	check_request(PROTOCOL_OLLAMA_GENERATE, false, "{\"options\":{\"num_predict\":9}}",
		      "/api/generate",
		      "{\"model\":\"m\",\"prompt\":\"P\",\"stream\":false,"
		      "\"options\":{\"num_predict\":9}}");
}

TEST(no_model_is_named_where_none_is_given)
{
	Canned c;
	canned_begin(&c);
	TrafficStream s = asks(&c, PROTOCOL_OPENAI_COMPLETIONS, false);
	s.model = NULL;
	s.path = "/other?x=1";
	(void)exchange(&c, &s);
	json_t *sent = heard_json(&c);
	CHECK(!json_object_get(sent, "model"));
	CHECK_STR(c.heard_path, "/other");
	json_decref(sent);
	canned_done(&c);
}

TEST(plain_http_sends_what_it_is_told)
{
	Canned c;
	canned_begin(&c);
	TrafficStream s = asks(&c, PROTOCOL_HTTP, false);
	s.contents = NULL;
	CHECK_INT(exchange(&c, &s)->failed, EXCHANGE_OK);
	CHECK_STR(c.heard_method, "GET");
	CHECK_STR(c.heard_path, "/");
	CHECK_INT(c.heard_len, 0);
	json_t *extra = json_pack("{s:s,s:{s:[i,i]}}", "method", "PUT", "body", "a", 1, 2);
	s.extra = extra;
	s.path = "/x";
	const Exchange *e = exchange(&c, &s);
	CHECK_STR(c.heard_method, "PUT");
	CHECK_STR(c.heard, "{\"a\":[1,2]}");
	CHECK_STR(c.heard_type, "application/json");
	CHECK(e->first_us > 0 && e->last_us == e->end_us);
	json_decref(extra);
	canned_done(&c);
}

/* --- Speech ---------------------------------------------------------------------------------- */

/* A folder with one clip of 0.1 s. */
static char *clip_folder(char *dir)
{
	static const char head[] =
	    "RIFF\xa4\x0c\0\0WAVEfmt \x10\0\0\0\1\0\1\0\x80\x3e\0\0\0\x7d\0\0"
	    "\2\0\x10\0data\x80\x0c\0";
	char wav[44 + 3200] = {0};
	char *path = str_fmt("%s/it's \"one\".wav", dir);
	memcpy(wav, head, sizeof(head));
	for (size_t i = 44; i < sizeof(wav); i++)
		wav[i] = (char)(i * 7);
	CHECK_OK(file_write(path, 0644, wav, sizeof(wav), NULL));
	memcpy(path + strlen(path) - 3, "txt", 3);
	CHECK_OK(file_write(path, 0644, "hello there\n", 12, NULL));
	return path;
}

static const Part *part(const Part *parts, size_t n, const char *name)
{
	for (size_t i = 0; i < n; i++)
		if (parts[i].name_len == strlen(name) &&
		    memcmp(parts[i].name, name, parts[i].name_len) == 0)
			return &parts[i];
	return NULL;
}

static void check_field(const Part *parts, size_t n, const char *name, const char *want)
{
	const Part *p = part(parts, n, name);
	CHECK(p && p->len == strlen(want) && memcmp(p->data, want, p->len) == 0);
}

TEST(clips_are_uploaded_and_transcripts_read)
{
	static const struct {
		Protocol protocol;
		const char *path, *body;
		ExchangeFailure failed;
		const char *text;
	} cases[] = {
	    {PROTOCOL_OPENAI_STT, "/v1/audio/transcriptions", "{\"text\":\"Hello there.\"}",
	     EXCHANGE_OK, "Hello there."},
	    {PROTOCOL_OPENAI_STT, "/v1/audio/transcriptions",
	     "{\"task\":\"transcribe\",\"duration\":0.1,\"segments\":[{\"id\":0,\"text\":\"x\"}],"
	     "\"text\":\"verbose\"}",
	     EXCHANGE_OK, "verbose"},
	    {PROTOCOL_WHISPERCPP, "/inference", "{\"text\":\" Hello\\n\"}", EXCHANGE_OK,
	     " Hello\n"},
	    {PROTOCOL_WHISPERCPP, "/inference", "{\"error\":\"failed to read WAV file\"}",
	     EXCHANGE_SAYS_ERROR, NULL},
	    {PROTOCOL_WHISPERCPP, "/inference", "{\"segments\":[]}", EXCHANGE_GARBAGE, NULL},
	    {PROTOCOL_WHISPERCPP, "/inference", "plain words", EXCHANGE_GARBAGE, NULL},
	};
	char dir[] = "/tmp/dream-clips-XXXXXX";
	CHECK(mkdtemp(dir));
	char *path = clip_folder(dir);
	Canned c;
	canned_begin(&c);
	contents_free(c.stand.contents);
	stand_contents(&c.stand, &(ContentsSpec){.clips = dir});
	CHECK_INT(contents_clip_us(c.stand.contents, 0), 100000);
	CHECK_STR(contents_clip_text(c.stand.contents, 0), "hello there");
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		Part parts[16];
		size_t n = 0;
		c.body = cases[i].body;
		json_t *extra = json_pack("{s:f}", "temperature", 0.0);
		TrafficStream s = asks(&c, cases[i].protocol, true);
		s.language = "en";
		s.extra = extra;
		const Exchange *e = exchange(&c, &s);
		CHECK_INT(e->failed, cases[i].failed);
		if (cases[i].text)
			CHECK_STR(e->text, cases[i].text);
		CHECK_STR(c.heard_path, cases[i].path);
		CHECK_OK(multipart_parse(c.heard_type, c.heard, c.heard_len, parts, 16, &n));
		check_field(parts, n, "model", "m");
		check_field(parts, n, "language", "en");
		check_field(parts, n, "response_format", "json");
		check_field(parts, n, "temperature", "0.0");
		const Part *file = part(parts, n, "file");
		CHECK(file && file->len == 44 + 3200);
		CHECK(memcmp(file->data, "RIFF", 4) == 0 && file->data[3243] == (char)(3243 * 7));
		CHECK(file->file_name_len == strlen("it's %22one%22.wav"));
		json_decref(extra);
	}
	canned_done(&c);
	CHECK_INT(remove(path), 0);
	memcpy(path + strlen(path) - 3, "wav", 3);
	CHECK_INT(remove(path), 0);
	CHECK_INT(rmdir(dir), 0);
	free(path);
}

TEST(protocols_have_names)
{
	for (int p = 0; p < PROTOCOL_MAX_; p++) {
		Protocol back;
		CHECK(protocol_from_name(protocol_name((Protocol)p), &back));
		CHECK_INT(back, p);
	}
	CHECK_STR(protocol_name(PROTOCOL_OPENAI_CHAT), "openai-chat");
	CHECK(!protocol_from_name("gopher", &(Protocol){0}));
	for (int f = 0; f < EXCHANGE_FAILURE_MAX_; f++)
		CHECK(exchange_failure_name((ExchangeFailure)f)[0]);
}
