/* A state of a rollout as it comes back from a store that somebody had his hands in: what is taken
 * can be told any event, never commits what it does not hold to be confirmed, and can be written
 * down again. */
#include "base/json.h"
#include "fuzz.h"
#include "rollout/machine.h"

static void tell_everything(const MachineSpec *spec, Machine m)
{
	for (int round = 0; round < 3; round++)
		for (int e = 0; e < EVENT_MAX_; e++) {
			Machine then = m;
			MachineDo d = machine_step(spec, &then, (MachineEvent)e);
			MUST(d != DO_COMMIT || machine_may_commit(spec, &then));
			json_auto_t *o = machine_json(&then);
			MUST(o != NULL);
			if ((e + round) % 3 == 0)
				m = then;
		}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const uint32_t counts[] = {1, 3, ROLLOUT_PARAMS_MAX};
	json_auto_t *v = NULL;
	Machine m, back;
	Err err = ERR_INIT;
	if (js_parse((const char *)data, size, 1 << 20, &v, &err) < 0)
		return 0;
	if (machine_from_json(v, &m, &err) < 0) {
		MUST(err.msg[0] != '\0');
		return 0;
	}
	json_auto_t *o = machine_json(&m);
	MUST(o && machine_from_json(o, &back, &err) == 0);
	for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++)
		for (unsigned int flags = 0; flags < 8; flags++) {
			const MachineSpec spec = {.n = counts[i],
						  .colocated = flags & 1,
						  .cold_start = flags >> 1 & 1,
						  .probation = flags >> 2 & 1,
						  .waits = 1};
			tell_everything(&spec, m);
		}
	return 0;
}
