/* Multipart bodies, right and wrong. */
#include <errno.h>

#include "http/server.h"
#include "test.h"

#define TYPE	   "multipart/form-data; boundary=XX"
#define PART(name) "--XX\r\nContent-Disposition: form-data; name=\"" name "\"\r\n\r\n"

static int parse(const char *type, const char *body, Part *parts, size_t max, size_t *n)
{
	return multipart_parse(type, body, strlen(body), parts, max, n);
}

static bool is(const char *p, size_t n, const char *text)
{
	return p && n == strlen(text) && memcmp(p, text, n) == 0;
}

TEST(parts_as_clients_write_them)
{
	static const char body[] =
	    PART("model") "whisper-1\r\n"
			  "--XX\r\nContent-Disposition: form-data; name=\"file\"; "
			  "filename=\"a b.wav\"\r\nContent-Type: audio/wav\r\n\r\n"
			  "RIFF\r\n--X\r\n\0data\r\n" PART("empty") "\r\n--XX--\r\n";
	Part parts[4];
	size_t n = 0;
	CHECK_OK(multipart_parse(TYPE, body, sizeof(body) - 1, parts, 4, &n));
	CHECK_INT(n, 3);
	CHECK(is(parts[0].name, parts[0].name_len, "model"));
	CHECK(!parts[0].file_name);
	CHECK(is(parts[0].data, parts[0].len, "whisper-1"));
	CHECK(is(parts[1].name, parts[1].name_len, "file"));
	CHECK(is(parts[1].file_name, parts[1].file_name_len, "a b.wav"));
	CHECK_INT(parts[1].len, 16);
	CHECK(memcmp(parts[1].data, "RIFF\r\n--X\r\n\0data", 16) == 0);
	CHECK(is(parts[2].name, parts[2].name_len, "empty"));
	CHECK_INT(parts[2].len, 0);
}

TEST(spellings)
{
	Part p[2];
	size_t n;
	const char *body = "a preamble\r\n--X X\r\ncontent-disposition:form-data ; NAME = a;x=y\r\n"
			   "\r\n1\r\n--X X--";
	CHECK_OK(parse("Multipart/Form-Data; charset=x; boundary=\"X X\"", body, p, 2, &n));
	CHECK_INT(n, 1);
	CHECK(is(p[0].name, p[0].name_len, "a"));
	CHECK_OK(parse(TYPE, "--XX\r\n\r\nno head\r\n--XX--", p, 2, &n));
	CHECK(!p[0].name && is(p[0].data, p[0].len, "no head"));
	CHECK_OK(parse(TYPE, "--XX--\r\n", p, 2, &n));
	CHECK_INT(n, 0);
	/* A quoted name may hold what else would end it. */
	CHECK_OK(parse(TYPE,
		       "--XX\r\nContent-Disposition: form-data; name=\"a;b=\\\"c\"\r\n\r\n1\r\n"
		       "--XX--",
		       p, 2, &n));
	CHECK(is(p[0].name, p[0].name_len, "a;b=\\\"c"));
}

TEST(what_is_no_multipart)
{
	static const char *const types[] = {NULL,
					    "",
					    "application/json",
					    "multipart/form-data",
					    "multipart/form-data; boundary=",
					    "multipart/form-data; boundary=\"XX",
					    "multipart/mixed; boundary=XX"};
	static const char *const bodies[] = {
	    "",
	    "--X",
	    "--XX",
	    "--XX\r\n",
	    "--XX\r\n\r\ntext",
	    PART("a") "text",
	    PART("a") "text\r\n--XX",
	    PART("a") "text--XX--",
	    PART("a") "--XX--",
	    "--XX\r\n--XX--",
	    "--XX\r\nno header\r\n\r\ntext\r\n--XX--",
	    "--XX\r\nA: b\r\n--XX--",
	    "--XXX\r\n\r\ntext\r\n--XX--",
	};
	Part p[4];
	size_t n = 9;
	for (size_t i = 0; i < sizeof(types) / sizeof(*types); i++)
		CHECK_ERR(parse(types[i], PART("a") "1\r\n--XX--", p, 4, &n), EBADMSG);
	for (size_t i = 0; i < sizeof(bodies) / sizeof(*bodies); i++) {
		if (parse(TYPE, bodies[i], p, 4, &n) != -EBADMSG)
			test_fail(__FILE__, __LINE__, "taken: %s", bodies[i]);
	}
	CHECK_INT(n, 9);
	char long_type[200] = "multipart/form-data; boundary=";
	memset(long_type + strlen(long_type), 'x', 71);
	CHECK_ERR(parse(long_type, "", p, 4, &n), EBADMSG);
}

TEST(parts_are_bounded)
{
	Part p[2];
	size_t n;
	const char *body = PART("a") "1\r\n" PART("b") "2\r\n" PART("c") "3\r\n--XX--";
	CHECK_ERR(parse(TYPE, body, p, 2, &n), E2BIG);
}
