#include "twin/host.h"

#include <stdarg.h>

#include "base/json.h"
#include "base/str.h"

double gib(int64_t bytes)
{
	return (double)bytes / (double)(1 << 30);
}

void service_say(Service *v, const char *fmt, ...)
{
	_cleanup_(str_done) Str line = STR_INIT;
	va_list ap;
	va_start(ap, fmt);
	str_addv(&line, fmt, ap);
	va_end(ap);
	if (!v->log && v->say && !line.failed)
		v->say(v->say_ctx, line.s);
	else if (line.failed || json_array_append_new(v->log, js_text(line.s)) < 0)
		v->lost = true;
}

int host_fail(Host *h, Outcome o, const char *cause, const char *fmt, ...)
{
	sim_halt(&h->sim);
	if (h->failed)
		return 0;
	_cleanup_(str_done) Str reason = STR_INIT;
	va_list ap;
	va_start(ap, fmt);
	str_addv(&reason, fmt, ap);
	va_end(ap);
	h->failed = true;
	return reason.failed ? -ENOMEM : measurement_fail(h->m, o, cause, "%s", reason.s);
}

static void amount(Str *out, int64_t bytes)
{
	if (bytes < (int64_t)1 << 30)
		str_addf(out, "%.2f MiB", (double)bytes / (1 << 20));
	else
		str_addf(out, "%.2f GiB", gib(bytes));
}

void service_says_oom(Service *v, const Ledger *gpu, int64_t wanted_bytes)
{
	_cleanup_(str_done) Str line = STR_INIT;
	str_add(&line, "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate ");
	amount(&line, wanted_bytes);
	str_add(&line, ". GPU 0 has a total capacity of ");
	amount(&line, gpu->total_bytes);
	str_add(&line, " of which ");
	amount(&line, ledger_free_bytes(gpu));
	str_add(&line, " is free. Including non-PyTorch memory, this process has ");
	amount(&line, gpu->held[v->owner]);
	str_add(&line, " memory in use.");
	if (line.failed)
		v->lost = true;
	else
		service_say(v, "%s", line.s);
}
