/* Production as it runs: nothing is started, nothing is stopped, and what is learned holds for what
 * runs. Whose processes they are follows from who listens where the service is asked. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#include "gpu/procid.h"
#include "service/port.h"
#include "worker/internal.h"

/* Only what is an address of this machine can be bound to; in a daemon without a network, none. */
static bool can_bind(int family, const struct sockaddr *address, socklen_t len)
{
	int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	bool ok = fd >= 0 && bind(fd, address, len) == 0;
	if (fd >= 0)
		close(fd);
	return ok;
}

/* The same port of another host is another service. */
static bool is_this_machine(const char *host)
{
	char name[256] = "";
	struct sockaddr_in v4 = {.sin_family = AF_INET};
	struct sockaddr_in6 v6 = {.sin6_family = AF_INET6};
	if (inet_pton(AF_INET, host, &v4.sin_addr) == 1)
		return ntohl(v4.sin_addr.s_addr) >> 24 == IN_LOOPBACKNET ||
		       can_bind(AF_INET, (const struct sockaddr *)&v4, sizeof(v4));
	if (inet_pton(AF_INET6, host, &v6.sin6_addr) == 1)
		return IN6_IS_ADDR_LOOPBACK(&v6.sin6_addr) ||
		       can_bind(AF_INET6, (const struct sockaddr *)&v6, sizeof(v6));
	if (gethostname(name, sizeof(name) - 1) < 0)
		*name = '\0';
	return strcasecmp(host, "localhost") == 0 || strcasecmp(host, name) == 0;
}

/* Who forwards into a container is not who runs there. */
static bool is_forwarder(pid_t pid)
{
	char path[64], name[64];
	(void)snprintf(path, sizeof(path), "/proc/%d/comm", (int)pid);
	if (procfile_read(path, name, sizeof(name)) < 0)
		return false;
	name[strcspn(name, "\n")] = '\0';
	return port_is_forwarder(name);
}

static pid_t listener_of(const Party *p)
{
	HttpTarget target = {0};
	pid_t pid = 0;
	if (httptarget_parse(p->url, &target, NULL) >= 0 && target.port && target.host &&
	    is_this_machine(target.host) && !port_is_taken(target.port, &pid))
		pid = 0;
	httptarget_done(&target);
	return pid > 0 && is_forwarder(pid) ? 0 : pid;
}

static bool is_service(const char *cgroup)
{
	size_t n = strlen(cgroup);
	return n > 8 && strcmp(cgroup + n - 8, ".service") == 0;
}

/* The whole unit where there is one: a server's workers need not descend from who listens. */
static int find_owner(Party *p, Err *err)
{
	pid_t pid = listener_of(p);
	_cleanup_free_ char *cgroup = NULL;
	if (pid <= 0)
		return 0; /* on another host, or not ours to see: its processes are not known */
	if (process_cgroup(pid, &cgroup) < 0)
		return err_oom(err);
	p->owner = (Owner){.name = p->spec->name, .leader = pid};
	if (is_service(cgroup))
		p->owner.cgroup = TAKE_PTR(cgroup);
	return 0;
}

static int open_client(Worker *w, Party *p, Err *err)
{
	HttpTarget target = {0};
	int r = httptarget_parse(p->url, &target, err);
	HttpClientSpec spec = {.target = &target, .token = p->token};
	if (r >= 0)
		r = httpclient_new(w->http, &spec, &p->client, err);
	httptarget_done(&target);
	return r;
}

static int observe(Worker *w, Party *p, Err *err)
{
	int r = open_client(w, p, err);
	if (r >= 0)
		r = find_owner(p, err);
	if (r < 0 || p->owner.leader <= 0)
		return r;
	if (w->sampler) {
		p->sampled = sampler_add(w->sampler, &p->owner);
		if (p->sampled >= 0)
			sampler_ready(w->sampler, p->sampled);
	}
	return party_note(p) < 0 ? err_oom(err) : 0;
}

int parties_observe(Worker *w, Err *err)
{
	for (size_t i = 0; i < w->n_parties && !w->over; i++) {
		Party *p = &w->parties[i];
		int r = observe(w, p, err);
		if (r < 0)
			return r;
		p->was_ready = true;
		p->wants_gpu = w->job.lease_fd >= 0 && !p->spec->cpu && p->owner.leader > 0;
		party_prove(w, p);
	}
	return 0;
}
