/* The environment of an evaluator. It is ours, since an evaluator is a program of the user's; but
 * DREAM_* is where our own secrets may be (a store's password, a key), all but who connects for it
 * where there is no network, and which GPU it may see is decided by the lease. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/strings.h"
#include "connect/connect.h"
#include "eval/internal.h"

char **eval_strings_copy(const char *const *items, size_t n)
{
	char **list = calloc(n + 1, sizeof(*list));
	for (size_t i = 0; list && i < n; i++) {
		list[i] = strdup(items[i]);
		if (!list[i]) {
			strings_free(list);
			return NULL;
		}
	}
	return list;
}

typedef struct EnvList {
	char **items;
	size_t n, size;
	bool failed;
} EnvList;

static void add(EnvList *l, char *entry)
{
	if (!entry || l->n + 1 >= l->size) {
		l->failed = true;
		free(entry);
		return;
	}
	l->items[l->n++] = entry;
}

static bool names(const char *entry, const char *name)
{
	size_t n = strlen(name);
	return strncmp(entry, name, n) == 0 && entry[n] == '=';
}

static bool is_set_in(char *const *env, const char *name)
{
	for (; env && *env; env++)
		if (names(*env, name))
			return true;
	return false;
}

const char *eval_leased_gpu(const EvalRequest *rq)
{
	const char *gpu = rq->lease ? rq->gpu_uuid : NULL;
	bool uuid = gpu && (strncmp(gpu, "GPU-", 4) == 0 || strncmp(gpu, "MIG-", 4) == 0);
	return uuid ? gpu : NULL;
}

/* Without a lease there is no right to a GPU: it sees none, unless the configuration says so. */
static void add_gpu(EnvList *l, const ChildSpec *c, const EvalRequest *rq)
{
	const char *gpu = eval_leased_gpu(rq);
	if (gpu)
		add(l, str_fmt("CUDA_VISIBLE_DEVICES=%s", gpu));
	else if (!rq->lease && !is_set_in(c->env, "CUDA_VISIBLE_DEVICES"))
		add(l, strdup("CUDA_VISIBLE_DEVICES="));
	if (rq->lease && !is_set_in(c->env, "CUDA_DEVICE_ORDER"))
		add(l, strdup("CUDA_DEVICE_ORDER=PCI_BUS_ID"));
}

int eval_environment(const ChildSpec *c, const EvalRequest *rq, char ***ret, Err *err)
{
	bool gpu_decided = eval_leased_gpu(rq) != NULL;
	EnvList l = {.size = strings_count(c->env) + strings_count(environ) + 3};

	l.items = calloc(l.size, sizeof(*l.items));
	if (!l.items)
		return err_oom(err);
	for (char **e = environ; e && *e; e++)
		if (strncmp(*e, "DREAM_", 6) == 0 && !names(*e, CONNECT_VARIABLE))
			add(&l, strndup(*e, strcspn(*e, "=")));
	for (char **e = c->env; e && *e; e++)
		if (!gpu_decided || !names(*e, "CUDA_VISIBLE_DEVICES"))
			add(&l, strdup(*e));
	add_gpu(&l, c, rq);
	if (l.failed) {
		strings_free(l.items);
		return err_oom(err);
	}
	*ret = l.items;
	return 0;
}
