/* What anybody may say to dream-connect: only loopback comes out, and what comes out is written and
 * read again the same. Its answers likewise. */
#include <errno.h>
#include <string.h>

#include "connect/wire.h"
#include "fuzz.h"

static void check_address(const WireQuestion *q)
{
	if (q->to.any.sa_family == AF_INET) {
		MUST(ntohl(q->to.v4.sin_addr.s_addr) >> 24 == 127);
		MUST(q->to.v4.sin_port != 0);
		return;
	}
	MUST(q->to.any.sa_family == AF_INET6);
	MUST(memcmp(&q->to.v6.sin6_addr, &in6addr_loopback, sizeof(in6addr_loopback)) == 0);
	MUST(q->to.v6.sin6_port != 0 && q->to.v6.sin6_scope_id == 0);
}

static void question(const char *text, size_t len)
{
	WireQuestion q, again;
	char back[WIRE_PACKET_MAX];
	size_t n = 0;
	int r = wire_read_question(text, len, &q);
	MUST(r == 0 || r == -EBADMSG || r == -EACCES);
	if (r < 0)
		return;
	MUST(len <= WIRE_PACKET_MAX);
	if (q.verb == WIRE_CONNECT)
		check_address(&q);
	else
		MUST(q.verb == WIRE_TABLES || (q.verb == WIRE_FREE && q.port != 0));
	MUST(wire_question(&q, back, &n) == 0 && n <= WIRE_PACKET_MAX);
	MUST(wire_read_question(back, n, &again) == 0);
	MUST(memcmp(&q, &again, sizeof(q)) == 0);
}

static void answer(const char *text, size_t len)
{
	char back[WIRE_PACKET_MAX];
	int r = wire_read_answer(text, len);
	MUST(r == -EBADMSG || r == -EPERM || (r >= 0 && r <= 4095));
	if (r != -EBADMSG)
		MUST(wire_read_answer(back, wire_answer(r, back)) == r);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	question((const char *)data, size);
	answer((const char *)data, size);
	return 0;
}
