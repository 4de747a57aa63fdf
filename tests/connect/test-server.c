/* The side that has the network, against clients that do what they should not. Client and server
 * are on one event loop. */
#include <errno.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bed.h"
#include "connect/connect.h"
#include "connect/server.h"
#include "test.h"

enum {
	TURNS_MAX = 1000,
	OTHER_USER = 65534,
};

typedef struct Scene {
	Bed bed;
	sd_event *loop;
	ConnectServer *server;
} Scene;

static void scene_open(Scene *s)
{
	bed_start(&s->bed);
	CHECK_OK(sd_event_new(&s->loop));
	CHECK_OK(connectserver_new(s->loop, s->bed.listener, (uid_t)-1, &s->server, NULL));
}

static void scene_close(Scene *s)
{
	connectserver_free(s->server);
	sd_event_unref(s->loop);
	bed_stop(&s->bed);
}

/* Until nothing is left to do. */
static void settle(Scene *s)
{
	int turns = 0;
	while (sd_event_run(s->loop, 0) > 0)
		CHECK(turns++ < TURNS_MAX);
}

static int answer_to(Scene *s, const char *text)
{
	int fd = bed_visit(&s->bed), got = -1;
	bed_say(fd, text);
	settle(s);
	int r = connect_answer(fd, &got);
	if (r == 0)
		close(got);
	close(fd);
	return r;
}

static int connect_through(Scene *s, const struct sockaddr *to, int *ret)
{
	int fd = -1;
	CHECK_OK(connect_ask(s->bed.path, to, &fd));
	CHECK_ERR(connect_answer(fd, ret), EAGAIN);
	settle(s);
	int r = connect_answer(fd, ret);
	close(fd);
	return r;
}

static int error_of(int fd)
{
	struct pollfd p = {.fd = fd, .events = POLLOUT};
	int error = 0;
	socklen_t len = sizeof(error);
	CHECK_INT(poll(&p, 1, 5000), 1);
	CHECK_OK(getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len));
	return error;
}

TEST(a_connection_is_handed_over)
{
	Scene s;
	uint16_t port;
	int tcp = bed_port("127.0.0.1", &port), fd = -1;
	scene_open(&s);
	struct sockaddr_in to = bed_v4("127.0.0.1", port);
	CHECK_INT(connect_through(&s, (const struct sockaddr *)&to, &fd), 0);
	CHECK_INT(error_of(fd), 0);
	int other = accept(tcp, NULL, NULL);
	char c = 0;
	CHECK(other >= 0);
	CHECK_INT(send(other, "x", 1, 0), 1);
	CHECK_INT(error_of(fd), 0);
	struct pollfd p = {.fd = fd, .events = POLLIN};
	CHECK_INT(poll(&p, 1, 5000), 1);
	CHECK_INT(recv(fd, &c, 1, 0), 1);
	CHECK_INT(c, 'x');
	CHECK_INT(recv(fd, &c, 1, 0), -1); /* it does not block */
	CHECK_INT(errno, EAGAIN);
	close(other);
	close(fd);
	close(tcp);
	scene_close(&s);
}

TEST(of_version_6_too)
{
	Scene s;
	uint16_t port;
	int fd = -1, tcp = bed_port("::1", &port);
	if (tcp < 0)
		SKIP("there is no IPv6 here");
	scene_open(&s);
	struct sockaddr_in6 to = {
	    .sin6_family = AF_INET6, .sin6_port = htons(port), .sin6_addr = in6addr_loopback};
	CHECK_INT(connect_through(&s, (const struct sockaddr *)&to, &fd), 0);
	CHECK_INT(error_of(fd), 0);
	close(fd);
	to.sin6_addr = in6addr_any;
	CHECK_INT(connect_through(&s, (const struct sockaddr *)&to, &fd), EACCES);
	close(tcp);
	scene_close(&s);
}

/* As of connect(): where nobody listens is told by the socket. */
TEST(a_port_where_nobody_listens)
{
	Scene s;
	uint16_t port;
	int fd = -1;
	close(bed_port("127.0.0.1", &port));
	scene_open(&s);
	struct sockaddr_in to = bed_v4("127.0.0.1", port);
	CHECK_INT(connect_through(&s, (const struct sockaddr *)&to, &fd), 0);
	CHECK_INT(error_of(fd), ECONNREFUSED);
	close(fd);
	scene_close(&s);
}

TEST(another_address_is_refused)
{
	Scene s;
	int fd = -1;
	scene_open(&s);
	struct sockaddr_in to = bed_v4("192.0.2.1", 80);
	CHECK_INT(connect_through(&s, (const struct sockaddr *)&to, &fd), EACCES);
	to = bed_v4("128.0.0.1", 80);
	CHECK_INT(connect_through(&s, (const struct sockaddr *)&to, &fd), EACCES);
	to = bed_v4("0.0.0.0", 80);
	CHECK_INT(connect_through(&s, (const struct sockaddr *)&to, &fd), EACCES);
	CHECK_INT(answer_to(&s, "connect fe80::1 80"), EACCES);
	scene_close(&s);
}

TEST(what_is_no_question_is_refused_and_the_next_is_heard)
{
	static const char *const wrong[] = {
	    "x",	"connect 127.0.0.1 0",	 "connect 127.0.0.1", "free",
	    "tables 1", "GET / HTTP/1.1\r\n\r\n"};
	char text[70000];
	Scene s;
	scene_open(&s);
	for (size_t i = 0; i < sizeof(wrong) / sizeof(*wrong); i++)
		CHECK_INT(answer_to(&s, wrong[i]), EBADMSG);
	memset(text, 'a', sizeof(text) - 1);
	for (size_t n = 65; n < sizeof(text); n = n * 10 + 1) {
		text[n] = '\0';
		CHECK_INT(answer_to(&s, text), EMSGSIZE);
		text[n] = 'a';
	}
	CHECK_INT(answer_to(&s, "connect 127.0.0.1 1"), 0);
	scene_close(&s);
}

