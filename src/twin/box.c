#include "twin/box.h"

#include <string.h>

enum {
	TENANTS_MAX = 16,
};

static void check_size(const Box *b, const ConfNode *root, Diags *d)
{
	int64_t resident = 0;
	if (b->tenants.n > TENANTS_MAX) {
		conf_fault(conf_get(root, "tenants"), d, "at most 16", "the box has %zu tenants",
			   b->tenants.n);
		return;
	}
	const Tenant *tenants = b->tenants.items;
	for (size_t i = 0; i < b->tenants.n; i++)
		resident += tenants[i].bytes;
	if (resident > b->gpu.total_bytes)
		conf_fault(conf_get(root, "tenants"), d, "tenants that fit on the card",
			   "the tenants hold %lld bytes, the card has %lld", (long long)resident,
			   (long long)b->gpu.total_bytes);
}

int box_load(const char *path, Box **ret, Diags *d, Err *err)
{
	_cleanup_(conf_freep) ConfDoc *doc = NULL;
	size_t before = d->errors; /* a key that is there twice is a mistake only there */
	int r = conf_read_file(path, &doc, d, err);
	if (r < 0)
		return r;
	_cleanup_(box_freep) Box *b = calloc(1, sizeof(*b));
	if (!b)
		return err_oom(err);
	r = conf_fill(box_table(), conf_root(doc), b, d);
	if (r < 0)
		return err_wrap(err, r, "cannot read the box %s", path);
	if (d->errors == before)
		check_size(b, conf_root(doc), d);
	if (d->errors > before)
		return err_set(err, -EBADMSG, "the box %s has %zu mistakes", path,
			       d->errors - before);
	*ret = TAKE_PTR(b);
	return 0;
}

Box *box_free(Box *b)
{
	if (b)
		conf_done(box_table(), b);
	free(b);
	return NULL;
}

const char *box_name(const Box *b)
{
	return b->name;
}

const char *box_gpu_uuid(const Box *b)
{
	return b->gpu.uuid;
}

const LlmModel *box_llm(const Box *b, const char *name)
{
	const LlmModel *m = b->llm.items;
	for (size_t i = 0; i < b->llm.n; i++)
		if (strcmp(m[i].name, name) == 0)
			return &m[i];
	return NULL;
}

const WhisperModel *box_whisper(const Box *b, const char *name)
{
	const WhisperModel *m = b->whisper.models.items;
	for (size_t i = 0; i < b->whisper.models.n; i++)
		if (strcmp(m[i].name, name) == 0)
			return &m[i];
	return NULL;
}

const Tenant *box_tenant(const Box *b, const char *name)
{
	const Tenant *t = b->tenants.items;
	for (size_t i = 0; i < b->tenants.n; i++)
		if (strcmp(t[i].name, name) == 0)
			return &t[i];
	return NULL;
}
