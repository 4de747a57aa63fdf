/* What is asked of dream-connect, as bytes: what is no question, and what is none that is granted.
 */
#include <arpa/inet.h>
#include <errno.h>

#include "connect/wire.h"
#include "test.h"

static int read_text(const char *text, WireQuestion *ret)
{
	return wire_read_question(text, strlen(text), ret);
}

TEST(a_question_is_read_as_it_was_written)
{
	WireQuestion q = {.verb = WIRE_CONNECT}, back;
	char text[WIRE_PACKET_MAX];
	size_t n = 0;
	q.to.v4 = (struct sockaddr_in){.sin_family = AF_INET,
				       .sin_port = htons(8000),
				       .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	CHECK_OK(wire_question(&q, text, &n));
	CHECK_INT(n, strlen("connect 127.0.0.1 8000"));
	CHECK(memcmp(text, "connect 127.0.0.1 8000", n) == 0);
	CHECK_OK(wire_read_question(text, n, &back));
	CHECK_INT(back.verb, WIRE_CONNECT);
	CHECK(memcmp(&back.to.v4, &q.to.v4, sizeof(q.to.v4)) == 0);

	q.to.v6 = (struct sockaddr_in6){
	    .sin6_family = AF_INET6, .sin6_port = htons(65535), .sin6_addr = in6addr_loopback};
	CHECK_OK(wire_question(&q, text, &n));
	CHECK_OK(wire_read_question(text, n, &back));
	CHECK_INT(back.to.any.sa_family, AF_INET6);
	CHECK_INT(ntohs(back.to.v6.sin6_port), 65535);

	q = (WireQuestion){.verb = WIRE_FREE, .port = 20000};
	CHECK_OK(wire_question(&q, text, &n));
	CHECK_OK(wire_read_question(text, n, &back));
	CHECK_INT(back.verb, WIRE_FREE);
	CHECK_INT(back.port, 20000);

	q = (WireQuestion){.verb = WIRE_TABLES};
	CHECK_OK(wire_question(&q, text, &n));
	CHECK_OK(wire_read_question(text, n, &back));
	CHECK_INT(back.verb, WIRE_TABLES);
}

TEST(the_longest_question_has_room)
{
	WireQuestion q = {.verb = WIRE_CONNECT};
	char text[WIRE_PACKET_MAX];
	size_t n = 0;
	q.to.v6 = (struct sockaddr_in6){.sin6_family = AF_INET6, .sin6_port = htons(65535)};
	CHECK_INT(
	    inet_pton(AF_INET6, "1111:2222:3333:4444:5555:6666:7777:8888", &q.to.v6.sin6_addr), 1);
	CHECK_OK(wire_question(&q, text, &n));
	CHECK(n < sizeof(text));
	CHECK_ERR(wire_read_question(text, n, &q), EACCES);
	q.to.any.sa_family = AF_UNIX;
	q.verb = WIRE_CONNECT;
	CHECK_ERR(wire_question(&q, text, &n), EAFNOSUPPORT);
}

TEST(only_loopback_is_granted)
{
	static const char *const yes[] = {"connect 127.0.0.1 1", "connect 127.255.255.254 80",
					  "connect ::1 8000", "connect 0:0:0:0:0:0:0:1 8000"};
	static const char *const no[] = {"connect 0.0.0.0 80",
					 "connect 126.255.255.255 80",
					 "connect 128.0.0.1 80",
					 "connect 1.0.0.127 80",
					 "connect 255.255.255.255 80",
					 "connect :: 80",
					 "connect ::2 80",
					 "connect ::ffff:127.0.0.1 80",
					 "connect fe80::1 80",
					 "connect 100:0:0:0:0:0:0:1 80"};
	WireQuestion q;
	for (size_t i = 0; i < sizeof(yes) / sizeof(*yes); i++)
		if (read_text(yes[i], &q) != 0)
			test_fail(__FILE__, __LINE__, "%s is refused", yes[i]);
	for (size_t i = 0; i < sizeof(no) / sizeof(*no); i++)
		if (read_text(no[i], &q) != -EACCES)
			test_fail(__FILE__, __LINE__, "%s is not refused", no[i]);
}

TEST(what_is_no_question)
{
	static const char *const wrong[] = {
	    "",
	    " ",
	    "connect",
	    "connect ",
	    "connect 127.0.0.1",
	    "connect 127.0.0.1 ",
	    "connect 127.0.0.1 0",
	    "connect 127.0.0.1 65536",
	    "connect 127.0.0.1 99999",
	    "connect 127.0.0.1 080",
	    "connect 127.0.0.1 +80",
	    "connect 127.0.0.1 -1",
	    "connect 127.0.0.1 80 ",
	    "connect 127.0.0.1 80\n",
	    "connect 127.0.0.1  80",
	    "connect  127.0.0.1 80",
	    "connect 127.1 80",
	    "connect 0177.0.0.1 80",
	    "connect 2130706433 80",
	    "connect localhost 80",
	    "connect [::1] 80",
	    "connect ::1%lo 80",
	    "connect 127.0.0.1:80",
	    "CONNECT 127.0.0.1 80",
	    "free",
	    "free 0",
	    "free 65536",
	    "free 127.0.0.1 80",
	    "free 80x",
	    "tables ",
	    "tables 1",
	    "tablesx",
	    "listen 127.0.0.1 80",
	};
	WireQuestion q;
	for (size_t i = 0; i < sizeof(wrong) / sizeof(*wrong); i++)
		if (read_text(wrong[i], &q) != -EBADMSG)
			test_fail(__FILE__, __LINE__, "'%s' is one", wrong[i]);
	CHECK_ERR(wire_read_question("connect 127.0.0.1\0 80", 21, &q), EBADMSG);
	CHECK_ERR(wire_read_question("free 80\0", 8, &q), EBADMSG);
	CHECK_ERR(wire_read_question("tables\0", 7, &q), EBADMSG);
}

TEST(answers)
{
	char text[WIRE_PACKET_MAX];
	CHECK_INT(wire_read_answer(text, wire_answer(0, text)), 0);
	CHECK_INT(wire_read_answer(text, wire_answer(ECONNREFUSED, text)), ECONNREFUSED);
	CHECK_ERR(wire_read_answer(text, wire_answer(-1, text)), EPERM);
	static const char *const wrong[] = {
	    "",		"okay",	   "ok ",     "no.",	   "error",	 "error ",
	    "error -1", "error 0", "error x", "error 5 5", "error 4096", "error 11111111111"};
	for (size_t i = 0; i < sizeof(wrong) / sizeof(*wrong); i++)
		if (wire_read_answer(wrong[i], strlen(wrong[i])) != -EBADMSG)
			test_fail(__FILE__, __LINE__, "'%s' is one", wrong[i]);
}
