/* Any other service: nothing is known but what dream.yaml says. It is ready when its probe program
 * says so or its output has a text; it is loaded only as a neighbour. */
#include "server/kind.h"

static const LinePattern lines[] = {
    {"Address already in use", NULL, "port"},
    {"Performing inference on CPU when CUDA is available", NULL, "cpu"},
    {"FP16 is not supported on CPU; using FP32 instead", NULL, "cpu"},
    {.part = NULL},
};

const ServerKind kind_command = {
    .name = "command",
    .role = ROLE_NONE,
    .protocol = PROTOCOL_HTTP,
    .lines = lines,
};
