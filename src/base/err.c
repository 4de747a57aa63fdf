#include "base/err.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* A message often quotes what somebody else wrote, and ends on a terminal: nothing in it may move
 * the cursor or change a title, and a character cut in half at the end of the buffer is dropped. */
static void make_safe(char *msg, size_t cap)
{
	for (unsigned char *p = (unsigned char *)msg; *p; p++) {
		if (*p == '\n' || *p == '\t' || *p == '\r')
			*p = ' ';
		else if (*p < 0x20 || *p == 0x7f)
			*p = '?';
		else if (p[0] == 0xc2 && p[1] >= 0x80 && p[1] < 0xa0)
			p[0] = p[1] = '?';
	}

	size_t len = strlen(msg);
	if (len + 1 < cap)
		return;
	size_t tail = len;
	while (tail > 0 && len - tail < 3 && ((unsigned char)msg[tail - 1] & 0xc0) == 0x80)
		tail--;
	if (tail > 0 && (unsigned char)msg[tail - 1] >= 0xc0)
		msg[tail - 1] = '\0';
}

int err_set(Err *e, int code, const char *fmt, ...)
{
	if (!e)
		return code;
	va_list ap;
	e->code = code;
	va_start(ap, fmt);
	(void)vsnprintf(e->msg, sizeof(e->msg), fmt, ap);
	va_end(ap);
	make_safe(e->msg, sizeof(e->msg));
	return code;
}

int err_wrap(Err *e, int code, const char *fmt, ...)
{
	if (!e)
		return code;
	/* Who reports no words still has a reason: a message never ends at "cannot do this". */
	char inner[sizeof(e->msg)];
	(void)snprintf(inner, sizeof(inner), "%s",
		       e->msg[0]	 ? e->msg
		       : code == -ENOMEM ? "out of memory"
		       : code < 0	 ? strerror(-code)
					 : "");

	va_list ap;
	e->code = code;
	va_start(ap, fmt);
	int n = vsnprintf(e->msg, sizeof(e->msg), fmt, ap);
	va_end(ap);
	if (n > 0 && inner[0] && (size_t)n + 3 <= sizeof(e->msg))
		(void)snprintf(e->msg + n, sizeof(e->msg) - (size_t)n, ": %.*s",
			       (int)(sizeof(e->msg) - (size_t)n - 3), inner);
	make_safe(e->msg, sizeof(e->msg));
	return code;
}

int err_oom(Err *e)
{
	return err_set(e, -ENOMEM, "out of memory");
}

bool err_is_shortage(int code)
{
	switch (-code) {
	case ENOMEM:
	case EMFILE:
	case ENFILE:
	case EAGAIN:
	case EIO:
	case ENOSPC:
	case EDQUOT:
		return true;
	}
	return false;
}
