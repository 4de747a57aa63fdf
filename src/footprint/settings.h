#pragma once
/* The settings of a candidate's services, as the memory model needs them. Private to this folder.
 * -EINVAL with a sentence for a value of the wrong type: that is a mistake of the configuration,
 * not a verdict. */
#include "footprint/footprint.h"

/* What a candidate asks of one vLLM instance. The key's texts are borrowed from the settings. */
typedef struct VllmAsk {
	VllmKey key;
	double share;
} VllmAsk;

int ask_read(const ServiceSpec *s, const json_t *settings, VllmAsk *ret, Err *err) _must_check_;
/* NULL in *ret: not said. The text is borrowed from the settings. */
int setting_text(const char *service, const json_t *settings, const char *name, const char **ret,
		 Err *err) _must_check_;