TEST(whoever_says_nothing_is_dropped_when_too_many_do)
{
	enum {
		MANY = 200
	};
	Scene s;
	int fds[MANY], dropped = 0, got = -1;
	scene_open(&s);
	int before = bed_count_files();
	for (int i = 0; i < MANY; i++)
		fds[i] = bed_visit(&s.bed);
	settle(&s);
	CHECK(bed_count_files() - before <= MANY + 64 + 1); /* and the loop's timer */
	for (int i = 0; i < MANY; i++)
		dropped += connect_answer(fds[i], &got) == -ECONNRESET;
	CHECK_INT(dropped, MANY - 64);
	CHECK_ERR(connect_answer(fds[MANY - 1], &got), EAGAIN); /* who came last has its time */
	CHECK_INT(answer_to(&s, "free 0"), EBADMSG);		/* and others are heard meanwhile */
	for (int i = 0; i < MANY; i++)
		close(fds[i]);
	settle(&s);
	CHECK(bed_count_files() <= before + 1);
	scene_close(&s);
}

TEST(whoever_says_it_late_is_heard_too)
{
	Scene s;
	uint16_t port;
	char text[64];
	int tcp = bed_port("127.0.0.1", &port), got = -1;
	scene_open(&s);
	int fd = bed_visit(&s.bed);
	settle(&s);
	snprintf(text, sizeof(text), "connect 127.0.0.1 %u", (unsigned)port);
	bed_say(fd, text);
	settle(&s);
	CHECK_OK(connect_answer(fd, &got));
	close(got);
	CHECK_ERR(connect_answer(fd, &got), ECONNRESET); /* one question a connection */
	close(fd);
	close(tcp);
	scene_close(&s);
}

TEST(who_says_nothing_at_all_is_dropped_in_time)
{
	Scene s;
	int got = -1;
	scene_open(&s);
	int fd = bed_visit(&s.bed);
	settle(&s);
	CHECK_ERR(connect_answer(fd, &got), EAGAIN);
	CHECK(sd_event_run(s.loop, 10000000) > 0); /* nothing can happen but its time being over */
	CHECK_ERR(connect_answer(fd, &got), ECONNRESET);
	close(fd);
	scene_close(&s);
}

TEST(whoever_leaves_before_the_answer_leaves_nothing)
{
	Scene s;
	uint16_t port;
	char text[64];
	int tcp = bed_port("127.0.0.1", &port);
	scene_open(&s);
	snprintf(text, sizeof(text), "connect 127.0.0.1 %u", (unsigned)port);
	int before = bed_count_files();
	for (int i = 0; i < 100; i++) {
		int fd = bed_visit(&s.bed);
		bed_say(fd, i % 2 ? text : "tables");
		close(fd);
	}
	settle(&s);
	CHECK_INT(bed_count_files(), before);
	close(tcp);
	scene_close(&s);
}

TEST(descriptors_that_are_sent_along_are_not_taken)
{
	Scene s;
	scene_open(&s);
	int before = bed_count_files(), mine[2] = {0, 1};
	union {
		struct cmsghdr head;
		char room[CMSG_SPACE(sizeof(mine))];
	} control = {0};
	struct iovec io = {.iov_base = (char[]){"free 0"}, .iov_len = 6};
	struct msghdr m = {.msg_iov = &io,
			   .msg_iovlen = 1,
			   .msg_control = &control,
			   .msg_controllen = sizeof(control)};
	control.head = (struct cmsghdr){
	    .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS, .cmsg_len = CMSG_LEN(sizeof(mine))};
	memcpy(CMSG_DATA(&control.head), mine, sizeof(mine));
	int fd = bed_visit(&s.bed), got = -1;
	CHECK_INT(sendmsg(fd, &m, 0), 6);
	settle(&s);
	CHECK_INT(connect_answer(fd, &got), EBADMSG);
	close(fd);
	CHECK_INT(bed_count_files(), before);
	scene_close(&s);
}

/* 0: it was told no. Runs as another user; nothing is left of it. */
static int ask_as_another(const Bed *b)
{
	struct sockaddr_in to = bed_v4("127.0.0.1", 80);
	int fd = -1, got = -1;
	if (setgid(OTHER_USER) < 0 || setuid(OTHER_USER) < 0)
		return 2;
	if (connect_ask(b->path, (const struct sockaddr *)&to, &fd) < 0)
		return 3;
	struct pollfd p = {.fd = fd, .events = POLLIN};
	(void)poll(&p, 1, 5000);
	return connect_answer(fd, &got) == -EPERM ? 0 : 4;
}

TEST(another_user_is_told_no)
{
	Scene s;
	int status = -1;
	if (geteuid() != 0)
		SKIP("only root can be another user");
	scene_open(&s);
	CHECK_OK(chown(s.bed.dir, OTHER_USER, OTHER_USER));
	CHECK_OK(chown(s.bed.path, OTHER_USER, OTHER_USER));
	pid_t pid = fork();
	if (pid == 0)
		_exit(ask_as_another(&s.bed));
	while (waitpid(pid, &status, WNOHANG) == 0)
		(void)sd_event_run(s.loop, 10000);
	CHECK(WIFEXITED(status));
	CHECK_INT(WEXITSTATUS(status), 0);
	scene_close(&s);
}
