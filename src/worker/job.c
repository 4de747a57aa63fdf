/* The request, read and checked: it comes from our own program, and is judged like anything else
 * from outside. */
#include <errno.h>
#include <string.h>

#include "base/json.h"
#include "worker/internal.h"

enum {
	REQUEST_MAX = 8 << 20,
};

/* JSON that conf_dump() wrote is YAML that the same table reads. */
static int fill(const ConfTable *table, const json_t *from, void *target, Err *err)
{
	_cleanup_(conf_freep) ConfDoc *doc = NULL;
	_cleanup_(diags_done) Diags d = DIAGS_INIT;
	_cleanup_(str_done) Str text = STR_INIT;

	js_canonical(from, &text);
	if (text.failed)
		return err_oom(err);
	int r = conf_read_text("the request", text.s, text.len, &doc, &d, err);
	if (r >= 0)
		r = conf_fill(table, conf_root(doc), target, &d);
	if (r < 0)
		return err_wrap(err, r, "cannot read the request's %s", table->name);
	return d.errors == 0 ? 0
			     : err_set(err, -EBADMSG, "the request's %s cannot be used: %s",
				       table->name, d.n > 0 ? d.items[0].what : "");
}

static int read_services(Job *j, const json_t *list, Err *err)
{
	size_t n = json_array_size(list);
	if (n == 0 || n > PARTIES_MAX)
		return err_set(err, -EBADMSG,
			       "a trial needs 1 to %d services in `services:`, not %zu",
			       PARTIES_MAX, n);
	j->services = calloc(n, sizeof(*j->services));
	if (!j->services)
		return err_oom(err);
	for (size_t i = 0; i < n; i++) {
		int r = fill(&service_table, json_array_get(list, i), &j->services[i], err);
		j->n_services++;
		if (r < 0)
			return r;
	}
	return 0;
}

static int read_workload(Job *j, const json_t *from, Err *err)
{
	if (!from)
		return 0;
	j->workload = calloc(1, sizeof(*j->workload));
	return j->workload ? fill(&workload_table, from, j->workload, err) : err_oom(err);
}

static int read_orders(Job *j, const json_t *orders, Err *err)
{
	const char *dir = js_str(orders, "base_dir", NULL);
	if (!dir)
		return err_set(err, -EBADMSG,
			       "this is no request of `dream run`: the worker is started by it");
	j->base_dir = strdup(dir);
	if (!j->base_dir)
		return err_oom(err);
	j->lease_fd = (int)js_int(orders, "lease_fd", -1);
	int r = fill(&evaluator_table, json_object_get(orders, "options"), &j->spec, err);
	if (r >= 0)
		r = read_services(j, json_object_get(orders, "services"), err);
	return r < 0 ? r : read_workload(j, json_object_get(orders, "workload"), err);
}

int job_read(const char *text, size_t len, Job *ret, Err *err)
{
	Job j = {.lease_fd = -1};
	int r = js_parse(text, len, REQUEST_MAX, &j.request, err);
	if (r < 0)
		return err_wrap(err, r, "cannot read the request");
	j.params = json_object_get(j.request, "params");
	j.gpu_uuid = js_str(json_object_get(j.request, "gpu"), "uuid", NULL);
	j.all_services = js_bool(j.request, "all_services", false);
	j.seed = (uint64_t)js_int(j.request, "seed", 0);
	j.timeout_us =
	    (int64_t)(js_num(json_object_get(j.request, "budget"), "timeout_ms", 0) * 1e3);
	if (!json_is_object(j.params) || j.timeout_us <= 0)
		r = err_set(err, -EBADMSG, "the request has no params or no budget");
	if (r >= 0)
		r = read_orders(&j, json_object_get(j.request, "evaluator"), err);
	if (r < 0) {
		job_done(&j);
		return r;
	}
	*ret = j;
	return 0;
}

void job_done(Job *j)
{
	for (size_t i = 0; i < j->n_services; i++)
		conf_done(&service_table, &j->services[i]);
	free(j->services);
	if (j->workload)
		conf_done(&workload_table, j->workload);
	free(j->workload);
	conf_done(&evaluator_table, &j->spec);
	free(j->base_dir);
	json_decref(j->request);
	*j = (Job){.lease_fd = -1};
}
