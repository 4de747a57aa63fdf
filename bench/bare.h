#pragma once
/* The least that a client can do: blocking on epoll, one recv a packet, a search for the time in
 * each token, no HTTP. What it needs is the machine's price; the rest of ours is what we add. */
#include <stddef.h>
#include <stdint.h>

/* CPU of one request, microseconds; each of `at_once` connections asks again when it is answered.
 */
double bare_unary(uint16_t port, int64_t requests, int at_once);
/* CPU of one event. ret_late_us: how much later than its stamp each was seen, `*ret_n` of them. */
double bare_stream(uint16_t port, int streams, double *ret_late_us, size_t *ret_n);
