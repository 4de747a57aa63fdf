#include "twin/fault.h"

#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "conf/conf.h"

const char faults_help[] = "  slow-start=TIME   the start takes that much longer (30s)\n"
			   "  hang-start        the start never ends\n"
			   "  crash-start       the start ends by SIGSEGV\n"
			   "  exit-code=N       the start ends with that code\n"
			   "  crash-at=TIME     SIGSEGV that long after it was ready\n"
			   "  slower=TIME       twice as slow that long after it was ready, three\n"
			   "                    times after twice as long, and so on\n"
			   "  oom-under-load    the first real step runs out of GPU memory\n"
			   "  cpu               no GPU is found\n"
			   "  wrong-model       another model is served than was asked for\n"
			   "  half-stream       answers break off in the middle\n"
			   "  503               every request is answered 503\n"
			   "  hang              requests are taken and never answered\n"
			   "  none              nothing\n";

static int duration(const char *name, const char *value, int64_t *ret, Err *err)
{
	if (value && conf_parse_duration(value, ret) && *ret >= 0)
		return 0;
	return err_set(err, -EINVAL, "the fault %s needs a time, such as %s=30s", name, name);
}

static int number(const char *value, int64_t *ret, Err *err)
{
	char *end = NULL;
	long n = value ? strtol(value, &end, 10) : -1;
	if (!value || !*value || *end || n < 0 || n > 255)
		return err_set(err, -EINVAL,
			       "the fault exit-code needs a number from 0 to 255, such as "
			       "exit-code=3");
	*ret = n;
	return 0;
}

static bool *flag_of(Faults *f, const char *name)
{
	const struct {
		const char *name;
		bool *flag;
	} flags[] = {
	    {"hang-start", &f->hang_start},
	    {"crash-start", &f->crash_start},
	    {"cpu", &f->cpu},
	    {"oom-under-load", &f->oom_under_load},
	    {"wrong-model", &f->wrong_model},
	    {"half-stream", &f->half_stream},
	    {"503", &f->unavailable},
	    {"hang", &f->hang},
	};
	for (size_t i = 0; i < sizeof(flags) / sizeof(*flags); i++)
		if (strcmp(flags[i].name, name) == 0)
			return flags[i].flag;
	return NULL;
}

static int add_one(Faults *f, const char *name, const char *value, Err *err)
{
	if (strcmp(name, "slow-start") == 0)
		return duration(name, value, &f->slow_start_us, err);
	if (strcmp(name, "crash-at") == 0)
		return duration(name, value, &f->crash_at_us, err);
	if (strcmp(name, "slower") == 0)
		return duration(name, value, &f->slower_us, err);
	if (strcmp(name, "none") == 0 && !value)
		return 0;
	if (strcmp(name, "exit-code") == 0) {
		f->exits = true;
		return number(value, &f->exit_code, err);
	}
	bool *flag = flag_of(f, name);
	if (!flag)
		return err_set(err, -EINVAL, "there is no fault '%s'", name);
	if (value)
		return err_set(err, -EINVAL, "the fault %s takes no value", name);
	*flag = true;
	return 0;
}

int faults_add(Faults *f, const char *text, Err *err)
{
	_cleanup_free_ char *copy = strdup(text);
	char *rest = copy;
	if (!copy)
		return err_oom(err);
	for (char *one; (one = strsep(&rest, ","));) {
		/* The colon is for where '=' means something else. */
		char *value = strpbrk(one, "=:");
		if (value)
			*value++ = '\0';
		int r = add_one(f, one, value, err);
		if (r < 0)
			return r;
	}
	return 0;
}
