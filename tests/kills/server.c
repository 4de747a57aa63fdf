/* A service of a few kilobytes that starts in a millisecond and answers every request: so that a
 * test can restart it hundreds of times. Its parameters are variables: the greater MODE and LEVEL,
 * the sooner it answers, which each time takes a time of its own, so that a busy machine is not all
 * that is seen. With LEVEL=9 it does not start. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static const char answer[] = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 3\r\n"
			     "Connection: close\r\n\r\nyes";

static double number(const char *variable)
{
	const char *text = getenv(variable);
	long n = text ? strtol(text, NULL, 10) : 1;
	return n > 0 && n < 10 ? (double)n : 1;
}

/* Its head is all that a request has. */
static void serve(int fd, double usual_ns)
{
	char head[8192];
	size_t n = 0;
	struct timeval limit = {.tv_sec = 2};
	(void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	while (n < sizeof(head) - 1) {
		ssize_t got = read(fd, head + n, sizeof(head) - 1 - n);
		if (got <= 0)
			return;
		n += (size_t)got;
		head[n] = '\0';
		if (strstr(head, "\r\n\r\n"))
			break;
	}
	const struct timespec takes = {.tv_nsec = (long)(usual_ns * (0.5 + drand48()))};
	(void)nanosleep(&takes, NULL);
	(void)!write(fd, answer, sizeof(answer) - 1);
}

static int listen_at(const char *port)
{
	const int yes = 1;
	const struct sockaddr_in at = {.sin_family = AF_INET,
				       .sin_port = htons((uint16_t)strtol(port, NULL, 10)),
				       .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes)) < 0 ||
	    bind(fd, (const struct sockaddr *)&at, sizeof(at)) < 0 || listen(fd, 64) < 0)
		return -1;
	return fd;
}

int main(int argc, char **argv)
{
	const char *level = getenv("LEVEL");
	if (argc != 2 || (level && strcmp(level, "9") == 0))
		return 1;
	int fd = listen_at(argv[1]);
	if (fd < 0)
		return 2;
	srand48(getpid());
	for (;;) {
		int client = accept(fd, NULL, NULL);
		if (client < 0)
			continue;
		serve(client, 60e6 / (number("MODE") * number("LEVEL")));
		(void)shutdown(client, SHUT_WR);
		close(client);
	}
}
