/* needs: dep_hub */
/* fuzz_hub_line: lines of vecmill-pull. What is read of a line is inside it, or a constant, and ends. */
#include "hub/hub_channel.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char text[512];
    struct hub_line line;
    const size_t n = num_min(size, sizeof text - 1);
    memcpy(text, data, n);
    text[n] = '\0';
    const size_t bytes = strlen(text);
    if (!hub_line_read(text, &line)) return 0;
    const bool is_inside = line.text >= text + 2 && line.text <= text + bytes;
    const bool is_constant = line.kind == HUB_LINE_FAILED && line.status == VECMILL_E_INTERNAL;
    if (!is_inside && !is_constant) abort();
    if (line.kind == HUB_LINE_FAILED && line.status == VECMILL_OK) abort();
    if (line.kind != HUB_LINE_FAILED && line.status != VECMILL_OK) abort();
    return 0;
}
