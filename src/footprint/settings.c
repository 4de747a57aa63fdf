/* Reading a service's settings with the types that its server gives them. */
#include "footprint/settings.h"

#include <errno.h>
#include <math.h>
#include <string.h>

static int setting_int(const char *service, const json_t *settings, const char *name, int64_t *ret,
		       Err *err)
{
	const json_t *v = json_object_get(settings, name);

	*ret = 0;
	if (!v || json_is_null(v))
		return 0;
	if (!json_is_integer(v) || json_integer_value(v) < 1)
		return err_set(err, -EINVAL,
			       "setting %s of service %s must be a whole number from 1", name,
			       service);
	*ret = json_integer_value(v);
	return 0;
}

int setting_text(const char *service, const json_t *settings, const char *name, const char **ret,
		 Err *err)
{
	const json_t *v = json_object_get(settings, name);

	*ret = NULL;
	if (!v || json_is_null(v))
		return 0;
	if (!json_is_string(v))
		return err_set(err, -EINVAL, "setting %s of service %s must be a text", name,
			       service);
	*ret = json_string_value(v);
	return 0;
}

/* NAN: not said. */
static int setting_share(const char *service, const json_t *settings, double *ret, Err *err)
{
	const json_t *v = json_object_get(settings, "gpu_memory_utilization");

	*ret = (double)NAN;
	if (!v || json_is_null(v))
		return 0;
	double share = json_is_number(v) ? json_number_value(v) : (double)NAN;
	if (!(share > 0 && share <= 1))
		return err_set(
		    err, -EINVAL,
		    "setting gpu_memory_utilization of service %s must be a number above 0 "
		    "and at most 1",
		    service);
	*ret = share;
	return 0;
}

int ask_read(const ServiceSpec *s, const json_t *settings, VllmAsk *ret, Err *err)
{
	const char *model, *dtype, *service = s->name;
	VllmKey k = {.version = s->version};
	int r;

	if ((r = setting_text(service, settings, "model", &model, err)) < 0 ||
	    (r = setting_text(service, settings, "kv_cache_dtype", &dtype, err)) < 0 ||
	    (r = setting_int(service, settings, "max_model_len", &k.max_model_len, err)) < 0 ||
	    (r = setting_int(service, settings, "max_num_seqs", &k.max_num_seqs, err)) < 0 ||
	    (r = setting_int(service, settings, "max_num_batched_tokens", &k.max_num_batched_tokens,
			     err)) < 0 ||
	    (r = setting_share(service, settings, &ret->share, err)) < 0)
		return r;
	const json_t *eager = json_object_get(settings, "enforce_eager");
	if (eager && !json_is_boolean(eager))
		return err_set(err, -EINVAL,
			       "setting enforce_eager of service %s must be true or "
			       "false",
			       service);
	k.enforce_eager = json_is_true(eager);
	/* Borrowed: the key is only compared. */
	memcpy(&k.model, &model, sizeof(model));
	memcpy(&k.kv_cache_dtype, &dtype, sizeof(dtype));
	ret->key = k;
	return 0;
}
