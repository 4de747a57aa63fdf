#pragma once
/* How a service of production is asked: its address, token, protocol and model, as dream.yaml says
 * them or, where it is silent, as the unit's own command does. */
#include "http/client.h"
#include "server/server.h"
#include "systemd/bus.h"
#include "watch/watch.h"

typedef struct Asker {
	const ServiceSpec *service; /* borrowed */
	const ServerKind *kind;
	ServerRole role;
	Protocol protocol;
	HttpClient *client; /* NULL: it is not asked by HTTP */
	char *model;	    /* "": none is named */
	json_t *ask;	    /* what every LLM request carries */
	uint16_t port;	    /* where it listens on this machine; 0: elsewhere, or not known */
	bool contained;	    /* a container: its processes are not the unit's */
} Asker;

/* `systemd` may be NULL. The model and the address are read anew from the unit each time: a change
 * of its values may change them. */
int asker_open(Systemd *systemd, HttpLoop *http, const WatchedService *s, Asker *ret,
	       Err *err) _must_check_;
void asker_done(Asker *a);
