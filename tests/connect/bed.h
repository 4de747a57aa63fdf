#pragma once
/* The broker behind a socket in a folder of its own, and ports to connect to. */
#include <netinet/in.h>
#include <stdint.h>
#include <systemd/sd-event.h>

typedef struct Bed {
	char dir[64], path[96];
	int listener; /* the broker's */
} Bed;

void bed_start(Bed *b); /* a bound, listening, non-blocking socket; nobody accepts yet */
void bed_stop(Bed *b);
int bed_visit(const Bed *b);			    /* a connection to it, non-blocking */
void bed_say(int fd, const char *text);		    /* a packet */
int bed_port(const char *host, uint16_t *ret_port); /* a listening TCP socket there; -1: cannot */
struct sockaddr_in bed_v4(const char *host, uint16_t port);
int bed_count_files(void); /* open descriptors of this process */
