/* The client without a network: what it is told by who connects for it, and when there is nobody.
 */
#include <errno.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include "connect/connect.h"
#include "peer.h"
#include "test.h"

#define OK_HELLO "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"

/* The time for a connection where an answer comes and is no good: it is asked for again until then.
 */
enum {
	ANSWERED_US = 200000
};

static const Script hello = {.pieces = (const char *const[]){OK_HELLO, NULL}};

static void client_to(Rig *r, const char *host, uint16_t port, int64_t connect_timeout_us)
{
	HttpTarget t = {.host = strdup(host), .port = port, .base = (char[]){""}};
	HttpClientSpec spec = {.target = &t, .connect_timeout_us = connect_timeout_us};
	r->client = httpclient_free(r->client);
	CHECK_OK(httpclient_new(r->http, &spec, &r->client, NULL));
	free(t.host);
}

TEST(a_connection_that_is_kept_is_asked_for_once)
{
	Rig r = RIG_INIT;
	rig_broker(&r, true);
	rig_start(&r, NULL, NULL, &hello, 1);
	for (int i = 0; i < 3; i++) {
		rig_get(&r, "GET", 0);
		CHECK_INT(r.end.fault, HTTP_FINE);
		CHECK_STR(r.body.s, "hello");
		CHECK_INT(r.end.reused, i > 0);
	}
	CHECK_INT(r.peer.connections, 1);
	rig_stop(&r);
}

TEST(any_host_is_this_one)
{
	Rig r = RIG_INIT;
	rig_broker(&r, true);
	rig_start(&r, NULL, NULL, &hello, 1);
	client_to(&r, "0.0.0.0", r.peer.port, 0);
	rig_get(&r, "GET", 0);
	CHECK_INT(r.end.fault, HTTP_FINE);
	rig_stop(&r);
}

TEST(another_host_is_refused_in_words)
{
	Rig r = RIG_INIT;
	rig_broker(&r, true);
	rig_start(&r, NULL, NULL, &hello, 1);
	client_to(&r, "192.0.2.7", 80, 0);
	rig_get(&r, "GET", 0);
	CHECK_INT(r.end.fault, HTTP_CONNECT);
	CHECK_INT(r.end.error, EACCES);
	CHECK(r.end.why && strstr(r.end.why, "loopback"));
	rig_stop(&r);
}

/* It is not there, and no server has heard of us: that is no failure of the server's. */
TEST(without_a_broker_it_is_said_who_is_missing)
{
	Rig r = RIG_INIT;
	rig_broker(&r, true);
	rig_start(&r, NULL, NULL, &hello, 1);
	client_to(&r, "127.0.0.1", r.peer.port, 60000);
	CHECK_OK(unlink(r.broker.path));
	rig_get(&r, "GET", 0);
	CHECK_INT(r.end.fault, HTTP_BROKER);
	CHECK_STR(http_fault_name(r.end.fault), "broker");
	CHECK_INT(r.end.error, ENOENT);
	CHECK(r.end.why && strstr(r.end.why, "dream-connect.socket"));
	CHECK(r.end.end_us - r.end.began_us < 5000000);
	rig_get(&r, "GET", 30000); /* shorter than a connection may take */
	CHECK_INT(r.end.fault, HTTP_BROKER);
	CHECK_INT(r.peer.connections, 0);
	rig_stop(&r);
}

static int on_start(sd_event_source *s, uint64_t usec, void *ctx)
{
	Rig *r = ctx;
	(void)s;
	(void)usec;
	return connectserver_new(r->loop, r->broker.listener, (uid_t)-1, &r->server, NULL);
}

TEST(one_that_begins_late_is_waited_for)
{
	Rig r = RIG_INIT;
	rig_broker(&r, false);
	rig_start(&r, NULL, NULL, &hello, 1);
	CHECK_OK(sd_event_add_time_relative(r.loop, NULL, CLOCK_MONOTONIC, 30000, 1, on_start, &r));
	rig_get(&r, "GET", 0);
	CHECK_INT(r.end.fault, HTTP_FINE);
	rig_stop(&r);
}

