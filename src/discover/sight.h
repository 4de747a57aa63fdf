#pragma once
/* The parts of a look. For this folder alone. */
#include <systemd/sd-event.h>

#include "discover/machine.h"
#include "systemd/bus.h"

/* Every process but kernel threads and ourselves. */
int sight_processes(Sightings *s, size_t *ret_hidden, Err *err) _must_check_;
/* The service units of one manager; what one of them runs is only worked out when it is a server.
 */
int sight_units(Systemd *manager, Sightings *s, Err *err) _must_check_;
/* What vLLM wrote when it started, from the journal of its unit. */
int sight_start(FoundServer *s, Err *err) _must_check_;
/* Its health page; for Ollama, also the model that it has loaded. */
int sight_health(FoundServer *s, Err *err) _must_check_;
/* Files beside its model or its Python. */
int sight_files(FoundServer *s, Err *err) _must_check_;
