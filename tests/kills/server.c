/* A service of a few kilobytes that starts in a millisecond and answers every request: so that a test can restart it
 * hundreds of times. Its parameters are variables, of which it understands one value: LEVEL=9 does not start. An answer
 * takes 10 to 30 ms, each drawn for itself, so that a busy machine is not all that the judge sees. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static const char answer[] = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 3\r\n"
			     "Connection: close\r\n\r\nyes";

/* Its head is all that a request has. */
static void serve(int fd)
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
	const struct timespec takes = {.tv_nsec = 10000000 + (long)(drand48() * 20e6)};
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
		serve(client);
		(void)shutdown(client, SHUT_WR);
		close(client);
	}
}
