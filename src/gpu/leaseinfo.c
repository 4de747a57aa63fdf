#include "gpu/leaseinfo.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/json.h"

static const char schema[] = "dream.gpu-lease/v1";

static int procid_parse(const json_t *o, ProcId *ret)
{
	int64_t pid = js_int(o, "pid", 0), start = js_int(o, "start", -1);
	if (pid <= 1 || pid > INT32_MAX || start < 0)
		return -EBADMSG;
	*ret = (ProcId){.pid = (pid_t)pid, .start = (uint64_t)start};
	return 0;
}

static int fields_parse(const json_t *v, LeaseInfo *info)
{
	if (strcmp(js_str(v, "schema", ""), schema) != 0 || procid_parse(v, &info->leader) < 0)
		return -EBADMSG;
	snprintf(info->boot_id, sizeof(info->boot_id), "%s", js_str(v, "boot_id", ""));
	snprintf(info->since, sizeof(info->since), "%s", js_str(v, "since", ""));
	snprintf(info->purpose, sizeof(info->purpose), "%s", js_str(v, "purpose", ""));
	info->released = js_bool(v, "released", false);

	size_t i;
	json_t *child, *children = json_object_get(v, "children");
	json_array_foreach (children, i, child) {
		if (i >= LEASE_CHILDREN_MAX || procid_parse(child, &info->children[i]) < 0)
			return -EBADMSG;
		info->n_children = i + 1;
	}
	return 0;
}

int leaseinfo_parse(const char *text, size_t len, LeaseInfo *ret)
{
	json_auto_t *v = NULL;
	LeaseInfo info = {0};

	int r = js_parse(text, len, LEASE_FILE_MAX, &v, NULL);
	if (r < 0)
		return r == -ENOMEM ? r : -EBADMSG;
	r = fields_parse(v, &info);
	if (r < 0)
		return r;
	*ret = info;
	return 0;
}

int leaseinfo_read(int fd, LeaseInfo *ret)
{
	_cleanup_free_ char *buf = malloc(LEASE_FILE_MAX);
	if (!buf)
		return -ENOMEM;
	ssize_t n = pread(fd, buf, LEASE_FILE_MAX, 0);
	if (n < 0)
		return -errno;
	return leaseinfo_parse(buf, (size_t)n, ret);
}

static json_t *procid_json(const ProcId *id)
{
	return json_pack("{s:I,s:I}", "pid", (json_int_t)id->pid, "start", (json_int_t)id->start);
}

int leaseinfo_write(int fd, const LeaseInfo *info)
{
	_cleanup_(str_done) Str text = STR_INIT;
	bool failed = false;
	json_auto_t *v = procid_json(&info->leader), *list = json_array();

	js_set(v, "schema", json_string(schema), &failed);
	js_set(v, "boot_id", js_text(info->boot_id), &failed);
	js_set(v, "since", js_text(info->since), &failed);
	js_set(v, "purpose", js_text(info->purpose), &failed);
	js_set(v, "released", json_boolean(info->released), &failed);
	for (size_t i = 0; i < info->n_children; i++)
		failed |= json_array_append_new(list, procid_json(&info->children[i])) < 0;
	js_set(v, "children", json_incref(list), &failed);
	if (!v || !list || failed)
		return -ENOMEM;
	js_canonical(v, &text);
	str_addc(&text, '\n');
	if (text.failed)
		return -ENOMEM;

	/* The old text is longer or shorter; a reader in between sees no valid JSON and tries
	 * again. */
	ssize_t n = pwrite(fd, text.s, text.len, 0);
	if (n < 0)
		return -errno;
	if ((size_t)n != text.len)
		return -ENOSPC;
	return ftruncate(fd, (off_t)text.len) < 0 ? -errno : 0;
}
