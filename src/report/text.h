#pragma once
/* Text measured in characters instead of bytes (UTF-8). */
#include <stddef.h>

size_t text_width(const char *text);
/* How many bytes the first `width` characters take. */
size_t text_bytes(const char *text, size_t width);