TEST(one_that_does_not_answer_is_given_up)
{
	Rig r = RIG_INIT;
	rig_broker(&r, false);
	rig_start(&r, NULL, NULL, &hello, 1);
	client_to(&r, "127.0.0.1", r.peer.port, 50000);
	rig_get(&r, "GET", 0);
	CHECK_INT(r.end.fault, HTTP_BROKER);
	CHECK_INT(r.end.error, ETIMEDOUT);
	CHECK(r.end.why && strstr(r.end.why, "dream-connect"));
	CHECK(r.end.end_us - r.end.began_us >= 50000 && r.end.end_us - r.end.began_us < 5000000);
	rig_stop(&r);
}

/* A broker that is ours for a test: what it says, and closes. */
typedef struct Fake {
	int listener, asked;
	const char *says; /* NULL: nothing */
	int good_after;	  /* so many questions: from then on the Rig's own server is there */
	int file;	  /* handed over with it; 0: none */
	Rig *rig;
} Fake;

static void say(int fd, const char *text, int file)
{
	union {
		struct cmsghdr head;
		char room[CMSG_SPACE(sizeof(int))];
	} control = {0};
	struct iovec io = {.iov_base = (char *)(uintptr_t)text, .iov_len = strlen(text)};
	struct msghdr m = {.msg_iov = &io, .msg_iovlen = 1};
	if (file) {
		m.msg_control = &control;
		m.msg_controllen = sizeof(control);
		control.head = (struct cmsghdr){.cmsg_level = SOL_SOCKET,
						.cmsg_type = SCM_RIGHTS,
						.cmsg_len = CMSG_LEN(sizeof(int))};
		memcpy(CMSG_DATA(&control.head), &file, sizeof(int));
	}
	CHECK(sendmsg(fd, &m, MSG_NOSIGNAL) > 0);
}

static int on_visit(sd_event_source *s, int fd, uint32_t events, void *ctx)
{
	Fake *f = ctx;
	char text[64];
	int visitor = accept4(fd, NULL, NULL, SOCK_CLOEXEC);
	(void)events;
	CHECK(visitor >= 0);
	CHECK(recv(visitor, text, sizeof(text), 0) > 0);
	if (f->says)
		say(visitor, f->says, f->file);
	close(visitor);
	if (++f->asked == f->good_after) {
		CHECK_OK(sd_event_source_set_enabled(s, SD_EVENT_OFF));
		CHECK_OK(
		    connectserver_new(f->rig->loop, f->listener, (uid_t)-1, &f->rig->server, NULL));
	}
	return 0;
}

static void fake(Rig *r, Fake *f, const char *says, int good_after, int64_t connect_timeout_us)
{
	sd_event_source *s = NULL;
	rig_broker(r, false);
	*f = (Fake){
	    .listener = r->broker.listener, .says = says, .good_after = good_after, .rig = r};
	CHECK_OK(sd_event_add_io(r->loop, &s, f->listener, EPOLLIN, on_visit, f));
	CHECK_OK(sd_event_source_set_floating(s, true));
	sd_event_source_unref(s);
	rig_start(r, NULL, NULL, &hello, 1);
	client_to(r, "127.0.0.1", r->peer.port, connect_timeout_us);
}

TEST(one_that_ends_in_the_middle_is_asked_again)
{
	Rig r = RIG_INIT;
	Fake f;
	fake(&r, &f, NULL, 3, 0);
	rig_get(&r, "GET", 0);
	CHECK_INT(r.end.fault, HTTP_FINE);
	CHECK_INT(f.asked, 3);
	CHECK_INT(r.peer.connections, 1);
	rig_stop(&r);
}

TEST(one_that_says_nonsense_is_not_believed)
{
	static const char *const nonsense[] = {
	    "ok", "yes", "error 0", "error 99999",
	    "ok with a long tail that does not fit into any packet that they would send"};
	for (size_t i = 0; i < sizeof(nonsense) / sizeof(*nonsense); i++) {
		Rig r = RIG_INIT;
		Fake f;
		fake(&r, &f, nonsense[i], -1, ANSWERED_US);
		rig_get(&r, "GET", 0);
		CHECK_INT(r.end.fault, HTTP_BROKER);
		CHECK_INT(r.end.error, EBADMSG);
		CHECK(f.asked >= 1 && f.asked < 20);
		rig_stop(&r);
	}
}

