/* Who is at the other end of a connection, and may they decide. The kernel says the uid; what the
 * account is allowed is looked up each time, so that whoever leaves the group loses the right at
 * once. The groups of the process are not asked: they are what they were when somebody logged in.
 */
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "control/internal.h"

enum {
	NAMES_MAX = 1 << 20, /* of one entry of the group file */
	GROUPS_MAX = 1 << 16,
};

gid_t group_id(const char *name)
{
	for (size_t size = 4096; size <= NAMES_MAX; size *= 4) {
		_cleanup_free_ char *buf = malloc(size);
		struct group g, *found = NULL;
		if (!buf)
			break;
		int r = getgrnam_r(name, &g, buf, size, &found);
		if (r == ERANGE)
			continue;
		return r == 0 && found ? g.gr_gid : (gid_t)-1;
	}
	return (gid_t)-1;
}

bool peer_decides(uid_t uid, uid_t own, gid_t group, const gid_t *groups, size_t n)
{
	if (uid == 0 || uid == own)
		return true;
	for (size_t i = 0; group != (gid_t)-1 && i < n; i++)
		if (groups[i] == group)
			return true;
	return false;
}

static bool in_group(const char *account, gid_t primary, uid_t uid, gid_t group)
{
	for (int n = 64; n <= GROUPS_MAX; n *= 4) {
		_cleanup_free_ gid_t *list = calloc((size_t)n, sizeof(*list));
		int have = n;
		if (!list)
			return false;
		if (getgrouplist(account, primary, list, &have) >= 0)
			return peer_decides(uid, geteuid(), group, list, (size_t)have);
	}
	return false;
}

void peer_look(const struct ucred *peer, const char *approvers, ControlPeer *ret)
{
	char buf[16384];
	struct passwd pw, *found = NULL;
	*ret = (ControlPeer){.uid = peer->uid, .gid = peer->gid, .pid = peer->pid};
	ret->approver = peer_decides(peer->uid, geteuid(), (gid_t)-1, NULL, 0);
	if (getpwuid_r(peer->uid, &pw, buf, sizeof(buf), &found) != 0 || !found) {
		(void)snprintf(ret->name, sizeof(ret->name), "uid %u", (unsigned)peer->uid);
		return;
	}
	(void)snprintf(ret->name, sizeof(ret->name), "%s", pw.pw_name);
	gid_t group = approvers && !ret->approver ? group_id(approvers) : (gid_t)-1;
	if (group != (gid_t)-1)
		ret->approver = in_group(pw.pw_name, pw.pw_gid, peer->uid, group);
}
