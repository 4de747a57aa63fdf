#include "http/client.h"

static const char *const names[] = {
    [HTTP_FINE] = "fine",	    [HTTP_RESOLVE] = "resolve",
    [HTTP_CONNECT] = "connect",	    [HTTP_TLS] = "tls",
    [HTTP_TIMEOUT] = "timeout",	    [HTTP_CLOSED] = "closed",
    [HTTP_TRUNCATED] = "truncated", [HTTP_GARBAGE] = "bad_http",
    [HTTP_BROKER] = "broker",	    [HTTP_NO_PORT] = "no_port",
};

const char *http_fault_name(HttpFault f)
{
	return (unsigned)f < HTTP_FAULT_MAX_ ? names[f] : "unknown";
}