TEST(who_may_not_ask_is_told)
{
	Rig r = RIG_INIT;
	Fake f;
	fake(&r, &f, "no", -1, ANSWERED_US);
	rig_get(&r, "GET", 0);
	CHECK_INT(r.end.fault, HTTP_BROKER);
	CHECK_INT(r.end.error, EPERM);
	CHECK(strstr(r.end.why, "user of dream.service"));
	rig_stop(&r);
}

TEST(what_it_could_not_do_is_the_connections_fault)
{
	Rig r = RIG_INIT;
	Fake f;
	fake(&r, &f, "error 113", -1, 0); /* EHOSTUNREACH */
	rig_get(&r, "GET", 0);
	CHECK_INT(r.end.fault, HTTP_CONNECT);
	CHECK_INT(r.end.error, EHOSTUNREACH);
	CHECK_INT(f.asked, 1);
	rig_stop(&r);
}

TEST(a_call_may_be_cancelled_while_it_is_asked_for)
{
	Rig r = RIG_INIT;
	rig_broker(&r, true);
	rig_start(&r, NULL, NULL, &hello, 1);
	int before = bed_count_files();
	for (int turns = 0; turns < 6; turns++) {
		HttpCall *call = rig_call(&r, "GET", "/x", 0);
		for (int i = 0; i < turns && r.done == 0; i++)
			CHECK_OK(sd_event_run(r.loop, 0));
		if (r.done == 0)
			http_cancel(call);
		r.done = 0;
	}
	while (sd_event_run(r.loop, 0) > 0)
		;
	rig_get(&r, "GET", 0);
	CHECK_INT(r.end.fault, HTTP_FINE);
	CHECK(bed_count_files() <= before + 2 * 8);
	rig_stop(&r);
}

TEST(a_unix_socket_needs_nobody)
{
	char path[] = "/tmp/dream-broker-XXXXXX";
	Rig r = RIG_INIT;
	close(mkstemp(path));
	CHECK_OK(unlink(path));
	rig_broker(&r, false);
	rig_start(&r, NULL, path, &hello, 1);
	rig_get(&r, "GET", 0);
	CHECK_INT(r.end.fault, HTTP_FINE);
	rig_stop(&r);
	(void)unlink(path);
}

/* One that was taken over: what is handed over is connected, to somebody else. */
TEST(a_connection_to_another_is_not_used)
{
	int pair[2];
	for (int i = 0; i < 3; i++) {
		Rig r = RIG_INIT;
		Fake f;
		uint16_t port;
		int tcp = bed_port("127.0.0.1", &port);
		struct sockaddr_in a = bed_v4("127.0.0.1", port);
		fake(&r, &f, "ok", -1, ANSWERED_US);
		CHECK_OK(socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
		f.file = i == 0 ? pair[0] : socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
		if (i == 1)
			CHECK_OK(connect(f.file, (struct sockaddr *)&a, sizeof(a)));
		rig_get(&r, "GET", 0);
		CHECK_INT(r.end.fault, HTTP_BROKER);
		CHECK_INT(r.end.sent_us, 0);
		rig_stop(&r);
		close(f.file);
		close(tcp);
		close(pair[1]);
	}
}

/* A port that the kernel gives to whoever connects, where nobody listens: a connection may get its
 * own port, and is connected to itself. */
static int connected_to_itself(uint16_t *ret_port)
{
	struct sockaddr_in a = bed_v4("127.0.0.1", 0);
	socklen_t len = sizeof(a);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	CHECK(fd >= 0);
	CHECK_OK(bind(fd, (struct sockaddr *)&a, sizeof(a)));
	CHECK_OK(getsockname(fd, (struct sockaddr *)&a, &len));
	CHECK_OK(connect(fd, (struct sockaddr *)&a, sizeof(a)));
	*ret_port = ntohs(a.sin_port);
	return fd;
}

TEST(a_connection_to_itself_is_none)
{
	Rig r = RIG_INIT;
	Fake f;
	uint16_t port;
	fake(&r, &f, "ok", -1, 0);
	f.file = connected_to_itself(&port);
	client_to(&r, "127.0.0.1", port, 0);
	rig_get(&r, "GET", 0);
	CHECK_INT(r.end.fault, HTTP_CONNECT);
	CHECK_INT(r.end.error, ECONNREFUSED);
	close(f.file);
	rig_stop(&r);
}
